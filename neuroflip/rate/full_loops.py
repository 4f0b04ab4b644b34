"""The compiled loops of the full recurrence."""

from typing import Any

import numpy as np

from neuroflip.rate.gates import open_gates, through_gates
from neuroflip.rate.products import ROWS, add_packed_product, packed
from neuroflip.rate.threads import compiled

_TOGETHER = 2 * ROWS
"""Sequences that take each step together: the fewer of them, the more often weights are read."""


@compiled
def forward_loop(
    x: Any, w_ih: Any, w_hh: Any, bias: Any, h0: Any, gates: Any, h: Any,
    hard: bool, start: int, stop: int,
) -> None:  # fmt: skip
    """Sequences start to stop, some at a time, through all steps.

    w_ih: (I, 2H), w_hh: (H, 2H). gates is filled where it has steps.
    """
    steps, _, inputs = x.shape
    hidden = h0.shape[1]
    one = h.dtype.type(1)
    weights = packed(w_ih, w_hh)
    columns = weights.shape[0] * weights.shape[2]
    z = np.zeros((_TOGETHER, columns), h.dtype)
    flat = z.reshape(z.size)
    seen = np.zeros((_TOGETHER, inputs + hidden), h.dtype)
    for first in range(start, stop, _TOGETHER):
        rows = min(_TOGETHER, stop - first)
        for r in range(rows):
            seen[r, inputs:] = h0[first + r]
        for t in range(steps):
            for r in range(rows):
                row, drive, here = seen[r], x[t, first + r], z[r]
                for i in range(inputs):
                    row[i] = drive[i]
                for i in range(2 * hidden):
                    here[i] = bias[i]
            add_packed_product(z, seen, weights, rows)
            open_gates(flat[: rows * columns], hard)
            for r in range(rows):
                here, now, out = z[r], seen[r, inputs:], h[t, first + r]
                j, k = here[:hidden], here[hidden : 2 * hidden]
                for i in range(hidden):
                    out[i] = j[i] + (one - j[i] - k[i]) * now[i]
                for i in range(hidden):
                    now[i] = out[i]
                if gates.shape[0]:
                    kept = gates[t, first + r]
                    for i in range(2 * hidden):
                        kept[i] = here[i]


@compiled
def backward_loop(
    w_hh: Any, h0: Any, gates: Any, h: Any, grad_h: Any, grad_gates: Any, dz: Any, dh: Any,
    hard: bool, start: int, stop: int,
) -> None:  # fmt: skip
    """Sequences start to stop, some at a time, back through all steps. w_hh: (2H, H).

    Fills dz, and dh, the gradient of h0. grad_gates is added where it has steps.
    """
    steps, _, hidden = h.shape
    zero, one = h.dtype.type(0), h.dtype.type(1)
    d = np.zeros((_TOGETHER, 2 * hidden), h.dtype)
    weights = packed(w_hh, w_hh[:0])
    back = np.zeros((_TOGETHER, weights.shape[0] * weights.shape[2]), h.dtype)
    for first in range(start, stop, _TOGETHER):
        rows = min(_TOGETHER, stop - first)
        back[:] = zero
        for t in range(steps - 1, -1, -1):
            for r in range(rows):
                opened, arrived = gates[t, first + r], grad_h[t, first + r]
                before = h[t - 1, first + r] if t > 0 else h0[first + r]
                here, carried = d[r], back[r]
                for i in range(hidden):
                    g = arrived[i] + carried[i]
                    carried[i] = g * (one - opened[i] - opened[hidden + i])
                    here[i] = g * (one - before[i])
                    here[hidden + i] = -g * before[i]
                if grad_gates.shape[0] > 0:
                    asked = grad_gates[t, first + r]
                    for i in range(2 * hidden):
                        here[i] += asked[i]
                through_gates(here, hard, opened)
                kept = dz[t, first + r]
                for i in range(2 * hidden):
                    kept[i] = here[i]
            add_packed_product(back, d, weights, rows)
        for r in range(rows):
            dh[first + r, :] = back[r, :hidden]
