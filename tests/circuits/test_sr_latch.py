"""The SR latch: its mean-field condition, and that it holds, sets and resets as a latch does."""

import math
import warnings
from typing import Any

import numpy as np
import pytest

import neuroflip as nf
from neuroflip.circuits import CIRCUITS, can_latch, firing_rate, loser_potential, sr_latch
from neuroflip.units import mV, pA

# shared/notes/circuits.md 4.2: tau_m = tau_s = 20 ms, R 100 Mohm, theta 15 mV, tref 2 ms.
# (I pA, w pA, printed f Hz, printed R(I - w tau f) mV, measured rates where it holds no bit)
ROWS: list[tuple[float, float, str, str, tuple[int, int] | None]] = [
    (200, 60, "33.6", "16.0", (21, 23)),
    (200, 100, "33.6", "13.3", None),
    (200, 150, "33.6", "9.9", None),
    (300, 100, "63.0", "17.4", (40, 40)),
    (300, 200, "63.0", "4.8", None),
    (300, 300, "63.0", "-7.8", None),
]
NEURON = nf.LIF(tau_e=0.02)


def latch(*args: Any, **parameters: Any) -> nf.Circuit:
    """The circuit, whether or not it warns."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return sr_latch(*args, **parameters)


def rates(rec: nf.Recording, start: float, stop: float) -> tuple[float, float]:
    """Firing rates (Hz) of Q and Qbar in an interval."""
    return tuple(  # type: ignore[return-value]
        np.count_nonzero((rec.spikes[p] >= start) & (rec.spikes[p] < stop)) / (stop - start)
        for p in ("Q", "Qbar")
    )


# ------------------------------------------------------------------ the condition


@pytest.mark.parametrize(("current", "weight", "f", "v", "measured"), ROWS)
def test_latch_rows_to_the_printed_digits(
    current: float, weight: float, f: str, v: str, measured: tuple[int, int] | None
) -> None:
    assert f"{firing_rate(NEURON, current * pA):.1f}" == f
    assert f"{loser_potential(NEURON, current * pA, weight * pA) / mV:.1f}" == v
    assert can_latch(NEURON, current * pA, weight * pA) == (measured is None)


@pytest.mark.parametrize(("current", "weight", "f", "v", "measured"), ROWS)
def test_rates_of_both_neurons(
    current: float, weight: float, f: str, v: str, measured: tuple[int, int] | None
) -> None:
    """One fires at f(I) and the other not at all where it latches; both alike where it does not.
    (200, 100) is marginal: the loser leaks at first, later it is silent (as in the notes)."""
    circuit = latch(drive=current * pA, inhibition=weight * pA)
    rec = nf.simulate(circuit, {"S": [0.5], "R": [1.5]}, duration=2.5)
    for start, stop, order in ((0.6, 1.5, 1), (1.6, 2.5, -1)):
        q, qbar = rates(rec, start, stop)[::order]
        if measured is None:
            assert abs(q - float(f)) < 2 and qbar == 0
        else:
            assert abs(q - qbar) < 4 and all(
                abs(r - m) <= 4 for r, m in zip(sorted((q, qbar)), measured, strict=True)
            )


def test_rate_formula_from_its_definition() -> None:
    """Time to charge from reset to threshold, found by bisection on the charging curve."""
    neuron = nf.LIF(
        tau_m=0.013,
        v_rest=-0.07,
        v_threshold=-0.054,
        v_reset=-0.061,
        resistance=5e7,
        refractory=3e-3,
    )
    current = 400 * pA
    low, high = 0.0, 1.0
    for _ in range(200):
        t = (low + high) / 2
        v = -0.05 + (-0.061 + 0.05) * math.exp(-t / 0.013)
        low, high = (t, high) if v < -0.054 else (low, t)
    assert math.isclose(firing_rate(neuron, current), 1 / (3e-3 + low), rel_tol=1e-12)
    rheobase = 0.016 / 5e7
    assert firing_rate(neuron, rheobase * (1 - 1e-12)) == 0.0
    assert firing_rate(neuron, 0.0) == 0.0 and firing_rate(neuron, -1.0) == 0.0
    assert 0 < firing_rate(neuron, rheobase * (1 + 1e-9)) < 5
    # the drive of the neuron itself does not count
    assert firing_rate(nf.LIF(drive=1.0), 200 * pA) == firing_rate(nf.LIF(), 200 * pA)


def test_a_pair_that_does_not_fire_holds_nothing() -> None:
    assert loser_potential(NEURON, 100 * pA, 500 * pA) < NEURON.v_threshold
    assert not can_latch(NEURON, 100 * pA, 500 * pA)


@pytest.mark.parametrize("function", [firing_rate, loser_potential, can_latch])
def test_condition_refusals(function: Any) -> None:
    more = () if function is firing_rate else (100 * pA,)
    with pytest.raises(ValueError, match="^current must be a finite number in A; got nan"):
        function(NEURON, math.nan, *more)
    if more:
        with pytest.raises(TypeError, match="^weight must be one number in A; got '1'"):
            function(NEURON, 300 * pA, "1")


# ------------------------------------------------------------------ the latch


@pytest.mark.parametrize("neurons", [2, 4])
def test_parts(neurons: int) -> None:
    circuit = sr_latch(neurons)
    assert [p.name for p in circuit.populations] == ["Q", "Qbar", "S'", "R'"][:neurons]
    assert [i.name for i in circuit.inputs] == ["S", "R"]
    assert {p.name for p in circuit.projections} == (
        {"Q->Qbar", "Qbar->Q", "S->Qbar", "R->Q"} if neurons == 2 else
        {"Q->Qbar", "Qbar->Q", "S->S'", "R->R'", "S'->Qbar", "R'->Q"}
    )  # fmt: skip
    drives = [p.neuron.drive for p in circuit.populations]  # type: ignore[attr-defined]
    assert drives == ([300 * pA] * 2 if neurons == 2 else [0, 0, 300 * pA, 300 * pA])
    assert CIRCUITS["sr_latch"] is sr_latch


@pytest.mark.parametrize("neurons", [2, 4])
@pytest.mark.parametrize("seed", range(4))
def test_random_pulse_programs(neurons: int, seed: int) -> None:
    """Set, hold, reset, hold, and pulses that repeat what is stored: 100 ms after a pulse and until
    the next one the bit is that of the last pulse, and the outputs are complementary."""
    rng = np.random.default_rng(seed)
    times = 0.2 + np.cumsum(rng.uniform(0.15, 0.9, 12))
    which = rng.choice(["S", "R"], 12)
    duration = float(np.ceil(times[-1] + 0.5))
    given = {name: times[which == name] for name in ("S", "R")}
    rec = nf.simulate(sr_latch(neurons), given, duration=duration)
    at, bits = rec.bit("Q")
    assert not bits[at < times[0]].any()  # the bit starts as 0
    changes = 0
    for start, stop, name in zip(times, [*times[1:], duration], which, strict=True):
        expected = int(name == "S")
        held = bits[(at > start + 0.1) & (at < stop)]
        assert held.size and (held == expected).all(), (start, name)
        high, low = rates(rec, start + 0.1, stop)[:: 1 if expected else -1]
        assert low == 0 and high * (stop - start - 0.1) >= 2
        changes += expected != bits[round(start / rec.dt) - 1]
    assert changes >= 2


@pytest.mark.parametrize("neurons", [2, 4])
@pytest.mark.parametrize("bit", [0, 1])
def test_ten_seconds_without_input(neurons: int, bit: int) -> None:
    """The loser does not fire once in 10 s, the winner never pauses."""
    rec = nf.simulate(sr_latch(neurons), {"S": [0.05] if bit else []}, duration=10.0)
    at, bits = rec.bit("Q")
    assert (bits[at > 0.15] == bit).all()
    winner, loser = ("Q", "Qbar") if bit else ("Qbar", "Q")
    assert rec.spikes[loser].max(initial=0) < 0.15
    if not bit:
        assert rec.spikes["Q"].size == 0  # it starts silenced, too
    late = rec.spikes[winner][rec.spikes[winner] > 0.15]
    assert np.diff(late).max() < 0.02 and late[-1] > 9.98
    assert abs((late.size - 1) / (late[-1] - late[0]) - 63.0) < 4


@pytest.mark.parametrize("neurons", [2, 4])
@pytest.mark.parametrize("pulse", ["S", "R"])
def test_the_high_output_falls_before_the_low_one_rises(neurons: int, pulse: str) -> None:
    times = {"S": [0.3], "R": []} if pulse == "S" else {"S": [0.05], "R": [0.5]}
    rec = nf.simulate(sr_latch(neurons), times, duration=1.0)
    start = times[pulse][0]
    falling, rising = ("Qbar", "Q") if pulse == "S" else ("Q", "Qbar")
    # settled before: the rising one is silent
    assert not ((rec.spikes[rising] > start - 0.1) & (rec.spikes[rising] <= start)).any()
    last = rec.spikes[falling].max()
    first = rec.spikes[rising][rec.spikes[rising] > start].min()
    assert start - 0.02 < last < start + 0.005 < first < start + 0.08
    assert rec.spikes[rising][-1] > 0.98


@pytest.mark.parametrize("engine", ["numba", "torch"])
def test_both_fast_engines_and_the_given_inputs(engine: str) -> None:
    rec = nf.simulate(sr_latch(4), [{"S": [0.05]}, {"R": [0.05]}, {}], duration=0.25, engine=engine)
    assert [int(rec.bit("Q", trial)[1][-1]) for trial in range(3)] == [1, 0, 0]


def test_the_latch_with_neurons_of_ones_own() -> None:
    """Rest at -70 mV, other time constants; the drive given to the neuron does not count."""
    neuron = nf.LIF(
        tau_m=0.01,
        tau_e=0.01,
        tau_i=0.03,
        v_rest=-0.07,
        v_threshold=-0.05,
        v_reset=-0.07,
        drive=1.0,
    )
    circuit = sr_latch(neuron=neuron, drive=400 * pA, inhibition=300 * pA, pulse=3000 * pA)
    rec = nf.simulate(circuit, {"S": [0.2], "R": [0.7]}, duration=1.2)
    bits = rec.bit("Q")[1]
    assert [int(bits[round(t / 1e-4)]) for t in (0.19, 0.35, 0.69, 0.85, 1.19)] == [0, 1, 1, 0, 0]
    assert abs(rates(rec, 0.35, 0.7)[0] - firing_rate(neuron, 400 * pA)) < 4


# ------------------------------------------------------------------ the warning


@pytest.mark.parametrize(
    ("parameters", "numbers"),
    [
        ({"inhibition": 100 * pA}, r"17\.4 mV with I = 300 pA, and must be below .* of 15\.0 mV"),
        ({"drive": 200 * pA, "inhibition": 60 * pA}, r"16\.0 mV with I = 200 pA"),
        ({"drive": 140 * pA}, r"14\.0 mV with I = 140 pA"),
        ({"neurons": 4, "inhibition": 30 * pA}, r"mV with I = 303 pA"),
        ({"neurons": 4, "excitation": 60 * pA}, r"mV with I = 76 pA"),
    ],
)  # fmt: skip
def test_a_circuit_that_cannot_hold_warns_and_does_not_hold(
    parameters: dict[str, Any], numbers: str
) -> None:
    with pytest.warns(UserWarning, match=f"^sr_latch cannot hold a bit: .*{numbers}") as caught:
        circuit = sr_latch(**parameters)
    assert len(caught) == 1 and caught[0].filename == __file__
    rec = nf.simulate(circuit, {"S": [0.3], "R": [1.3]}, duration=2.3)
    set_to, reset_to = rates(rec, 0.4, 1.3), rates(rec, 1.4, 2.3)
    # nothing is remembered: after a set and after a reset the same two rates
    assert np.allclose(set_to, reset_to, atol=5) and abs(set_to[0] - set_to[1]) < 5


@pytest.mark.parametrize(
    "parameters", [{}, {"neurons": 4}, {"drive": 200 * pA, "inhibition": 150 * pA}]
)
def test_a_circuit_that_holds_does_not_warn(parameters: dict[str, Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sr_latch(**parameters)


@pytest.mark.parametrize("current", [200, 300, 400, 600])
def test_the_condition_predicts_the_circuit(current: float) -> None:
    """Away from threshold; within 5 mV of it the ripple of the inhibition decides."""
    told = set()
    for weight in (40, 80, 150, 300, 400):
        potential = loser_potential(NEURON, current * pA, weight * pA)
        if abs(potential - 0.015) < 5 * mV:
            continue
        rec = nf.simulate(
            latch(drive=current * pA, inhibition=weight * pA), {"S": [0.2]}, duration=1.2
        )
        q, qbar = rates(rec, 0.3, 1.2)
        assert can_latch(NEURON, current * pA, weight * pA) == (qbar == 0 and q > 0)
        told.add(qbar == 0)
    assert True in told


# ------------------------------------------------------------------ refusals


@pytest.mark.parametrize("neurons", [0, 1, 3, 6, -2, "2", None, True])
def test_numbers_of_neurons_refused(neurons: Any) -> None:
    with pytest.raises(ValueError, match=f"^sr_latch: neurons must be 2 or 4; got {neurons!r}"):
        sr_latch(neurons)


@pytest.mark.parametrize("neuron", [nf.DeltaLIF(), nf.LIF, "LIF", 3], ids=repr)
def test_other_neurons_refused(neuron: Any) -> None:
    with pytest.raises(TypeError, match="^sr_latch: neuron must be a nf.LIF; got "):
        sr_latch(neuron=neuron)


@pytest.mark.filterwarnings("ignore:sr_latch cannot hold a bit")
@pytest.mark.parametrize("name", ["drive", "inhibition", "pulse", "excitation", "delay"])
@pytest.mark.parametrize("value", [math.nan, "300 pA", True, [3e-10], -1e-10], ids=repr)
def test_parameters_refused_by_name(name: str, value: Any) -> None:
    """Also one that this number of neurons does not use. A drive may be negative."""
    for neurons in (2, 4):
        if name == "drive" and value == -1e-10:
            assert sr_latch(neurons, drive=value).populations[0].name == "Q"
            continue
        with pytest.raises((TypeError, ValueError), match=name):
            sr_latch(neurons, **{name: value})


def test_a_delay_below_one_step_is_refused_at_the_run() -> None:
    with pytest.raises(ValueError, match="axonal_delay must be 0 or at least one step of 0.0001 s"):
        nf.simulate(sr_latch(delay=5e-5), duration=0.01)
