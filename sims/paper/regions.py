"""Inside nets for clips (W2): maps of states, and what is lost when a region is blanked.

    python -m neuroflip.sims.paper.regions

trains the nets of `clips` on moving shapes (those in the folder --runs are not trained again) and
writes sound/regions.json. A window of 5 x 5 pixels goes with the shape, at a given offset from it,
in every frame: in the clip it shows background, or in the maps of states, after every frame, what
an empty clip would have left there. Of 100 offsets, going round the edge, those of 4 pixels or more
do not touch the shape. What is asked of `ConvFlipFlop2d`, before any number was seen; an answer is
yes

- *in the clip*: if the drop in accuracy with the window on the shape is above the mean of the drops
  with windows that do not touch it, significantly over seeds, and this mean is at most a tenth of
  it; and if in every seed the largest of the 100 drops is within 1 pixel of the shape;
- *in the state*: the same of windows in the maps of states, within 2 pixels;
- *maps*: if in every seed states differ from those of an empty clip at least twice as much at the
  pixels of the shape (3 x 3) as 4 pixels away or more, in the mean over frames;
- *order*: if in every seed shuffled frames cost more than half of the accuracy above chance.
"""

import argparse
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from neuroflip.sims.paper.classification import RESULTS, accuracy, score
from neuroflip.sims.paper.clips import (
    CLASSES,
    LAYERS,
    Setting,
    Viewer,
    learn_clips,
    moving_parts,
    shuffled,
)
from neuroflip.sims.paper.harness import Data
from neuroflip.sims.paper.tables import Told, grow, rounded
from neuroflip.simulation import versions

WINDOW = 5
"""Side of the window, in pixels."""
APART = 4
"""Pixels from the centre of the shape from which the window does not touch it."""
SHAPE = 1
"""Pixels from the centre of the shape that are its own."""
TESTED = 200
"""Clips with which regions are blanked."""
EMPTY = 200
"""Clips without a shape."""


def centres(clean: Tensor) -> Tensor:
    """Where the shape is in clips without noise (N, T, 1, side, side): row and column, (N, T, 2).

    Its centre of mass, going round the edge: all shapes are symmetric.
    """
    ink = clean[:, :, 0].double()
    side = ink.shape[-1]
    turn = torch.exp(2j * torch.pi * torch.arange(side) / side)
    found = [
        (torch.angle((ink.sum(dim=other) * turn).sum(dim=-1)) * side / (2 * torch.pi)).round()
        for other in (3, 2)
    ]
    return torch.stack(found, dim=-1).long() % side


def distance(places: Tensor, side: int) -> Tensor:
    """Of every pixel from places (..., 2), going round the edge, the larger of that in rows and
    in columns: (..., side, side)."""
    away = (torch.arange(side) - places[..., None]).remainder(side)  # (..., 2, side)
    away = torch.minimum(away, side - away)
    return torch.maximum(away[..., 0, :, None], away[..., 1, None, :])


def window(places: Tensor, offset: tuple[int, int], side: int) -> Tensor:
    """The pixels of the window at an offset from places (..., 2): (..., side, side)."""
    return distance((places + torch.tensor(offset)) % side, side) <= WINDOW // 2


State = tuple[Tensor, ...]


def states(
    model: Viewer, clips: Tensor, blank: Tensor | None = None, empty: State = ()
) -> list[State]:
    """The states after each frame, each (N, channels, side, side): h, and of an LSTM also c.

    blank: pixels (N, T, side, side) at which the state then becomes `empty`, each part (T,
    channels, side, side), before the next frame comes.
    """
    found: list[State] = []
    state: Any = None
    for t in range(clips.shape[1]):
        state = model.layer(clips[:, t : t + 1], state)[1]
        parts = state if isinstance(state, tuple) else (state,)
        if blank is not None:
            parts = tuple(
                torch.where(blank[:, t, None], instead[t], part)
                for instead, part in zip(empty, parts, strict=True)
            )
            state = parts if isinstance(state, tuple) else parts[0]
        found.append(parts)
    return found


def seen(model: Viewer, last: State, targets: Tensor) -> float:
    """The accuracy with which the classes are read out of the last states."""
    return float(accuracy(model.readout(last[0].amax(dim=(2, 3))), targets))


def without_shape(model: Viewer, which: Setting, generator: torch.Generator) -> State:
    """The mean states after each frame of clips that are noise alone, see `states`."""
    shape = (EMPTY, which.frames, 1, which.side, which.side)
    found = states(model, which.noise * torch.randn(shape, generator=generator))
    return tuple(
        torch.stack([part.mean(dim=0) for part in over]) for over in zip(*found, strict=True)
    )


def offsets(side: int) -> list[tuple[int, int]]:
    """All there are, by rows; (0, 0) first."""
    return [(row, column) for row in range(side) for column in range(side)]


@torch.no_grad()
def look(
    model: Viewer, data: Data, places: Tensor, which: Setting, generator: torch.Generator
) -> dict[str, Any]:
    """All that is measured of a trained net on clips whose shapes are at places (N, T, 2).

    "whole", the accuracy; "clip", "state": the drop with the window at each of `offsets`; "frame":
    with the window on the shape in one frame of the clip alone; "near", "far": mean of
    |state - that of an empty clip| at pixels of the shape and `APART` away or more; "trail": the
    same after the last frame by how many frames ago the shape last was at the pixel, and at last
    where it never was; "first", "then": share of the variance of the largest value of each channel
    after the last frame that goes with the first and with the second way of the shape.
    """
    model.eval()
    clips, targets, side = data.inputs, data.targets, which.side
    background = which.noise * torch.randn(clips.shape, generator=generator)
    empty = without_shape(model, which, generator)
    plain = states(model, clips)
    whole = seen(model, plain[-1], targets)

    def blanked(pixels: Tensor) -> float:
        other = torch.where(pixels[:, :, None], background, clips)
        return whole - seen(model, states(model, other)[-1], targets)

    masks = [window(places, offset, side) for offset in offsets(side)]
    once = torch.eye(which.frames, dtype=torch.bool)[:, None, :, None, None]
    found: dict[str, Any] = {
        "whole": whole,
        "clip": [blanked(pixels) for pixels in masks],
        "state": [
            whole - seen(model, states(model, clips, pixels, empty)[-1], targets)
            for pixels in masks
        ],
        "frame": [blanked(masks[0] & now) for now in once],
    }
    away = distance(places, side)  # (N, T, side, side)
    differ = torch.stack(
        [(h - quiet).abs().mean(dim=1) for (h, *_), quiet in zip(plain, empty[0], strict=True)], 1
    )
    found["near"] = float(differ[away <= SHAPE].mean())
    found["far"] = float(differ[away >= APART].mean())
    ago = (away <= SHAPE).flip(1)
    since = torch.where(ago.any(dim=1), ago.int().argmax(dim=1), which.frames)
    last = differ[:, -1]
    found["trail"] = [float(last[since == n].mean()) for n in range(which.frames + 1)]
    largest, ways = plain[-1][0].amax(dim=(2, 3)), torch.tensor(CLASSES)[targets]
    for n, name in enumerate(("first", "then")):
        found[name] = explained(largest, ways[:, n]).tolist()
    return found


def explained(values: Tensor, groups: Tensor) -> Tensor:
    """The share of the variance of each column of values (N, M) that is between groups (N,).

    >>> explained(torch.tensor([[1.0, 0.0], [1.0, 2.0], [3.0, 0.0], [3.0, 2.0]]),
    ...           torch.tensor([0, 0, 1, 1])).tolist()
    [1.0, 0.0]
    """
    placed = values.clone()
    for group in set(groups.tolist()):
        placed[groups == group] = values[groups == group].mean(dim=0)
    whole = values.var(dim=0, unbiased=False)
    return placed.var(dim=0, unbiased=False) / whole.clamp(min=1e-12)


def run(
    kind: str,
    seed: int,
    which: Setting = Setting(),  # noqa: B008
    folder: str | Path | None = None,
) -> dict[str, Any]:
    """Train one net, if it has not been, and look into it."""
    generator = torch.Generator().manual_seed(seed)
    parts = moving_parts(which, generator)
    record, model = learn_clips(kind, seed, which, parts, folder=folder)
    assert isinstance(model, Viewer)
    # The same clips, drawn again, without noise, tell where the shapes are
    clean = moving_parts(replace(which, noise=0.0), torch.Generator().manual_seed(seed)).test
    found = {"model": kind, "seed": seed, "test": record["test"]}
    found["shuffled"] = score(model, shuffled(parts.test, generator))
    some = slice(0, TESTED)
    found |= look(model, parts.test[some], centres(clean.inputs[some]), which, generator)
    kept: dict[str, Any] = rounded(found)
    return kept


def main(given: Sequence[str] | None = None) -> None:
    """Train what is not there, print a line a run, write OUT/regions.json."""
    parser = argparse.ArgumentParser(description="What is lost when a region is blanked.")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--models", default=",".join(LAYERS), help="separated by commas")
    parser.add_argument("--runs", default="runs/clips", help="folder of checkpoints")
    parser.add_argument("--out", default=str(RESULTS / "sound"), help="folder of regions.json")
    options = parser.parse_args(given)
    torch.set_num_threads(1)  # arrays this small gain nothing from more
    which = Setting()
    head = {
        "setting": asdict(which), "window": WINDOW, "apart": APART, "tested": TESTED,
        "versions": versions("torch"),
    }  # fmt: skip
    done = _each(options.seeds, options.models.split(","), which, options.runs)
    grow(Path(options.out) / "regions.json", head, done)


def _each(seeds: int, kinds: Sequence[str], which: Setting, runs: str) -> Iterator[Told]:
    """Every run, and what is printed of it."""
    for seed, kind in itertools.product(range(seeds), kinds):
        found = run(kind, seed, which, Path(runs) / f"{kind}-{seed}")
        yield (
            found,
            f"{kind:<16}{seed:<4}test {found['test']:<8.4g}on the shape: clip "
            f"{found['clip'][0]:<8.3g}state {found['state'][0]:<8.3g}near/far "
            f"{found['near'] / found['far']:.3g}",
        )


if __name__ == "__main__":
    main()
