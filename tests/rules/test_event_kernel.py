"""Steps of spike rules as machine code: against plain loops, and the general way in torch."""

import copy
import math
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, final

import pytest
import torch
from torch import Tensor, nn

from neuroflip import rules
from neuroflip.parameters import parameter
from neuroflip.rules import stepper
from neuroflip.rules.learner import Learner

F32, F64 = torch.float32, torch.float64
SIZES = [(1, 1, 1), (3, 64, 8), (5, 70, 13)]
"""Samples, inputs, outputs: the least; whole chunks and lanes; and neither."""


@pytest.fixture(autouse=True)
def always(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Kernels however small the layer, on one thread."""
    monkeypatch.setattr(stepper, "WORTH", 0)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@final
@dataclass(frozen=True)
class Mixed(rules.Rule):
    """What a kernel can say: flows, third factors, time, several changes, factors of the weight."""

    tau: float = parameter(10e-3, "s", above=0)
    rate: float = parameter(0.1)
    w_min: float = parameter(-0.5)
    w_max: float = parameter(1.0)

    equations: ClassVar[str] = """
        dx/dt = -x/tau
        dy/dt = -y/tau
        dz/dt = (y - z)/tau
        dk/dt = 0
    """
    on_pre: ClassVar[str] = """
        w += rate*(x*y - 0.2*w*z) - 0.3*rate*(w_max - w)*x
        x = min(x + 1, 2)
        w -= 0.02
        k += 1
    """
    on_post: ClassVar[str] = """
        y += exp(-y)
        w += rate*reward*x*where(v_post > 0.5, 1, 0.1) - t*k*w
    """
    signals: ClassVar[tuple[str, ...]] = ("reward",)
    reads: ClassVar[tuple[str, ...]] = ("v",)


def trains(seed: int, *shape: int, p: float = 0.2) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(*shape, generator=generator, dtype=F64) < p).to(F64)


def linear(sizes: tuple[int, int, int], dtype: torch.dtype = F64) -> nn.Linear:
    _, inputs, outputs = sizes
    layer = nn.Linear(inputs, outputs, bias=False, dtype=dtype)
    generator = torch.Generator().manual_seed(9)
    with torch.no_grad():
        layer.weight.copy_(torch.rand(outputs, inputs, generator=generator, dtype=F64))
    return layer


def drive(learner: Learner, layer: nn.Module, x: Tensor, y: Tensor) -> None:
    assert learner.post is not None
    for k, (before, after) in enumerate(zip(x, y, strict=True)):
        for name in learner.signals:
            learner.signals[name] = math.cos(k)
        layer(before)
        learner.post(after)


def learn(
    rule: rules.Rule,
    sizes: tuple[int, int, int],
    dtype: torch.dtype = F64,
    kernel: bool = True,
    **options: Any,
) -> Learner:
    samples, inputs, outputs = sizes
    layer, rng = linear(sizes, dtype), torch.Generator().manual_seed(5)
    if rule.reads:
        options["state"] = lambda: {"v": torch.rand(samples, outputs, generator=rng, dtype=F64)}
    learner = rules.attach(layer, rule, post=nn.Identity(), **options)
    assert isinstance(learner._stepper, stepper.Stepper) and learner._stepper._kernel is not None
    if not kernel:
        learner._stepper._kernel = None
    x, y = trains(0, 40, samples, inputs).to(dtype), trains(1, 40, samples, outputs).to(dtype)
    drive(learner, layer, x, y)
    return learner


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("sizes", SIZES)
def test_pair_stdp_against_a_plain_loop(sizes: tuple[int, int, int], reduction: str) -> None:
    """Each term joined over the samples and clipped, number by number; weights reach the bounds."""
    samples, inputs, outputs = sizes
    rule = rules.PairSTDP(a_plus=0.2, a_minus=0.15, tau_plus=15e-3, tau_minus=30e-3)
    found = learn(rule, sizes, reduction=reduction)
    w = linear(sizes).weight.tolist()
    x = [[0.0] * inputs for _ in range(samples)]
    y = [[0.0] * outputs for _ in range(samples)]
    scale = 1 / samples if reduction == "mean" else 1.0
    pres, posts = trains(0, 40, samples, inputs).tolist(), trains(1, 40, samples, outputs).tolist()
    for pre, post in zip(pres, posts, strict=True):
        x = [[v * math.exp(-1 / 15) for v in row] for row in x]
        y = [[v * math.exp(-1 / 30) for v in row] for row in y]
        for o in range(outputs):
            for i in range(inputs):
                down = sum(pre[b][i] * y[b][o] for b in range(samples))
                w[o][i] = min(max(w[o][i] - 0.15 * scale * down, 0.0), 1.0)
        x = [[x[b][i] + pre[b][i] for i in range(inputs)] for b in range(samples)]
        for o in range(outputs):
            for i in range(inputs):
                up = sum(post[b][o] * x[b][i] for b in range(samples))
                w[o][i] = min(max(w[o][i] + 0.2 * scale * up, 0.0), 1.0)
        y = [[y[b][o] + post[b][o] for o in range(outputs)] for b in range(samples)]
    assert (found.weight - torch.tensor(w, dtype=F64)).abs().max() < 1e-13
    assert (found.state["x"] - torch.tensor(x, dtype=F64)).abs().max() < 1e-13
    if samples > 1:
        assert 0 < ((found.weight == 0) | (found.weight == 1)).double().mean() < 1


@final
@dataclass(frozen=True)
class Counting(rules.Rule):
    """No variables: a spike changes all weights of its neuron alike."""

    rate: float = parameter(0.02)

    on_pre: ClassVar[str] = "w += rate"
    on_post: ClassVar[str] = "w -= rate*w"


BOTH = rules.PairSTDP(a_plus=0.1, a_minus=0.12, coincidence="both")


@pytest.mark.parametrize(
    ("rule", "dtype", "tolerance"),
    [
        (rules.PairSTDP(a_plus=0.1, mu_plus=1.0, mu_minus=1.0), F64, 1e-13),
        (BOTH, F64, 1e-13),
        (BOTH, F32, 3e-6),
        (rules.TripletSTDP(a2_plus=0.05, a2_minus=0.06, a3_plus=0.04, a3_minus=0.03), F64, 1e-13),
        (rules.FroemkeDanSTDP(a_plus=0.1, a_minus=0.12), F64, 1e-13),
        (Mixed(), F64, 1e-13),
        (Counting(), F64, 1e-13),
    ],
    ids=["multiplicative", "both", "float32", "triplet", "suppression", "mixed", "counting"],
)
def test_kernels_do_what_the_general_way_does(
    rule: rules.Rule, dtype: torch.dtype, tolerance: float
) -> None:
    for sizes in SIZES[1:]:
        found, wanted = (learn(rule, sizes, dtype, kernel) for kernel in (True, False))
        assert (found.weight - wanted.weight).abs().max() < tolerance
        assert wanted.change.abs().max() > 0.05
        assert found.state.keys() == wanted.state.keys()
        for name, value in wanted.state.items():
            assert (found.state[name] - value).abs().max() < 10 * tolerance


def test_the_general_way_is_taken_where_there_is_no_kernel() -> None:
    layer = linear(SIZES[2])
    for rule, options in [
        (rules.PairSTDP(mu_plus=0.4), {}),  # powers of each weight
        (rules.PairSTDP(order="together"), {}),  # each sample's own weights
        (rules.PairSTDP(), {"reduction": "none"}),
        (rules.RewardSTDP(), {}),  # eligibility of each synapse
        (rules.Hebb(), {}),  # rates
        (rules.Sum(rules.PairSTDP(), rules.HomeostaticScaling()), {}),  # all synapses of a neuron
    ]:
        learner = rules.attach(layer, rule, **options)  # type: ignore[arg-type]
        assert learner._stepper._kernel is None, rule
        learner.remove()


def test_many_spikes_on_a_large_layer_are_left_to_products_of_matrices() -> None:
    samples, inputs, outputs = 16, 400, 300
    layer = nn.Linear(inputs, outputs, bias=False)
    nn.init.constant_(layer.weight, 0.5)
    learner = rules.attach(layer, rules.PairSTDP(), post=nn.Identity())
    found, step = [], stepper.Stepper.step

    def counted(self: stepper.Stepper, *given: Any) -> Any:
        found.append(True)
        return step(self, *given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stepper.Stepper, "step", counted)
        for p, general in ((0.05, 0), (0.9, 1), (0.05, 1)):
            x, y = trains(1, 1, samples, inputs, p=p), trains(2, 1, samples, outputs, p=p)
            drive(learner, layer, x.float(), y.float())
            assert len(found) == general


def test_parameters_share_a_kernel() -> None:
    kernels = []
    for rule in (rules.PairSTDP(), rules.PairSTDP(tau_plus=7e-3, a_plus=0.3, w_max=2.5)):
        learner = rules.attach(linear(SIZES[2]), rule)
        kernels.append(learner._stepper._kernel)
    assert kernels[0].source == kernels[1].source and kernels[0].numbers != kernels[1].numbers


def test_small_layers_compile_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("NEUROFLIP_CACHE", str(tmp_path))
    learn(rules.PairSTDP(), SIZES[2])
    assert not list(tmp_path.rglob("*.kernel"))


@pytest.mark.parametrize("wrong", [0.5, -1.0, math.nan, math.inf])
@pytest.mark.parametrize("place", [0, -1])
def test_other_numbers_than_spikes_are_refused_and_change_nothing(wrong: float, place: int) -> None:
    samples, inputs, outputs = SIZES[2]
    learner = learn(rules.PairSTDP(), SIZES[2])
    weight, state = learner.weight, learner.state
    x, y = trains(2, samples, inputs), trains(3, samples, outputs)
    for side in range(2):
        x_bad, y_bad = x.clone(), y.clone()
        (x_bad, y_bad)[side][place, place] = wrong
        learner.layer(x_bad)
        with pytest.raises(
            (ValueError, FloatingPointError), match=r"spikes, 0 or 1|must be finite"
        ):
            learner.post(y_bad)  # type: ignore[misc]
        assert torch.equal(learner.weight, weight)
        assert all(torch.equal(learner.state[name], value) for name, value in state.items())


def test_convolution_mask_and_a_transposed_parameter_are_a_plain_layer() -> None:
    rule, (samples, inputs, outputs) = rules.PairSTDP(a_plus=0.1), SIZES[2]
    x, y = trains(4, 30, samples, inputs), trains(5, 30, samples, outputs)
    plain = linear(SIZES[2])
    wanted = rules.attach(plain, rule, post=nn.Identity())
    drive(wanted, plain, x, y)
    turned = linear(SIZES[2])
    turned.weight = nn.Parameter(plain.weight.detach().t().contiguous().t())
    found = rules.attach(turned, rule, post=nn.Identity())
    drive(found, turned, x, y)
    assert torch.equal(found.weight, wanted.weight)
    conv = nn.Conv1d(inputs, outputs, 1, bias=False, dtype=F64)
    with torch.no_grad():
        conv.weight.copy_(plain.weight.unsqueeze(2))
    found = rules.attach(conv, rule, post=nn.Identity())
    drive(found, conv, x.unsqueeze(3), y.unsqueeze(3))
    assert torch.equal(found.weight.squeeze(2), wanted.weight)
    mask = trains(6, outputs, inputs, p=0.5)
    masked = linear(SIZES[2])
    found = rules.attach(masked, rule, post=nn.Identity(), mask=mask)
    drive(found, masked, x, y)
    assert torch.equal(found.weight, wanted.weight * mask)


def test_copies_and_states_go_on() -> None:
    rule, (samples, inputs, outputs) = rules.PairSTDP(a_plus=0.1), SIZES[2]
    x, y = trains(7, 20, samples, inputs), trains(8, 20, samples, outputs)
    learner = learn(rule, SIZES[2])
    stored, copied = pickle.loads(pickle.dumps(learner._stepper)), copy.deepcopy(learner._stepper)
    state = copy.deepcopy(learner.state_dict())
    drive(learner, learner.layer, x, y)
    for other in (stored, copied):
        assert other._kernel == learner._stepper._kernel
        layer = linear(SIZES[2])
        fresh = rules.attach(layer, rule, post=nn.Identity())
        fresh.load_state_dict(state)
        fresh._stepper = other
        drive(fresh, layer, x, y)
        assert torch.equal(fresh.weight, learner.weight)


def test_another_number_of_samples_in_another_trial() -> None:
    rule = rules.PairSTDP(a_plus=0.1)
    learner = learn(rule, SIZES[2])
    weight = learner.weight
    learner.reset()
    x, y = trains(7, 20, 2, SIZES[2][1]), trains(8, 20, 2, SIZES[2][2])
    drive(learner, learner.layer, x, y)
    layer = linear(SIZES[2])
    with torch.no_grad():
        layer.weight.copy_(weight)
    fresh = rules.attach(layer, rule, post=nn.Identity())
    fresh._stepper._kernel = None  # type: ignore[union-attr]
    drive(fresh, layer, x, y)
    assert (learner.weight - fresh.weight).abs().max() < 1e-13


@pytest.mark.parametrize("masked", [False, True], ids=["all", "masked"])
def test_whatever_happens_between_two_steps_is_seen(masked: bool) -> None:
    """Steps like the last are taken by the kernel alone: next to a learner without one, it must
    see all that a user may do between."""
    samples, inputs, outputs = sizes = SIZES[2]
    mask = trains(6, outputs, inputs, p=0.7) if masked else None

    def between(learner: Learner, k: int) -> None:
        weight = learner.parameter
        with torch.no_grad():
            if k == 3:
                weight.mul_(0.9)
            elif k == 6:
                learner.step()
            elif k == 9:
                learner.reset()
            elif k == 12:
                learner.swap(rules.PairSTDP(a_plus=0.2, tau_plus=9e-3), keep_traces=True)
            elif k == 15:
                learner.load_state_dict(copy.deepcopy(learner.state_dict()))
            elif k == 18:
                learner.eval()
            elif k == 21:
                learner.train()
            elif k == 24:
                learner.layer.float()
                learner.float()
            elif k == 27:
                learner.share_memory()

    found: list[Learner] = []
    for kernel in (True, False):
        with pytest.MonkeyPatch.context() as patch:
            if not kernel:
                patch.setattr(stepper, "WORTH", math.inf)
            layer = linear(sizes)
            learner = rules.attach(
                layer, rules.PairSTDP(a_plus=0.1), post=nn.Identity(), mask=mask, merge="replace"
            )
            repeated = 0
            x, y = trains(10, 40, samples, inputs), trains(11, 40, samples, outputs)
            for k, (before, after) in enumerate(zip(x, y, strict=True)):
                between(learner, k)
                last = learner._last
                before, after = before.to(layer.weight), after.to(layer.weight)
                if k == 30:
                    before = before.t().contiguous().t()
                if k == 33:
                    after = after.to(torch.float16)
                layer(before)
                learner.post(after)  # type: ignore[misc]
                repeated += last is not None and learner._last is last
            assert (repeated > 20) == kernel
            found.append(learner)
    assert found[0].change.abs().max() > 0.05
    assert (found[0].weight - found[1].weight).abs().max() < 1e-5
    for name, value in found[1].state.items():
        assert (found[0].state[name] - value).abs().max() < 1e-5


def test_a_learner_that_has_run_is_copied() -> None:
    learner = learn(rules.PairSTDP(a_plus=0.1), SIZES[2])
    assert learner._last is not None
    other = copy.deepcopy(learner)
    assert torch.equal(other.weight, learner.weight)
    x, y = (trains(7, 20, 5, n) for n in SIZES[2][1:])
    drive(other, other.layer, x, y)
    drive(learner, learner.layer, x, y)
    assert torch.equal(other.weight, learner.weight)


_SWITCHED_OFF = """
import torch
from torch import nn
from neuroflip import rules
from neuroflip.rules import stepper
stepper.WORTH = 0
layer = nn.Linear(4, 3, bias=False)
nn.init.constant_(layer.weight, 0.5)
learner = rules.attach(layer, rules.PairSTDP(a_plus=0.1), post=nn.Identity())
for _ in range(2):
    layer(torch.ones(2, 4))
    learner.post(torch.ones(2, 3))
print(float(learner.change.abs().min()) > 0.05, learner._last)
"""


def test_without_a_compiler_the_general_way_is_taken(tmp_path: Path) -> None:
    switched_off = os.environ | {"NUMBA_DISABLE_JIT": "1", "NEUROFLIP_CACHE": str(tmp_path)}
    command = [sys.executable, "-c", _SWITCHED_OFF]
    done = subprocess.run(command, env=switched_off, capture_output=True, text=True)
    assert done.stdout.split() == ["True", "None"], done.stderr
