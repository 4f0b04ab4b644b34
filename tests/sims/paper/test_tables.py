"""Tables of results come back, and one that is stopped has what was done."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from neuroflip import files
from neuroflip.sims.paper.classification import summary
from neuroflip.sims.paper.tables import Told, grow, rounded, write


def test_tables_come_back(tmp_path: Path) -> None:
    runs = [{"model": "A", "test": 0.5}, {"model": "B", "test": 1.0}, {"model": "A", "test": 0.6}]
    write(tmp_path / "results/table.json", {"experiment": "E0", "test": summary(runs)}, runs)
    found = files.read(tmp_path / "results/table.json")
    assert found["runs"] == runs and found["experiment"] == "E0"
    assert found["test"]["A"] == {"mean": 0.55, "sd": 0.0707, "runs": 2}
    assert np.isnan(found["test"]["B"]["sd"])
    lines = (tmp_path / "results/table.json").read_text().splitlines()
    assert json.loads(lines[-3]) == runs[-1]  # a line a run


def test_a_table_that_is_stopped_has_what_was_done(tmp_path: Path) -> None:
    def two_then_a_fault() -> Iterator[Told]:
        yield {"seed": 1}, "one"
        yield {"seed": 2}, "two"
        raise KeyboardInterrupt

    path = tmp_path / "table.json"
    with pytest.raises(KeyboardInterrupt):
        grow(path, {"epochs": 3}, two_then_a_fault(), [{"seed": 0}])
    assert files.read(path) == {"epochs": 3, "runs": [{"seed": 0}, {"seed": 1}, {"seed": 2}]}


def test_rounding_goes_into_all() -> None:
    given = {
        "a": 1.23456789,
        "b": [1.23456789, {"c": (1.23456789, 7)}],
        "d": "1.23456789",
        "e": None,
    }
    assert rounded(given, 6, in_lists=3) == {
        "a": 1.23457, "b": [1.23, {"c": [1.23, 7]}], "d": "1.23456789", "e": None
    }  # fmt: skip
    assert rounded(given, 3)["b"] == [1.23, {"c": [1.23, 7]}]
