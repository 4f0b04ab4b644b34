"""The equation language: what it takes, what it refuses and where it points, what it means."""

import ast
import math
import operator
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from neuroflip.equations import (
    FUNCTIONS,
    NUMPY,
    Assignment,
    EquationError,
    compile_block,
    decay_constant,
    emit,
    margin,
    parse_block,
    parse_expression,
    parse_system,
)

NAMES = {"x", "y", "z"}


def pointed(error: EquationError) -> tuple[str, str, int]:
    """(message, the line shown, the column the caret stands under)."""
    message, line, caret = str(error).split("\n")
    assert line.startswith("    ") and caret.strip() == "^"
    return message, line[4:], caret.index("^") - 4


def refusal(text: str, names: set[str] = NAMES) -> tuple[str, str, int]:
    with pytest.raises(EquationError) as caught:
        parse_expression(text, names, "Here")
    return pointed(caught.value)


# What the functions of the language mean, in plain Python.
def py_exprel(x: float) -> float:
    return 1.0 if x == 0 else math.expm1(x) / x


PYTHON: dict[str, Any] = {
    "exp": math.exp,
    "expm1": math.expm1,
    "exprel": py_exprel,
    "log": math.log,
    "sqrt": math.sqrt,
    "abs": abs,
    "tanh": math.tanh,
    "min": min,
    "max": max,
    "clip": lambda x, low, high: low if x < low else high if x > high else x,
    "where": lambda condition, yes, no: yes if condition else no,
}
# The names that Brian2 gives to an expression; it has no min, max and where.
BRIAN2 = {k: v for k, v in PYTHON.items() if k not in ("min", "max")} | {
    "int": int,
    "inf": math.inf,
}
assert set(PYTHON) == set(FUNCTIONS)


def evaluations(text: str, values: Mapping[str, float]) -> dict[str, Any]:
    """The value of an expression in every dialect and engine namespace."""
    import torch

    from neuroflip.engines.torch import FUNCTIONS

    expression = parse_expression(text, set(values))
    arrays = {k: np.array([v, v]) for k, v in values.items()}
    tensors = {k: torch.tensor([[v], [v]], dtype=torch.float64) for k, v in values.items()}
    code = emit(expression, "array")
    found = {
        "numpy": eval(code, dict(NUMPY), arrays),
        "numpy scalar": eval(code, dict(NUMPY), dict(values)),
        "torch": eval(code, dict(FUNCTIONS), tensors),
        "scalar": eval(
            emit(expression, "scalar"),
            {"__builtins__": {}, **PYTHON, "where": None, "power": operator.pow},
            dict(values),
        ),
        "brian2": eval(
            emit(expression, "brian2"), {"__builtins__": {}, **BRIAN2}, dict(values)
        ),
    }  # fmt: skip
    return {name: np.unique(np.asarray(value, dtype=np.float64)) for name, value in found.items()}


# ------------------------------------------------------------------ refusals and the pointer


@pytest.mark.parametrize(
    ("text", "message", "at"),
    [
        ("x + x.real", "attribute is not in the equation language", "x.real"),
        ("x*y[0]", "subscript is not in the equation language", "y[0]"),
        ("x + 'a'", "only finite numbers are allowed, not 'a'", "'a'"),
        ("x + b'a'", "only finite numbers are allowed, not b'a'", "b'a'"),
        ("x + (lambda: 0)", "lambda is not in the equation language", "lambda"),
        ("x + (y := 1)", "namedexpr is not in the equation language", "y := 1"),
        ("exp([a for a in x])", "listcomp is not in the equation language", "[a"),
        ("x + f'{x}'", "joinedstr is not in the equation language", "f'{x}'"),
        ("1 + sin(x)", "unknown function 'sin'; did you mean 'min'?", "sin"),
        ("x + eval(y)", "unknown function 'eval'; known: exp, expm1", "eval"),
        ("__import__('os').system('ls')", "unknown function \"__import__('os').system\"", "__imp"),
        ("x + __import__('os')", "unknown function '__import__'", "__import__"),
        ("x.exp(1)", "unknown function 'x.exp'", "x.exp"),
        ("x + yy", "unknown name 'yy'; did you mean 'y'?", "yy"),
        ("x + __builtins__", "unknown name '__builtins__'; known: x, y, z.", "__builtins__"),
        ("x + exp", "'exp' is a function; call it", "exp"),
        ("x*exp()", "exp takes 1 argument(s), by position", "exp()"),
        ("x*exp(x, y)", "exp takes 1 argument(s), by position", "exp("),
        ("x*clip(x, 0)", "clip takes 3 argument(s), by position", "clip("),
        ("x*min(x, y, z)", "min takes 2 argument(s), by position", "min("),
        ("exp(x=1)", "exp takes 1 argument(s), by position", "exp("),
        ("exp(*x)", "starred is not in the equation language", "*x"),
        ("where(0 < x < 1, x, y)", "write a chained comparison with `and`", "x < 1"),
        ("x + True", "only finite numbers are allowed, not True", "True"),
        ("x + None", "only finite numbers are allowed, not None", "None"),
        ("x + ...", "only finite numbers are allowed, not Ellipsis", "..."),
        ("x + 1j", "only finite numbers are allowed, not 1j", "1j"),
        ("x*1e999", "only finite numbers are allowed, not inf", "1e999"),
        ("x % y", "binop is not in the equation language", "x % y"),
        ("z + x // y", "binop is not in the equation language", "x // y"),
        ("x @ y", "binop is not in the equation language", "x @ y"),
        ("x << 1", "binop is not in the equation language", "x << 1"),
        ("x + ~y", "unaryop is not in the equation language", "~y"),
        ("where(x is y, 0, 1)", "compare is not in the equation language", "x is y"),
        ("where(x in y, 0, 1)", "compare is not in the equation language", "x in y"),
        ("x if x > 0 else y", "ifexp is not in the equation language", "x if"),
        ("exp((x, y))", "tuple is not in the equation language", "(x, y)"),
        ("exp({x: y})", "dict is not in the equation language", "{x"),
        ("exp({x})", "set is not in the equation language", "{x"),
        ("x; y", "not an expression", "; y"),
        ("x)", "not an expression", ")"),
        ("x +* y", "not an expression", "* y"),
        ("import os", "not an expression", "import"),
    ],
)
def test_refuses_and_points_at(text: str, message: str, at: str) -> None:
    said, line, column = refusal(text)
    assert said.startswith(f"Here: {message}")
    assert line == text
    assert text[column:].startswith(at)


@pytest.mark.parametrize("text", ["x = y", "x + y z", "exp(x", "x +", "not", "yield x"])
def test_what_is_no_python_is_no_expression(text: str) -> None:
    said, line, column = refusal(text)  # where Python points differs between its versions
    assert said == "Here: not an expression" and line == text and 0 <= column <= len(text)


@pytest.mark.parametrize("text", ["", "   ", "\t"])
def test_refuses_nothing(text: str) -> None:
    with pytest.raises(EquationError, match="^an expression is missing$"):
        parse_expression(text, NAMES)


def test_points_at_the_character_after_letters_that_are_not_ascii() -> None:
    said, line, column = refusal("µ + µ*foo", {"µ", "μ"})
    assert line[column:] == "foo", said


@pytest.mark.parametrize("leading", ["", "  ", "\t "])
def test_pointer_ignores_the_indent_of_the_line(leading: str) -> None:
    with pytest.raises(EquationError) as caught:
        parse_block(f"\n{leading}x   *=   y   +  zz  # why\n", NAMES)
    _, line, column = pointed(caught.value)
    assert line == "x   *=   y   +  zz" and line[column:] == "zz"


@pytest.mark.parametrize(
    "text",
    [
        "(" * 3000 + "x" + ")" * 3000,
        "-" * 3000 + "x",
        "-" * 100_000 + "x",
        "+".join(["x"] * 5000),
        "exp(" * 90 + "x" + ")" * 90 + "+".join([""] + ["x"] * 5000),
        "1" + "0" * 400,  # an integer beyond every float
        "x*1" + "0" * 400,
        "1" + "0" * 5000,
        "x\0",
    ],
    ids=["parentheses", "minus", "many minus", "sum", "calls", "big", "big times", "huge", "null"],
)
def test_what_python_itself_chokes_on_is_an_equation_error(text: str) -> None:
    with pytest.raises(EquationError):
        parse_expression(text, NAMES)


@pytest.mark.parametrize("depth", [10, 50])
def test_sensible_nesting_is_taken(depth: int) -> None:
    text = "abs(" * depth + "x - 1" + ")" * depth
    assert evaluations(text, {"x": -2.0})["scalar"] == [3.0]


@pytest.mark.parametrize(
    "text",
    [
        "(x > y) + (x > z)",  # True + True is True in NumPy and 2 in Python
        "(x > y)*2",  # Brian2 takes no arithmetic on conditions
        "-(x > y)",
        "(x > y) - (y > z)",
        "(x > y)**2",
        "exp(x > y)",  # NumPy answers in half precision
        "abs(x > y)",
        "x and y",  # a number in Python, a truth value in NumPy
        "x or 2",
        "not x",
        "where(x, 1, 2)",
        "where(x - x, 1, 2)",
        "min(x > y, 2)",
        "(x > y) < z",
        "where(x > y, x > z, y)",
    ],
)
def test_conditions_and_numbers_do_not_mix(text: str) -> None:
    """Each either is refused, or means the same in every dialect (here: Brian2's own checks)."""
    values = {"x": 3.0, "y": 0.5, "z": 0.25}
    try:
        parse_expression(text, NAMES)
    except EquationError:
        return
    found = evaluations(text, values)
    assert len({float(v[0]) for v in found.values()}) == 1, found
    assert brian2_takes(emit(parse_expression(text, NAMES), "brian2"))


def brian2_takes(text: str) -> bool:
    """Whether Brian2's own parser and type checks accept an expression over x, y, z."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its import
        from brian2.core.functions import DEFAULT_FUNCTIONS
        from brian2.core.variables import Constant
        from brian2.parsing.expressions import parse_expression_dimensions

        from neuroflip.engines.brian2 import _where

    variables: dict[str, Any] = {n: Constant(n, value=0.5) for n in NAMES} | DEFAULT_FUNCTIONS
    variables |= {"inf": Constant("inf", value=math.inf), "where": _where}
    try:
        parse_expression_dimensions(text, variables)
    except (TypeError, ValueError, SyntaxError, KeyError):
        return False
    return True


# ------------------------------------------------------------------ blocks


@pytest.mark.parametrize(
    ("line", "message", "at"),
    [
        ("foo = 1", "'foo' cannot be assigned here; known: w, x.", "foo"),
        ("ww = 1", "'ww' cannot be assigned here; did you mean 'w'?", "ww"),
        ("y = 1", "'y' cannot be assigned here; known: w, x.", "y"),
        ("x == 1", "expected an assignment, like x += 1", "x"),
        ("x **= 2", "expected an assignment, like x += 1", "x"),
        ("x //= 2", "expected an assignment, like x += 1", "x"),
        ("x %= 2", "expected an assignment, like x += 1", "x"),
        ("x, w = 1, 2", "expected an assignment, like x += 1", "x"),
        ("x[0] = 1", "expected an assignment, like x += 1", "x"),
        ("x.a = 1", "expected an assignment, like x += 1", "x"),
        ("x: int = 1", "expected an assignment, like x += 1", "x"),
        ("import os", "expected an assignment, like x += 1", "import"),
        ("1 = x", "expected an assignment, like x += 1", "1"),
        ("x", "expected an assignment, like x += 1", "x"),
        ("x = 1; w = 2", "not an expression", "; w"),
        ("x = w = 2", "not an expression", "= 2"),
        ("x = (y := 2)", "namedexpr is not in the equation language", "y :="),
        ("x -= y) + (y", "not an expression", ") +"),
        ("x += y + q", "unknown name 'q'; known:", "q"),
    ],
)
def test_block_refusals_point(line: str, message: str, at: str) -> None:
    with pytest.raises(EquationError) as caught:
        parse_block(f"  x = 1\n  {line}\n", {"x", "y", "w"}, {"x", "w"}, "Rule.on_pre")
    said, shown, column = pointed(caught.value)
    assert said.startswith(f"Rule.on_pre: {message}")
    assert shown == line
    assert line[column:].startswith(at)


@pytest.mark.parametrize("line", ["x =", "x += "])
def test_an_assignment_needs_a_value(line: str) -> None:
    with pytest.raises(EquationError, match="an expression is missing"):
        parse_block(line, {"x"})


@pytest.mark.parametrize("text", ["x = (y +\n 1)", "x = y + \\\n 1", "x = y \\\n"])
def test_lines_do_not_continue(text: str) -> None:
    with pytest.raises(EquationError, match="not an expression"):
        parse_block(text, {"x", "y"})


@pytest.mark.parametrize("name", ["exp", "where", "if", "lambda", "and", "_x", "__class__", "None"])
def test_names_that_cannot_be_defined(name: str) -> None:
    with pytest.raises(EquationError, match=f"^B: '{name}' cannot name a variable\n"):
        parse_block(f"{name} = 1", {"x"}, where="B")
    with pytest.raises(EquationError, match=f"'{name}' cannot name a variable"):
        parse_system(f"d{name}/dt = 1", {"x"})


def test_augmented_assignment_needs_a_value_to_start_from() -> None:
    with pytest.raises(EquationError, match="'a' has no value yet"):
        parse_block("a += 1", {"x"})
    assert parse_block("a = 2\na += x", {"x"})[1].value.text == "a + (x)"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("x -= a + b", 10.0 - (3 + 4)),
        ("x -= a - b", 10.0 - (3 - 4)),
        ("x *= a + b", 10.0 * (3 + 4)),
        ("x /= a * b", 10.0 / (3 * 4)),
        ("x /= a / b", 10.0 / (3 / 4)),
        ("x += a - b", 10.0 + (3 - 4)),
        ("x -= -a", 13.0),
        ("x =- a", -3.0),
        ("x=+a", 3.0),
        ("x *= a  # + b", 30.0),
        ("x *= where(a > b, a, a + b)", 70.0),
    ],
)
def test_augmented_assignment_takes_the_whole_right_hand_side(line: str, expected: float) -> None:
    values = {"x": 10.0, "a": 3.0, "b": 4.0}
    [assignment] = parse_block(line, set(values))
    assert compile_block((assignment,), NUMPY)(dict(values)) == {"x": expected}
    assert eval(emit(assignment.value, "scalar"), {}, dict(values)) == expected


def test_lines_of_a_block_see_what_lines_before_assigned() -> None:
    block = parse_block("a = x + 1\nx *= a\na -= x", {"x"})
    assert compile_block(block, NUMPY)({"x": 2.0}) == {"a": 3.0 - 6.0, "x": 6.0}
    with pytest.raises(EquationError, match="unknown name 'late'"):
        parse_block("a = late\nlate = 1", {"x"})


def test_running_a_block_leaves_its_arguments_alone() -> None:
    values = {"x": np.array([1.0, 2.0])}
    result = compile_block(parse_block("x += 1\nx *= 2", {"x"}), NUMPY)(values)
    assert values["x"].tolist() == [1.0, 2.0]
    assert result["x"].tolist() == [4.0, 6.0]


# ------------------------------------------------------------------ systems


def test_system_forms() -> None:
    system = parse_system(
        """
        dv/dt = (u - v)/tau : V (unless refractory)
        du/dt=-u/tau:A   # decays
        dx_1/dt = v*u
        """,
        {"tau"},
    )
    assert [(d.variable, d.value.text, d.unit, d.unless_refractory) for d in system] == [
        ("v", "(u - v)/tau", "V", True),
        ("u", "-u/tau", "A", False),
        ("x_1", "v*u", "1", False),
    ]
    assert system[0].value.names == {"u", "v", "tau"}


def test_system_refuses_a_comparison() -> None:
    with pytest.raises(EquationError, match="not an expression"):
        parse_system("dv/dt == 1", {"tau"})


@pytest.mark.parametrize(
    "line",
    [
        "v = 1",
        "dv/dx = 1",
        "dv / dt = 1",
        "d/dt = 1",
        "dv/dt = 1 : V/s",
        "dv/dt = 1 : V (unless)",
        "dv/dt = 1 : V (unless refractory) x",
        "dv/dt = 1 : V : A",
        "d2v/dt = 1",
    ],
)
def test_system_refusals(line: str) -> None:
    with pytest.raises(EquationError, match="expected a differential equation"):
        parse_system(line, {"tau"})


def test_system_pointer() -> None:
    with pytest.raises(EquationError) as caught:
        parse_system("  dv/dt = -v/tav : V (unless refractory)", {"tau"}, "N.equations")
    message, line, column = pointed(caught.value)
    assert message == "N.equations: unknown name 'tav'; did you mean 'tau'?"
    assert line[column:].startswith("tav : V")


def test_a_variable_has_one_equation() -> None:
    with pytest.raises(EquationError, match="'x'|dx/dt"):
        parse_system("dx/dt = -x/tau\ndx/dt = -2*x/tau", {"tau"})


@pytest.mark.parametrize(
    ("text", "expected"),
    [("-x/tau", "tau"), ("(-x)/tau", "tau"), ("-x / tau_2", "tau_2"), ("-(x)/tau", "tau")],
)
def test_decay_constant(text: str, expected: str) -> None:
    [equation] = parse_system(f"dx/dt = {text}", {"tau", "tau_2"})
    assert decay_constant(equation, {"tau", "tau_2"}) == expected


@pytest.mark.parametrize(
    "text",
    ["x/tau", "-x/20", "-x*tau", "-x/(tau)*2", "-2*x/tau", "-(x/tau)*1", "1 - x/tau", "-y/tau",
     "-x/(tau + tau)", "-tau/x", "--x/tau", "-x/x"],
)  # fmt: skip
def test_decay_constant_knows_what_is_no_decay(text: str) -> None:
    """Also -x/x: a time constant that itself varies is no time constant."""
    equation, _ = parse_system(f"dx/dt = {text}\ndy/dt = -y/tau", {"tau"})
    assert decay_constant(equation, {"tau"}) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x > y", 2.0 - 0.5),
        ("x < y", 0.5 - 2.0),
        ("x + 1 > y - z", 3.0 - (0.5 - 7.0)),
        ("x - y < y - z", (0.5 - 7.0) - (2.0 - 0.5)),
        ("0.1 > x", 0.1 - 2.0),
        ("x > where(y > z, y, z)", 2.0 - 7.0),
    ],
)
def test_margin_is_positive_where_the_threshold_is_crossed(text: str, expected: float) -> None:
    values = {"x": 2.0, "y": 0.5, "z": 7.0}
    threshold = parse_expression(text, NAMES)
    block = (Assignment("margin", margin(threshold)),)
    distance = compile_block(block, NUMPY)(dict(values))["margin"]
    assert distance == expected
    assert (distance > 0) == eval(text, {**PYTHON}, dict(values))


@pytest.mark.parametrize(
    "text",
    [
        "x >= y",
        "x <= y",
        "x == y",
        "x != y",
        "x",
        "x + y",
        "not x > y",
        "x > y and y > z",
        "where(x > y, x, y)",
    ],
)
def test_margin_refuses_what_is_not_one_strict_comparison(text: str) -> None:
    with pytest.raises(EquationError, match="^T: a threshold is one strict comparison"):
        margin(parse_expression(text, NAMES), "T")


# ------------------------------------------------------------------ meaning


@pytest.mark.parametrize(
    "text",
    [
        # precedence and association
        "-x**2", "x**-y", "2**-1", "2**3**2", "x - y - z", "x/y/z", "x/y*z", "-x - -y", "+x",
        "x - (y - z)", "x*(y + z)", "-(x + y)*z",
        # whole numbers divide and overflow as in mathematics
        "1/3", "x + 1/2", "7/2*x", "3*10**3", "1000000000000*1000000000000*x",
        "where(x > 0, 1, 2)/3",
        "(2 + 3)**2/7",
        # numbers alone are as precise as numbers times variables
        "exp(-1)", "x*exp(-0.5)", "x*log(2)", "x*sqrt(3)", "x*tanh(0.3)", "x*expm1(0.1)",
        "x*exprel(0.7)", "exp(0.1)*exp(0.2)", "x*abs(-0.1)",
        "x*min(0.1, 0.2)", "x*max(0.1, 0.7)", "x*clip(0.3, 0.1, 0.2)", "clip(0.3, z - 2, x)",
        "x*where(x > 0, 0.1, 0.2)", "where(x > 0, 1, 2)*x/3", "where(1 > 0, x, y)",
        "where(x > 0 and 2 > 1, 0.1, y)", "where(not 1 > 2, 0.1, y)",
        "clip(x, 0, 1)", "min(x, 1)", "max(0, y)", "exprel(x - x)", "exprel(1e-12*x)",
        "exprel(-30*x)",
        # conditions
        "where(x > y and not y > z or z == z, x, y)", "where(not (x > y and y > z), x, y)",
        "where(not x > y, 1, 0)", "where(x > y or x > z and y > z, 1, 0)",
        "where((x > y or x > z) and y > z, 1, 0)", "where(x != y, 1, 0)", "where(x <= x, 1, 0)",
        "where(x > y, where(y > z, 1, 2), 3)",
    ],
)  # fmt: skip
@pytest.mark.parametrize("values", [(0.7, 0.3, 1.9), (2.5, 3.5, 0.4)])
def test_every_dialect_gives_the_value_that_python_gives(
    text: str, values: tuple[float, float, float]
) -> None:
    named = dict(zip("xyz", values, strict=True))
    expected = eval(text, {"__builtins__": {}, **PYTHON}, dict(named))
    for dialect, found in evaluations(text, named).items():
        assert found.size == 1, dialect
        assert math.isclose(found[0], expected, rel_tol=4e-15, abs_tol=1e-300), dialect
    assert brian2_takes(emit(parse_expression(text, NAMES), "brian2"))


@pytest.mark.parametrize(
    "text", ["where(x > 0, log(x), y)", "where(x > 0, 1/x, y)", "where(x > 0, sqrt(x), y)**2"]
)
@pytest.mark.parametrize("x", [0.5, 0.0])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_where_guards_the_branch_not_taken(text: str, x: float) -> None:
    """0*inf and 0*nan must not leak from the other branch, in Brian2's text either."""
    values = {"x": np.float64(x), "y": np.float64(2.0)}
    namespace = {"log": np.log, "sqrt": np.sqrt, "where": np.where}
    lazy = text.replace("where(x > 0, ", "(").replace(", y)", " if x > 0 else y)")
    expected = eval(lazy, dict(namespace), dict(values))
    expression = parse_expression(text, {"x", "y"})
    for dialect, functions in (("array", NUMPY), ("brian2", namespace)):
        found = eval(emit(expression, dialect), dict(functions), dict(values))  # type: ignore[arg-type]
        assert found == expected, dialect


def test_numba_gives_the_value_that_python_gives() -> None:
    """The scalar text compiled as the engine compiles it: integer literals are the trap."""
    import numba

    texts = [
        "2**-1", "2**-1*x", "x**-1", "x**2", "2**x", "x**0.5", "1/3", "7/2", "10**3*x", "-x**2",
        "1000000000000*1000000000000*x", "9000000000000000000 + 9000000000000000000",
        "10**19", "3**50*x", "where(x > 0, 1, 2)/3", "where(x > 0, 1, 2.5)*y",
        "where(x > 0, 2, 3)**-1", "min(1, 2)/3*x", "min(1, x)", "max(2, y)", "clip(3, 1, 2)/7",
        "clip(x, 0, 1)", "abs(-3)/7", "exp(2)", "where(not (x > y) and y > 0 or x > 7, x, 1)",
        "exprel(0.0)", "exprel(1e-20)", "exprel(-1e-9*x)", "expm1(-1e-12)", "tanh(1)",
    ]  # fmt: skip
    helpers = (
        "import numba\nfrom math import exp, expm1, log, sqrt, tanh\n"
        "@numba.njit(inline='always')\n"
        "def clip(x, low, high):\n    return low if x < low else (high if x > high else x)\n"
        "@numba.njit(inline='always')\n"
        "def exprel(x):\n    return 1.0 if abs(x) < 1e-300 else expm1(x) / x\n"
        "@numba.njit(inline='always')\n"
        "def power(x, y):\n    return x**y\n"
    )
    lines = [
        f"    out[{i}] = {emit(parse_expression(t, NAMES), 'scalar')}" for i, t in enumerate(texts)
    ]
    namespace: dict[str, Any] = {}
    exec(helpers + "def f(x, y, out):\n" + "\n".join(lines), namespace)
    out = np.zeros(len(texts))
    numba.njit(error_model="numpy")(namespace["f"])(0.7, 0.3, out)
    expected = [eval(t, {**PYTHON}, {"x": 0.7, "y": 0.3}) for t in texts]
    wrong = [
        (t, found, want)
        for t, found, want in zip(texts, out, expected, strict=True)
        if not math.isclose(found, want, rel_tol=1e-15)
    ]
    assert wrong == []


def _exact() -> st.SearchStrategy[str]:
    """Expressions that every dialect evaluates without any rounding difference."""
    return st.recursive(
        _atom(),
        lambda inner: st.builds("({} {} {})".format, inner, st.sampled_from("+-*"), inner),
        max_leaves=3,
    )


def _atom() -> st.SearchStrategy[str]:
    floats = st.floats(-9, 9, allow_nan=False).map(lambda f: f"({round(f, 3)!r})")
    return st.sampled_from("xyz") | st.integers(0, 9).map(str) | floats


def _condition() -> st.SearchStrategy[str]:
    compared = st.builds(
        "{} {} {}".format, _exact(), st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), _exact()
    )
    return st.recursive(
        compared,
        lambda inner: st.one_of(
            inner.map("not {}".format),
            inner.map("({})".format),
            st.builds("{} {} {}".format, inner, st.sampled_from(["and", "or"]), inner),
        ),
        max_leaves=4,
    )


def _number() -> st.SearchStrategy[str]:
    def grow(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        small = inner.map("clip({}, -2, 2.5)".format)
        return st.one_of(
            st.builds("{} {} {}".format, inner, st.sampled_from("+-*"), inner),
            st.builds("({}){}({})".format, inner, st.sampled_from("+-*"), inner),
            st.builds("{}/(abs({}) + 1)".format, inner, inner),
            st.builds(
                "(abs({}) + 0.5)**{}".format, small, st.sampled_from("2 3 0.4 -1 -2".split())
            ),
            st.builds("{}({})".format, st.sampled_from(["exp", "expm1", "exprel", "tanh"]), small),
            st.builds("{}(abs({}) + 0.1)".format, st.sampled_from(["log", "sqrt"]), inner),
            st.builds("{}({}, {})".format, st.sampled_from(["min", "max"]), inner, inner),
            st.builds("clip({}, {}, 1)".format, inner, st.sampled_from(["0", "-x*x"])),
            st.builds("where({}, {}, {})".format, _condition(), inner, inner),
            inner.map("-{}".format),
            inner.map("+({})".format),
            inner.map("abs({})".format),
        )

    return st.recursive(_atom(), grow, max_leaves=8)


@settings(max_examples=400, deadline=None, derandomize=True, database=None)
@given(_number(), *[st.integers(-24, 24).map(lambda i: i / 8)] * 3)
@example("x - y - z*x/(abs(y) + 1)", 1.5, -2.0, 0.125)
def test_random_expressions_mean_the_same_in_every_dialect(
    text: str, x: float, y: float, z: float
) -> None:
    """The reference is Python's own value of the text; errors scale with the largest part."""
    values = {"x": x, "y": y, "z": z}

    def value(node: ast.expr) -> float:
        code = compile(ast.Expression(node), "", "eval")
        return float(eval(code, {"__builtins__": {}, **PYTHON}, dict(values)))

    tree = ast.parse(text, mode="eval")
    parts = [
        abs(value(node))
        for node in ast.walk(tree)
        if isinstance(node, ast.expr) and not (isinstance(node, ast.Name) and node.id in PYTHON)
    ]
    assume(max(parts) < 1e8)
    expected = value(tree.body)
    found = evaluations(text, values)
    for dialect, result in found.items():
        assert result.size == 1
        assert abs(result[0] - expected) <= 1e-13 * (1 + max(parts)), (dialect, result, expected)
