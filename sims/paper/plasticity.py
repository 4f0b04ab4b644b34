"""Learning rules beside backprop, in place of it, and where there is none (E7 of the paper).

Four parts: "signals", the paper's task with each rule in each mode, and the authors' own rules;
"association", pairs shown once; "remapping", a changed mapping learnt online; "continual", five
tasks in turn. Each writes a table of all its runs, RESULTS/e7_PART.json, from which the summaries
and the data of the paper's Figure 8 are made. A run that the table has already is not repeated.

    python -m neuroflip.sims.paper.plasticity                    # all of it
    python -m neuroflip.sims.paper.plasticity --quick --out tried
    python -m neuroflip.sims.paper.plasticity --as-published     # the authors' own two rules
    python -m neuroflip.sims.paper.plasticity --show             # from the tables, nothing is run
"""

import argparse
import json
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from neuroflip import files
from neuroflip.errors import nearest
from neuroflip.figures import COLOURS
from neuroflip.sims.paper import plasticity_association as association
from neuroflip.sims.paper import plasticity_continual as continual
from neuroflip.sims.paper import plasticity_remapping as remapping
from neuroflip.sims.paper import plasticity_signals as signals
from neuroflip.sims.paper.drawing import Drawn, canvas
from neuroflip.sims.paper.drawing import Job as DrawingJob
from neuroflip.sims.paper.experiments import RESULTS, SEEDS
from neuroflip.sims.paper.paired import Paired, paired
from neuroflip.sims.paper.tables import rounded, write
from neuroflip.simulation import versions

Job = tuple[dict[str, Any], Callable[[], dict[str, Any]]]
"""What tells a run from others, and the run."""
LINES = ("-", ":")
FRESH = range(5, 15)
"""Seeds of the signals on which what stood out on the first five is looked at again."""


def _signals(seeds: int, quick: bool) -> tuple[Any, Iterator[Job]]:
    config = signals.Config()
    if quick:
        config = replace(config, epochs=20, units=16, steps=16)
    return config, _signal_jobs(min(seeds, 5), config)


def _signal_jobs(seeds: int, config: signals.Config) -> Iterator[Job]:
    """Most telling first: a run that is broken off leaves what matters most."""
    bounded = [name for name in signals.RULES if name != "additive stdp"]

    def job(condition: str, seed: int, **given: Any) -> Job:
        used = replace(config, epochs=config.epochs // 10) if control(condition) else config
        named = {"condition": condition, "seed": seed, **given}
        return named, partial(signals.train, condition, seed=seed, config=used, **given)

    def control(condition: str) -> bool:
        return condition in signals.CONTROLS  # they have collapsed long before

    for condition in ("plain", "frozen", *signals.CONTROLS):
        yield from (job(condition, seed) for seed in range(seeds))
    for mode in ("after_step", "replace", "gradient"):
        for name in bounded:
            yield from (job(name, seed, mode=mode) for seed in range(seeds))
        if mode == "after_step":
            for name, spikes in (
                ("pair stdp", "random"),
                ("additive stdp", "real"),
                ("additive stdp", "random"),
            ):
                for seed in range(seeds):
                    yield job(name, seed, mode="after_step", spikes=spikes)
    for factor in (10.0, 0.1):
        for name in bounded:
            rate = float(f"{factor * signals.RULES[name][1]:.3g}")  # as tables keep it
            for seed in range(seeds):
                yield job(name, seed, mode="after_step", rate=rate)
    # Those that were better than plain on each of five seeds, as one or two of so many are by
    # chance, once more
    for seed in FRESH if seeds >= FRESH.start else ():
        yield job("plain", seed)
        yield job("additive stdp", seed, mode="after_step", spikes="real")
        yield job("bcm", seed, mode="gradient")


def _published(seeds: int, quick: bool) -> tuple[Any, Iterator[Job]]:
    """The authors' rules with their settings, in a tenth of their epochs: both have collapsed long
    before. Without a rule: `experiments`, learning_rules/exp_2 --as-published."""
    config = signals.AS_PUBLISHED
    config = replace(config, epochs=4 if quick else config.epochs // 10)

    def jobs() -> Iterator[Job]:
        for seed in SEEDS[: min(seeds, len(SEEDS))]:
            for condition in signals.CONTROLS:
                named = {"condition": condition, "seed": seed}
                yield named, partial(signals.train, condition, seed=seed, config=config)

    return config, jobs()


def _association(seeds: int, quick: bool) -> tuple[Any, Iterator[Job]]:
    config = association.Config()
    if quick:
        config = replace(config, updates=60, tested=50)

    def jobs() -> Iterator[Job]:
        for seed in range(seeds):
            named: dict[str, Any] = {"net": "ideal observer", "seed": seed}
            yield named, partial(association.ideal_observer, seed, config)
            for rule in association.ONE_SHOT:
                named = {"net": f"one shot, {rule}", "seed": seed}
                yield named, partial(association.one_shot, rule, seed, config)
            for net in association.NETS:
                yield {"net": net, "seed": seed}, partial(association.train, net, seed, config)

    return config, jobs()


def _remapping(seeds: int, quick: bool) -> tuple[Any, Iterator[Job]]:
    config = remapping.Config()
    if quick:
        config = replace(config, updates=60, trials=40)

    def jobs() -> Iterator[Job]:
        for net in remapping.NETS:
            for seed in range(seeds):
                yield {"net": net, "seed": seed}, partial(remapping.adapt, net, seed, config)

    return config, jobs()


def _continual(seeds: int, quick: bool) -> tuple[Any, Iterator[Job]]:
    config = continual.Config()
    if quick:
        config = replace(config, updates=10, tested=50, tasks=3)

    def jobs() -> Iterator[Job]:
        for seed in range(seeds):
            for method in continual.METHODS:
                named = {"method": method, "seed": seed}
                yield named, partial(continual.learn, method, seed, config)

    return config, jobs()


PARTS: Mapping[str, Callable[[int, bool], tuple[Any, Iterator[Job]]]] = {
    "signals": _signals,
    "association": _association,
    "remapping": _remapping,
    "continual": _continual,
}
"""By name: (seeds, quick) -> the configuration, and the runs."""
_ALL = {**PARTS, "published": _published}


def run(part: str, seeds: int = 10, quick: bool = False, out: str | Path = RESULTS) -> Path:
    """Do all runs of a part that its table does not have yet, and write it after each.

    seeds: 0 to seeds - 1; the signals take at most 5. quick: small nets and short training, to see
    that all works; its tables are named so and mean nothing else. Returns the table's path.
    ValueError for an unknown part.
    """
    if part not in _ALL:
        raise ValueError(f"unknown part {part!r}; {nearest(str(part), _ALL)}")
    config, jobs = _ALL[part](seeds, quick)
    path = Path(out) / f"e7_{part}{'_quick' * quick}.json"
    runs: list[dict[str, Any]] = files.read(path)["runs"] if path.exists() else []
    head = {
        "experiment": f"E7, {part}",
        "command": "python -m neuroflip.sims.paper.plasticity "
        + ("--as-published" if part == "published" else part)
        + " --quick" * quick,
        "config": asdict(config),
        "versions": versions("torch"),
    }
    done = {json.dumps(found["job"], sort_keys=True) for found in runs}
    todo = [(named, work) for named, work in jobs if json.dumps(named, sort_keys=True) not in done]
    for named, work in tqdm(todo, desc=part, disable=None):
        began = time.process_time()  # the machine may have other things to do
        found = work()
        seconds = round(time.process_time() - began, 2)
        # Six digits: what is beyond depends on the machine
        runs.append(rounded({"job": named, **found, "cpu_seconds": seconds}, 6))
        write(path, head, runs)
    return path


def read(part: str, results: str | Path = RESULTS) -> dict[str, Any]:
    """The table of a part: "config", "versions" and "runs". ValueError for an unknown part,
    FileNotFoundError where it has not been run."""
    if part not in _ALL:
        raise ValueError(f"unknown part {part!r}; {nearest(str(part), _ALL)}")
    return files.read(Path(results) / f"e7_{part}.json")


def summary(table: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """A row for each condition of a table: "measures", name -> a value of each seed, the first of
    them the one compared; "seeds"; and "against", a `Paired` comparison with the condition of that
    name, over the seeds that both have, for each baseline."""
    part = str(table["experiment"]).removeprefix("E7, ")
    rows: dict[str, dict[str, Any]] = {}
    for found in table["runs"]:
        for name, measures in _measures(part, found):
            row = rows.setdefault(name, {"measures": {m: [] for m in measures}, "seeds": []})
            row["seeds"].append(found["seed"])
            for which, value in measures.items():
                row["measures"][which].append(value)
    for name, row in rows.items():
        row["against"] = {}
        for base in _baselines(part, name):
            if base != name and base in rows:
                row["against"][base] = over(row, rows[base])
    return rows


def over(
    row: Mapping[str, Any], base: Mapping[str, Any], seeds: Collection[int] | None = None
) -> Paired:
    """Compare two rows of a summary over these seeds, or all, as far as both have them."""
    which = next(iter(row["measures"]))
    one, two = (
        dict(zip(each["seeds"], each["measures"][which], strict=True)) for each in (row, base)
    )
    common = sorted(one.keys() & two.keys() & set(one if seeds is None else seeds))
    return paired([one[seed] for seed in common], [two[seed] for seed in common])


def _measures(part: str, found: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, float]]]:
    """Names of conditions, and what is told of them."""
    if part in ("signals", "published"):
        words = [found["condition"], found["mode"]]
        if found["rate"] is not None and found["rate"] != signals.RULES[found["condition"]][1]:
            words.append(f"rate {found['rate']:g}")
        if found["spikes"] == "random":
            words.append("random spikes")
        j, k = found["gates"]
        yield (
            ", ".join(filter(None, words)),
            {
                "error": found["error"],
                "ratio to floor": found["ratio"],
                "share of constant": found["error"] / found["constant"],
                "moved": found["moved"] or 0.0,
                "J": j,
                "K": k,
            },
        )
    elif part == "association":
        yield (
            found["job"]["net"],
            {
                "accuracy": found["accuracy"],
                "20 % flipped": found["by_flipped"]["0.2"],
                "half erased": found["by_erased"]["0.5"],
                "16 pairs": found["by_pairs"]["16"],
            },
        )
    elif part == "remapping":
        for each in found["learners"]:
            yield (
                f"{found['net']}, {each['learner']} {each['rate']:g}",
                {"accuracy": each["accuracy"], "after change": each["after_change"]},
            )
    else:
        yield (
            found["method"],
            {which: found[which] for which in ("average", "forgetting", "learnt")},
        )


def _baselines(part: str, name: str) -> tuple[str, ...]:
    return {
        "published": (),
        "signals": ("plain", "frozen") if "replace" in name else ("plain",),
        "association": ("FlipFlop", "LSTM", "LSTM, large"),
        "remapping": (name.partition(",")[0] + ", none 0",),
        "continual": ("FlipFlop", "LSTM"),
    }[part]


def show(table: Mapping[str, Any]) -> str:
    """A summary as text: mean and standard deviation over seeds, and the comparisons."""
    lines = [f"{table['experiment']}  ({table['command']})"]
    for name, row in summary(table).items():
        told = []
        for which, values in row["measures"].items():
            spread = f" +- {np.std(values, ddof=1):.2g}" if len(values) > 1 else ""
            told.append(f"{which} {np.mean(values):.4g}{spread}")
        lines.append(f"  {name} ({len(row['seeds'])} seeds): " + ", ".join(told))
        lines += [f"      against {base}: {each}" for base, each in row["against"].items()]
    return "\n".join(lines)


def figure_8(job: DrawingJob) -> Drawn:
    """Figure 8: training loss with each rule after each step of the optimizer, and the final error
    of every rule and mode. From the stored table, or, if quick, from short runs."""
    path = run("signals", 1, True, job.out / "runs") if job.quick else None
    table = files.read(path) if path else read("signals")
    usual = {name: rate for name, (_, rate) in signals.RULES.items()}
    runs = [
        r
        for r in table["runs"]
        if r["rate"] in (None, usual.get(r["condition"]))
        and r["spikes"] != "random"
        and r["condition"] != "additive stdp"
        and r["seed"] < FRESH.start  # which all conditions have
    ]
    known = ("plain", "frozen", *signals.CONTROLS, *signals.RULES)
    names = [name for name in known if any(r["condition"] == name for r in runs)]
    colours = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(names)}
    sheet, axes = canvas(1, 2, width=11, height=4.2)
    panel, finals = axes[0]
    numbers: dict[str, Any] = {"config": table["config"], "losses": {}, "finals": {}}
    for place, name in enumerate(names):
        mine = [r for r in runs if r["condition"] == name and r["mode"] in (None, "after_step")]
        if mine:
            epochs, losses = np.array(mine[0]["epochs"]), np.array([r["losses"] for r in mine])
            style = "--" if name in signals.CONTROLS else LINES[place // len(COLOURS)]
            middle = np.exp(np.log(losses).mean(axis=0))
            panel.plot(epochs, middle, style, color=colours[name], label=name)
            numbers["losses"][name] = {
                "seeds": [r["seed"] for r in mine], "epochs": epochs, "losses": losses
            }  # fmt: skip
        for mode, marker in {None: "D", "after_step": "o", "gradient": "s", "replace": "^"}.items():
            errors = [r["error"] / r["constant"] for r in runs if
                      r["condition"] == name and r["mode"] == mode]  # fmt: skip
            if errors:
                shift = {"gradient": 0.0, "after_step": -0.2, "replace": 0.2}.get(mode or "", 0.0)
                finals.plot(
                    np.full(len(errors), place + shift), errors, marker, color=colours[name],
                    fillstyle="none", markersize=5,
                )  # fmt: skip
                numbers["finals"][f"{name}, {mode}" if mode else name] = errors
    for mode, marker in {"after_step": "o", "gradient": "s", "replace": "^", "none": "D"}.items():
        finals.plot([], [], marker, color="0.3", fillstyle="none", label=f"mode {mode}")
    finals.axhline(1, color="0.3", linewidth=1, linestyle=(0, (1, 1)), label="best constant")
    for axis in (panel, finals):
        axis.set_yscale("log")
        axis.legend(
            frameon=False, fontsize=8, ncols=5 if axis is panel else 3, loc="lower center",
            bbox_to_anchor=(0.5, 1),
        )  # fmt: skip
    panel.locator_params(axis="x", integer=True)
    panel.set_xlabel("epoch")
    panel.set_ylabel("training loss (mean squared error),\ngeometric mean over seeds")
    finals.set_xticks(range(len(names)), names, rotation=40, ha="right", fontsize=8)
    finals.set_ylabel("final error / error of the best constant")
    seeds = len({r["seed"] for r in runs})
    sheet.suptitle(f"Plasticity rules on the paper's task, {seeds} seed{'s' * (seeds > 1)}"
                   + ", quick" * job.quick, fontsize=10)  # fmt: skip
    return sheet, numbers


def main(given: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="neuroflip.sims.paper.plasticity", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS) + "; all if none")
    parser.add_argument(
        "--quick", action="store_true", help="short training, to see that all works"
    )
    parser.add_argument("--seeds", type=int, default=10, help="how many (default: 10)")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the tables")
    parser.add_argument(
        "--as-published", action="store_true", help="the authors' two rules with their settings"
    )
    parser.add_argument("--show", action="store_true", help="print stored tables, run nothing")
    options = parser.parse_args(given)
    if options.as_published and options.parts:
        parser.error("--as-published has no parts: it is of the authors' own task, the signals.")
    for part in options.parts:
        if part not in PARTS:
            parser.error(f"unknown part {part!r}; {nearest(part, PARTS)}")
    parts = ["published"] if options.as_published else options.parts or list(PARTS)
    torch.set_num_threads(1)  # arrays this small gain nothing from more
    for part in parts:
        if options.show:
            print(show(read(part, options.out)))
        else:
            print(show(files.read(run(part, options.seeds, options.quick, options.out))))


if __name__ == "__main__":
    main()
