"""`unroll`: gradients against closed forms and finite differences; spikes as in `simulate`."""

import math
from typing import Any

import numpy as np
import pytest
import torch

import neuroflip as nf
from neuroflip.engines.unroll import Unrolled, unroll
from neuroflip.units import mV, nA

DT = 1e-3


def tensor(values: Any, grad: bool = True) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64, requires_grad=grad)


def one(neuron: Any, weight: Any = 1.0, n: int = 1, delay: Any = 0.0, **options: Any) -> nf.Circuit:
    receptor = list(neuron.receptors)[0]
    return nf.Circuit(
        "one", [nf.Population("A", neuron)],
        [nf.Projection("in", "A", weight, receptor, axonal_delay=delay, **options)],
        [nf.SpikeInput("in", n), nf.CurrentInput("i", "A")],
    )  # fmt: skip


def busy() -> nf.Circuit:
    rng = np.random.default_rng(3)
    delays = rng.integers(0, 5, (8, 6)) * DT
    return nf.Circuit(
        "busy",
        [
            nf.Population("D", nf.DeltaLIF(), 6, {"v": rng.uniform(0, 15 * mV, 6)}),
            nf.Population("L", nf.LIF(drive=1.4e-10), 4),
            nf.Population("E", nf.DeltaLIF(refractory=0.0), 3),
        ],
        [
            nf.Projection("noise", "D", 5 * mV, axonal_delay=delays),
            nf.Projection("D", "L", rng.uniform(0, 0.6, (6, 4)) * nA, "excitatory",
                          nf.Random(0.7, 1)),
            nf.Projection("L", "E", 9 * mV, dendritic_delay=2 * DT),
            nf.Projection("D", "D", 1.5 * mV, axonal_delay=delays[:6], dendritic_delay=2 * DT,
                          rule=nf.rules.PairSTDP(w_max=3 * mV, a_plus=0.05)),
            nf.Projection("E", "D", -2 * mV, name="back"),
        ],
        [nf.PoissonInput("noise", 90.0, 8)],
    )  # fmt: skip


# ------------------------------------------------------------------ the same simulation


def test_spikes_states_and_weights_are_those_of_simulate() -> None:
    rec = nf.simulate(
        busy(),
        duration=0.15,
        dt=DT,
        engine="torch",
        trials=2,
        seed=4,
        record=["v", "i_exc", "i_inh"],
    )
    found = unroll(busy(), rec.inputs, steps=150, dt=DT)
    assert isinstance(found, Unrolled)
    for name in ("D", "L", "E"):
        spikes = found.spikes[name].detach().numpy()
        assert set(np.unique(spikes)) == {0.0, 1.0}
        for trial in range(2):
            for i, train in enumerate(rec.trains(name, trial)):
                assert np.flatnonzero(spikes[:, trial, i]).tolist() == np.round(train / DT).tolist()
    assert set(found.traces) == set(rec.traces)
    for name, trace in found.traces.items():
        theirs = rec.traces[name].transpose(1, 0, 2)
        assert np.abs(trace.detach().numpy() - theirs).max() <= 1e-13 * np.abs(theirs).max(), name
    weights = found.weights["D->D"].detach().numpy()
    assert np.abs(weights - rec.weights["D->D"]).max() < 1e-15
    assert np.abs(weights - 1.5 * mV).max() > 1e-5


def test_poisson_inputs_are_drawn_from_the_seed() -> None:
    first = unroll(busy(), steps=40, dt=DT, seed=1).spikes["D"]
    rec = nf.simulate(busy(), duration=40 * DT, dt=DT, seed=1)
    assert first.shape == (40, 1, 6)
    assert (
        np.flatnonzero(first[:, 0, 2].detach().numpy()).tolist()
        == np.round(rec.trains("D")[2] / DT).tolist()
    )
    assert not torch.equal(first, unroll(busy(), steps=40, dt=DT, seed=2).spikes["D"])


@pytest.mark.parametrize("name", ["noise->D", "D->L", "L->E", "D->D", "back"])
def test_given_weights_stand_in_for_the_circuits(name: str) -> None:
    """Each projection in turn, static and plastic, against a circuit built with those weights."""
    import dataclasses

    base = busy()
    chosen = next(p for p in base.projections if p.name == name)
    count = base.synapses(chosen).pre.size
    scale = 1e-12 if name == "D->L" else 1e-5
    weight = base.synapses(chosen).weight + scale * np.arange(count)
    changed = dataclasses.replace(
        base, projections=[p if p is not chosen else dataclasses.replace(p, weight=weight)
                           for p in base.projections],
    )  # fmt: skip
    a = unroll(base, steps=60, dt=DT, weights={name: torch.tensor(weight)})
    b = unroll(changed, steps=60, dt=DT)
    plain = unroll(base, steps=60, dt=DT)
    assert all(torch.equal(a.traces[t], b.traces[t]) for t in a.traces)
    assert torch.equal(a.weights["D->D"], b.weights["D->D"])
    assert any(not torch.equal(a.traces[t], plain.traces[t]) for t in a.traces)


# ------------------------------------------------------------------ gradients without spikes


def test_gradient_of_a_delta_synapse_is_its_closed_form() -> None:
    """dv(T)/dw_i = sum over its spikes of exp(-(T - arrival)/tau)."""
    times = [[0, 5, 6], [3], []]
    delays = np.array([0, 4, 0])
    circuit = one(nf.DeltaLIF(v_threshold=100.0), 1.0, 3, delays[:, None] * DT)
    w = tensor([0.5, 0.25, 1.0])
    out = unroll(
        circuit, {"in": [np.array(t) * DT for t in times]}, steps=20, dt=DT, weights={"in->A": w}
    )
    last = out.traces["A.v"][19, 0, 0]
    last.backward()
    expected = [
        sum(math.exp(-(19 - (k + d + 1)) * DT / 0.02) for k in train)
        for train, d in zip(times, delays, strict=True)
    ]
    assert np.allclose(w.grad, expected, rtol=1e-13, atol=0)
    assert math.isclose(last.item(), np.dot(expected, [0.5, 0.25, 1.0]), rel_tol=1e-13)


@pytest.mark.parametrize("tau_s", [0.005, 0.02, 0.05])
def test_gradient_of_an_exponential_synapse_is_its_closed_form(tau_s: float) -> None:
    circuit = one(nf.LIF(tau_e=tau_s, resistance=1.0, v_threshold=100.0), 0.3, 2)
    w = tensor([0.3, 0.7])
    out = unroll(circuit, {"in": [[0.0], [4 * DT]]}, steps=15, dt=DT, weights={"in->A": w})
    out.traces["A.v"][14, 0, 0].backward()
    for gradient, k in zip(w.grad, (0, 4), strict=True):
        t = (14 - k - 1) * DT
        exact = (
            t / 0.02 * math.exp(-t / 0.02) if tau_s == 0.02 else
            tau_s / (tau_s - 0.02) * (math.exp(-t / tau_s) - math.exp(-t / 0.02))
        )  # fmt: skip
        assert math.isclose(gradient, exact, rel_tol=1e-12)


@pytest.mark.parametrize(
    "neuron", [nf.DeltaLIF(v_threshold=1e3, drive=1e-9), nf.LIF(v_threshold=1e3, resistance=1.0)]
)
def test_gradients_pass_gradcheck(neuron: Any) -> None:
    """Finite differences: every sample of every state, with respect to every weight."""
    circuit = one(neuron, 1.0, 3, [[0.0], [DT], [3 * DT]])
    given = {"in": [[0.0, 2 * DT], [DT, 2 * DT, 3 * DT], [0.0]]}

    def states(w: torch.Tensor) -> tuple[torch.Tensor, ...]:
        out = unroll(circuit, given, steps=9, dt=DT, weights={"in->A": w})
        return tuple(out.traces.values())

    assert torch.autograd.gradcheck(states, (tensor([0.3, -0.8 + 2, 0.5]),), eps=1e-6, atol=1e-8)


def test_gradients_pass_gradcheck_through_plasticity() -> None:
    """Of the final weights and the membrane, through 25 events of a smooth rule, bounds not met."""
    rule = nf.rules.PairSTDP(a_plus=0.05, a_minus=0.04, mu_plus=0.5, mu_minus=1.0, w_max=4.0)
    circuit = one(
        nf.DeltaLIF(v_threshold=1e3, refractory=0.0, tau_m=DT),
        2.0,
        2,
        [[0.0], [2 * DT]],
        dendritic_delay=DT,
        rule=rule,
    )
    wave = np.zeros(30)
    wave[[4, 9, 17, 18, 25]] = 1.0
    given = {"in": [np.array([1, 4, 8, 9, 10, 20]) * DT, np.array([2, 3, 16, 24]) * DT], "i": wave}

    def results(w: torch.Tensor) -> tuple[torch.Tensor, ...]:
        out = unroll(circuit, given, steps=30, dt=DT, weights={"in->A": w})
        assert out.spikes["A"].sum() == 5
        return out.weights["in->A"], out.traces["A.v"]

    assert torch.autograd.gradcheck(results, (tensor([1.5, 2.5]),), eps=1e-6, atol=1e-7)


def test_gradient_of_a_multiplicative_depression_is_its_product() -> None:
    """w <- w (1 - a y_i) at each pre spike, so d(final)/d(initial) is the product."""
    rule = nf.rules.PairSTDP(a_plus=0.0, a_minus=0.1, mu_minus=1.0, w_max=4.0, tau_minus=0.01)
    circuit = one(nf.DeltaLIF(v_threshold=1e3, refractory=0.0, tau_m=DT), 2.0, rule=rule)
    wave = np.zeros(20)
    wave[1] = 1.0
    w = tensor([2.0])
    out = unroll(
        circuit, {"in": np.array([5, 8, 13]) * DT, "i": wave}, steps=20, dt=DT, weights={"in->A": w}
    )
    out.weights["in->A"].sum().backward()
    product = math.prod(1 - 0.1 * math.exp(-(k - 1) * DT / 0.01) for k in (5, 8, 13))
    assert math.isclose(w.grad.item(), product, rel_tol=1e-13)
    assert math.isclose(out.weights["in->A"].item(), 2.0 * product, rel_tol=1e-13)


# ------------------------------------------------------------------ the surrogate


@pytest.mark.parametrize("width", [1e-3, 0.02])
@pytest.mark.parametrize("weight", [0.010, 0.0157, 0.016, 0.040])
def test_surrogate_gradient_of_one_neuron_in_one_step(weight: float, width: float) -> None:
    """Fired or not: dS/dw = e / (width (1 + |m|/width)^2), m = w e - theta, e = exp(-dt/tau)."""
    w = tensor([weight])
    out = unroll(
        one(nf.DeltaLIF()), {"in": [0.0]}, steps=2, dt=DT, weights={"in->A": w}, width=width
    )
    decay = math.exp(-DT / 0.02)
    m = weight * decay - 0.015
    spikes = out.spikes["A"][:, 0, 0]
    assert spikes.tolist() == [0.0, 1.0 if m > 0 else 0.0]
    spikes[1].backward()
    assert math.isclose(w.grad.item(), decay / (width * (1 + abs(m) / width) ** 2), rel_tol=1e-12)


@pytest.mark.parametrize("weight", [0.014, 0.02])
def test_the_surrogate_reaches_the_next_neuron(weight: float) -> None:
    """Of B's potential: w_AB times the surrogate with respect to A's weight, whether A fired or is
    silent; A's spike (0 or 1) with respect to w_AB."""
    circuit = nf.Circuit(
        "two",
        [nf.Population("A", nf.DeltaLIF()), nf.Population("B", nf.DeltaLIF(v_threshold=1e3))],
        [nf.Projection("in", "A", 1.0), nf.Projection("A", "B", 0.004, axonal_delay=2 * DT)],
        [nf.SpikeInput("in")],
    )  # fmt: skip
    w, between = tensor([weight]), tensor([0.004])
    out = unroll(circuit, {"in": [0.0]}, steps=5, dt=DT, weights={"in->A": w, "A->B": between})
    v = out.traces["B.v"][:, 0, 0]
    decay = math.exp(-DT / 0.02)
    m = weight * decay - 0.015
    fired = float(m > 0)
    assert v.tolist() == [0.0, 0.0, 0.0, 0.0, fired * 0.004]  # sent in 1, arrived in 3
    v[4].backward()
    assert between.grad.item() == fired
    # a silent A of step 1 has another chance in step 2, but that arrives a step later
    assert math.isclose(
        w.grad.item(), 0.004 * decay / (1e-3 * (1 + abs(m) / 1e-3) ** 2), rel_tol=1e-12
    )


def test_no_gradient_while_refractory_nor_through_the_reset() -> None:
    """After a spike the potential no longer depends on what caused it."""
    w = tensor([0.02])
    out = unroll(
        one(nf.DeltaLIF(refractory=3 * DT)), {"in": [0.0]}, steps=8, dt=DT, weights={"in->A": w}
    )
    assert out.spikes["A"][:, 0, 0].tolist() == [0, 1, 0, 0, 0, 0, 0, 0]
    for k in (2, 3):
        assert not out.spikes["A"][k].requires_grad or not _gradient(out.spikes["A"][k].sum(), w)
    for k in (2, 3, 4, 7):
        assert not _gradient(out.traces["A.v"][k].sum(), w)
    assert _gradient(out.traces["A.v"][1].sum(), w) == 1.0


def _gradient(value: torch.Tensor, w: torch.Tensor) -> float:
    [found] = torch.autograd.grad(value, w, retain_graph=True, allow_unused=True)
    return 0.0 if found is None else found.item()


def test_gradients_through_a_busy_circuit_are_finite_and_repeatable() -> None:
    gradients = []
    for _ in range(2):
        w = torch.full((48,), 5 * mV, dtype=torch.float64, requires_grad=True)
        out = unroll(busy(), steps=50, dt=DT, weights={"noise->D": w}, width=5 * mV, seed=2)
        (out.spikes["E"].sum() + out.weights["D->D"].sum()).backward()
        gradients.append(w.grad.clone())
    assert torch.isfinite(gradients[0]).all() and (gradients[0] != 0).any()
    assert torch.equal(*gradients)


# ------------------------------------------------------------------ arguments


def test_shapes_and_trials() -> None:
    out = unroll(busy(), [{}, {}, {}], steps=7, dt=DT)
    assert {k: tuple(v.shape) for k, v in out.spikes.items()} == {
        "D": (7, 3, 6),
        "L": (7, 3, 4),
        "E": (7, 3, 3),
    }
    assert out.traces["L.i_exc"].shape == (7, 3, 4) and out.weights["D->D"].shape == (3, 36)
    single = unroll(busy(), steps=7, dt=DT, dtype=torch.float32)
    assert single.traces["D.v"].dtype == torch.float32


@pytest.mark.parametrize(
    ("weights", "error", "message"),
    [
        ({"in": torch.ones(1)}, ValueError, "weights: there is no projection 'in'; "),
        ({"in->B": torch.ones(1)}, ValueError,
         "weights: there is no projection 'in->B'; did you mean 'in->A'?"),
        ({"in->A": torch.ones(2)}, ValueError, "weights['in->A'] must have shape (1,); got (2,)."),
        ({"in->A": torch.ones(())}, ValueError, "weights['in->A'] must have shape (1,); got ()."),
        ({"in->A": torch.ones(1, 1)}, ValueError,
         "weights['in->A'] must have shape (1,); got (1, 1)."),
        ({"in->A": np.ones(1)}, TypeError, "weights['in->A'] must be a torch tensor"),
        ({"in->A": [1.0]}, TypeError, "weights['in->A'] must be a torch tensor"),
        ({"in->A": 1.0}, TypeError, "weights['in->A'] must be a torch tensor"),
    ],
)  # fmt: skip
def test_weights_refused(weights: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        unroll(one(nf.DeltaLIF()), steps=2, dt=DT, weights=weights)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("name", "value"),
    [("steps", 0), ("steps", -1), ("steps", 2.0), ("dt", 0.0), ("dt", -1e-3), ("dt", math.nan),
     ("width", 0.0), ("width", -1e-3), ("width", math.nan)],
)  # fmt: skip
def test_arguments_refused(name: str, value: Any) -> None:
    with pytest.raises((ValueError, TypeError), match=f"^{name} must be"):
        unroll(one(nf.DeltaLIF()), **{"steps": 2, "dt": DT, name: value})


def test_inputs_refused_as_in_simulate() -> None:
    with pytest.raises(ValueError, match="^circuit 'one' has no input 'im'"):
        unroll(one(nf.DeltaLIF()), {"im": []}, steps=2, dt=DT)
    with pytest.raises(ValueError, match="spike times must lie within the run, 0 to 0.002 s"):
        unroll(one(nf.DeltaLIF()), {"in": [2 * DT]}, steps=2, dt=DT)
