"""Short-term plasticity: closed recursions, a loop by hand, plain Brian2."""

import math
from typing import Any

import numpy as np
import pytest

import neuroflip as nf
from neuroflip.rules.short_term import ShortTerm
from neuroflip.sims import brian2_tsodyks_markram

DT = 1e-4
INTEGRATOR = nf.DeltaLIF(tau_m=1e12, v_threshold=1e6, refractory=0.0)
"""A neuron that adds up all that it receives."""

PRESETS = {name: ShortTerm.preset(name) for name in ("depressing", "facilitating")}


def received(rule: ShortTerm, trains: list[list[int]], steps: int, weight: Any = 1.0,
             engine: str = "numba", axonal: Any = 0, dendritic: Any = 0) -> Any:  # fmt: skip
    """What the soma has received at the start of each step, (steps, trains)."""
    n = len(trains)
    circuit = nf.Circuit(
        "short", [nf.Population("post", INTEGRATOR, n)],
        [nf.Projection("pre", "post", weight, pattern=nf.OneToOne(), rule=rule,
                       axonal_delay=np.array(axonal) * DT,
                       dendritic_delay=np.array(dendritic) * DT)],
        [nf.SpikeInput("pre", n)],
    )  # fmt: skip
    rec = nf.simulate(circuit, {"pre": [np.array(t) * DT for t in trains]}, duration=steps * DT,
                      engine=engine, record="v")  # fmt: skip
    assert rec.weights["pre->post"].tolist() == np.broadcast_to(weight, n).tolist()
    return rec.traces["post.v"]


def releases(rule: ShortTerm, train: list[int]) -> list[float]:
    """The fraction of w that each spike passes on, from the spikes' intervals."""
    u = r = 1.0
    found: list[float] = []
    last = None
    for k in train:
        if last is None:
            u, r = rule.utilization, 1.0
        else:
            gap = (k - last) * DT
            u = u * math.exp(-gap / rule.tau_facil)
            u += rule.utilization * (1 - u)
            r = 1 - (1 - r) * math.exp(-gap / rule.tau_rec)
        found.append(u * r)
        r, last = r - u * r, k
    return found


@pytest.mark.parametrize("engine", ["numba", "torch"])
@pytest.mark.parametrize("name", PRESETS)
def test_random_trains_with_delays(name: str, engine: str) -> None:
    """Bursts in every step among them; what arrives is delayed, what is released is not."""
    rng = np.random.default_rng(6)
    steps = 600
    trains = [np.flatnonzero(rng.random(steps - 60) < 0.05).tolist() for _ in range(3)]
    trains.append(list(range(100, 140)))
    axonal, dendritic = rng.integers(0, 30, 4), rng.integers(0, 30, 4)
    weight = np.array([1.0, -2.0, 0.5, 3.0])
    rule = PRESETS[name]
    found = received(rule, trains, steps, weight, engine, axonal, dendritic)
    for i, train in enumerate(trains):
        expected = np.zeros(steps + 1)
        at = np.array(train) + axonal[i] + dendritic[i] + 1
        expected[at] = np.array(releases(rule, train)) * weight[i]
        assert np.abs(found[:, i] - np.cumsum(expected[:-1])).max() < 1e-12


@pytest.mark.parametrize("name", PRESETS)
def test_regular_trains_reach_the_closed_form_steady_state(name: str) -> None:
    """Tsodyks & Markram's stationary release at intervals of 50 and 14 ms (20 and 70 Hz)."""
    rule = PRESETS[name]
    for gap in (500, 143):
        count = 120_000 // gap
        seen = received(rule, [list(range(0, gap * count, gap))], gap * count + 1)[:, 0]
        released = np.diff(seen[::gap])[-1]
        f, d = (math.exp(-gap * DT / tau) for tau in (rule.tau_facil, rule.tau_rec))
        u = rule.utilization / (1 - (1 - rule.utilization) * f)
        assert released == pytest.approx(u * (1 - d) / (1 - (1 - u) * d), abs=1e-9)
    first = seen[1]
    assert first == pytest.approx(rule.utilization, rel=1e-12)
    # depression passes on less than the first time, facilitation more
    assert (released < first) == (name == "depressing")


@pytest.mark.parametrize("name", PRESETS)
def test_plain_brian2(name: str) -> None:
    """Brian 1's way of writing it, in which u relaxes to U and the release comes first."""
    rng = np.random.default_rng(8)
    steps, rule = 400, PRESETS[name]
    train = np.flatnonzero(rng.random(steps) < 0.05).tolist()
    expected = brian2_tsodyks_markram.run(
        np.array(train) * DT, steps * DT, utilization=rule.utilization, tau_rec=rule.tau_rec,
        tau_facil=rule.tau_facil, weight=0.7,
    )  # fmt: skip
    assert expected[-1] > 0.3
    assert np.abs(received(rule, [train], steps, 0.7)[:, 0] - expected).max() < 1e-12


def test_all_engines_agree() -> None:
    rng = np.random.default_rng(9)
    circuit = nf.Circuit(
        "short", [nf.Population("post", nf.DeltaLIF(), 2)],
        [nf.Projection("pre", "post", 0.015, rule=PRESETS["depressing"], name="d",
                       axonal_delay=1e-3, dendritic_delay=2e-3),
         nf.Projection("pre", "post", 0.05, rule=PRESETS["facilitating"], name="f")],
        [nf.SpikeInput("pre", 3)],
    )  # fmt: skip
    trains = [np.flatnonzero(rng.random(500) < 0.1) * DT for _ in range(3)]
    report = nf.compare(circuit, {"pre": trains}, duration=500 * DT, record="v")
    assert report.ok and report.spikes["brian2"] > 3, report


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="utilization must be at most 1; got 1.01"):
        ShortTerm(utilization=1.01)
    with pytest.raises(ValueError, match="unknown preset 'depresing'; did you mean 'depressing'"):
        ShortTerm.preset("depresing")
    assert ShortTerm().window(0.01, 0.5) == 0.0
