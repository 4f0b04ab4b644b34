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


def over_epochs(epochs: Sequence[float], losses: Sequence[float]) -> float:
    """The mean over the epochs of a loss known at some of them, straight in between.

    >>> over_epochs([1, 2, 4], [3.0, 1.0, 1.0])
    1.3333333333333333
    """
    between = (np.asarray(losses)[1:] + np.asarray(losses)[:-1]) / 2
    return float(np.average(between, weights=np.diff(epochs)))


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


def gone(epochs: Any, moved: Any, part: float) -> float:
    """The share of a way that was gone in the first `part` of the epochs, at least in one piece.

    epochs: (n + 1,), of the points from and to which the pieces lead; moved: (n,), their lengths.

    >>> gone([0, 50, 100, 150, 200], [4.0, 3.0, 2.0, 1.0], 0.5)
    0.7
    """
    at, pieces = np.asarray(epochs), np.asarray(moved, np.float64)
    first = at[1:] <= max(at[-1] * part, at[1])
    return float(pieces[first].sum() / pieces.sum())


def way(epochs: Any, points: Any) -> tuple[Array, dict[str, float]]:
    """How something moves: the lengths of the pieces of its way, (n,); and "first_tenth",
    "first_fifth", the shares gone in so much of the epochs, "last_to_first", the length of the
    last tenth over that of the first.

    epochs: (n + 1,), rising; points: (n + 1, ...), what it was at each.

    >>> moved, told = way(range(11), np.sqrt(np.arange(11.0))[:, None] * [3.0, 4.0])
    >>> round(float(moved[0]), 9), round(told["first_tenth"], 9), round(told["last_to_first"], 9)
    (5.0, 0.316227766, 0.16227766)
    """
    flat = np.asarray(points, np.float64).reshape(len(points), -1)
    moved = np.linalg.norm(np.diff(flat, axis=0), axis=1)
    first, fifth, but_last = (gone(epochs, moved, part) for part in (0.1, 0.2, 0.9))
    return moved, {
        "first_tenth": first, "first_fifth": fifth, "last_to_first": (1 - but_last) / first,
    }  # fmt: skip


def apart(one: Any, other: Any) -> float:
    """How distinct two arrays are: |a - b| / sqrt(|a|^2 + |b|^2). 0 where they are the same, 1
    where they are orthogonal, sqrt 2 where they are opposite.

    >>> apart([3.0, 0.0], [0.0, 4.0])
    1.0
    """
    a, b = np.asarray(one, np.float64).ravel(), np.asarray(other, np.float64).ravel()
    return float(np.linalg.norm(a - b) / np.sqrt(a @ a + b @ b))


def saturated(gate: Any) -> float:
    """The share of a gate's values, from 0 to 1, that are within 0.05 of 0 or 1.

    >>> saturated([0.01, 0.5, 0.94, 0.96])
    0.5
    """
    values = np.asarray(gate)
    return float(((values < 0.05) | (values > 0.95)).mean())


def breadth(states: Any) -> dict[str, Any]:
    """How many units share the activity. states: (..., units).

    Of each unit, "mean" |state| and its standard "deviation"; the participation ratio and Gini
    index of each of these; "dimensions": the participation ratio of the variances of the principal
    components.

    >>> found = breadth(np.array([[1.0, 3.0], [-1.0, 3.0]]))
    >>> found["of mean"], found["of deviation"], found["gini of mean"]
    (1.6, 1.0, 0.25)
    """
    s = np.asarray(states, np.float64)
    flat = s.reshape(-1, s.shape[-1])
    mean, deviation = np.abs(flat).mean(axis=0), flat.std(axis=0)
    values = np.linalg.svd(flat - flat.mean(axis=0), compute_uv=False)
    return {
        "mean": mean,
        "deviation": deviation,
        "of mean": participation(mean),
        "of deviation": participation(deviation),
        "gini of mean": gini(mean),
        "gini of deviation": gini(deviation),
        "dimensions": participation(values**2),
    }


def within_between(outputs: Any) -> float:
    """The variance among outputs of one class over that between the classes' means, each summed
    over the steps. outputs: (repetitions, classes, steps).

    >>> within_between([[[1.0], [5.0]], [[3.0], [7.0]]])
    0.25
    """
    out = np.asarray(outputs, np.float64)
    return float(out.var(axis=0).mean(axis=0).sum() / out.mean(axis=0).var(axis=0).sum())


def spectrum_match(output: Any, target: Any) -> list[float]:
    """Pearson's correlation of the amplitude spectra, without the mean, of output and target,
    both (C, T), for each class.

    >>> target = np.sin(np.arange(40.0))[None]
    >>> [round(r, 9) for r in spectrum_match(3 * np.roll(target, 2) - 1, np.roll(target, 2))]
    [1.0]
    """
    pairs = zip(*(np.abs(np.fft.rfft(v, axis=1))[:, 1:] for v in (output, target)), strict=True)
    return [float(np.corrcoef(a, b)[0, 1]) for a, b in pairs]


def fast_power(output: Any, target: Any) -> float:
    """The power of an output in the upper half of the frequencies over that of its target, both
    (C, T), all classes together. 1 where it has all the detail of the target.

    >>> step = np.arange(40)
    >>> slow, fast = np.sin(0.1 * np.pi * step), np.sin(0.8 * np.pi * step)
    >>> round(fast_power([3 * slow + fast / 2], [slow + fast]), 9)
    0.25
    """
    powers = []
    for values in (output, target):
        spectrum = np.abs(np.fft.rfft(values, axis=1)) ** 2
        powers.append(spectrum[:, np.fft.rfftfreq(np.shape(values)[1]) > 0.25].sum())
    return float(powers[0] / powers[1])
