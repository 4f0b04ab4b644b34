"""The compiled loops of the scans."""

from typing import Any

from neuroflip.engines.machine_code import aligned
from neuroflip.rate.gates import open_gates, slope
from neuroflip.rate.products import ROWS, add_product
from neuroflip.rate.threads import bare, compiled


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
# A step of all lanes of a call lies together in memory, and is read and written at once; its gates
# are J of all lanes, then K. Products take the rows of some steps, so that each weight serves many.

_ROWS = 8 * ROWS  # rows of a product at least


def kept_gates(gates: Any, lanes: int, units: int, first: int, last: int) -> Any:
    """Those of some of all lanes, (T, 2, last - first, n), out of (2 T L n,); T is 0 of (0,).

    They lie next to each other: memory written in pieces with gaps is slower, in one thread and in
    several.
    """
    each = gates.size // lanes
    return gates[each * first : each * last].reshape(-1, 2, last - first, units)


def room(lanes: int, units: int, inputs: int, dtype: Any) -> list[Any]:
    """Memory for the rows of a product: of J, of K, and of what they are made from."""
    rows = -(-_ROWS // lanes) * lanes
    rows = -(-rows // ROWS) * ROWS
    return [aligned(rows * width, dtype).reshape(rows, width) for width in (units, units, inputs)]


@bare
def gated_loop(
    hard: bool, drive: Any, w: Any, bias: Any, u: Any, h0: Any, kept: Any, h: Any,
    first: int, last: int, zj: Any, zk: Any, given: Any,
) -> None:  # fmt: skip
    """Lanes first..last of n units each, of one block, through all steps; fills h (T, L, n).

    drive: x (1, T, B, I) with weights w (P, 2, I, n), or the pre-activations (2, T, L, n) with
    I = 0. bias: (P, 2, n). u: (P, 2, n), or (P, 2, 0) for none. kept: the lanes' gates, filled
    where it has steps, see `kept_gates`. zj, zk, given: see `room`.
    """
    steps, _, n = h.shape
    blocks, _, inputs, _ = w.shape
    lanes, block, one = last - first, first % blocks, h.dtype.type(1)
    together = zj.shape[0] // lanes
    flat_j, flat_k = zj.reshape(zj.size), zk.reshape(zk.size)
    wide = lanes * n
    past = h0[first:last].reshape(wide)
    for t0 in range(0, steps, together):
        rows = min(together, steps - t0) * lanes
        for r in range(rows):
            t, lane = t0 + r // lanes, first + r % lanes
            for half, z in ((0, zj), (1, zk)):
                here, offset = z[r], bias[block, half]
                for i in range(n):
                    here[i] = offset[i]
                if not inputs:
                    alone = drive[half, t, lane]
                    for i in range(n):
                        here[i] += alone[i]
            if inputs:
                row, x = given[r], drive[0, t, lane // blocks]
                for i in range(inputs):
                    row[i] = x[i]
        if inputs:
            for r in range(0, rows, ROWS):
                some, few = given[r : r + ROWS], min(ROWS, rows - r)
                add_product(zj[r : r + ROWS], some, w[block, 0], few)
                add_product(zk[r : r + ROWS], some, w[block, 1], few)
        if not u.shape[2]:
            open_gates(flat_j[: rows * n], hard)
            open_gates(flat_k[: rows * n], hard)
        for r in range(0, rows, lanes):
            t = t0 + r // lanes
            j, k = flat_j[r * n :][:wide], flat_k[r * n :][:wide]
            if u.shape[2]:
                for half, z in ((0, j), (1, k)):
                    weight = u[block, half]
                    for lane in range(lanes):
                        here, own = z[lane * n :][:n], past[lane * n :][:n]
                        for i in range(n):
                            here[i] += weight[i] * own[i]
                    open_gates(z, hard)
            now = h[t, first:last].reshape(wide)
            for i in range(wide):
                now[i] = j[i] * (one - past[i]) + (one - k[i]) * past[i]
            past = now
            if kept.shape[0]:
                for half, z in ((0, j), (1, k)):
                    own = kept[t, half].reshape(wide)
                    for i in range(wide):
                        own[i] = z[i]


@bare
def gated_backwards_loop(
    hard: bool, dh: Any, stride_t: int, stride_b: int, x: Any, u: Any, h0: Any, kept: Any, h: Any,
    carry: Any, dz: Any, dw: Any, dbias: Any, du: Any, first: int, last: int,
    dj: Any, dk: Any, given: Any,
) -> None:  # fmt: skip
    """Lanes first..last, of one block, back through all steps.

    dh: the memory under the gradient of h, and its strides over steps and sequences. carry: (L, n),
    starts at 0 and ends as the gradient of h0. kept: as `gated_loop` filled it. Filled where
    they have steps, inputs or units: dz (2, T, L, n), the gradient of the pre-activations; added
    to, of the weights, dw (P, 2, I', n), I' the multiple of 4 from I on, and dbias (P, 2, n);
    added to, du (P, 2, n). dj, dk, given: see `room`.
    """
    steps, _, n = h.shape
    blocks, _, inputs, _ = dw.shape
    lanes, block, one = last - first, first % blocks, h.dtype.type(1)
    together = dj.shape[0] // lanes
    flat_j, flat_k = dj.reshape(dj.size), dk.reshape(dk.size)
    wide = lanes * n
    later = carry[first:last].reshape(wide)
    for t0 in range((steps - 1) // together * together, -1, -together):
        rows = min(together, steps - t0) * lanes
        for r in range(rows - lanes, -1, -lanes):
            t = t0 + r // lanes
            for lane in range(lanes):
                q = first + lane
                begin = t * stride_t + q // blocks * stride_b + q % blocks * n
                above, own = dh[begin:][:n], later[lane * n :][:n]
                for i in range(n):
                    own[i] += above[i]
            past = (h[t - 1, first:last] if t else h0[first:last]).reshape(wide)
            j, k = kept[t, 0].reshape(wide), kept[t, 1].reshape(wide)
            to_j, to_k = flat_j[r * n :][:wide], flat_k[r * n :][:wide]
            for i in range(wide):
                to_j[i] = later[i] * (one - past[i]) * slope(j[i], hard)
            for i in range(wide):
                to_k[i] = -later[i] * past[i] * slope(k[i], hard)
            for i in range(wide):
                later[i] *= one - j[i] - k[i]
            for half, d in ((0, to_j), (1, to_k)):
                if u.shape[2]:
                    weight, total = u[block, half], du[block, half]
                    for lane in range(lanes):
                        here, own = d[lane * n :][:n], later[lane * n :][:n]
                        before = past[lane * n :][:n]
                        for i in range(n):
                            own[i] += here[i] * weight[i]
                        for i in range(n):
                            total[i] += here[i] * before[i]
                if dz.shape[1]:
                    out = dz[half, t, first:last].reshape(wide)
                    for i in range(wide):
                        out[i] = d[i]
        if inputs:
            for r in range(rows):
                own, row = given[r], x[t0 + r // lanes, (first + r % lanes) // blocks]
                for i in range(row.size):
                    own[i] = row[i]
            columns = given[:rows].T
            for half, d in ((0, dj), (1, dk)):
                for i in range(0, inputs, ROWS):
                    part = dw[block, half, i : i + ROWS]
                    add_product(part, columns[i : i + ROWS], d[:rows], ROWS)
                total = dbias[block, half]
                for r in range(rows):
                    here = d[r]
                    for i in range(n):
                        total[i] += here[i]
