"""Spikes of event cameras and cochlea models from local files: N-MNIST and SHD."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from neuroflip.circuit import Array, Index, _Data
from neuroflip.data.reading import CorruptFile, existing, read_each
from neuroflip.optional import require
from neuroflip.units import us

_SIDE = 34
_UNITS = 700
_SHD = ("spikes/times", "spikes/units", "labels", "extra/speaker", "extra/keys")


@dataclass(frozen=True, eq=False)
class Events(_Data):
    """Recordings made of spikes.

    times: of each recording's spikes (s), in order, one array a recording.
    source: which source sent each spike, an index into `shape` as if it were flat.
    label: which of `labels` each recording shows, shape (recordings,).
    labels: their names.
    shape: of the sources: N-MNIST (polarity, y, x), SHD (unit,).
    speaker: who speaks in each recording of SHD, shape (recordings,); else None.
    skipped: files left out because they are corrupt.
    """

    times: tuple[Array, ...]
    source: tuple[Index, ...]
    label: Index
    labels: tuple[str, ...]
    shape: tuple[int, ...]
    speaker: Index | None = None
    skipped: tuple[str, ...] = ()

    def trains(self, recording: int) -> list[Array]:
        """Spike times (s) of every source in a recording, as a circuit's input takes them."""
        times, source = self.times[recording], self.source[recording]
        order = np.argsort(source, kind="stable")
        starts = np.searchsorted(source[order], np.arange(1, int(np.prod(self.shape))))
        return np.split(times[order], starts)


def load_nmnist(
    path: str | Path,
    digits: Sequence[int] = tuple(range(10)),
    most: int | None = None,
    *,
    skip_corrupt: bool = False,
) -> Events:
    """N-MNIST's recordings of one part, from local files.

    path: the folder Train or Test, with 0/00002.bin and so on.
    digits: which to read. most: recordings of each, the first by name; by default all.
    skip_corrupt: leave out corrupt files, with a warning that names them; by default the first
        of them raises.

    An event has 5 bytes: x, y, then a bit of polarity and 23 bits of time in microseconds, most
    significant first. Events with y = 240 mark an overflow of the clock: they are dropped, and
    each adds 2^13 us to all that follow.

    G. Orchard et al. (2015), Converting static image datasets to spiking neuromorphic datasets
    using saccades, Front. Neurosci. 9:437.

    Raises FileNotFoundError for a folder or digit that is not there, ValueError for a corrupt
    file: empty, truncated or with a pixel outside 34 x 34.
    """
    expected = "the folder Train or Test of N-MNIST, with 0/00002.bin ..."
    root = existing(path, expected)
    files: list[Path] = []
    for digit in digits:
        found = sorted((root / str(digit)).glob("*.bin"))[:most]
        if not found:
            raise FileNotFoundError(f"there is no {root / str(digit)}/*.bin; expected {expected}")
        files += found
    read, held, skipped = read_each(files, _camera, skip_corrupt)
    times, source = zip(*held, strict=True)
    labels = tuple(str(digit) for digit in digits)
    return Events(
        times,
        source,
        np.array([labels.index(file.parent.name) for file in read], dtype=np.int64),
        labels,
        (2, _SIDE, _SIDE),
        skipped=skipped,
    )


def _camera(path: Path) -> tuple[Array, Index]:
    """Times (s) and sources of the events in a file of N-MNIST."""
    content = path.read_bytes()
    if not content or len(content) % 5:
        raise CorruptFile(path, f"it has {len(content)} bytes, which must be 5 for each event.")
    x, y, high, middle, low = np.frombuffer(content, np.uint8).reshape(-1, 5).astype(np.int64).T
    overflow = y == 240
    clock = ((high & 127) << 16 | middle << 8 | low) + (np.cumsum(overflow) << 13)
    event = ~overflow
    x, y, polarity, clock = x[event], y[event], (high >> 7)[event], clock[event]
    outside = np.flatnonzero((x >= _SIDE) | (y >= _SIDE))
    if outside.size:
        pixel = int(x[outside[0]]), int(y[outside[0]])
        raise CorruptFile(path, f"an event is at {pixel}, outside {_SIDE} x {_SIDE} pixels.")
    order = np.argsort(clock, kind="stable")
    return clock[order] * us, ((polarity * _SIDE + y) * _SIDE + x)[order]


def load_shd(path: str | Path) -> Events:
    """The spoken digits of SHD, from a local file shd_train.h5 or shd_test.h5.

    700 units of a cochlea model; 20 labels, ten digits in English and German. Split a training
    set by `speaker`. Needs neuroflip[events].

    B. Cramer et al. (2022), The Heidelberg spiking data sets for the systematic evaluation of
    spiking neural networks, IEEE Trans. Neural Netw. Learn. Syst. 33:2744.

    Raises ImportError without h5py, FileNotFoundError for a path that is not there, ValueError
    for a file that is truncated, corrupt or of another kind; each names it.
    """
    h5py = require("h5py", "events")
    found = existing(path, "the file shd_train.h5 or shd_test.h5, unpacked")
    try:
        with h5py.File(found, "r") as file:
            held = {name: _held(file, name, found) for name in _SHD}
            labels = [name.decode() for name in held["extra/keys"]]
    except (OSError, AttributeError, RuntimeError) as error:
        raise CorruptFile(found, error) from None
    label = np.asarray(held["labels"], np.int64)
    times = tuple(np.asarray(each, np.float64) for each in held["spikes/times"])
    source = tuple(np.asarray(each, np.int64) for each in held["spikes/units"])
    if not len(times) == len(source) == len(label) == len(held["extra/speaker"]):
        raise CorruptFile(found, "its spikes, labels and speakers differ in number.")
    if len(label) and not 0 <= label.min() <= label.max() < len(labels):
        raise CorruptFile(found, f"its labels must be 0 to {len(labels) - 1}.")
    for number, (when, unit) in enumerate(zip(times, source, strict=True)):
        if len(when) != len(unit) or (len(unit) and not 0 <= unit.min() <= unit.max() < _UNITS):
            raise CorruptFile(
                found,
                f"recording {number} must have one unit, 0 to {_UNITS - 1}, for each spike.",
            )
    speaker = np.asarray(held["extra/speaker"], np.int64)
    return Events(times, source, label, tuple(labels), (_UNITS,), speaker)


def _held(file: Any, name: str, path: Path) -> Any:
    """What an HDF5 file holds under a name."""
    if name not in file:
        raise CorruptFile(path, f"it has no {name}.")
    return file[name][()]
