"""A bit held by a spike that goes round."""

import math
import warnings

import numpy as np

from neuroflip.circuit import Circuit, Pairs, Population, Projection, Readout, SpikeInput
from neuroflip.circuits.arguments import at_least_0, count
from neuroflip.neurons import DeltaLIF
from neuroflip.units import ms, mV


def delay_loop(
    neurons: int = 5,
    *,
    excitation: float = 20 * mV,
    inhibition: float = 20 * mV,
    delay: float = 5 * ms,
    neuron: DeltaLIF | None = None,
) -> Circuit:
    """A bit held by a spike that `neurons` neurons pass round a ring of delays.

    Each spike fires the next neuron; the time of a round is neurons (delay + dt). One spike at S
    fires the first neuron, one at R inhibits them all, so that what is under way meets no neuron
    that it could fire. While a neuron is refractory it takes no input: with a refractory period
    of more than half a round, as by default, a second S while a spike is on its way does not make
    two of them.

    neurons: length of the ring, at least 2: a neuron that fires itself would not feel an R in the
        step of its spike.
    excitation: weight (V) within the ring and of S. inhibition: weight (V) of R.
    delay: axonal delay (s) within the ring; S and R have none.
    neuron: the parameters of every neuron; None takes tau_m = 10 ms, refractory = 0.6 of a round
        (half of one with 2 neurons) and else the defaults of `nf.DeltaLIF`.

    Population loop; inputs S, R; readout Q, 1 where any neuron fired in the last 50 ms (or two
    delays, where that is longer). The bit starts as 0. The reverberating circuit of Lorente de No
    (1938, J. Neurophysiol. 1:207).

    Warns (UserWarning) where the parameters cannot hold a bit: a neuron that fires by itself, an
    excitation too weak to pass the spike on, an inhibition too weak to stop it, a refractory
    period too long (`loop_faults`). Raises ValueError for a parameter out of range.

    >>> import neuroflip as nf
    >>> rec = nf.simulate(delay_loop(), {"S": [0.05], "R": [0.35]}, duration=0.6)
    >>> times, bit = rec.bit("Q")
    >>> [int(bit[round(t/0.1e-3)]) for t in (0.04, 0.1, 0.34, 0.45)]
    [0, 1, 1, 0]
    """
    neurons = count(neurons, "delay_loop: neurons", 2)
    excitation = at_least_0(excitation, "V", "delay_loop: excitation")
    inhibition = at_least_0(inhibition, "V", "delay_loop: inhibition")
    delay = at_least_0(delay, "s", "delay_loop: delay")
    base = neuron
    if base is None:
        base = DeltaLIF(tau_m=10 * ms, refractory=min(0.6 * neurons, neurons - 1) * delay)
    if not isinstance(base, DeltaLIF):
        raise TypeError(f"delay_loop: neuron must be a nf.DeltaLIF; got {neuron!r}.")
    for reason in loop_faults(base, neurons, excitation, inhibition, delay):
        warnings.warn(f"delay_loop cannot hold a bit: {reason}.", stacklevel=2)
    ring = np.arange(neurons)
    return Circuit(
        "delay_loop",
        [Population("loop", base, neurons, initial={"v": _rest(base)})],
        [
            Projection(
                "loop", "loop", excitation, pattern=Pairs(ring, np.roll(ring, -1)),
                axonal_delay=delay,
            ),
            Projection("S", "loop", excitation, pattern=Pairs([0], [0])),
            Projection("R", "loop", -inhibition),
        ],
        [SpikeInput("S"), SpikeInput("R")],
        [Readout("Q", high="loop", window=max(50 * ms, 2 * delay))],
    )  # fmt: skip


def _rest(neuron: DeltaLIF) -> float:
    return min(neuron.v_rest + neuron.resistance * neuron.drive, neuron.v_threshold)


def loop_faults(
    neuron: DeltaLIF, neurons: int, excitation: float, inhibition: float, delay: float
) -> list[str]:
    """Why a ring of delays holds no bit: what is wrong, in words; empty where it holds.

    With V the resting potential under drive, T = neurons delay the time of a round and
    v_T = V + (v_reset - V) exp(-(T - refractory)/tau_m) the potential when the spike comes back:

        V < v_threshold            silence lasts
        refractory <= T - delay    the neuron is ready for the next round, and for an R before it
        v_T + excitation > v_threshold      and passes the spike on, as does a rested one
        max(V, v_T) - inhibition exp(-delay/tau_m) + excitation < v_threshold: a spike that
            arrives one delay after R finds no neuron that it could fire

    Exact but for the rounding to whole steps.

    >>> loop_faults(DeltaLIF(), 3, 14e-3, 20e-3, 1e-3)
    ['the excitation of 14.0 mV must be above 15.0 mV to pass a spike on']
    """
    rest = neuron.v_rest + neuron.resistance * neuron.drive
    theta, tau, around = neuron.v_threshold, neuron.tau_m, neurons * delay
    if rest >= theta:
        return [f"the drive takes a neuron to {rest / mV:.1f} mV, above threshold, by itself"]
    faults = []
    ready = rest
    if neuron.refractory > around - delay + 1e-9:
        faults.append(
            f"the refractory period of {neuron.refractory / ms:g} ms must be at most "
            f"{(around - delay) / ms:g} ms, a round less one delay"
        )
    else:
        ready += (neuron.v_reset - rest) * math.exp(-(around - neuron.refractory) / tau)
    if min(rest, ready) + excitation <= theta:
        needed = theta - min(rest, ready)
        faults.append(
            f"the excitation of {excitation / mV:.1f} mV must be above {needed / mV:.1f} mV to "
            "pass a spike on"
        )
    needed = (max(rest, ready) + excitation - theta) * math.exp(delay / tau)
    if inhibition <= needed:
        faults.append(
            f"the inhibition of {inhibition / mV:.1f} mV must be above {needed / mV:.1f} mV to "
            "stop it"
        )
    return faults
