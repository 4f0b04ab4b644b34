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

from typing import Any

import torch
from torch import Tensor, nn

from neuroflip.sims.paper.baseline_loops import (
    gru_backward,
    gru_forward,
    rnn_backward,
    rnn_forward,
)


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
        rnn_forward(*_arrays(driven, w.t(), h))
        ctx.save_for_backward(w, h)
        return h

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        w, h = ctx.saved_tensors
        d = torch.empty_like(h)
        rnn_backward(*_arrays(w, h, grad, d))
        return d, d[1:].flatten(0, 1).t() @ h[:-1].flatten(0, 1)


class _Gru(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, driven: Tensor, w: Tensor, b: Tensor) -> Tensor:
        steps, batch, wide = driven.shape
        h = driven.new_empty(steps, batch, wide // 3)
        kept = driven.new_empty(steps, batch, 4 * (wide // 3))  # r, z, n, q
        gru_forward(*_arrays(driven, w.t(), b, h, kept))
        ctx.save_for_backward(w, h, kept)
        return h

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        w, h, kept = ctx.saved_tensors
        d, own = h.new_empty(2, *h.shape[:2], len(w))
        gru_backward(*_arrays(w, h, kept, grad, d, own))
        d_w = own[1:].flatten(0, 1).t() @ h[:-1].flatten(0, 1)
        return d, d_w, own.sum(dim=(0, 1))


def _arrays(*tensors: Tensor) -> list[Any]:
    return [t.detach().contiguous().numpy() for t in tensors]
