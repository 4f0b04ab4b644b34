"""Several rules on one projection."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, final

from neuroflip import equations as eq
from neuroflip.rules.rule import Declaration, Rule, Side

_BOUNDS = ("w_min", "w_max")


@final
@dataclass(frozen=True, init=False, repr=False)
class Sum(Rule):
    """Rules that act on the same weights, as one rule.

        Sum(PairSTDP(), HomeostaticScaling(target=8.0))

    Differential equations of the weight are added. At a spike the parts run in the order given,
    each from the weight that the one before it left. Each part has variables and parameters of
    its own, named with its place, counted from 1 (`x` of the first part is `x_1`); the time, the
    third factors and the postsynaptic variables that they read are shared. The bounds of the
    parts that have any are those of the sum and hold after every change, by any part. At most one
    part may change what a spike passes on.

    Raises TypeError for a part that is no rule, ValueError for none at all, for bounds that
    differ, for two parts that change what a spike passes on, and for parts of which one must run
    on_pre first in a step, another on_post.

    >>> from neuroflip.rules import PairSTDP
    >>> from neuroflip.rules.homeostasis import HomeostaticScaling
    >>> both = Sum(PairSTDP(w_max=2.0), HomeostaticScaling(target=8.0))
    >>> both.w_max, both.parameters()["target_2"]
    (2.0, 8.0)
    >>> Sum(PairSTDP(w_max=2.0), PairSTDP())
    Traceback (most recent call last):
        ...
    ValueError: Sum: the parts must have the same bounds; got w_max 2.0 and 1.0.
    """

    parts: tuple[Rule, ...]
    """The rules, in the order in which they run at a spike."""

    def __init__(self, *parts: Rule) -> None:
        for part in parts:
            if not isinstance(part, Rule):
                raise TypeError(f"Sum: expected rules like rules.PairSTDP(); got {part!r}.")
        if not parts:
            raise ValueError("Sum: expected at least one rule; got none.")
        changing = [type(p).__name__ for p in parts if p.declare().transmit.strip() != "w"]
        if len(changing) > 1:
            raise ValueError(
                "Sum: at most one part may change what a spike passes on; "
                f"got {' and '.join(changing)}."
            )
        told = [f"{type(p).__name__} on_{p.declare().first}" for p in parts if _ordered(p)]
        if len({each.split("_")[-1] for each in told}) > 1:
            raise ValueError(
                f"Sum: the parts must run the same side first in a step; got {' and '.join(told)}."
            )
        settled: dict[str, Any] = {
            "parts": parts,
            "signals": _union(p.signals for p in parts),
            "reads": _union(p.reads for p in parts),
        }
        for name in _BOUNDS:
            found = list(dict.fromkeys(getattr(p, name) for p in parts if hasattr(p, name)))
            if len(found) > 1:
                got = " and ".join(map(repr, found))
                raise ValueError(f"Sum: the parts must have the same bounds; got {name} {got}.")
            if found:
                settled[name] = found[0]
        for name, value in settled.items():
            object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        return f"Sum({', '.join(map(repr, self.parts))})"

    def parameters(self) -> dict[str, float]:
        """The parameters of all parts, under the names that they have in the sum."""
        return {
            new: part.parameters()[old]
            for place, part in enumerate(self.parts, 1)
            for old, new in _names(part, place).items()
            if old in part.parameters()
        }

    def describe(self) -> str:
        """The parts with their parameters, for tables."""
        return " + ".join(f"{type(p).__name__}({p.describe()})" for p in self.parts)

    def declare(self) -> Declaration:
        """The texts of the parts, one after the other, with their names made distinct."""
        equations, weight, on_pre, on_post, transmit = [], [], [], [], "w"
        first: Side = next((p.declare().first for p in self.parts if _ordered(p)), "pre")
        for place, part in enumerate(self.parts, 1):
            text, model, names = part.declare(), part.model(), _names(part, place)
            moving = {flow.variable for flow in model.flows}
            for x in model.variables:
                if x in model.decay:
                    equations.append(f"d{names[x]}/dt = -{names[x]}/{names[model.decay[x]]}")
                elif x not in moving:
                    equations.append(f"d{names[x]}/dt = 0")
            for flow in model.flows:
                value = eq.renamed(flow.value.text, names)
                if flow.variable == "w":
                    weight.append(f"({value})")
                else:
                    equations.append(f"d{names[flow.variable]}/dt = {value}")
            on_pre.append(eq.renamed(text.on_pre, names))
            on_post.append(eq.renamed(text.on_post, names))
            if text.transmit.strip() != "w":
                transmit = eq.renamed(text.transmit, names)
        if weight:
            equations.append(f"dw/dt = {' + '.join(weight)}")
        return Declaration(
            "\n".join(equations), "\n".join(on_pre), "\n".join(on_post), transmit, first
        )


def _ordered(part: Rule) -> bool:
    """Whether it is another rule where the other side runs first."""
    model = part.model()
    sides = model.on_pre, model.on_post
    written = [{a.target for a in block} for block in sides]
    read = [frozenset().union(*(a.value.names for a in block)) for block in sides]
    return bool(
        written[0] & (written[1] | read[1]) or written[1] & (read[0] | model.transmit.names)
    )


def _names(part: Rule, place: int) -> dict[str, str]:
    """What the variables and parameters of a part are called in the sum."""
    model = part.model()
    own = [name for name in (*model.parameters, *model.variables) if name not in _BOUNDS]
    return {name: f"{name}_{place}" for name in own} | {
        name: name for name in _BOUNDS if name in model.parameters
    }


def _union(groups: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for group in groups for name in group))
