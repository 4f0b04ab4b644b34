"""The compiled loops of the scans."""

from collections.abc import Callable
from typing import Any, cast

import numba

from neuroflip.rate.gates import sigmoid


def _compiled(function: Callable[..., None]) -> Callable[..., None]:
    """Compiled at the first call, kept on disk, run without the interpreter's lock.

    An inner loop writes one array and reads few: the compiler uses vector registers only where
    it need not compare more than eight pairs of arrays for overlap.
    """
    kernel = numba.njit(cache=True, nogil=True, error_model="numpy")(function)
    return cast(Callable[..., None], kernel)


@_compiled
def linear_loop(
    a: Any, b: Any, start: Any, h: Any, row: Any, steps: Any, turn: Any, left: Any, right: Any
) -> None:
    """Columns left..right of `steps` rows from `row` on, forwards (turn 1) or backwards (-1)."""
    past = start[left:right]
    for t in range(row, row + turn * steps, turn):
        slope, shift, now = a[t + (turn < 0), left:right], b[t, left:right], h[t, left:right]
        for i in range(right - left):
            now[i] = slope[i] * past[i] + shift[i]
        past = now


@_compiled
def ends_loop(a: Any, b: Any, product: Any, offset: Any, row: Any, steps: Any, turn: Any) -> None:
    """product and offset, at first 1 and 0, of the map from before these rows to after them."""
    for t in range(row, row + turn * steps, turn):
        slope, shift = a[t + (turn < 0)], b[t]
        for i in range(product.size):
            product[i] = slope[i] * product[i]
            offset[i] = slope[i] * offset[i] + shift[i]


@_compiled
def gated_loop(
    hard: Any, zj: Any, tj: Any, bj: Any, zk: Any, tk: Any, bk: Any, u_j: Any, u_k: Any,
    gate_j: Any, gate_k: Any, states: Any, first: Any, last: Any, left: Any, right: Any,
) -> None:  # fmt: skip
    """Sequences first..last, units left..right; tj, bj: the strides of zj over T and B."""
    zero, one = zj.dtype.type(0), zj.dtype.type(1)
    quarter, half = zj.dtype.type(0.25), zj.dtype.type(0.5)
    size = right - left
    weight_j, weight_k = u_j[left:right], u_k[left:right]
    for t in range(gate_j.shape[0]):
        for s in range(first, last):
            in_j = zj[t * tj + s * bj + left :][:size]
            in_k = zk[t * tk + s * bk + left :][:size]
            out_j, out_k = gate_j[t, s, left:right], gate_k[t, s, left:right]
            past, now = states[t, s, left:right], states[t + 1, s, left:right]
            if hard:
                for i in range(size):
                    x = (in_j[i] + weight_j[i] * past[i]) * quarter + half
                    x = zero if x < zero else x  # NaN stays NaN
                    out_j[i] = one if x > one else x
                for i in range(size):
                    x = (in_k[i] + weight_k[i] * past[i]) * quarter + half
                    x = zero if x < zero else x  # NaN stays NaN
                    out_k[i] = one if x > one else x
            else:
                for i in range(size):
                    out_j[i] = sigmoid(in_j[i] + weight_j[i] * past[i])
                for i in range(size):
                    out_k[i] = sigmoid(in_k[i] + weight_k[i] * past[i])
            for i in range(size):
                now[i] = out_j[i] * (one - past[i]) + (one - out_k[i]) * past[i]


@_compiled
def gated_backwards_loop(
    hard: Any, dh: Any, th: Any, bh: Any, gate_j: Any, gate_k: Any, u_j: Any, u_k: Any,
    states: Any, dzj: Any, dzk: Any, carry: Any, first: Any, last: Any, left: Any, right: Any,
) -> None:  # fmt: skip
    """carry, (B, H), starts at 0 and ends as the gradient of h0."""
    zero, one, quarter = gate_j.dtype.type(0), gate_j.dtype.type(1), gate_j.dtype.type(0.25)
    size = right - left
    weight_j, weight_k = u_j[left:right], u_k[left:right]
    for t in range(gate_j.shape[0] - 1, -1, -1):
        for s in range(first, last):
            above = dh[t * th + s * bh + left :][:size]
            out_j, out_k = gate_j[t, s, left:right], gate_k[t, s, left:right]
            past, later = states[t, s, left:right], carry[s, left:right]
            to_j, to_k = dzj[t, s, left:right], dzk[t, s, left:right]
            if hard:
                for i in range(size):
                    slope = quarter if (zero < out_j[i]) & (out_j[i] < one) else zero
                    to_j[i] = (above[i] + later[i]) * (one - past[i]) * slope
                for i in range(size):
                    slope = quarter if (zero < out_k[i]) & (out_k[i] < one) else zero
                    to_k[i] = (above[i] + later[i]) * -past[i] * slope
            else:
                for i in range(size):
                    slope = out_j[i] * (one - out_j[i])
                    to_j[i] = (above[i] + later[i]) * (one - past[i]) * slope
                for i in range(size):
                    slope = out_k[i] * (one - out_k[i])
                    to_k[i] = (above[i] + later[i]) * -past[i] * slope
            for i in range(size):
                kept = (above[i] + later[i]) * (one - out_j[i] - out_k[i])
                later[i] = kept + to_j[i] * weight_j[i] + to_k[i] * weight_k[i]
