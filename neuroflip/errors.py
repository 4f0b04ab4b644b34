"""Words shared by the error messages of the package."""

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str]) -> str:
    """What to say after an unknown name: the nearest known one, or all of them.

    >>> nearest("nmuba", ["numba", "torch"])
    "did you mean 'numba'?"
    >>> nearest("x", ["numba", "torch"])
    'known: numba, torch.'
    """
    names = list(known)
    close = difflib.get_close_matches(name, names, n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"known: {', '.join(names)}." if names else "there are none."
