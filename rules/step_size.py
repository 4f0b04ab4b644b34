"""Refuse a rule that moves a weight past both of its bounds in one step."""

import functools
import itertools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from neuroflip import equations as eq
from neuroflip.rules.rule import Rule

Range = tuple[float, float]
_ROUNDING = 1 + 1e-9


def check_step(
    rule: Rule, dt: float, spikes: bool = True, given: Mapping[str, Range] | None = None
) -> None:
    """Raise ValueError where this is known before anything runs.

    That is the change by one step of `dt` (s) from weights at and between the bounds: at rest, and
    with one presynaptic and one postsynaptic spike, at most a step apart, where `spikes`. given:
    the least and the greatest value of signals, and of what the rule reads of the neuron (as
    `v_post`); a signal that is not given is 1. `nf.simulate` gives the signals of the run, and
    potentials at the neuron's threshold; a layer a signal when it is set, and never the neuron.

    It cannot be told of rules without bounds, of those that join many synapses, of those that read
    of the neuron what is not given, and of what more than one spike on a side, or a signal that
    goes on for long, adds up to (RewardSTDP; a layer refuses the step in which that happens).

    >>> from neuroflip import rules
    >>> from neuroflip.units import ms
    >>> check_step(rules.Hebb(), dt=1*ms)
    >>> check_step(rules.Hebb(rate=50.0), dt=1*ms)
    Traceback (most recent call last):
        ...
    ValueError: Hebb moves a weight of -1 by 5 in one step of 0.001 s with one spike on either \
side, past both bounds, -1 and 1; give it a lower rate, or a shorter dt.
    >>> check_step(rules.MSTDP(rate=0.5), dt=1*ms, given={"reward": (-3.0, 0.0)})
    Traceback (most recent call last):
        ...
    ValueError: MSTDP moves a weight of 0 by 1.5 in one step of 0.001 s with one spike on either \
side and reward -3, past both bounds, 0 and 1; give it a lower rate, or a shorter dt.
    """
    if not rule.plastic or not {"w_min", "w_max"} <= set(rule.parameters()):
        return
    model = rule.model()
    values = dict.fromkeys(model.signals, (1.0, 1.0)) | dict(given or {})
    read = [*model.signals, *(f"{name}_post" for name in model.reads)]
    if not model.layers_only and set(read) <= set(values):
        _check(rule, dt, spikes, tuple((name, values[name]) for name in read))


def refusal(rule: str, before: str, change: float, step: str, bounds: tuple[float, float]) -> str:
    """What to tell of a change (unit of the weight) that is larger than the bounds are apart."""
    low, high = bounds
    return (
        f"{rule} moves {before} by {change:.3g} in one step{step}, past both bounds, {low:g} and "
        f"{high:g}; give it a lower rate"
    )


@functools.lru_cache(maxsize=1024)
def _check(rule: Rule, dt: float, spikes: bool, given: tuple[tuple[str, Range], ...]) -> None:
    parameters = rule.parameters()
    low, high = parameters["w_min"], parameters["w_max"]
    changes = _changes(rule, dt)
    names = [name for name, _ in given]
    for ends in itertools.product(*(sorted(set(ends)) for _, ends in given)):
        told = " and ".join(f"{n} {v:g}" for n, v in zip(names, ends, strict=True))
        for start in (low, (low + high) / 2, high):
            values = dict(zip(names, ends, strict=True))
            for when, change in changes.of(start, values, spikes):
                size = float(np.abs(change))
                if size > (high - low) * _ROUNDING:
                    with_what = " and ".join(filter(None, (when, told)))
                    step = f" of {dt:g} s" + (f" with {with_what}" if with_what else "")
                    before = f"a weight of {start:g}"
                    text = refusal(type(rule).__name__, before, size, step, (low, high))
                    raise ValueError(f"{text}, or a shorter dt.")


class _Changes:
    """What the steps of a rule do to a weight, bounds aside."""

    def __init__(self, rule: Rule, dt: float) -> None:
        model, self.dt, self.parameters = rule.model(), dt, rule.parameters()

        def compiled(target: str, value: eq.Expression) -> Any:
            return eq.compile_block((eq.Assignment(target, value),), eq.NUMPY)

        def block(lines: tuple[eq.Assignment, ...]) -> Any:
            unclipped = tuple(
                eq.Assignment("w", eq.unclipped(a.value)) if a.target == "w" else a for a in lines
            )
            return eq.compile_block(unclipped, eq.NUMPY)

        self.variables = model.variables
        self.blocks = {"pre": block(model.on_pre), "post": block(model.on_post)}
        self.sides = model.sides
        self.flows = {d.variable: compiled(d.variable, d.value) for d in model.flows}
        self.decay = {x: math.exp(-dt / self.parameters[tau]) for x, tau in model.decay.items()}

    def of(self, start: float, given: Mapping[str, float], spikes: bool) -> list[tuple[str, Any]]:
        """When a weight of `start` changes, and by how much: by a step at rest; by each spike of
        a pair, in one step or the postsynaptic one a step before; and by the step after that."""
        rest = self.parameters | dict.fromkeys(self.variables, 0.0) | dict(given)
        rest |= {"w": start, "t": 0.0}
        found = [("", self.dt * self._rates(rest).get("w", 0.0))]
        if not spikes:
            return found
        when = "one spike on either side"
        for steps in (self.sides,), (("post",), ("pre",)):
            values = rest
            for step in steps:
                values = self._later(values)
                for side in step:
                    after = self.blocks[side](values)
                    found.append((when, after.get("w", start) - start))
                    values = values | after | {"w": start}
            found.append((when, self.dt * self._rates(values).get("w", 0.0)))
        return found

    def _later(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """All but the weight, a step later."""
        rates = self._rates(values)
        rates.pop("w", None)
        decayed = {x: values[x] * factor for x, factor in self.decay.items()}
        return {**values, **decayed, **{x: values[x] + self.dt * r for x, r in rates.items()}}

    def _rates(self, values: Mapping[str, Any]) -> dict[str, Any]:
        return {x: flow(values)[x] for x, flow in self.flows.items()}


_changes = functools.lru_cache(maxsize=256)(_Changes)
