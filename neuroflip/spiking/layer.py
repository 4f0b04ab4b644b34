"""`SpikingFlipFlop`: a trainable layer of bistable spiking circuits, for snnTorch networks."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from snntorch import SpikingNeuron, surrogate  # type: ignore[import-untyped]
from torch import Tensor, nn

from neuroflip.circuit import Circuit
from neuroflip.rate.arguments import size
from neuroflip.spiking.unit import Unit
from neuroflip.units import ms


class State(NamedTuple):
    """The state of a layer after a step, neurons in the order set, reset, Q, Qbar.

    mem: potentials, (B, 4, H). spk: the spikes of the step, 0 or 1, (B, 4, H); those of Q, which
    are the layer's output, carry the gradient.
    """

    mem: Tensor
    spk: Tensor

    def detach(self) -> "State":
        """The same state, cut from the graph: for truncated backpropagation through time."""
        return State(self.mem.detach(), self.spk.detach())


class SpikingFlipFlop(nn.Module):
    """A layer whose every unit is a spiking JK flip-flop, driven by learned currents.

        J_t = W_J x_t + U_J q_{t-1} + b_J        K_t = W_K x_t + U_K q_{t-1} + b_K

    are the currents into the gating neurons of a unit of four leaky integrate-and-fire neurons
    (`neuroflip.spiking.unit`); U = 0 unless recurrent. The output q are the spikes of Q, one in
    every step in which the bit is 1 and none where it is 0, when Qbar fires: the bit of step t is
    1 where Q fired and Qbar did not. Spikes that arrive in step t show in the output of t + 1.
    Without input a bit is held by mutual inhibition, without limit (`holds` says which units do).

    input_size, hidden_size: features of the input, and units. hidden_size units are
        4 hidden_size neurons.
    beta, threshold, margin, gating: the unit; see `Unit`. learn_beta: train beta, as the logistic
        function of the parameter logit_beta, so that it stays between 0 and 1 and units latch.
    recurrent: currents see the output of the step before, of all units. bias: b_J and b_K.
    spike_grad: surrogate derivative of the gating neurons, from `snntorch.surrogate` or any
        callable like those; atan() if None, as in snnTorch.
    init_hidden: as in snnTorch, keep the state in the layer and return spikes alone.

    Parameters: weight_ih (2H, I), rows [J; K], at first uniform within threshold
    min(1, sqrt(6/I)); weight_hh (2H, H), within threshold/sqrt(H); bias (2H,), 0; logit_beta.

    Gradients. Those of the gating neurons are surrogate. The latch has the derivative of the JK
    equation that it obeys, q' = J (1 - q) + (1 - K) q: a bit that is held passes its gradient on
    whole, one that is set or reset does not, one that is toggled passes it with opposite sign.

    ValueError for arguments out of range, also where the unit cannot latch.

    >>> layer = SpikingFlipFlop(1, 1)
    >>> with torch.no_grad():
    ...     _ = layer.weight_ih.copy_(torch.tensor([[1.5], [1.5]]))  # J = K: toggle
    >>> spikes, state = layer(torch.tensor([1.0, 0, 0, 1, 0, 0, 1, 1]).view(-1, 1, 1))
    >>> spikes.flatten().tolist()
    [0.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    """

    logit_beta: Tensor

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        beta: float = 0.5,
        threshold: float = 1.0,
        margin: float = 1.0,
        gating: float = 8.0,
        learn_beta: bool = False,
        recurrent: bool = False,
        bias: bool = True,
        spike_grad: Callable[[Tensor], Tensor] | None = None,
        init_hidden: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.input_size = size(input_size, "input_size")
        self.hidden_size = size(hidden_size, "hidden_size")
        unit = Unit(beta, threshold, margin, gating)
        self.threshold, self.margin, self.gating = unit.threshold, unit.margin, unit.gating
        self.spike_grad = surrogate.atan() if spike_grad is None else spike_grad
        if not callable(self.spike_grad):
            raise TypeError(
                "spike_grad must be a function from potential over threshold to spikes, like "
                f"snntorch.surrogate.atan(); got {spike_grad!r}."
            )
        self.init_hidden = init_hidden
        self.state: State | None = None
        """The state that `init_hidden` keeps; None before the first step and after `reset`."""

        def new(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.empty(shape, device=device, dtype=dtype))

        self.weight_ih = new(2 * hidden_size, input_size)
        self.weight_hh = new(2 * hidden_size, hidden_size) if recurrent else None
        self.bias = new(2 * hidden_size) if bias else None
        logit = torch.tensor(math.log(unit.beta / (1 - unit.beta)), device=device, dtype=dtype)
        if learn_beta:
            self.logit_beta = nn.Parameter(logit)
        else:
            self.register_buffer("logit_beta", logit)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all weights anew, from torch's generator; beta stays."""
        bound = self.threshold * min(1.0, math.sqrt(6 / self.input_size))
        nn.init.uniform_(self.weight_ih, -bound, bound)
        if self.weight_hh is not None:
            bound = self.threshold / math.sqrt(self.hidden_size)
            nn.init.uniform_(self.weight_hh, -bound, bound)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    @property
    def beta(self) -> Tensor:
        """Decay of the membranes per step."""
        return torch.sigmoid(self.logit_beta)

    @property
    def unit(self) -> Unit:
        """The circuit of a unit, at the present beta."""
        return Unit(float(self.beta.detach()), self.threshold, self.margin, self.gating)

    def holds(self) -> Tensor:
        """Which units hold either bit for ever without input: booleans, (H,).

        Those whose biases alone do not fire a gate: b_J and b_K at most (1 - beta) threshold.
        With recurrent weights currents also come from the other units; then this is said of a
        unit while the others are off.
        """
        if self.bias is None:
            return torch.ones(self.hidden_size, dtype=torch.bool, device=self.weight_ih.device)
        quiet = self.bias.detach() <= (1 - self.beta.detach()) * self.threshold
        return quiet.view(2, -1).all(0)

    def reset(self) -> None:
        """Forget the kept state: the next step starts with all bits 0, at rest."""
        self.state = None

    def initial(self, batch: int, bits: Tensor | None = None) -> State:
        """The state of units at rest: all bits 0, or these, 0 or 1, of shape (batch, H).

        ValueError for bits of another shape or value.
        """
        weight = self.weight_ih
        shape = (batch, self.hidden_size)
        if bits is None:
            bits = weight.new_zeros(shape)
        if tuple(bits.shape) != shape or not bool(((bits == 0) | (bits == 1)).all()):
            raise ValueError(f"bits must be 0 or 1, of shape {shape}; got {bits!r}.")
        on = bits.to(weight)[:, None]
        off = weight.new_tensor(self.unit.rest()).view(1, 4, 1)
        silent = weight.new_tensor([0.0, 0.0, 0.0, 1.0]).view(1, 4, 1)
        mirror = [1, 0, 3, 2]  # a unit that is on is one that is off, with the sides exchanged
        return State(
            on * off[:, mirror] + (1 - on) * off, on * silent[:, mirror] + (1 - on) * silent
        )

    def forward(self, input: Tensor, state: State | None = None) -> Any:
        """Run a sequence, (T, B, I) -> (T, B, H), or one step, (B, I) -> (B, H).

        state: after the step before; all bits 0 at rest if None. Not with init_hidden.

        Returns (spikes, state), or with init_hidden spikes alone; then the layer goes on from its
        own state until `reset`.
        ValueError for tensors of another shape, type or device, kept state included: it is never
        dropped in silence. TypeError for a state beside init_hidden.
        """
        self._check(input)
        x = input if input.dim() == 3 else input.unsqueeze(0)
        if self.init_hidden and state is not None:
            raise TypeError("with init_hidden the layer keeps its own state; pass none.")
        given = self.state if self.init_hidden else state
        start = self.initial(x.shape[1]) if given is None else self._fitting(given, x)
        spikes, end = self._run(x, start)
        spikes = spikes if input.dim() == 3 else spikes[0]
        if self.init_hidden:
            self.state = end
            return spikes
        return spikes, end

    def _run(self, x: Tensor, start: State) -> tuple[Tensor, State]:
        unit, beta = self.unit, self.beta
        synapses = x.new_tensor(unit.synapses() - self.threshold * np.eye(4))
        currents = nn.functional.linear(x, self.weight_ih, self.bias).view(*x.shape[:2], 2, -1)
        driven = torch.cat([currents, torch.full_like(currents, unit.drive)], dim=2)
        mem, before = start.mem, start.spk.detach()
        q = start.spk[:, 2]
        spikes = []
        for now in driven.unbind(0):
            # What the latch does is the circuit's; how it depends on the past, the equation's
            ungated = mem[:, :2] + (self.gating * before[:, 2:] - self.threshold)
            fired = self.spike_grad(ungated).to(x.dtype)
            expected = torch.addcmul(fired[:, 0], q, 1 - fired.sum(1))  # J (1 - q) + (1 - K) q
            mem = torch.addcmul(now + synapses @ before, beta, mem)
            if self.weight_hh is not None:
                fed = nn.functional.linear(q, self.weight_hh).view(len(q), 2, -1)
                mem = mem + nn.functional.pad(fed, (0, 0, 0, 2))
            before = (mem.detach() > self.threshold).to(x.dtype)
            q = before[:, 2] + (expected - expected.detach())
            spikes.append(q)
        spk = torch.cat([before[:, :2], q[:, None], before[:, 3:]], dim=1)
        return torch.stack(spikes), State(mem, spk)

    def _check(self, x: Tensor) -> None:
        weight = self.weight_ih
        if x.dim() not in (2, 3) or x.shape[-1] != self.input_size or 0 in x.shape[:-2]:
            raise ValueError(
                f"input must have shape (steps, batch, {self.input_size}) or, for one step, "
                f"(batch, {self.input_size}); got {tuple(x.shape)}."
            )
        if (x.dtype, x.device) != (weight.dtype, weight.device):
            raise ValueError(
                f"input must be {weight.dtype} on {weight.device}, as the layer is; "
                f"got {x.dtype} on {x.device}."
            )

    def _fitting(self, state: State, x: Tensor) -> State:
        expected = (x.shape[1], 4, self.hidden_size)
        for name, value in zip(State._fields, state, strict=True):
            found = (tuple(value.shape), value.dtype, value.device)
            if found != (expected, x.dtype, x.device):
                what = (
                    "the state kept from the last call does not fit; call reset() first:"
                    if self.init_hidden
                    else "state does not fit:"
                )
                raise ValueError(
                    f"{what} {name} must have shape {expected}, {x.dtype}, on {x.device}; "
                    f"got {found[0]}, {found[1]}, on {found[2]}."
                )
        return State(*state)

    def to_circuit(self, dt: float = 1 * ms) -> Circuit:
        """The layer as a circuit that sends the same spikes, of dt (s) a step.

        Populations "set", "reset", "Q", "Qbar" of hidden_size neurons, an input "in" of
        input_size sources. The spike of step t of the layer comes in step t + 1 of the circuit,
        where a synapse costs a step. See `neuroflip.spiking.to_circuit`.
        """
        from neuroflip.spiking.convert import to_circuit

        return to_circuit(self, dt)

    def __getstate__(self) -> dict[str, Any]:
        """Copies and pickles start without a kept state, which hangs on a graph."""
        return {**self.__dict__, "state": None}

    def extra_repr(self) -> str:
        return (
            f"{self.input_size}, {self.hidden_size}, beta={float(self.beta.detach()):g}, "
            f"threshold={self.threshold:g}, margin={self.margin:g}, gating={self.gating:g}, "
            f"learn_beta={isinstance(self.logit_beta, nn.Parameter)}, "
            f"recurrent={self.weight_hh is not None}, bias={self.bias is not None}, "
            f"init_hidden={self.init_hidden}"
        )


def reset(network: nn.Module) -> None:
    """Reset the kept state of every spiking layer within a network, and of no other.

    Those are `SpikingFlipFlop` and snnTorch's neurons. (`snntorch.utils.reset` knows only its own,
    and resets all those of a kind that live in the program.)
    """
    for module in network.modules():
        if isinstance(module, SpikingFlipFlop):
            module.reset()
        elif isinstance(module, SpikingNeuron) and hasattr(module, "reset_mem"):
            module.reset_mem()
