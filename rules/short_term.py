"""Short-term plasticity: what a spike passes on depends on the spikes before it."""

from dataclasses import dataclass
from typing import Any, ClassVar, final

from neuroflip.errors import nearest
from neuroflip.parameters import parameter
from neuroflip.rules.rule import Rule
from neuroflip.units import ms

_PRESETS = {
    "depressing": {"utilization": 0.5, "tau_rec": 800 * ms, "tau_facil": 0.001 * ms},
    "facilitating": {"utilization": 0.03, "tau_rec": 130 * ms, "tau_facil": 530 * ms},
}


@final
@dataclass(frozen=True)
class ShortTerm(Rule):
    """Short-term depression and facilitation (Tsodyks, Pawelzik & Markram 1998).

    The weight w is what a synapse could pass on at most, and stays as it is. At a presynaptic
    spike the release probability u rises, then the fraction u of the resources r is used up:

        u += utilization (1 - u),   the soma receives w u r,   r -= u r
        du/dt = -u/tau_facil        dr/dt = (1 - r)/tau_rec

    (Neural Comput. 10:821, without the inactivation of the current, which is the neuron's
    receptor; Markram, Wang & Tsodyks 1998, PNAS 95:5323.) So the first spike of a rested synapse
    passes on w times `utilization`. Where u relaxes to `utilization` between spikes and the
    release comes before the jump, as in Brian 1's and ANNarchy's classes, the numbers are the
    same. In the declaration x = 1 - r is used, for variables start at 0.

    A tau_facil far below the intervals of spikes is none: u is `utilization` at each.

    >>> ShortTerm(utilization=1.5)
    Traceback (most recent call last):
        ...
    ValueError: ShortTerm.utilization must be at most 1; got 1.5.
    """

    utilization: float = parameter(0.5, above=0, at_most=1)
    """Release probability of a rested synapse (U), above 0 and at most 1."""
    tau_rec: float = parameter(800 * ms, "s", above=0)
    """Recovery of the resources (s)."""
    tau_facil: float = parameter(0.001 * ms, "s", above=0)
    """Decay of the facilitation (s)."""

    equations: ClassVar[str] = """
        du/dt = -u/tau_facil
        dx/dt = -x/tau_rec
    """
    on_pre: ClassVar[str] = """
        u += utilization*(1 - u)
        x += u*(1 - x)
    """
    transmit: ClassVar[str] = "w*(u + utilization*(1 - u))*(1 - x)"

    @classmethod
    def preset(cls, name: str, **changes: Any) -> "ShortTerm":
        """The synapses of Tsodyks, Pawelzik & Markram 1998, Fig. 1, with `changes`.

        "depressing": U 0.5, tau_rec 800 ms, no facilitation (the defaults; Brian2's reproduction
        of the figure needs U 0.6). "facilitating": U 0.03, tau_rec 130 ms, tau_facil 530 ms.

        Raises ValueError for an unknown name.

        >>> ShortTerm.preset("facilitating").utilization
        0.03
        """
        if name not in _PRESETS:
            raise ValueError(f"ShortTerm: unknown preset {name!r}; {nearest(name, _PRESETS)}")
        return cls(**{**_PRESETS[name], **changes})

    def window(self, interval: float, weight: float) -> float:
        """0 for every interval: the weight does not change."""
        return 0.0
