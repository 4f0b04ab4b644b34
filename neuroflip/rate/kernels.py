"""The recurrence h' = J(1-h) + (1-K)h with recurrent gates, forward and hand-derived backward.

Three ways that agree: `unrolled` in plain torch operations, which autograd, torch.export and
torch.compile follow; and one autograd function without a graph per step, whose loop over time
runs in numba on the CPU (float32, float64) and in torch elsewhere. With g = dL/dh' (what arrives
from the output and from the next step),

    dL/dz_J = g (1-h) J'        dL/dz_K = -g h K'        J' = J(1-J) (sigmoid), 1/4 or 0 (hard)
    dL/dh   = g (1-J-K) + U_J^T dL/dz_J + U_K^T dL/dz_K

and the gradients of the weights are one matrix product each over all steps at the end.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from neuroflip.rate.full_loops import backward_loop, forward_loop
from neuroflip.rate.gates import GATES, gate_of, slope_of
from neuroflip.rate.products import ROWS
from neuroflip.rate.threads import share

_WORK = 2_000_000  # multiplications that are worth a second thread


def recurrence(
    x: Tensor, w_ih: Tensor, w_hh: Tensor, bias: Tensor, h0: Tensor, gate: str
) -> tuple[Tensor, Tensor]:
    """All states and gates, differentiable in every tensor.

    x: (T, B, I), T at least 1. w_ih: (2H, I), rows [J; K]. w_hh: (2H, H). bias: (2H,).
    h0: (B, H). gate: "sigmoid" or "hard". Returns h (T, B, H) and the gates (T, B, 2H) as
    [J, K]. The gates are (0, B, 2H) where nothing asks for a gradient: see `states_and_gates`.
    A second derivative (create_graph=True) runs step by step.

    >>> one = torch.ones(1, 1)
    >>> w = torch.tensor([[8.0], [-8.0]])  # set
    >>> h, _ = recurrence(one[None], w, 0 * w, torch.zeros(2), 0 * one, "hard")
    >>> h.item()
    1.0
    """
    return _run(x, w_ih, w_hh, bias, h0, gate, False)


def states_and_gates(
    x: Tensor, w_ih: Tensor, w_hh: Tensor, bias: Tensor, h0: Tensor, gate: str
) -> tuple[Tensor, Tensor]:
    """`recurrence`, with the gates (T, B, 2H) always."""
    return _run(x, w_ih, w_hh, bias, h0, gate, True)


def unrolled(
    x: Tensor, w_ih: Tensor, w_hh: Tensor, bias: Tensor, h0: Tensor, gate: str
) -> tuple[Tensor, Tensor]:
    """`states_and_gates` in plain torch operations, differentiable any number of times."""
    h, states, gates = h0, [], []
    for z in torch.nn.functional.linear(x, w_ih, bias).unbind(0):
        both = gate_of(z + h @ w_hh.t(), gate)
        j, k = both.chunk(2, dim=-1)
        h = j + (1 - j - k) * h
        states.append(h)
        gates.append(both)
    return torch.stack(states), torch.stack(gates)


def _run(
    x: Tensor, w_ih: Tensor, w_hh: Tensor, bias: Tensor, h0: Tensor, gate: str, keep: bool
) -> tuple[Tensor, Tensor]:
    given = (x, w_ih, w_hh, bias, h0)
    if torch.compiler.is_compiling():
        return unrolled(*given, gate)
    keep = keep or (torch.is_grad_enabled() and any(t.requires_grad for t in given))
    h, gates = _Recurrence.apply(*given, gate == "hard", keep)  # type: ignore[no-untyped-call]
    return h, gates


class _Recurrence(torch.autograd.Function):
    """The loop over time as one node of the graph."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        w_ih: Tensor,
        w_hh: Tensor,
        bias: Tensor,
        h0: Tensor,
        hard: bool,
        keep: bool,
    ) -> tuple[Tensor, Tensor]:
        ctx.set_materialize_grads(False)
        ctx.hard = hard
        steps, batch, _ = x.shape
        h = x.new_empty(steps, batch, h0.shape[1])
        gates = x.new_empty(steps if keep else 0, batch, w_hh.shape[0])
        forward = _forward_numba if _in_numba(x) else _forward_torch
        forward(hard, *(t.contiguous() for t in (x, w_ih, w_hh, bias, h0)), gates, h)
        ctx.save_for_backward(x, w_ih, w_hh, bias, h0, gates, h)
        return h, gates

    @staticmethod
    def backward(
        ctx: Any, grad_h: Tensor | None, grad_gates: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        *given, gates, h = ctx.saved_tensors
        needs = ctx.needs_input_grad
        if torch.is_grad_enabled():  # create_graph=True
            return *_graph_of_gradients(given, needs, ctx.hard, grad_h, grad_gates), None, None
        x, w_ih, w_hh, _, h0 = (t.contiguous() for t in given)
        if grad_h is None:
            grad_h = torch.zeros_like(h)
        if grad_gates is None:
            grad_gates = gates.new_empty(0, *gates.shape[1:])
        dz = torch.empty_like(gates)
        dh = torch.zeros_like(h0)
        with torch.autocast(x.device.type, enabled=False):
            backward = _backward_numba if _in_numba(x) else _backward_torch
            arrived = (grad_h.contiguous(), grad_gates.contiguous())
            backward(ctx.hard, w_hh, h0, gates, h, *arrived, dz, dh)
            flat = dz.flatten(0, 1)
            dx = (flat @ w_ih).view_as(x) if needs[0] else None
            d_ih = (x.flatten(0, 1).t() @ flat).t() if needs[1] else None  # fast where I is small
            d_hh = None
            if needs[2]:
                d_hh = torch.addmm(
                    dz[0].t() @ h0, dz[1:].flatten(0, 1).t(), h[:-1].flatten(0, 1)
                )  # fmt: skip
            d_bias = flat.sum(dim=0) if needs[3] else None
        return dx, d_ih, d_hh, d_bias, dh if needs[4] else None, None, None


def _graph_of_gradients(
    given: list[Tensor],
    needs: Sequence[bool],
    hard: bool,
    grad_h: Tensor | None,
    grad_gates: Tensor | None,
) -> list[Tensor | None]:
    """The gradients with a graph of their own, for a second derivative, by way of `unrolled`."""
    x, w_ih, w_hh, bias, h0 = given
    results = unrolled(x, w_ih, w_hh, bias, h0, "hard" if hard else "sigmoid")
    arrived = [(r, g) for r, g in zip(results, (grad_h, grad_gates), strict=True) if g is not None]
    wanted = [t for t, need in zip(given, needs, strict=False) if need]
    found = iter(
        torch.autograd.grad(
            [r for r, _ in arrived], wanted, [g for _, g in arrived], create_graph=True
        )
    )
    return [next(found) if need else None for _, need in zip(given, needs, strict=False)]


def _in_numba(x: Tensor) -> bool:
    return x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64)


def _forward_torch(hard: bool, *tensors: Tensor) -> None:
    """Fill gates (T, B, 2H) if it has steps, and h (T, B, H)."""
    x, w_ih, w_hh, bias, h0, gates, h = tensors
    projected = torch.nn.functional.linear(x, w_ih, bias)
    recurrent = w_hh.t()
    before = h0
    for t, z in enumerate(projected.unbind(0)):
        z.addmm_(before, recurrent)
        if hard:
            z.div_(4).add_(0.5).clamp_(0, 1)
        else:
            z.sigmoid_()
        j, k = z.chunk(2, dim=-1)
        torch.addcmul(j, 1 - j - k, before, out=h[t])
        before = h[t]
    if len(gates):
        gates.copy_(projected)


def _backward_torch(hard: bool, *tensors: Tensor) -> None:
    """Fill dz (T, B, 2H) and dh (B, H), which comes as zeros."""
    w_hh, h0, gates, h, grad_h, grad_gates, dz, dh = tensors
    slope = slope_of(gates, GATES[hard])
    for t in range(len(h) - 1, -1, -1):
        j, k = gates[t].chunk(2, dim=-1)
        before = h[t - 1] if t else h0
        g = grad_h[t] + dh
        both = torch.cat([g * (1 - before), -g * before], dim=-1)
        if len(grad_gates):
            both += grad_gates[t]
        torch.mul(both, slope[t], out=dz[t])
        torch.addmm(g * (1 - j - k), dz[t], w_hh, out=dh)


def _forward_numba(hard: bool, *tensors: Tensor) -> None:
    x, w_ih, w_hh, *others = tensors
    arrays = [t.detach().numpy() for t in (x, w_ih.t(), w_hh.t(), *others)]
    steps, batch, inputs = x.shape
    _in_threads(
        lambda start, stop: forward_loop(*arrays, hard, start, stop),
        batch,
        steps * batch * w_hh.shape[0] * (inputs + w_hh.shape[1]),
    )


def _backward_numba(hard: bool, *tensors: Tensor) -> None:
    arrays = [t.detach().numpy() for t in tensors]
    steps, batch, hidden = tensors[3].shape
    _in_threads(
        lambda start, stop: backward_loop(*arrays, hard, start, stop),
        batch,
        steps * batch * 2 * hidden * hidden,
    )


def _in_threads(work: Callable[[int, int], None], batch: int, products: int) -> None:
    """Call work(start, stop) over all sequences, in as many threads as torch may use.

    Which sequences share a pass does not depend on the number of threads, so neither does the
    result.
    """
    blocks = math.ceil(batch / ROWS)
    count = max(1, min(torch.get_num_threads(), blocks, products // _WORK))
    cuts = [min(batch, ROWS * (blocks * n // count)) for n in range(count)] + [batch]
    share(work, list(itertools.pairwise(cuts)), count)
