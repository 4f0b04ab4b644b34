"""`FlipFlopCell`, one step of the flip-flop neuron, a drop-in for torch.nn.RNNCell."""

from typing import cast

import torch
from torch import Tensor, nn

from neuroflip.rate.arguments import bias_names, find_bias, one_of, own_type, size
from neuroflip.rate.gates import GATES, gate_of
from neuroflip.rate.init import Init, find_init


class FlipFlopCell(nn.Module):
    """One step: J = gate(W_J x + U_J h + b_J), K likewise, h' = J (1-h) + (1-K) h.

    (Kumari, Chandrasekaran & Chakravarthy 2023, Neural Comput. Appl. 35:24543.) Arguments as
    torch.nn.RNNCell; bias, gate and init as `neuroflip.rate.FlipFlop`. Parameters: weight_ih
    (2H, I) and weight_hh (2H, H), rows [J; K]; bias_ih and bias_hh (2H,), of which a single bias
    is bias_ih.

    >>> cell = FlipFlopCell(1, 1, bias=False, gate="hard")
    >>> with torch.no_grad():
    ...     _ = cell.weight_ih.copy_(torch.tensor([[2.0], [2.0]]))  # an input of 1 toggles
    ...     _ = cell.weight_hh.zero_()
    >>> cell(torch.ones(1), torch.zeros(1)).item(), cell(torch.ones(1), torch.ones(1)).item()
    (1.0, 0.0)
    """

    weight_ih: nn.Parameter
    weight_hh: nn.Parameter

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: str | bool = "double",
        *,
        gate: str = "sigmoid",
        init: str | Init = "chrono",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.input_size = size(input_size, "input_size")
        self.hidden_size = size(hidden_size, "hidden_size")
        self.bias = find_bias(bias)
        self.gate = one_of(gate, GATES, "gate")
        self.init = find_init(init)
        rows = 2 * hidden_size
        shapes = {"weight_ih": (rows, input_size), "weight_hh": (rows, hidden_size)}
        for name, shape in shapes.items():
            values = torch.empty(shape, device=device, dtype=dtype)
            self.register_parameter(name, nn.Parameter(values))
        for name in bias_names(self.bias):
            values = torch.empty(rows, device=device, dtype=dtype)
            self.register_parameter(name, nn.Parameter(values))
        self.reset_parameters()

    def _biases(self) -> list[Tensor]:
        return [cast(Tensor, getattr(self, name)) for name in bias_names(self.bias)]

    def reset_parameters(self) -> None:
        """Draw all parameters anew, from torch's generator, as `init` says."""
        self.init(self.weight_ih, self.weight_hh, self._biases(), self.gate)

    def extra_repr(self) -> str:
        return (
            f"{self.input_size}, {self.hidden_size}, bias={self.bias!r}, gate={self.gate!r}, "
            f"init={self.init!r}"
        )

    def forward(
        self, input: Tensor, hx: Tensor | None = None, *, return_gates: bool = False
    ) -> Tensor | tuple[Tensor, Tensor, Tensor]:
        """The next state h'; (h', J, K) if `return_gates`.

        input: (B, I) or (I,). hx: (B, H) or (H,), zeros if None. h', J and K are like hx.
        ValueError for tensors of another shape or type.
        """
        if input.dim() not in (1, 2) or input.shape[-1] != self.input_size:
            raise ValueError(
                f"input must have shape (B, {self.input_size}) or ({self.input_size},); "
                f"got {tuple(input.shape)}."
            )
        x = own_type(input, self.weight_ih, "input")
        expected = (*x.shape[:-1], self.hidden_size)
        h = x.new_zeros(expected) if hx is None else own_type(hx, self.weight_hh, "hx")
        if tuple(h.shape) != expected:
            raise ValueError(f"hx must have shape {expected}; got {tuple(h.shape)}.")
        with torch.autocast(x.device.type, enabled=False):
            z = nn.functional.linear(x, self.weight_ih) + h @ self.weight_hh.t()
            for bias in self._biases():
                z = z + bias
            j, k = gate_of(z, self.gate).chunk(2, dim=-1)
            after = j * (1 - h) + (1 - k) * h
        return (after, j, k) if return_gates else after
