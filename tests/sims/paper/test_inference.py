"""Nets beside the exact filter of a hidden chain."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from neuroflip.sims.paper import inference
from neuroflip.sims.paper.harness import Result
from neuroflip.tasks import filtered


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Arrays this small gain nothing from threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Known(torch.nn.Module):
    """Says what one of the observers says."""

    def __init__(self, which: int) -> None:
        super().__init__()
        self.which = which

    def forward(self, seen: torch.Tensor) -> torch.Tensor:
        return filtered(seen[..., 0].t())[self.which].t()[..., None]


@pytest.mark.parametrize(("which", "gain"), [(0, 1.0), (1, 0.0)])
def test_observers_in_place_of_a_net(
    which: int, gain: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = Result({}, 0, {}, [], {}, model=Known(which))
    monkeypatch.setattr(inference, "train", lambda *_, **__: result)
    found = inference.infer(seed=4, count=500)
    assert found["gain"] == pytest.approx(gain, abs=1e-9)
    new = inference.chains(500, 14)
    odds, alone = (each.t().numpy() for each in filtered(new.inputs[..., 0].t()))
    p, q = 1 / (1 + np.exp(-odds)), 1 / (1 + np.exp(-alone))
    states = new.targets[..., 0].numpy()
    entropy = -np.mean(np.log(np.where(states == 1, p, 1 - p)))
    assert found["exact"] == pytest.approx(entropy, rel=1e-3)
    apart = 0.0 if which == 0 else float(np.sqrt(np.mean((p - q) ** 2)))
    assert found["apart"] == pytest.approx(apart, rel=1e-3, abs=1e-9)


def test_a_net_gains_from_what_it_saw_before() -> None:
    found = inference.infer("FlipFlop", seed=1, epochs=5)
    assert 0.5 < found["gain"] < 1 and found["exact"] < found["loss"] < found["without memory"]


def test_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    def brief(model: str, seed: int) -> dict:
        return {"model": model, "seed": seed, "gain": 0.9, "apart": 0.1}

    monkeypatch.setattr(inference, "infer", brief)
    inference.main(["--seeds", "2", "--models", "GRU,LSTM", "--out", str(tmp_path / "out")])
    runs = json.loads((tmp_path / "out" / "inference.json").read_text())["runs"]
    assert [(run["seed"], run["model"]) for run in runs] == [
        (42, "GRU"), (42, "LSTM"), (0, "GRU"), (0, "LSTM")
    ]  # fmt: skip
    assert "gain 0.9" in capsys.readouterr().out
