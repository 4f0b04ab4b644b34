"""The compiled epochs against torch's, and a run of theirs taken up in the middle."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from neuroflip.rate.threads import compiled
from neuroflip.sims.paper import compiled as epochs
from neuroflip.sims.paper.baseline_loops import tanh
from neuroflip.sims.paper.experiments import Setting, data, run
from neuroflip.sims.paper.harness import Data, Training, train
from neuroflip.sims.paper.models import PUBLISHED, Drawing


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Arrays this small gain nothing from threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def build(kind: str, which: Setting, bias: str = "single") -> Drawing:
    return Drawing(kind, len(which.counts), which.hidden, which.steps, init="published", bias=bias)


@compiled
def _tanh_all(z: np.ndarray, out: np.ndarray) -> None:
    for i in range(z.size):
        out[i] = tanh(z[i])


def test_tanh_has_all_digits_of_float32() -> None:
    """Also of small numbers, where 2 sigmoid(2z) - 1 has none, and beyond where it is 1."""
    small = np.geomspace(1e-30, 100, 20001)
    z = np.concatenate([-small, [0.0], small]).astype(np.float32)
    out = np.empty_like(z)
    _tanh_all(z, out)
    exact = np.tanh(z.astype(np.float64))
    assert np.abs(out - exact).max() < 1.5e-7
    assert (np.abs(out - exact) <= 3e-7 * np.abs(exact)).all()
    odd = np.array([np.inf, -np.inf, np.nan], np.float32)
    _tanh_all(odd, out[:3])
    assert out[:2].tolist() == [1.0, -1.0] and np.isnan(out[2])


SETTINGS = {
    "two classes": (Setting("", (8, 8), 12, hidden=16), {}),
    # 5 samples left over; classes missing from some batches
    "five classes, unequal": (Setting("", (7, 1, 9, 3, 5), 9, hidden=20), {"batch_size": 10}),
    "clipped": (Setting("", (10, 4), 7, hidden=8), {"clip_norm": 1e-3}),
    "not clipped": (Setting("", (6, 6, 6), 5, hidden=4), {"clip_norm": None}),
    "one step": (Setting("", (3, 3), 1, hidden=8), {"batch_size": 1}),
}


@pytest.mark.parametrize("case", SETTINGS)
@pytest.mark.parametrize("kind", [*PUBLISHED, "FlipFlop, double"])
def test_weights_optimizer_and_losses_are_torchs(kind: str, case: str, tmp_path: Path) -> None:
    which, given = SETTINGS[case]
    kind, _, bias = kind.partition(", ")
    trained, held = data(which, 1)
    training = Training(epochs=3, learning_rate=0.01, seed=1, checkpoint_every=1, **given)
    runs, states = [], []
    for quick in (True, False):
        known = epochs.shortcut(kind, which.hidden, trained, held, training) if quick else None
        assert quick == (known is not None)
        folder = tmp_path / str(quick)
        runs.append(
            train(
                lambda: build(kind, which, bias or "single"),
                trained, held, training, shortcut=known, folder=folder,
            )
        )  # fmt: skip
        state = torch.load(folder / "checkpoint.pt", weights_only=True)
        states.append(state["optimizer"]["state"])
    mine, torchs = runs
    for name in ("train", "held"):
        assert mine.curves[name] == pytest.approx(torchs.curves[name], rel=2e-5)
    for (name, a), b in zip(
        mine.model.state_dict().items(), torchs.model.state_dict().values(), strict=True
    ):
        assert torch.allclose(a, b, rtol=1e-4, atol=2e-6), name
    assert states[0].keys() == states[1].keys()
    for number, state in states[1].items():
        assert state.keys() == states[0][number].keys()
        for name, value in state.items():
            found = states[0][number][name]
            assert found.shape == value.shape and found.dtype == value.dtype
            scale = float(value.abs().max())
            assert torch.allclose(found, value, rtol=1e-3, atol=1e-4 * scale), name
    torch.manual_seed(1)
    start = build(kind, which, bias or "single")
    moved = max(
        float((a - b).detach().abs().max())
        for a, b in zip(start.parameters(), mine.model.parameters(), strict=True)
    )
    assert moved > 0.01  # the agreement is of nets that have learned


def test_clipping_is_of_the_whole_gradient() -> None:
    """After one update Adam's mean is a tenth of the clipped gradient."""
    which = Setting("", (4, 4), 6, hidden=8)
    trained, held = data(which, 0)
    for clip in (1e-3, 1e3):
        training = Training(batch_size=8, clip_norm=clip)
        torch.manual_seed(0)
        model = build("LSTM", which)
        loss = (model(trained.inputs) - trained.targets).square().mean()
        gradient = torch.autograd.grad(loss, list(model.parameters()))
        norm = float(torch.cat([g.flatten() for g in gradient]).norm())
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.0, fused=True)
        quick = epochs.shortcut("LSTM", 8, trained, held, training)
        assert quick is not None
        assert quick.learn(model, optimizer, torch.arange(8)) == pytest.approx(loss.item())
        means = torch.cat([optimizer.state[p]["exp_avg"].flatten() for p in model.parameters()])
        assert 10 * float(means.norm()) == pytest.approx(min(norm, clip), rel=1e-4)


@pytest.mark.parametrize("kind", PUBLISHED)
def test_a_run_taken_up_in_the_middle_ends_bit_identical(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed in the fifth epoch; the last checkpoint is of the fourth."""
    which = Setting("", (9, 5), 8, hidden=8)
    trained, held = data(which, 2)
    training = Training(
        epochs=7,
        batch_size=4,
        learning_rate=0.01,
        checkpoint_every=2,
        snapshot_every=3,
        keep="best",
    )
    learn, calls = epochs.Compiled.learn, []

    def dies(*given: object) -> float:
        calls.append(given)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return learn(*given)

    def once(folder: Path) -> object:
        known = epochs.shortcut(kind, 8, trained, held, training)
        return train(
            lambda: build(kind, which), trained, held, training, shortcut=known, folder=folder
        )

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(epochs.Compiled, "learn", dies)
        once(tmp_path / "killed")
    resumed, whole = once(tmp_path / "killed"), once(tmp_path / "whole")
    assert resumed.curves == whole.curves and len(whole.curves["held"]) == 7
    assert list(resumed.snapshots) == [0, 3, 6]
    for one, other in (
        (resumed.model.state_dict(), whole.model.state_dict()),
        (resumed.snapshots[6], whole.snapshots[6]),
    ):
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_what_the_loops_do_not_know_is_left_to_torch() -> None:
    trained, held = data(Setting("", (4, 4), 6), 0)
    usual = Training()
    assert epochs.shortcut("GRU", 8, trained, held, usual) is not None
    assert epochs.shortcut("FlipFlop none", 8, trained, held, usual) is None
    assert epochs.shortcut("GRU", 6, trained, held, usual) is None
    assert epochs.shortcut("GRU", 8, trained, held, Training(weight_decay=0.1)) is None
    assert epochs.shortcut("GRU", 8, trained, held, Training(device="cuda")) is None
    double = Data(trained.inputs, trained.targets.double())
    assert epochs.shortcut("GRU", 8, double, held, usual) is None
    assert len(run("working_mem/exp_7", "FlipFlop diagonal", epochs=1).curves["held"]) == 1


def test_a_diverging_run_says_so() -> None:
    which = Setting("", (4, 4), 6, hidden=8)
    trained, held = data(which, 0)
    wrong = Data(trained.inputs, trained.targets / 0)
    training = Training(epochs=2)
    known = epochs.shortcut("RNN", 8, wrong, held, training)
    with pytest.raises(FloatingPointError, match="the training loss became .* in epoch 1"):
        train(lambda: build("RNN", which), wrong, held, training, shortcut=known)


def test_metrics_are_refused_with_a_shortcut() -> None:
    which = Setting("", (4, 4), 6, hidden=8)
    trained, held = data(which, 0)
    known = epochs.shortcut("RNN", 8, trained, held, Training())
    with pytest.raises(ValueError, match="knows neither metrics nor after_update"):
        train(
            lambda: build("RNN", which), trained, held, Training(), shortcut=known,
            metrics={"again": nn.functional.mse_loss},
        )  # fmt: skip
