"""The neuron models: parameters, the exact update, threshold, reset and refractoriness."""

import dataclasses
import math
import pickle
import warnings
from dataclasses import dataclass
from typing import Any, ClassVar, final

import mpmath
import numpy as np
import pytest
from mpmath import mp

import neuroflip as nf
from neuroflip import equations as eq
from neuroflip.neurons import INJECTED, NEURONS, Neuron
from neuroflip.parameters import parameter
from neuroflip.units import Mohm, nA, pA

MODELS = [nf.LIF, nf.DeltaLIF]
FIELDS = [(model, field.name) for model in MODELS for field in dataclasses.fields(model)]
EPS = 2.0**-52


def simulate(circuit: nf.Circuit, *args: Any, **options: Any) -> nf.Recording:
    return nf.simulate(circuit, *args, **{"dt": 1e-4, **options})


def single(
    neuron: Neuron, weight: float = 0.0, receptor: str | None = None, **population: Any
) -> nf.Circuit:
    """One neuron with a spike input of the given weight."""
    receptor = receptor or list(neuron.receptors)[0]
    return nf.Circuit(
        "single",
        [nf.Population("A", neuron, **population)],
        [nf.Projection("in", "A", weight, receptor)],
        [nf.SpikeInput("in"), nf.CurrentInput("current", "A")],
    )


# ------------------------------------------------------------------ parameters


@pytest.mark.parametrize(("model", "name"), FIELDS)
@pytest.mark.parametrize("value", ["0.02", True, None, [0.02], np.ones(1)], ids=repr)
def test_each_parameter_refuses_what_is_no_number(model: Any, name: str, value: Any) -> None:
    with pytest.raises(TypeError, match=f"^{model.__name__}.{name} must be one number in "):
        model(**{name: value})


@pytest.mark.parametrize(("model", "name"), FIELDS)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_each_parameter_refuses_what_is_not_finite(model: Any, name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"^{model.__name__}.{name} must be a finite number in "):
        model(**{name: value})


UNITS = {
    "tau_m": "s", "tau_e": "s", "tau_i": "s", "refractory": "s", "v_rest": "V", "v_threshold": "V",
    "v_reset": "V", "resistance": "ohm", "drive": "A",
}  # fmt: skip


@pytest.mark.parametrize(("model", "name"), FIELDS)
def test_each_parameter_states_its_unit(model: Any, name: str) -> None:
    unit = UNITS[name]
    with pytest.raises(
        ValueError, match=f"{model.__name__}.{name} must be a finite number in {unit};"
    ):
        model(**{name: math.nan})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import brian2 as b2
    kinds = {"s": b2.second, "V": b2.volt, "ohm": b2.ohm, "A": b2.amp}
    value = {"v_threshold": 0.02, "v_reset": -0.01}.get(name, 0.005)
    assert getattr(model(**{name: value * kinds[unit]}), name) == value
    for other, quantity in kinds.items():
        if other != unit:
            with pytest.raises(
                ValueError, match=f"^{model.__name__}.{name} must be in {unit}; got"
            ):
                model(**{name: value * quantity})


@pytest.mark.parametrize(("model", "name"), FIELDS)
def test_range_of_each_parameter(model: Any, name: str) -> None:
    where = f"^{model.__name__}.{name} must be"
    if name in ("tau_m", "tau_e", "tau_i", "resistance"):
        for value in (0.0, -0.0, -1e-9):
            with pytest.raises(ValueError, match=f"{where} above 0 {UNITS[name]}; got {value!r}"):
                model(**{name: value})
    elif name == "refractory":
        assert model(refractory=0).refractory == 0.0
        with pytest.raises(ValueError, match=f"{where} at least 0 s; got -0.001"):
            model(refractory=-0.001)
    elif name in ("v_threshold", "v_reset"):
        with pytest.raises(
            ValueError, match=f"^{model.__name__}.v_reset must be below v_threshold"
        ):
            model(**{name: -1.0 if name == "v_threshold" else 1.0})
    else:
        assert getattr(model(**{name: -1.0}), name) == -1.0


@pytest.mark.parametrize("model", MODELS)
def test_reset_at_the_threshold_is_refused(model: Any) -> None:
    message = rf"^{model.__name__}.v_reset must be below v_threshold \(0.01 V\); got 0.01\.$"
    with pytest.raises(ValueError, match=message):
        model(v_threshold=0.01, v_reset=0.01)
    assert model(v_threshold=0.01, v_reset=math.nextafter(0.01, 0)).v_reset < 0.01


@pytest.mark.parametrize("model", MODELS)
def test_neurons_are_values(model: Any) -> None:
    values = {"tau_m": 0.1 + 0.2, "v_rest": -1 / 3, "drive": 1e-323, "refractory": 0.0}
    one, same = model(**values), model(**values)
    assert eval(repr(one), {"LIF": nf.LIF, "DeltaLIF": nf.DeltaLIF}) == one
    assert pickle.loads(pickle.dumps(one)) == one
    assert one == same and hash(one) == hash(same) and len({one, same, model()}) == 2
    assert one != dataclasses.replace(one, tau_m=0.3)
    for name in one.parameters():
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(one, name, 1.0)
    with pytest.raises(TypeError):
        model(tau=1.0)
    assert NEURONS[model.__name__] is model


def test_defaults_are_those_of_the_latch_notes() -> None:
    """shared/notes/circuits.md 4.2: tau_m 20 ms, R 100 Mohm, theta 15 mV, reset 0, tref 2 ms."""
    for model in MODELS:
        p = model().parameters()
        assert (p["tau_m"], p["v_threshold"], p["v_reset"], p["refractory"]) == (
            0.02,
            0.015,
            0.0,
            0.002,
        )
        assert math.isclose(p["resistance"], 1e8)


@pytest.mark.parametrize("model", MODELS)
def test_update_and_equations_declare_the_same_variables(model: Any) -> None:
    checked = model.model()
    assert set(checked.variables) <= {a.target for a in checked.update}
    assert {a.target for a in checked.reset} == {"v"}
    assert checked.held == {"v"}
    assert model().model() is checked


def test_a_wrong_declaration_names_its_attribute() -> None:
    def declare(**attributes: Any) -> type[Neuron]:
        body = {
            "equations": "dv/dt = -v/tau : V (unless refractory)", "update": "v *= exp(-dt/tau)",
            "constants": "", "threshold": "v > 1", "reset": "v = 0", "receptors": {"delta": "v"},
            "tau": parameter(0.02, "s"), "refractory": parameter(0.002, "s"),
            "__annotations__": {"tau": float, "refractory": float},
        }  # fmt: skip
        return dataclass(frozen=True)(type("Wrong", (Neuron,), body | attributes))

    declare(update="v *= 1 - tau").model()
    for attributes, message in [
        ({"equations": "dv/dt = -v/tav : V"}, "Wrong.equations: unknown name 'tav'"),
        ({"update": "v *= exp(-dt/tau)"}, "Wrong.update: unknown name 'dt'"),
        ({"constants": "a = v"}, "Wrong.constants: unknown name 'v'"),
        ({"update": "v = 0", "threshold": "v >= 1"}, "Wrong.threshold: a threshold is one strict"),
        ({"update": "v = 0", "threshold": "u > 1"}, "Wrong.threshold: unknown name 'u'"),
        ({"update": "v = 0", "reset": "u = 1"}, "Wrong.reset: 'u' cannot be assigned here"),
        ({"update": "v = 0", "initial": "u = 1"}, "Wrong.initial: 'u' cannot be assigned here"),
        ({"update": "v = 0", "receptors": {"g": "u"}}, "Wrong.receptors: receptor 'g' adds to 'u'"),
    ]:
        with pytest.raises(nf.EquationError) as caught:
            declare(**attributes).model()
        assert str(caught.value).startswith(message)


# ------------------------------------------------------------------ the exact update


def step(neuron: Neuron, state: dict[str, float], injected: float, dt: float) -> dict[str, float]:
    """One step as the fast engines take it."""
    model = neuron.model()
    values: dict[str, Any] = {**neuron.parameters(), "dt": dt}
    values |= eq.compile_block(model.constants, eq.NUMPY)(values)
    values |= {**state, INJECTED: injected}
    values |= eq.compile_block(model.update, eq.NUMPY)(values)
    return {name: float(values[name]) for name in model.variables}


def psp(tau_m: float, tau_s: float, dt: float) -> Any:
    """Membrane potential after dt of a synaptic current of unit size into 1 ohm, to 50 digits.

    The convolution integral written over the interval [0, dt], not its closed form.
    """
    m, s, t = mpmath.mpf(tau_m), mpmath.mpf(tau_s), mpmath.mpf(dt)
    matrix = mp.matrix([[-t / m, t / m], [0, -t / s]])
    return mp.expm(matrix, method="taylor")[0, 1]


RATIOS = [
    0.0,
    *(sign * 10.0**-k for k in (1, 2, 3, 5, 7, 8, 10, 12, 13, 14, 15) for sign in (1, -1)),
]


@pytest.fixture(autouse=True)
def digits() -> Any:
    with mp.workdps(60):
        yield


def close(found: float, expected: Any, parts: Any, slack: float) -> bool:
    """Agreement to some units in the last place of the parts that were added."""
    return bool(abs(mpmath.mpf(found) - expected) <= slack * EPS * parts)


@pytest.mark.parametrize("ratio", [1 + r for r in RATIOS])
@pytest.mark.parametrize("dt", [1e-5, 1e-4, 1e-3, 0.013])
@pytest.mark.parametrize("receptor", ["exc", "inh"])
def test_coupling_where_the_time_constants_meet(ratio: float, dt: float, receptor: str) -> None:
    """From the synaptic current alone, to a few units in the last place, through 0/0."""
    tau_m = 0.0173
    tau = {"exc": "tau_e", "inh": "tau_i"}[receptor]
    neuron = nf.LIF(tau_m=tau_m, resistance=1.0, **{tau: tau_m * ratio})
    after = step(neuron, {"v": 0.0, "i_exc": 0.0, "i_inh": 0.0} | {f"i_{receptor}": 1.0}, 0.0, dt)
    expected = psp(neuron.tau_m, getattr(neuron, tau), dt)
    sign = 1 if receptor == "exc" else -1
    assert close(sign * after["v"], expected, expected, 6)
    assert close(after[f"i_{receptor}"], mp.exp(-mpmath.mpf(dt) / getattr(neuron, tau)), 1, 2)


@pytest.mark.parametrize("tau_m", [1e-5, 3e-4, 0.02, 1.0, 1e3])
@pytest.mark.parametrize("tau_s", [1e-5, 1e-4, 0.005, 0.3, 1e4])
@pytest.mark.parametrize("dt", [1e-6, 1e-4, 1e-3])
def test_coupling_at_extreme_ratios(tau_m: float, tau_s: float, dt: float) -> None:
    """exp(-dt/tau) itself is known to dt/tau units in the last place, no better."""
    neuron = nf.LIF(tau_m=tau_m, tau_e=tau_s, resistance=1.0)
    after = step(neuron, {"v": 0.0, "i_exc": 1.0, "i_inh": 0.0}, 0.0, dt)
    a, b = mpmath.mpf(dt) / tau_m, mpmath.mpf(dt) / tau_s
    expected = a * mp.exp(-a) if a == b else a * (mp.exp(-b) - mp.exp(-a)) / (a - b)
    assert close(after["v"], expected, expected, 6 + 2 * float(max(a, b)))


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("dt", [1e-9, 1e-6, 1e-4, 0.02, 1.0])
def test_charging_from_rest_keeps_every_digit(model: Any, dt: float) -> None:
    """base (1 - exp(-dt/tau)) to a few units in the last place, however small it is."""
    neuron = model(resistance=1.0, drive=0.25)
    state = dict.fromkeys(model.model().variables, 0.0)
    expected = -mpmath.expm1(-mpmath.mpf(dt) / neuron.tau_m) * mpmath.mpf(0.75)
    assert close(step(neuron, state, 0.5, dt)["v"], expected, expected, 4)


def test_update_of_random_parameter_sets() -> None:
    """All terms at once against the matrix exponential of the whole system."""
    rng = np.random.default_rng(1)
    for case in range(60):
        tau_m, tau_e, tau_i = 10 ** rng.uniform(-3.5, -0.5, 3)
        if case % 3 == 0:
            tau_e = tau_m * (1 + rng.choice([0, 1e-15, -1e-13, 1e-10, -1e-8, 1e-5]))
        if case % 4 == 0:
            tau_i = tau_m * (1 + rng.choice([0, 1e-15, -1e-13, 1e-10, -1e-8, 1e-5]))
        dt = 10 ** rng.uniform(-5, -3)
        v, i_exc, i_inh, injected, drive = rng.normal(0, 1, 5) * [0.03, 1e-9, 1e-9, 3e-10, 3e-10]
        neuron = nf.LIF(
            tau_m=tau_m, tau_e=tau_e, tau_i=tau_i, resistance=10 ** rng.uniform(6, 9),
            v_rest=rng.normal(0, 0.05), v_threshold=10.0, drive=drive,
        )  # fmt: skip
        found = step(neuron, {"v": v, "i_exc": i_exc, "i_inh": i_inh}, injected, dt)
        p = {k: mpmath.mpf(x) for k, x in neuron.parameters().items()}
        r, m = p["resistance"], p["tau_m"]
        base = p["v_rest"] + r * (p["drive"] + mpmath.mpf(injected))
        matrix = mp.matrix([
            [-1 / m, r / m, -r / m, base / m],
            [0, -1 / p["tau_e"], 0, 0],
            [0, 0, -1 / p["tau_i"], 0],
            [0, 0, 0, 0],
        ]) * mpmath.mpf(dt)  # fmt: skip
        flow = mp.expm(matrix, method="taylor")
        start = [mpmath.mpf(x) for x in (v, i_exc, i_inh, 1)]
        for row, name in enumerate(("v", "i_exc", "i_inh")):
            parts = [flow[row, j] * start[j] for j in range(4)]
            size = sum(map(abs, parts)) + abs(p["v_rest"]) + abs(base)
            assert close(found[name], sum(parts), size if name == "v" else abs(sum(parts)), 6), name


@pytest.mark.parametrize("engine", ["numba", "torch"])
def test_trajectory_on_the_engines(engine: str) -> None:
    """A hundred steps under drive, both currents and an injected one, against closed forms."""
    neuron = nf.LIF(
        tau_m=0.02,
        tau_e=0.02,
        tau_i=0.02 * (1 + 1e-9),
        v_rest=-0.01,
        v_threshold=1.0,
        drive=50 * pA,
    )
    circuit = nf.Circuit(
        "free",
        [nf.Population("A", neuron, initial={"v": 0.003, "i_exc": 1 * nA, "i_inh": 0.4 * nA})],
        inputs=[nf.CurrentInput("current", "A")],
    )
    dt, n = 2e-4, 100
    rec = simulate(
        circuit, {"current": [(0, 1, 70 * pA)]}, duration=n * dt, dt=dt, engine=engine,
        record=["v", "i_exc", "i_inh"],
    )  # fmt: skip
    t = np.arange(n) * dt
    decay = np.exp(-t / 0.02)
    level = -0.01 + 1e8 * 120 * pA
    exact = level + (0.003 - level) * decay + 1e8 * (t / 0.02) * decay * (1 * nA - 0.4 * nA)
    assert np.max(np.abs(rec.traces["A.v"][:, 0] - exact)) < 1e-10  # tau_i is off by 1e-9
    assert np.allclose(rec.traces["A.i_exc"][:, 0], nA * decay, rtol=1e-13, atol=0)
    assert np.allclose(rec.traces["A.i_inh"][:, 0], 0.4 * nA * decay, rtol=1e-9, atol=0)


# ------------------------------------------------------------------ spikes


def expected_intervals(neuron: Any, current: float, dt: float) -> tuple[int, int]:
    """(steps to the first spike, steps between spikes), from the closed form of the charging curve.

    In step k the neuron has been charging for k + 1 - (first active step) steps.
    """
    level = neuron.v_rest + neuron.resistance * current

    def updates(start: float) -> int:
        time = neuron.tau_m * math.log((level - start) / (level - neuron.v_threshold))
        assert abs(time / dt - round(time / dt)) > 1e-6, "too close to a step to tell"
        return math.floor(time / dt) + 1

    silent = max(1, round(neuron.refractory / dt))
    return updates(neuron.v_rest) - 1, silent + updates(neuron.v_reset) - 1


@pytest.mark.parametrize("engine", ["numba", "torch"])
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(
    ("parameters", "current", "dt"),
    [
        ({}, 200 * pA, 1e-4),
        ({}, 151 * pA, 1e-4),
        ({"refractory": 0.0}, 500 * pA, 1e-4),
        ({"refractory": 0.013}, 300 * pA, 1e-3),
        ({"v_rest": -0.07, "v_threshold": -0.054, "v_reset": -0.06}, 190 * pA, 5e-5),
        ({"v_rest": -0.07, "v_threshold": -0.054, "v_reset": -0.09, "tau_m": 0.007}, 1 * nA, 1e-4),
        ({"resistance": 20 * Mohm, "v_reset": 0.0149}, 900 * pA, 1e-4),
    ],
)
def test_every_spike_of_a_driven_neuron(
    model: Any, parameters: dict[str, float], current: float, dt: float, engine: str
) -> None:
    neuron = model(**parameters, drive=current)
    first, interval = expected_intervals(neuron, current, dt)
    steps = first + 4 * interval + 2
    rec = simulate(single(neuron), duration=steps * dt, dt=dt, engine=engine)
    found = np.round(rec.spikes["A"] / dt).astype(int).tolist()
    assert found == [first + i * interval for i in range(5)]
    assert rec.spikes["A"].tolist() == [k * dt for k in found]


@pytest.mark.parametrize("current", [160 * pA, 250 * pA, 1 * nA])
def test_rate_of_a_driven_neuron_is_the_textbook_one(current: float) -> None:
    neuron = nf.LIF(drive=current)
    rate = 1 / (0.002 + 0.02 * math.log(1e8 * current / (1e8 * current - 0.015)))
    dt = 1e-5
    rec = simulate(single(neuron), duration=2.0, dt=dt)
    measured = (rec.spikes["A"].size - 1) / (rec.spikes["A"][-1] - rec.spikes["A"][0])
    # The reset acts at the end of the spike's step, which counts as refractory: up to a step early
    assert -dt <= 1 / measured - 1 / rate <= 0
    assert math.isclose(nf.circuits.firing_rate(neuron, current), rate, rel_tol=1e-12)


@pytest.mark.parametrize("engine", ["numba", "torch"])
def test_threshold_is_strict(engine: str) -> None:
    """A potential that rests exactly at threshold sends nothing; one ulp above does."""
    for above, spikes in ((0.015, 0), (math.nextafter(0.015, 1), 1)):
        neuron = nf.DeltaLIF(v_rest=above, v_reset=-1.0, refractory=0.5)
        rec = simulate(single(neuron), duration=0.01, engine=engine)
        assert rec.spikes["A"].size == spikes


@pytest.mark.parametrize("engine", ["numba", "torch"])
@pytest.mark.parametrize(
    ("refractory", "interval"),
    [
        (0.0, 1),
        (1e-4, 1),
        (2e-4, 2),
        (3e-4, 3),
        (2.05e-3, 20),
        (2.09e-3, 20),
        (2.09995e-3, 21),
        (0.05, 500),
    ],
)
def test_refractory_in_steps(refractory: float, interval: int, engine: str) -> None:
    """A neuron far above threshold fires every `interval` steps: Brian2 rounds down (5.1)."""
    neuron = nf.DeltaLIF(refractory=refractory, drive=1.0, v_threshold=1e-3)
    rec = simulate(single(neuron), duration=(3 * interval + 1) * 1e-4, engine=engine)
    assert np.round(rec.spikes["A"] / 1e-4).tolist() == [0, interval, 2 * interval, 3 * interval]


def test_refractory_below_one_step_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"^Population 'A': refractory must be 0 or at least one st"
    ):
        simulate(single(nf.LIF(refractory=5e-5)), duration=0.01)


@pytest.mark.parametrize("engine", ["numba", "torch"])
def test_delta_input_is_ignored_while_refractory(engine: str) -> None:
    """Input arriving in step k is in v from sample k+1 on; the spike step and the ref - 1 after
    it take none."""
    neuron = nf.DeltaLIF(tau_m=1e9, v_threshold=1.0, refractory=3e-4, v_reset=0.25)
    times = [0, 1e-4, 2e-4, 3e-4, 4e-4, 5e-4]
    circuit = single(neuron, 0.625)
    rec = simulate(circuit, {"in": times}, duration=8e-4, engine=engine, record="v")
    # steps:    0    1     2 (fires)           5: first taken again   6: 0.875+... fires?
    assert np.allclose(
        rec.traces["A.v"][:, 0], [0, 0.625, 1.25, 0.25, 0.25, 0.25, 0.875, 0.875], atol=1e-9
    )
    assert np.round(rec.spikes["A"] / 1e-4).tolist() == [2]


@pytest.mark.parametrize("engine", ["numba", "torch"])
@pytest.mark.parametrize("receptor", ["excitatory", "inhibitory"])
def test_synaptic_current_is_kept_while_refractory(engine: str, receptor: str) -> None:
    """The current jumps and decays through the refractory period; the potential stands still, and
    then rises from the reset with what is left."""
    neuron = nf.LIF(refractory=1e-3, v_reset=-0.002, tau_e=0.004, tau_i=0.006)
    circuit = single(neuron, 0.5 * nA, receptor, initial={"v": 0.0151})
    rec = simulate(
        circuit, {"in": [0.0, 4e-4]}, duration=2e-3, engine=engine,
        record=["v", "i_exc", "i_inh"],
    )  # fmt: skip
    assert rec.spikes["A"].tolist() == [0.0]
    tau = 0.004 if receptor == "excitatory" else 0.006
    t = np.arange(20) * 1e-4
    # the spike of step k is in the current from sample k+1 on, undecayed
    current = 0.5 * nA * sum(
        np.where(t >= at + 0.5e-4, np.exp(-(t - at - 1e-4) / tau), 0.0) for at in (0.0, 4e-4)
    )  # fmt: skip
    trace = rec.traces["A.i_exc" if receptor == "excitatory" else "A.i_inh"][:, 0]
    assert np.allclose(trace, current, rtol=1e-12, atol=0)
    v = rec.traces["A.v"][:, 0]
    assert v[0] == 0.0151 and v[1:11].tolist() == [-0.002] * 10
    sign = 1 if receptor == "excitatory" else -1
    since = t[11:] - t[10]
    rise = (
        1e8
        * sign
        * current[10]
        * tau
        / (tau - 0.02)
        * (np.exp(-since / tau) - np.exp(-since / 0.02))
    )
    assert np.allclose(v[11:], -0.002 * np.exp(-since / 0.02) + rise, rtol=1e-10, atol=1e-15)


@pytest.mark.parametrize("engine", ["numba", "torch"])
def test_threshold_margin_is_the_nearest_approach(engine: str) -> None:
    """Of non-refractory neurons only, after the update of a step; from above or from below."""
    below = nf.DeltaLIF(tau_m=1e9, v_threshold=1.0)
    rec = simulate(single(below, initial={"v": 0.75}), duration=1e-3, engine=engine)
    assert math.isclose(rec.threshold_margin, 0.25, rel_tol=1e-9)
    above = nf.DeltaLIF(tau_m=1e9, v_threshold=1.0, refractory=1.0, v_reset=0.999)
    rec = simulate(single(above, initial={"v": 1.125}), duration=1e-3, engine=engine)
    assert math.isclose(rec.threshold_margin, 0.125, rel_tol=1e-9)


# ------------------------------------------------------------------ neurons of one's own


@final
@dataclass(frozen=True)
class Adaptive(Neuron):
    """v stands still while refractory; u reads v and goes on: order in `update` matters."""

    tau: float = parameter(0.02, "s", above=0)
    drive: float = parameter(3.0)
    refractory: float = parameter(0.002, "s", at_least=0)
    equations: ClassVar[str] = """
        dv/dt = (drive - v - u)/tau : 1 (unless refractory)
        du/dt = (v - u)/tau : 1
    """
    constants: ClassVar[str] = "e = -expm1(-dt/tau)"
    update: ClassVar[str] = """
        v += (drive - v - u)*e
        u += (v - u)*e
    """
    threshold: ClassVar[str] = "v > 1"
    reset: ClassVar[str] = """
        v = 0
        u += 0.1
    """
    receptors: ClassVar = {"delta": "v"}


def test_a_held_variable_is_held_for_the_rest_of_the_update() -> None:
    """u follows the v that stands still, as in the differential equations, on both engines."""
    circuit = nf.Circuit("own", [nf.Population("A", Adaptive())])
    traces = {}
    for engine in ("numba", "torch"):
        rec = simulate(circuit, duration=0.1, engine=engine, record=["v", "u"])
        traces[engine] = rec.traces["A.u"][:, 0]
        v, u, last, seen = 0.0, 0.0, -100, []
        e = -math.expm1(-1e-4 / 0.02)
        for k in range(1000):
            seen.append(u)
            active = k - last >= 20
            v = v + (3.0 - v - u) * e if active else v
            u += (v - u) * e
            if active and v > 1:
                v, u, last = 0.0, u + 0.1, k
        assert rec.spikes["A"].size > 5
        assert np.allclose(traces[engine], seen, rtol=1e-12, atol=1e-15), engine


@final
@dataclass(frozen=True)
class Clash(Neuron):
    """Names that the generated kernel uses for itself, as Izhikevich's a, b, c, d nearly do."""

    k: float = parameter(3.0)
    i: float = parameter(0.02, "s", above=0)
    position: float = parameter(0.1)
    closest: float = parameter(0.0)
    start: float = parameter(1.0)
    refractory: float = parameter(0.002, "s", at_least=0)
    equations: ClassVar[str] = """
        dv/dt = (k - v - q)/i : 1 (unless refractory)
        dq/dt = -q/i : 1
    """
    constants: ClassVar[str] = "row = exp(-1e-4/i)"
    update: ClassVar[str] = """
        distance = k - q + closest
        v = distance + (v - distance)*row
        q *= row
    """
    threshold: ClassVar[str] = "v > start"
    reset: ClassVar[str] = """
        v = 0
        q += position
    """
    receptors: ClassVar = {"now": "q"}


@pytest.mark.parametrize("engine", ["numba", "torch"])
def test_any_name_may_be_used_in_a_neuron(engine: str) -> None:
    circuit = single(Clash(), 0.01)
    rec = simulate(circuit, {"in": [0.01]}, duration=0.05, engine=engine, record=["v", "q"])
    v, q, last, seen = 0.0, 0.0, -100, []
    row = math.exp(-1e-4 / 0.02)
    for k in range(500):
        seen.append((v, q))
        active = k - last >= 20
        v = (3.0 - q) + (v - (3.0 - q)) * row if active else v
        q *= row
        fired = active and v > 1.0
        q += 0.01 if k == 100 else 0.0
        if fired:
            v, q, last = 0.0, q + 0.1, k
    assert np.allclose(rec.traces["A.v"][:, 0], [s[0] for s in seen], rtol=1e-12, atol=1e-15)
    assert np.allclose(rec.traces["A.q"][:, 0], [s[1] for s in seen], rtol=1e-12, atol=1e-15)


@final
@dataclass(frozen=True)
class OwnStep(Neuron):
    """A parameter of the name under which `constants` are given the time step."""

    dt: float = parameter(0.5)
    refractory: float = parameter(0.0, "s", at_least=0)
    equations: ClassVar[str] = "dv/dt = 0*v : 1"
    constants: ClassVar[str] = "jump = dt"
    update: ClassVar[str] = "v += jump"
    threshold: ClassVar[str] = "v > 10"
    reset: ClassVar[str] = "v = 0"
    receptors: ClassVar = {"delta": "v"}


def test_a_parameter_called_dt_is_refused() -> None:
    with pytest.raises((ValueError, TypeError), match="dt"):
        OwnStep.model()


@final
@dataclass(frozen=True)
class Constant(Neuron):
    """A variable whose update and reset are plain numbers or parameters, not arrays of states."""

    level: float = parameter(0.5)
    refractory: float = parameter(0.0, "s", at_least=0)
    equations: ClassVar[str] = """
        dv/dt = 0*v : 1 (unless refractory)
        du/dt = 0*u : 1
        dn/dt = 0*n : 1
    """
    update: ClassVar[str] = """
        v += 0.4
        u = level
        n = 7
    """
    threshold: ClassVar[str] = "v > 1"
    reset: ClassVar[str] = "v = 0"
    receptors: ClassVar = {"delta": "v"}


@pytest.mark.parametrize("engine", ["numba", "torch"])
def test_an_update_may_be_a_number(engine: str) -> None:
    circuit = nf.Circuit(
        "own", [nf.Population("A", Constant(), 2), nf.Population("B", Constant(level=0.25))]
    )
    rec = simulate(circuit, duration=5e-4, engine=engine, trials=2, record=["u", "n"])
    assert rec.traces["A.u"][:, 1:].tolist() == [[[0.5, 0.5]] * 4] * 2
    assert rec.traces["B.u"][:, 1:].tolist() == [[[0.25]] * 4] * 2
    assert rec.traces["A.n"][:, 1:].tolist() == [[[7.0, 7.0]] * 4] * 2
    assert np.round(rec.spikes["B"] / 1e-4).tolist() == [2, 2]


@final
@dataclass(frozen=True)
class Subtract(Neuron):
    """A reset that keeps what was there, so that input of the spike's step shows."""

    refractory: float = parameter(0.0, "s", at_least=0)
    equations: ClassVar[str] = "dv/dt = 0*v : 1 (unless refractory)"
    update: ClassVar[str] = "v += 0"
    threshold: ClassVar[str] = "v > 1"
    reset: ClassVar[str] = "v -= 1"
    receptors: ClassVar = {"delta": "v"}


@pytest.mark.parametrize("engine", ["numba", "torch"])
def test_the_step_of_a_spike_is_refractory_even_without_a_refractory_period(engine: str) -> None:
    """Input of step 0 fires step 1; that of step 1 is ignored, that of step 2 taken."""
    circuit = single(Subtract(), 1.25)
    rec = simulate(circuit, {"in": [0, 1e-4, 2e-4]}, duration=5e-4, engine=engine, record="v")
    assert rec.traces["A.v"][:, 0].tolist() == [0, 1.25, 0.25, 1.5, 0.5]
    assert np.round(rec.spikes["A"] / 1e-4).tolist() == [1, 3]


@final
@dataclass(frozen=True)
class Free(Neuron):
    """No variable stands still; the potential stays above threshold for good."""

    refractory: float = parameter(3e-4, "s", at_least=0)
    equations: ClassVar[str] = "dv/dt = 0*v : 1"
    update: ClassVar[str] = "v += 0.5"
    threshold: ClassVar[str] = "v > 1"
    reset: ClassVar[str] = "v -= 0.25"
    receptors: ClassVar = {"delta": "v"}


@pytest.mark.parametrize("engine", ["numba", "torch"])
def test_a_refractory_neuron_sends_nothing_whatever_its_potential(engine: str) -> None:
    """Semantics notes 5.1: threshold always true, refractory 3 steps: every third step fires. What
    is not held goes on, and takes input, in the step of a spike too."""
    rec = simulate(single(Free(), 4.0), {"in": [2e-4]}, duration=8e-4, engine=engine, record="v")
    assert np.round(rec.spikes["A"] / 1e-4).tolist() == [2, 5]
    v = rec.traces["A.v"][:, 0].tolist()
    assert v == [0, 0.5, 1, 1.5 + 4 - 0.25, 5.75, 6.25, 6.5, 7]


@final
@dataclass(frozen=True)
class Reassigned(Neuron):
    """A step that changes a constant for itself."""

    tau: float = parameter(0.02, "s", above=0)
    refractory: float = parameter(0.0, "s", at_least=0)
    equations: ClassVar[str] = "dv/dt = -v/tau : 1"
    constants: ClassVar[str] = "e = exp(-dt/tau)"
    update: ClassVar[str] = """
        e *= e
        v *= e
    """
    threshold: ClassVar[str] = "v > 1"
    reset: ClassVar[str] = "v = 0"
    receptors: ClassVar = {"delta": "v"}


@pytest.mark.parametrize("engine", ["numba", "torch"])
def test_a_constant_reassigned_in_the_update_is_refused_or_local_to_the_step(engine: str) -> None:
    try:
        Reassigned.model()
    except nf.EquationError:
        return
    rec = simulate(
        single(Reassigned(), initial={"v": 0.5}), duration=1e-3, engine=engine, record="v"
    )
    expected = 0.5 * np.exp(-2e-4 / 0.02 * np.arange(10))
    assert np.allclose(rec.traces["A.v"][:, 0], expected, rtol=1e-13)
