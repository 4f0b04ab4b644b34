"""Sweeps that are killed, run out of disk, lose a file, a process or a worker."""

import errno
import json
import os
import random
import runpy
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

import neuroflip as nf
from neuroflip import files
from neuroflip.sweep import read_sweep, sweep, workers
from neuroflip.sweep.design import cells_of
from neuroflip.sweep.task import Task, measure
from neuroflip.sweep.workers import cluster

SCRIPT = """
import os, sys, time
import numpy as np
from neuroflip.sweep import sweep

def cell(a, b, seed):
    with open("calls.txt", "a") as log:  # one write of a short line goes in whole
        log.write(f"{a} {b}\\n")
    time.sleep(0.005)
    if (a + b) % 17 == 3:
        raise ValueError(f"{a} and {b}")
    rng = np.random.default_rng(seed)
    return {"normal": rng.normal(), "whole": int(rng.integers(2**60)), "half": b / 2}

if __name__ == "__main__":
    sweep(cell, {"a": range(20), "b": range(10)}, seed=7, path="store", n_jobs=int(sys.argv[1]))
"""


def _start(script: Path, folder: Path, n_jobs: int) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, str(script), str(n_jobs)], cwd=folder)


def test_killed_five_times_it_ends_with_the_table_of_an_undisturbed_run(
    tmp_path: Path, monkeypatch: Any
) -> None:
    script = tmp_path / "swept.py"
    script.write_text(SCRIPT)
    cell = runpy.run_path(str(script))["cell"]
    wild = tmp_path / "wild"
    wild.mkdir()
    monkeypatch.chdir(tmp_path)
    calm = sweep(cell, {"a": range(20), "b": range(10)}, seed=7, n_jobs=1)
    rng = random.Random(5)
    cells = wild / "store" / "cells"
    stored: set[str] = set()
    called: list[str] = []
    for n_jobs in (1, 2, 1, 1, 2):
        process = _start(script, wild, n_jobs)
        begun = time.monotonic()
        wanted = len(stored) + rng.randint(1, 35)
        while len(list(cells.glob("*.json"))) < wanted and time.monotonic() < begun + 60:
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.02))
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL  # it was in the middle
        time.sleep(0.3 if n_jobs > 1 else 0)  # its workers see that it is gone
        before = stored
        stored = {path.name for path in cells.glob("*.json")}
        assert before < stored and len(stored) < 200
        now = (wild / "calls.txt").read_text().splitlines()
        fresh = [f"{10 * int(a) + int(b)}.json" for a, b in map(str.split, now[len(called) :])]
        called = now
        assert not set(fresh) & before, "a stored cell was computed again"
    assert _start(script, wild, 1).wait() == 0
    table = pd.read_parquet(wild / "store" / "table.parquet")
    assert_frame_equal(table, calm, check_exact=True)
    assert_frame_equal(read_sweep(wild / "store"), calm, check_exact=True)
    assert len(calm) == 200 and calm["normal"].nunique() == 200 - 13
    assert calm["error"].notna().sum() == 13  # a + b is 3 in 4 cells and 20 in 9
    assert len(set((wild / "calls.txt").read_text().splitlines())) == 200
    assert not list((wild / "store").rglob(".*"))


def test_interrupted_it_keeps_what_is_finished(tmp_path: Path) -> None:
    script = tmp_path / "swept.py"
    script.write_text(SCRIPT.replace("0.005", "0.05"))
    process = subprocess.Popen(
        [sys.executable, str(script), "2"], cwd=tmp_path, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    while len(list((tmp_path / "store" / "cells").glob("*.json"))) < 5:
        assert process.poll() is None
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does, to its workers too
    _, shown = process.communicate(timeout=30)
    assert process.returncode == -signal.SIGINT
    kept = len(read_sweep(tmp_path / "store"))
    assert f"KeyboardInterrupt: sweep stopped; {kept} of 200 cells are stored in store" in shown
    assert 5 <= kept < 200


def test_an_interrupt_right_after_a_cell_is_in_place_counts_it(
    tmp_path: Path, monkeypatch: Any
) -> None:
    replace, moved = os.replace, []

    def interrupted(source: Any, target: Any) -> None:
        replace(source, target)
        moved.append(target)
        if len(moved) == 8:  # sweep.json and seven cells
            raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt, match=r"7 of 30 cells are stored"):
        sweep(function, DESIGN, n_jobs=1, path=tmp_path / "store")
    assert len(read_sweep(tmp_path / "store")) == 7


def function(a: int, seed: int) -> dict[str, Any]:
    return {"x": a + np.random.default_rng(seed).random()}


DESIGN = {"a": range(30)}


def test_a_full_disk_is_named_and_loses_nothing(tmp_path: Path, monkeypatch: Any) -> None:
    """The write of the twelfth cell ends halfway, as on a disk that is full."""
    calm = sweep(function, DESIGN, n_jobs=1)
    write_text, written = Path.write_text, []

    def full(path: Path, text: str) -> int:
        if path.parent.parent.name == "cells":
            written.append(path.name)
            if len(written) == 12:
                write_text(path, text[: len(text) // 2])
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        return write_text(path, text)

    monkeypatch.setattr(Path, "write_text", full)
    store = tmp_path / "store"
    with pytest.raises(OSError) as caught:
        sweep(function, DESIGN, n_jobs=1, path=store)
    assert caught.value.errno == errno.ENOSPC
    assert (
        f"the sweep cannot write cell 11 in {store}: No space left on device. 11 of 30 cells are "
        "stored; mend this and run the same call again" in str(caught.value)
    )
    monkeypatch.undo()
    assert_frame_equal(read_sweep(store), calm[:11], check_exact=True)
    assert_frame_equal(sweep(function, DESIGN, n_jobs=1, path=store), calm, check_exact=True)


def test_a_disk_that_is_full_at_the_end_keeps_the_cells(tmp_path: Path, monkeypatch: Any) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(pd.DataFrame, "to_parquet", full)
    with pytest.raises(OSError, match=r"cannot write table.parquet .* 30 of 30 cells are stored"):
        sweep(function, DESIGN, n_jobs=1, path=tmp_path / "s")
    monkeypatch.undo()
    table = sweep(function, DESIGN, n_jobs=1, path=tmp_path / "s")
    assert_frame_equal(table, pd.read_parquet(tmp_path / "s" / "table.parquet"))


def _flip(content: bytes) -> bytes:
    at = content.index(b'"x": ') + 8  # a digit of a result: still good JSON
    return content[:at] + (b"1" if content[at : at + 1] != b"1" else b"2") + content[at + 1 :]


@pytest.mark.parametrize(
    "damage",
    [_flip, lambda c: c[: len(c) // 2], lambda c: b"", lambda c: b"\0" * len(c), lambda c: b"[3]"],
    ids=["digit", "half", "empty", "zeros", "foreign"],
)
def test_a_damaged_cell_is_named_and_costs_no_other(tmp_path: Path, damage: Any) -> None:
    store = tmp_path / "store"
    calm = sweep(function, DESIGN, n_jobs=1, path=store)
    victim = store / "cells" / "17.json"
    victim.write_bytes(damage(victim.read_bytes()))
    for read in (lambda: sweep(function, DESIGN, n_jobs=1, path=store), lambda: read_sweep(store)):
        with pytest.raises(ValueError) as caught:
            read()
        assert str(caught.value) == (
            f"damaged cell file: {victim}. Delete it and run the same call again: it is computed "
            "anew, and the other 29 finished cells are kept."
        )
    victim.unlink()
    others = {p: p.stat().st_mtime_ns for p in (store / "cells").glob("*.json")}
    assert_frame_equal(sweep(function, DESIGN, n_jobs=1, path=store), calm, check_exact=True)
    assert others == {p: p.stat().st_mtime_ns for p in others} and victim.exists()


def test_a_cell_under_another_name_is_damage(tmp_path: Path) -> None:
    sweep(function, DESIGN, n_jobs=1, path=tmp_path / "s")
    cells = tmp_path / "s" / "cells"
    (cells / "3.json").write_bytes((cells / "4.json").read_bytes())
    with pytest.raises(ValueError, match=r"damaged cell file: .*3\.json\."):
        read_sweep(tmp_path / "s")


def other(a: int, seed: int) -> dict[str, Any]:
    return {"x": a}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"build": other}, r"function was '.*\.function' there and is '.*\.other' here"),
        ({"design": {"a": range(31)}}, "its design"),
        ({"repeats": 2}, "its design"),
        ({"seed": 1}, "seed was 0 there and is 1 here"),
        ({"measure": len}, "measure was 'neuroflip.sweep.task.measure' there"),
        ({"duration": 1.0}, "duration differs"),
    ],
)
def test_another_sweep_is_refused(tmp_path: Path, change: Any, message: str) -> None:
    call = {"build": function, "design": DESIGN, "n_jobs": 1, "path": tmp_path / "s"}
    sweep(**call)
    before = sorted(p.stat().st_mtime_ns for p in tmp_path.rglob("*.json"))
    with pytest.raises(ValueError, match=f"holds another sweep: {message}"):
        sweep(**{**call, **change})
    assert before == sorted(p.stat().st_mtime_ns for p in tmp_path.rglob("*.json"))


def test_other_folders_are_refused(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("mine")
    for path, message in (
        (tmp_path, "holds something, but no sweep"),
        (tmp_path / "note.txt", "path must be a folder"),
    ):
        with pytest.raises(ValueError, match=message):
            sweep(function, DESIGN, n_jobs=1, path=path)
    with pytest.raises(ValueError, match="holds no sweep"):
        read_sweep(tmp_path / "nothing")
    (tmp_path / "old").mkdir()
    files.write(tmp_path / "old" / "sweep.json", {"format": 0})
    with pytest.raises(ValueError, match="no sweep of format 1"):
        sweep(function, DESIGN, n_jobs=1, path=tmp_path / "old")


def test_a_kill_before_the_first_cell_does_not_spoil_the_folder(tmp_path: Path) -> None:
    store = tmp_path / "store"
    (store / ".sweep.json.x1y2").mkdir(parents=True)  # what a kill in the first write leaves
    calm = sweep(function, DESIGN, n_jobs=1, path=store)
    (store / "cells" / ".3.json.x1y2").mkdir()
    (store / "cells" / ".3.json.x1y2" / "3.json").write_text("half")
    (store / "cells" / "3.json").unlink()
    assert_frame_equal(sweep(function, DESIGN, n_jobs=1, path=store), calm)
    assert not list((store / "cells").glob(".*"))


def test_other_versions_are_warned_of(tmp_path: Path) -> None:
    sweep(function, DESIGN, n_jobs=1, path=tmp_path)
    config = json.loads((tmp_path / "sweep.json").read_text())
    config["versions"]["numpy"] = "1.0"
    (tmp_path / "sweep.json").write_text(json.dumps(config))
    with pytest.warns(UserWarning, match=rf"numpy 1.0 -> {np.__version__}"):
        sweep(function, DESIGN, n_jobs=1, path=tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no flock")
def test_two_processes_do_not_write_one_store(tmp_path: Path) -> None:
    def nested(a: int) -> dict[str, Any]:
        sweep(nested, {"a": range(3)}, n_jobs=1, path=tmp_path)
        return {}

    table = sweep(nested, {"a": range(3)}, n_jobs=1, path=tmp_path)
    assert table["error"].str.contains("is being written by another process").all()


@pytest.fixture
def client() -> Any:
    distributed = pytest.importorskip("distributed")
    import dask

    with warnings.catch_warnings(), dask.config.set({"distributed.scheduler.allowed-failures": 1}):
        warnings.simplefilter("ignore")
        with (
            distributed.LocalCluster(
                n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0"
            ) as local,
            distributed.Client(local) as client,
        ):
            yield client


def test_a_dask_worker_killed_in_mid_sweep_changes_nothing(client: Any, tmp_path: Path) -> None:
    marker, deadly = tmp_path / "killed", -1

    def cell(a: int, seed: int) -> dict[str, Any]:
        import os
        import signal
        import time

        import numpy as np

        if (a == 20 and not marker.exists()) or a == deadly:
            marker.touch()
            time.sleep(1)  # a nanny gives a worker up that dies while it starts
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.01)
        if a == 7:
            raise ValueError("seven")
        return {"x": float(np.random.default_rng(seed).normal())}

    marker.touch()
    calm = sweep(cell, {"a": range(60)}, n_jobs=1)
    marker.unlink()
    at_first = set(client.nthreads())
    table = sweep(cell, {"a": range(60)}, client=client, path=tmp_path / "s")
    assert marker.exists() and set(client.nthreads()) != at_first
    assert_frame_equal(table, calm, check_exact=True)
    # One that takes every worker with it fails alone
    deadly = 5
    table = sweep(cell, {"a": range(10)}, client=client)
    assert table["error"].notna().tolist() == [a in (5, 7) for a in range(10)]
    assert table["error"][5].startswith("KilledWorker: ")


@contextmanager
def _threads(workers: int) -> Iterator[tuple[Any, Any]]:
    """A Dask cluster in this process, and its client."""
    distributed = pytest.importorskip("distributed")
    with (
        warnings.catch_warnings(),
        distributed.LocalCluster(
            n_workers=workers, threads_per_worker=1, processes=False, dashboard_address=":0"
        ) as local,
        distributed.Client(local) as client,
    ):
        warnings.simplefilter("ignore")
        yield local, client


def test_what_a_cluster_cannot_do_is_refused() -> None:
    with _threads(1) as (_, client):
        with pytest.raises(ValueError, match="n_jobs is for this machine"):
            sweep(function, DESIGN, client=client, n_jobs=2)
        with pytest.raises(TypeError, match="needs duration="):
            sweep(lambda: nf.circuits.sr_latch(), {}, client=client)


def test_a_cluster_without_workers_is_named(monkeypatch: Any) -> None:
    monkeypatch.setattr(workers, "PATIENCE", 0.2)
    with _threads(0) as (local, client):
        rows = cluster(Task(function, measure), cells_of({"a": range(5)}, 1, 0), client)
        with pytest.warns(UserWarning, match=r"has had no workers for 0\.2 s; the sweep goes on"):
            threading.Timer(0.5, local.scale, [1]).start()
            first = next(rows)
        assert len([first, *rows]) == 5


def test_a_lost_cluster_is_named() -> None:
    def cell(a: int) -> dict[str, Any]:
        import time

        time.sleep(0.01)
        return {"x": a}

    with _threads(1) as (local, client):
        rows = cluster(Task(cell, measure), cells_of({"a": range(500)}, 1, 0), client)
        begun = [next(rows)["results"]["x"] for _ in range(5)]
        local.close()
        with pytest.raises(RuntimeError, match="the Dask cluster has dropped"):
            list(rows)
    assert len(set(begun)) == 5
