"""Figures 9 to 13: weights, gates, outputs, states of trained nets."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neuroflip import files
from neuroflip.figures import COLOURS
from neuroflip.sims.paper.drawing import COLOUR, STYLE, Drawn, Job, canvas
from neuroflip.sims.paper.experiments import run
from neuroflip.sims.paper.harness import Result
from neuroflip.sims.paper.inside import inside, targets, weights_over_epochs
from neuroflip.sims.paper.measures import (
    breadth,
    correlation,
    principal,
    saturated,
    spectrum_match,
)
from neuroflip.sims.paper.models import Drawing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from neuroflip.circuit import Array

_TASKS = {
    "memory retention": "mem_retention/exp_10",
    "working memory": "working_mem/exp_4",
}
"""Those whose insides the authors show."""


def _trained(job: Job, task: str, model: str, seed: int) -> Result:
    """A net that has been trained before, or is now; with its weights at 20 times or more."""
    epochs = 300 if job.quick else None
    mode = "quick" if job.quick else "inside"
    folder = job.out / "runs" / mode / _TASKS[task] / f"{model}-{seed}"
    every = 20 if job.quick else 50
    return run(_TASKS[task], model, seed, epochs=epochs, snapshot_every=every, folder=folder)


def _net(result: Result) -> Drawing:
    assert isinstance(result.model, Drawing)
    return result.model


def weights(job: Job) -> Drawn:
    """Figure 9, and fig09.gif: the weights of J and K over the epochs."""
    sheet, axes = canvas(2, 4, width=11, height=3.0)
    numbers: dict[str, Any] = {}
    for row, task in enumerate(_TASKS):
        found = weights_over_epochs(_trained(job, task, "FlipFlop", job.seeds[0]))
        epochs = found["epochs"]
        largest = float(max(np.abs(found[gate][-1]).max() for gate in "JK"))
        for column, gate in enumerate("JK"):
            image = axes[row, column].imshow(
                found[gate][-1], cmap="PuOr", vmin=-largest, vmax=largest, aspect="auto",
                interpolation="nearest",
            )  # fmt: skip
            axes[row, column].set_title(f"weights of {gate}, epoch {epochs[-1]}", fontsize=9)
            axes[row, column].set_xlabel("from input, then unit")
        axes[row, 0].set_ylabel(f"{task}\nto unit")
        sheet.colorbar(image, ax=axes[row, :2], label="weight")
        way, spread = axes[row, 2:]
        way.plot(epochs[1:], found["moved"], color=COLOURS[0])
        way.set_ylim(bottom=0)
        way.set_xlabel("epoch")
        way.set_ylabel(f"|change of W| in {epochs[1] - epochs[0]} epochs")
        way.set_title(f"{found['early']:.0%} of the way in the first tenth", fontsize=9)
        shares = np.percentile(
            np.stack([found[g].reshape(len(epochs), -1) for g in "JK"]), [5, 50, 95], axis=2
        )  # (percentile, gate, snapshot)
        for number, gate in enumerate("JK"):
            style = "-" if gate == "J" else "--"
            for share, width in zip(shares[:, number], (0.8, 1.6, 0.8), strict=True):
                label = gate if width > 1 else None
                spread.plot(epochs, share, style, color=COLOURS[number], lw=width, label=label)
        spread.set_xlabel("epoch")
        spread.set_ylabel("weight: 5, 50 and 95 %")
        spread.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2)
        numbers[task] = found | {"percentiles": shares}
        for gate in "JK":  # of the snapshots, the first and last; the film has the others
            numbers[task][gate] = found[gate][[0, -1]]
        if row == 0:
            _film(found, task, job.out / "fig09.gif")
    return sheet, numbers


def _film(found: Mapping[str, Any], task: str, path: Path) -> None:
    """The weights of J and K, a frame a snapshot."""
    from matplotlib.animation import FuncAnimation, PillowWriter
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    sheet, axes = canvas(1, 2, width=7.5, height=3.6)
    FigureCanvasAgg(sheet)
    largest = float(max(np.abs(found[gate]).max() for gate in "JK"))
    images = []
    for panel, gate in zip(axes[0], "JK", strict=True):
        images.append(
            panel.imshow(
                found[gate][0], cmap="PuOr", vmin=-largest, vmax=largest, aspect="auto",
                interpolation="nearest",
            )
        )  # fmt: skip
        panel.set_title(f"W of {gate}", fontsize=9)
        panel.set_xlabel("from input, then unit")
    axes[0, 0].set_ylabel("to unit")
    sheet.colorbar(images[1], ax=axes[0].tolist(), label="weight")
    title = sheet.suptitle(" ", fontsize=10)

    def show(frame: int) -> list[Any]:
        for image, gate in zip(images, "JK", strict=True):
            image.set_data(found[gate][frame])
        title.set_text(f"{task}, epoch {found['epochs'][frame]}")
        return images

    film = FuncAnimation(sheet, show, frames=len(found["epochs"]), blit=False)
    with files.replacing(path) as temporary:
        film.save(temporary, PillowWriter(fps=8), dpi=80)


def gates(job: Job) -> Drawn:
    """Figure 10: the gates at every step, at the beginning, midway and at the end of training."""
    sheet, axes = canvas(4, 4, width=11, height=2.5)
    numbers: dict[str, Any] = {}
    for block, task in enumerate(_TASKS):
        result = _trained(job, task, "FlipFlop", job.seeds[0])
        net = _net(result)
        epochs = list(result.snapshots)
        shown = [epochs[0], epochs[len(epochs) // 2], epochs[-1]]
        last = {name: value.clone() for name, value in net.state_dict().items()}
        found: dict[str, Any] = {}
        for column, epoch in enumerate(shown):
            net.load_state_dict(dict(result.snapshots[epoch]))
            gates = inside(net)
            found[str(epoch)] = _gate_numbers(gates)
            for line, gate in enumerate("JK"):
                panel = axes[2 * block + line, column]
                image = panel.imshow(
                    gates[gate][0].T, cmap="cividis", vmin=0, vmax=1, aspect="auto",
                    interpolation="nearest",
                )  # fmt: skip
                panel.set_title(f"{gate}, class 0, epoch {epoch}", fontsize=9)
                if line:
                    panel.set_xlabel("step")
            if column == 0:
                for line in range(2):
                    axes[2 * block + line, 0].set_ylabel(f"{task}\nunit", fontsize=9)
        sheet.colorbar(image, ax=axes[2 * block : 2 * block + 2, :3], label="gate (0 shut, 1 open)")
        net.load_state_dict(last)
        lstm = inside(_net(_trained(job, task, "LSTM", job.seeds[0])))
        found["LSTM"] = _gate_numbers(lstm)
        _histograms(axes[2 * block, 3], {gate: gates[gate] for gate in "JK"}, "FlipFlop")
        names = ("input", "forget", "output gate")
        _histograms(axes[2 * block + 1, 3], {gate: lstm[gate] for gate in names}, "LSTM")
        axes[2 * block + 1, 3].set_xlabel("gate, all units and steps")
        numbers[task] = found
    return sheet, numbers


_EDGES = np.linspace(0, 1, 26)


def _gate_numbers(found: Mapping[str, "Array"]) -> dict[str, Any]:
    """Each gate at every step; its distribution; its share within 0.05 of 0 or 1; of flip-flops
    the correlation of J and K over classes, steps and units."""
    gates = {name: v for name, v in found.items() if name not in ("output", "states")}
    numbers: dict[str, Any] = {
        name: {
            "gate": np.round(v[0], 4),
            "saturated": saturated(v),
            "distribution": np.histogram(v, _EDGES)[0] / v.size,
        }
        for name, v in gates.items()
    }
    if "J" in gates:
        numbers["correlation"] = float(np.corrcoef(gates["J"].ravel(), gates["K"].ravel())[0, 1])
    return numbers


def _histograms(panel: "Axes", gates: Mapping[str, "Array"], title: str) -> None:
    for number, (name, values) in enumerate(gates.items()):
        share = np.histogram(values, _EDGES)[0] / values.size
        style = ("-", "--", ":")[number]
        label = name.removesuffix(" gate")
        panel.stairs(share, _EDGES, color=COLOURS[number], linestyle=style, label=label, lw=1.4)
    panel.set_yscale("log")
    panel.set_ylim(1e-4, 3)
    panel.set_ylabel("share")
    panel.set_title(f"{title}, last epoch", fontsize=9)
    panel.legend(frameon=False, fontsize=7, ncols=3, columnspacing=1, handlelength=1.5)


def trajectories(job: Job) -> Drawn:
    """Figure 11: outputs over time with their targets, and the states in two components."""
    sheet, axes = canvas(4, 3, width=12, height=2.5, width_ratios=[2, 1, 1])
    numbers: dict[str, Any] = {}
    for block, task in enumerate(_TASKS):
        numbers[task] = {}
        for line, model in enumerate(("FlipFlop", "LSTM")):
            row = axes[2 * block + line]
            result = _trained(job, task, model, job.seeds[0])
            found, target = inside(_net(result)), targets(_TASKS[task], job.seeds[0])
            errors = (found["output"] - target) ** 2
            scores, shares = principal(found["states"])
            for c in range(min(2, len(target))):
                row[0].plot(target[c], ":", color=COLOURS[c], linewidth=1)
                row[0].plot(found["output"][c], color=COLOURS[c], linewidth=1, label=f"class {c}")
            row[0].set_ylabel("output (target dotted)")
            row[0].set_title(f"{task}, {model}", fontsize=9)
            row[0].set_ylim(-1.15, 1.5)
            row[0].legend(frameon=False, fontsize=7, loc="upper right", ncols=2)
            row[0].set_xlabel("step")
            row[1].plot(errors.mean(axis=0), color=COLOUR[model])
            row[1].set_yscale("log")
            least, most = np.log10([errors.mean(axis=0).min(), errors.mean(axis=0).max()])
            row[1].set_ylim(10 ** np.floor(least), 10 ** np.ceil(most))  # some decades to read
            row[1].set_ylabel("squared error, no noise")
            row[1].set_xlabel("step")
            for c in range(len(target)):
                row[2].plot(*scores[c].T, color=COLOURS[c], linewidth=0.8, alpha=0.8)
                row[2].plot(*scores[c, 0], "o", color=COLOURS[c], markersize=4, label=f"{c}")
            row[2].set_xlabel(f"component 1 ({shares[0]:.0%} of variance)")
            row[2].set_ylabel(f"component 2 ({shares[1]:.0%})")
            row[2].legend(
                frameon=False, fontsize=7, title="class, start", title_fontsize=7,
                loc="upper left", bbox_to_anchor=(1, 1),
            )  # fmt: skip
            numbers[task][model] = {
                "output": found["output"], "target": target, "error": errors.mean(axis=0),
                "components": scores, "shares": shares,
                "spectrum_match": spectrum_match(found["output"], target),
            }  # fmt: skip
    return sheet, numbers


def activations(job: Job) -> Drawn:
    """Figure 12: how many units share the activity."""
    sheet, axes = canvas(2, 3, width=11, height=3.0)
    numbers: dict[str, Any] = {}
    for row, task in enumerate(_TASKS):
        numbers[task] = {}
        for number, model in enumerate(("FlipFlop", "LSTM")):
            found = [
                breadth(inside(_net(_trained(job, task, model, seed)))["states"])
                for seed in job.seeds
            ]
            for panel, what in zip(axes[row, :2], ("mean", "deviation"), strict=True):
                sorted_ = np.array([np.sort(f[what])[::-1] / f[what].max() for f in found])
                panel.plot(
                    np.arange(1, sorted_.shape[1] + 1), sorted_.mean(axis=0), STYLE[model],
                    color=COLOUR[model], label=model,
                )  # fmt: skip
                panel.set_xlabel("unit, sorted")
                panel.legend(frameon=False)
            kinds = ("of mean", "of deviation", "dimensions")
            for place, kind in enumerate(kinds):
                values = [f[kind] for f in found]
                axes[row, 2].plot(
                    np.full(len(values), place + 0.2 * (number - 0.5)), values, "o^"[number],
                    color=COLOUR[model], fillstyle="none", label=model if place == 0 else None,
                )  # fmt: skip
            numbers[task][model] = {"seeds": job.seeds, "runs": found}
        axes[row, 0].set_ylabel(f"{task}\nmean |state|, largest = 1")
        axes[row, 1].set_ylabel("deviation in time, largest = 1")
        axes[row, 2].set_xticks(range(3), ["mean\n|state|", "deviation\nin time", "dimensions"])
        axes[row, 2].set_xlim(-0.5, 2.5)
        axes[row, 2].set_ylabel("participation ratio (units)")
        axes[row, 2].legend(frameon=False)
    return sheet, numbers


def correlations(job: Job) -> Drawn:
    """Figure 13: the cross-correlation of outputs and targets."""
    sheet, axes = canvas(1, 2, height=3.4)
    numbers: dict[str, Any] = {}
    for panel, task in zip(axes[0], _TASKS, strict=True):
        target = targets(_TASKS[task], job.seeds[0])
        numbers[task] = {}
        for number, model in enumerate(("FlipFlop", "LSTM")):
            output = inside(_net(_trained(job, task, model, job.seeds[0])))["output"]
            found = [correlation(o, t, 20) for o, t in zip(output, target, strict=True)]
            lags, r = found[0][0], np.array([values for _, values in found])
            for c in range(min(2, len(r))):
                panel.plot(
                    lags, r[c], STYLE[model], color=COLOURS[2 * number + c], linewidth=1.3,
                    label=f"{model}, class {c}",
                )  # fmt: skip
            best = r.argmax(axis=1)
            numbers[task][model] = {
                "lags": lags, "correlation": r, "peak": r.max(axis=1), "lag_of_peak": lags[best]
            }  # fmt: skip
        panel.set_xlabel("lag of the output (steps)")
        panel.set_title(f"{task} ({_TASKS[task]})", fontsize=9)
    axes[0, 0].set_ylabel("correlation of output and target")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    sheet.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
    return sheet, numbers
