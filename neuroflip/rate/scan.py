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
from neuroflip.rate.products import ROWS
from neuroflip.rate.scan_loops import (
    ends_loop,
    gated_backwards_loop,
    gated_loop,
    kept_gates,
    linear_loop,
    room,
)
from neuroflip.rate.threads import share

METHODS = ("newton", "sequential")

_LINE = 16  # units in one task at least: a cache line of float32
_SMALL = 1 << 15  # elements below which threads cost more than they save
_NEAR = 1 << 18  # bytes of weights that stay in a core's cache


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
    _check_sequence("a", a)
    _check_like("a", a, b=(b, a.shape), h0=(h0, a.shape[1:]))
    if _traced():
        return _associative(a, b, h0)
    return cast(Tensor, _Linear.apply(a, b, h0))  # type: ignore[no-untyped-call]


def flipflop_scan(zj: Tensor, zk: Tensor, h0: Tensor, gate: str = "sigmoid") -> Tensor:
    """The flip-flop neuron with gates from the input alone: gates and recurrence in one pass.

        J = gate(zj)    K = gate(zk)    h_t = J_t (1 - h_{t-1}) + (1 - K_t) h_{t-1}

    (Kumari, Chandrasekaran & Chakravarthy 2023, doi:10.1007/s00521-023-08552-7, without their
    recurrent weights). zj, zk: (T, B, H), any strides. h0: (B, H). gate: "sigmoid" or "hard"; the
    hard gate is clip(z/4 + 1/2, 0, 1), with derivative 1/4 strictly inside and 0 elsewhere. Its 0
    and 1 hold and toggle exactly. Returns h, (T, B, H); keeps J, K and h for the backward pass.
    Errors as `linear_scan`, and ValueError for an unknown gate.

    >>> toggle = torch.full((3, 1, 1), 2.0)
    >>> flipflop_scan(toggle, toggle, torch.zeros(1, 1), "hard").flatten().tolist()
    [1.0, 0.0, 1.0]
    """
    _check_sequence("zj", zj)
    _check_like("zj", zj, zk=(zk, zj.shape), h0=(h0, zj.shape[1:]))
    _check_gate(gate)
    return _gated(torch.cat([zj, zk], dim=-1), None, h0, gate)


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
    _check_sequence("zj", zj)
    units = zj.shape[2:]
    _check_like(
        "zj", zj, zk=(zk, zj.shape), h0=(h0, zj.shape[1:]), u_j=(u_j, units), u_k=(u_k, units)
    )
    _check_gate(gate)
    if method not in METHODS:
        raise ValueError(f"unknown method {method!r}; {nearest(str(method), METHODS)}")
    if tol is None:
        tol = 32 * torch.finfo(h0.dtype).eps
    if not tol > 0:
        raise ValueError(f"tol must be above 0, or None; got {tol!r}.")
    if isinstance(max_iter, bool) or not isinstance(max_iter, int) or max_iter < 1:
        raise ValueError(f"max_iter must be a whole number, at least 1; got {max_iter!r}.")
    z, u = torch.cat([zj, zk], dim=-1), torch.cat([u_j, u_k])
    solution, info = None, ScanInfo(0, 0.0, False)
    if method == "newton" and not _traced():
        with torch.no_grad():
            found, info = _newton(z, u, h0, gate, tol, max_iter)
        solution = None if info.fallback else found
    return _gated(z, u, h0, gate, solution), info


def driven_scan(
    x: Tensor, weight: Tensor, bias: Tensor | None, u: Tensor | None, h0: Tensor, gate: str
) -> Tensor:
    """A layer of flip-flop neurons on x: z = weight x + bias, and the scan, in one pass.

    x: (T, B, I). weight: (2H, I), rows [J; K]. bias: (2H,) or None. u: (2H,) for gates that see
    their own state, as in `diagonal_scan`, or None, as in `flipflop_scan`. h0: (B, H).
    Returns h, (T, B, H); keeps x, J, K and h for the backward pass. Errors as `diagonal_scan`.

    On the CPU z and its gradient are never stored, unless the weights are many.

    >>> toggle, h0 = torch.full((2, 1), 2.0), torch.zeros(1, 1)
    >>> driven_scan(torch.ones(3, 1, 1), toggle, None, None, h0, "hard").flatten().tolist()
    [1.0, 0.0, 1.0]
    """
    _check_sequence("x", x)
    _check_sequence("h0", h0, "BH")
    rows = 2 * h0.shape[1]
    _check_like("x", x, weight=(weight, (rows, x.shape[2])), h0=(h0, (x.shape[1], rows // 2)))
    for name, tensor in (("bias", bias), ("u", u)):
        if tensor is not None:
            _check_like("x", x, **{name: (tensor, (rows,))})
    _check_gate(gate)
    states = x.new_empty(()).expand(*x.shape[:2], rows // 2)
    if _in_loops(states) and weight.numel() * weight.element_size() <= _NEAR:
        return _apply(x, weight, bias, u, h0, gate, None)
    z = torch.nn.functional.linear(x, weight, bias)
    if u is None or x.device.type == "cpu":  # where steps are cheap they are taken in turn
        return _gated(z, u, h0, gate)
    (zj, zk), (u_j, u_k) = z.chunk(2, dim=-1), u.chunk(2)
    return diagonal_scan(zj, zk, u_j, u_k, h0, gate)[0]


# --- Checks -------------------------------------------------------------------------------------


def _check_sequence(name: str, tensor: Tensor, dims: str = "TBH") -> None:
    if not isinstance(tensor, Tensor):
        raise TypeError(f"{name} must be a torch.Tensor; got {type(tensor).__name__}.")
    if tensor.dtype not in (torch.float32, torch.float64):
        raise TypeError(f"{name} must be float32 or float64; got {tensor.dtype}.")
    if tensor.ndim != len(dims) or 0 in tensor.shape:
        raise ValueError(
            f"{name} must have shape ({', '.join(dims)}), each at least 1; "
            f"got {tuple(tensor.shape)}."
        )


def _check_like(first: str, like: Tensor, **others: tuple[Tensor, tuple[int, ...]]) -> None:
    """Raise unless the others have the type and device of the first, and their shapes."""
    for name, (tensor, shape) in others.items():
        if not isinstance(tensor, Tensor):
            raise TypeError(f"{name} must be a torch.Tensor; got {type(tensor).__name__}.")
        if tensor.dtype != like.dtype or tensor.device != like.device:
            raise TypeError(
                f"{name} must be {like.dtype} on {like.device}, as {first}; "
                f"got {tensor.dtype} on {tensor.device}."
            )
        if tensor.shape != shape:
            raise ValueError(
                f"{name} must have shape {tuple(shape)}, as {first} is {tuple(like.shape)}; "
                f"got {tuple(tensor.shape)}."
            )


def _check_gate(gate: str) -> None:
    if gate not in GATES:
        raise ValueError(f"unknown gate {gate!r}; {nearest(str(gate), GATES)}")


def _traced() -> bool:
    return torch.compiler.is_compiling()


# --- Plain torch --------------------------------------------------------------------------------


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


def _both(x: Tensor) -> Tensor:
    """[x, x]: what both gates of a unit see of it."""
    return torch.cat([x, x], dim=-1)


def _before(h: Tensor, h0: Tensor) -> Tensor:
    """h_{t-1}, (T, B, H)."""
    return torch.cat([h0[None], h[:-1]])


def _step(both: Tensor, past: Tensor) -> Tensor:
    j, k = both.chunk(2, dim=-1)
    return j * (1 - past) + (1 - k) * past


def _walk(z: Tensor, u: Tensor, h0: Tensor, gate: str) -> Tensor:
    """`diagonal_scan`, step by step."""
    h, states = h0, []
    for now in z.unbind(0):
        h = _step(gate_of(now + u * _both(h), gate), h)
        states.append(h)
    return torch.stack(states)


def _newton(
    z: Tensor, u: Tensor, h0: Tensor, gate: str, tol: float, max_iter: int
) -> tuple[Tensor, ScanInfo]:
    """All steps at once; the info's fallback is set where it did not converge.

    |2 h - 1| never grows above max(1, |2 h0 - 1|), so iterates are clipped to that.
    """
    radius = (h0 - 0.5).abs().clamp(min=0.5)
    low, high = 0.5 - radius, 0.5 + radius
    j, k = gate_of(z + u / 2, gate).chunk(2, dim=-1)  # the first guess: gates at 1/2
    h = _solve(1 - j - k, j, h0)
    residual = math.inf
    for iteration in range(max_iter + 1):
        past = _before(h, h0)
        both = gate_of(z + u * _both(past), gate)
        reached = _step(both, past)
        residual = float((h - reached).abs().max())
        if residual <= tol:
            return h, ScanInfo(iteration, residual, False)
        if not math.isfinite(residual) or iteration == max_iter:
            break
        slope = _jacobian(both, u, past, gate)
        h = _solve(slope, reached - slope * past, h0).clamp(low, high)
    return h, ScanInfo(iteration, residual, True)


def _jacobian(both: Tensor, u: Tensor | None, past: Tensor, gate: str) -> Tensor:
    """dh_t/dh_{t-1}, (T, B, H)."""
    j, k = both.chunk(2, dim=-1)
    if u is None:
        return 1 - j - k
    of_j, of_k = (slope_of(both, gate) * u).chunk(2, dim=-1)
    return 1 - j - k + (1 - past) * of_j - past * of_k


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


def _gated(
    z: Tensor, u: Tensor | None, h0: Tensor, gate: str, solution: Tensor | None = None
) -> Tensor:
    """The flip-flop recurrence on z (T, B, 2H); solution: h, where known."""
    if not _traced():
        return _apply(z, None, None, u, h0, gate, solution)
    if u is not None:
        return _walk(z, u, h0, gate)
    j, k = gate_of(z, gate).chunk(2, dim=-1)
    return _associative(1 - j - k, j, h0)


def _apply(*given: Any) -> Tensor:
    keep = torch.is_grad_enabled() and any(isinstance(t, Tensor) and t.requires_grad for t in given)
    return cast(Tensor, _Gated.apply(*given, keep))  # type: ignore[no-untyped-call]


class _Gated(torch.autograd.Function):
    """The flip-flop recurrence on x with weights, or on drive = z without (None).

    g_t = dL/dh_t + A_{t+1} g_{t+1}, A the Jacobian;  dzj = g (1 - h_{t-1}) J',
    dzk = -g h_{t-1} K';  du = sum over t and b of dz h_{t-1};  dh0 = A_1 g_1.
    """

    @staticmethod
    def forward(
        ctx: Any,
        drive: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        u: Tensor | None,
        h0: Tensor,
        gate: str,
        solution: Tensor | None,
        keep: bool,
    ) -> Tensor:
        # Few units and many steps are cut in time, unless each step needs the one before
        states = drive[..., :1].expand(*drive.shape[:2], h0.shape[1])
        ctx.blocks, ctx.parts = 1, []
        if solution is None and (_in_loops(states) or (u is not None and states.is_cpu)):
            h, both, ctx.blocks, ctx.parts = _gated_cpu(drive, weight, bias, u, h0, gate, keep)
        elif u is not None:
            h = _walk(drive, u, h0, gate) if solution is None else solution
            both = gate_of(drive + u * _both(_before(h, h0)), gate)
        else:
            both = gate_of(drive, gate)
            j, k = both.chunk(2, dim=-1)
            h = _solve(1 - j - k, j, h0)
        ctx.gate = gate
        ctx.save_for_backward(None if weight is None else drive, weight, u, h0, both, h)
        return h

    @staticmethod
    def backward(ctx: Any, dh: Tensor) -> tuple[Tensor | None, ...]:
        _only_once()
        x, weight, u, h0, both, h = ctx.saved_tensors
        if ctx.parts or _in_loops(h):
            parts = ctx.parts
            if not parts:
                parts = _lane_parts(h.shape[1], 1, _threads(h.numel()))
                both = _parted(both, parts)
            dz, dh0, d_weight, d_bias, du = _gated_cpu_backwards(
                dh, x, u, h0, both, h, ctx.gate, ctx.blocks, parts, ctx.needs_input_grad[0]
            )
        else:
            past = _before(h, h0)
            slope = _jacobian(both, u, past, ctx.gate)
            g = _solve_backwards(slope, dh)
            dz = torch.cat([g * (1 - past), -g * past], dim=-1) * slope_of(both, ctx.gate)
            dh0, d_weight, d_bias = slope[0] * g[0], None, None
            du = None if u is None else (dz * _both(past)).sum((0, 1))
        if weight is not None and dz is not None:
            with torch.autocast(dz.device.type, enabled=False):
                dz = dz @ weight  # the gradient of x
        d_bias = d_bias if ctx.needs_input_grad[2] else None
        return dz, d_weight, d_bias, du, dh0, None, None, None


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


def _in_loops(states: Tensor) -> bool:
    """Whether the compiled loops over all steps run the gated recurrence."""
    return states.device.type == "cpu" and not _traced() and not _cut_time(states)


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


def _blocks(batch: int, units: int, threads: int) -> int:
    """In how many blocks to cut the units, so that each thread has a lane."""
    blocks = 1
    while batch * blocks < threads and units % (2 * blocks) == 0 and units >= 2 * blocks * _LINE:
        blocks *= 2
    return blocks


def _blocked(x: Tensor, blocks: int) -> Tensor:
    """(2H, ...), [J, K], as (P, 2, H/P, ...), [J, K] of each block; contiguous."""
    split = x.detach().reshape(2, blocks, -1, *x.shape[1:])
    return split.transpose(0, 1).contiguous()


def _unblocked(x: Tensor) -> Tensor:
    """`_blocked`, undone."""
    return x.transpose(0, 1).flatten(0, 2)


def _halves(x: Tensor) -> Tensor:
    """(T, B, 2H), [J, K], as (2, T, B, H)."""
    return torch.stack(x.chunk(2, dim=-1))


def _parted(gates: Tensor, parts: list[tuple[int, int]]) -> Tensor:
    """(T, B, 2H), [J, K], as `gated_loop` keeps them for sequences first..last of each part."""
    both = torch.stack(gates.chunk(2, dim=-1), dim=1)
    return torch.cat([both[:, :, first:last].flatten() for first, last in parts])


def _whole(x: Tensor) -> Tensor:
    """`_halves`, undone."""
    return torch.cat([x[0], x[1]], dim=-1)


def _numpy(*tensors: Tensor) -> list[_Array]:
    return [t.detach().numpy() for t in tensors]


def _lane_parts(batch: int, blocks: int, threads: int) -> list[tuple[int, int]]:
    """At least 8 lanes each, for the sake of the caches, unless a thread would have none; of one
    block."""
    lanes = batch * blocks
    if blocks > 1:
        return _cuts(lanes, lanes)
    return _cuts(lanes, 1 if threads == 1 else max(threads, min(4 * threads, lanes // 8)))


def _gated_cpu(
    drive: Tensor, weight: Tensor | None, bias: Tensor | None, u: Tensor | None, h0: Tensor,
    gate: str, keep: bool,
) -> tuple[Tensor, Tensor, int, list[tuple[int, int]]]:  # fmt: skip
    """h (T, B, H); the gates, if they are kept, as `gated_loop` has them; P; and the parts."""
    steps, (batch, units) = len(drive), h0.shape
    h = h0.new_empty(steps, batch, units)
    threads = _threads(h.numel())
    blocks = 1 if _cut_time(h) else _blocks(batch, units, threads)
    lanes, width = batch * blocks, units // blocks
    if weight is None:
        drive = _halves(drive).view(2, steps, lanes, width)
        weights = drive.new_empty(blocks, 2, 0, width)
    else:
        drive = drive.contiguous()[None]
        weights = _blocked(weight, blocks).transpose(2, 3).contiguous()
    offset = h0.new_zeros(2 * units) if bias is None else bias
    both = h0.new_empty(2 * h.numel() if keep else 0)
    *given, gates, states = _numpy(
        drive, weights, _blocked(offset, blocks), _own(u, blocks, h0),
        h0.contiguous().view(lanes, -1), both, h.view(steps, lanes, -1),
    )  # fmt: skip

    def work(first: int, last: int) -> None:
        kept = kept_gates(gates, lanes, width, first, last)
        scratch = room(last - first, width, weights.shape[2], gates.dtype)
        gated_loop(gate == "hard", *given, kept, states, first, last, *scratch)

    parts = _lane_parts(batch, blocks, threads)
    share(work, parts, threads)
    return h, both, blocks, parts


def _own(u: Tensor | None, blocks: int, like: Tensor) -> Tensor:
    return like.new_empty(blocks, 2, 0) if u is None else _blocked(u, blocks)


def _gated_cpu_backwards(
    dh: Tensor, x: Tensor | None, u: Tensor | None, h0: Tensor, both: Tensor, h: Tensor,
    gate: str, blocks: int, parts: list[tuple[int, int]], with_dz: bool,
) -> tuple[Tensor | None, ...]:  # fmt: skip
    """The gradients of z (if wanted), h0, weight and bias (if there is x), and u (if there is)."""
    steps, batch, units = h.shape
    threads, lanes, width = _threads(h.numel()), batch * blocks, units // blocks
    if dh.stride(2) != 1 and units > 1:  # the gradient of a sum or mean is one number, expanded
        once = dh[:1] if dh.stride(0) == 0 else dh
        once = once[:, :1] if dh.stride(1) == 0 else once
        dh = once.contiguous().expand_as(dh)
    span = 1 + sum((n - 1) * stride for n, stride in zip(dh.shape, dh.stride(), strict=True))
    inputs = 0 if x is None else -(-x.shape[2] // ROWS) * ROWS
    own = _own(u, blocks, h0)
    dz = h.new_empty(2, steps if with_dz else 0, lanes, width)
    dh0 = torch.zeros_like(h0, memory_format=torch.contiguous_format)
    d_weight = h.new_zeros(len(parts), blocks, 2, inputs, width)
    d_bias, du = h.new_zeros(len(parts), blocks, 2, width), h.new_zeros(len(parts), *own.shape)
    (memory,) = _numpy(torch.as_strided(dh, (span,), (1,)))
    *given, gates = _numpy(
        h if x is None else x.contiguous(), own, h0.contiguous().view(lanes, -1), both
    )
    arrays = _numpy(h.view(steps, lanes, -1), dh0.view(lanes, -1), dz)
    sums = [_numpy(*each) for each in zip(d_weight, d_bias, du, strict=True)]

    def work(part: int, first: int, last: int) -> None:
        kept = kept_gates(gates, lanes, width, first, last)
        scratch = room(last - first, width, inputs, gates.dtype)
        gated_backwards_loop(
            gate == "hard", memory, dh.stride(0), dh.stride(1), *given, kept, *arrays,
            *sums[part], first, last, *scratch,
        )  # fmt: skip

    share(work, [(part, *cut) for part, cut in enumerate(parts)], threads)
    return (
        _whole(dz.view(2, steps, batch, units)) if with_dz else None,
        dh0,
        None if x is None else _unblocked(d_weight.sum(0).transpose(2, 3))[:, : x.shape[2]],
        None if x is None else _unblocked(d_bias.sum(0)),
        None if u is None else _unblocked(du.sum(0)),
    )
