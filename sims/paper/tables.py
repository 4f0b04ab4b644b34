"""How tables of results are written: as JSON, what all runs share, then a line a run."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from neuroflip import files

Told = tuple[Mapping[str, Any], str]
"""A run, and a line to print of it."""


def write(path: str | Path, head: Mapping[str, Any], runs: Sequence[Mapping[str, Any]]) -> None:
    """Write a table, so that it is small and its changes can be read; its folder is made.

    head: what all runs share.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ",\n  ".join(json.dumps(run) for run in runs)
    with files.replacing(path) as temporary:
        temporary.write_text(
            json.dumps(dict(head), indent=1)[:-2] + f',\n "runs": [\n  {lines}\n ]\n}}\n',
            encoding="utf-8",
        )


def grow(
    path: str | Path,
    head: Mapping[str, Any],
    done: Iterable[Told],
    before: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Write a table anew after each run, so that one that is stopped leaves what it has.

    done: yields the runs. before: runs that come before them.
    """
    runs = list(before)
    for run, told in done:
        runs.append(run)
        print(told, flush=True)
        write(path, head, runs)


def rounded(value: Any, digits: int = 4, in_lists: int | None = None) -> Any:
    """Floats in so many significant digits; in_lists: those of lists, of which there are many, in
    so many instead.

    >>> rounded({"a": 1 / 3, "b": (1 / 3, 2)}, 3, in_lists=2)
    {'a': 0.333, 'b': [0.33, 2]}
    """
    if isinstance(value, float):
        return float(f"{value:.{digits}g}")
    if isinstance(value, Mapping):
        return {key: rounded(item, digits, in_lists) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item, in_lists or digits, in_lists) for item in value]
    return value
