"""Paired-associate recall: what a trial shows, how often cues are wrong, its seeds."""

import math

import pytest
import torch

from neuroflip.tasks.association import paired_associates


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_every_key_comes_twice_and_asks_for_its_value() -> None:
    trial = paired_associates(5, 7, 6, 3, generator=seeded(0))
    assert trial.inputs.shape == (10, 7, 9) and trial.targets.shape == (5, 7)
    for b in range(7):
        assert sorted(trial.order[:, b].tolist()) == list(range(5))
        for step in range(5):
            pair, cue = int(trial.order[step, b]), trial.inputs[5 + step, b]
            shown = trial.inputs[pair, b]
            assert torch.equal(cue[:6], shown[:6]) and (cue[6:] == 0).all()
            assert (shown[:6].abs() == 1).all()
            wanted = [0.0] * 3
            wanted[int(trial.targets[step, b])] = 1.0
            assert shown[6:].tolist() == wanted


def test_keys_and_values_are_fair_and_independent() -> None:
    trial = paired_associates(4, 3000, 8, 4, generator=seeded(1))
    keys = trial.inputs[:4, :, :8].flatten(0, 1)
    assert keys.mean(0).abs().max() < 4.5 / math.sqrt(len(keys))
    together = keys.t() @ keys / len(keys) - torch.eye(8)
    assert together.abs().max() < 4.5 / math.sqrt(len(keys))
    shares = trial.inputs[:4, :, 8:].flatten(0, 1).mean(0)
    assert (shares - 0.25).abs().max() < 4 * math.sqrt(0.25 * 0.75 / len(keys))
    place = trial.order[0].float().mean()  # of the first cue: any of the four
    assert abs(place - 1.5) < 4 * math.sqrt(1.25 / 3000)


def test_cues_are_flipped_and_erased_as_often_as_asked() -> None:
    trial = paired_associates(4, 2000, 10, 2, flipped=0.2, erased=0.3, generator=seeded(2))
    keys = trial.inputs[:4, :, :10].gather(0, trial.order.unsqueeze(2).expand(-1, -1, 10))
    cues = trial.inputs[4:, :, :10]
    count = cues.numel()
    erased = (cues == 0).double().mean()
    wrong = (cues * keys == -1).double().mean()
    assert abs(erased - 0.3) < 4 * math.sqrt(0.3 * 0.7 / count)
    assert abs(wrong - 0.2 * 0.7) < 4 * math.sqrt(0.14 * 0.86 / count)


def test_a_seed_fixes_the_trials() -> None:
    one, same, other = (paired_associates(3, 4, generator=seeded(n)).inputs for n in (3, 3, 4))
    assert torch.equal(one, same) and not torch.equal(one, other)


@pytest.mark.parametrize(
    "arguments, given, message",
    [
        ((0, 1), {}, "pairs must be a whole number, at least 1; got 0"),
        ((2, 1, 1.5), {}, "key_size must be a whole number, at least 1; got 1.5"),
        ((2, 1), {"flipped": 1.5}, "flipped must be a number from 0 to 1; got 1.5"),
        ((2, 1), {"erased": -0.1}, "erased must be a number from 0 to 1; got -0.1"),
    ],
)
def test_refusals(arguments: tuple, given: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        paired_associates(*arguments, **given)
