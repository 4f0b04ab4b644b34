"""The compiled loops over time of the RNN, the LSTM and the GRU; float32 runs in vector registers.

Equations and gate orders are torch's, states begin at zero. All arrays have steps, then sequences,
first; `driven`, what the input gives, has one step where it is the same at all. Weights w are
(H, G H), transposed, forwards, and (G H, H) backwards, with G gates.
"""

import math
from typing import Any

import numba
import numpy as np
from numba.extending import overload

from neuroflip.rate.gates import sigmoid
from neuroflip.rate.products import ROWS, add_product
from neuroflip.rate.threads import compiled


def tanh(z: Any) -> Any:
    """tanh within compiled loops."""
    return math.tanh(z)


@overload(tanh)
def _tanh_compiled(z: Any) -> Any:
    """float32: e/(e + 2), e = exp(2z) - 1 = 2^n (exp(r) - 1) + 2^n - 1, so that small z keep all
    their digits."""
    if z != numba.float32:
        return tanh
    one, two, far = np.float32(1), np.float32(2), np.float32(20)
    log2e, ln2, ln2_tail = np.float32(1.4426950408889634), np.float32(0.693359375), np.float32(
        -2.12194440e-4
    )  # fmt: skip
    magic, bias = np.float32(12582912.0), np.int32(0x4B400000 - 127)
    c2, c3, c4, c5, c6, c7 = (np.float32(1 / math.factorial(n)) for n in range(2, 8))

    def tanh32(z: Any) -> Any:
        x = z + z
        x = -far if x < -far else x  # NaN stays NaN
        x = far if x > far else x
        shifted = x * log2e + magic  # the nearest whole number is in its last bits
        n = shifted - magic
        r = (x - n * ln2) - n * ln2_tail
        p = r * (one + r * (c2 + r * (c3 + r * (c4 + r * (c5 + r * (c6 + r * c7))))))
        exponent = np.int32(np.float32(shifted).view(np.int32) - bias)
        power = np.int32(exponent << np.int32(23)).view(np.float32)
        e = power * p + (power - one)
        return e / (e + two)

    return tanh32


@compiled
def rnn_forward(driven: Any, w: Any, h: Any) -> None:
    steps, batch, hidden = h.shape
    state = np.zeros((ROWS, hidden), h.dtype)
    z = np.zeros((ROWS, hidden), h.dtype)
    for first in range(0, batch, ROWS):
        rows = min(ROWS, batch - first)
        state[:] = 0
        for t in range(steps):
            for r in range(rows):
                z[r, :] = driven[min(t, len(driven) - 1), first + r]
            add_product(z, state, w, rows)
            for r in range(rows):
                now, own = state[r], z[r]
                for i in range(hidden):
                    now[i] = tanh(own[i])
                h[t, first + r, :] = now


@compiled
def rnn_backward(w: Any, h: Any, grad: Any, d: Any) -> None:
    steps, batch, hidden = h.shape
    one = h.dtype.type(1)
    here = np.zeros((ROWS, hidden), h.dtype)
    back = np.zeros((ROWS, hidden), h.dtype)
    for first in range(0, batch, ROWS):
        rows = min(ROWS, batch - first)
        back[:] = 0
        for t in range(steps - 1, -1, -1):
            for r in range(rows):
                now, arrived = h[t, first + r], grad[t, first + r]
                mine, carried = here[r], back[r]
                for i in range(hidden):
                    mine[i] = (arrived[i] + carried[i]) * (one - now[i] * now[i])
                carried[:] = 0
                d[t, first + r, :] = mine
            add_product(back, here, w, rows)


@compiled
def lstm_forward(driven: Any, w: Any, h: Any, kept: Any) -> None:
    """kept: the gates i, f, g, o, the cell c, and tanh(c)."""
    steps, batch, n = h.shape
    state = np.zeros((ROWS, n), h.dtype)
    cell = np.zeros((ROWS, n), h.dtype)
    z = np.zeros((ROWS, 4 * n), h.dtype)
    for first in range(0, batch, ROWS):
        rows = min(ROWS, batch - first)
        state[:] = 0
        cell[:] = 0
        for t in range(steps):
            for r in range(rows):
                z[r, :] = driven[min(t, len(driven) - 1), first + r]
            add_product(z, state, w, rows)
            for r in range(rows):
                a, k, now, c = z[r], kept[t, first + r], state[r], cell[r]
                for i in range(4 * n):
                    k[i] = sigmoid(a[i])
                news, inside = k[2 * n : 3 * n], a[2 * n : 3 * n]
                for i in range(n):
                    news[i] = tanh(inside[i])
                for i in range(n):
                    c[i] = k[n + i] * c[i] + k[i] * news[i]
                k[4 * n : 5 * n] = c
                squashed, out = k[5 * n :], k[3 * n : 4 * n]
                for i in range(n):
                    squashed[i] = tanh(c[i])
                for i in range(n):
                    now[i] = out[i] * squashed[i]
                h[t, first + r, :] = now


@compiled
def lstm_backward(w: Any, kept: Any, grad: Any, d: Any) -> None:
    """d: of what is inside the gates. With g = dL/dh', c' = f c + i n and n the gate g,

    dL/dc' = g o (1 - tanh(c')^2) + f'' dL/dc'' of the step after,  dL/di = dL/dc' n,
    dL/df = dL/dc' c,  dL/dn = dL/dc' i,  dL/do = g tanh(c').
    """
    steps, batch, n = grad.shape
    one = grad.dtype.type(1)
    here = np.zeros((ROWS, 4 * n), grad.dtype)
    back = np.zeros((ROWS, n), grad.dtype)
    cell = np.zeros((ROWS, n), grad.dtype)
    nothing = np.zeros(n, grad.dtype)
    for first in range(0, batch, ROWS):
        rows = min(ROWS, batch - first)
        back[:] = 0
        cell[:] = 0
        for t in range(steps - 1, -1, -1):
            for r in range(rows):
                k, arrived = kept[t, first + r], grad[t, first + r]
                before = kept[t - 1, first + r, 4 * n : 5 * n] if t > 0 else nothing
                mine, carried, c = here[r], back[r], cell[r]
                news, out, squashed = k[2 * n : 3 * n], k[3 * n : 4 * n], k[5 * n :]
                for i in range(n):
                    carried[i] += arrived[i]
                for i in range(n):
                    c[i] += carried[i] * out[i] * (one - squashed[i] * squashed[i])
                of_i, of_f, of_g, of_o = (
                    mine[:n],
                    mine[n : 2 * n],
                    mine[2 * n : 3 * n],
                    mine[3 * n :],
                )
                for i in range(n):
                    of_i[i] = c[i] * news[i]
                for i in range(n):
                    of_f[i] = c[i] * before[i]
                for i in range(n):
                    of_o[i] = carried[i] * squashed[i]
                for i in range(4 * n):
                    mine[i] *= k[i] * (one - k[i])
                for i in range(n):
                    of_g[i] = c[i] * k[i] * (one - news[i] * news[i])
                for i in range(n):
                    c[i] *= k[n + i]
                carried[:] = 0
                d[t, first + r, :] = mine
            add_product(back, here, w, rows)


@compiled
def gru_forward(driven: Any, w: Any, b: Any, h: Any, kept: Any) -> None:
    """b (3H,): added to what the state gives. kept: the gates r, z, n, and q = U_n h + b_n."""
    steps, batch, n = h.shape
    state = np.zeros((ROWS, n), h.dtype)
    u = np.zeros((ROWS, 3 * n), h.dtype)
    for first in range(0, batch, ROWS):
        rows = min(ROWS, batch - first)
        state[:] = 0
        for t in range(steps):
            for r in range(rows):
                u[r, :] = b
            add_product(u, state, w, rows)
            for r in range(rows):
                a, own = driven[min(t, len(driven) - 1), first + r], u[r]
                k, now = kept[t, first + r], state[r]
                for i in range(2 * n):
                    k[i] = sigmoid(a[i] + own[i])
                q, given, news = k[3 * n :], a[2 * n :], k[2 * n : 3 * n]
                q[:] = own[2 * n :]
                for i in range(n):
                    news[i] = tanh(given[i] + k[i] * q[i])
                update = k[n : 2 * n]
                for i in range(n):
                    now[i] = news[i] + update[i] * (now[i] - news[i])
                h[t, first + r, :] = now


@compiled
def gru_backward(w: Any, h: Any, kept: Any, grad: Any, d: Any, own: Any) -> None:
    """d: by what the input gives; own: by what the state gives."""
    steps, batch, n = h.shape
    one = h.dtype.type(1)
    here = np.zeros((ROWS, 3 * n), h.dtype)
    back = np.zeros((ROWS, n), h.dtype)
    nothing = np.zeros(n, h.dtype)
    for first in range(0, batch, ROWS):
        rows = min(ROWS, batch - first)
        back[:] = 0
        for t in range(steps - 1, -1, -1):
            for r in range(rows):
                k, out, arrived = kept[t, first + r], d[t, first + r], grad[t, first + r]
                before = h[t - 1, first + r] if t > 0 else nothing
                mine, carried = here[r], back[r]
                update, news, q = k[n : 2 * n], k[2 * n : 3 * n], k[3 * n :]
                of_update, of_news, inner = out[n : 2 * n], out[2 * n :], mine[2 * n :]
                for i in range(n):
                    carried[i] += arrived[i]
                for i in range(n):
                    of_news[i] = carried[i] * (one - update[i]) * (one - news[i] * news[i])
                for i in range(n):
                    out[i] = of_news[i] * q[i]
                for i in range(n):
                    of_update[i] = carried[i] * (before[i] - news[i])
                for i in range(2 * n):
                    out[i] *= k[i] * (one - k[i])
                mine[: 2 * n] = out[: 2 * n]
                for i in range(n):
                    inner[i] = of_news[i] * k[i]
                for i in range(n):
                    carried[i] *= update[i]
                own[t, first + r, :] = mine
            add_product(back, here, w, rows)
