"""`check_rule`: does a plasticity rule do what it says, wherever it runs?"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from neuroflip.circuit import Array, Circuit
from neuroflip.compare import compare
from neuroflip.rule_window import (
    agreement,
    forced,
    neuron_for,
    paired,
    rule_window,
    whole_intervals,
)
from neuroflip.rules import Rule
from neuroflip.simulation import simulate
from neuroflip.tables import table
from neuroflip.units import ms

DT = 0.1 * ms
STEPS = 400

TRAINS: dict[str, tuple[list[int], list[int]]] = {
    "one pair, pre first": ([100], [150]),
    "one pair, post first": ([150], [100]),
    "coincidence": ([100], [100]),
    "many coincidences": (list(range(50, 350, 50)), list(range(50, 350, 50))),
    "bursts": ([*range(100, 110), *range(200, 210)], [*range(105, 115), *range(195, 205)]),
    "every step": (list(range(20, 380)), list(range(20, 380))),
    "alternating": (list(range(20, 380, 2)), list(range(21, 381, 2))),
    "shorter than the delays": ([100, 102, 104, 106], [101, 103, 105]),
    "triplet": ([100, 200], [150]),
    "presynaptic alone": ([100, 101, 300], []),
    "postsynaptic alone": ([], [100, 101, 300]),
    "silence": ([], []),
}
"""Spike trains that trip rules up: name -> steps of presynaptic and postsynaptic spikes."""

DELAYS = ((0, 0), (7, 0), (0, 7), (12, 5))
"""Axonal and dendritic delays, in steps."""


@dataclass(frozen=True)
class Row:
    """One check: what was held against what, whether they agree, and by how much."""

    check: str
    outcome: str
    detail: str


@dataclass(frozen=True)
class RuleReport:
    """What `check_rule` found. ok: no check failed. `print` shows the table."""

    rule: Rule
    rows: tuple[Row, ...]

    @property
    def ok(self) -> bool:
        """Whether no check failed; those that do not apply ("-") do not count."""
        return all(row.outcome != "FAILED" for row in self.rows)

    def __str__(self) -> str:
        verdict = "passes" if self.ok else "FAILS"
        rows = [(r.check, r.outcome, r.detail) for r in self.rows]
        return table(f"{type(self.rule).__name__} {verdict}", ("check", "", "found"), rows)


def check_rule(rule: Rule, seed: int = 0) -> RuleReport:
    """Try a rule on hard spike trains, in every engine and on torch layers.

    rule: a rule object. seed: of the random trains and third factors. Returns a `RuleReport`,
    one row a check, `.ok` where none failed:

    - its closed-form window, where it has one, against the simulation;
    - numba, torch and Brian2 against each other, on adversarial trains (`TRAINS`) at every pair of
      `DELAYS` from weights at and between the bounds, and on random trains; weights finite and
      within the bounds;
    - invariance under the time step: exact for rules that change at spikes alone, of first order
      for those with differential equations of their own;
    - on layers, `rules.attach`: equal to the circuit; run(T) = run(T/2) + run(T/2) across a saved
      state; reset = fresh; batch = singles; linear = 1x1 convolution = sparse; no growth in
      memory over 1,000 steps.

    Takes seconds to a minute, most of it in Brian2. Raises TypeError for what is no rule.

    >>> from neuroflip import rules
    >>> print(rules.check_rule(rules.none).rows[0])
    Row(check='changes weights', outcome='-', detail='it never does: nothing to check')
    """
    if not isinstance(rule, Rule):
        raise TypeError(f"rule must be a rule object like rules.PairSTDP(); got {rule!r}.")
    if not rule.plastic:
        return RuleReport(rule, (Row("changes weights", "-", "it never does: nothing to check"),))
    return RuleReport(rule, tuple(_rows(rule, seed)))


def _rows(rule: Rule, seed: int) -> Iterator[Row]:
    from neuroflip.rule_check_layers import layer_rows  # it needs torch

    reason = why_not_in_circuits(rule)
    if reason:
        yield Row("in circuits", "-", reason)
    else:
        yield from _circuit_rows(rule, seed)
    for check, outcome, detail in layer_rows(rule, seed):
        yield Row(check, outcome, detail)


def why_not_in_circuits(rule: Rule) -> str:
    """Why a rule cannot run in a circuit; "" where it can."""
    try:
        layers_only = rule.model().layers_only
        neuron_for(rule)
    except ValueError as error:
        return str(error)
    return "it joins many synapses at once: torch layers only" if layers_only else ""


def _circuit_rows(rule: Rule, seed: int) -> Iterator[Row]:
    yield _guarded("window", lambda: _window(rule))
    yield _guarded("engines agree", lambda: _engines(rule, seed))
    yield _guarded("invariance under dt", lambda: _time_step(rule, seed))


def _guarded(check: str, run: Callable[[], tuple[str, str]]) -> Row:
    """A check that raises has failed; the others go on."""
    try:
        return Row(check, *run())
    except Exception as error:  # a report, not a crash, whatever a user's rule does
        return Row(check, "FAILED", f"{type(error).__name__}: {error}")


def bounds(rule: Rule) -> tuple[float, float]:
    """The bounds of a rule's weight, 0 and 1 where it has none."""
    given = rule.parameters()
    return given.get("w_min", 0.0), given.get("w_max", 1.0)


def _window(rule: Rule) -> tuple[str, str]:
    try:
        rule.window(1 * ms, sum(bounds(rule)) / 2)
    except NotImplementedError:
        return "-", "it has no closed form"
    weight = sum(bounds(rule)) / 2
    intervals = whole_intervals(np.arange(-50, 51, 2) * ms, DT)
    analytic, simulated = rule_window(rule, intervals, weight, dt=DT)
    assert analytic is not None
    difference, allowed = agreement(analytic, simulated, weight)
    return _judged(difference, allowed, "from the closed form")


def _judged(difference: float, allowed: float, what: str) -> tuple[str, str]:
    ok = difference <= allowed  # False also where it is NaN
    return "ok" if ok else "FAILED", f"{difference:.1e} {what}, {allowed:.1e} allowed"


@dataclass(frozen=True)
class _Case:
    """Pairs of neurons, each joined by one synapse of the rule, and what drives them."""

    circuit: Circuit
    trains: list[tuple[list[int], list[int]]]
    reward: Array  # in each of the first `steps` steps of DT
    steps: int

    def inputs(self, rule: Rule, finer: int = 1) -> dict[str, Any]:
        """Inputs for a step of DT/finer: the same spike times, the same third factors."""
        dt = DT / finer
        fired = [[k * finer for k in post] for _, post in self.trains]
        given: dict[str, Any] = {"pre": [[k * finer * dt for k in pre] for pre, _ in self.trains]}
        given |= forced(self.circuit, fired, self.steps * finer, dt)
        return given | dict.fromkeys(rule.model().signals, np.repeat(self.reward, finer))


def _case(
    rule: Rule,
    trains: list[tuple[list[int], list[int]]],
    delays: list[tuple[int, int]],
    weights: list[float],
    steps: int,
    seed: int,
) -> _Case:
    circuit = paired(
        rule, np.array(weights), [a * DT for a, _ in delays], [d * DT for _, d in delays]
    )
    # Up to 1, the size at which a rate that is too large is refused
    reward = np.random.default_rng(seed).uniform(-1, 1, steps // 20 + 1).repeat(20)[:steps]
    return _Case(circuit, trains, reward, steps)


def random_trains(seed: int, count: int, steps: int) -> list[tuple[list[int], list[int]]]:
    """Pairs of random spike trains, half of the pairs with shared spikes."""
    rng = np.random.default_rng([seed, 1])

    pairs = []
    for i in range(count):
        pre, post, shared = rng.random((3, steps)) < 0.05
        if i % 2:
            pre, post = pre | shared, post | shared
        pairs.append((np.flatnonzero(pre).tolist(), np.flatnonzero(post).tolist()))
    return pairs


def _engines(rule: Rule, seed: int) -> tuple[str, str]:
    """Every adversarial train at every delay from every weight, and random ones, in one circuit."""
    rng = np.random.default_rng([seed, 2])
    low, high = bounds(rule)
    cells = [
        (train, delay, weight)
        for train in TRAINS.values()
        for delay in DELAYS
        for weight in (low, (low + high) / 2, high)
    ]
    for train in random_trains(seed, 20, STEPS):
        axonal, dendritic = rng.integers(0, 13, 2)
        cells.append((train, (int(axonal), int(dendritic)), float(rng.uniform(low, high))))
    trains, delays, weights = map(list, zip(*cells, strict=True))
    case = _case(rule, trains, delays, weights, STEPS, seed)
    inputs, duration = case.inputs(rule), case.steps * DT
    final = simulate(case.circuit, inputs, duration=duration, dt=DT).weights["pre->post"]
    if not np.isfinite(final).all():
        return "FAILED", "a weight is not finite"
    if rule.model().bounded and not ((low <= final) & (final <= high)).all():
        return "FAILED", f"a weight lies outside {low:g} to {high:g}"
    report = compare(case.circuit, inputs, duration=duration, dt=DT, record=["v", "pre->post"])
    sent = sum(len(set(post)) for _, post in case.trains)
    if not rule.model().reads and report.spikes["brian2"] != sent:
        return "FAILED", f"{report.spikes['brian2']} postsynaptic spikes, {sent} were forced"
    worst = max(
        report.max_abs_error,
        key=lambda q: report.max_abs_error[q] / (report.tolerance[q] or math.inf),
    )
    found = f"{worst}: {report.max_abs_error[worst]:.1e}, {report.tolerance[worst]:.1e} allowed"
    if report.spike_mismatches:
        found = f"{report.spike_mismatches} spike mismatches; {found}"
    return "ok" if report.ok else "FAILED", found


def _time_step(rule: Rule, seed: int) -> tuple[str, str]:
    if rule.model().reads:
        return "-", "it reads the neuron, whose spikes move with the step"
    low, high = bounds(rule)
    trains = random_trains(seed, 10, STEPS)
    case = _case(rule, trains, [(0, 0)] * 10, [(low + high) / 2] * 10, STEPS, seed)

    def run(finer: int) -> Array:
        found: Array = simulate(
            case.circuit, case.inputs(rule, finer), duration=STEPS * DT, dt=DT / finer
        ).weights["pre->post"]
        return found

    coarse, fine, finest = run(1), run(2), run(4)
    moved = max(float(np.abs(coarse - (low + high) / 2).max()), float(np.abs(coarse).max()))
    first, second = (float(np.abs(a - b).max()) for a, b in ((coarse, fine), (fine, finest)))
    if not rule.model().continuous:
        return _judged(first, 1e-12 * moved, "from half the step")
    ok = second <= 0.75 * first + 1e-12 * moved and first <= 0.2 * moved
    found = f"{first:.1e} from half the step, {second:.1e} from that to a quarter"
    return "ok" if ok else "FAILED", found
