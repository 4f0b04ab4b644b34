"""The models compared: one recurrent layer and a linear readout, of the published sizes."""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from neuroflip.errors import nearest
from neuroflip.rate import FlipFlop, Init
from neuroflip.sims.paper.baselines import GRU, RNN

LAYERS: Mapping[str, Callable[..., nn.Module]] = MappingProxyType(
    {
        "FlipFlop": FlipFlop,
        "FlipFlop diagonal": partial(FlipFlop, recurrence="diagonal"),
        "FlipFlop none": partial(FlipFlop, recurrence="none"),
        "RNN": RNN,
        "LSTM": nn.LSTM,
        "GRU": GRU,
    }
)
"""Kinds of layers; the flip-flop ones by what their gates see of the state."""

PUBLISHED = ("FlipFlop", "RNN", "LSTM", "GRU")
"""The four that the paper compares."""


def recurrent(
    kind: str,
    inputs: int,
    hidden: int,
    *,
    bias: str = "single",
    init: str | Init = "chrono",
    **given: Any,
) -> nn.Module:
    """A recurrent layer, samples first: (B, T, inputs) -> (output (B, T, hidden), last state).

    kind: a name of `LAYERS`. bias, init: of the flip-flop layers, see `neuroflip.rate.FlipFlop`;
        torch's own layers have two biases a gate and their own start. given: other arguments,
        such as num_layers. The last state of an LSTM is the pair (h, c).

    Raises ValueError for an unknown kind.

    >>> recurrent("FlipFlip", 2, 4)
    Traceback (most recent call last):
        ...
    ValueError: unknown model 'FlipFlip'; did you mean 'FlipFlop'?
    """
    if kind not in LAYERS:
        raise ValueError(f"unknown model {kind!r}; {nearest(str(kind), LAYERS)}")
    if kind.startswith("FlipFlop"):
        given |= {"bias": bias, "init": init}
    return LAYERS[kind](inputs, hidden, batch_first=True, **given)


class Sequential(nn.Module):
    """Sequences (B, T, inputs) -> (B, T, outputs), a linear readout at every step.

    Arguments as `recurrent`.

    >>> [count(Sequential(kind, 2, 64, 1)) for kind in PUBLISHED]
    [8641, 4417, 17473, 13121]
    >>> count(Sequential("FlipFlop", 2, 64, 1, bias="double"))
    8769
    """

    def __init__(self, kind: str, inputs: int, hidden: int, outputs: int, **given: Any) -> None:
        super().__init__()
        self.layer = recurrent(kind, inputs, hidden, **given)
        self.readout = nn.Linear(hidden, outputs)

    def forward(self, x: Tensor) -> Tensor:
        said: Tensor = self.readout(self.layer(x)[0])
        return said


class Drawing(Sequential):
    """Classes (B,) -> curves (B, steps, 1): the class, one-hot, is the input at every step.

    A sample's input is its class and nothing else, so each class is run once, however many samples
    of it are asked for. Arguments as `recurrent`, but for inputs, the number of classes.

    >>> import torch
    >>> Drawing("GRU", 2, 4, 10)(torch.tensor([0, 1, 1])).shape
    torch.Size([3, 10, 1])
    """

    def __init__(self, kind: str, classes: int, hidden: int, steps: int, **given: Any) -> None:
        super().__init__(kind, classes, hidden, 1, **given)
        lines = torch.eye(classes)[:, None].repeat(1, steps, 1)
        self.register_buffer("lines", lines, persistent=False)

    lines: Tensor
    """The input lines of each class, (classes, steps, classes)."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self.lines)[x]


def count(model: nn.Module) -> int:
    """How many trainable numbers a model has."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)
