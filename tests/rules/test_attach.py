"""Rules on torch layers: against the engines, plain loops and hand computations."""

import copy
import gc
import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
import pytest
import snntorch
import torch
from torch import Tensor, nn
from torch.nn.utils import prune

import neuroflip as nf
from neuroflip import rules
from neuroflip.parameters import parameter
from neuroflip.rules.learner import Learner
from neuroflip.rules.rate import Hebb, Oja, Sanger, SoftHebb

DT = 1e-3
F64 = torch.float64
STRONG = {"a_plus": 0.05, "a_minus": 0.06}
FORCED = nf.DeltaLIF(tau_m=DT, v_threshold=1e4, refractory=0.0)
"""A neuron that fires when a current forces it, and never otherwise."""


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """The tensors here are small: threads cost more than they bring."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Pass(nn.Module):
    """Stands for the neurons behind a layer: its output is what it is given."""

    def forward(self, x: Any) -> Any:
        return x


def linear(weight: Any) -> nn.Linear:
    values = torch.as_tensor(weight, dtype=F64)
    layer = nn.Linear(values.shape[1], values.shape[0], bias=False, dtype=F64)
    with torch.no_grad():
        layer.weight.copy_(values)
    return layer


def trains(seed: int, *shape: int, p: float = 0.15) -> Tensor:
    draw = torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)
    return (draw < p).to(F64)


def start(seed: int, *shape: int, low: float = 0.1, high: float = 0.9) -> Tensor:
    draw = torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)
    return low + (high - low) * draw


def drive(layer: nn.Module, post: nn.Module, x: Tensor, y: Tensor) -> None:
    """One step a row of x and y."""
    for now, after in zip(x, y, strict=True):
        layer(now)
        post(after)


def learn(rule: Any, weight: Tensor, x: Tensor, y: Tensor, **options: Any) -> Learner:
    layer, post = linear(weight), Pass()
    learner = rules.attach(layer, rule, post=post, **options)
    drive(layer, post, x, y)
    return learner


def by_numba(rule: Any, weight: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """The weights (out, in) after the same spikes in a circuit."""
    steps, outputs = len(x), y.shape[-1]
    at, into = np.meshgrid(np.arange(x.shape[-1]), np.arange(outputs), indexing="ij")
    projection = nf.Projection(
        "in", "out", weight.numpy()[into.ravel(), at.ravel()], rule=rule, name="w",
        pattern=nf.Pairs(at.ravel(), into.ravel()),
    )  # fmt: skip
    circuit = nf.Circuit(
        "layer", [nf.Population("out", FORCED, outputs)], [projection],
        [nf.SpikeInput("in", x.shape[-1]), nf.CurrentInput("force", "out")],
    )  # fmt: skip
    times = [np.flatnonzero(train) * DT for train in x.numpy().T]
    rec = nf.simulate(
        circuit, {"in": times, "force": y.numpy()}, duration=steps * DT, dt=DT, engine="numba"
    )
    fired = [np.round(t / DT).astype(int).tolist() for t in rec.trains("out")]
    assert fired == [np.flatnonzero(train).tolist() for train in y.numpy().T]
    found = np.zeros((outputs, x.shape[-1]))
    found[into.ravel(), at.ravel()] = rec.weights["w"]
    return torch.as_tensor(found)


def close(a: Tensor, b: Tensor, tolerance: float = 1e-12) -> None:
    assert a.shape == b.shape
    assert (a - b).abs().max().item() <= tolerance


# Against the engines and plain loops


@pytest.mark.parametrize("mu", [0.0, 0.4, 1.0])
def test_a_batch_of_one_is_a_circuit(mu: float) -> None:
    rule = rules.PairSTDP(**STRONG, mu_plus=mu, mu_minus=1.0)
    x, y, w = trains(0, 300, 12), trains(1, 300, 5), start(2, 5, 12)
    found = learn(rule, w, x.unsqueeze(1), y.unsqueeze(1))
    close(found.weight, by_numba(rule, w, x, y))
    assert found.change.abs().max() > 0.2


@pytest.mark.parametrize(
    ("pairing", "coincidence", "order"),
    [
        ("all", "both", "together"),
        ("restricted", "none", "post"),
        ("nearest", "depress", "pre"),
    ],
)
def test_conventions_of_a_circuit(pairing: str, coincidence: str, order: str) -> None:
    rule = rules.PairSTDP(**STRONG, pairing=pairing, coincidence=coincidence, order=order)
    x, y, w = trains(3, 150, 6), trains(4, 150, 4), start(5, 4, 6)
    close(learn(rule, w, x.unsqueeze(1), y.unsqueeze(1)).weight, by_numba(rule, w, x, y))


@final
@dataclass(frozen=True)
class Everything(rules.Rule):
    """Variables of every level, a flow of the weight, and two changes of it in one block."""

    tau: float = parameter(20e-3, "s", above=0)
    rate: float = parameter(0.5)
    w_min: float = parameter(0.0)
    w_max: float = parameter(1.0)

    equations: ClassVar[str] = """
        dx/dt = -x/tau
        dz/dt = (x - z)/(2*tau)
        dy/dt = -y/tau
        dc/dt = -c/(3*tau) + x*y
        dw/dt = rate*(c*z - 0.3*w*y) + where(t > 0.05, 0.1, 0)
    """
    on_pre: ClassVar[str] = """
        x = 1 + x/2
        w -= 0.02*(w - w_min)*y
        c -= 0.1*y*w
        w = w/1.001
    """
    on_post: ClassVar[str] = """
        y += 1
        c += x - z
        w += 0.03*(w_max - w)*max(x, z) - 0.01*tanh(x*y)
    """


def test_a_rule_of_every_statement_is_a_circuit() -> None:
    x, y, w = trains(6, 200, 6), trains(7, 200, 4), start(8, 4, 6)
    close(
        learn(Everything(), w, x.unsqueeze(1), y.unsqueeze(1)).weight,
        by_numba(Everything(), w, x, y),
    )


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_a_batch_against_a_plain_loop(reduction: str) -> None:
    rule = rules.PairSTDP(**STRONG, mu_plus=1.0, mu_minus=0.5)
    x, y, w = trains(9, 60, 4, 5), trains(10, 60, 4, 3), start(11, 3, 5)
    found = learn(rule, w, x, y, reduction=reduction)
    weight, keep = w.numpy().copy(), np.exp(-DT / 20e-3)
    scale = 1 / 4 if reduction == "mean" else 1
    a, b = np.zeros((4, 5)), np.zeros((4, 3))
    for now, after in zip(x.numpy(), y.numpy(), strict=True):
        a, b = a * keep + now, b * keep
        down = sum(np.outer(b[s], now[s]) for s in range(4))
        weight = np.clip(weight - scale * 0.06 * np.sqrt(weight) * down, 0, 1)
        b = b + after
        up = sum(np.outer(after[s], a[s]) for s in range(4))
        weight = np.clip(weight + scale * 0.05 * (1 - weight) * up, 0, 1)
    close(found.weight, torch.as_tensor(weight))
    close(found.state["x"], torch.as_tensor(a))
    close(found.state["y"], torch.as_tensor(b))


@pytest.mark.parametrize("options", [{}, {"coincidence": "both", "order": "together"}])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_a_batch_is_its_samples(options: Any, reduction: str) -> None:
    """An additive rule far from its bounds: the samples do not see each other."""
    rule = rules.PairSTDP(a_plus=1e-4, a_minus=2e-4, **options)
    x, y, w = trains(12, 50, 4, 5), trains(13, 50, 4, 3), start(14, 3, 5, low=0.4, high=0.6)
    each = [learn(rule, w, x[:, s : s + 1], y[:, s : s + 1]).change for s in range(4)]
    joined = torch.stack(each)
    expected = joined.mean(0) if reduction == "mean" else joined.sum(0)
    close(learn(rule, w, x, y, reduction=reduction).change, expected)


def test_without_reduction_every_sample_learns_for_itself() -> None:
    rule = rules.PairSTDP(**STRONG, mu_plus=1.0)
    x, y, w = trains(15, 80, 3, 5), trains(16, 80, 3, 4), start(17, 4, 5)
    learner = learn(rule, w, x, y, reduction="none")
    assert learner.change.shape == (3, 4, 5)
    for s in range(3):
        close(learner.weight[s], learn(rule, w, x[:, s : s + 1], y[:, s : s + 1]).weight)
    learner.step()
    assert torch.equal(learner.parameter.detach(), w)
    assert learner.change.abs().max() == 0


@final
@dataclass(frozen=True)
class Rewarded(rules.Rule):
    """An eligibility trace that reward turns into change."""

    tau: float = parameter(20e-3, "s", above=0)

    equations: ClassVar[str] = """
        dx/dt = -x/tau
        dc/dt = -c/tau
        dw/dt = reward*c
    """
    on_pre: ClassVar[str] = "x += 1"
    on_post: ClassVar[str] = "c += x"
    signals: ClassVar[tuple[str, ...]] = ("reward",)


@pytest.mark.parametrize("kind", ["one", "sample", "neuron"])
def test_a_third_factor_of_every_shape(kind: str) -> None:
    x, y, w = trains(18, 40, 3, 5), trains(19, 40, 3, 4), start(20, 4, 5)
    reward = {"one": torch.tensor(2.0), "sample": torch.tensor([1.0, -2.0, 0.0]),
              "neuron": torch.arange(12.0).reshape(3, 4)}[kind]  # fmt: skip
    layer, post = linear(w), Pass()
    learner = rules.attach(layer, Rewarded(), post=post, reduction="sum")
    drive(layer, post, x[:30], y[:30])
    assert learner.change.abs().max() == 0  # no reward until it is set
    learner.signals["reward"] = reward
    drive(layer, post, x[30:], y[30:])
    keep, a, c, change = np.exp(-DT / 20e-3), torch.zeros(3, 5), torch.zeros(3, 4, 5), 0
    full = reward.to(F64).reshape(*reward.shape, *(1,) * (2 - reward.dim())).expand(3, 4)
    for k in range(40):
        if k >= 30:
            change = change + DT * (full.unsqueeze(2) * c).sum(0)
        a, c = a * keep + x[k], c * keep
        c = c + y[k].unsqueeze(2) * a.unsqueeze(1)
    close(learner.change, change)
    close(learner.state["c"], c)
    learner.reset()
    assert learner.signals["reward"] == 0 and learner.state == {}


def test_a_signal_that_moves_a_weight_past_both_bounds_is_refused() -> None:
    layer, post = linear(start(21, 4, 5)), Pass()
    learner = rules.attach(layer, rules.MSTDP(rate=0.5), post=post)
    for reward in (-2.0, torch.tensor([1.0, 2.0])):  # rate * reward = 1 is from bound to bound
        learner.signals["reward"] = reward
    for worse in (-2.1, torch.tensor([0.0, 3.0]), torch.tensor([[0.0, 1.0], [0.0, -40.0]])):
        with pytest.raises(ValueError, match=r"MSTDP moves .* reward .*past both bounds, 0 and 1"):
            learner.signals["reward"] = worse
        with pytest.raises(ValueError, match="past both bounds"):
            learner.signals.series("reward", torch.cat([torch.zeros(2), torch.tensor([-2.5])]))
    assert learner.signals["reward"].tolist() == [1.0, 2.0]
    assert pickle.loads(pickle.dumps(learner.signals))["reward"].tolist() == [1.0, 2.0]
    learner.reset()
    with pytest.raises(ValueError, match="past both bounds"):
        learner.signals["reward"] = 2.5


@final
@dataclass(frozen=True)
class Voltage(rules.Rule):
    """Depresses in proportion to the membrane potential at presynaptic spikes."""

    on_pre: ClassVar[str] = "w -= 0.1*max(v_post - 0.2, 0)"
    reads: ClassVar[tuple[str, ...]] = ("v",)


def test_variables_of_the_postsynaptic_neuron() -> None:
    x, w = trains(21, 20, 2, 5), start(22, 3, 5)
    layer, neuron = linear(w), snntorch.Leaky(beta=0.9)
    learner = rules.attach(layer, Voltage(), post=neuron, reduction="sum")
    mem, expected = neuron.init_leaky(), w.clone()
    for now in x:
        _, mem = neuron(layer(now), mem)
        expected -= 0.1 * (mem.detach() - 0.2).clamp(min=0).t() @ now
    close(learner.weight, expected)
    by_hand = rules.attach(linear(w), Voltage(), post=Pass(), state=lambda: {"v": held})
    for now in x:
        held = torch.full((2, 3), 0.5, dtype=F64)
        by_hand.layer(now)
        by_hand.post(torch.zeros(2, 3))  # type: ignore[misc]
    close(by_hand.change, -0.1 * 0.3 * x.mean(1).sum(0).expand(3, 5))


# Rate rules


def test_rate_rules_on_a_linear_layer() -> None:
    x, w = torch.randn(30, 4, 6, dtype=F64), start(23, 3, 6)
    hand = {
        Oja(rate=0.01): lambda x, y, w: y.unsqueeze(2) * (x.unsqueeze(1) - y.unsqueeze(2) * w),
        Sanger(rate=0.01): lambda x, y, w: (
            y.unsqueeze(2) * (x.unsqueeze(1) - (y.unsqueeze(2) * w).cumsum(1))
        ),
        SoftHebb(rate=0.01): lambda x, y, w: (
            y.softmax(1).unsqueeze(2) * (x.unsqueeze(1) - y.unsqueeze(2) * w)
        ),
    }
    for rule, change in hand.items():
        layer, expected = linear(w), w.clone()
        learner = rules.attach(layer, rule, merge="replace")
        for now in x:
            y = layer(now)
            learner.step()
            expected = expected + 0.01 * change(now, y.detach(), expected).mean(0)
            close(layer.weight.detach(), expected)


@final
@dataclass(frozen=True)
class Balance(rules.Rule):
    """Brings the sum of a neuron's weights, and its drive, to 1."""

    activity: ClassVar[tuple[str, str]] = ("x", "y")
    equations: ClassVar[str] = """
        dx/dt = -x
        dy/dt = -y
        dw/dt = 0.1*w*(1 - sum_pre(w)) + 0.1*(1 - sum_pre(w*x))*x
    """


def test_sums_over_synapses_count_those_that_exist() -> None:
    x, w = torch.randn(4, 6, dtype=F64), start(24, 3, 6)
    mask = trains(25, 3, 6, p=0.5)
    dense, sparse = linear(w), Sparse(w * mask)
    a = rules.attach(dense, Balance(), mask=mask, reduction="sum")
    b = rules.attach(sparse, Balance(), reduction="sum")
    held = w * mask
    u = x @ held.t()
    by_hand = 0.1 * (4 * held * (1 - held.sum(1, keepdim=True)) + (1 - u).t() @ x) * mask
    dense(x), sparse(x)
    close(a.change, by_hand)
    close(b.change.to_dense(), by_hand)
    a.step(), b.step()
    close(dense.weight.detach(), torch.where(mask > 0, w + by_hand, w))


# Layouts


class Sparse(nn.Module):
    """A layer with a sparse matrix."""

    def __init__(self, weight: Tensor, layout: torch.layout = torch.sparse_coo) -> None:
        super().__init__()
        matrix = (
            weight.to_sparse().coalesce() if layout == torch.sparse_coo else weight.to_sparse_csr()
        )
        self.weight = nn.Parameter(matrix, requires_grad=layout == torch.sparse_coo)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sparse.mm(self.weight, x.t()).t()


@pytest.mark.filterwarnings("ignore:Sparse CSR")
@pytest.mark.parametrize("rule", [rules.PairSTDP(**STRONG, mu_plus=0.4), Everything()])
def test_linear_conv_and_sparse_are_one(rule: Any) -> None:
    x, y, w = trains(26, 60, 3, 5), trains(27, 60, 3, 4), start(28, 4, 5)
    expected = learn(rule, w, x, y)
    for make, shape in [
        (lambda: nn.Conv1d(5, 4, 1, bias=False, dtype=F64), (1,)),
        (lambda: nn.Conv2d(5, 4, 1, bias=False, dtype=F64), (1, 1)),
    ]:
        layer, post = make(), Pass()
        with torch.no_grad():
            layer.weight.copy_(w.reshape(4, 5, *shape))
        learner = rules.attach(layer, rule, post=post)
        drive(layer, post, x.reshape(*x.shape, *shape), y.reshape(*y.shape, *shape))
        close(learner.weight.reshape(4, 5), expected.weight, 1e-14)
    for layout in (torch.sparse_coo, torch.sparse_csr):
        sparse, post = Sparse(w, layout), Pass()
        learner = rules.attach(sparse, rule, post=post, merge="replace")
        drive(sparse, post, x, y)
        close(learner.weight.to_dense(), expected.weight, 1e-14)
        learner.step()
        close(sparse.weight.detach().to_dense(), expected.weight, 1e-14)


@pytest.mark.parametrize(
    "options",
    [{}, {"stride": 2, "padding": 1}, {"dilation": 2, "padding": "same"}, {"groups": 2},
     {"padding": (2, 1), "padding_mode": "circular"}],
)  # fmt: skip
def test_positions_of_a_convolution_are_samples(options: Any) -> None:
    conv, post = nn.Conv2d(4, 6, 3, bias=False, dtype=F64, **options), Pass()
    nn.init.uniform_(conv.weight, 0.4, 0.6)
    w, x = conv.weight.detach().clone(), trains(29, 20, 2, 4, 7, 6)
    y = trains(30, 20, *conv(x[0]).shape)
    learner = rules.attach(
        conv, rules.PairSTDP(a_plus=1e-4, a_minus=0.0), post=post, reduction="sum"
    )
    drive(conv, post, x, y)
    trace, expected = torch.zeros_like(x[0]), torch.zeros_like(w)
    for now, after in zip(x, y, strict=True):
        trace = trace * np.exp(-DT / 20e-3) + now
        # The gradient of sum(after * conv(trace)) is the same sum of products
        own = w.clone().requires_grad_()
        conv_of = copy.deepcopy(conv)._conv_forward(trace, own, None)
        expected += 1e-4 * torch.autograd.grad((conv_of * after).sum(), own)[0]
    close(learner.change, expected, 1e-11)


def test_masked_and_pruned_entries_do_not_change() -> None:
    rule = rules.PairSTDP(**STRONG)
    x, y, w = trains(31, 60, 2, 5), trains(32, 60, 2, 4), start(33, 4, 5)
    mask = trains(34, 4, 5, p=0.5)
    full, masked = learn(rule, w, x, y), learn(rule, w, x, y, mask=mask)
    close(masked.change, full.change * mask)
    masked.step()
    close(masked.parameter.detach(), torch.where(mask > 0, full.weight, w))
    pruned, post = linear(w), Pass()
    prune.custom_from_mask(pruned, "weight", mask)
    learner = rules.attach(pruned, rule, post=post)
    drive(pruned, post, x, y)
    learner.step()
    close(pruned.weight_orig.detach(), torch.where(mask > 0, full.weight, w))
    sparse, post = Sparse(w * mask), Pass()
    learner = rules.attach(sparse, rule, post=post)
    drive(sparse, post, x, y)
    close(learner.change.to_dense(), full.change * mask)


@pytest.mark.parametrize("weight", ["weight_ih", "weight_hh"])
def test_gates_of_the_flipflop_cell(weight: str) -> None:
    cell = nf.FlipFlopCell(3, 4, dtype=F64)
    x, h = torch.randn(10, 2, 3, dtype=F64), torch.rand(2, 4, dtype=F64)
    rule = Hebb(rate=0.1, w_min=-10, w_max=10)
    learner = rules.attach(cell, rule, weight=weight, reduction="sum")
    expected = 0
    for now in x:
        after, j, k = cell(now, h, return_gates=True)
        pre = now if weight == "weight_ih" else h
        expected = expected + 0.1 * torch.cat([j, k], dim=1).t() @ pre
        h = after.detach()
    close(learner.change, expected.detach())


@pytest.mark.parametrize("weight", ["weight_ih_l1", "weight_hh_l1", "weight_hh_l0"])
def test_steps_of_the_flipflop_layer(weight: str) -> None:
    layer = nf.FlipFlop(3, 4, num_layers=2, batch_first=True, dtype=F64)
    x, h0 = torch.randn(2, 9, 3, dtype=F64), torch.rand(2, 2, 4, dtype=F64)
    learner = rules.attach(layer, Hebb(rate=0.1, w_min=-9, w_max=9), weight=weight, reduction="sum")
    layer(x, h0)
    number, kind = int(weight[-1]), weight[:9]
    cells = []
    for n in range(2):
        cell = nf.FlipFlopCell(3 if n == 0 else 4, 4, dtype=F64)
        cell.load_state_dict({k: layer.state_dict()[f"{k}_l{n}"] for k in cell.state_dict()})
        cells.append(cell)
    expected, h = 0, [h0[0], h0[1]]
    for now in x.unbind(1):
        for n, cell in enumerate(cells):
            after, j, k = cell(now, h[n], return_gates=True)
            if n == number:
                pre = now if kind == "weight_ih" else h[n]
                expected = expected + 0.1 * torch.cat([j, k], dim=1).t() @ pre
            now = h[n] = after
    close(learner.change, expected.detach())


@pytest.mark.parametrize("merge", ["after_step", "gradient", "replace"])
def test_a_diagonal_recurrence_is_a_synapse_onto_each_gate(merge: str) -> None:
    """Oja's rule by hand, of the state before a step and the gate in it; weights of two samples."""
    torch.manual_seed(0)  # some random layers hardly move
    layer = nf.FlipFlop(3, 4, num_layers=2, recurrence="diagonal", dtype=F64)
    x = torch.randn(9, 2, 3, dtype=F64)
    weight = layer.weight_hh_l1.detach().clone()
    learner = rules.attach(layer, Oja(rate=0.1), weight="weight_hh_l1", merge=merge)
    layer(x)
    h = torch.zeros(2, 4, dtype=F64)
    below, w = layer._one(x, h, 0, 0, False)[0].detach(), weight.clone()
    bias = sum(p for name, p in layer.named_parameters() if "bias" in name and name.endswith("l1"))
    for now in below:
        z = now @ layer.weight_ih_l1.t() + bias + weight * h.repeat(1, 2)
        gates = torch.sigmoid(z).detach()
        w = w + 0.1 * (gates * (h.repeat(1, 2) - gates * w)).mean(0)
        j, k = gates.chunk(2, dim=1)
        h = j * (1 - h) + (1 - k) * h
    close(learner.change, w - weight)
    assert learner.weight.shape == (8,) and learner.change.abs().max() > 1e-5
    learner.step()
    close(layer.weight_hh_l1.detach(), weight if merge == "gradient" else w)
    if merge == "gradient":
        close(layer.weight_hh_l1.grad, weight - w)


def test_a_diagonal_recurrence_keeps_weights_of_each_sample() -> None:
    layer = nf.FlipFlop(3, 4, recurrence="diagonal", dtype=F64)
    x = torch.randn(6, 2, 3, dtype=F64)
    both = rules.attach(layer, Oja(rate=0.1), weight="weight_hh_l0", reduction="none")
    layer(x)
    each = both.change
    both.remove()
    for i in range(2):
        learner = rules.attach(layer, Oja(rate=0.1), weight="weight_hh_l0")
        layer(x[:, i : i + 1])
        close(each[i], learner.change)
        learner.remove()
    assert each.shape == (2, 8)


# Next to backprop


def network(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    net = nn.Sequential(
        nn.Linear(6, 5), nn.Sigmoid(), nn.Linear(5, 4), nn.Sigmoid(), nn.Linear(4, 2)
    )
    return net.double()


def test_with_replace_the_other_gradients_are_bit_for_bit_the_same() -> None:
    x = torch.randn(8, 6, dtype=F64)
    plain, plastic = network(), network()
    learner = rules.attach(plastic[2], Hebb(rate=0.1), merge="replace")
    for net in (plain, plastic):
        (net(x) ** 2).sum().backward()
    assert plastic[2].weight.grad is None
    for (name, a), b in zip(plain.named_parameters(), plastic.parameters(), strict=True):
        assert name == "2.weight" or torch.equal(a.grad, b.grad)
        assert torch.equal(a, b)  # nothing is written before step()
    learner.step()
    assert not torch.equal(plain[2].weight, plastic[2].weight)
    learner.remove()
    assert plastic[2].weight.requires_grad


def test_gradient_and_after_step_by_hand() -> None:
    x, rate = torch.randn(8, 6, dtype=F64), 0.1
    for merge in ("gradient", "after_step"):
        net, twin = network(), network()
        learner = rules.attach(net[0], Hebb(rate=0.3, w_min=-0.5, w_max=0.5), merge=merge)
        optimizer = torch.optim.SGD(net.parameters(), lr=rate)
        for _ in range(3):
            before = twin[0].weight.detach().clone()
            twin.zero_grad()
            (twin(x) ** 2).sum().backward()
            hebb = before + 0.3 * twin[0](x).detach().t() @ x / 8
            change = hebb.clamp(-0.5, 0.5) - before.clamp(-0.5, 0.5)
            with torch.no_grad():
                for p in twin.parameters():
                    p -= rate * p.grad
                if merge == "gradient":
                    twin[0].weight += rate * change
                else:
                    twin[0].weight.add_(change).clamp_(-0.5, 0.5)
            optimizer.zero_grad()
            (net(x) ** 2).sum().backward()
            if merge == "gradient":
                learner.step()
            optimizer.step()
            if merge == "after_step":
                learner.step()
            close(net[0].weight.detach(), twin[0].weight.detach(), 1e-14)


def test_a_loop_with_snntorch() -> None:
    """Backprop through time over two layers, the first of which STDP learns too."""
    torch.manual_seed(1)
    fc1, fc2 = nn.Linear(8, 6), nn.Linear(6, 3)
    nn.init.uniform_(fc1.weight, 0.1, 0.9)
    lif1, lif2 = snntorch.Leaky(beta=0.9), snntorch.Leaky(beta=0.9)
    optimizer = torch.optim.Adam([*fc1.parameters(), *fc2.parameters()], lr=1e-3)
    learner = rules.attach(fc1, rules.PairSTDP(), post=lif1)
    seen = 0
    for _ in range(3):
        learner.reset()
        mem1, mem2, loss = lif1.init_leaky(), lif2.init_leaky(), 0.0
        for now in trains(35, 20, 4, 8, p=0.4).float():
            spikes, mem1 = lif1(fc1(now), mem1)
            seen += int(spikes.sum())
            out, mem2 = lif2(fc2(spikes), mem2)
            loss = loss + (mem2**2).mean()
        assert learner.state["x"].shape == (4, 8)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        before, change = fc1.weight.detach().clone(), learner.change
        assert change.abs().max() > 0
        learner.step()
        close(fc1.weight.detach(), (before + change).clamp(0, 1), 1e-7)
    assert seen > 0


def test_eval_does_nothing() -> None:
    x, y, w = trains(36, 20, 2, 5), trains(37, 20, 2, 4), start(38, 4, 5)
    layer, post = linear(w), Pass()
    learner = rules.attach(layer, rules.PairSTDP(**STRONG), post=post)
    drive(layer, post, x, y)
    before = copy.deepcopy(learner.state_dict())
    layer.eval()
    drive(layer, post, x, y)
    layer.train()
    learner.eval()
    drive(layer, post, x, y)
    for name, value in learner.state_dict().items():
        assert (
            torch.equal(value, before[name]) if isinstance(value, Tensor) else value == before[name]
        )


def test_a_checkpointed_layer_is_not_seen_twice() -> None:
    from torch.utils.checkpoint import checkpoint

    layer = linear(start(39, 4, 5))
    learner = rules.attach(layer, Hebb(rate=0.1))
    x = torch.rand(2, 5, dtype=F64, requires_grad=True)
    y = checkpoint(layer, x, use_reentrant=False)
    once = learner.change
    y.sum().backward()
    assert torch.equal(learner.change, once)


def test_ten_thousand_steps_keep_no_tensors() -> None:
    layer, post = linear(start(40, 4, 5)), Pass()
    learner = rules.attach(layer, rules.PairSTDP(), post=post)
    x, y = trains(41, 100, 2, 5), trains(42, 100, 2, 4)

    def tensors() -> int:
        gc.collect()
        return sum(issubclass(type(o), Tensor) for o in gc.get_objects())

    drive(layer, post, x, y)
    learner.step()
    before = tensors()
    for n in range(100):
        drive(layer, post, x, y)
        if n % 10 == 0:
            learner.step()
            learner.reset()
    assert tensors() <= before
    assert not any(b.requires_grad for b in learner.buffers())


# State


@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_a_run_goes_on_from_its_state(reduction: str) -> None:
    x, y, w = trains(43, 80, 3, 5), trains(44, 80, 3, 4), start(45, 4, 5)
    rule = Everything()
    whole = learn(rule, w, x, y, reduction=reduction)
    half = learn(rule, w, x[:40], y[:40], reduction=reduction)
    saved = pickle.loads(pickle.dumps(half.state_dict()))
    layer, post = linear(w), Pass()
    other = rules.attach(layer, rule, post=post, reduction=reduction)
    other.load_state_dict(saved)
    drive(layer, post, x[40:], y[40:])
    assert torch.equal(other.weight, whole.weight)
    assert all(torch.equal(v, whole.state[k]) for k, v in other.state.items())


def test_reset_is_a_fresh_start() -> None:
    x, y, w = trains(46, 50, 3, 5), trains(47, 50, 3, 4), start(48, 4, 5)
    learner = learn(rules.PairSTDP(**STRONG), w, x, y)
    learner.step()
    learner.reset()
    assert learner.state == {}
    fresh = learn(rules.PairSTDP(**STRONG), learner.parameter.detach(), x[:, :2], y[:, :2])
    drive(learner.layer, learner.post, x[:, :2], y[:, :2])  # type: ignore[arg-type]
    assert torch.equal(learner.weight, fresh.weight)


def test_a_rule_is_swapped_while_running() -> None:
    x, y, w = trains(49, 40, 3, 5), trains(50, 40, 3, 4), start(51, 4, 5)
    for keep in (True, False):
        learner = learn(rules.PairSTDP(**STRONG), w, x, y)
        before, change = learner.state, learner.change
        learner.swap(rules.PairSTDP(a_plus=0.0, a_minus=0.5), keep_traces=keep)
        assert torch.equal(learner.change, change)
        assert torch.equal(learner.state["x"], before["x"] if keep else torch.zeros(3, 5))
        with pytest.raises(ValueError, match="outside the bounds"):
            learner.swap(rules.PairSTDP(w_max=0.05))
        assert learner.rule.a_minus == 0.5


def test_what_others_do_to_the_parameter_is_followed() -> None:
    x, y, w = trains(52, 30, 3, 5), trains(53, 30, 3, 4), start(54, 4, 5, low=0.4, high=0.6)
    layer, post = linear(w), Pass()
    learner = rules.attach(layer, rules.PairSTDP(a_plus=1e-3, a_minus=1e-3), post=post)
    drive(layer, post, x, y)
    with torch.no_grad():
        layer.weight += 0.1
    change = learner.change
    drive(layer, post, 0 * x[:1], 0 * y[:1])
    close(learner.weight, w + 0.1 + change)
    learner.step()
    close(layer.weight.detach(), w + 0.1 + change)


def test_copies_and_other_types() -> None:
    x, y, w = trains(55, 30, 3, 5), trains(56, 30, 3, 4), start(57, 4, 5)
    layer, post = linear(w), Pass()
    model = nn.ModuleDict({"layer": layer, "post": post})
    learner = rules.attach(layer, rules.PairSTDP(**STRONG), post=post)
    twin = copy.deepcopy({"model": model, "learner": learner})
    again = pickle.loads(pickle.dumps({"model": model, "learner": learner}))
    drive(layer, post, x, y)
    for other in (twin, again):
        assert other["learner"].change.abs().max() == 0
        drive(other["model"]["layer"], other["model"]["post"], x, y)
        assert torch.equal(other["learner"].change, learner.change)
    layer.float(), learner.float()
    drive(layer, post, x.float(), y.float())
    assert learner.weight.dtype == torch.float32


def test_autocast_does_not_round_what_is_learned() -> None:
    x, w = torch.rand(3, 5), start(58, 4, 5).float()
    changes = []
    for enabled in (False, True):
        layer = linear(w).float()
        learner = rules.attach(layer, rules.rate.PES(rate=0.1))
        learner.signals["error"] = torch.linspace(0, 1, 12).reshape(3, 4)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            layer(x)
        changes.append(learner.change)
    assert torch.equal(*changes)


# Rules in Python


@final
@dataclass(frozen=True)
class LeastSquares(rules.LayerRule):
    """Recursive least squares towards the signal `target`."""

    signals: ClassVar[tuple[str, ...]] = ("target",)
    why_not_circuits: ClassVar[str] = "it needs a matrix of all inputs"
    kept: ClassVar[tuple[str, ...]] = ("p",)

    def start(self, samples: int, inputs: int, outputs: int, like: Tensor) -> dict[str, Tensor]:
        return {"p": 1e6 * torch.eye(inputs, dtype=like.dtype, device=like.device)}

    def update(self, state, pre, post, weight, given, dt):  # type: ignore[no-untyped-def]
        change = torch.zeros_like(weight)
        for x, target in zip(pre, given["target"], strict=True):
            gain = state["p"] @ x / (1 + x @ state["p"] @ x)
            state["p"] = state["p"] - torch.outer(gain, x @ state["p"])
            change = change + torch.outer(target - (weight + change) @ x, gain)
        return change


def test_a_rule_in_python_solves_least_squares() -> None:
    x, w = torch.randn(40, 2, 5, dtype=F64), start(59, 3, 5)
    goal = torch.randn(3, 5, dtype=F64)
    layer = linear(w)
    learner = rules.attach(layer, LeastSquares(), merge="replace")
    for n, now in enumerate(x):
        if n == 20:
            learner.reset()
        learner.signals["target"] = now @ goal.t()
        layer(now)
    learner.step()
    close(layer.weight.detach(), goal, 1e-4)
    with pytest.raises(ValueError, match="does not work in circuits: it needs a matrix"):
        LeastSquares().model()


# Refusals


def refuse(error: type[Exception], match: str, *args: Any, **options: Any) -> None:
    with pytest.raises(error, match=match):
        rules.attach(*args, **options)


def test_what_attach_refuses() -> None:
    stdp, layer = rules.PairSTDP(), linear(start(60, 4, 5))
    before = layer.weight.detach().clone()
    refuse(
        ValueError, "unknown merge 'replce'; did you mean 'replace'", layer, stdp, merge="replce"
    )
    refuse(
        ValueError, "unknown reduction 'avg'; known: mean, sum, none", layer, stdp, reduction="avg"
    )
    refuse(ValueError, "no parameter 'wieght'; did you mean 'weight'", layer, stdp, weight="wieght")
    refuse(ValueError, "20 of 20 weights are outside the bounds of PairSTDP, \\[1, 2\\]",
           layer, rules.PairSTDP(w_min=1, w_max=2))  # fmt: skip
    refuse(TypeError, "rule must be a neuroflip rule", layer, rules.PairSTDP)
    refuse(TypeError, "layer must be a torch module", "fc", stdp)
    refuse(TypeError, "post must be a torch module", layer, stdp, post=torch.relu)
    refuse(ValueError, "dt must be above 0 s", layer, stdp, dt=0)
    refuse(ValueError, "mask must be a tensor of shape", layer, stdp, mask=torch.ones(5, 4))
    refuse(ValueError, "mask must hold 0 and 1 only", layer, stdp, mask=torch.full((4, 5), 0.5))
    diagonal = nf.FlipFlop(1, 1, recurrence="diagonal")
    refuse(ValueError, "has shape \\(2,\\)", diagonal, Oja(), weight="bias_ih_l0")
    refuse(ValueError, "needs a dense layer", diagonal, rules.RLS(), weight="weight_hh_l0")
    refuse(ValueError, "one synapse for each gate", diagonal, Oja(), weight="weight_hh_l0",
           mask=torch.ones(2))  # fmt: skip
    refuse(ValueError, "does not show its activity", nn.LSTM(2, 3), Oja(), weight="weight_ih_l0")
    refuse(ValueError, "numbers of rows, not activity", nn.Embedding(4, 3), Oja())
    refuse(ValueError, "does not run in time", nf.FlipFlop(1, 1, bidirectional=True), Oja(),
           weight="weight_ih_l0_reverse")  # fmt: skip
    refuse(ValueError, "post must be None", nf.FlipFlopCell(2, 2), Oja(), weight="weight_ih",
           post=Pass())  # fmt: skip
    refuse(ValueError, "reads 'v' of the postsynaptic neuron: give `post`", layer, Voltage())
    refuse(ValueError, "activity='rates' is for rate rules", layer, stdp, activity="rates")
    refuse(ValueError, "passes? on", layer, rules.rate.DifferentiablePlasticity())
    refuse(ValueError, "must be coalesced", Uncoalesced(), Oja())
    refuse(ValueError, "run the lazy layer once", nn.LazyLinear(3), Oja())
    refuse(ValueError, "parametrize", nn.utils.parametrizations.weight_norm(nn.Linear(2, 2)), Oja())
    refuse(ValueError, "one group", nn.Conv1d(4, 4, 1, groups=2), LeastSquares())
    refuse(ValueError, "no weights of each sample", layer, LeastSquares(), reduction="none")
    with torch.no_grad():
        layer.weight[0, 0] = float("nan")
    refuse(FloatingPointError, "weights must be finite", layer, stdp)
    with torch.no_grad():
        layer.weight.copy_(before)
    layer.weight.requires_grad_(False)
    refuse(ValueError, "merge='gradient' needs a gradient", layer, stdp, merge="gradient")
    assert not layer._forward_hooks
    rules.attach(layer, stdp, merge="replace")
    refuse(ValueError, "has a rule already, PairSTDP; use its swap", layer, Oja())


class Uncoalesced(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        at = torch.tensor([[0, 0], [1, 1]])
        matrix = torch.sparse_coo_tensor(at, torch.ones(2), (2, 2), check_invariants=True)
        self.weight = nn.Parameter(matrix)


def test_what_a_step_refuses_leaves_all_as_it_was() -> None:
    w = start(61, 4, 5)
    layer, post = linear(w), Pass()
    learner = rules.attach(layer, rules.PairSTDP(**STRONG), post=post)
    drive(layer, post, trains(62, 20, 2, 5), trains(63, 20, 2, 4))
    before, state = learner.weight, learner.state
    x, y = torch.ones(2, 5, dtype=F64), torch.ones(2, 4, dtype=F64)
    nan = torch.full_like(y, float("nan"))

    def fails(error: type[Exception], match: str, x: Tensor, y: Tensor) -> None:
        layer(x)
        with pytest.raises(error, match=match):
            post(y)
        assert torch.equal(learner.weight, before)
        assert all(torch.equal(v, state[k]) for k, v in learner.state.items())

    fails(FloatingPointError, "postsynaptic activity must be finite", x, nan)
    fails(
        ValueError, "postsynaptic activity must have shape \\(2, 4\\); got \\(2, 3\\)", x, y[:, :3]
    )
    fails(ValueError, "learns from spikes, 0 or 1, but the layer's input", x / 2, y)
    fails(ValueError, "learns from spikes, 0 or 1, but postsynaptic", x, -y)
    fails(RuntimeError, "became \\(1,\\) within a trial.*reset", x[:1], y[:1])
    layer(x)
    with pytest.raises(RuntimeError, match="`layer` ran twice without `post`"):
        layer(x)
    assert torch.equal(learner.weight, before)
    with pytest.raises(KeyError, match="no signal 'reward'"):
        learner.signals["reward"] = 1.0


def test_what_signals_and_states_refuse() -> None:
    layer = linear(start(64, 4, 5))
    learner = rules.attach(layer, Rewarded(), post=Pass())
    with pytest.raises(KeyError, match="did you mean 'reward'"):
        learner.signals["rewad"] = 1.0
    with pytest.raises(FloatingPointError, match="'reward' must be finite"):
        learner.signals["reward"] = float("nan")
    with pytest.raises(ValueError, match="'reward' must be one number, or have shape"):
        learner.signals["reward"] = torch.zeros(2, 3, 4)
    learner.signals["reward"] = torch.ones(3)
    layer(torch.ones(2, 5, dtype=F64))
    with pytest.raises(
        ValueError, match="'reward' must be one number.*\\(2,\\) or \\(2, 4\\); got"
    ):
        learner.post(torch.ones(2, 4))  # type: ignore[misc]
    learner.remove()
    states: dict[str, Tensor] = {}
    learner = rules.attach(layer, Voltage(), post=Pass(), state=lambda: states)
    for value, message in [({}, "returned no 'v'"), ({"v": torch.ones(3)}, "must have shape")]:
        states.clear()
        states.update(value)
        layer(torch.ones(2, 5, dtype=F64))
        with pytest.raises(ValueError, match=message):
            learner.post(torch.ones(2, 4))  # type: ignore[misc]


@final
@dataclass(frozen=True)
class Exploding(rules.Rule):
    """Divides by zero."""

    on_pre: ClassVar[str] = "w += 1/(w - w)"


def test_weights_that_became_infinite_are_not_written() -> None:
    w = start(65, 4, 5)
    layer = linear(w)
    learner = rules.attach(layer, Exploding(), post=Pass())
    layer(torch.ones(2, 5, dtype=F64))
    learner.post(torch.ones(2, 4))  # type: ignore[misc]
    with pytest.raises(FloatingPointError, match="Exploding has made weights NaN or infinite"):
        learner.step()
    assert torch.equal(layer.weight.detach(), w)


def test_importing_rules_does_not_import_torch() -> None:
    import subprocess
    import sys

    code = "import sys, neuroflip.rules as r; assert 'torch' not in sys.modules; r.attach"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_refused_step_leaves_the_series_of_signals_where_it_is() -> None:
    layer = nn.Linear(3, 2, bias=False)
    nn.init.constant_(layer.weight, 0.5)
    learner = rules.attach(layer, rules.RewardSTDP(), post=nn.Identity())
    learner.signals.series("reward", [1.0, 2.0])
    x, y = torch.ones(1, 3), torch.ones(1, 2)
    layer(x)
    learner.post(y)  # type: ignore[misc]
    assert learner.signals["reward"] == 1
    for wrong, error in ((0.5, ValueError), (float("nan"), FloatingPointError)):
        layer(x)
        with pytest.raises(error):
            learner.post(y * wrong)  # type: ignore[misc]
        assert learner.signals["reward"] == 1
    for reward in (2, 0):
        layer(x)
        learner.post(y)  # type: ignore[misc]
        assert learner.signals["reward"] == reward
