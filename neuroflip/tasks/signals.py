"""Tasks of drawing curves, and of keeping a bit among distractors.

After Bhat & Kayathwal, "Flip Flops in Neural Models": a net is told a class, at every step, and
must draw the curve of that class, of which it has seen noisy copies.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from neuroflip.rate.arguments import one_of, size

CURVES = ("sinusoidal", "uniform")
"""Kinds of curves."""


def curves(kind: str, steps: int, classes: int = 2, *, seed: int = 0) -> Tensor:
    """The curve of each class, without noise: (steps, classes).

    kind: "uniform", independent numbers from U(-1, 1); "sinusoidal", over a time t of 10 units,

        A sin(2 pi f t)                              of the classes 0, 2, ...
        A (sin(2 pi f t) + sin(4 pi f t)/2)          of the classes 1, 3, ...

        with A from U(0.5, 1) and f from U(1, 3) per unit of time.
    steps, classes: whole numbers, at least 1. seed: of NumPy's legacy generator, RandomState; 42
        gives the uniform curves of the paper.
    ValueError for an unknown kind and arguments out of range.

    >>> curves("uniform", 3, seed=42)[:, 0]
    tensor([-0.2509,  0.9014,  0.4640])
    """
    size(steps, "steps")
    random = np.random.RandomState(seed)
    if one_of(kind, CURVES, "kind") == "uniform":
        drawn = random.uniform(-1, 1, (size(classes, "classes"), steps))
    else:
        t = np.linspace(0, 10, steps)
        drawn = np.empty((size(classes, "classes"), steps))
        for number, row in enumerate(drawn):
            amplitude, frequency = random.uniform(0.5, 1), random.uniform(1, 3)
            angle = 2 * np.pi * frequency * t
            row[:] = amplitude * (np.sin(angle) + number % 2 * np.sin(2 * angle) / 2)
    return torch.from_numpy(drawn.T.astype(np.float32).copy())


def with_interference(drawn: Tensor, strength: float = 0.1) -> Tensor:
    """The paper's stand-in for interference: the first class's curve as it is, the others' times
    `strength`. All are targets, and a trial is of one class alone.

    drawn: (steps, classes).
    """
    scale = torch.full((drawn.shape[1],), float(strength), dtype=drawn.dtype)
    scale[0] = 1
    return drawn * scale


def copies(
    drawn: Tensor,
    counts: Sequence[int],
    noise: float = 0.05,
    *,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Noisy copies of curves: classes (trials,) and targets (steps, trials, 1).

    drawn: (steps, classes). counts: how many copies of each class; class 0 comes first. noise: its
        standard deviation, so that no net can have a mean squared error below noise**2 on copies
        it has not seen. generator: draws the noise; torch's own if None.
    ValueError for a wrong number of counts, counts below 0, negative noise.

    >>> classes, targets = copies(curves("uniform", 5), [2, 1], 0.0)
    >>> classes.tolist(), targets.shape
    ([0, 0, 1], torch.Size([5, 3, 1]))
    """
    if len(counts) != drawn.shape[1] or min(counts) < 0 or not sum(counts):
        raise ValueError(
            f"counts must be a whole number for each of the {drawn.shape[1]} classes; "
            f"got {list(counts)}."
        )
    if not noise >= 0:
        raise ValueError(f"noise must be at least 0; got {noise!r}.")
    classes = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    clean = drawn[:, classes].unsqueeze(-1)
    return classes, clean + noise * torch.randn(clean.shape, generator=generator)


def recall(
    steps: int,
    trials: int,
    distractors: int = 5,
    strength: float = 1.0,
    *,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """A bit to be kept through interference within the trial: inputs (steps, trials, 3) and bits
    (trials,), 0 or 1.

    Line 0 is 1 at the first step, which marks the bit; line 1 carries the bit there, as -1 or +1,
    and after it the distractors, pulses of -strength or +strength with equal chance; line 2 is 1 at
    the last step, where the bit is to be told. Each trial has its distractors at steps of its own,
    drawn from those between.

    steps: at least 3. distractors: from 0 to steps - 2. strength: 1 is that of the bit.
    generator: draws the trials; torch's own if None. ValueError for an argument out of range.

    >>> inputs, bits = recall(6, 1, 2, 0.5, generator=torch.Generator().manual_seed(0))
    >>> inputs[:, 0, 1].tolist(), bits.tolist()
    ([-1.0, 0.0, 0.5, 0.5, 0.0, 0.0], [0])
    """
    size(trials, "trials")
    if size(steps, "steps") < 3:
        raise ValueError(f"steps must be at least 3; got {steps}.")
    whole = isinstance(distractors, int) and not isinstance(distractors, bool)
    if not whole or not 0 <= distractors <= steps - 2:
        raise ValueError(
            f"distractors must be a whole number from 0 to steps - 2, {steps - 2}; "
            f"got {distractors!r}."
        )
    inputs = torch.zeros(steps, trials, 3)
    inputs[0, :, 0] = 1
    inputs[-1, :, 2] = 1
    bits = torch.randint(0, 2, (trials,), generator=generator)
    inputs[0, :, 1] = 2.0 * bits - 1
    places = torch.rand(steps - 2, trials, generator=generator).argsort(dim=0)[:distractors] + 1
    signs = 2.0 * torch.randint(0, 2, places.shape, generator=generator) - 1
    inputs[..., 1].scatter_(0, places, strength * signs)
    return inputs, bits
