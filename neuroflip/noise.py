"""Gaussian noise from a counter: any sample can be had from its key and step alone.

Each neuron has a key, made from the run's seed, the trial and the name of the noise input; its
samples in steps 2k and 2k + 1 are the two of a Box-Muller transform of the k-th output of the
SplitMix64 generator that starts from that key. The compiled engine computes samples when it needs
them; `normals` gives the same samples as an array, for the other engines and for other simulators.
"""

import hashlib
import math
from typing import Any

import numpy as np

Keys = np.ndarray[Any, np.dtype[np.uint64]]

GOLDEN = 0x9E3779B97F4A7C15
MIX_1 = 0xBF58476D1CE4E5B9
MIX_2 = 0x94D049BB133111EB
"""Constants of SplitMix64 (Steele, Lea & Flood 2014, OOPSLA, doi:10.1145/2660193.2660195)."""


LOGARITHM = [2 / (2 * j + 1) for j in range(10)]
COSINE = [(-1) ** j * (math.pi / 2) ** (2 * j) / math.factorial(2 * j) for j in range(9)]
SINE = [(-1) ** j * (math.pi / 2) ** (2 * j + 1) / math.factorial(2 * j + 1) for j in range(8)]
"""Taylor coefficients of log((1+s)/(1-s))/s, cos(pi/2 x) and sin(pi/2 x)/x, in s^2 and x^2: to
double precision for m = (1+s)/(1-s) from sqrt(1/2) to sqrt(2), and |x| up to 1/2."""


def noise_keys(seed: int, trial: int, name: str, size: int) -> Keys:
    """The keys of `size` neurons, shape (size,).

    >>> noise_keys(0, 0, "noise", 2).dtype
    dtype('uint64')
    """
    digest = hashlib.sha256(f"{seed} {trial} {name}".encode()).digest()
    return _mixed(np.uint64(int.from_bytes(digest[:8], "little")), np.arange(size, dtype=np.uint64))


def _mixed(key: Any, k: Keys) -> Keys:
    """Outputs k of the SplitMix64 generators that start from these keys."""
    with np.errstate(over="ignore"):
        z = key + (k + np.uint64(1)) * np.uint64(GOLDEN)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(MIX_1)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(MIX_2)
    found: Keys = z ^ (z >> np.uint64(31))
    return found


def normals(keys: Keys, start: int, stop: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Standard normal samples of steps start to stop - 1, shape (stop - start, keys).

    >>> keys = noise_keys(0, 0, "noise", 2)
    >>> bool((normals(keys, 0, 9)[5:] == normals(keys, 5, 9)).all())
    True
    """
    steps = np.arange(start, stop, dtype=np.uint64)[:, None]
    z = _mixed(keys[None, :], steps >> np.uint64(1))
    radius = np.sqrt(-2 * np.log(((z >> np.uint64(32)) + 0.5) * 2.0**-32))
    angle = (z & np.uint64(0xFFFFFFFF)) * (2 * np.pi * 2.0**-32)
    found: np.ndarray[Any, np.dtype[np.float64]]
    found = radius * np.where(steps & np.uint64(1), np.sin(angle), np.cos(angle))
    return found
