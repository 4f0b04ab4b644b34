"""Third factors that a user gives to a rule on a layer."""

import math
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any

import torch
from torch import Tensor

from neuroflip.errors import nearest

Check = Callable[[str, tuple[float, float]], None]
"""Raises for the name of a signal, and its least and greatest value."""


class Signals(MutableMapping[str, Tensor]):
    """Third factors by name: one number, (B,) or (B, out); 0 until they are set. check: is asked
    before a signal leaves the range that it has been asked of; from 0 to 1 it is not."""

    def __init__(self, names: tuple[str, ...], check: Check) -> None:
        self._check = check
        self._ranges = dict.fromkeys(names, (0.0, 1.0))
        self._values = {name: _nothing() for name in names}
        self._ahead: dict[str, list[Tensor]] = {}

    def series(self, name: str, values: Any) -> None:
        """A value for each of the next time steps, (T,), (T, B) or (T, B, out); then 0.

        So a layer that runs a sequence in one call, such as FlipFlop, is given what changes within.
        KeyError, ValueError, FloatingPointError: a name, shape or number that does not fit, or
        with which the rule would move a weight past both bounds in one step.
        """
        given = torch.as_tensor(values).detach()
        if not 1 <= given.dim() <= 3 or not len(given):
            raise ValueError(
                f"a series of {name!r} must have shape (T,), (T, B) or (T, B, out), T at least 1; "
                f"got {tuple(given.shape)}."
            )
        self._accept(self._known(name), given)
        self._ahead[name] = [*given.flip(0)]

    def coming(self) -> dict[str, Tensor]:
        """The values of the next time step."""
        ahead = {name: left[-1] if left else _nothing() for name, left in self._ahead.items()}
        return self._values | ahead

    def advance(self) -> None:
        """A time step is over: what came in it is the value until the next."""
        for name, left in [*self._ahead.items()]:
            if left:
                self._values[name] = left.pop()
            else:
                del self[name]

    def __getitem__(self, name: str) -> Tensor:
        return self._values[self._known(name)]

    def __setitem__(self, name: str, value: Any) -> None:
        given = torch.as_tensor(value).detach()
        if given.dim() > 2:
            raise ValueError(
                f"signal {name!r} must be one number, or have shape (B,) or (B, out); "
                f"got {tuple(given.shape)}."
            )
        self._accept(self._known(name), given)
        self._values[name] = given
        self._ahead.pop(name, None)

    def __delitem__(self, name: str) -> None:
        self._values[self._known(name)] = _nothing()
        self._ahead.pop(name, None)

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Signals({self._values})"

    def follow(self, other: "Signals") -> None:
        """Take over the values and series of the signals that both have."""
        for name in self._values.keys() & other._values.keys():
            self._values[name] = other._values[name]
            if name in other._ahead:
                self._ahead[name] = other._ahead[name]

    def _accept(self, name: str, given: Tensor) -> None:
        if not given.numel():
            return
        least, most = (float(v) for v in given.double().aminmax())
        if not math.isfinite(least) or not math.isfinite(most):
            raise FloatingPointError(f"signal {name!r} must be finite.")
        low, high = self._ranges[name]
        if least < low or most > high:
            both = min(least, low), max(most, high)
            self._check(name, both)
            self._ranges[name] = both

    def _known(self, name: str) -> str:
        if name not in self._values:
            raise KeyError(f"the rule has no signal {name!r}; {nearest(name, self._values)}")
        return name


def _nothing() -> Tensor:
    return torch.zeros(())
