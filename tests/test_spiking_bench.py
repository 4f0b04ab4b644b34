"""The workloads of the benchmark are the same networks in neuroflip and in plain Brian2."""

from typing import Any

import numpy as np
import pytest

import neuroflip as nf
from neuroflip.bench import spiking, spiking_report
from neuroflip.bench.workloads import (
    WORKLOADS,
    draw_recurrent,
    noise_currents,
    results,
    scaling_sizes,
    synaptic_events,
)
from neuroflip.sims import brian2_workloads

SMALL: dict[str, dict[str, Any]] = {
    "latch": {"copies": 1, "noise_sd": 0.0, "period": 0.2, "duration": 0.6},
    "sweep": {"copies": 8, "noise_sd": 2e-3, "period": 0.1, "duration": 0.35},
    "cuba": {"neurons": 400, "p": 0.2, "duration": 0.15},
    "stdp": {"inputs": 1000, "rate": 15.0, "duration": 1.0},
    "recurrent": {"neurons": 200, "p": 0.3, "duration": 0.3},
    "big": {"neurons": 1000, "p": 0.3, "duration": 0.05},
}


def _ran(name: str) -> tuple[dict[str, Any], nf.Recording]:
    workload = WORKLOADS[name]
    arrays = workload.draw(**SMALL[name])
    task = workload.declare(arrays)
    return arrays, nf.simulate(
        task.circuit, task.inputs, duration=task.duration, trials=task.trials
    )


@pytest.mark.parametrize("name", SMALL)
def test_same_as_plain_brian2(name: str) -> None:
    arrays, recording = _ran(name)
    ours = results(recording)
    if name == "sweep":
        arrays["noise"] = noise_currents(recording)
    theirs = brian2_workloads.run(WORKLOADS[name].script, arrays)
    assert ours["steps"].size > 30
    assert np.array_equal(ours["steps"], theirs["steps"])
    assert np.array_equal(ours["neurons"], theirs["neurons"])
    plastic = name in ("stdp", "recurrent", "big")
    assert ours["weights"].size == (arrays["w"].size if plastic else 0)
    if plastic:
        assert np.abs(ours["weights"] - theirs["weights"]).max() < 1e-12 * arrays["w"].max()
        assert np.abs(ours["weights"] - arrays["w"]).max() > 1e-3 * arrays["w"].max()
    compared = spiking._compared(ours, theirs)
    assert compared["same_spikes"] and compared["first_difference_s"] is None
    assert (compared["weights_differ"] is not None) == plastic


def test_brian2_with_noise_of_its_own_is_alike() -> None:
    arrays, recording = _ran("sweep")
    own = brian2_workloads.run("sweep", arrays)
    ours = results(recording)
    assert not np.array_equal(own["steps"], ours["steps"])
    assert own["steps"].size == pytest.approx(ours["steps"].size, rel=0.2)


def test_each_pair_is_joined_with_the_same_probability() -> None:
    arrays = draw_recurrent(neurons=500, p=0.1, duration=0.1)
    pre, post = arrays["ee_pre"].astype(int), arrays["ee_post"].astype(int)
    flat = pre * 400 + post
    assert np.all(np.diff(flat) > 0)  # sorted, no pair twice
    assert pre.max() < 400 and post.max() < 400
    assert abs(pre.size - 16_000) < 5 * np.sqrt(160_000 * 0.1 * 0.9)
    for index in (pre, post):  # each neuron has Binomial(400, 0.1): mean 40, sd 6
        counts = np.bincount(index, minlength=400)
        assert abs(counts.std() - 6) < 1
    inhibitory = arrays["inh_pre"]
    assert inhibitory.min() >= 400 and arrays["inh_post"].max() == 499


def test_scaling_sizes() -> None:
    arrays = draw_recurrent(**scaling_sizes(1e5))
    assert arrays["v"].size == 500
    assert arrays["w"].size == pytest.approx(1e5, rel=0.01)


def test_synaptic_events_are_counted() -> None:
    arrays = {
        "v": np.zeros(3),
        "ee_pre": np.array([0, 0, 1]),
        "ee_post": np.array([0, 1, 1]),
        "inh_pre": np.array([2, 2]),
        "inh_post": np.array([0, 1]),
    }
    # Neuron 0: two synapses out, one plastic in; neuron 1: one and two; neuron 2: two out
    assert [synaptic_events(arrays, np.array([i])) for i in range(3)] == [3, 3, 2]
    assert synaptic_events(arrays, np.array([0, 0, 2])) == 8
    assert synaptic_events({"w": np.zeros(3)}, np.array([0])) == 0


def _spikes(steps: list[int], neurons: list[int], weights: list[float]) -> dict[str, Any]:
    return {"steps": np.array(steps), "neurons": np.array(neurons), "weights": np.array(weights)}


def test_differences_are_found() -> None:
    one = _spikes([1, 5, 9], [0, 1, 0], [1.0, 2.0])
    same = spiking._compared(one, _spikes([1, 5, 9], [0, 1, 0], [1.0, 2.5]))
    assert same["same_spikes"] and same["weights_differ"] == 0.25
    other = spiking._compared(one, _spikes([1, 4, 9], [0, 1, 0], [1.0, 2.0]))
    assert not other["same_spikes"]
    assert other["first_difference_s"] == pytest.approx(4e-4)
    missing = spiking._compared(one, _spikes([1, 5], [0, 1], [1.0, 2.0]))
    assert missing["first_difference_s"] == pytest.approx(9e-4)
    assert spiking._worse(same, other) is other


def _start(total: float, script: float, **more: Any) -> dict[str, Any]:
    return {"total_s": total, "script_s": script, "peak_bytes": 100 * 2**20, "spikes": 7} | more


def _result() -> dict[str, Any]:
    starts = {
        "neuroflip": [
            _start(4.0, 3.0, loop_s=9.0, call_s=9.0, setup_s=0.1),
            _start(1.0, 0.75, loop_s=0.25, call_s=0.5, setup_s=0.25),
        ],
        "neuroflip, 2 threads": [{"error": "no such thing"}],
        "Brian2 C++": [
            _start(30.0, 29.0, loop_s=0.4, program_peak_bytes=200 * 2**20),
            _start(8.0, 5.0, loop_s=0.4),
            _start(10.0, 5.4, loop_s=0.6),
        ],
    }
    systems = {name: spiking._summary(found) for name, found in starts.items()}
    agreement = {
        "Brian2 C++": {
            "same_spikes": True, "spikes": 7, "first_difference_s": None, "weights_differ": 2e-16,
        },
        "Brian2 numpy, same noise, 3 copies": {
            "same_spikes": False, "spikes": 7, "first_difference_s": 0.1, "weights_differ": None,
        },
    }  # fmt: skip
    ratios = spiking._ratios(systems)
    big = {
        "about": "a network", "sizes": {"duration": 0.2}, "rate_hz": 12.5, "spikes": 7,
        "events": 1000, "systems": systems, "agreement": agreement, "ratios": ratios,
    }  # fmt: skip
    rows = [
        {
            "synapses": n, "neurons": n // 200, "events": 10 * n, "loop_s": 2e-7 * n,
            "call_s": 3e-7 * n, "ns_per_event": 20.0, "bare_ns_per_event": 2.0, "peak_bytes": 2**20,
        }
        for n in (1000, 10_000)
    ]  # fmt: skip
    return {
        "quick": True,
        "workloads": {"big": big},
        "geometric_mean": spiking._geometric_means([ratios, ratios]),
        "scaling": {"rows": rows, "exponent": spiking._exponent(rows)},
    }


def test_medians_and_ratios() -> None:
    result = _result()
    big = result["workloads"]["big"]
    assert big["systems"]["Brian2 C++"]["second"]["total_s"] == 9.0
    assert big["systems"]["Brian2 C++"]["second"]["build_s"] == pytest.approx(4.7)
    assert big["systems"]["neuroflip"]["first"]["build_s"] == 2.75
    assert big["systems"]["neuroflip, 2 threads"] == {"error": "no such thing"}
    pair = "neuroflip / Brian2 C++"
    expected = {"loop": 0.5, "call": 1.0, "start": 1 / 9, "memory": 0.5}
    assert big["ratios"] == {pair: pytest.approx(expected)}
    assert result["geometric_mean"] == {pair: pytest.approx(expected)}
    assert result["scaling"]["exponent"] == pytest.approx(1.0)


def test_geometric_mean() -> None:
    each = [{"a / b": {"loop": 0.2}}, {"a / b": {"loop": 0.8}}]
    assert spiking._geometric_means(each) == {"a / b": {"loop": pytest.approx(0.4)}}


def test_report() -> None:
    text = spiking_report.report(_result())
    for part in (
        "the ratios mean nothing",
        "big: a network, 0.2 s, 12.5 Hz",
        "the same 7 spikes, weights to 2e-16",
        "no such thing",
        "100 + 200",
        "Brian2 numpy, same noise, 3 copies: differ from 0.1 s on",
        "geometric mean",
        "0.500 1.000 0.111 0.500",
        "events to the 1.00",
        "10,000",
    ):
        assert part in " ".join(text.split()), part
    assert max(map(len, text.splitlines())) <= 160


def test_scaling_is_drawn(tmp_path: Any) -> None:
    result = _result()
    figure = spiking_report.draw_scaling(result, tmp_path / "scaling.svg")
    labels = [line.get_label() for line in figure.axes[0].lines]
    assert labels == [
        "neuroflip",
        "neuroflip, 5,000 to 20,000 neurons",
        "Brian2 C++, 5,000 to 20,000 neurons",
        "20 ns an event",
    ]
    assert (tmp_path / "scaling.svg").stat().st_size > 1000
    with pytest.raises(ValueError, match='no "scaling"'):
        spiking_report.draw_scaling(result | {"scaling": None})


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown workload 'cubba'; did you mean 'cuba'"):
        spiking.bench(["cubba"])
    with pytest.raises(ValueError, match="rounds must be a whole number, at least 1; got 0"):
        spiking.bench(["cuba"], rounds=0)


@pytest.mark.slow
def test_bench() -> None:
    lines: list[str] = []
    result = spiking.bench(
        ["sweep", "scaling"], rounds=1, quick=True, compiler=False, tell=lines.append
    )
    sweep = result["workloads"]["sweep"]
    assert set(sweep["systems"]) == {"neuroflip", "neuroflip, 2 threads", "Brian2 numpy"}
    for found in sweep["systems"].values():
        assert 0 < found["loop_s"] < found["first"]["total_s"]
        assert found["second"]["build_s"] < found["second"]["total_s"]
    assert sweep["agreement"]["neuroflip, 2 threads"]["same_spikes"]
    assert sweep["agreement"]["Brian2 numpy, same noise, 64 copies"]["same_spikes"]
    rows = result["scaling"]["rows"]
    assert [row["neurons"] for row in rows] == [500, 1500, 5000]
    assert all(row["ns_per_event"] > 0 for row in rows)
    assert spiking_report.report(result)
    assert lines[-1].startswith("scaling: ")


def test_bare_visits_reach_every_synapse_once_a_spike(monkeypatch) -> None:
    from neuroflip.bench import ceiling

    arrays = draw_recurrent(neurons=50, p=0.2, duration=0.1)
    neurons = np.random.default_rng(0).integers(0, 50, 200)
    given: list[dict[str, Any]] = []
    made = ceiling.Call
    monkeypatch.setattr(ceiling, "Call", lambda text, a: [given.append(a), made(text, a)][1])
    assert ceiling.bare_loop(arrays, neurons, repeats=2) >= 0
    sent = np.zeros(50)  # what arrives in one repeat; traces are 0, so that weights stay
    spikes = np.bincount(neurons, minlength=50)
    for name, weight in (("ee", arrays["w"]), ("ei", arrays["w_e"]), ("inh", arrays["w_i"])):
        np.add.at(sent, arrays[f"{name}_post"], spikes[arrays[f"{name}_pre"]] * weight)
    np.testing.assert_allclose(given[0]["state"], 2 * sent, rtol=1e-12)
