"""Clips of actions from local video files: the folder tree of UCF11."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from neuroflip.circuit import Index, _Data
from neuroflip.data.reading import CorruptFile, existing, read_each
from neuroflip.optional import require

Frames = np.ndarray[Any, np.dtype[np.uint8]]


@dataclass(frozen=True, eq=False)
class Clips(_Data):
    """Clips of actions, each reduced to the same number of small frames.

    frames: RGB, shape (clips, frames, height, width, 3).
    action: which of `actions` each clip shows, shape (clips,).
    actions: their names.
    group: number of the group of each clip, shape (clips,). Clips of one action and group share
        their scene and often their actor, so split by group when you train and test.
    skipped: files left out because they are corrupt.
    """

    frames: Frames
    action: Index
    actions: tuple[str, ...]
    group: Index
    skipped: tuple[str, ...] = ()


def load_ucf11(
    path: str | Path,
    frames: int = 30,
    size: tuple[int, int] = (64, 64),
    *,
    skip_corrupt: bool = False,
) -> Clips:
    """UCF11's clips, from the unpacked folder UCF11_updated_mpg. Needs neuroflip[video].

    path: the folder, with ACTION/GROUP/CLIP.mpg, such as basketball/v_shooting_01/
        v_shooting_01_01.mpg; the number at the end of GROUP is its group.
    frames: how many of each clip, evenly spaced from its first to its last; a clip with fewer
        shows some of them several times.
    size: (height, width) to which frames are scaled, averaging over areas.
    skip_corrupt: leave out clips that cannot be decoded to their end, with a warning that names
        them; by default the first of them raises.

    J. Liu, J. Luo & M. Shah (2009), Recognizing realistic actions from videos in the wild,
    CVPR:1996.

    Raises ImportError without PyAV, FileNotFoundError for a path without such clips, ValueError
    for a corrupt clip (naming it), a folder that is named otherwise, sizes below 1.
    """
    if min(frames, *size) < 1:
        raise ValueError(f"frames and size must be at least 1; got {frames!r} and {size!r}.")
    expected = "the folder UCF11_updated_mpg with ACTION/GROUP/CLIP.mpg"
    root = existing(path, expected)
    files = sorted(root.glob("*/*/*.mpg"))
    if not files:
        raise FileNotFoundError(f"there are no clips in {root}; expected {expected}.")
    groups = {file.parent: _group(file.parent) for file in files}
    read, held, skipped = read_each(files, lambda p: _decode(p, frames, size), skip_corrupt)
    actions = tuple(sorted({file.parent.parent.name for file in files}))
    return Clips(
        np.stack(held),
        np.array([actions.index(file.parent.parent.name) for file in read], dtype=np.int64),
        actions,
        np.array([groups[file.parent] for file in read], dtype=np.int64),
        skipped,
    )


def _group(folder: Path) -> int:
    number = re.search(r"_(\d+)$", folder.name)
    if number is None:
        raise ValueError(f"{folder} must end in its number, like v_shooting_01.")
    return int(number[1])


def _decode(path: Path, frames: int, size: tuple[int, int]) -> Frames:
    """Some frames of a clip, shape (frames, height, width, 3)."""
    av = require("av", "video")
    height, width = size
    try:
        with av.open(str(path)) as container:
            stream = next(iter(container.streams.video), None)
            # Decoding a stream whose codec was not recognised would end the process
            if stream is None or stream.codec_context is None:
                raise CorruptFile(path, "no video is found in it.")
            stream.codec_context.options = {"err_detect": "explode"}  # no frames made up
            stream.codec_context.thread_count = 1  # errors of other threads would be lost
            shown = [
                frame.to_ndarray(format="rgb24", width=width, height=height, interpolation="AREA")
                for frame in container.decode(stream)
            ]
    except av.error.FFmpegError as error:
        raise CorruptFile(path, error.strerror) from None
    if not shown:
        raise CorruptFile(path, "it has no frames.")
    chosen = np.rint(np.linspace(0, len(shown) - 1, frames)).astype(int)
    return np.stack([shown[frame] for frame in chosen])
