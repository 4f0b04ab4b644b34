"""Rules against references written by hand in plain Brian2: random and adversarial trains, delays.

Synapse i joins train i to train i; weights near and at the bounds are among them. One engine of
the library is enough: that all agree is tested elsewhere.
"""

import math
from typing import Any

import numpy as np
import pytest

import neuroflip as nf
from neuroflip import rules
from neuroflip.sims import (
    brian2_anti_hebbian_stdp,
    brian2_bistable_synapse,
    brian2_eprop,
    brian2_florian,
    brian2_froemke_dan,
    brian2_homeostatic_scaling,
    brian2_nest_stdp,
    brian2_rates,
    brian2_symmetric_stdp,
)

DT = 1e-4
STEPS = 500
FORCED = nf.DeltaLIF(tau_m=DT, v_threshold=1e6, refractory=0.0)
Steps = list[list[int]]

ADVERSARIAL: list[tuple[list[int], list[int]]] = [
    ([20], [20]),
    ([20, 40, 60], [20, 40, 60]),
    (list(range(30, 60)), list(range(30, 60))),
    (list(range(30, 60)), [45, 59, 61]),
    ([45, 59, 61], list(range(30, 60))),
    (list(range(0, 100, 2)), list(range(1, 100, 2))),
    ([10, 400], [390]),
    ([100], [50, 150]),
    ([], [3, 4]),
    ([3, 4], []),
]


def random_trains(rng: Any, count: int, p: float = 0.05) -> Steps:
    return [np.flatnonzero(rng.random(STEPS - 60) < p).tolist() for _ in range(count)]


def trains(rng: Any) -> tuple[Steps, Steps]:
    pre, post = (list(t) for t in zip(*ADVERSARIAL, strict=True))
    return pre + random_trains(rng, 8), post + random_trains(rng, 8)


def seconds(each: Steps) -> list[Any]:
    return [np.array(train) * DT for train in each]


def learned(
    rule: nf.rules.Rule, pre: Steps, post: Steps, weight: Any, axonal: Any, dendritic: Any,
    factor: Any = None,
) -> Any:  # fmt: skip
    """The weights at the end. factor: the signal that the rule reads, one number a step."""
    wave = np.zeros((STEPS, len(post)))
    for j, train in enumerate(post):
        wave[train, j] = 1e3 * FORCED.v_threshold / FORCED.resistance
    circuit = nf.Circuit(
        "trains", [nf.Population("post", FORCED, len(post))],
        [nf.Projection("pre", "post", weight, pattern=nf.OneToOne(), rule=rule, name="w",
                       axonal_delay=axonal, dendritic_delay=dendritic)],
        [nf.SpikeInput("pre", len(pre)), nf.CurrentInput("force", "post"),
         *map(nf.SignalInput, rule.signals)],
    )  # fmt: skip
    inputs = {"pre": seconds(pre), "force": wave} | dict.fromkeys(rule.signals, factor)
    rec = nf.simulate(circuit, inputs, duration=STEPS * DT, dt=DT, engine="torch")
    assert rec.spikes["post"].size == sum(map(len, post))
    return rec.weights["w"]


NEST = {"tau_plus": 9e-3, "tau_minus": 14e-3, "lambda_": 0.05, "alpha": 1.2, "Wmax": 1.0}
"""The parameters of `brian2_nest_stdp`."""


def exponents(model: str, mu: float) -> dict[str, float]:
    """mu under the names that NEST's model gives it."""
    return {"mu": mu} if model == "stdp_pl_synapse_hom" else {"mu_plus": mu, "mu_minus": mu}


CASES: dict[str, tuple[Any, Any]] = {
    "FroemkeDanSTDP": (
        rules.FroemkeDanSTDP(a_plus=0.103, a_minus=0.051),
        lambda *trains, **o: brian2_froemke_dan.run(*trains, scale=10.0, **o),
    ),
    "SymmetricSTDP": (
        rules.SymmetricSTDP(tau=0.108, a=0.03, loss_pre=0.003, loss_post=0.006),
        lambda *trains, **o: brian2_symmetric_stdp.run(*trains, a=0.03, **o),
    ),
    "AntiHebbianSTDP": (
        rules.AntiHebbianSTDP(tau_plus=0.012, tau_minus=0.02, a_plus=0.05, a_minus=0.0525),
        lambda *trains, **o: brian2_anti_hebbian_stdp.run(*trains, a=0.05, **o),
    ),
    "BistableSynapse": (
        rules.Sum(
            rules.PairSTDP(a_plus=0.05, a_minus=0.0525),
            rules.BistableSynapse(threshold=0.4, drift_up=8.0, drift_down=8.0),
        ),
        lambda *trains, **o: brian2_bistable_synapse.run(*trains, drift=8.0, a=0.05, **o),
    ),
    **{
        f"{model} mu {mu:g}": (
            rules.PairSTDP.like("nest", synapse_model=model, **exponents(model, mu), **NEST),
            lambda *trains, model=model, mu=mu, **o: brian2_nest_stdp.run(
                model, *trains, mu=mu, **o
            ),
        )
        for model in brian2_nest_stdp.MARKS
        for mu in (0.0, 0.4, 1.0)
    },
}


@pytest.mark.parametrize("name", CASES)
def test_rule(name: str) -> None:
    rule, reference = CASES[name]
    rng = np.random.default_rng(1)
    pre, post = trains(rng)
    n = len(pre)
    weight = rng.uniform(0.05, 0.95, n)
    weight[-2:] = 0.0, 1.0
    axonal, dendritic = (rng.integers(0, 40, n) * DT for _ in range(2))
    axonal[: n // 2 : 2] = dendritic[: n // 2 : 2] = 0.0
    wanted = reference(
        seconds(pre), seconds(post), STEPS * DT, weight=weight, axonal_delay=axonal,
        dendritic_delay=dendritic,
    )  # fmt: skip
    found = learned(rule, pre, post, weight, axonal, dendritic)
    assert np.abs(found - wanted).max() < 1e-12
    assert np.abs(wanted - weight).max() > 0.1
    assert wanted.min() >= 0 and wanted.max() <= 1


THIRD: dict[str, tuple[Any, Any]] = {
    **{
        name: (
            kind(rate=0.02),
            lambda *given, name=name, **o: brian2_florian.run(name, *given, gamma=0.02, **o),
        )
        for name, kind in (("MSTDP", rules.MSTDP), ("MSTDPET", rules.MSTDPET))
    },
    **{
        type(rule).__name__: (
            rule,
            lambda *given, rule=rule, **o: brian2_rates.run(
                type(rule).__name__, *given, rate=rule.rate, **o
            ),
        )
        for rule in (
            rules.Hebb(tau=0.02, rate=2e-5, decay=2.0),
            rules.Covariance(tau=0.02, rate=3e-5, tau_mean=0.5),
            rules.Oja(tau=0.02, rate=3e-3, w_scale=1.5),
            rules.BCM(tau=0.02, rate=1e-4, tau_theta=0.1, target=4.0),
            rules.Delta(tau=0.02, rate=0.02),
            rules.PES(tau=0.02, rate=0.1),
            rules.Contrastive(tau=0.02, rate=0.01),
        )
    },
}


@pytest.mark.parametrize("name", THIRD)
def test_rule_of_rates_or_with_a_third_factor(name: str) -> None:
    rule, reference = THIRD[name]
    rng = np.random.default_rng(6)
    pre, post = trains(rng)
    n = len(pre)
    weight = rng.uniform(0.05, 0.95, n)
    axonal, dendritic = (rng.integers(0, 40, n) * DT for _ in range(2))
    factor = np.repeat(rng.normal(0, 2, STEPS // 20), 20)
    wanted = reference(
        seconds(pre), seconds(post), factor, STEPS * DT, weight=weight, axonal_delay=axonal,
        dendritic_delay=dendritic,
    )  # fmt: skip
    found = learned(rule, pre, post, weight, axonal, dendritic, factor)
    assert np.abs(found - wanted).max() < 1e-12 * max(1.0, np.abs(wanted).max())
    assert np.abs(wanted - weight).max() > 0.1 and np.unique(wanted.round(6)).size > n // 2


def test_homeostatic_scaling() -> None:
    rng = np.random.default_rng(2)
    pre, post = trains(rng)
    n = len(post)
    weight = rng.uniform(-1, 1, n)
    dendritic = rng.integers(0, 40, n) * DT
    rule = rules.HomeostaticScaling(target=500.0, rate=0.05, tau=0.01)
    wanted = brian2_homeostatic_scaling.run(
        seconds(post), STEPS * DT, weight=weight, dendritic_delay=dendritic, target=500.0,
        rate=0.05, tau=0.01,
    )  # fmt: skip
    found = learned(rule, pre, post, weight, 0.0, dendritic)
    assert np.abs(found - wanted).max() < 1e-12
    assert (wanted / weight).max() > 2 and (wanted / weight).min() < 0.5


# ------------------------------------------------------------------ e-prop, on torch layers


@pytest.mark.parametrize("beta", [0.0, 0.4])
def test_eprop(beta: float) -> None:
    """A recurrent layer of its neurons, the error sent back through the readout's weights."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(4)
    steps, inputs, units, outputs, rate = 150, 6, 5, 2, 1e-3
    x = (rng.random((steps, inputs)) < 0.2) * 1.0
    x[50:60] = 1.0  # a burst
    target = rng.standard_normal((steps, outputs))
    w_in = rng.uniform(0, 0.4, (inputs, units))
    w_rec = rng.normal(0, 0.3, (units, units))
    w_out = rng.standard_normal((units, outputs))
    trains = [np.flatnonzero(train) * 1e-3 for train in x.T]
    wanted_in, wanted_rec, wanted_spikes = brian2_eprop.run(
        trains, target, w_in, w_rec, w_out, beta=beta, rate=rate
    )

    class Neurons(torch.nn.Module):  # type: ignore[name-defined, misc]
        """Of Bellec et al.: the spikes of a step count in the next."""

        def __init__(self) -> None:
            super().__init__()
            self.v = self.a = self.z = torch.zeros(1, units, dtype=torch.float64)

        def forward(self, current: Any) -> tuple[Any, Any]:
            self.v = math.exp(-1 / 20) * self.v + current - 0.6 * self.z
            self.a = math.exp(-1 / 50) * self.a + self.z
            self.z = (self.v > 0.6 + beta * self.a).to(self.v)
            return self.z, self.v

    neurons = Neurons()
    rule = rules.EProp(
        rate=rate, tau_m=20e-3, tau_out=15e-3, threshold=0.6, height=0.3, beta=beta, tau_a=50e-3
    )
    readout, wanted = torch.tensor(w_out), torch.tensor(target)
    layers, learners = [], []
    for weight in (w_in, w_rec):
        layer = torch.nn.Linear(*weight.shape, bias=False, dtype=torch.float64)
        layer.weight.data = torch.tensor(weight.T)
        layers.append(layer)
        learners.append(rules.attach(layer, rule, post=neurons, dt=1e-3, reduction="sum"))
    y, spikes = torch.zeros(1, outputs, dtype=torch.float64), []
    with torch.no_grad():
        for k in range(steps + 1):  # one step more takes the last error
            step = torch.tensor(x[[min(k, steps - 1)]])
            z, _ = neurons(layers[0](step) + layers[1](neurons.z))
            if k == steps:
                break
            spikes.append(z[0].numpy())
            y = math.exp(-1 / 15) * y + z @ readout
            for learner in learners:
                learner.signals["learning_signal"] = (y - wanted[k]) @ readout.T
    for learner in learners:
        learner.step()
    assert np.array_equal(np.array(spikes), wanted_spikes) and wanted_spikes.sum() > 100
    for layer, before, new in zip(layers, (w_in, w_rec), (wanted_in, wanted_rec), strict=True):
        found = layer.weight.detach().numpy().T
        assert np.abs(found - new).max() < 1e-12 * np.abs(new).max()
        assert np.abs(new - before).max() > 0.1
