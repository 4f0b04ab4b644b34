"""Recordings that are written to a file while the run goes on, and opened lazily."""

import dataclasses
import errno
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from typer.testing import CliRunner

import neuroflip as nf
from neuroflip import recording_file, rules, simulation
from neuroflip.circuit import Readout
from neuroflip.cli import app
from neuroflip.engines import job as job_module
from neuroflip.engines import numba as numba_engine
from neuroflip.units import ms, mV, pA

DT = 0.1 * ms
DELAY = np.array([[0.0, 20 * ms], [0.1 * ms, 3 * ms], [3 * ms, 0.0]])


def network(name: str = "A") -> nf.Circuit:
    """Delays up to 200 steps, static and plastic synapses, inputs of every kind."""
    return nf.Circuit(
        "net",
        [nf.Population(name, nf.DeltaLIF(), 2), nf.Population("B", nf.LIF(drive=300 * pA), 3)],
        [
            nf.Projection("noise", name, 20 * mV, axonal_delay=DELAY),
            nf.Projection(name, "B", 30 * pA, "excitatory", axonal_delay=4.3 * ms),
            nf.Projection(
                "noise", name, 0.5 * mV, name="early",
                rule=rules.PairSTDP(w_max=1 * mV), axonal_delay=0.3 * ms,
            ),
            nf.Projection(
                "noise", name, 0.5 * mV, name="late",
                rule=rules.PairSTDP(w_max=1 * mV), axonal_delay=DELAY, dendritic_delay=DELAY,
            ),
        ],
        [
            nf.PoissonInput("noise", 100.0, 3),
            nf.CurrentInput("i", name),
            nf.NoiseInput("jitter", "B", sd=1 * mV),
        ],
        [Readout("Q", name, "B")],
    )  # fmt: skip


def run(save: Path | None = None, **changes: Any) -> nf.Recording:
    settings: dict[str, Any] = dict(
        duration=0.1, trials=3, record=["v", "late", "early"], record_every=7 * DT, seed=3
    )
    inputs = {"i": [(0, 0.01, 1e-10)]}
    return nf.simulate(network(), inputs, **settings | changes, save=save)


@pytest.fixture(scope="module")
def whole() -> nf.Recording:
    return run()


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("streamed") / "run.h5"
    run(found)
    return found


# ------------------------------------------------------------------ the same as in memory


@pytest.mark.parametrize("trials", [1, 3])
@pytest.mark.parametrize(
    ("steps", "every"), [(20_000, 1), (20_000, 7), (37, 7), (7, 7), (3, 7), (37, 1000)]
)
def test_chunks_of_any_length_give_the_same(
    steps: int, every: int, trials: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = dict(trials=trials, record_every=every * DT)
    expected = run(**settings)
    monkeypatch.setattr(job_module, "_STEPS", steps)
    streamed = run(tmp_path / "run.h5", **settings)
    assert streamed == expected
    assert streamed == run(**settings)
    assert expected.spikes["A"].size > 10 * trials and expected.spikes["B"].size > 5 * trials
    shape = (-(-1000 // every), 6)
    assert streamed.weight_history["late"].shape == ((trials, *shape) if trials > 1 else shape)
    assert list(streamed.traces) == list(expected.traces) == ["A.v", "B.v"]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("neurons", [5, 10])
def test_batches_of_any_size_give_the_same(
    neurons: int, threads: int, whole: nf.Recording, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Batches of one or two trials, a few steps at a time; spikes come out by trial."""
    monkeypatch.setattr(numba_engine, "_NEURONS", neurons)
    monkeypatch.setattr(job_module, "_STEPS", 50)
    streamed = run(tmp_path / "run.h5", threads=threads)
    assert dataclasses.replace(streamed, options={}) == whole
    for name, trials in streamed.trials.items():
        order = np.lexsort((streamed.neurons[name], streamed.spikes[name], trials))
        assert order.tolist() == list(range(trials.size))


def test_buffers_bound_the_chunk(whole: nf.Recording, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    hand_over = numba_engine._hand_over

    def watched(recorder: Any, lanes: Any, trials: range, start: int, stop: int) -> None:
        rows = lanes[0].shared.job.rows_in(start, stop)
        seen.append((len(rows), sum(t.nbytes for lane in lanes for t in lane.traces)))
        hand_over(recorder, lanes, trials, start, stop)

    monkeypatch.setattr(numba_engine, "_hand_over", watched)
    monkeypatch.setattr(job_module, "_BUFFER", 4096)
    assert run() == whole
    row = 8 * 3 * (5 + 12)  # bytes: three trials of five neurons and twelve weights
    assert max(rows for rows, _ in seen) == 4096 // row
    assert all(size <= 4096 for _, size in seen)


@pytest.mark.parametrize("engine", ["torch", "brian2"])
def test_other_engines(engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    circuit = nf.Circuit(
        "small", [nf.Population("A", nf.DeltaLIF(), 2)],
        [nf.Projection("in", "A", 9 * mV, name="w", rule=rules.PairSTDP(w_max=10 * mV))],
        [nf.PoissonInput("in", 300.0, 3)],
    )  # fmt: skip
    settings: dict[str, Any] = dict(
        duration=0.05, trials=2, record=["v", "w"], record_every=7 * DT, engine=engine
    )
    expected = nf.simulate(circuit, **settings)
    monkeypatch.setattr(job_module, "_STEPS", 37)
    assert nf.simulate(circuit, **settings, save=tmp_path / "run.h5") == expected
    assert nf.simulate(circuit, **settings) == expected
    assert expected.spikes["A"].size > 10 and expected.weight_history["w"].std() > 0


def test_names_of_any_kind(tmp_path: Path) -> None:
    for name in (".", "a/b", "../c", "50%2F", "$x", "µ (1)", "\0"):
        circuit, settings = network(name), dict(duration=0.02, record=["v", "late"])
        streamed = nf.simulate(circuit, **settings, save=tmp_path / "run.h5")
        assert streamed == nf.simulate(circuit, **settings)
        assert streamed.traces[f"{name}.v"].shape == (200, 2)


def test_nothing_recorded_but_spikes(tmp_path: Path) -> None:
    streamed = run(tmp_path / "run.h5", record=())
    assert streamed == run(record=())
    assert (streamed.traces, streamed.weight_history) == ({}, {})


def test_saved_and_streamed_are_one_format(whole: nf.Recording, path: Path, tmp_path: Path) -> None:
    whole.save(tmp_path / "saved.h5")
    saved, streamed = nf.Recording.load(tmp_path / "saved.h5"), nf.Recording.load(path)
    assert saved == streamed == whole
    with h5py.File(path) as a, h5py.File(tmp_path / "saved.h5") as b:
        found: list[list[str]] = [[], []]
        a.visit(found[0].append)
        b.visit(found[1].append)
    assert found[0] == found[1]
    streamed.save(path)  # over the file that it lies in
    assert nf.Recording.load(path) == streamed == whole
    streamed.save(tmp_path / "again.npz")
    assert nf.Recording.load(tmp_path / "again.npz") == whole


# ------------------------------------------------------------------ memory


def _peak(call: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_duration(tmp_path: Path) -> None:
    """A free-running pair: samples of every step, spikes at 34 Hz, no inputs."""
    cells = nf.Circuit("cells", [nf.Population("A", nf.LIF(drive=200 * pA), 2)])

    def streamed(duration: float, save: Path | None = tmp_path / "run.h5") -> int:
        rec: list[nf.Recording] = []
        found = _peak(
            lambda: rec.append(nf.simulate(cells, duration=duration, record="A.v", save=save))
        )
        assert rec[0].traces["A.v"].shape == (round(duration / DT), 2)
        return found

    streamed(20.0)  # what is allocated once
    short, long = streamed(20.0), streamed(200.0)
    recorded = 3 * 8 * 2_000_000  # two traces and the times
    spikes = 2 * 34 * 200 * 6 * 8  # those of the whole run are sorted at the end
    assert long - short < 0.005 * recorded + spikes
    assert streamed(200.0, None) > recorded


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="needs /proc")
def test_a_slice_reads_only_that_part(tmp_path: Path) -> None:
    cells = nf.Circuit("cells", [nf.Population("A", nf.LIF(drive=200 * pA), 4)])
    path = tmp_path / "run.h5"
    rec = nf.simulate(cells, duration=20.0, record="A.v", save=path)

    def read() -> int:
        """kB of the file that lie in this process's memory."""
        total, here = 0, False
        for line in Path("/proc/self/smaps").read_text().splitlines():
            if "-" in line.split()[0]:
                here = str(path) in line
            elif here and line.startswith("Rss:"):
                total += int(line.split()[1])
        return total

    size = rec.traces["A.v"].nbytes // 1000
    assert size == 6400 and read() < 300
    middle = rec.traces["A.v"][100_000:100_100]
    assert middle.shape == (100, 4) and middle.std() > 0
    assert read() < 600
    rec.traces["A.v"].sum()
    assert read() > 6000


# ------------------------------------------------------------------ what can be done with it


def test_a_lazy_recording_is_a_recording(whole: nf.Recording, path: Path, tmp_path: Path) -> None:
    lazy = nf.Recording.load(path)
    trace = lazy.traces["A.v"]
    assert type(trace) is np.ndarray and trace.dtype == np.float64 and trace.flags.aligned
    assert trace.shape == whole.traces["A.v"].shape and not trace.flags.owndata
    assert_array_equal(trace[1, ::-3, 0], whole.traces["A.v"][1, ::-3, 0])
    for trial in range(3):
        assert_array_equal(lazy.bit("Q", trial), whole.bit("Q", trial))
        for mine, expected in zip(lazy.trains("B", trial), whole.trains("B", trial), strict=True):
            assert_array_equal(mine, expected)
    assert [list(i) for i in lazy.inputs] == [list(i) for i in whole.inputs]
    lazy.plot(tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 1000
    assert pickle.loads(pickle.dumps(lazy)) == whole
    with pytest.raises(ValueError, match="read-only"):
        trace[0, 0, 0] = 1.0
    assert dataclasses.replace(lazy, seed=4) != whole


def test_the_file_holds_what_the_docstring_says(whole: nf.Recording, path: Path) -> None:
    with h5py.File(path) as file:
        assert_array_equal(file["spikes/A"], whole.spikes["A"])
        assert_array_equal(file["neurons/A"], whole.neurons["A"])
        assert_array_equal(file["trials/A"], whole.trials["A"])
        assert_array_equal(file["traces/A.v"], whole.traces["A.v"])
        assert_array_equal(file["weight_history/late"], whole.weight_history["late"])
        assert_array_equal(file["weights/early"], whole.weights["early"])
        assert_array_equal(file["times"], whole.times)
        about = json.loads(bytes(file["header"][()]))["about"]
    assert (about["seed"], about["engine"], about["duration"]) == (3, "numba", 0.1)


def test_a_packed_copy_loads(whole: nf.Recording, path: Path, tmp_path: Path) -> None:
    """As `h5repack -f GZIP=4` makes it."""
    with h5py.File(path) as old, h5py.File(tmp_path / "packed.h5", "w") as new:

        def copy(name: str, item: Any) -> None:
            if isinstance(item, h5py.Dataset):
                new.create_dataset(name, data=item[()], compression="gzip" if item.size else None)

        old.visititems(copy)
    assert nf.Recording.load(tmp_path / "packed.h5") == whole


def test_shared_inputs_are_written_once(tmp_path: Path) -> None:
    times = {"noise": [np.arange(1, 500) * ms] * 3}
    for trials, name in ((1, "one.h5"), (40, "many.h5")):
        nf.simulate(network(), times, duration=0.5, trials=trials, save=tmp_path / name)
    with h5py.File(tmp_path / "one.h5") as one, h5py.File(tmp_path / "many.h5") as many:
        assert list(one["given"]) == list(many["given"])
    again = nf.Recording.load(tmp_path / "many.h5")
    assert again.drives[0].events["noise"][0] is again.drives[39].events["noise"][0]


# ------------------------------------------------------------------ damaged files


def test_truncated_files_are_refused(path: Path, tmp_path: Path) -> None:
    content = path.read_bytes()
    for length in [0, 10, *range(100, len(content), len(content) // 40), len(content) - 1]:
        (tmp_path / "cut.h5").write_bytes(content[:length])
        with pytest.raises(ValueError, match="cut.h5 is damaged or no neuroflip file"):
            nf.Recording.load(tmp_path / "cut.h5")


def test_damage_is_refused_or_stands_in_the_arrays(
    whole: nf.Recording, path: Path, tmp_path: Path
) -> None:
    content, refused, other = path.read_bytes(), 0, 0
    for position in range(0, len(content), max(1, len(content) // 300)):
        damaged = bytearray(content)
        damaged[position] ^= 0x55
        (tmp_path / "bad.h5").write_bytes(damaged)
        try:
            again = nf.Recording.load(tmp_path / "bad.h5")
        except ValueError:
            refused += 1
        else:
            other += again != whole
            assert again.circuit == whole.circuit and again.traces.keys() == whole.traces.keys()
    assert refused > 15 and other > 60


def test_foreign_files_are_refused(path: Path, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["spikes/A"] = np.zeros(3)
    (tmp_path / "text.h5").write_text("times")
    run().save(tmp_path / "a.npz")
    (tmp_path / "a.npz").rename(tmp_path / "zip.h5")
    for name in ("other.h5", "text.h5", "zip.h5"):
        with pytest.raises(ValueError, match=f"{name} is damaged or no neuroflip file"):
            nf.Recording.load(tmp_path / name)
    for change in ({"recording": 2}, {"more": 1}):
        shutil.copy(path, tmp_path / "newer.h5")
        with h5py.File(tmp_path / "newer.h5", "a") as file:
            header = json.loads(bytes(file["header"][()]))
            header["about"] |= change
            del file["header"]
            file["header"] = np.frombuffer(json.dumps(header).encode(), np.uint8)
        with pytest.raises(ValueError, match="newer.h5 holds no recording of format 1"):
            nf.Recording.load(tmp_path / "newer.h5")
    with pytest.raises(FileNotFoundError):
        nf.Recording.load(tmp_path / "none.h5")


# ------------------------------------------------------------------ refusals before the run


@pytest.fixture
def no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: Any) -> None:
        raise AssertionError("the kernel ran")

    monkeypatch.setattr(numba_engine, "_batch", forbidden)


@pytest.mark.parametrize(
    ("save", "kind", "message"),
    [
        ("run.npz", ValueError, "cannot write 'run.npz' while the run goes on: the name must end"),
        ("run", ValueError, "the name must end in .h5"),
        ("nowhere/run.h5", ValueError, "there is no folder 'nowhere'; make it first"),
        ("folder.h5", ValueError, "cannot write 'folder.h5': it is a folder"),
        (3, TypeError, "save must be the path of an .h5 file; got 3"),
    ],
)
def test_refusals(
    save: Any, kind: type[Exception], message: str, tmp_path: Path, no_run: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.h5").mkdir()
    with pytest.raises(kind, match=message):
        run(save)
    assert [p.name for p in tmp_path.iterdir()] == ["folder.h5"]


def test_a_folder_that_refuses(
    tmp_path: Path, no_run: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(**_: Any) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), "x")

    monkeypatch.setattr("tempfile.TemporaryDirectory", refused)
    with pytest.raises(PermissionError, match="cannot write '.*run.h5': Permission denied"):
        run(tmp_path / "run.h5")


def test_too_little_room(tmp_path: Path, no_run: None, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=10_000)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    with pytest.raises(
        OSError, match="takes at least 17.2 kB more, and 10 kB are free there"
    ) as caught:
        run(tmp_path / "run.h5")
    assert caught.value.errno == errno.ENOSPC
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_saved_is_known_before(tmp_path: Path, no_run: None) -> None:
    @dataclasses.dataclass(frozen=True)
    class Own(rules.Rule):
        """Nothing."""

        on_pre = "w += 1e-6"

    circuit = nf.Circuit(
        "own", [nf.Population("A", nf.DeltaLIF())],
        [nf.Projection("in", "A", 1 * mV, rule=Own())], [nf.SpikeInput("in")],
    )  # fmt: skip
    with pytest.raises(ValueError, match="Own is not registered"):
        nf.simulate(circuit, duration=1 * ms, save=tmp_path / "run.h5")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_library_is_named(
    tmp_path: Path, no_run: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Nothing:
        @staticmethod
        def find_spec(name: str, *_: Any) -> None:
            if name.partition(".")[0] == "h5py":
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    for name in [n for n in sys.modules if n.partition(".")[0] == "h5py"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Nothing, *sys.meta_path])
    for call in (run, nf.Recording.load):
        with pytest.raises(ImportError, match=r"'h5py'; pip install 'neuroflip\[hdf5\]'"):
            call(tmp_path / "run.h5")


# ------------------------------------------------------------------ interrupted runs


def test_an_interruption_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "run.h5").write_text("before")
    done = []

    def tick(steps: int) -> None:
        done.append(steps)
        if len(done) == 5:
            raise KeyboardInterrupt

    monkeypatch.setattr(job_module, "_STEPS", 50)
    monkeypatch.setattr(simulation, "_ticks", lambda *_: _with(tick))
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "run.h5")
    assert [p.name for p in tmp_path.iterdir()] == ["run.h5"]
    assert (tmp_path / "run.h5").read_text() == "before"


class _with:
    def __init__(self, value: Any) -> None:
        self.value = value

    def __enter__(self) -> Any:
        return self.value

    def __exit__(self, *_: object) -> None:
        pass


_LONG = """
import signal, sys
import neuroflip as nf
from neuroflip.units import pA
cells = nf.Circuit("cells", [nf.Population("A", nf.LIF(drive=200*pA), 50)])
def go(duration, save):
    return nf.simulate(cells, duration=duration, record="A.v", save=save)
"""


def test_a_killed_run_leaves_no_file(tmp_path: Path) -> None:
    code = _LONG + "go(1e4, sys.argv[1])"
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "run.h5")])
    try:
        begun = time.monotonic()
        while not any(p.stat().st_size > 10**6 for p in tmp_path.glob(".run.h5.*/run.h5")):
            assert process.poll() is None and time.monotonic() - begun < 60
            time.sleep(0.02)
        time.sleep(0.2)
    finally:
        process.kill()
    assert process.wait() == -signal.SIGKILL
    assert not (tmp_path / "run.h5").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits of file sizes")
@pytest.mark.parametrize("limit", [20_000, 3_000_000])
def test_a_disk_that_fills_up(limit: int, tmp_path: Path) -> None:
    """A limit of the file size fails as a full disk does: at once, or in the middle."""
    code = _LONG + (
        "import resource\n"
        "go(1e-3, sys.argv[2])\n"  # compiles
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n"
        "try:\n    go(10.0, sys.argv[1])\nexcept OSError as error:\n    print(error)\n"
    )
    folder = tmp_path / "full"
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder / "run.h5"), str(tmp_path / "first.h5")],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    expected = f"[Errno {errno.EFBIG}] cannot write '{folder / 'run.h5'}': "
    assert (done.returncode, done.stdout.strip()) == (
        0, f"{expected}{os.strerror(errno.EFBIG)}",
    ), done.stderr  # fmt: skip
    assert list(folder.iterdir()) == []


# ------------------------------------------------------------------ the command line


def test_the_command_line_streams(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    writing = recording_file.writing
    monkeypatch.setattr(
        recording_file, "writing", lambda *given: opened.append(given[0]) or writing(*given)
    )
    saved = tmp_path / "run.h5"

    def call(*arguments: str) -> None:
        result = CliRunner().invoke(app, arguments)
        assert (result.exit_code, result.stderr) == (0, "")

    call("run", "sr_latch", "--duration", "0.1", "--save", str(saved))
    assert opened == [saved]
    rec = nf.Recording.load(saved)
    assert sum(s.size for s in rec.spikes.values()) > 0 and rec.times.size > 0
    call("compare", "sr_latch", "--duration", "20ms", "--save", str(tmp_path / "c.h5"))
    assert nf.Recording.load(tmp_path / "c.h5").engine == "brian2"
