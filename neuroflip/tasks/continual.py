"""Continual learning: tasks one after the other, on permuted inputs, with shared outputs."""

import torch
from torch import Tensor

from neuroflip.rate.arguments import size


class PermutedPatterns:
    """Classes of spatiotemporal patterns, whose inputs each task shuffles in its own way.

    The domain-incremental setting of permuted digits (Goodfellow et al. 2013, arXiv:1312.6211), in
    small: every class is one pattern (steps, channels) of independent standard normal numbers;
    task 0 shows the patterns with noise, each other task permutes their elements by one permutation
    of its own. Labels and outputs are those of task 0 in all tasks, and nothing says which task
    it is.

    tasks, classes, steps, channels: whole numbers, at least 1. noise: standard deviation, at least
    0. generator: draws patterns, permutations and, later, samples; torch's own if None.
    ValueError for an argument out of range.

    >>> tasks = PermutedPatterns(tasks=2, noise=0.0, generator=torch.Generator().manual_seed(0))
    >>> (first, _), (other, labels) = tasks.sample(0, 6), tasks.sample(1, 6)
    >>> first.shape, labels.shape
    (torch.Size([10, 6, 8]), torch.Size([6]))
    """

    def __init__(
        self,
        tasks: int = 5,
        classes: int = 4,
        steps: int = 10,
        channels: int = 8,
        noise: float = 1.0,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        if not noise >= 0:
            raise ValueError(f"noise must be at least 0; got {noise!r}.")
        self.tasks, self.classes = size(tasks, "tasks"), size(classes, "classes")
        self.noise, self.generator = noise, generator
        shape = (self.classes, size(steps, "steps"), size(channels, "channels"))
        base = torch.randn(shape, generator=generator)
        count = steps * channels
        kept = [torch.arange(count)]
        kept += [torch.randperm(count, generator=generator) for _ in range(tasks - 1)]
        permuted = base.flatten(1)[:, torch.stack(kept)]
        self.patterns = permuted.reshape(self.classes, self.tasks, *shape[1:])
        """(classes, tasks, steps, channels), without noise."""

    def sample(self, task: int, trials: int) -> tuple[Tensor, Tensor]:
        """New samples of a task: inputs (steps, trials, channels) and labels (trials,)."""
        if not 0 <= task < self.tasks:
            raise ValueError(f"task must be from 0 to {self.tasks - 1}; got {task!r}.")
        labels = torch.randint(0, self.classes, (trials,), generator=self.generator)
        shown = self.patterns[labels, task]
        noise = torch.randn(shown.shape, generator=self.generator)
        return (shown + self.noise * noise).transpose(0, 1), labels


def average_accuracy(matrix: Tensor) -> float:
    """Mean accuracy over all tasks after the last one was learnt.

    matrix: (tasks, tasks), row i the accuracies on every task after task i was learnt (Lopez-Paz &
    Ranzato 2017, NeurIPS, ACC).

    >>> average_accuracy(torch.tensor([[1.0, 0.5], [0.5, 1.0]]))
    0.75
    """
    return float(matrix[-1].mean())


def forgetting(matrix: Tensor) -> float:
    """How much accuracy earlier tasks have lost at the end, from their best, on average.

    matrix: as for `average_accuracy`, of at least two tasks (Chaudhry et al. 2018, ECCV, eq. 3).

    >>> forgetting(torch.tensor([[1.0, 0.5], [0.5, 1.0]]))
    0.5
    """
    return float((matrix[:-1, :-1].max(0).values - matrix[-1, :-1]).mean())
