"""The founding paper's rules, as its code has them, undo what gradients learn."""

from collections.abc import Iterator

import pytest
import torch

from neuroflip.sims.negative_controls import Model, Result, negative_control


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Arrays this small gain nothing from threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def check_plain(plain: Result) -> None:
    assert plain.error < 0.02 * plain.constant and plain.drift == 0.0


def check_collapsed(broken: Result) -> None:
    assert broken.error > 0.95 * broken.constant
    j, k = broken.gates
    assert j > 0.999 and (k > 0.999 if broken.control == "hebbian" else k < 0.001)
    assert broken.drift > 0.1  # an evaluation changes the weights


def test_plain_training_learns_and_the_broken_rules_collapse() -> None:
    plain = negative_control("plain")
    check_plain(plain)
    for control in ("hebbian", "random stdp"):
        broken = negative_control(control, updates=150)
        check_collapsed(broken)
        assert broken.error > 50 * plain.error
        assert abs(broken.constant - plain.constant) < 0.01  # the same task


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_collapse_at_every_seed_with_as_much_training(seed: int) -> None:
    check_plain(negative_control("plain", seed))
    for control in ("hebbian", "random stdp"):
        check_collapsed(negative_control(control, seed))


def test_without_a_rule_step_by_step_is_the_layer() -> None:
    """The loop that the controls share is the layer's own recurrence."""
    torch.manual_seed(0)
    model = Model("plain", 8)
    classes = torch.tensor([0, 1, 1])
    whole, gates = model(classes)
    model._random_stdp = lambda: None  # type: ignore[method-assign]
    model.control = "random stdp"
    stepped, same = model(classes)
    assert torch.allclose(whole, stepped, atol=1e-6) and torch.allclose(gates, same, atol=1e-6)


def test_drift_of_one_pass() -> None:
    """Random spike times: each step adds 0.01 times a mean of uniform numbers to every weight of J,
    takes as much from K's; the Hebbian trace of constant gates sums geometrically."""
    torch.manual_seed(0)
    model = Model("random stdp", 64)
    before = [w.detach().clone() for w in model._weights()]
    model(torch.tensor([0, 1]))
    for weight, old in zip(model._weights(), before, strict=True):
        j, k = (weight.detach() - old).chunk(2)
        assert (j - j[0, 0]).abs().max() < 1e-6  # one number for the whole matrix
        assert (k - k[0, 0]).abs().max() < 1e-6
    recurrent = (model._weights()[1].detach() - before[1]).chunk(2)
    assert abs(recurrent[0].mean() - 32 * 0.005) < 0.02
    assert abs(recurrent[1].mean() + 32 * 0.005) < 0.02

    model = Model("hebbian", 4)
    gates, inputs = torch.full((3, 8), 0.5), [torch.ones(3, 2), torch.full((3, 4), 0.25)]
    old = model._weights()[0].detach().clone()
    for _ in range(10):
        model._hebbian(gates, inputs)
    trace, total = 0.0, 0.0
    for _ in range(10):
        trace = 0.99 * (trace + 0.01 * 0.5)
        total += trace
    assert torch.allclose(model._weights()[0].detach() - old, torch.full((8, 2), total))


def test_unknown_control() -> None:
    with pytest.raises(ValueError, match="unknown control 'stpd'"):
        negative_control("stpd")
