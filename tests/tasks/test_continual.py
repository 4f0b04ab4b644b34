"""Permuted patterns: what the tasks share, what they do not, and the two measures by hand."""

import math

import pytest
import torch

from neuroflip.tasks.continual import PermutedPatterns, average_accuracy, forgetting


def tasks(**given) -> PermutedPatterns:
    return PermutedPatterns(generator=torch.Generator().manual_seed(0), **given)


def test_tasks_permute_the_same_patterns() -> None:
    found = tasks(tasks=3, classes=5, steps=4, channels=6)
    assert found.patterns.shape == (5, 3, 4, 6)
    base = found.patterns[:, 0].flatten(1)
    for task in range(3):
        other = found.patterns[:, task].flatten(1)
        assert torch.equal(other.sort(1).values, base.sort(1).values)
        # One permutation for all classes: it is told by the first class, whose values differ
        moved = (other[0].unsqueeze(1) == base[0]).long().argmax(1)
        assert torch.equal(base[:, moved], other)
        assert torch.equal(moved, torch.arange(24)) == (task == 0)


def test_samples_are_patterns_with_noise() -> None:
    found = tasks(tasks=2, classes=3, steps=5, channels=4, noise=0.5)
    inputs, labels = found.sample(1, 4000)
    assert inputs.shape == (5, 4000, 4)
    rest = inputs.transpose(0, 1) - found.patterns[labels, 1]
    assert abs(rest.std() - 0.5) < 4 * 0.5 / math.sqrt(2 * rest.numel())
    shares = torch.bincount(labels, minlength=3) / 4000
    assert (shares - 1 / 3).abs().max() < 4 * math.sqrt(2 / 9 / 4000)


def test_measures_by_hand() -> None:
    matrix = torch.tensor([[0.9, 0.2, 0.2], [0.5, 1.0, 0.2], [0.6, 0.7, 0.8]])
    assert math.isclose(average_accuracy(matrix), 0.7, rel_tol=1e-6)
    assert math.isclose(forgetting(matrix), (0.3 + 0.3) / 2, rel_tol=1e-6)


def test_refusals() -> None:
    with pytest.raises(ValueError, match="noise must be at least 0; got -1.0"):
        tasks(noise=-1.0)
    with pytest.raises(ValueError, match="task must be from 0 to 4; got 5"):
        tasks().sample(5, 1)
