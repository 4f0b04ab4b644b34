"""What is measured of loss curves, states and outputs."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from neuroflip.circuit import Array, Index


def largest_rise(losses: Sequence[float]) -> float:
    """The largest rise of the loss from one epoch to the next; negative where it only falls.

    >>> round(largest_rise([1.0, 0.5, 0.7, 0.6]), 9)
    0.2
    """
    return float(np.diff(losses).max()) if len(losses) > 1 else float("nan")


def roughness(losses: Sequence[float]) -> float:
    """Standard deviation of the differences from epoch to epoch over the second half.

    >>> round(roughness([9.0, 9.0, 1.0, 2.0, 1.0]), 9)
    1.0
    """
    differences = np.diff(losses)
    half = differences[len(differences) // 2 :]
    return float(half.std()) if half.size else float("nan")


def of_curve(losses: Sequence[float]) -> dict[str, float]:
    """Final and lowest loss, largest rise, roughness."""
    return {
        "final": float(losses[-1]),
        "best": float(np.min(losses)),
        "largest_rise": largest_rise(losses),
        "roughness": roughness(losses),
    }


def thinned(length: int, points: int = 80) -> list[int]:
    """Places of at most `points` values of a curve: more at its beginning, both ends among them.

    >>> thinned(5), thinned(1000, 5)
    ([0, 1, 2, 3, 4], [0, 62, 250, 562, 999])
    """
    if length <= points:
        return list(range(length))
    places = (length - 1) * np.linspace(0, 1, points) ** 2
    return [int(place) for place in np.unique(np.round(places).astype(int))]


def participation(amounts: Any) -> float:
    """How many units share a quantity: (sum a)^2 / sum a^2, from 1 (one unit has it all) to the
    number of units (all alike). amounts: at least 0, one a unit.

    >>> participation([1.0, 1.0, 0.0, 0.0])
    2.0
    """
    a = np.asarray(amounts, np.float64)
    square = float((a**2).sum())
    return float(a.sum() ** 2 / square) if square > 0 else float("nan")


def gini(amounts: Any) -> float:
    """How unequally units share a quantity: 0, all alike, towards 1, one unit has it all.

    >>> gini([1.0, 1.0, 1.0]), round(gini([0.0, 0.0, 0.0, 1.0]), 9)
    (0.0, 0.75)
    """
    a = np.sort(np.asarray(amounts, np.float64))
    total = a.sum()
    if total == 0:
        return float("nan")
    rank = np.arange(1, a.size + 1)
    return float(2 * (rank * a).sum() / (a.size * total) - (a.size + 1) / a.size)


def correlation(output: Any, target: Any, lags: int) -> tuple[Index, Array]:
    """The normalised cross-correlation of an output with its target: (lags, r).

    r at lag n is Pearson's correlation of output[t + n] with target[t] over the times that both
    have; at a positive lag the output comes late. Both (T,); lags: the largest, below T - 1.

    >>> target = np.sin(np.arange(50.0))
    >>> n, r = correlation(np.roll(target, 3), target, 5)
    >>> int(n[r.argmax()]), round(float(r.max()), 9)
    (3, 1.0)
    """
    out, aim = np.asarray(output, np.float64), np.asarray(target, np.float64)
    found = []
    places = np.arange(-lags, lags + 1)
    for lag in places.tolist():
        a = out[max(lag, 0) : out.size + min(lag, 0)]
        b = aim[max(-lag, 0) : aim.size - max(lag, 0)]
        a, b = a - a.mean(), b - b.mean()
        scale = np.sqrt((a**2).sum() * (b**2).sum())
        found.append((a * b).sum() / scale if scale > 0 else np.nan)
    return places, np.array(found)


def principal(states: Any, components: int = 2) -> tuple[Array, Array]:
    """Principal components: (scores (..., components), shares of the variance (components,)).

    states: (..., units). By the singular values of the centred states.

    >>> scores, shares = principal(np.outer(np.arange(5.0), [3.0, 4.0]), 1)
    >>> np.abs(scores[:, 0]).round(9).tolist(), shares.round(9).tolist()
    ([10.0, 5.0, 0.0, 5.0, 10.0], [1.0])
    """
    s = np.asarray(states, np.float64)
    flat = s.reshape(-1, s.shape[-1])
    flat = flat - flat.mean(axis=0)
    u, values, _ = np.linalg.svd(flat, full_matrices=False)
    scores = (u * values)[:, :components].reshape(*s.shape[:-1], -1)
    total = (values**2).sum()
    return scores, (values**2)[:components] / total if total > 0 else values[:components]
