"""A step of a spike rule on a dense layer as machine code that visits only what spikes touch.

Where every variable of a rule is one of neurons, and each change of the weight is a sum of
products of what its two neurons know, a presynaptic spike of a sample adds a multiple of a row of
postsynaptic numbers to the weights of its neuron, and a postsynaptic one a row of presynaptic
numbers. That takes one product for each synapse of a spike, where a product of matrices takes one
for each synapse and sample.

As variables do not depend on weights, a step begins with all that it does to them, sample by
sample; what a change of the weight reads of them is kept as it is then. One pass over the weights
follows, LANES postsynaptic neurons at a time. Weights lie by postsynaptic neuron, across the rows
that presynaptic spikes add: these are summed in an array in which the LANES neurons lie side by
side, and turned.

The text depends on the form of a rule alone: its numbers are handed in, so that parameters may
differ within one kernel.
"""

import ast
import ctypes
import functools
import itertools
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from neuroflip import equations as eq
from neuroflip.engines import machine_code
from neuroflip.rules.terms import Level, Term, increment

LANES, CHUNK = 8, 128
"""As in event_lanes, which is not imported, as numba takes its time."""
WORTH = 100_000
"""Samples times synapses from which on a kernel is used: it takes seconds to compile, once."""

_OTHER: dict[Level, Level] = {"pre": "post", "post": "pre"}
_SIDE = ("rows", "amounts", "first", "at")
_WORK = (
    *("_numbers", "_lanes", "_turned", "_sums"),
    *(f"_{side}_{name}" for side in _OTHER for name in _SIDE),
    *("_post_starts", "_post_samples", "_post_events"),
)
_ONE = ast.Constant(1.0)
Block = list[tuple[str, ast.expr]]


@dataclass(frozen=True)
class EventKernel:
    """A step of one rule, for layers of any size.

    levels: of the variables, signals and what is read, in the order in which `source` takes them;
    numbers: those that it reads; sizes: how many sums, rows and amounts of a side it works with.
    """

    source: machine_code.Source
    levels: Mapping[str, Level]
    numbers: tuple[float, ...]
    sizes: Mapping[str, int]


class EventStep:
    """A kernel with the memory that it works with, and the tensors that it changes.

    shape: of the weights, (1, outputs, inputs). scale: of what each sample changes.
    """

    def __init__(
        self,
        kernel: EventKernel,
        samples: int,
        shape: torch.Size,
        torch_type: torch.dtype,
        scale: float,
    ) -> None:
        self.kernel, self.sizes = kernel, (samples, shape, torch_type)
        _, outputs, inputs = shape
        dtype = torch.empty(0, dtype=torch_type).numpy().dtype
        self._numbers = np.array([0.0, scale, *kernel.numbers], dtype)  # the first is the time
        self._work = [self._numbers, *_memory(kernel.sizes, samples, inputs, outputs, dtype)]
        widths: dict[Level, int] = {"pre": inputs, "post": outputs}
        shapes = [(samples, inputs), (samples, outputs), (outputs, inputs)]
        shapes += [(samples, widths[level]) for level in kernel.levels.values()]
        kinds = [f"{a.dtype.name} {a.ndim}" for a in self._work] + [f"{dtype.name} 2"] * len(shapes)
        integers = [n for shape in (*(a.shape for a in self._work), *shapes) for n in shape]
        self._entry = machine_code.entry(kernel.source, tuple(kinds))
        self._first = len(self._work)  # of the pointers that are set at each step
        self._pointers = (ctypes.c_uint64 * len(kinds))(*(a.ctypes.data for a in self._work))
        self._result = (ctypes.c_int64 * 2)()  # and where an exception would be told
        self._integers = (ctypes.c_int64 * len(integers))(*integers)
        self._tables = [
            ctypes.addressof(self._result),
            ctypes.addressof(self._result) + 8,
            ctypes.addressof(self._pointers),
            ctypes.addressof(self._integers),
            0,
        ]
        self._changed: list[tuple[int, Tensor]] = []

    def bind(self, state: Mapping[str, Tensor], weight: Tensor) -> bool:
        """Change these tensors, on a CPU, from now on; False where they do not lie in order."""
        for array in (weight, *state.values()):
            if not array.is_contiguous() or array.dtype != weight.dtype:
                return False
        names = enumerate(self.kernel.levels, self._first + 3)
        self._changed = [(k, state[name]) for k, name in names if name in state]
        self._changed.append((self._first + 2, weight))
        return True

    def take(self, pre: Tensor, post: Tensor, given: Mapping[str, Tensor], time: float) -> bool:
        """Advance state and weights by a step; False, and nothing done, where pre or post has other
        numbers than 0 and 1, and where the spikes are so many (some 20 % of a large layer's
        neurons) that products of matrices are quicker. All tensors must be contiguous."""
        self._numbers[0] = time
        pointers, first = self._pointers, self._first
        pointers[first], pointers[first + 1] = pre.data_ptr(), post.data_ptr()
        for k, tensor in self._changed:
            pointers[k] = tensor.data_ptr()
        if given:
            for k, name in enumerate(self.kernel.levels, first + 3):
                if name in given:
                    pointers[k] = given[name].data_ptr()
        if self._entry(*self._tables):
            raise RuntimeError("the compiled step of a rule failed.")
        return bool(self._result[0])


def _memory(
    sizes: Mapping[str, int], samples: int, inputs: int, outputs: int, dtype: np.dtype[Any]
) -> list[Any]:
    """The arrays of _WORK, but for the numbers."""
    wide, high = (-(-n // LANES) * LANES for n in (inputs, outputs))
    arrays = [
        machine_code.aligned(sizes["pre_sums"] * wide * LANES, dtype),
        machine_code.aligned(sizes["pre_sums"] * CHUNK * LANES, dtype),
        machine_code.aligned(sizes["post_sums"] * wide * LANES, dtype),
    ]
    for side, width, row in (("pre", inputs, inputs), ("post", outputs, high)):
        arrays += [
            machine_code.aligned(sizes[f"{side}_rows"] * samples * row, dtype).reshape(-1, row),
            machine_code.aligned(sizes[f"{side}_amounts"] * samples * width, dtype),
            machine_code.aligned(samples + 1, np.int64),
            machine_code.aligned(samples * width, np.uint32),
        ]
    events = [machine_code.aligned(samples * outputs, np.uint32) for _ in range(2)]
    return [*arrays, machine_code.aligned(outputs + 1, np.int64), *events]


def event_kernel(
    levels: Mapping[str, Level],
    decay: Mapping[str, float],
    flows: Mapping[str, ast.expr],
    on_pre: Block,
    on_post: Block,
    bounds: tuple[float, float] | None,
    dt: float,
) -> EventKernel | None:
    """The kernel of a rule, None where it cannot be one.

    levels: of all variables, signals, what is read, and "w". decay: the factor of a step of each
    variable that decays; flows: the derivatives of others; on_pre, on_post: target and value of
    each line, without bounds.
    """
    names = tuple(sorted(set(levels) - {"w"}))
    expressions = [*flows.values(), *(value for _, value in (*on_pre, *on_post))]
    if any(levels[name] not in _OTHER for name in names) or any(map(_joins, expressions)):
        return None
    if "w" in flows:
        return None
    writer = _Writer({name: levels[name] for name in names}, bounds)
    writer.decays(decay, flows, dt)
    blocks: list[tuple[Level, Block]] = [("pre", on_pre), ("post", on_post)]
    for side, block in blocks:
        for weight, lines in itertools.groupby(block, lambda line: line[0] == "w"):
            if not weight:
                writer.updates(side, list(lines))
                continue
            for _, value in lines:
                terms = increment(value, "w", levels)
                if not all(map(_splits, terms)):
                    return None
                writer.change(side, terms)
    arguments = (*_WORK, "_pre", "_post", "_w", *(f"{name}_all" for name in names))
    source = machine_code.Source(lanes_text(), arguments, writer.body())
    return EventKernel(source, writer.levels, tuple(writer.numbers), writer.sizes)


@functools.cache
def lanes_text() -> str:
    """The text of `event_lanes`, with which kernels begin."""
    return Path(__file__).with_name("event_lanes.py").read_text()


_START = """\
    if not spikes(_pre, _pre_first, _pre_at) or not spikes(_post, _post_first, _post_at):
        return 0
    _t = _numbers[0]
    _scale = _numbers[1]
    _samples, _inputs, _outputs = _pre.shape[0], _pre.shape[1], _post.shape[1]
    _products = _pre_first[_samples] * _outputs + _post_first[_samples] * _inputs
    if 5 * _products > 5_000_000 + 2 * _samples * _inputs * _outputs:
        return 0
    by_neuron(_post_first, _post_at, _post_starts, _post_samples, _post_events)"""


def _value(tree: ast.expr) -> Any:
    """The number that an expression is, None where it is more than one."""
    return tree.value if isinstance(tree, ast.Constant) else None


def _joins(tree: ast.expr) -> bool:
    """Whether an expression calls a function of many synapses."""
    return any(isinstance(n, ast.Name) and n.id in eq.POPULATION_FUNCTIONS for n in ast.walk(tree))


def _splits(term: Term) -> bool:
    """Whether a term is a product of what either side knows and simple arithmetic on the weight:
    powers and functions of each weight are quicker in torch."""
    slow = (ast.Pow, ast.Call)
    weight = term.factors.get("weight", _ONE)
    return "synapse" not in term.factors and not any(isinstance(n, slow) for n in ast.walk(weight))


@dataclass
class _Writer:
    """The text, and the numbers that it reads as `_n0`, `_n1`, ...

    neurons: what a sample does to variables, and what it keeps of them for the weights, line by
    line; sums: what it then adds to the sums of either side; applied: how these change a weight.
    A variable is an array NAME_all, of which NAME_row is a sample; names with a leading
    underscore, which no variable has, are the kernel's own.
    """

    levels: Mapping[str, Level]
    bounds: tuple[float, float] | None
    numbers: list[float] = field(default_factory=list)
    neurons: list[str] = field(default_factory=list)
    sums: dict[Level, list[str]] = field(default_factory=lambda: {"pre": [], "post": []})
    applied: list[str] = field(default_factory=list)
    sizes: Counter[str] = field(default_factory=Counter)

    def body(self) -> str:
        """All of it."""
        lines = [_START, *(f"    _n{i} = _numbers[{i + 2}]" for i in range(len(self.numbers)))]
        if self.neurons:
            lines += ["    for _b in range(_samples):"]
            lines += _indented(2, [f"{name}_row = {name}_all[_b]" for name in self.levels])
            lines += _indented(2, self.neurons)
        if self.applied:
            lines += _indented(1, self.weights())
        return "\n".join([*lines, "    return 1"])

    def number(self, value: float) -> str:
        self.numbers.append(value)  # equal ones too: the text must not tell numbers from others
        return f"_n{len(self.numbers) - 1}"

    def new(self, what: str) -> int:
        """One more of the sums, rows or amounts of a side."""
        self.sizes[what] += 1
        return self.sizes[what] - 1

    def text(self, tree: ast.expr) -> str:
        """The value of an expression, at index `_i` of its rows, of the weight `_weight`."""
        writer = self

        class Lift(ast.NodeTransformer):
            def visit_Constant(self, node: ast.Constant) -> ast.expr:
                return ast.Name(writer.number(float(node.value)))  # type: ignore[arg-type]

        lifted = Lift().visit(ast.parse(ast.unparse(tree), mode="eval").body)
        rename = {name: f"{name}_row[_i]" for name in self.levels}
        rename |= {"w": "_weight", "t": "_t"}
        return eq.emit(eq.Expression("", frozenset(), lifted), "scalar", rename)

    def decays(self, decay: Mapping[str, float], flows: Mapping[str, ast.expr], dt: float) -> None:
        """Variables advance, all from their values at the start of the step."""
        for level in _OTHER:
            mine = [name for name in (*decay, *flows) if self.levels[name] == level]
            if not mine:
                continue
            self.neurons.append(f"for _i in range(_{level}.shape[1]):")
            for name in mine:
                if name in flows:
                    change = f"+ {self.number(dt)} * {self.text(flows[name])}"
                else:
                    change = f"* {self.number(decay[name])}"
                self.neurons.append(f"    _{name} = {name}_row[_i] {change}")
            self.neurons += [f"    {name}_row[_i] = _{name}" for name in mine]

    def updates(self, side: Level, lines: Block) -> None:
        """Variables of the neurons that fire."""
        texts = [f"{name}_row[_i] = {self.text(value)}" for name, value in lines]
        self.neurons += [*_events(side), *_indented(1, [f"_i = _{side}_at[_e]", *texts])]

    def change(self, side: Level, terms: list[Term]) -> None:
        """The weight: the products of all samples are summed, then added."""
        factors = [term.factors.get("weight", _ONE) for term in terms]
        kinds = {ast.unparse(factor): factor for factor in factors}  # one sum for each
        numbers = {kind: self.new(f"{side}_sums") for kind in kinds}
        for term, factor in zip(terms, factors, strict=True):
            number = numbers[ast.unparse(factor)]
            rows = self._rows(side, term.factors.get(_OTHER[side], _ONE))
            amount = f"_scale * {self.number(term.coefficient)}"
            own = term.factors.get(side, _ONE)
            if _value(own) != 1:
                value, amount = f"{amount} * {self.text(own)}", self._amounts(side)
                lines = [f"_i = _{side}_at[_e]", f"{amount} = {value}"]
                self.neurons += [*_events(side), *_indented(1, lines)]
            self.sums[side] += self._added(side, number, amount, rows)
        parts = ["_weight"]
        for kind, factor in kinds.items():
            total = f"_{side}{numbers[kind]}[_i]"
            parts.append(total if _value(factor) == 1 else f"{total} * {self.text(factor)}")
        value = " + ".join(parts)
        if self.bounds is not None:
            value = f"clip({value}, {', '.join(map(self.number, self.bounds))})"
        self.applied.append(f"_weight = {value}")

    def _rows(self, side: Level, factor: ast.expr) -> str:
        """What the other side knows, as it is now: a row of sample `_b`. Presynaptic variables,
        which change no more where postsynaptic spikes come, need no copy; copies of postsynaptic
        ones are filled up to whole lanes."""
        if side == "post" and isinstance(factor, ast.Name):
            return f"{factor.id}_all[_b]"
        rows = f"{_OTHER[side]}_rows"
        row = f"_{rows}[{self.new(rows)} * _samples + _b]"
        value = self.text(factor)
        self.neurons += [f"_row = {row}", f"for _i in range(_{_OTHER[side]}.shape[1]):"]
        self.neurons.append(f"    _row[_i] = {value}")
        return row

    def _amounts(self, side: Level) -> str:
        """A place for a number of each spike of a side."""
        return f"_{side}_amounts[{self.new(f'{side}_amounts')} * _{side}_at.size + _e]"

    def _added(self, side: Level, number: int, amount: str, rows: str) -> list[str]:
        """Add to a sum: all presynaptic spikes of sample `_b`; a postsynaptic spike `_s`."""
        if side == "post":
            at = f"({number * LANES} + _k) * _wide"
            first = not any(line.startswith(f"add_row(_sums, {at},") for line in self.sums[side])
            return [f"add_row(_sums, {at}, {amount}, {rows}, {'_s == _first' if first else False})"]
        at = f"{number} * _wide * {LANES}"
        if not amount.startswith("_pre_amounts"):
            ends = "_pre_first[_b], _pre_first[_b + 1]"
            return [f"spread(_lanes, {at}, _pre_at, {ends}, {amount}, {rows}, _o)"]
        into = f"{at} + {LANES} * _pre_at[_e]"
        return [*_events("pre"), f"    add(_lanes, {into}, {amount}, {rows}, _o)"]

    def weights(self) -> list[str]:
        """Change the weights of LANES neurons at a time, a chunk of each: first the sums."""
        lines, turned, totals = [], [], []
        places = [f"({k * LANES} + _k) * _wide" for k in range(self.sizes["post_sums"])]
        if self.sums["pre"]:
            lines = ["for _b in range(_samples):", *_indented(1, self.sums["pre"])]
        if self.sums["post"]:
            lines += [
                "for _k in range(_rows):",
                "    _first, _last = _post_starts[_o + _k], _post_starts[_o + _k + 1]",
                "    if _first == _last:",
                *_indented(2, [f"_sums[{at} :][:_inputs] = 0" for at in places]),
                "    for _s in range(_first, _last):",
                "        _b, _e = _post_samples[_s], _post_events[_s]",
                *_indented(2, self.sums["post"]),
            ]
        for k in range(self.sizes["pre_sums"]):
            into = k * LANES * CHUNK
            turned.append(f"turn_chunk(_lanes, {k} * _wide + _start, _size, _turned, {into})")
            totals.append(f"_pre{k} = _turned[{into} + _k * {CHUNK} :][:_size]")
        for k in range(self.sizes["post_sums"]):
            totals.append(f"_post{k} = _sums[{places[k]} + _start :][:_size]")
        return [
            f"_wide = (_inputs + {LANES - 1}) // {LANES} * {LANES}",
            f"for _o in range(0, _outputs, {LANES}):",
            f"    _rows = min({LANES}, _outputs - _o)",
            *_indented(1, lines),
            f"    for _start in range(0, _inputs, {CHUNK}):",
            f"        _size = min({CHUNK}, _inputs - _start)",
            *_indented(2, turned),
            "        for _k in range(_rows):",
            *_indented(3, totals),
            "            w_row = _w[_o + _k, _start : _start + _size]",
            "            for _i in range(_size):",
            "                _weight = w_row[_i]",
            *_indented(4, self.applied),
            "                w_row[_i] = _weight",
        ]


def _events(side: Level) -> list[str]:
    """The head of a loop over the spikes of sample `_b`."""
    return [f"for _e in range(_{side}_first[_b], _{side}_first[_b + 1]):"]


def _indented(depth: int, lines: Iterable[str]) -> list[str]:
    return ["    " * depth + line for line in lines]
