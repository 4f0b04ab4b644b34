"""What the loaders of local files share: wrong paths, and files that turn out to be corrupt."""

import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


class CorruptFile(ValueError):
    """A file that is truncated, damaged or no file of its kind; the message names it."""

    def __init__(self, path: Path, reason: object) -> None:
        super().__init__(f"{path} is corrupt: {reason}")


def existing(path: str | Path, expected: str) -> Path:
    """The path, where it exists. expected: what it should be, for the error.

    >>> existing("aclImdb", "the folder aclImdb or the file imdb.npz")
    Traceback (most recent call last):
        ...
    FileNotFoundError: there is no 'aclImdb'; expected the folder aclImdb or the file imdb.npz.
    """
    found = Path(path).expanduser()
    if not found.exists():
        raise FileNotFoundError(f"there is no {str(path)!r}; expected {expected}.")
    return found


def read_each(
    paths: Iterable[Path], read: Callable[[Path], T], skip_corrupt: bool
) -> tuple[list[Path], list[T], tuple[str, ...]]:
    """What `read` makes of each file: (paths read, what they hold, paths skipped).

    A CorruptFile is raised as it is, with the way round it; with skip_corrupt the file is left
    out, and one warning at the end names all that were. Raises ValueError where all were.
    """
    kept: list[Path] = []
    held: list[T] = []
    skipped: dict[str, CorruptFile] = {}
    for path in paths:
        try:
            content = read(path)
        except CorruptFile as error:
            if not skip_corrupt:
                error.add_note("skip_corrupt=True reads the others.")
                raise
            skipped[str(path)] = error
        else:
            kept.append(path)
            held.append(content)
    if skipped:
        reasons = "\n".join(str(error) for error in skipped.values())
        if not kept:
            raise ValueError(f"all {len(skipped)} files are corrupt:\n{reasons}")
        warnings.warn(
            f"{len(skipped)} of {len(skipped) + len(kept)} files were skipped:\n{reasons}",
            stacklevel=3,
        )
    return kept, held, tuple(skipped)
