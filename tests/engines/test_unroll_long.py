"""Long runs with gradients: checkpointing changes memory alone, truncation cuts at its borders."""

import gc
import inspect
import json
import math
import subprocess
import sys
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
import pytest
import torch

import neuroflip as nf
from neuroflip.engines.unroll import Unrolled, unroll, unroll_truncated
from neuroflip.parameters import parameter
from neuroflip.rules import PairSTDP, Rule
from neuroflip.units import ms, mV

DT = 1e-3
STEPS = 60


@final
@dataclass(frozen=True)
class Everything(Rule):
    """All kinds of state that a rule can have: decay, flow, kept, third factor, v, transmission."""

    tau: float = parameter(20 * ms, "s", above=0)

    equations: ClassVar[str] = """
        dx/dt = -x/tau
        dd/dt = reward - (d + v_post)/tau
        dlast/dt = 0
        dw/dt = 0.1*d*x - 0.01*w
    """
    on_pre: ClassVar[str] = """
        w += 1e-4*(t - last)
        last = t
        x += 0.01 + 0.1*w
    """
    on_post: ClassVar[str] = "w -= 0.1*w*x"
    transmit: ClassVar[str] = "w*(1 - x)"
    signals: ClassVar[tuple[str, ...]] = ("reward",)
    reads: ClassVar[tuple[str, ...]] = ("v",)


def everything() -> nf.Circuit:
    """Static and plastic, events and flows, delays of both kinds, recurrence, three models."""
    rng = np.random.default_rng(3)
    delays = rng.integers(0, 6, (4, 3)) * DT
    return nf.Circuit(
        "everything",
        [
            nf.Population("D", nf.DeltaLIF(), 3, {"v": rng.uniform(0, 10 * mV, 3)}),
            nf.Population("L", nf.LIF(drive=1.2e-10, refractory=4 * DT), 2),
            nf.Population("E", nf.DeltaLIF(refractory=0.0), 2),
        ],
        [
            nf.Projection("in", "D", 6 * mV, axonal_delay=delays),
            nf.Projection("D", "L", 0.4e-9, "excitatory", axonal_delay=2 * DT),
            nf.Projection("L", "E", 9 * mV, dendritic_delay=2 * DT),
            nf.Projection("E", "D", -2 * mV, name="back"),
            nf.Projection("D", "D", 2 * mV, axonal_delay=delays[:3], dendritic_delay=3 * DT,
                          rule=PairSTDP(w_max=4 * mV, a_plus=0.05)),
            nf.Projection("in", "E", 5 * mV, rule=Everything(), dendritic_delay=DT),
        ],
        [nf.SpikeInput("in", 4), nf.SignalInput("reward"), nf.CurrentInput("i", "D")],
    )  # fmt: skip


def given(steps: int = STEPS) -> list[dict[str, Any]]:
    """Inputs of two trials."""
    rng = np.random.default_rng(1)
    return [
        {
            "in": [np.flatnonzero(rng.random(steps) < 0.12) * DT for _ in range(4)],
            "reward": rng.normal(0, 0.1, steps),
            "i": rng.normal(0.5e-10, 0.5e-10, (steps, 3)),
        }
        for _ in range(2)
    ]


def leaves() -> dict[str, torch.Tensor]:
    circuit = everything()
    return {
        p.name: torch.tensor(circuit.synapses(p).weight, requires_grad=True)
        for p in circuit.projections
    }


def loss(out: Unrolled) -> torch.Tensor:
    """Of spikes, traces and final weights, each row with a factor of its own."""
    total = torch.zeros((), dtype=torch.float64)
    for values in (out.spikes, {k: 1e3 * v for k, v in out.traces.items() if k.endswith(".v")}):
        for name, rows in values.items():
            steps = torch.arange(out.start, out.start + len(rows), dtype=torch.float64)
            total = total + (rows.sum(dim=(1, 2)) * torch.cos(steps + len(name))).sum()
    return total + sum(1e3 * w.sum() for w in out.weights.values())


def gradients(value: torch.Tensor, weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    found = torch.autograd.grad(value, list(weights.values()), allow_unused=True)
    return {
        name: torch.zeros_like(w) if g is None else g
        for (name, w), g in zip(weights.items(), found, strict=True)
    }


def same(a: Unrolled, b: Unrolled) -> None:
    for mine, theirs in ((a.spikes, b.spikes), (a.traces, b.traces), (a.weights, b.weights)):
        assert mine.keys() == theirs.keys()
        for name in mine:
            assert torch.equal(mine[name], theirs[name]), name


def close(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    for name in b:
        assert (a[name] - b[name]).abs().max() <= 1e-11 * b[name].abs().max(), name


def lif(delay: float = 0.0, **options: Any) -> nf.Circuit:
    return nf.Circuit(
        "one", [nf.Population("A", nf.DeltaLIF(**options))],
        [nf.Projection("in", "A", 1.0, axonal_delay=delay)], [nf.SpikeInput("in")],
    )  # fmt: skip


# ------------------------------------------------------------------ checkpointing


@pytest.mark.parametrize("checkpoint", [1, 7, STEPS // 2, STEPS - 1, STEPS, 10**9])
def test_checkpointing_changes_no_value_and_no_gradient(checkpoint: int) -> None:
    options: dict[str, Any] = {"steps": STEPS, "dt": DT, "width": 10 * mV}
    w, v = leaves(), leaves()
    plain = unroll(everything(), given(), weights=w, **options)
    spare = unroll(everything(), given(), weights=v, checkpoint=checkpoint, **options)
    same(plain, spare)
    for name in ("D", "L", "E"):
        assert plain.spikes[name].sum() > 5, name
    for name, end in plain.weights.items():
        assert (end - w[name]).abs().max() > 1e-6, name
    expected = gradients(loss(plain), w)
    assert all((g != 0).any() for g in expected.values())
    close(gradients(loss(spare), v), expected)


def test_a_gradient_goes_through_all_segments() -> None:
    """dv(T)/dw = sum over spikes of exp(-(T - arrival)/tau), over segments of 3 steps."""
    w = torch.tensor([0.5], dtype=torch.float64, requires_grad=True)
    times = [0, 4, 5, 11, 16]
    out = unroll(
        lif(4 * DT, v_threshold=1e3), {"in": np.array(times) * DT}, steps=20, dt=DT,
        weights={"in->A": w}, checkpoint=3,
    )  # fmt: skip
    out.traces["A.v"][19].sum().backward()
    exact = sum(math.exp(-(19 - (k + 5)) * DT / 0.02) for k in times if k + 5 <= 19)
    assert math.isclose(w.grad.item(), exact, rel_tol=1e-13)


def test_checkpoints_pass_gradcheck() -> None:
    """Finite differences, through the borders of three segments of a smooth circuit."""
    circuit = nf.Circuit(
        "smooth", [nf.Population("A", nf.LIF(v_threshold=1e3, resistance=1.0), 2)],
        [nf.Projection("in", "A", 1.0, "excitatory", axonal_delay=[[0.0, 2 * DT], [4 * DT, DT]])],
        [nf.SpikeInput("in", 2)],
    )  # fmt: skip

    def states(w: torch.Tensor) -> tuple[torch.Tensor, ...]:
        spikes = {"in": [[0.0, 2 * DT], [DT, 4 * DT]]}
        out = unroll(circuit, spikes, steps=12, dt=DT, weights={"in->A": w}, checkpoint=5)
        return out.traces["A.v"], out.traces["A.i_exc"]

    w = torch.tensor([0.3, 1.2, 0.5, -0.4], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(states, (w,), eps=1e-6, atol=1e-8)


def test_backward_twice_and_of_parts() -> None:
    """The graph of a checkpointed run serves several losses, as any graph does."""
    w, v = leaves(), leaves()
    plain = unroll(everything(), given(), steps=STEPS, dt=DT, weights=w, width=10 * mV)
    spare = unroll(
        everything(), given(), steps=STEPS, dt=DT, weights=v, width=10 * mV, checkpoint=9
    )
    for _ in range(2):
        for pick in (
            lambda out: out.traces["E.v"][33].sum(),
            lambda out: out.spikes["L"].sum(),
            lambda out: out.weights["in->E"].sum(),
        ):
            a = torch.autograd.grad(pick(plain), list(w.values()), retain_graph=True,
                                    allow_unused=True)  # fmt: skip
            b = torch.autograd.grad(pick(spare), list(v.values()), retain_graph=True,
                                    allow_unused=True)  # fmt: skip
            for mine, theirs in zip(b, a, strict=True):
                theirs = torch.zeros(()) if theirs is None else theirs
                mine = torch.zeros(()) if mine is None else mine
                assert torch.allclose(mine, theirs, rtol=1e-11, atol=1e-14)


def test_weights_computed_from_others_and_changed_before_the_backward_pass() -> None:
    """What is simulated again is the run that was, not one with newer weights."""
    raw = torch.tensor([-1.0], dtype=torch.float64, requires_grad=True)
    w = torch.tensor([0.5], dtype=torch.float64, requires_grad=True)
    for weight, leaf, slope in ((raw.exp(), raw, math.exp(-1.0)), (w, w, 1.0)):
        out = unroll(lif(v_threshold=1e3), {"in": [0.0, 3 * DT]}, steps=8, dt=DT,
                     weights={"in->A": weight}, checkpoint=2)  # fmt: skip
        with torch.no_grad():
            leaf.fill_(7.0)
        out.traces["A.v"][7].square().sum().backward()
        total = sum(math.exp(-(7 - k - 1) * DT / 0.02) for k in (0, 3))
        weight_then = slope if leaf is raw else 0.5
        assert math.isclose(leaf.grad.item(), 2 * weight_then * total**2 * slope, rel_tol=1e-12)


def test_second_derivatives_are_refused() -> None:
    w = torch.tensor([0.01], dtype=torch.float64, requires_grad=True)
    out = unroll(lif(), {"in": [0.0]}, steps=4, dt=DT, weights={"in->A": w}, checkpoint=2)
    with pytest.raises(RuntimeError, match="^a run with checkpoint= has no second derivatives; "):
        torch.autograd.grad(out.spikes["A"].sum(), w, create_graph=True)


def test_without_gradients_nothing_is_kept() -> None:
    options: dict[str, Any] = {"steps": STEPS, "dt": DT, "checkpoint": 9}
    bare = unroll(everything(), given(), **options)
    with torch.no_grad():
        silent = unroll(everything(), given(), weights=leaves(), **options)
    same(bare, silent)
    for out in (bare, silent):
        assert not any(t.requires_grad for t in (*out.spikes.values(), *out.traces.values()))


# ------------------------------------------------------------------ memory


def kept(make: Callable[[], Unrolled]) -> int:
    """Bytes of the tensors that a run keeps for its backward pass, each memory once."""
    seen: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        seen[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        out = make()  # alive until counted, so that no address is used again
    assert out.start == 0
    return sum(seen.values())


def test_what_is_kept_grows_with_segments_not_with_steps() -> None:
    """Without checkpoints something of each step; with them one state a segment."""

    def of(steps: int, checkpoint: int | None) -> int:
        w = torch.full((12,), 6 * mV, dtype=torch.float64, requires_grad=True)
        return kept(lambda: unroll(everything(), given(400)[:1], steps=steps, dt=DT,
                                   weights={"in->D": w}, checkpoint=checkpoint))  # fmt: skip

    few, many = of(400, 100), of(400, 20)
    assert of(400, None) > 10 * many
    assert 4 < many / few < 5.5  # the states before 20 and before 4 segments


class Held:
    """A tensor kept for the backward pass."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self.tensor = tensor


@pytest.mark.parametrize("checkpoint", [None, 9])
def test_nothing_keeps_a_dropped_run_alive(checkpoint: int | None) -> None:
    """No circle of references, and nothing in what makes the next piece: what the graph keeps goes
    with the result, without the garbage collector."""
    held: list[weakref.ref[Held]] = []

    def pack(tensor: torch.Tensor) -> Held:
        holder = Held(tensor.detach())  # as torch passes a result with its node, which holds us
        held.append(weakref.ref(holder))
        return holder

    w = leaves()
    gc.collect()
    gc.disable()
    try:
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda holder: holder.tensor):
            out = unroll(everything(), given(), steps=STEPS, dt=DT, weights=w,
                         checkpoint=checkpoint)  # fmt: skip
            pieces = unroll_truncated(everything(), given(), steps=STEPS, dt=DT, weights=w,
                                      truncate=30, checkpoint=checkpoint)  # fmt: skip
            piece = next(pieces)
        assert sum(h() is not None for h in held) > 20
        gradients(loss(piece), w)
        del out, piece
        assert not any(h() is not None for h in held)
        assert next(pieces).start == 30
    finally:
        gc.enable()


PEAK = """
import json, resource, sys
import numpy as np, torch
import neuroflip as nf
from neuroflip.engines.unroll import unroll

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

def run(steps, checkpoint):
    latch = nf.circuits.sr_latch()
    name = latch.projections[0].name
    given = latch.synapses(latch.projections[0]).weight
    w = torch.tensor(given, requires_grad=True)
    out = unroll(latch, {"S": [0.0]}, steps=steps, dt=1e-4, weights={name: w}, width=0.1,
                 checkpoint=checkpoint)
    sum(t[:, 0].square().sum() for t in out.traces.values()).backward()
    return float(w.grad.sum())

steps, checkpoint = int(sys.argv[1]), json.loads(sys.argv[2])
run(20, 10)  # what is imported and allocated once
before = peak()
gradient = run(steps, checkpoint)
print(json.dumps([peak() - before, gradient]))
"""


def measure(steps: int, checkpoint: int | None) -> tuple[float, float]:
    """Peak memory (bytes) of forward and backward of a latch, and its gradient."""
    done = subprocess.run(
        [sys.executable, "-c", PEAK, str(steps), json.dumps(checkpoint)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    memory, gradient = json.loads(done.stdout)
    return memory, gradient


@pytest.mark.slow
def test_peak_memory_of_ten_thousand_steps() -> None:
    plain, expected = measure(10_000, None)
    spare, found = measure(10_000, 100)
    print(f"peak memory above the start: {plain / 2**20:.0f} and {spare / 2**20:.0f} MiB")
    assert math.isclose(found, expected, rel_tol=1e-9)
    assert plain > 10 * spare


# ------------------------------------------------------------------ truncation


@pytest.mark.parametrize("truncate", [6, 7, 20, STEPS, 10**9])
@pytest.mark.parametrize("checkpoint", [None, 4])
def test_pieces_put_together_are_the_whole_run(truncate: int, checkpoint: int | None) -> None:
    w = leaves()
    whole = unroll(everything(), given(), steps=STEPS, dt=DT, weights=w)
    parts = []
    for part in unroll_truncated(everything(), given(), steps=STEPS, dt=DT, truncate=truncate,
                                 weights=w, checkpoint=checkpoint):  # fmt: skip
        parts.append(part)
        loss(part).backward()  # takes nothing away from the state
    assert [p.start for p in parts] == list(range(0, STEPS, truncate))
    assert all(len(p.spikes["D"]) == truncate for p in parts[:-1])
    same(
        Unrolled(
            0,
            {k: torch.cat([p.spikes[k] for p in parts]) for k in whole.spikes},
            {k: torch.cat([p.traces[k] for p in parts]) for k in whole.traces},
            parts[-1].weights,
        ),
        whole,
    )


def by_hand(
    w: torch.Tensor, spikes: np.ndarray[Any, Any], border: int | None, width: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """A neuron without refractoriness, delay 2 steps, written anew; v and spikes. At the border v
    and the spikes under way lose their history."""
    decay, theta = math.exp(-DT / 0.02), 0.015
    v = torch.zeros((), dtype=torch.float64)
    states, fired = [], []
    for k in range(len(spikes)):
        if k == border:
            v = v.detach()
        states.append(v)
        v = v * decay
        m = v - theta
        spike = (m > 0).to(v.dtype)
        # value `spike`, derivative that of width/(...)^2: m/(width + |m|) has 1/width/(1+|m|/w)^2
        smooth = m / (width + m.abs())
        spike = spike.detach() + smooth - smooth.detach()
        fired.append(spike)
        arrives = spikes[k - 2] if k >= 2 else 0.0
        v = v + w * arrives
        if m > 0:
            v = torch.zeros((), dtype=torch.float64)
    return torch.stack(states), torch.stack(fired)


@pytest.mark.parametrize("border", [4, 9, 20, 33])
def test_gradients_of_a_piece_are_those_of_a_graph_cut_at_the_border(border: int) -> None:
    steps, width = 40, 5 * mV
    rng = np.random.default_rng(border)
    sent = (rng.random(steps) < 0.7).astype(float)
    factors = torch.tensor(rng.normal(size=steps))
    circuit = lif(2 * DT, refractory=0.0)
    w, v = (torch.tensor([5e-3], dtype=torch.float64, requires_grad=True) for _ in range(2))
    states, fired = by_hand(w[0], sent, border, width)
    assert fired.sum() > 3
    rows = [slice(0, border), slice(border, steps)]
    if 2 * border < steps:
        rows = [slice(0, border), slice(border, 2 * border)]
    pieces = unroll_truncated(
        circuit, {"in": np.flatnonzero(sent) * DT}, steps=steps, dt=DT, truncate=border,
        weights={"in->A": v}, width=width,
    )  # fmt: skip
    for at, piece in zip(rows, pieces, strict=False):
        a = (fired * factors)[at].sum() + (states * factors)[at].sum()
        mine = (piece.spikes["A"], piece.traces["A.v"])
        b = sum((rows[:, 0, 0] * factors[at]).sum() for rows in mine)
        assert math.isclose(a.item(), b.item(), rel_tol=1e-12, abs_tol=1e-15)
        [expected] = torch.autograd.grad(a, w, retain_graph=True, allow_unused=True)
        [found] = torch.autograd.grad(b, v, allow_unused=True)
        assert (expected is None) == (found is None)
        if expected is not None:
            assert math.isclose(found.item(), expected.item(), rel_tol=1e-10)


@pytest.mark.parametrize("checkpoint", [None, 4])
@pytest.mark.parametrize("border", [10, 16])
def test_gradients_of_a_piece_are_finite_differences_within_it(
    border: int, checkpoint: int | None
) -> None:
    """Of all states, with weights that were other in the second piece alone: with spikes under way
    (delays up to 5 steps), synaptic currents, and a rule that reads the neuron."""
    circuit = nf.Circuit(
        "smooth",
        [nf.Population("A", nf.LIF(v_threshold=1e3, resistance=1.0), 2)],
        [
            nf.Projection("in", "A", 1.0, "excitatory",
                          axonal_delay=[[0.0, 2 * DT], [5 * DT, DT]]),
            nf.Projection("in", "A", 0.3, "inhibitory", rule=Everything(), dendritic_delay=4 * DT,
                          name="plastic"),
        ],
        [nf.SpikeInput("in", 2), nf.SignalInput("reward")],
    )  # fmt: skip
    start = np.array([0.3, 1.2, 0.5, 0.4])

    def second(first: torch.Tensor, then: torch.Tensor) -> torch.Tensor:
        weights = iter([first, then])
        pieces = unroll_truncated(
            circuit, inputs, steps=2 * border, dt=DT, truncate=border,
            weights=lambda: {"in->A": next(weights)}, checkpoint=checkpoint,
        )  # fmt: skip
        next(pieces)
        piece = next(pieces)
        parts = [*piece.traces.values(), *piece.weights.values()]
        flat = torch.cat([part.flatten() for part in parts])
        mix = np.random.default_rng(9).normal(size=(6, len(flat)))  # six directions of all
        return torch.tensor(mix) @ flat

    rng = np.random.default_rng(border)
    inputs = {
        "in": [np.flatnonzero(rng.random(2 * border) < 0.5) * DT for _ in range(2)],
        "reward": rng.normal(0, 1, 2 * border),
    }
    w = torch.tensor(start, requires_grad=True)
    values = second(w, w)
    slopes = torch.stack([torch.autograd.grad(v, w, retain_graph=True)[0] for v in values])
    fixed, small = torch.tensor(start), 1e-6
    for i in range(4):
        step = small * torch.eye(4, dtype=torch.float64)[i]
        difference = (second(fixed, fixed + step) - second(fixed, fixed - step)) / (2 * small)
        assert difference.abs().max() > 0.1
        assert torch.allclose(slopes[:, i], difference, rtol=1e-6, atol=1e-8)


def test_weights_are_read_anew_for_each_piece() -> None:
    """Gradient descent between pieces, against the same loop by hand."""
    rate = 0.3
    trains = [np.array([0, 2, 5, 6, 8, 9, 13])]
    w = torch.tensor([0.2], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=rate)
    values = []
    for part in unroll_truncated(
        lif(v_threshold=1e3), {"in": trains[0] * DT}, steps=16, dt=DT, truncate=4,
        weights={"in->A": w},
    ):  # fmt: skip
        optimizer.zero_grad()
        (part.traces["A.v"] - 1.0).square().mean().backward()
        optimizer.step()
        values.append(w.item())
    decay, v, weight = math.exp(-DT / 0.02), 0.0, 0.2
    expected = []
    for first in range(0, 16, 4):
        slope = down = 0.0  # slope: dv/dw since the border
        for k in range(first, first + 4):
            down += 2 * (v - 1.0) * slope / 4
            v, slope = v * decay, slope * decay
            if k in trains[0]:
                v, slope = v + weight, slope + 1.0
        weight -= rate * down
        expected.append(weight)
    assert np.allclose(values, expected, rtol=1e-13, atol=0)
    assert len(set(values)) == 4


def test_weights_from_a_function() -> None:
    """Called once a piece; its graph is a new one each time."""
    raw = torch.tensor([math.log(0.2)], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD([raw], lr=0.3)
    seen = []

    def weights() -> dict[str, torch.Tensor]:
        seen.append(raw.item())
        return {"in->A": raw.exp()}

    spikes = {"in": np.array([0, 2, 5, 6, 8]) * DT}
    starts = []
    for part in unroll_truncated(lif(v_threshold=1e3), spikes, steps=10, dt=DT, truncate=4,
                                 weights=weights):  # fmt: skip
        starts.append(part.start)
        optimizer.zero_grad()
        (part.traces["A.v"] - 1.0).square().mean().backward()
        optimizer.step()
    assert starts == [0, 4, 8]
    assert len(seen) == len(set(seen)) == 3 and raw.grad.item() != 0.0


def test_plastic_weights_go_on_from_what_the_rule_made_of_them() -> None:
    """w <- w (1 - a y) at each pre spike; only the first piece knows the weight it began with."""
    rule = PairSTDP(a_plus=0.0, a_minus=0.1, mu_minus=1.0, w_max=4.0, tau_minus=0.01)
    circuit = nf.Circuit(
        "one", [nf.Population("A", nf.DeltaLIF(v_threshold=1e3, refractory=0.0, tau_m=DT))],
        [nf.Projection("in", "A", 2.0, rule=rule)],
        [nf.SpikeInput("in"), nf.CurrentInput("i", "A")],
    )  # fmt: skip
    wave = np.zeros(20)
    wave[1] = 1.0
    w = torch.tensor([2.0], dtype=torch.float64, requires_grad=True)
    ends = []
    for part in unroll_truncated(
        circuit, {"in": np.array([5, 8, 13]) * DT, "i": wave}, steps=20, dt=DT, truncate=10,
        weights={"in->A": w},
    ):  # fmt: skip
        ends.append(part.weights["in->A"])
        if part.start == 0:
            [slope] = torch.autograd.grad(ends[0].sum(), w, retain_graph=True)
        with torch.no_grad():
            w.fill_(3.0)
    factor = [1 - 0.1 * math.exp(-(k - 1) * DT / 0.01) for k in (5, 8, 13)]
    assert math.isclose(slope.item(), factor[0] * factor[1], rel_tol=1e-13)
    assert math.isclose(ends[1].item(), 2.0 * math.prod(factor), rel_tol=1e-13)
    assert not ends[1].requires_grad


def test_a_piece_is_simulated_when_it_is_asked_for() -> None:
    """A hundred seconds are not simulated here; the second piece knows what the first saw."""
    latch = nf.circuits.sr_latch()
    parts = unroll_truncated(latch, {"S": [0.0]}, steps=10**6, dt=1e-4, truncate=300)
    first, second = next(parts), next(parts)
    assert first.spikes["Q"].sum() > 0 and (first.start, second.start) == (0, 300)
    assert second.spikes["Q"].sum() > 0 and second.spikes["Qbar"].sum() == 0  # the bit is held


# ------------------------------------------------------------------ arguments, devices


@pytest.mark.parametrize("name", ["truncate", "checkpoint", "steps"])
@pytest.mark.parametrize("value", [0, -1, 2.0, True, "3", math.nan])
def test_counts_refused(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"^{name} must be a whole number, at least 1; got"):
        unroll_truncated(lif(), **{"steps": 4, "dt": DT, "truncate": 2, name: value})
    if name != "truncate":
        with pytest.raises(ValueError, match=f"^{name} must be a whole number, at least 1; got"):
            unroll(lif(), **{"steps": 4, "dt": DT, name: value})


def test_truncated_refuses_before_the_first_piece() -> None:
    options: dict[str, Any] = {"steps": 4, "dt": DT, "truncate": 2}
    with pytest.raises(ValueError, match="^circuit 'one' has no input 'im'"):
        unroll_truncated(lif(), {"im": []}, **options)
    w = torch.ones(1, dtype=torch.float64, requires_grad=True)
    with pytest.raises(ValueError, match=r"^weights\['in->A'\] is computed from other tensors, .*"
                       r"give a function that returns the weights"):  # fmt: skip
        unroll_truncated(lif(), weights={"in->A": 2 * w}, **options)
    for weights in ({"in": w}, lambda: {"in": w}):
        with pytest.raises(ValueError, match="there is no projection 'in'; "):
            unroll_truncated(lif(), weights=weights, **options)


def test_both_take_the_same_arguments() -> None:
    whole, pieces = (inspect.signature(f).parameters for f in (unroll, unroll_truncated))
    assert set(pieces) - set(whole) == {"truncate"} and set(whole) <= set(pieces)
    assert all(whole[n].default == pieces[n].default for n in whole)


def test_no_tensor_is_made_on_the_default_device() -> None:
    """With torch's default set to one that holds no data, a forgotten device= fails at once."""
    w = leaves()
    plain = unroll(everything(), given(30), steps=30, dt=DT, weights=w, checkpoint=8)
    rec = nf.simulate(everything(), given(30), duration=30 * DT, dt=DT, engine="torch", record="v")
    from neuroflip.engines import torch as engine

    engine._constant.cache_clear()
    with torch.device("meta"):
        spare = unroll(everything(), given(30), steps=30, dt=DT, weights=w, checkpoint=8)
        found = gradients(spare.traces["D.v"].sum(), w)
        again = nf.simulate(
            everything(), given(30), duration=30 * DT, dt=DT, engine="torch", record="v"
        )
    same(plain, spare)
    assert all(g.device.type == "cpu" for g in found.values())
    assert np.array_equal(rec.traces["D.v"], again.traces["D.v"])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA")
@pytest.mark.parametrize("checkpoint", [None, 9])
def test_cuda_gives_what_the_cpu_gives(checkpoint: int | None) -> None:
    found = []
    for device in ("cpu", "cuda"):
        w = {name: t.detach().to(device).requires_grad_() for name, t in leaves().items()}
        parts = unroll_truncated(everything(), given(), steps=STEPS, dt=DT, truncate=30,
                                 weights=w, device=device, checkpoint=checkpoint,
                                 width=10 * mV)  # fmt: skip
        for part in parts:
            total = sum(t.sum() for t in (*part.spikes.values(), *part.traces.values()))
            total.backward()
            assert total.device.type == device
        found.append((part, {name: t.grad.cpu() for name, t in w.items()}))
    (a, on_cpu), (b, on_cuda) = found
    for name in a.spikes:
        assert torch.equal(a.spikes[name], b.spikes[name].cpu())
    for name in a.traces:
        assert torch.allclose(a.traces[name], b.traces[name].cpu(), rtol=1e-9, atol=1e-15)
    for name in on_cpu:
        assert torch.allclose(on_cpu[name], on_cuda[name], rtol=1e-8), name


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA")
def test_simulate_on_cuda() -> None:
    runs = [
        nf.simulate(everything(), given(), duration=STEPS * DT, dt=DT, engine="torch",
                    device=device, record=["v", "D->D"])
        for device in ("cpu", "cuda")
    ]  # fmt: skip
    for name in ("D", "L", "E"):
        for trial in range(2):
            trains = [rec.trains(name, trial) for rec in runs]
            assert all(np.array_equal(a, b) for a, b in zip(*trains, strict=True))
    for name, trace in runs[0].traces.items():
        assert np.allclose(trace, runs[1].traces[name], rtol=1e-9, atol=1e-15)
