"""Recordings as HDF5 files (.h5): written in pieces while a run goes on, and opened lazily.

    /spikes/NAME, neurons, trials, traces, weights, weight_history    the arrays of `Recording`
    /times                                                            likewise
    /given/N     large arrays of the inputs and the circuit, which the header refers to
    /header      JSON: everything else, and the names of the arrays

In a NAME, "%" and "/" are %25 and %2F. Arrays are contiguous and uncompressed, so that an opened
file is mapped into memory: what is read of an array is what is looked at.
"""

import contextlib
import errno
import json
import mmap
import os
import shutil
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from neuroflip import files
from neuroflip.optional import require

SUFFIX = ".h5"

_ARRAYS = ("spikes", "neurons", "trials", "traces", "weights", "weight_history")
_SMALL = 64  # elements of an array that is written into the header


def check_path(path: str | Path) -> Path:
    """The path of a file that is written while a run goes on.

    Raises ValueError or TypeError for another suffix, a folder, a place where none can be made.
    """
    if not isinstance(path, (str, Path)):
        raise TypeError(f"save must be the path of an {SUFFIX} file; got {path!r}.")
    path = Path(path)
    if path.suffix != SUFFIX:
        raise ValueError(
            f"cannot write {str(path)!r} while the run goes on: the name must end in {SUFFIX}. "
            "Recording.save writes .npz and .json files."
        )
    if path.is_dir():
        raise ValueError(f"cannot write {str(path)!r}: it is a folder.")
    if not path.parent.is_dir():
        raise ValueError(
            f"cannot write {str(path)!r}: there is no folder {str(path.parent)!r}; make it first."
        )
    return path


@contextlib.contextmanager
def writing(path: str | Path, about: Mapping[str, Any]) -> Iterator["File"]:
    """A new file that takes the place of PATH once the block is done.

    about: the plain data of the header. Raises OSError where the file cannot be written.
    """
    path = check_path(path)
    require("h5py", "hdf5")
    with contextlib.ExitStack() as stack:
        with _reported(path):
            temporary = stack.enter_context(files.replacing(path))
        file = stack.enter_context(File(path, temporary, about))
        yield file


class File:
    """A file that is being written; where a `Recorder` keeps what it gets."""

    def __init__(self, path: Path, temporary: Path, about: Mapping[str, Any]) -> None:
        self._path, self._lock = path, threading.Lock()
        self._names: dict[str, list[str]] = {}
        self._given: dict[int, str] = {}  # arrays that trials share are written once
        self._due = 0  # bytes of arrays that are still to be written
        with _reported(path):
            # Metadata with checksums, which HDF5 reads from 1.10 on; arrays start at multiples of
            # the longest vector, as NumPy's own do
            self._file = require("h5py", "hdf5").File(
                temporary, "w", libver=("v110", "v110"), alignment_threshold=1,
                alignment_interval=64,
            )  # fmt: skip
            self._aside = open(temporary.with_suffix(".spikes"), "w+b")
        try:
            self._about = files._pack(dict(about), self._stored)
            json.dumps(self._about)  # refuses now what it would refuse after the run
        except BaseException:
            self._close()
            raise

    def __enter__(self) -> "File":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            with _reported(self._path):
                self._close()
        else:
            with contextlib.suppress(OSError, RuntimeError):  # the first failure is the one to tell
                self._close()

    def array(self, field: str, name: str, shape: tuple[int, ...], kind: Any) -> Any:
        """A new array for `Recording.field[name]`, to be filled by assignment to its slices.

        Raises OSError where it would not fit on the disk.
        """
        self._names.setdefault(field, []).append(name)
        return self._new(_inside(field, name), shape, np.dtype(kind))

    def put_aside(self, values: Any) -> int:
        """Keep whole numbers in a file of their own until the end; returns what `fetch` takes."""
        with self._lock, _reported(self._path):
            begin = self._aside.seek(0, os.SEEK_END)
            self._aside.write(values.data)
        return begin

    def fetch(self, kept: int, part: slice) -> Any:
        """Part of what was put aside."""
        with self._lock, _reported(self._path):
            self._aside.seek(kept + 8 * part.start)
            return np.frombuffer(self._aside.read(8 * (part.stop - part.start)), np.int64)

    def finish(self, threshold_margin: float) -> None:
        """Write the header, once all arrays are filled."""
        about = {**self._about, "threshold_margin": threshold_margin}
        text = json.dumps({"about": about, "names": self._names}).encode()
        with _reported(self._path):
            self._file.create_dataset(
                "header", data=np.frombuffer(text, np.uint8), chunks=(len(text),), fletcher32=True
            )

    def _new(self, inside: str, shape: tuple[int, ...], kind: np.dtype[Any]) -> "_Array":
        size = int(np.prod(shape)) * kind.itemsize
        self._due += size
        free = shutil.disk_usage(self._path.parent).free
        if self._due > free:
            raise OSError(
                errno.ENOSPC,
                f"cannot write {str(self._path)!r}: what is recorded takes at least "
                f"{_bytes(self._due)} more, and {_bytes(free)} are free there. Record less, or at "
                "a longer interval",
            )
        with _reported(self._path):
            return _Array(self, self._file.create_dataset(inside, shape, kind))

    def _stored(self, array: np.ndarray[Any, Any]) -> dict[str, Any]:
        """What the header says of an array."""
        if array.size <= _SMALL:
            return files._inline(array)
        if id(array) not in self._given:
            self._given[id(array)] = inside = f"given/{len(self._given)}"
            self._new(inside, array.shape, array.dtype)[...] = array
        return {"$hdf5": self._given[id(array)]}

    def _close(self) -> None:
        try:
            self._aside.close()
        finally:
            self._file.close()


class _Array:
    """An array in a file that is being written."""

    def __init__(self, file: File, dataset: Any) -> None:
        self._file, self._dataset = file, dataset

    def __setitem__(self, at: Any, values: Any) -> None:
        with _reported(self._file._path):
            self._dataset[at] = values
        self._file._due -= values.size * self._dataset.dtype.itemsize


def write(path: str | Path, data: Mapping[str, Any]) -> None:
    """Write the plain data of a recording whose arrays exist already."""
    about = {k: v for k, v in data.items() if k not in (*_ARRAYS, "times", "threshold_margin")}
    with writing(path, about) as file:
        for field in _ARRAYS:
            for name, values in data[field].items():
                file.array(field, name, values.shape, values.dtype)[...] = values
        file.array("times", "", data["times"].shape, np.float64)[...] = data["times"]
        file.finish(data["threshold_margin"])


def read(path: str | Path) -> dict[str, Any]:
    """The plain data of a recording, with arrays that are read when they are looked at.

    Raises ValueError for a truncated or foreign file, and where metadata is damaged; what stands
    in the arrays is not looked at.
    """
    h5py = require("h5py", "hdf5")
    with open(path, "rb") as raw:
        try:
            with h5py.File(path, "r") as file:
                view = mmap.mmap(raw.fileno(), 0, access=mmap.ACCESS_READ)
                arrays = _Arrays(file, view)
                header = json.loads(bytes(file["header"][()]))
                names = header["names"]
                data: dict[str, Any] = files._unpack(header["about"], arrays)
                for field in _ARRAYS:
                    data[field] = {n: arrays[_inside(field, n)] for n in names.get(field, [])}
                data["times"] = arrays["times"]
        except Exception as error:  # h5py and json say it in many ways
            raise ValueError(f"{path} is damaged or no neuroflip file: {error}") from error
    return data


class _Arrays(dict[str, Any]):
    """The arrays of a file by their path within it, each made once, when it is asked for."""

    def __init__(self, file: Any, view: mmap.mmap) -> None:
        self._file, self._view = file, view

    def __missing__(self, inside: str) -> Any:
        dataset = self._file[inside]
        offset = dataset.id.get_offset()
        if offset is None:  # it is empty, or something else has packed it
            array = np.asarray(dataset[()])
        else:
            array = np.frombuffer(self._view, dataset.dtype, dataset.size, offset)
        self[inside] = array.reshape(dataset.shape)
        return self[inside]


def _inside(field: str, name: str) -> str:
    """The path of an array within the file."""
    if field == "times":
        return field
    name = name.replace("%", "%25").replace("/", "%2F").replace("\0", "%00")
    return f"{field}/{'%2E' if name == '.' else name}"


def _bytes(size: int) -> str:
    power = max(p for p in range(5) if p == 0 or size >= 1000**p)
    return f"{size / 1000**power:.3g} {('bytes', 'kB', 'MB', 'GB', 'TB')[power]}"


@contextlib.contextmanager
def _reported(path: Path) -> Iterator[None]:
    """An error of the file system, or of HDF5 in words of its own, named by the file."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        code = getattr(error, "errno", None)
        why = os.strerror(code) if code else str(error)
        raise type(error)(code, f"cannot write {str(path)!r}: {why}") from error
