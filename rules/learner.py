"""Plasticity rules on torch layers, in place of backprop, next to it, or within it."""

import ast
import functools
import math
import weakref
from collections.abc import Callable, Mapping, MutableMapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from neuroflip import equations as eq
from neuroflip.errors import nearest
from neuroflip.rate.layer import FlipFlop
from neuroflip.rules.event_kernel import EventStep
from neuroflip.rules.layer_rule import LayerRule
from neuroflip.rules.layouts import Conv, Dense, Diagonal, Layout, Sparse
from neuroflip.rules.recurrent import steps_of
from neuroflip.rules.rule import Rule, RuleModel
from neuroflip.rules.signals import Signals
from neuroflip.rules.step_size import check_step
from neuroflip.rules.stepper import LayerStepper, Stepper
from neuroflip.units import as_float

MERGES = ("after_step", "gradient", "replace")
"""How the change that a rule makes comes into the parameter; see `attach`."""
REDUCTIONS = ("mean", "sum", "none")
"""How the changes of the samples of a batch are joined."""
ACTIVITIES = ("spikes", "rates")
"""What the input and output of a layer are to a rule."""

_SPARSE = (torch.sparse_coo, torch.sparse_csr)
_graph_task = torch._C._current_graph_task_id  # -1 outside of backward passes
_ATTACHED: "weakref.WeakSet[Learner]" = weakref.WeakSet()  # to refuse a second on one parameter


def attach(
    layer: nn.Module,
    rule: Rule,
    *,
    post: nn.Module | None = None,
    weight: str = "weight",
    merge: str = "after_step",
    reduction: str = "mean",
    dt: float | None = None,
    mask: Tensor | None = None,
    state: Callable[[], Mapping[str, Tensor]] | None = None,
    activity: str | None = None,
) -> "Learner":
    """Let a rule learn the weights of a layer while it runs in training mode.

    Every forward call of the layer is one time step. Its input (B, in) is the presynaptic
    activity; leading dimensions and the positions of a convolution are samples. What the rule
    changes is kept beside the parameter, which is written by `Learner.step` alone, so that no
    forward or backward pass is disturbed; nothing is kept of the graph. In eval mode nothing
    happens. Call `Learner.reset` between trials.

    layer: nn.Linear, nn.Conv1d, nn.Conv2d, a layer with a weight (out, in), dense or sparse (COO
        or CSR: entries are synapses), FlipFlopCell or FlipFlop, whose postsynaptic activity is its
        gates [J; K], and each step of a sequence a time step; the `weight_hh` of a diagonal
        recurrence is one synapse from each unit onto each of its gates. Pruned entries
        (torch.nn.utils.prune) have no synapse.
    post: the module whose output, or the first of whose outputs, is the postsynaptic activity,
        such as the snnTorch neuron behind the layer. By default the layer's own output.
    weight: name of the parameter, such as "weight_ih" of a FlipFlopCell.
    merge: "after_step": `step()`, called after optimizer.step(), adds the change to the parameter
        and clips it to the rule's bounds. "gradient": `step()`, called before optimizer.step(),
        subtracts the change from .grad, so that the optimizer scales it. "replace": the parameter
        takes no gradient and `step()` writes the rule's weights into it.
    reduction: "mean" or "sum" of the changes that the samples make to the weights they share, each
        with traces and eligibility of its own, clipped after they are joined. "none": every sample
        has weights of its own; `step()` writes nothing, `Learner.change` has them.
    dt: duration of a step (s). By default 1 ms for spikes, 1 for rates.
    mask: 1 where there is a synapse, 0 elsewhere, shaped as the weight; None: everywhere.
    state: called at each step for variables of the postsynaptic neuron that the rule reads, name
        -> tensor like the postsynaptic activity. By default v is the last output of `post`.
    activity: "spikes" (0 or 1 only), or "rates", any numbers, for rate rules. By default what the
        rule is made for.

    ValueError, TypeError: a rule, weight, mask or option that does not fit; a parameter that has a
    rule already; weights outside the rule's bounds; a rate rule that moves a weight past both
    bounds in one step. FloatingPointError: NaN or infinite activity, weights or traces. All before
    anything has changed.

    >>> layer = nn.Linear(2, 1, bias=False)
    >>> nn.init.constant_(layer.weight, 0.5).shape
    torch.Size([1, 2])
    >>> from neuroflip import rules
    >>> learner = rules.attach(layer, rules.PairSTDP(a_plus=0.1), post=nn.Hardtanh(0, 1))
    >>> for x in torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]]):
    ...     _ = learner.post(2 * layer(x))  # fires at once: both inputs come with a spike
    >>> learner.step()
    >>> [[round(w, 4) for w in row] for row in layer.weight.tolist()]
    [[0.6951, 0.59]]
    >>> rules.attach(layer, rules.PairSTDP(), merge="gradients")
    Traceback (most recent call last):
        ...
    ValueError: unknown merge 'gradients'; did you mean 'gradient'?
    """
    return Learner(layer, rule, post, weight, merge, reduction, dt, mask, state, activity)


@dataclass
class _Progress:
    """Where a learner is. lead: the shape of the samples, None before the first step of a trial;
    count: steps of the trial; pending: whether there is a change not yet written; version: of the
    parameter, as last read."""

    version: int
    lead: tuple[int, ...] | None = None
    samples: int = 0
    count: int = 0
    pending: bool = False


@dataclass(frozen=True)
class _Last:
    """A step that compiled code has taken, and what must be the same so that it can take the next
    with nothing else done. buffers: of the learner, by name, which it changes in place."""

    step: EventStep
    pre_shape: torch.Size
    post_shape: torch.Size
    dtype: torch.dtype
    buffers: tuple[tuple[str, Tensor], ...]

    def takes(self, value: Tensor) -> bool:
        """Whether an activity lies as it must."""
        return (
            value.is_cpu
            and value.dtype is self.dtype
            and value.layout is torch.strided
            and value.is_contiguous()
        )


class Learner(nn.Module):
    """A rule at work on a layer; what `attach` returns.

    Its state_dict holds traces, eligibility and the change not yet written, so that a run goes on
    from a checkpoint exactly; it is no part of the layer's. Its tensors follow the layer to other
    devices. `eval()` pauses it.

    rule, layer, post, merge, reduction: as given. dt: duration of a step (s). signals: the third
    factors that the rule reads, as a mapping: `learner.signals["reward"] = 1.0` holds, from the
    next step on, until it is set again or `reset()`; `learner.signals.series("reward", values)`
    gives a value to each of the next steps.
    """

    layer: nn.Module
    post: nn.Module | None
    shadow: Tensor
    base: Tensor

    def __init__(
        self,
        layer: nn.Module,
        rule: Rule,
        post: nn.Module | None,
        weight: str,
        merge: str,
        reduction: str,
        dt: float | None,
        mask: Tensor | None,
        state: Callable[[], Mapping[str, Tensor]] | None,
        activity: str | None,
    ) -> None:
        super().__init__()
        if not isinstance(layer, nn.Module):
            raise TypeError(f"layer must be a torch module; got {layer!r}.")
        if post is not None and not isinstance(post, nn.Module):
            raise TypeError(f"post must be a torch module or None; got {post!r}.")
        if state is not None and not callable(state):
            raise TypeError(f"state must be a function without arguments; got {state!r}.")
        self.merge = _one_of("merge", merge, MERGES)
        self.reduction = _one_of("reduction", reduction, REDUCTIONS)
        self._dt, self._activity, self._read_state = dt, activity, state
        # Not as submodules: the layer's parameters are no part of the learner
        self.__dict__["layer"], self.__dict__["post"] = layer, post
        self._name, pruned = _find(layer, weight)
        parameter = self.parameter
        where = f"{type(layer).__name__}.{weight}"
        for other in _ATTACHED:
            if other.parameter is parameter:
                raise ValueError(
                    f"{where} has a rule already, {type(other.rule).__name__}; use its swap(), or "
                    "remove() first."
                )
        if merge == "gradient" and not parameter.requires_grad:
            raise ValueError(f"merge='gradient' needs a gradient, but {where} takes none.")
        self._layout = _layout(layer, weight, parameter, mask, pruned)
        self._steps = steps_of(layer, weight)
        if self._steps is not None and post is not None:
            raise ValueError(f"post must be None: the activity after {where} is its gates, [J; K].")
        with torch.no_grad():
            base = self._layout.read(parameter)
        base = base.to(torch.promote_types(base.dtype, torch.float32))
        self.register_buffer("base", base)
        self.register_buffer("shadow", base.clone())
        self._use(rule, self._prepared(rule))
        self._at = _Progress(version=parameter._version)
        self._records: dict[str, Any] = {}
        self._last: _Last | None = None
        self._frees = merge == "replace" and reduction != "none" and parameter.requires_grad
        if self._frees:
            parameter.requires_grad_(False)
        self._hooks = [layer.register_forward_hook(self._layer_ran, with_kwargs=True)]
        if post is not None:
            self._hooks.append(post.register_forward_hook(self._post_ran))
        _ATTACHED.add(self)

    @property
    def parameter(self) -> nn.Parameter:
        """The parameter that learns."""
        return cast(nn.Parameter, self.layer._parameters[self._name])

    @property
    def weight(self) -> Tensor:
        """The weights as the rule has them now, `step()` or not; like the parameter. (B, *weight)
        with reduction "none"."""
        return self._shaped(self.shadow.clone())

    @property
    def change(self) -> Tensor:
        """What the rule has changed since the last `step()`; shaped as `weight`."""
        return self._shaped(self.shadow - self.base)

    @property
    def state(self) -> dict[str, Tensor]:
        """The variables of the rule by name, of presynaptic neurons (B, in), of postsynaptic ones
        (B, out), of synapses (B, *weight); none before the first step of a trial."""
        lead = self._at.lead
        if lead is None:
            return {}
        return {
            name: self._stepper.natural(name, value, lead).clone()
            for name, value in self._state().items()
        }

    def step(self) -> None:
        """Bring the change into the parameter, as `merge` says, and begin with a new one.

        Not between a forward pass and its backward pass, unless merge is "gradient": autograd
        would refuse a weight that has changed. FloatingPointError where weights or traces have
        become NaN or infinite.
        """
        if not _finite(self.shadow):
            raise FloatingPointError(
                f"{type(self.rule).__name__} has made weights NaN or infinite; the parameter is "
                "as it was."
            )
        for name, value in self._state().items():
            if not _finite(value):
                raise FloatingPointError(
                    f"{name} of {type(self.rule).__name__} is NaN or infinite."
                )
        parameter, layout = self.parameter, self._layout
        with torch.no_grad():
            if self.reduction != "none":
                change = (self.shadow - self.base).to(parameter)
                if self.merge == "gradient":
                    gradient = layout.parameter(-change, parameter)
                    old = parameter.grad
                    parameter.grad = gradient if old is None else old + gradient
                elif self.merge == "replace":
                    self._rebase()
                    layout.write(parameter, self.shadow.to(parameter))
                elif self._at.pending:
                    new = self._stepper.clipped(layout.read(parameter) + change)
                    layout.write(parameter, new)
            self._restart()

    def reset(self) -> None:
        """Begin a new trial: variables, time and signals at 0, any batch size. The change not yet
        written stays, save with reduction "none"."""
        for name in [*self._state()]:
            if name not in self._stepper.kept:
                del self._buffers[f"state_{name}"]
        self._at.lead, self._at.count = None, 0
        self._records.clear()
        self.signals = self._silence()
        if self.reduction == "none":
            self._restart()

    def swap(self, rule: Rule, keep_traces: bool = False) -> None:
        """Go on with another rule. keep_traces: variables of the same name and kind keep their
        values; all others begin at 0. The change not yet written stays.

        Errors as `attach`, before anything has changed.
        """
        stepper = self._prepared(rule)
        kept: dict[str, Tensor] = {}
        if self._at.lead is not None:
            kept = stepper.start(self._at.samples, self.shadow)
            if keep_traces:
                for name, old in self._state().items():
                    if name in kept and old.shape == kept[name].shape:
                        kept[name] = old
        before = self.signals
        for name in [*self._state()]:
            del self._buffers[f"state_{name}"]
        self._use(rule, stepper)
        self.signals.follow(before)
        self._keep(kept)

    def remove(self) -> None:
        """Take the rule off the layer; the change not yet written is dropped. A parameter of
        merge "replace" takes gradients again."""
        for hook in self._hooks:
            hook.remove()
        if self._frees:
            self.parameter.requires_grad_(True)
            self._frees = False
        _ATTACHED.discard(self)

    def extra_repr(self) -> str:
        return (
            f"{self.rule!r} on {type(self.layer).__name__}.{self._name}, merge={self.merge!r}, "
            f"reduction={self.reduction!r}, dt={self.dt!r}"
        )

    @staticmethod
    def signals_of(rule: Rule) -> tuple[str, ...]:
        """Names of the third factors that a rule reads."""
        return tuple(rule.signals)

    def _prepared(self, rule: Rule) -> Stepper | LayerStepper:
        """What runs this rule here. Raises where it cannot."""
        if not isinstance(rule, Rule):
            raise TypeError(
                f"rule must be a neuroflip rule, such as rules.PairSTDP(); got {rule!r}."
            )
        name = type(rule).__name__
        own: tuple[str, str] | None = getattr(rule, "activity", None)
        rates = isinstance(rule, LayerRule) or own is not None
        if self._activity is not None:
            rates = _one_of("activity", self._activity, ACTIVITIES) == "rates"
            if rates and own is None and not isinstance(rule, LayerRule):
                raise ValueError(f"{name} learns from spikes; activity='rates' is for rate rules.")
        self._binary = not rates
        self.dt = (
            (1.0 if own and rates else 1e-3) if self._dt is None else as_float(self._dt, "s", "dt")
        )
        if self.dt <= 0:
            raise ValueError(f"dt must be above 0 s; got {self.dt!r}.")
        if rule.reads and self._read_state is None and self.post is None:
            raise ValueError(
                f"{name} reads {_listed(rule.reads)} of the postsynaptic neuron: give `post`, the "
                "neuron's module, or `state`, a function that returns them."
            )
        stepper: Stepper | LayerStepper
        if isinstance(rule, LayerRule):
            if type(self._layout) is not Dense and getattr(self._layout, "groups", 2) != 1:
                raise ValueError(f"{name} needs a dense layer in one group.")
            if self.reduction == "none":
                raise ValueError(f"{name} has no weights of each sample; use another reduction.")
            stepper = LayerStepper(rule, self._layout, dt=self.dt, reduction=self.reduction)
        else:
            model = rule.model()
            if not _sends_weight(model):
                raise ValueError(
                    f"{name} changes what a spike passes on ({model.transmit.text}), which on a "
                    "torch layer is the layer's own forward pass; use it in a circuit."
                )
            stepper = Stepper(
                model,
                rule.parameters(),
                self._layout,
                dt=self.dt,
                reduction=self.reduction,
                activity=own if rates else None,
            )
            check_step(rule, self.dt, spikes=not rates)
        self._check_weights(stepper, name)
        return stepper

    def _check_weights(self, stepper: Stepper | LayerStepper, name: str) -> None:
        if not _finite(self.shadow):
            raise FloatingPointError("the weights must be finite.")
        if stepper.bounds is not None:
            low, high = stepper.bounds
            least, most = self.shadow.aminmax() if self.shadow.numel() else (low, high)
            if low <= least and most <= high:
                return
            outside = self.shadow.ne(self.shadow.clamp(low, high))
            if self._layout.mask is not None:
                outside &= self._layout.mask
            count = int(outside.sum())
            if count:
                raise ValueError(
                    f"{count} of {outside.numel()} weights are outside the bounds of {name}, "
                    f"[{low:g}, {high:g}]."
                )

    def _use(self, rule: Rule, stepper: Stepper | LayerStepper) -> None:
        self.rule, self._stepper = rule, stepper
        self.signals = self._silence()
        self._last = None

    def _silence(self) -> Signals:
        check = functools.partial(_check_signal, self.rule, self.dt, self._binary)
        return Signals(self.signals_of(self.rule), check)

    def _layer_ran(
        self, layer: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], output: Any
    ) -> None:
        if not self._learns():
            return
        if self._steps is not None:
            with torch.no_grad(), _full_precision(self.shadow.device):
                for before, after in self._steps(args, kwargs):
                    self._learn(before, after, {})
            return
        first = args[0] if args else next(iter(kwargs.values()), None)
        if not isinstance(first, Tensor):
            raise TypeError(f"the layer's first argument must be a tensor; got {first!r}.")
        if self.post is None:
            self._learn(first.detach(), _first(output), {})
        else:
            self._record("pre", first.detach())

    def _post_ran(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        if self._learns():
            self._record("post", output)

    def _learns(self) -> bool:
        # Within a backward pass a checkpointed layer runs again, on what it has seen already
        return self.training and self.layer.training and _graph_task() == -1

    def _record(self, side: str, value: Any) -> None:
        """Keep one side of a step; learn when both are there."""
        records = self._records
        if side in records:
            records.clear()
            ran, missing = ("layer", "post") if side == "pre" else ("post", "layer")
            raise RuntimeError(
                f"`{ran}` ran twice without `{missing}`: each time step runs both. After a step "
                "that was broken off, call reset()."
            )
        records[side] = value
        if len(records) == 2:
            before, output = records["pre"], records["post"]
            records.clear()
            given = {}
            if self.rule.reads and self._read_state is None:
                if not isinstance(output, (tuple, list)) or tuple(self.rule.reads) != ("v",):
                    raise ValueError(
                        f"{type(self.rule).__name__} reads {_listed(self.rule.reads)}, which "
                        "`post` does not return; give `state`, a function that returns them."
                    )
                given["v"] = output[-1].detach()
            self._learn(before, _first(output), given)

    def _learn(self, before: Tensor, after: Tensor, read: Mapping[str, Tensor]) -> None:
        """One time step of the rule."""
        if self._repeats(before, after):
            return
        with torch.no_grad():
            if self.shadow.device != self.parameter.device:
                self.to(self.parameter.device)
            like, layout, at = self.shadow, self._layout, self._at
            before, after = before.to(like), after.to(like)
            lead = layout.lead(before, after)
            state = self._state()
            if at.lead not in (None, lead) and (
                self.reduction == "none" or set(state) - set(self._stepper.kept)
            ):
                raise RuntimeError(
                    f"samples of shape {at.lead} became {lead} within a trial, whose traces are a "
                    "sample's own; call reset() first."
                )
            given = self._given(read, after, lead)
            x, y = layout.pre(before), layout.post(after)
            self._rebase()
            if at.lead is None:
                state = self._stepper.start(len(x), like) | state
            weight, time = self.shadow, at.count * self.dt
            if self.reduction == "none" and at.lead is None:
                weight = weight.expand(len(x), *weight.shape).clone()
            compiled = self._stepper.step_events(state, weight, x, y, given, time)
            if compiled is None:
                with _full_precision(like.device):
                    active = (
                        self._active("the layer's input", before),
                        self._active("postsynaptic activity", after),
                    )
                    state, weight = self._stepper.step(state, weight, x, y, active, given, time)
            self._keep(state)
            self._buffers["shadow"] = weight if layout.mask is None else weight.mul_(layout.mask)
            at.lead, at.samples, at.count, at.pending = lead, len(x), at.count + 1, True
            self.signals.advance()
            self._last = None
            if compiled is not None and layout.as_it_lies and not given:
                changed = (("shadow", weight), *((f"state_{k}", v) for k, v in state.items()))
                self._last = _Last(compiled, before.shape, after.shape, like.dtype, changed)

    def _repeats(self, before: Tensor, after: Tensor) -> bool:
        """Take a step like the last, of which nothing is left but its compiled code; False, and
        nothing done, where anything has changed, or the activity is not what that code takes."""
        last, at, parameter, buffers = self._last, self._at, self.parameter, self._buffers
        if last is None or at.lead is None or parameter._version != at.version:
            return False
        if before.shape != last.pre_shape or after.shape != last.post_shape:
            return False
        if not (last.takes(before) and last.takes(after)):
            return False
        for name, value in last.buffers:
            if buffers.get(name) is not value:
                return False
        if not parameter.is_cpu or not last.step.take(before, after, {}, at.count * self.dt):
            return False
        if self._layout.mask is not None:
            self.shadow.mul_(self._layout.mask)
        at.count, at.pending = at.count + 1, True
        return True

    def _active(self, what: str, value: Tensor) -> bool:
        """Whether there is any activity. Raises where it is not what the rule learns from."""
        if not value.numel():
            raise ValueError(f"{what} is empty.")
        flat = value.reshape(-1)
        # Four numbers in one transfer; comparing element by element costs several times as much
        low, high, total, squares = torch.stack([*flat.aminmax(), flat.sum(), flat @ flat]).tolist()
        if not math.isfinite(low) or not math.isfinite(high):
            raise FloatingPointError(f"{what} must be finite; got NaN or infinite values.")
        if self._binary and (low < 0 or high > 1 or total != squares):
            if not torch.equal((value > 0).to(value), value):  # large sums may have been rounded
                raise ValueError(
                    f"{type(self.rule).__name__} learns from spikes, 0 or 1, but {what} has other "
                    "values; give `post`, the module whose output is spikes, or use a rate rule."
                )
        return bool(low or high)

    def _given(
        self, read: Mapping[str, Tensor], after: Tensor, lead: tuple[int, ...]
    ) -> dict[str, Tensor]:
        """Signals, and what the rule reads of the postsynaptic neurons, at their full shape."""
        found: dict[str, Tensor] = {}
        if not self.signals and not self.rule.reads:
            return found
        like, layout = self.shadow, self._layout
        shape = layout.shape("post", math.prod(lead))
        for name, value in self.signals.coming().items():
            value = value.to(like)
            if value.dim():
                try:
                    value = layout.per_post(value, lead)
                except ValueError as error:
                    raise ValueError(f"signal {name!r} {error}.") from None
            found[name] = value.expand(shape)
        if self.rule.reads:
            values = dict(read) if self._read_state is None else dict(self._read_state())
            for name in self.rule.reads:
                if name not in values:
                    raise ValueError(f"`state` returned no {name!r}, which the rule reads.")
                value = values[name].detach().to(like)
                if value.shape != after.shape:
                    raise ValueError(
                        f"{name!r} of the postsynaptic neurons must have shape "
                        f"{tuple(after.shape)}; got {tuple(value.shape)}."
                    )
                found[f"{name}_post"] = layout.post(value)
        return found

    def _state(self) -> dict[str, Tensor]:
        start = len("state_")
        return {
            name[start:]: value
            for name, value in self._buffers.items()
            if name.startswith("state_") and value is not None
        }

    def _keep(self, state: Mapping[str, Tensor]) -> None:
        for name, value in state.items():
            self._buffers[f"state_{name}"] = value

    def _shaped(self, weight: Tensor) -> Tensor:
        if weight.dim() > self.base.dim():
            assert self._at.lead is not None
            return self._layout.natural("synapse", weight, self._at.lead)
        return self._layout.parameter(weight, self.parameter)

    def _restart(self) -> None:
        """Begin again from the parameter as it is."""
        parameter = self.parameter
        self.base = self._stepper.clipped(self._layout.read(parameter).to(self.base))
        if self._layout.mask is not None:
            self.base = self.base * self._layout.mask
        each = (self._at.samples,) if self.reduction == "none" and self._at.lead is not None else ()
        self.shadow = self.base.expand(*each, *self.base.shape).clone()
        self._at.pending = False
        self._at.version = parameter._version

    def _rebase(self) -> None:
        """Follow what others, such as an optimizer, have done to the parameter since."""
        if self.parameter._version == self._at.version:
            return
        change = self.shadow - self.base if self._at.pending else None
        self._restart()
        if change is not None:
            self.shadow = self._stepper.clipped(self.base + change)
            self._at.pending = True

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_last": None}  # whose code cannot be copied

    def get_extra_state(self) -> dict[str, Any]:
        """What state_dict holds beside tensors."""
        return {"lead": self._at.lead, "count": self._at.count, "pending": self._at.pending}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """The same, put back."""
        lead = state["lead"]
        self._at.lead = None if lead is None else tuple(lead)
        self._at.count, self._at.pending = state["count"], state["pending"]

    def _load_from_state_dict(
        self, state_dict: MutableMapping[str, Any], prefix: str, *rest: Any
    ) -> None:
        """Buffers come and go with the batch: make those that the file has."""
        for name in [*self._state()]:
            del self._buffers[f"state_{name}"]
        for name, value in state_dict.items():
            own = name.removeprefix(prefix)
            if name.startswith(prefix) and (own.startswith("state_") or own == "shadow"):
                self._buffers[own] = torch.empty_like(value, device=self.base.device)
        super()._load_from_state_dict(state_dict, prefix, *rest)
        if self._at.lead is not None:
            self._at.samples = math.prod(self._at.lead)
        self._at.version = -1

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "Learner":
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self._layout.move(self.base.device)
        return self


@functools.cache
def _sends_weight(model: RuleModel) -> bool:
    """Whether what a spike passes on is the weight, as it was or as the spike itself leaves it."""
    weights = [a.value for a in model.on_pre if a.target == "w"]
    weights += [eq.unclipped(value) for value in weights]
    known = {ast.dump(value.tree) for value in weights}
    return model.transmit.text == "w" or ast.dump(model.transmit.tree) in known


def _check_signal(
    rule: Rule, dt: float, spikes: bool, name: str, values: tuple[float, float]
) -> None:
    check_step(rule, dt, spikes, given={name: values})


def _finite(value: Tensor) -> bool:
    """Whether all numbers are; their sum, which takes less time, mostly tells."""
    return bool(torch.isfinite(value.sum())) or bool(torch.isfinite(value).all())


def _one_of(what: str, value: str, known: tuple[str, ...]) -> str:
    if value not in known:
        raise ValueError(f"unknown {what} {value!r}; {nearest(str(value), known)}")
    return value


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(map(repr, names))


def _first(output: Any) -> Tensor:
    """The activity among what a module returns."""
    value = output[0] if isinstance(output, (tuple, list)) else output
    if not isinstance(value, Tensor):
        raise TypeError(f"the postsynaptic module must return a tensor first; got {value!r}.")
    return value.detach()


def _full_precision(device: torch.device) -> AbstractContextManager[Any]:
    """No autocast, where there is one."""
    if torch.is_autocast_enabled(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()


def _find(layer: nn.Module, weight: str) -> tuple[str, Tensor | None]:
    """The name of the parameter behind a weight, and the mask of its pruning."""
    known = dict(layer.named_parameters(recurse=False))
    if weight in known:
        if isinstance(known[weight], nn.parameter.UninitializedParameter):
            raise ValueError(f"{weight} has no shape yet; run the lazy layer once first.")
        return weight, None
    mask = getattr(layer, f"{weight}_mask", None)
    if f"{weight}_orig" in known and isinstance(mask, Tensor):  # torch.nn.utils.prune
        return f"{weight}_orig", mask
    kind = type(layer).__name__
    if parametrize.is_parametrized(layer, weight):
        raise ValueError(f"{kind}.{weight} is computed from other parameters (parametrize).")
    raise ValueError(f"{kind} has no parameter {weight!r}; {nearest(weight, known)}")


def _layout(
    layer: nn.Module,
    weight: str,
    parameter: nn.Parameter,
    mask: Tensor | None,
    pruned: Tensor | None,
) -> Layout:
    """How the synapses of the layer lie. Raises ValueError where there is no such way."""
    where = f"{type(layer).__name__}.{weight}"
    shape = tuple(parameter.shape)
    if not parameter.is_floating_point():
        raise ValueError(f"{where} must hold real numbers; got {parameter.dtype}.")
    if mask is not None:
        if not isinstance(mask, Tensor) or tuple(mask.shape) != shape:
            raise ValueError(f"mask must be a tensor of shape {shape}, as {where}.")
        if not bool(((mask == 0) | (mask == 1)).all()):
            raise ValueError("mask must hold 0 and 1 only.")
        mask = mask.to(parameter.device)
        pruned = mask if pruned is None else pruned * mask
    if parameter.layout in _SPARSE:
        if mask is not None:
            raise ValueError(f"mask: {where} is sparse, so its entries are the synapses.")
        return Sparse(parameter)
    if isinstance(layer, (nn.Conv1d, nn.Conv2d)) and len(shape) > 1:
        return Conv(layer, parameter, pruned)
    if isinstance(layer, FlipFlop) and weight.startswith("weight_hh") and len(shape) == 1:
        if pruned is not None:
            raise ValueError(f"mask: {where} has one synapse for each gate, all in use.")
        return Diagonal(parameter)
    if isinstance(layer, (nn.Embedding, nn.EmbeddingBag)):
        raise ValueError(
            f"the input of {type(layer).__name__} is numbers of rows, not activity; use nn.Linear "
            "on one-hot input."
        )
    if isinstance(layer, (nn.RNNBase, nn.RNNCellBase)):
        raise ValueError(f"{type(layer).__name__} does not show its activity; use FlipFlop.")
    if len(shape) != 2 or parameter.layout != torch.strided:
        raise ValueError(
            f"{where} has shape {shape}; rules need a matrix (out, in), or nn.Conv1d or nn.Conv2d."
        )
    return Dense(parameter, pruned)
