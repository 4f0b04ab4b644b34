"""The named integrators: their order, what they solve exactly, and held variables."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
import pytest

import neuroflip as nf
from neuroflip import equations as eq
from neuroflip.neurons import NOT_REFRACTORY, Neuron
from neuroflip.neurons.integrators import INTEGRATORS
from neuroflip.parameters import parameter
from neuroflip.units import ms


def model_of(method_name: str, text: str, initial_text: str = "x = 1") -> type[Neuron]:
    """A neuron class that never fires, with the given equations."""

    @final
    @dataclass(frozen=True)
    class Smooth(Neuron):
        refractory: float = parameter(0.0, "s", at_least=0)

        equations: ClassVar[str] = text
        method: ClassVar[str] = method_name
        threshold: ClassVar[str] = "x > 1e9"
        reset: ClassVar[str] = "x = 0"
        initial: ClassVar[str] = initial_text
        receptors: ClassVar[Mapping[str, str]] = {"delta": "x"}

    return Smooth


def end(kind: type[Neuron], dt: float, duration: float, engine: str = "numba") -> Any:
    """The state after `duration`, from the engine's trace."""
    circuit = nf.Circuit("smooth", [nf.Population("A", kind())])
    names = list(kind.model().variables)
    rec = nf.simulate(circuit, duration=duration + dt, dt=dt, engine=engine, record=names)
    return np.array([rec.traces[f"A.{name}"][-1, 0] for name in names])


# Two coupled nonlinear equations with a closed form: x' = -50 x y, y' = -50 y^2
# y = y0/(1 + 50 y0 t), x = x0/(1 + 50 y0 t).
COUPLED = """
    dx/dt = -50*x*y : V
    dy/dt = -50*y*y : 1
"""


@pytest.mark.parametrize(("method", "order"), [("euler", 1), ("rk4", 4)])
@pytest.mark.parametrize("engine", ["numba", "torch"])
def test_order_of_convergence(method: str, order: int, engine: str) -> None:
    kind = model_of(method, COUPLED, "x = 2\ny = 0.5")
    exact = np.array([2.0, 0.5]) / (1 + 50 * 0.5 * 0.08)
    steps = [8e-3, 4e-3, 2e-3, 1e-3]
    errors = np.array([np.abs(end(kind, dt, 0.08, engine) - exact) for dt in steps])
    measured = np.log2(errors[:-1] / errors[1:])
    assert np.abs(measured - order).max() < 0.35 and np.abs(measured[-1] - order).max() < 0.15


def test_order_of_exponential_euler() -> None:
    """x' = -x y is linear in x, with a coefficient that moves: first order."""
    kind = model_of(
        "exponential_euler",
        "dx/dt = -50*x*y : V\ndy/dt = -30*(y - 1) : 1",
        "x = 2\ny = 0.5",
    )
    # the integral of y over t is t - 0.5 (1 - exp(-30 t))/30
    exact = 2 * math.exp(-50 * (0.04 - 0.5 * (1 - math.exp(-1.2)) / 30))
    errors = np.array([abs(end(kind, dt, 0.04)[0] - exact) for dt in (2e-3, 1e-3, 5e-4, 2.5e-4)])
    assert np.abs(np.log2(errors[:-1] / errors[1:]) - 1).max() < 0.1


def test_exponential_euler_solves_linear_equations_exactly() -> None:
    kind = model_of("exponential_euler", "dx/dt = 3 - 40*x : V")
    exact = 3 / 40 + (1 - 3 / 40) * math.exp(-40 * 0.1)
    for dt in (0.05, 0.01, 1e-3):
        assert math.isclose(end(kind, dt, 0.1)[0], exact, rel_tol=1e-13)


def test_rk4_of_a_decay_is_its_taylor_polynomial() -> None:
    kind = model_of("rk4", "dx/dt = -100*x : V")
    z = 100 * 2e-3
    factor = 1 - z + z**2 / 2 - z**3 / 6 + z**4 / 24
    assert math.isclose(end(kind, 2e-3, 0.02)[0], factor**10, rel_tol=1e-14)


@pytest.mark.parametrize("name", sorted(INTEGRATORS))
def test_held_variables_have_no_slope_while_refractory(name: str) -> None:
    """And what is coupled to them sees them standing still, in every stage."""
    system = eq.parse_system(
        "dv/dt = -50*v + 2 : V (unless refractory)\ndu/dt = 30*(v - u) : V", set()
    )
    names = {"dt", NOT_REFRACTORY, "v", "u"}
    step = eq.compile_block(eq.parse_block(INTEGRATORS[name](system), names), eq.NUMPY)
    new = step({"v": 0.7, "u": 0.1, "dt": 1e-3, NOT_REFRACTORY: 0.0})
    assert new["v"] == 0.7
    z = 30 * 1e-3
    factor = {
        "euler": 1 - z,
        "exponential_euler": math.exp(-z),
        "rk4": 1 - z + z**2 / 2 - z**3 / 6 + z**4 / 24,
    }[name]
    assert math.isclose(new["u"], 0.7 + (0.1 - 0.7) * factor, rel_tol=1e-14)


@final
@dataclass(frozen=True)
class _Quadratic(Neuron):
    """Fires, is refractory, and has a slow variable that follows the held one."""

    refractory: float = parameter(2e-3, "s", at_least=0)

    equations: ClassVar[str] = """
        dv/dt = 8000*v*v + 100*v + 0.2 + 1e9*injected - 20*u : V (unless refractory)
        du/dt = 100*(v - u) : V
    """
    method: ClassVar[str] = "rk4"
    tolerance: ClassVar[float] = 1e-10
    threshold: ClassVar[str] = "v > 0.03"
    reset: ClassVar[str] = "v = -0.01"
    receptors: ClassVar[Mapping[str, str]] = {"delta": "v"}


@final
@dataclass(frozen=True)
class _Forward(Neuron):
    """The same by forward Euler."""

    refractory: float = parameter(2e-3, "s", at_least=0)

    equations: ClassVar[str] = _Quadratic.equations
    method: ClassVar[str] = "euler"
    tolerance: ClassVar[float] = 1e-10
    threshold: ClassVar[str] = "v > 0.03"
    reset: ClassVar[str] = "v = -0.01"
    receptors: ClassVar[Mapping[str, str]] = {"delta": "v"}


@final
@dataclass(frozen=True)
class _Conductance(Neuron):
    """Linear in each of its variables, by exponential Euler."""

    refractory: float = parameter(2e-3, "s", at_least=0)

    equations: ClassVar[str] = """
        dv/dt = 50*(0.01 - v) + g*(0.05 - v) + 1e9*injected : V (unless refractory)
        dg/dt = -200*g : Hz
    """
    method: ClassVar[str] = "exponential_euler"
    threshold: ClassVar[str] = "v > 0.03"
    reset: ClassVar[str] = "v = -0.01"
    receptors: ClassVar[Mapping[str, str]] = {"exc": "g"}


@pytest.mark.parametrize("kind", [_Quadratic, _Forward, _Conductance])
def test_every_engine_runs_the_named_integrator(kind: type[Neuron]) -> None:
    """Held variables, refractory periods of 0 and more, injected noise, synapses."""
    rng = np.random.default_rng(3)
    steps = 300
    weight = 300.0 if kind is _Conductance else 0.003
    circuit = nf.Circuit(
        "named",
        [nf.Population("A", kind(), 4), nf.Population("B", kind(refractory=0.0), 4)],
        [nf.Projection("in", "A", weight), nf.Projection("A", "B", weight)],
        [nf.SpikeInput("in", 3), nf.CurrentInput("I", "A")],
    )
    given = {
        "in": [np.flatnonzero(rng.random(steps) < 0.02) * 1e-4 for _ in range(3)],
        "I": rng.normal(2e-10, 2e-9, (steps, 4)),
    }
    names = list(kind.model().variables)
    report = nf.compare(circuit, given, duration=steps * 1e-4, record=names)
    assert report.ok, report
    assert report.spikes["brian2"] > 5


@final
@dataclass(frozen=True)
class Undefined(Neuron):
    """Its slope is infinity less infinity."""

    tau: float = parameter(10 * ms, "s", above=0)
    refractory: float = parameter(0.0, "s")
    equations: ClassVar[str] = "dv/dt = (v*v - v*v)/tau : V"
    method: ClassVar[str] = "euler"
    threshold: ClassVar[str] = "v > 1"
    reset: ClassVar[str] = "v = 0"
    receptors: ClassVar[Mapping[str, str]] = {"delta": "v"}


@pytest.mark.parametrize("engine", ["numba", "torch"])
def test_a_state_that_is_no_number_is_reported(engine: str) -> None:
    pool = nf.Population("B", Undefined(), size=3, initial={"v": [0.0, 0.0, -1e200]})
    circuit = nf.Circuit("c", [nf.Population("A", Undefined()), pool])
    with pytest.raises(FloatingPointError, match=r"Population 'B': v is nan at the end of the run"):
        nf.simulate(circuit, duration=1 * ms, engine=engine)
