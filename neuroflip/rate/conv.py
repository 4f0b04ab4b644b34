"""Recurrent layers for image sequences: the convolutional flip-flop and, beside it, the LSTM.

Their gates are convolutions of the frame and of the state, and the state, an image itself, is
carried from frame to frame.
"""

from typing import Literal, final

import torch
from torch import Tensor, nn
from torch.nn import functional

from neuroflip.errors import nearest

Padding = Literal["same", "valid"]
_PADDINGS = ("same", "valid")


class _ConvRecurrent(nn.Module):
    """What both layers share: the two convolutions and the loop over frames.

    A layer sets `gates`, their number, and `states`, the names of the images its state is made
    of, the hidden one first; and defines `_advance`.
    """

    gates: int
    states: tuple[str, ...]

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        kernel_size: int | tuple[int, int],
        *,
        padding: Padding = "same",
        bias: bool = True,
        batch_first: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.in_channels = _count(in_channels, "in_channels")
        self.hidden_channels = _count(hidden_channels, "hidden_channels")
        self.kernel_size = _kernel(kernel_size)
        if padding not in _PADDINGS:
            raise ValueError(f"unknown padding {padding!r}; {nearest(str(padding), _PADDINGS)}")
        self.padding = padding
        self.batch_first = batch_first
        rows = self.gates * self.hidden_channels

        def empty(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.empty(*shape, device=device, dtype=dtype))

        self.weight_ih = empty(rows, self.in_channels, *self.kernel_size)
        self.weight_hh = empty(rows, self.hidden_channels, *self.kernel_size)
        self.bias: nn.Parameter | None
        self.register_parameter("bias", empty(rows) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new weights: each gate's kernels Glorot-uniform, with bias 0."""
        for weight in (self.weight_ih, self.weight_hh):
            for gate in weight.chunk(self.gates):
                nn.init.xavier_uniform_(gate)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def extra_repr(self) -> str:
        return (
            f"{self.in_channels}, {self.hidden_channels}, kernel_size={self.kernel_size}, "
            f"padding={self.padding!r}, bias={self.bias is not None}, "
            f"batch_first={self.batch_first}"
        )

    def _run(
        self, frames: Tensor, start: tuple[Tensor, ...] | None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """All hidden states, stacked over time like the frames, and the state after the last."""
        self._check_frames(frames)
        time = 1 if self.batch_first else 0
        # One convolution for the frames of all times: they go in as one batch.
        folded = functional.conv2d(
            frames.flatten(0, 1), self.weight_ih, self.bias, padding=self.padding
        )
        gates = folded.reshape(*frames.shape[:2], *folded.shape[1:])
        batch = frames.shape[1 - time]
        shape = (batch, self.hidden_channels, *gates.shape[-2:])
        if start is None:
            state = tuple(gates.new_zeros(shape) for _ in self.states)
        else:
            state = start
            for name, image in zip(self.states, state, strict=True):
                if image.shape != shape:
                    raise ValueError(
                        f"{name} must be of shape {shape} (batch, hidden_channels, height, "
                        f"width); got {tuple(image.shape)}."
                    )
        hidden = []
        for frame in gates.unbind(time):
            recurrent = functional.conv2d(state[0], self.weight_hh, padding="same")
            state = self._advance(frame + recurrent, state)
            hidden.append(state[0])
        return torch.stack(hidden, time), state

    def _advance(self, gates: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The state after a step whose gates, before their nonlinearities, are `gates`."""
        raise NotImplementedError

    def _check_frames(self, frames: Tensor) -> None:
        axes = "(batch, time, " if self.batch_first else "(time, batch, "
        expected = f"input must be of shape {axes}{self.in_channels} channels, height, width)"
        if frames.ndim != 5 or frames.shape[2] != self.in_channels:
            raise ValueError(f"{expected}; got {tuple(frames.shape)}.")
        if frames.shape[1 if self.batch_first else 0] == 0:
            raise ValueError(f"{expected} with at least one frame; got {tuple(frames.shape)}.")
        smallest = (1, 1) if self.padding == "same" else self.kernel_size
        if any(have < need for have, need in zip(frames.shape[3:], smallest, strict=True)):
            raise ValueError(
                f"the frames of input must be at least {smallest[0]} x {smallest[1]} for "
                f"padding={self.padding!r}; got {tuple(frames.shape)}."
            )


@final
class ConvFlipFlop2d(_ConvRecurrent):
    """A layer of flip-flop neurons, one a pixel and channel, with convolutions as gates.

        J_t = S(W_J * x_t + U_J * h_{t-1} + b_J)
        K_t = S(W_K * x_t + U_K * h_{t-1} + b_K)
        h_t = J_t (1 - h_{t-1}) + (1 - K_t) h_{t-1}

    with * the cross-correlation of `torch.nn.Conv2d` and S the sigmoid. Kumari, Chandrasekaran &
    Chakravarthy 2023, Neural Comput. Appl. 35:24543. Half the parameters of `ConvLSTM2d`.

    in_channels: channels of a frame. hidden_channels: of the state. kernel_size: odd, one number
        or (height, width), of both convolutions.
    padding: of the convolution of the input: "same" (zeros, default) keeps height and width,
        "valid" takes kernel_size - 1 off each. The state is always padded to stay as it is.
    bias: whether there is one a gate and channel (default). batch_first: whether the batch or
        time is the first axis of input and output; batch by default. device, dtype: as in torch.

    Parameters, gates in the order J, K: weight_ih (2 hidden, in, height, width), weight_hh
    (2 hidden, hidden, height, width), bias (2 hidden,). They start Glorot-uniform, the bias at 0;
    then J and K are about 1/2 and the state forgets at once. A negative bias makes it hold.

    Raises ValueError or TypeError for a number of channels below 1, an even kernel, an unknown
    padding.

    >>> layer = ConvFlipFlop2d(1, 40, 3)
    >>> output, h_n = layer(torch.zeros(2, 5, 1, 8, 8))
    >>> output.shape, h_n.shape
    (torch.Size([2, 5, 40, 8, 8]), torch.Size([2, 40, 8, 8]))
    >>> sum(p.numel() for p in layer.parameters()) == 2 * (9 * (1 + 40) * 40 + 40)
    True
    """

    gates = 2
    states = ("h_0",)

    def forward(self, input: Tensor, h_0: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The states after each frame, and after the last: (output, h_n).

        input: (B, T, C, H, W), or (T, B, C, H, W) without batch_first. h_0: the state before the
        first frame, (B, hidden, H, W), in [0, 1]; 0 by default. output: (B, T, hidden, H, W), or
        time first; h_n: (B, hidden, H, W), to be handed to the next chunk of frames.

        Raises ValueError for other shapes and for no frames.
        """
        output, (h_n,) = self._run(input, None if h_0 is None else (h_0,))
        return output, h_n

    def _advance(self, gates: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        (h,) = state
        J, K = torch.sigmoid(gates).chunk(2, dim=1)
        return (J * (1 - h) + (1 - K) * h,)


@final
class ConvLSTM2d(_ConvRecurrent):
    """The convolutional LSTM without peepholes, to compare with `ConvFlipFlop2d`.

        i_t, f_t, o_t = S(W * x_t + U * h_{t-1} + b),   g_t = tanh(W * x_t + U * h_{t-1} + b)
        c_t = f_t c_{t-1} + i_t g_t,   h_t = o_t tanh(c_t)

    each gate with its own W, U, b. Shi et al. 2015, NeurIPS 28:802, eq. 3, whose terms in
    c_{t-1} and c_t inside the gates are left out.

    Arguments, shapes and errors are those of `ConvFlipFlop2d`. Gates in the order i, f, g, o, as
    in `torch.nn.LSTM`; the bias of f starts at 1, so that the cell starts by remembering.

    >>> layer = ConvLSTM2d(1, 40, 3)
    >>> output, (h_n, c_n) = layer(torch.zeros(2, 5, 1, 8, 8))
    >>> output.shape, c_n.shape
    (torch.Size([2, 5, 40, 8, 8]), torch.Size([2, 40, 8, 8]))
    """

    gates = 4
    states = ("h_0", "c_0")

    def reset_parameters(self) -> None:
        """Draw new weights: each gate's kernels Glorot-uniform; bias 1 for f, 0 for the others."""
        super().reset_parameters()
        if self.bias is not None:
            nn.init.ones_(self.bias.chunk(4)[1])

    def forward(
        self, input: Tensor, state: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """The hidden states after each frame, and the state after the last: (output, (h_n, c_n)).

        input, output: as for `ConvFlipFlop2d`. state: (h_0, c_0), each (B, hidden, H, W); 0 by
        default.
        """
        if state is not None and (isinstance(state, Tensor) or len(state) != 2):
            raise TypeError(f"state must be a pair (h_0, c_0); got a {type(state).__name__}.")
        output, (h_n, c_n) = self._run(input, state)
        return output, (h_n, c_n)

    def _advance(self, gates: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        i, f, g, o = gates.chunk(4, dim=1)
        c = torch.sigmoid(f) * state[1] + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c


def _count(value: int, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be a whole number; got {value!r}.")
    if value < 1:
        raise ValueError(f"{name} must be at least 1; got {value!r}.")
    return value


def _kernel(value: int | tuple[int, int]) -> tuple[int, int]:
    pair = (value, value) if isinstance(value, int) else tuple(value)
    if len(pair) != 2:
        raise ValueError(f"kernel_size must be one number or (height, width); got {value!r}.")
    height, width = (_count(side, "kernel_size") for side in pair)
    if height % 2 == 0 or width % 2 == 0:
        raise ValueError(
            f"kernel_size must be odd, so that the state stays in its place; got {value!r}."
        )
    return height, width
