"""Activity of the flip-flop layers, step by step: what goes into a weight and what its gates do."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from neuroflip.rate.cell import FlipFlopCell
from neuroflip.rate.gates import gate_of
from neuroflip.rate.layer import FlipFlop

Steps = Callable[[tuple[Any, ...], Mapping[str, Any]], Iterator[tuple[Tensor, Tensor]]]
"""From the arguments of a forward call to (pre, post) of each of its time steps."""


def steps_of(layer: nn.Module, weight: str) -> Steps | None:
    """The steps of a flip-flop cell or layer; None for any other layer.

    pre is the input of `weight_ih` or the state before the step of `weight_hh`, post the gates
    [J; K]. Raises ValueError where a layer's steps cannot be followed.
    """
    if isinstance(layer, FlipFlopCell):
        return _Cell(layer, weight)
    if isinstance(layer, FlipFlop):
        return _Layer(layer, weight)
    return None


class _Cell:
    def __init__(self, cell: FlipFlopCell, weight: str) -> None:
        self.cell, self.recurrent = cell, weight == "weight_hh"

    def __call__(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Iterator[tuple[Tensor, Tensor]]:
        cell = self.cell
        x, hx = _arguments(args, kwargs)
        h = x.new_zeros(*x.shape[:-1], cell.hidden_size) if hx is None else hx
        z = nn.functional.linear(x, cell.weight_ih) + h @ cell.weight_hh.t()
        for bias in cell._biases():
            z = z + bias
        yield h if self.recurrent else x, gate_of(z, cell.gate)


class _Layer:
    def __init__(self, layer: FlipFlop, weight: str) -> None:
        kind, _, place = weight.rpartition("_l")
        if place.endswith("_reverse"):
            raise ValueError(f"{weight}: a backward direction does not run in time.")
        self.layer, self.number, self.recurrent = layer, int(place), kind == "weight_hh"
        if layer.bidirectional and self.number:
            raise ValueError(f"{weight}: its input comes from a direction that runs back in time.")
        if layer.dropout and self.number:
            raise ValueError(f"{weight}: dropout hides what its input was; use dropout=0.")

    def __call__(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Iterator[tuple[Tensor, Tensor]]:
        layer = self.layer
        x, hx = _arguments(args, kwargs)
        if not isinstance(x, Tensor):
            raise TypeError("rules.attach takes sequences of one length, not a PackedSequence.")
        if x.dim() == 2:
            x, hx = x.unsqueeze(1), None if hx is None else hx.unsqueeze(1)
        elif layer.batch_first:
            x = x.transpose(0, 1)
        first = layer._first_states(hx, x, True)
        for number in range(self.number):
            x, _ = layer._one(x, first[number], number, 0, False)
        before = first[self.number * layer._directions]
        h, gates = layer._one(x, before, self.number, 0, True)
        assert gates is not None
        states = torch.cat([before.unsqueeze(0), h[:-1]])
        yield from zip(states if self.recurrent else x, gates, strict=True)


def _arguments(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Any, Any]:
    """input and hx of a call."""
    given = dict(zip(("input", "hx"), args, strict=False)) | dict(kwargs)
    return given["input"], given.get("hx")
