"""Negative controls: the two plasticity rules of the founding paper, as in its code, collapse.

Bhat & Kayathwal added "Hebbian" and "STDP" rules to a layer of flip-flop neurons that is trained by
gradients to draw a noisy curve for each of two classes, and found no gain. What their code does:

- "hebbian": a trace of gate times input, which only grows, is added to the weights at every time
  step, with the same sign for J and for K. Nothing bounds it: both gates open for good, J = K = 1.
- "random stdp": the times of the spikes are drawn at random, so they know nothing of the activity,
  and the windows, 20 wide, hold all of them. Weights of J rise and weights of K fall by 0.005
  at every time step: J = 1, K = 0.
- Both act inside the forward pass, and so in evaluation too.

So the layer forgets its input, and what is left to the readout is one constant curve. These are
no learning rules to use; `neuroflip.rules` has their working namesakes, Hebb and PairSTDP.

    python -m neuroflip.sims.negative_controls
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from neuroflip.errors import nearest
from neuroflip.rate import FlipFlop
from neuroflip.rate.gates import gate_of

CONTROLS = ("plain", "hebbian", "random stdp")
STEPS = 32
"""Time steps of a curve."""
NOISE = 0.05
"""Standard deviation of the noise on the curves."""


@dataclass(frozen=True)
class Result:
    """What became of one run.

    error: mean squared error on curves with new noise, in evaluation. floor: that of the noise
    alone. constant: that of the best constant. gates: mean J and mean K in evaluation. drift:
    largest change of a weight of the layer by that one evaluation.
    """

    control: str
    seed: int
    error: float
    floor: float
    constant: float
    gates: tuple[float, float]
    drift: float


class Model(nn.Module):
    """Classes (B,) -> curves (B, T), one time step after the other; `control` acts in each."""

    def __init__(self, control: str, units: int) -> None:
        super().__init__()
        self.control = control
        self.layer = FlipFlop(2, units, bias="single")
        self.readout = nn.Linear(units, 1)
        self.traces = [torch.zeros_like(w) for w in self._weights()]

    def _weights(self) -> list[Tensor]:
        return [self.layer.get_parameter(name) for name in ("weight_ih_l0", "weight_hh_l0")]

    def forward(self, classes: Tensor) -> tuple[Tensor, Tensor]:
        """Curves, and the gates [J, K] of every step (T, B, 2, units)."""
        x = nn.functional.one_hot(classes, 2).to(self.readout.weight.dtype)
        if self.control == "plain":
            states, _, gates = self.layer(x.expand(STEPS, -1, -1), return_gates=True)
            both = torch.stack([gates.j, gates.k], dim=2)
        else:
            states, both = self._in_turn(x)
        return self.readout(states)[..., 0].t(), both.detach()

    def _in_turn(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """As the layer, with the weights changed after every step, whatever the mode."""
        w_ih, w_hh = self._weights()
        bias = self.layer.get_parameter("bias_ih_l0")
        h = x.new_zeros(len(x), self.layer.hidden_size)
        states, both = [], []
        for _ in range(STEPS):
            z = nn.functional.linear(x, w_ih, bias) + h @ w_hh.t()
            gates = gate_of(z, self.layer.gate)
            if self.control == "hebbian":
                self._hebbian(gates.detach(), [x, h.detach()])
            else:
                self._random_stdp()
            j, k = gates.chunk(2, dim=-1)
            h = j * (1 - h) + (1 - k) * h
            states.append(h)
            both.append(gates.reshape(len(x), 2, -1))
        return torch.stack(states), torch.stack(both)

    def _hebbian(self, gates: Tensor, inputs: list[Tensor]) -> None:
        for weight, trace, given in zip(self._weights(), self.traces, inputs, strict=True):
            trace.add_(torch.outer(gates.mean(0), given.mean(0)), alpha=0.01).mul_(0.99)
            weight.data += trace  # behind the back of autograd, as there

    def _random_stdp(self) -> None:
        for weight in self._weights():
            pre, post = torch.rand(weight.shape[1]), torch.rand(len(weight) // 2)
            apart = post[:, None] - pre  # between -1 and 1
            j, k = weight.data.chunk(2)
            j += 0.01 * ((apart < 20) * pre).mean()
            k -= 0.01 * ((apart > -20) * post[:, None]).mean()


def negative_control(
    control: str = "random stdp", seed: int = 0, updates: int = 300, units: int = 64
) -> Result:
    """Train one model on two curves of 64 noisy copies each.

    control: "plain", without a rule; "hebbian"; "random stdp". updates: steps of Adam, rate 0.01,
    on 16 curves each. Raises ValueError for an unknown control.

    The curves are sines of random amplitude (0.5 to 1) and frequency (1 to 3), the second class
    with half as much of the octave.

    >>> negative_control("hebian")
    Traceback (most recent call last):
        ...
    ValueError: unknown control 'hebian'; did you mean 'hebbian'?
    """
    if control not in CONTROLS:
        raise ValueError(f"unknown control {control!r}; {nearest(str(control), CONTROLS)}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        curves = _curves()
        classes = torch.arange(2).repeat_interleave(64)
        noisy = curves[classes] + NOISE * torch.randn(128, STEPS)
        model = Model(control, units)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        for update in range(updates):
            if update % 8 == 0:
                batches = torch.randperm(128).reshape(8, 16)
            chosen = batches[update % 8]
            loss = nn.functional.mse_loss(model(classes[chosen])[0], noisy[chosen])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        return _evaluated(model, seed, classes, curves)


def _curves() -> Tensor:
    """The two curves without noise, (2, T)."""
    (a, b), (f, g) = 0.5 + 0.5 * torch.rand(2), 1 + 2 * torch.rand(2)
    t = torch.linspace(0, 5, STEPS)
    return torch.stack([a * (f * t).sin(), b * ((g * t).sin() + 0.5 * (2 * g * t).sin())])


@torch.no_grad()
def _evaluated(model: Model, seed: int, classes: Tensor, curves: Tensor) -> Result:
    model.eval()
    before = [w.clone() for w in model._weights()]
    drawn, gates = model(classes)
    moved = [(w - old).abs().max() for w, old in zip(model._weights(), before, strict=True)]
    targets = curves[classes] + NOISE * torch.randn(128, STEPS)
    j, k = gates.mean(dim=(0, 1, 3)).tolist()
    return Result(
        model.control,
        seed,
        float((drawn - targets).square().mean()),
        NOISE**2,
        float(targets.var(unbiased=False)),
        (j, k),
        float(max(moved)),
    )


def main(seeds: int = 5, **given: Any) -> None:
    """Train with each control at several seeds, and print errors as mean and spread."""
    print("control       error            of the best constant   J      K      drift in evaluation")
    for control in CONTROLS:
        found = [negative_control(control, seed, **given) for seed in range(seeds)]
        errors = np.array([r.error for r in found])
        shares = errors / [r.constant for r in found]
        j, k = np.mean([r.gates for r in found], axis=0)
        drift = max(r.drift for r in found)
        print(
            f"{control:<14}{errors.mean():.4f} +- {errors.std():.4f} {shares.mean():10.3f}"
            f"{j:20.3f}{k:7.3f}{drift:10.3g}"
        )


if __name__ == "__main__":
    torch.set_num_threads(1)  # arrays this small gain nothing from threads
    main()
