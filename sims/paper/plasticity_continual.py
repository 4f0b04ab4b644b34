"""Five tasks one after the other: what is forgotten, with and without a rule or a projection.

The tasks are `neuroflip.tasks.PermutedPatterns`: the same classes and outputs, inputs permuted
anew in each task. A recurrent layer reads a pattern, its last state is read out. Methods:

    FlipFlop, LSTM        backprop on every task in turn, Adam
    FlipFlop + oja        the same, with Oja's rule on the recurrent weights after each step
    FlipFlop + projection the same, with every step of the optimizer projected away from the
                          directions that the inputs of a weight had in earlier tasks (orthogonal
                          weights modification; Zeng, Chen, Cui & Yu 2019, Nat. Mach. Intell. 1:364)
    random FlipFlop + delta   an untrained layer; the readout learns by the rule Delta
    random FlipFlop + RLS     the same by RLS, whose matrix is such a projection
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from neuroflip import rules
from neuroflip.errors import nearest
from neuroflip.sims.paper.models import Sequential
from neuroflip.tasks.continual import PermutedPatterns, average_accuracy, forgetting

METHODS = (
    "FlipFlop",
    "LSTM",
    "FlipFlop + oja",
    "FlipFlop + projection",
    "random FlipFlop + delta",
    "random FlipFlop + RLS",
)


@dataclass(frozen=True)
class Config:
    """The tasks and the training. units_random: of an untrained layer; alpha: of the projection, in
    units of the mean square of the inputs; tested: samples of each task. Rates and alpha are those
    that seed 0 liked best."""

    tasks: int = 5
    classes: int = 4
    steps: int = 10
    channels: int = 8
    noise: float = 1.0
    units: int = 32
    units_random: int = 128
    updates: int = 150
    batch: int = 32
    learning_rate: float = 5e-3
    oja_rate: float = 1e-4
    delta_rate: float = 0.01
    alpha: float = 1.0
    tested: int = 500


class _Projection:
    """Keeps a matrix from moving along directions its inputs had before."""

    def __init__(self, weight: nn.Parameter, alpha: float) -> None:
        self.weight, self.alpha = weight, alpha
        size = weight.shape[1]
        self.squares = torch.zeros(size, size)
        self.projector = torch.eye(size)
        self.before = weight.detach().clone()

    @torch.no_grad()
    def remember(self, inputs: Tensor) -> None:
        """inputs (samples, in) of a task that has been learnt: P = alpha (alpha + <x x^T>)^-1."""
        self.squares += inputs.t() @ inputs / len(inputs)
        strength = self.alpha * self.squares.diagonal().mean()
        size = len(self.squares)
        self.projector = strength * torch.linalg.inv(strength * torch.eye(size) + self.squares)

    @torch.no_grad()
    def mark(self) -> None:
        """Before a step of the optimizer."""
        self.before.copy_(self.weight)

    @torch.no_grad()
    def project(self) -> None:
        """After it."""
        self.weight.copy_(self.before + (self.weight - self.before) @ self.projector)


def learn(method: str = "FlipFlop", seed: int = 0, config: Config | None = None) -> dict[str, Any]:
    """Learn the tasks in turn, and test all after each.

    Tasks, samples and first weights depend on `seed` alone.

    Returns {"method", "seed", "matrix": accuracy on each task (columns) after each was learnt
    (rows), "average": over tasks at the end, "forgetting": see `neuroflip.tasks.continual`,
    "learnt": mean accuracy on each task right after it was learnt}.

    ValueError for an unknown method.

    >>> found = learn("random FlipFlop + RLS", config=Config(tasks=2, updates=1, tested=8))
    >>> len(found["matrix"]), len(found["matrix"][0])
    (2, 2)
    >>> learn("FlipFlop + OJA")
    Traceback (most recent call last):
        ...
    ValueError: unknown method 'FlipFlop + OJA'; did you mean 'FlipFlop + oja'?
    """
    config = config or Config()
    if method not in METHODS:
        raise ValueError(f"unknown method {method!r}; {nearest(str(method), METHODS)}")
    tasks = PermutedPatterns(
        config.tasks,
        config.classes,
        config.steps,
        config.channels,
        config.noise,
        generator=torch.Generator().manual_seed(seed),
    )
    tests = [tasks.sample(task, config.tested) for task in range(config.tasks)]
    random = method.startswith("random")
    kind, units = ("LSTM" if method == "LSTM" else "FlipFlop"), config.units
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = Sequential(
            kind, config.channels, config.units_random if random else units, config.classes
        )
    learner = (_Readout if random else _Gradients)(net, method, config)
    rows = []
    for task in range(config.tasks):
        for _ in range(config.updates):
            learner.update(*tasks.sample(task, config.batch))
        learner.finished(tasks.sample(task, config.tested)[0])
        rows.append([learner.accuracy(*test) for test in tests])
    matrix = torch.tensor(rows)
    return {
        "method": method,
        "seed": seed,
        "matrix": rows,
        "average": average_accuracy(matrix),
        "forgetting": forgetting(matrix),
        "learnt": float(matrix.diagonal().mean()),
    }


class _Gradients:
    """Backprop, with or without a companion."""

    def __init__(self, net: Sequential, method: str, config: Config) -> None:
        self.net = net
        self.optimizer = torch.optim.Adam(net.parameters(), lr=config.learning_rate)
        self.projections: list[_Projection] = []
        self.learner = None
        if method.endswith("projection"):
            names = ("layer.weight_ih_l0", "layer.weight_hh_l0", "readout.weight")
            self.projections = [
                _Projection(net.get_parameter(name), config.alpha) for name in names
            ]
            for bias in (net.layer.get_parameter("bias_ih_l0"), net.readout.bias):
                bias.requires_grad_(False)  # what moves it moves all tasks
        elif method.endswith("oja"):
            rule = rules.Oja(rate=config.oja_rate, w_scale=1 / config.units)
            self.learner = rules.attach(net.layer, rule, weight="weight_hh_l0")

    def update(self, inputs: Tensor, labels: Tensor) -> None:
        self.net.train()
        scores = self.net(inputs.transpose(0, 1))[:, -1]
        loss = nn.functional.cross_entropy(scores, labels)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        for projection in self.projections:
            projection.mark()
        self.optimizer.step()
        for projection in self.projections:
            projection.project()
        if self.learner is not None:
            self.learner.step()
            self.learner.reset()

    @torch.no_grad()
    def finished(self, inputs: Tensor) -> None:
        """A task has been learnt; new samples of it."""
        self.net.eval()
        states = self.net.layer(inputs.transpose(0, 1))[0]
        before = torch.cat([torch.zeros_like(states[:, :1]), states[:, :-1]], dim=1)
        seen = (inputs, before, states[:, -1])
        for projection, given in zip(self.projections, seen, strict=False):
            projection.remember(given.reshape(-1, given.shape[-1]))

    @torch.no_grad()
    def accuracy(self, inputs: Tensor, labels: Tensor) -> float:
        self.net.eval()
        said = self.net(inputs.transpose(0, 1))[:, -1].argmax(1)
        return float((said == labels).double().mean())


class _Readout:
    """A rule on the readout of a layer that stands still; the bias is a synapse, too."""

    def __init__(self, net: Sequential, method: str, config: Config) -> None:
        self.net, self.classes = net, config.classes
        self.layer = nn.Linear(config.units_random + 1, config.classes, bias=False)
        nn.init.zeros_(self.layer.weight)
        rule = rules.RLS() if method.endswith("RLS") else rules.Delta(rate=config.delta_rate)
        self.learner = rules.attach(self.layer, rule, merge="replace")

    @torch.no_grad()
    def _states(self, inputs: Tensor) -> Tensor:
        last = self.net.layer(inputs.transpose(0, 1))[0][:, -1]
        return torch.cat([last, torch.ones(len(last), 1)], dim=1)

    @torch.no_grad()
    def update(self, inputs: Tensor, labels: Tensor) -> None:
        wanted = nn.functional.one_hot(labels, self.classes).float()
        self.learner.signals["target"] = wanted
        self.layer(self._states(inputs))
        self.learner.step()

    def finished(self, inputs: Tensor) -> None:
        """Nothing: the rule knows no tasks."""

    @torch.no_grad()
    def accuracy(self, inputs: Tensor, labels: Tensor) -> float:
        self.layer.eval()
        said = self.layer(self._states(inputs)).argmax(1)
        self.layer.train()
        return float((said == labels).double().mean())
