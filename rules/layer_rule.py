"""Rules that the equation language cannot say, written in Python for whole torch layers."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from neuroflip.rules.rule import Rule, RuleModel

if TYPE_CHECKING:
    from torch import Tensor


class LayerRule(Rule):
    """Base of rules that need what equations of one synapse do not have: a matrix, a derivative.

    Such a rule works through `rules.attach` alone. It is a frozen dataclass with the class
    attributes `why_not_circuits` and, as for any `Rule`, `signals` and `reads`, and two methods:

    start(samples, inputs, outputs, like): the state at the start of a trial, name -> tensor of the
        type and device of `like`. What has a number a sample begins with the axis of samples.
    update(state, pre, post, weight, given, dt): one time step, without gradients. Reads the
        layer's input `pre` (S, in), the postsynaptic activity `post` (S, out), the weights
        `weight` (out, in) and `given`, signals by name and variables read as NAME_post, each
        (S, out). Puts new tensors into `state`, and returns the change of the weights:
        (S, out, in), to be joined over samples as `reduction` says, or (out, in), joined already.

    Fields w_min and w_max bound the weights as in any rule.
    """

    why_not_circuits: ClassVar[str]
    """The rest of "NAME does not work in circuits: ..."."""
    kept: ClassVar[tuple[str, ...]] = ()
    """Names of state that lasts from trial to trial, and has no axis of samples."""

    def model(self) -> RuleModel:
        """Raises ValueError: there are no equations."""
        raise ValueError(
            f"{type(self).__name__} does not work in circuits: {self.why_not_circuits}; "
            "use it on torch layers, with rules.attach."
        )

    @property
    def plastic(self) -> bool:
        """True: such a rule always learns."""
        return True

    def start(self, samples: int, inputs: int, outputs: int, like: "Tensor") -> "dict[str, Tensor]":
        """The state at the start of a trial; none by default."""
        return {}

    def update(
        self,
        state: "dict[str, Tensor]",
        pre: "Tensor",
        post: "Tensor",
        weight: "Tensor",
        given: "Mapping[str, Tensor]",
        dt: float,
    ) -> "Tensor":
        """One time step: the change of the weights, (S, out, in) or (out, in)."""
        raise NotImplementedError
