"""Products of small matrices within compiled loops."""

from typing import Any, cast

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

from neuroflip.rate.threads import compiled

ROWS = 4
"""Rows that one pass over the weights serves."""

_PACK = 16  # columns of float32 in a cache line
_SUMS = 256  # bytes of sums that processors hold in registers


@compiled
def add_product(z: Any, v: Any, w: Any, rows: int) -> None:
    """z (4, N) += v (4, K) w (K, N), of which only the first `rows` rows are wanted.

    The rows of z and w are contiguous.
    """
    if rows == 1:
        _add_rows(z, v, w, 1)
    else:
        _add_rows(z, v, w, ROWS)


@compiled
def packed(above: Any, below: Any) -> Any:
    """w (P, K, 16) of two matrices (K1, N) and (K2, N), one above the other: columns by sixteen,
    with zeros after the last."""
    inner, columns = above.shape
    w = np.zeros((-(-columns // _PACK), inner + below.shape[0], _PACK), above.dtype)
    for n in range(columns):
        pack, place = w[n // _PACK], n % _PACK
        for k in range(inner):
            pack[k, place] = above[k, n]
        for k in range(below.shape[0]):
            pack[inner + k, place] = below[k, n]
    return w


@compiled
def add_packed_product(z: Any, v: Any, w: Any, rows: int) -> None:
    """The first `rows` rows of z (R, N) += v (R, K) w, R a multiple of 4; w `packed`.

    So weights are read as they lie, and stay near for all rows. N is that with the zeros.
    """
    width = w.shape[2]
    for n in range(w.shape[0]):
        columns = z[:, n * width : (n + 1) * width]
        for first in range(0, rows, ROWS):
            last = first + ROWS
            add_product(columns[first:last], v[first:last], w[n], min(ROWS, rows - first))


@cast(Any, intrinsic)(prefer_literal=True)  # type: ignore[untyped-decorator]
def _add_rows(typing: Any, z: Any, v: Any, w: Any, rows: Any) -> Any:
    """The first `rows` rows, a number known to the compiler; each sum from first to last.

    The compiler would leave the sums in memory, and so wait for loads and stores, not products.
    """

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        z, v, w = (
            make_array(kind)(context, builder, value)
            for kind, value in zip(signature.args[:3], arguments[:3], strict=True)
        )
        number = context.get_data_type(signature.args[0].dtype)
        size = context.get_abi_sizeof(number)
        inner, columns = cgutils.unpack_tuple(builder, w.shape)
        done = columns.type(0)
        width = _SUMS // size // rows.literal_value
        while width:  # the widest blocks first, then what is left in halves
            blocks = builder.udiv(builder.sub(columns, done), done.type(width))
            with cgutils.for_range(builder, blocks) as block:
                first = builder.add(done, builder.mul(block.index, done.type(width)))
                _add_block(builder, z, v, w, rows.literal_value, inner, first, number, width, size)
            done = builder.add(done, builder.mul(blocks, done.type(width)))
            width //= 2
        return context.get_dummy_value()

    return types.void(z, v, w, rows), code


def _add_block(
    builder: Any, z: Any, v: Any, w: Any, rows: int, inner: Any, first: Any,
    number: Any, width: int, size: int,
) -> None:  # fmt: skip
    """`width` columns from `first` on."""
    vector, index = ir.VectorType(number, width), first.type
    empty = ir.Constant(vector, ir.Undefined)
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), width), None)

    def place(array: Any, row: Any, column: Any, kind: Any) -> Any:
        down, right = cgutils.unpack_tuple(builder, array.strides)
        offset = builder.add(builder.mul(row, down), builder.mul(column, right))
        return builder.bitcast(cgutils.pointer_add(builder, array.data, offset), kind.as_pointer())

    places = [place(z, index(r), first, vector) for r in range(rows)]
    sums = [cgutils.alloca_once(builder, vector) for _ in places]
    for total, there in zip(sums, places, strict=True):
        builder.store(builder.load(there, align=size), total)
    with cgutils.for_range(builder, inner) as loop:
        weights = builder.load(place(w, loop.index, first, vector), align=size)
        for r, total in enumerate(sums):
            factor = builder.load(place(v, index(r), loop.index, number))
            one = builder.insert_element(empty, factor, ir.IntType(32)(0))
            factors = builder.shuffle_vector(one, one, zeros)
            added = builder.fmul(factors, weights, flags=("contract",))
            builder.store(builder.fadd(builder.load(total), added, flags=("contract",)), total)
    for total, there in zip(sums, places, strict=True):
        builder.store(builder.load(total), there, align=size)
