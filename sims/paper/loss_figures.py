"""Figures 1, 2, 6 and 7, loss curves, and figure 8, the authors' two plasticity rules."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from neuroflip import files
from neuroflip.sims.paper.drawing import COLOUR, STYLE, Drawn, Job, canvas
from neuroflip.sims.paper.experiments import RESULTS, STORED, measure, read, run, setting
from neuroflip.sims.paper.models import PUBLISHED
from neuroflip.sims.paper.retention import COUNTS, DISTRACTORS, MODELS, STRENGTHS, retention

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def losses(names: Sequence[str], quick_epochs: int) -> Callable[[Job], Drawn]:
    def figure(job: Job) -> Drawn:
        sheet, axes = canvas(1, len(names), height=3.8)
        numbers = _panels(axes[0], names, job, quick_epochs)
        _legend(sheet, axes[0, 0])
        return sheet, {"experiments": numbers}

    return figure


def _panels(
    axes: Sequence["Axes"], names: Sequence[str], job: Job, quick_epochs: int
) -> dict[str, Any]:
    axes[0].set_ylabel("mean squared error\non held-out copies")
    return {
        name: _loss_panel(panel, name, _table(name, job, quick_epochs), job.quick)
        for name, panel in zip(names, axes, strict=True)
    }


def _legend(sheet: "Figure", panel: "Axes") -> None:
    handles, labels = panel.get_legend_handles_labels()
    sheet.legend(handles, labels, loc="outside lower center", ncols=6, frameon=False, fontsize=9)


def memory_retention(job: Job) -> Drawn:
    """Figure 6: the paper's interference; and, below, that within a trial."""
    names = ["mem_retention/exp_7", "mem_retention/exp_10", "mem_retention/exp_11"]
    sheet, axes = canvas(2, 3, width=11, height=3.6)
    numbers: dict[str, Any] = {"experiments": _panels(axes[0], names, job, 600)}
    runs = _recall(job)
    seeds = len({r["seed"] for r in runs})
    told = f"mean of {seeds} seed{'s' * (seeds > 1)}" + ", quick" * job.quick
    looks = {"": "-", "published start": (0, (1, 1)), "chrono": "--"}
    marks = dict(zip(MODELS, "os^vDx+", strict=True))  # some curves lie on others
    for panel, which, at in zip(axes[1], ("strength", "count"), (STRENGTHS, COUNTS), strict=False):
        for model, (kind, _) in MODELS.items():
            shares = np.array([r[which] for r in runs if r["model"] == model])
            panel.plot(
                at, shares.mean(axis=0), linestyle=looks[model.partition(", ")[2]],
                marker=marks[model], color=COLOUR[kind], label=model, linewidth=1.3,
                fillstyle="none", markersize=6,
            )  # fmt: skip
        panel.axhline(0.5, color="0.3", linewidth=1, linestyle=(0, (1, 1)), label="chance")
        panel.set_ylim(0.4, 1.03)
        panel.set_title(f"interference within the trial, 60 steps\n{told}", fontsize=9)
    axes[1, 0].set_ylabel("share of bits recalled")
    axes[1, 0].set_xlabel(f"strength of the {DISTRACTORS} distractors (the bit's is 1)")
    axes[1, 1].set_xlabel("number of distractors of strength 1")
    key = axes[1, 2]
    key.axis("off")
    for row, place, columns in ((0, "upper", 2), (1, "lower", 1)):
        handles, labels = axes[row, 0].get_legend_handles_labels()
        found = key.legend(
            handles, labels, title=f"{place} row", loc=f"{place} left", ncols=columns,
            frameon=False, fontsize=8,
        )  # fmt: skip
        key.add_artist(found)
    numbers["recall"] = {"strengths": STRENGTHS, "counts": COUNTS, "runs": runs}
    return sheet, numbers


def _recall(job: Job) -> list[dict[str, Any]]:
    """Recall among distractors: stored, or made."""
    path = RESULTS / "sound" / "retention.json"
    if not job.quick and path.exists():
        stored: list[dict[str, Any]] = files.read(path)["runs"]
        return stored
    if job.quick:
        return [retention(model, job.seeds[0], epochs=15) for model in MODELS]
    return [retention(model, seed) for seed in job.seeds for model in MODELS]


def _table(name: str, job: Job, quick_epochs: int) -> list[dict[str, Any]]:
    """The records of all models and seeds: stored, or made."""
    if not job.quick:
        try:
            runs: list[dict[str, Any]] = read(name)["runs"]
            if {r["model"] for r in runs} >= set(PUBLISHED):
                return runs
        except FileNotFoundError:
            pass
    found = []
    for model in PUBLISHED:
        for seed in job.seeds:
            if job.quick:
                result = run(name, model, seed, epochs=quick_epochs)
                curves: Mapping[str, list[float]] = result.curves
                epochs = list(range(1, len(curves["held"]) + 1))
                found.append({"model": model, "seed": seed, "epochs": epochs, "curves": curves})
            else:
                measure(name, model, seed, False, str(job.out / "runs"))
                path = job.out / "runs" / "sound" / name / f"{model}-{seed}" / "record.json"
                found.append(files.read(path))
    return found


def _loss_panel(
    panel: "Axes", name: str, table: Sequence[dict[str, Any]], quick: bool
) -> dict[str, Any]:
    which = setting(name)
    numbers: dict[str, Any] = {"floor": which.floor, "models": {}}
    stored = files.read(STORED)["experiments"][name]["models"]
    for model in PUBLISHED:
        runs = [r for r in table if r["model"] == model]
        epochs = np.array(runs[0]["epochs"])
        curves = np.array([r["curves"]["held"] for r in runs])
        middle = np.exp(np.log(curves).mean(axis=0))
        panel.plot(epochs, middle, STYLE[model], color=COLOUR[model], label=model, linewidth=1.4)
        panel.fill_between(
            epochs, curves.min(axis=0), curves.max(axis=0), color=COLOUR[model], alpha=0.15,
            linewidth=0,
        )  # fmt: skip
        theirs = stored[model]["final_train"]
        if not quick:
            panel.plot(1.02 * epochs[-1], theirs, "D", color=COLOUR[model], markersize=4)
        numbers["models"][model] = {
            "authors": theirs, "seeds": [r["seed"] for r in runs], "epochs": epochs, "held": curves,
            "geometric_mean": middle,
        }  # fmt: skip
    panel.axhline(which.floor, color="0.3", linewidth=1, linestyle=(0, (1, 1)), label="noise floor")
    if not quick:
        panel.plot([], [], "D", color="0.3", markersize=4, label="authors' final, in training")
    panel.set_yscale("log")
    panel.set_xlabel("epoch")
    kind = "sinusoidal" if which.curve == "sinusoidal" else "uniform"
    copies = "+".join(str(n) for n in which.counts)
    seeds = len(numbers["models"]["FlipFlop"]["seeds"])
    panel.set_title(
        f"{name}\n{kind}, {which.steps} steps, {copies} copies\n"
        f"{seeds} seeds: geometric mean and range" + ", quick" * quick,
        fontsize=9,
    )
    return numbers
