"""The cell: its truth table, its bounds and derivatives, and the Markov chain it predicts."""

import copy
import itertools
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neuroflip.rate import Chrono, FlipFlop, FlipFlopCell, Published

F64 = torch.float64


def wired(j: float, k: float, gate: str = "hard") -> FlipFlopCell:
    """A cell of one unit whose pre-activations are the constants j and k."""
    cell = FlipFlopCell(1, 1, bias="single", gate=gate, dtype=F64)
    with torch.no_grad():
        cell.weight_ih.zero_()
        cell.weight_hh.zero_()
        cell.bias_ih.copy_(torch.tensor([j, k]))
    return cell


@pytest.mark.parametrize("j, k, q", list(itertools.product([0, 1], repeat=3)))
@pytest.mark.parametrize("module", ["cell", "layer"])
def test_truth_table_is_exact_at_saturated_hard_gates(module, j, k, q):
    expected = {(0, 0): q, (1, 0): 1, (0, 1): 0, (1, 1): 1 - q}[j, k]  # hold, set, reset, toggle
    cell = wired(8 * j - 4, 8 * k - 4)
    x, h = torch.zeros(1, 1, dtype=F64), torch.full((1, 1), float(q), dtype=F64)
    if module == "cell":
        assert cell(x, h).item() == expected
        return
    layer = FlipFlop(1, 1, bias="single", gate="hard", dtype=F64)
    layer.load_state_dict({f"{name}_l0": value for name, value in cell.state_dict().items()})
    assert layer(x[None], h[None])[0].item() == expected


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from(["sigmoid", "hard"]), st.floats(0.1, 30))
def test_state_stays_in_the_unit_interval(seed, gate, scale):
    torch.manual_seed(seed)
    cell = FlipFlopCell(3, 7, gate=gate, init="published")
    with torch.no_grad():
        for p in cell.parameters():
            p.mul_(scale)
        h = torch.rand(5, 7)
        for _ in range(20):
            h = cell(scale * torch.randn(5, 3), h)
            assert h.min() >= 0 and h.max() <= 1


def test_derivatives_by_the_gates():
    # dh'/dJ = 1-h, dh'/dK = -h; by the chain rule dh'/db_J = (1-h) J(1-J), dh'/db_K = -h K(1-K)
    cell = wired(0.3, -1.1, "sigmoid")
    h = torch.tensor([0.37], dtype=F64)
    after, j, k = cell(torch.zeros(1, dtype=F64), h, return_gates=True)
    after.backward()
    j, k = j.item(), k.item()
    expected = [(1 - 0.37) * j * (1 - j), -0.37 * k * (1 - k)]
    np.testing.assert_allclose(cell.bias_ih.grad.numpy(), expected, rtol=1e-14)
    hard = wired(0.3, -1.1, "hard")  # slope 1/4
    hard(torch.zeros(1, dtype=F64), h).backward()
    np.testing.assert_allclose(hard.bias_ih.grad.numpy(), [0.63 / 4, -0.37 / 4], rtol=1e-14)


def test_matches_the_equation_in_numpy():
    torch.manual_seed(0)
    cell = FlipFlopCell(3, 4, dtype=F64)
    x, h = torch.randn(6, 3, dtype=F64), torch.rand(6, 4, dtype=F64)
    w, u, b, c = (p.detach().numpy() for p in cell.parameters())
    z = x.numpy() @ w.T + h.numpy() @ u.T + b + c
    j, k = np.split(1 / (1 + np.exp(-z)), 2, axis=1)
    expected = j * (1 - h.numpy()) + (1 - k) * h.numpy()
    got = cell(x, h, return_gates=True)
    for value, right in zip(got, (expected, j, k), strict=True):
        np.testing.assert_allclose(value.detach().numpy(), right, rtol=0, atol=1e-15)
    np.testing.assert_allclose(cell(x[0], h[0]).detach().numpy(), expected[0], rtol=0, atol=1e-15)
    np.testing.assert_array_equal(cell(x).detach(), cell(x, torch.zeros_like(h)).detach())


def test_is_the_one_step_prediction_of_a_markov_chain():
    """h is P(state = 1) of a chain that sets with probability J and resets with K."""
    n, steps = 200_000, 12
    torch.manual_seed(3)
    layer = FlipFlop(2, 1, recurrence="none", init="published", dtype=F64)
    x = 2 * torch.randn(steps, 1, 2, dtype=F64)
    h0 = torch.full((1, 1, 1), 0.3, dtype=F64)
    output, _, gates = layer(x, h0, return_gates=True)
    rng = np.random.default_rng(0)
    state = rng.random(n) < 0.3
    for t in range(steps):
        j, k = gates.j[t].item(), gates.k[t].item()
        state = np.where(state, rng.random(n) >= k, rng.random(n) < j)
        assert abs(state.mean() - output[t].item()) < 3 / np.sqrt(n)


def test_cell_by_cell_is_the_layer():
    torch.manual_seed(0)
    layer = FlipFlop(3, 5, dtype=F64)
    cell = FlipFlopCell(3, 5, dtype=F64)
    cell.load_state_dict({n.removesuffix("_l0"): v for n, v in layer.state_dict().items()})
    x = torch.randn(9, 4, 3, dtype=F64)
    h = torch.rand(4, 5, dtype=F64)
    output, _ = layer(x, h[None])
    for t in range(9):
        h = cell(x[t], h)
        torch.testing.assert_close(output[t], h, rtol=0, atol=1e-14)


def test_parameters_are_named_and_shaped_as_those_of_rnncell():
    ours, theirs = FlipFlopCell(3, 5), torch.nn.RNNCell(3, 5)
    assert [n for n, _ in ours.named_parameters()] == [n for n, _ in theirs.named_parameters()]
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert a.shape == (2 * b.shape[0], *b.shape[1:])
    names = [
        [n for n, _ in FlipFlopCell(3, 5, bias=b).named_parameters()] for b in ("single", False)
    ]
    assert names == [["weight_ih", "weight_hh", "bias_ih"], ["weight_ih", "weight_hh"]]


def test_copies_and_gradcheck():
    cell = FlipFlopCell(2, 3, dtype=F64)
    x, h = torch.randn(2, 2, dtype=F64), torch.rand(2, 3, dtype=F64, requires_grad=True)
    for other in (copy.deepcopy(cell), pickle.loads(pickle.dumps(cell))):
        assert torch.equal(other(x, h), cell(x, h))
    assert torch.autograd.gradcheck(lambda h: cell(x, h), (h,))


@pytest.mark.parametrize(
    "x, h, message",
    [
        (torch.zeros(2, 4), None, r"input must have shape \(B, 3\) or \(3,\); got \(2, 4\)"),
        (torch.zeros(2, 2, 3), None, "input must have shape"),
        (torch.zeros(2, 3), torch.zeros(3, 5), r"hx must have shape \(2, 5\); got \(3, 5\)"),
        (torch.zeros(3), torch.zeros(1, 5), r"hx must have shape \(5,\)"),
        (torch.zeros(2, 3, dtype=F64), None, "input must be torch.float32"),
    ],
)
def test_bad_input(x, h, message):
    with pytest.raises(ValueError, match=message):
        FlipFlopCell(3, 5)(x, h)


def test_chrono_biases_hold_log_uniformly():
    torch.manual_seed(0)
    for gate in ("sigmoid", "hard"):
        bias, other = torch.zeros(20_000, dtype=F64), torch.ones(20_000, dtype=F64)
        Chrono(t_max=400.0)(torch.zeros(20_000, 1), None, [bias, other], gate)
        both = torch.sigmoid(bias) if gate == "sigmoid" else (bias / 4 + 0.5).clamp(0, 1)
        tau = 1 / both.reshape(2, -1).sum(0)
        place = (torch.log(tau) / np.log(400)).sort().values
        even = (torch.arange(10_000) + 0.5) / 10_000
        assert (place - even).abs().max() < 1.95 / 100  # Kolmogorov-Smirnov at 0.1 %
        assert not other.any()


def test_published_init():
    cell = FlipFlopCell(10, 30, init=Published())
    bound = (6 / (10 + 3 * 30)) ** 0.5
    for weight in (cell.weight_ih, cell.weight_hh):
        assert 0.95 * bound < weight.abs().max() <= bound
    assert (cell.bias_ih + cell.bias_hh == 0.1).all()
