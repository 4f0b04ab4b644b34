"""Remembering one bit: how the initialisation of the layer decides whether it is learned.

A line carries random bits. The first is marked, by a second line, and must be told at the end;
the others are distractors of the same strength. What is compared is only how the weights begin:
from `neuroflip.rate.init` the published start, whose gates are half open and forget within two
steps, and starts that hold, with time scales up to 100 steps and up to those of the default.

    python -m neuroflip.sims.hold_init
"""

from typing import Any

import torch
from torch import Tensor, nn

from neuroflip.rate import Chrono, FlipFlop, Init

INITS: dict[str, str | Init] = {
    "published": "published",
    "chrono, 100": Chrono(t_max=100.0),
    "chrono": "chrono",
}
"""The starts compared; the last is the default."""


class Model(nn.Module):
    """Bits and their mark (T, B, 2) -> the score of a 1 for each string, (B,)."""

    def __init__(self, init: str | Init, units: int = 32) -> None:
        super().__init__()
        self.memory = FlipFlop(2, units, init=init)
        self.readout = nn.Linear(units, 1)

    def forward(self, lines: Tensor) -> Tensor:
        score: Tensor = self.readout(self.memory(lines)[1][0])[:, 0]
        return score


def hold_init(
    seed: int = 0,
    init: str | Init = "chrono",
    length: int = 200,
    updates: int = 200,
    strings: int = 1000,
) -> dict[str, Any]:
    """Train one net of 32 units and test it on new strings.

    init: as `neuroflip.rate.FlipFlop` takes it. length: of the strings, in steps. updates: of
    Adam, each on 64 new strings, cross-entropy at the end, learning rate 0.02, gradients clipped
    to norm 1. strings: tested.

    Returns {"seed", "loss": the last training loss, "accuracy": the share of strings right}.

    >>> hold_init(length=5, updates=2, strings=10)["accuracy"] <= 1
    True
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Model(init)
        loss = _train(model, length, updates)
        with torch.no_grad():
            lines, first = _strings(length, strings)
            right = (model(lines) > 0) == (first > 0)
    return {"seed": seed, "loss": loss, "accuracy": float(right.double().mean())}


def _strings(length: int, count: int) -> tuple[Tensor, Tensor]:
    """Lines (length, count, 2), bits as -1 and 1 and the mark; and the marked bits, 0 or 1."""
    bits = torch.randint(0, 2, (length, count)).float()
    mark = torch.zeros(length, count)
    mark[0] = 1
    return torch.stack([2 * bits - 1, mark], dim=-1), bits[0]


def _train(model: Model, length: int, updates: int) -> float:
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    loss = torch.full((), torch.nan)
    for _ in range(updates):
        lines, first = _strings(length, 64)
        loss = nn.functional.binary_cross_entropy_with_logits(model(lines), first)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return float(loss.detach())


def main() -> None:
    """Print, for each start and length, the share of strings right: mean and sd of five seeds."""
    torch.set_num_threads(1)  # arrays this small gain nothing from more
    lengths = (100, 200)
    print("start        " + "".join(f"{length:>16}" for length in lengths))
    for name, init in INITS.items():
        line = f"{name:<13}"
        for length in lengths:
            results = [hold_init(seed, init, length) for seed in range(5)]
            shares = torch.tensor([result["accuracy"] for result in results])
            line += f"{shares.mean():>9.3f} ± {shares.std():.2f}"
        print(line, flush=True)


if __name__ == "__main__":
    main()
