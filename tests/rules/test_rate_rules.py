"""Rate rules on projections: three engines against each other and against loops written here.

Each rule has a population of its own, which it does not fire: a current does, in the very step.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
import pytest

import neuroflip as nf
from neuroflip.parameters import parameter
from neuroflip.rules import Rule
from neuroflip.rules.rate import (
    BCM,
    PES,
    Contrastive,
    Covariance,
    Delta,
    DifferentiablePlasticity,
    Hebb,
    Oja,
    RateRule,
    Sanger,
    SoftHebb,
)

DT = 1e-4
STEPS = 300
TAU = 0.005
FORCED = nf.DeltaLIF(tau_m=DT, v_threshold=1e4, refractory=0.0)
"""A neuron that forgets within steps and that no plastic weight fires."""

Array = np.ndarray[Any, Any]


@final
@dataclass(frozen=True)
class OwnRule(RateRule):
    """One line: the text of the subclass comes after the filters of the base."""

    rate: float = parameter(2e-3)
    equations: ClassVar[str] = "dw/dt = rate*x*(1 - w)"
    on_post: ClassVar[str] = "w -= 1e-4*y"


RULES: dict[str, RateRule] = {
    "Hebb": Hebb(tau=TAU, rate=1e-4, decay=3.0, w_max=0.6),
    "Covariance": Covariance(tau=TAU, rate=2e-4, tau_mean=0.004, w_min=0.4, w_max=0.6),
    "Oja": Oja(tau=TAU, rate=2e-4, w_scale=0.7),
    "BCM": BCM(tau=TAU, rate=1e-10, tau_theta=0.002, target=150.0),
    "Delta": Delta(tau=TAU, rate=1e-4),
    "PES": PES(tau=TAU, rate=1e-3),
    "Contrastive": Contrastive(tau=TAU, rate=1e-4),
    "DifferentiablePlasticity": DifferentiablePlasticity(tau=TAU, rate=50.0, alpha=1e-5),
    "OwnRule": OwnRule(tau=TAU),
}


def own_equations(name: str, s: dict[str, Any], outside: dict[str, Any]) -> dict[str, Any]:
    """The slopes of a rule, from its paper's formula; parameters as in RULES."""
    x, y, w = s["x"], s["y"], s["w"]
    match name:
        case "Hebb":
            return {"w": 1e-4 * x * y - 3.0 * w}
        case "Covariance":
            return {
                "w": 2e-4 * (x - s["mx"]) * (y - s["my"]),
                "mx": (x - s["mx"]) / 0.004,
                "my": (y - s["my"]) / 0.004,
            }
        case "Oja":
            return {"w": 2e-4 * (0.7 * y * x - y**2 * w)}
        case "BCM":
            theta = s["theta"]
            return {"w": 1e-10 * y * (y - theta) * x, "theta": (y**2 / 150 - theta) / 0.002}
        case "Delta":
            return {"w": 1e-4 * (outside["target"] - y) * x}
        case "PES":
            return {"w": -1e-3 * outside["error"] * x}
        case "Contrastive":
            return {"w": 1e-4 * outside["phase"] * x * y}
        case "DifferentiablePlasticity":
            return {"hebb": 50.0 * (x * y - s["hebb"])}
        case "OwnRule":
            return {"w": 2e-3 * x * (1 - w)}
    raise AssertionError(name)


@dataclass
class Case:
    """Trains as arrays (steps, neurons) of 0 and 1; weights and delays (pre, post)."""

    pre: Array
    post: Array
    weight: Array
    axonal: Array
    dendritic: Array

    def circuit(self) -> nf.Circuit:
        n, m = self.weight.shape
        return nf.Circuit(
            "rates",
            [nf.Population(f"{name}_out", FORCED, m) for name in RULES],
            [
                nf.Projection(
                    "pre", f"{name}_out", self.weight, rule=rule, name=name,
                    axonal_delay=self.axonal * DT, dendritic_delay=self.dendritic * DT,
                )
                for name, rule in RULES.items()
            ],
            [
                nf.SpikeInput("pre", n),
                *map(nf.SignalInput, ("error", "target", "phase")),
                *(nf.CurrentInput(f"{name}_force", f"{name}_out") for name in RULES),
            ],
        )  # fmt: skip

    def signals(self) -> dict[str, Array]:
        rng = np.random.default_rng(9)
        error = 100 * rng.standard_normal((STEPS, self.weight.shape[1]))
        phase = np.repeat([1.0, 0.0, -1.0], STEPS // 3)
        target = 300 * rng.random((STEPS, 1))
        return {"error": error, "phase": phase, "target": target}

    def inputs(self) -> dict[str, Any]:
        force = {f"{name}_force": self.post.astype(float) for name in RULES}
        return {"pre": [np.flatnonzero(t) * DT for t in self.pre.T], **force, **self.signals()}

    def expected(self, name: str) -> tuple[Array, Array]:
        """Weights before each step (steps, synapses), and potentials (steps, post)."""
        rule: Any = RULES[name]
        n, m = self.weight.shape
        i, j = (index.ravel() for index in np.indices((n, m)))

        def at_synapse(train: Array, neuron: Array, delay: Array) -> Array:
            found = np.zeros((STEPS, n * m), bool)
            for s in range(n * m):
                late = train[: STEPS - delay[s], neuron[s]]
                found[delay[s] :, s] = late
            return found

        pre = at_synapse(self.pre, i, self.axonal.ravel())
        post = at_synapse(self.post, j, self.dendritic.ravel())
        signals = self.signals()
        state = {v: np.zeros(n * m) for v in ("x", "y", "mx", "my", "theta", "hebb")}
        state["w"] = self.weight.ravel().copy()
        at_soma = np.zeros((STEPS + 20, m))
        weights, potentials = [], []
        v = np.zeros(m)

        def clipped(w: Array) -> Array:
            low, high = getattr(rule, "w_min", -math.inf), getattr(rule, "w_max", math.inf)
            return np.minimum(np.maximum(w, low), high)

        for k in range(STEPS):
            weights.append(state["w"])
            potentials.append(v)
            outside = {
                "error": signals["error"][k, j],
                "phase": signals["phase"][k],
                "target": signals["target"][k],
            }
            slopes = own_equations(name, state, outside)
            state = state | {u: state[u] + DT * slope for u, slope in slopes.items()}
            state["w"] = clipped(state["w"])
            for u in ("x", "y"):
                state[u] = state[u] * math.exp(-DT / TAU)
            sent = state["w"]
            if name == "DifferentiablePlasticity":
                sent = state["w"] + 1e-5 * state["hebb"]
            np.add.at(at_soma, (k + self.dendritic.ravel(), j), np.where(pre[k], sent, 0.0))
            state["x"] = state["x"] + pre[k] / TAU
            state["y"] = state["y"] + post[k] / TAU
            if name == "OwnRule":
                state["w"] = state["w"] - np.where(post[k], 1e-4 * state["y"], 0.0)
            v = np.where(self.post[k] > 0, 0.0, v * math.exp(-1.0) + at_soma[k])
        return np.array(weights), np.array(potentials)


def trains() -> Case:
    """Random trains, weights and delays; beside and across them the adversarial ones: bursts in
    every step, coincidences, silence, spikes in the first and the last step, delays beyond every
    interval, weights at the bounds."""
    rng = np.random.default_rng(0)
    pre, post = rng.random((STEPS, 8)) < 0.04, rng.random((STEPS, 6)) < 0.04
    pre[:, 4:] = post[:, 3:] = False
    pre[100:140, 4] = post[100:140, 3] = True
    pre[[0, 299], 5] = post[[0, 299], 4] = True
    pre[:, 6] = True
    post[50:250:2, 5] = pre[51:250:2, 7] = True
    weight = rng.uniform(0.4, 0.6, (8, 6))
    weight[6:] = np.tile([0.4, 0.6], (2, 3))
    return Case(pre, post, weight, rng.integers(0, 13, (8, 6)), rng.integers(0, 13, (8, 6)))


def test_three_engines_and_the_loop_agree() -> None:
    case = trains()
    report = nf.compare(
        case.circuit(), case.inputs(), duration=STEPS * DT, dt=DT, record=[*RULES, "v"]
    )
    assert report.ok, str(report)
    for name in RULES:
        weights, potentials = case.expected(name)
        for engine, rec in report.recordings.items():
            fired = [np.round(t / DT).astype(int).tolist() for t in rec.trains(f"{name}_out")]
            assert fired == [np.flatnonzero(t).tolist() for t in case.post.T]
            difference = np.abs(rec.weight_history[name] - weights).max()
            assert difference <= 1e-12, f"{name} in {engine}: {difference}"
            difference = np.abs(rec.traces[f"{name}_out.v"] - potentials).max()
            assert difference <= 1e-12 * max(1, np.abs(potentials).max()), f"{name} in {engine}: v"
        moved = np.abs(weights - weights[0]).max()
        assert (moved == 0.0) if name == "DifferentiablePlasticity" else (moved > 0.01), name
    for name, bounds in (("Hebb", (0.6,)), ("Covariance", (0.4, 0.6))):
        for bound in bounds:  # met, and never passed
            assert (case.expected(name)[0][1:] == bound).any(), name


def test_filtered_trains_are_rates_in_hertz() -> None:
    """A regular train at 250 Hz: with w following x alone, w ends at its mean, by sums."""

    @final
    @dataclass(frozen=True)
    class Follow(RateRule):
        equations: ClassVar[str] = "dw/dt = x"

    circuit = nf.Circuit(
        "mean", [nf.Population("out", FORCED)],
        [nf.Projection("in", "out", 0.0, rule=Follow(tau=0.02))], [nf.SpikeInput("in")],
    )  # fmt: skip
    times = np.arange(0, 1, 0.004)
    rec = nf.simulate(circuit, {"in": times}, duration=1.0, dt=DT)
    # Each spike adds 1/tau times dt times the sum of exp(-n dt/tau) over the steps left
    q = math.exp(-DT / 0.02)
    left = 10000 - np.round(times / DT) - 1
    exact = (DT / 0.02 * (1 - q**left) / (1 - q)).sum()
    assert math.isclose(rec.weights["in->out"][0], exact, rel_tol=1e-12)
    assert abs(exact - 250) < 8


def test_levels_are_those_of_the_neurons() -> None:
    for rule in RULES.values():
        level = rule.model().level
        assert level["x"] == "pre" and level["y"] == "post"
    assert Covariance().model().level == {"x": "pre", "y": "post", "mx": "pre", "my": "post"}
    assert BCM().model().level["theta"] == "post"
    assert DifferentiablePlasticity().model().level["hebb"] == "synapse"


@pytest.mark.parametrize("rule", [Sanger(), SoftHebb()])
def test_rules_over_a_whole_layer_are_refused_by_circuits(rule: Rule) -> None:
    with pytest.raises(ValueError, match=type(rule).__name__):
        circuit = nf.Circuit(
            "no", [nf.Population("out", FORCED)], [nf.Projection("in", "out", 0.5, rule=rule)],
            [nf.SpikeInput("in")],
        )  # fmt: skip
        nf.simulate(circuit, {"in": [0.0]}, duration=0.01, dt=DT)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Hebb(tau=0.0), "Hebb.tau must be above 0 s; got 0.0."),
        (lambda: Hebb(decay=-1.0), "Hebb.decay must be at least 0 Hz; got -1.0."),
        (lambda: Covariance(tau_mean=0.0), "Covariance.tau_mean must be above 0 s; got 0.0."),
        (lambda: Oja(w_scale=0.0), "Oja.w_scale must be above 0; got 0.0."),
        (lambda: Oja(rate=-1.0), "Oja.rate must be at least 0 s; got -1.0."),
        (lambda: BCM(target=-1.0), "BCM.target must be above 0 Hz; got -1.0."),
        (lambda: BCM(tau_theta=math.nan), "BCM.tau_theta must be a finite number in s; got nan."),
    ],
)
def test_parameters_refused(make: Callable[[], Rule], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        make()
    assert str(caught.value) == message


def test_without_closed_form_there_is_no_window() -> None:
    with pytest.raises(NotImplementedError, match="Oja has no closed-form window"):
        Oja().window(0.01, 0.5)
