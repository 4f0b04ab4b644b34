"""Memory retention with interference within the trial (E5): one bit, kept among distractors.

The paper's interferers are other classes, in trials of their own. Here the bit and the distractors
come on one line of one trial (`neuroflip.tasks.signals.recall`): a net has learned with ten
distractors as strong as the bit, and is tested with weaker and stronger ones, and with fewer and
more. How its gates begin decides what it learns, so there are two starts of each.

    python -m neuroflip.sims.paper.retention
"""

import argparse
import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from neuroflip import files
from neuroflip.errors import nearest
from neuroflip.sims.paper.experiments import RESULTS, SEEDS
from neuroflip.sims.paper.harness import Data, Training, train
from neuroflip.sims.paper.models import Sequential
from neuroflip.sims.paper.tables import Told, grow
from neuroflip.simulation import versions
from neuroflip.tasks.signals import recall

STEPS = 60
DISTRACTORS = 10
STRENGTHS = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0)
COUNTS = (0, 5, 10, 20, 40, 58)
MODELS = {
    "FlipFlop": ("FlipFlop", "chrono"),
    "FlipFlop, published start": ("FlipFlop", "published"),
    "RNN": ("RNN", ""),
    "LSTM": ("LSTM", ""),
    "LSTM, chrono": ("LSTM", "chrono"),
    "GRU": ("GRU", ""),
    "GRU, chrono": ("GRU", "chrono"),
}
"""Name -> the layer and how it begins; "" is torch's own start."""


class Telling(Sequential):
    """Trials (B, T, 3) -> the score of a 1, at the last step, (B,)."""

    def __init__(self, model: str) -> None:
        kind, start = MODELS[model]
        if kind == "FlipFlop":
            super().__init__(kind, 3, 32, 1, init=start)
            return
        super().__init__(kind, 3, 32, 1)
        if start:
            _hold(self.layer)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)[:, -1, 0]


@torch.no_grad()
def _hold(layer: nn.Module) -> None:
    """Gates of an LSTM or GRU that hold for 1 to STEPS steps, log(U(1, STEPS - 1)), after Tallec &
    Ollivier 2018 (arXiv 1804.11188); the LSTM's input gate is the opposite."""
    hidden = layer.get_parameter("weight_hh_l0").shape[1]
    held = torch.log(1 + (STEPS - 2) * torch.rand(hidden))
    bias = layer.get_parameter("bias_ih_l0")
    layer.get_parameter("bias_hh_l0").zero_()
    bias.zero_()
    bias[hidden : 2 * hidden] = held  # the forget gate of an LSTM, the update gate of a GRU
    if isinstance(layer, nn.LSTM):
        bias[:hidden] = -held


def trials(count: int, distractors: int, strength: float, seed: int, steps: int = STEPS) -> Data:
    """Trials and their bits, samples first."""
    generator = torch.Generator().manual_seed(seed)
    inputs, bits = recall(steps, count, distractors, strength, generator=generator)
    return Data(inputs.transpose(0, 1).contiguous(), bits.float())


def retention(
    model: str = "FlipFlop", seed: int = 0, epochs: int = 30, count: int = 2000, tested: int = 1000
) -> dict[str, Any]:
    """Train a net of 32 units on `count` trials of 60 steps, and test it on new ones.

    model: of `MODELS`. Batches of 50, Adam with rate 0.005, cross-entropy. epochs: the net of the
    lowest held-out loss is tested. ValueError for an unknown model.

    Returns {"model", "seed", "parameters", "losses": held-out, for each epoch, "strength" and
    "count": share of `tested` new trials right, for each of `STRENGTHS` and of `COUNTS`}.

    >>> sorted(retention(epochs=1, count=50, tested=4))
    ['count', 'losses', 'model', 'parameters', 'seed', 'strength']
    """
    if model not in MODELS:
        raise ValueError(f"unknown model {model!r}; {nearest(str(model), MODELS)}")
    training = Training(epochs=epochs, batch_size=50, learning_rate=5e-3, seed=seed, keep="best")
    result = train(
        lambda: Telling(model),
        trials(count, DISTRACTORS, 1.0, 3 * seed),
        trials(tested, DISTRACTORS, 1.0, 3 * seed + 1),
        training,
        loss=nn.functional.binary_cross_entropy_with_logits,
    )
    net = result.model
    assert net is not None

    @torch.no_grad()
    def right(distractors: int, strength: float) -> float:
        new = trials(tested, distractors, strength, 3 * seed + 2)
        return float(((net(new.inputs) > 0) == (new.targets > 0)).double().mean())

    return {
        "model": model,
        "seed": seed,
        "parameters": result.parameters,
        "losses": [float(f"{loss:.4g}") for loss in result.curves["held"]],
        "strength": [right(DISTRACTORS, strength) for strength in STRENGTHS],
        "count": [right(number, 1.0) for number in COUNTS],
    }


def main(given: Sequence[str] | None = None) -> None:
    """Train all models at several seeds, print the shares right, write OUT/retention.json; what
    is there is not repeated."""
    parser = argparse.ArgumentParser(description="Recall of a bit among distractors.")
    parser.add_argument("--seeds", type=int, default=len(SEEDS), help=f"how many of {SEEDS}")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--out", default=str(RESULTS / "sound"))
    options = parser.parse_args(given)
    torch.set_num_threads(1)  # arrays this small gain nothing from more
    path = Path(options.out) / "retention.json"
    kept = files.read(path) if path.exists() else {"epochs": options.epochs, "runs": []}
    if kept["epochs"] != options.epochs:
        parser.error(f"{path} is of {kept['epochs']} epochs; choose another --out or delete it.")
    done = {(found["model"], found["seed"]) for found in kept["runs"]}
    print(f"share right with {DISTRACTORS} distractors of strength {STRENGTHS}; {COUNTS} of 1")
    head = {
        "steps": STEPS, "distractors": DISTRACTORS, "strengths": STRENGTHS, "counts": COUNTS,
        "epochs": options.epochs, "versions": versions("torch"),
    }  # fmt: skip
    todo = [
        job for job in itertools.product(SEEDS[: options.seeds], MODELS) if job[::-1] not in done
    ]
    grow(path, head, _each(todo, options.epochs), kept["runs"])


def _each(todo: Iterable[tuple[int, str]], epochs: int) -> Iterator[Told]:
    """Every run, and what is printed of it."""
    for seed, model in todo:
        found = retention(model, seed, epochs)
        shown = "  ".join(
            " ".join(f"{share:.3f}" for share in found[which]) for which in ("strength", "count")
        )
        yield found, f"{seed:<4}{model:<26}{shown}"


if __name__ == "__main__":
    main()
