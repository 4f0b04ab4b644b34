"""The part of `check_rule` that tries a rule on torch layers."""

import gc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from neuroflip.circuit import Circuit, CurrentInput, Population, Projection, SignalInput, SpikeInput
from neuroflip.rule_window import forced, neuron_for
from neuroflip.rules import Rule, attach
from neuroflip.rules.layer_rule import LayerRule
from neuroflip.rules.learner import Learner
from neuroflip.simulation import simulate
from neuroflip.units import ms

IN, OUT, STEPS, BATCH = 3, 4, 60, 5  # OUT even: the gates of a flip-flop layer are J and K
DT = 1 * ms

Found = tuple[bool, str]


@dataclass(frozen=True)
class _Data:
    """Activity of a batch over time; signals and what the rule reads likewise."""

    pre: Tensor  # (steps, batch, in)
    post: Tensor  # (steps, batch, out)
    given: dict[str, Tensor]  # (steps, batch, out)

    def part(self, steps: slice, samples: slice) -> "_Data":
        given = {name: value[steps, samples] for name, value in self.given.items()}
        return _Data(self.pre[steps, samples], self.post[steps, samples], given)


def _data(rule: Rule, seed: int) -> _Data:
    """Random spikes, half of them shared, or for rules on rates random activity."""
    rng = torch.Generator().manual_seed(seed)

    def random(*shape: int) -> Tensor:
        return torch.rand(STEPS, BATCH, *shape, generator=rng, dtype=torch.float64)

    pre, post, shared = random(IN), random(OUT), random(1)
    if not hasattr(rule, "activity"):
        pre, post = ((a + 0.5 * (shared < 0.1) > 0.85).double() for a in (pre, post))
    names = [*rule.signals, *rule.reads]
    return _Data(pre, post, {name: random(OUT) - 0.5 for name in names})


class _Run:
    """A layer with the rule on it, fed from `_Data`."""

    def __init__(self, rule: Rule, layer: nn.Module, **options: Any) -> None:
        self.rule, self.layer = rule, layer
        self.after = nn.Identity()
        self._now: dict[str, Tensor] = {}
        if rule.reads:
            options["state"] = lambda: {name: self._now[name] for name in rule.reads}
        self.learner: Learner = attach(layer, rule, post=self.after, dt=DT, **options)

    def feed(self, data: _Data, shape: Callable[[Tensor], Tensor] = lambda x: x) -> None:
        """shape: from (batch, neurons) to what the layer takes."""
        for k in range(len(data.pre)):
            self._now = {name: shape(data.given[name][k]) for name in self.rule.reads}
            for name in self.rule.signals:
                self.learner.signals[name] = data.given[name][k]
            self.layer(shape(data.pre[k]))
            self.after(shape(data.post[k]))


def _weights(rule: Rule, seed: int) -> Tensor:
    given = rule.parameters()
    low, high = given.get("w_min", 0.0), given.get("w_max", 1.0)
    rng = np.random.default_rng([seed, 3])
    return torch.tensor(rng.uniform(low, high, (OUT, IN)))


def _linear(weight: Tensor) -> nn.Linear:
    layer = nn.Linear(IN, OUT, bias=False, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(weight)
    return layer


class _Sparse(nn.Module):
    """A layer whose weight is a sparse tensor with every entry."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        index = torch.ones_like(weight).nonzero().T
        sparse = torch.sparse_coo_tensor(
            index, weight.reshape(-1), weight.shape, check_invariants=True
        )
        self.weight = nn.Parameter(sparse.coalesce())

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = torch.sparse.mm(self.weight, x.T).T
        return output


def layer_rows(rule: Rule, seed: int) -> Iterator[tuple[str, str, str]]:
    """(check, outcome, detail) of each check on layers."""
    weight = _weights(rule, seed)
    try:
        _Run(rule, _linear(weight)).learner.remove()
    except ValueError as error:
        yield "on layers", "-", str(error)
        return
    data = _data(rule, seed)
    checks: dict[str, Callable[[Rule, Tensor, _Data], Found | str]] = {
        "layer = circuit": _as_circuit,
        "run(T) = run(T/2) + run(T/2)": _halves,
        "reset = fresh": _reset,
        "batch = singles": _batch,
        "linear = 1x1 convolution = sparse": _layouts,
        "no growth in memory": _growth,
    }
    for check, run in checks.items():
        try:
            found = run(rule, weight, data)
        except Exception as error:  # a report, not a crash, whatever a user's rule does
            yield check, "FAILED", f"{type(error).__name__}: {error}"
            continue
        if isinstance(found, str):
            yield check, "-", found
        else:
            yield check, "ok" if found[0] else "FAILED", found[1]


def _close(a: Tensor, b: Tensor) -> Found:
    difference, scale = float((a - b).abs().max()), float(b.abs().max())
    allowed = 1e-12 * scale
    return difference <= allowed, f"{difference:.1e} apart, {allowed:.1e} allowed"


def _final(rule: Rule, weight: Tensor, data: _Data, **options: Any) -> Tensor:
    run = _Run(rule, _linear(weight), **options)
    run.feed(data)
    run.learner.remove()
    return run.learner.weight


def _as_circuit(rule: Rule, weight: Tensor, data: _Data) -> Found | str:
    """One sample, on spikes."""
    if isinstance(rule, LayerRule) or rule.model().layers_only:
        return "it works on layers only"
    if rule.reads:
        return "it reads the neuron, which differs"
    one = data.part(slice(None), slice(0, 1))
    pre, post = (one.pre > 0.5).double(), (one.post > 0.5).double()
    one = _Data(pre, post, one.given)
    run = _Run(rule, _linear(weight), activity="spikes")
    run.feed(one)
    circuit = Circuit(
        "layer",
        [Population("post", neuron_for(rule), OUT)],
        [Projection("pre", "post", weight.T.numpy(), rule=rule)],
        [
            SpikeInput("pre", IN),
            CurrentInput("force", "post"),
            *(SignalInput(name) for name in rule.signals),
        ],
    )
    at = [np.flatnonzero(post[:, 0, j].numpy()) for j in range(OUT)]
    inputs: dict[str, Any] = {
        "pre": [np.flatnonzero(pre[:, 0, i].numpy()) * DT for i in range(IN)],
        **{name: one.given[name][:, 0].numpy() for name in rule.signals},
        **forced(circuit, at, STEPS, DT),
    }
    rec = simulate(circuit, inputs, duration=STEPS * DT, dt=DT)
    return _close(run.learner.weight, torch.tensor(rec.weights["pre->post"]).reshape(IN, OUT).T)


def _halves(rule: Rule, weight: Tensor, data: _Data) -> Found:
    """A new learner takes over from a saved state in mid-run."""
    whole = _Run(rule, _linear(weight))
    whole.feed(data)
    first = _Run(rule, _linear(weight))
    first.feed(data.part(slice(STEPS // 2), slice(None)))
    second = _Run(rule, _linear(weight))
    second.learner.load_state_dict(first.learner.state_dict())
    second.feed(data.part(slice(STEPS // 2, None), slice(None)))
    return _close(second.learner.weight, whole.learner.weight)


def _reset(rule: Rule, weight: Tensor, data: _Data) -> Found | str:
    if isinstance(rule, LayerRule) and rule.kept:
        return f"it keeps {', '.join(rule.kept)} from trial to trial"
    fresh = _final(rule, weight, data, merge="replace")
    run = _Run(rule, _linear(weight), merge="replace")
    run.feed(data.part(slice(STEPS // 2), slice(2)))
    run.learner.step()
    run.learner.reset()
    with torch.no_grad():
        run.learner.parameter.copy_(weight)
    run.feed(data)
    return _close(run.learner.weight, fresh)


def _batch(rule: Rule, weight: Tensor, data: _Data) -> Found | str:
    """A batch of equal samples is one; samples with weights of their own are so many runs."""
    if isinstance(rule, LayerRule) and rule.kept:
        return f"the samples share {', '.join(rule.kept)}"
    singles = [_final(rule, weight, data.part(slice(None), slice(b, b + 1))) for b in range(BATCH)]
    first = data.part(slice(None), slice(0, 1))
    given = {name: value.repeat(1, BATCH, 1) for name, value in first.given.items()}
    alike = _Data(first.pre.repeat(1, BATCH, 1), first.post.repeat(1, BATCH, 1), given)
    ok, found = _close(_final(rule, weight, alike), singles[0])
    if not ok or isinstance(rule, LayerRule):  # which have one set of weights
        return ok, found
    return _close(_final(rule, weight, data, reduction="none"), torch.stack(singles))


def _layouts(rule: Rule, weight: Tensor, data: _Data) -> Found | str:
    linear = _final(rule, weight, data)
    conv = nn.Conv2d(IN, OUT, 1, bias=False, dtype=torch.float64)
    with torch.no_grad():
        conv.weight.copy_(weight[:, :, None, None])
    run = _Run(rule, conv)
    run.feed(data, lambda x: x[:, :, None, None])
    ok, found = _close(run.learner.weight.reshape(OUT, IN), linear)
    if not ok:
        return False, f"convolution: {found}"
    try:
        sparse = _Run(rule, _Sparse(weight))
        sparse.feed(data)
    except ValueError as error:
        return f"convolution: {found}; sparse: {error}"
    return _close(sparse.learner.weight.to_dense(), linear)


def _growth(rule: Rule, weight: Tensor, data: _Data) -> Found:
    def tensors() -> int:
        gc.collect()
        return sum(1 for o in gc.get_objects() if type(o) is Tensor)

    run = _Run(rule, _linear(weight))
    run.feed(data)
    before = tensors()
    for _ in range(1000 // STEPS + 1):
        run.feed(data)
        run.learner.step()
    grown = tensors() - before
    return grown <= 0, f"{grown} tensors more after 1,000 steps"
