"""Gaussian noise from a counter: any sample can be had from its key and step alone.

Each neuron has a key, made from the run's seed, the trial and the name of the noise input; its
samples in steps 2k and 2k + 1 are the two of a Box-Muller transform of the k-th output of the
SplitMix64 generator that starts from that key. The compiled engine computes samples when it needs
them; `normals` gives the same samples, to the bit, as an array, for the other engines and for other
simulators: `gaussians` is one text for both, of operations that IEEE 754 rounds correctly.
"""

import hashlib
from typing import Any

import numpy as np

Keys = np.ndarray[Any, np.dtype[np.uint64]]

GOLDEN = 0x9E3779B97F4A7C15
MIX_1 = 0xBF58476D1CE4E5B9
MIX_2 = 0x94D049BB133111EB
"""Constants of SplitMix64 (Steele, Lea & Flood 2014, OOPSLA, doi:10.1145/2660193.2660195)."""


def noise_keys(seed: int, trials: int, name: str, size: int) -> Keys:
    """The keys of `size` neurons in each trial, shape (trials, size).

    >>> noise_keys(0, 3, "noise", 2).shape
    (3, 2)
    """
    digests = b"".join(
        hashlib.sha256(f"{seed} {trial} {name}".encode()).digest()[:8] for trial in range(trials)
    )
    return _mixed(np.frombuffer(digests, "<u8")[:, None], np.arange(size, dtype=np.uint64))


def _mixed(key: Any, k: Keys) -> Keys:
    """Outputs k of the SplitMix64 generators that start from these keys."""
    with np.errstate(over="ignore"):
        z = key + (k + np.uint64(1)) * np.uint64(GOLDEN)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(MIX_1)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(MIX_2)
    found: Keys = z ^ (z >> np.uint64(31))
    return found


def gaussians(high: Any, low: Any) -> Any:
    """Two independent standard normal samples from two times 32 random bits.

    high, low: uint32, arrays or numbers. Returns two float32 of the same shape; none is further
    out than 6.7. The series are as long as single precision asks for.

    >>> bits = np.array([0, 2**31], dtype=np.uint32)
    >>> gaussians(bits, bits)[0].tolist()
    [6.660..., -1.177...]
    """
    # The radius: sqrt(-2 log u), u in (0, 1], log m by its series in s = (m - 1)/(m + 1)
    u = (np.float32(np.int32(high >> np.uint32(1))) + np.float32(0.5)) * np.float32(2.0**-31)
    bits = np.float32(u).view(np.int32)
    e = np.int32((bits - np.int32(0x3F3504F3)) >> np.int32(23))  # m from sqrt(1/2) to sqrt(2)
    m = np.int32(bits - (e << np.int32(23))).view(np.float32)
    s = (m - np.float32(1)) / (m + np.float32(1))
    y = s * s
    y2 = y * y
    series = np.float32(2) + np.float32(2 / 3) * y
    series += y2 * ((np.float32(2 / 5) + np.float32(2 / 7) * y) + np.float32(2 / 9) * y2)
    log = np.float32(e) * np.float32(0.6931471805599453) + s * series
    radius = np.sqrt(np.float32(-2) * log)
    # The direction: an angle of pi/4 x, reflected by three bits into the whole circle
    x = np.float32(np.int32(low & np.uint32(0x1FFFFFFF))) * np.float32(2.0**-29)
    y = np.float32(0.6168502750680849) * (x * x)  # (pi/4)^2
    y2 = y * y
    cosine = np.float32(1) - np.float32(1 / 2) * y
    cosine += y2 * ((np.float32(1 / 24) - np.float32(1 / 720) * y) + np.float32(1 / 40320) * y2)
    sine = np.float32(1) - np.float32(1 / 6) * y
    sine += y2 * ((np.float32(1 / 120) - np.float32(1 / 5040) * y) + np.float32(1 / 362880) * y2)
    sine *= np.float32(0.7853981633974483) * x
    sign = np.uint32(0x80000000)
    across = np.uint32(np.float32(radius * cosine).view(np.uint32) ^ np.uint32(low & sign))
    low = np.uint32(low << np.uint32(1))
    along = np.uint32(np.float32(radius * sine).view(np.uint32) ^ np.uint32(low & sign))
    low = np.uint32(low << np.uint32(1))
    swap = np.int32(np.uint32(low).view(np.int32) >> np.int32(31))
    swapped = np.uint32(np.int32(swap).view(np.uint32) & np.uint32(across ^ along))
    return np.uint32(across ^ swapped).view(np.float32), np.uint32(along ^ swapped).view(np.float32)


def normals(keys: Keys, start: int, stop: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Standard normal samples of steps start to stop - 1, shape (stop - start, keys).

    >>> keys = noise_keys(0, 1, "noise", 2)[0]
    >>> bool((normals(keys, 0, 9)[5:] == normals(keys, 5, 9)).all())
    True
    """
    pairs = np.arange(start // 2, (stop + 1) // 2, dtype=np.uint64)[:, None]
    z = _mixed(keys[None, :], pairs)
    both = gaussians((z >> np.uint64(32)).astype(np.uint32), z.astype(np.uint32))
    steps = np.stack(both, axis=1).reshape(-1, keys.size)
    found: np.ndarray[Any, np.dtype[np.float64]]
    found = steps[start % 2 : start % 2 + stop - start].astype(np.float64)
    return found
