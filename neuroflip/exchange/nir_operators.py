"""What the stateless nodes of a NIR graph do to a signal, as matrices.

Signals are arrays of any shape; a matrix acts on them flattened, last index fastest.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from neuroflip.circuit import Array

LINEAR = ("Linear", "Affine", "Scale", "Conv1d", "Conv2d", "SumPool2d", "AvgPool2d", "Flatten")
"""The kinds of node that `operator` knows."""

Shape = tuple[int, ...]


class Operator(NamedTuple):
    """y = matrix x + bias, with x and y flattened; matrix None is the identity."""

    matrix: Array | None
    bias: Array
    shape: Shape
    """The shape of y."""


def operator(node: Any, shape: Shape) -> Operator:
    """What a node of one of the kinds `LINEAR` does to a signal of this shape.

    Raises ValueError where the shape does not fit the node.
    """
    kind = type(node).__name__
    size = math.prod(shape)
    if kind == "Flatten":
        return Operator(None, np.zeros(size), (size,))
    if kind == "Scale":
        scale = _numbers(node.scale, "scale")
        if scale.size not in (1, size):
            raise ValueError(f"scale must have {size} values, one a signal; got {scale.size}.")
        return Operator(np.diag(np.broadcast_to(scale.ravel(), size)), np.zeros(size), shape)
    if kind in ("Linear", "Affine"):
        weight = _numbers(node.weight, "weight")
        if weight.ndim != 2 or weight.shape[1] != size:
            raise ValueError(
                f"weight must have shape (outputs, {size}), for {size} incoming signals; "
                f"got {weight.shape}."
            )
        bias = _numbers(node.bias, "bias").ravel() if kind == "Affine" else np.zeros(len(weight))
        return Operator(weight, np.broadcast_to(bias, len(weight)), (len(weight),))
    return _convolution(node, kind, shape)


def _convolution(node: Any, kind: str, shape: Shape) -> Operator:
    """Convolutions as PyTorch defines them (cross-correlations), and pooling as one a channel."""
    axes = 1 if kind == "Conv1d" else 2
    if len(shape) != axes + 1:
        raise ValueError(f"{kind} takes signals of {axes + 1} dimensions, channels first; "
                         f"got shape {shape}.")  # fmt: skip
    channels, space = shape[0], shape[1:]
    if kind.startswith("Conv"):
        weight, bias = _numbers(node.weight, "weight"), _numbers(node.bias, "bias").ravel()
        groups, dilation = int(node.groups), _each(node.dilation, axes)
    else:
        kernel = _each(node.kernel_size, axes)
        value = 1.0 if kind == "SumPool2d" else 1.0 / math.prod(kernel)
        weight, bias = np.full((channels, 1, *kernel), value), np.zeros(channels)
        groups, dilation = channels, (1,) * axes
    if weight.ndim != axes + 2 or weight.shape[1] * groups != channels:
        raise ValueError(
            f"{kind}: weight of shape {weight.shape} in {groups} group(s) takes "
            f"{weight.shape[1] * groups} channels; got {channels}."
        )
    stride, kernel = _each(node.stride, axes), weight.shape[2:]
    reach = tuple(d * (k - 1) for d, k in zip(dilation, kernel, strict=True))
    if isinstance(node.padding, str):
        same = node.padding == "same"
        before = tuple(r // 2 if same else 0 for r in reach)
        after = tuple(r - r // 2 if same else 0 for r in reach)
    else:
        before = after = _each(node.padding, axes)
    out = tuple(
        (n + b + a - r - 1) // s + 1
        for n, b, a, r, s in zip(space, before, after, reach, stride, strict=True)
    )
    if min(out) < 1:
        raise ValueError(f"{kind}: a kernel of {kernel} does not fit into a signal of {space}.")
    filters = weight.shape[0]
    matrix = np.zeros((filters, *out, channels, *space))
    where = np.indices(out).reshape(axes, -1)  # every place of the output
    for tap in np.ndindex(*kernel):
        shift = np.array(tap) * dilation - before
        at = where * np.array(stride)[:, None] + shift[:, None]
        inside = np.all((at >= 0) & (at < np.array(space)[:, None]), axis=0)
        for filter_ in range(filters):
            first = filter_ // (filters // groups) * weight.shape[1]
            for channel in range(weight.shape[1]):
                index = (filter_, *where[:, inside], first + channel, *at[:, inside])
                matrix[index] = weight[(filter_, channel, *tap)]
    return Operator(
        matrix.reshape(filters * math.prod(out), -1),
        np.repeat(np.broadcast_to(bias, filters), math.prod(out)),
        (filters, *out),
    )


def _each(value: Any, axes: int) -> tuple[int, ...]:
    """One whole number an axis."""
    return tuple(int(v) for v in np.broadcast_to(np.asarray(value).ravel(), axes))


def _numbers(value: Any, name: str) -> Array:
    numbers = np.asarray(value, dtype=np.float64)
    if not np.isfinite(numbers).all():
        raise ValueError(f"{name} must be finite numbers.")
    return numbers
