"""Pickles of plain data and NumPy arrays, read without running what else a pickle may call."""

import io
import pickle
from typing import Any

import numpy as np


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


def read_npy(content: bytes) -> Any:
    """The array in a .npy file, which may be one of Python objects.

    Raises ValueError for a pickle that would call anything, and what NumPy and pickle raise for
    a file that is no .npy file or ends early.

    >>> stream = io.BytesIO()
    >>> np.save(stream, np.array([[1, 2], [3]], dtype=object), allow_pickle=True)
    >>> read_npy(stream.getvalue())[1]
    [3]
    """
    stream = io.BytesIO(content)
    npy: Any = np.lib.format  # typed in some versions of NumPy only
    version = npy.read_magic(stream)
    header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    _, _, dtype = header(stream)
    if dtype.hasobject:
        return _ArraysOnly(stream).load()
    stream.seek(0)
    return npy.read_array(stream, allow_pickle=False)
