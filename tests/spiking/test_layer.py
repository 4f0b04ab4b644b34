"""SpikingFlipFlop: latch, truth table, gradients, states, snnTorch, and the circuit it is."""

import copy
import warnings
from typing import Any

import numpy as np
import pytest
import snntorch as snn
import torch
from snntorch import functional, spikegen, spikeplot, surrogate
from torch import Tensor, nn

import neuroflip as nf
from neuroflip.spiking import (
    SpikingFlipFlop,
    State,
    Unit,
    inputs_of,
    reset,
    spikes_of,
    to_circuit,
)
from neuroflip.units import ms

DT = 1 * ms


def jk_layer(current: float = 1.5, **more: Any) -> SpikingFlipFlop:
    """One unit; feature 0 is its J, feature 1 its K."""
    layer = SpikingFlipFlop(2, 1, **more)
    with torch.no_grad():
        layer.weight_ih.copy_(torch.eye(2) * current)
    return layer


def random_layer(seed: int, inputs: int = 6, units: int = 5, **more: Any) -> SpikingFlipFlop:
    torch.manual_seed(seed)
    layer = SpikingFlipFlop(inputs, units, dtype=torch.float64, **more)
    with torch.no_grad():
        nn.init.uniform_(layer.bias, -0.2, 0.5)
    return layer


def random_spikes(steps: int, batch: int, features: int, rate: float = 0.3) -> Tensor:
    return (torch.rand(steps, batch, features) < rate).double()


def jk(inputs: Tensor) -> list[float]:
    """The truth table, one step late."""
    bit, bits = 0.0, []
    for j, k in inputs.reshape(-1, 2).tolist():
        bits.append(bit)
        bit = j * (1 - bit) + (1 - k) * bit
    return bits


# ------------------------------------------------------------------ the latch


def test_every_transition_of_the_truth_table() -> None:
    """Random single-step J and K, also in consecutive steps; both together toggle."""
    torch.manual_seed(0)
    layer = jk_layer(beta=0.25)  # what one pulse leaves of 1.5, 0.375, is nothing to the next
    pulses = (torch.rand(400, 1, 2) < 0.25).float()
    spikes, state = layer(pulses)
    assert spikes.flatten().tolist() == jk(pulses)
    assert 100 < spikes.sum() < 300 and bool((pulses.sum(-1) == 2).any())


def test_a_bit_is_held_for_a_million_steps_and_more() -> None:
    """At rest the state does not change at all, so it is the same after any number of steps."""
    layer = jk_layer(dtype=torch.float64, beta=0.7, margin=0.3)
    for bit in (0.0, 1.0):
        with torch.no_grad():
            start = layer.initial(1, torch.tensor([[bit]]))
            _, state = layer(torch.zeros(200, 1, 2).double(), start)
            _, later = layer(torch.zeros(1, 1, 2).double(), state)
        assert torch.equal(state.mem, later.mem) and torch.equal(state.spk, later.spk)
        assert float(later.spk[0, 2]) == bit and float(later.spk[0, 3]) == 1 - bit


def test_exactly_one_of_q_and_qbar_fires_in_every_step() -> None:
    layer = random_layer(1)
    x, state = random_spikes(300, 4, 6), None
    with torch.no_grad():
        for now in x:
            spikes, state = layer(now, state)
            assert torch.equal(state.spk[:, 2] + state.spk[:, 3], torch.ones(4, 5).double())
            assert torch.equal(state.spk[:, 2], spikes)
    assert 0.05 < float(state.spk[:, 2].mean()) < 0.95


@pytest.mark.parametrize("beta", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("margin", [0.01, 1.0, 3.0])
def test_the_closed_form_of_the_latch(beta: float, margin: float) -> None:
    """A disturbance below the margin leaves the bit, one above it flips it; a lasting one likewise
    at (1 - beta) margin. Against the two neurons, iterated."""
    unit = Unit(beta, 1.0, margin, 8.0)

    def holds(disturbance: float, steps: int) -> bool:
        u, s = unit.rest()[[3, 2]], np.array([1.0, 0.0])  # on
        for t in range(2000):
            x = disturbance * np.array([-1, 1]) * (t < steps)
            u = beta * u + unit.drive - unit.inhibition * s[::-1] - s + x
            s = (u > 1).astype(float)
        return bool(s[0] == 1 and s[1] == 0)

    assert holds(0.0, 0)
    assert holds(0.999 * margin, 1) and not holds(1.001 * margin, 1)
    assert unit.lasting == pytest.approx((1 - beta) * margin)
    assert holds(0.999 * unit.lasting, 2000) and not holds(1.001 * unit.lasting, 2000)


def test_two_neurons_with_excitatory_pulses_alone_fall_into_step() -> None:
    """Why a unit has gates that silence one side: a one-step pulse to the silent neuron lets both
    fire, and then they fire and fall silent together, for ever."""
    unit = Unit(0.5)
    u, s = unit.rest()[[3, 2]], np.array([1.0, 0.0])
    for t in range(200):
        u = 0.5 * u + unit.drive - unit.inhibition * s[::-1] - s + np.array([0, 2.0]) * (t == 10)
        s = (u > 1).astype(float)
        assert t < 10 or s[0] == s[1]


def test_a_shut_gate_stays_shut_up_to_its_gating() -> None:
    for current, broken in ((8.9, False), (9.1, True)):
        layer = jk_layer(current, gating=8.0)
        _, state = layer(torch.tensor([[[1.0, 0.0]]]), layer.initial(1, torch.ones(1, 1)))
        assert bool(state.spk[0, 0]) is broken


def test_biases_that_fire_a_gate_are_told() -> None:
    layer = SpikingFlipFlop(1, 3, beta=0.75)
    with torch.no_grad():
        layer.bias.copy_(torch.tensor([0.24, 0.26, 0.0, 0.0, 0.0, 0.26]))  # limit: 0.25
        spikes, _ = layer(torch.zeros(100, 1, 1), layer.initial(1, torch.tensor([[0.0, 0, 1]])))
    assert layer.holds().tolist() == [True, False, False]
    assert spikes[-1, 0].tolist() == [0, 1, 0]
    assert SpikingFlipFlop(1, 2, bias=False).holds().tolist() == [True, True]


# ------------------------------------------------------------------ gradients


def test_the_gradient_of_the_latch_is_that_of_the_jk_equation() -> None:
    """q' = J (1 - q) + (1 - K) q: held, it passes whole; set or reset, not; toggled, reversed."""
    layer = jk_layer(dtype=torch.float64, beta=0.25)
    for first in (0.0, 1.0):
        for (j, k), slope in {(0, 0): 1.0, (1, 0): 0.0, (0, 1): 0.0, (1, 1): -1.0}.items():
            state = layer.initial(1, torch.tensor([[first]]))
            start = State(state.mem, state.spk.clone().requires_grad_())
            x = torch.zeros(30, 1, 2).double()
            x[10] = torch.tensor([j, k])
            spikes, _ = layer(x, start)
            (gradient,) = torch.autograd.grad(spikes[-1].sum(), start.spk)
            assert float(gradient[0, 2]) == slope


def test_the_gradient_of_a_current_is_surrogate() -> None:
    """By hand: a pulse of 0.8 at step 3 into J of a unit that is off; atan, slope of the bit
    1/(1 + (pi (u - 1))^2), u = 0.8 beta^n after n steps."""
    layer = jk_layer(0.8, dtype=torch.float64, beta=0.5)
    x = torch.zeros(20, 1, 2).double()
    x[3, 0, 0] = 1
    spikes, _ = layer(x)
    spikes[-1].sum().backward()
    u = 0.8 * 0.5 ** np.arange(16.0)  # the gate of steps 3 to 18
    expected = (0.5 ** np.arange(16.0) / (1 + (np.pi * (u - 1)) ** 2)).sum()
    assert float(layer.weight_ih.grad[0, 0]) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    "spike_grad",
    [surrogate.fast_sigmoid(5), surrogate.triangular(), surrogate.straight_through_estimator()],
    ids=["fast_sigmoid", "triangular", "straight through"],
)
def test_surrogates_of_snntorch_change_gradients_and_no_spike(spike_grad: Any) -> None:
    x = random_spikes(50, 3, 6)
    results = []
    for choice in (None, spike_grad):
        layer = random_layer(2, spike_grad=choice, learn_beta=True, recurrent=True)
        spikes, _ = layer(x)
        spikes.sum().backward()
        results.append((spikes, layer.weight_ih.grad, layer.logit_beta.grad))
    assert torch.equal(results[0][0], results[1][0])
    for gradient in (results[0][1:], results[1][1:]):
        assert all(bool(torch.isfinite(g).all()) and bool(g.abs().sum() > 0) for g in gradient)
    assert not torch.equal(results[0][1], results[1][1])


def test_a_latch_is_learned() -> None:
    """From random weights: J on a set line, K on a reset line; right in trials of 200 steps."""
    torch.manual_seed(0)
    layer, readout = SpikingFlipFlop(2, 8), nn.Linear(8, 1)
    optimizer = torch.optim.Adam([*layer.parameters(), *readout.parameters()], lr=0.05)

    def trial(steps: int) -> tuple[Tensor, Tensor]:
        pulses = torch.zeros(steps, 32, 2)
        pulses.scatter_(2, torch.randint(0, 2, (steps, 32, 1)), 1)
        pulses *= torch.rand(steps, 32, 1) < 0.15
        bit, bits = torch.zeros(32), []
        for j, k in (now.unbind(1) for now in pulses):
            bits.append(bit)
            bit = j * (1 - bit) + (1 - k) * bit
        return pulses, torch.stack(bits)

    for _ in range(60):
        pulses, bits = trial(30)
        score = readout(layer(pulses)[0])[..., 0]
        loss = nn.functional.binary_cross_entropy_with_logits(score, bits)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    pulses, bits = trial(200)
    right = (readout(layer(pulses)[0])[..., 0] > 0) == (bits > 0)
    assert float(right.float().mean()) > 0.99
    assert layer.holds().any()


def test_a_gradient_reaches_back_over_a_hundred_steps() -> None:
    """One pulse at the start, the error only at the end: learned, as holding passes it whole."""
    torch.manual_seed(0)
    layer, readout = SpikingFlipFlop(2, 8), nn.Linear(8, 1)
    optimizer = torch.optim.Adam([*layer.parameters(), *readout.parameters()], lr=0.05)
    for _ in range(40):
        bit = torch.randint(0, 2, (32,))
        x = torch.zeros(100, 32, 2)
        x[0, torch.arange(32), bit] = 1
        score = readout(layer(x)[0][-1])[:, 0]
        loss = nn.functional.binary_cross_entropy_with_logits(score, bit.float())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert bool(((score > 0) == (bit > 0)).all()) and float(loss.detach()) < 0.4


# ------------------------------------------------------------------ steps, states, snnTorch


def test_step_by_step_is_the_sequence() -> None:
    layer = random_layer(3, recurrent=True)
    x = random_spikes(40, 3, 6)
    whole, end = layer(x)
    state, steps = None, []
    for now in x:
        spikes, state = layer(now, state)
        steps.append(spikes)
    assert torch.equal(torch.stack(steps), whole)
    assert torch.equal(state.mem, end.mem) and torch.equal(state.spk, end.spk)
    whole.sum().backward()
    first = layer.weight_ih.grad.clone()
    layer.zero_grad()
    torch.stack(steps).sum().backward()
    assert torch.allclose(layer.weight_ih.grad, first, rtol=1e-12)
    parts = torch.cat([(one := layer(x[:15]))[0], layer(x[15:], one[1].detach())[0]])
    assert torch.equal(parts, whole)


def network() -> nn.Sequential:
    torch.manual_seed(5)
    return nn.Sequential(
        nn.Linear(6, 12), snn.Leaky(0.8, init_hidden=True),
        SpikingFlipFlop(12, 8, init_hidden=True),
        nn.Linear(8, 4), snn.Leaky(0.8, init_hidden=True, output=True),
    )  # fmt: skip


def test_in_a_network_of_snntorch() -> None:
    """spikegen in, functional loss and accuracy out, a step of training, a raster."""
    net = network()
    x = spikegen.rate(torch.rand(5, 6), num_steps=30)
    labels = torch.tensor([0, 1, 2, 3, 0])
    reset(net)
    spikes = torch.stack([net(now)[0] for now in x])
    loss = functional.ce_rate_loss()(spikes, labels)
    loss.backward()
    flipflop = net[2]
    assert spikes.shape == (30, 5, 4) and flipflop.weight_ih.grad.abs().sum() > 0
    assert 0 <= functional.accuracy_rate(spikes, labels) <= 1
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    axes = matplotlib.figure.Figure().subplots()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        spikeplot.raster(spikes[:, 0].detach(), axes)
    assert len(axes.collections) == 1
    reset(net)
    again = torch.stack([net(now)[0] for now in x])
    assert torch.equal(again, spikes)


def test_reset_is_scoped() -> None:
    first, second = network(), network()
    x = torch.ones(2, 6)
    for net in (first, second):
        net(x)
    reset(first)
    assert first[2].state is None and float(first[1].mem.detach().abs().sum()) == 0
    assert second[2].state is not None and float(second[1].mem.detach().abs().sum()) > 0


def test_a_kept_state_is_never_dropped_or_used_in_silence() -> None:
    layer = SpikingFlipFlop(2, 3, init_hidden=True)
    layer(torch.zeros(4, 2))
    with pytest.raises(ValueError, match=r"^the state kept from the last call does not fit; call "
                       r"reset\(\) first: mem must have shape \(5, 4, 3\)"):  # fmt: skip
        layer(torch.zeros(5, 2))
    layer.reset()
    assert layer(torch.zeros(5, 2)).shape == (5, 3)
    with pytest.raises(TypeError, match="keeps its own state"):
        layer(torch.zeros(5, 2), layer.initial(5))
    layer.double()
    with pytest.raises(ValueError, match=r"does not fit; call reset\(\) first: .*torch.float64"):
        layer(torch.zeros(5, 2).double())
    assert copy.deepcopy(layer).state is None and layer.state is not None
    assert "state" not in " ".join(layer.state_dict())


def test_float32_is_deterministic_and_agrees_with_float64() -> None:
    torch.manual_seed(6)
    layer = SpikingFlipFlop(6, 16)
    x = (torch.rand(200, 4, 6) < 0.2).float()
    with torch.no_grad():
        once, twice = layer(x)[0], layer(x)[0]
        wide = copy.deepcopy(layer).double()(x.double())[0]
    assert once.dtype == torch.float32 and torch.equal(once, twice)
    assert torch.equal(once.double(), wide)


@pytest.mark.parametrize(
    "more, text",
    [
        ({"margin": 0.0}, "margin must be at least 0.001, a thousandth of the threshold: at or "
         "below 0 Q and Qbar do not silence each other and the unit cannot latch"),
        ({"beta": 1.0}, "beta must be above 0 and below 1"),
        ({"beta": 0.0}, "beta must be above 0 and below 1"),
        ({"gating": 0.0}, "gating must be above 0; got 0.0"),
        ({"threshold": -1.0}, "threshold must be above 0; got -1.0"),
    ],
    ids=["margin", "beta 1", "beta 0", "gating", "threshold"],
)  # fmt: skip
def test_units_that_cannot_latch_are_refused(more: dict[str, float], text: str) -> None:
    with pytest.raises(ValueError, match=f"^{text}"):
        SpikingFlipFlop(2, 3, **more)


def test_arguments_and_tensors_are_checked() -> None:
    with pytest.raises(ValueError, match="^hidden_size must be a whole number, at least 1; got 0"):
        SpikingFlipFlop(2, 0)
    with pytest.raises(TypeError, match="^spike_grad must be a function"):
        SpikingFlipFlop(2, 3, spike_grad="atan")
    layer = SpikingFlipFlop(2, 3)
    for x in (torch.zeros(3), torch.zeros(4, 3), torch.zeros(0, 4, 2)):
        with pytest.raises(ValueError, match=r"^input must have shape \(steps, batch, 2\)"):
            layer(x)
    with pytest.raises(ValueError, match=r"^input must be torch.float32 on cpu"):
        layer(torch.zeros(4, 2).double())
    with pytest.raises(ValueError, match=r"^state does not fit: mem must have shape \(4, 4, 3\)"):
        layer(torch.zeros(4, 2), layer.initial(5))
    for bits in (torch.zeros(3), torch.full((1, 3), 0.5)):
        with pytest.raises(ValueError, match=r"^bits must be 0 or 1, of shape \(1, 3\)"):
            layer.initial(1, bits)


# ------------------------------------------------------------------ the circuit


@pytest.mark.parametrize("engine", ["numba", "torch", "brian2"])
@pytest.mark.parametrize(
    "more",
    [{}, {"recurrent": True, "beta": 0.8}, {"margin": 0.2, "threshold": 0.7, "beta": 0.3}],
    ids=["default", "recurrent", "other numbers"],
)
def test_the_circuit_sends_the_same_spikes(more: dict[str, Any], engine: str) -> None:
    """All four neurons of every unit, random programs of input."""
    layer = random_layer(7, **more)
    steps, trials = 200, 2
    x = random_spikes(steps, trials, 6)
    every, state = [], None
    with torch.no_grad():
        for now in x:
            _, state = layer(now, state)
            every.append(state.spk)
    expected = torch.stack(every).numpy()
    rec = nf.simulate(layer.to_circuit(DT), inputs_of(x, DT), duration=(steps + 1) * DT, dt=DT,
                      engine=engine)  # fmt: skip
    for number, role in enumerate(("set", "reset", "Q", "Qbar")):
        assert np.array_equal(spikes_of(rec, role), expected[:, :, number]), role
    assert min(expected.sum((0, 1, 3))) > 100


def test_a_network_with_a_flip_flop_layer_inside() -> None:
    torch.manual_seed(8)

    def beta() -> Tensor:
        return torch.tensor(0.8, dtype=torch.float64)

    modules = [
        nn.Linear(6, 10).double(), snn.Leaky(beta(), threshold=0.3),
        random_layer(9, 10, 6),
        nn.Linear(6, 4).double(), snn.Leaky(beta(), threshold=0.3),
    ]  # fmt: skip
    x = random_spikes(200, 1, 6)
    mem = [torch.zeros(1, 10).double(), torch.zeros(1, 4).double()]
    state, seen = None, []
    with torch.no_grad():
        for now in x:
            a, mem[0] = modules[1](modules[0](now), mem[0])
            b, state = modules[2](a.double(), state)
            c, mem[1] = modules[4](modules[3](b), mem[1])
            seen.append((a, b, c))
    circuit = to_circuit(modules, DT)
    rec = nf.simulate(circuit, inputs_of(x, DT), duration=203 * DT, dt=DT)
    for n, name in enumerate(("layer1", "layer2.Q", "layer3")):
        expected = torch.stack([step[n] for step in seen]).numpy()
        assert np.array_equal(spikes_of(rec, name, n + 1)[:200], expected), name
        assert expected.sum() > 100


def test_one_unit_has_a_readout_and_its_engines_agree() -> None:
    layer = jk_layer(1.5, beta=0.25, dtype=torch.float64)
    torch.manual_seed(1)
    pulses = (torch.rand(100, 1, 2) < 0.2).double()
    report = nf.compare(layer.to_circuit(DT), inputs_of(pulses, DT), duration=101 * DT, dt=DT)
    assert report.ok and report.threshold_margin > 0.1, report
    _, bits = report.recordings["brian2"].bit("bit")
    assert bits[1:].tolist() == jk(pulses)
