"""Claims and future work of the founding paper: what the stored tables say."""

import math

import numpy as np

from neuroflip.sims.paper.experiments import SETTINGS
from neuroflip.sims.paper.items import FAILS, NEVER, NOT_RUN
from neuroflip.sims.paper.models import PUBLISHED, Sequential, count
from neuroflip.sims.paper.paired import Paired, paired
from neuroflip.sims.paper.report_experiments import clips, e2, e3, e4, e5, e6, slower
from neuroflip.sims.paper.report_tables import (
    Found,
    Tables,
    grid,
    judged,
    lowest,
    of_model,
    or_published,
    partial,
    said,
    seed_count,
    whole,
)


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


def c2(tables: Tables) -> Found:
    four = {n: m for n, m in tables.four("").items() if not n.startswith("sent")}
    rows: list[tuple[str, str, Paired]] = []
    for name, title in (
        ("sentiment-snippets", "review snippets (stand-in)"),
        ("actions-watch", "smartwatch exercises (stand-in)"),
    ):
        runs = (tables.read(name) or {"runs": []})["runs"]
        for other in ("LSTM", "GRU") if runs else ():
            pair = paired(of_model(runs, "FlipFlop", "test"), of_model(runs, other, "test"))
            rows.append((title, other, pair))
    ahead = sum(pair.mean > 0 for _, _, pair in rows)
    told = "Test accuracy, FlipFlop less the other, fold by fold:" + grid(
        ["data", "other", "difference"], rows
    )
    told += f"Ahead in the mean in {ahead} of {len(rows)}. Signal experiments: E1 to E6, E15."
    if not rows:
        return Found("", "See E1 to E6, E15.", NOT_RUN)
    return Found(
        "Its final training loss is the lowest of the four in "
        f"{lowest(four, 'final_train')} signal experiments.",
        told,
        partial(f"on stand-ins, {rows[-1][2].pairs} folds, it {said(ahead < len(rows))}"),
    )


def c3(tables: Tables) -> Found:
    names = ["signal_gen/sinusoidal_0", "signal_gen/sinusoidal_1"]
    ratios = [
        tables.theirs[n]["FlipFlop"]["final_train"] / tables.theirs[n]["RNN"]["final_train"]
        for n in names
    ]
    runs = tables.runs(names[0], "sound")
    verdict = judged(
        runs,
        lambda: bool(
            np.mean(of_model(runs, "RNN", "ratio"))
            <= np.mean(of_model(runs, "FlipFlop", "ratio")) + 0.05
        ),
    )
    return Found(
        f"Flip-flop over RNN, final training loss: {ratios[0]:.2f} with two classes, "
        f"{ratios[1]:.1f} with five.",
        "See E1.",
        or_published(tables, names, verdict),
    )


def c4(tables: Tables) -> Found:
    name = "signal_gen/uniform_1"
    floor = SETTINGS[name].floor
    told = ", ".join(
        f"{m} {v['best_train'] / floor:.3g} (roughness {v['roughness_train_second_half']:.3g})"
        for m, v in tables.theirs[name].items()
    )
    return Found(f"Best epoch over the floor in `{name}`: {told}.", "See E2.", e2(tables).verdict)


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
    word = e6(tables).verdict
    return Found(
        "See E6.",
        "See E6. How fast it learns is not computed yet.",
        word if word.startswith(NOT_RUN) else f"{word} (smoother; how fast is not computed)",
    )


def c9(tables: Tables) -> Found:
    theirs = "Their validation samples are among those trained on."
    command = "Needs the sound mode of E1 to E6, which has new copies to validate on"
    found = {}
    for name in SETTINGS:
        runs = [r for m in PUBLISHED for r in tables.runs(name, "sound") if r["model"] == m]
        if whole(runs):
            gap = [math.log(r["held"]["final"] / r["train"]["final"]) for r in runs]
            rough = [math.log(max(r["train"]["roughness"], 1e-9)) for r in runs]
            found[name] = float(np.corrcoef(rough, gap)[0, 1])
    if not found:
        return Found(theirs, f"{command}: not run yet.", NEVER)
    told = ", ".join(f"`{n}` {r:.2f}" for n, r in found.items())
    return Found(
        theirs,
        f"{command}. Correlation over models and seeds of log roughness and log(validation/"
        f"training loss): {told}.",
        f"{NEVER} (partial: correlations of {len(found)} experiments here)",
    )


def c20(tables: Tables) -> Found:
    theirs = slower(tables) + " Interference: E5."
    table = tables.read("timing")
    command = "Command: `python -m neuroflip.sims.paper.timing`. Interference: E5."
    if not table:
        return Found(theirs, command, NOT_RUN)
    rows = [
        [f"`{n}`", f"{r['FlipFlop/LSTM']:.2f}", f"{r['authors']:.1f}",
         f"{r['authors'] / r['FlipFlop/LSTM']:.0f}"]
        for n, r in table["experiments"].items()
    ]  # fmt: skip
    told = "Time of an epoch:" + grid(
        ["experiment", "FlipFlop/LSTM", "the authors'", "shorter by"], rows
    )
    faster = max(r["FlipFlop/LSTM"] for r in table["experiments"].values()) < 1
    word = f"{said(faster)} (speed, one thread, our layer; in the authors' runs it {FAILS}"
    return Found(theirs, told + command, word + f"; interference {NOT_RUN})")


def w2(tables: Tables) -> Found:
    runs = (tables.read("clips-moving-shapes") or {"runs": []})["runs"]
    told = clips(tables) + " Maps of states and ablation of regions have no command yet."
    return Found(
        ours=told,
        verdict=partial(f"shuffled frames, {seed_count(runs)} seeds") if runs else NOT_RUN,
    )
