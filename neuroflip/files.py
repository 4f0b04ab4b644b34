"""Reading and writing of plain data: JSON, or NPZ where arrays are large; always atomic.

Data is nested dictionaries, lists, strings, numbers, None and NumPy arrays. Floats and arrays
come back bit for bit.
"""

import contextlib
import io
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

_HEADER = "header"


def write(path: str | Path, data: dict[str, Any]) -> None:
    """Write data to PATH.json or PATH.npz. Raises ValueError for another suffix."""
    path = Path(path)
    if _suffix(path) == ".json":
        payload = json.dumps(_pack(data, _inline), indent=1).encode()
    else:
        arrays: dict[str, np.ndarray[Any, Any]] = {}

        def store(array: np.ndarray[Any, Any]) -> dict[str, Any]:
            arrays[key := f"a{len(arrays)}"] = array
            return {"$npz": key}

        header = json.dumps(_pack(data, store))
        buffer = io.BytesIO()
        np.savez_compressed(buffer, allow_pickle=False, **{_HEADER: np.array(header)}, **arrays)
        payload = buffer.getvalue()
    with replacing(path) as temporary:
        temporary.write_bytes(payload)


def read(path: str | Path) -> dict[str, Any]:
    """The data that `write` wrote. Raises ValueError for a truncated or foreign file."""
    path = Path(path)
    suffix = _suffix(path)
    content = path.read_bytes()
    try:
        if suffix == ".json":
            data = _unpack(json.loads(content), {})
        else:
            with np.load(io.BytesIO(content), allow_pickle=False) as archive:
                arrays = {key: archive[key] for key in archive.files}
            data = _unpack(json.loads(str(arrays[_HEADER])), arrays)
    except Exception as error:  # json, zipfile, zlib and numpy say it in many ways
        raise ValueError(f"{path} is damaged or no neuroflip file: {error}") from error
    if not isinstance(data, dict):
        raise ValueError(f"{path} is damaged or no neuroflip file: it holds no record.")
    return data


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside PATH that takes its place once everything is written."""
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        temporary = Path(folder) / path.name
        yield temporary
        os.replace(temporary, path)


def cache_folder(kind: str) -> Path:
    """Where neuroflip keeps what it can make again: $NEUROFLIP_CACHE, or the user's cache folder.

    kind: "kernels" or "data", the folder within.
    """
    import platformdirs

    return (
        Path(os.environ.get("NEUROFLIP_CACHE") or platformdirs.user_cache_dir("neuroflip")) / kind
    )


def _suffix(path: Path) -> str:
    if path.suffix not in (".json", ".npz"):
        raise ValueError(f"a file is .json or .npz; got {str(path)!r}.")
    return path.suffix


def _inline(array: np.ndarray[Any, Any]) -> dict[str, Any]:
    return {"$array": array.tolist(), "dtype": array.dtype.str, "shape": list(array.shape)}


def _pack(data: Any, store: Callable[[np.ndarray[Any, Any]], dict[str, Any]]) -> Any:
    if isinstance(data, np.ndarray):
        return store(data)
    if isinstance(data, dict):
        # Keys that begin with $ mark arrays; one of the data's own is given another $
        return {f"${k}" if k[:1] == "$" else k: _pack(v, store) for k, v in data.items()}
    if isinstance(data, (list, tuple)):
        return [_pack(value, store) for value in data]
    return data.item() if isinstance(data, np.generic) else data


def _unpack(data: Any, arrays: Mapping[str, np.ndarray[Any, Any]]) -> Any:
    if isinstance(data, dict):
        if "$array" in data:
            return np.array(data["$array"], dtype=data["dtype"]).reshape(data["shape"])
        for mark in ("$npz", "$hdf5"):
            if mark in data:
                return arrays[data[mark]]
        return {k[1:] if k[:1] == "$" else k: _unpack(v, arrays) for k, v in data.items()}
    if isinstance(data, list):
        return [_unpack(value, arrays) for value in data]
    return data
