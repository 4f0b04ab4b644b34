"""E-prop: eligibility traces that, with a learning signal, give the gradient online."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, final

from neuroflip.parameters import choice, parameter
from neuroflip.rules.layer_rule import LayerRule
from neuroflip.units import ms

if TYPE_CHECKING:
    from torch import Tensor


@final
@dataclass(frozen=True)
class EProp(LayerRule):
    """E-prop for leaky integrate-and-fire neurons, with or without an adaptive threshold.

    For the neuron (steps of dt, a(0) = 0)

        v' = exp(-dt/tau_m) v + w x - threshold z       z = 1 where v > threshold + beta a
        a' = exp(-dt/tau_a) a + z

    the rule keeps, for each synapse,

        psi = height/threshold max(0, 1 - |v - threshold - beta a|/threshold)
        e = psi (xbar - beta e_a)                       xbar' = exp(-dt/tau_m) xbar + x
        e_a' = psi xbar + (exp(-dt/tau_a) - psi beta) e_a
        ebar' = exp(-dt/tau_out) ebar + e
        dw = -rate L ebar

    (Bellec et al. 2020, Nat. Commun. 11:3625, Methods). L, the signal
    `learning_signal`, is the derivative of the loss at a step by the input of the readout from
    each neuron, (B, out): for a leaky readout of time constant tau_out and a squared error, the
    error times the readout's weights. For one layer without recurrent weights the changes of a
    trial sum to the gradient, if the reset is taken to pass none.

    What is set after a step is taken with the traces of that step, when the next one runs; so end
    a trial with one step more. `post` is the neuron's module, whose last output is v, before its
    reset.

    >>> EProp(beta=1.7).signals, EProp.reads
    (('learning_signal',), ('v',))
    """

    rate: float = parameter(1e-3, at_least=0)
    """Learning rate."""
    tau_m: float = parameter(20 * ms, "s", above=0)
    """Membrane time constant (s)."""
    tau_out: float = parameter(20 * ms, "s", above=0)
    """Time constant of the readout (s)."""
    threshold: float = parameter(1.0, above=0)
    """Threshold at rest, in the unit of v."""
    height: float = parameter(0.3, at_least=0)
    """Height of the pseudo-derivative of a spike, times the threshold."""
    beta: float = parameter(0.0, at_least=0)
    """Rise of the threshold by a spike, in the unit of v; 0 for a threshold that stays."""
    tau_a: float = parameter(2.0, "s", above=0)
    """Time constant of the threshold (s)."""

    why_not_circuits: ClassVar[str] = "it needs a pseudo-derivative of spikes"
    signals: ClassVar[tuple[str, ...]] = ("learning_signal",)
    reads: ClassVar[tuple[str, ...]] = ("v",)

    def start(self, samples: int, inputs: int, outputs: int, like: "Tensor") -> "dict[str, Tensor]":
        """xbar (S, in); a (S, out); z, the last spikes (S, out); e_a and ebar (S, out, in)."""
        each = like.new_zeros(samples, outputs, inputs)
        neurons = like.new_zeros(samples, outputs)
        return {
            "xbar": like.new_zeros(samples, inputs),
            "a": neurons,
            "z": neurons,
            "e_a": each,
            "ebar": each,
        }

    def update(
        self,
        state: "dict[str, Tensor]",
        pre: "Tensor",
        post: "Tensor",
        weight: "Tensor",
        given: "Mapping[str, Tensor]",
        dt: float,
    ) -> "Tensor":
        """The change by the signal with the traces of the last step; then the traces of this."""
        change = -self.rate * given["learning_signal"].unsqueeze(2) * state["ebar"]
        xbar = math.exp(-dt / self.tau_m) * state["xbar"] + pre
        kept = math.exp(-dt / self.tau_a)
        a = kept * state["a"] + state["z"]
        away = (given["v_post"] - self.threshold - self.beta * a).abs() / self.threshold
        psi = (self.height / self.threshold * (1 - away).clamp(min=0)).unsqueeze(2)
        e = psi * (xbar.unsqueeze(1) - self.beta * state["e_a"])
        state["e_a"] = kept * state["e_a"] + e
        state["ebar"] = math.exp(-dt / self.tau_out) * state["ebar"] + e
        state["xbar"], state["a"], state["z"] = xbar, a, post
        return change


@final
@dataclass(frozen=True)
class FlipFlopEProp(LayerRule):
    """E-prop for flip-flop neurons, exact where each unit sees no state but its own.

    For h' = J (1 - h) + (1 - K) h with J = gate(w_J x + u_J h), K = gate(w_K x + u_K h):

        e_J' = D e_J + (1 - h) J_z x        D = 1 - J - K + (1 - h) J_z u_J - h K_z u_K
        e_K' = D e_K - h K_z x              dw = -rate L e

    where J_z = J (1 - J) for the sigmoid gate: e is the derivative of h by the weight, carried
    forward (real-time recurrent learning, whose matrix is diagonal here; e-prop of Bellec et al.
    2020, Nat. Commun. 11:3625). With recurrence "none" (u = 0) or "diagonal" the changes of a
    trial sum to the gradient of backpropagation through time; with full recurrence e-prop leaves
    out what reaches a unit through others.

    Attach it to `weight_ih` of a FlipFlopCell or FlipFlop. Trials begin at h = 0. Signals, (B, 2 H)
    of J's half and then K's; a call on a sequence takes them as a `signals.series`:

    learning_signal: the derivative of the loss at a step by h, the same in both halves. What is
        set after a step is taken with the traces of that step, when the next one runs; so end a
        trial with one step more.
    self_weight: u, the weight of each unit onto its own gates; 0 where there is none.

    >>> FlipFlopEProp(gate="hrad")
    Traceback (most recent call last):
        ...
    ValueError: FlipFlopEProp.gate: unknown 'hrad'; did you mean 'hard'?
    """

    rate: float = parameter(1e-3, at_least=0)
    """Learning rate."""
    gate: str = choice("sigmoid", "hard")
    """The gate of the layer."""

    why_not_circuits: ClassVar[str] = "it is the gradient of a rate neuron"
    signals: ClassVar[tuple[str, ...]] = ("learning_signal", "self_weight")

    def start(self, samples: int, inputs: int, outputs: int, like: "Tensor") -> "dict[str, Tensor]":
        """h (S, H); e (S, 2H, in). ValueError for an odd number of outputs."""
        if outputs % 2:
            raise ValueError(
                "FlipFlopEProp learns the gates [J; K] of flip-flop neurons, two outputs each; "
                f"got {outputs} outputs."
            )
        return {
            "h": like.new_zeros(samples, outputs // 2),
            "e": like.new_zeros(samples, outputs, inputs),
        }

    def update(
        self,
        state: "dict[str, Tensor]",
        pre: "Tensor",
        post: "Tensor",
        weight: "Tensor",
        given: "Mapping[str, Tensor]",
        dt: float,
    ) -> "Tensor":
        """The change by the signal with the traces of the last step; then the traces of this."""
        import torch

        from neuroflip.rate.gates import slope_of

        change = -self.rate * given["learning_signal"].unsqueeze(2) * state["e"]
        h = state["h"]
        j, k = post.chunk(2, dim=1)
        by_input = torch.cat([1 - h, -h], dim=1) * slope_of(post, self.gate)
        own_j, own_k = (by_input * given["self_weight"]).chunk(2, dim=1)
        kept = (1 - j - k + own_j + own_k).repeat(1, 2).unsqueeze(2)
        state["e"] = kept * state["e"] + by_input.unsqueeze(2) * pre.unsqueeze(1)
        state["h"] = j * (1 - h) + (1 - k) * h
        return change
