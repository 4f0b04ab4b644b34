"""Recognition of actions (E4): exercises by the motion of a smartwatch, tested on other people.

No package index has UCF11. Seven shoulder exercises recorded with a smartwatch (`neuroflip data
fetch watch`) stand in for its actions, and what is measured on them is no reproduction of the
paper's numbers. For clips, see `neuroflip.sims.paper.clips`.

    python -m neuroflip.sims.paper.actions

The recordings are cut into windows of 2 s. Of the ten people, seed s is tested on the s-th pair,
after training on the other eight for a fixed number of epochs: nothing is chosen by the pair.
"""

import argparse
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from neuroflip import files
from neuroflip.circuit import Array, Index
from neuroflip.data import WatchData, load_watch
from neuroflip.rate import Chrono
from neuroflip.sims.paper import clips
from neuroflip.sims.paper.classification import (
    RESULTS,
    Parts,
    accuracy,
    curves,
    learn,
    logistic,
    summary,
)
from neuroflip.sims.paper.drawing import Drawn, Job, canvas
from neuroflip.sims.paper.harness import Data, Training
from neuroflip.sims.paper.models import PUBLISHED, recurrent
from neuroflip.sims.paper.tables import write

FOLDS = 5
WINDOW = 100
"""Samples in a window: 2 s."""


@dataclass(frozen=True)
class Setting:
    """How windows are cut and nets are trained."""

    stride: int = 50
    """Samples from one window trained on to the next; windows that are tested do not overlap."""
    average: int = 2
    """Samples that become one step of the net: 25 steps a second."""
    turn: float = 0.1
    """Rotations of the watch in training: their rms angle about each axis (rad)."""
    scale: float = 0.1
    """Changes of the size of the motion in training: standard deviation of its logarithm."""
    noise: float = 0.1
    """Of each step in training, in standard deviations of its channel."""
    hidden: int = 64
    dropout: float = 0.3
    """Of the mean of the states, which is read out."""
    batch_size: int = 64
    epochs: int = 20
    learning_rate: float = 5e-3


def windows(data: WatchData, stride: int) -> tuple[Array, Index, Index]:
    """All windows (N, WINDOW, 6) of all recordings, with their exercise and subject."""
    cut: list[Array] = []
    where: list[int] = []
    for number, signal in enumerate(data.signals):
        starts = range(0, len(signal) - WINDOW + 1, stride)
        cut += [signal[start : start + WINDOW] for start in starts]
        where += [number] * len(starts)
    return np.stack(cut), data.exercise[where], data.subject[where]


def folds(groups: Index) -> list[tuple[int, ...]]:
    """The groups in FOLDS sets, of about as many samples each: the largest group first, into the
    set that is smallest so far.

    >>> folds(np.repeat([1, 2, 3, 4, 5, 6], [9, 8, 7, 6, 5, 4]))
    [(1,), (2,), (3,), (4,), (5, 6)]
    """
    names, counts = np.unique(groups, return_counts=True)
    sizes = [0] * FOLDS
    held: list[list[int]] = [[] for _ in range(FOLDS)]
    for place in np.argsort(-counts, kind="stable"):
        smallest = sizes.index(min(sizes))
        held[smallest].append(int(names[place]))
        sizes[smallest] += int(counts[place])
    return [tuple(group) for group in held]


class Watcher(nn.Module):
    """Windows (N, WINDOW, 6) of the watch's channels -> a number an exercise.

    mean, deviation: of the channels, over the windows trained on.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(
        self, kind: str, which: Setting, mean: Tensor, deviation: Tensor, exercises: int
    ) -> None:
        super().__init__()
        self.which = which
        self.register_buffer("mean", mean)
        self.register_buffer("deviation", deviation)
        steps = WINDOW // which.average
        self.layer = recurrent(kind, len(mean), which.hidden, init=Chrono(t_max=steps))
        self.readout = nn.Linear(which.hidden, exercises)

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            x = turned(x, self.which.turn)
        x = x.reshape(len(x), -1, self.which.average, x.shape[2]).mean(dim=2)
        x = (x - self.mean) / self.deviation
        if self.training:
            size = torch.exp(self.which.scale * torch.randn(len(x), 1, 1))
            x = size * x + self.which.noise * torch.randn(x.shape)
        read = self.layer(x)[0].mean(dim=1)
        read = nn.functional.dropout(read, self.which.dropout, self.training)
        said: Tensor = self.readout(read)
        return said


def turned(x: Tensor, angle: float) -> Tensor:
    """Each window as a watch that sits a little rotated would have seen it.

    Acceleration (channels 0 to 2) and angular velocity (3 to 5) are turned alike, by a rotation
    drawn for each window: exp(A), A antisymmetric with normal entries of this deviation (rad).
    """
    a, b, c = angle * torch.randn(3, len(x), dtype=x.dtype)
    zero = torch.zeros_like(a)
    rows = [zero, -c, b, c, zero, -a, -b, a, zero]
    rotation = torch.matrix_exp(torch.stack(rows, dim=1).reshape(-1, 3, 3))
    return torch.cat([x[..., :3] @ rotation, x[..., 3:] @ rotation], dim=2)


def run(
    kind: str,
    seed: int,
    data: WatchData,
    which: Setting = Setting(),  # noqa: B008 (frozen)
    *,
    folder: str | Path | None = None,
) -> dict[str, Any]:
    """Train one model; its record, see `classification.learn`."""
    parts = []
    tested = folds(windows(data, WINDOW)[2])[seed % FOLDS]
    for stride in (which.stride, WINDOW):
        x, exercise, subject = windows(data, stride)
        chosen = np.isin(subject, tested, invert=stride == which.stride)
        parts.append(Data(torch.from_numpy(x[chosen]).float(), torch.from_numpy(exercise[chosen])))
    train, test = parts
    deviation, mean = torch.std_mean(train.inputs, dim=(0, 1))
    training = Training(
        epochs=which.epochs, batch_size=which.batch_size, learning_rate=which.learning_rate,
        seed=seed, checkpoint_every=1,
    )  # fmt: skip
    describe = {"model": kind, "tested": tested, **asdict(which)}
    exercises = len(data.exercises)
    record, _ = learn(
        lambda: Watcher(kind, which, mean, deviation, exercises),
        Parts(train, test, test),
        training,
        describe,
        folder,
    )
    return record


def statistics(x: Array) -> Array:
    """Mean, standard deviation, least, most and mean absolute change of each channel, (N, 30)."""
    parts = [
        x.mean(axis=1), x.std(axis=1), x.min(axis=1), x.max(axis=1),
        np.abs(np.diff(x, axis=1)).mean(axis=1),
    ]  # fmt: skip
    found: Array = np.concatenate(parts, axis=1)
    return found


def baseline(data: WatchData, seed: int) -> float:
    """Test accuracy of logistic regression on the statistics of the windows."""
    x, exercise, subject = windows(data, WINDOW)
    test = np.isin(subject, folds(subject)[seed % FOLDS])
    numbers = statistics(x)
    numbers = (numbers - numbers[~test].mean(axis=0)) / numbers[~test].std(axis=0)
    say = logistic(torch.from_numpy(numbers[~test]), torch.from_numpy(exercise[~test]))
    return float(accuracy(say(torch.from_numpy(numbers[test])), torch.from_numpy(exercise[test])))


def table(path: str | Path = RESULTS / "actions-watch.json") -> dict[str, Any]:
    """The stored table. Raises FileNotFoundError where it has not been made."""
    return files.read(path)


def figure_5(job: Job) -> Drawn:
    """Figure 5: accuracy over the epochs, on the watch and on moving shapes."""

    sheet, axes = canvas(1, 2, width=9.0, height=3.8)
    watch, shapes = table(), clips.table()
    left, right = axes[0]
    name = "held accuracy"
    numbers = {
        "watch": curves(left, watch["runs"], name, {model: model for model in PUBLISHED}),
        "moving shapes": curves(right, shapes["runs"], name, clips.LOOKS),
    }
    left.axhline(
        np.mean(watch["baseline"]), color="0.3", linewidth=1, linestyle=(0, (1, 1)),
        label="logistic regression\non statistics (test)",
    )  # fmt: skip
    numbers["watch"]["baseline, test"] = watch["baseline"]
    left.set_title(
        "7 exercises with a smartwatch,\nin place of UCF11; mean and range of 5 pairs of people",
        fontsize=10,
    )
    right.set_title(
        "12 orders of two motions of a shape, new clips;\nmean and range of 5 seeds", fontsize=10
    )
    left.set_ylabel("accuracy on the people tested")
    right.set_ylabel("validation accuracy")
    for panel in (left, right):
        panel.set_ylim(0, 1.03)
        panel.legend(frameon=False, loc="lower right", fontsize=8)
    return sheet, {"data": [watch["data"], shapes["data"]], **numbers}


def main(given: Sequence[str] | None = None) -> None:
    """Train all models and seeds, and write the table; what is finished is not repeated."""
    parser = argparse.ArgumentParser(description="Exercises by a smartwatch, E4 of the paper.")
    parser.add_argument("--models", default=",".join(PUBLISHED), help="separated by commas")
    parser.add_argument("--seeds", type=int, default=FOLDS)
    parser.add_argument("--runs", default="runs/actions", help="folder of checkpoints")
    parser.add_argument("--out", default=str(RESULTS / "actions-watch.json"), help="the table")
    options = parser.parse_args(given)
    torch.set_num_threads(1)
    data = load_watch()
    runs = []
    for seed in range(options.seeds):
        for kind in options.models.split(","):
            folder = Path(options.runs) / f"{kind}-{seed}"
            runs.append(run(kind, seed, data, folder=folder))
            print({k: v for k, v in runs[-1].items() if k not in ("epochs", "curves", "versions")})
    known = [baseline(data, seed) for seed in range(options.seeds)]
    head = {
        "experiment": "E4",
        "data": "smartwatch exercises, in place of UCF11, tested on people not trained on",
        "setting": asdict(Setting()),
        "versions": runs[0]["versions"],
        "baseline": known,
        "test": summary(runs),
    }
    write(options.out, head, [{k: v for k, v in r.items() if k != "versions"} for r in runs])
    for kind, row in summary(runs).items():
        print(f"{kind:20} {row['mean']:.4f} +- {row['sd']:.4f}")
    print(f"statistics           {np.mean(known):.4f} +- {np.std(known, ddof=1):.4f}")


if __name__ == "__main__":
    main()
