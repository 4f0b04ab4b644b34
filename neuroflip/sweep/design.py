"""Designs: a grid, a list or a random draw of parameters, as cells with seeds of their own."""

import hashlib
import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from neuroflip.errors import nearest
from neuroflip.sweep.plain import plain, shown

RESERVED = ("cell", "repeat", "seed", "error", "traceback")
"""Columns of the table that no parameter and no result may be called."""

Design = Mapping[str, Any] | Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Cell:
    """One call of the function: its place in the table, its parameters, which repetition, and the
    seed of what it draws."""

    index: int
    parameters: dict[str, Any]
    repeat: int
    seed: int

    def row(self) -> dict[str, Any]:
        """What the table says of the cell before its results."""
        return {
            "cell": self.index,
            "parameters": {name: shown(value) for name, value in self.parameters.items()},
            "repeat": self.repeat,
            "seed": self.seed,
        }


def cells_of(design: Design, repeats: int, seed: int) -> list[Cell]:
    """The cells of a design, repetitions of one setting beside each other.

    The seed of a cell depends on the sweep's seed, its parameters and its repetition alone, not
    on its place or on what else is computed.

    Raises ValueError or TypeError for a design that is empty, repeats itself or holds what has no
    name that lasts.

    >>> [cell.parameters for cell in cells_of({"a": [1, 2], "b": ["x"]}, 1, seed=0)]
    [{'a': 1, 'b': 'x'}, {'a': 2, 'b': 'x'}]
    """
    cells: list[Cell] = []
    known: dict[str, int] = {}
    for number, parameters in enumerate(_settings(design)):
        key = json.dumps(
            {name: plain(value, f"parameter {name!r}") for name, value in parameters.items()},
            sort_keys=True,
        )
        if key in known:
            raise ValueError(
                f"setting {number} of the design repeats setting {known[key]}, {parameters!r}; "
                "for repetitions with other random numbers give repeats=."
            )
        known[key] = number
        for repeat in range(repeats):
            drawn = hashlib.sha256(f"{seed} {repeat} {key}".encode()).digest()[:4]
            # 32 bits: as many as NumPy's and Brian2's older generators take
            cells.append(Cell(len(cells), parameters, repeat, int.from_bytes(drawn, "little")))
    return cells


def _settings(design: Design) -> list[dict[str, Any]]:
    if isinstance(design, Mapping):
        for name in design:
            _check_name(name)
        columns = [_values(values, f"grid[{name!r}]") for name, values in design.items()]
        return [dict(zip(design, row, strict=True)) for row in itertools.product(*columns)]
    if isinstance(design, (str, bytes)) or not isinstance(design, Sequence):
        raise TypeError(
            "the design must be a dictionary {name: values} or a list of dictionaries "
            f"{{name: value}}; got {design!r}."
        )
    if not design:
        raise ValueError("the design must hold at least one setting; got an empty list.")
    for number, setting in enumerate(design):
        if not isinstance(setting, Mapping):
            raise TypeError(
                f"setting {number} of the design must be a dictionary {{name: value}}; "
                f"got {setting!r}."
            )
        for name in setting:
            _check_name(name)
    return [{name: _item(value) for name, value in setting.items()} for setting in design]


def _check_name(name: Any) -> None:
    if not isinstance(name, str) or not name.isidentifier():
        raise ValueError(f"a parameter must be named like an argument; got {name!r}.")
    if name == "seed":
        raise ValueError(
            "'seed' is no parameter of a design: every cell has a seed of its own, which a "
            "function with an argument `seed` is given; for several give repeats=."
        )
    if name in RESERVED:
        raise ValueError(f"a parameter may not be called {name!r}, which is a column of the table.")


def _values(values: Any, where: str) -> list[Any]:
    listed = isinstance(values, Sequence) and not isinstance(values, (str, bytes))
    if not listed and not (isinstance(values, np.ndarray) and values.ndim):
        raise TypeError(f"{where} must be a list of values, like [{values!r}]; got {values!r}.")
    if len(values) == 0:
        raise ValueError(f"{where} must hold at least one value; got none.")
    return [_item(value) for value in values]


def _item(value: Any) -> Any:
    """NumPy's numbers as Python's, so that a value is the same however the list was made."""
    return value.item() if isinstance(value, np.generic) else value


def random_design(ranges: Mapping[str, Any], cells: int, *, seed: int = 0) -> list[dict[str, Any]]:
    """A random design: `cells` settings, each parameter drawn independently.

    ranges: name -> (low, high), drawn uniformly; (low, high, "log"), uniformly in the logarithm;
        or a list or range of values, one of which is drawn.
    seed: one seed gives one design; more cells begin with those of fewer.

    Raises ValueError or TypeError for a range that is empty or not finite, and below 0 for "log".

    >>> design = random_design({"weight": (1e-12, 1e-9, "log"), "size": [1, 2, 4]}, 100)
    >>> len(design), all(1e-12 <= cell["weight"] < 1e-9 for cell in design)
    (100, True)
    """
    if isinstance(cells, bool) or not isinstance(cells, int) or cells < 1:
        raise ValueError(f"cells must be a whole number, at least 1; got {cells!r}.")
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise ValueError(f"seed must be a whole number, at least 0; got {seed!r}.")
    if not isinstance(ranges, Mapping) or not ranges:
        raise TypeError(f"ranges must be a dictionary {{name: range}}; got {ranges!r}.")
    columns = []
    for name, given in ranges.items():
        _check_name(name)
        digest = hashlib.sha256(name.encode()).digest()
        rng = np.random.default_rng([seed, int.from_bytes(digest[:16], "little")])
        columns.append(_drawn(given, rng.random(cells), f"ranges[{name!r}]"))
    return [dict(zip(ranges, row, strict=True)) for row in zip(*columns, strict=True)]


def _drawn(given: Any, at: np.ndarray[Any, Any], where: str) -> list[Any]:
    if not isinstance(given, tuple):
        values = _values(given, where)
        return [values[int(u * len(values))] for u in at]
    if len(given) not in (2, 3) or len(given) == 3 and given[2] != "log":
        word = nearest(str(given[2]), ["log"]) if len(given) == 3 else ""
        raise ValueError(
            f'{where} must be (low, high), (low, high, "log") or a list of values; '
            f"got {given!r}. {word}".rstrip()
        )
    low, high = given[:2]
    for bound in (low, high):
        number = isinstance(bound, (int, float, np.number)) and not isinstance(bound, bool)
        if not number or not math.isfinite(bound):
            raise ValueError(f"{where}: bounds must be finite numbers; got {bound!r}.")
    if not low < high:
        raise ValueError(f"{where}: low must be below high; got {given!r}.")
    if len(given) == 2:
        return [float(low + (high - low) * u) for u in at]
    if low <= 0:
        raise ValueError(f'{where}: bounds must be above 0 for "log"; got {given!r}.')
    return [float(low * (high / low) ** u) for u in at]
