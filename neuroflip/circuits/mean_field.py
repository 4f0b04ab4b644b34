"""The firing rate of an integrate-and-fire neuron whose potential fluctuates."""

import math

import numpy as np


def siegert_rate(
    mean: float, sd: float, tau: float, threshold: float, reset: float, refractory: float
) -> float:
    """Mean firing rate (Hz) of a leaky integrate-and-fire neuron in Gaussian white noise.

        1/r = refractory + tau int_0^inf exp(-u^2) (exp(2 a u) - exp(2 b u))/u du
        a = (threshold - mean)/(sqrt(2) sd)        b = (reset - mean)/(sqrt(2) sd)

    (Siegert 1951, Phys. Rev. 81:617; in this form Brunel & Hakim 1999, Neural Comput. 11:1621).

    mean, sd: mean and standard deviation (V) of the potential without threshold. tau: membrane
    time constant (s). With sd = 0 it is the rate under a constant current.

    >>> round(siegert_rate(mean=0.014, sd=0.002, tau=0.02, threshold=0.015, reset=0.0,
    ...                    refractory=0.002), 2)
    14.39
    """
    if sd == 0:
        if mean <= threshold:
            return 0.0
        return 1 / (refractory + tau * math.log((mean - reset) / (mean - threshold)))
    a, b = ((v - mean) / (math.sqrt(2) * sd) for v in (threshold, reset))
    if a > 25:  # less than one spike in 10^250 s
        return 0.0
    # In x = ln u the integrand falls off at both ends, where the trapezoidal rule is at its best
    x = np.linspace(math.log(1e-13 / (1 + abs(a) + abs(b))), math.log(max(a, 0.0) + 7), 4000)
    u = np.exp(x)
    integrand = np.exp(2 * a * u - u * u) - np.exp(2 * b * u - u * u)
    return 1 / (refractory + tau * float(integrand.sum()) * float(x[1] - x[0]))
