"""What the classification experiments share."""

from pathlib import Path

import numpy as np
import pytest
import torch

from neuroflip.sims.paper.classification import Parts, learn, logistic, score
from neuroflip.sims.paper.harness import Data, Training


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("strength", [0.3, 5.0])
def test_logistic_regression_is_where_the_gradient_is_zero(classes: int, strength: float) -> None:
    """w = strength * sum of (target - probability) x; the probabilities add up to the counts."""
    generator = torch.Generator().manual_seed(classes)
    rows = torch.randn(60, 4, generator=generator, dtype=torch.float64)
    targets = (rows[:, 0] + torch.randn(60, generator=generator) > 0).long()
    targets[: classes - 2] = 2
    say = logistic(rows, targets, strength)
    at_zero = say(torch.zeros(1, 4, dtype=torch.float64))
    w = (say(torch.eye(4, dtype=torch.float64)) - at_zero).numpy()
    wrong = np.eye(classes)[targets] - torch.softmax(say(rows), dim=1).numpy()
    expected = strength * rows.numpy().T @ wrong
    if classes == 2:
        assert (w[:, 0] == 0).all()
        np.testing.assert_allclose(w[:, 1], expected[:, 1], atol=1e-4 * strength)
    else:
        np.testing.assert_allclose(w, expected, atol=1e-4 * strength)
    np.testing.assert_allclose(wrong.sum(axis=0), 0, atol=1e-4)


def test_sparse_rows_give_what_dense_ones_give() -> None:
    rows = torch.tensor([[1.0, 0, 0], [0, 2, 0], [0, 1, 1], [1, 0, 3]], dtype=torch.float64)
    targets = torch.tensor([0, 1, 1, 0])
    dense, sparse = logistic(rows, targets)(rows), logistic(rows.to_sparse(), targets)(rows)
    torch.testing.assert_close(dense, sparse)


def blobs(count: int, seed: int) -> Data:
    """Two classes, 4 standard deviations apart."""
    generator = torch.Generator().manual_seed(seed)
    classes = torch.randint(2, (count,), generator=generator)
    points = torch.randn(count, 2, generator=generator)
    points[:, 0] += 4 * classes - 2
    return Data(points, classes)


def test_a_run_is_recorded_and_not_repeated(tmp_path: Path) -> None:
    parts = Parts(blobs(300, 0), blobs(100, 1), blobs(1000, 2))
    training = Training(epochs=8, learning_rate=0.05, seed=3, keep="best")

    def build() -> torch.nn.Module:
        return torch.nn.Linear(2, 2)

    record, model = learn(build, parts, training, {"model": "line"}, tmp_path)
    # Phi(2) = 0.977 of each class is on its side
    assert record["test"] == pytest.approx(0.977, abs=0.015) == score(model, parts.test)
    assert (record["model"], record["seed"], record["parameters"]) == ("line", 3, 6)
    losses = record["curves"]["held"]
    assert losses[record["best_epoch"] - 1] == min(losses) and record["epochs"] == list(range(1, 9))
    assert record["validation"] == pytest.approx(
        record["curves"]["held accuracy"][record["best_epoch"] - 1], abs=1e-4
    )
    again, _ = learn(build, parts, training, {"model": "line"}, tmp_path)
    assert again == record  # the seconds, too: nothing was trained
