"""Paired-associate recall: pairs of a key and a value are shown once, then the keys as cues."""

from typing import NamedTuple

import torch
from torch import Tensor

from neuroflip.rate.arguments import probability, size


class Associations(NamedTuple):
    """Trials of paired-associate recall.

    inputs: (2 pairs, trials, key_size + values). Steps 0 to pairs-1 show a pair each, key and value
    (one-hot); the others show the cue alone. targets: (pairs, trials), the value asked for by each
    cue. order: (pairs, trials), which pair that is.
    """

    inputs: Tensor
    targets: Tensor
    order: Tensor


def paired_associates(
    pairs: int,
    trials: int,
    key_size: int = 16,
    values: int = 4,
    *,
    flipped: float = 0.0,
    erased: float = 0.0,
    generator: torch.Generator | None = None,
) -> Associations:
    """Random trials of paired-associate recall, of new pairs each.

    Keys are random patterns of +1 and -1, values are drawn uniformly and independently of each
    other. In the second half of a trial every key comes once more, in random order, as a cue, whose
    elements may be flipped (a noisy cue) or 0 (a partial one). Guessing is right in 1/values of the
    cues.

    pairs, trials, key_size, values: whole numbers, at least 1.
    flipped: probability that an element of a cue has the wrong sign; erased: that it is 0, each
        element by itself.
    generator: draws the trials; torch's own if None.
    ValueError for an argument out of range.

    >>> trial = paired_associates(3, 1, 4, 2, generator=torch.Generator().manual_seed(0))
    >>> trial.inputs.shape, trial.targets.shape
    (torch.Size([6, 1, 6]), torch.Size([3, 1]))
    >>> shown, cue = trial.inputs[trial.order[0, 0], 0], trial.inputs[3, 0]
    >>> shown[:4].tolist() == cue[:4].tolist(), shown[4 + int(trial.targets[0, 0])].item()
    (True, 1.0)
    """
    pairs, trials = size(pairs, "pairs"), size(trials, "trials")
    key_size, values = size(key_size, "key_size"), size(values, "values")
    wrong, missing = probability(flipped, "flipped"), probability(erased, "erased")
    keys = 2.0 * torch.randint(0, 2, (pairs, trials, key_size), generator=generator) - 1
    value = torch.randint(0, values, (pairs, trials), generator=generator)
    order = torch.rand(pairs, trials, generator=generator).argsort(0)
    cues = keys.gather(0, order.unsqueeze(2).expand_as(keys))
    cues = torch.where(torch.rand(cues.shape, generator=generator) < wrong, -cues, cues)
    cues = torch.where(torch.rand(cues.shape, generator=generator) < missing, 0.0, cues)
    inputs = torch.zeros(2 * pairs, trials, key_size + values)
    inputs[:pairs, :, :key_size] = keys
    inputs[:pairs, :, key_size:] = torch.nn.functional.one_hot(value, values)
    inputs[pairs:, :, :key_size] = cues
    return Associations(inputs, value.gather(0, order), order)
