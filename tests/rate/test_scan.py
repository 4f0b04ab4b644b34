"""The scans against loops in NumPy, against each other, and their gradients."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from neuroflip.rate import scan
from neuroflip.rate.scan import diagonal_scan, driven_scan, flipflop_scan, linear_scan

TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-12}
Array = np.ndarray[Any, Any]


@pytest.fixture(params=[1, 2], ids=["1 thread", "2 threads"])
def threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Also lets even small arrays be shared between threads."""
    before = torch.get_num_threads()
    monkeypatch.setattr(scan, "_SMALL", 1)
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def linear_loop(a: Array, b: Array, h: Array) -> Array:
    out = np.empty_like(b)
    for t in range(a.shape[0]):
        h = a[t] * h + b[t]
        out[t] = h
    return out


def gate_of(z: Array, gate: str) -> Array:
    if gate == "hard":
        return np.clip(z / 4 + 0.5, 0, 1)
    return 1 / (1 + np.exp(-z))


def gated_loop(zj: Array, zk: Array, uj: Array, uk: Array, h: Array, gate: str) -> Array:
    out = np.empty_like(zj)
    for t in range(zj.shape[0]):
        j, k = gate_of(zj[t] + uj * h, gate), gate_of(zk[t] + uk * h, gate)
        h = j * (1 - h) + (1 - k) * h
        out[t] = h
    return out


def normal(seed: int, *shapes: tuple[int, ...], dtype: torch.dtype = torch.float64) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(s, generator=generator, dtype=torch.float64).to(dtype) for s in shapes]


def gradients(
    f: Callable[..., Tensor], tensors: list[Tensor], weight: Tensor
) -> tuple[Tensor, list[Tensor]]:
    """The value, and the gradients of its sum under `weight`."""
    leaves = [t.detach().clone().requires_grad_() for t in tensors]
    out = f(*leaves)
    (out * weight).sum().backward()
    grads = [leaf.grad for leaf in leaves]
    return out.detach(), [g for g in grads if g is not None]


def assert_same(
    one: tuple[Tensor, list[Tensor]], two: tuple[Tensor, list[Tensor]], dtype: torch.dtype
) -> None:
    """Values within the tolerance; gradients within it too, as shares of the largest."""
    assert torch.allclose(one[0], two[0], rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])
    assert len(one[1]) == len(two[1]) > 0
    for g, expected in zip(one[1], two[1], strict=True):
        scale = max(1.0, float(expected.abs().max()))
        assert float((g - expected).abs().max()) <= TOLERANCE[dtype] * scale


SHAPES = st.tuples(st.integers(1, 40), st.integers(1, 5), st.integers(1, 40))


@settings(max_examples=40, deadline=None)
@given(SHAPES, st.integers(0, 2**31), st.sampled_from([-1.0, 0.0, 1.0, None]))
def test_linear_is_the_loop(shape: tuple[int, int, int], seed: int, slope: float | None) -> None:
    a, b, h0 = normal(seed, shape, shape, shape[1:])
    a = torch.tanh(a) if slope is None else torch.full_like(a, slope)
    expected = linear_loop(a.numpy(), b.numpy(), h0.numpy())
    assert np.allclose(linear_scan(a, b, h0).numpy(), expected, rtol=1e-12, atol=1e-12)
    assert np.allclose(scan._associative(a, b, h0).numpy(), expected, rtol=1e-12, atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(SHAPES, st.integers(0, 2**31), st.sampled_from(scan.GATES), st.floats(0.1, 30))
def test_flipflop_is_the_loop(
    shape: tuple[int, int, int], seed: int, gate: str, scale: float
) -> None:
    zj, zk, h0 = normal(seed, shape, shape, shape[1:])
    zj, zk, h0 = scale * zj, scale * zk, torch.sigmoid(h0)
    zero = np.zeros(shape[2])
    expected = gated_loop(zj.numpy(), zk.numpy(), zero, zero, h0.numpy(), gate)
    h = flipflop_scan(zj, zk, h0, gate)
    assert np.allclose(h.numpy(), expected, rtol=1e-12, atol=1e-12)
    assert 0 <= float(h.min()) and float(h.max()) <= 1
    single = flipflop_scan(zj.float(), zk.float(), h0.float(), gate)
    assert np.allclose(single.numpy(), expected, rtol=0, atol=2e-5)


@settings(max_examples=30, deadline=None)
@given(
    SHAPES,
    st.integers(0, 2**31),
    st.sampled_from(scan.GATES),
    st.sampled_from(scan.METHODS),
    st.floats(0.1, 6),
)
def test_diagonal_is_the_loop(
    shape: tuple[int, int, int], seed: int, gate: str, method: str, scale: float
) -> None:
    zj, zk, uj, uk, h0 = normal(seed, shape, shape, shape[2:], shape[2:], shape[1:])
    uj, uk = scale * uj, scale * uk
    expected = gated_loop(*(x.numpy() for x in (zj, zk, uj, uk, h0)), gate)
    h, info = diagonal_scan(zj, zk, uj, uk, h0, gate, method)
    assert np.allclose(h.numpy(), expected, rtol=1e-10, atol=1e-10)
    assert (info.iterations > 0) or info.residual <= 1e-14 or info.fallback


LAYOUTS = {"wide": (150, 3, 40), "few units": (1200, 1, 3), "one step": (1, 2, 3), "two": (2, 1, 1)}


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_linear_parallel_is_sequential(layout: str, dtype: torch.dtype, threads: int) -> None:
    shape = LAYOUTS[layout]
    a, b, h0, weight = normal(1, shape, shape, shape[1:], shape, dtype=dtype)
    a = torch.tanh(a)
    a[::7], a[3::7], a[4::7] = 1.0, -1.0, 0.0
    compiled = gradients(linear_scan, [a, b, h0], weight)
    assert_same(compiled, gradients(scan._associative, [a, b, h0], weight), dtype)
    assert np.allclose(
        compiled[0].numpy(), linear_loop(a.numpy(), b.numpy(), h0.numpy()),
        rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype],
    )  # fmt: skip


def plain(zj: Tensor, zk: Tensor, uj: Tensor, uk: Tensor, h0: Tensor, gate: str) -> Tensor:
    """The diagonal recurrence in torch, for autograd; the gate's derivative is torch's own."""
    h, states = h0, []
    for t in range(zj.shape[0]):
        j, k = (
            torch.sigmoid(z) if gate == "sigmoid" else torch.nn.functional.hardtanh(z / 2) / 2 + 0.5
            for z in (zj[t] + uj * h, zk[t] + uk * h)
        )
        h = j * (1 - h) + (1 - k) * h
        states.append(h)
    return torch.stack(states)


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("gate", scan.GATES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_gated_gradients(layout: str, gate: str, dtype: torch.dtype, threads: int) -> None:
    shape = LAYOUTS[layout]
    zj, zk, uj, uk, h0, weight = normal(
        2, shape, shape, shape[2:], shape[2:], shape[1:], shape, dtype=dtype
    )
    h0 = torch.sigmoid(h0)
    weight = weight / shape[0] ** 0.5
    none = torch.zeros_like(uj)
    expected = gradients(
        lambda zj, zk, h0: plain(zj, zk, none, none, h0, gate), [zj, zk, h0], weight
    )
    found = gradients(lambda zj, zk, h0: flipflop_scan(zj, zk, h0, gate), [zj, zk, h0], weight)
    assert_same(found, expected, dtype)
    tensors = [zj, zk, uj, uk, h0]
    expected = gradients(lambda *x: plain(*x, gate), tensors, weight)
    results = {}
    for method in scan.METHODS:
        results[method] = gradients(
            lambda *x, m=method: diagonal_scan(*x, gate, m)[0], tensors, weight
        )
        assert_same(results[method], expected, dtype)
    assert_same(results["newton"], results["sequential"], dtype)


@pytest.mark.parametrize("gate", scan.GATES)
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_newton_on_long_sequences(dtype: torch.dtype, gate: str) -> None:
    """Self-excitation below the bistable point g sigmoid(c) = 2: a few iterations do."""
    zj, zk, h0 = normal(3, (4096, 2, 8), (4096, 2, 8), (2, 8), dtype=dtype)
    u = torch.full((8,), 2.0, dtype=dtype)
    tensors = [zj - 2, zk - 1, u, -u, torch.sigmoid(h0)]
    newton, info = diagonal_scan(*tensors, gate)
    assert not info.fallback and 2 <= info.iterations <= 12
    assert info.residual <= 32 * torch.finfo(dtype).eps
    sequential, none = diagonal_scan(*tensors, gate, "sequential")
    assert none == scan.ScanInfo(0, 0.0, False)
    assert torch.allclose(newton, sequential, rtol=0, atol=TOLERANCE[dtype])


def test_strongly_bistable_cells_fall_back() -> None:
    zj, zk, h0 = normal(3, (4096, 2, 8), (4096, 2, 8), (2, 8))
    u = torch.full((8,), 12.0, dtype=torch.float64)
    tensors = [2 * zj - 8, 2 * zk + 4, u, -u, torch.sigmoid(h0)]
    h, info = diagonal_scan(*tensors)
    assert info.fallback and info.iterations == 20
    assert torch.equal(h, diagonal_scan(*tensors, method="sequential")[0])


def test_fallback_is_reported() -> None:
    zj, zk, u, h0 = normal(4, (512, 1, 4), (512, 1, 4), (4,), (1, 4))
    h, info = diagonal_scan(zj, zk, 10 * u, 10 * u, h0, max_iter=1)
    assert info.fallback and info.iterations == 1 and info.residual > 1e-14
    assert torch.equal(h, diagonal_scan(zj, zk, 10 * u, 10 * u, h0, method="sequential")[0])
    zj[5] = torch.nan
    h, info = diagonal_scan(zj, zk, u, u, h0)
    assert info.fallback and not np.isfinite(info.residual)
    assert bool(h[5:].isnan().all()) and not bool(h[:5].isnan().any())


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("gate", scan.GATES)
def test_nan_stays(gate: str, dtype: torch.dtype) -> None:
    z = torch.zeros(3, 1, 20, dtype=dtype)
    z[1, 0, 7] = torch.nan
    h = flipflop_scan(z, torch.zeros_like(z), torch.zeros(1, 20, dtype=dtype), gate)
    assert bool(h[1:, 0, 7].isnan().all()) and int(h.isnan().sum()) == 2


def test_sigmoid_of_large_inputs() -> None:
    """Set from 0 in one step is J itself."""
    z = torch.linspace(-120, 120, 24001).view(1, 1, -1)
    j = flipflop_scan(z, z, torch.zeros(1, z.shape[2]))
    exact = torch.sigmoid(z.double())
    assert float((j.double() - exact).abs().max()) < 1.2e-7
    kept = exact > 1e-37
    assert float((j.double() / exact - 1)[kept].abs().max()) < 5e-7


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("units", [1, 24], ids=["time cut", "units cut"])
def test_hard_gate_holds_and_toggles_exactly(units: int, dtype: torch.dtype, threads: int) -> None:
    """00 hold, 10 set, 01 reset, 11 toggle, over 65,536 random steps: 0 and 1, bit for bit."""
    steps = 65536
    rng = np.random.default_rng(5)
    j, k = rng.integers(0, 2, (2, steps, 1, units))
    expected = np.empty((steps, 1, units))
    state = np.zeros((1, units), int)
    for t in range(steps):
        state = np.where(j[t] & k[t], 1 - state, np.where(j[t], 1, np.where(k[t], 0, state)))
        expected[t] = state
    zj, zk = (torch.tensor(6.0 * x - 3.0, dtype=dtype) for x in (j, k))
    h0 = torch.zeros(1, units, dtype=dtype)
    assert np.array_equal(flipflop_scan(zj, zk, h0, "hard").numpy(), expected)
    zero = torch.zeros(units, dtype=dtype)
    assert np.array_equal(diagonal_scan(zj, zk, zero, zero, h0, "hard")[0].numpy(), expected)
    jt, kt = (torch.tensor(x, dtype=dtype) for x in (j, k))
    assert np.array_equal(linear_scan(1 - jt - kt, jt, h0).numpy(), expected)


@pytest.mark.parametrize("gate", scan.GATES)
@pytest.mark.parametrize("shape", [(9, 2, 3), (520, 1, 1)], ids=str)
def test_gradcheck(gate: str, shape: tuple[int, int, int], threads: int) -> None:
    zj, zk, uj, uk, h0 = normal(6, shape, shape, shape[2:], shape[2:], shape[1:])
    tensors = [x.requires_grad_() for x in (zj, zk, uj, uk, h0)]
    slow = shape[0] < 100
    kwargs: dict[str, Any] = {"eps": 1e-7, "atol": 1e-5, "fast_mode": not slow}

    def check(f: Callable[..., Tensor], inputs: list[Tensor]) -> None:
        assert torch.autograd.gradcheck(f, inputs, **kwargs)

    check(lambda a, b, h: linear_scan(torch.tanh(a), b, h), [zj, zk, h0])
    check(lambda a, b, h: scan._associative(torch.tanh(a), b, h), [zj, zk, h0])
    check(lambda zj, zk, h: flipflop_scan(zj, zk, h, gate), [zj, zk, h0])
    for method in scan.METHODS:
        check(lambda *x, m=method: diagonal_scan(*x, gate, m)[0], tensors)


DRIVEN = {
    "one sequence": (150, 1, 5, 64),
    "few units": (1200, 1, 3, 3),
    "many": (50, 19, 6, 7),
    "one step": (1, 2, 1, 3),
}


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("gate", scan.GATES)
@pytest.mark.parametrize("near", [True, False], ids=["in one pass", "product first"])
@pytest.mark.parametrize("layout", DRIVEN)
def test_driven_is_the_projection_and_the_loop(
    layout: str, near: bool, gate: str, dtype: torch.dtype, threads: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    if not near:
        monkeypatch.setattr(scan, "_NEAR", 0)
    steps, batch, inputs, units = DRIVEN[layout]
    sizes = [(steps, batch, inputs), (2 * units, inputs), (2 * units,), (2 * units,)]
    *tensors, h0, weight = normal(11, *sizes, (batch, units), (steps, batch, units), dtype=dtype)
    tensors.append(torch.sigmoid(h0))
    weight = weight / (steps * batch) ** 0.5

    def by_steps(x: Tensor, w: Tensor, b: Tensor, u: Tensor, h0: Tensor) -> Tensor:
        (zj, zk), (uj, uk) = torch.nn.functional.linear(x, w, b).chunk(2, -1), u.chunk(2)
        return plain(zj, zk, uj, uk, h0, gate)

    expected = gradients(by_steps, tensors, weight)
    assert_same(gradients(lambda *t: driven_scan(*t, gate), tensors, weight), expected, dtype)
    with torch.no_grad():  # the gates are not kept
        assert torch.allclose(driven_scan(*tensors, gate), expected[0], rtol=0, atol=1e-5)
    x, w, _, u, h0 = tensors
    none = torch.zeros(2 * units, dtype=dtype)
    expected = gradients(lambda x, w, h0: by_steps(x, w, none, none, h0), [x, w, h0], weight)
    found = gradients(lambda x, w, h0: driven_scan(x, w, None, None, h0, gate), [x, w, h0], weight)
    assert_same(found, expected, dtype)


@pytest.mark.parametrize("gate", scan.GATES)
@pytest.mark.parametrize("shape", [(9, 3, 2, 3), (6, 1, 5, 32)], ids=str)
def test_driven_gradcheck(gate: str, shape: tuple[int, int, int, int], threads: int) -> None:
    steps, batch, inputs, units = shape
    sizes = [(steps, batch, inputs), (2 * units, inputs), (2 * units,), (2 * units,)]
    tensors = [x.requires_grad_() for x in normal(12, *sizes, (batch, units))]
    kwargs: dict[str, Any] = {"eps": 1e-7, "atol": 1e-5, "fast_mode": units > 8}
    assert torch.autograd.gradcheck(lambda *t: driven_scan(*t, gate), tensors, **kwargs)
    x, w, _, _, h0 = tensors
    assert torch.autograd.gradcheck(
        lambda x, w, h0: driven_scan(x, w, None, None, h0, gate), [x, w, h0], **kwargs
    )


def test_driven_keeps_three_arrays_and_can_go_back_twice() -> None:
    x, w, u, h0 = normal(13, (50, 2, 3), (12, 3), (12,), (2, 6))
    w.requires_grad_()
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        h = driven_scan(x, w, None, u, h0, "sigmoid")
    small = 8 * sum(t.numel() for t in (x, w, u, h0))
    assert sum(kept.values()) <= 8 * 3 * h.numel() + small
    (one,) = torch.autograd.grad(h.mean(), w, retain_graph=True)
    (two,) = torch.autograd.grad(h, w, torch.ones_like(h) / h.numel())
    assert torch.equal(one, two)


def test_any_strides_do() -> None:
    """Halves of one product, time first or batch first, and expanded gradients."""
    (packed,) = normal(7, (11, 3, 10))
    h0 = torch.zeros(3, 5, dtype=torch.float64)
    expected = flipflop_scan(packed[..., :5].contiguous(), packed[..., 5:].contiguous(), h0)
    assert torch.equal(flipflop_scan(*packed.chunk(2, -1), h0), expected)
    swapped = packed.transpose(0, 1).contiguous().transpose(0, 1)
    assert torch.equal(flipflop_scan(*swapped.chunk(2, -1), h0), expected)
    strided = torch.stack([packed, packed], -1)[..., 0]
    assert torch.equal(flipflop_scan(*strided.chunk(2, -1), h0), expected)
    row = packed[:, :1].expand(11, 3, 10)
    assert torch.equal(
        flipflop_scan(*row.chunk(2, -1), h0), flipflop_scan(*row.contiguous().chunk(2, -1), h0)
    )
    one, two = (x.clone().requires_grad_() for x in (packed, packed))
    flipflop_scan(*one.chunk(2, -1), h0).sum().backward()
    (flipflop_scan(*two.chunk(2, -1), h0) * torch.ones_like(expected)).sum().backward()
    assert one.grad is not None and two.grad is not None and torch.equal(one.grad, two.grad)


def test_at_most_three_arrays_are_kept() -> None:
    (z,) = normal(8, (50, 2, 6))
    z.requires_grad_()
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        flipflop_scan(z * 1, z * 1, torch.zeros(2, 6, dtype=torch.float64))
    assert sum(kept.values()) <= (3 * 50 + 1) * 2 * 6 * 8


def test_second_derivatives_are_refused() -> None:
    tensors = normal(9, (4, 1, 2), (4, 1, 2), (2,), (2,), (1, 2))
    zj, zk, uj, uk, h0 = (x.requires_grad_() for x in tensors)
    for out in (
        linear_scan(zj, zk, h0),
        flipflop_scan(zj, zk, h0),
        diagonal_scan(zj, zk, uj, uk, h0)[0],
    ):
        with pytest.raises(RuntimeError, match="differentiated once only; got .*create_graph"):
            torch.autograd.grad(out.sum(), zj, create_graph=True)


def test_export() -> None:
    """torch.export traces the associative scan."""

    class Cell(torch.nn.Module):
        def forward(self, zj: Tensor, zk: Tensor, u: Tensor, h0: Tensor) -> tuple[Tensor, Tensor]:
            return flipflop_scan(zj, zk, h0), diagonal_scan(zj, zk, u, u, h0)[0]

    inputs = tuple(normal(10, (7, 2, 3), (7, 2, 3), (3,), (2, 3)))
    exported = torch.export.export(Cell(), inputs).module()
    for found, expected in zip(exported(*inputs), Cell()(*inputs), strict=True):
        assert torch.allclose(found, expected, rtol=0, atol=1e-12)


X, H = torch.zeros(3, 2, 4), torch.zeros(2, 4)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: linear_scan(X, X[:2], H), ValueError, r"b must have shape \(3, 2, 4\), as a is"),
        (lambda: linear_scan(X[0], X, H), ValueError, r"a must have shape \(T, B, H\)"),
        (lambda: linear_scan(X[:0], X[:0], H), ValueError, r"each at least 1; got \(0, 2, 4\)"),
        (lambda: linear_scan(X, X, H[0]), ValueError, r"h0 must have shape \(2, 4\)"),
        (lambda: linear_scan(X, X.double(), H), TypeError, r"b must be torch.float32 on cpu, as a"),
        (lambda: linear_scan(X.half(), X, H), TypeError, r"a must be float32 or float64; got"),
        (lambda: linear_scan([1.0], X, H), TypeError, r"a must be a torch.Tensor; got list"),
        (lambda: flipflop_scan(X, X, H, "hrad"), ValueError, r"unknown gate 'hrad'; did you mean"),
        (lambda: driven_scan(X, H, None, None, H, "hard"), ValueError, r"weight must have shape"),
        (lambda: driven_scan(X, X[0, 0], None, None, H, "hard"), ValueError, r"weight must have"),
        (
            lambda: driven_scan(X, torch.zeros(8, 4), H[0], None, H, "hard"),
            ValueError,
            r"bias must have shape \(8,\)",
        ),
        (
            lambda: driven_scan(X, torch.zeros(8, 4), None, None, H[0], "hard"),
            ValueError,
            r"h0 must have shape \(B, H\)",
        ),
        (lambda: diagonal_scan(X, X, H, H[0], H), ValueError, r"u_j must have shape \(4,\)"),
        (
            lambda: diagonal_scan(X, X, H[0], H[0], H, method="newtn"),
            ValueError,
            r"unknown method 'newtn'; did you mean 'newton'",
        ),
        (lambda: diagonal_scan(X, X, H[0], H[0], H, tol=0.0), ValueError, r"tol must be above 0"),
        (
            lambda: diagonal_scan(X, X, H[0], H[0], H, max_iter=0),
            ValueError,
            r"max_iter must be a whole number, at least 1; got 0",
        ),
    ],
)
def test_refusals(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
