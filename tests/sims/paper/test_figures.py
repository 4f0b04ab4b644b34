"""The figures: what is plotted against what the nets did; pictures and numbers are written."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from neuroflip import files
from neuroflip.sims.paper import experiments, inside_figures, loss_figures
from neuroflip.sims.paper.figures import draw
from neuroflip.sims.paper.inside_figures import inside, weights_over_epochs
from neuroflip.sims.paper.models import Drawing
from neuroflip.sims.paper.retention import MODELS


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Arrays this small gain nothing from threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


RECALLED = [
    {"model": model, "seed": 0, "strength": [0.5] * 6, "count": [0.9] * 6} for model in MODELS
]


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four epochs of training, and snapshots after every one."""
    whole = experiments.run

    def run(*given: Any, epochs: int | None = None, snapshot_every: int = 0, **more: Any) -> Any:
        return whole(*given, epochs=4, snapshot_every=min(1, snapshot_every), **more)

    monkeypatch.setattr(loss_figures, "run", run)
    monkeypatch.setattr(inside_figures, "run", run)
    monkeypatch.setattr(loss_figures, "_recall", lambda job: RECALLED)


def test_gates_and_states_are_the_flip_flops_at_every_step() -> None:
    torch.manual_seed(0)
    net = Drawing("FlipFlop", 2, 5, 9)
    found = inside(net)
    layer = net.layer
    w, u, b = (
        layer.get_parameter(f"{name}_l0").detach().double().numpy()
        for name in ("weight_ih", "weight_hh", "bias_ih")
    )
    for c in range(2):
        h = np.zeros(5)
        for t in range(9):
            z = w[:, c] + u @ h + b
            j, k = np.split(1 / (1 + np.exp(-z)), 2)
            h = j * (1 - h) + (1 - k) * h
            assert found["J"][c, t] == pytest.approx(j, abs=1e-6)
            assert found["K"][c, t] == pytest.approx(k, abs=1e-6)
            assert found["states"][c, t] == pytest.approx(h, abs=1e-6)
    with torch.no_grad():
        assert found["output"] == pytest.approx(net(torch.arange(2))[..., 0].numpy(), abs=1e-6)


def test_gates_of_the_lstm_are_those_that_give_its_states() -> None:
    torch.manual_seed(0)
    net = Drawing("LSTM", 2, 5, 9)
    found = inside(net)
    cell = nn.LSTMCell(2, 5)
    cell.load_state_dict({k.removesuffix("_l0"): v for k, v in net.layer.state_dict().items()})
    x = torch.eye(2)
    h, c = torch.zeros(2, 5), torch.zeros(2, 5)
    with torch.no_grad():
        for t in range(9):
            before = c
            z = x @ cell.weight_ih.t() + cell.bias_ih + h @ cell.weight_hh.t() + cell.bias_hh
            new = torch.tanh(z[:, 10:15])
            h, c = cell(x, (h, c))
            i, f, o = (torch.tensor(found[g][:, t]) for g in ("input", "forget", "output gate"))
            assert torch.allclose(f * before + i * new, c, atol=1e-6)
            assert torch.allclose(o * torch.tanh(c), h, atol=1e-6)
            assert np.allclose(found["states"][:, t], h, atol=1e-6)


def test_weights_over_epochs() -> None:
    result = experiments.run("working_mem/exp_7", "FlipFlop", epochs=4, snapshot_every=2)
    found = weights_over_epochs(result)
    assert found["epochs"].tolist() == [0, 2, 4]
    assert found["J"].shape == found["K"].shape == (3, 64, 66)
    last = torch.cat([result.model.layer.weight_ih_l0, result.model.layer.weight_hh_l0], dim=1)
    assert np.array_equal(found["J"][-1], last[:64].detach())
    steps = [
        np.sqrt(sum(((found[g][n + 1] - found[g][n]) ** 2).sum() for g in "JK")) for n in range(2)
    ]
    assert found["moved"] == pytest.approx(steps, rel=1e-5)
    assert found["early"] == pytest.approx(steps[0] / sum(steps), rel=1e-5)
    assert found["away"][0] == 0 and found["away"][2] <= sum(steps) * (1 + 1e-6)


@pytest.mark.parametrize("number", [1, 6])
def test_loss_figures(number: int, tmp_path: Path, brief: None) -> None:
    path = draw(number, quick=True, out=tmp_path)
    assert path.read_bytes()[:4] == b"\x89PNG" and path.stat().st_size > 10_000
    numbers = files.read(path.with_suffix(".json"))
    assert numbers["figure"] == number and numbers["quick"]
    for name, panel in numbers["experiments"].items():
        for model, plotted in panel["models"].items():
            assert plotted["held"].shape == (2, 4)
            again = experiments.run(name, model, plotted["seeds"][1], epochs=4)
            assert plotted["held"][1] == pytest.approx(again.curves["held"])
            assert (plotted["geometric_mean"] > panel["floor"]).all()
        break


def test_stored_tables_are_drawn_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [
        {"model": model, "seed": seed, "epochs": [1, 500], "curves": {"held": [0.3, 0.003 + seed]}}
        for model in ("FlipFlop", "RNN", "LSTM", "GRU")
        for seed in (0, 1)
    ]
    monkeypatch.setattr(loss_figures, "read", lambda name: {"runs": runs})
    monkeypatch.setattr(loss_figures, "run", None)
    numbers = files.read(draw(7, out=tmp_path).with_suffix(".json"))
    plotted = numbers["experiments"]["working_mem/exp_2"]["models"]["GRU"]
    assert plotted["held"].tolist() == [[0.3, 0.003], [0.3, 1.003]]
    assert plotted["geometric_mean"][1] == pytest.approx(np.sqrt(0.003 * 1.003))


def test_figures_from_the_inside(tmp_path: Path, brief: None) -> None:
    """They share trained nets; what is plotted in one agrees with what is in another."""
    for number in (10, 11, 13):
        path = draw(number, quick=True, out=tmp_path)
        assert path.read_bytes()[:4] == b"\x89PNG"
    stored = files.read(tmp_path / "fig13.json")["working memory"]["FlipFlop"]
    plotted = files.read(tmp_path / "fig11.json")["working memory"]["FlipFlop"]
    middle = stored["lags"].tolist().index(0)
    for c in range(4):
        expected = np.corrcoef(plotted["output"][c], plotted["target"][c])[0, 1]
        assert stored["correlation"][c, middle] == pytest.approx(expected, abs=1e-6)
    gates = files.read(tmp_path / "fig10.json")["memory retention"]
    last = gates["4"]
    assert last["J"]["gate"].shape == (100, 64) and abs(last["correlation"]) <= 1
    assert last["J"]["distribution"].sum() == pytest.approx(1)


@pytest.mark.slow
def test_film_of_the_weights_and_breadth_of_activity(tmp_path: Path, brief: None) -> None:
    for number in (9, 12):
        assert draw(number, quick=True, out=tmp_path).read_bytes()[:4] == b"\x89PNG"
    assert (tmp_path / "fig09.gif").read_bytes()[:4] == b"GIF8"
    moved = files.read(tmp_path / "fig09.json")["working memory"]["moved"]
    assert moved.shape == (4,) and (moved > 0).all()
    units = files.read(tmp_path / "fig12.json")["memory retention"]["LSTM"]["runs"]
    assert len(units) == 2 and all(1 <= u["of mean"] <= 64 for u in units)


def test_an_unknown_figure_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the figures are 1, 2, .*; got 99"):
        draw(99, out=tmp_path)
    assert not list(tmp_path.iterdir())
