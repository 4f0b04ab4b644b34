"""What a plasticity rule is: parameters as fields, equations as class attributes."""

import difflib
import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, Literal

from neuroflip import equations as eq
from neuroflip.parameters import Parametrized

Side = Literal["pre", "post"]
Level = Literal["pre", "post", "synapse"]

_FUNCTIONS = eq.FUNCTIONS | eq.POPULATION_FUNCTIONS


@dataclass(frozen=True)
class Declaration:
    """The text of a rule, as `Rule` describes it."""

    equations: str
    on_pre: str
    on_post: str
    transmit: str = "w"
    first: Side = "pre"


@dataclass(frozen=True, eq=False)
class RuleModel:
    """The checked form of a rule: what engines read.

    decay: variable -> the parameter that is its time constant, for `dx/dt = -x/tau`. A variable
    with `dx/dt = 0` stays as it is between spikes. flows: the other differential equations,
    integrated each step by forward Euler. In the blocks every assignment to `w` is clipped
    already, where the rule is bounded. level: whose number a variable is: one a presynaptic
    neuron, one a postsynaptic neuron, or one a synapse. signals: third factors; reads: variables
    of the postsynaptic neuron, which equations see as `NAME_post`. sides: in the order in which
    their blocks run in one step.
    """

    name: str
    parameters: tuple[str, ...]
    variables: tuple[str, ...]
    decay: Mapping[str, str]
    flows: tuple[eq.Differential, ...]
    on_pre: tuple[eq.Assignment, ...]
    on_post: tuple[eq.Assignment, ...]
    transmit: eq.Expression
    level: Mapping[str, Level]
    signals: tuple[str, ...]
    reads: tuple[str, ...]
    bounded: bool
    layers_only: bool  # whether it joins many synapses, which only `rules.attach` can
    sides: tuple[Side, Side]

    @property
    def continuous(self) -> bool:
        """Whether something changes in every step, not at spikes alone."""
        return bool(self.flows)


class Rule(Parametrized):
    """Base of the plasticity rules. A rule is a final frozen dataclass with these class attributes.

    equations: differential equations of the variables of a synapse, one a line. Those of the form
        `dx/dt = -x/tau` are solved exactly, and a variable with `dx/dt = 0` stays until a spike;
        any other, `dw/dt` included, is integrated by forward Euler with the step of the run, all
        from their values at the start of the step.
    on_pre: assignments run when a presynaptic spike arrives at the synapse (after the axonal
        delay); the spike has already been passed on with the weight `w` as it was before.
    on_post: assignments run when a postsynaptic spike arrives at the synapse (after the
        dendritic delay).
    transmit: what an arriving presynaptic spike passes on, before on_pre; the weight by default.
    first: which of the two runs first where both do in one step, "pre" or "post"; if "post", what
        a spike passes on has taken in on_post.
    signals: names of third factors, such as "reward": numbers that a run is given for each step.
    reads: variables of the postsynaptic neuron that equations may read: `v` as `v_post`.

    They read the rule's parameters, its variables, the weight `w` and the time `t` (s, start of
    the step), and write the variables and `w`. A rule with bounds has fields w_min and w_max, in
    the unit of the weight: the weight is clipped to them after every line that changes it, and
    initial weights outside them are refused. All variables start at 0.
    """

    equations: ClassVar[str] = ""
    on_pre: ClassVar[str] = ""
    on_post: ClassVar[str] = ""
    transmit: ClassVar[str] = "w"
    first: ClassVar[Side] = "pre"
    signals: ClassVar[tuple[str, ...]] = ()
    reads: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls) -> None:
        """Refuse what looks like one of these attributes, misspelt: it would do nothing."""
        super().__init_subclass__()
        known = ("equations", "on_pre", "on_post", "transmit", "first", "signals", "reads")
        for name, value in vars(cls).items():
            close = difflib.get_close_matches(name, known, n=1, cutoff=0.8)
            if isinstance(value, (str, tuple)) and close and name not in known:
                raise TypeError(
                    f"{cls.__name__}.{name} is no part of a rule; did you mean {close[0]!r}?"
                )

    def __post_init__(self) -> None:
        super().__post_init__()
        given = self.parameters()
        if "w_min" in given and given["w_min"] >= given["w_max"]:
            raise ValueError(
                f"{type(self).__name__}.w_max must be above w_min ({given['w_min']!r}); "
                f"got {given['w_max']!r}."
            )

    def declare(self) -> Declaration:
        """The text of this rule: its class attributes. Override where it depends on options."""
        return Declaration(self.equations, self.on_pre, self.on_post, self.transmit, self.first)

    def model(self) -> RuleModel:
        """The checked form. Raises EquationError where the declaration is not in the language."""
        names = tuple(self.parameters())
        return _model(type(self).__name__, names, self.declare(), self.signals, self.reads)

    @property
    def plastic(self) -> bool:
        """Whether the rule does anything: changes a weight, or what a spike passes on."""
        model = self.model()
        written = {a.target for a in (*model.on_pre, *model.on_post)}
        return "w" in written | {d.variable for d in model.flows} or model.transmit.text != "w"

    def window(self, interval: float, weight: float) -> float:
        """Change of a weight by one pair of spikes `interval` = t_post - t_pre apart (s).

        The closed form, written by hand for each rule that has one, and independent of the
        declaration; `neuroflip rule NAME` puts it beside the simulated change.
        """
        raise NotImplementedError(f"{type(self).__name__} has no closed-form window.")


@functools.cache
def _model(
    name: str,
    parameters: tuple[str, ...],
    text: Declaration,
    signals: tuple[str, ...],
    reads: tuple[str, ...],
) -> RuleModel:
    given = {*parameters, *signals, *(f"{v}_post" for v in reads), "t"}

    def where(attribute: str) -> str:
        return f"{name}.{attribute}"

    if text.first not in ("pre", "post"):
        raise ValueError(f"{where('first')} must be 'pre' or 'post'; got {text.first!r}.")
    eq.check_new(parameters, {"w", "dt", "t"}, name)
    try:
        system = eq.parse_system(text.equations, given | {"w"}, where("equations"), _FUNCTIONS)
    except eq.EquationError as error:
        raise _explained(error, reads) from None
    variables = tuple(d.variable for d in system if d.variable != "w")
    eq.check_new(variables, given | {"dt"}, where("equations"))
    decay = {
        d.variable: tau
        for d in system
        if d.variable != "w" and (tau := eq.decay_constant(d, parameters)) is not None
    }
    written = {*variables, "w"}
    known = given | written
    bounded = {"w_min", "w_max"} <= set(parameters)

    def block(source: str, attribute: str) -> tuple[eq.Assignment, ...]:
        try:
            parsed = eq.parse_block(source, known, written, where(attribute), _FUNCTIONS)
        except eq.EquationError as error:
            raise _explained(error, reads) from None
        return tuple(_clipped(a) if bounded and a.target == "w" else a for a in parsed)

    on_pre, on_post = block(text.on_pre, "on_pre"), block(text.on_post, "on_post")
    kept = {d.variable for d in system if d.value.text in ("0", "0.0")}
    flows = tuple(d for d in system if d.variable not in {*decay, *kept})
    transmit = eq.parse_expression(text.transmit, known, where("transmit"))
    expressions = [a.value for a in (*on_pre, *on_post)] + [d.value for d in flows]
    called = frozenset().union(*map(eq.functions_of, expressions))
    return RuleModel(
        name,
        parameters,
        variables,
        MappingProxyType(decay),
        flows,
        on_pre,
        on_post,
        transmit,
        MappingProxyType(_levels(variables, flows, on_pre, on_post, signals, reads)),
        signals,
        reads,
        bounded,
        bool(called & set(eq.POPULATION_FUNCTIONS)),
        ("pre", "post") if text.first == "pre" else ("post", "pre"),
    )


def _explained(error: eq.EquationError, reads: tuple[str, ...]) -> eq.EquationError:
    """With what to do about a variable of the neuron that the rule has not named."""
    found = re.search(r"unknown name '(\w+)_post'", str(error))
    if found is None:
        return error
    wanted = (*reads, found[1])
    return eq.EquationError(
        f"{error}\nTo read {found[1]!r} of the postsynaptic neuron, declare reads = {wanted!r}."
    )


def _clipped(assignment: eq.Assignment) -> eq.Assignment:
    value = assignment.value
    text = f"clip({value.text}, w_min, w_max)"
    names = {*value.names, "w_min", "w_max"}
    return eq.Assignment("w", eq.parse_expression(text, names, functions=_FUNCTIONS))


def _levels(
    variables: tuple[str, ...],
    flows: tuple[eq.Differential, ...],
    on_pre: tuple[eq.Assignment, ...],
    on_post: tuple[eq.Assignment, ...],
    signals: tuple[str, ...],
    reads: tuple[str, ...],
) -> dict[str, Level]:
    """The level of each variable: the coarsest at which all that it depends on is known."""

    def settle(readable: set[str], others: tuple[eq.Assignment, ...]) -> set[str]:
        """The variables that no other side writes and that read only each other and `readable`."""
        found = set(variables) - {a.target for a in others}
        while True:
            wrong = set()
            for target, value in [
                *((a.target, a.value) for a in (*on_pre, *on_post)),
                *((d.variable, d.value) for d in flows),
            ]:
                foreign = value.names & ({*variables, "w"} | posts) - found - readable
                if target in found and (foreign or eq.functions_of(value) & population):
                    wrong.add(target)
            if not wrong:
                return found
            found -= wrong

    population = set(eq.POPULATION_FUNCTIONS)
    posts = {f"{v}_post" for v in reads} | set(signals)  # a signal may be one a neuron
    pre, post = settle(set(), on_post), settle(posts, on_pre)
    return {v: "pre" if v in pre else "post" if v in post else "synapse" for v in variables}
