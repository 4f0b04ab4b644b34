"""One time step of a declared rule on a whole layer, in torch.

The order is that of the engines (docs/order.md): variables decay and flows integrate, from their
values at the start of the step; then `on_pre` where a presynaptic spike is, then `on_post`, or the
other way round, as the rule says.
"""

import ast
import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import CodeType
from typing import Any

import torch
from torch import Tensor

from neuroflip import equations as eq
from neuroflip.engines import machine_code
from neuroflip.engines.torch import FUNCTIONS
from neuroflip.rules.event_kernel import WORTH, EventKernel, EventStep, event_kernel
from neuroflip.rules.layer_rule import LayerRule
from neuroflip.rules.layouts import Layout
from neuroflip.rules.rule import RuleModel
from neuroflip.rules.step_size import refusal
from neuroflip.rules.terms import Level, Term, expand, folded, grows, increment, level_of, names_of

State = dict[str, Tensor]


@functools.cache
def _compiled(text: str) -> CodeType:
    return compile(text, f"<{text}>", "eval")


@dataclass(frozen=True)
class _Code:
    """An expression with its value at one level."""

    level: Level
    names: tuple[str, ...]
    text: str  # not its code, which cannot be pickled

    @classmethod
    def of(cls, tree: ast.expr, level: Level) -> "_Code":
        text = eq.emit(eq.Expression("", frozenset(), tree), "array")
        return cls(level, tuple(names_of(tree)), text)


@dataclass(frozen=True)
class _Product:
    """A term, compiled."""

    coefficient: float
    factors: Mapping[Level, _Code]

    @classmethod
    def of(cls, term: Term) -> "_Product":
        factors = {level: _Code.of(tree, level) for level, tree in term.factors.items()}
        return cls(term.coefficient, factors)


@dataclass(frozen=True)
class _Joined:
    """A population function: its value, under a name, at a level."""

    name: str
    function: str
    argument: _Code
    products: tuple[_Product, ...]


@dataclass(frozen=True)
class _Line:
    """One assignment, or one flow: what it needs first, and what it sets or adds."""

    target: str
    joined: tuple[_Joined, ...]
    value: _Code | None  # set where there is an event; None where `products` are added
    products: tuple[_Product, ...]


class _Values:
    """The numbers of one step by name, each at its level."""

    def __init__(self, layout: Layout, levels: Mapping[str, Level], samples: int) -> None:
        self.layout, self.levels, self.samples = layout, levels, samples
        self.now: dict[str, Any] = {}

    def of(self, code: _Code) -> Any:
        """The value of an expression, as its level has it."""
        local = {name: self.now[name] for name in code.names}
        if code.level == "synapse":
            local = {
                name: self.layout.wide(self.levels[name], value) if name in self.levels else value
                for name, value in local.items()
            }
        return eval(_compiled(code.text), FUNCTIONS, local)

    def neurons(self, level: Level, value: Any, like: Tensor) -> Tensor:
        """A factor at its full shape, (S, ...)."""
        shape = self.layout.shape(level, self.samples)
        if isinstance(value, Tensor) and value.shape == shape and value.dtype == like.dtype:
            return value
        return torch.as_tensor(value, dtype=like.dtype, device=like.device).expand(shape)


class _Program:
    """A rule with its numbers put in, as `Stepper` runs it; the same for all layers.

    signals: whether it reads third factors. apart: whether every sample has weights of its own, for
    a step or for good. kernel: of its steps on one matrix of weights; None where there is none.
    """

    def __init__(
        self,
        model: RuleModel,
        constants: Mapping[str, float],
        dt: float,
        own: bool,
        activity: tuple[str, str] | None,
    ) -> None:
        given: dict[str, Level] = {}
        if activity is not None:
            given = {activity[0]: "pre", activity[1]: "post"}
        self.signals = bool(model.signals)
        self.state_levels: dict[str, Level] = {
            v: model.level[v] for v in model.variables if v not in given
        }
        self.levels: dict[str, Level] = {**self.state_levels, **given}
        self.levels |= {name: "post" for name in model.signals}
        self.levels |= {f"{v}_post": "post" for v in model.reads}
        values = [(f.variable, f.value) for f in model.flows]
        values += [(a.target, a.value) for a in (*model.on_pre, *model.on_post)]
        self.apart = own or any("w" in v.names for k, v in values if k in self.state_levels)
        self.levels["w"] = "synapse" if self.apart else "weight"
        self.bounds = (constants["w_min"], constants["w_max"]) if model.bounded else None
        self.decay = {
            v: math.exp(-dt / constants[tau])
            for v, tau in model.decay.items()
            if v in self.state_levels
        }
        flows = {
            f.variable: folded(f.value.tree, constants)
            for f in model.flows
            if f.variable == "w" or f.variable in self.state_levels
        }
        on_pre, on_post = (
            [(a.target, _value(a, constants)) for a in block if activity is None]
            for block in (model.on_pre, model.on_post)
        )
        self.kernel: EventKernel | None = None
        if activity is None and not self.apart and model.sides[0] == "pre":
            self.kernel = event_kernel(
                self.levels, self.decay, flows, on_pre, on_post, self.bounds, dt
            )
        self.flows = [self._line(*flow, flow=True) for flow in flows.items()]
        self.sides = model.sides
        self.on_pre = [self._line(*line) for line in on_pre]
        self.on_post = [self._line(*line) for line in on_post]

    def _line(self, target: str, tree: ast.expr, flow: bool = False) -> _Line:
        lifted: list[_Joined] = []
        tree = self._lift(tree, lifted)
        level = self.levels[target]
        if flow and level in ("weight", "synapse"):
            tree = ast.BinOp(ast.Name(target), ast.Add(), tree)
        terms = increment(tree, target, self.levels)
        steady = not flow and not any(term.factors for term in terms)
        if level == "weight" or (level == "synapse" and grows(tree, target)) or steady:
            return _Line(target, tuple(lifted), None, tuple(map(_Product.of, terms)))
        return _Line(target, tuple(lifted), _Code.of(tree, level), ())

    def _lift(self, tree: ast.expr, found: list[_Joined]) -> ast.expr:
        """The expression with names for the population functions in it, innermost first."""
        program = self

        class Lifter(ast.NodeTransformer):
            def visit_Call(self, node: ast.Call) -> ast.expr:
                self.generic_visit(node)
                assert isinstance(node.func, ast.Name)
                function = node.func.id
                if function not in eq.POPULATION_FUNCTIONS:
                    return node
                argument = node.args[0]
                level = level_of(argument, program.levels)
                name = f"_{len(program.levels)}"  # no name of the language begins so
                above: Level = "post" if function == "sum_pre" or level == "post" else "synapse"
                products = expand(argument, program.levels) if function == "sum_pre" else []
                program.levels[name] = above
                at = level if function == "sum_pre" else above
                code = _Code.of(argument, at)
                found.append(_Joined(name, function, code, tuple(map(_Product.of, products))))
                return ast.Name(name)

        result = Lifter().visit(ast.Expression(tree)).body
        assert isinstance(result, ast.expr)
        return result


@functools.lru_cache(maxsize=64)
def _program(
    model: RuleModel,
    constants: tuple[tuple[str, float], ...],
    dt: float,
    own: bool,
    activity: tuple[str, str] | None,
) -> _Program:
    return _Program(model, dict(constants), dt, own, activity)


class Stepper:
    """Runs a declared rule on a layout. State and weights are handed in and given back each step.

    reduction: "mean" and "sum" join what the samples do to the weights that they share: after
        each event, or at the end of the step where variables of the rule depend on the weight, as
        those are a sample's own. With "none" every sample has weights of its own, (S, *weight).
    activity: names of the variables that are the layer's input and output, for rate rules; the
        blocks of the rule are then not run, as they make rates of spikes.
    """

    def __init__(
        self,
        model: RuleModel,
        parameters: Mapping[str, float],
        layout: Layout,
        *,
        dt: float,
        reduction: str,
        activity: tuple[str, str] | None,
    ) -> None:
        self.layout, self.reduction, self.dt = layout, reduction, dt
        self.activity, self.name = activity, model.name
        self.kept: tuple[str, ...] = ()
        own = reduction == "none"
        self._program = _program(model, tuple(parameters.items()), dt, own, activity)
        self.state_levels, self.bounds = self._program.state_levels, self._program.bounds
        self._kernel = self._program.kernel if layout.one_matrix else None
        self._event_step: EventStep | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_event_step": None}  # which holds addresses

    def start(self, samples: int, like: Tensor) -> State:
        """All variables at 0."""
        return {
            name: like.new_zeros(self.layout.shape(level, samples))
            for name, level in self.state_levels.items()
        }

    def clipped(self, weight: Tensor) -> Tensor:
        """Within the rule's bounds, where it has some."""
        return weight if self.bounds is None else weight.clamp(*self.bounds)

    def natural(self, name: str, value: Tensor, lead: tuple[int, ...]) -> Tensor:
        """A variable as users know it."""
        return self.layout.natural(self.state_levels[name], value, lead)

    def step_events(
        self,
        state: State,
        weight: Tensor,
        pre: Tensor,
        post: Tensor,
        given: Mapping[str, Tensor],
        time: float,
    ) -> EventStep | None:
        """What `step` does, in place and sooner, where there is a kernel for it and it is worth
        it: what took the step. None, and nothing done, elsewhere, and where pre or post is not 0
        and 1 only."""
        if self._kernel is None or weight.device.type != "cpu":
            return None
        if len(pre) * weight.numel() < WORTH:
            return None
        found, sizes = self._event_step, (len(pre), weight.shape, weight.dtype)
        if found is None or found.sizes != sizes:
            scale = 1 / len(pre) if self.reduction == "mean" else 1.0
            try:
                found = self._event_step = EventStep(self._kernel, *sizes, scale)
            except machine_code.NoCompiler:
                self._kernel = None
                return None
        if not found.bind(state, weight):
            return None
        given = {name: value.contiguous() for name, value in given.items()}
        taken = found.take(pre.contiguous(), post.contiguous(), given, time)
        return found if taken else None

    def step(
        self,
        state: State,
        weight: Tensor,
        pre: Tensor,
        post: Tensor,
        active: tuple[bool, bool],
        given: Mapping[str, Tensor],
        time: float,
    ) -> tuple[State, Tensor]:
        """Advance by dt. State and weights may be changed in place.

        pre, post: activity, as the layout has it. active: whether there is any, on either side.
        given: signals and what is read, level post. time: start of the step (s).
        """
        values = _Values(self.layout, self._program.levels, len(pre))
        shared = self.reduction != "none"
        if self._program.apart and shared:
            own = weight.expand(len(pre), *weight.shape).clone()
        else:
            own = weight
        values.now = {**state, **given, "w": own, "t": time}
        if self.activity is not None:
            values.now[self.activity[0]], values.now[self.activity[1]] = pre, post
        self._flow(values)
        of = {"pre": (active[0], self._program.on_pre, pre)}
        of["post"] = active[1], self._program.on_post, post
        for side in self._program.sides:
            any_, lines, activity = of[side]
            if any_:
                self._events(side, lines, activity, values)
        own = values.now["w"]
        if self._program.apart and shared:
            if len(pre) == 1:
                own = own[0]  # exactly
            else:
                change = own - weight
                joined = change.mean(0) if self.reduction == "mean" else change.sum(0)
                own = self.clipped(weight + joined)
        return {name: values.now[name] for name in state}, own

    def _join(self, line: _Line, values: _Values) -> None:
        for joined in line.joined:
            if joined.function == "sum_pre":
                values.now[joined.name] = sum(self._sum_pre(p, values) for p in joined.products)
            else:
                value = values.neurons(
                    joined.argument.level, values.of(joined.argument), values.now["w"]
                )
                values.now[joined.name] = self.layout.over_post(joined.function, value)

    def _sum_pre(self, product: _Product, values: _Values) -> Tensor:
        like = values.now["w"]
        found = {level: values.of(code) for level, code in product.factors.items()}
        post = found.pop("post", 1.0)
        if "synapse" in found:
            value = values.neurons("synapse", found.pop("synapse"), like)
            for level, factor in found.items():
                value = value * self.layout.wide(level, factor)
            total = self.layout.sum_pre(value)
        else:
            one = like.new_ones(())
            pre = torch.as_tensor(found.get("pre", one)).expand(
                self.layout.shape("pre", values.samples if "pre" in found else 1)
            )
            weight = torch.as_tensor(found.get("weight", one), dtype=like.dtype)
            total = self.layout.sum_products(
                pre, weight.expand(self.layout.shape("synapse", 1)[1:])
            )
        joined: Tensor = product.coefficient * total * post
        return joined

    def _flow(self, values: _Values) -> None:
        """Decay and flows, all from the values at the start of the step."""
        after = {}
        for line in self._program.flows:
            self._join(line, values)
            if line.value is not None:
                after[line.target] = values.now[line.target] + self.dt * values.of(line.value)
            elif line.target != "w":
                after[line.target] = self._added(line, values, None, None, self.dt)
        for line in self._program.flows:  # in place, so after all that reads it
            if line.target == "w":
                self._added(line, values, None, None, self.dt)
        for name, factor in self._program.decay.items():
            values.now[name].mul_(factor)
        values.now |= after

    def _events(self, side: Level, lines: list[_Line], spikes: Tensor, values: _Values) -> None:
        """Run a block where there are spikes (0 or 1) of one side."""
        for line in lines:
            self._join(line, values)
            if line.value is None:
                values.now[line.target] = self._added(line, values, side, spikes, 1.0)
            else:
                new, old = values.of(line.value), values.now[line.target]
                new = torch.as_tensor(new, dtype=old.dtype, device=old.device)
                here = self.layout.wide(side, spikes) if line.value.level == "synapse" else spikes
                if not new.dim():  # old + here (new - old), exactly, and faster than a condition
                    value = torch.addcmul(old, old, here, value=-1).addcmul_(new, here)
                else:
                    value = torch.where(here > 0, new, old)
                values.now[line.target] = self.clipped(value) if line.target == "w" else value

    def _added(
        self, line: _Line, values: _Values, side: Level | None, event: Tensor | None, scale: float
    ) -> Tensor:
        """The target after what is added to it: weights in place; shared ones joined over samples.

        All products of a line read the target as it was.
        """
        total: Tensor = values.now[line.target]
        bounds = self.bounds if line.target == "w" else None
        # Rates have no largest value, and a signal may work later, so that only the step itself
        # shows what they do to a weight
        shown = self.activity is not None or (side is None and self._program.signals)
        before = total.clone() if bounds is not None and shown else None
        shared = line.target == "w" and not self._program.apart
        if shared and self.reduction == "mean":
            scale /= values.samples
        factors = [
            {level: values.of(code) for level, code in p.factors.items()} for p in line.products
        ]
        if side is None and line.target != "w":
            total = total.clone()  # other flows read what it was
        elif len(factors) > 1 and any(f is total for found in factors for f in found.values()):
            was = total.clone()
            factors = [{k: was if f is total else f for k, f in x.items()} for x in factors]
        for product, found in zip(line.products, factors, strict=True):
            if side is not None and event is not None:
                found[side] = found[side] * event if side in found else event
            number = product.coefficient * scale
            if shared:
                self._add_joined(total, found, values, number)
            else:
                self._add_each(line.target, total, found, number)
        if bounds is not None:
            if before is not None:
                self._refuse_leaps(before, total, bounds)
            total.clamp_(*bounds)
        return total

    def _refuse_leaps(self, before: Tensor, after: Tensor, bounds: tuple[float, float]) -> None:
        """Undo and refuse a change of weights by more than the bounds are apart."""
        largest = float((after - before).abs_().max()) if before.numel() else 0.0
        if largest > 1.000001 * (bounds[1] - bounds[0]):  # what float32 cannot tell
            after.copy_(before)
            less = "less activity" if self.activity is not None else "smaller signals"
            raise ValueError(
                f"{refusal(self.name, 'a weight', largest, '', bounds)}, or the layer {less} or "
                'reduction="mean". Nothing has changed.'
            )

    def _add_joined(
        self, total: Tensor, found: dict[Level, Any], values: _Values, number: float
    ) -> None:
        layout, weight = self.layout, found.pop("weight", None)
        full = {
            level: values.neurons(level, factor, total)
            for level, factor in found.items()
            if level != "synapse"
        }
        if "synapse" in found:
            # A third factor that is 0 is the common case, and the synapses of all samples are many
            if any(not bool(factor.any()) for factor in full.values()):
                return
            each = values.neurons("synapse", found["synapse"], total)
            for level, factor in full.items():
                each = each * layout.wide(level, factor)
            change = each.sum(0)
        elif len(full) == 2 and weight is None:
            layout.add_outer(total, full["post"], full["pre"], number)
            return
        elif len(full) == 2:
            change = torch.zeros_like(total)
            layout.add_outer(change, full["post"], full["pre"], 1.0)
        elif full:
            [(level, factor)] = full.items()
            change = layout.wide(level, factor.sum(0, keepdim=True))[0]
        else:
            change = total.new_full((), float(values.samples))
        if weight is not None:
            change = change * weight
        total.add_(change, alpha=number)

    def _add_each(self, target: str, total: Tensor, found: dict[Level, Any], number: float) -> None:
        factors = [*found.values()]
        if self._program.levels[target] == "synapse":
            factors = [
                self.layout.wide(level, torch.as_tensor(f, dtype=total.dtype, device=total.device))
                if level in ("pre", "post")
                else f
                for level, f in found.items()
            ]
        tensors = [f for f in factors if isinstance(f, Tensor)]
        if len(tensors) == len(factors) == 2:
            total.addcmul_(tensors[0], tensors[1], value=number)
        else:
            change: Any = number
            for factor in factors:
                change = change * factor
            total.add_(change)


class LayerStepper:
    """Runs a `LayerRule` on a dense layout, as `Stepper` a declared rule."""

    def __init__(self, rule: LayerRule, layout: Layout, *, dt: float, reduction: str) -> None:
        self.rule, self.layout, self.dt, self.reduction = rule, layout, dt, reduction
        parameters = rule.parameters()
        bounded = "w_min" in parameters
        self.bounds = (parameters["w_min"], parameters["w_max"]) if bounded else None
        self.kept = rule.kept

    def start(self, samples: int, like: Tensor) -> State:
        """What the rule begins a trial with."""
        _, _, outputs, inputs = self.layout.shape("synapse", samples)
        return self.rule.start(samples, inputs, outputs, like)

    def clipped(self, weight: Tensor) -> Tensor:
        """Within the rule's bounds, where it has some."""
        return weight if self.bounds is None else weight.clamp(*self.bounds)

    def natural(self, name: str, value: Tensor, lead: tuple[int, ...]) -> Tensor:
        """The state as the rule has it."""
        return value

    def step_events(self, *given: Any) -> None:
        """None: such a rule has no kernel."""

    def step(
        self,
        state: State,
        weight: Tensor,
        pre: Tensor,
        post: Tensor,
        active: tuple[bool, bool],
        given: Mapping[str, Tensor],
        time: float,
    ) -> tuple[State, Tensor]:
        """Advance by dt."""
        state = dict(state)
        flat = {name: value.flatten(1) for name, value in given.items()}
        change = self.rule.update(state, pre.flatten(1), post.flatten(1), weight[0], flat, self.dt)
        if change.dim() == weight.dim():
            change = change.mean(0) if self.reduction == "mean" else change.sum(0)
        if change.shape != weight.shape[1:]:
            raise ValueError(
                f"{type(self.rule).__name__}.update must return {tuple(weight.shape[1:])}, with an "
                f"axis of samples before or without; got {tuple(change.shape)}."
            )
        return state, self.clipped(weight + change)


def _value(assignment: eq.Assignment, constants: Mapping[str, float]) -> ast.expr:
    """What is assigned; to the weight, without its bounds, as the sum of the samples is clipped."""
    tree = assignment.value.tree
    if assignment.target == "w":
        while (inner := _unbounded(tree)) is not tree:
            tree = inner
    return folded(tree, constants)


def _unbounded(tree: ast.expr) -> ast.expr:
    """What `clip(e, w_min, w_max)` clips; any other expression as it is."""
    match tree:
        case ast.Call(
            func=ast.Name(id="clip"),
            args=[inner, ast.Name(id="w_min"), ast.Name(id="w_max")],
        ):
            return inner
    return tree
