"""The 3-bit flip-flop task: does the layer learn to keep three bits, and for how long?

On each of three lines come pulses of +1 and -1; the net must say the last one of every line, at
every step (Sussillo & Barak 2013, Neural Comput. 25:626).

    python -m neuroflip.sims.three_bit
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from neuroflip.rate import FlipFlop
from neuroflip.tasks import flip_flop

TRAINED = 50
"""Steps of the trials in training."""


class Model(nn.Module):
    """Pulses (T, B, 3) -> what the net says of each line, (T, B, 3); positive for +1.

    layer: makes the recurrent layer, of its inputs and its units.
    """

    def __init__(self, units: int = 32, layer: Callable[[int, int], nn.Module] = FlipFlop) -> None:
        super().__init__()
        self.memory = layer(3, units)
        self.readout = nn.Linear(units, 3)

    def forward(self, pulses: Tensor) -> Tensor:
        said: Tensor = self.readout(self.memory(pulses)[0])
        return said


def three_bit(
    seed: int = 0,
    updates: int = 600,
    lengths: Sequence[int] = (TRAINED, 4 * TRAINED),
    trials: int = 500,
) -> dict[str, Any]:
    """Train one net and test it on new trials.

    updates: of Adam, each on 64 new trials of 50 steps, mean squared error at every step, learning
    rate 0.02 falling to 0 along a cosine, gradients clipped to norm 1. lengths: of the trials
    tested, `trials` new ones of each.

    Returns {"seed", "loss": the last training loss, "accuracy": length -> share of the bits
    right, over steps, trials and lines}.

    >>> 0 < three_bit(updates=2, lengths=(8,), trials=4)["accuracy"][8] <= 1
    True
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Model()
        loss = train(model, updates)
        accuracy = {length: _test(model, length, trials) for length in lengths}
    return {"seed": seed, "loss": loss, "accuracy": accuracy}


def train(model: Model, updates: int) -> float:
    """Train a net as `three_bit` says, with torch's generator; the last loss."""
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, updates)
    loss = torch.full((), torch.nan)
    for _ in range(updates):
        pulses, bits = flip_flop(TRAINED, 64)
        loss = nn.functional.mse_loss(model(pulses), bits)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    return float(loss.detach())


@torch.no_grad()
def _test(model: Model, length: int, trials: int) -> float:
    pulses, bits = flip_flop(length, trials)
    right = model(pulses) * bits > 0
    return float(int(right.sum()) / right.numel())


def main() -> None:
    """Train five nets and print the share of bits right."""
    torch.set_num_threads(1)  # arrays this small gain nothing from more
    results = [three_bit(seed) for seed in range(5)]
    lengths = list(results[0]["accuracy"])
    print("seed      loss      " + "".join(f"{length:>10}" for length in lengths))
    for result in results:
        shares = "".join(f"{result['accuracy'][length]:>10.6f}" for length in lengths)
        print(f"{result['seed']:<10}{result['loss']:<10.2g}{shares}")


if __name__ == "__main__":
    main()
