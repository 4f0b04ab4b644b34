"""The compiled loops of the scans."""

from typing import Any

import numpy as np

from neuroflip.rate.gates import open_gates, through_gates
from neuroflip.rate.products import ROWS, add_product
from neuroflip.rate.threads import compiled


@compiled
def linear_loop(
    a: Any, b: Any, start: Any, h: Any, row: int, steps: int, turn: int, left: int, right: int
) -> None:
    """Columns left..right of `steps` rows from `row` on, forwards (turn 1) or backwards (-1)."""
    past = start[left:right]
    for t in range(row, row + turn * steps, turn):
        slope, shift, now = a[t + (turn < 0), left:right], b[t, left:right], h[t, left:right]
        for i in range(right - left):
            now[i] = slope[i] * past[i] + shift[i]
        past = now


@compiled
def ends_loop(a: Any, b: Any, product: Any, offset: Any, row: int, steps: int, turn: int) -> None:
    """product and offset, at first 1 and 0, of the map from before these rows to after them."""
    for t in range(row, row + turn * steps, turn):
        slope, shift = a[t + (turn < 0)], b[t]
        for i in range(product.size):
            product[i] = slope[i] * product[i]
            offset[i] = slope[i] * offset[i] + shift[i]


# A lane is a sequence, or a block of the units of one: lane q is block q % P of sequence q // P.
# Rows of gates and of their gradients are [J, K] of a lane. Steps are taken four at a time, all
# lanes in turn: memory is read as it lies, and a row of weights serves four steps.


@compiled
def gated_loop(
    hard: bool, drive: Any, w: Any, bias: Any, u: Any, h0: Any, gates: Any, h: Any,
    first: int, last: int,
) -> None:  # fmt: skip
    """Lanes first..last of n units each through all steps; fills h (T, L, n).

    drive: x (T, B, I) with weights w (P, I, 2n), or the pre-activations (T, L, 2n) with I = 0.
    bias: (P, 2n). u: (P, 2n), or (P, 0) for none. gates: (T, L, 2n), filled, or (0, L, 2n).
    """
    steps, _, n = h.shape
    blocks, inputs, _ = w.shape
    zero, one = h.dtype.type(0), h.dtype.type(1)
    z = np.zeros((ROWS, 2 * n), h.dtype)
    flat = z.reshape(z.size)
    given = np.zeros((ROWS, inputs), h.dtype)
    for t0 in range(0, steps, ROWS):
        rows = min(ROWS, steps - t0)
        for lane in range(first, last):
            block = lane % blocks
            if inputs:
                for r in range(rows):
                    row, x = given[r], drive[t0 + r, lane // blocks]
                    for i in range(inputs):
                        row[i] = x[i]
                for i in range(flat.size):
                    flat[i] = zero
                add_product(z, given, w[block], rows)
            past = h[t0 - 1, lane] if t0 else h0[lane]
            for r in range(rows):
                t = t0 + r
                here = z[r]
                seen = here if inputs else drive[t, lane]
                if u.shape[1]:
                    for part in (slice(0, n), slice(n, 2 * n)):
                        weight, one_gate, alone = u[block][part], here[part], seen[part]
                        for i in range(n):
                            one_gate[i] = alone[i] + weight[i] * past[i]
                    seen = here
                opened = gates[t, lane] if gates.shape[0] else here
                open_gates(seen, bias[block], hard, opened)
                j, k, now = opened[:n], opened[n:], h[t, lane]
                for i in range(n):
                    now[i] = j[i] * (one - past[i]) + (one - k[i]) * past[i]
                past = now


@compiled
def gated_backwards_loop(
    hard: bool, dh: Any, stride_t: int, stride_b: int, x: Any, u: Any, h0: Any, gates: Any, h: Any,
    carry: Any, dz: Any, dw: Any, dbias: Any, du: Any, first: int, last: int,
) -> None:  # fmt: skip
    """Lanes first..last back through all steps.

    dh: the memory under the gradient of h, and its strides over steps and sequences. carry: (L, n),
    starts at 0 and ends as the gradient of h0. Filled where they have steps, inputs or units:
    dz (T, L, 2n), the gradient of the pre-activations; added to, of the weights, dw (P, I', 2n),
    I' the multiple of 4 from I on, and dbias (P, 2n); added to, du (P, 2n).
    """
    steps, _, n = h.shape
    blocks, inputs, _ = dw.shape
    zero, one = h.dtype.type(0), h.dtype.type(1)
    d = np.zeros((ROWS, 2 * n), h.dtype)
    d0, d1, d2, d3 = d[0], d[1], d[2], d[3]
    given = np.zeros((inputs, ROWS), h.dtype)
    for t0 in range((steps - 1) // ROWS * ROWS, -1, -ROWS):
        rows = min(ROWS, steps - t0)
        for lane in range(first, last):
            block, sequence = lane % blocks, lane // blocks
            later = carry[lane]
            for r in range(ROWS - 1, -1, -1):
                here = d[r]
                if r >= rows:  # steps after the end
                    here[:] = zero
                    continue
                t = t0 + r
                above = dh[t * stride_t + sequence * stride_b + block * n :][:n]
                past = h[t - 1, lane] if t else h0[lane]
                opened = gates[t, lane]
                j, k, to_j, to_k = opened[:n], opened[n:], here[:n], here[n:]
                for i in range(n):
                    later[i] += above[i]
                for i in range(n):
                    to_j[i] = later[i] * (one - past[i])
                for i in range(n):
                    to_k[i] = -later[i] * past[i]
                through_gates(here, hard, opened)
                for i in range(n):
                    later[i] *= one - j[i] - k[i]
                if u.shape[1]:
                    for part in (slice(0, n), slice(n, 2 * n)):
                        weight, to_gate, total = u[block][part], here[part], du[block][part]
                        for i in range(n):
                            later[i] += to_gate[i] * weight[i]
                        for i in range(n):
                            total[i] += to_gate[i] * past[i]
                if dz.shape[0]:
                    kept = dz[t, lane]
                    for i in range(2 * n):
                        kept[i] = here[i]
            if inputs:
                for r in range(ROWS):
                    row = x[min(t0 + r, steps - 1), sequence]  # those after the end meet zeros
                    for i in range(row.size):
                        given[i, r] = row[i]
                for i in range(0, inputs, ROWS):
                    add_product(dw[block][i : i + ROWS], given[i : i + ROWS], d, ROWS)
                total = dbias[block]
                for i in range(2 * n):
                    total[i] += (d0[i] + d1[i]) + (d2[i] + d3[i])
