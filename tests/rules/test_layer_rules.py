"""Rate rules and rules written in Python, on torch layers: against closed forms and autograd."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import neuroflip as nf
from neuroflip.rules import Rule
from neuroflip.rules.eprop import EProp, FlipFlopEProp
from neuroflip.rules.force import RLS
from neuroflip.rules.learner import attach
from neuroflip.rules.rate import (
    BCM,
    PES,
    Contrastive,
    Covariance,
    Delta,
    DifferentiablePlasticity,
    Hebb,
    Oja,
    Sanger,
    SoftHebb,
)

F64 = torch.float64
Array = np.ndarray[Any, Any]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Matrices this small gain nothing from threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def linear(inputs: int, outputs: int, seed: int = 0) -> nn.Linear:
    torch.manual_seed(seed)
    layer = nn.Linear(inputs, outputs, bias=False, dtype=F64)
    nn.init.normal_(layer.weight, std=0.3)
    return layer


# ------------------------------------------------------------------ one presentation, by hand


def softmax(y: Array) -> Array:
    return np.exp(y) / np.exp(y).sum()


CHANGES: dict[str, tuple[Rule, Callable[[Array, Array, Array], Array]]] = {
    "Hebb": (Hebb(rate=0.1, decay=0.2), lambda x, y, w: 0.1 * np.outer(y, x) - 0.2 * w),
    "Oja": (Oja(rate=0.1), lambda x, y, w: 0.1 * (np.outer(y, x) - (y**2)[:, None] * w)),
    "Sanger": (
        Sanger(rate=0.1),
        lambda x, y, w: 0.1 * (np.outer(y, x) - np.tril(np.outer(y, y)) @ w),
    ),
    "SoftHebb": (
        SoftHebb(rate=0.1, temperature=0.5),
        lambda x, y, w: 0.1 * softmax(y / 0.5)[:, None] * (x[None] - y[:, None] * w),
    ),
    "Delta": (
        Delta(rate=0.1),
        lambda x, y, w: 0.1 * np.outer(np.array([0.5, -1.0, 2.0]) - y, x),
    ),
    "PES": (PES(rate=0.1), lambda x, y, w: -0.1 * np.outer([0.5, -1.0, 2.0], x)),
    "Contrastive": (Contrastive(rate=0.1), lambda x, y, w: -0.1 * np.outer(y, x)),
}


@pytest.mark.parametrize("name", CHANGES)
def test_the_change_by_a_batch_is_the_mean_of_the_formula(name: str) -> None:
    rule, change = CHANGES[name]
    layer = linear(5, 3)
    learner = attach(layer, rule)
    for signal in learner.signals:
        value = {"phase": -1.0, "target": [0.5, -1.0, 2.0], "error": [0.5, -1.0, 2.0]}[signal]
        given = torch.tensor(value, dtype=F64)
        learner.signals[signal] = given if given.dim() == 0 else given.expand(4, -1)
    x = torch.randn(4, 5, dtype=F64)
    w = layer.weight.detach().numpy().copy()
    layer(x)
    learner.step()
    expected = w + np.mean([change(a, w @ a, w) for a in x.numpy()], axis=0)
    assert np.abs(layer.weight.detach().numpy() - expected).max() < 1e-14


def test_running_means_and_thresholds_are_those_of_a_loop() -> None:
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((30, 2, 4))
    for rule in (Covariance(rate=0.01, tau_mean=8.0), BCM(rate=0.01, tau_theta=8.0, target=2.0)):
        layer = linear(4, 3)
        w = layer.weight.detach().numpy().copy()
        learner = attach(layer, rule, reduction="sum")
        mx, my, theta = np.zeros((2, 4)), np.zeros((2, 3)), np.zeros((2, 3))
        for x in inputs:
            y = x @ w.T
            layer(torch.tensor(x))
            learner.step()
            if isinstance(rule, Covariance):
                w = np.clip(w + 0.01 * (y - my).T @ (x - mx), -1, 1)
                mx, my = mx + (x - mx) / 8, my + (y - my) / 8
            else:
                w = w + 0.01 * (y * (y - theta)).T @ x
                theta = theta + (y**2 / 2 - theta) / 8
            assert np.abs(layer.weight.detach().numpy() - w).max() < 1e-13
        assert np.abs(w).max() < 10


def test_what_a_layer_passes_on_is_not_the_rules_affair() -> None:
    with pytest.raises(ValueError, match="DifferentiablePlasticity changes what a spike passes"):
        attach(linear(2, 2), DifferentiablePlasticity())


# ------------------------------------------------------------------ where they lead


def test_hebb_stays_within_its_bounds_and_grows_without_end_without_them() -> None:
    layer = linear(6, 4)
    learner = attach(layer, Hebb(rate=0.1))
    x = torch.rand(64, 6, dtype=F64)
    for _ in range(200):
        layer(x)
        learner.step()
        assert layer.weight.abs().max() <= 1.0
    assert (layer.weight.abs() == 1.0).all()
    free = linear(6, 4)
    learner = attach(free, Hebb(rate=0.1, w_min=-1e300, w_max=1e300))
    for _ in range(200):
        free(x)
        learner.step()
    assert free.weight.abs().max() > 1e6


def test_hebb_with_decay_rests_where_both_balance() -> None:
    """y held at 1 by a target layer: w = rate <x>/decay, approached as 1 - (1 - decay)**n."""
    layer = nn.Linear(3, 1, dtype=F64)
    nn.init.zeros_(layer.weight)
    nn.init.ones_(layer.bias)
    learner = attach(layer, Hebb(rate=0.02, decay=0.1), post=nn.Hardtanh(1.0, 1.001))
    x = torch.tensor([[0.5, 1.0, 2.0]], dtype=F64)
    for _ in range(50):
        learner.post(layer(x).clamp(max=1.0))
        learner.step()
    expected = 0.02 * x / 0.1 * (1 - 0.9**50)
    assert (layer.weight - expected).abs().max() < 1e-12


@pytest.mark.parametrize("seed", range(5))
def test_bcm_becomes_selective(seed: int) -> None:
    """Sixteen random patterns, five neurons each from a random start. In the end a neuron answers
    one pattern, with 16 times the target; selectivity 1 - mean/max, at most 15/16."""
    rng = np.random.default_rng(seed)
    patterns = rng.standard_normal((16, 32))
    patterns /= np.linalg.norm(patterns, axis=1)[:, None]
    layer = linear(32, 5)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(rng.standard_normal((5, 32))))
    out = nn.ReLU()
    given = torch.tensor(patterns)

    def selectivity() -> Array:
        with torch.no_grad():
            y = out(layer(given)).numpy()
        return np.asarray(1 - y.mean(axis=0) / y.max(axis=0))

    start = selectivity()
    learner = attach(layer, BCM(rate=0.01, tau_theta=64.0), post=out)
    for _ in range(250):
        for k in rng.permutation(16):
            out(layer(given[k : k + 1]))
            learner.step()
    learner.eval()
    assert start.mean() < 0.85 and selectivity().min() > 0.9
    with torch.no_grad():
        answers = out(layer(given)).max(dim=0).values
    assert (answers - 16).abs().max() < 6


def test_delta_rule_finds_the_map_that_made_the_targets() -> None:
    layer, teacher = linear(5, 2), linear(5, 2, seed=1)
    learner = attach(layer, Delta(rate=0.2))
    x = torch.randn(64, 5, dtype=F64)
    for _ in range(400):
        learner.signals["target"] = teacher(x)
        layer(x)
        learner.step()
    assert (layer.weight - teacher.weight).abs().max() < 1e-9


def test_contrastive_phases_make_the_delta_rule() -> None:
    """One layer: clamped minus free is rate (target - y) x, and nothing is left when y is it."""
    torch.manual_seed(0)
    x, target = torch.randn(8, 4, dtype=F64), torch.randn(8, 3, dtype=F64)
    layer = linear(4, 3)
    out = nn.Identity()
    learner = attach(layer, Contrastive(rate=0.1), post=out)
    w = layer.weight.detach().clone()
    y = layer(x)
    learner.signals["phase"] = -1.0
    out(y)
    layer(x)
    learner.signals["phase"] = 1.0
    out(target)
    learner.step()
    expected = w + 0.1 * (target - y.detach()).t() @ x / 8
    assert (layer.weight - expected).abs().max() < 1e-14


# ------------------------------------------------------------------ recursive least squares


@pytest.mark.parametrize("batch", [1, 7])
def test_rls_reaches_the_least_squares_solution(batch: int) -> None:
    """Ridge regression towards the first weights, in closed form; in batches or one by one."""
    torch.manual_seed(1)
    x, f = torch.randn(70, 10, dtype=F64), torch.randn(70, 3, dtype=F64)
    layer = linear(10, 3)
    first = layer.weight.detach().clone()
    learner = attach(layer, RLS(alpha=0.7), merge="replace")
    for rows in torch.arange(70).split(batch):
        learner.reset()  # a new trial; P lasts
        learner.signals["target"] = f[rows]
        layer(x[rows])
        learner.step()
    a = x.numpy()
    ridge = np.linalg.solve(a.T @ a + 0.7 * np.eye(10), a.T @ f.numpy() + 0.7 * first.numpy().T).T
    assert np.abs(layer.weight.detach().numpy() - ridge).max() < 1e-8
    inverse = np.linalg.inv(a.T @ a + 0.7 * np.eye(10))
    assert np.abs(learner.state["inverse"].numpy() - inverse).max() < 1e-8


def test_rls_makes_the_error_small_at_the_first_sample() -> None:
    """FORCE: after one update the error shrinks by 1/(1 + r P r)."""
    layer = linear(20, 1)
    learner = attach(layer, RLS(alpha=2.0), merge="replace")
    r = torch.randn(1, 20, dtype=F64)
    learner.signals["target"] = 5.0
    before = layer(r) - 5.0
    learner.step()
    learner.eval()
    after = layer(r) - 5.0
    shrink = 1 / (1 + (r @ r.t()) / 2.0)
    assert (after - before * shrink).abs().item() < 1e-12


# ------------------------------------------------------------------ e-prop for spiking neurons


class PseudoSpike(torch.autograd.Function):
    """Heaviside forward; height/threshold max(0, 1 - |margin|/threshold) backward."""

    @staticmethod
    def forward(ctx: Any, margin: Tensor) -> Tensor:
        ctx.save_for_backward(margin)
        return (margin > 0).to(margin.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (margin,) = ctx.saved_tensors
        return gradients[0] * 0.3 / 0.6 * (1 - margin.abs() / 0.6).clamp(min=0)


class ALIF(nn.Module):
    """The neuron of `EProp`, threshold 0.6; the reset passes no gradient."""

    def __init__(self, beta: float) -> None:
        super().__init__()
        self.beta = beta
        self.v = self.a = self.z = torch.zeros(())

    def forward(self, current: Tensor) -> tuple[Tensor, Tensor]:
        self.a = math.exp(-1 / 50) * self.a + self.z
        self.v = math.exp(-1 / 20) * self.v + current - 0.6 * self.z.detach()
        self.z = PseudoSpike.apply(self.v - 0.6 - self.beta * self.a)
        return self.z, self.v


@pytest.mark.parametrize("beta", [0.0, 0.4])
def test_eprop_is_the_gradient_of_one_spiking_layer(beta: float) -> None:
    """Against autograd through 60 steps, with a leaky readout and a squared error."""
    torch.manual_seed(2)
    steps, batch = 60, 3
    x = (torch.rand(steps, batch, 6) < 0.2).to(F64)
    target = torch.randn(steps, batch, 2, dtype=F64)
    readout = torch.randn(2, 4, dtype=F64)
    layer = linear(6, 4)
    with torch.no_grad():
        layer.weight.abs_()
    kappa = math.exp(-1 / 15)

    neurons, y, loss = ALIF(beta), torch.zeros(batch, 2, dtype=F64), torch.zeros((), dtype=F64)
    spikes = 0.0
    for k in range(steps):
        z, _ = neurons(layer(x[k]))
        spikes += float(z.detach().sum())
        y = kappa * y + z @ readout.t()
        loss = loss + (y - target[k]).square().sum() / 2
    loss.backward()
    assert layer.weight.grad is not None
    gradient = layer.weight.grad.clone()
    assert spikes > 50

    neurons, y = ALIF(beta), torch.zeros(batch, 2, dtype=F64)
    rule = EProp(rate=1.0, tau_m=20e-3, tau_out=15e-3, threshold=0.6, beta=beta, tau_a=50e-3)
    learner = attach(layer, rule, post=neurons, merge="gradient", reduction="sum", dt=1e-3)
    layer.weight.grad = None
    with torch.no_grad():
        for k in range(steps):
            z, _ = neurons(layer(x[k]))
            y = kappa * y + z @ readout.t()
            learner.signals["learning_signal"] = (y - target[k]) @ readout
        neurons(layer(x[0]))  # takes the last signal
    learner.step()
    error = (layer.weight.grad - gradient).abs().max()
    assert error < 1e-12 * gradient.abs().max(), error
    assert gradient.abs().max() > 1


# ------------------------------------------------------------------ e-prop for flip-flop neurons


@pytest.mark.parametrize("gate", ["sigmoid", "hard"])
@pytest.mark.parametrize("recurrence", ["none", "diagonal"])
def test_flipflop_eprop_is_backpropagation_through_time(recurrence: str, gate: str) -> None:
    """Random losses on the states of 25 steps; the gradient of W by autograd through the layer."""
    torch.manual_seed(3)
    steps, batch, units, inputs = 25, 4, 5, 3
    layer = nf.FlipFlop(inputs, units, recurrence=recurrence, gate=gate, dtype=F64)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(torch.randn_like(parameter))
    x = torch.randn(steps, batch, inputs, dtype=F64)
    by_state = torch.randn(steps, batch, units, dtype=F64)
    output, _ = layer(x)
    (output * by_state).sum().backward()
    exact = layer.weight_ih_l0.grad.clone()

    layer.weight_ih_l0.grad = None
    rule = FlipFlopEProp(rate=1.0, gate=gate)
    learner = attach(layer, rule, weight="weight_ih_l0", merge="gradient", reduction="sum")
    h = None
    with torch.no_grad():
        for k in range(steps):
            state, h = layer(x[k : k + 1], h)
            assert (state[0] - output[k]).abs().max() < 1e-14
            learner.signals["learning_signal"] = by_state[k].repeat(1, 2)
            if recurrence == "diagonal":
                learner.signals["self_weight"] = layer.weight_hh_l0.expand(batch, -1)
        layer(x[:1], h)  # takes the last signal
    learner.step()
    error = (layer.weight_ih_l0.grad - exact).abs().max()
    assert error < 1e-12 * exact.abs().max(), error
    assert exact.abs().max() > 0.1


def test_a_series_of_signals_is_a_signal_set_before_each_step() -> None:
    """E-prop in one call of a layer, whose signal is the derivative of the step before."""
    torch.manual_seed(5)
    steps, batch, units = 12, 3, 4
    layer = nf.FlipFlop(2, units, recurrence="none", dtype=F64)
    x = torch.randn(steps, batch, 2, dtype=F64)
    by_state = torch.randn(steps, batch, units, dtype=F64)
    (layer(x)[0] * by_state).sum().backward()
    exact = layer.weight_ih_l0.grad.clone()
    layer.weight_ih_l0.grad = None
    learner = attach(
        layer, FlipFlopEProp(rate=1.0), weight="weight_ih_l0", merge="gradient", reduction="sum"
    )
    late = torch.cat([torch.zeros(1, batch, units, dtype=F64), by_state])
    learner.signals.series("learning_signal", late.repeat(1, 1, 2))
    with torch.no_grad():
        layer(torch.cat([x, x[:1]]))  # one step more takes the last value
    learner.step()
    assert (layer.weight_ih_l0.grad - exact).abs().max() < 1e-12 * exact.abs().max()
    assert exact.abs().max() > 0.1


def test_what_a_series_does() -> None:
    """One value a step, then 0; setting the signal ends it; reset() too; a swap keeps it."""
    layer, post = linear(2, 2), nn.Identity()
    learner = attach(layer, PES(rate=1.0), post=post, reduction="sum")
    one = torch.ones(1, 2, dtype=F64)

    def errors(count: int) -> list[float]:
        found = []
        for _ in range(count):
            before = learner.weight[0, 0]
            layer(one)
            post(one)
            found.append(round(float(before - learner.weight[0, 0]), 12))
        return found

    learner.signals.series("error", [1.0, -2.0, 0.5])
    assert errors(5) == [1.0, -2.0, 0.5, 0.0, 0.0]
    learner.signals.series("error", torch.tensor([[3.0], [4.0], [5.0]]))
    assert errors(1) == [3.0]
    learner.swap(PES(rate=2.0))
    assert errors(1) == [8.0]
    learner.signals["error"] = 7.0
    assert errors(2) == [14.0, 14.0]
    learner.signals.series("error", [[[1.0, 9.0]], [[2.0, 9.0]]])
    assert errors(1) == [2.0]
    learner.reset()
    assert errors(1) == [0.0]
    with pytest.raises(
        ValueError, match=r"a series of 'error' must have shape \(T,\), .* got \(\)"
    ):
        learner.signals.series("error", 1.0)
    with pytest.raises(KeyError, match="no signal 'eror'; did you mean 'error'"):
        learner.signals.series("eror", [1.0])
    with pytest.raises(FloatingPointError, match="signal 'error' must be finite"):
        learner.signals.series("error", [1.0, math.nan])


def test_flipflop_eprop_of_one_step_by_hand() -> None:
    """From h = 0, one step: e_J = J (1 - J) x and e_K = 0."""
    cell = nf.FlipFlopCell(2, 3, dtype=F64)
    learner = attach(cell, FlipFlopEProp(rate=0.5), weight="weight_ih", reduction="sum")
    x = torch.tensor([[1.0, -2.0]], dtype=F64)
    with torch.no_grad():
        h, j, _ = cell(x, return_gates=True)
    assert (h - j).abs().max() < 1e-15
    e = learner.state["e"]
    assert torch.allclose(e[0, :3], (j * (1 - j)).t() * x, atol=1e-15, rtol=0)
    assert (e[0, 3:] == 0).all()


# ------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        (RLS(), "RLS does not work in circuits: all synapses of a neuron share one matrix"),
        (EProp(), "EProp does not work in circuits: it needs a pseudo-derivative of spikes"),
        (FlipFlopEProp(), "FlipFlopEProp does not work in circuits: it is the gradient of a rate"),
    ],
)
def test_layer_rules_are_refused_by_circuits(rule: Rule, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        circuit = nf.Circuit(
            "no", [nf.Population("out", nf.DeltaLIF())],
            [nf.Projection("in", "out", 0.5, rule=rule)], [nf.SpikeInput("in")],
        )  # fmt: skip
        nf.simulate(circuit, {"in": [0.0]}, duration=0.01)


def test_gates_come_in_pairs() -> None:
    layer = torch.nn.Linear(2, 3)
    attach(layer, FlipFlopEProp())
    with pytest.raises(ValueError, match=r"the gates \[J; K\] of .*neurons, .* got 3 outputs"):
        layer(torch.ones(1, 2))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RLS(alpha=0.0), "RLS.alpha must be above 0; got 0.0."),
        (lambda: EProp(tau_m=-1.0), "EProp.tau_m must be above 0 s; got -1.0."),
        (lambda: EProp(threshold=0.0), "EProp.threshold must be above 0; got 0.0."),
        (lambda: FlipFlopEProp(gate="tanh"), "FlipFlopEProp.gate: unknown 'tanh'"),
        (lambda: SoftHebb(temperature=0.0), "SoftHebb.temperature must be above 0; got 0.0."),
    ],
)
def test_parameters_refused(make: Callable[[], Rule], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        make()
    assert str(caught.value).startswith(message)
