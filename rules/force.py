"""Recursive least squares, the rule of FORCE learning."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, final

from neuroflip.parameters import parameter
from neuroflip.rules.layer_rule import LayerRule

if TYPE_CHECKING:
    from torch import Tensor


@final
@dataclass(frozen=True)
class RLS(LayerRule):
    """Recursive least squares: after every sample, the weights that fit all samples so far best.

        P' = P - P r (P r)^T / (1 + r^T P r)        P(0) = identity/alpha
        w' = w - e P' r                             e = w r - target

    (FORCE learning; Sussillo & Abbott 2009, Neuron 63:544.) With r the input of a linear layer, the
    weights minimise

        sum over samples |w r - target|**2 + alpha |w - w(0)|**2

    exactly; a batch counts as its samples one after the other. P lasts from trial to trial.

    Set the signal `target`, one value or one an output, before the layer runs, and call `step()`
    after it: the error is that of the layer's own output.

    >>> import torch
    >>> from neuroflip import rules
    >>> layer = torch.nn.Linear(1, 1, bias=False)
    >>> learner = rules.attach(layer, RLS(alpha=1e-6), merge="replace")
    >>> learner.signals["target"] = 6.0
    >>> _ = layer(torch.tensor([[2.0]]))
    >>> learner.step()
    >>> round(layer.weight.item(), 4)
    3.0
    >>> RLS().model()
    Traceback (most recent call last):
        ...
    ValueError: RLS does not work in circuits: all synapses of a neuron share one matrix; use it \
on torch layers, with rules.attach.
    """

    alpha: float = parameter(1.0, above=0)
    """Weight of the distance from the first weights (unit of the input squared)."""

    why_not_circuits: ClassVar[str] = "all synapses of a neuron share one matrix"
    kept: ClassVar[tuple[str, ...]] = ("inverse",)
    signals: ClassVar[tuple[str, ...]] = ("target",)

    def start(self, samples: int, inputs: int, outputs: int, like: "Tensor") -> "dict[str, Tensor]":
        """inverse: P, (in, in), that of the correlation of the inputs plus alpha."""
        return {"inverse": like.new_ones(inputs).diag() / self.alpha}

    def update(
        self,
        state: "dict[str, Tensor]",
        pre: "Tensor",
        post: "Tensor",
        weight: "Tensor",
        given: "Mapping[str, Tensor]",
        dt: float,
    ) -> "Tensor":
        """All samples at once, by the same formula with a matrix of inputs in place of r."""
        import torch

        inverse = state["inverse"]
        spread = pre @ inverse
        inner = spread @ pre.t() + torch.eye(len(pre), dtype=pre.dtype, device=pre.device)
        gain = torch.linalg.solve(inner, spread)  # (S, in): P' r of every sample
        state["inverse"] = inverse - spread.t() @ gain
        change: Tensor = -(post - given["target"]).t() @ gain
        return change
