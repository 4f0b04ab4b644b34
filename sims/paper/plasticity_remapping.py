"""A changed mapping, learnt while the net runs: which local rule adapts, and how fast?

A flip-flop layer learns by gradients to answer pairs of cues, of which the first must be kept over
a delay (`neuroflip.tasks.cue_pairs`), under several mappings at once, each with a readout of its
own. Then all weights of the layer stand still, the first readout goes on alone, the mapping from
stimuli to responses changes, unannounced, block after block, and trials come one by one. What may
still change is that readout, by a rule of `neuroflip.rules`:

    none           nothing learns
    delta          Delta: it is told the right response after each trial
    three-factor   PES, with the error (output - reward) of the response chosen and 0 of the others:
                   it is told right or wrong alone, 1 or 0, so that outputs become expected rewards
                   (Rescorla & Wagner 1972, Classical Conditioning II, 64); the choice is a softmax
    backprop       for comparison: a gradient step of the whole net after each trial, told the
                   right response
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from neuroflip import rules
from neuroflip.errors import nearest
from neuroflip.sims.paper.models import Sequential
from neuroflip.tasks.remapping import cue_pairs, mappings

LEARNERS: dict[str, tuple[float, ...]] = {
    "none": (0.0,),
    "delta": (0.01, 0.03, 0.1),
    "three-factor": (0.01, 0.03, 0.1),
    "backprop": (0.1,),
}
"""By name: the rates tried. All are reported."""
NETS = ("FlipFlop", "LSTM")
TEMPERATURE = 0.2
"""Of the choice among responses where right or wrong is all that is told; outputs are about 0 and
1 after training."""


@dataclass(frozen=True)
class Config:
    """The task and the training. heads: mappings learnt by gradients; blocks: changes of the
    mapping after that; trials: of a block; last: how many at its end its accuracy is of."""

    cues: int = 3
    responses: int = 3
    heads: int = 6
    delay: int = 4
    noise: float = 0.1
    units: int = 32
    updates: int = 300
    batch: int = 32
    learning_rate: float = 1e-2
    blocks: int = 3
    trials: int = 300
    last: int = 100


def pretrain(kind: str, seed: int, config: Config) -> tuple[Sequential, Tensor, torch.Generator]:
    """A net that knows the first mapping, all mappings (blocks + 1, stimuli), and the generator
    of trials to come."""
    trials, drawn = (torch.Generator().manual_seed(seed) for _ in range(2))
    sizes = (config.cues**2, config.responses)
    asked = mappings(config.blocks + 1, *sizes, generator=drawn)
    others = [mappings(1, *sizes, generator=drawn)[0] for _ in range(config.heads - 1)]
    learnt = torch.stack([asked[0], *others], dim=1)  # (stimuli, heads)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = Sequential(kind, 2 * config.cues, config.units, config.responses)
        heads = nn.Linear(config.units, config.responses * (config.heads - 1))
    optimizer = torch.optim.Adam([*net.parameters(), *heads.parameters()], lr=config.learning_rate)
    for _ in range(config.updates):
        inputs, stimulus = _shown(config, config.batch, trials)
        state = net.layer(inputs)[0][:, -1]
        said = torch.cat([net.readout(state), heads(state)], dim=1)
        loss = _loss(said.reshape(-1, config.responses), learnt[stimulus].flatten())
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
    return net, asked, trials


def _loss(said: Tensor, target: Tensor) -> Tensor:
    """Half the squared error, whose gradient the delta rule follows."""
    wanted = nn.functional.one_hot(target, said.shape[1]).to(said.dtype)
    return (said - wanted).square().sum(1).mean() / 2


def _shown(config: Config, trials: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    inputs, stimulus = cue_pairs(
        trials, config.cues, config.delay, config.noise, generator=generator
    )
    return inputs.transpose(0, 1), stimulus


def adapt(kind: str = "FlipFlop", seed: int = 0, config: Config | None = None) -> dict[str, Any]:
    """Train a net on the first mapping, then let each learner, from there, adapt to the others.

    First weights, mappings and trials depend on `seed` alone, so that all learners meet the same.

    Returns {"net", "seed", "before": accuracy on the first mapping, on 500 new trials, "learners":
    a list of {"learner", "rate", "accuracy": mean over the blocks of the share of right answers in
    the last trials of a block, "after_change": the same in its first ten}}.

    ValueError for an unknown net.

    >>> found = adapt(config=Config(updates=2, blocks=1, trials=10, last=5))
    >>> [each["learner"] for each in found["learners"][:2]]
    ['none', 'delta']
    >>> adapt("FlipFlip")
    Traceback (most recent call last):
        ...
    ValueError: unknown net 'FlipFlip'; did you mean 'FlipFlop'?
    """
    config = config or Config()
    if kind not in NETS:
        raise ValueError(f"unknown net {kind!r}; {nearest(str(kind), NETS)}")
    net, asked, trials = pretrain(kind, seed, config)
    with torch.no_grad():
        inputs, stimulus = _shown(config, 500, trials)
        before = float((net(inputs)[:, -1].argmax(1) == asked[0, stimulus]).double().mean())
        inputs, stimulus = _shown(config, config.blocks * config.trials, trials)
    learnt = {name: value.clone() for name, value in net.state_dict().items()}
    targets = torch.cat(
        [asked[1 + i, s] for i, s in enumerate(stimulus.reshape(config.blocks, -1))]
    )
    found = []
    for learner, rates in LEARNERS.items():
        for rate in rates:
            net.load_state_dict(learnt)
            draws = torch.Generator().manual_seed(seed)
            right = _online(net, learner, rate, inputs, targets, draws)
            blocks = right.double().reshape(config.blocks, config.trials)
            found.append(
                {
                    "learner": learner,
                    "rate": rate,
                    "accuracy": float(blocks[:, -config.last :].mean()),
                    "after_change": float(blocks[:, :10].mean()),
                }
            )
    return {
        "net": kind,
        "seed": seed,
        "before": before,
        "learners": found,
    }


def _online(
    net: Sequential,
    learner: str,
    rate: float,
    inputs: Tensor,
    targets: Tensor,
    draws: torch.Generator,
) -> Tensor:
    """Whether each trial was answered rightly, (trials,), while the net learns from them."""
    if learner == "backprop":
        return _by_gradient(net, rate, inputs, targets)
    with torch.no_grad():
        states = net.layer(inputs)[0][:, -1]  # the layer stands still
    readout = net.readout
    if learner == "none":
        with torch.no_grad():
            said: Tensor = readout(states)
            return said.argmax(1) == targets
    rule = rules.Delta(rate=rate) if learner == "delta" else rules.PES(rate=rate)
    # The bias as a synapse from an input that is always 1
    layer = nn.Linear(readout.in_features + 1, readout.out_features, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.cat([readout.weight, readout.bias.unsqueeze(1)], dim=1))
        states = torch.cat([states, torch.ones(len(states), 1)], dim=1)
    attached = rules.attach(layer, rule, merge="replace")
    right = []
    with torch.no_grad():
        for state, target in zip(states.unsqueeze(1), targets, strict=True):
            said = layer.weight @ state[0]
            one_hot = nn.functional.one_hot(target, len(said)).to(said.dtype)
            if learner == "delta":
                chosen = int(said.argmax())
                attached.signals["target"] = one_hot.unsqueeze(0)
            else:
                share = (said / TEMPERATURE).softmax(0)
                chosen = int(torch.multinomial(share, 1, generator=draws))
                reward = float(chosen == int(target))
                taken = nn.functional.one_hot(torch.tensor(chosen), len(said)).to(said.dtype)
                attached.signals["error"] = ((said - reward) * taken).unsqueeze(0)
            layer(state)  # the rule hears this one
            attached.step()
            right.append(chosen == int(target))
    attached.remove()
    return torch.tensor(right)


def _by_gradient(net: Sequential, rate: float, inputs: Tensor, targets: Tensor) -> Tensor:
    optimizer = torch.optim.SGD(net.parameters(), lr=rate)
    right = []
    for sequence, target in zip(inputs.unsqueeze(1), targets.unsqueeze(1), strict=True):
        said = net(sequence)[:, -1]
        right.append(bool(said.argmax() == target))
        loss = _loss(said, target)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return torch.tensor(right)
