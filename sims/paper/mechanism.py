"""What the units of a trained net do (W1): its automaton, its fixed points, units taken out, units
exchanged, in numbers.

    python -m neuroflip.sims.paper.mechanism

trains nets of 32 units on three bits at once, see `neuroflip.sims.three_bit`: flip-flops (all to
all), and LSTM and GRU beside them, five seeds each, and writes sound/mechanism.json. The paper
leaves the question open: "activation patterns and their impact on performance". What is asked
here of the flip-flop net, before any number was seen; an answer is yes

- *automaton*: if in every seed the attractors without input are 8 states, in which the net says
  the 8 different triples of bits; if at least 99 % of their transitions, 27 pulses in each state,
  are those of the true machine; and if in trials, from step to step, at least 99 % of the states
  go where this automaton says (a state counts as the attractor to which it flows without input);
- *fixed points*: if in every seed each of the 8 triples is said in at least one stable fixed point,
  largest modulus of the eigenvalues of the Jacobian below 1, and at least 99 % of the states in
  trials flow to stable fixed points without input;
- *units taken out*: if what a unit does tells how much it matters: Spearman's correlation over
  units of its deviation in trials with the rise of the loss when it is clamped to its mean is
  above 0.5 in the mean over seeds, and positive in every seed;
- *units exchanged*: if the state of one bit is in few units and is moved with them: of two
  attractors that differ in one bit, the half of the units that differ most, taken from the one into
  the other, moves the net there, and the half that differ least leave it where it was, each in at
  least 90 % of the pairs in the mean over seeds.

All computed in double precision. A state of an LSTM is h and c; a unit of it, both.
"""

import argparse
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from neuroflip.rate import FlipFlop
from neuroflip.sims.paper.experiments import RESULTS
from neuroflip.sims.paper.models import count
from neuroflip.sims.paper.tables import Told, grow, rounded
from neuroflip.sims.three_bit import TRAINED, Model, train
from neuroflip.simulation import versions
from neuroflip.tasks import flip_flop

LAYERS: Mapping[str, Callable[[int, int], nn.Module]] = MappingProxyType(
    {"FlipFlop": FlipFlop, "LSTM": nn.LSTM, "GRU": nn.GRU}
)
MIDDLE = MappingProxyType({"FlipFlop": 0.5, "LSTM": 0.0, "GRU": 0.0})
"""The middle of what a unit can be."""

UNITS = 32
UPDATES = 600
STEPS = 4 * TRAINED
"""Of the trials in which units are taken out."""
TRIALS = 50
FLOW = 1000
"""Steps without input after which a state must have arrived."""
NEAR = 0.05
"""Largest difference of any unit from the attractor at which it has."""
SAME = 1e-3
"""Largest difference of any unit between two findings of one fixed point."""
NEWTON = 40
EXCHANGED = (1, 2, 4, 8, 16)
"""Numbers of units exchanged; the last is half of them."""

CODES = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=3)), dtype=torch.float64)
"""The states of the true machine, (8, 3)."""
PULSES = torch.tensor(list(itertools.product((-1.0, 0.0, 1.0), repeat=3)), dtype=torch.float64)
"""All that can come in a step, (27, 3)."""


class Net:
    """A trained net as a map of its states, (N, parts, units): h, and of an LSTM also c."""

    def __init__(self, model: Model) -> None:
        self.model = model.double().eval().requires_grad_(False)
        self.units = model.readout.in_features
        self.parts = 2 if isinstance(model.memory, nn.LSTM) else 1

    def rest(self, count: int) -> Tensor:
        """The state before a trial."""
        return torch.zeros(count, self.parts, self.units, dtype=torch.float64)

    def step(self, states: Tensor, pulses: Tensor) -> Tensor:
        """The states after a step. pulses: (N, 3)."""
        return self.run(states, pulses.unsqueeze(0))

    def run(self, states: Tensor, pulses: Tensor) -> Tensor:
        """The states after some steps. pulses: (T, N, 3)."""
        h, *c = (part.unsqueeze(0).contiguous() for part in states.unbind(1))
        _, after = self.model.memory(pulses, (h, *c) if c else h)
        return torch.stack([part[0] for part in (after if c else (after,))], dim=1)

    def said(self, states: Tensor) -> Tensor:
        """What it says of the lines in these states, (..., 3)."""
        read: Tensor = self.model.readout(states[..., 0, :])
        return read

    def codes(self, states: Tensor) -> Tensor:
        """The same as bits, -1 and 1."""
        return torch.where(self.said(states) > 0, 1.0, -1.0).double()


def flow(net: Net, states: Tensor) -> Tensor:
    """Where states are after `FLOW` steps without input."""
    silent = torch.zeros(50, len(states), 3, dtype=torch.float64)  # more at once is much memory
    for _ in range(FLOW // len(silent)):
        states = net.run(states, silent)
    return states


def visited(net: Net, pulses: Tensor) -> Tensor:
    """The states after each step of trials (T, B, 3), from rest: (T, B, parts, units)."""
    states, found = net.rest(pulses.shape[1]), []
    for now in pulses:
        states = net.step(states, now)
        found.append(states)
    return torch.stack(found)


def jacobians(net: Net, states: Tensor) -> Tensor:
    """The derivative of a step without input by the state, (N, size, size)."""
    at = states.detach().requires_grad_()
    after = net.step(at, torch.zeros(len(at), 3, dtype=at.dtype)).flatten(1)
    # Samples do not touch each other: the sum over them has the gradients of all.
    rows = [
        torch.autograd.grad(after[:, n].sum(), at, retain_graph=True)[0].flatten(1)
        for n in range(after.shape[1])
    ]
    return torch.stack(rows, dim=1)


def fixed_points(net: Net, starts: Tensor) -> Tensor:
    """The different fixed points without input that Newton's method finds, (M, parts, units).

    From each start, with steps of at most 1/2 a unit, until 1e-10.
    """
    states = starts.detach().clone()
    one = torch.eye(states[0].numel(), dtype=states.dtype)
    silent = torch.zeros(len(states), 3, dtype=states.dtype)

    def error() -> Tensor:
        return (net.step(states, silent) - states).flatten(1)

    for _ in range(NEWTON):
        solved = torch.linalg.solve_ex(jacobians(net, states) - one, -error())[0]
        move = torch.nan_to_num(solved, 0.0, 0.0, 0.0)
        move = move * (0.5 / move.abs().amax(dim=1, keepdim=True).clamp(min=0.5))
        states = states + move.view_as(states)
    return distinct(states[error().abs().amax(dim=1) < 1e-10])


def distinct(states: Tensor) -> Tensor:
    """States without those that are within SAME of an earlier one."""
    kept: list[Tensor] = []
    for state in states:
        if all(float((state - other).abs().max()) > SAME for other in kept):
            kept.append(state)
    return torch.stack(kept) if kept else states[:0]


def moduli(net: Net, points: Tensor) -> Tensor:
    """Of the eigenvalues of the Jacobian, the largest first, (M, size)."""
    found: Tensor = torch.linalg.eigvals(jacobians(net, points)).abs()
    return found.sort(dim=1, descending=True).values


def arrived(states: Tensor, attractors: Tensor) -> Tensor:
    """Which attractor each state is at, (N,); -1 for none."""
    if not len(attractors):
        return torch.full((len(states),), -1)
    apart = torch.cdist(states.flatten(1), attractors.flatten(1), p=torch.inf)
    least, which = apart.min(dim=1)
    return torch.where(least < NEAR, which, -1)


def attractors(net: Net, states: Tensor) -> Tensor:
    """The stable fixed points near the ends of the ways from some states."""
    points = fixed_points(net, flow(net, states))
    return points[moduli(net, points)[:, 0] < 1] if len(points) else points


def of_automaton(net: Net, stable: Tensor, pulses: Tensor, states: Tensor) -> dict[str, Any]:
    """The automaton whose states are the attractors: "states", "codes", how many different triples
    are said in them; "transitions" and how many are "right"; in trials (pulses and states after
    them, (T, B, ...)), the share of states that "settle" and of transitions that "agree"."""
    codes, many = net.codes(stable), len(stable)
    before = stable.repeat_interleave(len(PULSES), dim=0)
    coming = PULSES.repeat(many, 1)
    goes = arrived(flow(net, net.step(before, coming)), stable)
    due = torch.where(coming != 0, coming, codes.repeat_interleave(len(PULSES), dim=0))
    right = (goes >= 0) & (codes[goes] == due).all(dim=1) if many else goes >= 0
    at = arrived(flow(net, states.flatten(0, 1)), stable).view(states.shape[:2])
    letter = ((pulses[1:] + 1) @ torch.tensor([9.0, 3.0, 1.0], dtype=pulses.dtype)).long()
    table = goes.view(many, len(PULSES))
    told = table[at[:-1], letter] if many else at[:-1]
    agree = (at[:-1] >= 0) & (at[1:] >= 0) & (told == at[1:])
    return {
        "states": many,
        "codes": len({tuple(code.tolist()) for code in codes}),
        "transitions": len(goes),
        "right": int(right.sum()),
        "settle": float((at >= 0).double().mean()),
        "agree": float(agree.double().mean()),
    }


def of_fixed_points(net: Net, stable: Tensor, states: Tensor) -> dict[str, Any]:
    """ "moduli", the largest of each attractor; of other fixed points, found from between the
    attractors and from states, how many directions each grows in, "growing"."""
    pairs = torch.triu_indices(len(stable), len(stable), 1)
    between = (stable[pairs[0]] + stable[pairs[1]]) / 2
    found = fixed_points(net, torch.cat([between, states]))
    sizes = moduli(net, found) if len(found) else torch.empty(0, 1)
    growing = (sizes >= 1).sum(dim=1)
    return {
        "moduli": moduli(net, stable)[:, 0].sort(descending=True).values.tolist()
        if len(stable)
        else [],
        "growing": sorted(growing[growing > 0].tolist()),
    }


def clamped(net: Net, pulses: Tensor, values: Tensor) -> Tensor:
    """What the net says in trials (T, B, 3) with one unit after another held at values (parts,
    units): (units, T, B, 3)."""
    batch, every = pulses.shape[1], torch.arange(net.units)
    states = net.rest(net.units * batch)
    said = []
    for now in pulses:
        states = net.step(states, now.repeat(net.units, 1))
        each = states.view(net.units, batch, net.parts, net.units)
        each[every, :, :, every] = values.t()[:, None]
        said.append(net.said(each))
    return torch.stack(said, dim=1)


def of_units(net: Net, pulses: Tensor, bits: Tensor, middle: float) -> dict[str, Any]:
    """Units taken out, one at a time: "loss" and "accuracy" of the whole net; of each unit its
    "deviation"; the rise of the loss with it at its "mean" and in the "middle", and the accuracy
    "without" it, at its mean; "rank", the correlation of deviation and rise."""
    states = visited(net, pulses)
    whole = ((net.said(states) - bits) ** 2).mean()
    means = states.mean(dim=(0, 1))
    deviation = states[..., 0, :].flatten(0, 1).std(dim=0)
    told = clamped(net, pulses, means)
    rise = ((told - bits) ** 2).mean(dim=(1, 2, 3)) - whole
    other = clamped(net, pulses, torch.full_like(means, middle))
    return {
        "loss": float(whole),
        "accuracy": float((net.said(states) * bits > 0).double().mean()),
        "deviation": deviation.tolist(),
        "mean": rise.tolist(),
        "middle": (((other - bits) ** 2).mean(dim=(1, 2, 3)) - whole).tolist(),
        "without": (told * bits > 0).double().mean(dim=(1, 2, 3)).tolist(),
        "rank": spearman(deviation.numpy(), rise.numpy()),
    }


def spearman(a: Any, b: Any) -> float:
    """The correlation of the ranks of numbers without ties.

    >>> spearman([1.0, 2.0, 3.0, 4.0], [0.1, 10.0, 5.0, 20.0])
    0.8
    """
    one, other = (np.argsort(np.argsort(np.asarray(v))) for v in (a, b))
    return round(float(np.corrcoef(one, other)[0, 1]), 12)


def of_exchange(net: Net, stable: Tensor) -> dict[str, Any]:
    """Units of one attractor put into another whose triple differs in one bit, then the flow:
    "pairs"; the share of pairs and units in which a "single" unit moves the net to the other
    triple; and the share of pairs that are "moved" and that have "stayed" with the first of
    `EXCHANGED`, the units that differ "most", and those that differ "least"."""
    codes = net.codes(stable)
    pairs = [
        (a, b)
        for a in range(len(stable))
        for b in range(len(stable))
        if int((codes[a] != codes[b]).sum()) == 1
    ]
    if not pairs:
        return {"pairs": 0}
    to, of = (torch.tensor(side) for side in zip(*pairs, strict=True))
    here, there = stable[to], stable[of]
    order = (there - here).norm(dim=1).argsort(dim=1, descending=True)
    none = torch.zeros(len(pairs), net.units, dtype=torch.bool)
    choices = [none.clone() for _ in range(net.units)]
    for unit, alone in enumerate(choices):
        alone[:, unit] = True
    for ranked in (order, order.flip(1)):
        choices += [none.scatter(1, ranked[:, :many], True) for many in EXCHANGED]
    mixed = torch.cat([torch.where(units[:, None], there, here) for units in choices])
    code = net.codes(flow(net, mixed)).view(len(choices), len(pairs), 3)
    moved, stayed = ((code == codes[side]).all(dim=2).double().mean(dim=1) for side in (of, to))
    found: dict[str, Any] = {"pairs": len(pairs), "single": float(moved[: net.units].mean())}
    for n, name in enumerate(("most", "least")):
        some = slice(net.units + n * len(EXCHANGED), net.units + (n + 1) * len(EXCHANGED))
        found[name] = {"moved": moved[some].tolist(), "stayed": stayed[some].tolist()}
    return found


def analyse(model: Model, middle: float, seed: int = 0) -> dict[str, Any]:
    """All that is measured of a net. seed: of the trials."""
    generator = torch.Generator().manual_seed(1000 + seed)
    net = Net(model)
    short_, _ = (v.double() for v in flip_flop(TRAINED, 20, generator=generator))
    pulses, bits = (v.double() for v in flip_flop(STEPS, TRIALS, generator=generator))
    states = visited(net, short_)
    some = states[5::5].flatten(0, 1)
    stable = attractors(net, some)
    return {
        "automaton": of_automaton(net, stable, short_, states),
        "fixed points": of_fixed_points(net, stable, some),
        "units": of_units(net, pulses, bits, middle),
        "exchange": of_exchange(net, stable),
    }


def run(kind: str, seed: int, updates: int = UPDATES, units: int = UNITS) -> dict[str, Any]:
    """Train one net and look into it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Model(units, LAYERS[kind])
        train(model, updates)
    found = {"model": kind, "seed": seed, "parameters": count(model)}
    told: dict[str, Any] = rounded(found | analyse(model, MIDDLE[kind], seed))
    return told


def main(given: Sequence[str] | None = None) -> None:
    """Train all, print a line a run, write OUT/mechanism.json."""
    parser = argparse.ArgumentParser(description="What the units of trained nets do.")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--models", default=",".join(LAYERS), help="separated by commas")
    parser.add_argument("--updates", type=int, default=UPDATES, help="of training")
    parser.add_argument("--out", default=str(RESULTS / "sound"), help="folder of mechanism.json")
    options = parser.parse_args(given)
    torch.set_num_threads(1)  # arrays this small gain nothing from more
    head: dict[str, Any] = {
        "setting": {
            "units": UNITS, "updates": options.updates, "steps": STEPS, "trials": TRIALS,
            "flow": FLOW,
        },
        "exchanged": EXCHANGED,
        "versions": versions("torch"),
    }  # fmt: skip
    kinds = options.models.split(",")
    grow(Path(options.out) / "mechanism.json", head, _each(options.seeds, kinds, options.updates))


def _each(seeds: int, kinds: Sequence[str], updates: int) -> Iterator[Told]:
    """Every run, and what is printed of it."""
    for seed, kind in itertools.product(range(seeds), kinds):
        found = run(kind, seed, updates)
        automaton, units = found["automaton"], found["units"]
        yield (
            found,
            f"{kind:<10}{seed:<4}accuracy {units['accuracy']:<8.4g}"
            f"{automaton['states']} states, {automaton['right']} of "
            f"{automaton['transitions']} transitions, rank {units['rank']:.2f}",
        )


if __name__ == "__main__":
    main()
