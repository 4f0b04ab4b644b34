"""Epochs of the four published models that draw curves, compiled: no autograd, no torch.

The same updates as in `neuroflip.sims.paper.harness`, up to rounding, on the memory of the model
and of its optimizer. A small net spends most of an update of torch's on dispatch; here a class is
run once an update, its input is the same at all steps, and all updates of an epoch are one call.
With y_c(t) what class c draws,

    L = mean over samples s and steps t of (y_c(s)(t) - target_s(t))^2

has a gradient by y_c(t) that is a sum over the batch, after which the cost is that of the classes.
"""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from neuroflip.rate.products import ROWS
from neuroflip.sims.paper.epoch_loops import draw, epoch
from neuroflip.sims.paper.harness import Data, Training
from neuroflip.sims.paper.models import PUBLISHED

_LAYER = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")


def shortcut(
    kind: str, hidden: int, data: Data, held: Data, training: Training
) -> "Compiled | None":
    """What runs the epochs of `models.Drawing(kind, ..., hidden, ...)` in `harness.train`; None
    where the loops do not know that model or training."""
    known = (
        kind in PUBLISHED
        and hidden % ROWS == 0
        and data.targets.dtype == torch.float32
        and training.device == "cpu"
        and training.weight_decay == 0
    )
    return Compiled(kind, data, held, training) if known else None


class Compiled:
    """A `harness.Shortcut`; made by `shortcut`."""

    def __init__(self, kind: str, data: Data, held: Data, training: Training) -> None:
        self._kind = PUBLISHED.index(kind)
        self._training = training
        self._samples = data.inputs.numpy(), data.targets.flatten(1).contiguous().numpy()
        # The mean square around curves is that around the means of their copies, and of those
        wanted, classes = held.targets.flatten(1).double().numpy(), held.inputs.numpy()
        counts = np.bincount(classes)
        sums = np.zeros((len(counts), wanted.shape[1]))
        np.add.at(sums, classes, wanted)
        self._shares = counts / wanted.size
        self._means = sums / np.maximum(counts, 1)[:, None]
        self._apart = float(np.square(wanted - self._means[classes]).mean())

    def learn(self, model: nn.Module, optimizer: torch.optim.Optimizer, order: Tensor) -> float:
        """See `harness.Shortcut`."""
        parameters = _parameters(model)
        for p in parameters:
            if p is not None and not optimizer.state[p]:  # as the optimizer's first step would
                optimizer.state[p] = {
                    "step": torch.zeros(()),
                    "exp_avg": torch.zeros_like(p),
                    "exp_avg_sq": torch.zeros_like(p),
                }
        states = [{} if p is None else optimizer.state[p] for p in parameters]
        clip, weights = self._training.clip_norm, _flat(parameters)
        loss = epoch(
            self._kind, *self._samples, order.numpy(), self._training.batch_size, _lines(model),
            weights, tuple(map(np.empty_like, weights)),
            _flat([state.get("exp_avg") for state in states]),
            _flat([state.get("exp_avg_sq") for state in states]), int(states[0]["step"]),
            self._training.learning_rate, math.inf if clip is None else clip,
        )  # fmt: skip
        for state in states:
            if state:
                state["step"] += math.ceil(len(order) / self._training.batch_size)
        return float(loss)

    def judge(self, model: nn.Module) -> float:
        """See `harness.Shortcut`."""
        drawn = draw(self._kind, _lines(model), _flat(_parameters(model)))[: len(self._means)]
        return self._apart + float(self._shares @ np.square(drawn - self._means).sum(axis=1))


def _parameters(model: nn.Module) -> list[Any]:
    """Of the layer, None for a bias that it does not have, and of the readout."""
    named = dict(model.named_parameters())
    names = [f"layer.{name}" for name in _LAYER] + ["readout.weight", "readout.bias"]
    return [named.get(name) for name in names]


def _flat(tensors: list[Any]) -> tuple[Any, ...]:
    """The memory of each, as one row."""
    nothing = np.empty(0, np.float32)
    return tuple(nothing if t is None else t.detach().view(-1).numpy() for t in tensors)


def _lines(model: nn.Module) -> Any:
    """The inputs, steps first."""
    lines: Any = model.lines
    return lines.transpose(0, 1).contiguous().numpy()
