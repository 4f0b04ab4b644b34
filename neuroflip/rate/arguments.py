"""Arguments that the flip-flop modules share, checked."""

from collections.abc import Sequence

import torch
from torch import Tensor

from neuroflip.errors import nearest

BIASES = ("double", "single")
"""Two biases per gate, which add, as torch.nn.RNN has them; or one."""


def size(value: int, name: str) -> int:
    """The whole number, at least 1.

    >>> size(0, "hidden_size")
    Traceback (most recent call last):
        ...
    ValueError: hidden_size must be a whole number, at least 1; got 0.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name} must be a whole number, at least 1; got {value!r}.")
    return value


def probability(value: float, name: str) -> float:
    """The number from 0 to 1."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError(f"{name} must be a number from 0 to 1; got {value!r}.")
    return float(value)


def one_of(value: str, known: Sequence[str], name: str) -> str:
    """The word, if it is known."""
    if value not in known:
        raise ValueError(f"unknown {name} {value!r}; {nearest(str(value), known)}")
    return value


def find_bias(bias: str | bool) -> str | bool:
    """The bias argument, with True as "double".

    >>> find_bias(True), find_bias("single"), find_bias(False)
    ('double', 'single', False)
    """
    if bias is True:
        return "double"
    if bias is False or (isinstance(bias, str) and bias in BIASES):
        return bias
    raise ValueError(f"bias must be 'double', 'single', True or False; got {bias!r}.")


def bias_names(bias: str | bool) -> tuple[str, ...]:
    """The parameters that a bias argument asks for.

    >>> bias_names("double"), bias_names("single"), bias_names(False)
    (('bias_ih', 'bias_hh'), ('bias_ih',), ())
    """
    return {"double": ("bias_ih", "bias_hh"), "single": ("bias_ih",), False: ()}[bias]


def own_type(x: Tensor, parameter: Tensor, name: str) -> Tensor:
    """x in the type of the parameters: as it comes, or, under autocast, converted."""
    if x.dtype == parameter.dtype:
        return x
    if x.is_floating_point() and torch.is_autocast_enabled(x.device.type):
        return x.to(parameter.dtype)
    raise ValueError(f"{name} must be {parameter.dtype}, as the parameters are; got {x.dtype}.")
