"""Companions: scaling to a target rate, and normalisation of the sum of weights."""

import math
from typing import Any

import numpy as np
import pytest
import torch

import neuroflip as nf
from neuroflip import equations as eq
from neuroflip.neurons import DeltaLIF
from neuroflip.rules.homeostasis import HomeostaticScaling, WeightNormalisation
from neuroflip.units import mV

DT = 1e-4
FORCED = DeltaLIF(tau_m=DT, v_threshold=1e4, refractory=0.0)


def drive(rule: Any, post: list[list[int]], steps: int, weight: Any, dendritic: Any = 0,
          dt: float = DT) -> tuple[nf.Circuit, dict[str, Any]]:  # fmt: skip
    wave = np.zeros((steps, len(post)))
    for j, train in enumerate(post):
        wave[train, j] = 1.0
    circuit = nf.Circuit(
        "scaling", [nf.Population("post", FORCED, len(post))],
        [nf.Projection("pre", "post", weight, rule=rule, name="w",
                       dendritic_delay=np.array(dendritic) * dt)],
        [nf.SpikeInput("pre", 2), nf.CurrentInput("force", "post")],
    )  # fmt: skip
    return circuit, {"force": wave}


@pytest.mark.parametrize("engine", nf.ENGINES)
def test_random_trains(engine: str) -> None:
    """Each neuron at its own rate; excitatory and inhibitory weights keep their signs."""
    rng = np.random.default_rng(0)
    rule, steps = HomeostaticScaling(target=500.0, rate=0.1, tau=0.01), 300
    post = [np.flatnonzero(rng.random(steps) < p).tolist() for p in (0.0, 0.02, 0.3)]
    weight = np.array([[1.0, 2.0, 3.0], [-1.0, -2.0, -0.5]])
    dendritic = np.array([[0, 3, 10], [5, 0, 40]])
    case = drive(rule, post, steps, weight, dendritic)
    found = nf.simulate(*case, duration=steps * DT, engine=engine).weights["w"].reshape(2, 3)
    for (i, j), start in np.ndenumerate(weight):
        w, y = float(start), 0.0
        for k in range(steps):
            w, y = w + DT * 0.1 * w * (500.0 - y), y * math.exp(-DT / 0.01)
            y += (k - dendritic[i, j] in post[j]) / 0.01
        assert found[i, j] == pytest.approx(w, rel=1e-12)
    assert (np.sign(found) == np.sign(weight)).all()
    assert found[0, 0] > 1.0 and found[0, 2] < 3.0


def test_a_silent_neuron_scales_up_exponentially_and_ratios_stay() -> None:
    rule = HomeostaticScaling(target=10.0, rate=0.05, tau=1.0)
    for dt, tolerance in ((1e-3, 2e-4), (1e-4, 2e-5)):
        steps = round(1 / dt)
        end = nf.simulate(*drive(rule, [[]], steps, [1.0, 3.0], dt=dt), duration=1.0, dt=dt)
        assert end.weights["w"] == pytest.approx([math.exp(0.5), 3 * math.exp(0.5)], rel=tolerance)


def test_it_brings_a_neuron_to_its_target_rate() -> None:
    """From far too strong and far too weak synapses to 20 Hz; the sum over synapses is one."""
    rule = HomeostaticScaling(target=20.0, rate=0.05, tau=0.5)
    for start in (0.4 * mV, 5 * mV):
        circuit = nf.Circuit(
            "target", [nf.Population("post", nf.DeltaLIF())],
            [nf.Projection("pre", "post", start, rule=rule)], [nf.PoissonInput("pre", 15.0, 100)],
        )  # fmt: skip
        rec = nf.simulate(circuit, duration=20.0, dt=1e-3, seed=1)
        times = rec.spikes["post"]
        early = (times < 0.2).sum() / 0.2
        assert early < 16 if start < 1 * mV else early > 35
        assert (times > 12).sum() / 8 == pytest.approx(20, abs=1.5)
        assert np.ptp(rec.weights["pre->post"]) < 1e-12 * mV


def test_normalisation_keeps_ratios_and_reaches_the_total_as_the_logistic_curve() -> None:
    """The declaration, run by hand on a layer's matrix (post, pre) by forward Euler."""
    rule = WeightNormalisation(total=2.0, rate=3.0)
    [flow] = rule.model().flows
    slope = eq.compile_block(
        (eq.Assignment("slope", flow.value),),
        {**eq.NUMPY, "sum_pre": lambda e: e.sum(axis=1, keepdims=True)},
    )
    start = np.array([[0.1, 0.2, 0.3], [3.0, 0.5, 0.0]])
    w, dt = start, 1e-4
    for _ in range(10_000):
        w = w + dt * slope({**rule.parameters(), "w": w})["slope"]
    before = start.sum(axis=1)
    expected = 2.0 / (1 + (2.0 / before - 1) * math.exp(-3.0))
    assert w.sum(axis=1) == pytest.approx(expected, rel=1e-3)
    assert w[0] / w[0].sum() == pytest.approx(start[0] / start[0].sum(), rel=1e-12)
    assert w[1, 2] == 0.0


def test_normalisation_of_a_layer() -> None:
    """`rules.attach` on nn.Linear, against the same steps by hand."""
    rules = pytest.importorskip("neuroflip.rules")
    layer = torch.nn.Linear(3, 2, bias=False).double()
    start = torch.tensor([[0.1, 0.2, 0.3], [3.0, 0.5, 0.0]], dtype=torch.float64)
    layer.weight.data.copy_(start)
    learner = rules.attach(layer, WeightNormalisation(total=2.0, rate=100.0), dt=1e-3)
    expected = start.numpy()
    for _ in range(50):
        layer(torch.zeros(1, 3, dtype=torch.float64))
        learner.step()
        expected = expected * (1 + 0.1 * (1 - expected.sum(1, keepdims=True) / 2.0))
    assert np.abs(layer.weight.detach().numpy() - expected).max() < 1e-12
    assert layer.weight.sum(1).tolist() == pytest.approx([2, 2], rel=0.02)


def test_circuits_refuse_normalisation() -> None:
    with pytest.raises(ValueError, match="WeightNormalisation joins many synapses"):
        drive(WeightNormalisation(), [[]], 1, 0.5)
    with pytest.raises(ValueError, match="tau must be above 0 s"):
        HomeostaticScaling(tau=0)
