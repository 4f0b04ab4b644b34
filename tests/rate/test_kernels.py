"""The recurrence: three ways that agree, and gradients that finite differences confirm."""

import threading

import pytest
import torch

from neuroflip.rate import kernels
from neuroflip.rate.gates import GATES
from neuroflip.rate.kernels import recurrence, states_and_gates, unrolled

gates = pytest.mark.parametrize("gate", GATES)


@pytest.fixture(autouse=True)
def threads():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(params=["numba", "torch"])
def way(request, monkeypatch):
    """Each of the two loops inside the autograd function."""
    if request.param == "torch":
        monkeypatch.setattr(kernels, "_in_numba", lambda x: False)
    return request.param


def problem(steps, batch, inputs, hidden, dtype=torch.float64, scale=1.0):
    made = torch.Generator().manual_seed(steps + batch)
    shapes = [
        (steps, batch, inputs),
        (2 * hidden, inputs),
        (2 * hidden, hidden),
        (2 * hidden,),
        (batch, hidden),
    ]
    return [
        (scale * torch.randn(*s, dtype=torch.float64, generator=made))
        .to(dtype)
        .requires_grad_()
        for s in shapes
    ]  # fmt: skip


@gates
@pytest.mark.parametrize("batch", [1, 2, 4, 5, 11])
@pytest.mark.parametrize("hidden", [1, 6, 19])
def test_equals_unrolled_forward_and_backward(way, gate, batch, hidden):
    given = problem(9, batch, 3, hidden)
    got, expected = states_and_gates(*given, gate), unrolled(*given, gate)
    weights = [torch.randn_like(e) for e in expected]
    for a, b in zip(got, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-13)
    ours = torch.autograd.grad(got, given, weights)
    theirs = torch.autograd.grad(expected, given, weights)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


@gates
def test_gradcheck(way, gate):
    given = problem(4, 5, 2, 3, scale=0.4)
    assert torch.autograd.gradcheck(lambda *a: states_and_gates(*a, gate), given)


@gates
def test_gradcheck_states_only(way, gate):
    given = problem(4, 2, 2, 3, scale=0.4)
    assert torch.autograd.gradcheck(lambda *a: recurrence(*a, gate)[0], given)


@gates
def test_float32_is_single_precision_accurate(way, gate):
    wide = problem(300, 6, 4, 40, scale=0.3)  # contracting: errors do not grow with T
    narrow = [t.detach().float().requires_grad_() for t in wide]
    expected, got = recurrence(*wide, gate)[0], recurrence(*narrow, gate)[0]
    torch.testing.assert_close(got.double(), expected, rtol=0, atol=1e-5)


def test_float32_sigmoid_over_its_range():
    z = torch.linspace(-120, 120, 1201)
    bias = torch.cat([z, torch.zeros_like(z)])
    nothing, start = torch.zeros(len(bias), 1), torch.zeros(1, len(z))
    _, both = states_and_gates(
        torch.zeros(1, 1, 1), nothing, nothing.expand(-1, len(z)), bias, start, "sigmoid"
    )
    exact = torch.sigmoid(z.double())
    error = (both[0, 0, : len(z)].double() - exact).abs()
    assert error.max() < 1.2e-7
    inner = z.abs() < 80
    assert (error / exact)[inner].max() < 1e-6


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@gates
def test_nan_is_not_swallowed(way, gate, dtype):
    given = [t.detach() for t in problem(5, 3, 2, 4, dtype)]
    given[0][2, 1, 0] = torch.nan
    h, _ = recurrence(*given, gate)
    assert torch.isnan(h[2:, 1]).all()
    assert torch.isfinite(h[:, [0, 2]]).all() and torch.isfinite(h[:2]).all()


def test_result_does_not_depend_on_threads(monkeypatch):
    monkeypatch.setattr(kernels, "_WORK", 1)
    given = problem(20, 13, 3, 8, torch.float32)
    results = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        h, _ = recurrence(*given, "sigmoid")
        results.append((h, *torch.autograd.grad(h.square().sum(), given[:1] + given[4:])))
    for one, two in zip(*results, strict=True):
        assert torch.equal(one, two)


def test_error_in_a_thread_reaches_the_caller(monkeypatch):
    torch.set_num_threads(2)
    monkeypatch.setattr(kernels, "_WORK", 1)

    def work(start, stop):
        if start > 0:
            raise RuntimeError("in the second part")

    with pytest.raises(RuntimeError, match="in the second part"):
        kernels._in_threads(work, 8, 100)


def test_callers_in_several_threads_do_not_disturb_each_other(monkeypatch):
    monkeypatch.setattr(kernels, "_WORK", 1)
    torch.set_num_threads(2)
    given = [t.detach() for t in problem(50, 8, 3, 16)]
    expected = recurrence(*given, "sigmoid")[0]
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(recurrence(*given, "sigmoid")[0]))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4 and all(torch.equal(r, expected) for r in results)


def test_keeps_three_arrays_for_the_backward_pass():
    steps, batch, hidden = 50, 8, 16
    given = problem(steps, batch, 2, hidden)
    saved = 0

    def count(t):
        nonlocal saved
        saved += t.numel()
        return t

    with torch.autograd.graph.saved_tensors_hooks(count, lambda t: t):
        recurrence(*given, "sigmoid")
    small = sum(t.numel() for t in given)
    assert saved <= 3 * steps * batch * hidden + small


def test_gates_are_not_kept_without_gradients():
    given = problem(5, 2, 2, 3)
    with torch.no_grad():
        assert len(recurrence(*given, "sigmoid")[1]) == 0
        assert len(states_and_gates(*given, "sigmoid")[1]) == 5
    assert len(recurrence(*given, "sigmoid")[1]) == 5


def test_second_derivative(way):
    given = problem(3, 2, 1, 2, scale=0.5)
    given[0].requires_grad_(False)
    assert torch.autograd.gradgradcheck(lambda *a: states_and_gates(*a, "sigmoid"), given)


def test_gradient_penalty_reaches_the_weights():
    given = problem(3, 2, 2, 3)
    h, _ = recurrence(*given, "sigmoid")
    (first,) = torch.autograd.grad(h.sum(), given[0], create_graph=True)
    plain, _ = unrolled(*given, "sigmoid")
    (other,) = torch.autograd.grad(plain.sum(), given[0], create_graph=True)
    ours = torch.autograd.grad(first.square().sum(), given[1:])
    theirs = torch.autograd.grad(other.square().sum(), given[1:])
    for a, b in zip(ours, theirs, strict=True):
        assert b.abs().max() > 0
        torch.testing.assert_close(a, b, rtol=0, atol=1e-13)


def test_backward_twice_over_one_graph(way):
    given = problem(6, 3, 2, 4)
    h, _ = recurrence(*given, "sigmoid")
    first = torch.autograd.grad(h.sum(), given, retain_graph=True)
    second = torch.autograd.grad(h.sum(), given)
    for a, b in zip(first, second, strict=True):
        assert torch.equal(a, b)


def test_strided_tensors(way):
    given = problem(6, 3, 2, 4)
    turned = [t.detach().t().contiguous().t() if t.dim() == 2 else t.detach() for t in given]
    turned[0] = given[0].detach().transpose(0, 1).contiguous().transpose(0, 1)
    assert not turned[0].is_contiguous() and not turned[2].is_contiguous()
    torch.testing.assert_close(
        recurrence(*turned, "hard")[0], recurrence(*given, "hard")[0].detach(), rtol=0, atol=1e-14
    )


def test_backward_inside_autocast_keeps_its_precision(way):
    given = problem(6, 3, 2, 4, torch.float32)
    h, _ = recurrence(*given, "sigmoid")
    expected = torch.autograd.grad(h.sum(), given, retain_graph=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = torch.autograd.grad(h.sum(), given)
    for a, b in zip(got, expected, strict=True):
        assert torch.equal(a, b)
