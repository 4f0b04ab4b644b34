"""What happens inside trained nets (E8 to E13): weights, gates, outputs, units, states, in numbers.

    python -m neuroflip.sims.paper.inside --seeds 5

trains the four models on uniform curves, working_mem/exp_1, and on sinusoids,
signal_gen/sinusoidal_0, in the sound mode of `experiments`, with a copy of the weights every 50
epochs. Trained nets are kept in the folder --runs and not trained again; OUT/inside.json has the
numbers, some for each run. The figures 9 to 13 show the same of other experiments.
"""

import argparse
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from neuroflip.rate import FlipFlop
from neuroflip.sims.paper import measures
from neuroflip.sims.paper.experiments import RESULTS, SEEDS, run, setting
from neuroflip.sims.paper.harness import Result
from neuroflip.sims.paper.models import PUBLISHED, Drawing, Sequential
from neuroflip.sims.paper.tables import Told, grow, rounded
from neuroflip.simulation import versions
from neuroflip.tasks.signals import curves, with_interference

if TYPE_CHECKING:
    from neuroflip.circuit import Array

NAMES = ("working_mem/exp_1", "signal_gen/sinusoidal_0")
EVERY = 50
"""Epochs between copies of the weights."""
JITTER = 0.1
"""The noise on the input lines with which the outputs of a class are compared."""
LAGS = 20
"""The largest lag of the correlation of output and target."""

_LSTM = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


@torch.no_grad()
def inside(net: Drawing) -> dict[str, "Array"]:
    """What happens in a net at every step, for each class: "output" (C, T); "states" and each
    gate, (C, T, units): "J", "K" of flip-flop layers; "input", "forget", "output gate" of an LSTM.

    >>> found = inside(Drawing("LSTM", 2, 4, 10))
    >>> {name: values.shape for name, values in found.items()}["forget"]
    (2, 10, 4)
    """
    lines = net.lines
    gates: dict[str, torch.Tensor] = {}
    if isinstance(net.layer, FlipFlop):
        states, _, opened = net.layer(lines, return_gates=True)
        gates = {"J": opened.j, "K": opened.k}
    else:
        states, _ = net.layer(lines)
        if isinstance(net.layer, torch.nn.LSTM):
            before = torch.cat([torch.zeros_like(states[:, :1]), states[:, :-1]], dim=1)
            w, u, b, c = (net.layer.get_parameter(f"{name}_l0") for name in _LSTM)
            z = lines @ w.t() + b + before @ u.t() + c
            i, f, _, o = torch.sigmoid(z).chunk(4, dim=-1)
            gates = {"input": i, "forget": f, "output gate": o}
    output = net.readout(states)[..., 0]
    return {k: v.numpy() for k, v in {"output": output, "states": states, **gates}.items()}


def targets(name: str, seed: int, as_published: bool = False) -> "Array":
    """The curves of an experiment without noise, (C, T)."""
    which = setting(name)
    drawn = curves(which.curve, which.steps, len(which.counts), seed=42 if as_published else seed)
    drawn = with_interference(drawn) if which.interference else drawn
    return drawn.t().numpy().astype(np.float64)


def weights_over_epochs(result: Result) -> dict[str, Any]:
    """How the J and K weights of a flip-flop layer move: "epochs"; "J", "K" (snapshots, units,
    inputs + units); "moved", the length of the way from each snapshot to the next; "early", the
    share of all the way that was gone in the first tenth of the epochs; "away", the distance from
    the first weights."""
    epochs = np.array(list(result.snapshots))
    both = np.stack(
        [
            torch.cat([s["layer.weight_ih_l0"], s["layer.weight_hh_l0"]], dim=1).cpu().numpy()
            for s in result.snapshots.values()
        ]
    )
    moved, told = measures.way(epochs, both)
    j, k = np.split(both, 2, axis=1)
    return {
        "epochs": epochs,
        "J": j,
        "K": k,
        "moved": moved,
        "early": told["first_tenth"],
        "away": np.linalg.norm((both - both[0]).reshape(len(epochs), -1), axis=1),
    }


def of_weights(result: Result) -> dict[str, Any]:
    """Of the weights of J and K, and of both: see `measures.way`; "moved" of each from snapshot to
    snapshot, thinned, to the "epochs"; "apart" and "distance" of J from K, first and last."""
    found = weights_over_epochs(result)
    kept = measures.thinned(len(found["moved"]), 16)
    told: dict[str, Any] = {"epochs": found["epochs"][1:][kept].tolist()}
    for gate in "JK":
        moved, shares = measures.way(found["epochs"], found[gate])
        told[gate] = shares | {"moved": moved[kept].tolist()}
    both = np.stack([found["J"], found["K"]], axis=1)
    ends = [(found["J"][end], found["K"][end]) for end in (0, -1)]
    return told | {
        "both": measures.way(found["epochs"], both)[1],
        "apart": [measures.apart(j, k) for j, k in ends],
        "distance": [float(np.linalg.norm(j - k)) for j, k in ends],
    }


def of_gates(result: Result) -> dict[str, Any]:
    """Of the gates at all steps, with the weights of every snapshot: see `measures.way`;
    "saturated", the share of each gate, first and last; "late", by how much they changed in the
    last fifth of the epochs, in the mean of |difference|, and "changed", in all epochs;
    "correlation" of J and K, at the end. Nothing for models without gates."""
    net = result.model
    assert isinstance(net, Drawing)
    last = {name: value.clone() for name, value in net.state_dict().items()}
    over: list[dict[str, Array]] = []
    for weights in result.snapshots.values():
        net.load_state_dict(dict(weights))
        found = inside(net)
        over.append({k: v for k, v in found.items() if k not in ("output", "states")})
    net.load_state_dict(last)
    if not over[0]:
        return {}
    epochs = np.array(list(result.snapshots))
    points = np.stack([np.stack(list(gates.values())) for gates in over])
    fifth = int(np.searchsorted(epochs, 0.8 * epochs[-1]))
    told: dict[str, Any] = measures.way(epochs, points)[1] | {
        "saturated": {k: [measures.saturated(over[end][k]) for end in (0, -1)] for k in over[0]},
        "late": float(np.abs(points[-1] - points[fifth]).mean()),
        "changed": float(np.abs(points[-1] - points[0]).mean()),
    }
    if "J" in over[-1]:
        j, k = (over[-1][gate].ravel() for gate in "JK")
        told["correlation"] = float(np.corrcoef(j, k)[0, 1])
    return told


@torch.no_grad()
def jittered(net: Drawing, seed: int, draws: int = 20) -> "Array":
    """Outputs with noise on the input lines, a tenth of a line at every step: (draws, C, T)."""
    generator = torch.Generator().manual_seed(seed)
    found = []
    for _ in range(draws):
        noise = JITTER * torch.randn(net.lines.shape, generator=generator)
        found.append(Sequential.forward(net, net.lines + noise)[..., 0].numpy())
    return np.stack(found)


def of_outputs(net: Drawing, target: "Array", variance: float, seed: int) -> dict[str, Any]:
    """Of what a net draws, against the curves without noise: "filtered", the mean square of the
    difference over the variance of the noise that was learned with; "quarters", the same for each
    quarter of the steps; "within_between" of outputs with noisy inputs; "spectrum", how the
    amplitude spectra go together, mean over classes, and "fast_power"; "peak", "lag" of the
    correlation with the target, for each class."""
    found = inside(net)
    output = found["output"].astype(np.float64)
    errors = np.square(output - target).mean(axis=0) / variance
    by_class = [measures.correlation(o, t, LAGS) for o, t in zip(output, target, strict=True)]
    return {
        "filtered": float(errors.mean()),
        "quarters": [float(part.mean()) for part in np.array_split(errors, 4)],
        "within_between": measures.within_between(jittered(net, seed)),
        "spectrum": float(np.mean(measures.spectrum_match(output, target))),
        "fast_power": measures.fast_power(output, target),
        "peak": [float(np.nanmax(r)) for _, r in by_class],  # nan where the output is constant
        "lag": [int(lags[np.nanargmax(r)]) for lags, r in by_class],
    }


def of_states(net: Drawing) -> dict[str, Any]:
    """Of the states: `measures.breadth` but for its lists; "shares" of the variance in the first
    principal component, in two, in three."""
    states = inside(net)["states"]
    kept = {k: v for k, v in measures.breadth(states).items() if k not in ("mean", "deviation")}
    return kept | {"shares": np.cumsum(measures.principal(states, 3)[1]).tolist()}


def record(name: str, result: Result) -> dict[str, Any]:
    """All that is kept of a run."""
    model, seed = result.config["model"], result.config["seed"]
    net, floor = result.model, setting(name).floor
    assert isinstance(net, Drawing)
    found: dict[str, Any] = {"experiment": name, "model": model, "seed": seed}
    found["ratio"] = result.curves["held"][-1] / floor
    if model == "FlipFlop":
        found["weights"] = of_weights(result)
    if gates := of_gates(result):
        found["gates"] = gates
    target = targets(name, seed, bool(result.config["as_published"]))
    found["outputs"] = of_outputs(net, target, floor, seed)
    found["states"] = of_states(net)
    told: dict[str, Any] = rounded(found)
    return told


def main(given: Sequence[str] | None = None) -> None:
    """Train what is not there, print a line a run, write OUT/inside.json."""
    parser = argparse.ArgumentParser(description="Measure the insides of trained nets.")
    parser.add_argument("--seeds", type=int, default=len(SEEDS), help=f"how many of {SEEDS}")
    parser.add_argument("--models", default=",".join(PUBLISHED), help="separated by commas")
    parser.add_argument("--as-published", action="store_true", help="with the authors' settings")
    parser.add_argument("--runs", default="runs", help="folder of trained nets")
    parser.add_argument("--out", help="folder of inside.json; by default that of the mode")
    options = parser.parse_args(given)
    if not 1 <= options.seeds <= len(SEEDS):
        parser.error(f"--seeds must be from 1 to {len(SEEDS)}; got {options.seeds}.")
    torch.set_num_threads(1)  # arrays this small gain nothing from more
    head = {"every": EVERY, "jitter": JITTER, "versions": versions("torch")}
    seeds, models = SEEDS[: options.seeds], options.models.split(",")
    folder = Path(options.out or RESULTS / ("published" if options.as_published else "sound"))
    done = _each(seeds, models, options.runs, options.as_published)
    grow(folder / "inside.json", head, done)


def _each(
    seeds: Sequence[int], models: Sequence[str], runs: str, as_published: bool
) -> Iterator[Told]:
    """Every run, and what is printed of it."""
    for name, seed, model in itertools.product(NAMES, seeds, models):
        kind = "inside" + "-as-published" * as_published
        folder = Path(runs) / kind / name / f"{model}-{seed}"
        given: Any = {"as_published": as_published, "snapshot_every": EVERY, "folder": folder}
        found = record(name, run(name, model, seed, **given))
        told = found["outputs"]
        yield (
            found,
            f"{name:<26}{model:<10}{seed:<4}error/floor {found['ratio']:<10.4g}"
            f"without noise {told['filtered']:<10.4g}peaks {told['peak']}",
        )


if __name__ == "__main__":
    main()
