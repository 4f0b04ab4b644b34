"""Recognition of actions in clips (E4): convolutional flip-flops beside a true convolutional LSTM.

The authors' two nets for clips are one and the same, and neither has a recurrent layer. Here each
has one, `ConvFlipFlop2d` or `ConvLSTM2d`, and the task is made so that the order of frames decides:
a small shape moves one way, then another, and the class is which ways in which order. The same
frames in another order belong to another class.

    python -m neuroflip.sims.paper.clips
    python -m neuroflip.sims.paper.clips --ucf11 UCF11_updated_mpg --out ucf11.json

With --ucf11 the same nets read the clips of UCF11, split by group, from local files.
"""

import argparse
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from neuroflip import files
from neuroflip.data import load_ucf11
from neuroflip.rate import ConvFlipFlop2d, ConvLSTM2d
from neuroflip.sims.paper.classification import RESULTS, Parts, learn, score, summary
from neuroflip.sims.paper.harness import Data, Training
from neuroflip.sims.paper.tables import write

LAYERS: Mapping[str, type[ConvFlipFlop2d] | type[ConvLSTM2d]] = MappingProxyType(
    {"ConvFlipFlop2d": ConvFlipFlop2d, "ConvLSTM2d": ConvLSTM2d}
)
LOOKS = {"ConvFlipFlop2d": "FlipFlop", "ConvLSTM2d": "LSTM"}
"""Whose colour and kind of line each has in figures."""

WAYS = ((0, 1), (1, 0), (0, -1), (-1, 0))
"""Right, down, left, up: pixels (rows, columns) a frame."""
CLASSES = tuple(itertools.permutations(range(4), 2))
"""Which way first, which then: 12 classes."""
SHAPES = (
    ((1, 1, 1), (1, 1, 1), (1, 1, 1)),
    ((0, 1, 0), (1, 1, 1), (0, 1, 0)),
    ((1, 0, 1), (0, 1, 0), (1, 0, 1)),
    ((1, 1, 1), (1, 0, 1), (1, 1, 1)),
)
"""Of 3 x 3 pixels; they tell nothing of the class."""


@dataclass(frozen=True)
class Setting:
    """The clips, and how nets are trained."""

    clips: int = 1600
    """Trained on; a quarter as many validate, and as many test."""
    frames: int = 8
    side: int = 10
    noise: float = 0.1
    """Standard deviation of what is added to each pixel; a shape is 1."""
    hidden: int = 12
    kernel: int = 3
    hold: float = -2.0
    """First bias of the gates of the flip-flop: J and K begin at 0.12."""
    batch_size: int = 32
    epochs: int = 15
    learning_rate: float = 1e-2


def moving_shapes(count: int, which: Setting, generator: torch.Generator) -> Data:
    """Clips (count, frames, 1, side, side) and their classes, places in `CLASSES`.

    A shape begins anywhere and moves a pixel a frame, past an edge to the opposite one: one way
    in the first half of the moves, another in the second.
    """
    classes = torch.randint(len(CLASSES), (count,), generator=generator)
    shape = torch.tensor(SHAPES, dtype=torch.float32)[
        torch.randint(len(SHAPES), (count,), generator=generator)
    ]
    place = torch.randint(which.side, (count, 1, 2), generator=generator)
    ways = torch.tensor(WAYS)[torch.tensor(CLASSES)[classes]]  # (count, 2, rows and columns)
    first = which.frames // 2
    moves = torch.cat(
        [ways[:, :1].expand(-1, first, -1), ways[:, 1:].expand(-1, which.frames - 1 - first, -1)], 1
    )
    places = torch.cat([place, place + moves.cumsum(dim=1)], dim=1)  # (count, frames, 2)
    pixel = torch.arange(which.side)
    # How far each pixel is from the shape's corner, going round the edge
    rows = (pixel - places[..., :1]) % which.side
    columns = (pixel - places[..., 1:]) % which.side
    padded = torch.zeros(count, which.side, which.side)
    padded[:, :3, :3] = shape
    number = torch.arange(count)[:, None, None, None]
    clips = padded[number, rows[..., :, None], columns[..., None, :]]
    noise = which.noise * torch.randn(clips.shape, generator=generator)
    return Data((clips + noise).unsqueeze(2), classes)


def shuffled(data: Data, generator: torch.Generator) -> Data:
    """The same clips, the frames of each in a random order."""
    order = torch.rand(data.inputs.shape[:2], generator=generator).argsort(dim=1)
    return Data(data.inputs[torch.arange(len(data))[:, None], order], data.targets)


def reversed_(data: Data) -> Data:
    """The same clips run backwards, with the class that they then have."""
    back = [CLASSES.index(((then + 2) % 4, (first + 2) % 4)) for first, then in CLASSES]
    return Data(data.inputs.flip(1), torch.tensor(back)[data.targets])


class Viewer(nn.Module):
    """Clips (N, frames, channels, height, width) -> a number a class.

    One recurrent layer; the largest value of each channel after the last frame is read out.
    """

    def __init__(self, kind: str, which: Setting, channels: int, classes: int) -> None:
        super().__init__()
        self.layer = LAYERS[kind](channels, which.hidden, which.kernel)
        if isinstance(self.layer, ConvFlipFlop2d) and self.layer.bias is not None:
            nn.init.constant_(self.layer.bias, which.hold)
        self.readout = nn.Linear(which.hidden, classes)

    def forward(self, clips: Tensor) -> Tensor:
        if clips.dtype == torch.uint8:
            clips = clips.float() / 255
        states: Tensor = self.layer(clips)[0]
        said: Tensor = self.readout(states[:, -1].amax(dim=(2, 3)))
        return said


def run(
    kind: str,
    seed: int,
    which: Setting = Setting(),
    *,
    folder: str | Path | None = None,  # noqa: B008
) -> dict[str, Any]:
    """Train one model on moving shapes; its record, see `classification.learn`, with its test
    accuracy on the same clips with their frames "shuffled", and "reversed"."""
    generator = torch.Generator().manual_seed(seed)
    parts = moving_parts(which, generator)
    record, model = learn_clips(kind, seed, which, parts, folder=folder)
    record["shuffled"] = score(model, shuffled(parts.test, generator))
    record["reversed"] = score(model, reversed_(parts.test))
    return record


def moving_parts(which: Setting, generator: torch.Generator) -> Parts:
    """The moving shapes that are trained on, validate, and test."""
    quarter = which.clips // 4
    return Parts(*(moving_shapes(n, which, generator) for n in (which.clips, quarter, quarter)))


def run_ucf11(
    kind: str, seed: int, path: str | Path, which: Setting, *, folder: str | Path | None = None
) -> dict[str, Any]:
    """The same on UCF11: groups 5k + seed are tested, 5k + seed + 1 validate."""
    clips = load_ucf11(path, skip_corrupt=True)
    data = Data(
        torch.from_numpy(clips.frames).permute(0, 1, 4, 2, 3), torch.from_numpy(clips.action)
    )
    fold = torch.from_numpy((clips.group - seed) % 5)
    parts = Parts(data[fold > 1], data[fold == 1], data[fold == 0])
    record, model = learn_clips(kind, seed, which, parts, 3, len(clips.actions), folder)
    generator = torch.Generator().manual_seed(seed)
    return record | {"shuffled": score(model, shuffled(parts.test, generator))}


def learn_clips(
    kind: str,
    seed: int,
    which: Setting,
    parts: Parts,
    channels: int = 1,
    classes: int = len(CLASSES),
    folder: str | Path | None = None,
) -> tuple[dict[str, Any], nn.Module]:
    """Train one model, see `classification.learn`: its record, and the model."""
    training = Training(
        epochs=which.epochs, batch_size=which.batch_size, learning_rate=which.learning_rate,
        seed=seed, keep="best", checkpoint_every=1,
    )  # fmt: skip
    describe = {"model": kind, **asdict(which)}
    return learn(lambda: Viewer(kind, which, channels, classes), parts, training, describe, folder)


def table(path: str | Path = RESULTS / "clips-moving-shapes.json") -> dict[str, Any]:
    """The stored table. Raises FileNotFoundError where it has not been made."""
    return files.read(path)


def main(given: Sequence[str] | None = None) -> None:
    """Train both models and all seeds, and write the table; what is finished is not repeated."""
    parser = argparse.ArgumentParser(description="Actions in clips, E4 of the paper.")
    parser.add_argument("--ucf11", help="the folder UCF11_updated_mpg, instead of moving shapes")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--runs", default="runs/clips", help="folder of checkpoints")
    parser.add_argument("--out", default=str(RESULTS / "clips-moving-shapes.json"))
    options = parser.parse_args(given)
    torch.set_num_threads(1)
    which = Setting()
    runs = []
    for seed in range(options.seeds):
        for kind in LAYERS:
            folder = Path(options.runs) / f"{kind}-{seed}"
            if options.ucf11:
                runs.append(run_ucf11(kind, seed, options.ucf11, which, folder=folder))
            else:
                runs.append(run(kind, seed, which, folder=folder))
            print({k: v for k, v in runs[-1].items() if k not in ("epochs", "curves", "versions")})
    head = {
        "experiment": "E4",
        "data": "UCF11" if options.ucf11 else "moving shapes, synthetic clips of 12 classes",
        "setting": asdict(which),
        "versions": runs[0]["versions"],
        **{value: summary(runs, value) for value in ("test", "shuffled")},
    }
    write(options.out, head, [{k: v for k, v in r.items() if k != "versions"} for r in runs])
    for value in ("test", "shuffled"):
        for kind, row in summary(runs, value).items():
            print(f"{kind:16} {value:10} {row['mean']:.4f} +- {row['sd']:.4f}")


if __name__ == "__main__":
    main()
