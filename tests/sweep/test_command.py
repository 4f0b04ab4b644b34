"""What `neuroflip sweep` does: library circuits over a grid."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pandas.testing import assert_frame_equal

import neuroflip as nf
from neuroflip.sims.scenario import scenarios
from neuroflip.sweep import read_sweep, sweep
from neuroflip.sweep.command import report, sweep_library, values
from neuroflip.units import ms, parse

OPTIONS: dict[str, Any] = {
    "dt": 0.1 * ms, "engine": "numba", "duration": 0.2, "scheduler": None, "n_jobs": 1,
}  # fmt: skip


def test_a_library_circuit_is_swept_as_it_is_run(tmp_path: Path) -> None:
    grid = {"inhibition": [2e-10, 4e-10]}
    table = sweep_library("sr_latch", grid, path=tmp_path / "s", repeats=2, **OPTIONS)
    for row in table.itertuples():
        scenario = scenarios()["sr_latch"][1](duration=0.2, inhibition=row.inhibition)
        rec = nf.simulate(scenario.circuit, scenario.inputs, duration=0.2, seed=row.seed)
        assert row.rate_Q == rec.spikes["Q"].size / 0.2
        assert row.threshold_margin == rec.threshold_margin
    assert_frame_equal(read_sweep(tmp_path / "s"), table)
    text = report(table, tmp_path / "s")
    assert "4 cells, 0 failed; kept in" in text and "rate_Q" in text and "traceback" not in text
    with pytest.raises(ValueError, match="holds another sweep: function was"):
        sweep_library("sr_latch", grid, path=tmp_path / "s", repeats=2, **OPTIONS | {"dt": 2e-4})


def test_failed_cells_are_reported() -> None:
    table = sweep_library("sr_latch", {"inhibition": [2e-10, -1.0]}, **OPTIONS)
    text = report(table, None)
    assert "2 cells, 1 failed" in text and "ValueError: " in text


def test_long_tables_are_cut() -> None:
    text = report(sweep(lambda a: {"x": a}, {"a": range(50)}, n_jobs=1), None)
    assert "… 10 more cells" in text and "50 cells, 0 failed" in text


def test_a_cluster_computes_the_same() -> None:
    distributed = pytest.importorskip("distributed")
    grid = {"inhibition": [2e-10, 4e-10]}
    with distributed.LocalCluster(n_workers=1, processes=False, dashboard_address=":0") as local:
        options = OPTIONS | {"scheduler": local.scheduler_address, "n_jobs": -1}
        table = sweep_library("sr_latch", grid, **options)
    assert_frame_equal(table, sweep_library("sr_latch", grid, **OPTIONS), check_exact=True)


def test_values_of_texts() -> None:
    def read(text: str) -> float:
        return parse(text, "--set x")

    assert values("200pA, 1nA", read) == pytest.approx([2e-10, 1e-9])
    assert values("1ms:5ms:3", read) == pytest.approx([1e-3, 3e-3, 5e-3])
    assert np.diff(np.log(values("1pA:1nA:7:log", read))) == pytest.approx(np.log(10) / 2)
    for wrong in ("1:2", "1:2:x", "1:2:3:lin", "1:2:3:log:4"):
        with pytest.raises(ValueError, match="a range is start:stop:count"):
            values(wrong, read)
    with pytest.raises(ValueError, match="above 0"):
        values("0:1:3:log", read)
