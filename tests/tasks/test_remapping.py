"""Remapping: every response changes, evenly; the stimulus can be read from both cues."""

import math

import pytest
import torch

from neuroflip.tasks.remapping import cue_pairs, mappings


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_every_stimulus_changes_its_response_evenly() -> None:
    found = mappings(3, 3000, 4, generator=seeded(0))
    assert found.shape == (3, 3000) and found.min() == 0 and found.max() == 3
    assert (found[1:] != found[:-1]).all()
    for block in found:
        shares = torch.bincount(block, minlength=4) / 3000
        assert (shares - 0.25).abs().max() < 4 * math.sqrt(0.25 * 0.75 / 3000)
    steps = (found[1] - found[0]) % 4
    shares = torch.bincount(steps, minlength=4) / 3000
    assert shares[0] == 0 and (shares[1:] - 1 / 3).abs().max() < 4 * math.sqrt(2 / 9 / 3000)


def test_stimuli_are_the_two_cues() -> None:
    inputs, stimulus = cue_pairs(500, 3, 4, 0.0, generator=seeded(1))
    assert inputs.shape == (6, 500, 6)
    first, second = inputs[0].argmax(1), inputs[-1].argmax(1) - 3
    assert torch.equal(first * 3 + second, stimulus) and len(stimulus.unique()) == 9
    assert (inputs.sum((0, 2)) == 2).all() and (inputs[1:-1] == 0).all()


def test_noise_has_the_deviation_asked_for() -> None:
    noisy, stimulus = cue_pairs(2000, 2, 3, 0.5, generator=seeded(2))
    clean, same = cue_pairs(2000, 2, 3, 0.0, generator=seeded(2))
    assert torch.equal(stimulus, same)
    rest = noisy - clean
    assert abs(rest.std() - 0.5) < 4 * 0.5 / math.sqrt(2 * rest.numel())


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: mappings(2, 3, 1), "responses must be at least 2; got 1"),
        (lambda: mappings(0, 3, 2), "blocks must be a whole number, at least 1; got 0"),
        (lambda: cue_pairs(2, delay=0), "delay must be a whole number, at least 1; got 0"),
        (lambda: cue_pairs(2, noise=-1.0), "noise must be at least 0; got -1.0"),
    ],
)
def test_refusals(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
