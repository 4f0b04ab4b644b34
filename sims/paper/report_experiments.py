"""Systems and experiments of the founding paper: what the stored tables say."""

import math

import numpy as np

from neuroflip.sims.paper.experiments import SETTINGS
from neuroflip.sims.paper.items import HOLDS, NEVER, NOT_RUN
from neuroflip.sims.paper.models import PUBLISHED, Sequential, count
from neuroflip.sims.paper.paired import paired
from neuroflip.sims.paper.report_tables import (
    NEAR,
    Found,
    Tables,
    config_of,
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


def e1(tables: Tables) -> Found:
    names = ["signal_gen/sinusoidal_0", "signal_gen/sinusoidal_1"]
    runs = tables.runs(names[0], "sound")
    verdict = judged(runs, lambda: float(np.mean(of_model(runs, "FlipFlop", "ratio"))) <= NEAR)
    return Found(
        "Final training loss, one seed:" + stored_losses(tables, names, "final_train"),
        losses(tables, names)
        + " Flip-flop layers begin as published, in both modes: chosen after the start that "
        "favours holding had stayed near the error of a constant on `signal_gen/sinusoidal_0`.",
        or_published(tables, names, verdict),
    )


def e2(tables: Tables) -> Found:
    names = names_of("E2")
    runs = tables.runs(names[1], "sound")
    final = {m: of_model(runs, m, "ratio") for m in model_names(runs)}
    verdict = judged(runs, lambda: all(np.mean(final[m]) > NEAR for m in PUBLISHED))
    floors = ", ".join(f"`{n}` {SETTINGS[n].floor:g}" for n in names)
    return Found(
        "Final training loss:" + stored_losses(tables, names, "final_train")
        + "Best epoch:" + stored_losses(tables, names, "best_train") + f"Floor: {floors}.",
        losses(tables, names),
        or_published(tables, names, verdict),
    )  # fmt: skip


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
    means = {m: float(np.mean(v)) for m, v in test.items()}
    words = max(table["bag_of_words"].values(), key=lambda v: float(np.mean(v)))
    near = means["FlipFlop"] >= max(means["LSTM"], means["GRU"]) - 0.01
    rows = [[m, len(v), spread(v, 3)] for m, v in test.items()]
    told = (
        "**No reproduction of IMDB**: single rated sentences from reviews stand in for it."
        + grid(["model", "seeds (folds)", "test accuracy"], rows)
        + f"Bag of words with logistic regression, the better of its strengths: {spread(words, 3)}"
        f", {'above' if np.mean(words) > means['FlipFlop'] else 'below'} the flip-flop net's mean. "
        "To hold: within a point of LSTM and GRU, or above; five points above the RNN. "
        "Settings were chosen while some test folds were looked at. "
        + config_of(table["setting"])
        + "Command: `python -m neuroflip.sims.paper.sentiment`. "
        + command
    )
    good = near and means["FlipFlop"] > means["RNN"] + 0.05
    n = seed_count(runs)
    word = f"on a stand-in for IMDB, {n} seeds, it {said(good)}"
    return Found(theirs, told, partial(word))


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
    told += " On UCF11: `python -m neuroflip.sims.paper.clips --ucf11 PATH`, not run yet."
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


def _steady(tables: Tables, item: str, key: str) -> tuple[str, str]:
    """Is the flip-flop's the smallest over the sound runs of an item? Told, and the verdict.
    Compared seed by seed, by the mean logarithm over experiments."""
    names = names_of(item)
    done = [n for n in names if whole(tables.runs(n, "sound"))]
    if not done:
        return "", NOT_RUN
    value = {
        m: np.mean(
            [
                [
                    math.log10(max(v, 1e-9))
                    for v in of_model(tables.runs(n, "sound"), m, "train", key)
                ]
                for n in done
            ],
            axis=0,
        )
        for m in PUBLISHED
    }
    pairs = {m: paired(value["FlipFlop"], value[m]) for m in PUBLISHED[1:]}
    told = f" log10 of {key.replace('_', ' ')}, FlipFlop less others, by seed: " + "; ".join(
        f"{m} {pair}" for m, pair in pairs.items()
    )
    word = said(all(pair.mean < 0 and significant(pair) for pair in pairs.values()))
    if len(done) < len(names):
        word = partial(f"{len(done)} of {len(names)} experiments; there it {word}")
    return told + ".", word


def e5(tables: Tables) -> Found:
    four = tables.four("mem_retention")
    told, verdict = _steady(tables, "E5", "largest_rise")
    return Found(
        f"The flip-flop net's largest upward jump is the smallest in "
        f"{lowest(four, 'largest_rise_train')} experiments, its roughness in "
        f"{lowest(four, 'roughness_train_second_half')}, its final loss in "
        f"{lowest(four, 'final_train')}; its median final loss is "
        f"{np.median([m['FlipFlop']['final_train'] for m in four.values()]):.3g} (floor "
        f"{SETTINGS['mem_retention/exp_1'].floor:g}). Their interferers are classes of their "
        "own in trials of their own.",
        losses(tables, names_of("E5")) + told + _within(tables),
        or_published(tables, names_of("E5"), verdict),
    )


def e6(tables: Tables) -> Found:
    four = tables.four("working_mem")
    told, verdict = _steady(tables, "E6", "roughness")
    return Found(
        f"The flip-flop net's roughness is the smallest in "
        f"{lowest(four, 'roughness_train_second_half')} experiments, its final loss in "
        f"{lowest(four, 'final_train')}. Final training loss:"
        + stored_losses(tables, list(four), "final_train"),
        losses(tables, names_of("E6")) + told,
        or_published(tables, names_of("E6"), verdict),
    )


def _noise(tables: Tables, item: str) -> Found:
    names = names_of(item)
    ratios = grid(
        ["experiment", "noise", "classes", *PUBLISHED],
        [
            [f"`{n}`", SETTINGS[n].noise, len(SETTINGS[n].counts)]
            + [f"{tables.theirs[n][m]['final_train'] / SETTINGS[n].floor:.3g}" for m in PUBLISHED]
            for n in names
        ],
    )
    done = [n for n in names if tables.runs(n, "sound") or tables.runs(n, "published")]
    return Found(
        "Final training loss over the floor:" + ratios,
        losses(tables, names),
        NOT_RUN if not done else partial(f"{len(done)} of {len(names)} experiments"),
    )


def e14(tables: Tables) -> Found:
    return _noise(tables, "E14")


def e15(tables: Tables) -> Found:
    return _noise(tables, "E15")


def e16(tables: Tables) -> Found:
    names = ", ".join(f"`{n}`" for n in (*tables.four("sent"), *tables.four("signal_gen")))
    parts = [e1(tables), e2(tables), e3(tables)]
    waits = any(part.verdict.startswith(NOT_RUN) for part in parts)
    return Found(
        f"Numbers in E1, E2 and E3: {names}.",
        "Numbers, as far as there are any, in E1, E2 and E3.",
        NOT_RUN if waits else HOLDS,
    )
