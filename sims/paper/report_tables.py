"""What the report of the founding paper reads, and how it tells numbers."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from neuroflip import files
from neuroflip.sims.paper.experiments import RESULTS, SETTINGS, STORED, Setting
from neuroflip.sims.paper.items import FAILS, HOLDS, NOT_RUN
from neuroflip.sims.paper.models import PUBLISHED
from neuroflip.sims.paper.paired import Paired

Runs = Sequence[Mapping[str, Any]]

ENOUGH = 5
"""Seeds below which a result is called partial."""
NEAR = 1.15
"""Times the floor, the variance of the noise, that still counts as having learnt a curve."""


def significant(pair: Paired) -> bool:
    """p < 0.01; where there are too few seeds for that, p as small as they allow."""
    return pair.p < 0.01 or (pair.pairs >= ENOUGH and pair.p <= 2 / 2**pair.pairs)


@dataclass(frozen=True)
class Found:
    """What was computed for an item; empty where its `Item` says it."""

    theirs: str = ""
    ours: str = ""
    verdict: str = ""


@dataclass(frozen=True)
class Tables:
    """The stored tables: the authors', in one file, and ours, in a folder."""

    stored: Path = STORED
    results: Path = RESULTS
    theirs: Mapping[str, Any] = field(init=False)
    """Experiment -> model -> what the authors stored of it."""

    def __post_init__(self) -> None:
        found = files.read(self.stored)["experiments"]
        models = {name: each["models"] for name, each in found.items()}
        object.__setattr__(self, "theirs", models)

    def read(self, name: str) -> dict[str, Any] | None:
        """One of ours, by its path without .json; None where it has not been made."""
        path = self.results / f"{name}.json"
        return files.read(path) if path.exists() else None

    def runs(self, name: str, mode: str) -> list[dict[str, Any]]:
        """Of a signal experiment; none where it has not been run."""
        table = self.read(f"{mode}/{name.replace('/', '-')}")
        return table["runs"] if table else []

    def four(self, folder: str) -> dict[str, Any]:
        """The authors' experiments of a folder that compare all four models."""
        return {
            name: models
            for name, models in self.theirs.items()
            if name.startswith(folder) and set(PUBLISHED) <= models.keys()
        }


def spread(values: Sequence[float], digits: int = 4) -> str:
    """Mean ± standard deviation."""
    told = f"{np.mean(values):.{digits}g}"
    return f"{told} ± {np.std(values, ddof=1):.2g}" if len(values) > 1 else f"{told} (one seed)"


def grid(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table, with an empty line on both sides."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n\n" + "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines) + "\n\n"


def config_of(which: Mapping[str, Any]) -> str:
    """A configuration in words."""
    told = (f"{key.replace('_', ' ')} {value:g}" for key, value in which.items())
    return "Config: " + ", ".join(told) + ". "


def of_model(runs: Sequence[Mapping[str, Any]], model: str, *keys: str | int) -> list[float]:
    """A value of every run of a model, by seed."""
    found = []
    for run in sorted(runs, key=lambda each: int(each["seed"])):
        if run["model"] == model:
            value: Any = run
            for key in keys:
                value = value[key]
            found.append(float(value))
    return found


def seed_count(runs: Sequence[Mapping[str, Any]]) -> int:
    """How many seeds every model of a table has."""
    models = {run["model"] for run in runs}
    models = models & set(PUBLISHED) or models
    return min((len(of_model(runs, model, "seed")) for model in models), default=0)


def whole(runs: Sequence[Mapping[str, Any]]) -> bool:
    """Whether all four models have seeds enough."""
    return set(PUBLISHED) <= set(model_names(runs)) and seed_count(runs) >= ENOUGH


def model_names(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(run["model"] for run in runs))


def partial(what: str) -> str:
    return f"{NOT_RUN} (partial: {what})"


def said(true: bool) -> str:
    return HOLDS if true else FAILS


def judged(runs: Sequence[Mapping[str, Any]], true: Callable[[], bool]) -> str:
    """The verdict on an experiment in the sound mode."""
    if not runs or not set(PUBLISHED) <= set(model_names(runs)):
        return NOT_RUN
    n = seed_count(runs)
    word = said(true())
    return word if n >= ENOUGH else partial(f"{n} seeds; so far it {word}")


def first_other(words: Iterable[str]) -> str:
    """The first verdict that is not that it holds, or that it does."""
    return next((word for word in words if word != HOLDS), HOLDS)


def both(one: str, word: str, other: str, second: str) -> str:
    """The verdict on a claim of two parts, from those on the parts and their names."""
    if NOT_RUN in (word, second):
        return NOT_RUN
    if word.startswith(NOT_RUN) or second.startswith(NOT_RUN):
        short = [w.removeprefix(f"{NOT_RUN} (partial: ").rstrip(")") for w in (word, second)]
        return partial(f"{one}: {short[0]}; {other}: {short[1]}")
    total = said(word.startswith(HOLDS) and second.startswith(HOLDS))
    return f"{total} ({one}: {word}; {other}: {second})"


def lowest(tables: Mapping[str, Any], key: str, model: str = "FlipFlop") -> str:
    """In how many of the authors' experiments a model has the lowest value."""
    wins = sum(
        min(PUBLISHED, key=lambda m: models[m][key]) == model  # noqa: B023 (used at once)
        for models in tables.values()
    )
    return f"{wins} of {len(tables)}"


def _config(name: str) -> str:
    which: Setting = SETTINGS[name]
    copies = " + ".join(map(str, which.counts))
    return (
        f"`{name}`: {which.curve} curves of {which.steps} steps, {copies} copies, noise "
        f"{which.noise:g}, {which.hidden} units, batches of {which.batch_size}, {which.epochs} "
        f"epochs, learning rate {which.learning_rate:g}"
    )


def losses(tables: Tables, names: Sequence[str]) -> str:
    """The signal experiments that have been run, beside the authors'."""
    rows, configs, done = [], [], {"published": 0, "sound": 0}
    for name in names:
        for mode in done:
            runs = tables.runs(name, mode)
            if not runs:
                continue
            done[mode] += 1
            configs.append(_config(name))
            for model in model_names(runs):
                own = of_model(runs, model, "train", "final")
                theirs = tables.theirs[name].get(model, {}).get("final_train")
                beside = ["", ""]
                if theirs is not None and mode == "published":
                    below = sum(loss < theirs for loss in own)
                    inside = "yes" if min(own) <= theirs <= max(own) else "no"
                    beside = [f"{theirs:.4g}", f"{inside}, {below} below"]
                rows.append(
                    [
                        f"`{name}`", "as published" if mode == "published" else mode, model,
                        len(own), spread(own), *beside,
                        spread(of_model(runs, model, "ratio"), 3),
                        spread(of_model(runs, model, "best_ratio"), 3),
                        spread(of_model(runs, model, "train", "largest_rise"), 2),
                        spread(of_model(runs, model, "train", "roughness"), 2),
                    ]
                )  # fmt: skip
    head = [
        "experiment", "mode", "model", "seeds", "final training loss", "the authors'",
        "within our range", "final/floor", "best/floor", "largest rise", "roughness",
    ]  # fmt: skip
    told = ""
    if rows:
        told = (
            grid(head, rows) + "Floor: the variance of the noise, over which the validation loss "
        )
        told += "is told; rise, from one epoch to the next, and roughness, the standard deviation "
        told += "of such changes in the second half, are of the training loss. "
        told += "; ".join(dict.fromkeys(configs)) + ". "
        if done["published"]:
            told += (
                "Within our range: whether our seeds end on both sides of the authors' one, and "
                "how many below it. One more seed like n others is outside their range with chance "
                "2/(n + 1): of five, one in three. Seeds were added after five had left the "
                "authors' loss outside for some models. "
            )
    folder = names[0].split("/")[0] if len(names) > 1 else names[0]
    return (
        f"{told}Run so far: {done['sound']} of {len(names)} in the sound mode, {done['published']} "
        f"of {len(names)} as published. "
        f"Command: `python -m neuroflip.sims.paper.experiments {folder}`, also with "
        "`--as-published`."
    )


def stored_losses(tables: Tables, names: Sequence[str], key: str, digits: int = 3) -> str:
    return grid(
        ["experiment", *PUBLISHED],
        [[f"`{n}`", *(f"{tables.theirs[n][m][key]:.{digits}g}" for m in PUBLISHED)] for n in names],
    )


def names_of(item: str) -> list[str]:
    return [name for name, which in SETTINGS.items() if which.item == item]


def or_published(tables: Tables, names: Sequence[str], otherwise: str) -> str:
    """Where the sound mode has not been run: what is there."""
    if not otherwise.startswith(NOT_RUN) or "partial" in otherwise:
        return otherwise
    done = [(n, tables.runs(n, "published")) for n in names if tables.runs(n, "published")]
    if not done:
        return NOT_RUN
    told = ", ".join(f"{n} with {seed_count(runs)} seeds" for n, runs in done)
    return partial(f"as published only, {told}, of {len(names)} experiments")
