"""Voltage-based plasticity."""

from dataclasses import dataclass
from typing import ClassVar, final

from neuroflip.parameters import choice, parameter
from neuroflip.rules.rule import Declaration, Rule
from neuroflip.units import ms, mV


@final
@dataclass(frozen=True)
class ClopathSTDP(Rule):
    """Voltage-based STDP (Clopath et al. 2010, Nat. Neurosci. 13:344, eqs. 1 and 2).

    With u_minus and u_plus the postsynaptic potential v after low-pass filters, [z]+ = max(z, 0),
    and a presynaptic trace x that a spike raises by 1, dx/dt = -x/tau_x, the weight changes, in
    units of w_max - w_min,

        at a presynaptic spike, by   -a_ltd [u_minus - theta_minus]+
        at the rate                   a_ltp x/tau_x [v - theta_plus]+ [u_plus - theta_minus]+

    and is held within w_min and w_max. (The paper's trace jumps by 1/tau_x.) The postsynaptic
    neuron must have v, u_minus and u_plus, as `FilteredLIF` does.

    potentiation = "voltage" is the second line as published, for neurons whose action potential
    passes theta_plus. A leaky integrate-and-fire neuron has no such upstroke: its v stays below
    threshold, and nothing would potentiate. potentiation = "spike", the default, therefore
    integrates that line over an action potential at v_peak for spike_width, at the postsynaptic
    spike:

        at a postsynaptic spike, by   a_ltp x/tau_x [u_plus - theta_minus]+ [v_peak - theta_plus]+ spike_width

    u_plus is that of before this spike, as in NEST, where the filtered potentials are read with a
    delay. That a postsynaptic spike potentiates, and that spikes enter the filters by a jump, is
    the adaptation to integrate-and-fire neurons in Brian2's examples.

    Parameters are those of NEST's example of the rule (`clopath_synapse`), there in mV and ms:
    a_ltd 14e-5/mV, a_ltp 8e-5/mV^2; peak and width those of its clamp, 33 mV for 2 ms. The
    homeostatic factor of a_ltd is left out; see `rules.Sum` and `rules.HomeostaticScaling`.

    Potentiation by "voltage" is integrated by forward Euler and visits every synapse each step.

    >>> ClopathSTDP().model().continuous, ClopathSTDP(potentiation="voltage").model().continuous
    (False, True)
    >>> ClopathSTDP(potentiation="calcium")
    Traceback (most recent call last):
        ...
    ValueError: ClopathSTDP.potentiation: unknown 'calcium'; known: spike, voltage.
    """  # noqa: E501

    a_ltd: float = parameter(0.14, at_least=0)
    """Depression at a presynaptic spike, in fractions of w_max - w_min per volt (1/V)."""
    a_ltp: float = parameter(80.0, at_least=0)
    """Potentiation, in fractions of w_max - w_min per squared volt (1/V^2)."""
    theta_minus: float = parameter(-70.6 * mV, "V")
    """Threshold of the filtered potentials (V)."""
    theta_plus: float = parameter(-45.3 * mV, "V")
    """Threshold of the potential itself, for potentiation (V)."""
    tau_x: float = parameter(15 * ms, "s", above=0)
    """Time constant of the presynaptic trace (s)."""
    potentiation: str = choice("spike", "voltage")
    """What potentiates: each postsynaptic "spike", or the "voltage" itself."""
    v_peak: float = parameter(33 * mV, "V")
    """Potential of an action potential (V); with "spike" alone."""
    spike_width: float = parameter(2 * ms, "s", at_least=0)
    """Duration of an action potential (s); with "spike" alone."""
    w_min: float = parameter(0.0)
    """Lower bound, in the unit of the weight."""
    w_max: float = parameter(1.0)
    """Upper bound, in the unit of the weight."""

    equations: ClassVar[str] = "dx/dt = -x/tau_x"
    on_pre: ClassVar[str] = """
        x += 1
        w -= (w_max - w_min)*a_ltd*max(u_minus_post - theta_minus, 0)
    """
    on_post: ClassVar[str] = (
        "w += (w_max - w_min)*a_ltp*x/tau_x*max(u_plus_post - theta_minus, 0)"
        "*max(v_peak - theta_plus, 0)*spike_width"
    )
    reads: ClassVar[tuple[str, ...]] = ("v", "u_minus", "u_plus")

    def declare(self) -> Declaration:
        """The text for the chosen potentiation."""
        if self.potentiation == "spike":
            return super().declare()
        flow = (
            "dw/dt = (w_max - w_min)*a_ltp*x/tau_x*max(v_post - theta_plus, 0)"
            "*max(u_plus_post - theta_minus, 0)"
        )
        return Declaration(f"{self.equations}\n{flow}", self.on_pre, "")
