"""When two mutually inhibiting neurons hold a bit: the mean-field latch condition."""

import math

from neuroflip.neurons import LIF
from neuroflip.units import as_float


def firing_rate(neuron: LIF, current: float) -> float:
    """Firing rate (Hz) of a LIF neuron under a constant current (A), in place of its `drive`.

        f(I) = 1/(refractory + tau_m ln((R I + v_rest - v_reset)/(R I + v_rest - v_threshold)))

    and 0 where the current does not reach threshold (Dayan & Abbott 2001, Theoretical
    Neuroscience, eq. 5.11).

    >>> from neuroflip.units import pA
    >>> round(firing_rate(LIF(), 300*pA), 1)
    63.0
    """
    current = as_float(current, "A", "current")
    settled = neuron.v_rest + neuron.resistance * current
    if settled <= neuron.v_threshold:
        return 0.0
    crossing = math.log((settled - neuron.v_reset) / (settled - neuron.v_threshold))
    return 1.0 / (neuron.refractory + neuron.tau_m * crossing)


def loser_potential(neuron: LIF, current: float, weight: float) -> float:
    """Mean potential (V) of the silenced one of two neurons that inhibit each other.

        v = v_rest + R (I - w tau_i f(I))

    current: mean excitatory current I of each (A). weight: cross inhibition w, a spike (A),
    decaying with the neuron's tau_i. The pair holds a bit iff v < v_threshold: then the winner,
    firing at f(I), keeps the loser silent. A mean-field condition: close to threshold the ripple
    of the inhibition lets the loser leak.

    >>> from neuroflip.units import pA
    >>> round(loser_potential(LIF(), 200*pA, 60*pA)*1e3, 1)  # mV; threshold 15: no latch
    16.0
    >>> round(loser_potential(LIF(), 300*pA, 200*pA)*1e3, 1)  # latches
    4.8
    """
    weight = as_float(weight, "A", "weight")
    current = as_float(current, "A", "current")
    inhibition = weight * neuron.tau_i * firing_rate(neuron, current)
    return neuron.v_rest + neuron.resistance * (current - inhibition)


def can_latch(neuron: LIF, current: float, weight: float) -> bool:
    """Whether two such neurons hold a bit: R (I - w tau_i f(I)) < theta, and the winner fires.

    >>> from neuroflip.units import pA
    >>> can_latch(LIF(), 300*pA, 100*pA), can_latch(LIF(), 300*pA, 200*pA)
    (False, True)
    """
    fires = firing_rate(neuron, current) > 0
    return fires and loser_potential(neuron, current, weight) < neuron.v_threshold
