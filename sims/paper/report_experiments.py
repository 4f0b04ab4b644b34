"""Systems and experiments of the founding paper: what the stored tables say."""

import math
from collections.abc import Callable

import numpy as np

from neuroflip.sims.paper.experiments import SETTINGS
from neuroflip.sims.paper.items import FAILS, HOLDS, NEVER, NOT_RUN
from neuroflip.sims.paper.measures import over_epochs
from neuroflip.sims.paper.models import PUBLISHED, Sequential, count
from neuroflip.sims.paper.paired import paired
from neuroflip.sims.paper.report_tables import (
    NEAR,
    Found,
    Runs,
    Tables,
    config_of,
    first_other,
    grid,
    judged,
    losses,
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
    stored_losses,
    whole,
)
from neuroflip.sims.paper.sentiment import ORIGINAL, sizes


def s2(tables: Tables) -> Found:
    return Found(theirs=slower(tables))


def s3(tables: Tables) -> Found:
    theirs = tables.theirs["signal_gen/sinusoidal_0"]
    rows = [[m, theirs[m]["num_params"], count(Sequential(m, 2, 64, 1))] for m in PUBLISHED]
    return Found(
        "Parameters with 64 units and two classes, beside ours below.",
        grid(["model", "their parameters", "ours"], rows)
        + "One harness for all, same data and seeds: `tests/sims/paper/test_models.py`, "
        "`tests/sims/paper/test_harness.py`. Clipping acts at every update.",
        said(all(row[1] == row[2] for row in rows)),
    )


def slower(tables: Tables) -> str:
    ratios = [
        m["FlipFlop"]["seconds"] / m["LSTM"]["seconds"]
        for m in tables.theirs.values()
        if {"FlipFlop", "LSTM"} <= m.keys()
    ]
    return (
        f"An epoch of the flip-flop net took as long as {np.median(ratios):.0f} of the LSTM "
        f"(median; {min(ratios):.1f} to {max(ratios):.0f} in {len(ratios)} experiments)."
    )


def clips(tables: Tables) -> str:
    table = tables.read("clips-moving-shapes")
    if not table:
        return "Not run yet: `python -m neuroflip.sims.paper.clips`."
    runs = table["runs"]
    rows = [
        [
            m,
            len(of_model(runs, m, "test")),
            *(spread(of_model(runs, m, k), 3) for k in ("test", "shuffled")),
        ]
        for m in model_names(runs)
    ]
    return (
        "Synthetic clips of moving shapes, 12 classes, where the order of frames decides:"
        + grid(["model", "seeds", "test accuracy", "frames shuffled"], rows)
        + config_of(table["setting"])
        + "Command: `python -m neuroflip.sims.paper.clips`."
    )


def s4(tables: Tables) -> Found:
    runs = (tables.read("clips-moving-shapes") or {"runs": []})["runs"]
    ok = bool(runs) and min(of_model(runs, "ConvFlipFlop2d", "test")) > 0.5 > max(
        of_model(runs, "ConvFlipFlop2d", "shuffled")
    )
    return Found(
        ours="`ConvFlipFlop2d`, with `ConvLSTM2d` beside it: gates are convolutions and the state "
        "goes from frame to frame, `tests/rate/test_conv.py`. " + clips(tables),
        verdict=said(ok) if runs else NOT_RUN,
    )


def _mean(values: list[float]) -> float:
    return float(np.mean(values))


def within(runs: Runs) -> list[str]:
    """The models whose best epoch on new copies is near the floor, in the mean over seeds."""
    return [
        m
        for m in PUBLISHED
        if m in model_names(runs) and _mean(of_model(runs, m, "best_ratio")) <= NEAR
    ]


def e1(tables: Tables) -> Found:
    names = names_of("E1")
    runs = tables.runs(names[0], "sound")
    verdict = judged(runs, lambda: "FlipFlop" in within(runs))
    return Found(
        "Final training loss, one seed:" + stored_losses(tables, names, "final_train"),
        losses(tables, names)
        + f" To hold: the best epoch on new copies within {NEAR} of the floor; the learning rate "
        "is constant, so that the loss goes on jumping, and the last epoch is where it happens to "
        "be. Flip-flop layers begin as published, in both modes: chosen after the start that "
        "favours holding had stayed near the error of a constant on `signal_gen/sinusoidal_0`.",
        or_published(tables, names, verdict),
    )


def e2(tables: Tables) -> Found:
    names = names_of("E2")
    near = {n: within(tables.runs(n, "sound")) for n in names}
    verdict = first_other(judged(tables.runs(n, "sound"), _none(near[n])) for n in names)
    if verdict == FAILS:
        told = (f"{' and '.join(models)} on `{n}`" for n, models in near.items() if models)
        verdict += f" ({', '.join(told)})"
    floors = ", ".join(f"`{n}` {SETTINGS[n].floor:g}" for n in names)
    return Found(
        "Final training loss:" + stored_losses(tables, names, "final_train")
        + "Best epoch:" + stored_losses(tables, names, "best_train") + f"Floor: {floors}.",
        losses(tables, names)
        + f" To hold: in both, no model's best epoch on new copies is within {NEAR} of the floor, "
        "which is what E1 calls learnt.",
        or_published(tables, names, verdict),
    )  # fmt: skip


def _none(models: list[str]) -> Callable[[], bool]:
    return lambda: not models


def e3(tables: Tables) -> Found:
    names = list(tables.four("sent_analysis"))
    theirs = "Best validation accuracy on IMDB, one seed:" + stored_losses(
        tables, names, "best_val_accuracies"
    )
    table = tables.read("sentiment-snippets")
    command = "On IMDB itself: `python -m neuroflip.sims.paper.sentiment --imdb PATH`, not run yet."
    if not table:
        return Found(theirs, command, NOT_RUN)
    runs = table["runs"]
    test = {m: of_model(runs, m, "test") for m in model_names(runs)}
    words = max(table["bag_of_words"].values(), key=_mean)
    beside = "above" if _mean(words) > _mean(test["FlipFlop"]) else "below"
    rows = [[m, len(v), spread(v, 3)] for m, v in test.items()]
    told = (
        "**No reproduction of IMDB**: single rated sentences from reviews stand in for it."
        + grid(["model", "seeds (folds)", "test accuracy"], rows)
        + f"Bag of words with logistic regression, the better of its strengths: {spread(words, 3)}"
        f", {beside} the flip-flop net's mean. "
        + (_too_few_sentences(runs) if beside == "above" else "")
        + "To hold: within a point of LSTM and GRU, or above; five points above the RNN. "
        "Settings were chosen while some test folds were looked at. "
        + config_of(table["setting"])
        + "Command: `python -m neuroflip.sims.paper.sentiment`. "
        + command
    )
    word = f"on a stand-in for IMDB, {seed_count(runs)} seeds, it {said(_matches(runs))}"
    return Found(theirs, told, partial(word))


def _too_few_sentences(runs: Runs) -> str:
    """Why nets stay below the bag of words, as their curves show."""
    own = [run["curves"] for run in runs if run["model"] == "FlipFlop"]
    least = [min(curve["held"]) for curve in own]
    when = [curve["held"].index(low) + 1 for curve, low in zip(own, least, strict=True)]
    return (
        "Nets learn their word vectors from these sentences alone, and overfit: "
        f"over {len(own[0]['held'])} epochs the flip-flop net's training loss falls to "
        f"{_mean([curve['train'][-1] for curve in own]):.2f}, while that on held-out sentences is "
        f"least, {_mean(least):.2f}, at epoch {min(when)} to {max(when)} and ends at "
        f"{_mean([curve['held'][-1] for curve in own]):.2f}; LSTM and GRU do alike. "
    )


def _matches(runs: Runs) -> bool:
    """Within a point of the larger nets, and five above the RNN."""
    mean = {m: _mean(of_model(runs, m, "test")) for m in PUBLISHED}
    near = mean["FlipFlop"] >= max(mean["LSTM"], mean["GRU"]) - 0.01
    return near and mean["FlipFlop"] > mean["RNN"] + 0.05


def e4(tables: Tables) -> Found:
    theirs = (
        "Their two nets are the same 3-D convolution but for dropout, without a recurrent layer; "
        "no loss of theirs is among the stored ones here."
    )
    told = ""
    if table := tables.read("actions-watch"):
        runs = table["runs"]
        rows = [
            [m, seed_count(runs), spread(of_model(runs, m, "test"), 3)] for m in model_names(runs)
        ]
        told = (
            "**No reproduction of UCF11.** Seven exercises seen by a smartwatch, tested on people "
            "not trained on:"
            + grid(["model", "seeds (folds)", "test accuracy"], rows)
            + f"Logistic regression on statistics of the windows: {spread(table['baseline'], 3)}. "
            "Settings were chosen while some test folds were looked at. "
            + config_of(table["setting"])
            + "Command: `python -m neuroflip.sims.paper.actions`.\n\n"
        )
    told += clips(tables)
    told += " On UCF11: `python -m neuroflip.sims.paper.clips --ucf11 PATH`, not run yet. There is "
    told += "no `--as-published` of it, which would compare a net with itself."
    runs = (tables.read("clips-moving-shapes") or {"runs": []})["runs"]
    if not runs:
        return Found(theirs, told, NEVER)
    pair = paired(of_model(runs, "ConvLSTM2d", "test"), of_model(runs, "ConvFlipFlop2d", "test"))
    told += f" ConvLSTM2d less ConvFlipFlop2d on the moving shapes: {pair}."
    word = f"it {said(pair.mean > 0 and significant(pair))}"
    if min(of_model(runs, "ConvFlipFlop2d", "test")) > 0.98:
        word = "both nets are near the ceiling"
    return Found(theirs, told, f"{NEVER} (on moving shapes, not UCF11, {word})")


def _within(tables: Tables) -> str:
    """Recall among distractors within a trial."""
    command = "`python -m neuroflip.sims.paper.retention`"
    table = tables.read("sound/retention")
    if not table:
        return f" Interference within a trial: {command}, not run yet."
    runs = table["runs"]
    rows = [
        [m, len(of_model(runs, m, "seed"))]
        + [
            spread(of_model(runs, m, "strength", place), 3)
            for place in range(len(table["strengths"]))
        ]
        for m in model_names(runs)
    ]
    return (
        f"\n\nInterference within a trial ({command}): share of bits recalled among "
        f"{table['distractors']} distractors, by their strength:"
        + grid(["model", "seeds", *(f"{s:g}" for s in table["strengths"])], rows)
    )


def steady(tables: Tables, item: str, key: str, above: bool = False) -> tuple[str, str]:
    """Is the flip-flop's the smallest, or the largest, over the sound runs of an item? Told, and
    the verdict. Compared seed by seed, by the mean logarithm over experiments.

    key: of the training loss; or "mean", that of the error on new copies over the epochs.
    """
    names = names_of(item)
    done = [n for n in names if whole(tables.runs(n, "sound"))]
    if not done:
        return "", NOT_RUN
    value = {m: np.mean([_logs(tables.runs(n, "sound"), m, key) for n in done], axis=0)
             for m in PUBLISHED}  # fmt: skip
    pairs = {m: paired(value["FlipFlop"], value[m]) for m in PUBLISHED[1:]}
    told = f" log10 of {key.replace('_', ' ')}, FlipFlop less others, by seed: " + "; ".join(
        f"{m} {pair}" for m, pair in pairs.items()
    )
    word = said(all((pair.mean > 0) == above and significant(pair) for pair in pairs.values()))
    if len(done) < len(names):
        word = partial(f"{len(done)} of {len(names)} experiments; there it {word}")
    return told + ".", word


def _logs(runs: Runs, model: str, key: str) -> list[float]:
    if key != "mean":
        values = of_model(runs, model, "train", key)
    else:
        values = [
            over_epochs(run["epochs"], run["curves"]["held"])
            for run in sorted(runs, key=lambda each: int(each["seed"]))
            if run["model"] == model
        ]
    return [math.log10(max(v, 1e-9)) for v in values]


def e5(tables: Tables) -> Found:
    four = tables.four("mem_retention")
    told, verdict = steady(tables, "E5", "largest_rise")
    told += steady(tables, "E5", "roughness")[0]
    return Found(
        f"The flip-flop net's largest upward jump is the smallest in "
        f"{lowest(four, 'largest_rise_train')} experiments, its roughness in "
        f"{lowest(four, 'roughness_train_second_half')}, its final loss in "
        f"{lowest(four, 'final_train')}; its median final loss is "
        f"{np.median([m['FlipFlop']['final_train'] for m in four.values()]):.3g} (floor "
        f"{SETTINGS['mem_retention/exp_1'].floor:g}). Their interferers are classes of their "
        "own in trials of their own.",
        losses(tables, names_of("E5"))
        + " To hold: the flip-flop net's largest rise is below that of each other, significantly."
        + told
        + _within(tables),
        or_published(tables, names_of("E5"), verdict),
    )


def e6(tables: Tables) -> Found:
    four = tables.four("working_mem")
    told, verdict = steady(tables, "E6", "roughness")
    return Found(
        f"The flip-flop net's roughness is the smallest in "
        f"{lowest(four, 'roughness_train_second_half')} experiments, its final loss in "
        f"{lowest(four, 'final_train')}. Final training loss:"
        + stored_losses(tables, list(four), "final_train"),
        losses(tables, names_of("E6"))
        + _capacity(tables)
        + " To hold: the flip-flop net's roughness is below that of each other, significantly; how "
        "fast it learns: C8." + told,
        or_published(tables, names_of("E6"), verdict),
    )


def _capacity(tables: Tables) -> str:
    """How many seeds come near the floor, by the length of a curve and the number of classes."""
    rows = []
    size = {name: SETTINGS[name].counts + (SETTINGS[name].steps,) for name in names_of("E6")}
    for name in sorted(size, key=lambda name: size[name]):
        if runs := tables.runs(name, "sound"):
            which = SETTINGS[name]
            near = (np.array(of_model(runs, m, "best_ratio")) <= NEAR for m in PUBLISHED)
            shares = (f"{found.sum()} of {found.size}" for found in near)
            rows.append([which.steps, len(which.counts), which.counts[0], *shares])
    if not rows:
        return ""
    return (
        f" Capacity: seeds whose best epoch in the sound mode is within {NEAR} of the floor:"
        + grid(["steps", "classes", "copies", *PUBLISHED], rows)
    )


def _robust(tables: Tables, names: list[str]) -> str:
    """The error of trained nets under noise at test time, in that without it."""
    rows = []
    for name in names:
        for m in model_names(runs := tables.runs(name, "sound")):
            clean = np.array(of_model(runs, m, "held", "final"))
            noisy = (
                spread(list(np.array(of_model(runs, m, "robustness", kind, s)) / clean), 3)
                for kind in ("weights", "inputs")
                for s in _SHOWN
            )
            rows.append([f"`{name}`", SETTINGS[name].noise, m, *noisy])
    if not rows:
        return ""
    head = [f"{kind}, {s}" for kind in ("weights", "inputs") for s in _SHOWN]
    return (
        " Noise at test time, in the sound mode: the error over that without it, with recurrent "
        "weights w (1 + s n) or with s n added to the inputs, n standard normal:"
        + grid(["experiment", "noise", "model", *head], rows)
    )


_SHOWN = ("0.03", "0.1")
"""The strengths s of noise at test time that are shown."""


def _noise(tables: Tables, item: str) -> tuple[list[str], Found]:
    """The experiments of an item that are done, and what is told of all, but for a verdict."""
    names = names_of(item)
    ratios = grid(
        ["experiment", "noise", "classes", *PUBLISHED],
        [
            [f"`{n}`", SETTINGS[n].noise, len(SETTINGS[n].counts)]
            + [f"{tables.theirs[n][m]['final_train'] / SETTINGS[n].floor:.3g}" for m in PUBLISHED]
            for n in names
        ],
    )
    done = [n for n in names if whole(tables.runs(n, "sound"))]
    return done, Found("Final training loss over the floor:" + ratios, losses(tables, names))


def e14(tables: Tables) -> Found:
    done, found = _noise(tables, "E14")
    names = names_of("E14")
    ours = found.ours + (
        f" To hold: with every noise the flip-flop net's best epoch on new copies is within {NEAR} "
        "of the floor; one where it is not is enough to fail." + _robust(tables, names)
    )
    far = [n for n in done if "FlipFlop" not in within(tables.runs(n, "sound"))]
    ran = f"{len(done)} of {len(names)} experiments"
    if far:
        verdict = f"{FAILS} (in {len(far)} of {len(done)} run, of {len(names)})"
    elif len(done) < len(names):
        verdict = partial(f"{ran}; there it holds") if done else NOT_RUN
    else:
        verdict = HOLDS
    return Found(found.theirs, ours, verdict)


def e15(tables: Tables) -> Found:
    done, found = _noise(tables, "E15")
    names = names_of("E15")
    ours = found.ours + " Nothing is concluded from these; to hold, they need only be run."
    verdict = f"{HOLDS} (shown, no claim)"
    if len(done) < len(names):
        verdict = partial(f"{len(done)} of {len(names)} experiments") if done else NOT_RUN
    return Found(found.theirs, ours, verdict)


def _more(tables: Tables) -> str:
    """What the authors' flip-flop nets for sentiment have beyond a flip-flop layer."""
    more = []
    for name, which in sizes().items():
        models, h = tables.theirs[f"sent_analysis/{name}"], which["hidden"]
        # J and K for the one gate of the RNN, with one bias for its two
        layer = h * (which["embedding"] + h)
        more.append(models["FlipFlop"]["num_params"] - models["RNN"]["num_params"] - layer)
        if more[-1] != h * (h + 1):
            return ""
    return (
        " In all four sizes of sentiment net, the flip-flop net has H (H + 1) parameters more than "
        f"with H units in place of the RNN's ({', '.join(map(str, more))}): very probably another "
        "linear layer, which the other three and ours do not have."
    )


def e16(tables: Tables) -> Found:
    rows, same = [], []
    for name in tables.four("sent"):
        size = name.partition("/")[2]
        table = tables.read("sentiment-snippets" + f"-{size}" * (size != ORIGINAL))
        if table and whole(runs := table["runs"]):
            same.append(_matches(runs))
            cells = [spread(of_model(runs, m, "test"), 3) for m in PUBLISHED]
            which = table["setting"]
            rows.append(
                [f"`{size}`", which["hidden"], which["embedding"], seed_count(runs), *cells]
            )
    drawn = {n: tables.runs(n, "sound") for n in tables.four("signal_gen")}
    near = {n: within(runs) for n, runs in drawn.items() if whole(runs)}
    asked = {
        "sinusoids": ["FlipFlop" in models for n, models in near.items() if n in names_of("E1")],
        "uniform curves": [not models for n, models in near.items() if n in names_of("E2")],
        "sentiment, on a stand-in for IMDB": same,
    }
    told = (
        "To hold: what E1, E2 and E3 ask is so in each of the eight. Of curves, numbers, config "
        "and command are in E1 and E2. Of sentiment, **on a stand-in for IMDB**, with the authors' "
        "sizes of net, all else as in E3, test accuracy:"
        + grid(["sizes", "units", "embedding", "seeds (folds)", *PUBLISHED], rows)
        + "Command: `python -m neuroflip.sims.paper.sentiment --sizes NAME`."
    )
    answers = [yes for each in asked.values() for yes in each]
    names = [*tables.four("sent"), *drawn]
    word = said(all(answers)) if len(answers) == len(names) or not all(answers) else NOT_RUN
    parts = "; ".join(f"{name}: {sum(each)} of {len(each)}" for name, each in asked.items())
    listed = ", ".join(f"`{name}`" for name in names)
    return Found(
        f"Numbers in E1, E2 and E3: {listed}.{_more(tables)}",
        told,
        f"{word} (as asked, {parts})" if answers else NOT_RUN,
    )
