"""Paired comparisons over seeds: the exact sign-flip test, and the size of the effect."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from neuroflip.circuit import Array


def sign_flip_p(differences: Sequence[float] | Array, draws: int = 100_000, seed: int = 0) -> float:
    """Two-sided p of the hypothesis that differences are as likely with either sign.

    The share of all 2**n choices of signs whose sum is, in absolute value, at least the one found
    (Fisher 1935, The Design of Experiments, sect. 21). Exact up to n = 20, so at least 2/2**n: ten
    seeds that agree give 0.00195. Beyond, `draws` random choices, and the observed one counted in.

    ValueError without differences, or with one that is not finite.

    >>> sign_flip_p([1.0, 2.0, 3.0])
    0.25
    """
    values = np.asarray(differences, np.float64)
    if values.ndim != 1 or not values.size or not np.isfinite(values).all():
        raise ValueError(f"differences must be a list of finite numbers; got {differences!r}.")
    n = values.size
    found = abs(values.sum()) * (1 - 1e-12)  # ties must not be lost to rounding
    if n <= 20:
        sums = np.zeros(1)
        for value in values:
            sums = np.concatenate([sums + value, sums - value])
        return float(np.mean(np.abs(sums) >= found))
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], (draws, n))
    return float((1 + np.count_nonzero(np.abs(signs @ values) >= found)) / (1 + draws))


_T = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160,
    2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056,
    2.052, 2.048, 2.045, 2.042,
)  # fmt: skip
"""Quantiles 0.975 of Student's t with 1, 2, ... degrees of freedom; of more, the last."""


@dataclass(frozen=True)
class Paired:
    """a - b over pairs: mean and standard deviation, effect size d = mean/deviation (Cohen's d of
    paired differences, infinite where all are equal), p of `sign_flip_p`, in how many pairs a is
    larger, and how many pairs there are."""

    mean: float
    deviation: float
    effect: float
    p: float
    larger: int
    pairs: int

    @property
    def margin(self) -> float:
        """Half the 95 % interval of the mean, by Student's t; nan of one pair.

        >>> round(paired([1.0, 2.0, 3.0, 4.0, 5.0], [0.0] * 5).margin, 3)
        1.963
        """
        if self.pairs < 2:
            return float("nan")
        t = _T[min(self.pairs - 1, len(_T)) - 1]
        return t * self.deviation / float(np.sqrt(self.pairs))

    def __str__(self) -> str:
        return (
            f"{self.mean:+.4g} +- {self.deviation:.2g}, d = {self.effect:.2f}, p = {self.p:.2g}, "
            f"larger in {self.larger} of {self.pairs}"
        )


def paired(a: Sequence[float] | Array, b: Sequence[float] | Array) -> Paired:
    """Compare two conditions, seed by seed. ValueError where they are not as many.

    >>> print(paired([3.0, 4.0, 6.0], [1.0, 1.0, 2.0]))
    +3 +- 1, d = 3.00, p = 0.25, larger in 3 of 3
    """
    one, two = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if one.shape != two.shape or one.ndim != 1:
        raise ValueError(f"needs two lists of one length; got shapes {one.shape} and {two.shape}.")
    differences = one - two
    p = sign_flip_p(differences)
    mean = float(differences.mean())
    deviation = float(differences.std(ddof=1)) if one.size > 1 else 0.0
    effect = mean / deviation if deviation else float(np.copysign(np.inf, mean)) if mean else 0.0
    return Paired(mean, deviation, effect, p, int(np.count_nonzero(differences > 0)), one.size)
