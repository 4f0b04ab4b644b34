"""Oja's and Sanger's rules find the principal components of recorded motion.

One second of the smartwatch recordings, in bins of 0.1 s, is one input of 60 numbers: 10 bins of
6 channels. Oja's rule on a linear layer of one neuron should give the first principal component of
all 4,817 of them, Sanger's on five neurons the first five, each with weights of norm 1. What is
printed is the angle to the eigenvector of the covariance matrix.

    neuroflip data fetch watch
    python -m neuroflip.sims.components
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from neuroflip.circuit import Array
from neuroflip.data import load_watch
from neuroflip.errors import nearest
from neuroflip.rules.learner import attach
from neuroflip.rules.rate import Oja, Sanger

RULES: dict[str, tuple[Any, int]] = {"Oja": (Oja, 1), "Sanger": (Sanger, 5)}
"""Rules by name, each with the number of its neurons."""


@dataclass(frozen=True)
class Result:
    """What a rule found, one value a neuron.

    angles: to the principal component of the neuron's number (degrees, 0 to 90). norms: of the
    weights. explained: share of the variance of the inputs along the weights.
    """

    rule: str
    seed: int
    angles: Array
    norms: Array
    explained: Array


def motion_windows() -> Array:
    """Inputs (4817, 60) of mean 0 and total variance 1; channels count alike.

    Raises FileNotFoundError where the data was not fetched.
    """
    data = load_watch()
    spread = data.deviation()
    windows = np.concatenate(
        [
            (signal[: len(signal) // 50 * 50] / spread).reshape(-1, 10, 5, 6).mean(axis=2)
            for signal in data.signals
        ]
    ).reshape(-1, 60)
    windows -= windows.mean(axis=0)
    scaled: Array = windows / np.sqrt(windows.var(axis=0).sum())
    return scaled


def principal_components(inputs: Array, count: int) -> Array:
    """The leading eigenvectors of the covariance matrix, (count, in)."""
    _, vectors = np.linalg.eigh(np.cov(inputs.T, bias=True))
    return vectors[:, ::-1].T[:count]


def components(rule: str = "Sanger", seed: int = 0, epochs: int = 80) -> Result:
    """Let a rule learn from the windows, in batches of about 250, and compare.

    rule: "Oja" or "Sanger". epochs: passes over the data; in pass n the rate is 2/(1 + n/20).
    Raises ValueError for an unknown rule, FileNotFoundError where the data was not fetched.
    """
    if rule not in RULES:
        raise ValueError(f"unknown rule {rule!r}; {nearest(str(rule), RULES)}")
    kind, neurons = RULES[rule]
    windows = motion_windows()
    inputs = torch.tensor(windows)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layer = nn.Linear(60, neurons, bias=False, dtype=torch.float64)
        learner = attach(layer, kind(), merge="replace")
        for epoch in range(epochs):
            learner.swap(kind(rate=2 / (1 + epoch / 20)))
            order = torch.randperm(len(inputs))
            for batch in torch.tensor_split(order, 19):
                layer(inputs[batch])
                learner.step()
    weights = layer.weight.detach().numpy()
    norms = np.linalg.norm(weights, axis=1)
    unit = weights / norms[:, None]
    cosines = np.abs((unit * principal_components(windows, neurons)).sum(axis=1))
    angles = np.degrees(np.arccos(np.minimum(cosines, 1)))
    return Result(rule, seed, angles, norms, (windows @ unit.T).var(axis=0))


def main(seeds: int = 5) -> None:
    """Print the largest angle over the seeds, the norm and the variance of each component."""
    print("rule    component   largest angle (deg)   norm            share of the variance")
    for rule in RULES:
        found = [components(rule, seed) for seed in range(seeds)]
        angles = np.array([r.angles for r in found])
        norms = np.array([r.norms for r in found])
        shares = np.mean([r.explained for r in found], axis=0)
        for k, share in enumerate(shares):
            print(
                f"{rule:<8}{k + 1:<12}{angles[:, k].max():<22.3f}"
                f"{norms[:, k].mean():.4f} +- {norms[:, k].std():.4f}  {share:.4f}"
            )


if __name__ == "__main__":
    torch.set_num_threads(1)  # matrices this small gain nothing from threads
    main()
