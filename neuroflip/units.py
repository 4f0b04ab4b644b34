"""Units as plain floats: `20*ms` is the float 0.02, in seconds.

Every number at a public boundary of neuroflip is in SI units: seconds, volts, amperes, siemens,
ohms, farads, hertz. Brian2 quantities are accepted wherever a number is, and converted.

>>> from neuroflip.units import ms, pA
>>> 20*ms, 300*pA
(0.02, 3e-10)
"""

import contextlib
import math
import numbers
import re
import sys
from typing import Any

import numpy as np

second, s = 1.0, 1.0
ms = 1e-3
us = 1e-6
volt = V = 1.0
mV = 1e-3
uV = 1e-6
amp = A = 1.0
mA = 1e-3
uA = 1e-6
nA = 1e-9
pA = 1e-12
siemens = S = 1.0
uS = 1e-6
nS = 1e-9
ohm = 1.0
kohm = 1e3
Mohm = 1e6
Gohm = 1e9
farad = F = 1.0
uF = 1e-6
nF = 1e-9
pF = 1e-12
hertz = Hz = 1.0
kHz = 1e3

# Exponents of (length, mass, time, current) of each base unit, to check Brian2 quantities.
_DIMENSIONS = {
    "s": (0, 0, 1, 0),
    "S/V": (-4, -2, 6, 3),
    "V": (2, 1, -3, -1),
    "A": (0, 0, 0, 1),
    "S": (-2, -1, 3, 2),
    "ohm": (2, 1, -3, -2),
    "F": (-2, -1, 4, 2),
    "Hz": (0, 0, -1, 0),
    "1": (0, 0, 0, 0),
}
_NAMES = {
    name: value
    for name, value in list(globals().items())
    if isinstance(value, float) and not name.startswith("_")
}
_QUANTITY = re.compile(
    r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)(?:\s*\*?\s*([A-Za-z]+))?\s*"
)


def _plain(value: Any, unit: str, name: str) -> np.ndarray[Any, Any]:
    """Numbers, or Brian2 quantities of the right dimension, as an array of real numbers."""
    if isinstance(value, numbers.Rational) and not isinstance(value, bool):
        with contextlib.suppress(OverflowError):  # fractions, and whole numbers of any size
            value = float(value)
    if isinstance(value, (list, tuple)) and "brian2" in sys.modules:
        value = [_plain(v, unit, name) if dimensions_of(v) is not None else v for v in value]
    dimensions = dimensions_of(value)
    if dimensions is not None:
        check_dimensions(dimensions, unit, name, value)
        value = np.array(value, dtype=np.float64, subok=False)
    try:
        array = np.array(value)
    except ValueError:  # of unequal lengths
        array = np.array(None)
    if array.size and array.dtype.kind not in "iuf":
        raise TypeError(f"{name} must be numbers{_within(unit)}; got {value!r}.")
    return array


def _within(unit: str) -> str:
    return f" in {unit}" if unit else ""


def check_dimensions(
    dimensions: tuple[float, ...] | None, unit: str, name: str, value: Any = ""
) -> None:
    """Raise ValueError for dimensions, of a Brian2 quantity, that are not those of a unit."""
    if dimensions is not None and unit and dimensions != (*_DIMENSIONS[unit], 0, 0, 0):
        raise ValueError(f"{name} must be in {unit}; got the Brian2 quantity {value}.")


def dimensions_of(value: Any) -> tuple[float, ...] | None:
    """The exponents of the base units of a Brian2 quantity; None for anything else."""
    dimensions = getattr(getattr(value, "dim", None), "_dims", None)
    return None if dimensions is None else tuple(dimensions)


def as_float(value: Any, unit: str, name: str) -> float:
    """One finite number in SI units, from a number or a Brian2 quantity.

    Raises TypeError for what is no number, ValueError for NaN, infinity or a wrong dimension;
    both name the argument.

    >>> as_float(20*ms, "s", "tau")
    0.02
    """
    try:
        array = _plain(value, unit, name)
    except TypeError:
        array = np.zeros(2)
    if array.ndim != 0:
        raise TypeError(f"{name} must be one number{_within(unit)}; got {value!r}.")
    number = float(array)
    if not math.isfinite(number):
        raise ValueError(f"{name} must be a finite number{_within(unit)}; got {number}.")
    return number


def as_array(value: Any, unit: str, name: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    """A float64 array of finite SI numbers, from numbers or a Brian2 quantity.

    unit: "" takes any. Raises as `as_float` does.

    >>> as_array([1, 2], "V", "weight")
    array([1., 2.])
    """
    array = _plain(value, unit, name).astype(np.float64)
    bad = np.flatnonzero(~np.isfinite(array))
    if bad.size:
        where = f" at index {bad[0]}" if array.ndim else ""
        raise ValueError(
            f"{name} must be finite numbers{_within(unit)}; got {array.flat[bad[0]]}{where}."
        )
    return array


def parse(text: str, name: str = "value") -> float:
    """A number with an optional unit, as typed on a command line.

    >>> parse("300 pA"), parse("20*ms"), parse("3")
    (3e-10, 0.02, 3.0)
    """
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise ValueError(f"{name} must be a number with an optional unit, like 20ms; got {text!r}.")
    number, unit = match.groups()
    if unit is not None and unit not in _NAMES:
        raise ValueError(
            f"{name}: unknown unit {unit!r} in {text!r}; known units: {', '.join(sorted(_NAMES))}."
        )
    value = float(number) * (_NAMES[unit] if unit else 1.0)
    if not math.isfinite(value):
        raise ValueError(f"{name} must be a finite number; got {text!r}.")
    return value


def show(value: float, unit: str) -> str:
    """A number with an SI prefix, for tables.

    >>> show(3e-10, "A"), show(0.02, "s"), show(1e8, "ohm"), show(0.5, "1")
    ('300 pA', '20 ms', '100 Mohm', '0.5')
    """
    if unit == "1":
        return f"{value:g}"
    if value == 0 or not math.isfinite(value):
        return f"{value:g} {unit}"
    power = min(max(math.floor(math.log10(abs(value)) / 3 + 1e-9), -4), 3)
    prefix = {-4: "p", -3: "n", -2: "u", -1: "m", 0: "", 1: "k", 2: "M", 3: "G"}[power]
    return f"{value / 10.0 ** (3 * power):.6g} {prefix}{unit}"
