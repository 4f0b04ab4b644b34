"""Checks of the arguments of circuit functions."""

from typing import Any

import numpy as np

from neuroflip.units import as_float, show


def at_least_0(value: Any, unit: str, name: str) -> float:
    """One finite number in `unit`, not below 0. Raises TypeError or ValueError, naming it.

    >>> at_least_0(-1, "s", "delay_loop: delay")
    Traceback (most recent call last):
        ...
    ValueError: delay_loop: delay must be at least 0 s; got -1.0.
    """
    number = as_float(value, unit, name)
    if number < 0:
        raise ValueError(f"{name} must be at least {show(0, unit)}; got {number!r}.")
    return number


def count(value: Any, name: str, least: int = 1) -> int:
    """A whole number, at least `least`. Raises ValueError for anything else, naming it."""
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not whole or value < least:
        raise ValueError(f"{name} must be a whole number, at least {least}; got {value!r}.")
    return int(value)
