"""The compiled loops of an epoch of a net that draws curves: see `neuroflip.sims.paper.compiled`.

Weights, gradients and Adam's averages are tuples of six flat arrays: of the input, of the state,
their biases, the second of no size where there is one, and of the readout. `kind` is the place of
a model in `PUBLISHED`.
"""

import math
from typing import Any

import numpy as np

from neuroflip.rate.full_loops import backward_loop, forward_loop
from neuroflip.rate.products import ROWS, add_product
from neuroflip.rate.threads import compiled
from neuroflip.sims.paper.baseline_loops import (
    gru_backward,
    gru_forward,
    lstm_backward,
    lstm_forward,
    rnn_backward,
    rnn_forward,
)
from neuroflip.sims.paper.models import PUBLISHED

_FLIPFLOP, _RNN, _LSTM, _GRU = (
    PUBLISHED.index(name) for name in ("FlipFlop", "RNN", "LSTM", "GRU")
)
_KEPT = tuple({"FlipFlop": 2, "RNN": 0, "LSTM": 6, "GRU": 4}[name] for name in PUBLISHED)
"""Numbers a unit and step that the way back needs, besides the state."""
_PASS = 32
"""Steps times classes whose gradients stay in the fastest cache while they are used."""


@compiled
def _forward(kind: int, lines: Any, weights: Any, h: Any, kept: Any) -> None:
    """Run each class once. h: (steps, classes, H)."""
    classes, hidden = h.shape[1:]
    b_ih, b_hh = weights[2], weights[3]
    w_ih = np.ascontiguousarray(weights[0].reshape(-1, classes).T)
    w_hh = np.ascontiguousarray(weights[1].reshape(-1, hidden).T)
    bias = b_ih + b_hh if b_hh.size else b_ih
    if kind == _FLIPFLOP:
        start = np.zeros((classes, hidden), h.dtype)
        forward_loop(lines, w_ih, w_hh, bias, start, kept, h, False, 0, classes)
        return
    driven = w_ih.copy().reshape(1, classes, -1)
    for c in range(classes):
        for i in range(b_ih.size):
            driven[0, c, i] += b_ih[i] if kind == _GRU else bias[i]
    if kind == _RNN:
        rnn_forward(driven, w_hh, h)
    elif kind == _LSTM:
        lstm_forward(driven, w_hh, h, kept)
    else:
        gru_forward(driven, w_hh, b_hh, h, kept)


@compiled
def _backward(kind: int, weights: Any, h: Any, kept: Any, grad: Any, d: Any, own: Any) -> None:
    """From the gradients of the states to those of what drives the gates, in all and, where it
    differs (GRU), by the state alone, own."""
    classes, hidden = h.shape[1:]
    w_hh = weights[1].reshape(-1, hidden)
    if kind == _FLIPFLOP:
        start = np.zeros((classes, hidden), h.dtype)
        nothing = np.zeros((0, classes, 2 * hidden), h.dtype)
        backward_loop(w_hh, start, kept, h, grad, nothing, d, start, False, 0, classes)
    elif kind == _RNN:
        rnn_backward(w_hh, h, grad, d)
    elif kind == _LSTM:
        lstm_backward(w_hh, kept, grad, d)
    else:
        gru_backward(w_hh, h, kept, grad, d, own)


@compiled
def _readout(h: Any, w: Any, b: Any, y: Any) -> None:
    """y (classes, steps) = w h + b."""
    for t in range(h.shape[0]):
        for c in range(h.shape[1]):
            now = h[t, c]
            s0, s1, s2, s3 = b[0], b[0] * 0, b[0] * 0, b[0] * 0
            for i in range(0, now.size, 4):  # four sums, as each waits for its own
                s0 += now[i] * w[i]
                s1 += now[i + 1] * w[i + 1]
                s2 += now[i + 2] * w[i + 2]
                s3 += now[i + 3] * w[i + 3]
            y[c, t] = (s0 + s1) + (s2 + s3)


@compiled
def _judged(y: Any, classes: Any, targets: Any, chosen: Any, dy: Any, squares: Any) -> None:
    """dy (classes, steps): the gradient of the batch's mean squared error; the squares are added
    to `squares` (steps,)."""
    steps = y.shape[1]
    scale = y.dtype.type(2 / (chosen.size * steps))
    dy[:] = 0
    for s in chosen:
        drawn, wanted, found = y[classes[s]], targets[s], dy[classes[s]]
        for t in range(steps):
            found[t] += (drawn[t] - wanted[t]) * scale
        for t in range(steps):
            squares[t] += (drawn[t] - wanted[t]) * (drawn[t] - wanted[t])


@compiled
def _through_readout(dy: Any, h: Any, w: Any, grad: Any, d_w: Any, d_b: Any) -> None:
    d_w[:] = 0
    d_b[:] = 0
    for t in range(h.shape[0]):
        for c in range(h.shape[1]):
            d_b[0] += dy[c, t]
            now, out, g = h[t, c], grad[t, c], dy[c, t]
            for i in range(w.size):
                out[i] = g * w[i]
            for i in range(w.size):
                d_w[i] += g * now[i]


@compiled
def _sum(d: Any, sums: Any, of_bias: Any) -> None:
    """Over the steps, sums (classes, wide), and over the classes, of_bias, if there is one."""
    sums[:] = 0
    of_bias[:] = 0
    for t in range(d.shape[0]):
        for c in range(d.shape[1]):
            total, new = sums[c], d[t, c]
            for i in range(new.size):
                total[i] += new[i]
    for c in range(len(sums)):
        for i in range(of_bias.size):
            of_bias[i] += sums[c, i]


@compiled
def _gather(h: Any, d: Any, own: Any, grads: Any) -> None:
    """The gradients of the layer's weights, from those that `_backward` gives; own: d, where it
    does not differ."""
    steps, classes, wide = d.shape
    hidden = h.shape[2]
    sums = np.empty((classes, wide), h.dtype)
    _sum(own, sums, grads[3])
    _sum(d, sums, grads[2])
    for i in range(wide):
        for c in range(classes):
            grads[0][i * classes + c] = sums[c, i]
    before = h[:-1].reshape((steps - 1) * classes, hidden)
    arrived = own[1:].reshape((steps - 1) * classes, wide)
    across = np.zeros((hidden, wide), h.dtype)  # long rows are faster
    for first in range(0, len(arrived), _PASS):
        some, mine = arrived[first : first + _PASS], before[first : first + _PASS].T
        for row in range(0, hidden, ROWS):
            add_product(across[row : row + ROWS], mine[row : row + ROWS], some, ROWS)
    grads[1][:] = np.ascontiguousarray(across.T).reshape(-1)


@compiled
def _scale(grads: Any, clip: float) -> Any:
    """What the gradients are multiplied by so that their norm is at most `clip`."""
    total = 0.0
    for g in grads:
        s0, s1, s2, s3 = 0.0, 0.0, 0.0, 0.0
        for i in range(0, g.size - 3, 4):
            s0 += g[i] * g[i]
            s1 += g[i + 1] * g[i + 1]
            s2 += g[i + 2] * g[i + 2]
            s3 += g[i + 3] * g[i + 3]
        for i in range(g.size - g.size % 4, g.size):
            s0 += g[i] * g[i]
        total += (s0 + s1) + (s2 + s3)
    return grads[0].dtype.type(min(1.0, clip / (math.sqrt(total) + 1e-6)))


@compiled
def _adam(w: Any, g: Any, m: Any, v: Any, scale: Any, step: int, rate: float) -> None:
    """torch.optim.Adam with its own constants; g is multiplied by `scale` first."""
    kind = w.dtype.type
    kept, new, kept_square, new_square = kind(0.9), kind(1 - 0.9), kind(0.999), kind(1 - 0.999)
    size, root = kind(rate / (1 - 0.9**step)), kind(math.sqrt(1 - 0.999**step))
    eps = kind(1e-8)
    for i in range(w.size):
        m[i] = kept * m[i] + new * (g[i] * scale)
    for i in range(w.size):
        v[i] = kept_square * v[i] + new_square * (g[i] * scale) * (g[i] * scale)
    for i in range(w.size):
        w[i] -= size * m[i] / (math.sqrt(v[i]) / root + eps)


@compiled
def epoch(
    kind: int, classes: Any, targets: Any, order: Any, batch: int, lines: Any, weights: Any,
    grads: Any, means: Any, squares: Any, step: int, rate: float, clip: float,
) -> Any:  # fmt: skip
    """Make every update of an epoch; the mean loss.

    classes (N,), targets (N, steps); weights, memory for their gradients, and Adam's means and
    squares: flat, of the same sizes; step: how many updates there were before.
    """
    steps, count = lines.shape[:2]
    hidden = weights[4].size
    wide = weights[1].size // hidden
    dtype = targets.dtype
    h, grad = np.empty((steps, count, hidden), dtype), np.empty((steps, count, hidden), dtype)
    kept = np.empty((steps, count, _KEPT[kind] * hidden), dtype)
    d = np.empty((steps, count, wide), dtype)
    own = np.empty((steps, count, wide), dtype) if kind == _GRU else d
    y, dy = np.empty((count, steps), dtype), np.empty((count, steps), dtype)
    off = np.zeros(steps, np.float64)
    for first in range(0, order.size, batch):
        _forward(kind, lines, weights, h, kept)
        _readout(h, weights[4], weights[5], y)
        _judged(y, classes, targets, order[first : first + batch], dy, off)
        _through_readout(dy, h, weights[4], grad, grads[4], grads[5])
        _backward(kind, weights, h, kept, grad, d, own)
        _gather(h, d, own, grads)
        scale = _scale(grads, clip)
        step += 1
        for n in range(len(weights)):
            _adam(weights[n], grads[n], means[n], squares[n], scale, step, rate)
    return off.sum() / (order.size * steps)


@compiled
def draw(kind: int, lines: Any, weights: Any) -> Any:
    """What each class draws, (classes, steps)."""
    steps, count = lines.shape[:2]
    dtype = lines.dtype
    h = np.empty((steps, count, weights[4].size), dtype)
    kept = np.empty((steps, count, _KEPT[kind] * weights[4].size), dtype)
    y = np.empty((count, steps), dtype)
    _forward(kind, lines, weights, h, kept)
    _readout(h, weights[4], weights[5], y)
    return y
