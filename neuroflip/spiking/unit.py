"""The bistable unit of `SpikingFlipFlop`: four neurons, their synapses, and why they latch.

Two neurons Q and Qbar, driven tonically, silence each other: the latch. Two gating neurons read
the currents J and K: `set` turns Q on and Qbar off and is shut while Q is on, `reset` does the
opposite and is shut while Qbar is on. All are leaky integrate-and-fire in discrete time, with
decay b per step, threshold h and reset by subtraction (snnTorch's `Leaky`), and a spike is felt
one step after it was sent:

    U_t = b U_{t-1} + (input)_t + (sum of weights of the spikes of step t - 1)
    S_t = U_t > h

The derivation, for a margin m > 0, is in docs/spiking.md. In short:

The latch. With mutual inhibition w = h + 2(1 - b) m and drive d = h + (1 - b)(h + m), U_Q +
U_Qbar stays at 2h, so that exactly one of the two fires in every step, and y = U_Q - h follows

    y_t = b y_{t-1} + (1 - b) m sign(y_{t-1}) + 2m (S_set - S_reset)_{t-1} + x_t

where x is any other input (to Q, its opposite to Qbar). Without input y rests at m or at -m, for
ever: the unit latches for every m > 0 and 0 < b < 1, and for no m <= 0. A disturbance x leaves
the bit if |x| < m for a single step from rest, if |x| < (1 - b) m for ever. A gating spike takes
y from -m to m or back exactly, in one step.

The gates. With inhibition G on the gate whose side is on, and spikes that hand it over,

    U_set = u_J - G Q        U_reset = u_K - G Qbar

exactly, where u_J, u_K are leaky integrals of J and K: `set` fires when u_J > h and Q is off, and
does not while Q is on and u_J <= h + G. So Q_{t+1} = J (1 - Q) + (1 - K) Q, the JK flip-flop,
with J = [u_J > h], K = [u_K > h].
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from neuroflip.units import as_float

ROLES = ("set", "reset", "Q", "Qbar")
"""The neurons of a unit, in the order of every array below."""


@dataclass(frozen=True)
class Unit:
    """The numbers of a unit, in closed form; all potentials in the unit of the threshold.

    beta: decay of the membranes per step, above 0 and below 1. threshold: h, above 0. margin: m,
    how far from the threshold Q and Qbar rest. gating: G, by how much more than the threshold the
    integral of J must exceed to fire `set` while Q is on, and K while Qbar is on.

    Raises ValueError for a number out of range; in particular for a margin with which the two
    neurons do not hold a bit, below a thousandth of the threshold, where rounding decides.

    >>> Unit(0.5, 1.0, 1.0, 8.0).inhibition, Unit(0.5, 1.0, 1.0, 8.0).drive
    (2.0, 2.0)
    >>> Unit(0.5, 1.0, -0.2, 8.0)
    Traceback (most recent call last):
        ...
    ValueError: margin must be at least 0.001, a thousandth of the threshold: at or below 0 ...
    """

    beta: float = 0.5
    threshold: float = 1.0
    margin: float = 1.0
    gating: float = 8.0

    def __post_init__(self) -> None:
        for name in ("beta", "threshold", "margin", "gating"):
            object.__setattr__(self, name, as_float(getattr(self, name), "1", name))
        if not 0 < self.beta < 1:
            raise ValueError(
                "beta must be above 0 and below 1, the decay of a membrane in a step; "
                f"got {self.beta!r}."
            )
        for name in ("threshold", "gating"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be above 0; got {getattr(self, name)!r}.")
        if self.margin < self.threshold / 1000:
            raise ValueError(
                f"margin must be at least {self.threshold / 1000:g}, a thousandth of the "
                "threshold: at or below 0 Q and Qbar do not silence each other and the unit "
                f"cannot latch, just above it rounding decides; got {self.margin!r}."
            )

    @property
    def inhibition(self) -> float:
        """w, between Q and Qbar, each way."""
        return self.threshold + 2 * (1 - self.beta) * self.margin

    @property
    def drive(self) -> float:
        """d, what Q and Qbar receive in every step."""
        return self.threshold + (1 - self.beta) * (self.threshold + self.margin)

    @property
    def lasting(self) -> float:
        """(1 - b) m: input to Q or Qbar below this holds for ever, above it may flip the unit."""
        return (1 - self.beta) * self.margin

    def synapses(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Weights between the unit's neurons, shape (4, 4), [post, pre]; resets not included."""
        g, m, w = self.gating, self.margin, self.inhibition
        hold = (1 - self.beta) * g
        return np.array(
            [
                [-g, g, -hold, 0.0],
                [g, -g, 0.0, -hold],
                [2 * m, -2 * m, 0.0, -w],
                [-2 * m, 2 * m, -w, 0.0],
            ]
        )

    def rest(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Potentials of a unit that is off, at rest: (4,). With it fires Qbar alone."""
        h, m = self.threshold, self.margin
        return np.array([0.0, -self.gating, h - m, h + m])
