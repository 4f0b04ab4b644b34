"""What sentiment and action recognition share: three parts, accuracies, tables, curves."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from neuroflip.sims.paper.drawing import COLOUR, STYLE
from neuroflip.sims.paper.harness import Data, Training, train
from neuroflip.sims.paper.measures import thinned

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RESULTS = Path(__file__).parent / "results"
"""The tables that are kept with the package."""


@dataclass(frozen=True)
class Parts:
    """What is trained on, what tells when to stop, and what is told of at the end, once."""

    train: Data
    validation: Data
    test: Data


def accuracy(said: Tensor, targets: Tensor) -> Tensor:
    """The share of samples whose class is said with the largest number.

    >>> float(accuracy(torch.tensor([[0.0, 1.0], [3.0, 2.0]]), torch.tensor([1, 1])))
    0.5
    """
    return (said.argmax(dim=1) == targets).float().mean()


@torch.no_grad()
def score(model: nn.Module, data: Data) -> float:
    """The accuracy of a model that is not in training."""
    model.eval()
    right = [
        float(accuracy(model(some.inputs), some.targets)) * len(some)
        for some in (data[start : start + 256] for start in range(0, len(data), 256))
    ]
    return sum(right) / len(data)


def learn(
    build: Callable[[], nn.Module],
    parts: Parts,
    training: Training,
    describe: Mapping[str, Any],
    folder: str | Path | None = None,
) -> tuple[dict[str, Any], nn.Module]:
    """Train a classifier; the record of the run, and the model.

    The record: "model", "seed", "parameters", "test" (accuracy), "validation" and "best_epoch" of
    the model returned, "seconds" of training, "epochs", "curves", "versions".
    """
    result = train(
        build,
        parts.train,
        parts.validation,
        training,
        loss=nn.functional.cross_entropy,
        metrics={"accuracy": accuracy},
        describe=describe,
        folder=folder,
    )
    assert result.model is not None
    last = len(result.seconds) - 1
    best = int(np.argmin(result.curves["held"])) if training.keep == "best" else last
    kept = thinned(last + 1)
    return {
        "model": describe["model"],
        "seed": training.seed,
        "parameters": result.parameters,
        "test": score(result.model, parts.test),
        "validation": result.curves["held accuracy"][best],
        "best_epoch": best + 1,
        "seconds": round(sum(result.seconds), 1),
        "epochs": [place + 1 for place in kept],
        "curves": {
            name: [float(f"{curve[place]:.4g}") for place in kept]
            for name, curve in result.curves.items()
        },
        "versions": dict(result.versions),
    }, result.model


def logistic(rows: Tensor, classes: Tensor, strength: float = 1.0) -> Callable[[Tensor], Tensor]:
    """Logistic regression: what says a number a class, shape (M, C), of rows (M, columns).

    It minimises  strength * (sum of cross-entropies) + |w|^2 / 2  over w (columns, C) and offsets;
    of two classes the first has w = 0, as in binary regression. rows: float64, dense or sparse.
    """
    count = int(classes.max()) + 1
    free = 1 if count == 2 else count
    w = torch.zeros(rows.shape[1], free, dtype=torch.float64, requires_grad=True)
    b = torch.zeros(free, dtype=torch.float64, requires_grad=True)

    def say(some: Tensor) -> Tensor:
        z = some @ w + b
        return nn.functional.pad(z, (count - free, 0))

    solver = torch.optim.LBFGS([w, b], max_iter=500, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        solver.zero_grad()
        wrong = nn.functional.cross_entropy(say(rows), classes, reduction="sum")
        total = strength * wrong + (w**2).sum() / 2
        total.backward()  # type: ignore[no-untyped-call]
        return total

    solver.step(loss)  # type: ignore[no-untyped-call]
    w.requires_grad_(False)
    b.requires_grad_(False)
    return say


def summary(runs: Sequence[Mapping[str, Any]], value: str = "test") -> dict[str, dict[str, float]]:
    """Mean and standard deviation of a value over the seeds of each model.

    >>> summary([{"model": "LSTM", "test": 0.5}, {"model": "LSTM", "test": 0.7}])
    {'LSTM': {'mean': 0.6, 'sd': 0.1414, 'runs': 2}}
    """
    found = {}
    for model in dict.fromkeys(run["model"] for run in runs):
        values = [run[value] for run in runs if run["model"] == model]
        spread = float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")
        found[model] = {
            "mean": round(float(np.mean(values)), 4), "sd": round(spread, 4), "runs": len(values)
        }  # fmt: skip
    return found


def curves(
    panel: "Axes", runs: Sequence[Mapping[str, Any]], name: str, labels: Mapping[str, str]
) -> dict[str, Any]:
    """Draw a curve of each model over the epochs, mean and range of its seeds; what is drawn.

    labels: model of the runs -> the model whose colour and kind of line it has.
    """
    drawn: dict[str, Any] = {}
    for model, look in labels.items():
        own = [run for run in runs if run["model"] == model]
        epochs = np.array(own[0]["epochs"])
        values = np.array([run["curves"][name] for run in own])
        panel.plot(
            epochs, values.mean(axis=0), STYLE[look], color=COLOUR[look], label=model, linewidth=1.4
        )
        panel.fill_between(
            epochs, values.min(axis=0), values.max(axis=0), color=COLOUR[look], alpha=0.15,
            linewidth=0,
        )  # fmt: skip
        drawn[model] = {"epochs": epochs, name: values, "seeds": [run["seed"] for run in own]}
    panel.set_xlabel("epoch")
    panel.locator_params(axis="x", integer=True)
    return drawn
