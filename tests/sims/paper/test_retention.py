"""Recall among distractors, and the timing table."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from neuroflip.sims.paper import retention as module
from neuroflip.sims.paper.retention import MODELS, STEPS, Telling, main, retention, trials
from neuroflip.sims.paper.timing import timing


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Arrays this small gain nothing from threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_trials_are_of_the_task_samples_first() -> None:
    data = trials(40, 10, 2.0, seed=1)
    assert data.inputs.shape == (40, STEPS, 3)
    assert torch.equal(data.inputs[:, 0, 1] > 0, data.targets > 0)
    assert ((data.inputs[:, 1:, 1].abs() == 2).sum(dim=1) == 10).all()
    assert not torch.equal(trials(40, 10, 2.0, seed=2).targets, data.targets)


def test_gates_that_hold() -> None:
    """Forget gates 1 - 1/tau, tau from 1 to STEPS; the LSTM's input gates 1/tau."""
    torch.manual_seed(0)
    lstm, gru = Telling("LSTM, chrono").layer, Telling("GRU, chrono").layer
    i, f, g, o = torch.sigmoid(lstm.bias_ih_l0 + lstm.bias_hh_l0).chunk(4)
    assert torch.allclose(i + f, torch.ones(32), atol=1e-6)
    assert (f >= 0.5).all() and (1 / i <= STEPS).all() and 1 / i.mean() < STEPS / 2
    assert (g == 0.5).all() and (o == 0.5).all()
    r, z, n = torch.sigmoid(gru.bias_ih_l0 + gru.bias_hh_l0).chunk(3)
    assert (z >= 0.5).all() and z.max() > 0.95 and (r == 0.5).all() and (n == 0.5).all()
    plain = Telling("LSTM").layer
    assert (plain.bias_ih_l0 != 0).all()


def test_flip_flops_recall_where_torchs_lstm_does_not_yet() -> None:
    """After five epochs: far from chance, on new trials; standard errors are 0.016."""
    flip_flop, lstm = (retention(model, 1, epochs=5) for model in ("FlipFlop", "LSTM"))
    at = list(module.STRENGTHS).index(1.0)
    assert flip_flop["strength"][at] > 0.9 and abs(lstm["strength"][at] - 0.5) < 0.08
    assert flip_flop["strength"][at] == pytest.approx(flip_flop["count"][2], abs=1e-9)
    assert len(flip_flop["losses"]) == 5


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch) -> None:
    monkeypatch.setattr(module, "retention", lambda model, seed, epochs: dict(
        model=model, seed=seed, strength=[0.5] * 6, count=[1.0] * 6, epochs=epochs
    ))  # fmt: skip
    main(["--seeds", "2", "--epochs", "3", "--out", str(tmp_path)])
    stored = json.loads((tmp_path / "retention.json").read_text())
    assert [r["model"] for r in stored["runs"]] == [*MODELS, *MODELS] and stored["epochs"] == 3
    assert "0.500 0.500" in capsys.readouterr().out
    monkeypatch.setattr(module, "retention", None)  # nothing is run again
    main(["--seeds", "2", "--epochs", "3", "--out", str(tmp_path)])
    assert json.loads((tmp_path / "retention.json").read_text()) == stored
    with pytest.raises(SystemExit):
        main(["--seeds", "2", "--epochs", "4", "--out", str(tmp_path)])
    assert "is of 3 epochs; choose another --out" in capsys.readouterr().err


def test_unknown_model() -> None:
    with pytest.raises(ValueError, match="unknown model 'LSTN'; did you mean 'LSTM'"):
        retention("LSTN")


def test_timing_beside_the_authors() -> None:
    found = timing("mem_retention/exp_1", rounds=3, updates=2)
    assert found["authors"] == pytest.approx(362.56 / 11.35)
    assert set(found["epoch"]) == {"FlipFlop", "RNN", "LSTM", "GRU"}
    assert found["FlipFlop/LSTM"] < found["authors"] / 10  # it is 50 times less
