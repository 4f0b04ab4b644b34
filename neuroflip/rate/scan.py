"""Recurrences over a whole sequence: linear, flip-flop, and flip-flop with diagonal recurrence.

All arrays are (T, B, H): step, sequence, unit. On the CPU the loops are compiled (numba, cached
on disk) and split between torch.get_num_threads() threads; on other devices, and wherever torch
traces (torch.compile, torch.export), a work-efficient associative scan in plain torch runs.
Gradients are derived by hand and can be taken once.
"""

import math
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor

from neuroflip.errors import nearest
from neuroflip.rate.gates import GATES, gate_of, slope_of
from neuroflip.rate.scan_loops import (
    ends_loop,
    gated_backwards_loop,
    gated_loop,
    linear_loop,
)
from neuroflip.rate.threads import share

METHODS = ("newton", "sequential")

_LINE = 16  # units in one task at least: a cache line of float32
_SMALL = 1 << 15  # elements below which threads cost more than they save


class ScanInfo(NamedTuple):
    """How a `diagonal_scan` was solved."""

    iterations: int
    """Newton iterations made; 0 for method="sequential"."""
    residual: float
    """max |h_t - f_t(h_{t-1})| of the last Newton iterate; 0.0 for method="sequential"."""
    fallback: bool
    """True where Newton did not converge and h comes from the sequential loop instead."""


def linear_scan(a: Tensor, b: Tensor, h0: Tensor) -> Tensor:
    """The linear recurrence h_t = a_t h_{t-1} + b_t, elementwise.

    a, b: (T, B, H). h0: (B, H), the state before the first step. Returns h, (T, B, H).
    float32 or float64. The backward pass is the same scan run backwards,
    g_t = dL/dh_t + a_{t+1} g_{t+1} (Martin & Cundy 2018, ICLR, arXiv:1709.04057).

    Where B*H is small and T long, time is cut between the threads, and the last digits depend
    on how many there are. TypeError or ValueError for tensors that do not fit together.

    >>> a, b = torch.tensor([[[2.0]], [[-1.0]]]), torch.tensor([[[1.0]], [[1.0]]])
    >>> linear_scan(a, b, torch.tensor([[3.0]])).flatten().tolist()
    [7.0, -6.0]
    """
    _check({"a": a, "b": b}, {"h0": h0})
    if _traced():
        return _associative(a, b, h0)
    return cast(Tensor, _Linear.apply(a, b, h0))  # type: ignore[no-untyped-call]


def flipflop_scan(zj: Tensor, zk: Tensor, h0: Tensor, gate: str = "sigmoid") -> Tensor:
    """The flip-flop neuron with gates from the input alone: gates and recurrence in one pass.

        J = gate(zj)    K = gate(zk)    h_t = J_t (1 - h_{t-1}) + (1 - K_t) h_{t-1}

    (Kumari, Chandrasekaran & Chakravarthy 2023, doi:10.1007/s00521-023-08552-7, without their
    recurrent weights). zj, zk: (T, B, H), any strides; the two halves of one matrix product are
    read in place. h0: (B, H). gate: "sigmoid" or "hard"; the hard gate is clip(z/4 + 1/2, 0, 1),
    with derivative 1/4 strictly inside and 0 elsewhere. Its 0 and 1 hold and toggle exactly.
    Returns h, (T, B, H); keeps J, K and h for the backward pass. Errors as `linear_scan`, and
    ValueError for an unknown gate.

    >>> toggle = torch.full((3, 1, 1), 2.0)
    >>> flipflop_scan(toggle, toggle, torch.zeros(1, 1), "hard").flatten().tolist()
    [1.0, 0.0, 1.0]
    """
    _check({"zj": zj, "zk": zk}, {"h0": h0})
    hard = _is_hard(gate)
    if _traced():
        j, k = _gate(zj, hard), _gate(zk, hard)
        return _associative(1 - j - k, j, h0)
    out = _Gated.apply(zj, zk, None, None, h0, hard, None)  # type: ignore[no-untyped-call]
    return cast(Tensor, out)


def diagonal_scan(
    zj: Tensor,
    zk: Tensor,
    u_j: Tensor,
    u_k: Tensor,
    h0: Tensor,
    gate: str = "sigmoid",
    method: str = "newton",
    tol: float | None = None,
    max_iter: int = 20,
) -> tuple[Tensor, ScanInfo]:
    """The flip-flop neuron whose gates see the input and the neuron's own state.

        J_t = gate(zj_t + u_j h_{t-1})    K_t = gate(zk_t + u_k h_{t-1})
        h_t = J_t (1 - h_{t-1}) + (1 - K_t) h_{t-1}

    zj, zk: (T, B, H). u_j, u_k: (H,). h0: (B, H). gate: as in `flipflop_scan`.

    method "newton" solves all steps at once: it linearises them around the last iterate, solves
    the linear recurrence by a scan, and repeats until the residual max |h_t - f_t(h_{t-1})| is
    at most tol (ParaRNN, arXiv:2510.21450). Where that takes more than max_iter iterations,
    or the residual is not finite, "sequential" runs instead and the info says so. Weak
    recurrence (|u| up to about 2) takes 5 to 9 iterations at any T; a strongly bistable neuron,
    whose Jacobian exceeds 1 around each switch, does not converge on long inputs.
    "sequential" walks the steps: a compiled loop on the CPU, and the faster method there; a
    plain loop elsewhere and where torch traces.

    tol: None for 32 machine epsilons. max_iter: at least 1. Returns (h (T, B, H), info).
    The gradient is the adjoint with the exact Jacobian, one reverse scan, whatever the method.
    Errors as `flipflop_scan`, and ValueError for an unknown method, tol or max_iter.

    >>> z = torch.tensor([4.0, -9.0, -9.0], dtype=torch.float64).view(3, 1, 1)  # one pulse
    >>> u = torch.tensor([8.0], dtype=torch.float64)
    >>> h, info = diagonal_scan(z, -z - 8, u, -u, torch.zeros(1, 1, dtype=torch.float64))
    >>> h.flatten().round(decimals=3).tolist(), info.fallback
    ([0.982, 0.985, 0.988], False)
    """
    _check({"zj": zj, "zk": zk}, {"h0": h0}, {"u_j": u_j, "u_k": u_k})
    hard = _is_hard(gate)
    if method not in METHODS:
        raise ValueError(f"unknown method {method!r}; {nearest(str(method), METHODS)}")
    if tol is None:
        tol = 32 * torch.finfo(h0.dtype).eps
    if not tol > 0:
        raise ValueError(f"tol must be above 0, or None; got {tol!r}.")
    if isinstance(max_iter, bool) or not isinstance(max_iter, int) or max_iter < 1:
        raise ValueError(f"max_iter must be a whole number, at least 1; got {max_iter!r}.")
    if _traced():
        return _walk(zj, zk, u_j, u_k, h0, hard), ScanInfo(0, 0.0, False)
    solution, info = None, ScanInfo(0, 0.0, False)
    if method == "newton":
        with torch.no_grad():
            found, info = _newton(zj, zk, u_j, u_k, h0, hard, tol, max_iter)
        solution = None if info.fallback else found
    out = _Gated.apply(zj, zk, u_j, u_k, h0, hard, solution)  # type: ignore[no-untyped-call]
    return cast(Tensor, out), info


# --- Checks -------------------------------------------------------------------------------------


def _check(
    sequences: dict[str, Tensor], states: dict[str, Tensor], units: dict[str, Tensor] | None = None
) -> None:
    """Raise unless the tensors are (T, B, H), (B, H) and (H,), of one dtype and device."""
    first, like = next(iter(sequences.items()))
    for name, tensor in {**sequences, **states, **(units or {})}.items():
        if not isinstance(tensor, Tensor):
            raise TypeError(f"{name} must be a torch.Tensor; got {type(tensor).__name__}.")
        if tensor.dtype not in (torch.float32, torch.float64):
            raise TypeError(f"{name} must be float32 or float64; got {tensor.dtype}.")
        if tensor.dtype != like.dtype or tensor.device != like.device:
            raise TypeError(
                f"{name} must be {like.dtype} on {like.device}, as {first}; "
                f"got {tensor.dtype} on {tensor.device}."
            )
        if name == first and (tensor.ndim != 3 or 0 in tensor.shape):
            raise ValueError(
                f"{name} must have shape (T, B, H), each at least 1; got {tuple(tensor.shape)}."
            )
        expected = like.shape if name in sequences else like.shape[1 if name in states else 2 :]
        if tensor.shape != expected:
            raise ValueError(
                f"{name} must have shape {tuple(expected)}, as {first} is {tuple(like.shape)}; "
                f"got {tuple(tensor.shape)}."
            )


def _is_hard(gate: str) -> bool:
    if gate not in GATES:
        raise ValueError(f"unknown gate {gate!r}; {nearest(str(gate), GATES)}")
    return gate == "hard"


def _traced() -> bool:
    return torch.compiler.is_compiling()


# --- Plain torch --------------------------------------------------------------------------------


def _gate(z: Tensor, hard: bool) -> Tensor:
    return gate_of(z, GATES[hard])


def _slope(gated: Tensor, hard: bool) -> Tensor:
    return slope_of(gated, GATES[hard])


def _associative(a: Tensor, b: Tensor, h0: Tensor) -> Tensor:
    """`linear_scan` in 2 T multiplications and 2 log2 T dependent steps (Blelloch 1990)."""
    return _combine(a, torch.cat([(a[:1] * h0 + b[:1]), b[1:]]))


def _combine(a: Tensor, b: Tensor) -> Tensor:
    """The scan from h = 0: solve for every second step, fill in the others."""
    steps = a.shape[0]
    if steps == 1:
        return b
    right = a[1::2]
    odd = _combine(right * a[: steps - 1 : 2], right * b[: steps - 1 : 2] + b[1::2])
    even = torch.cat([b[:1], a[2::2] * odd[: (steps - 1) // 2] + b[2::2]])
    pairs = torch.stack([even[: steps // 2], odd], dim=1).flatten(0, 1)
    return torch.cat([pairs, even[-1:]]) if steps % 2 else pairs


def _walk(zj: Tensor, zk: Tensor, u_j: Tensor, u_k: Tensor, h0: Tensor, hard: bool) -> Tensor:
    """`diagonal_scan`, step by step."""
    h, states = h0, []
    for t in range(zj.shape[0]):
        j, k = _gate(zj[t] + u_j * h, hard), _gate(zk[t] + u_k * h, hard)
        h = j * (1 - h) + (1 - k) * h
        states.append(h)
    return torch.stack(states)


def _newton(
    zj: Tensor,
    zk: Tensor,
    u_j: Tensor,
    u_k: Tensor,
    h0: Tensor,
    hard: bool,
    tol: float,
    max_iter: int,
) -> tuple[Tensor, ScanInfo]:
    """All steps at once; the info's fallback is set where it did not converge.

    |2 h - 1| never grows above max(1, |2 h0 - 1|), so iterates are clipped to that.
    """
    radius = (h0 - 0.5).abs().clamp(min=0.5)
    low, high = 0.5 - radius, 0.5 + radius
    j, k = _gate(zj + u_j / 2, hard), _gate(zk + u_k / 2, hard)  # the first guess: gates at 1/2
    h = _solve(1 - j - k, j, h0)
    residual = math.inf
    for iteration in range(max_iter + 1):
        past = torch.cat([h0[None], h[:-1]])
        j, k = _gate(zj + u_j * past, hard), _gate(zk + u_k * past, hard)
        reached = j * (1 - past) + (1 - k) * past
        residual = float((h - reached).abs().max())
        if residual <= tol:
            return h, ScanInfo(iteration, residual, False)
        if not math.isfinite(residual) or iteration == max_iter:
            break
        slope = _jacobian(j, k, u_j, u_k, past, hard)
        h = _solve(slope, reached - slope * past, h0).clamp(low, high)
    return h, ScanInfo(iteration, residual, True)


def _jacobian(
    j: Tensor, k: Tensor, u_j: Tensor | None, u_k: Tensor | None, past: Tensor, hard: bool
) -> Tensor:
    """dh_t/dh_{t-1}, (T, B, H)."""
    slope = 1 - j - k
    if u_j is not None and u_k is not None:
        slope = slope + (1 - past) * _slope(j, hard) * u_j - past * _slope(k, hard) * u_k
    return slope


# --- Autograd -----------------------------------------------------------------------------------


def _only_once() -> None:
    """Refuse to build a graph of the backward pass.

    torch's once_differentiable refuses only where the gradient of the output has a graph of its
    own, and lets the second derivatives of a plain sum be zero in silence.
    """
    if torch.is_grad_enabled():
        raise RuntimeError(
            "the scans can be differentiated once only; got a backward pass with create_graph=True."
        )


class _Linear(torch.autograd.Function):
    """g_t = dL/dh_t + a_{t+1} g_{t+1};  da_t = g_t h_{t-1}, db_t = g_t, dh0 = a_1 g_1."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, h0: Tensor) -> Tensor:
        h = _solve(a, b, h0)
        ctx.save_for_backward(a, h, h0)
        return h

    @staticmethod
    def backward(ctx: Any, dh: Tensor) -> tuple[Tensor | None, ...]:
        _only_once()
        a, h, h0 = ctx.saved_tensors
        g = _solve_backwards(a, dh)
        da = None
        if ctx.needs_input_grad[0]:
            da = torch.empty_like(g)
            torch.mul(g[0], h0, out=da[0])
            torch.mul(g[1:], h[:-1], out=da[1:])
        return da, g, a[0] * g[0]


class _Gated(torch.autograd.Function):
    """The flip-flop recurrence, with (u_j, u_k) or without (None); solution: h, where known.

    g_t = dL/dh_t + A_{t+1} g_{t+1}, A the Jacobian;  dzj = g (1 - h_{t-1}) J',
    dzk = -g h_{t-1} K';  du = sum over t and b of dz h_{t-1};  dh0 = A_1 g_1.
    """

    @staticmethod
    def forward(
        ctx: Any,
        zj: Tensor,
        zk: Tensor,
        u_j: Tensor | None,
        u_k: Tensor | None,
        h0: Tensor,
        hard: bool,
        solution: Tensor | None,
    ) -> Tensor:
        states = zj.new_empty(zj.shape[0] + 1, *h0.shape)  # h0 and h: h_{t-1} and h_t are views
        states[0] = h0
        if solution is not None:
            states[1:] = solution
            past = states[:-1]
            assert u_j is not None and u_k is not None
            j, k = _gate(zj + u_j * past, hard), _gate(zk + u_k * past, hard)
        elif zj.device.type == "cpu" and (u_j is not None or not _cut_time(zj)):
            j, k = torch.empty(zj.shape, dtype=zj.dtype), torch.empty(zj.shape, dtype=zj.dtype)
            _gated_cpu(zj, zk, u_j, u_k, hard, j, k, states)
        elif u_j is not None and u_k is not None:
            states[1:] = _walk(zj, zk, u_j, u_k, h0, hard)
            past = states[:-1]
            j, k = _gate(zj + u_j * past, hard), _gate(zk + u_k * past, hard)
        else:
            j, k = _gate(zj, hard), _gate(zk, hard)
            states[1:] = _solve(1 - j - k, j, h0)
        ctx.hard = hard
        ctx.save_for_backward(j, k, u_j, u_k, states)
        return states[1:]

    @staticmethod
    def backward(ctx: Any, dh: Tensor) -> tuple[Tensor | None, ...]:
        _only_once()
        j, k, u_j, u_k, states = ctx.saved_tensors
        past = states[:-1]
        if dh.device.type == "cpu" and not _cut_time(dh):
            dzj, dzk, dh0 = _gated_cpu_backwards(dh, j, k, u_j, u_k, states, ctx.hard)
        else:
            slope = _jacobian(j, k, u_j, u_k, past, ctx.hard)
            g = _solve_backwards(slope, dh)
            dzj = g * (1 - past) * _slope(j, ctx.hard)
            dzk = -g * past * _slope(k, ctx.hard)
            dh0 = slope[0] * g[0]
        du_j = du_k = None
        if u_j is not None:
            du_j, du_k = (dzj * past).sum((0, 1)), (dzk * past).sum((0, 1))
        return dzj, dzk, du_j, du_k, dh0, None, None


def _solve(a: Tensor, b: Tensor, h0: Tensor) -> Tensor:
    """`linear_scan` without gradients."""
    if a.device.type != "cpu":
        return _associative(a, b, h0)
    h = torch.empty(b.shape, dtype=b.dtype)
    _scan_cpu(_rows(a), _rows(b), _rows(h0[None])[0], _rows(h), backwards=False)
    return h


def _solve_backwards(a: Tensor, d: Tensor) -> Tensor:
    """g_t = d_t + a_{t+1} g_{t+1}, with g = 0 after the end; (T, B, H)."""
    if a.device.type != "cpu":
        later = torch.cat([a[1:], torch.zeros_like(a[:1])]).flip(0)
        return _combine(later, d.flip(0)).flip(0)
    g = torch.empty(d.shape, dtype=d.dtype)
    g[-1] = d[-1]
    _scan_cpu(_rows(a), _rows(d), _rows(g)[-1], _rows(g), backwards=True)
    return g


# --- Compiled loops: the calls ------------------------------------------------------------------

_Array = np.ndarray[Any, Any]


def _rows(x: Tensor) -> _Array:
    """(T, B, H) as a contiguous (T, B*H) array; a copy only where x is not contiguous."""
    return cast(_Array, x.detach().contiguous().view(x.shape[0], -1).numpy())


def _threads(elements: int) -> int:
    return 1 if elements < _SMALL else torch.get_num_threads()


def _cut_time(x: Tensor) -> bool:
    """Whether to cut time rather than units between the threads: few units, many steps."""
    threads = _threads(x.numel())
    return threads > 1 and x[0].numel() < _LINE * threads and x.shape[0] >= 256 * threads


def _cuts(size: int, parts: int, unit: int = 1) -> list[tuple[int, int]]:
    """0..size in at most `parts` ranges, cut at multiples of `unit`."""
    width = -(-size // (parts * unit)) * unit
    return [(begin, min(begin + width, size)) for begin in range(0, size, width)]


def _scan_cpu(a: _Array, b: _Array, start: _Array, h: _Array, backwards: bool) -> None:
    """h[t] = a[t] h[t-1] + b[t], from before row 0 on; or h[t] = a[t+1] h[t+1] + b[t], from the
    last row back. a, b, h: (T, L); start: (L,), the known state."""
    steps, lanes = h.shape
    turn, origin = (-1, steps - 2) if backwards else (1, 0)
    steps -= int(backwards)  # its last row is the start
    threads = _threads(steps * lanes)

    def loop(begin: int, end: int, left: int, right: int, state: _Array) -> None:
        linear_loop(a, b, state, h, origin + turn * begin, end - begin, turn, left, right)

    if threads == 1 or lanes >= _LINE * threads or steps < 256 * threads:
        columns = _cuts(lanes, threads, _LINE)
        share(lambda left, right: loop(0, steps, left, right, start), columns, threads)
        return
    # Time in threads + 1 chunks. At the same time: the first is solved, the middle ones give
    # their maps start -> end (product start + offset); then the others are solved too.
    cuts = _cuts(steps, threads + 1)
    product = np.ones((len(cuts), lanes), a.dtype)
    offset = np.zeros((len(cuts), lanes), a.dtype)

    def first(n: int) -> None:
        begin, end = cuts[n]
        if n == 0:
            loop(begin, end, 0, lanes, start)
        else:
            ends_loop(a, b, product[n], offset[n], origin + turn * begin, end - begin, turn)

    share(first, [(n,) for n in range(len(cuts) - 1)], threads)
    starts = [start, h[origin + turn * (cuts[0][1] - 1)]]
    for n in range(1, len(cuts) - 1):
        starts.append(product[n] * starts[n] + offset[n])
    later = [(n,) for n in range(1, len(cuts))]
    share(lambda n: loop(*cuts[n], 0, lanes, starts[n]), later, threads)


def _lanes(batch: int, units: int, threads: int) -> list[tuple[int, int, int, int]]:
    """Rectangles of (sequence, unit), one to four for each thread."""
    if batch >= threads:
        return [(*rows, 0, units) for rows in _cuts(batch, 4 * threads if threads > 1 else 1)]
    columns = _cuts(units, -(-threads // batch), _LINE)
    return [(b, b + 1, *column) for b in range(batch) for column in columns]


def _flat(z: Tensor) -> tuple[_Array, int, int]:
    """The memory under z (T, B, H) as one row, and its strides over T and B."""
    if z.stride(2) != 1 and z.shape[2] > 1:
        z = z.contiguous()
    span = 1 + sum((n - 1) * s for n, s in zip(z.shape, z.stride(), strict=True))
    flat = torch.as_strided(z.detach(), (span,), (1,))
    return cast(_Array, flat.numpy()), z.stride(0), z.stride(1)


def _weights(u: Tensor | None, like: Tensor) -> _Array:
    if u is None:
        return np.zeros(like.shape[2], np.float32 if like.dtype == torch.float32 else np.float64)
    return cast(_Array, u.detach().contiguous().numpy())


def _gated_cpu(
    zj: Tensor, zk: Tensor, u_j: Tensor | None, u_k: Tensor | None, hard: bool,
    j: Tensor, k: Tensor, states: Tensor,
) -> None:  # fmt: skip
    """Fill j, k (T, B, H) and states[1:] from states[0]; states (T + 1, B, H)."""
    threads = _threads(zj.numel())
    arrays = (*_flat(zj), *_flat(zk), _weights(u_j, zj), _weights(u_k, zj))
    filled = (j.numpy(), k.numpy(), states.numpy())

    def work(*part: int) -> None:
        gated_loop(hard, *arrays, *filled, *part)

    share(work, _lanes(zj.shape[1], zj.shape[2], threads), threads)


def _gated_cpu_backwards(
    dh: Tensor, j: Tensor, k: Tensor, u_j: Tensor | None, u_k: Tensor | None,
    states: Tensor, hard: bool,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """(dzj, dzk, dh0) of the loss whose gradient at h is dh."""
    threads = _threads(j.numel())
    dzj, dzk = torch.empty(j.shape, dtype=j.dtype), torch.empty(j.shape, dtype=j.dtype)
    dh0 = torch.zeros(j.shape[1:], dtype=j.dtype)
    arrays = (*_flat(dh), j.numpy(), k.numpy(), _weights(u_j, j), _weights(u_k, j),
              states.numpy(), dzj.numpy(), dzk.numpy(), dh0.numpy())  # fmt: skip

    def work(*part: int) -> None:
        gated_backwards_loop(hard, *arrays, *part)

    share(work, _lanes(j.shape[1], j.shape[2], threads), threads)
    return dzj, dzk, dh0
