"""Rules on firing rates: Hebb and those that keep Hebb from growing without bound."""

from dataclasses import dataclass
from typing import ClassVar, final

from neuroflip.parameters import parameter
from neuroflip.rules.rule import Declaration, Rule
from neuroflip.units import ms


@dataclass(frozen=True, kw_only=True)
class RateRule(Rule):
    """Base of the rules on two rates, x before the synapse and y after it.

    A rule of one's own is one equation, such as `dw/dt = rate*y*(x - y*w)`.

    On a projection of a circuit x and y are the spike trains that reach the synapse, filtered by
    exp(-t/tau)/tau (Hz): their means are the firing rates, their deviations sqrt(rate/(2 tau))
    for Poisson trains. Time is in seconds, and `dw/dt` is integrated in every step.

    On a torch layer x is its input and y its output, in their own unit; `tau` is without effect,
    one presentation lasts `dt` of `rules.attach`, 1 by default, so that dw/dt is the change by
    one presentation and time constants count presentations.
    """

    activity: ClassVar[tuple[str, str]] = ("x", "y")
    """The variables that stand for the input and the output of a layer."""

    tau: float = parameter(100 * ms, "s", above=0)
    """Time constant of the filter that makes spikes into rates (s); for circuits alone."""

    def declare(self) -> Declaration:
        """The filters, then the text of the rule itself."""
        own = super().declare()
        return Declaration(
            f"dx/dt = -x/tau\ndy/dt = -y/tau\n{own.equations}",
            f"x += 1/tau\n{own.on_pre}",
            f"y += 1/tau\n{own.on_post}",
            own.transmit,
        )


@final
@dataclass(frozen=True)
class Hebb(RateRule):
    """Hebb's rule with decay and bounds: what is active together is wired together.

        dw/dt = rate x y - decay w

    and w is clipped to [w_min, w_max] (Hebb 1949; Gerstner & Kistler 2002, Spiking Neuron Models,
    ch. 10). Without decay w only grows, for rates that are not negative.

    >>> Hebb(rate=0.1, decay=0.5)
    Hebb(tau=0.1, rate=0.1, decay=0.5, w_min=-1.0, w_max=1.0)
    >>> Hebb(w_max=-2)
    Traceback (most recent call last):
        ...
    ValueError: Hebb.w_max must be above w_min (-1.0); got -2.0.
    """

    rate: float = parameter(1e-3)
    """Learning rate: change of w per second at x = y = 1 Hz (unit of the weight, s)."""
    decay: float = parameter(0.0, "Hz", at_least=0)
    """Rate of forgetting (1/s)."""
    w_min: float = parameter(-1.0)
    """Lower bound, in the unit of the weight."""
    w_max: float = parameter(1.0)
    """Upper bound, in the unit of the weight."""

    equations: ClassVar[str] = "dw/dt = rate*x*y - decay*w"


@final
@dataclass(frozen=True)
class Covariance(RateRule):
    """The covariance rule: rates count by their distance from their running means.

        dw/dt = rate (x - mx) (y - my)
        dmx/dt = (x - mx)/tau_mean      dmy/dt = (y - my)/tau_mean

    and w is clipped to [w_min, w_max], since the rule does not bound it (Sejnowski 1977, J. Math.
    Biol. 4:303; Dayan & Abbott 2001, Theoretical Neuroscience, sect. 8.2). The means start at 0.

    >>> Covariance().model().level["mx"], Covariance().model().level["my"]
    ('pre', 'post')
    """

    rate: float = parameter(1e-3)
    """Learning rate (unit of the weight, s)."""
    tau_mean: float = parameter(1.0, "s", above=0)
    """Time constant of the running means (s)."""
    w_min: float = parameter(-1.0)
    """Lower bound, in the unit of the weight."""
    w_max: float = parameter(1.0)
    """Upper bound, in the unit of the weight."""

    equations: ClassVar[str] = """
        dmx/dt = (x - mx)/tau_mean
        dmy/dt = (y - my)/tau_mean
        dw/dt = rate*(x - mx)*(y - my)
    """


@final
@dataclass(frozen=True)
class Oja(RateRule):
    """Oja's rule: Hebb with a decay that grows with y**2, and so keeps the norm of the weights.

        dw/dt = rate y (w_scale x - y w)

    (Oja 1982, J. Math. Biol. 15:267). On a linear layer, y = w x, with inputs of mean 0
    and w_scale = 1, the weights converge to the first principal component of the inputs, of norm
    1. On a circuit w approaches w_scale <x y>/<y**2>.

    >>> Oja(rate=1e-2).rate
    0.01
    """

    rate: float = parameter(1e-3, "s", at_least=0)
    """Learning rate (s, with rates in Hz)."""
    w_scale: float = parameter(1.0, above=0)
    """The weight at which input and decay balance when x = y, in the unit of the weight."""

    equations: ClassVar[str] = "dw/dt = rate*y*(w_scale*x - y*w)"


@final
@dataclass(frozen=True)
class Sanger(RateRule):
    """Sanger's rule: Oja for many neurons, each of which learns what those before it left.

        dw_ij/dt = rate y_j (x_i - sum over k <= j of y_k w_ik)

    (the generalised Hebbian algorithm; Sanger 1989, Neural Networks 2:459). On a linear
    layer with inputs of mean 0, neuron j converges to the principal component j. It joins the
    synapses of all neurons of a layer, so it works on torch layers alone.

    >>> Sanger().model().layers_only
    True
    """

    rate: float = parameter(1e-3, "s", at_least=0)
    """Learning rate."""

    equations: ClassVar[str] = "dw/dt = rate*y*(x - cumsum_post(y*w))"


@final
@dataclass(frozen=True)
class BCM(RateRule):
    """The rule of Bienenstock, Cooper & Munro: a threshold between depression and potentiation
    that slides with the neuron's own activity.

        dw/dt = rate x y (y - theta)        dtheta/dt = (y**2/target - theta)/tau_theta

    (Bienenstock, Cooper & Munro 1982, J. Neurosci. 2:32; with the mean of y**2 as the threshold
    Intrator & Cooper 1992, Neural Networks 5:3). A neuron becomes selective: in the end it answers
    one input pattern of n equally frequent ones, with y = n target, and no other. The threshold
    must slide faster than the weights move, else they oscillate.

    >>> BCM().model().level["theta"]
    'post'
    """

    rate: float = parameter(1e-4, at_least=0)
    """Learning rate (unit of the weight, s**2)."""
    tau_theta: float = parameter(1.0, "s", above=0)
    """Time constant of the threshold (s)."""
    target: float = parameter(1.0, "Hz", above=0)
    """Mean activity that the threshold holds (Hz; on a layer in the unit of its output)."""

    equations: ClassVar[str] = """
        dtheta/dt = (y**2/target - theta)/tau_theta
        dw/dt = rate*x*y*(y - theta)
    """


@final
@dataclass(frozen=True)
class SoftHebb(RateRule):
    """SoftHebb: soft winner-take-all, where each neuron learns in proportion to its softmax.

        dw_ij/dt = rate softmax(y/temperature)_j (x_i - y_j w_ij)

    with y the weighted input (Moraitis, Toichkin, Journé, Chua & Guo 2022, Neuromorph. Comput.
    Eng. 2:044017). Attach it to the linear layer, not to its nonlinearity. Weights of a winner
    approach norm 1. It joins all neurons of a layer, so it works on torch layers alone.

    >>> SoftHebb(temperature=0)
    Traceback (most recent call last):
        ...
    ValueError: SoftHebb.temperature must be above 0; got 0.0.
    """

    rate: float = parameter(1e-2, at_least=0)
    """Learning rate."""
    temperature: float = parameter(1.0, above=0)
    """Of the softmax, in the unit of y; near 0 the winner takes all."""

    equations: ClassVar[str] = "dw/dt = rate*softmax_post(y/temperature)*(x - y*w)"


@final
@dataclass(frozen=True)
class Delta(RateRule):
    """The delta rule: weights move so that the output comes nearer to its target.

        dw/dt = rate (target - y) x

    (Widrow & Hoff 1960, IRE WESCON 4:96.) The signal `target` is what the postsynaptic neuron
    should do, one value or one a neuron, while the input lasts.

    >>> Delta.signals
    ('target',)
    """

    rate: float = parameter(1e-3, at_least=0)
    """Learning rate (unit of the weight, s)."""

    equations: ClassVar[str] = "dw/dt = rate*(target - y)*x"
    signals: ClassVar[tuple[str, ...]] = ("target",)


@final
@dataclass(frozen=True)
class PES(RateRule):
    """The prescribed error sensitivity: weights fall where an error, computed elsewhere, and the
    input meet.

        dw/dt = -rate error x

    (MacNeil & Eliasmith 2011, PLoS ONE 6:e22885.) The signal `error` is what the postsynaptic
    neuron should do less of, such as output minus target, one value or one a neuron. Where the
    error is that of the layer itself, `Delta` computes it.

    >>> PES.signals
    ('error',)
    """

    rate: float = parameter(1e-3, at_least=0)
    """Learning rate (unit of the weight, s, for an error in Hz)."""

    equations: ClassVar[str] = "dw/dt = -rate*error*x"
    signals: ClassVar[tuple[str, ...]] = ("error",)


@final
@dataclass(frozen=True)
class Contrastive(RateRule):
    """Contrastive Hebbian learning: Hebb while the outputs are clamped to their targets,
    anti-Hebb while the network runs free.

        dw/dt = rate phase x y

    (Movellan 1991, Connectionist Models 1990 Summer School, 10; Xie & Seung 2003, Neural Comput.
    15:441). The signal `phase` is 1 in the clamped phase, -1 in the free phase, 0 while the
    network settles. Where both phases are alike nothing is left to learn.

    >>> Contrastive.signals
    ('phase',)
    """

    rate: float = parameter(1e-3, at_least=0)
    """Learning rate (unit of the weight, s)."""

    equations: ClassVar[str] = "dw/dt = rate*phase*x*y"
    signals: ClassVar[tuple[str, ...]] = ("phase",)


@final
@dataclass(frozen=True)
class DifferentiablePlasticity(RateRule):
    """A Hebbian trace beside the weight: a synapse passes on the sum of both.

        dhebb/dt = rate (x y - hebb)        passed on: w + alpha hebb

    (Miconi, Clune & Stanley 2018, ICML, eqs. 1 and 2, with their eta as rate). The rule does not
    move w, which is left to another way of learning; the trace forgets at the rate it learns. It
    works in circuits alone: what a torch layer passes on is its own forward pass.

    >>> DifferentiablePlasticity(alpha=0.5).model().transmit.text
    'w + alpha*hebb'
    """

    rate: float = parameter(0.01, "Hz", at_least=0)
    """Rate at which the trace learns and forgets (1/s)."""
    alpha: float = parameter(1.0)
    """Weight of the trace (unit of the weight, s**2)."""

    equations: ClassVar[str] = "dhebb/dt = rate*(x*y - hebb)"
    transmit: ClassVar[str] = "w + alpha*hebb"
