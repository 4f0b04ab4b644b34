"""Checked dataclass fields, loading by name, equality of nested data."""

import dataclasses
import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from neuroflip.parameters import Parametrized, choice, equal, from_spec, parameter


@dataclass(frozen=True)
class Thing(Parametrized):
    tau: float = parameter(0.02, "s", above=0)
    wait: float = parameter(0.0, "s", at_least=0)
    level: float = parameter(-0.07, "V")
    gain: float = parameter(2.0, at_least=1)
    cold: float = parameter(0.0, "V", above=-0.1)


def test_parameters_become_floats() -> None:
    thing = Thing(tau=1, wait=np.float32(0.5), level=np.array(3))
    assert thing.parameters() == {"tau": 1.0, "wait": 0.5, "level": 3.0, "gain": 2.0, "cold": 0.0}
    assert {type(v) for v in thing.parameters().values()} == {float}
    assert thing.describe() == "tau 1 s, wait 500 ms, level 3 V, gain 2, cold 0 V"


@pytest.mark.parametrize("name", [f.name for f in dataclasses.fields(Thing)])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_not_finite_is_refused_by_name(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"^Thing.{name} must be a finite number in "):
        Thing(**{name: value})


@pytest.mark.parametrize("name", [f.name for f in dataclasses.fields(Thing)])
@pytest.mark.parametrize(
    "value", ["0.02", "20 ms", True, None, [0.02], np.array([0.02]), 1j], ids=repr
)
def test_no_number_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(TypeError, match=f"^Thing.{name} must be one number in "):
        Thing(**{name: value})


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("tau", 0.0, r"Thing.tau must be above 0 s; got 0.0\."),
        ("tau", -0.0, r"Thing.tau must be above 0 s; got -0.0\."),
        ("tau", -1e-300, r"Thing.tau must be above 0 s; got -1e-300\."),
        ("wait", -1e-300, r"Thing.wait must be at least 0 s; got -1e-300\."),
        ("gain", 0.999, r"Thing.gain must be at least 1; got 0.999\."),
        ("cold", -0.1, r"Thing.cold must be above -100 mV; got -0.1\."),
    ],
)
def test_range(name: str, value: float, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        Thing(**{name: value})


def test_ends_of_the_ranges() -> None:
    thing = Thing(tau=5e-324, wait=0, gain=1, cold=math.nextafter(-0.1, 0))
    assert thing.tau == 5e-324 and thing.gain == 1.0


def test_brian2_quantities() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from brian2 import mV, nS, second
    thing = Thing(tau=3 * second, level=-65 * mV)
    assert thing.tau == 3.0 and math.isclose(thing.level, -0.065, rel_tol=1e-15)
    assert eval(repr(thing)) == thing
    with pytest.raises(ValueError, match=r"^Thing.tau must be in s; got the Brian2 quantity 3\."):
        Thing(tau=3 * mV)
    with pytest.raises(ValueError, match="^Thing.gain must be in 1; got the Brian2 quantity"):
        Thing(gain=3 * nS)


def test_replace_checks_again() -> None:
    with pytest.raises(ValueError, match="Thing.tau"):
        dataclasses.replace(Thing(), tau=0)


def test_from_spec() -> None:
    assert from_spec({"Thing": Thing}, "Thing", {"tau": 3.0}, "thing") == Thing(tau=3.0)
    with pytest.raises(ValueError, match="^unknown thing 'Thin'; did you mean 'Thing'?"):
        from_spec({"Thing": Thing}, "Thin", {}, "thing")
    with pytest.raises(ValueError, match="^Thing has no parameter 'tav'; did you mean 'tau'?"):
        from_spec({"Thing": Thing}, "Thing", {"tav": 1.0}, "thing")
    with pytest.raises(ValueError, match="^Thing.tau must be above 0 s"):
        from_spec({"Thing": Thing}, "Thing", {"tau": -1.0}, "thing")


SAME: list[Any] = [
    1, 1.5, "a", None, [1, 2], (1, 2), {"a": [1]}, np.array([1.0, 2.0]), np.zeros((2, 0)),
    {"x": (np.array(3), [np.array([1])])}, Thing(), math.nan, {"margin": math.nan},
]  # fmt: skip


@pytest.mark.parametrize("make", range(len(SAME)))
def test_equal_to_a_copy(make: int) -> None:
    """NaN included: it stands for what an engine cannot tell, and is saved and loaded."""
    import copy

    assert equal(SAME[make], copy.deepcopy(SAME[make]))


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (1, 2), (1, 1.0), (1, True), ([1], (1,)), ([1], [1, 2]), ({"a": 1}, {"b": 1}),
        ({"a": 1}, {"a": 1, "b": 2}), (np.array([1.0]), np.array([2.0])),
        (np.zeros(2), np.zeros(3)),
        (np.zeros(2), np.zeros((2, 1))), (np.zeros(1), np.zeros(1, np.int64)),
        (np.zeros(1), np.zeros(1, np.float32)), (np.array(1.0), 1.0), (Thing(), Thing(tau=1)),
        (math.nan, 1.0), ({"x": [np.array([1])]}, {"x": [np.array([2])]}),
    ],
)  # fmt: skip
def test_unequal(a: Any, b: Any) -> None:
    assert not equal(a, b) and not equal(b, a)


@dataclass(frozen=True)
class Bounded(Parametrized):
    part: float = parameter(0.5, at_most=1)
    mode: str = choice("one", "two")


def test_upper_ends_and_words() -> None:
    assert Bounded(1, "two").settings() == {"part": 1.0, "mode": "two"}
    assert Bounded().parameters() == {"part": 0.5}
    assert Bounded().describe() == "part 0.5, mode one"
    with pytest.raises(ValueError, match=r"^Bounded.part must be at most 1; got 1.5\.$"):
        Bounded(1.5)
    with pytest.raises(ValueError, match="^Bounded.mode: unknown 'tow'; did you mean 'two'"):
        Bounded(mode="tow")
    with pytest.raises(TypeError, match="^Bounded has no parameter 'prat'; did you mean 'part'"):
        Bounded(prat=0.1)  # type: ignore[call-arg]
