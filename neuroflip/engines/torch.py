"""The batched engine: all trials at once, in torch.

`Stepper` holds all state and takes a step. Its operations are out of place, so that autograd may
follow them: `neuroflip.engines.unroll` takes the same steps with gradients.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from neuroflip import equations as eq
from neuroflip.engines.job import Job, Recorder
from neuroflip.engines.plan import Group, Plan, Plastic, check_finite, make_plan
from neuroflip.errors import nearest
from neuroflip.inputs import Drive
from neuroflip.neurons import INJECTED, NOT_REFRACTORY

_DTYPES = {"float64": torch.float64, "float32": torch.float32}
_NEVER = -(10**9)


def run(job: Job, *, device: str = "cpu", dtype: str = "float64", threads: int = 1) -> Recorder:
    """Simulate all trials in one batch.

    device: where, as torch names it. dtype: "float64" or "float32". threads: torch's, for this run.
    """
    if dtype not in _DTYPES:
        raise ValueError(f"unknown dtype {dtype!r}; {nearest(str(dtype), _DTYPES)}")
    if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
        raise ValueError(f"threads must be a whole number, at least 1; got {threads!r}.")
    try:
        place = torch.device(device)
        torch.empty(0, device=place)
    except (RuntimeError, AssertionError, TypeError) as error:
        raise ValueError(f"unknown device {device!r}: {error}") from None
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.no_grad():
            return _run(job, place, _DTYPES[dtype])
    finally:
        torch.set_num_threads(before)


def _run(job: Job, device: torch.device, dtype: torch.dtype) -> Recorder:
    plan, recorder = make_plan(job.circuit, job.dt), Recorder(job)
    stepper = Stepper(plan, job.drives, job.steps, device, dtype)
    trials = range(len(job.drives))
    places = {key: plan.group_of(key[0]) for key in job.states}
    widths: dict[tuple[int, str] | str, int] = {
        (g, v): plan.groups[g].size for (_, v), (g, _) in places.items()
    }
    widths |= {name: stepper.weights_of(name).shape[1] for name in job.weights}
    chunk = job.chunk(sum(widths.values()) * len(trials))
    held = {
        key: torch.empty(len(trials), -(-chunk // job.every), width, device=device, dtype=dtype)
        for key, width in widths.items()
    }
    for start in range(0, job.steps, chunk):
        stop = min(start + chunk, job.steps)
        rows = job.rows_in(start, stop)
        found: list[Tensor] = []  # rows of (step, trial, source)
        for k in range(start, stop):
            if k % job.every == 0:
                row = k // job.every - rows.start
                for key, samples in held.items():
                    samples[:, row] = (
                        stepper.weights_of(key)
                        if isinstance(key, str)
                        else stepper.groups[key[0]].state[key[1]]
                    )
            spikes = stepper.step(k)
            if stepper.sent:
                hits = spikes[:, : plan.neurons].nonzero()
                found.append(torch.cat([torch.full_like(hits[:, :1], k), hits], dim=1))
            if (k + 1) % 1000 == 0 or k + 1 == job.steps:
                job.tick((k % 1000) + 1)
        for (population, variable), (g, members) in places.items():
            samples = held[g, variable][:, : len(rows), members]
            recorder.state(population, variable, trials, rows, samples.cpu().numpy())
        for name in job.weights:
            recorder.weights(name, trials, rows, held[name][:, : len(rows)].cpu().numpy())
        events = torch.cat(found).cpu().numpy() if found else np.zeros((0, 3), np.int64)
        for member in job.circuit.populations:
            first, size = plan.sources[member.name]
            mine = events[(events[:, 2] >= first) & (events[:, 2] < first + size)]
            recorder.spikes(member.name, trials, mine[:, 1], mine[:, 0], mine[:, 2] - first)
    for group in stepper.groups:
        state = torch.stack([group.state[v] for v in group.group.model.variables])
        for b in trials:
            check_finite(plan, group.group, state[:, b].cpu().numpy())
    weights = {name: stepper.weights_of(name).cpu().numpy() for name in plan.plastic_at}
    recorder.end(trials, weights, stepper.margin.cpu().numpy())
    return recorder


class _Spike(torch.autograd.Function):
    """Heaviside step forward, fast-sigmoid derivative backward."""

    @staticmethod
    def forward(ctx: Any, margin: Tensor, width: float) -> Tensor:
        ctx.save_for_backward(margin)
        ctx.width = width
        return (margin > 0).to(margin.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (margin,) = ctx.saved_tensors
        return gradient / (ctx.width * (1 + margin.abs() / ctx.width) ** 2), None


@functools.lru_cache(maxsize=256, typed=True)
def _constant(value: float | bool, device: torch.device, dtype: torch.dtype) -> Tensor:
    return torch.tensor(
        value, device=device, dtype=torch.bool if isinstance(value, bool) else dtype
    )


def _on_tensors(name: str, function: Callable[..., Tensor]) -> Callable[..., Any]:
    """The function with numbers among its arguments made tensors; of numbers alone, NumPy's."""

    def call(*arguments: Any) -> Any:
        tensors = [a for a in arguments if isinstance(a, Tensor)]
        if not tensors:
            return eq.NUMPY[name](*arguments).item()
        like = next((a for a in tensors if a.is_floating_point()), None)
        dtype = torch.float64 if like is None else like.dtype
        device = tensors[0].device
        return function(
            *(a if isinstance(a, Tensor) else _constant(a, device, dtype) for a in arguments)
        )

    return call


def _where(*arguments: Any) -> Tensor:
    """torch takes one number as it is: one that changes with time must not fill the cache."""
    condition, one, other = arguments
    if isinstance(condition, Tensor) and (isinstance(one, Tensor) or isinstance(other, Tensor)):
        return torch.where(condition, one, other)
    chosen: Tensor = _on_tensors("where", torch.where)(*arguments)
    return chosen


_OF_TENSORS: dict[str, Callable[..., Tensor]] = {
    "exp": torch.exp,
    "expm1": torch.expm1,
    "exprel": lambda x: torch.where(x == 0, 1.0, torch.expm1(x) / x),
    "log": torch.log,
    "sqrt": torch.sqrt,
    "abs": torch.abs,
    "tanh": torch.tanh,
    "min": torch.minimum,
    "max": torch.maximum,
    "clip": lambda x, low, high: torch.minimum(torch.maximum(x, low), high),
    "logical_and": torch.logical_and,
    "logical_or": torch.logical_or,
    "logical_not": torch.logical_not,
}
FUNCTIONS = {name: _on_tensors(name, function) for name, function in _OF_TENSORS.items()}
FUNCTIONS["where"] = _where
"""Namespace in which "array" text of the equation language runs on tensors."""


class _Group:
    """The state of one group: variable -> (trials, size)."""

    def __init__(self, group: Group, trials: int, device: torch.device, dtype: torch.dtype) -> None:
        def tensor(values: Any) -> Tensor:
            return torch.tensor(np.asarray(values), device=device, dtype=dtype)

        self.group = group
        self.constants = {name: tensor(values) for name, values in group.constants.items()}
        self.state = {
            name: tensor(values).expand(trials, -1) for name, values in group.initial.items()
        }
        self.refractory = torch.tensor(np.maximum(group.refractory, 1), device=device)
        self.last_spike = torch.full((trials, group.size), _NEVER, device=device)
        self.update = eq.compile_block(group.model.update, FUNCTIONS)
        self.reset = eq.compile_block(group.model.reset, FUNCTIONS)
        self.margin = eq.compile_block((eq.Assignment("margin", group.model.margin),), FUNCTIONS)


class _Plastic:
    """The state of one plastic list: variables and weights, (trials, synapses)."""

    def __init__(
        self, plastic: Plastic, weight: Tensor, drives: list[Drive], device: torch.device, dt: float
    ) -> None:
        trials = len(drives)
        self.model, self.group, self.dt = plastic.model, plastic.group, dt
        self.parameters = {
            name: torch.tensor(values[plastic.instance], device=device, dtype=weight.dtype)
            for name, values in plastic.parameters.items()
        }
        self.weight = weight.expand(trials, -1)
        self.state = {name: torch.zeros_like(self.weight) for name in plastic.model.variables}
        self.last = torch.zeros(self.weight.shape, dtype=torch.int64, device=device)
        self.slot = torch.tensor(plastic.slot, device=device, dtype=torch.int64)
        self.member = torch.tensor(plastic.member, device=device, dtype=torch.int64)
        self.pre = _by_delay(plastic.axonal, plastic.pre, device)
        self.post = _by_delay(plastic.dendritic, plastic.post, device)
        self.dendritic = [(d, members) for d, members, _ in self.post]
        self.blocks = {
            "pre": eq.compile_block(plastic.model.on_pre, FUNCTIONS),
            "post": eq.compile_block(plastic.model.on_post, FUNCTIONS),
        }
        self.transmit = eq.compile_block(
            (eq.Assignment("sent", plastic.model.transmit),), FUNCTIONS
        )
        flows = plastic.model.flows
        self.flows = {
            d.variable: eq.compile_block((eq.Assignment("slope", d.value),), FUNCTIONS)
            for d in flows
        }
        self.signals = {
            name: _signal(plastic, inputs, drives, device, weight.dtype)
            for name, inputs in plastic.signals.items()
        }

    def outside(self, k: int, groups: list[_Group]) -> dict[str, Any]:
        """What a synapse reads that is not its own."""
        values: dict[str, Any] = {"t": k * self.dt}
        values |= {name: wave[k] for name, wave in self.signals.items()}
        if self.group is not None:
            state = groups[self.group].state
            values |= {f"{v}_post": state[v][:, self.member] for v in self.model.reads}
        return values

    def flow(self, outside: dict[str, Any]) -> None:
        """One step of the differential equations, all from the values at its start."""
        values = {**self.parameters, **outside, **self.state, "w": self.weight}
        slopes = {name: run(values)["slope"] for name, run in self.flows.items()}
        for name, tau in self.model.decay.items():
            self.state[name] = self.state[name] * torch.exp(-self.dt / self.parameters[tau])
        for name, slope in slopes.items():
            if name == "w":
                moved = self.weight + self.dt * slope
                if self.model.bounded:
                    moved = FUNCTIONS["clip"](
                        moved, self.parameters["w_min"], self.parameters["w_max"]
                    )
                self.weight = moved
            else:
                self.state[name] = self.state[name] + self.dt * slope

    def _now(self, k: int) -> dict[str, Tensor]:
        """The variables in step k; those that decay between events are kept as of the last."""
        if self.model.continuous:
            return self.state
        elapsed = (k - self.last).to(self.weight.dtype) * self.dt
        return self.state | {
            name: self.state[name] * torch.exp(-elapsed / self.parameters[tau])
            for name, tau in self.model.decay.items()
        }

    def sent(self, k: int, outside: dict[str, Any]) -> Tensor:
        """What each synapse passes on, should a spike arrive."""
        values = {**self.parameters, **outside, **self._now(k), "w": self.weight}
        sent: Tensor = self.transmit(values)["sent"]
        return sent

    def learn(self, side: str, arrived: Tensor, k: int, outside: dict[str, Any]) -> None:
        """Run on_pre or on_post at the synapses where a spike arrived."""
        here = arrived > 0
        old = self._now(k)
        self.last = torch.where(here, k, self.last)
        values = {**self.parameters, **outside, **old, "w": self.weight}
        new = old | self.blocks[side](values)
        for name in self.state:
            self.state[name] = torch.where(here, new[name], self.state[name])
        if "w" in new:
            self.weight = torch.where(here, new["w"], self.weight)


def _by_delay(delay: Any, source: Any, device: torch.device) -> list[tuple[int, Tensor, Tensor]]:
    """For each delay: (delay, indices of its synapses, their sources)."""
    return [
        (
            int(d),
            torch.tensor(np.flatnonzero(delay == d), device=device),
            torch.tensor(source[delay == d], device=device, dtype=torch.int64),
        )
        for d in np.unique(delay)
    ]


@dataclass(frozen=True)
class State:
    """All that changes from step to step, in the order in which `Stepper.load` takes it.

    tensors: the weights of the plastic lists first. any_spike, pending: which steps of the delay
    lines had spikes, and which have input on its way.
    """

    tensors: tuple[Tensor, ...]
    any_spike: tuple[bool, ...]
    pending: tuple[bool, ...]


class Stepper:
    """All state of a batch, advanced one step at a time, in the order of docs/order.md.

    width: of the surrogate derivative of spikes; None where no gradients are wanted.
    """

    def __init__(
        self,
        plan: Plan,
        drives: list[Drive],
        steps: int,
        device: torch.device,
        dtype: torch.dtype,
        weights: tuple[Tensor, list[Tensor]] | None = None,
        width: float | None = None,
    ) -> None:
        self.plan, self.width = plan, width
        trials = len(drives)
        self.device, self.dtype, self.trials = device, dtype, trials
        self.groups = [_Group(g, trials, device, dtype) for g in plan.groups]
        static, plastic_weights = weights or all_weights(plan, {}, device, dtype)
        self.plastic = [
            _Plastic(p, w, drives, device, plan.dt)
            for p, w in zip(plan.plastic, plastic_weights, strict=True)
        ]
        slot = torch.tensor(plan.static.slot, device=device, dtype=torch.int64)
        self.static = [
            (d, source, slot[members], members)
            for d, members, source in _by_delay(plan.static.delay, plan.static.pre, device)
        ]
        self.set_static(static)
        delays = [d for d, *_ in self.static]
        delays += [d for p in self.plastic for d, *_ in (*p.pre, *p.post)]
        # The last spikes of all sources, the newest at index step % length, and whether any fired
        self.spikes = [self._zeros(plan.source_count)] * (max(delays, default=0) + 1)
        self.any_spike = [False] * len(self.spikes)
        dendritic = [d for p in self.plastic for d, _ in p.dendritic]
        self.pending: list[Tensor | None] = [None] * (max(dendritic, default=0) + 1)
        self.margin = torch.full((trials,), torch.inf, device=device, dtype=dtype)
        self.sent = False  # whether any neuron fired in the last step
        self.inputs = _input_events(plan, drives, steps)
        self.waves = [
            _waves(plan, drives, steps, g.start, g.size, device, dtype) for g in plan.groups
        ]

    def _zeros(self, size: int) -> Tensor:
        return torch.zeros(self.trials, size, device=self.device, dtype=self.dtype)

    def set_static(self, weight: Tensor) -> None:
        """Set the weights of all static synapses, (synapses,)."""
        self.static_weight = [weight[members] for *_, members in self.static]

    def save(self) -> State:
        """The state, for `load`; it shares its tensors, as no step changes one in place."""
        tensors = [p.weight for p in self.plastic]
        for plastic in self.plastic:
            tensors += [plastic.last, *plastic.state.values()]
        for group in self.groups:
            tensors += [group.last_spike, *group.state.values()]
        waiting = [p for p in self.pending if p is not None]
        return State(
            (*tensors, self.margin, *self.spikes, *waiting),
            tuple(self.any_spike),
            tuple(p is not None for p in self.pending),
        )

    def load(self, state: State) -> None:
        """Go on from a saved state."""
        left = iter(state.tensors)
        for plastic in self.plastic:
            plastic.weight = next(left)
        for plastic in self.plastic:
            plastic.last = next(left)
            plastic.state = {name: next(left) for name in plastic.state}
        for group in self.groups:
            group.last_spike = next(left)
            group.state = {name: next(left) for name in group.state}
        self.margin = next(left)
        self.spikes = [next(left) for _ in self.spikes]
        self.any_spike = list(state.any_spike)
        self.pending = [next(left) if waits else None for waits in state.pending]

    def state_of(self, population: str, variable: str) -> Tensor:
        """A state variable of a population, (trials, size)."""
        g, members = self.plan.group_of(population)
        return self.groups[g].state[variable][:, members]

    def weights_of(self, projection: str) -> Tensor:
        """Weights of a plastic projection, (trials, synapses)."""
        number, members = self.plan.plastic_at[projection]
        return self.plastic[number].weight[:, members]

    def step(self, k: int) -> Tensor:
        """Advance by step k and return the spikes of all sources, (trials, sources)."""
        for plastic in self.plastic:
            if plastic.model.continuous:
                plastic.flow(plastic.outside(k, self.groups))
        parts = [self._update(n, k) for n in range(len(self.groups))]
        self.sent = any(bool(part.any()) for part in parts)
        given = self.inputs.get(k)
        sources = self._zeros(self.plan.source_count - self.plan.neurons)
        if given is not None:
            sources[given[0], given[1] - self.plan.neurons] = 1.0
        now = k % len(self.spikes)
        self.spikes[now] = torch.cat([*parts, sources], dim=1)
        # With gradients, silence too has a derivative
        self.any_spike[now] = self.sent or given is not None or self.width is not None
        self._transmit(k)
        arrived = self.pending[k % len(self.pending)]
        self.pending[k % len(self.pending)] = None
        for group in self.groups:
            if arrived is not None:
                self._receive(group, arrived, k)
        if self.sent:
            for group, fired in zip(self.groups, parts, strict=True):
                new = group.reset({**group.constants, **group.state})
                for name, value in new.items():
                    group.state[name] = torch.where(fired > 0, value, group.state[name])
        return self.spikes[now]

    def _update(self, number: int, k: int) -> Tensor:
        group = self.groups[number]
        wave = self.waves[number]
        values = {**group.constants, **group.state}
        values[INJECTED] = self._zeros(1) if wave is None else wave[k]
        active = k - group.last_spike >= group.refractory
        values[NOT_REFRACTORY] = active.to(self.dtype)

        def assign(name: str, value: Any) -> Any:
            old = group.state.get(name)
            if old is None:
                return value
            if name in group.group.model.held:
                value = torch.where(active, value, old)
            return (
                value.to(old.dtype).expand_as(old)
                if isinstance(value, Tensor)
                else old.new_full(old.shape, value)
            )

        new = group.update(values, assign)
        group.state |= {name: value for name, value in new.items() if name in group.state}
        distance = group.margin({**group.constants, **group.state})["margin"]
        met = torch.where(active, distance.detach().abs(), torch.inf)
        self.margin = torch.minimum(self.margin, met.amin(dim=1))
        fired = (
            (distance > 0).to(self.dtype)
            if self.width is None
            else _Spike.apply(distance, self.width)  # type: ignore[no-untyped-call]
        )
        fired = torch.where(active, fired, 0.0)
        group.last_spike = torch.where(fired > 0, k, group.last_spike)
        return fired

    def _transmit(self, k: int) -> None:
        for (delay, source, slot, _), weight in zip(self.static, self.static_weight, strict=True):
            spikes = self._past(k - delay)
            if spikes is not None:
                self._send(k, slot, spikes[:, source] * weight)
        for plastic in self.plastic:
            for side in plastic.model.sides:
                self._meet(plastic, side, k)

    def _meet(self, plastic: _Plastic, side: str, k: int) -> None:
        """Synapses meet the spikes of one side that arrive in step k."""
        if side == "post" and not plastic.model.on_post:
            return
        arrived = self._arrivals(getattr(plastic, side), k, plastic.weight)
        if arrived is None:
            return
        outside = plastic.outside(k, self.groups)
        if side == "pre":
            sent = arrived * plastic.sent(k, outside)
            for delay, members in plastic.dendritic:
                self._send(k + delay, plastic.slot[members], sent[:, members])
        plastic.learn(side, arrived, k, outside)

    def _past(self, k: int) -> Tensor | None:
        """The spikes of step k, None where there were none."""
        if k < 0 or not self.any_spike[k % len(self.spikes)]:
            return None
        return self.spikes[k % len(self.spikes)]

    def _arrivals(
        self, delays: list[tuple[int, Tensor, Tensor]], k: int, like: Tensor
    ) -> Tensor | None:
        """1 at each synapse that a spike reaches in step k, (trials, synapses)."""
        arrived = None
        for delay, members, source in delays:
            spikes = self._past(k - delay)
            if spikes is not None:
                if arrived is None:
                    arrived = torch.zeros_like(like)
                arrived = arrived.index_copy(1, members, spikes[:, source])
        return arrived

    def _send(self, k: int, slot: Tensor, amount: Tensor) -> None:
        place = k % len(self.pending)
        before = self.pending[place]
        if before is None:
            before = self._zeros(self.plan.slots)
        self.pending[place] = before.index_add(1, slot, amount)

    def _receive(self, group: _Group, arrived: Tensor, k: int) -> None:
        active = k - group.last_spike >= group.refractory
        size = group.group.size
        for receptor, variable in group.group.model.receptors.items():
            first = group.group.slots[receptor]
            taken = group.state[variable] + arrived[:, first : first + size]
            if variable in group.group.model.held:
                taken = torch.where(active, taken, group.state[variable])
            group.state[variable] = taken


def all_weights(
    plan: Plan, given: Mapping[str, Tensor], device: torch.device, dtype: torch.dtype
) -> tuple[Tensor, list[Tensor]]:
    """Weights of the static list and of each plastic list, with those given put in place."""
    known = [p.name for p in plan.circuit.projections]
    for name in given:
        if name not in known:
            raise ValueError(f"weights: there is no projection {name!r}; {nearest(name, known)}")
    static: list[Tensor] = []
    plastic: list[list[Tensor]] = [[] for _ in plan.plastic]
    begin = 0
    for projection in plan.circuit.projections:
        count = plan.circuit.synapses(projection).pre.size
        if projection.name in plan.plastic_at:
            number, at = plan.plastic_at[projection.name]
            parts, stored = plastic[number], plan.plastic[number].weight[at]
        else:
            parts, stored = static, plan.static.weight[begin : begin + count]
            begin += count
        weight = given.get(projection.name)
        if weight is None:
            weight = torch.tensor(stored, device=device, dtype=dtype)
        elif not isinstance(weight, Tensor):
            raise TypeError(f"weights[{projection.name!r}] must be a torch tensor; got {weight!r}.")
        elif weight.shape != (count,):
            raise ValueError(
                f"weights[{projection.name!r}] must have shape ({count},); "
                f"got {tuple(weight.shape)}."
            )
        parts.append(weight.to(device=device, dtype=dtype))
    empty = torch.zeros(0, device=device, dtype=dtype)
    return torch.cat([empty, *static]), [torch.cat(parts) for parts in plastic]


def _input_events(plan: Plan, drives: list[Drive], steps: int) -> dict[int, tuple[Any, Any]]:
    """Step -> (trials, sources) of the input spikes sent in it."""
    rows = [np.zeros((0, 3), np.int64)]
    for trial, drive in enumerate(drives):
        for name, (at, sources) in drive.events.items():
            where = sources + plan.sources[name][0]
            rows.append(np.stack([at, np.full_like(at, trial), where], axis=1))
    events = np.concatenate(rows)
    events = events[np.argsort(events[:, 0], kind="stable")]
    at, first = np.unique(events[:, 0], return_index=True)
    parts = np.split(events, first[1:]) if at.size else []
    return {int(k): (part[:, 1], part[:, 2]) for k, part in zip(at, parts, strict=True)}


def _signal(
    plastic: Plastic,
    inputs: tuple[str, ...],
    drives: list[Drive],
    device: torch.device,
    dtype: torch.dtype,
) -> Tensor:
    """A third factor as the synapses of a list see it, (steps, trials, synapses or 1)."""
    waves = []
    for drive in drives:
        parts = [drive.signals[name] for name in inputs]
        if len(parts) == 1 and parts[0].shape[1] == 1:
            waves.append(parts[0])
            continue
        columns = np.empty((parts[0].shape[0], plastic.instance.size))
        for instance, part in enumerate(parts):
            here = plastic.instance == instance
            columns[:, here] = part[:, plastic.local[here] if part.shape[1] > 1 else [0]]
        waves.append(columns)
    width = max(w.shape[1] for w in waves)
    shape = (waves[0].shape[0], width)
    stacked = np.stack([np.broadcast_to(w, shape) for w in waves], axis=1)
    return torch.tensor(stacked, device=device, dtype=dtype)


def _waves(
    plan: Plan,
    drives: list[Drive],
    steps: int,
    start: int,
    size: int,
    device: torch.device,
    dtype: torch.dtype,
) -> Tensor | None:
    """Injected currents of a group, (steps, trials, size); None where there are none."""
    populations = {
        name: at
        for name, at in plan.sources.items()
        if start <= at[0] < start + size
        and any(name in d.currents or name in d.noise for d in drives)
    }
    if not populations:
        return None
    waves = np.zeros((steps, len(drives), size))
    for name, (first, count) in populations.items():
        for trial, drive in enumerate(drives):
            if name in drive.currents:
                waves[:, trial, first - start : first - start + count] = drive.currents[name]
            if name in drive.noise:
                waves[:, trial, first - start : first - start + count] += drive.noise[name].wave(
                    steps
                )
    return torch.tensor(waves, device=device, dtype=dtype)
