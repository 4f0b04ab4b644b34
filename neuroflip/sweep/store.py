"""The store of a sweep: a folder with one small file a finished cell, each written at once.

    sweep.json       what is swept, so that no other sweep is mixed in
    cells/12.json    the row of cell 12, with its digest
    table.parquet    the whole table, once the sweep is through

A file is written under another name and renamed, so that a kill or a full disk leaves it whole or
absent, and damage to one is damage to one cell.
"""

import hashlib
import json
import shutil
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neuroflip import files
from neuroflip.sweep.table import tidy
from neuroflip.sweep.task import Row

if TYPE_CHECKING:
    from pandas import DataFrame

FORMAT = 1  # of sweep.json and of the cell files


class Store:
    """The files of one sweep. config: what tells the sweep from others, as JSON data.

    Raises ValueError where the folder holds another sweep or something else, or a damaged file.
    """

    def __init__(self, path: Path, config: Mapping[str, Any], total: int) -> None:
        self.path, self.total = path, total
        self.cells = path / "cells"
        if path.exists() and not path.is_dir():
            raise ValueError(f"path must be a folder; {path} is a file.")
        record = path / "sweep.json"
        if record.exists():
            _check_same(path, files.read(record), config)
        elif path.exists() and any(not entry.name.startswith(".") for entry in path.iterdir()):
            raise ValueError(f"{path} holds something, but no sweep; give an empty or new folder.")
        with self._reported("start"):
            path.mkdir(parents=True, exist_ok=True)
            if not record.exists():
                files.write(record, {"format": FORMAT, **config})
            self.cells.mkdir(exist_ok=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the store against other processes. The lock goes with the process that holds it."""
        if sys.platform == "win32":  # there is no flock
            yield
            return
        import fcntl

        with open(self.path / "lock", "w") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise ValueError(
                    f"{self.path} is being written by another process; wait for it, or give "
                    "another path."
                ) from None
            yield

    def read(self) -> dict[int, Row]:
        """The rows of finished cells, by number. Clears away what a kill has left half written."""
        for left in self.cells.glob(".*"):
            shutil.rmtree(left, ignore_errors=True)
        return _read(self.cells)

    @property
    def finished(self) -> int:
        """How many cells are stored, counted on the disk: an interrupt may come right after one
        is in its place."""
        return sum(1 for _ in self.cells.glob("*.json"))

    def add(self, row: Row) -> None:
        """Write the row of a cell, over an earlier one where there is."""
        path = self.cells / f"{row['cell']}.json"
        with self._reported(f"write cell {row['cell']}"), files.replacing(path) as temporary:
            temporary.write_text(_sealed(row))

    def close(self, table: "DataFrame") -> None:
        """Write the whole table."""
        with (
            self._reported("write table.parquet"),
            files.replacing(self.path / "table.parquet") as temporary,
        ):
            table.to_parquet(temporary)

    @contextmanager
    def _reported(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OSError(
                error.errno,
                f"the sweep cannot {what} in {self.path}: {error.strerror or error}. "
                f"{self.finished} of {self.total} cells are stored; mend this and run the same "
                "call again",
            ) from error


def read_sweep(path: str | Path) -> "DataFrame":
    """The table of what a sweep has finished so far, also while it runs.

    Columns as `nf.sweep` says. Raises ValueError where the folder holds no sweep or a damaged
    file.
    """
    path = Path(path)
    if not (path / "sweep.json").is_file():
        raise ValueError(f"{path} holds no sweep.")
    return tidy(_read(path / "cells"))


def _sealed(row: Row) -> str:
    return json.dumps({"digest": _digest(row), "row": row}, indent=1)


def _digest(row: Row) -> str:
    return hashlib.sha256(json.dumps(row, sort_keys=True).encode()).hexdigest()


def _read(folder: Path) -> dict[int, Row]:
    rows: dict[int, Row] = {}
    damaged = []
    for path in folder.glob("*.json"):
        try:
            sealed = json.loads(path.read_bytes())
            row = sealed["row"]
            whole = sealed["digest"] == _digest(row) and path.stem == str(row["cell"])
        except (ValueError, KeyError, TypeError):
            whole = False
        if whole:
            rows[row["cell"]] = row
        else:
            damaged.append(path)
    if damaged:
        names = ", ".join(str(path) for path in sorted(damaged)[:5])
        more = f" and {len(damaged) - 5} more" if len(damaged) > 5 else ""
        raise ValueError(
            f"damaged cell file: {names}{more}. Delete it and run the same call again: it is "
            f"computed anew, and the other {len(rows)} finished cells are kept."
        )
    return dict(sorted(rows.items()))


def _check_same(path: Path, there: dict[str, Any], here: Mapping[str, Any]) -> None:
    if there.pop("format", None) != FORMAT:
        raise ValueError(f"{path} holds no sweep of format {FORMAT}; give an empty or new folder.")
    versions = there.pop("versions", {}), here["versions"]
    for name, value in here.items():
        if name != "versions" and there.get(name) != value:
            raise ValueError(
                f"{path} holds another sweep: {_difference(name, there.get(name), value)}. "
                "Give another path, or the same arguments as then."
            )
    if versions[0] != versions[1]:
        changed = [
            f"{name} {versions[0].get(name)} -> {version}"
            for name, version in versions[1].items()
            if versions[0].get(name) != version
        ]
        warnings.warn(
            f"{path} was begun with other versions ({', '.join(changed)}); its cells may differ "
            "from new ones.",
            stacklevel=4,
        )


def _difference(name: str, there: Any, here: Any) -> str:
    if name == "settings" and isinstance(there, dict):
        keys = [k for k in {**there, **here} if there.get(k) != here.get(k)]
        return f"{', '.join(keys)} differ{'s' if len(keys) == 1 else ''}"
    if name == "design":
        return "its design (parameters and values) is another"
    return f"{name} was {there!r} there and is {here!r} here"
