"""Numbers and units at the public boundary."""

import math
import warnings
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from neuroflip import units
from neuroflip.units import as_array, as_float, parse, show


@pytest.fixture(scope="module")
def b2() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its import
        import brian2
    return brian2


def test_units_are_powers_of_ten_in_si() -> None:
    """Against the prefix that the name is spelt with."""
    prefixes = {"": 0, "m": -3, "u": -6, "n": -9, "p": -12, "k": 3, "M": 6, "G": 9}
    seen = 0
    for name, value in vars(units).items():
        if not isinstance(value, float) or name.startswith("_"):
            continue
        if name in ("second", "volt", "amp", "siemens", "farad", "hertz"):
            assert value == 1.0
            continue
        base = next(b for b in ("ohm", "Hz", "s", "V", "A", "S", "F") if name.endswith(b))
        assert value == float(f"1e{prefixes[name.removesuffix(base)]}"), name
        seen += 1
    assert seen >= 22


def test_units_agree_with_brian2(b2: Any) -> None:
    for name, value in vars(units).items():
        if isinstance(value, float) and not name.startswith("_") and hasattr(b2, name):
            theirs = getattr(b2, name)
            if isinstance(theirs, b2.Quantity):
                assert math.isclose(float(theirs), value, rel_tol=1e-15), name


NUMBERS = [3, 3.0, np.float64(3), np.float32(3), np.int64(3), np.array(3.0), Fraction(3)]


@pytest.mark.parametrize("value", NUMBERS, ids=[type(n).__name__ for n in NUMBERS])
def test_as_float_takes_any_real_number(value: Any) -> None:
    number = as_float(value, "s", "tau")
    assert type(number) is float and number == 3.0


NO_NUMBERS: list[Any] = [
    "3", b"3", "3 ms", None, True, False, np.bool_(True), np.array(True), 1j, np.complex128(1 + 2j),
    [1.0], (1.0,), np.array([1.0]), np.zeros((1, 1)), np.array([1.0, 2.0]), {}, object(), float,
]  # fmt: skip


@pytest.mark.parametrize("value", NO_NUMBERS)
def test_as_float_refuses_what_is_no_single_number(value: Any) -> None:
    with pytest.raises(TypeError, match="^the tau must be one number in s; got "):
        as_float(value, "s", "the tau")


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, -math.inf, np.float32("inf"), np.array(math.nan)]
)
def test_as_float_refuses_what_is_not_finite(value: Any) -> None:
    with pytest.raises(ValueError, match=r"^the tau must be a finite number in s; got -?(nan|inf)"):
        as_float(value, "s", "the tau")


def test_integers_beyond_every_float_are_refused_by_name() -> None:
    with pytest.raises((TypeError, ValueError), match="^tau must be"):
        as_float(10**400, "s", "tau")
    with pytest.raises((TypeError, ValueError), match="^tau must be"):
        as_array([1, 10**400], "s", "tau")


def test_as_array_copies() -> None:
    given = np.array([1.0, 2.0])
    taken = as_array(given, "V", "weight")
    taken[0] = 7
    assert given[0] == 1.0
    assert as_array([[1, 2], [3, 4]], "V", "w").dtype == np.float64
    assert as_array(5, "V", "w").shape == ()
    assert as_array([], "V", "w").shape == (0,)


NO_ARRAYS: list[Any] = [
    "3", "abc", ["3", "4"], ["a"], np.array(["1"]), None, [None], [1.0, None], True, [True, False],
    np.array([True]), 1j, [1j], np.array([1 + 2j]), {}, object(), [[1], [2, 3]], [1, [2]],
]  # fmt: skip


@pytest.mark.parametrize("value", NO_ARRAYS)
def test_as_array_refuses_what_are_no_numbers(value: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="^the weight must be .*numbers in V; got "):
        as_array(value, "V", "the weight")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([1.0, math.nan], r"^w must be finite numbers in V; got nan at index 1\.$"),
        ([1.0, 2.0, -math.inf, math.nan], r"got -inf at index 2\.$"),
        (math.inf, r"^w must be finite numbers in V; got inf\.$"),
    ],
)
def test_as_array_names_the_first_number_that_is_not_finite(value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        as_array(value, "V", "w")


# ------------------------------------------------------------------ Brian2 quantities

QUANTITIES = [
    ("s", "20*ms", 20e-3), ("V", "-70*mV", -70e-3), ("A", "300*pA", 300e-12), ("S", "3*nS", 3e-9),
    ("ohm", "100*Mohm", 1e8), ("F", "200*pF", 200e-12), ("Hz", "15*Hz", 15.0),
    ("1", "ms/second", 1e-3),
    ("V", "2*nA*Mohm", 2e-3), ("s", "1*nF*Mohm", 1e-3), ("Hz", "1/ms", 1e3),
]  # fmt: skip


@pytest.mark.parametrize(("unit", "text", "value"), QUANTITIES)
def test_brian2_quantities_are_converted(b2: Any, unit: str, text: str, value: float) -> None:
    quantity = eval(text, vars(b2))
    number = as_float(quantity, unit, "x")
    assert type(number) is float and math.isclose(number, value, rel_tol=1e-14)
    array = as_array(quantity * np.array([1.0, 2.0]), unit, "x")
    assert type(array) is np.ndarray
    assert np.allclose(array, [value, 2 * value], rtol=1e-14, atol=0)


def test_every_wrong_dimension_is_refused(b2: Any) -> None:
    """Each unit against a quantity of each other dimension."""
    samples = {unit: eval(text, vars(b2)) for unit, text, _ in QUANTITIES[:8]}
    assert len(samples) == 8
    for unit in samples:
        for other, quantity in samples.items():
            if other == unit or other == "1":  # Brian2 makes plain numbers of what has no unit
                continue
            with pytest.raises(
                ValueError, match=f"^tau must be in {unit}; got the Brian2 quantity"
            ):
                as_float(quantity, unit, "tau")
            with pytest.raises(
                ValueError, match=f"^tau must be in {unit}; got the Brian2 quantity"
            ):
                as_array(quantity * np.ones(2), unit, "tau")


@pytest.mark.parametrize("text", ["second*kelvin", "second*mole", "second**2"])
def test_dimensions_that_no_parameter_has_count_too(b2: Any, text: str) -> None:
    with pytest.raises(ValueError, match="^tau must be in s"):
        as_float(3 * eval(text, vars(b2)), "s", "tau")


def test_a_list_of_brian2_quantities_is_checked_too(b2: Any) -> None:
    """A list of times is the usual way to give spikes."""
    assert as_array([10 * b2.ms, 20 * b2.ms], "s", "times").tolist() == [0.01, 0.02]
    with pytest.raises(ValueError, match="times must be in s"):
        as_array([10 * b2.mV, 20 * b2.mV], "s", "times")


def test_brian2_quantities_that_are_not_finite_are_refused(b2: Any) -> None:
    with pytest.raises(ValueError, match="finite"):
        as_float(math.nan * b2.second, "s", "tau")


# ------------------------------------------------------------------ text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("300 pA", 300e-12), ("20*ms", 0.02), ("20 * ms", 0.02), ("20ms", 0.02), ("3", 3.0),
        ("-70mV", -0.07), ("+.5 V", 0.5), ("5.", 5.0), ("1e-3s", 1e-3), ("1E3 Hz", 1000.0),
        (" 2 nF ", 2e-9), ("1.5 Gohm", 1.5e9), ("3 second", 3.0), ("0", 0.0),
    ],
)  # fmt: skip
def test_parse(text: str, value: float) -> None:
    assert math.isclose(parse(text), value, rel_tol=1e-15)


@pytest.mark.parametrize(
    "text",
    ["", "ms", "3**ms", "3*", "3 ms ms", "3ms4", "0x10", "nan", "inf", "1e", "--3", "1_000", "3,5",
     "3 m s", "1 2", "1e999", "-1e999 V"],
)  # fmt: skip
def test_parse_refuses(text: str) -> None:
    with pytest.raises(ValueError, match="^drive(:| must be) "):
        parse(text, "drive")


def test_parse_names_the_unknown_unit() -> None:
    with pytest.raises(ValueError, match="^drive: unknown unit 'mv' in '3 mv'; known units: A, F,"):
        parse("3 mv", "drive")
    with pytest.raises(ValueError, match="unknown unit 'math'"):
        parse("3 math")


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (3e-10, "A", "300 pA"), (-3e-10, "A", "-300 pA"), (0.02, "s", "20 ms"), (1.0, "s", "1 s"),
        (1e-3, "s", "1 ms"), (999e-6, "s", "999 us"), (1e8, "ohm", "100 Mohm"),
        (1e9, "ohm", "1 Gohm"),
        (0.0, "V", "0 V"), (0.5, "1", "0.5"), (0.0105, "1", "0.0105"), (1000.0, "Hz", "1 kHz"),
        (1e-9, "A", "1 nA"), (1.23456e-9, "A", "1.23456 nA"), (2e-13, "A", "0.2 pA"),
    ],
)  # fmt: skip
def test_show(value: float, unit: str, text: str) -> None:
    assert show(value, unit) == text


@pytest.mark.parametrize("unit", ["s", "V", "A", "ohm"])
def test_shown_numbers_read_back(unit: str) -> None:
    read = 0
    for exponent in range(-12, 9):
        for digits in (1.0, 1.5, 9.99999, 3.14159):
            value = digits * 10.0**exponent
            text = show(value, unit)
            if not hasattr(units, text.split()[1]):
                continue  # like mohm, kV, ps
            read += 1
            assert math.isclose(parse(text), value, rel_tol=1e-5), text
            assert 1 <= abs(float(text.split()[0])) <= 1000, text
    assert read > 30
