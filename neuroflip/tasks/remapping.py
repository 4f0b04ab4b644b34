"""Remapping: the responses that stimuli ask for change, unannounced, as in reversal learning."""

import torch
from torch import Tensor

from neuroflip.rate.arguments import size


def mappings(
    blocks: int, stimuli: int, responses: int, *, generator: torch.Generator | None = None
) -> Tensor:
    """The right response to each stimulus in each block, (blocks, stimuli).

    The first block is drawn uniformly; in each later one every stimulus asks for another response
    than before, drawn uniformly from the others.

    blocks, stimuli: whole numbers, at least 1. responses: at least 2. generator: draws them;
    torch's own if None. ValueError for an argument out of range.

    >>> found = mappings(3, 4, 2, generator=torch.Generator().manual_seed(0))
    >>> bool((found[1] == 1 - found[0]).all()), bool((found[2] == found[0]).all())
    (True, True)
    """
    shape = (size(blocks, "blocks"), size(stimuli, "stimuli"))
    if size(responses, "responses") < 2:
        raise ValueError(f"responses must be at least 2; got {responses!r}.")
    first = torch.randint(0, responses, (1, shape[1]), generator=generator)
    steps = torch.randint(1, responses, (shape[0] - 1, shape[1]), generator=generator)
    return torch.cat([first, steps]).cumsum(0) % responses


def cue_pairs(
    trials: int,
    cues: int = 3,
    delay: int = 4,
    noise: float = 0.1,
    *,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Trials whose stimulus is a first cue, a delay, and a second cue: (inputs, stimulus).

    inputs: (delay + 2, trials, 2 cues), the first cue one-hot in the first half of the channels at
        step 0, the second one in the other half at the last step, with Gaussian noise at all.
    stimulus: (trials,), first cue times `cues` plus second cue, both drawn uniformly. A response
        that depends on both needs memory over the delay.

    trials, cues: whole numbers, at least 1. delay: at least 1. noise: standard deviation, at least
    0. generator: draws the trials; torch's own if None. ValueError for an argument out of range.

    >>> inputs, stimulus = cue_pairs(1, 2, 1, 0.0, generator=torch.Generator().manual_seed(0))
    >>> inputs[:, 0].int().tolist(), stimulus.tolist()
    ([[1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1]], [1])
    """
    trials, cues, delay = size(trials, "trials"), size(cues, "cues"), size(delay, "delay")
    if not noise >= 0:
        raise ValueError(f"noise must be at least 0; got {noise!r}.")
    pair = torch.randint(0, cues, (2, trials), generator=generator)
    inputs = noise * torch.randn(delay + 2, trials, 2 * cues, generator=generator)
    shown = torch.nn.functional.one_hot(pair, cues)
    inputs[0, :, :cues] += shown[0]
    inputs[-1, :, cues:] += shown[1]
    return inputs, pair[0] * cues + pair[1]
