"""What a plasticity rule is: parameters as fields, equations as class attributes."""

import dataclasses
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

from neuroflip import equations as eq
from neuroflip.parameters import Parametrized


@dataclass(frozen=True, eq=False)
class RuleModel:
    """The checked form of a rule class: what engines read."""

    name: str
    variables: tuple[str, ...]
    decay: Mapping[str, str]  # variable -> the parameter that is its time constant
    equations: tuple[eq.Differential, ...]
    on_pre: tuple[eq.Assignment, ...]
    on_post: tuple[eq.Assignment, ...]


class Rule(Parametrized):
    """Base of the plasticity rules. A rule is a final frozen dataclass with these class attributes.

    equations: the variables of a synapse, decaying between spikes: `dx/dt = -x/tau`, one a line.
    on_pre: assignments run when a presynaptic spike arrives at the synapse (after the axonal
        delay); the spike has already been passed on with the weight `w` as it was before.
    on_post: assignments run when a postsynaptic spike arrives at the synapse (after the
        dendritic delay). In one step all on_pre run before all on_post.

    They read the rule's parameters, its variables and the weight `w`, and write the variables
    and `w`. A rule with bounds has fields w_min and w_max, in the unit of the weight; initial
    weights outside them are refused.
    """

    equations: ClassVar[str] = ""
    on_pre: ClassVar[str] = ""
    on_post: ClassVar[str] = ""

    @classmethod
    @functools.cache
    def model(cls) -> RuleModel:
        """The checked form. Raises EquationError where the declaration is not in the language."""

        def where(attribute: str) -> str:
            return f"{cls.__name__}.{attribute}"

        parameters = {f.name for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
        system = eq.parse_system(cls.equations, parameters, where("equations"))
        variables = tuple(d.variable for d in system)
        eq.check_new(parameters, {"w", "dt"}, cls.__name__)
        eq.check_new(variables, parameters | {"w", "dt"}, where("equations"))
        written = {*variables, "w"}
        known = parameters | written
        return RuleModel(
            name=cls.__name__,
            variables=variables,
            decay=MappingProxyType(
                {d.variable: eq.decay_constant(d, where("equations"), variables) for d in system}
            ),
            equations=system,
            on_pre=eq.parse_block(cls.on_pre, known, written, where("on_pre")),
            on_post=eq.parse_block(cls.on_post, known, written, where("on_post")),
        )

    @property
    def plastic(self) -> bool:
        """Whether the rule ever changes a weight."""
        model = self.model()
        return any(a.target == "w" for a in (*model.on_pre, *model.on_post))

    def window(self, interval: float, weight: float) -> float:
        """Change of a weight by one pair of spikes `interval` = t_post - t_pre apart (s).

        The closed form, written by hand for each rule that has one, and independent of the
        declaration; `neuroflip rule NAME` puts it beside the simulated change.
        """
        raise NotImplementedError(f"{type(self).__name__} has no closed-form window.")
