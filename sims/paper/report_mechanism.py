"""What units and regions do (W1, W2): what the stored numbers say.

The questions and when the answer is yes: `mechanism` and `regions`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from neuroflip.sims.paper.items import FAILS, HOLDS
from neuroflip.sims.paper.measures import participation
from neuroflip.sims.paper.paired import paired
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

EXACT = 0.99
"""Of the transitions, and of the states in trials."""
RANK = 0.5
"""Correlation of what units do with what they matter, in the mean."""
PAIRS = 0.9
"""Of the pairs of attractors whose units are exchanged."""
UNTOUCHED = 0.1
"""Of the drop with the window on the shape, at most, with windows that do not touch it."""
STATES = 2.0
"""Times as different at the shape as far from it."""


def _of(runs: Runs, model: str) -> Runs:
    return [run for run in runs if run["model"] == model]


def _answers(asked: Mapping[str, bool], seeds: int) -> str:
    """The verdict: yes to all, or which."""
    word = said(all(asked.values()))
    if seeds < ENOUGH:
        return partial(f"{seeds} seeds; so far it {word}")
    no = [name for name, yes in asked.items() if not yes]
    yes = [name for name, yes in asked.items() if yes]
    if not no:
        return f"{HOLDS} ({', '.join(yes)})"
    return f"{FAILS} ({', '.join(no)}" + (f"; {', '.join(yes)}: {HOLDS})" if yes else ")")


def _rows(
    runs: Runs, columns: Mapping[str, Callable[[Runs], str]], order: Sequence[str] = ()
) -> str:
    rows = []
    for model in order or model_names(runs):
        own = _of(runs, model)
        rows.append([model, len(own), *(of(own) for of in columns.values())])
    return grid(["model", "seeds", *columns], rows)


def _value(*keys: str | int, digits: int = 3) -> Callable[[Runs], str]:
    return lambda runs: spread(of_model(runs, runs[0]["model"], *keys), digits)


def _each(tell: Callable[[Mapping[str, Any]], object]) -> Callable[[Runs], str]:
    """A value of every seed, in their order."""
    return lambda runs: ", ".join(str(tell(run)) for run in runs)


def _mean(values: Callable[[Mapping[str, Any]], float], digits: int = 3) -> Callable[[Runs], str]:
    return lambda runs: spread([values(run) for run in runs], digits)


def _is_machine(run: Mapping[str, Any]) -> bool:
    found = run["automaton"]
    exact = found["right"] >= EXACT * found["transitions"] and found["agree"] >= EXACT
    return bool(found["states"] == found["codes"] == 8 and exact)


def _is_stable(run: Mapping[str, Any]) -> bool:
    return bool(run["automaton"]["codes"] == 8 and run["automaton"]["settle"] >= EXACT)


def _ranks(runs: Runs) -> bool:
    ranks = [run["units"]["rank"] for run in runs]
    return float(np.mean(ranks)) > RANK and min(ranks) > 0


def _moves(runs: Runs) -> bool:
    ends = [_ends(run) for run in runs]
    return all(float(np.mean(shares)) >= PAIRS for shares in zip(*ends, strict=True))


def _ends(run: Mapping[str, Any]) -> tuple[float, float]:
    """With half of the units, those that differ most: moved; least: stayed."""
    found = run["exchange"]
    if not found["pairs"]:
        return 0.0, 0.0
    return found["most"]["moved"][-1], found["least"]["stayed"][-1]


def _saddles(run: Mapping[str, Any]) -> str:
    found = run["fixed points"]["growing"]
    return str(len(found)) + (f" (to {max(found)})" if found else "")


def w1(tables: Tables) -> Found:
    table = tables.read("sound/mechanism")
    if not table or not _of(table["runs"], "FlipFlop"):
        return Found()
    runs, own = table["runs"], _of(table["runs"], "FlipFlop")
    asked = {
        "automaton": all(map(_is_machine, own)),
        "fixed points": all(map(_is_stable, own)),
        "units taken out": _ranks(own),
        "units exchanged": _moves(own),
    }
    half = table["exchanged"][-1]
    told = (
        f"Nets of {table['setting']['units']} units that keep three bits. To hold, of the "
        "flip-flop net, every one of four. *Automaton*: in every seed its attractors without input "
        "are 8, in which it says the 8 triples of bits, and of their transitions, 27 pulses in "
        f"each, at least {EXACT:.0%} are the true machine's, as are {EXACT:.0%} of those in "
        "trials. *Fixed points*: in every seed each triple is said in a stable one, and "
        f"{EXACT:.0%} of the states in trials flow to stable ones. *Units taken out*: over units, "
        "Spearman's correlation of the deviation of a unit with the rise of the loss when it is "
        f"held at its mean is above {RANK:g} in the mean, and positive in every seed. *Units "
        f"exchanged*: between attractors one bit apart, the {half} units that differ most move the "
        f"net to the other, and the {half} that differ least leave it, each in at least "
        f"{PAIRS:.0%} of the pairs. Attractors and transitions, by seed; the states in trials that "
        "flow to an attractor, and go as the automaton says; the largest modulus of the "
        "eigenvalues at an attractor; unstable fixed points found, and in how many directions they "
        "grow at most:"
        + _rows(
            runs,
            {
                "bits right": _value("units", "accuracy", digits=4),
                "attractors": _each(lambda run: run["automaton"]["states"]),
                "transitions right": _each(
                    lambda run: f"{run['automaton']['right']}/{run['automaton']['transitions']}"
                ),
                "arrive": _value("automaton", "settle", digits=4),
                "go as it says": _value("automaton", "agree", digits=4),
                "largest modulus": _each(
                    lambda run: max(run["fixed points"]["moduli"], default="")
                ),
                "unstable": _each(_saddles),
            },
        )
        + f"A state that is still on its way after {table['setting']['flow']} steps without input "
        "counts as wrong, as it may be where the largest modulus is near 1. "
        "Units taken out, one at a time: the loss of the whole net; the rise of the loss with "
        "the unit at its mean, of the median and of the most important unit, and in the middle of "
        "its range; the participation ratio of the rises, how many units share them; the bits "
        "right without the most important; the correlation:"
        + _rows(
            runs,
            {
                "loss": _value("units", "loss", digits=2),
                "median rise": _mean(lambda run: float(np.median(run["units"]["mean"])), 2),
                "largest": _mean(lambda run: max(run["units"]["mean"]), 2),
                "largest, in the middle": _mean(lambda run: max(run["units"]["middle"]), 2),
                "shared by": _mean(
                    lambda run: participation(np.clip(run["units"]["mean"], 0, None))
                ),
                "bits right without it": _mean(lambda run: min(run["units"]["without"])),
                "deviation with rise": _value("units", "rank", digits=2),
            },
        )
        + "Units exchanged: pairs; the share in which one unit alone moves the net; moved, with "
        f"{', '.join(map(str, table['exchanged']))} units that differ most; moved and stayed, with "
        f"the {half} that differ least:"
        + _rows(
            [run for run in runs if run["exchange"]["pairs"]],
            {
                "pairs": _each(lambda run: run["exchange"]["pairs"]),
                "one alone": _value("exchange", "single", digits=2),
                **{
                    f"most, {many}": _value("exchange", "most", "moved", n, digits=2)
                    for n, many in enumerate(table["exchanged"])
                },
                "least, moved": _value("exchange", "least", "moved", -1, digits=2),
                "least, stayed": _value("exchange", "least", "stayed", -1, digits=2),
            },
        )
        + "; ".join(f"{name}: {said(yes)}" for name, yes in asked.items())
        + f". {config_of(table['setting'])}"
        "Command: `python -m neuroflip.sims.paper.mechanism`. Fixed points of single units, in "
        "closed form: S1."
    )
    return Found(ours=told, verdict=_answers(asked, len(own)))


def _away(place: int, side: int) -> int:
    """Pixels from the shape to the window of this place in the list, going round the edge."""
    return max(min(n, side - n) for n in divmod(place, side))


def _apart(run: Mapping[str, Any], where: str, table: Mapping[str, Any]) -> float:
    """The mean drop with windows that do not touch the shape."""
    side = table["setting"]["side"]
    drops = [d for n, d in enumerate(run[where]) if _away(n, side) >= table["apart"]]
    return float(np.mean(drops))


def _largest(run: Mapping[str, Any], where: str, side: int) -> int:
    """How far from the shape the window with the largest drop is; of equal ones, the farthest."""
    top = max(run[where])
    return max(_away(n, side) for n, drop in enumerate(run[where]) if drop == top)


def _follows(runs: Runs, where: str, within: int, table: Mapping[str, Any]) -> bool:
    near = [run[where][0] for run in runs]
    far = [_apart(run, where, table) for run in runs]
    pair = paired(near, far)
    clear = pair.mean > 0 and significant(pair)
    little = float(np.mean(far)) <= UNTOUCHED * float(np.mean(near))
    side = table["setting"]["side"]
    return clear and little and all(_largest(run, where, side) <= within for run in runs)


def _order(run: Mapping[str, Any]) -> bool:
    return bool(run["test"] - run["shuffled"] > (run["test"] - 1 / 12) / 2)


def w2(tables: Tables) -> Found:
    table = tables.read("sound/regions")
    own = _of(table["runs"], "ConvFlipFlop2d") if table else []
    if not table or not own:
        return Found()
    asked = {
        "in the clip": _follows(own, "clip", 1, table),
        "in the state": _follows(own, "state", 2, table),
        "maps": all(run["near"] >= STATES * run["far"] for run in own),
        "order": all(map(_order, own)),
    }
    size, side, apart = table["window"], table["setting"]["side"], table["apart"]

    def drops(where: str) -> dict[str, Callable[[Runs], str]]:
        found: dict[str, Callable[[Runs], str]] = {
            f"{where}: on the shape": _value(where, 0),
            f"{apart} or more away": _mean(lambda run: _apart(run, where, table)),
            "largest at": _each(lambda run: _largest(run, where, side)),
        }
        return found

    def at(runs: Runs, where: str, away: int) -> str:
        drops = [d for r in runs for n, d in enumerate(r[where]) if _away(n, side) == away]
        return f"{np.mean(drops):.3f}"

    rings = [
        [model, where, *(at(_of(table["runs"], model), where, n) for n in range(side // 2 + 1))]
        for where in ("clip", "state")
        for model in model_names(table["runs"])
    ]
    frames = len(own[0]["frame"])
    told = (
        "The moving shapes of E4. To hold, of `ConvFlipFlop2d`, every one of four. *In the clip*: "
        f"with a window of {size} x {size} pixels that shows background and goes with the shape, "
        "accuracy drops more than with windows that do not touch the shape, significantly, and "
        f"with these at most {UNTOUCHED:g} times as much; the largest of 100 drops is within 1 "
        "pixel of the shape in every seed. *In the state*: the same of windows in which the maps "
        "of states become those of an empty clip, within 2 pixels. *Maps*: in every seed states "
        f"differ from those of an empty clip {STATES:g} times as much at the shape as {apart} "
        "pixels away or more. *Order*: in every seed shuffled frames cost more than half of the "
        "accuracy above chance. Drops in accuracy, and how far from the shape the largest is, by "
        "seed:"
        + _rows(table["runs"], {"whole": _value("whole")} | drops("clip"))
        + _rows(table["runs"], drops("state"))
        + "Drop by the distance of the window from the shape, in pixels, mean over seeds:"
        + grid(["model", "window in", *map(str, range(side // 2 + 1))], rings)
        + "Drop with the shape hidden in one frame of the clip:"
        + _rows(
            table["runs"],
            {f"frame {n + 1}": _value("frame", n, digits=2) for n in range(frames)},
        )
        + "Maps of states: mean of |state less that of an empty clip| at the shape and far from "
        "it, all frames; and after the last frame, where the shape is, was 1, 3, 5, 7 frames ago, "
        "never was. The share of the variance of a channel's largest value that goes with the "
        "first way of the shape, and with the second, in the channel where it is largest. Accuracy "
        "with frames shuffled:"
        + _rows(
            table["runs"],
            {
                "at the shape": _value("near"),
                "far": _value("far", digits=2),
                **{
                    name: _value("trail", n, digits=2)
                    for name, n in (
                        ("now", 0),
                        ("1", 1),
                        ("3", 3),
                        ("5", 5),
                        ("7", 7),
                        ("never", -1),
                    )
                },
                "first way": _mean(lambda run: max(run["first"]), 2),
                "second way": _mean(lambda run: max(run["then"]), 2),
                "shuffled": _value("shuffled"),
            },
        )
        + "; ".join(f"{name}: {said(yes)}" for name, yes in asked.items())
        + f". Measured on {table['tested']} clips. Config: E4. "
        "Command: `python -m neuroflip.sims.paper.regions`. No UCF11 here."
    )
    return Found(ours=told, verdict=_answers(asked, len(own)))
