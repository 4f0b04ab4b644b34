"""Running parity of a bit string: does a flip-flop neuron learn to toggle, and for how long?

Trained on random strings of 3 to 40 bits, one layer must say after every bit whether the number
of ones so far is odd. A linear recurrence with positive coefficients cannot do that at any length
(Grazzi et al. 2024, arXiv:2411.12537); the flip-flop's coefficient 1 - J - K reaches -1, and with
the hard gate exactly so.

    python -m neuroflip.sims.parity
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from neuroflip.errors import nearest
from neuroflip.rate.scan import flipflop_scan, linear_scan

CELLS = ("hard", "sigmoid", "mingru")


class Model(nn.Module):
    """Bits (T, B) -> scores of even and odd after each, (T, B, 2); gates from the bit alone.

    cell: the flip-flop neuron with gate "hard" or "sigmoid", h' = J (1 - h) + (1 - K) h; or
        "mingru", h' = (1 - z) h + z c with z = sigmoid(p), c = q (Feng et al. 2024,
        arXiv:2410.01201). All have the same 4 H + 2 H + 2 parameters.
    units: H.

    Gate inputs start uniform in [-1, 1]. The hard gate saturates at -2 and 2 and passes no
    gradient beyond, so no gate starts saturated; Adam drives those in use past the bound, where
    they are exactly 0 or 1 and stay. Among 16 units several learn to toggle.
    """

    def __init__(self, cell: str, units: int = 16) -> None:
        super().__init__()
        self.cell = cell
        self.inputs = nn.Embedding(2, 2 * units)
        nn.init.uniform_(self.inputs.weight, -1, 1)
        self.readout = nn.Linear(units, 2)

    def forward(self, bits: Tensor) -> Tensor:
        p, q = self.inputs(bits).chunk(2, dim=-1)
        h0 = p.new_zeros(p.shape[1:])
        if self.cell == "mingru":
            z = torch.sigmoid(p)
            h = linear_scan(1 - z, z * q, h0)
        else:
            h = flipflop_scan(p, q, h0, self.cell) - 0.5
        scores: Tensor = self.readout(h)
        return scores


def parity(
    seed: int = 0,
    gate: str = "hard",
    steps: int = 1000,
    lengths: Sequence[int] = (256, 4096, 65536),
    strings: int = 16,
) -> dict[str, Any]:
    """Train one model and test it on longer strings.

    gate: "hard" or "sigmoid", the flip-flop neuron's; or "mingru". steps: of Adam, each on 64
    random strings of one random length from 3 to 40, cross-entropy at every position, learning
    rate 0.02 falling to 0.001. lengths: of the strings tested, `strings` random ones of each.
    ValueError for an unknown gate.

    Returns {"gate", "seed", "loss": the last training loss, "toggles": how many units hold at 0
    and toggle at 1 exactly, "accuracy": length -> share of positions right}.

    >>> parity(steps=2, lengths=(8,), strings=4)["accuracy"][8] <= 1
    True
    """
    if gate not in CELLS:
        raise ValueError(f"unknown gate {gate!r}; {nearest(str(gate), CELLS)}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Model(gate)
        loss = _train(model, steps)
        accuracy = {length: _test(model, length, strings) for length in lengths}
    return {
        "gate": gate,
        "seed": seed,
        "loss": loss,
        "toggles": _toggles(model),
        "accuracy": accuracy,
    }


def _strings(length: int, count: int) -> tuple[Tensor, Tensor]:
    """Random bits and their running parity, both (length, count)."""
    bits = torch.randint(0, 2, (length, count))
    return bits, bits.cumsum(0) % 2


def _train(model: Model, steps: int) -> float:
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.05, steps)
    loss = torch.full((), torch.nan)
    for _ in range(steps):
        bits, odd = _strings(int(torch.randint(3, 41, ())), 64)
        loss = nn.functional.cross_entropy(model(bits).flatten(0, 1), odd.flatten())
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    return float(loss.detach())


@torch.no_grad()
def _test(model: Model, length: int, count: int) -> float:
    """The share of positions right; 1.0 only where every one is."""
    bits, odd = _strings(length, count)
    right = model(bits).argmax(dim=-1) == odd
    return float(int(right.sum()) / right.numel())


def _toggles(model: Model) -> int:
    """Units with J = K = 0 at bit 0 and J = K = 1 at bit 1, exactly."""
    if model.cell != "hard":
        return 0
    zero, one = model.inputs.weight.detach()
    j, k = ((one >= 2) & (zero <= -2)).chunk(2)
    return int((j & k).sum())


def main() -> None:
    """Train the three cells and print the share of positions right."""
    results = [parity(gate=cell) for cell in CELLS]
    lengths = list(results[0]["accuracy"])
    print("cell      loss      " + "".join(f"{length:>10}" for length in lengths))
    for result in results:
        shares = "".join(f"{result['accuracy'][length]:>10.4f}" for length in lengths)
        print(f"{result['gate']:<10}{result['loss']:<10.2g}{shares}")


if __name__ == "__main__":
    main()
