"""Simulation with gradients: backpropagation through time, whole, checkpointed or truncated."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from neuroflip.circuit import Circuit
from neuroflip.engines.plan import make_plan
from neuroflip.engines.torch import State, Stepper, all_weights
from neuroflip.inputs import Inputs, resolve
from neuroflip.units import as_float

Weights = Mapping[str, Tensor]


@dataclass(frozen=True)
class Unrolled:
    """What was simulated, as tensors that autograd can follow.

    start: the step of the first row. spikes: population -> (steps, trials, size), 1 where a neuron
    fired. traces: "population.variable" -> (steps, trials, size), the state at the start of each
    step. weights: plastic projection -> (trials, synapses) at the end.
    """

    start: int
    spikes: dict[str, Tensor]
    traces: dict[str, Tensor]
    weights: dict[str, Tensor]


def unroll(
    circuit: Circuit,
    inputs: Inputs | None = None,
    *,
    steps: int,
    dt: float,
    weights: Weights | None = None,
    width: float = 1e-3,
    checkpoint: int | None = None,
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
    device: str = "cpu",
) -> Unrolled:
    """Simulate with gradients.

    weights: projection -> tensor of its weights (synapses,) in place of the circuit's, in the
        order of `circuit.synapses(projection)`; gradients flow to it.
    width: half-width, in the unit of the threshold (V), of the surrogate derivative of a spike:
        d spike/dm = 1 / (width (1 + |m|/width)^2), m the signed distance to threshold
        (the fast sigmoid of Zenke & Ganguli 2018, Neural Comput. 30:1514). The spikes themselves
        are those of `nf.simulate`.
    checkpoint: steps a segment; None keeps the graph of the whole run. With it, only the state
        between segments is kept, and the backward pass simulates each segment again for its graph
        (gradient checkpointing, Chen et al. 2016, arXiv:1604.06174). That costs a second simulation
        and needs the memory of steps/checkpoint states and of one segment's graph, least near
        the square root of the steps. Values are the same, gradients to rounding; second derivatives
        (create_graph=True) are refused.

    Raises ValueError or TypeError for arguments out of range and inputs that `nf.simulate` refuses.

    >>> import neuroflip as nf, torch
    >>> cell = nf.Circuit(
    ...     "cell", [nf.Population("A", nf.DeltaLIF())], inputs=[nf.SpikeInput("in")],
    ...     projections=[nf.Projection("in", "A", weight=0.001)])
    >>> w = torch.tensor([0.001], dtype=torch.float64, requires_grad=True)
    >>> out = unroll(cell, {"in": [0.0]}, steps=3, dt=1e-3, weights={"in->A": w})
    >>> out.traces["A.v"][2].sum().backward()
    >>> round(w.grad.item(), 6)  # exp(-1/20)
    0.951229
    """
    _check_count("steps", steps)
    run = _Run(circuit, inputs, steps, dt, weights or {}, width, checkpoint, seed, dtype, device)
    return run.piece(0, steps)


def unroll_truncated(
    circuit: Circuit,
    inputs: Inputs | None = None,
    *,
    steps: int,
    dt: float,
    truncate: int,
    weights: Weights | Callable[[], Weights] | None = None,
    width: float = 1e-3,
    checkpoint: int | None = None,
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
    device: str = "cpu",
) -> Iterator[Unrolled]:
    """One long simulation in pieces of `truncate` steps, for truncated backpropagation through time
    (Williams & Peng 1990, Neural Comput. 2:490).

    A piece begins with the state in which the last one ended (neurons, spikes under way, plastic
    weights and their traces), but no gradient flows back across the border. Put together, the
    pieces are what `unroll` returns for the whole run. Each is simulated when it is asked for, so
    that a loop may call `backward` and an optimizer's `step` in between.

    truncate: steps a piece; the last may be shorter.
    weights: as in `unroll`, read anew for each piece, so that an optimizer's changes take effect;
        or a function without arguments that returns them, called for each piece, where they are
        computed from other tensors. Of a plastic projection they are the weights at step 0: later
        pieces go on from what the rule has made of them.
    The other arguments are those of `unroll`.

    >>> import neuroflip as nf, torch
    >>> cell = nf.Circuit(
    ...     "cell", [nf.Population("A", nf.DeltaLIF())], inputs=[nf.SpikeInput("in")],
    ...     projections=[nf.Projection("in", "A", weight=0.001)])
    >>> w = torch.tensor([0.001], dtype=torch.float64, requires_grad=True)
    >>> pieces = unroll_truncated(
    ...     cell, {"in": [0.0, 5e-3]}, steps=8, dt=1e-3, truncate=4, weights={"in->A": w})
    >>> for piece in pieces:
    ...     [slope] = torch.autograd.grad(piece.traces["A.v"][-1].sum(), w)
    ...     print(piece.start, round(slope.item(), 6))  # of the spikes of this piece alone
    0 0.904837
    4 0.951229
    """
    _check_count("steps", steps)
    _check_count("truncate", truncate)
    if not callable(weights):
        for name, weight in (weights or {}).items():
            if isinstance(weight, Tensor) and not weight.is_leaf:
                raise ValueError(
                    f"weights[{name!r}] is computed from other tensors, and pieces cannot share "
                    f"that graph; give a function that returns the weights: weights=lambda: ..."
                )
    read = weights if callable(weights) else lambda: weights or {}
    run = _Run(circuit, inputs, steps, dt, read(), width, checkpoint, seed, dtype, device)
    return _pieces(run, steps, truncate, read)


def _pieces(
    run: "_Run", steps: int, truncate: int, read: Callable[[], Weights]
) -> Iterator[Unrolled]:
    for first in range(0, steps, truncate):
        if first:
            run.static, _ = all_weights(run.plan, read(), run.device, run.dtype)
        yield run.piece(first, min(first + truncate, steps))


class _Run:
    """A simulation between two pieces: its stepper, the weights of static synapses, its state."""

    def __init__(
        self,
        circuit: Circuit,
        inputs: Inputs | None,
        steps: int,
        dt: float,
        weights: Weights,
        width: float,
        checkpoint: int | None,
        seed: int,
        dtype: torch.dtype,
        device: str,
    ) -> None:
        dt, width = as_float(dt, "s", "dt"), as_float(width, "V", "width")
        for argument, value in (("dt", dt), ("width", width)):
            if value <= 0:
                raise ValueError(f"{argument} must be above 0; got {value!r}.")
        if checkpoint is not None:
            _check_count("checkpoint", checkpoint)
        self.plan, self.checkpoint = make_plan(circuit, dt), checkpoint
        self.device, self.dtype = torch.device(device), dtype
        drives = resolve(circuit, {} if inputs is None else inputs, steps, dt, seed, None)
        given = all_weights(self.plan, weights, self.device, dtype)
        self.stepper = Stepper(self.plan, drives, steps, self.device, dtype, given, width)
        self.static, self.state = given[0], self.stepper.save()

    def piece(self, first: int, last: int) -> Unrolled:
        """Steps first to last - 1; from their end no gradient flows back for the next piece."""
        populations = self.plan.circuit.populations
        names = [(p.name, v) for p in populations for v in p.neuron.model().variables]
        parts = []
        state = self.state
        for begin, end in pairwise([*range(first, last, self.checkpoint or last - first), last]):
            segment = _segment(self.stepper, begin, end, names, state)
            given = (self.static, *state.tensors)
            found = segment(*given) if self.checkpoint is None else _Remade.apply(segment, *given)  # type: ignore[no-untyped-call]
            parts.append(found[: 1 + len(names)])
            after = self.stepper.save()
            state = State(found[1 + len(names) :], after.any_spike, after.pending)
        self.state = State(tuple(t.detach() for t in state.tensors), state.any_spike, state.pending)
        self.static = self.static.detach()
        self.stepper.load(self.state)  # lest it hold the graph
        self.stepper.set_static(self.static)
        spikes, *traces = (torch.cat(column) for column in zip(*parts, strict=True))
        return Unrolled(
            first,
            {
                p.name: spikes[:, :, self.plan.sources[p.name][0] :][:, :, : p.size]
                for p in populations
            },
            {f"{p}.{v}": trace for (p, v), trace in zip(names, traces, strict=True)},
            {
                name: state.tensors[number][:, members]
                for name, (number, members) in self.plan.plastic_at.items()
            },
        )


def _segment(
    stepper: Stepper, begin: int, end: int, names: list[tuple[str, str]], before: State
) -> Callable[..., tuple[Tensor, ...]]:
    """Steps begin to end - 1 as a function of tensors: weights of the static synapses and a state's
    tensors -> spikes and traces (steps, trials, size), and the tensors of the state at the end."""
    any_spike, pending = before.any_spike, before.pending

    def segment(static: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        stepper.set_static(static)
        stepper.load(State(state, any_spike, pending))
        spikes: list[Tensor] = []
        traces: list[list[Tensor]] = [[] for _ in names]
        for k in range(begin, end):
            for name, trace in zip(names, traces, strict=True):
                trace.append(stepper.state_of(*name))
            spikes.append(stepper.step(k))
        return (torch.stack(spikes), *map(torch.stack, traces), *stepper.save().tensors)

    return segment


class _Remade(torch.autograd.Function):
    """A function of tensors whose graph is made in the backward pass.

    Not torch.utils.checkpoint, which without reentrance spares the tensors of a graph but keeps
    its nodes; of a small circuit they are most of the memory.
    """

    @staticmethod
    def forward(ctx: Any, function: Callable[..., tuple[Tensor, ...]], *given: Tensor) -> Any:
        ctx.function = function
        ctx.save_for_backward(*given)
        ctx.set_materialize_grads(False)
        # Copies, as autograd takes neither an argument for a result nor one tensor for two
        return tuple(t.clone() for t in function(*given))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> Any:
        if torch.is_grad_enabled():  # they would silently lack what goes through this function
            raise RuntimeError(
                "a run with checkpoint= has no second derivatives; leave out checkpoint= or "
                "create_graph=True."
            )
        needed = ctx.needs_input_grad[1:]
        given = [
            t.detach().requires_grad_(need)
            for t, need in zip(ctx.saved_tensors, needed, strict=True)
        ]
        with torch.enable_grad():
            found = ctx.function(*given)
        reached = [
            (f, g)
            for f, g in zip(found, gradients, strict=True)
            if g is not None and f.requires_grad
        ]
        if not reached:
            return None, *(None for _ in given)
        results, upstream = zip(*reached, strict=True)
        wanted = [t for t, need in zip(given, needed, strict=True) if need]
        left = iter(torch.autograd.grad(results, wanted, upstream, allow_unused=True))
        return None, *(next(left) if need else None for need in needed)


def _check_count(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name} must be a whole number, at least 1; got {value!r}.")
