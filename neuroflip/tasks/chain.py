"""A hidden chain of two states, seen through noise, and the exact filter of its state."""

import math

import torch
from torch import Tensor

from neuroflip.rate.arguments import probability, size


def hidden_chain(
    steps: int,
    trials: int,
    rise: float = 0.05,
    fall: float = 0.1,
    noise: float = 1.5,
    *,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Random trials of a two-state chain: (seen, states), both (steps, trials).

    A state goes from 0 to 1 with probability `rise` in a step and from 1 to 0 with `fall`; the
    first is drawn from the stationary distribution, rise/(rise + fall) being that of a 1. What is
    seen of it is -1 or +1 with normal noise of standard deviation `noise`.

    steps, trials: whole numbers, at least 1. generator: draws the trials; torch's own if None.
    ValueError for an argument out of range.

    >>> seen, states = hidden_chain(5, 1, 0.5, 0.5, 0.1, generator=torch.Generator().manual_seed(1))
    >>> states.flatten().tolist(), (seen > 0).int().flatten().tolist()
    ([0, 1, 1, 0, 1], [0, 1, 1, 0, 1])
    """
    shape = (size(steps, "steps"), size(trials, "trials"))
    rise, fall = probability(rise, "rise"), probability(fall, "fall")
    if not rise + fall > 0:
        raise ValueError(f"rise and fall must not both be 0; got {rise!r} and {fall!r}.")
    if not 0 < noise < math.inf:
        raise ValueError(f"noise must be above 0 and finite; got {noise!r}.")
    chance = torch.rand(shape, generator=generator)
    states = torch.empty(shape, dtype=torch.int64)
    up = torch.full((trials,), rise / (rise + fall))
    for t in range(steps):
        states[t] = chance[t] < up
        up = torch.where(states[t] == 1, 1 - fall, rise)
    seen = 2.0 * states - 1 + noise * torch.randn(shape, generator=generator)
    return seen, states


def filtered(
    seen: Tensor, rise: float = 0.05, fall: float = 0.1, noise: float = 1.5
) -> tuple[Tensor, Tensor]:
    """The log-odds of a 1 at every step, (steps, trials), for an observer that knows the chain:
    of all that was seen so far, and of this step alone.

    With b the probability after a step, before the next one is seen it is, exactly as the state of
    a flip-flop neuron with gates J = rise and K = fall,

        b' = rise (1 - b) + (1 - fall) b

    and seeing x adds log p(x | 1) - log p(x | 0) = 2 x / noise^2 to the log-odds (Rabiner 1989,
    Proc. IEEE 77:257, forward recursion). ValueError unless rise, fall and noise are above 0.

    >>> both = filtered(torch.tensor([[0.0], [0.0]]), 0.25, 0.25, 1.0)
    >>> [odds.flatten().tolist() for odds in both]
    [[0.0, 0.0], [0.0, 0.0]]
    """
    for name, value in (("rise", rise), ("fall", fall), ("noise", noise)):
        if not value > 0:
            raise ValueError(f"{name} must be above 0; got {value!r}.")
    evidence = 2 * seen.double() / noise**2
    stationary = math.log(rise / fall)
    odds = torch.empty_like(evidence)
    before = torch.full_like(evidence[0], stationary)
    for t, step in enumerate(evidence):
        odds[t] = before + step
        b = torch.sigmoid(odds[t])
        before = torch.logit(rise * (1 - b) + (1 - fall) * b)
    return odds, stationary + evidence
