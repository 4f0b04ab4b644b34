"""Recorded motion onto the plastic layer and the latch."""

from typing import Any

import numpy as np
import pytest

import neuroflip as nf
from neuroflip import rules
from neuroflip.data import WatchData, load_watch, send_on_delta
from neuroflip.sims.watch_plasticity import W_MAX, motion_circuit, watch_plasticity
from neuroflip.units import ms, pA

PLASTIC = "motion->layer"


@pytest.fixture(scope="module")
def watch() -> WatchData:
    try:
        return load_watch()
    except FileNotFoundError as absent:
        pytest.skip(str(absent))


@pytest.fixture(scope="module")
def rec(watch: WatchData) -> nf.Recording:
    """Ten seconds of the first recording."""
    scenario = watch_plasticity()
    return nf.simulate(scenario.circuit, scenario.inputs, duration=scenario.duration)


def test_the_scenario_is_driven_by_the_recording(watch: WatchData) -> None:
    scenario = watch_plasticity(7.5, recording=20)
    assert scenario.duration == 7.5 and scenario.record == ("v", PLASTIC)
    events = send_on_delta(watch.signals[20][:375], 50.0, 0.25 * watch.deviation())
    given: Any = scenario.inputs
    assert all(map(np.array_equal, given["motion"], events)) and len(given["motion"]) == 12
    assert sum(len(train) for train in events) > 100
    np.testing.assert_array_equal(given["S"], events[4])  # wy, ON
    np.testing.assert_array_equal(given["R"], events[10])


def test_the_circuit_is_as_described() -> None:
    circuit = motion_circuit()
    motion, within, *latch = circuit.projections
    assert isinstance(motion.rule, rules.PairSTDP) and motion.receptor == "excitatory"
    synapses = circuit.synapses(motion)
    assert synapses.pre.size == 120
    assert 0.2 * W_MAX <= synapses.weight.min() < synapses.weight.max() <= 0.8 * W_MAX
    assert 1 * ms <= synapses.axonal_delay.min() < synapses.axonal_delay.max() <= 5 * ms
    assert set(synapses.dendritic_delay) == {0.5 * ms}
    inhibition = circuit.synapses(within)
    assert within.receptor == "inhibitory" and inhibition.pre.size == 90
    assert (inhibition.pre != inhibition.post).all()
    whole = nf.circuits.sr_latch()
    assert tuple(latch) == whole.projections and circuit.populations[1:] == whole.populations


def test_a_seed_gives_the_weights_and_delays() -> None:
    assert motion_circuit(seed=3) == motion_circuit(seed=3)
    assert motion_circuit(seed=3) != motion_circuit(seed=4)


def test_the_layer_fires_at_plausible_rates(rec: nf.Recording) -> None:
    rates = np.array([len(train) for train in rec.trains("layer")]) / rec.duration
    assert 5 < rates.min() and rates.max() < 60
    assert rates.max() > 1.5 * rates.min()  # the neurons differ


def test_weights_rise_and_fall_between_their_bounds(rec: nf.Recording) -> None:
    start = rec.circuit.synapses(rec.circuit.projections[0]).weight
    end = rec.weights[PLASTIC]
    assert 0.1 < (end > start).mean() < 0.9
    assert np.sqrt(((end - start) ** 2).mean()) > 0.05 * W_MAX
    assert ((end <= 0) | (end >= W_MAX)).mean() < 0.1
    assert end.std() > 0.1 * W_MAX


def agreement(
    rec: nf.Recording, on: Any, off: Any, settled: float, trial: int = 0
) -> tuple[float, float, int]:
    """How often the bit is that of the last event: always, and once the sign has been the same
    for `settled` (s); and how often the sign changed. Read event by event."""
    times, bits = rec.bit("direction", trial)
    events = sorted([(float(t), 1) for t in on] + [(float(t), 0) for t in off])
    right = seen = right_settled = seen_settled = changes = 0
    sign, since = -1, 0.0
    for (start, event), (stop, _) in zip(events, [*events[1:], (rec.duration, 0)], strict=True):
        if event != sign:
            sign, since, changes = event, start, changes + 1
        # events lie on samples, well apart from the half steps taken here
        span = (times > start - 0.05 * ms) & (times < stop - 0.05 * ms)
        late = span & (times > since + settled - 0.05 * ms)
        right, seen = right + (bits[span] == sign).sum(), seen + span.sum()
        right_settled, seen_settled = (
            right_settled + (bits[late] == sign).sum(),
            seen_settled + late.sum(),
        )
    return right / seen, right_settled / seen_settled, changes


def test_the_bit_is_that_of_the_last_event(watch: WatchData, rec: nf.Recording) -> None:
    given: Any = watch_plasticity().inputs
    always, settled, changes = agreement(rec, given["S"], given["R"], 80 * ms)
    assert changes >= 10
    assert 0.9 < always < 1 and settled == 1
    # the settling time is short of no slack: the comparison can fail
    assert agreement(rec, given["S"], given["R"], 30 * ms)[1] < 1


@pytest.mark.slow
def test_the_bit_follows_every_recording(watch: WatchData) -> None:
    """The numbers of the docstring."""
    scenarios = [watch_plasticity(recording=r) for r in range(140)]
    rec = nf.simulate(scenarios[0].circuit, [s.inputs for s in scenarios], duration=10.0)
    found = []
    for trial, scenario in enumerate(scenarios):
        given: Any = scenario.inputs
        found.append(agreement(rec, given["S"], given["R"], 80 * ms, trial))
    always, settled, _ = np.array(found).T
    assert (settled == 1).all()
    assert 0.93 < always.mean() < 0.95 and always.min() > 0.85 and always.max() < 0.975
    rates = [len(t) / 10 for trial in range(140) for t in rec.trains("layer", trial)]
    assert 5 < min(rates) and max(rates) < 60
    end = rec.weights[PLASTIC]
    start = rec.circuit.synapses(rec.circuit.projections[0]).weight
    assert 0.6 < (end > start).mean() < 0.68
    assert ((end <= 0) | (end >= W_MAX)).mean() < 0.03


@pytest.mark.parametrize("engine", ["torch", "brian2"])
def test_engines_agree(engine: str, watch: WatchData) -> None:
    scenario = watch_plasticity(0.6, recording=33)
    runs = [
        nf.simulate(
            scenario.circuit, scenario.inputs, duration=0.6, record=scenario.record, engine=name
        )
        for name in ("numba", engine)
    ]
    one, other = runs
    for population in one.spikes:
        np.testing.assert_array_equal(one.spikes[population], other.spikes[population])
        np.testing.assert_array_equal(one.neurons[population], other.neurons[population])
    assert min(times.size for times in one.spikes.values()) > 10  # of layer, Q and Qbar
    history = one.weight_history[PLASTIC]
    assert np.abs(history[-1] - history[0]).max() > 0.1 * W_MAX
    np.testing.assert_allclose(other.weight_history[PLASTIC], history, rtol=0, atol=1e-12 * W_MAX)
    for name, trace in one.traces.items():
        np.testing.assert_allclose(other.traces[name], trace, rtol=0, atol=1e-12 * 15e-3)


def test_a_run_may_end_on_a_sample(watch: WatchData) -> None:
    for duration in (0.1 + 0.2, 0.3, 0.02, 0.0201):
        scenario = watch_plasticity(duration, recording=77)
        rec = nf.simulate(scenario.circuit, scenario.inputs, duration=scenario.duration)
        assert rec.duration == duration
    longest = len(watch.signals[5]) / 50
    given: Any = watch_plasticity(longest, recording=5).inputs
    assert max(train.max() for train in given["motion"]) > longest - 1


def test_the_rule_may_be_another(watch: WatchData) -> None:
    assert watch_plasticity(rule="none").record == ("v",)
    rule = rules.PairSTDP(w_max=100 * pA, a_plus=0.02)
    projection = motion_circuit(rule=rule).projections[0]
    assert projection.rule is rule and projection.weight.max() <= 80 * pA
    named = motion_circuit().projections[0].rule
    assert named == rules.PairSTDP(w_max=600 * pA, tau_minus=34 * ms)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"recording": 140}, "recording must be a whole number, 0 to 139; got 140"),
        ({"recording": -1}, "recording must be a whole number, 0 to 139; got -1"),
        ({"recording": 1.5}, "recording must be a whole number, 0 to 139; got 1.5"),
        ({"recording": True}, "recording must be a whole number, 0 to 139; got True"),
        ({"duration": 26.68}, r"at most 26.66 s, the length of recording 0; got 26.68"),
        ({"duration": 0.0}, "duration must be above 0 s"),
        ({"duration": float("nan")}, "duration must be a finite number"),
    ],
)
def test_what_the_scenario_refuses(
    parameters: dict[str, Any], message: str, watch: WatchData
) -> None:
    with pytest.raises(ValueError, match=f"watch_plasticity: .*{message}"):
        watch_plasticity(**parameters)


def test_what_the_circuit_refuses() -> None:
    with pytest.raises(ValueError, match="seed must be a whole number, at least 0; got -1"):
        motion_circuit(seed=-1)
    with pytest.raises(ValueError, match="there is no rule 'PairSTPD'; did you mean 'PairSTDP'"):
        motion_circuit(rule="PairSTPD")


def test_absent_data_says_what_to_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.setenv("NEUROFLIP_CACHE", str(tmp_path_factory.mktemp("empty")))
    with pytest.raises(FileNotFoundError, match="run: neuroflip data fetch watch"):
        watch_plasticity()
