"""Pairs shown once and asked for by a cue: what a plastic readout adds to a layer with a state.

Every trial has new pairs (`neuroflip.tasks.paired_associates`), so that weights from training
cannot know them. Two experiments:

- `train`: a recurrent layer and a readout learn the task by gradients, with or without an
  associative memory A beside the readout's weights, y = (W + gain A) u, u the centred states.
  A is 0 at the start of each trial and learns from each pair shown, u with its value v (one-hot,
  centred), by

      hebb   A += v u^T
      trace  A += eta (v u^T - A)            (Miconi, Clune & Stanley 2018, eq. 2)
      delta  A += eta (v - A u) u^T/(u^T u)

  gain and eta are trained with the rest; at the test A alone changes, and no gradient is taken.
- `one_shot`: no gradient at all. An untrained flip-flop layer turns keys into states, and a
  readout that starts at 0 learns by a rule of `neuroflip.rules`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from neuroflip import rules
from neuroflip.errors import nearest
from neuroflip.rate import FlipFlopCell
from neuroflip.rules.rule import Rule
from neuroflip.sims.paper.models import count, recurrent
from neuroflip.tasks.association import Associations, paired_associates

MEMORIES = ("none", "hebb", "trace", "delta")
NETS: dict[str, tuple[str, int, str]] = {
    "FlipFlop": ("FlipFlop", 32, "none"),
    "FlipFlop + hebb": ("FlipFlop", 32, "hebb"),
    "FlipFlop + trace": ("FlipFlop", 32, "trace"),
    "FlipFlop + delta": ("FlipFlop", 32, "delta"),
    "LSTM": ("LSTM", 32, "none"),
    "LSTM, large": ("LSTM", 80, "none"),
    "LSTM + delta": ("LSTM", 32, "delta"),
}
"""By name: layer, units, memory. The large LSTM keeps as many numbers from step to step, 160, as
the flip-flop layer with its memory (32 states and 32 x 4 weights)."""
FLIPPED = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3)
ERASED = (0.0, 0.25, 0.5, 0.75)
LOADS = (2, 4, 8, 16)
ONE_SHOT: dict[str, Callable[[int], Rule] | None] = {
    "none": None,
    "Hebb": lambda units: rules.Hebb(rate=1 / units, w_min=-1e6, w_max=1e6),
    "Oja": lambda units: rules.Oja(rate=0.5),
    "Delta": lambda units: rules.Delta(rate=1 / units),
}
"""Rules by name, for a number of features. At 1/units one presentation leaves Delta no error, and
the scale of Hebb's weights changes no answer."""
FEATURES = ("states", "keys")
Tests = dict[str, Any]


@dataclass(frozen=True)
class Config:
    """The task and the training. flipped: share of wrong elements of the cues in training; tested:
    trials of each test."""

    pairs: int = 8
    key_size: int = 16
    values: int = 4
    flipped: float = 0.05
    updates: int = 800
    batch: int = 64
    learning_rate: float = 5e-3
    tested: int = 500


class AssociativeNet(nn.Module):
    """Inputs (T, B, key_size + values) -> scores (T, B, values); at recall with the memory.

    kind, units: of the recurrent layer. memory: a word of MEMORIES.
    """

    def __init__(self, kind: str, units: int, memory: str, config: Config) -> None:
        super().__init__()
        if memory not in MEMORIES:
            raise ValueError(f"unknown memory {memory!r}; {nearest(str(memory), MEMORIES)}")
        self.memory, self.config = memory, config
        self.layer = recurrent(kind, config.key_size + config.values, units)
        self.readout = nn.Linear(units, config.values)
        # States of flip-flops lie in [0, 1], those of an LSTM in [-1, 1]
        self.middle = 0.5 if kind.startswith("FlipFlop") else 0.0
        if memory != "none":
            self.log_gain = nn.Parameter(torch.zeros(()))
            self.eta = nn.Parameter(torch.zeros(()))

    def forward(self, inputs: Tensor) -> Tensor:
        """The scores of the recall steps, (pairs, B, values)."""
        pairs = len(inputs) // 2
        states = self.layer(inputs.transpose(0, 1))[0].transpose(0, 1)
        scores: Tensor = self.readout(states[pairs:])
        if self.memory == "none":
            return scores
        features = states - self.middle
        learnt = self.write(features[:pairs], inputs[:pairs, :, self.config.key_size :])
        return scores + self.log_gain.exp() * torch.einsum("bvh,tbh->tbv", learnt, features[pairs:])

    def write(self, features: Tensor, shown: Tensor) -> Tensor:
        """A after all pairs: (B, values, units) from features (pairs, B, units) and values
        (pairs, B, values)."""
        centred = shown - 1 / shown.shape[2]
        if self.memory == "hebb":
            return torch.einsum("tbv,tbh->bvh", centred, features)
        eta = torch.sigmoid(self.eta)
        learnt = features.new_zeros(features.shape[1], shown.shape[2], features.shape[2])
        for u, v in zip(features, centred, strict=True):
            row, column = u.unsqueeze(1), v.unsqueeze(2)
            if self.memory == "trace":
                learnt = learnt + eta * (column * row - learnt)
            else:
                error = column - learnt @ u.unsqueeze(2)
                power = (u * u).sum(1).clamp(min=1e-6)[:, None, None]
                learnt = learnt + eta * error * row / power
        return learnt


def train(name: str = "FlipFlop", seed: int = 0, config: Config | None = None) -> dict[str, Any]:
    """Train one net of NETS by Adam, a cosine of the learning rate, new trials in each update.

    First weights and trials depend on `seed` alone; tests are the same for all nets.

    Returns {"net", "seed", "parameters", "accuracy": share of cues answered rightly on new trials
    as in training, "by_flipped", "by_erased", "by_pairs": the same by the share of flipped or
    erased elements of the cues, by the number of pairs, "silenced": accuracy with the memory held
    at 0, "loss": last training loss}.

    ValueError for an unknown net.

    >>> found = train("FlipFlop + hebb", config=Config(updates=2, batch=4, tested=8))
    >>> 0 <= found["accuracy"] <= 1
    True
    >>> train("FlipFlop + heb")
    Traceback (most recent call last):
        ...
    ValueError: unknown net 'FlipFlop + heb'; did you mean 'FlipFlop + hebb'?
    """
    config = config or Config()
    if name not in NETS:
        raise ValueError(f"unknown net {name!r}; {nearest(str(name), NETS)}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = AssociativeNet(*NETS[name], config)
    trials = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(net.parameters(), lr=config.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, config.updates)
    loss = torch.full((), math.nan)
    for _ in range(config.updates):
        given = _trials(config, config.batch, trials, flipped=config.flipped)
        loss = nn.functional.cross_entropy(net(given.inputs).flatten(0, 1), given.targets.flatten())
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    found = {
        "net": name,
        "seed": seed,
        "parameters": count(net),
        **_tests(lambda trial, flipped: net(trial.inputs), config, seed),
        "silenced": None,
        "loss": round(float(loss.detach()), 4),
    }
    if net.memory != "none":
        net.memory = "none"
        given = _trials(config, config.tested, _held_out(seed), flipped=config.flipped)
        found["silenced"] = _share(net(given.inputs), given)
    return found


def _trials(config: Config, trials: int, generator: torch.Generator, **given: Any) -> Associations:
    sizes = {"pairs": config.pairs, "key_size": config.key_size, "values": config.values}
    return paired_associates(trials=trials, **(sizes | given), generator=generator)


def _held_out(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(1_000_000 + seed)


def _share(scores: Tensor, trial: Associations) -> float:
    return float((scores.argmax(2) == trial.targets).double().mean())


@torch.no_grad()
def _tests(answer: Callable[[Associations, float], Tensor], config: Config, seed: int) -> Tests:
    """Accuracy on new trials, by what is done to the cues and by load. answer: scores from a trial
    and the share of flipped elements."""
    generator = _held_out(seed)

    def share(flipped: float = config.flipped, **given: Any) -> float:
        trial = _trials(config, config.tested, generator, flipped=flipped, **given)
        return _share(answer(trial, flipped), trial)

    return {
        "accuracy": share(),
        "by_flipped": {str(p): share(flipped=p) for p in FLIPPED},
        "by_erased": {str(p): share(flipped=0.0, erased=p) for p in ERASED},
        "by_pairs": {str(n): share(pairs=n) for n in LOADS},
    }


def ideal(trial: Associations, key_size: int, flipped: float) -> Tensor:
    """The best answer to a cue by itself: the posterior of each value, (pairs, B, values).

    By the likelihood of the cue under each key shown, whose elements are flipped with probability
    `flipped`, or erased. That each key comes once is not used.
    """
    pairs = len(trial.inputs) // 2
    keys, cues = trial.inputs[:pairs, :, :key_size], trial.inputs[pairs:, :, :key_size]
    agree = torch.einsum("cbk,pbk->cbp", cues, keys)  # right minus wrong elements
    share = min(max(flipped, 1e-6), 0.5)
    posterior = (agree / 2 * math.log((1 - share) / share)).softmax(2)
    return torch.einsum("cbp,pbv->cbv", posterior, trial.inputs[:pairs, :, key_size:])


def ideal_observer(seed: int = 0, config: Config | None = None) -> dict[str, Any]:
    """What `ideal` reaches on the tests of `train`: no net does better, but for chance."""
    config = config or Config()
    found = _tests(lambda trial, p: ideal(trial, config.key_size, p), config, seed)
    return {"net": "ideal observer", "seed": seed, **found}


def one_shot(
    rule: str = "Delta",
    seed: int = 0,
    config: Config | None = None,
    units: int = 32,
    features: str = "states",
) -> dict[str, Any]:
    """Learn pairs by a rule alone: neither the layer nor the readout has seen a gradient.

    rule: a word of ONE_SHOT. features: "states", those of an untrained flip-flop cell one step
    after rest, minus 1/2, scaled to a mean square of 1; or "keys" themselves, for the linear
    associator of which theory speaks. The output is clamped to the centred value while a pair is
    shown (to the value itself for Oja); Delta takes it as its target.

    Returns {"net": the rule, "seed", and the tests of `train`}. ValueError for an unknown word.

    >>> one_shot("none", config=Config(tested=50))["by_pairs"].keys()
    dict_keys(['2', '4', '8', '16'])
    """
    config = config or Config()
    for what, word, words in (("rule", rule, ONE_SHOT), ("features", features, FEATURES)):
        if word not in words:
            raise ValueError(f"unknown {what} {word!r}; {nearest(str(word), words)}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        cell = FlipFlopCell(config.key_size, units, bias=False)
    make = ONE_SHOT[rule]

    def seen(keys: Tensor) -> Any:
        if features == "keys":
            return keys
        centred = cell(keys.flatten(0, -2)).reshape(*keys.shape[:-1], units) - 0.5
        power: Tensor = centred.square().mean(-1, keepdim=True)
        return centred / power.sqrt().clamp(min=1e-6)

    def answer(trial: Associations, flipped: float) -> Tensor:
        pairs = len(trial.inputs) // 2
        u = seen(trial.inputs[..., : config.key_size])
        values = trial.inputs[:pairs, :, config.key_size :]
        if make is None:
            return torch.zeros(pairs, u.shape[1], config.values)
        learnt = _learnt(make(u.shape[2]), u[:pairs], values)
        return torch.einsum("bvh,tbh->tbv", learnt, u[pairs:])

    return {"net": rule, "seed": seed, **_tests(answer, config, seed)}


def _learnt(rule: Rule, features: Tensor, values: Tensor) -> Tensor:
    """The readout's weights of every trial, (B, values, units), after all pairs."""
    layer, post = nn.Linear(features.shape[2], values.shape[2], bias=False), nn.Identity()
    nn.init.zeros_(layer.weight)
    learner = rules.attach(layer, rule, post=post, merge="replace", reduction="none")
    centred = values if isinstance(rule, rules.Oja) else values - 1 / values.shape[2]
    for u, v in zip(features, centred, strict=True):
        layer(u)
        if "target" in learner.signals:
            learner.signals["target"] = v
            post((learner.weight @ u.unsqueeze(2))[..., 0])
        else:
            post(v)
    learnt = learner.weight
    learner.remove()
    return learnt
