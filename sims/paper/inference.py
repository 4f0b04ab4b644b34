"""Do trained nets infer like an ideal observer (C19)? The state of a hidden chain, from noise.

A net sees one number a step (`neuroflip.tasks.hidden_chain`) and says the log-odds that the state
is 1 now, trained by cross-entropy on the states. Beside it, on the same new trials, are the exact
filter, which knows the chain and all that was seen, and an observer without memory, which knows
the chain and this step. What is asked of a model, before any number was seen; the answer is yes if
in every seed

- its gain over the observer without memory is at least 0.95 of the exact filter's gain, in
  cross-entropy;
- its probabilities are the exact ones within 0.05, in the root mean square.

    python -m neuroflip.sims.paper.inference
"""

import argparse
import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from neuroflip.sims.paper.experiments import RESULTS, SEEDS
from neuroflip.sims.paper.harness import Data, Training, train
from neuroflip.sims.paper.models import PUBLISHED, Sequential
from neuroflip.sims.paper.tables import Told, grow, rounded
from neuroflip.simulation import versions
from neuroflip.tasks import filtered, hidden_chain

STEPS = 50
UNITS = 16
TRIALS = 2000
"""Trained on; as many tell of which epoch the net is kept, and as many test it."""
EPOCHS = 20
GAIN = 0.95
"""Of the exact filter's gain over the observer without memory."""
CLOSE = 0.05
"""Root mean square of the difference of probabilities."""


def chains(count: int, seed: int) -> Data:
    """Trials and their states, samples first: (N, STEPS, 1) both."""
    seen, states = hidden_chain(STEPS, count, generator=torch.Generator().manual_seed(seed))
    return Data(seen.t()[..., None].contiguous(), states.t()[..., None].float().contiguous())


def infer(model: str = "FlipFlop", seed: int = 0, epochs: int = EPOCHS, count: int = TRIALS) -> Any:
    """Train a net, and compare it with both observers on new trials.

    model: of `models.LAYERS`. ValueError for an unknown one.

    Returns {"model", "seed", "parameters", "loss": cross-entropy of the net, of the "exact" filter
    and of the observer "without memory", nats a step; "gain": the net's over the last, in the exact
    filter's; "apart": root mean square of the difference of its probabilities from the exact ones}.

    >>> sorted(infer(epochs=1, count=20))
    ['apart', 'exact', 'gain', 'loss', 'model', 'parameters', 'seed', 'without memory']
    """
    training = Training(epochs=epochs, batch_size=50, learning_rate=5e-3, seed=seed, keep="best")
    result = train(
        lambda: Sequential(model, 1, UNITS, 1),
        chains(count, 3 * seed),
        chains(count, 3 * seed + 1),
        training,
        loss=nn.functional.binary_cross_entropy_with_logits,
    )
    assert result.model is not None
    new = chains(count, 3 * seed + 2)
    with torch.no_grad():
        said = result.model(new.inputs)[..., 0].double()
    exact, alone = (odds.t() for odds in filtered(new.inputs[..., 0].t()))
    net, best, worst = (_entropy(odds, new.targets[..., 0]) for odds in (said, exact, alone))
    apart = (torch.sigmoid(said) - torch.sigmoid(exact)).square().mean().sqrt()
    return rounded(
        {
            "model": model, "seed": seed, "parameters": result.parameters, "loss": net,
            "exact": best, "without memory": worst, "gain": (worst - net) / (worst - best),
            "apart": float(apart),
        }
    )  # fmt: skip


def _entropy(odds: Tensor, states: Tensor) -> float:
    return float(nn.functional.binary_cross_entropy_with_logits(odds, states.double()))


def main(given: Sequence[str] | None = None) -> None:
    """Train all models at several seeds, print a line a run, write OUT/inference.json."""
    parser = argparse.ArgumentParser(description="Nets beside the exact filter of a chain.")
    parser.add_argument("--seeds", type=int, default=len(SEEDS), help=f"how many of {SEEDS}")
    parser.add_argument("--models", default=",".join(PUBLISHED), help="separated by commas")
    parser.add_argument("--out", default=str(RESULTS / "sound"), help="folder of inference.json")
    options = parser.parse_args(given)
    torch.set_num_threads(1)  # arrays this small gain nothing from more
    head = {
        "setting": {"steps": STEPS, "units": UNITS, "trials": TRIALS, "epochs": EPOCHS},
        "versions": versions("torch"),
    }
    jobs = itertools.product(SEEDS[: options.seeds], options.models.split(","))
    grow(Path(options.out) / "inference.json", head, _each(jobs))


def _each(jobs: Iterable[tuple[int, str]]) -> Iterator[Told]:
    """Every run, and what is printed of it."""
    for seed, model in jobs:
        found = infer(model, seed)
        yield found, f"{seed:<4}{model:<10}gain {found['gain']:<8}apart {found['apart']}"


if __name__ == "__main__":
    main()
