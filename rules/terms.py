"""Increments of a weight as sums of products, so that whole layers take them as matrix products.

The value of an assignment is split into terms, each a number times at most one factor a level.
What a presynaptic neuron knows and what a postsynaptic one knows then meet in one product of
matrices, summed over the batch, in place of a number for each sample and synapse.
"""

import ast
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from neuroflip import equations as eq

Level = Literal["pre", "post", "weight", "synapse"]
"""Where a value lives: at presynaptic neurons, at postsynaptic neurons, at each synapse for all
samples alike, or at each synapse of each sample."""

_FACTORED: tuple[Level, ...] = ("weight", "pre", "post")
_MOST_TERMS = 16  # beyond which a product is left whole


@dataclass(frozen=True)
class Term:
    """`coefficient` times the product of `factors`, at most one a level."""

    coefficient: float
    factors: Mapping[Level, ast.expr]

    def times(self, other: "Term") -> "Term":
        factors = dict(self.factors)
        for level, factor in other.factors.items():
            factors[level] = _multiplied(factors[level], factor) if level in factors else factor
        return Term(self.coefficient * other.coefficient, factors)

    def inverse(self) -> "Term":
        return Term(1 / self.coefficient, {k: _inverted(f) for k, f in self.factors.items()})

    def power(self, exponent: ast.expr, number: float) -> "Term":
        factors = {k: _power(f, exponent) for k, f in self.factors.items()}
        return Term(self.coefficient**number, factors)


def names_of(tree: ast.AST) -> set[str]:
    """The names that an expression reads."""
    functions = {id(n.func) for n in ast.walk(tree) if isinstance(n, ast.Call)}
    return {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and id(n) not in functions}


def level_of(tree: ast.AST, levels: Mapping[str, Level]) -> Level:
    """The level at which an expression has its value. Names without a level fit anywhere."""
    found = {levels[name] for name in names_of(tree) if name in levels}
    if len(found) > 1:
        return "synapse"
    return found.pop() if found else "weight"


def folded(tree: ast.expr, constants: Mapping[str, float]) -> ast.expr:
    """The expression with these numbers put in, and what follows from them worked out.

    >>> text = "a*((w - low)/(high - low))**mu*y"
    >>> tree = ast.parse(text, mode="eval").body
    >>> ast.unparse(folded(tree, {"a": 2.0, "low": 0.0, "high": 1.0, "mu": 0.0}))
    '2.0 * y'
    """
    match tree:
        case ast.Constant(value=value):
            return _number(float(value))  # type: ignore[arg-type]
        case ast.Name(id=name):
            return _number(constants[name]) if name in constants else tree
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            inner = folded(operand, constants)
            known = _value(inner)
            return ast.UnaryOp(ast.USub(), inner) if known is None else _number(-known)
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return folded(operand, constants)
        case ast.BinOp(left=left, op=op, right=right):
            return _folded_operation(folded(left, constants), op, folded(right, constants))
        case ast.Call(func=function, args=arguments):
            inner_arguments = [folded(a, constants) for a in arguments]
            return _folded_call(ast.Call(function, inner_arguments, []))
        case ast.Compare(left=left, ops=ops, comparators=[right]):
            return ast.Compare(folded(left, constants), ops, [folded(right, constants)])
        case ast.UnaryOp(op=op, operand=operand):
            return ast.UnaryOp(op, folded(operand, constants))
        case ast.BoolOp(op=op, values=values):
            return ast.BoolOp(op, [folded(v, constants) for v in values])
    raise AssertionError(f"unchecked node {tree!r}")


def summands(tree: ast.expr, sign: float = 1.0) -> list[tuple[float, ast.expr]]:
    """The parts of a sum with their signs.

    >>> [(s, ast.unparse(t)) for s, t in summands(ast.parse("w - (a - b)*c", mode="eval").body)]
    [(1.0, 'w'), (-1.0, '(a - b) * c')]
    """
    match tree:
        case ast.BinOp(left=left, op=ast.Add() | ast.Sub() as op, right=right):
            other = sign if isinstance(op, ast.Add) else -sign
            return [*summands(left, sign), *summands(right, other)]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return summands(operand, -sign)
    return [(sign, tree)]


def grows(tree: ast.expr, target: str) -> bool:
    """Whether an assignment `target = tree` adds to what target was."""
    return any(sign == 1 and _is_name(part, target) for sign, part in summands(tree))


def increment(tree: ast.expr, target: str, levels: Mapping[str, Level]) -> list[Term]:
    """What the assignment `target = tree` adds to target, as terms; like terms are merged.

    >>> tree = ast.parse("w + 2*y*(x - y*w)", mode="eval").body
    >>> levels = {"w": "weight", "x": "pre", "y": "post"}
    >>> for t in increment(tree, "w", levels):
    ...     print(t.coefficient, {k: ast.unparse(f) for k, f in t.factors.items()})
    2.0 {'post': 'y', 'pre': 'x'}
    -2.0 {'post': 'y * y', 'weight': 'w'}
    """
    parts = summands(tree)
    own = next((p for p in parts if p[0] == 1 and _is_name(p[1], target)), None)
    if own is None:
        parts.append((-1.0, ast.Name(target)))
    else:
        parts.remove(own)
    terms = [Term(sign, {}).times(t) for sign, part in parts for t in expand(part, levels)]
    for level in _FACTORED:
        terms = _merged(terms, level)
    return terms


def expand(tree: ast.expr, levels: Mapping[str, Level]) -> list[Term]:
    """The terms of an expression; what does not split stays whole, as a factor of its level."""
    tree = _cancelled(tree)
    known = _value(tree)
    if known is not None:
        return [Term(known, {})]
    match tree:
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return [Term(-1.0, {}).times(t) for t in expand(operand, levels)]
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            one, other = expand(left, levels), expand(right, levels)
            if len(one) * len(other) <= _MOST_TERMS:
                return [a.times(b) for a in one for b in other]
        case ast.BinOp(left=left, op=ast.Div(), right=right):
            divisor = expand(right, levels)
            if len(divisor) == 1 and divisor[0].coefficient:
                return [t.times(divisor[0].inverse()) for t in expand(left, levels)]
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            exponent, base = _value(right), expand(left, levels)
            # (a b)**c = a**c b**c holds for all numbers only if c is whole
            if exponent is not None and exponent == int(exponent) and len(base) == 1:
                if exponent >= 0 or base[0].coefficient:
                    return [base[0].power(right, exponent)]
        case ast.BinOp(left=left, op=ast.Add() | ast.Sub() as op, right=right):
            if len({levels[n] for n in names_of(tree) if n in levels}) > 1:
                sign = 1.0 if isinstance(op, ast.Add) else -1.0
                rest = [Term(sign, {}).times(t) for t in expand(right, levels)]
                return [*expand(left, levels), *rest]
    return [Term(1.0, {level_of(tree, levels): tree})]


def _merged(terms: Iterable[Term], level: Level) -> list[Term]:
    """Terms that differ in their factor of one level alone, as one."""
    groups: dict[tuple[tuple[Level, str], ...], list[Term]] = {}
    for term in terms:
        key = tuple(sorted((k, ast.unparse(f)) for k, f in term.factors.items() if k != level))
        groups.setdefault(key, []).append(term)
    found = []
    for members in groups.values():
        others: dict[Level, ast.expr] = dict(members[0].factors)
        others.pop(level, None)
        if len(members) == 1:
            found += members
        elif not any(level in m.factors for m in members):
            found.append(Term(sum(m.coefficient for m in members), others))
        else:
            whole = _scaled(members[0], level)
            for member in members[1:]:
                whole = ast.BinOp(whole, ast.Add(), _scaled(member, level))
            found.append(Term(1.0, {**others, level: whole}))
    return [term for term in found if term.coefficient != 0]


def _scaled(term: Term, level: Level) -> ast.expr:
    number, factor = _number(term.coefficient), term.factors.get(level)
    return number if factor is None else _multiplied(number, factor)


def _cancelled(tree: ast.expr) -> ast.expr:
    """A sum without the parts that cancel."""
    parts: list[tuple[float, str, ast.expr]] = []
    whole = summands(tree)
    for sign, part in whole:
        text = ast.unparse(part)
        opposite = next((p for p in parts if p[:2] == (-sign, text)), None)
        if opposite is None:
            parts.append((sign, text, part))
        else:
            parts.remove(opposite)
    if len(parts) == len(whole):
        return tree
    result = _number(0.0)
    for sign, _, part in parts:
        result = _folded_operation(result, ast.Add() if sign > 0 else ast.Sub(), part)
    return result


def _is_name(tree: ast.AST, name: str) -> bool:
    return isinstance(tree, ast.Name) and tree.id == name


def _number(value: float) -> ast.expr:
    """A number; negative ones as a minus before a positive, for powers to print rightly."""
    if value < 0:
        return ast.UnaryOp(ast.USub(), ast.Constant(-value))
    return ast.Constant(value)


def _value(tree: ast.AST) -> float | None:
    """The number that an expression is, None where it is more than a number."""
    match tree:
        case ast.Constant(value=value):
            return float(value)  # type: ignore[arg-type]
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=value)):
            return -float(value)  # type: ignore[arg-type]
    return None


def _multiplied(a: ast.expr, b: ast.expr) -> ast.expr:
    return _folded_operation(a, ast.Mult(), b)


def _inverted(tree: ast.expr) -> ast.expr:
    return ast.BinOp(_number(1.0), ast.Div(), tree)


def _power(base: ast.expr, exponent: ast.expr) -> ast.expr:
    return ast.BinOp(base, ast.Pow(), exponent)


def _folded_operation(left: ast.expr, op: ast.operator, right: ast.expr) -> ast.expr:
    a, b = _value(left), _value(right)
    if a is not None and b is not None:
        code = compile(
            ast.fix_missing_locations(ast.Expression(ast.BinOp(left, op, right))), "", "eval"
        )
        try:
            result = eval(code)
        except (ArithmeticError, ValueError):
            return ast.BinOp(left, op, right)  # says so when it runs
        if isinstance(result, float):
            return _number(result)
    match op:
        case ast.Mult() if a == 1:
            return right
        case ast.Mult() | ast.Div() | ast.Pow() if b == 1:
            return left
        case ast.Add() if a == 0:
            return right
        case ast.Add() | ast.Sub() if b == 0:
            return left
        case ast.Pow() if b == 0:
            return _number(1.0)
    return ast.BinOp(left, op, right)


def _folded_call(call: ast.Call) -> ast.expr:
    assert isinstance(call.func, ast.Name)
    match call.func.id, call.args:
        case "where", [ast.Compare() as condition, yes, no]:
            sides = [_value(condition.left), _value(condition.comparators[0])]
            if None in sides:
                return call
            text = eq.emit(eq.Expression("", frozenset(), condition), "array")
            return yes if eval(text) else no
        case name, arguments if name in eq.NUMPY:
            values = [_value(a) for a in arguments]
            if any(v is None for v in values):
                return call
            result = float(eq.NUMPY[name](*values))
            return _number(result) if result - result == 0 else call
    return call
