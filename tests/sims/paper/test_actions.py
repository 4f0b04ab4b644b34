"""Exercises by a smartwatch: windows, people, rotations, and that motion is learnt."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from neuroflip.data import WatchData, load_watch
from neuroflip.sims.paper import actions
from neuroflip.sims.paper.actions import WINDOW, Setting, Watcher, folds, run, turned, windows
from neuroflip.sims.paper.models import PUBLISHED, count


def made(seed: int = 0) -> WatchData:
    """Ten people who do two exercises: turning about x and turning about y, at 1 Hz."""
    rng = np.random.default_rng(seed)
    signals, exercise, subject = [], [], []
    t = np.arange(4 * WINDOW) / 50
    for who in range(1, 11):
        for what in range(2):
            phase = rng.uniform(0, 2 * np.pi)
            signal = rng.normal(0, 0.3, (len(t), 6))
            signal[:, 3 + what] += 2 * np.sin(2 * np.pi * t + phase)
            signals.append(signal)
            exercise.append(what)
            subject.append(who)
    return WatchData(
        tuple(signals), np.array(exercise), ("about x", "about y"), np.array(subject),
        np.zeros(20, dtype=np.int64), ("ax", "ay", "az", "wx", "wy", "wz"),
    )  # fmt: skip


def test_windows() -> None:
    data = made()
    x, exercise, subject = windows(data, WINDOW)
    assert x.shape == (80, WINDOW, 6)
    np.testing.assert_array_equal(x[:4].reshape(-1, 6), data.signals[0])
    assert exercise[:8].tolist() == [0] * 4 + [1] * 4 and subject[:9].tolist() == [1] * 8 + [2]
    half, _, _ = windows(data, WINDOW // 2)
    assert len(half) == 20 * 7
    np.testing.assert_array_equal(half[1], data.signals[0][50:150])


def test_folds_share_no_group_and_are_about_equal() -> None:
    rng = np.random.default_rng(0)
    groups = rng.permutation(np.repeat(np.arange(1, 11), rng.integers(150, 300, 10)))
    held = folds(groups)
    assert sorted(name for fold in held for name in fold) == list(range(1, 11))
    sizes = [np.isin(groups, fold).sum() for fold in held]
    assert max(sizes) < 1.2 * min(sizes)


def test_a_turned_watch_sees_the_same_lengths_and_angles() -> None:
    torch.manual_seed(0)
    x = torch.randn(5, 7, 6, dtype=torch.float64)
    y = turned(x, 0.3)
    assert not torch.allclose(x, y)
    for part in (slice(0, 3), slice(3, 6)):
        before, after = x[..., part], y[..., part]
        torch.testing.assert_close(before @ before.mT, after @ after.mT)
    # both sensors are turned alike, so the angles between them stay too
    torch.testing.assert_close(x[..., :3] @ x[..., 3:].mT, y[..., :3] @ y[..., 3:].mT)
    torch.testing.assert_close(turned(x, 0.0), x)
    # a right hand stays one
    triple = torch.eye(3, dtype=torch.float64).repeat(1, 1, 2)
    assert torch.det(turned(triple, 0.3)[0, :, :3]) == pytest.approx(1)


def test_the_angle_of_the_turns() -> None:
    torch.manual_seed(1)
    eye = torch.eye(3, dtype=torch.float64).repeat(4000, 1, 2)
    rotation = turned(eye, 0.1)[:, :, :3]
    cosine = (rotation.diagonal(dim1=1, dim2=2).sum(dim=1) - 1) / 2
    assert float(torch.arccos(cosine).pow(2).mean().sqrt()) == pytest.approx(
        0.1 * np.sqrt(3), rel=0.03
    )


@pytest.mark.parametrize(
    ("kind", "gates", "biases"), [("FlipFlop", 2, 1), ("RNN", 1, 2), ("LSTM", 4, 2), ("GRU", 3, 2)]
)
def test_sizes(kind: str, gates: int, biases: int) -> None:
    net = Watcher(kind, Setting(), torch.zeros(6), torch.ones(6), 7)
    assert count(net) == gates * 64 * (6 + 64 + biases) + 65 * 7
    assert net(torch.zeros(3, WINDOW, 6)).shape == (3, 7)


def test_windows_are_averaged_and_standardised_and_left_as_they_are_after_training() -> None:
    torch.manual_seed(0)
    mean, deviation = torch.arange(6.0), torch.arange(1.0, 7.0)
    net = Watcher("GRU", Setting(), mean, deviation, 7)
    x = torch.randn(2, WINDOW, 6)
    pairs = (x[:, ::2] + x[:, 1::2]) / 2
    expected = net.readout(net.layer((pairs - mean) / deviation)[0].mean(dim=1))
    torch.testing.assert_close(net.eval()(x), expected)
    assert not torch.allclose(net.train()(x), expected)


@pytest.mark.parametrize("kind", PUBLISHED)
def test_motion_is_learnt(kind: str) -> None:
    which = replace(Setting(), hidden=16, epochs=10, batch_size=16, learning_rate=0.02)
    record = run(kind, 1, made(), which)
    assert record["test"] > 0.9
    # nothing was chosen: it is the last epoch
    assert record["best_epoch"] == 10 and record["validation"] == pytest.approx(record["test"])


def test_statistics_by_hand() -> None:
    x = np.array([[[1.0], [3.0], [2.0]]])
    expected = [2, np.sqrt(2 / 3), 1, 3, 1.5]
    np.testing.assert_allclose(actions.statistics(x), [expected])


def test_the_baseline_is_that_of_the_notes() -> None:
    """0.832 was measured with scikit-learn, on five statistics and its GroupKFold."""
    try:
        data = load_watch()
    except FileNotFoundError as absent:
        pytest.skip(str(absent))
    x, exercise, subject = windows(data, WINDOW)
    assert len(x) == 2369 and np.bincount(exercise).tolist() == [254, 389, 396, 363, 366, 294, 307]
    assert {len(fold) for fold in folds(subject)} == {2}
    assert actions.baseline(data, 0) == pytest.approx(0.864, abs=0.005)


def test_the_stored_table_is_whole() -> None:
    table = actions.table()
    assert "in place of UCF11" in table["data"]
    assert table["setting"] == actions.asdict(Setting())
    for model in PUBLISHED:
        runs = [run for run in table["runs"] if run["model"] == model]
        assert [run["seed"] for run in runs] == [0, 1, 2, 3, 4]
        assert table["test"][model]["mean"] == pytest.approx(
            np.mean([run["test"] for run in runs]), abs=1e-4
        )
    assert len(table["baseline"]) == 5
