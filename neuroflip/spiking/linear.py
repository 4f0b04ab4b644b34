"""A linear layer that visits only the inputs that fire."""

import functools
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch._C._functorch import is_functorch_wrapped_tensor

from neuroflip.engines import machine_code
from neuroflip.rules.event_kernel import lanes_text

_WORTH = 100_000
"""Samples times weights from which on the kernel is used: it takes seconds to compile, once."""
_TYPES = (torch.float32, torch.float64)

_SUMS = """\
    if not spikes(x, first, at):
        return 0
    samples, inputs, outputs = x.shape[0], x.shape[1], y.shape[1]
    if 5 * first[samples] > samples * inputs:
        return 0  # so many that a product of matrices is quicker
    for b in range(samples):
        row = y[b]
        for o in range(outputs):
            row[o] = bias[o]
        e, last = first[b], first[b + 1]
        while e + 4 <= last:  # four at a time, as each pass reads and writes the sums
            w0, w1, w2, w3 = weight[at[e]], weight[at[e + 1]], weight[at[e + 2]], weight[at[e + 3]]
            for o in range(outputs):
                row[o] += (w0[o] + w1[o]) + (w2[o] + w3[o])
            e += 4
        while e < last:
            w0 = weight[at[e]]
            for o in range(outputs):
                row[o] += w0[o]
            e += 1
    return 1
"""


@functools.cache
def _source() -> machine_code.Source:
    return machine_code.Source(lanes_text(), ("x", "weight", "bias", "y", "first", "at"), _SUMS)


class _Work:
    """What one forward pass at a time works with."""

    def __init__(self, samples: int, inputs: int, outputs: int, dtype: torch.dtype) -> None:
        self.sizes = (samples, dtype)
        kind = torch.empty(0, dtype=dtype).numpy().dtype
        arrays = {
            "x": np.empty((samples, inputs), kind),
            "weight": np.empty((inputs, outputs), kind),
            "bias": np.zeros(outputs, kind),  # stays where there is none
            "y": np.empty((samples, outputs), kind),
            "first": np.empty(samples + 1, np.int64),
            "at": np.empty(samples * inputs, np.uint32),
        }
        self.call = machine_code.Call(_source(), arrays)


class SpikeLinear(nn.Linear):
    """`nn.Linear` that is quicker where its input is sparse spikes.

        y = x W' + b

    Arguments, parameters, shapes and state_dict are those of `nn.Linear`. On a CPU, where no
    gradient is asked for and the input is 0 and 1 with at most a fifth of ones, a compiled loop
    adds up the weights of the inputs that fire; anything else goes the way of `nn.Linear`. Both
    give the same numbers to rounding (but that an infinite weight makes NaN of a silent input
    there, and nothing in the loop). So a layer that a rule alone teaches (merge "replace" of
    `rules.attach`) spends its time on what happens, not on zeros.

    The weight is (out_features, in_features), and lies in memory by inputs: weight.t() is
    contiguous. A weight that does not lie so (put there by `load_state_dict(assign=True)`, say)
    works, without the loop. The first pass compiles it, which takes seconds, and keeps it on the
    disk; layers of fewer than 100,000 samples times weights do without.

    >>> import torch
    >>> from neuroflip.spiking import SpikeLinear
    >>> layer = SpikeLinear(784, 100)
    >>> spikes = (torch.rand(32, 784) < 0.05).float()
    >>> with torch.no_grad():
    ...     torch.allclose(layer(spikes), spikes @ layer.weight.t() + layer.bias, atol=1e-6)
    True
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(in_features, out_features, bias, device, dtype)
        self.weight = nn.Parameter(self.weight.detach().t().contiguous().t())
        self._idle: list[_Work] = []

    def forward(self, input: Tensor) -> Tensor:
        """(..., in_features) -> (..., out_features)."""
        found = self._events(input) if self._may(input) else None
        return super().forward(input) if found is None else found

    def _may(self, x: Tensor) -> bool:
        """Whether the loop can take this input, if it is spikes."""
        weight, bias = self._parameters["weight"], self._parameters["bias"]
        assert weight is not None
        if type(x) is not Tensor or x.layout is not torch.strided or is_functorch_wrapped_tensor(x):
            return False
        if torch.is_grad_enabled() and (
            x.requires_grad or weight.requires_grad or (bias is not None and bias.requires_grad)
        ):
            return False
        if not x.is_cpu or x.dtype is not weight.dtype:
            return False
        if x.numel() * self.out_features < _WORTH or x.dtype not in _TYPES:
            return False
        return (
            x.shape[-1] == self.in_features
            and x.is_contiguous()
            and weight.is_cpu
            and weight.t().is_contiguous()
            and (bias is None or (bias.is_contiguous() and bias.dtype is x.dtype))
            and not torch.is_autocast_enabled("cpu")
            and not torch.compiler.is_compiling()
        )

    def _events(self, x: Tensor) -> Tensor | None:
        """The sums over the inputs that fire; None where the input is no spikes, or too many."""
        samples = x.numel() // self.in_features
        work = self._idle.pop() if self._idle else None  # a thread beside this one takes its own
        if work is None or work.sizes != (samples, x.dtype):
            try:
                work = _Work(samples, self.in_features, self.out_features, x.dtype)
            except machine_code.NoCompiler:
                return None
        y = x.new_empty((*x.shape[:-1], self.out_features))
        call = work.call
        call.point(x=x.data_ptr(), weight=self.weight.data_ptr(), y=y.data_ptr())
        if self.bias is not None:
            call.point(bias=self.bias.data_ptr())
        done = call()
        self._idle.append(work)
        return y if done else None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_idle": []}  # which holds addresses
