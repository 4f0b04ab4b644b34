"""How the weights of a flip-flop layer begin."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol, final

import torch
from torch import Tensor

from neuroflip.errors import nearest


class Init(Protocol):
    """Fills the parameters of one layer and direction, in place, from torch's generator."""

    def __call__(
        self, weight_ih: Tensor, weight_hh: Tensor | None, biases: Sequence[Tensor], gate: str
    ) -> None:
        """weight_ih: (2H, I), rows [J; K]. weight_hh: (2H, H), (2H,) of a diagonal recurrence, or
        None. biases: none, one or two of (2H,); they add. gate: "sigmoid" or "hard"."""


@final
@dataclass(frozen=True)
class Chrono:
    """Biases that hold: time scales log-uniform between 1 and `t_max` steps.

    With z = b alone, J = K = 1/(2 tau), so that h' = h + (1/2 - h)/tau and the state decays with
    rate 1 - 1/tau, tau = 1/(J + K). tau is drawn from t_max**U(0, 1), one per unit, and

        b = -log(2 tau - 1)    (sigmoid)        b = 2/tau - 2    (hard)

    Weights are U(-1/sqrt(H), 1/sqrt(H)), torch's choice for its recurrent layers. After the
    chrono initialisation of Tallec & Ollivier 2018 (ICLR, arXiv 1804.11188), who draw tau
    uniformly for the forget gate of an LSTM. Of two biases the second begins at 0.

    >>> bias = torch.zeros(2000)
    >>> Chrono(t_max=50.0)(torch.zeros(2000, 1), None, [bias], "sigmoid")
    >>> tau = 1 / torch.sigmoid(bias).reshape(2, 1000).sum(dim=0)
    >>> bool(tau.min() >= 0.999), bool(tau.max() <= 50.01)
    (True, True)
    >>> Chrono(t_max=0.5)
    Traceback (most recent call last):
        ...
    ValueError: Chrono.t_max must be a finite number, at least 1 step; got 0.5.
    """

    t_max: float = 1000.0
    """The longest time scale (steps). `neuroflip.sims.hold_init` compares it with a shorter one."""

    def __post_init__(self) -> None:
        number = isinstance(self.t_max, int | float) and not isinstance(self.t_max, bool)
        if not number or not 1 <= self.t_max < math.inf:
            raise ValueError(
                f"Chrono.t_max must be a finite number, at least 1 step; got {self.t_max!r}."
            )

    @torch.no_grad()
    def __call__(
        self, weight_ih: Tensor, weight_hh: Tensor | None, biases: Sequence[Tensor], gate: str
    ) -> None:
        hidden = weight_ih.shape[0] // 2
        for weight in (weight_ih, weight_hh):
            if weight is not None:
                weight.uniform_(-1 / math.sqrt(hidden), 1 / math.sqrt(hidden))
        for bias in biases[1:]:
            bias.zero_()
        for bias in biases[:1]:
            tau = self.t_max ** torch.rand(hidden, dtype=bias.dtype, device=bias.device)
            held = -torch.log(2 * tau - 1) if gate == "sigmoid" else 2 / tau - 2
            bias.copy_(held.repeat(2))


@final
@dataclass(frozen=True)
class Published:
    """The start of the code that Bhat & Kayathwal released ("Flip Flops in Neural Models").

    Xavier-uniform over the fused (2H, I + H) matrix, U(-a, a) with a = sqrt(6/(3H + I)), and
    every bias 0.1; of two biases the second begins at 0, so that their sum is 0.1.

    >>> bias = torch.zeros(4)
    >>> Published()(torch.zeros(4, 3), torch.zeros(4, 2), [bias], "sigmoid")
    >>> bias
    tensor([0.1000, 0.1000, 0.1000, 0.1000])
    """

    @torch.no_grad()
    def __call__(
        self, weight_ih: Tensor, weight_hh: Tensor | None, biases: Sequence[Tensor], gate: str
    ) -> None:
        rows, inputs = weight_ih.shape
        bound = math.sqrt(6 / (rows + inputs + rows // 2))
        for weight in (weight_ih, weight_hh):
            if weight is not None:
                weight.uniform_(-bound, bound)
        for number, bias in enumerate(biases):
            bias.fill_(0.0 if number else 0.1)


INITS: Mapping[str, Init] = MappingProxyType({"chrono": Chrono(), "published": Published()})
"""The initialisations that have a name."""


def find_init(init: str | Init) -> Init:
    """The initialisation of that name, or the one given.

    >>> find_init("chrono")
    Chrono(t_max=1000.0)
    >>> find_init("crono")
    Traceback (most recent call last):
        ...
    ValueError: unknown init 'crono'; did you mean 'chrono'?
    """
    if not isinstance(init, str):
        return init
    if init not in INITS:
        raise ValueError(f"unknown init {init!r}; {nearest(init, INITS)}")
    return INITS[init]
