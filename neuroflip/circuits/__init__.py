"""The library of flip-flop circuits: functions that return a `Circuit`."""

from collections.abc import Callable

from neuroflip.circuit import Circuit
from neuroflip.circuits.latch import can_latch as can_latch
from neuroflip.circuits.latch import firing_rate as firing_rate
from neuroflip.circuits.latch import loser_potential as loser_potential
from neuroflip.circuits.sr_latch import sr_latch as sr_latch

CIRCUITS: dict[str, Callable[..., Circuit]] = {"sr_latch": sr_latch}
"""The circuits by name, for the command line."""
