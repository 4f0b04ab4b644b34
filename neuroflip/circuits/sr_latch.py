"""The set-reset latch: two neurons that silence each other."""

import warnings

from neuroflip.circuit import Circuit, Population, Projection, Readout, SpikeInput
from neuroflip.circuits.arguments import at_least_0
from neuroflip.circuits.latch import can_latch, firing_rate, loser_potential
from neuroflip.neurons import LIF
from neuroflip.units import as_float, ms, pA


def sr_latch(
    neurons: int = 2,
    *,
    drive: float = 300 * pA,
    inhibition: float | None = None,
    pulse: float = 1500 * pA,
    excitation: float = 240 * pA,
    delay: float = 1 * ms,
    neuron: LIF | None = None,
) -> Circuit:
    """A bit held by two mutually inhibiting LIF neurons, Q and Qbar.

    One spike at input S makes the bit 1 (Q fires, Qbar is silent), one at R makes it 0; between
    pulses whichever fires keeps the other silent. A pulse works by taking away what keeps the
    winner going for some 50 ms, so the low neuron rises only after the high one has fallen.

    neurons: 2: tonic currents drive Q and Qbar; S inhibits Qbar, R inhibits Q (active low:
            Q = R' AND-NOT Qbar, Qbar = S' AND-NOT Q, with the drives as S' and R').
        4: the drives are neurons too, S' = 1 AND-NOT S and R' = 1 AND-NOT R (active high), which
            excite Qbar and Q.
    drive: tonic current (A) of Q and Qbar, or of S' and R'.
    inhibition: weight (A) of Q -| Qbar and Qbar -| Q; None takes 200 pA with 2 neurons, 300 pA with
        4, where the excitation too may be off.
    pulse: weight (A) with which S and R inhibit.
    excitation: weight (A) of S' -> Qbar and R' -> Q, with 4 neurons.
    delay: axonal delay (s) of every connection.
    neuron: the LIF parameters of every neuron but for `drive`; None takes tau_m = tau_e = tau_i
        = 20 ms, R = 100 Mohm, threshold 15 mV above rest, refractory 2 ms.

    Populations Q, Qbar (S', R'); inputs S, R; readout Q. The bit starts as 0.
    Design: Yoder 2024 (PLoS ONE 19:e0300534), whose logic is kept and whose neurons are made LIF.

    Warns (UserWarning) where the mean-field latch condition fails (`loser_potential`): the
    circuit is built, and holds no bit. Raises ValueError for another number of neurons or a
    parameter out of range.

    >>> import neuroflip as nf
    >>> rec = nf.simulate(sr_latch(), {"S": [50*ms], "R": [550*ms]}, duration=1.0)
    >>> times, bit = rec.bit("Q")
    >>> [int(bit[round(t/0.1e-3)]) for t in (0.04, 0.3, 0.5, 0.8)]
    [0, 1, 1, 0]
    """
    if neurons not in (2, 4):
        raise ValueError(f"sr_latch: neurons must be 2 or 4; got {neurons!r}.")
    base = LIF(tau_e=20 * ms) if neuron is None else neuron
    if not isinstance(base, LIF):
        raise TypeError(f"sr_latch: neuron must be a nf.LIF; got {neuron!r}.")
    drive = as_float(drive, "A", "sr_latch: drive")
    if inhibition is None:
        inhibition = 200 * pA if neurons == 2 else 300 * pA
    inhibition = at_least_0(inhibition, "A", "sr_latch: inhibition")
    pulse = at_least_0(pulse, "A", "sr_latch: pulse")
    excitation = at_least_0(excitation, "A", "sr_latch: excitation")
    delay = at_least_0(delay, "s", "sr_latch: delay")
    parameters = base.parameters()
    driven, passive = LIF(**parameters | {"drive": drive}), LIF(**parameters | {"drive": 0.0})
    current = drive
    if neurons == 4:
        current = excitation * base.tau_e * firing_rate(driven, drive)
    if not can_latch(driven, current, inhibition):
        potential = loser_potential(driven, current, inhibition)
        warnings.warn(
            f"sr_latch cannot hold a bit: R (I - w tau_i f(I)) = {potential * 1e3:.1f} mV with "
            f"I = {current / pA:.0f} pA, and must be below the threshold of "
            f"{base.v_threshold * 1e3:.1f} mV, with I above rheobase; raise inhibition or drive.",
            stacklevel=2,
        )

    def inhibit(pre: str, post: str, weight: float) -> Projection:
        return Projection(pre, post, weight, "inhibitory", axonal_delay=delay)

    # The bit starts as 0: Q as if Qbar had been inhibiting it for long, at mean values.
    silenced = {
        "v": loser_potential(driven, current, inhibition),
        "i_inh": inhibition * base.tau_i * firing_rate(driven, current),
    }
    cross = [inhibit("Q", "Qbar", inhibition), inhibit("Qbar", "Q", inhibition)]
    if neurons == 2:
        populations = [Population("Q", driven, initial=silenced), Population("Qbar", driven)]
        gates = [inhibit("S", "Qbar", pulse), inhibit("R", "Q", pulse)]
    else:
        populations = [
            Population("Q", passive, initial=silenced | {"i_exc": current}),
            Population("Qbar", passive, initial={"i_exc": current}),
            Population("S'", driven),
            Population("R'", driven),
        ]
        gates = [
            inhibit("S", "S'", pulse),
            inhibit("R", "R'", pulse),
            Projection("S'", "Qbar", excitation, "excitatory", axonal_delay=delay),
            Projection("R'", "Q", excitation, "excitatory", axonal_delay=delay),
        ]
    return Circuit(
        "sr_latch",
        populations,
        [*cross, *gates],
        [SpikeInput("S"), SpikeInput("R")],
        [Readout("Q", high="Q", low="Qbar")],
    )
