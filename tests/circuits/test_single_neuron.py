"""Latches of one neuron: rest in closed form, both states, pulses in every phase."""

import math
import warnings
from typing import Any

import numpy as np
import pytest

import neuroflip as nf
from neuroflip.circuits.single_neuron import (
    izhikevich_latch,
    izhikevich_rest,
    keeps_firing,
    mqif_latch,
    mqif_rest,
)
from neuroflip.neurons.izhikevich import Izhikevich
from neuroflip.neurons.mqif import MQIF
from neuroflip.units import ms, mV, pA

BUILD = {"mqif_latch": mqif_latch, "izhikevich_latch": izhikevich_latch}
SETTLE = {"mqif_latch": 0.06, "izhikevich_latch": 0.13}


@pytest.mark.parametrize("name", BUILD)
@pytest.mark.parametrize("seed", range(4))
def test_random_pulse_programs(name: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    times = 0.2 + np.cumsum(rng.uniform(0.15, 0.6, 20))
    which = rng.choice(["S", "R"], 20)
    duration = float(np.ceil(times[-1] + 0.5))
    rec = nf.simulate(BUILD[name](), {k: times[which == k] for k in ("S", "R")}, duration=duration)
    at, bits = rec.bit("Q")
    assert not bits[at < times[0]].any()
    for start, stop, pulse in zip(times, [*times[1:], duration], which, strict=True):
        held = bits[(at > start + SETTLE[name]) & (at < stop)]
        assert held.size and (held == int(pulse == "S")).all(), (start, pulse)


@pytest.mark.parametrize("name", BUILD)
@pytest.mark.parametrize("dt", [5e-5, 1e-4])
def test_pulses_in_every_phase(name: str, dt: float) -> None:
    """R stops the neuron and S does not, wherever in the interval between spikes they come."""
    starts = np.round(0.6 + np.linspace(0, 0.05, 60), 4)
    trials = [{"S": [0.1], "R": [t]} for t in starts] + [{"S": [0.1, t]} for t in starts]
    rec = nf.simulate(BUILD[name](), trials, duration=1.2, dt=dt)
    late = np.bincount(rec.trials["Q"][rec.spikes["Q"] > 0.9], minlength=len(trials))
    assert (late[:60] == 0).all() and (late[60:] > 5).all()


@pytest.mark.parametrize("name", BUILD)
def test_ten_seconds_without_input(name: str) -> None:
    rec = nf.simulate(BUILD[name](), [{}, {"S": [0.1]}], duration=10.0, record="v",
                      record_every=1e-2)  # fmt: skip
    assert (rec.trials["Q"] == 1).all()
    intervals = np.diff(rec.spikes["Q"][rec.spikes["Q"] > 1])
    assert np.ptp(intervals) <= 2.01e-4 and rec.spikes["Q"][-1] > 9.95
    assert np.ptp(rec.traces["Q.v"][0]) < 1e-9  # it starts at rest


@pytest.mark.parametrize("name", BUILD)
def test_all_engines_agree(name: str) -> None:
    given = {"S": [0.01, 0.1], "R": [0.06]}
    report = nf.compare(BUILD[name](), given, duration=0.12)
    assert report.ok and report.spikes["brian2"] >= 2, report


@pytest.mark.slow
@pytest.mark.parametrize("name", BUILD)
def test_all_engines_agree_for_five_seconds(name: str) -> None:
    rng = np.random.default_rng(1)
    times = np.sort(rng.choice(50_000, 20, replace=False)) * 1e-4
    report = nf.compare(BUILD[name](), {"S": times[::2], "R": times[1::2]}, duration=5.0)
    assert report.ok, report


# ------------------------------------------------------------------ rest, and firing


def stays_at(neuron: Any, rest: dict[str, float]) -> bool:
    """Whether a neuron put 0.05 mV beside a point is nearer to it after 3 s."""
    start = rest | {"v": rest["v"] + 0.05 * mV}
    circuit = nf.Circuit("one", [nf.Population("A", neuron, initial=start)])
    rec = nf.simulate(circuit, duration=3.0, record="v")
    return rec.spikes["A"].size == 0 and abs(rec.traces["A.v"][-1, 0] - rest["v"]) < 0.02 * mV


@pytest.mark.parametrize("drive", [-10, 0, 10, 23, 45, 50, 80])
def test_rest_of_mqif(drive: float) -> None:
    """0.8 v^2 + 66 v + 1355 + I/100 pA = 0 has roots to I = 6.25 x 100 pA/1000 ..., by the
    discriminant; the lower root attracts."""
    neuron = MQIF(drive=drive * pA)
    square = 66**2 - 4 * 0.8 * (1355 + drive / 100)
    assert square > 0
    v = (-66 - math.sqrt(square)) / 1.6
    rest = mqif_rest(neuron)
    assert rest is not None and math.isclose(rest["v"], v * mV) and rest["v_s"] == rest["v"]
    assert stays_at(neuron, rest)


def test_no_rest_of_mqif() -> None:
    assert mqif_rest(MQIF(drive=620 * pA)) is not None
    assert mqif_rest(MQIF(drive=630 * pA)) is None  # 66^2 = 3.2 (1355 + 6.25)
    assert mqif_rest(MQIF(g_u=1e-5, v_u0=-35 * mV, drive=100 * pA)) is not None


@pytest.mark.parametrize("drive", [-5, 0, 1, 2.4])
def test_rest_of_izhikevich(drive: float) -> None:
    neuron = Izhikevich(a=0.1 / ms, b=0.26, c=-60 * mV, d=0, drive=drive * pA)
    rest = izhikevich_rest(neuron)
    assert rest is not None
    v = rest["v"] / mV
    assert abs(0.04 * v * v + (5 - 0.26) * v + 140 + drive / 10) < 1e-9
    assert stays_at(neuron, rest)


def test_no_rest_of_izhikevich() -> None:
    """a = 0.1/ms, b = 0.26: unstable from v = -61.25 mV, I = 0.2625."""
    for drive, found in ((2.6, True), (2.65, False)):
        neuron = Izhikevich(a=0.1 / ms, b=0.26, c=-60 * mV, d=0, drive=drive * pA)
        assert (izhikevich_rest(neuron) is not None) == found
    assert izhikevich_rest(Izhikevich(drive=100 * pA)) is None


@pytest.mark.parametrize(
    "neuron",
    [MQIF(drive=d * pA) for d in (-30, 0, 15, 30, 100)]
    + [Izhikevich(a=100, b=0.26, c=-60 * mV, d=0, drive=d * pA) for d in (0, 1, 2.4, 4)]
    + [Izhikevich(drive=d * pA) for d in (0, 100)],
)
def test_keeps_firing_is_what_the_engine_does(neuron: Any) -> None:
    state = dict.fromkeys(neuron.model().variables, 0.0) | {"v": -20 * mV}
    state |= {"v_s": -44 * mV, "v_u": -44 * mV} if "v_s" in state else {"u": -16 * mV}
    circuit = nf.Circuit("one", [nf.Population("A", neuron, initial=state)])
    spikes = nf.simulate(circuit, duration=1.0).spikes["A"]
    assert spikes.size > 0
    assert keeps_firing(neuron, state, 1.0) == bool((spikes > 0.8).any())


# ------------------------------------------------------------------ warnings


@pytest.mark.parametrize(
    ("build", "neuron", "message"),
    [
        (mqif_latch, MQIF(drive=0.0), "mqif_latch cannot hold a 1: after a pulse of 2"),
        (mqif_latch, MQIF(drive=700 * pA), "mqif_latch cannot hold a 0: .* stable rest .* 700 pA"),
        (izhikevich_latch, Izhikevich(), "izhikevich_latch cannot hold a 1: after a pulse of 2"),
        (izhikevich_latch, Izhikevich(drive=100 * pA), "izhikevich_latch cannot hold a 0"),
    ],
    ids=["mqif rests", "mqif fires", "izhikevich rests", "izhikevich fires"],
)
def test_a_neuron_with_one_state_warns_and_does_not_hold(
    build: Any, neuron: Any, message: str
) -> None:
    with pytest.warns(UserWarning, match=f"^{message}") as caught:
        circuit = build(neuron=neuron)
    assert caught[0].filename == __file__
    rec = nf.simulate(circuit, {"S": [0.5], "R": [1.0]}, duration=2.0)
    late = [bool(((rec.spikes["Q"] > t) & (rec.spikes["Q"] < t + 0.2)).any()) for t in (0.8, 1.8)]
    assert late[0] == late[1]  # set or reset, it does the same


def test_refusals() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for build in BUILD.values():
            build()
    with pytest.raises(TypeError, match="^mqif_latch: neuron must be a nf.MQIF; got LIF"):
        mqif_latch(neuron=nf.LIF())  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="^izhikevich_latch: neuron must be a nf.Izhikevich"):
        izhikevich_latch(neuron=nf.LIF())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="^mqif_latch: reset_pulse must be at least 0 A"):
        mqif_latch(reset_pulse=-1 * pA)
    with pytest.raises(TypeError, match="^izhikevich_latch: set_pulse must be one number in V"):
        izhikevich_latch(set_pulse="20 mV")  # type: ignore[arg-type]
