"""The n-bit flip-flop task: on each channel, say the sign of the last pulse."""

import torch
from torch import Tensor

from neuroflip.rate.arguments import probability, size


def flip_flop(
    steps: int,
    trials: int,
    channels: int = 3,
    pulse_rate: float = 0.1,
    *,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Random trials of the n-bit flip-flop task: (inputs, targets), both (steps, trials, channels).

    After Sussillo & Barak 2013, Neural Comput. 25:626. Each channel is a line that rests at 0 and
    carries pulses of one step, +1 or -1 with equal chance, independent of the other channels. The
    target of a channel is its last pulse, the present step's included: +1 or -1, as every channel
    has a pulse at step 0.

    steps, trials, channels: whole numbers, at least 1.
    pulse_rate: the probability of a pulse, per channel and step after the first. Pulses are
        1/pulse_rate steps apart on average, and half of them change the target.
    generator: draws the trials; torch's own if None.
    ValueError for an argument out of range.

    >>> inputs, targets = flip_flop(6, 1, 1, 0.4, generator=torch.Generator().manual_seed(1))
    >>> inputs.flatten().tolist()
    [1.0, 1.0, 0.0, 0.0, -1.0, 0.0]
    >>> targets.flatten().tolist()
    [1.0, 1.0, 1.0, 1.0, -1.0, -1.0]
    """
    shape = (size(steps, "steps"), size(trials, "trials"), size(channels, "channels"))
    pulsed = torch.rand(shape, generator=generator) < probability(pulse_rate, "pulse_rate")
    pulsed[0] = True
    signs = 2.0 * torch.randint(0, 2, shape, generator=generator) - 1
    step = torch.arange(steps).view(-1, 1, 1)
    last = torch.where(pulsed, step, 0).cummax(dim=0).values
    return torch.where(pulsed, signs, 0.0), signs.gather(0, last)
