"""The insides of trained nets (E8 to E13, C13 to C17): what the stored numbers say.

Each item has a criterion, which is told before the numbers. It is judged on uniform curves, with
the settings of one of the paper's own experiments; where sinusoids say otherwise, that is added.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from neuroflip.sims.paper.experiments import SETTINGS
from neuroflip.sims.paper.inside import EVERY, JITTER, NAMES
from neuroflip.sims.paper.items import HOLDS, NOT_RUN
from neuroflip.sims.paper.paired import Paired, paired
from neuroflip.sims.paper.report_tables import (
    ENOUGH,
    Found,
    Runs,
    Tables,
    config_of,
    grid,
    model_names,
    of_model,
    partial,
    said,
    significant,
    spread,
)

Columns = Mapping[str, Callable[[Runs, str], str]]
"""Head of a column -> what it tells of the runs of a model."""

BOTH = ("FlipFlop", "LSTM")
TITLES = dict(zip(NAMES, ("uniform curves", "sinusoids"), strict=True))

FIFTH = 0.5
"""Of the way in the first fifth of the epochs, above which it is called fast."""
REST = 0.1
"""Of the first tenth's way in the last tenth, below which it is called hardly any."""
DISTINCT = 0.9
"""Of the first distance of J and K from each other, down to which they stay distinct."""
CLOSE = 0.1
"""Variance within classes over that between them, below which outputs lie close."""


def _runs(tables: Tables, name: str) -> Runs:
    return [run for run in tables.runs("inside", "sound") if run["experiment"] == name]


def _mean(runs: Runs, *keys: str | int, model: str = "FlipFlop") -> float:
    return float(np.mean(of_model(runs, model, *keys)))


def _less(runs: Runs, *keys: str | int) -> Paired:
    """FlipFlop less LSTM, seed by seed."""
    done = [{run["seed"] for run in runs if run["model"] == model} for model in BOTH]
    shared = [run for run in runs if run["seed"] in done[0] & done[1]]
    own, other = (of_model(shared, model, *keys) for model in BOTH)
    return paired(own, other)


def _above(pair: Paired) -> bool:
    return pair.mean > 0 and significant(pair)


def _value(*keys: str | int, digits: int = 3) -> Callable[[Runs, str], str]:
    return lambda runs, model: spread(of_model(runs, model, *keys), digits)


def _table(tables: Tables, columns: Columns, models: Sequence[str] | None = None) -> str:
    rows = []
    for name in NAMES:
        runs = _runs(tables, name)
        for model in model_names(runs):
            if models is None or model in models:
                told = (of(runs, model) for of in columns.values())
                rows.append([f"`{name}`", model, len(of_model(runs, model, "seed")), *told])
    return grid(["experiment", "model", "seeds", *columns], rows)


def _pairs(tables: Tables, *keys: str | int) -> str:
    """FlipFlop less LSTM in both experiments."""
    done = {name: _runs(tables, name) for name in NAMES}
    return "; ".join(f"{TITLES[n]} {_less(r, *keys)}" for n, r in done.items() if _ready(r, BOTH))


def _ready(runs: Runs, models: Sequence[str]) -> int:
    """How many seeds there are of each of these models."""
    return min(len(of_model(runs, model, "seed")) for model in models)


def _verdict(tables: Tables, true: Callable[[str, Runs], bool], models: Sequence[str]) -> str:
    """On uniform curves; on sinusoids, where that is another. true: by the name and its runs."""
    done = {name: _runs(tables, name) for name in NAMES}
    seeds = {name: _ready(runs, models) for name, runs in done.items()}
    if not seeds[NAMES[0]]:
        return NOT_RUN
    words = {name: said(true(name, runs)) for name, runs in done.items() if seeds[name]}
    word = words[NAMES[0]]
    if seeds[NAMES[0]] < ENOUGH:
        return partial(f"{seeds[NAMES[0]]} seeds; so far it {word}")
    other = words.get(NAMES[1], word)
    apart = f" ({TITLES[NAMES[0]]}; on {TITLES[NAMES[1]]} it {other})" if other != word else ""
    return word + apart


def _has(tables: Tables) -> bool:
    return bool(_runs(tables, NAMES[0]))


_COMMAND = "Command: `python -m neuroflip.sims.paper.inside`. Config: E8. "


def _configs() -> str:
    told = []
    for name in NAMES:
        which = asdict(SETTINGS[name])
        numbers = {k: v for k, v in which.items() if type(v) in (int, float)}
        copies = " + ".join(map(str, which["counts"]))
        told.append(f"`{name}` has {which['curve']} curves, {copies} copies. {config_of(numbers)}")
    return "".join(told)


_CONVERGES = (
    f"over {FIFTH:g} of the way in the first fifth of the epochs, and in the last tenth less "
    f"than {REST:g} of the way of the first tenth (at a steady pace: 0.2 and 1)"
)


def _converges(runs: Runs, *keys: str) -> bool:
    fast = _mean(runs, *keys, "first_fifth") > FIFTH
    return fast and _mean(runs, *keys, "last_to_first") < REST


def _distinct(runs: Runs) -> bool:
    first, last = (_mean(runs, "weights", "apart", end) for end in (0, 1))
    return last >= DISTINCT * first


def e8(tables: Tables) -> Found:
    if not _has(tables):
        return Found()
    columns: dict[str, Callable[[Runs, str], str]] = {}
    for gate in "JK":
        columns |= {
            f"{gate}: first tenth": _value("weights", gate, "first_tenth"),
            f"{gate}: first fifth": _value("weights", gate, "first_fifth"),
            f"{gate}: last/first tenth": _value("weights", gate, "last_to_first"),
        }
    runs = _runs(tables, NAMES[0])
    at = next(run for run in runs if run["model"] == "FlipFlop")["weights"]["epochs"]
    lengths = [
        [epoch, *(spread(of_model(runs, "FlipFlop", "weights", g, "moved", n), 3) for g in "JK")]
        for n, epoch in enumerate(at)
        if n % 3 == 0
    ]
    told = (
        f"To hold: J and K together go, in the mean over seeds, {_CONVERGES}. Share of the way of "
        f"the weights, in pieces of {EVERY} epochs, that is gone in the first tenth and fifth of "
        "the epochs, and the way of the last tenth over that of the first:"
        + _table(tables, columns, ["FlipFlop"])
        + f"J and K together: {_seeds(tables, 'weights', 'both')}. Length of the piece of the way, "
        f"|W_t - W_(t-{EVERY})|, that ends with an epoch, `{NAMES[0]}`:"
        + grid(["epoch", "J", "K"], lengths)
        + f"{_configs()}Sound mode; flip-flop layers begin as published. "
        "Command: `python -m neuroflip.sims.paper.inside`. Pictures, and a film: "
        "`neuroflip fig 9`."
    )
    word = _verdict(tables, lambda _, runs: _converges(runs, "weights", "both"), ["FlipFlop"])
    return Found(ours=told, verdict=_qualified(tables, word, "weights", "both"))


def _seeds(tables: Tables, *keys: str) -> str:
    """What is judged of the convergence, and in how many seeds it is so."""
    told = []
    for name in NAMES:
        if _ready(runs := _runs(tables, name), ["FlipFlop"]):
            fast, rest = (
                of_model(runs, "FlipFlop", *keys, key) for key in ("first_fifth", "last_to_first")
            )
            told.append(
                f"{TITLES[name]} {spread(fast, 3)} in the first fifth, last/first tenth "
                f"{spread(rest, 3)}, both as asked in {_share(runs, *keys)} seeds"
            )
    return "; ".join(told)


def _share(runs: Runs, *keys: str) -> str:
    """In how many of the seeds something converges as asked."""
    seeds = [[run] for run in runs if run["model"] == "FlipFlop"]
    return f"{sum(_converges(seed, *keys) for seed in seeds)} of {len(seeds)}"


def _qualified(tables: Tables, verdict: str, *keys: str) -> str:
    """What holds in the mean, with the number of seeds, if not all."""
    share = _share(_runs(tables, NAMES[0]), *keys)
    all_ = len(set(share.split(" of "))) == 1
    return verdict if verdict != HOLDS or all_ else f"{HOLDS} (in the mean; in {share} seeds)"


def c13(tables: Tables) -> Found:
    if not _has(tables):
        return Found()
    columns = {
        "distance, first": _value("weights", "distance", 0),
        "distance, last": _value("weights", "distance", 1),
        "relative, first": _value("weights", "apart", 0),
        "relative, last": _value("weights", "apart", 1),
    }
    told = (
        f"To hold: J and K converge as E8 asks, and their relative distance at the end is at least "
        f"{DISTINCT:g} of that before training. They begin as independent random numbers, so "
        "they are distinct from the start. Distance |J - K| of the weights, and relative to "
        "sqrt(|J|² + |K|²), 0 where they are the same and 1 where they are orthogonal:"
        + _table(tables, columns, ["FlipFlop"])
        + _COMMAND
        + "How they converge: E8."
    )

    def true(_: str, runs: Runs) -> bool:
        return _converges(runs, "weights", "both") and _distinct(runs)

    word = _qualified(tables, _verdict(tables, true, ["FlipFlop"]), "weights", "both")
    stay = _verdict(tables, lambda _, runs: _distinct(runs), ["FlipFlop"])
    return Found(ours=f"{told} That they stay distinct, alone: {stay}.", verdict=word)


_GATES = {"J": "J", "K": "K", "input": "i", "forget": "f", "output gate": "o"}


def _saturated(end: int) -> Callable[[Runs, str], str]:
    def tell(runs: Runs, model: str) -> str:
        names = next(run for run in runs if run["model"] == model)["gates"]["saturated"]
        return ", ".join(
            f"{_GATES[n]} {spread(of_model(runs, model, 'gates', 'saturated', n, end), 2)}"
            for n in names
        )

    return tell


def _together(runs: Runs, model: str) -> str:
    return spread(of_model(runs, model, "gates", "correlation"), 2) if model == "FlipFlop" else ""


def e9(tables: Tables) -> Found:
    if not _has(tables):
        return Found()
    columns = {
        "saturated, first": _saturated(0),
        "saturated, last": _saturated(1),
        "J with K": _together,
        "first fifth": _value("gates", "first_fifth"),
        "last/first tenth": _value("gates", "last_to_first"),
        "late change": _value("gates", "late", digits=2),
        "whole change": _value("gates", "changed", digits=2),
    }
    told = (
        "To hold: the gates of the flip-flop net, at all steps, converge as E8 asks of the "
        f"weights: {_CONVERGES}. Gates at every step, computed with the weights of every {EVERY}th "
        "epoch. Saturated: the share below 0.05 or above 0.95, before training and at the end (of "
        "the LSTM: input, forget, output gate). J with K: their correlation over classes, steps "
        "and units. Late and whole change: mean of |difference| between the end and 80 % of the "
        "epochs, and between the end and the start:"
        + _table(tables, columns, BOTH)
        + f"Of the flip-flop net: {_seeds(tables, 'gates')}. {_COMMAND}"
        + "Pictures: `neuroflip fig 10`."
    )
    word = _verdict(tables, _gates_converge, ["FlipFlop"])
    return Found(ours=told, verdict=_qualified(tables, word, "gates"))


def _gates_converge(_: str, runs: Runs) -> bool:
    return _converges(runs, "gates")


def c14(tables: Tables) -> Found:
    if not _has(tables):
        return Found()
    return Found(ours="By the criterion and the numbers of E9.", verdict=e9(tables).verdict)


def _richer(runs: Runs) -> bool:
    return _above(_less(runs, "outputs", "fast_power"))


def e10(tables: Tables) -> Found:
    if not _has(tables):
        return Found()
    columns = {
        "within/between": _value("outputs", "within_between"),
        "fast power": _value("outputs", "fast_power"),
        "spectra": _value("outputs", "spectrum"),
    }
    told = (
        "A net of these is told its class and nothing else, so outputs of a class do not only lie "
        "close, they are the same, whatever the model. To hold: with noise of standard deviation "
        f"{JITTER} on the input lines at every step, the variance of the flip-flop net's outputs "
        f"within classes is below {CLOSE} of that between them; and on uniform curves its fast "
        "power is above the LSTM's, significantly. Fast power: of the output in the upper half of "
        "the frequencies, over that of the curve without noise; spectra: correlation of the "
        "amplitude spectra of the two:"
        + _table(tables, columns)
        + f"Fast power, FlipFlop less LSTM: {_pairs(tables, 'outputs', 'fast_power')}. "
        + _COMMAND
        + "Pictures: `neuroflip fig 11`."
    )

    def close(_: str, runs: Runs) -> bool:
        return _mean(runs, "outputs", "within_between") < CLOSE

    def true(name: str, runs: Runs) -> bool:
        return close(name, runs) and (name != NAMES[0] or _richer(runs))

    told += f" That outputs lie close, alone: {_verdict(tables, close, ['FlipFlop'])}."
    return Found(ours=told, verdict=_verdict(tables, true, BOTH))


def _count(values: Sequence[float]) -> str:
    return f"{sum(value < 1 for value in values)} of {len(values)}"


def c15(tables: Tables) -> Found:
    if not _has(tables):
        return Found()
    columns = {
        "without noise": _value("outputs", "filtered"),
        "below 1": lambda runs, m: _count(of_model(runs, m, "outputs", "filtered")),
        "on new copies": _value("ratio"),
    }
    told = (
        "To hold: flip-flop net and LSTM filter noise, that is, in every seed the mean square of "
        "their distance from the curve without noise is below the variance of the noise, so that "
        "they are nearer to it than a copy of those they learned from; and on uniform curves the "
        "flip-flop net is richer, as in E10. The distance counts noise that was learned and what "
        "of the curve was not. Mean square of the distance, and the error on new "
        "copies, over the variance of the noise:" + _table(tables, columns) + _COMMAND
    )

    def filters(_: str, runs: Runs) -> bool:
        return all(max(of_model(runs, m, "outputs", "filtered")) < 1 for m in BOTH)

    def true(name: str, runs: Runs) -> bool:
        return filters(name, runs) and (name != NAMES[0] or _richer(runs))

    told += f"That both filter, alone: {_verdict(tables, filters, BOTH)}."
    return Found(ours=told, verdict=_verdict(tables, true, BOTH))


def _broader(_: str, runs: Runs) -> bool:
    """More units share the mean activity, and more evenly."""
    ratio, index = (_less(runs, "states", key) for key in ("of mean", "gini of mean"))
    return _above(ratio) and index.mean < 0 and significant(index)


def e11(tables: Tables) -> Found:
    if not _has(tables):
        return Found()
    columns = {
        key: _value("states", key)
        for key in ("of mean", "gini of mean", "of deviation", "gini of deviation", "dimensions")
    }
    told = (
        "To hold: over classes and steps, the mean of |state| of the flip-flop net's units has a "
        "higher participation ratio (how many units share it) and a lower Gini index than the "
        "LSTM's, both significantly. A flip-flop's state is from 0 to 1 and an LSTM's from -1 to "
        "1, so a constant level counts as activity; the standard deviation of each unit, where it "
        "does not, and the dimensions of the states (participation ratio of their principal "
        "components) are beside it:"
        + _table(tables, columns)
        + "FlipFlop less LSTM, participation of the mean: "
        + f"{_pairs(tables, 'states', 'of mean')}; its Gini index: "
        + f"{_pairs(tables, 'states', 'gini of mean')}. Participation of the deviation: "
        + f"{_pairs(tables, 'states', 'of deviation')}. "
        + _COMMAND
        + "Pictures: `neuroflip fig 12`."
    )
    return Found(ours=told, verdict=_verdict(tables, _broader, BOTH))


def c16(tables: Tables) -> Found:
    if not _has(tables):
        return Found()

    def true(name: str, runs: Runs) -> bool:
        half = SETTINGS[name].hidden / 2
        own, other = (_mean(runs, "states", "of mean", model=model) for model in BOTH)
        return _broader(name, runs) and own > half > other

    told = (
        "To hold: as E11 asks, and by the participation ratio of the mean more than half of the "
        "units share the activity of the flip-flop net, and less than half that of the LSTM. "
        "Numbers: E11."
    )
    return Found(ours=told, verdict=_verdict(tables, true, BOTH))


def _peaks(runs: Runs) -> Paired:
    """The mean over classes of the peak, FlipFlop less LSTM."""
    means: list[dict[str, Any]] = [
        {"model": r["model"], "seed": r["seed"], "peak": float(np.mean(r["outputs"]["peak"]))}
        for r in runs
    ]
    return _less(means, "peak")


def e12(tables: Tables) -> Found:
    if not _has(tables):
        return Found()

    def at_zero(runs: Runs, model: str) -> str:
        lags = [lag for run in runs if run["model"] == model for lag in run["outputs"]["lag"]]
        return f"{lags.count(0)} of {len(lags)}"

    columns = {
        "peak, class 0": _value("outputs", "peak", 0, digits=4),
        "class 1": _value("outputs", "peak", 1, digits=4),
        "at lag 0": at_zero,
    }
    told = (
        "Nuance is not defined there. To hold, here: the peak of the normalised correlation of "
        "output and curve without noise, mean over classes, is above the LSTM's, significantly. "
        "Peaks, and in how many classes and seeds they are at lag 0:" + _table(tables, columns)
    )
    done = {name: _runs(tables, name) for name in NAMES}
    pairs = (f"{TITLES[n]} {_peaks(runs)}" for n, runs in done.items() if _ready(runs, BOTH))
    told += f"FlipFlop less LSTM: {'; '.join(pairs)}. {_COMMAND}Pictures: `neuroflip fig 13`."
    word = _verdict(tables, lambda _, runs: _above(_peaks(runs)), BOTH)
    return Found(ours=told, verdict=word)


def c17(tables: Tables) -> Found:
    if not _has(tables):
        return Found()
    return Found(ours="By the criterion and the numbers of E12.", verdict=e12(tables).verdict)


def e13(tables: Tables) -> Found:
    if not _has(tables):
        return Found()
    quarters = ("first", "second", "third", "last")
    columns = {
        f"component{'s 1 to' if n else ''} {n + 1}": _value("states", "shares", n) for n in range(3)
    } | {
        f"error, {which} quarter": _value("outputs", "quarters", n)
        for n, which in enumerate(quarters)
    }
    told = (
        "They show these and conclude nothing from them; to hold, they need only be there, of "
        "every step. Share of the variance of the states, over classes and steps, in the first "
        "principal components; mean square of the distance from the curve without noise, by "
        "quarters of the steps, over the variance of the noise:"
        + _table(tables, columns)
        + "Correlation of J and K: E9. "
        + _COMMAND
        + "Pictures: `neuroflip fig 11`."
    )
    word = _verdict(tables, lambda *_: True, BOTH)
    return Found(ours=told, verdict=f"{HOLDS} (shown, no claim)" if word == HOLDS else word)
