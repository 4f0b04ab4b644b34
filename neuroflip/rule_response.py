"""How rules respond that have no window: to activity, and to the spikes before a spike."""

import dataclasses
import math
from typing import Any

import numpy as np

from neuroflip.circuit import Array, Circuit, Population, Projection, SpikeInput
from neuroflip.neurons import DeltaLIF
from neuroflip.rules import FlipFlopEProp, LayerRule, Rule
from neuroflip.simulation import simulate
from neuroflip.units import ms

LONGEST = 2000
"""Most presentations that `rate_response` takes to let running means settle."""


def kind_of_response(rule: Rule) -> str:
    """What shows best what a rule does: "window", "rates" or "transmission"."""
    if isinstance(rule, LayerRule):
        return "rates"
    model = rule.model()
    if model.transmit.text != "w" and not any(
        target == "w"
        for target in [
            *(a.target for a in (*model.on_pre, *model.on_post)),
            *(d.variable for d in model.flows),
        ]
    ):
        return "transmission"
    return "rates" if hasattr(rule, "activity") or model.layers_only else "window"


def response_axis(rule: Rule) -> tuple[str, Array]:
    """What `rate_response` varies for this rule, and at which values: the membrane potential where
    a layer rule reads it, the gates of a flip-flop neuron, else the postsynaptic rate.

    >>> from neuroflip import rules
    >>> response_axis(rules.EProp(threshold=2.0))[0]
    'membrane potential'
    """
    at: Array = np.linspace(0, 3, 25)
    if _reads_potential(rule):
        return "membrane potential", at * rule.parameters().get("threshold", 1.0)
    if isinstance(rule, FlipFlopEProp):
        return "gates J and K", at / 3
    return "postsynaptic rate", at


def _reads_potential(rule: Rule) -> bool:
    return isinstance(rule, LayerRule) and tuple(rule.reads) == ("v",)


def rate_response(rule: Rule, outputs: Array, weight: float) -> Array:
    """Change of a weight by one presentation with input 1, for each postsynaptic activity.

    rule: of rates or of layers. outputs: what is varied, see `response_axis`. weight: before.
    Third factors are 1. Running means have settled at input 0 and output 1 before, save where the
    potential is varied: then the neuron has been silent, and is. What a rule changes a step late
    counts. Returns an array like outputs.

    >>> from neuroflip import rules
    >>> rate_response(rules.BCM(rate=0.1), np.array([0.5, 1.5, 2.0]), 0.5).round(3)
    array([-0.025,  0.075,  0.2  ])
    """
    import torch

    from neuroflip.rules import attach

    fields = {f.name: f for f in dataclasses.fields(rule)}  # type: ignore[arg-type]
    times = [v for n, v in rule.parameters().items() if fields[n].metadata["unit"] == "s"]
    potential = _reads_potential(rule)
    settle = 0 if potential else math.ceil(min(10 * max([0.0, *times]), LONGEST))
    width = 2 if isinstance(rule, LayerRule) else 1  # some know their outputs as pairs of gates
    found = []
    for output in outputs:
        layer = torch.nn.Linear(1, width, bias=False, dtype=torch.float64)
        torch.nn.init.constant_(layer.weight, weight)
        after = torch.nn.Identity()
        v = float(output) if potential else 0.0
        state = {name: torch.full((1, width), v, dtype=torch.float64) for name in rule.reads}
        learner = attach(layer, rule, post=after, merge="replace", state=state.copy)
        one = torch.ones(1, 1, dtype=torch.float64)
        for name in rule.signals:
            learner.signals[name] = 1.0
        layers = isinstance(rule, LayerRule)
        spiking = not hasattr(rule, "activity") and not layers
        last = 0.0 if potential else float(output > 0 if spiking else output)
        steps = [*[(0 * one, one)] * settle, (one, one * last)]
        for k, (x, y) in enumerate([*steps, *[(0 * one, one * last)] * layers]):
            if k <= settle:
                learner.step()
                with torch.no_grad():
                    learner.parameter.fill_(weight)
            layer(x)
            after(y.expand(1, width))
        found.append(float(learner.weight[0, 0]) - weight)
        learner.remove()
    return np.array(found)


def transmission(rule: Rule, rate: float = 20.0, spikes: int = 10, weight: float = 1.0) -> Array:
    """What each spike of a regular train passes on, as a fraction of the weight.

    rate: of the train (Hz).

    >>> from neuroflip import rules
    >>> transmission(rules.ShortTerm(utilization=0.5, tau_rec=800*ms), spikes=3).round(3)
    array([0.5  , 0.265, 0.155])
    """
    dt = 0.1 * ms
    apart = max(1, round(1 / rate / dt))
    at: Any = 1 + apart * np.arange(spikes)
    # A neuron that only adds up what it is sent
    neuron = DeltaLIF(tau_m=1e9, v_threshold=1e3 * spikes * abs(weight), refractory=0.0)
    circuit = Circuit(
        "transmission",
        [Population("post", neuron)],
        [Projection("pre", "post", weight, rule=rule)],
        [SpikeInput("pre")],
    )
    steps = int(at[-1]) + 2
    rec = simulate(circuit, {"pre": at * dt}, duration=steps * dt, dt=dt, record="v")
    v = rec.traces["post.v"][:, 0]
    sent: Array = (v[at + 1] - v[at]) / weight
    return sent
