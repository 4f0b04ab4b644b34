"""The Brian2 engine: equal time constants, isolation, targets, queues in the dendrite."""

import subprocess
import sys
from pathlib import Path

import brian2 as b2
import mpmath
import numpy as np
import pytest
from brian2.core.base import BrianObjectException
from brian2.devices.device import reset_device

import neuroflip as nf
from neuroflip import rules
from neuroflip.engines import brian2 as engine
from neuroflip.units import ms, mV, nA, pA


def one_neuron(neuron: nf.LIF, **options: object) -> nf.Recording:
    circuit = nf.Circuit(
        "one",
        [nf.Population("A", neuron)],
        [nf.Projection("in", "A", 0.3 * nA, "inhibitory")],
        [nf.SpikeInput("in")],
    )
    return nf.simulate(circuit, {"in": [0.0]}, duration=20 * ms, record="v", **options)


@pytest.mark.parametrize("ratio", [1.0, 1 + 1e-12, 1 - 1e-9, 1 + 1e-6, 1 + 1e-3, 1.1, 2.0, 0.01])
@pytest.mark.parametrize("name", nf.ENGINES)
def test_the_current_kernel_near_equal_time_constants(name: str, ratio: float) -> None:
    """v(t) = -R w tau_s/(tau_s - tau_m) (exp(-t/tau_s) - exp(-t/tau_m)), in 50 digits."""
    neuron = nf.LIF(tau_i=20 * ms * ratio)
    v = one_neuron(neuron, engine=name).traces["A.v"][:, 0]
    with mpmath.workdps(50):
        tau_m, tau_s = mpmath.mpf(neuron.tau_m), mpmath.mpf(neuron.tau_i)
        scale = mpmath.mpf(neuron.resistance) * mpmath.mpf(0.3 * nA)
        dt = mpmath.mpf(0.1 * ms)
        expected = []
        for k in range(200):
            t = max(k - 1, 0) * dt  # the spike is received at the end of step 0
            if tau_m == tau_s:
                shape = t / tau_m * mpmath.exp(-t / tau_m)
            else:
                difference = mpmath.exp(-t / tau_s) - mpmath.exp(-t / tau_m)
                shape = tau_s / (tau_s - tau_m) * difference
            expected.append(float(-scale * shape))
    # Brian2's symbolic solution subtracts exponentials, which costs it a digit or two
    assert np.max(np.abs(v - expected)) < (1e-14 if name == "brian2" else 1e-16)


def test_brian2s_own_integrator_is_used_where_it_is_sound(monkeypatch) -> None:
    """With well separated rates the reference does not touch our matrix exponential."""

    def refuse(*arguments: object) -> None:
        raise AssertionError("the matrix exponential was used")

    monkeypatch.setattr(engine._Propagation, "__call__", refuse)
    one_neuron(nf.LIF(tau_i=5 * ms), engine="brian2")
    with pytest.raises(BrianObjectException) as caught:
        one_neuron(nf.LIF(tau_i=20 * ms), engine="brian2")
    assert "the matrix exponential was used" in str(caught.value.__cause__)


def test_a_users_own_brian2_is_left_alone() -> None:
    """Names, clock, preferences and magic objects of the caller neither matter nor change."""
    tau_m_n, v_threshold_n, w_s, second, v = 5 * b2.ms, 7, 3, 4, "x"  # noqa: F841
    tau = 10 * b2.ms  # noqa: F841
    before = b2.prefs.codegen.target, b2.defaultclock.dt
    try:
        b2.prefs.codegen.target = "numpy"
        b2.defaultclock.dt = 0.5 * b2.ms
        mine = b2.NeuronGroup(1, "dv/dt = (2 - v)/tau : 1", threshold="v > 1", reset="v = 0",
                              method="exact")  # fmt: skip
        spikes = b2.SpikeMonitor(mine)
        options = {"duration": 60 * ms, "record": "v"}
        recorded = nf.simulate(nf.circuits.sr_latch(), engine="brian2", **options)
        expected = nf.simulate(nf.circuits.sr_latch(), engine="numba", **options)
        assert np.max(np.abs(recorded.traces["Q.v"] - expected.traces["Q.v"])) < 1e-15
        assert recorded.dt == 0.1 * ms
        assert b2.prefs.codegen.target == "numpy"
        assert b2.defaultclock.dt == 0.5 * b2.ms
        b2.run(50 * b2.ms)
        # crosses 1 after tau ln 2 = 6.93 ms, in the step that begins at 6.5 ms; then every 7 ms
        assert np.allclose(spikes.t / b2.ms, np.arange(6.5, 50, 7))
    finally:
        b2.prefs.codegen.target, b2.defaultclock.dt = before


def test_a_failed_run_puts_brian2_back(monkeypatch) -> None:
    before = b2.prefs.codegen.target

    def fail(self: object) -> None:
        raise RuntimeError("in the middle")

    monkeypatch.setattr(engine._Network, "run", fail)
    with pytest.raises(RuntimeError, match="in the middle"):
        nf.simulate(nf.circuits.sr_latch(), duration=1 * ms, engine="brian2")
    assert b2.prefs.codegen.target == before


def test_a_standalone_device_of_the_user_is_refused() -> None:
    b2.set_device("cpp_standalone", build_on_run=False)
    try:
        with pytest.raises(RuntimeError, match="runtime device"):
            nf.simulate(nf.circuits.sr_latch(), duration=1 * ms, engine="brian2")
    finally:
        reset_device()


def test_unknown_target() -> None:
    with pytest.raises(ValueError, match="unknown target 'cyton'; did you mean 'cython'"):
        nf.simulate(nf.circuits.sr_latch(), duration=1 * ms, engine="brian2", target="cyton")


@pytest.mark.slow
@pytest.mark.parametrize("target", ["cython", "cpp_standalone"])
def test_compiled_targets(target: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    circuit = nf.Circuit(
        "plastic",
        [nf.Population("A", nf.LIF(drive=200 * pA), size=3)],
        [
            nf.Projection("in", "A", 0.5, "excitatory", rule=rules.PairSTDP(),
                          axonal_delay=1 * ms, dendritic_delay=2 * ms),
            nf.Projection("A", "A", 20 * pA, "inhibitory", axonal_delay=1 * ms),
        ],
        [nf.SpikeInput("in"), nf.CurrentInput("I", "A")],
    )  # fmt: skip
    report = nf.compare(
        circuit,
        {"in": [10 * ms, 11 * ms, 40 * ms], "I": [(0.0, 50 * ms, 50 * pA)]},
        duration=100 * ms,
        engines=("numba", "brian2"),
        record=("v", "i_exc", "in->A"),
        options={"brian2": {"target": target}},
    )
    assert report.ok, report
    assert report.spikes["brian2"] > 10
    assert list(tmp_path.iterdir()) == []  # nothing is left where the user stands


def test_many_spikes_at_once_in_a_dendrite() -> None:
    """A spike every step, 30 steps of dendrite, a weight that changes at every one."""
    circuit = nf.Circuit(
        "dendrite",
        [nf.Population("A", nf.DeltaLIF(refractory=0.0), initial={"v": 0.0})],
        [
            nf.Projection("in", "A", 1.0 * mV, dendritic_delay=3 * ms, axonal_delay=0.2 * ms,
                          rule=rules.PairSTDP(a_minus=0.05, a_plus=0.1, w_max=2 * mV)),
            nf.Projection("kick", "A", 20 * mV),
        ],
        [nf.SpikeInput("in"), nf.SpikeInput("kick")],
    )  # fmt: skip
    train = np.arange(5, 195) * 0.1 * ms
    report = nf.compare(
        circuit, {"in": train, "kick": train[::7]}, duration=20 * ms, record=("v", "in->A")
    )
    assert report.ok, report
    history = report.recordings["brian2"].weight_history["in->A"]
    assert np.unique(history).size > 30


def test_trials_follow_their_own_inputs() -> None:
    inputs = [{"S": [5 * ms]}, {"R": [7 * ms]}, {}]
    report = nf.compare(nf.circuits.sr_latch(), inputs, duration=80 * ms)
    assert report.ok, report
    counts = [len(report.recordings["brian2"].trains("Q", trial)[0]) for trial in range(3)]
    assert len(set(counts)) > 1


def test_errors_of_the_user_are_not_reported_as_brian2s() -> None:
    """Importing Brian2 replaces sys.excepthook; a run puts the user's back."""
    program = """
import sys
import neuroflip as nf
hook = sys.excepthook
nf.simulate(nf.circuits.sr_latch(), duration=1e-4, engine="brian2")
assert "brian2" in sys.modules and sys.excepthook is hook
"""
    subprocess.run([sys.executable, "-c", program], check=True)
