"""Claims and future work of the founding paper: what the stored tables say."""

import functools
import math
from collections.abc import Mapping, Sequence

import numpy as np

from neuroflip.sims.paper.experiments import SETTINGS
from neuroflip.sims.paper.inference import CLOSE as APART
from neuroflip.sims.paper.inference import GAIN
from neuroflip.sims.paper.items import FAILS, HOLDS, NEVER, NOT_RUN
from neuroflip.sims.paper.models import PUBLISHED, Sequential, count
from neuroflip.sims.paper.paired import Paired, paired
from neuroflip.sims.paper.report_experiments import e2, e3, e4, e5, slower, steady
from neuroflip.sims.paper.report_tables import (
    ENOUGH,
    Found,
    Runs,
    Tables,
    both,
    config_of,
    first_other,
    grid,
    judged,
    lowest,
    model_names,
    names_of,
    of_model,
    or_published,
    partial,
    said,
    seed_count,
    significant,
    spread,
    whole,
)

CLOSE = 0.05
"""In floors: how far above the flip-flop net's best epoch the RNN's still is as good."""


def c1(tables: Tables) -> Found:
    theirs = tables.theirs["signal_gen/sinusoidal_0"]
    whole = tables.theirs["sent_analysis/original_hyperparameters"]
    size = {m: count(Sequential(m, 2, 64, 1)) for m in PUBLISHED}
    ratio = size["FlipFlop"] / size["LSTM"]
    saved = 1 - whole["FlipFlop"]["num_params"] / whole["LSTM"]["num_params"]
    return Found(
        f"FlipFlop/LSTM {theirs['FlipFlop']['num_params'] / theirs['LSTM']['num_params']:.2f} in "
        f"the signal nets; over the whole sentiment net {saved:.1%} fewer: most is the embedding.",
        f"FlipFlop/LSTM {ratio:.2f}, FlipFlop/GRU {size['FlipFlop'] / size['GRU']:.2f}, "
        f"FlipFlop/RNN {size['FlipFlop'] / size['RNN']:.2f} (64 units, one bias a gate in the "
        "flip-flop layer, two in the others, as in the authors' code). Fewer than the gated nets, "
        "more than the RNN.",
        said(size["FlipFlop"] < min(size["LSTM"], size["GRU"])),
    )


GATED = ("LSTM", "GRU")
STAND_INS = {
    "sentiment-snippets": "review snippets (stand-in for IMDB)",
    "actions-watch": "smartwatch exercises (stand-in for UCF11)",
}
OUTCOMES = ("win", "draw", "loss")


def c2(tables: Tables) -> Found:
    four = {n: m for n, m in tables.four("").items() if not n.startswith("sent")}
    theirs = (
        "Its final training loss is the lowest of the four in "
        f"{lowest(four, 'final_train')} signal experiments."
    )
    found = _comparisons(tables)
    if not found:
        return Found(theirs, "Commands: those of E1 to E6.", NOT_RUN)
    counts = [
        [
            other,
            *(sum(outcome == kind for _, outcome in found[other].values()) for kind in OUTCOMES),
        ]
        for other in GATED
    ]
    rows = [
        [name, found[GATED[0]][name][0].pairs]
        + [f"{p.mean:+.3g} ± {p.margin:.2g}, {outcome}" for p, outcome in
           (found[other][name] for other in GATED)]
        for name in found[GATED[0]]
    ]  # fmt: skip
    won = sum(outcome == "win" for each in found.values() for _, outcome in each.values())
    told = (
        f"To hold: it wins fewer than half of its comparisons with {' and '.join(GATED)}, over the "
        f"experiments with {ENOUGH} seeds or more in the sound mode; one in which the difference "
        "is not significant is a draw. Outcomes:"
        + grid(["FlipFlop against", *OUTCOMES], counts)
        + "FlipFlop less the other, paired by seed or fold, mean ± 95 % interval by Student's t: "
        "of curves the log10 of the lowest error on new copies, where less is better; of the "
        "stand-ins the test accuracy, where more is:"
        + grid(["experiment", "seeds", *GATED], rows)
        + f"It wins {won} of {len(GATED) * len(rows)}. Configs and commands: E1 to E7, E14, E15."
    )
    word = said(won < len(GATED) * len(rows) / 2)
    return Found(theirs, told, f"{word} ({len(rows)} experiments)")


def _comparisons(tables: Tables) -> dict[str, dict[str, tuple[Paired, str]]]:
    """By the other model and the experiment: the flip-flop net less it, and the outcome."""
    found: dict[str, dict[str, tuple[Paired, str]]] = {other: {} for other in GATED}

    def compare(title: str, values: Mapping[str, Sequence[float]], sign: int) -> None:
        for other in GATED:
            pair = paired(values["FlipFlop"], values[other])
            outcome = "draw"
            if significant(pair):
                outcome = "win" if sign * pair.mean > 0 else "loss"
            found[other][title] = pair, outcome

    for name in SETTINGS:
        if whole(runs := tables.runs(name, "sound")):
            best = {m: np.log10(of_model(runs, m, "best_ratio")).tolist() for m in PUBLISHED}
            compare(f"`{name}`", best, -1)
    for name, title in STAND_INS.items():
        if table := tables.read(name):
            compare(title, {m: of_model(table["runs"], m, "test") for m in PUBLISHED}, 1)
    return found if found[GATED[0]] else {}


def c3(tables: Tables) -> Found:
    names = names_of("E1")
    ratios = [
        tables.theirs[n]["FlipFlop"]["final_train"] / tables.theirs[n]["RNN"]["final_train"]
        for n in names
    ]

    def as_well(runs: Runs) -> bool:
        rnn, own = (float(np.mean(of_model(runs, m, "best_ratio"))) for m in ("RNN", "FlipFlop"))
        return rnn <= own + CLOSE

    verdict = first_other(
        judged(runs, functools.partial(as_well, runs))
        for runs in (tables.runs(n, "sound") for n in names)
    )
    return Found(
        f"Flip-flop over RNN, final training loss: {ratios[0]:.2f} with two classes, "
        f"{ratios[1]:.1f} with five.",
        f"To hold: the RNN's best epoch on new copies is at most {CLOSE:g} of the floor above the "
        "flip-flop net's, with two classes and with five. Numbers, config, command: E1; parameters:"
        " S3.",
        or_published(tables, names, verdict),
    )


def c4(tables: Tables) -> Found:
    name = "signal_gen/uniform_1"
    floor = SETTINGS[name].floor
    told = ", ".join(
        f"{m} {v['best_train'] / floor:.3g} (roughness {v['roughness_train_second_half']:.3g})"
        for m, v in tables.theirs[name].items()
    )
    theirs = f"Best epoch over the floor in `{name}`: {told}."
    none, (rough, less) = e2(tables).verdict, steady(tables, "E2", "roughness")
    told = (
        "To hold: none learns them, as E2 asks, and the roughness of the flip-flop net's training "
        "loss is below that of each other, significantly."
        + rough
        + " Numbers, config, command: E2."
    )
    return Found(theirs, told, both("none is satisfactory", none, "less noisy", less))


def c5(tables: Tables) -> Found:
    key, told = "best_val_accuracies", []
    four = tables.four("sent_analysis").values()
    for other in PUBLISHED[1:]:
        gap = [100 * (each["FlipFlop"][key] - each[other][key]) for each in four]
        told.append(f"{min(gap):+.1f} to {max(gap):+.1f} points against {other}")
    return Found(
        f"Best validation accuracy in {len(four)} experiments: {', '.join(told)}.",
        "See E3.",
        e3(tables).verdict,
    )


def c6(tables: Tables) -> Found:
    return Found("See E4.", "See E4.", e4(tables).verdict)


def c7(tables: Tables) -> Found:
    return Found("See E5.", "See E5.", e5(tables).verdict)


def c8(tables: Tables) -> Found:
    smoother, slower_ = (
        steady(tables, "E6", "roughness")[1],
        steady(tables, "E6", "mean", above=True),
    )
    told = (
        "See E6 for smoother. Slower: to hold, the mean of the error on new copies over all epochs "
        "is above that of each other model, significantly." + slower_[0] + " Config, command: E6."
    )
    return Found("See E6.", told, both("slower", slower_[1], "smoother", smoother))


def c9(tables: Tables) -> Found:
    theirs = "Their validation samples are among those trained on."
    found = {}
    for name in SETTINGS:
        runs = [r for m in PUBLISHED for r in tables.runs(name, "sound") if r["model"] == m]
        if whole(runs):
            gap = [math.log(r["held"]["final"] / r["train"]["final"]) for r in runs]
            rough = [math.log(max(r["train"]["roughness"], 1e-9)) for r in runs]
            found[name] = float(np.corrcoef(rough, gap)[0, 1])
    if len(found) < ENOUGH:
        return Found(theirs, "Needs the sound mode of E1 to E6: not run yet.", NEVER)
    pair = paired(list(found.values()), [0.0] * len(found))
    told = ", ".join(f"`{n}` {r:.2f}" for n, r in found.items())
    return Found(
        theirs,
        "On new copies. To hold: over the models and seeds of an experiment, the log of the "
        "roughness of the training loss goes with log(validation/training loss), so that who is "
        "smoother loses less on new copies: the correlation is above 0 in the mean over "
        f"experiments, significantly. {told}; all: {pair}. A loss far above the floor is smooth "
        "and loses little, so that this favours the claim. Configs and commands: E1, E2, E5 to "
        "E7, E14.",
        f"{said(pair.mean > 0 and significant(pair))} ({len(found)} experiments)",
    )


def c19(tables: Tables) -> Found:
    table = tables.read("sound/inference")
    if not table:
        return Found()
    runs = table["runs"]
    rows, infers = [], {}
    for m in model_names(runs):
        gain, apart = of_model(runs, m, "gain"), of_model(runs, m, "apart")
        infers[m] = min(gain) >= GAIN and max(apart) <= APART
        cells = (of_model(runs, m, key) for key in ("loss", "exact", "without memory"))
        rows.append([m, len(gain), *(spread(v) for v in cells), spread(gain, 3), spread(apart, 2)])
    head = ["model", "seeds", "net", "exact filter", "without memory", "gain", "apart"]
    told = (
        "Nets see a two-state chain through noise and say the chance of a 1. Beside them, on new "
        "trials, are the exact filter, and an observer that knows the chain and this step alone. "
        f"To hold, of the flip-flop net and the LSTM: in every seed its gain over the latter is at "
        f"least {GAIN:g} of the exact filter's, and its probabilities are within {APART:g} of the "
        "exact ones, root mean square. Cross-entropy, nats a step; share of the gain; root mean "
        "square of the difference:"
        + grid(head, rows)
        + config_of(table["setting"])
        + "Command: `python -m neuroflip.sims.paper.inference`. That a neuron is an exact "
        "predictor: S13. That brains infer was tested neither there nor here."
    )
    if seed_count(runs) < ENOUGH or not {"FlipFlop", "LSTM"} <= infers.keys():
        return Found("", told, partial(f"{seed_count(runs)} seeds"))
    word = said(infers["FlipFlop"] and infers["LSTM"])
    each = ", ".join(f"{m}: {said(yes)}" for m, yes in infers.items())
    return Found("", told, f"{word} (of nets on a two-state chain, {each}; of brains it {NEVER})")


def c20(tables: Tables) -> Found:
    theirs = slower(tables) + " Interference: E5."
    table = tables.read("timing")
    command = "Command: `python -m neuroflip.sims.paper.timing`."
    resists, word = _resists(tables)
    if not table:
        return Found(theirs, command + resists, NOT_RUN)
    rows = [
        [f"`{n}`", f"{r['FlipFlop/LSTM']:.2f}", f"{r['authors']:.1f}",
         f"{r['authors'] / r['FlipFlop/LSTM']:.0f}"]
        for n, r in table["experiments"].items()
    ]  # fmt: skip
    told = "Time of an epoch:" + grid(
        ["experiment", "FlipFlop/LSTM", "the authors'", "shorter by"], rows
    )
    fast = said(max(r["FlipFlop/LSTM"] for r in table["experiments"].values()) < 1)
    fast += f", one thread, our layer; in the authors' runs it {FAILS}"
    if word == NOT_RUN:
        return Found(theirs, told + command + resists, partial(f"fast: {fast}"))
    total = said(fast.startswith(HOLDS) and word == HOLDS)
    verdict = f"{total} (fast: {fast}; resists interference within a trial: {word})"
    return Found(theirs, told + command + resists, verdict)


def _resists(tables: Tables) -> tuple[str, str]:
    """Recall among distractors stronger than those trained with, beside the LSTM; the verdict."""
    table = tables.read("sound/retention")
    if not table:
        return " Interference: E5, not run yet.", NOT_RUN
    runs, strengths = table["runs"], table["strengths"]
    stronger = [place for place, s in enumerate(strengths) if s > 1]
    recall = {
        m: np.mean([of_model(runs, m, "strength", place) for place in stronger], axis=0).tolist()
        for m in ("FlipFlop", "LSTM", "LSTM, chrono")
        if of_model(runs, m, "seed")
    }
    pairs = {m: paired(recall["FlipFlop"], v) for m, v in recall.items() if m != "FlipFlop"}
    told = (
        " Interference within a trial (E5): to hold, with distractors stronger than those trained "
        f"with, {' and '.join(f'{strengths[place]:g}' for place in stronger)} times the bit, it "
        "recalls more than the LSTM, significantly, also where that begins as the flip-flop layer "
        "does, to hold (chrono). Share recalled, FlipFlop less LSTM: "
    )
    told += "; ".join(f"{m} {pair}" for m, pair in pairs.items()) + "."
    return told, said(all(pair.mean > 0 and significant(pair) for pair in pairs.values()))
