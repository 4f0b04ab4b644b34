"""torch's RNN and GRU, with the loop over time compiled where a net is small.

On a CPU torch runs these two as a graph of small operations for each step, which takes most of the
time of a small net, and up to ten times as long. Here the loop is one node of the graph, as it is
for the flip-flop layer and in torch's LSTM; parameters, equations and numbers, up to rounding, are
torch's. With g = dL/dh',

    RNN   h' = tanh(a + U h)                      dL/da = g (1 - h'^2)
    GRU   h' = (1 - z) n + z h,  n = tanh(a_n + r q),  q = U_n h + b_n,  [r, z] = sigma(a + U h + b)
          dL/da_n = g (1 - z)(1 - n^2)            dL/da_z = g (h - n) z (1 - z)
          dL/da_r = dL/da_n q r (1 - r)           dL/dq   = dL/da_n r

where a is what the input gives.
"""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from neuroflip.rate.products import ROWS, add_product
from neuroflip.rate.threads import compiled


class RNN(nn.RNN):
    """torch.nn.RNN."""

    def forward(self, input: Any, hx: Any = None) -> Any:
        """As torch.nn.RNN."""
        if not _simple(self, input, hx) or self.nonlinearity != "tanh":
            return super().forward(input, hx)
        w, u, b, c = _parameters(self)
        driven = nn.functional.linear(input.transpose(0, 1), w, b + c)
        h = _Rnn.apply(driven, u)  # type: ignore[no-untyped-call]
        return h.transpose(0, 1), h[-1:]


class GRU(nn.GRU):
    """torch.nn.GRU."""

    def forward(self, input: Any, hx: Any = None) -> Any:
        """As torch.nn.GRU."""
        if not _simple(self, input, hx):
            return super().forward(input, hx)
        w, u, b, c = _parameters(self)
        driven = nn.functional.linear(input.transpose(0, 1), w, b)
        h = _Gru.apply(driven, u, c)  # type: ignore[no-untyped-call]
        return h.transpose(0, 1), h[-1:]


def _simple(layer: nn.RNNBase, x: Any, hx: Any) -> bool:
    """Whether the loops below know it, one layer in one direction from a state of zeros, and are
    the faster ones."""
    return (
        isinstance(x, Tensor)
        and x.dim() == 3
        and hx is None
        and layer.batch_first
        and layer.bias
        and layer.num_layers == 1
        and not layer.bidirectional
        and layer.proj_size == 0
        and (x.device.type, x.dtype) == ("cpu", torch.float32)
        and len(x) * layer.hidden_size <= _SMALL
    )


_SMALL = 2048  # sequences times units; beyond it torch's matrix products win


def _parameters(layer: nn.RNNBase) -> list[Tensor]:
    """Weights of the input and of the state, and their biases."""
    names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    return [layer.get_parameter(name) for name in names]


class _Rnn(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, driven: Tensor, w: Tensor) -> Tensor:
        steps, batch, hidden = driven.shape
        h = driven.new_empty(steps, batch, hidden)
        _rnn_forward(*_arrays(driven, w.t(), h))
        ctx.save_for_backward(w, h)
        return h

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        w, h = ctx.saved_tensors
        d = torch.empty_like(h)
        _rnn_backward(*_arrays(w, h, grad, d))
        return d, d[1:].flatten(0, 1).t() @ h[:-1].flatten(0, 1)


class _Gru(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, driven: Tensor, w: Tensor, b: Tensor) -> Tensor:
        steps, batch, wide = driven.shape
        h = driven.new_empty(steps, batch, wide // 3)
        kept = driven.new_empty(steps, batch, 4 * (wide // 3))  # r, z, n, q
        _gru_forward(*_arrays(driven, w.t(), b, h, kept))
        ctx.save_for_backward(w, h, kept)
        return h

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        w, h, kept = ctx.saved_tensors
        d, own = h.new_empty(2, *h.shape[:2], len(w))
        _gru_backward(*_arrays(w, h, kept, grad, d, own))
        d_w = own[1:].flatten(0, 1).t() @ h[:-1].flatten(0, 1)
        return d, d_w, own.sum(dim=(0, 1))


def _arrays(*tensors: Tensor) -> list[Any]:
    return [t.detach().contiguous().numpy() for t in tensors]


@compiled
def _rnn_forward(driven: Any, w: Any, h: Any) -> None:
    """w: (H, H), transposed."""
    steps, batch, hidden = h.shape
    state = np.zeros((ROWS, hidden), h.dtype)
    z = np.zeros((ROWS, hidden), h.dtype)
    for first in range(0, batch, ROWS):
        rows = min(ROWS, batch - first)
        state[:] = 0
        for t in range(steps):
            for r in range(rows):
                z[r, :] = driven[t, first + r]
            add_product(z, state, w, rows)
            for r in range(rows):
                for i in range(hidden):
                    state[r, i] = math.tanh(z[r, i])
                h[t, first + r, :] = state[r]


@compiled
def _rnn_backward(w: Any, h: Any, grad: Any, d: Any) -> None:
    steps, batch, hidden = h.shape
    one = h.dtype.type(1)
    here = np.zeros((ROWS, hidden), h.dtype)
    back = np.zeros((ROWS, hidden), h.dtype)
    for first in range(0, batch, ROWS):
        rows = min(ROWS, batch - first)
        back[:] = 0
        for t in range(steps - 1, -1, -1):
            for r in range(rows):
                for i in range(hidden):
                    now = h[t, first + r, i]
                    here[r, i] = (grad[t, first + r, i] + back[r, i]) * (one - now * now)
                    back[r, i] = 0
                d[t, first + r, :] = here[r]
            add_product(back, here, w, rows)


@compiled
def _gru_forward(driven: Any, w: Any, b: Any, h: Any, kept: Any) -> None:
    """w: (H, 3H), transposed. kept: r, z, n, q."""
    steps, batch, n = h.shape
    one = h.dtype.type(1)
    state = np.zeros((ROWS, n), h.dtype)
    u = np.zeros((ROWS, 3 * n), h.dtype)
    for first in range(0, batch, ROWS):
        rows = min(ROWS, batch - first)
        state[:] = 0
        for t in range(steps):
            for r in range(rows):
                u[r, :] = b
            add_product(u, state, w, rows)
            for r in range(rows):
                a, k = driven[t, first + r], kept[t, first + r]
                for i in range(2 * n):
                    k[i] = one / (one + math.exp(-(a[i] + u[r, i])))
                for i in range(n):
                    k[3 * n + i] = u[r, 2 * n + i]
                    k[2 * n + i] = math.tanh(a[2 * n + i] + k[i] * u[r, 2 * n + i])
                    state[r, i] = k[2 * n + i] + k[n + i] * (state[r, i] - k[2 * n + i])
                h[t, first + r, :] = state[r]


@compiled
def _gru_backward(w: Any, h: Any, kept: Any, grad: Any, d: Any, own: Any) -> None:
    """d: by what the input gives; own: by what the state gives."""
    steps, batch, n = h.shape
    one, zero = h.dtype.type(1), h.dtype.type(0)
    here = np.zeros((ROWS, 3 * n), h.dtype)
    back = np.zeros((ROWS, n), h.dtype)
    for first in range(0, batch, ROWS):
        rows = min(ROWS, batch - first)
        back[:] = 0
        for t in range(steps - 1, -1, -1):
            for r in range(rows):
                k, out = kept[t, first + r], d[t, first + r]
                for i in range(n):
                    before = h[t - 1, first + r, i] if t > 0 else zero
                    reset, update, new, q = k[i], k[n + i], k[2 * n + i], k[3 * n + i]
                    g = grad[t, first + r, i] + back[r, i]
                    d_new = g * (one - update) * (one - new * new)
                    out[i] = d_new * q * reset * (one - reset)
                    out[n + i] = g * (before - new) * update * (one - update)
                    out[2 * n + i] = d_new
                    here[r, i] = out[i]
                    here[r, n + i] = out[n + i]
                    here[r, 2 * n + i] = d_new * reset
                    back[r, i] = g * update
                own[t, first + r, :] = here[r]
            add_product(back, here, w, rows)
