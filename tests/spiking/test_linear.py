"""SpikeLinear: the numbers of nn.Linear, whatever the input and the weight."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from neuroflip import rules
from neuroflip.engines import machine_code
from neuroflip.spiking import SpikeLinear, linear


def spikes(*shape: int, p: float = 0.05, seed: int = 0, dtype: Any = torch.float32) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(*shape, generator=generator) < p).to(dtype)


def layers(inputs: int, outputs: int, **options: Any) -> tuple[SpikeLinear, nn.Linear]:
    """A layer of each kind with the same parameters, which take no gradients."""
    torch.manual_seed(1)
    ours, theirs = SpikeLinear(inputs, outputs, **options), nn.Linear(inputs, outputs, **options)
    theirs.load_state_dict(ours.state_dict())
    return ours.requires_grad_(False), theirs.requires_grad_(False)


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each pass went through the loop to its end."""
    found: list[bool] = []

    class Watched(machine_code.Call):
        def __call__(self) -> int:
            found.append(bool(super().__call__()))
            return found[-1]

    monkeypatch.setattr(linear.machine_code, "Call", Watched)
    return found


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("shape", "inputs", "outputs"),
    [((32, 784), 784, 100), ((5, 7, 130), 130, 33), ((4001,), 4001, 30), ((64, 63), 63, 65)],
)
def test_sums_are_those_of_linear(
    shape: tuple[int, ...], inputs: int, outputs: int, bias: bool, dtype: Any, taken: list[bool]
) -> None:
    ours, theirs = layers(inputs, outputs, bias=bias, dtype=dtype)
    for seed in range(3):
        x = spikes(*shape, seed=seed, dtype=dtype)
        x[..., -1] = 1
        tolerance = {"rtol": 0, "atol": 3e-6 if dtype is torch.float32 else 1e-14}
        torch.testing.assert_close(ours(x), theirs(x), **tolerance)
    assert taken == [True] * 3


@pytest.mark.parametrize(
    ("x", "reached"),
    [(spikes(32, 784, p=0.5), [False]), (2 * spikes(32, 784), [False]),
     (spikes(32, 784) - spikes(32, 784, seed=1), [False]), (torch.zeros(32, 784), [True]),
     (spikes(784, 32).t(), []), (spikes(1, 784), []), (spikes(0, 784), [])],
    ids=["many", "other numbers", "signs", "silence", "transposed", "few", "none"],
)  # fmt: skip
def test_any_other_input_goes_the_way_of_linear(
    x: Tensor, reached: list[bool], taken: list[bool]
) -> None:
    ours, theirs = layers(784, 100)
    torch.testing.assert_close(ours(x), theirs(x), rtol=0, atol=3e-6)
    assert taken == reached


def test_nan_is_not_taken_for_silence() -> None:
    ours, _ = layers(784, 100)
    x = spikes(32, 784)
    x[3, 5] = torch.nan
    assert ours(x)[3].isnan().all() and not ours(x)[2].isnan().any()


def test_gradients_are_those_of_linear(taken: list[bool]) -> None:
    ours, theirs = (layer.requires_grad_(True) for layer in layers(784, 100))
    x = spikes(32, 784)
    for layer in (ours, theirs):
        layer(x).square().sum().backward()
    torch.testing.assert_close(ours.weight.grad, theirs.weight.grad)
    torch.testing.assert_close(ours.bias.grad, theirs.bias.grad)
    x = x.clone().requires_grad_(True)
    ours.requires_grad_(False)(x).sum().backward()  # through a layer that learns no more
    torch.testing.assert_close(x.grad, ours.weight.sum(0).expand(32, -1))
    assert taken == []
    with torch.no_grad():
        ours(x.detach())
    assert taken == [True]


def test_changes_of_the_weight_are_seen(taken: list[bool]) -> None:
    ours, theirs = layers(784, 100)
    x = spikes(32, 784)
    for layer in (ours, theirs):
        layer(x)
        layer.weight.mul_(2).add_(1)
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-5, atol=1e-5)
    other = nn.Linear(784, 100)
    ours.load_state_dict(other.state_dict())
    torch.testing.assert_close(ours(x), other(x), rtol=0, atol=3e-6)
    assert taken == [True] * 3
    ours.load_state_dict(other.requires_grad_(False).state_dict(), assign=True)
    torch.testing.assert_close(ours(x), other(x))  # by rows: without the loop
    assert len(taken) == 3


def test_copies_run_for_themselves(taken: list[bool]) -> None:
    ours, theirs = layers(784, 100)
    x = spikes(32, 784)
    ours(x)
    for other in (copy.deepcopy(ours), pickle.loads(pickle.dumps(ours))):
        assert other._idle == [] and other.weight.t().is_contiguous()
        other.weight.add_(1)
        torch.testing.assert_close(other(x), theirs(x) + x.sum(1, keepdim=True))
    torch.testing.assert_close(ours(x), theirs(x), rtol=0, atol=3e-6)
    assert taken == [True] * 4


def test_threads_may_share_a_layer() -> None:
    ours, theirs = layers(784, 100)
    xs = [spikes(32, 784, seed=seed) for seed in range(40)]
    with ThreadPoolExecutor(4) as pool:
        for found, x in zip(pool.map(ours, xs), xs, strict=True):
            torch.testing.assert_close(found, theirs(x), rtol=0, atol=3e-6)


def test_a_rule_teaches_it_as_it_teaches_linear() -> None:
    ours, theirs = layers(784, 100, bias=False)
    for layer in (ours, theirs):
        layer.weight.copy_(torch.linspace(0.2, 0.8, 78_400).reshape(100, 784))
        neurons = nn.Identity()
        learner = rules.attach(layer, rules.PairSTDP(), post=neurons, merge="replace")
        for seed in range(5):
            layer(spikes(32, 784, seed=seed))
            neurons(spikes(32, 100, seed=100 + seed))
            learner.step()
    assert ours.weight.t().is_contiguous()
    assert (ours.weight - torch.linspace(0.2, 0.8, 78_400).reshape(100, 784)).abs().max() > 1e-4
    torch.testing.assert_close(ours.weight, theirs.weight, rtol=0, atol=1e-7)


def test_without_a_compiler_it_is_linear(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: Any) -> None:
        raise machine_code.NoCompiler("switched off")

    monkeypatch.setattr(linear.machine_code, "Call", none)
    ours, theirs = layers(784, 100)
    torch.testing.assert_close(ours(spikes(32, 784)), theirs(spikes(32, 784)))


def test_it_can_be_exported(taken: list[bool]) -> None:
    ours, theirs = layers(784, 100)
    x = spikes(32, 784)
    program = torch.export.export(ours, (x,)).module()
    torch.testing.assert_close(program(x), theirs(x))
    assert taken == []


def test_what_is_no_plain_tensor_goes_the_way_of_linear(taken: list[bool]) -> None:
    ours, theirs = layers(784, 100)
    x = spikes(3, 32, 784)
    torch.testing.assert_close(torch.vmap(ours)(x), theirs(x), rtol=0, atol=3e-6)
    sparse = x[0].to_sparse()
    torch.testing.assert_close(ours(sparse), theirs(sparse), rtol=0, atol=3e-6)
    assert taken == []
    with pytest.raises(TypeError, match="must be Tensor, not list"):
        ours([[0.0] * 784])


def test_a_wrong_width_is_refused_as_by_linear() -> None:
    ours, theirs = layers(784, 100)
    with pytest.raises(RuntimeError) as expected:
        theirs(spikes(32, 783))
    with pytest.raises(RuntimeError) as found:
        ours(spikes(32, 783))
    assert str(found.value).replace("(784x100)", "") == str(expected.value).replace("(784x100)", "")
