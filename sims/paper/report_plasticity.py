"""Plasticity in the founding paper: what the stored tables say of rules and what they change."""

from typing import Any

import numpy as np

from neuroflip.sims.paper import plasticity, plasticity_signals
from neuroflip.sims.paper.experiments import SETTINGS
from neuroflip.sims.paper.items import FAILS, NOT_RUN
from neuroflip.sims.paper.paired import paired
from neuroflip.sims.paper.report_tables import (
    ENOUGH,
    Found,
    Tables,
    config_of,
    grid,
    losses,
    partial,
    said,
    significant,
    spread,
)
from neuroflip.tasks.signals import curves


def conditions(tables: Tables, part: str) -> dict[str, dict[str, Any]]:
    table = tables.read(f"e7_{part}")
    return plasticity.summary(table) if table else {}


def compared(tables: Tables, part: str, base: str) -> str:
    """All conditions of a part, with the comparison with one of them."""
    command = f"Command: `python -m neuroflip.sims.paper.plasticity {part}`."
    rows = conditions(tables, part)
    if not rows:
        return f"Not run yet. {command}"
    measures = list(next(iter(rows.values()))["measures"])[:4]
    lines = []
    for name, row in rows.items():
        pair = row["against"].get(base)
        beside = f"{pair.mean:+.3g}, d = {pair.effect:.2g}, p = {pair.p:.2g}" if pair else ""
        cells = [spread(row["measures"][m], 3) for m in measures]
        lines.append([name, len(row["seeds"]), *cells, beside])
    head = ["condition", "seeds", *measures, f"{measures[0]} less that of {base}"]
    config = (tables.read(f"e7_{part}") or {})["config"]
    return grid(head, lines) + config_of(config) + command


def collapse(tables: Tables) -> str:
    """The authors' two rules beside what a constant, and a rhythm of two steps, leave as error."""
    which = SETTINGS["learning_rules/exp_2"]
    theirs = {m: v["final_train"] for m, v in tables.theirs["learning_rules/exp_2"].items()}
    drawn = curves("uniform", which.steps, len(which.counts), seed=42).numpy().astype(float)
    constant = float(drawn.var()) + which.floor
    rhythm = float(np.mean([drawn[place::2].var() for place in (0, 1)])) + which.floor
    told = ", ".join(f"{m} {v:.6g}" for m, v in theirs.items())
    return (
        f"Final training loss of `learning_rules/exp_2`: {told}. If the curves were "
        "`RandomState(42).uniform(-1, 1, (classes, steps))`, the best constant would leave "
        f"{constant:.6g} and the best rhythm of two steps {rhythm:.6g}: very probably they were, "
        "and with their STDP the net says a constant, with their Hebbian rule it toggles. Both "
        "collapsed."
    )


def s11(tables: Tables) -> Found:
    row = conditions(tables, "association").get("one shot, Hebb")
    told = "Bounded, on or off beside backprop, or alone: `tests/rules/test_layer_rules.py`, "
    told += "`tests/rules/test_attach.py`, [attach.md](attach.md). "
    if not row:
        return Found(collapse(tables), told, NOT_RUN)
    values, n = row["measures"]["accuracy"], len(row["seeds"])
    config = (tables.read("e7_association") or {})["config"]
    told += (
        f"Alone, {config['pairs']} pairs shown once are recalled at {spread(values)} "
        f"({n} seeds; chance {1 / config['values']:g}). "
        "Command: `python -m neuroflip.sims.paper.plasticity association`."
    )
    good = min(values) > 1 / config["values"]
    return Found(collapse(tables), told, said(good) if n >= ENOUGH else partial(f"{n} seeds"))


def e7(tables: Tables) -> Found:
    rows = conditions(tables, "signals")
    told = compared(tables, "signals", "plain")
    if not rows:
        return Found(collapse(tables), told, NOT_RUN)
    plain = rows["plain"]["measures"]["ratio to floor"]
    late = sum(ratio > 10 for ratio in plain)
    told += (
        f" **The error of plain training ended above ten times the floor on {late} of "
        f"{len(plain)} seeds.** "
        + '"No worse than plain" is weak here. ' * (late > 0)
        + "The conditions hebbian and random stdp are the authors' two "
        "rules, in a tenth of the epochs. "
        "Figure: `neuroflip fig 8`."
        + _as_published(tables)
        + " Without a rule, with the authors' settings:"
        + losses(tables, ["learning_rules/exp_2"])
    )  # fmt: skip
    return Found(collapse(tables), told, c10(tables).verdict)


def _as_published(tables: Tables) -> str:
    """The authors' rules with the authors' settings, beside what they stored."""
    command = "`python -m neuroflip.sims.paper.plasticity --as-published`"
    table = tables.read("e7_published")
    if not table:
        return f" The authors' rules with their settings: {command}, not run yet."
    theirs = tables.theirs["learning_rules/exp_2"]
    rows = []
    for name, stored in (("hebbian", "FlipFlop Hebbian"), ("random stdp", "FlipFlop STDP")):
        runs = [run for run in table["runs"] if run["condition"] == name]
        final = [run["losses"][-1] for run in runs]
        constant = runs[0]["constant"]  # the same curves for all seeds
        rows.append([name, len(runs), spread(final), f"{theirs[stored]['final_train']:.4g}",
                     f"{constant:.4g}"])  # fmt: skip
    head = ["rule", "seeds", "final training loss", "the authors'", "best constant"]
    config = {k: v for k, v in table["config"].items() if k not in ("every", "as_published")}
    return (
        " The authors' rules with their settings and curves:" + grid(head, rows)
        + config_of(config) + f"Command: {command}."
    )  # fmt: skip


def c10(tables: Tables) -> Found:
    rows = conditions(tables, "signals")
    first, fresh = range(plasticity.FRESH.start), plasticity.FRESH
    rules = {
        n: plasticity.over(row, rows["plain"], first)
        for n, row in rows.items()
        if n.split(",")[0] in plasticity_signals.RULES and len(row["seeds"]) >= ENOUGH
    }
    better = [n for n, pair in rules.items() if pair.mean < 0 and significant(pair)]
    again = {
        n: plasticity.over(rows[n], rows["plain"], fresh)
        for n in better
        if {*fresh} <= {*rows[n]["seeds"]} & {*rows["plain"]["seeds"]}
    }
    stays = [n for n in better if n not in again or (again[n].mean < 0 and again[n].p < 0.01)]
    helped = _helped(tables)
    told = (
        f"On the paper's task, with rules of ours in {len(rules)} conditions of {ENOUGH} seeds, "
        f"{len(better)} are better than plain training on every seed, which chance does about once "
        f"in {2 ** len(first)}. "
        + "".join(f"On {len(fresh)} fresh seeds, {n}: {pair}. " for n, pair in again.items())
        + f"So {len(stays)} are significantly better; how far plain training had come: E7. On a "
        "task where weights must change at the test: "
        f"{helped or 'no gain of p < 0.01, or not run yet'} (C11)."
    )
    if not rules:
        return Found(collapse(tables), told, NOT_RUN)
    word = f"{said(not stays)} (on the paper's own task, weakly"
    word += f"; {FAILS} on online association)" if helped else ")"
    return Found(collapse(tables), told, word)


def _helped(tables: Tables) -> str:
    """A net that associates by a rule beside the same net without."""
    row = conditions(tables, "association").get("FlipFlop + hebb")
    pair = row["against"].get("FlipFlop") if row else None
    if not pair or pair.p >= 0.01 or pair.mean <= 0:
        return ""
    return f"recall of new pairs {pair.mean:+.3f}, d = {pair.effect:.0f}, p = {pair.p:.2g}"


def c11(tables: Tables) -> Found:
    rows = conditions(tables, "association")
    told = "Pairs shown once in a trial, new ones in every trial:"
    told += compared(tables, "association", "FlipFlop")
    base, plastic = rows.get("FlipFlop"), rows.get("FlipFlop + hebb")
    verdict = NOT_RUN
    if base and plastic:
        noisy = "20 % flipped"
        pair = paired(plastic["measures"][noisy], base["measures"][noisy])
        told += f" From cues with 20 % of their bits flipped, hebb less none: {pair}."
        verdict = f"{said(pair.mean > 0 and pair.p < 0.01)} (on association, nets of as many units)"
    told += (
        " Rules on other tasks: W3, W5, W6; where they do not help: E7."
        + " A larger LSTM is in the command and not run yet." * ("LSTM, large" not in rows)
    )
    return Found("Their rules collapsed (C10), which tests nothing.", told, verdict)


def c12(tables: Tables) -> Found:
    rows = conditions(tables, "signals")
    names = ("random stdp", "pair stdp, after_step", "pair stdp, after_step, random spikes")
    wanted = [*names, *(n for n in rows if n.startswith("additive"))]
    found = {n: rows[n]["measures"]["share of constant"] for n in wanted if n in rows}
    theirs = "Their spike times are random, and their two conditions are always true."
    if not set(names) <= found.keys():
        return Found(theirs, "Not run yet.", NOT_RUN)
    told = "; ".join(f"{n} {spread(v)} ({len(v)} seeds)" for n, v in found.items())
    told = f'Error over that of the best constant ("random stdp" is their rule): {told}. '
    random = found[names[2]]
    if max(random) < 0.9 < min(found[names[0]]):
        told += (
            "Random spike times with a bounded pair rule do not by themselves cause the collapse; "
            "their rule, which drifts whatever the spikes are, does. "
        )
    if len(found) == len(names):
        told += "An additive rule without bounds: in the command, not run yet. "
    told += "That neurons are simple was not varied. Command: as E7."
    if len(random) < ENOUGH:
        return Found(theirs, told, partial(f"{len(random)} seeds"))
    word = said(max(random) > 0.9)
    return Found(theirs, told, f"{word} (random spike times, bounded pair rule)")


def w3(tables: Tables) -> Found:
    rows = conditions(tables, "continual")
    row = rows.get("random FlipFlop + RLS")
    pair = row["against"].get("FlipFlop") if row else None
    told = "Tasks in turn, all asked for at the end:" + compared(tables, "continual", "FlipFlop")
    if config := (tables.read("e7_continual") or {}).get("config"):
        told += (
            f" {config['tasks']} tasks. Nets trained by gradients have {config['units']} units; "
            f'"random" ones are not trained and have {config["units_random"]}, and learn each '
            "task less well. Rates and alpha are those that did best at seed 0, which is counted."
        )
    if not pair or pair.pairs < ENOUGH:
        return Found(ours=told, verdict=NOT_RUN)
    return Found(
        ours=told,
        verdict=f"{said(pair.mean > 0 and significant(pair))} (a rule on the readout of an "
        "untrained layer keeps more than backprop does)",
    )


def _online(tables: Tables, which: str) -> str:
    row = conditions(tables, "remapping").get(which)
    if not row or len(row["seeds"]) < ENOUGH:
        return NOT_RUN
    pair = next(iter(row["against"].values()))
    return said(pair.mean > 0 and pair.p < 0.01)


def w5(tables: Tables) -> Found:
    return Found(
        ours="Three-factor rules, `tests/rules/test_reward.py`, and homeostasis, "
        "`tests/rules/test_homeostasis.py`, in [rules.md](rules.md). The three-factor rule that is "
        "told right or wrong alone: the rows \"three-factor\" of W6. Metabolism is not modelled.",
        verdict=f"{_online(tables, 'FlipFlop, three-factor 0.1')} (reward alone, rate 0.1)",
    )  # fmt: skip


def w6(tables: Tables) -> Found:
    told = "A mapping changes, unannounced; only the readout goes on learning, by a rule, without "
    told += "backprop (but for the row of that name):"
    told += compared(tables, "remapping", "FlipFlop, none 0")
    word = _online(tables, "FlipFlop, delta 0.1")
    return Found(ours=told, verdict=word + " (delta rule, rate 0.1, on the readout)")
