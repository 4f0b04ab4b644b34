"""The gate functions, for torch tensors and inside compiled loops."""

import math
from typing import Any

import numba
import numpy as np
import torch
from numba.extending import overload
from torch import Tensor

from neuroflip.rate.threads import compiled

GATES = ("sigmoid", "hard")
"""The gates: 1/(1 + exp(-z)), and clip(z/4 + 1/2, 0, 1), its tangent at 0, clipped."""


def gate_of(z: Tensor, gate: str) -> Tensor:
    """The gate's value at pre-activation z, any shape.

    >>> gate_of(torch.tensor([-2.0, 0.0, 2.0]), "hard")
    tensor([0.0000, 0.5000, 1.0000])
    """
    return torch.sigmoid(z) if gate == "sigmoid" else (z / 4 + 0.5).clamp(0, 1)


def slope_of(gated: Tensor, gate: str) -> Tensor:
    """The gate's derivative, from its value; of the hard gate 0 at the bounds.

    >>> slope_of(torch.tensor([0.5, 1.0]), "hard")
    tensor([0.2500, 0.0000])
    """
    if gate == "hard":
        return ((gated > 0) & (gated < 1)).to(gated.dtype) / 4
    return gated * (1 - gated)


def sigmoid(z: Any) -> Any:
    """1/(1 + exp(-z)) within compiled loops."""
    return 1.0 / (1.0 + math.exp(-z))


@overload(sigmoid)
def _sigmoid_compiled(z: Any) -> Any:
    """float32: exp by range reduction and a polynomial, so that loops run in vector registers.

    The polynomial is the minimax one of degree 5 for exp(-r), |r| <= ln 2 / 2, off by 1e-7 of it.
    """
    if z != numba.float32:
        return sigmoid
    one, low, high = np.float32(1), np.float32(-88), np.float32(87)
    log2e, ln2 = np.float32(-1.4426950408889634), np.float32(0.6931471805599453)
    magic, bias = np.float32(12582912.0), np.int32(0x4B400000 - 127)
    c1, c2, c3, c4, c5 = (
        np.float32(c) for c in (-0.99999971, 0.49999149, -0.16667636, 0.04189794, -0.00829031)
    )

    def sigmoid32(z: Any) -> Any:
        z = low if z < low else z  # NaN stays NaN
        z = high if z > high else z
        shifted = z * log2e + magic  # the nearest whole number is in its last bits
        n = shifted - magic
        r = z + n * ln2
        p = one + r * (c1 + r * (c2 + r * (c3 + r * (c4 + r * c5))))  # exp(-r)
        exponent = np.int32(np.float32(shifted).view(np.int32) - bias)
        return one / (one + p * np.int32(exponent << np.int32(23)).view(np.float32))

    return sigmoid32


@compiled
def open_gates(z: Any, hard: bool) -> None:
    """Pre-activations become gates, in place; z: (N,)."""
    zero, one = z.dtype.type(0), z.dtype.type(1)
    quarter, half = z.dtype.type(0.25), z.dtype.type(0.5)
    if hard:
        for i in range(z.size):
            x = z[i] * quarter + half
            x = zero if x < zero else x  # NaN stays NaN
            z[i] = one if x > one else x
    else:
        for i in range(z.size):
            z[i] = sigmoid(z[i])


@compiled
def slope(gated: Any, hard: bool) -> Any:
    """`slope_of` one gate within compiled loops."""
    zero, quarter, one = np.float32(0), np.float32(0.25), np.float32(1)  # exact in either precision
    if hard:
        return quarter if (zero < gated) & (gated < one) else zero
    return gated * (one - gated)


@compiled
def through_gates(d: Any, hard: bool, gates: Any) -> None:
    """Gradients of gates become, in place, those of their pre-activations; of one row."""
    for i in range(d.size):
        d[i] *= slope(gates[i], hard)
