"""The library against simulations written by hand in plain Brian2."""

import numpy as np
import pytest

import neuroflip as nf
from neuroflip import rules
from neuroflip.sims import brian2_pair_stdp, brian2_sr_latch
from neuroflip.units import ms


@pytest.mark.parametrize("engine", nf.ENGINES)
def test_sr_latch(engine: str) -> None:
    sets, resets = [50 * ms, 800 * ms], [400 * ms]
    expected = brian2_sr_latch.run(sets, resets, 1.0)
    rec = nf.simulate(
        nf.circuits.sr_latch(), {"S": sets, "R": resets}, duration=1.0, engine=engine, record="v"
    )
    for name in ("Q", "Qbar"):
        assert np.array_equal(np.round(rec.spikes[name] / rec.dt), np.round(expected[name] / 1e-4))
        assert rec.spikes[name].size > 10
    traces = np.concatenate([rec.traces["Q.v"], rec.traces["Qbar.v"]], axis=1).T
    assert np.max(np.abs(traces - expected["v"])) < 1e-11  # the reference's rk4 leaves 1.4e-12


TRAINS = {
    "pairs": ([10, 60, 110], [15, 52, 118]),
    "together": ([10, 20, 30, 31, 32], [10, 20, 30, 31, 32]),
    "bursts": ([10, 10.1, 10.2, 10.3, 40, 40.1], [10.2, 10.3, 10.4, 39.9, 40.0, 40.1, 40.2]),
    "random": (np.cumsum([3.1, 7.7, 0.9, 12.3, 1.1, 25.0]), np.cumsum([2.2, 9.3, 4.4, 0.5, 30.1])),
}


@pytest.mark.parametrize("train", TRAINS)
@pytest.mark.parametrize("multiplicative", [False, True])
@pytest.mark.parametrize(("axonal", "dendritic"), [(0.0, 0.0), (5 * ms, 0.0), (1 * ms, 7 * ms)])
def test_pair_stdp(train: str, multiplicative: bool, axonal: float, dendritic: float) -> None:
    pre, post = (np.round(np.array(t) * 10).astype(int) * 0.1 * ms for t in TRAINS[train])
    expected = brian2_pair_stdp.run(
        pre,
        post,
        0.15,
        axonal_delay=axonal,
        dendritic_delay=dendritic,
        multiplicative=multiplicative,
    )
    mu = float(multiplicative)
    # A current makes the postsynaptic neuron fire in exactly the steps wanted.
    kick = np.zeros(1500)
    kick[np.round(post / 0.1 / ms).astype(int)] = 1e6
    circuit = nf.Circuit(
        "pair",
        [nf.Population("post", nf.DeltaLIF(v_threshold=100.0, refractory=0.0))],
        [
            nf.Projection(
                "pre",
                "post",
                0.5,
                axonal_delay=axonal,
                dendritic_delay=dendritic,
                rule=rules.PairSTDP(mu_plus=mu, mu_minus=mu),
            )
        ],
        [nf.SpikeInput("pre"), nf.CurrentInput("kick", "post")],
    )
    for engine in ("numba", "torch"):
        rec = nf.simulate(circuit, {"pre": pre, "kick": kick}, duration=0.15, engine=engine)
        assert np.array_equal(np.round(rec.spikes["post"] / rec.dt), np.round(post / rec.dt))
        assert rec.weights["pre->post"][0] == pytest.approx(expected, abs=1e-14)
        assert abs(expected - 0.5) > 1e-5
