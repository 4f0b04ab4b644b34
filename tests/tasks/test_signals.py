"""Signal tasks: curves by their formulas, the paper's own curves, noise, distractors."""

import math

import numpy as np
import pytest
import torch

from neuroflip.tasks.signals import copies, curves, recall, with_interference


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_sinusoidal_curves_are_sines_and_sines_with_their_octave() -> None:
    drawn = curves("sinusoidal", 100, 4, seed=3)
    assert drawn.shape == (100, 4) and drawn.dtype == torch.float32
    assert torch.equal(drawn[0], torch.zeros(4))
    random = np.random.RandomState(3)
    for number in range(4):
        a, f = random.uniform(0.5, 1), random.uniform(1, 3)
        for step in (1, 17, 99):
            t = 10 * step / 99
            expected = math.sin(2 * math.pi * f * t)
            if number % 2:
                expected += math.sin(4 * math.pi * f * t) / 2
            assert drawn[step, number].item() == pytest.approx(a * expected, abs=1e-5)


def test_uniform_curves() -> None:
    drawn = curves("uniform", 20_000, 2, seed=1).double()
    assert drawn.abs().max() < 1
    assert drawn.mean().abs() < 4 / math.sqrt(3 * 40_000)
    assert drawn.var().item() == pytest.approx(1 / 3, rel=0.02)
    assert abs(np.corrcoef(drawn.numpy().T)[0, 1]) < 0.03


def test_seed_42_gives_the_curves_of_the_paper() -> None:
    """A net that can say one number alone, as with the authors' "STDP", has the variance of all
    values as its error; they stored 0.3564 in training, after 1,000 epochs (noise 0.05)."""
    drawn = curves("uniform", 64, 2, seed=42).double()
    assert (drawn.var(unbiased=False) + 0.05**2).item() == pytest.approx(0.356447, abs=3e-4)
    # with J = K = 1 the units toggle: one number at even steps, one at odd ones; they stored 0.3542
    even, odd = drawn[::2], drawn[1::2]
    toggled = (even.var(unbiased=False) + odd.var(unbiased=False)) / 2 + 0.05**2
    assert toggled.item() == pytest.approx(0.354159, abs=1.5e-3)


def test_interferers_are_a_tenth_as_strong() -> None:
    drawn = curves("uniform", 5, 3)
    weak = with_interference(drawn)
    assert torch.equal(weak[:, 0], drawn[:, 0])
    assert torch.allclose(weak[:, 1:], drawn[:, 1:] / 10)
    assert torch.equal(with_interference(drawn, 0.5)[:, 2], drawn[:, 2] / 2)


def test_copies_have_the_noise_asked_for() -> None:
    drawn = curves("uniform", 50, 3)
    classes, targets = copies(drawn, [400, 100, 0], 0.2, generator=seeded(0))
    assert classes.tolist() == [0] * 400 + [1] * 100 and targets.shape == (50, 500, 1)
    noise = (targets[..., 0] - drawn[:, classes]).double()
    assert noise.std().item() == pytest.approx(0.2, rel=4 / math.sqrt(2 * noise.numel()))
    assert abs(noise.mean().item()) < 4 * 0.2 / math.sqrt(noise.numel())
    again = copies(drawn, [400, 100, 0], 0.2, generator=seeded(0))[1]
    assert torch.equal(again, targets)


@pytest.mark.parametrize("distractors, strength", [(0, 1.0), (7, 0.5), (18, 3.0)])
def test_recall_trials(distractors: int, strength: float) -> None:
    inputs, bits = recall(20, 300, distractors, strength, generator=seeded(2))
    assert inputs.shape == (20, 300, 3) and set(bits.tolist()) == {0, 1}
    mark, line, cue = inputs.unbind(2)
    assert (mark[0] == 1).all() and (mark[1:] == 0).all()
    assert (cue[-1] == 1).all() and (cue[:-1] == 0).all()
    assert torch.equal(line[0], 2.0 * bits - 1) and (line[-1] == 0).all()
    between = line[1:-1]
    assert ((between != 0).sum(dim=0) == distractors).all()
    assert set(between.abs().unique().tolist()) <= {0.0, strength}
    if distractors == 7:  # anywhere, of either sign, whatever the bit
        often = (between != 0).double().mean(dim=1)
        assert (often - 7 / 18).abs().max() < 4 * math.sqrt(7 / 18 * 11 / 18 / 300)
        signs = between.sign().sum(dim=0).double()
        assert abs(signs.mean().item()) < 4 * math.sqrt(7 / 300)
        assert abs(np.corrcoef(signs.numpy(), bits.numpy())[0, 1]) < 4 / math.sqrt(300)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: curves("sinusoid", 5), "unknown kind 'sinusoid'; did you mean 'sinusoidal'"),
        (lambda: curves("uniform", 0), "steps must be a whole number, at least 1; got 0"),
        (lambda: curves("uniform", 5, 1.5), "classes must be a whole number, at least 1; got 1.5"),
        (lambda: copies(torch.zeros(5, 2), [3]), r"each of the 2 classes; got \[3\]"),
        (lambda: copies(torch.zeros(5, 2), [0, 0]), r"each of the 2 classes; got \[0, 0\]"),
        (lambda: copies(torch.zeros(5, 1), [3], -1.0), "noise must be at least 0; got -1.0"),
        (lambda: recall(2, 1), "steps must be at least 3; got 2"),
        (lambda: recall(5, 1, 4), "from 0 to steps - 2, 3; got 4"),
        (lambda: recall(5, 1, 1.0), "from 0 to steps - 2, 3; got 1.0"),
    ],
)
def test_refusals(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
