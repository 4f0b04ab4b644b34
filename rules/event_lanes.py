"""What the kernels of `event_kernel` call. Their text begins with that of this module, so that it
is compiled with them, and kernels on the disk that were made from another are not used."""

import functools
from math import exp, expm1, log, sqrt, tanh  # noqa: F401 (called by rules)
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

LANES = 8  # numbers that are taken together
CHUNK = 128  # weights of one neuron that are changed together
BITS = 64  # of a mask

njit = functools.partial(
    numba.njit, error_model="numpy", _nrt=False, no_cpython_wrapper=True, no_cfunc_wrapper=True
)


@njit
def clip(x: Any, low: Any, high: Any) -> Any:
    x = low if x < low else x
    return high if x > high else x


@njit
def exprel(x: Any) -> Any:
    return x / x if x != x else exp(x) if abs(x) < 1e-30 else expm1(x) / x


@njit
def power(x: Any, y: Any) -> Any:
    return x * x if y == 2 else x**y


class _Vector:
    """`size` numbers of an array from `at` on."""

    def __init__(
        self, context: Any, builder: Any, kind: Any, array: Any, at: Any, size: int = LANES
    ) -> None:
        data = context.make_array(kind)(context, builder, array).data
        self.kind = ir.VectorType(context.get_data_type(kind.dtype), size)
        self.align = kind.dtype.bitwidth // 8
        self.builder = builder
        self.pointer = builder.bitcast(builder.gep(data, [at]), self.kind.as_pointer())

    def load(self) -> Any:
        return self.builder.load(self.pointer, align=self.align)

    def store(self, value: Any) -> None:
        self.builder.store(value, self.pointer, align=self.align)

    def times(self, factor: Any) -> Any:
        """These numbers times one other."""
        nothing, index = ir.Constant(self.kind, ir.Undefined), ir.IntType(32)
        one = self.builder.insert_element(nothing, factor, ir.Constant(index, 0))
        first = ir.Constant(ir.VectorType(index, self.kind.count), [0] * self.kind.count)
        return self.builder.fmul(self.builder.shuffle_vector(one, nothing, first), self.load())


def _nonzero(typing: Any, row: Any, at: Any) -> Any:
    """`nonzero(row, at)`: a whole number whose bit k says whether row[at + k] is not 0."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        numbers = _Vector(context, builder, signature.args[0], values[0], values[1], BITS)
        zeros = ir.Constant(numbers.kind, [0.0] * BITS)
        found = builder.fcmp_unordered("!=", numbers.load(), zeros)
        return builder.bitcast(found, ir.IntType(BITS))

    return types.uint64(row, types.int64), generate


def _lowest(typing: Any, mask: Any) -> Any:
    """`lowest(mask)`: the number of the lowest bit that is set."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.cttz(values[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.uint64), generate


def _put(typing: Any, into: Any, at: Any, factor: Any, row: Any, start: Any) -> Any:
    """`put(into, at, factor, row, start)`: into[at + k] = factor * row[start + k], each lane k."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        target = _Vector(context, builder, signature.args[0], *values[:2])
        source = _Vector(context, builder, signature.args[3], *values[3:])
        target.store(source.times(values[2]))
        return context.get_dummy_value()

    return types.void(into, types.int64, into.dtype, row, types.int64), generate


def _add(typing: Any, into: Any, at: Any, factor: Any, row: Any, start: Any) -> Any:
    """`add(into, at, factor, row, start)`: the same, added to what is there."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        target = _Vector(context, builder, signature.args[0], *values[:2])
        source = _Vector(context, builder, signature.args[3], *values[3:])
        target.store(builder.fadd(target.load(), source.times(values[2])))
        return context.get_dummy_value()

    return types.void(into, types.int64, into.dtype, row, types.int64), generate


def _spread(
    typing: Any, into: Any, at: Any, places: Any, first: Any, last: Any,
    factor: Any, row: Any, start: Any,
) -> Any:  # fmt: skip
    """`spread(into, at, places, first, last, factor, row, start)`: the same `add` into
    at + LANES * places[e], for each e from first to last."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        into, at, places, first, last, factor, row, start = values
        kinds = signature.args
        product = _Vector(context, builder, kinds[6], row, start).times(factor)
        indices = context.make_array(kinds[2])(context, builder, places).data
        with cgutils.for_range_slice(builder, first, last, last.type(1), inc=True) as (e, _):
            place = builder.zext(builder.load(builder.gep(indices, [e])), at.type)
            place = builder.add(at, builder.mul(place, at.type(LANES)))
            target = _Vector(context, builder, kinds[0], into, place)
            target.store(builder.fadd(target.load(), product))
        return context.get_dummy_value()

    i = types.int64
    return types.void(into, i, places, i, i, into.dtype, row, i), generate


def _turn(typing: Any, lanes: Any, at: Any, into: Any, to: Any) -> Any:
    """`turn(lanes, at, into, to)`: LANES rows of LANES numbers become columns, CHUNK apart, and
    are set to 0."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        (kind, _, into_kind, _), (lanes, at, into, to) = signature.args, values
        places = [builder.add(at, at.type(k * LANES)) for k in range(LANES)]
        rows = [_Vector(context, builder, kind, lanes, place) for place in places]
        found = [row.load() for row in rows]
        for row in rows:
            row.store(ir.Constant(row.kind, [0.0] * LANES))
        half = LANES // 2
        while half:  # squares of this size change places across the diagonal
            masks = [
                ir.Constant(ir.VectorType(ir.IntType(32), LANES), mask)
                for mask in (
                    [LANES + k - half if k & half else k for k in range(LANES)],
                    [LANES + k if k & half else k + half for k in range(LANES)],
                )
            ]
            for k in range(LANES):
                if not k & half:
                    one, other = found[k], found[k + half]
                    found[k], found[k + half] = (
                        builder.shuffle_vector(one, other, mask) for mask in masks
                    )
            half //= 2
        for k, row in enumerate(found):
            place = builder.add(to, to.type(k * CHUNK))
            _Vector(context, builder, into_kind, into, place).store(row)
        return context.get_dummy_value()

    return types.void(lanes, types.int64, into, types.int64), generate


nonzero: Any = intrinsic(_nonzero)
lowest: Any = intrinsic(_lowest)
put: Any = intrinsic(_put)
add: Any = intrinsic(_add)
spread: Any = intrinsic(_spread)
turn: Any = intrinsic(_turn)


@njit
def spikes(rows: Any, first: Any, at: Any) -> bool:
    """Write where row b has ones into at[first[b] : first[b + 1]]; whether all else are zeros."""
    n = 0
    for b in range(rows.shape[0]):
        first[b] = n
        row = rows[b]
        whole = row.size // BITS * BITS
        for start in range(0, whole, BITS):
            mask = nonzero(row, start)
            while mask:
                i = start + lowest(mask)
                mask &= mask - np.uint64(1)
                at[n] = i
                n += 1
                if row[i] != 1:
                    return False
        for i in range(whole, row.size):
            if row[i] != 0:
                at[n] = i
                n += 1
                if row[i] != 1:
                    return False
    first[rows.shape[0]] = n
    return True


@njit
def by_neuron(first: Any, at: Any, starts: Any, samples: Any, events: Any) -> None:
    """Spikes that are in order of samples, in order of neurons: those of neuron i are
    starts[i] to starts[i + 1], each with its sample and the place where it was."""
    starts[:] = 0
    for e in range(first[-1]):
        starts[at[e] + 1] += 1
    for i in range(1, starts.size):
        starts[i] += starts[i - 1]
    for b in range(first.size - 1):
        for e in range(first[b], first[b + 1]):
            k = starts[at[e]]
            samples[k], events[k] = b, e
            starts[at[e]] = k + 1
    for i in range(starts.size - 1, 0, -1):
        starts[i] = starts[i - 1]
    starts[0] = 0


@njit
def add_row(into: Any, at: Any, factor: Any, row: Any, fresh: Any) -> None:
    """into[at + k] += factor * row[k], for all k; what was there is dropped if fresh."""
    whole = row.size // LANES * LANES
    if fresh:
        for k in range(0, whole, LANES):
            put(into, at + k, factor, row, k)
        for k in range(whole, row.size):
            into[at + k] = factor * row[k]
    else:
        for k in range(0, whole, LANES):
            add(into, at + k, factor, row, k)
        for k in range(whole, row.size):
            into[at + k] += factor * row[k]


@njit
def turn_chunk(lanes: Any, at: Any, size: Any, into: Any, to: Any) -> None:
    """Take a chunk of lanes out, lane after lane."""
    for k in range(0, size, LANES):
        turn(lanes, (at + k) * LANES, into, to + k)
