"""The paper's own task, with plasticity rules beside, within or in place of backprop.

A layer of flip-flop neurons draws one noisy curve for each of two classes (learning_rules/exp_2 of
Bhat & Kayathwal: 64 copies of each, 64 steps, 64 units, first weights as published). On its
recurrent weights acts a rule of `neuroflip.rules`, or one of the two rules of the authors' code
(`sims/negative_controls.py`).

Rate rules see the states before a step and the gates after it. Rules on spikes see spikes drawn
from them, Bernoulli with `PEAK` Hz at activity 1, in steps of `STEP`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from neuroflip import rules
from neuroflip.errors import nearest
from neuroflip.rate import FlipFlop
from neuroflip.rate.gates import gate_of
from neuroflip.rules.rule import Rule
from neuroflip.sims import negative_controls
from neuroflip.sims.paper.experiments import data as experiment_data
from neuroflip.sims.paper.experiments import setting
from neuroflip.sims.paper.harness import Data
from neuroflip.sims.paper.measures import thinned
from neuroflip.tasks.signals import curves
from neuroflip.units import Hz, ms

STEP = 10 * ms
"""What one step of a curve lasts for spikes (s)."""
PEAK = 40 * Hz
"""Firing rate at activity 1."""
BOUND = 5.0
"""Recurrent weights stay within -BOUND and BOUND under the bounded rules."""
_FREE = 1e6  # a bound that nothing reaches


def _pair(rate: float) -> Rule:
    return rules.PairSTDP(
        a_plus=rate, a_minus=1.05 * rate, mu_plus=1.0, mu_minus=1.0, w_min=-BOUND, w_max=BOUND
    )


def _additive(rate: float) -> Rule:
    share = rate * BOUND / _FREE  # steps as large as with the bounds of `_pair`
    return rules.PairSTDP(a_plus=share, a_minus=1.05 * share, w_min=-_FREE, w_max=_FREE)


def _triplet(rate: float) -> Rule:
    published = rules.TripletSTDP.preset("visual_all_minimal", w_min=-BOUND, w_max=BOUND)
    scale = rate / published.a2_minus
    return replace(published, a3_plus=scale * published.a3_plus, a2_minus=rate)


RULES: dict[str, tuple[Callable[[float], Rule], float]] = {
    "hebb naive": (lambda rate: rules.Hebb(rate=rate, w_min=-_FREE, w_max=_FREE), 3e-5),
    "hebb bounded": (
        lambda rate: rules.Hebb(rate=rate, decay=16 * rate, w_min=-BOUND, w_max=BOUND),
        1e-6,
    ),
    "oja": (lambda rate: rules.Oja(rate=rate, w_scale=1 / 16), 3e-5),
    "bcm": (lambda rate: rules.BCM(rate=rate, tau_theta=10.0, target=0.5), 3e-5),
    "pair stdp": (_pair, 3e-5),
    "triplet stdp": (_triplet, 3e-6),
    "additive stdp": (_additive, 3e-5),
}
"""By name: the rule at a rate, and the rate used unless another is asked for."""
CONTROLS = negative_controls.CONTROLS[1:]
MODES = ("replace", "gradient", "after_step")
SPIKES = ("real", "random")


@dataclass(frozen=True)
class Config:
    """How a net is trained, by Adam with a learning rate that falls to 0 along a cosine: a fifth of
    the paper's 1000 epochs, at a higher rate, which gets as far. every: the rule listens to one
    batch of so many."""

    epochs: int = 200
    learning_rate: float = 0.02
    every: int = 40
    units: int = 64
    steps: int = 64
    as_published: bool = False
    """The curves of seed 42, a constant learning rate, gradients not clipped."""


AS_PUBLISHED = Config(epochs=1000, learning_rate=1e-3, as_published=True)


class _Synapses(nn.Module):
    """What `rules.attach` listens to: the recurrent weights, fed with activity step by step."""

    def __init__(self, weight: nn.Parameter) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, pre: Tensor) -> Tensor:
        return pre


class _Model(negative_controls.Model):
    """As its base, for any number of steps, from the paper's first weights."""

    def __init__(self, control: str, config: Config) -> None:
        super().__init__(control, config.units)
        self.steps = config.steps
        self.layer = FlipFlop(2, config.units, bias="single", init="published")

    def activity(self, classes: Tensor) -> tuple[Tensor, Tensor]:
        """States (T, B, H) and gates (T, B, 2 H)."""
        x = nn.functional.one_hot(classes, 2).to(self.readout.weight.dtype)
        if self.control not in CONTROLS:
            states, _, gates = self.layer(x.expand(self.steps, -1, -1), return_gates=True)
            return states, torch.cat([gates.j, gates.k], dim=2)
        w_ih, w_hh = self._weights()
        h, found = x.new_zeros(len(x), self.layer.hidden_size), []
        for _ in range(self.steps):
            z = nn.functional.linear(x, w_ih, self.layer.get_parameter("bias_ih_l0")) + h @ w_hh.t()
            both = gate_of(z, self.layer.gate)
            if self.control == "hebbian":
                self._hebbian(both.detach(), [x, h.detach()])
            else:
                self._random_stdp()
            j, k = both.chunk(2, dim=-1)
            h = j * (1 - h) + (1 - k) * h
            found.append((h, both))
        states, gates = zip(*found, strict=True)
        return torch.stack(states), torch.stack(gates)

    def forward(self, classes: Tensor) -> tuple[Tensor, Tensor]:
        """Curves (B, T), and the gates [J, K] of every step (T, classes there are, 2, H)."""
        wanted, which = torch.unique(
            classes, return_inverse=True
        )  # the copies of a class are alike
        states, gates = self.activity(wanted)
        drawn: Tensor = self.readout(states)[..., 0].t()
        return drawn[which], gates.detach().reshape(*gates.shape[:2], 2, -1)


class _Listener:
    """A rule at work on the recurrent weights of a model."""

    def __init__(
        self, model: _Model, rule: Rule, mode: str, spikes: str, every: int, seed: int
    ) -> None:
        self.model, self.merge, self.spikes, self.every = model, mode, spikes, every
        self.binary = getattr(rule, "activity", None) is None
        weight = model.layer.get_parameter("weight_hh_l0")
        self.synapses, self.post = _Synapses(weight), nn.Identity()
        dt = STEP if self.binary else 1.0
        self.learner = rules.attach(self.synapses, rule, post=self.post, merge=mode, dt=dt)
        self.generator = torch.Generator().manual_seed(seed)
        self.moved, self.batches = torch.zeros_like(weight), 0

    @torch.no_grad()
    def hear(self, classes: Tensor) -> bool:
        """One trial of each class, from the activity of the net; whether this batch is heard."""
        self.batches += 1
        if (self.batches - 1) % self.every:
            return False
        states, gates = self.model.activity(classes)
        before = torch.cat([torch.zeros_like(states[:1]), states[:-1]])
        self.learner.reset()
        for pre, post in zip(self._sent(before), self._sent(gates), strict=True):
            self.synapses(pre)
            self.post(post)
        self.moved += self.learner.change
        return True

    def _sent(self, activity: Tensor) -> Tensor:
        if not self.binary:
            return activity
        if self.spikes == "random":  # as many spikes, which know nothing of the activity
            activity = torch.full_like(activity, float(activity.mean()))
        chance = PEAK * STEP * activity.clamp(0, 1)  # states may leave [0, 1] by rounding
        return torch.bernoulli(chance, generator=self.generator)


def train(
    condition: str = "plain",
    mode: str = "after_step",
    seed: int = 0,
    rate: float | None = None,
    spikes: str = "real",
    config: Config | None = None,
) -> dict[str, Any]:
    """Train one net; curves, first weights and batches depend on `seed` alone.

    condition: "plain"; "frozen", the recurrent weights stay as drawn; a name of RULES; or of
        CONTROLS, the authors' rules. mode: how the rule's change comes in, see `rules.attach`;
        "replace" leaves the recurrent weights to the rule alone. spikes: "random" draws them at the
        mean rate, whatever the net does.

    Returns {"condition", "mode", "rate", "spikes", "seed", "error": mean squared error expected
    on curves with new noise, "constant": that of the best constant, "ratio": error over the noise
    floor, "gates": mean J and K, "saturated": share of gates within 0.01 of 0 or 1, "largest":
    the largest recurrent weight, "moved": what the rule changed a recurrent weight by in all, root
    mean square, "losses": training losses of some epochs, "epochs": which}.

    ValueError for an unknown word.

    >>> train("oja", config=Config(epochs=1, steps=4, units=4))["condition"]
    'oja'
    >>> train("ojja")
    Traceback (most recent call last):
        ...
    ValueError: unknown condition 'ojja'; did you mean 'oja'?
    """
    config = config or Config()
    known = ("plain", "frozen", *RULES, *CONTROLS)
    for what, word, words in (
        ("condition", condition, known),
        ("mode", mode, MODES),
        ("spikes", spikes, SPIKES),
    ):
        if word not in words:
            raise ValueError(f"unknown {what} {word!r}; {nearest(str(word), words)}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        given = replace(setting("learning_rules/exp_2"), steps=config.steps)
        drawn = curves(given.curve, config.steps, seed=42 if config.as_published else seed).t()
        data, _ = experiment_data(given, seed, config.as_published)
        model = _Model(condition if condition in CONTROLS else "plain", config)
        listener = None
        if condition in RULES:
            make, usual = RULES[condition]
            rate = usual if rate is None else rate
            listener = _Listener(model, make(rate), mode, spikes, config.every, seed)
        if condition == "frozen":
            model.layer.get_parameter("weight_hh_l0").requires_grad_(False)
        order = torch.Generator().manual_seed(seed)  # the controls draw from torch's own
        losses: list[float] = []
        optimizer = torch.optim.Adam(
            [p for p in model.parameters() if p.requires_grad], lr=config.learning_rate, fused=True
        )
        falls = [] if config.as_published else [
            torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, config.epochs)
        ]  # fmt: skip
        clip = float("inf") if config.as_published else 1.0
        for _ in range(config.epochs):
            shuffled = torch.randperm(len(data.inputs), generator=order)
            batches = torch.split(shuffled, given.batch_size)
            losses.append(_epoch(model, optimizer, listener, data, batches, clip))
            for schedule in falls:
                schedule.step()
        found = _evaluated(model, drawn, given.floor)
    if listener is not None:
        listener.learner.remove()
    kept = thinned(config.epochs, 40)
    return {
        "condition": condition,
        "mode": mode if condition in RULES else None,
        "rate": rate if condition in RULES else None,
        "spikes": spikes if listener is not None and listener.binary else None,
        "seed": seed,
        **found,
        "moved": None if listener is None else float(listener.moved.square().mean().sqrt()),
        "losses": [float(f"{losses[i]:.4g}") for i in kept],
        "epochs": [i + 1 for i in kept],
    }


def _epoch(
    model: _Model,
    optimizer: torch.optim.Optimizer,
    listener: _Listener | None,
    data: Data,
    batches: Sequence[Tensor],
    clip: float,
) -> float:
    """The mean loss."""
    losses = []
    for chosen in batches:
        said = model(data.inputs[chosen])[0]
        loss = nn.functional.mse_loss(said, data.targets[chosen, :, 0])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), clip)
        heard = listener is not None and listener.hear(torch.unique(data.inputs[chosen]))
        if listener is not None and heard and listener.merge == "gradient":
            listener.learner.step()
        optimizer.step()
        if listener is not None and heard and listener.merge != "gradient":
            listener.learner.step()
        losses.append(float(loss.detach()))
    return sum(losses) / len(losses)


@torch.no_grad()
def _evaluated(model: _Model, drawn: Tensor, floor: float) -> dict[str, Any]:
    said, gates = model(torch.arange(2))
    error = float((said - drawn).square().mean()) + floor
    j, k = gates.mean(dim=(0, 1, 3)).tolist()
    return {
        "error": error,
        "constant": float(drawn.var(unbiased=False)) + floor,
        "ratio": error / floor,
        "gates": [round(j, 4), round(k, 4)],
        "saturated": float(((gates < 0.01) | (gates > 0.99)).float().mean()),
        "largest": float(model.layer.get_parameter("weight_hh_l0").abs().max()),
    }
