"""A bit held by one neuron that excites itself."""

import dataclasses
import math
import warnings

from neuroflip.circuit import Circuit, Population, Projection, Readout, SpikeInput
from neuroflip.circuits.arguments import at_least_0
from neuroflip.circuits.latch import firing_rate
from neuroflip.neurons import LIF
from neuroflip.units import as_float, ms, pA


def autapse_latch(
    *,
    drive: float = 50 * pA,
    excitation: float = 58 * pA,
    set_pulse: float = 600 * pA,
    reset_pulse: float = 1500 * pA,
    delay: float = 1 * ms,
    neuron: LIF | None = None,
) -> Circuit:
    """A bit held by a LIF neuron Q with a slow excitatory synapse onto itself.

    The current of the autapse outlasts the intervals between spikes, as that of NMDA receptors
    does, and keeps the neuron firing; without it the drive is below rheobase. One spike at S
    excites Q enough to start it; one at R inhibits it for as long as the current of the autapse
    needs to fall too low to start it again. By default it fires at some 90 Hz.

    drive: tonic current (A), below rheobase. excitation: weight of the autapse (A).
    set_pulse, reset_pulse: weights (A) with which S excites and R inhibits. delay: axonal delay
        (s) of every connection.
    neuron: the LIF parameters but for `drive`; None takes tau_e = tau_i = 100 ms, refractory 5 ms
        and else the defaults of `nf.LIF`.

    Population Q; inputs S, R; readout Q, 1 where Q fired in the last 50 ms. The bit starts as 0.
    Precedent for a bit in one neuron with an autapse: Seung, Lee, Reis & Tank 2000 (J. Comput.
    Neurosci. 9:171), there graded. The rates are those of `autapse_rates`.

    Warns (UserWarning) where it cannot hold a bit: a drive that fires the neuron by itself, or
    an excitation that keeps no rate up. Raises ValueError for a parameter out of range.

    >>> import neuroflip as nf
    >>> rec = nf.simulate(autapse_latch(), {"S": [0.1], "R": [0.6]}, duration=1.2)
    >>> times, bit = rec.bit("Q")
    >>> [int(bit[round(t/0.1e-3)]) for t in (0.09, 0.3, 0.59, 0.9)]
    [0, 1, 1, 0]
    """
    base = neuron
    if base is None:
        base = LIF(tau_e=100 * ms, tau_i=100 * ms, refractory=5 * ms)
    if not isinstance(base, LIF):
        raise TypeError(f"autapse_latch: neuron must be a nf.LIF; got {neuron!r}.")
    drive = as_float(drive, "A", "autapse_latch: drive")
    excitation = at_least_0(excitation, "A", "autapse_latch: excitation")
    set_pulse = at_least_0(set_pulse, "A", "autapse_latch: set_pulse")
    reset_pulse = at_least_0(reset_pulse, "A", "autapse_latch: reset_pulse")
    delay = at_least_0(delay, "s", "autapse_latch: delay")
    if firing_rate(base, drive) > 0:
        warnings.warn(
            f"autapse_latch cannot hold a 0: a drive of {drive / pA:.0f} pA fires the neuron by "
            f"itself; rheobase is {rheobase(base) / pA:.0f} pA.",
            stacklevel=2,
        )
    elif excitation <= (least := least_excitation(base, drive)):
        warnings.warn(
            f"autapse_latch cannot hold a 1: an excitation of {excitation / pA:.1f} pA keeps no "
            f"rate up; with a drive of {drive / pA:.0f} pA it must be above {least / pA:.1f} pA.",
            stacklevel=2,
        )
    driven = dataclasses.replace(base, drive=drive)
    rest = {"v": min(base.v_rest + base.resistance * drive, base.v_threshold)}
    return Circuit(
        "autapse_latch",
        [Population("Q", driven, initial=rest)],
        [
            Projection("Q", "Q", excitation, "excitatory", axonal_delay=delay),
            Projection("S", "Q", set_pulse, "excitatory", axonal_delay=delay),
            Projection("R", "Q", reset_pulse, "inhibitory", axonal_delay=delay),
        ],
        [SpikeInput("S"), SpikeInput("R")],
        [Readout("Q", high="Q")],
    )


def rheobase(neuron: LIF) -> float:
    """The constant current (A) above which a LIF neuron fires.

    >>> rheobase(LIF())
    1.5e-10
    """
    return (neuron.v_threshold - neuron.v_rest) / neuron.resistance


def least_excitation(neuron: LIF, drive: float) -> float:
    """Least weight (A) with which an autapse keeps a neuron firing that has a drive (A).

        w = min over r of (I(r) - drive)/(tau_e r)

    I(r) is the current at which `firing_rate` is r. A mean-field condition, which takes the
    current of the autapse at its mean: where the intervals between spikes are not far below tau_e,
    as with a drive just below rheobase, its ripple lets the neuron fall silent above it, too.

    >>> neuron = LIF(tau_e=100*ms)
    >>> round(least_excitation(neuron, 100*pA)/pA, 1)
    29.7
    """
    return _needed(neuron, drive, _cheapest(neuron, drive))


def autapse_rates(neuron: LIF, drive: float, excitation: float) -> tuple[float, float] | tuple[()]:
    """The rates (Hz) at which an autapse of weight `excitation` (A) just sustains itself.

        r = f(drive + excitation tau_e r),   f = `firing_rate`

    Two, the unstable one, which separates silence from firing, and the stable one; or none. For a
    drive (A) below rheobase.

    >>> neuron = LIF(tau_e=100*ms)
    >>> [round(r) for r in autapse_rates(neuron, 100*pA, 50*pA)]
    [10, 207]
    >>> autapse_rates(neuron, 100*pA, 20*pA)
    ()
    """
    cheapest = _cheapest(neuron, drive)
    if excitation <= _needed(neuron, drive, cheapest):
        return ()

    def crossing(outside: float) -> float:
        inside = cheapest
        for _ in range(100):
            middle = (inside + outside) / 2
            if _needed(neuron, drive, middle) < excitation:
                inside = middle
            else:
                outside = middle
        return math.exp(inside)

    return crossing(_SLOWEST), crossing(_fastest(neuron))


_SLOWEST = math.log(1e-9)
"""Logarithms of rates (Hz) bound the search."""


def _fastest(neuron: LIF) -> float:
    return math.log(min(1e9, 1 / neuron.refractory if neuron.refractory else math.inf))


def _needed(neuron: LIF, drive: float, log_rate: float) -> float:
    """The weight (A) that sustains a rate, given by its logarithm."""
    rate = math.exp(log_rate)
    charging = max(1 / rate - neuron.refractory, 0.0)  # s from reset to threshold
    left = math.exp(-charging / neuron.tau_m)
    if left == 1:
        return math.inf
    settled = (neuron.v_threshold - neuron.v_reset * left) / (1 - left)
    current = (settled - neuron.v_rest) / neuron.resistance
    return (current - drive) / (neuron.tau_e * rate)


def _cheapest(neuron: LIF, drive: float) -> float:
    """The logarithm of the rate that needs the least weight, by golden section: the weight falls
    to its minimum and rises after it."""
    low, high = _SLOWEST, _fastest(neuron)
    golden = (math.sqrt(5) - 1) / 2
    for _ in range(100):
        left, right = high - golden * (high - low), low + golden * (high - low)
        if _needed(neuron, drive, left) < _needed(neuron, drive, right):
            high = right
        else:
            low = left
    return (low + high) / 2
