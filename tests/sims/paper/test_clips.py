"""Moving shapes: that they move as their class says, and that the order of frames decides."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from neuroflip.sims.paper import actions, clips
from neuroflip.sims.paper.clips import CLASSES, LAYERS, WAYS, Setting, Viewer, moving_shapes
from neuroflip.sims.paper.models import count

CLEAN = replace(Setting(), noise=0.0)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_shapes_move_as_their_class_says() -> None:
    data = moving_shapes(60, CLEAN, generator())
    assert data.inputs.shape == (60, 8, 1, 10, 10)
    for clip, label in zip(data.inputs[:, :, 0], data.targets.tolist(), strict=True):
        first, then = (WAYS[way] for way in CLASSES[label])
        for number, (frame, following) in enumerate(zip(clip[:-1], clip[1:], strict=True)):
            way = first if number < 4 else then  # 7 moves: 4 one way, 3 the other
            torch.testing.assert_close(torch.roll(frame, way, dims=(0, 1)), following)


def test_shapes_and_places_tell_nothing_of_the_class() -> None:
    data = moving_shapes(6000, CLEAN, generator())
    start = data.inputs[:, 0, 0].flatten(1)
    share = torch.stack([start[data.targets == k].mean(dim=0) for k in range(12)])
    ink = share.sum(dim=1)  # 9, 5, 5 or 8 pixels
    np.testing.assert_allclose(ink, 6.75, atol=0.3)
    np.testing.assert_allclose(share, 6.75 / 10**2, atol=0.06)
    assert torch.bincount(data.targets).min() > 400


def test_noise() -> None:
    noisy = moving_shapes(200, Setting(), generator()).inputs
    clean = moving_shapes(200, CLEAN, generator()).inputs
    assert float((noisy - clean).std()) == pytest.approx(0.1, rel=0.02)


def test_shuffled_clips_have_the_same_frames() -> None:
    data = moving_shapes(20, Setting(), generator())
    other = clips.shuffled(data, generator(1))
    assert not torch.equal(data.inputs, other.inputs)
    torch.testing.assert_close(
        data.inputs.flatten(2).sum(dim=2).sort(dim=1).values,
        other.inputs.flatten(2).sum(dim=2).sort(dim=1).values,
    )
    assert torch.equal(data.targets, other.targets)


def test_reversed_clips_are_clips_of_the_class_they_get() -> None:
    data = clips.reversed_(moving_shapes(40, replace(CLEAN, frames=9), generator()))
    for clip, label in zip(data.inputs[:, :, 0], data.targets.tolist(), strict=True):
        first, then = (WAYS[way] for way in CLASSES[label])
        for number, (frame, following) in enumerate(zip(clip[:-1], clip[1:], strict=True)):
            way = first if number < 4 else then
            torch.testing.assert_close(torch.roll(frame, way, dims=(0, 1)), following)


@pytest.mark.parametrize(("kind", "gates"), [("ConvFlipFlop2d", 2), ("ConvLSTM2d", 4)])
def test_sizes(kind: str, gates: int) -> None:
    net = Viewer(kind, Setting(), 1, 12)
    assert count(net) == gates * 12 * (9 * (1 + 12) + 1) + 13 * 12
    frames = torch.randint(0, 256, (2, 3, 3, 8, 8), dtype=torch.uint8)
    colour = Viewer(kind, Setting(), 3, 11)
    torch.testing.assert_close(colour(frames), colour(frames.float() / 255))


@pytest.mark.parametrize("kind", LAYERS)
def test_order_is_learnt_and_decides(kind: str) -> None:
    """Little training on small clips without noise is well above what shuffled clips allow."""
    which = replace(
        CLEAN, clips=640, frames=6, side=8, hidden=10, epochs=14, learning_rate=0.02, batch_size=32
    )
    record = clips.run(kind, 0, which)
    assert record["test"] > record["shuffled"] + 0.2 and record["test"] > 0.5


def test_the_clips_of_ucf11_are_read(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    rng = np.random.default_rng(0)
    for action in ("biking", "diving"):
        for group in range(1, 6):
            path = tmp_path / action / f"v_{action}_{group:02}" / f"v_{action}_{group:02}_01.mpg"
            path.parent.mkdir(parents=True)
            with av.open(str(path), "w") as container:
                stream = container.add_stream("mpeg1video", rate=25)
                stream.height, stream.width, stream.pix_fmt = 32, 48, "yuv420p"
                for _ in range(4):
                    image = rng.integers(0, 256, (32, 48, 3), dtype=np.uint8)
                    container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
                container.mux(stream.encode())
    which = replace(Setting(), hidden=2, epochs=1)
    record = clips.run_ucf11("ConvFlipFlop2d", 0, tmp_path, which)
    assert record["test"] in (0.0, 0.5, 1.0)  # group 5 is tested: a clip of each action
    assert record["parameters"] == 2 * 2 * (9 * (3 + 2) + 1) + 3 * 2


def test_the_stored_table_is_whole() -> None:
    table = clips.table()
    assert table["setting"] == clips.asdict(Setting())
    for kind in LAYERS:
        runs = [run for run in table["runs"] if run["model"] == kind]
        assert [run["seed"] for run in runs] == [0, 1, 2, 3, 4]
        # the point of these clips: shuffling costs most of the accuracy
        assert all(run["shuffled"] < run["test"] - 0.3 for run in runs)


def test_figure_5(tmp_path: Path) -> None:
    from neuroflip.sims.paper.drawing import Job

    figure, numbers = actions.figure_5(Job(quick=True, out=tmp_path))
    figure.savefig(tmp_path / "figure.png")
    assert len(numbers["moving shapes"]["ConvLSTM2d"]["seeds"]) == 5
