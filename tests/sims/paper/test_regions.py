"""Where shapes are, what a window covers, and what is found of nets that are known by hand."""

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from neuroflip import files
from neuroflip.sims.paper import regions
from neuroflip.sims.paper.clips import CLASSES, LAYERS, WAYS, Setting, Viewer, moving_shapes
from neuroflip.sims.paper.experiments import RESULTS
from neuroflip.sims.paper.harness import Data

CLEAN = replace(Setting(), noise=0.0)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Arrays this small gain nothing from threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def drawn(count: int, which: Setting = CLEAN, seed: int = 0) -> Data:
    return moving_shapes(count, which, torch.Generator().manual_seed(seed))


def test_centres_move_as_the_class_says_and_hold_the_ink() -> None:
    data = drawn(60)
    places = regions.centres(data.inputs)
    for clip, place, label in zip(data.inputs[:, :, 0], places, data.targets.tolist(), strict=True):
        for n, (now, then) in enumerate(zip(place[:-1], place[1:], strict=True)):
            way = WAYS[CLASSES[label][0 if n < 4 else 1]]
            assert ((now + torch.tensor(way)) % 10).tolist() == then.tolist()
        for frame, (row, column) in zip(clip, place.tolist(), strict=True):
            middle = torch.roll(frame, (5 - row, 5 - column), dims=(0, 1))
            assert float(middle[4:7, 4:7].sum()) == float(frame.sum()) > 0


def test_a_window_goes_round_the_edge() -> None:
    place = torch.tensor([9, 4])
    found = regions.window(place, (1, 2), 10).nonzero().tolist()
    assert found == sorted([row % 10, column] for row in range(-2, 3) for column in range(4, 9))
    away = regions.distance(place, 10)
    for row in range(10):
        for column in range(10):
            assert away[row, column] == max(min(9 - row, row + 1), abs(column - 4))
    places = regions.centres(drawn(5).inputs)
    ink = drawn(5).inputs[:, :, 0]
    for offset in regions.offsets(10):
        touched = bool((ink * regions.window(places, offset, 10)).any())
        apart = int(regions.distance(torch.zeros(2, dtype=torch.long), 10)[offset])
        assert touched == (apart < regions.APART)


@pytest.mark.parametrize("kind", LAYERS)
def test_states_frame_by_frame_are_those_of_the_layer(kind: str) -> None:
    torch.manual_seed(0)
    model, data = Viewer(kind, CLEAN, 1, 12), drawn(4)
    found = regions.states(model, data.inputs)
    torch.testing.assert_close(
        torch.stack([parts[0] for parts in found], dim=1), model.layer(data.inputs)[0]
    )
    told = model(data.inputs).argmax(dim=1)
    assert regions.seen(model, found[-1], told) == 1


def test_a_state_that_is_blanked_is_that_of_an_empty_clip() -> None:
    torch.manual_seed(0)
    model, data = Viewer("ConvLSTM2d", CLEAN, 1, 12), drawn(4)
    with torch.no_grad():
        empty = regions.without_shape(model, CLEAN, torch.Generator())
        all_ = torch.ones(4, 8, 10, 10, dtype=torch.bool)
        last = regions.states(model, data.inputs, all_, empty)[-1]
        nothing = regions.states(model, torch.zeros_like(data.inputs))[-1]
        none = regions.states(model, data.inputs, ~all_, empty)[-1]
        plain = regions.states(model, data.inputs)[-1]
    for one, other in zip(last + none, nothing + plain, strict=True):
        torch.testing.assert_close(one, other)


def remembers() -> Viewer:
    """One channel that is set for good where there is ink; class 1 where any pixel is."""
    model = Viewer("ConvFlipFlop2d", replace(CLEAN, hidden=1), 1, 2)
    with torch.no_grad():
        for p in model.parameters():
            p.zero_()
        model.layer.weight_ih[0, 0, 1, 1] = 40.0  # of J; K stays closed
        model.layer.bias.copy_(torch.tensor([-20.0, -20.0]))
        model.readout.weight.copy_(torch.tensor([[0.0], [20.0]]))
        model.readout.bias.copy_(torch.tensor([10.0, 0.0]))
    return model


def test_a_net_that_keeps_all_ink() -> None:
    data = drawn(30)
    places = regions.centres(data.inputs)
    found = regions.look(
        remembers(), Data(data.inputs, torch.ones(30, dtype=torch.long)), places, CLEAN,
        torch.Generator().manual_seed(0),
    )  # fmt: skip
    assert found["whole"] == 1
    apart = regions.distance(torch.zeros(2, dtype=torch.long), 10).flatten().tolist()
    for drop, away in zip(found["clip"], apart, strict=True):
        # All ink is hidden only where the window covers the shape, to 1 pixel away at least
        assert away in (2, 3) or drop == (1 if away <= 1 else 0)
    assert found["state"][0] == 1  # what is set is blanked at once
    assert found["frame"] == [0.0] * 8  # other frames are enough
    assert found["trail"][-1] < 1e-6  # where there never was any ink
    # A shape's pixels are full in 9, 5, 5 or 8 of 9
    assert 0.5 < found["trail"][0] < 1 and 0.5 < found["trail"][7] < 1
    assert 0.5 < found["near"] < 1 and found["far"] < 0.5


def test_the_command_writes_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = replace(Setting(), clips=64, epochs=1, hidden=3)
    monkeypatch.setattr(regions, "Setting", lambda: few)
    monkeypatch.setattr(regions, "TESTED", 8)
    regions.main(["--seeds", "1", "--runs", str(tmp_path / "runs"), "--out", str(tmp_path)])
    table = json.loads((tmp_path / "regions.json").read_text())
    assert [run["model"] for run in table["runs"]] == list(LAYERS)
    for run in table["runs"]:
        assert len(run["clip"]) == len(run["state"]) == 100 and len(run["frame"]) == 8
        assert np.isfinite(run["trail"]).all() and len(run["first"]) == 3


def test_the_stored_table_is_whole() -> None:
    table = files.read(RESULTS / "sound" / "regions.json")
    assert table["setting"] == asdict(Setting())
    for kind in LAYERS:
        runs = [run for run in table["runs"] if run["model"] == kind]
        assert [run["seed"] for run in runs] == [0, 1, 2, 3, 4]
        # To look into a net that does not do its task would tell nothing
        assert all(run["test"] > 0.95 for run in runs)
