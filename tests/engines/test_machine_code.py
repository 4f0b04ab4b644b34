"""Machine code: what it computes, and that it is kept and loaded without numba."""

import dataclasses
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neuroflip.engines import machine_code

_SOURCE = machine_code.Source(
    "import numba\nimport numpy as np\n",
    ("n", "scale", "whole", "small", "table", "out"),
    """
    for i in range(n):
        row = table[i]
        for j in range(row.size):
            out[i] += scale * np.exp(row[j]) * whole[j] * small[j]
    return n + whole.size
""",
)


def _given(rng: np.random.Generator, rows: int, columns: int) -> list[np.ndarray]:
    return [
        rng.integers(-5, 5, columns),
        rng.integers(0, 5, columns).astype(np.int32),
        rng.normal(size=(rows, columns)),
        np.zeros(rows),
    ]


def run(*arguments: Any, source: machine_code.Source = _SOURCE) -> int:
    return machine_code.Call(source, dict(zip(source.arguments, arguments, strict=True)))()


@pytest.mark.parametrize("shape", [(3, 4), (1, 1), (5, 0), (0, 3)])
def test_arrays_of_any_shape_and_type_arrive(shape: tuple[int, int], monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("NEUROFLIP_CACHE", str(tmp_path))
    whole, small, table, out = _given(np.random.default_rng(0), *shape)
    assert run(shape[0], 0.5, whole, small, table, out) == sum(shape)
    np.testing.assert_allclose(out, 0.5 * np.exp(table) @ (whole * small), rtol=1e-14)


def test_other_types_are_compiled_anew(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("NEUROFLIP_CACHE", str(tmp_path))
    machine_code.entry.cache_clear()
    whole, small, table, out = _given(np.random.default_rng(1), 2, 3)
    run(2, 1.0, whole, small, table, out)
    again = np.zeros_like(out)
    run(2, 1.0, small, whole, table, again)  # int32 and int64 the other way round
    np.testing.assert_array_equal(out, again)
    assert len(list(tmp_path.rglob("*.kernel"))) == 2


def test_arguments_are_replaced_between_calls(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("NEUROFLIP_CACHE", str(tmp_path))
    whole, small, table, out = _given(np.random.default_rng(5), 4, 3)
    names = dict(zip(_SOURCE.arguments, (4, 2.0, whole, small, table, out), strict=True))
    call = machine_code.Call(_SOURCE, names)
    assert call() == 4 + 3
    whole, small, table, other = _given(np.random.default_rng(6), 2, 5)  # of another shape
    call.give(n=2, whole=whole, small=small, table=table, out=other)
    assert call() == 2 + 5
    np.testing.assert_allclose(other, 2.0 * np.exp(table) @ (whole * small), rtol=1e-14)


@pytest.mark.parametrize("damage", [b"", b"no code", None])
def test_damaged_code_is_made_again(damage: bytes | None, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("NEUROFLIP_CACHE", str(tmp_path))

    def total() -> float:
        machine_code.entry.cache_clear()
        whole, small, table, out = _given(np.random.default_rng(2), 2, 2)
        run(2, 1.0, whole, small, table, out)
        return float(out.sum())

    first = total()
    (path,) = tmp_path.rglob("*.kernel")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if damage is None else damage)
    assert total() == first
    assert len(path.read_bytes()) > len(whole) // 2


def test_code_of_two_processes_does_not_mix(tmp_path: Path, monkeypatch) -> None:
    """numba numbers its symbols anew in each process."""
    monkeypatch.setenv("NEUROFLIP_CACHE", str(tmp_path))
    twice = dataclasses.replace(_SOURCE, body=_SOURCE.body.replace("+=", "+= 2 *"))
    for text in (_SOURCE, twice):
        script = (
            "import numpy as np; from neuroflip.engines.machine_code import Call, Source;"
            "given = 1, 1.0, np.ones(1, int), np.ones(1, np.int32), np.zeros((1, 1)), np.zeros(1);"
            f"text = {text!r}; Call(text, dict(zip(text.arguments, given)))()"
        )
        subprocess.run([sys.executable, "-c", script], check=True)
    machine_code.entry.cache_clear()
    monkeypatch.setattr(machine_code, "_compiled", None)  # it must come from the disk
    found = []
    for text in (_SOURCE, twice):
        out = np.zeros(1)
        run(1, 1.0, np.ones(1, int), np.ones(1, np.int32), np.zeros((1, 1)), out, source=text)
        found.append(out[0])
    assert found == [1.0, 2.0]


def test_threads_that_start_together_compile_once(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("NEUROFLIP_CACHE", str(tmp_path))
    machine_code.entry.cache_clear()
    compiled, count = machine_code._compiled, []

    def slowly(source: str) -> Any:
        count.append(source)
        time.sleep(0.2)
        return compiled(source)

    monkeypatch.setattr(machine_code, "_compiled", slowly)
    given = _given(np.random.default_rng(3), 2, 2)
    with ThreadPoolExecutor(3) as pool:
        results = list(pool.map(lambda _: run(2, 1.0, *given), range(3)))
    assert results == [4, 4, 4] and len(count) == 1


def test_a_name_that_is_nowhere_is_told(tmp_path: Path, monkeypatch) -> None:
    """LLVM itself would end the process."""
    monkeypatch.setenv("NEUROFLIP_CACHE", str(tmp_path))
    machine_code.entry.cache_clear()
    compiled = machine_code._compiled
    monkeypatch.setattr(
        machine_code, "_compiled", lambda source: compiled(source)._replace(needed=("no_such",))
    )
    for _ in range(2):  # compiled, and from the disk
        machine_code.entry.cache_clear()
        with pytest.raises(RuntimeError, match="'no_such', which is nowhere"):
            run(2, 1.0, *_given(np.random.default_rng(4), 2, 2))


_SIMULATION = """
import sys
import neuroflip as nf
from neuroflip.units import ms, mV
latch = nf.circuits.sr_latch()
noise = nf.NoiseInput("noise", "Q", 1 * mV)  # calls the mathematical library
latch = nf.Circuit("noisy", latch.populations, latch.projections, [*latch.inputs, noise])
recording = nf.simulate(latch, {"S": [0.01]}, duration=100 * ms)
print(recording.spikes["Q"].tolist(), "numba" in sys.modules)
"""


def test_a_second_process_does_without_numba(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("NEUROFLIP_CACHE", str(tmp_path))

    def process() -> tuple[str, str]:
        done = subprocess.run(
            [sys.executable, "-c", _SIMULATION], capture_output=True, text=True, check=True
        )
        spikes, _, imported = done.stdout.rpartition(" ")
        return spikes, imported.strip()

    spikes, imported = process()
    assert imported == "True"
    assert process() == (spikes, "False")


def test_without_a_compiler_the_reason_is_told(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("NEUROFLIP_CACHE", str(tmp_path))
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    done = subprocess.run([sys.executable, "-c", _SIMULATION], capture_output=True, text=True)
    assert "unset NUMBA_DISABLE_JIT" in done.stderr
