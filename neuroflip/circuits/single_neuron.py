"""A bit held by one neuron with two stable states of its own: silent, and firing."""

import math
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from neuroflip import equations as eq
from neuroflip.circuit import Circuit, Population, Projection, Readout, SpikeInput
from neuroflip.circuits.arguments import at_least_0
from neuroflip.neurons import INJECTED, NOT_REFRACTORY
from neuroflip.neurons.izhikevich import Izhikevich
from neuroflip.neurons.mqif import MQIF
from neuroflip.units import as_float, ms, mV, pA


def mqif_latch(
    *, set_pulse: float = 21 * mV, reset_pulse: float = 100 * pA, neuron: MQIF | None = None
) -> Circuit:
    """A bit held by one multi-quadratic neuron, whose slow feedback is regenerative below v_s0.

    At the same drive the neuron rests or fires, since a spike leaves it where its slow current
    is weak. One spike at S takes v over the upper, unstable balance, and it fires on; one at R
    holds v below it until the slow variable is back at rest.

    set_pulse: weight (V) with which S lifts v: 21 mV is the published pulse of 1 ms and 21 (which
        is 2.1 nA here). reset_pulse: weight (A) with which R inhibits, decaying with tau_i. (The
        published pulse, 21 downwards for 1 ms, does not reset in all phases of the spike interval.)
    neuron: None takes the bistable neuron of the paper, the default of `nf.MQIF`.

    Population Q; inputs S, R; readout Q, 1 where Q fired in the last 50 ms. The bit starts as 0.
    Van Pottelbergh, Drion & Sepulchre 2018 (Neural Comput. 30:987).

    Warns (UserWarning) where the neuron has no stable rest, or does not fire on after S. Raises
    TypeError or ValueError for a parameter out of range.

    >>> import neuroflip as nf
    >>> rec = nf.simulate(mqif_latch(), {"S": [0.1], "R": [0.4]}, duration=0.6)
    >>> times, bit = rec.bit("Q")
    >>> [int(bit[round(t/0.1e-3)]) for t in (0.09, 0.15, 0.39, 0.5)]
    [0, 1, 1, 0]
    """
    neuron = MQIF() if neuron is None else neuron
    if not isinstance(neuron, MQIF):
        raise TypeError(f"mqif_latch: neuron must be a nf.MQIF; got {neuron!r}.")
    return _latch("mqif_latch", neuron, mqif_rest(neuron), set_pulse, reset_pulse)


def izhikevich_latch(
    *, set_pulse: float = 20 * mV, reset_pulse: float = 100 * pA, neuron: Izhikevich | None = None
) -> Circuit:
    """A bit held by one of Izhikevich's neurons, a resonator that rests or fires at one drive.

    One spike at S takes v over threshold, and the neuron fires on; one at R inhibits it, and as
    the inhibition fades it comes to rest without a rebound. (Published are two equal pulses, of
    which the second stops the neuron if it comes at the right phase.)

    set_pulse: weight (V) with which S lifts v. reset_pulse: weight (A) with which R inhibits,
        decaying with tau_i.
    neuron: None takes a = 0.1/ms, b = 0.26, c = -60 mV, d = 0 and a drive of 2.4 pA, the
        published 0.24 (Izhikevich 2004, IEEE Trans. Neural Netw. 15:1063, Fig. 1P).

    Population Q; inputs S, R; readout Q, 1 where Q fired in the last 100 ms. The bit starts as 0.

    Warns (UserWarning) where the neuron has no stable rest, or does not fire on after S. Raises
    TypeError or ValueError for a parameter out of range.

    >>> import neuroflip as nf
    >>> rec = nf.simulate(izhikevich_latch(), {"S": [0.1], "R": [0.5]}, duration=0.8)
    >>> times, bit = rec.bit("Q")
    >>> [int(bit[round(t/0.1e-3)]) for t in (0.09, 0.2, 0.49, 0.7)]
    [0, 1, 1, 0]
    """
    if neuron is None:
        neuron = Izhikevich(a=0.1 / ms, b=0.26, c=-60 * mV, d=0.0, drive=2.4 * pA)
    if not isinstance(neuron, Izhikevich):
        raise TypeError(f"izhikevich_latch: neuron must be a nf.Izhikevich; got {neuron!r}.")
    rest = izhikevich_rest(neuron)
    return _latch("izhikevich_latch", neuron, rest, set_pulse, reset_pulse, window=100 * ms)


def izhikevich_rest(neuron: Izhikevich) -> dict[str, float] | None:
    """Where an Izhikevich neuron rests under its drive; None where it has no stable rest.

    In mV and ms, with I = resistance drive, the lower root of

        0.04 v^2 + (5 - b) v + 140 + I = 0,        u = b v

    stable where 0.08 v + 5 < a.

    >>> rest = izhikevich_rest(Izhikevich())
    >>> {name: round(value/mV, 6) for name, value in rest.items()}
    {'v': -70.0, 'u': -14.0}
    """
    linear, constant = 5 - neuron.b, 140 + neuron.resistance * neuron.drive / mV
    square = linear * linear - 0.16 * constant
    if square <= 0:
        return None
    v = (-linear - math.sqrt(square)) / 0.08
    return {"v": v * mV, "u": neuron.b * v * mV} if 0.08 * v + 5 < neuron.a * ms else None


def mqif_rest(neuron: MQIF) -> dict[str, float] | None:
    """Where an MQIF neuron rests under its drive; None where it has no stable rest.

    A root of g_f (v - v_f0)^2 - g_s (v - v_s0)^2 - g_u (v - v_u0)^2 + drive = 0 below threshold,
    v_s = v_u = v, at which the Jacobian has no eigenvalue with a real part of 0 or more.

    >>> rest = mqif_rest(MQIF())
    >>> round(rest["v"]/mV, 2)
    -43.99
    """
    parts = [(neuron.g_f, neuron.v_f0), (-neuron.g_s, neuron.v_s0), (-neuron.g_u, neuron.v_u0)]
    polynomial = [
        sum(g for g, _ in parts),
        sum(-2 * g * v for g, v in parts),
        sum(g * v * v for g, v in parts) + neuron.drive,
    ]
    for root in np.roots(polynomial):
        v = float(root.real)
        if abs(root.imag) > 0 or v >= neuron.v_threshold:
            continue
        slopes = [2 * g * (v - v0) / neuron.capacitance for g, v0 in parts]
        slow = [[1 / tau, 0, 0] for tau in (neuron.tau_s, neuron.tau_u)]
        slow[0][1], slow[1][2] = -1 / neuron.tau_s, -1 / neuron.tau_u
        if np.linalg.eigvals(np.array([slopes, *slow])).real.max() < 0:
            return {"v": v, "v_s": v, "v_u": v}
    return None


def keeps_firing(
    neuron: MQIF | Izhikevich, state: Mapping[str, float], duration: float = 0.5
) -> bool:
    """Whether a neuron that starts from `state` fires in the last fifth of `duration` (s).

    One neuron without input, advanced by its own declared step of 0.1 ms.

    >>> lifted = mqif_rest(MQIF()) | {"v": -23*mV}
    >>> keeps_firing(MQIF(), lifted), keeps_firing(MQIF(drive=0.0), lifted)
    (True, False)
    """
    dt = 0.1 * ms
    model = neuron.model()
    update = eq.compile_block(model.update, _MATH)
    reset = eq.compile_block(model.reset, _MATH)
    margin = eq.compile_block((eq.Assignment("margin", model.margin),), _MATH)
    constants = {**neuron.parameters(), "dt": dt, INJECTED: 0.0, NOT_REFRACTORY: 1.0}
    now = dict.fromkeys(model.variables, 0.0) | dict(state)
    last = 0
    for step in range(round(duration / dt)):
        new = update(constants | now)
        now = {name: new[name] for name in model.variables}
        if margin(constants | now)["margin"] > 0:
            now |= reset(constants | now)
            last = step
    return last * dt > 0.8 * duration


_MATH: dict[str, Any] = {"min": min, "max": max, "exp": math.exp, "abs": abs}


def _latch(
    name: str,
    neuron: MQIF | Izhikevich,
    rest: dict[str, float] | None,
    set_pulse: float,
    reset_pulse: float,
    window: float = 50 * ms,
) -> Circuit:
    set_pulse = as_float(set_pulse, "V", f"{name}: set_pulse")
    reset_pulse = at_least_0(reset_pulse, "A", f"{name}: reset_pulse")
    if rest is None:
        fault = "a 0: the neuron has no stable rest"
    elif not keeps_firing(neuron, rest | {"v": rest["v"] + set_pulse}):
        fault = f"a 1: after a pulse of {set_pulse / mV:.3g} mV the neuron comes back to rest"
    else:
        fault = ""
    if fault:
        warnings.warn(
            f"{name} cannot hold {fault} at a drive of {neuron.drive / pA:.3g} pA.", stacklevel=3
        )
    return Circuit(
        name,
        [Population("Q", neuron, initial=rest or {})],
        [
            Projection("S", "Q", set_pulse, "delta"),
            Projection("R", "Q", reset_pulse, "inhibitory"),
        ],
        [SpikeInput("S"), SpikeInput("R")],
        [Readout("Q", high="Q", window=window)],
    )
