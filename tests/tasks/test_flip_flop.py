"""The flip-flop task: its targets by a loop over pulses, its statistics, its seeds."""

import math

import pytest
import torch

from neuroflip.tasks import flip_flop


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("pulse_rate", [0.0, 0.1, 0.5, 1.0])
def test_targets_are_the_last_pulses(pulse_rate: float) -> None:
    inputs, targets = flip_flop(40, 7, 4, pulse_rate, generator=seeded(0))
    assert inputs.shape == targets.shape == (40, 7, 4)
    assert inputs.dtype == targets.dtype == torch.float32
    for trial in range(7):
        for channel in range(4):
            bit = 0.0
            for step in range(40):
                pulse = inputs[step, trial, channel].item()
                assert pulse in (-1, 0, 1)
                bit = pulse or bit
                assert targets[step, trial, channel].item() == bit != 0


def test_pulses_are_as_frequent_as_asked_and_of_either_sign() -> None:
    inputs, _ = flip_flop(2001, 50, 3, 0.2, generator=seeded(1))
    assert (inputs[0] != 0).all()
    later, count = inputs[1:], inputs[1:].numel()
    assert abs((later != 0).double().mean().item() - 0.2) < 4 * math.sqrt(0.2 * 0.8 / count)
    assert abs(later.double().mean().item()) < 4 * math.sqrt(0.2 / count)
    lines = later.double().flatten(0, 1)
    assert (torch.corrcoef(lines.t()) - torch.eye(3)).abs().max() < 4 / math.sqrt(len(lines))


def test_a_seed_fixes_the_trials() -> None:
    one, same, other = (flip_flop(20, 5, generator=seeded(n))[0] for n in (3, 3, 4))
    assert torch.equal(one, same) and not torch.equal(one, other)
    torch.manual_seed(3)
    assert torch.equal(flip_flop(20, 5)[0], one)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((0, 1), "steps must be a whole number, at least 1; got 0"),
        ((5, 1.5), "trials must be a whole number, at least 1; got 1.5"),
        ((5, 1, -1), "channels must be a whole number, at least 1; got -1"),
        ((5, 1, 3, 1.1), "pulse_rate must be a number from 0 to 1; got 1.1"),
        ((5, 1, 3, float("nan")), "pulse_rate must be a number from 0 to 1; got nan"),
    ],
)
def test_refusals(arguments: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        flip_flop(*arguments)
