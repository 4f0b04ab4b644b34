"""The comparison: it passes what agrees, and catches what does not."""

import dataclasses
import json

import numpy as np
import pytest

import neuroflip as nf
from neuroflip import rules
from neuroflip.compare import report_of
from neuroflip.engines import numba as numba_engine
from neuroflip.engines.plan import make_plan
from neuroflip.units import ms, mV

PULSES = {"S": [50 * ms], "R": [350 * ms]}


def test_the_latch_agrees_on_all_engines() -> None:
    report = nf.compare(nf.circuits.sr_latch(), PULSES, duration=0.6)
    assert report.ok
    assert report.spike_mismatches == 0
    assert report.first_divergence is None
    assert report.reference == "brian2"
    assert max(report.max_abs_error.values()) < 1e-15
    assert 1e-9 < report.threshold_margin < 1e-3
    assert len(set(report.spikes.values())) == 1 and report.spikes["numba"] > 20
    assert {"Q.v", "Qbar.v"} == set(report.max_abs_error)


@pytest.mark.parametrize("coefficient", ["decay_inh", "to_rest", "from_inh", "v_drive"])
def test_a_coefficient_wrong_by_a_millionth_is_caught(monkeypatch, coefficient: str) -> None:
    def detuned(circuit: nf.Circuit, dt: float):
        plan = make_plan(circuit, dt)
        [group] = plan.groups
        constants = dict(group.constants)
        constants[coefficient] = constants[coefficient] * (1 + 1e-6)
        return dataclasses.replace(plan, groups=(dataclasses.replace(group, constants=constants),))

    monkeypatch.setattr(numba_engine, "make_plan", detuned)
    report = nf.compare(
        nf.circuits.sr_latch(), PULSES, duration=0.4, engines=("numba", "torch", "brian2")
    )
    assert not report.ok
    assert report.first_divergence is not None
    assert report.first_divergence["engine"] == "numba"
    assert "DIFFER" in str(report)


def test_a_spike_too_many_and_one_too_few() -> None:
    one = nf.simulate(nf.circuits.sr_latch(), PULSES, duration=0.4)
    moved = one.spikes["Qbar"].copy()
    moved[1] += 2 * one.dt
    other = dataclasses.replace(one, engine="torch", spikes={**one.spikes, "Qbar": moved})
    report = report_of({"numba": one, "torch": other})
    assert not report.ok
    assert report.spike_mismatches == 2
    assert report.first_divergence == {
        "time": pytest.approx(one.spikes["Qbar"][1]),
        "engine": "torch",
        "trial": 0,
        "population": "Qbar",
        "neuron": 0,
        "fired_in": "numba",
    }


def test_a_trace_and_a_weight_that_differ() -> None:
    one = nf.simulate(nf.circuits.sr_latch(), duration=0.1, record="v")
    trace = one.traces["Q.v"].copy()
    trace[700] += 1e-12
    other = dataclasses.replace(one, traces={**one.traces, "Q.v": trace})
    report = report_of({"numba": one, "torch": other})
    assert not report.ok and report.spike_mismatches == 0
    assert report.max_abs_error["Q.v"] == pytest.approx(1e-12, rel=1e-3)
    assert report.first_divergence is not None
    assert report.first_divergence["time"] == pytest.approx(70 * ms)
    assert report.first_divergence["quantity"] == "Q.v"


def test_nan_is_no_agreement() -> None:
    one = nf.simulate(nf.circuits.sr_latch(), duration=0.01, record="v")
    broken = {name: np.full_like(trace, np.nan) for name, trace in one.traces.items()}
    for pair in ((one, dataclasses.replace(one, traces=broken)),):
        assert not report_of({"numba": pair[0], "torch": pair[1]}).ok
        assert not report_of({"numba": pair[1], "torch": pair[0]}).ok


def test_weights_are_always_compared() -> None:
    circuit = nf.Circuit(
        "plastic",
        [nf.Population("out", nf.DeltaLIF())],
        [nf.Projection("in", "out", 10 * mV, rule=rules.PairSTDP(w_max=20 * mV))],
        [nf.PoissonInput("in", rate=200, size=5)],
    )
    report = nf.compare(circuit, duration=0.2, record="in->out", engines=("numba", "torch"))
    assert report.ok
    assert set(report.max_abs_error) == {"in->out", "in->out over time"}
    numba = report.recordings["numba"]
    moved = dataclasses.replace(numba, weights={"in->out": numba.weights["in->out"] + 1e-13})
    assert not report_of({"numba": numba, "torch": moved}).ok


def test_the_json_has_the_documented_keys() -> None:
    report = nf.compare(nf.circuits.sr_latch(), duration=0.01, engines=("numba", "torch"))
    data = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert set(data) == {
        "ok", "engines", "reference", "duration", "dt", "spikes", "spike_mismatches",
        "first_divergence", "max_abs_error", "tolerance", "threshold_margin", "versions",
    }  # fmt: skip
    assert data["engines"] == ["numba", "torch"]
    assert data["versions"]["neuroflip"] == nf.__version__


@pytest.mark.parametrize(
    ("engines", "message"),
    [
        (("numba",), "two or more different engines; got \\('numba',\\)"),
        (("numba", "numba"), "two or more different engines"),
        (("numba", "brain2"), "unknown engine 'brain2'; did you mean 'brian2'"),
    ],
)
def test_engines_are_refused(engines: tuple[str, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        nf.compare(nf.circuits.sr_latch(), duration=0.01, engines=engines)


def test_options_of_an_unknown_engine_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown engine 'brain'"):
        nf.compare(nf.circuits.sr_latch(), duration=0.01, options={"brain": {}})
