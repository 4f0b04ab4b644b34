"""Designs: every combination once, seeds that depend on the cell alone, wrong designs refused."""

import functools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neuroflip.rules import Oja, PairSTDP
from neuroflip.sweep import random_design
from neuroflip.sweep.design import cells_of
from neuroflip.sweep.plain import name_of, plain, shown

VALUES = st.one_of(
    st.integers(-(10**6), 10**6), st.floats(allow_nan=False), st.text(max_size=3), st.none()
)
GRIDS = st.dictionaries(
    st.sampled_from(["a", "b", "c", "d"]),
    st.lists(VALUES, min_size=1, max_size=4, unique_by=lambda v: (type(v), v)),
    max_size=4,
)


UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@UNHURRIED
@given(grid=GRIDS, repeats=st.integers(1, 3), seed=st.integers(0, 5))
def test_a_grid_is_every_combination_once(grid: Any, repeats: int, seed: int) -> None:
    cells = cells_of(grid, repeats, seed)
    assert len(cells) == repeats * math.prod(len(values) for values in grid.values())
    assert [cell.index for cell in cells] == list(range(len(cells)))
    # Independently: the place of a cell is a number whose digits are the places of its values
    for cell in cells:
        rest, repeat = divmod(cell.index, repeats)
        assert cell.repeat == repeat
        for name in reversed(grid):
            rest, place = divmod(rest, len(grid[name]))
            assert cell.parameters[name] is grid[name][place] or (
                cell.parameters[name] == grid[name][place]
            )


@UNHURRIED
@given(grid=GRIDS, seed=st.integers(0, 5))
def test_the_seed_of_a_cell_does_not_depend_on_its_company(grid: Any, seed: int) -> None:
    cells = cells_of(grid, 2, seed)
    backwards = cells_of([c.parameters for c in cells[::-2]], 3, seed)
    found = {(repr(c.parameters), c.repeat): c.seed for c in backwards}
    assert all(found[repr(c.parameters), c.repeat] == c.seed for c in cells)
    assert all(0 <= c.seed < 2**32 for c in cells)


def test_seeds_differ_between_cells_repeats_and_sweeps() -> None:
    grid = {"a": range(20), "b": [PairSTDP(), Oja()]}
    seeds = [c.seed for seed in (0, 1) for c in cells_of(grid, 5, seed)]
    assert len(set(seeds)) == 400


def test_a_list_may_leave_names_out_and_numpy_counts_as_python() -> None:
    listed = cells_of([{"a": 1}, {"a": np.int64(2), "b": np.float64(0.5)}], 1, 0)
    assert [c.parameters for c in listed] == [{"a": 1}, {"a": 2, "b": 0.5}]
    assert listed[1].seed == cells_of({"a": [2], "b": np.array([0.5])}, 1, 0)[0].seed


@pytest.mark.parametrize(
    ("design", "message"),
    [
        ("ab", "must be a dictionary"),
        (3, "must be a dictionary"),
        ([], "at least one setting"),
        ([{"a": 1}, 2], "setting 1 of the design must be a dictionary"),
        ({"a": 1}, r"grid\['a'\] must be a list of values, like \[1\]"),
        ({"a": "xy"}, r"like \['xy'\]"),
        ({"a": np.array(1.0)}, "must be a list of values"),
        ({"a": []}, "must hold at least one value"),
        ({"a b": [1]}, "named like an argument; got 'a b'"),
        ({1: [1]}, "named like an argument; got 1"),
        ({"seed": [1, 2]}, "give repeats="),
        ({"cell": [1]}, "a column of the table"),
        ({"a": [1, 1]}, "setting 1 of the design repeats setting 0"),
        ([{"a": 1, "b": 2}, {"b": 2, "a": 1}], "repeats setting 0"),
        ({"a": [object()]}, "parameter 'a' must be made of numbers"),
        ({"a": [{1, 2}]}, "parameter 'a' must be made of numbers"),
    ],
)
def test_wrong_designs_are_refused(design: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        cells_of(design, 1, 0)


def test_a_random_design_keeps_to_its_ranges() -> None:
    ranges = {"u": (-2, 3.0), "l": (1e-12, 1e-6, "log"), "k": range(3), "r": [PairSTDP(), Oja()]}
    design = random_design(ranges, 4000, seed=1)
    u, log = np.array([c["u"] for c in design]), np.log10([c["l"] for c in design])
    # Means of uniform draws, within five standard errors
    assert abs(u.mean() - 0.5) < 5 * 5 / math.sqrt(12 * 4000)
    assert abs(log.mean() + 9) < 5 * 6 / math.sqrt(12 * 4000)
    assert u.min() >= -2 and u.max() < 3 and log.min() >= -12 and log.max() < -6
    counts = np.bincount([c["k"] for c in design])
    assert counts.size == 3 and counts.min() > 4000 / 3 - 5 * math.sqrt(4000 * 2 / 9)
    assert abs(np.corrcoef(u, log)[0, 1]) < 5 / math.sqrt(4000)


def test_a_random_design_is_its_seed_and_grows_at_the_end() -> None:
    ranges = {"a": (0, 1), "b": (1, 2, "log")}
    assert random_design(ranges, 5, seed=3) == random_design(ranges, 50, seed=3)[:5]
    assert random_design(ranges, 5, seed=3) != random_design(ranges, 5, seed=4)
    alone = random_design({"a": (0, 1)}, 5, seed=3)
    assert [c["a"] for c in alone] == [c["a"] for c in random_design(ranges, 5, seed=3)]


@pytest.mark.parametrize(
    ("ranges", "message"),
    [
        ({}, "must be a dictionary"),
        ([("a", 1)], "must be a dictionary"),
        ({"a": (1, 0)}, "low must be below high"),
        ({"a": (1, math.inf)}, "finite numbers; got inf"),
        ({"a": ("x", 1)}, "finite numbers; got 'x'"),
        ({"a": (0, 1, "log")}, "above 0"),
        ({"a": (1, 2, "lgo")}, "did you mean 'log'"),
        ({"a": (1,)}, "must be"),
        ({"a": 3}, "list of values"),
        ({"seed": (0, 1)}, "no parameter of a design"),
    ],
)
def test_wrong_ranges_are_refused(ranges: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        random_design(ranges, 3)


@pytest.mark.parametrize("wrong", [{"cells": 0}, {"cells": 1.5}, {"cells": 3, "seed": -1}])
def test_wrong_counts_are_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match="whole number"):
        random_design({"a": (0, 1)}, **wrong)


def test_what_values_are_hashed_by_tells_them_apart() -> None:
    values = [1, 1.0, True, "1", None, [1], [1.0], {"a": 1}, {"a": 2}, np.arange(3), np.arange(3.0),
              np.arange(6).reshape(2, 3), np.arange(6).reshape(3, 2), PairSTDP(), Oja(), len, max,
              functools.partial(max, 1), functools.partial(max, 2)]  # fmt: skip
    texts = {repr(plain(value, "x")) for value in values}
    assert len(texts) == len(values)
    assert plain(np.float64(0.5), "x") == 0.5 and plain((1, 2), "x") == [1, 2]


def test_names_hold_no_addresses() -> None:
    assert name_of(plain) == "neuroflip.sweep.plain.plain"
    for thing in (functools.partial(plain, where="x"), PairSTDP()):
        assert "0x" not in name_of(thing)
    many = {"k": (plain, functools.partial(plain, 1, where="x"), 0.5)}
    one = "neuroflip.sweep.plain.plain"
    assert shown(many) == f"{{'k': [{one}, {one}(1, where='x'), 0.5]}}"
