"""Values under names that last: the same in every process, session and order.

`plain` is what a value is hashed by, `shown` what the table shows of it.
"""

import dataclasses
import functools
import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np


def plain(value: Any, where: str) -> Any:
    """A value as JSON data that tells it from every other. where: what errors call it.

    Numbers, texts, None, lists, dictionaries, arrays, functions (by name) and dataclasses, such as
    neurons and rules. Raises TypeError for anything else.

    >>> plain((1, 2.0, None), "x")
    [1, 2.0, None]
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if type(value) is np.ndarray and value.dtype != object:
        content = hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
        return {"array": content, "dtype": value.dtype.str, "shape": list(value.shape)}
    if isinstance(value, (list, tuple, range)):
        return [plain(item, where) for item in value]
    if isinstance(value, Mapping):
        return {"items": [[plain(k, where), plain(v, where)] for k, v in value.items()]}
    if isinstance(value, functools.partial):
        parts = [value.func, value.args, value.keywords]
        return {"partial": [plain(part, where) for part in parts]}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        return {
            "class": _qualified(type(value)),
            "fields": {name: plain(item, where) for name, item in fields.items()},
        }
    if callable(value) and hasattr(value, "__qualname__"):
        return {"function": _qualified(value)}
    raise TypeError(
        f"{where} must be made of numbers (in SI units), texts, lists, dictionaries, arrays, "
        f"functions or dataclasses such as neurons and rules; got {value!r}."
    )


def shown(value: Any) -> Any:
    """What the table shows: numbers, texts and None as they are, all else as text.

    >>> shown(2.5), shown([1, "a"]), shown(len)
    (2.5, "[1, 'a']", 'builtins.len')
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return _text(value)


def _text(value: Any) -> str:
    """As repr, but functions by name rather than by address."""
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_text, value))}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{_text(k)}: {_text(v)}' for k, v in value.items())}}}"
    if isinstance(value, functools.partial):
        given = [*map(_text, value.args), *(f"{k}={_text(v)}" for k, v in value.keywords.items())]
        return f"{_text(value.func)}({', '.join(given)})"
    if callable(value) and hasattr(value, "__qualname__"):
        return _qualified(value)
    return repr(value)


def name_of(function: Any) -> str:
    """The qualified name of a function; of a callable object or partial, its whole content."""
    if hasattr(function, "__qualname__"):
        return _qualified(function)
    return str(plain(function, "the function"))


def _qualified(thing: Any) -> str:
    return f"{thing.__module__}.{thing.__qualname__}"
