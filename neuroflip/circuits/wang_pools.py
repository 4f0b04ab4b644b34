"""A bit held by two pools of neurons with slow recurrent excitation and common inhibition."""

import math
import warnings

from neuroflip.circuit import (
    Circuit,
    OneToOne,
    PoissonInput,
    Population,
    Projection,
    Readout,
    SpikeInput,
)
from neuroflip.circuits.arguments import at_least_0, count
from neuroflip.circuits.mean_field import siegert_rate
from neuroflip.neurons.conductance_lif import ConductanceLIF
from neuroflip.rules import ShortTerm
from neuroflip.units import Hz, ms, mV, nF, nS

EXCITATORY = ConductanceLIF()
INHIBITORY = ConductanceLIF(capacitance=0.2 * nF, leak=20 * nS, refractory=1 * ms)
GATE = ShortTerm(utilization=1 - math.exp(-1), tau_rec=100 * ms)
"""The saturating gate of NMDA receptors, alpha = 0.5/ms and rise 2 ms (see `ConductanceLIF`)."""
DELAY = 0.5 * ms
EXTERNAL, EXTERNAL_INHIBITORY = 2.1 * nS, 1.62 * nS
"""Conductance (S) of the AMPA synapses of the external spikes."""


def wang_pools(
    size: int = 40,
    *,
    recurrent: float = 120 * nS,
    cross: float = 26 * nS,
    feedback: float = 52 * nS,
    inhibition: float = 520 * nS,
    cue: float = 80 * nS,
    rate: float = 2400 * Hz,
) -> Circuit:
    """A bit held by the reverberation of two selective pools, Q and Qbar, that share inhibition.

    The network of Wang (2002, Neuron 36:955) and Brunel & Wang (2001, J. Comput. Neurosci. 11:63)
    at a twentieth of its size: neurons, receptors, delay and external spikes are theirs, weights
    are divided by the size of the pool that sends them. Slow, saturating NMDA receptors keep the
    pool that was excited last firing at some 60 Hz; it drives the inhibitory pool, which silences
    the other. Against the original it has no non-selective neurons and no recurrent AMPA.

    One spike at S excites Q, through NMDA receptors, for some 100 ms: it takes over, and the bit
    is 1. One spike at R does so for Qbar.

    size: neurons of Q and of Qbar, even; the inhibitory pool I has half as many.
    recurrent: NMDA conductance (S) of a pool onto each of its own neurons with all gates open;
        cross: onto each neuron of the other pool; feedback: onto each of I.
    inhibition: GABA conductance (S) that one spike of each neuron of I adds to each of Q and Qbar;
        I inhibits itself with 10/13 of it, as in the original.
    cue: NMDA conductance (S) of a spike at S or R.
    rate: external spikes (Hz) of each neuron, at most one a step.

    Populations Q, Qbar, I; inputs S, R and Poisson inputs "to Q", "to Qbar", "to I"; readout Q.
    The bit starts as 0, with the gates of Qbar half open.

    Warns (UserWarning) where in the mean field (`wang_rates`) one pool does not keep firing while
    the other is silent, or where both can: the circuit is built, and holds no bit, or loses it to
    a strong cue. Raises ValueError for a parameter out of range.

    >>> import neuroflip as nf
    >>> rec = nf.simulate(wang_pools(20), {"S": [0.3], "R": [0.8]}, duration=1.3)
    >>> times, bit = rec.bit("Q")
    >>> [int(bit[round(t/0.1e-3)]) for t in (0.29, 0.55, 0.79, 1.2)]
    [0, 1, 1, 0]
    """
    size = count(size, "wang_pools: size", 2)
    if size % 2:
        raise ValueError(f"wang_pools: size must be even; got {size}.")
    recurrent = at_least_0(recurrent, "S", "wang_pools: recurrent")
    cross = at_least_0(cross, "S", "wang_pools: cross")
    feedback = at_least_0(feedback, "S", "wang_pools: feedback")
    inhibition = at_least_0(inhibition, "S", "wang_pools: inhibition")
    cue = at_least_0(cue, "S", "wang_pools: cue")
    rate = at_least_0(rate, "Hz", "wang_pools: rate")
    weights = (recurrent, cross, feedback, inhibition, rate)
    winner, loser, _ = wang_rates(*weights)
    both = wang_rates(*weights, start=(100.0, 95.0))[1]
    fault = ""
    if winner < 10:
        fault = f"a pool does not keep firing ({winner:.0f} Hz); raise recurrent"
    elif max(loser, both) > 10:
        fault = (
            f"both pools keep firing together ({max(loser, both):.0f} Hz); lower recurrent or "
            "raise inhibition"
        )
    if fault:
        warnings.warn(
            f"wang_pools cannot hold a bit: in the mean field {fault}.",
            stacklevel=2,
        )

    def slow(pre: str, post: str, total: float) -> Projection:
        return Projection(pre, post, total / size, "nmda", axonal_delay=DELAY, rule=GATE)

    def inhibit(post: str, total: float) -> Projection:
        return Projection("I", post, 2 * total / size, "gaba", axonal_delay=DELAY)

    def external(post: str, weight: float) -> Projection:
        return Projection(f"to {post}", post, weight, "ampa", OneToOne())

    start = {"v": -55 * mV}
    return Circuit(
        "wang_pools",
        [
            Population("Q", EXCITATORY, size, start),
            Population("Qbar", EXCITATORY, size, start | {"g_nmda": 0.5 * recurrent}),
            Population("I", INHIBITORY, size // 2, start),
        ],
        [
            *(slow(pool, pool, recurrent) for pool in ("Q", "Qbar")),
            slow("Q", "Qbar", cross),
            slow("Qbar", "Q", cross),
            *(slow(pool, "I", feedback) for pool in ("Q", "Qbar")),
            *(inhibit(pool, inhibition) for pool in ("Q", "Qbar")),
            inhibit("I", inhibition * 10 / 13),
            *(external(pool, EXTERNAL) for pool in ("Q", "Qbar")),
            external("I", EXTERNAL_INHIBITORY),
            Projection("S", "Q", cue, "nmda"),
            Projection("R", "Qbar", cue, "nmda"),
        ],
        [
            SpikeInput("S"),
            SpikeInput("R"),
            PoissonInput("to Q", rate, size),
            PoissonInput("to Qbar", rate, size),
            PoissonInput("to I", rate, size // 2),
        ],
        [Readout("Q", high="Q", low="Qbar")],
    )


def wang_rates(
    recurrent: float,
    cross: float,
    feedback: float,
    inhibition: float,
    rate: float,
    start: tuple[float, float] = (100.0, 0.0),
) -> tuple[float, float, float]:
    """Mean-field rates (Hz) of the winning, the losing and the inhibitory pool of `wang_pools`.

    Every neuron sees the mean conductances of all that it is given, and the fluctuations of its
    external spikes as Gaussian noise. With G the sum of its conductances (NMDA times B of the mean
    potential), it is a leaky neuron of time constant C/G that fires at its `siegert_rate`; a gate
    in Poisson spikes of rate r is open to s = U tau r/(1 + U tau r) in the mean. After Brunel &
    Wang (2001), with the voltage dependence of NMDA taken at the mean potential alone, and none of
    the fluctuations of recurrent input. The rates of the two pools relax from `start` (Hz) to a
    stable state.

    >>> [round(r) for r in wang_rates(60*nS, 26*nS, 52*nS, 520*nS, 2400)][0] < 10
    True
    """
    neurons = (EXCITATORY, EXCITATORY, INHIBITORY)
    jumps = (EXTERNAL, EXTERNAL, EXTERNAL_INHIBITORY)
    rates = [*start, 10.0]
    means = [-0.055] * 3
    for _ in range(400):
        gates = [GATE.utilization * GATE.tau_rec * r for r in rates[:2]]
        s, other = (x / (1 + x) for x in gates)
        nmda = (
            recurrent * s + cross * other,
            cross * s + recurrent * other,
            feedback * (s + other),
        )
        change = 0.0
        for i, neuron in enumerate(neurons):
            gaba = inhibition * (10 / 13 if i == 2 else 1) * neuron.tau_gaba * rates[2]
            excitation = jumps[i] * rate * neuron.tau_ampa + nmda[i] * neuron.block(means[i])
            total = neuron.leak + excitation + gaba
            level = neuron.leak * neuron.v_rest + excitation * neuron.e_exc + gaba * neuron.e_inh
            level /= total
            tau = neuron.capacitance / total
            jump = jumps[i] * neuron.tau_ampa * (neuron.e_exc - means[i]) / neuron.capacitance
            variance = jump * jump * rate * tau / 2 * tau / (tau + neuron.tau_ampa)
            fired = siegert_rate(
                level,
                math.sqrt(variance),
                tau,
                neuron.v_threshold,
                neuron.v_reset,
                neuron.refractory,
            )
            mean = level - (neuron.v_threshold - neuron.v_reset) * fired * tau
            mean -= (level - neuron.v_reset) * fired * neuron.refractory
            change = max(change, abs(fired - rates[i]))
            rates[i] += 0.1 * (fired - rates[i])
            means[i] += 0.1 * (mean - means[i])
        if change < 1e-3:
            break
    return rates[0], rates[1], rates[2]
