"""A bit held by two pools of neurons that silence each other, in noise."""

import dataclasses
import warnings

import numpy as np

from neuroflip.circuit import (
    Circuit,
    NoiseInput,
    Pairs,
    Population,
    Projection,
    Readout,
    SpikeInput,
)
from neuroflip.circuits.arguments import at_least_0, count
from neuroflip.circuits.mean_field import siegert_rate
from neuroflip.neurons import LIF
from neuroflip.units import as_float, ms, mV, pA


def mutual_pools(
    size: int = 25,
    *,
    drive: float = 300 * pA,
    inhibition: float = 200 * pA,
    pulse: float = 1500 * pA,
    noise: float = 2 * mV,
    p: float = 0.5,
    delay: float = 1 * ms,
    neuron: LIF | None = None,
    seed: int = 0,
) -> Circuit:
    """A bit held by two mutually inhibiting pools of LIF neurons, Q and Qbar, in Gaussian noise.

    One spike at S inhibits all of Qbar and makes the bit 1, one at R inhibits all of Q: the
    `sr_latch` with pools in place of neurons, whose memory outlives any one of them.

    size: neurons of each pool. drive: tonic current (A) of each neuron.
    inhibition: total weight (A) of the connections of a neuron from the other pool.
    pulse: weight (A) with which S and R inhibit each neuron.
    noise: standard deviation (V) that the noise, independent in each neuron, gives its potential.
    p: the part of the other pool that a neuron is inhibited by, rounded to whole neurons, at least
        one; which, is drawn from `seed`. delay: axonal delay (s) of all connections.
    neuron: the LIF parameters but for `drive`; None takes those of `sr_latch`.

    Populations Q, Qbar; inputs S, R and the noise of each pool; readout Q. The bit starts as 0.
    Two pools that inhibit each other are the standard model of rivalry, decision and the
    sleep switch (Saper, Chou & Scammell 2001, Trends Neurosci. 24:726); the sizes follow the
    sleep switch of the SimLIFNet toolbox.

    Warns (UserWarning) where in the mean field (`pool_rates`) the pools end up alike: the
    circuit is built, and holds no bit. Raises ValueError for a parameter out of range.

    >>> import neuroflip as nf
    >>> rec = nf.simulate(mutual_pools(), {"S": [0.1], "R": [0.6]}, duration=1.0)
    >>> times, bit = rec.bit("Q")
    >>> [int(bit[round(t/0.1e-3)]) for t in (0.09, 0.3, 0.59, 0.9)]
    [0, 1, 1, 0]
    """
    size = count(size, "mutual_pools: size")
    base = LIF(tau_e=20 * ms) if neuron is None else neuron
    if not isinstance(base, LIF):
        raise TypeError(f"mutual_pools: neuron must be a nf.LIF; got {neuron!r}.")
    drive = as_float(drive, "A", "mutual_pools: drive")
    inhibition = at_least_0(inhibition, "A", "mutual_pools: inhibition")
    pulse = at_least_0(pulse, "A", "mutual_pools: pulse")
    noise = at_least_0(noise, "V", "mutual_pools: noise")
    delay = at_least_0(delay, "s", "mutual_pools: delay")
    p = as_float(p, "1", "mutual_pools: p")
    if not 0 < p <= 1:
        raise ValueError(f"mutual_pools: p must be above 0 and at most 1; got {p!r}.")
    winner, loser = pool_rates(base, drive, inhibition, noise)
    if winner - loser < 0.5 * winner or winner == 0:
        warnings.warn(
            f"mutual_pools cannot hold a bit: in the mean field the pools fire at {winner:.0f} "
            f"and {loser:.0f} Hz, whichever was on; raise inhibition or drive, or lower noise.",
            stacklevel=2,
        )
    driven = dataclasses.replace(base, drive=drive)
    # The bit starts as 0: Q as if Qbar had been inhibiting it for long, at mean values.
    mean = inhibition * base.tau_i * winner
    silenced = {"v": base.v_rest + base.resistance * (drive - mean), "i_inh": mean}

    rng = np.random.default_rng(count(seed, "mutual_pools: seed", 0))
    degree = max(1, round(p * size))

    def cross(pre: str, post: str) -> Projection:
        # As many for each: neurons that are given less inhibition than others would never be silent
        chosen = np.concatenate([rng.permutation(size)[:degree] for _ in range(size)])
        pattern = Pairs(chosen, np.repeat(np.arange(size), degree))
        weight = inhibition / degree
        return Projection(pre, post, weight, "inhibitory", pattern, axonal_delay=delay)

    return Circuit(
        "mutual_pools",
        [Population("Q", driven, size, silenced), Population("Qbar", driven, size)],
        [
            cross("Q", "Qbar"),
            cross("Qbar", "Q"),
            Projection("S", "Qbar", pulse, "inhibitory", axonal_delay=delay),
            Projection("R", "Q", pulse, "inhibitory", axonal_delay=delay),
        ],
        [
            SpikeInput("S"),
            SpikeInput("R"),
            NoiseInput("noise of Q", "Q", noise),
            NoiseInput("noise of Qbar", "Qbar", noise),
        ],
        [Readout("Q", high="Q", low="Qbar")],
    )


def pool_rates(neuron: LIF, drive: float, inhibition: float, noise: float) -> tuple[float, float]:
    """Mean-field rates (Hz) of the winning and of the losing pool.

        r_w = f(drive - inhibition tau_i r_l)        r_l = f(drive - inhibition tau_i r_w)

    f is `siegert_rate` with the sd `noise` (V). The solution in which the two differ most is
    found by iteration from r_l = 0, which is monotone; where the rates come out equal there is
    no other.

    >>> [round(r) for r in pool_rates(LIF(), 300*pA, 200*pA, 2*mV)]
    [64, 0]
    >>> [round(r) for r in pool_rates(LIF(), 300*pA, 60*pA, 2*mV)]
    [48, 48]
    """

    def rate(other: float) -> float:
        current = drive - inhibition * neuron.tau_i * other
        return siegert_rate(
            neuron.v_rest + neuron.resistance * current,
            noise,
            neuron.tau_m,
            neuron.v_threshold,
            neuron.v_reset,
            neuron.refractory,
        )

    winner = loser = 0.0
    for _ in range(1000):
        before = winner
        winner = rate(loser)
        loser = rate(winner)
        if abs(winner - before) <= 1e-6 * winner:
            break
    return winner, loser
