"""Products of small matrices within compiled loops."""

from typing import Any

from neuroflip.rate.threads import compiled

ROWS = 4
"""Rows that one pass over the weights serves."""


@compiled
def add_product(z: Any, v: Any, w: Any, rows: int) -> None:
    """z (4, N) += v (4, K) w (K, N), of which only the first `rows` rows are wanted.

    Several rows of w are added in one pass over z, for fewer loads and stores than products.
    """
    inner, columns = w.shape
    k = 0
    if rows > 1:
        z0, z1, z2, z3 = z[0], z[1], z[2], z[3]
        while k + 4 <= inner:
            w0, w1, w2, w3 = w[k], w[k + 1], w[k + 2], w[k + 3]
            a0, a1, a2, a3 = v[0, k], v[0, k + 1], v[0, k + 2], v[0, k + 3]
            b0, b1, b2, b3 = v[1, k], v[1, k + 1], v[1, k + 2], v[1, k + 3]
            c0, c1, c2, c3 = v[2, k], v[2, k + 1], v[2, k + 2], v[2, k + 3]
            d0, d1, d2, d3 = v[3, k], v[3, k + 1], v[3, k + 2], v[3, k + 3]
            for j in range(columns):
                z0[j] += a0 * w0[j] + a1 * w1[j] + a2 * w2[j] + a3 * w3[j]
                z1[j] += b0 * w0[j] + b1 * w1[j] + b2 * w2[j] + b3 * w3[j]
                z2[j] += c0 * w0[j] + c1 * w1[j] + c2 * w2[j] + c3 * w3[j]
                z3[j] += d0 * w0[j] + d1 * w1[j] + d2 * w2[j] + d3 * w3[j]
            k += 4
        while k < inner:
            w0 = w[k]
            for j in range(columns):
                z0[j] += v[0, k] * w0[j]
                z1[j] += v[1, k] * w0[j]
                z2[j] += v[2, k] * w0[j]
                z3[j] += v[3, k] * w0[j]
            k += 1
    else:
        z0, v0 = z[0], v[0]
        while k + 8 <= inner:
            w0, w1, w2, w3 = w[k], w[k + 1], w[k + 2], w[k + 3]
            w4, w5, w6, w7 = w[k + 4], w[k + 5], w[k + 6], w[k + 7]
            a0, a1, a2, a3 = v0[k], v0[k + 1], v0[k + 2], v0[k + 3]
            b0, b1, b2, b3 = v0[k + 4], v0[k + 5], v0[k + 6], v0[k + 7]
            for j in range(columns):
                z0[j] += (a0 * w0[j] + a1 * w1[j] + a2 * w2[j] + a3 * w3[j]) + (
                    b0 * w4[j] + b1 * w5[j] + b2 * w6[j] + b3 * w7[j]
                )
            k += 8
        while k < inner:
            w0, a0 = w[k], v0[k]
            for j in range(columns):
                z0[j] += a0 * w0[j]
            k += 1
