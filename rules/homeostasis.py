"""Companions that keep activity or weights in range; add them to a rule with `rules.Sum`."""

from dataclasses import dataclass
from typing import ClassVar, final

from neuroflip.parameters import parameter
from neuroflip.rules.rule import Rule


@final
@dataclass(frozen=True)
class HomeostaticScaling(Rule):
    """Synaptic scaling to a target rate (van Rossum, Bi & Turrigiano 2000, J. Neurosci. 20:8812).

        dy/dt = -y/tau,  y += 1/tau at a postsynaptic spike
        dw/dt = rate w (target - y)

    y is the postsynaptic rate (Hz), averaged over about tau. The change is in proportion to the
    weight, so all synapses of a neuron are scaled alike and their ratios stay. This is the paper's
    proportional term; its integral term, which removes the error that other plasticity leaves, is
    not in it. w is integrated by forward Euler, y exactly.

    Without bounds of its own: weights of either sign keep it. In a `rules.Sum` the bounds of the
    other parts hold. rate and tau are of the order commonly quoted from the paper, 4e-5 and 100 s.

    >>> HomeostaticScaling(target=-1)
    Traceback (most recent call last):
        ...
    ValueError: HomeostaticScaling.target must be at least 0 Hz; got -1.0.
    """

    target: float = parameter(5.0, "Hz", at_least=0)
    """Rate that the scaling aims at (Hz)."""
    rate: float = parameter(4e-5, at_least=0)
    """Relative change of the weight a second and Hz of deviation (dimensionless)."""
    tau: float = parameter(100.0, "s", above=0)
    """Time over which the rate is averaged (s)."""

    equations: ClassVar[str] = """
        dy/dt = -y/tau
        dw/dt = rate*w*(target - y)
    """
    on_post: ClassVar[str] = "y += 1/tau"


@final
@dataclass(frozen=True)
class WeightNormalisation(Rule):
    """Multiplicative normalisation: the weights of a neuron keep a total, and their ratios.

        dw/dt = rate w (1 - sum/total),   sum = the sum of w over the neuron's synapses

    so the sum grows logistically to `total`, near it as exp(-rate t). It joins the synapses of a
    neuron, so it works on torch layers alone (`rules.attach`), and is meant for weights >= 0.

    >>> WeightNormalisation().model().layers_only
    True
    >>> WeightNormalisation(total=0)
    Traceback (most recent call last):
        ...
    ValueError: WeightNormalisation.total must be above 0; got 0.0.
    """

    total: float = parameter(1.0, above=0)
    """Sum of the weights of each postsynaptic neuron, in the unit of the weight."""
    rate: float = parameter(1.0, at_least=0)
    """Speed of the approach to it (1/s)."""

    equations: ClassVar[str] = "dw/dt = rate*w*(1 - sum_pre(w)/total)"
