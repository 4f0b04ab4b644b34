"""Gaussian noise from a counter: the generator, its law, and the membrane it drives."""

import math

import numpy as np
import pytest
from scipy import stats

import neuroflip as nf
from neuroflip.noise import noise_keys, normals
from neuroflip.units import ms, mV, pA

MASK = 2**64 - 1


def reference(key: int, k: int) -> float:
    """Sample k by whole numbers of any size: Box-Muller on SplitMix64's output k/2."""
    z = (key + (k // 2 + 1) * 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    z ^= z >> 31
    radius = math.sqrt(-2 * math.log(((z >> 32) + 0.5) / 2**32))
    angle = 2 * math.pi * (z & 0xFFFFFFFF) / 2**32
    return radius * (math.sin(angle) if k % 2 else math.cos(angle))


def test_splitmix64_gives_its_published_first_outputs() -> None:
    # From the seed 1234567, as listed with implementations of the generator
    z = (1234567 + 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    assert z ^ (z >> 31) == 6457827717110365317


@pytest.mark.parametrize("start", [0, 1, 999, 2**33])
def test_samples_are_the_generator_s(start: int) -> None:
    keys = np.array([0, 1, 2**63, MASK], dtype=np.uint64)
    found = normals(keys, start, start + 5)
    expected = [[reference(int(key), k) for key in keys] for k in range(start, start + 5)]
    np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-15)


def test_samples_are_normal_and_independent() -> None:
    x = normals(noise_keys(1, 0, "noise", 100), 0, 20_000)
    n = x.size
    assert abs(x.mean()) < 4 / math.sqrt(n)
    assert abs(x.var() - 1) < 4 * math.sqrt(2 / n)
    assert stats.kstest(x[:, :5].ravel(), "norm").pvalue > 1e-3
    assert abs((x**4).mean() - 3) < 4 * math.sqrt(96 / n)
    for lag in (1, 2, 7):  # over time
        assert abs((x[lag:] * x[:-lag]).mean()) < 4 / math.sqrt(n)
    assert abs((x[:, 1:] * x[:, :-1]).mean()) < 4 / math.sqrt(n)  # over neurons
    assert np.abs(np.corrcoef(x.T) - np.eye(100)).max() < 5.5 / math.sqrt(20_000)


def test_seed_trial_and_name_each_give_their_own_samples() -> None:
    keys = [noise_keys(*of, 3) for of in [(0, 0, "a"), (1, 0, "a"), (0, 1, "a"), (0, 0, "b")]]
    assert len({int(k) for each in keys for k in each}) == 12
    np.testing.assert_array_equal(noise_keys(0, 0, "a", 3), keys[0])


def noisy(sd: float, **parameters: float) -> nf.Circuit:
    return nf.Circuit(
        "noisy",
        [nf.Population("A", nf.DeltaLIF(**parameters), size=200)],
        inputs=[nf.NoiseInput("noise", "A", sd=sd)],
    )


@pytest.mark.parametrize("dt", [0.1 * ms, 0.5 * ms, 2 * ms])
def test_the_membrane_fluctuates_as_asked_at_every_step(dt: float) -> None:
    circuit = noisy(3 * mV, v_threshold=1.0, tau_m=10 * ms)
    v = nf.simulate(circuit, duration=2.0, dt=dt, record="v", record_every=20 * ms).traces["A.v"]
    settled = v[5:]  # 100 ms on, samples 2 tau apart: nearly independent
    n = settled.size * (1 - math.exp(-4)) / (1 + math.exp(-4))
    assert abs(settled.std() / (3 * mV) - 1) < 4 / math.sqrt(2 * n)
    correlation = (settled[1:] * settled[:-1]).mean() / settled.var()
    assert abs(correlation - math.exp(-2)) < 4 / math.sqrt(n)


def test_every_engine_is_handed_the_same_noise() -> None:
    latch = nf.circuits.sr_latch()
    inputs = [*latch.inputs, *(nf.NoiseInput(f"at {p}", p, sd=4 * mV) for p in ("Q", "Qbar"))]
    circuit = nf.Circuit("noisy latch", latch.populations, latch.projections, inputs)
    report = nf.compare(circuit, {"S": [0.05]}, duration=0.2, seed=5, trials=2)
    assert report.ok and report.spikes["brian2"] > 10, report
    other = nf.simulate(circuit, {"S": [0.05]}, duration=0.2, seed=6)
    assert not np.array_equal(other.spikes["Q"], report.recordings["numba"].spikes["Q"])


def test_noise_and_current_add() -> None:
    circuit = noisy(1 * mV, v_threshold=1.0)
    both = nf.Circuit(
        "both", circuit.populations, inputs=[*circuit.inputs, nf.CurrentInput("I", "A")]
    )
    alone = nf.Circuit("alone", circuit.populations, inputs=[nf.CurrentInput("I", "A")])
    steps = {"I": [(10 * ms, 30 * ms, 50 * pA)]}
    runs = [
        nf.simulate(c, given, duration=40 * ms, record="v", engine=engine).traces["A.v"]
        for engine in ("numba", "torch")
        for c, given in ((circuit, {}), (alone, steps), (both, steps))
    ]
    np.testing.assert_allclose(runs[0] + runs[1], runs[2], atol=1e-16)
    np.testing.assert_allclose(runs[3] + runs[4], runs[5], atol=1e-16)


def test_a_recording_with_noise_comes_back_and_runs_again(tmp_path) -> None:
    rec = nf.simulate(noisy(20 * mV), duration=0.1, seed=9)
    rec.save(tmp_path / "r.npz")
    loaded = nf.Recording.load(tmp_path / "r.npz")
    assert loaded == rec and rec.spikes["A"].size > 0
    again = nf.simulate(rec.circuit, rec.inputs, duration=0.1, seed=rec.seed)
    np.testing.assert_array_equal(again.spikes["A"], rec.spikes["A"])


def test_refusals() -> None:
    with pytest.raises(ValueError, match=r"NoiseInput 'n': sd must be at least 0 V; got -1.0\."):
        nf.NoiseInput("n", "A", sd=-1)
    cell = [nf.Population("A", nf.LIF())]
    twice = [nf.NoiseInput("n", "A", sd=1), nf.NoiseInput("m", "A", sd=1)]
    with pytest.raises(ValueError, match="population 'A' has noise already, 'n'"):
        nf.Circuit("c", cell, inputs=twice)
    with pytest.raises(ValueError, match="NoiseInput 'n': there is no population 'B'"):
        nf.Circuit("c", cell, inputs=[nf.NoiseInput("n", "B", sd=1)])
    circuit = nf.Circuit("c", cell, inputs=twice[:1])
    with pytest.raises(ValueError, match="noise is drawn from the run's seed"):
        nf.simulate(circuit, {"n": []}, duration=1 * ms)
