"""The language in which neurons and plasticity rules are written, and its one parser.

A small, safe subset of Python: numbers, named variables, `+ - * / **`, comparisons,
`and or not`, and the functions of `FUNCTIONS`. A *block* is one assignment a line
(`=`, `+=`, `-=`, `*=`, `/=`); a *system* is one differential equation a line:

    dv/dt = (v_rest - v + resistance*i_syn)/tau_m : V (unless refractory)
    di_syn/dt = -i_syn/tau_s : A

Text is parsed once into a checked form. Whatever is not in the language (attributes, subscripts,
unknown functions, unknown names, strings ...) is refused with an `EquationError` that points at
the character. The checked form is printed for an engine by `emit`: the same text for NumPy and
torch arrays, scalar code for numba, and Brian2 strings.

>>> print(emit(parse_expression("where(v > 1, 0, exp(-v))", {"v"}), "scalar"))
(0.0 if (v > 1.0) else exp((-v)))
>>> parse_expression("clip(w + y, 0, wmax)", {"w", "y", "w_max"})
Traceback (most recent call last):
    ...
neuroflip.equations.EquationError: unknown name 'wmax'; did you mean 'w_max'?
    clip(w + y, 0, wmax)
                   ^
"""

import ast
import keyword
import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from neuroflip.errors import nearest

Dialect = Literal["array", "scalar", "brian2"]

FUNCTIONS: dict[str, int] = {
    "exp": 1,
    "expm1": 1,
    "exprel": 1,
    "log": 1,
    "sqrt": 1,
    "abs": 1,
    "tanh": 1,
    "min": 2,
    "max": 2,
    "clip": 3,
    "where": 3,
}
"""The functions of the language and how many arguments each takes; exprel(x) = (exp(x) - 1)/x."""

POPULATION_FUNCTIONS: dict[str, int] = {"sum_pre": 1, "cumsum_post": 1, "softmax_post": 1}
"""Functions that join many synapses, for rules on whole layers: sum_pre(e) adds e over all
synapses of a postsynaptic neuron; cumsum_post(e) over the same synapse of all postsynaptic
neurons up to this one; softmax_post(e) is exp(e), divided by its sum over postsynaptic neurons."""

_DEEPEST = 200  # levels of an expression; Python's own parser gives up not far above

_OPERATORS: dict[type[ast.AST], str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.Pow: "**",
    ast.USub: "-",
    ast.UAdd: "+",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Eq: "==",
    ast.NotEq: "!=",
}


class EquationError(ValueError):
    """Text that is not in the language; the message shows the line and points at the character."""

    def __init__(self, message: str, line: str = "", column: int = 0, where: str = "") -> None:
        prefix = f"{where}: " if where else ""
        pointer = f"\n    {line}\n    {' ' * column}^" if line else ""
        super().__init__(f"{prefix}{message}{pointer}")


@dataclass(frozen=True)
class Expression:
    """A checked expression: its text, its names, and its syntax tree (not compared)."""

    text: str
    names: frozenset[str]
    tree: ast.expr


@dataclass(frozen=True)
class Assignment:
    """`target = value`; an augmented assignment is stored as the full one."""

    target: str
    value: Expression


@dataclass(frozen=True)
class Differential:
    """`d variable/dt = value`, the variable's unit, and whether refractoriness holds it still."""

    variable: str
    value: Expression
    unit: str
    unless_refractory: bool


def parse_expression(
    text: str,
    names: Collection[str],
    where: str = "",
    functions: Mapping[str, int] = FUNCTIONS,
) -> Expression:
    """An expression over `names`. Raises EquationError for anything outside the language."""
    return _expression(text.strip(), text.strip(), 0, names, where, functions=functions)


def parse_block(
    text: str,
    names: Collection[str],
    targets: Collection[str] | None = None,
    where: str = "",
    functions: Mapping[str, int] = FUNCTIONS,
) -> tuple[Assignment, ...]:
    """The assignments of a block, in order.

    names: what may be read. targets: what may be written; None lets every line define a new
    name, which later lines may read. functions: what may be called.

    >>> [a.value.text for a in parse_block("x += 1\\nw = clip(w - y, 0, 1)", {"w", "x", "y"})]
    ['x + (1)', 'clip(w - y, 0, 1)']
    """
    known = set(names)
    assignments = []
    for line in _lines(text):
        match = re.fullmatch(r"([A-Za-z_]\w*)\s*([-+*/]?)=(?!=)(.*)", line)
        if match is None:
            raise EquationError("expected an assignment, like x += 1", line, 0, where)
        target, operator, value = match.groups()
        if targets is not None and target not in targets:
            raise EquationError(
                f"{target!r} cannot be assigned here; {nearest(target, sorted(targets))}",
                line,
                0,
                where,
            )
        _check_new_name(target, line, where)
        if operator and target not in known:
            raise EquationError(f"{target!r} has no value yet", line, 0, where)
        checked = _expression(value, line, match.start(3), known, where, False, functions)
        if operator:
            whole = f"{target} {operator} ({value.strip()})"
            checked = _expression(whole, line, match.start(3), known, where, False, functions)
        assignments.append(Assignment(target, checked))
        known.add(target)
    return tuple(assignments)


def parse_system(
    text: str,
    names: Collection[str],
    where: str = "",
    functions: Mapping[str, int] = FUNCTIONS,
) -> tuple[Differential, ...]:
    """The differential equations of a system; the variables may be read by every equation.

    >>> [d] = parse_system("dx/dt = -x/tau : V (unless refractory)", {"tau"})
    >>> d.variable, d.unit, d.unless_refractory
    ('x', 'V', True)
    """
    parsed: list[tuple[str, re.Match[str]]] = []
    for line in _lines(text):
        match = re.fullmatch(
            r"d([A-Za-z_]\w*)/dt\s*=([^:]*)(?::\s*(\w+)\s*(\(unless refractory\))?\s*)?", line
        )
        if match is None:
            raise EquationError(
                "expected a differential equation, like dx/dt = -x/tau : V", line, 0, where
            )
        _check_new_name(match.group(1), line, where)
        if any(match.group(1) == other.group(1) for _, other in parsed):
            raise EquationError(f"{match.group(1)!r} has an equation already", line, 1, where)
        parsed.append((line, match))
    known = set(names) | {match.group(1) for _, match in parsed}
    return tuple(
        Differential(
            match.group(1),
            _expression(match.group(2), line, match.start(2), known, where, False, functions),
            match.group(3) or "1",
            match.group(4) is not None,
        )
        for line, match in parsed
    )


def decay_constant(equation: Differential, constants: Collection[str]) -> str | None:
    """The time constant's name in an exponential decay `dx/dt = -x/tau`; None for another form.

    constants: names that do not vary.

    >>> [d] = parse_system("dx/dt = -x/tau", {"tau"})
    >>> decay_constant(d, {"tau"})
    'tau'
    """
    tree = equation.value.tree
    if (
        isinstance(tree, ast.BinOp)
        and isinstance(tree.op, ast.Div)
        and isinstance(tree.right, ast.Name)
        and isinstance(tree.left, ast.UnaryOp)
        and isinstance(tree.left.op, ast.USub)
        and isinstance(tree.left.operand, ast.Name)
        and tree.left.operand.id == equation.variable
        and tree.right.id in constants
    ):
        return tree.right.id
    return None


def linear_coefficient(expression: Expression, name: str) -> str:
    """Text of a in an expression of the form a*name + b.

    Raises EquationError where the expression is not linear in `name`.

    >>> linear_coefficient(parse_expression("(g*(E - v) + I)/C", {"g", "E", "v", "I", "C"}), "v")
    '(((g)*(0 - 1))/(C))'
    """

    def none() -> EquationError:
        return EquationError(
            f"not linear in {name!r}, as exponential_euler needs; use euler or rk4",
            expression.text,
        )

    def reads(node: ast.AST) -> bool:
        return any(isinstance(n, ast.Name) and n.id == name for n in ast.walk(node))

    def coefficient(node: ast.AST) -> str:
        """Of a node that reads the name."""
        match node:
            case ast.Name():
                return "1"
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return f"(-{coefficient(operand)})"
            case ast.UnaryOp(op=ast.UAdd(), operand=operand):
                return coefficient(operand)
            case ast.BinOp(left=left, op=ast.Add() | ast.Sub() as op, right=right):
                first = coefficient(left) if reads(left) else "0"
                if not reads(right):
                    return first
                return f"({first} {_OPERATORS[type(op)]} {coefficient(right)})"
            case ast.BinOp(left=left, op=ast.Mult(), right=right) if not reads(right):
                return f"({coefficient(left)}*({ast.unparse(right)}))"
            case ast.BinOp(left=left, op=ast.Mult(), right=right) if not reads(left):
                return f"(({ast.unparse(left)})*{coefficient(right)})"
            case ast.BinOp(left=left, op=ast.Div(), right=right) if not reads(right):
                return f"({coefficient(left)}/({ast.unparse(right)}))"
        raise none()

    return coefficient(expression.tree) if reads(expression.tree) else "0"


def functions_of(expression: Expression) -> frozenset[str]:
    """Names of the functions that an expression calls."""
    calls = (n for n in ast.walk(expression.tree) if isinstance(n, ast.Call))
    return frozenset(call.func.id for call in calls if isinstance(call.func, ast.Name))


def unclipped(expression: Expression) -> Expression:
    """What an expression of the form `clip(e, low, high)` clips; else itself.

    >>> unclipped(parse_expression("clip(w + 1, 0, 2)", {"w"})).text
    'w + 1'
    """
    tree = expression.tree
    if isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name) and tree.func.id == "clip":
        return Expression(ast.unparse(tree.args[0]), expression.names, tree.args[0])
    return expression


def renamed(text: str, names: Mapping[str, str]) -> str:
    """Text of the language with some of its names replaced, whole words only.

    >>> renamed("dx/dt = -x/tau_x", {"x": "a_x", "tau_x": "tau"})
    'da_x/dt = -a_x/tau'
    """

    def new(match: re.Match[str]) -> str:
        word = match.group()
        if word[0] == "d" and match.string[match.end() :].startswith("/dt"):
            return "d" + names.get(word[1:], word[1:])
        return names.get(word, word)

    return re.sub(r"(?<![\w.])[A-Za-z_]\w*", new, text)


def margin(threshold: Expression, where: str = "") -> Expression:
    """The signed distance to a threshold `a > b` or `a < b`: positive where it is crossed.

    >>> margin(parse_expression("v > v_threshold", {"v", "v_threshold"})).text
    '(v) - (v_threshold)'
    """
    tree = threshold.tree
    if not isinstance(tree, ast.Compare) or not isinstance(tree.ops[0], (ast.Gt, ast.Lt)):
        raise EquationError("a threshold is one strict comparison", threshold.text, 0, where)
    sides = [ast.unparse(tree.left), ast.unparse(tree.comparators[0])]
    high, low = sides if isinstance(tree.ops[0], ast.Gt) else sides[::-1]
    return parse_expression(f"({high}) - ({low})", threshold.names, where)


def emit(expression: Expression, dialect: Dialect, rename: Mapping[str, str] | None = None) -> str:
    """Source text of an expression for an engine.

    dialect: "array" (NumPy and torch: the functions are looked up in the namespace that the
    engine supplies, see `NUMPY`), "scalar" (numba), "brian2". rename: names to replace.
    """
    return _emit(expression.tree, dialect, rename or {})


def check_new(targets: Iterable[str], taken: Collection[str], where: str = "") -> None:
    """Raise EquationError where a name that is defined here stands for something already.

    >>> check_new(["tau"], {"tau", "dt"}, "Mine.constants")
    Traceback (most recent call last):
        ...
    neuroflip.equations.EquationError: Mine.constants: 'tau' is taken; choose another name
    """
    for target in targets:
        if target in taken:
            raise EquationError(f"{target!r} is taken; choose another name", where=where)


def compile_block(
    block: tuple[Assignment, ...], namespace: Mapping[str, Any]
) -> Callable[..., dict[str, Any]]:
    """A function that runs a block on a dictionary of arrays and returns what it assigned.

    Its second argument, where given, is a function (name, new value) -> the value assigned.

    >>> step = compile_block(parse_block("x += 1\\nz = 2*x", {"x"}), NUMPY)
    >>> step({"x": 3.0})
    {'x': 4.0, 'z': 8.0}
    """
    code = [(a.target, compile(emit(a.value, "array"), f"<{a.target}>", "eval")) for a in block]

    def run(
        values: dict[str, Any], assign: Callable[[str, Any], Any] | None = None
    ) -> dict[str, Any]:
        local = dict(values)
        assigned: dict[str, Any] = {}
        for target, body in code:
            value = eval(body, dict(namespace), local)
            assigned[target] = local[target] = value if assign is None else assign(target, value)
        return assigned

    return run


def _exprel(x: Any) -> Any:
    x = np.asarray(x, dtype=np.float64)
    small = np.abs(x) < 1e-300
    return np.where(small, 1.0, np.expm1(x) / np.where(small, 1.0, x))


NUMPY: dict[str, Any] = {
    "exp": np.exp,
    "expm1": np.expm1,
    "exprel": _exprel,
    "log": np.log,
    "sqrt": np.sqrt,
    "abs": np.abs,
    "tanh": np.tanh,
    "min": np.minimum,
    "max": np.maximum,
    "clip": np.clip,
    "where": np.where,
    "logical_and": np.logical_and,
    "logical_or": np.logical_or,
    "logical_not": np.logical_not,
}
"""Namespace in which "array" text runs on NumPy arrays."""


def _lines(text: str) -> list[str]:
    """The lines that say something: comments and blank lines are dropped."""
    stripped = (line.split("#", 1)[0].strip() for line in text.splitlines())
    return [line for line in stripped if line]


def _check_new_name(name: str, line: str, where: str) -> None:
    if name in FUNCTIONS or keyword.iskeyword(name) or name.startswith("_"):
        raise EquationError(f"{name!r} cannot name a variable", line, line.find(name), where)


def _expression(
    text: str,
    line: str,
    offset: int,
    names: Collection[str],
    where: str,
    condition: bool | None = None,
    functions: Mapping[str, int] = FUNCTIONS,
) -> Expression:
    """Parse and check `text`, which begins at character `offset` of `line`.

    condition: whether a condition is expected, or a number; None takes either.
    """
    offset += len(text) - len(text.lstrip())
    text = text.strip()
    if not text:
        raise EquationError("an expression is missing", line, offset, where)
    try:
        tree = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        column = offset + (getattr(error, "offset", None) or 1) - 1
        raise EquationError("not an expression", line, min(column, len(line)), where) from None
    encoded = text.encode()
    found: set[str] = set()

    def refuse(node: ast.AST, message: str) -> EquationError:
        before = encoded[: getattr(node, "col_offset", 0)].decode()  # the tree counts in bytes
        return EquationError(message, line, min(offset + len(before), len(line)), where)

    def expect(node: ast.AST, condition: bool, depth: int) -> None:
        if check(node, depth) != condition:
            expected, got = ("condition", "number") if condition else ("number", "condition")
            raise refuse(node, f"expected a {expected}, not a {got}")

    def check(node: ast.AST, depth: int) -> bool:
        """Whether a node is a condition. Raises EquationError for what is not allowed."""
        if depth > _DEEPEST:
            raise refuse(node, f"nested more than {_DEEPEST} deep")
        depth += 1
        match node:
            case ast.Constant(value=value):
                if type(value) not in (int, float) or not _finite(value):
                    shown = f"{value!r:.30}" if type(value) is not int else "one this large"
                    raise refuse(node, f"only finite numbers are allowed, not {shown}")
                return False
            case ast.Name(id=name):
                if name in functions:
                    raise refuse(node, f"{name!r} is a function; call it")
                if name not in names:
                    raise refuse(node, f"unknown name {name!r}; {nearest(name, sorted(names))}")
                found.add(name)
                return False
            case ast.Call(func=function, args=arguments, keywords=keywords):
                if not isinstance(function, ast.Name) or function.id not in functions:
                    name = ast.unparse(function)
                    raise refuse(node, f"unknown function {name!r}; {nearest(name, functions)}")
                arity = functions[function.id]
                if keywords or len(arguments) != arity:
                    raise refuse(node, f"{function.id} takes {arity} argument(s), by position")
                for number, argument in enumerate(arguments):
                    expect(argument, function.id == "where" and number == 0, depth)
                return False
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
                expect(left, False, depth)
                expect(right, False, depth)
                return False
            case ast.UnaryOp(op=ast.USub() | ast.UAdd() | ast.Not() as op, operand=operand):
                negation = isinstance(op, ast.Not)
                expect(operand, negation, depth)
                return negation
            case ast.BoolOp(values=parts):
                for part in parts:
                    expect(part, True, depth)
                return True
            case ast.Compare(left=left, ops=ops, comparators=others) if type(ops[0]) in _OPERATORS:
                if len(ops) > 1:
                    raise refuse(others[0], "write a chained comparison with `and`")
                expect(left, False, depth)
                expect(others[0], False, depth)
                return True
        raise refuse(node, f"{type(node).__name__.lower()} is not in the equation language")

    if condition is None:
        check(tree, 0)
    else:
        expect(tree, condition, 0)
    return Expression(text, frozenset(found), tree)


def _finite(value: Any) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond every float
        return False


def _emit(node: ast.AST, dialect: Dialect, rename: Mapping[str, str]) -> str:
    def sub(child: ast.AST) -> str:
        return _emit(child, dialect, rename)

    match node:
        case ast.Constant(value=value):
            # As a float: whole numbers would overflow in compiled code
            return repr(float(value))  # type: ignore[arg-type]
        case ast.Name(id=name):
            return rename.get(name, name)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            body = sub(operand)
            return f"logical_not({body})" if dialect == "array" else f"(not ({body}))"
        case ast.UnaryOp(op=op, operand=operand):
            return f"({_OPERATORS[type(op)]}{sub(operand)})"
        case ast.BinOp(left=left, op=ast.Pow(), right=right) if dialect == "scalar":
            # Where the exponent is 0, as that of additive plasticity, the base is not computed
            return f"(1.0 if {sub(right)} == 0.0 else power({sub(left)}, {sub(right)}))"
        case ast.BinOp(left=left, op=op, right=right):
            return f"({sub(left)} {_OPERATORS[type(op)]} {sub(right)})"
        case ast.Compare(left=left, ops=[op], comparators=[right]):
            return f"({sub(left)} {_OPERATORS[type(op)]} {sub(right)})"
        case ast.BoolOp(op=op, values=values):
            word = "and" if isinstance(op, ast.And) else "or"
            parts = [sub(value) for value in values]
            if dialect != "array":
                return "(" + f" {word} ".join(parts) + ")"
            text = parts[0]
            for part in parts[1:]:
                text = f"logical_{word}({text}, {part})"
            return text
        case ast.Call(func=ast.Name(id=name), args=arguments):
            return _emit_call(name, [sub(a) for a in arguments], dialect)
    raise AssertionError(f"unchecked node {node!r}")


def _emit_call(name: str, arguments: list[str], dialect: Dialect) -> str:
    if dialect == "brian2":  # has no min and max; where is given to it by the engine
        if name == "min":
            return f"clip({arguments[0]}, -inf, {arguments[1]})"
        if name == "max":
            return f"clip({arguments[0]}, {arguments[1]}, inf)"
    if dialect == "scalar" and name == "where":
        condition, yes, no = arguments
        return f"({yes} if {condition} else {no})"
    return f"{name}({', '.join(arguments)})"
