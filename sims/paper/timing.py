"""Training time of the four models, beside the authors': a flip-flop epoch in epochs of the LSTM.

Here every sequence of a batch is run, as in the authors' code, though all of a class are alike and
the experiments run each once. Time of the processor, of one thread, in rounds that take the models
in turn, so that other work on the machine falls on all alike.

    python -m neuroflip.sims.paper.timing
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from neuroflip import files
from neuroflip.sims.paper.experiments import RESULTS, STORED, data, setting
from neuroflip.sims.paper.models import PUBLISHED, Sequential
from neuroflip.simulation import versions

NAMES = (
    "signal_gen/sinusoidal_0",
    "signal_gen/uniform_1",
    "mem_retention/exp_1",
    "working_mem/exp_1",
    "working_mem/exp_3",
)


def timing(name: str, rounds: int = 15, updates: int = 4) -> dict[str, Any]:
    """Seconds of an epoch of each model in one experiment; "FlipFlop/LSTM", their ratio, as the
    median over rounds; "authors", the ratio of the times they stored. ValueError for an unknown
    name.

    >>> found = timing("working_mem/exp_7", rounds=1, updates=1)
    >>> found["epoch"]["LSTM"] > 0, round(found["authors"], 1)
    (True, 10.3)
    """
    which = setting(name)
    samples = data(which, 0)[0]
    classes = len(which.counts)
    lines = nn.functional.one_hot(samples.inputs, classes).float()[:, None]
    lines = lines.expand(-1, which.steps, -1).contiguous()
    batches = len(samples) / which.batch_size
    steps = []
    for model in PUBLISHED:
        torch.manual_seed(0)
        net = Sequential(model, classes, which.hidden, 1, init="published")
        steps.append(_update(net, which.learning_rate))
    taken = np.empty((rounds + 1, len(PUBLISHED)))
    for row in taken:
        for place, step in enumerate(steps):
            begun = time.process_time()
            for _ in range(updates):
                chosen = torch.randperm(len(samples))[: which.batch_size]
                step(lines[chosen], samples.targets[chosen])
            row[place] = (time.process_time() - begun) / updates * batches
    taken = taken[1:]  # the first compiles
    ratio = taken[:, PUBLISHED.index("FlipFlop")] / taken[:, PUBLISHED.index("LSTM")]
    stored = files.read(STORED)["experiments"][name]["models"]
    return {
        "epoch": dict(zip(PUBLISHED, np.median(taken, axis=0).tolist(), strict=True)),
        "FlipFlop/LSTM": float(np.median(ratio)),
        "authors": stored["FlipFlop"]["seconds"] / stored["LSTM"]["seconds"],
    }


def _update(net: nn.Module, rate: float) -> Any:
    """A function that trains on one batch."""
    optimizer = torch.optim.AdamW(net.parameters(), lr=rate, weight_decay=0.0, fused=True)

    def step(x: torch.Tensor, y: torch.Tensor) -> None:
        loss = nn.functional.mse_loss(net(x), y)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()

    return step


def main(given: Sequence[str] | None = None) -> None:
    """Print the table and write OUT/timing.json."""
    parser = argparse.ArgumentParser(description="Training time beside the authors'.")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--out", default=str(RESULTS))
    options = parser.parse_args(given)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    found = {}
    print("ms an epoch               " + "".join(f"{m:>10}" for m in PUBLISHED), end="")
    print("   FlipFlop/LSTM   authors'   shorter by")
    for name in NAMES:
        row = found[name] = timing(name, options.rounds)
        print(f"{name:<26}" + "".join(f"{1e3 * row['epoch'][m]:>10.1f}" for m in PUBLISHED), end="")
        gain = row["authors"] / row["FlipFlop/LSTM"]
        print(f"{row['FlipFlop/LSTM']:>16.2f}{row['authors']:>11.1f}{gain:>13.0f}", flush=True)
    files.write(
        Path(options.out) / "timing.json", {"versions": versions("torch"), "experiments": found}
    )
    torch.set_num_threads(before)


if __name__ == "__main__":
    main()
