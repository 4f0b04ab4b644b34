"""The Siegert rate: quadrature of another form, the noiseless limit, simulated neurons."""

import math

import mpmath
import numpy as np
import pytest

import neuroflip as nf
from neuroflip.circuits.mean_field import siegert_rate
from neuroflip.units import mV


@pytest.mark.parametrize("mean", [-5, 8, 15, 60])
@pytest.mark.parametrize("sd", [0.5, 2, 6])
def test_against_the_error_function_form(mean: float, sd: float) -> None:
    """1/r = t_ref + tau sqrt(pi) int exp(x^2)(1 + erf x) dx from reset to threshold."""
    a, b = ((v - mean) / (math.sqrt(2) * sd) for v in (15, 0))
    found = siegert_rate(mean * mV, sd * mV, 0.02, 15 * mV, 0.0, 0.002)
    if a > 25:
        assert found == 0.0
        return
    with mpmath.workdps(25):
        points = mpmath.linspace(b, a, 12)
        integral = mpmath.quad(
            lambda x: mpmath.exp(x * x) * (mpmath.erfc(-x)), points
        )  # 1 + erf x = erfc(-x)
        expected = 1 / (0.002 + 0.02 * mpmath.sqrt(mpmath.pi) * integral)
    assert abs(found - expected) < 1e-7 * expected


def test_noiseless_limit() -> None:
    exact = nf.circuits.firing_rate(nf.LIF(), 300e-12)
    assert math.isclose(siegert_rate(0.03, 0.0, 0.02, 0.015, 0.0, 0.002), exact, rel_tol=1e-12)
    assert math.isclose(siegert_rate(0.03, 1e-6, 0.02, 0.015, 0.0, 0.002), exact, rel_tol=1e-6)
    assert siegert_rate(0.015, 0.0, 0.02, 0.015, 0.0, 0.002) == 0.0
    assert siegert_rate(0.0, 1e-4, 0.02, 0.015, 0.0, 0.002) == 0.0


@pytest.mark.parametrize(("mean", "sd"), [(10, 4), (14, 2), (20, 3)])
def test_against_simulated_neurons(mean: float, sd: float) -> None:
    """100 neurons for 2 s. Threshold is looked at once a step only, which is as if it were higher
    by 0.5826 standard deviations of a step's noise (Broadie et al. 1997, Math. Finance 7:325)."""
    neuron = nf.LIF(drive=mean * 1e-11)
    circuit = nf.Circuit(
        "free", [nf.Population("A", neuron, 100)], inputs=[nf.NoiseInput("n", "A", sd=sd * mV)]
    )
    rec = nf.simulate(circuit, duration=2.0)
    measured = np.count_nonzero(rec.spikes["A"] > 0.2) / 100 / 1.8
    threshold = 15 + 0.5826 * sd * math.sqrt(2 * 1e-4 / 0.02)
    expected = siegert_rate(mean * mV, sd * mV, 0.02, threshold * mV, 0.0, 0.002)
    assert abs(measured / expected - 1) < 0.04
