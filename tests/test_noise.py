"""Gaussian noise from a counter: the generator, its law, and the membrane it drives."""

import math

import numpy as np
import pytest
from scipy import stats

import neuroflip as nf
from neuroflip.noise import gaussians, noise_keys, normals
from neuroflip.units import ms, mV, pA

MASK = 2**64 - 1


def reference(key: int, k: int) -> float:
    """Sample k by whole numbers of any size: Box-Muller on SplitMix64's output k/2."""
    z = (key + (k // 2 + 1) * 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    z ^= z >> 31
    radius = math.sqrt(-2 * math.log(((z >> 33) + 0.5) / 2**31))
    low = z & 0xFFFFFFFF
    angle = math.pi / 4 * (low & (2**29 - 1)) / 2**29
    pair = [math.cos(angle) * (-1) ** (low >> 31), math.sin(angle) * (-1) ** (low >> 30)]
    return radius * pair[(k + (low >> 29)) % 2]


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
    np.testing.assert_allclose(found, expected, rtol=5e-7, atol=1e-9)


def test_bits_map_to_the_transform_of_their_numbers() -> None:
    """Near the ends of each series and beyond, where single precision could go wrong."""
    edges = [0, 1, 2, 2**23, 2**24 + 1, 2**29 - 1, 2**29, 2**30, 2**31, 3037000499, 2**32 - 1]
    bits = np.array([*edges, *np.random.default_rng(0).integers(0, 2**32, 10_000)], np.uint32)
    for low in (bits, bits[::-1].copy()):
        u = (np.float32(bits >> 1) + np.float32(0.5)) / 2.0**31
        radius = np.sqrt(-2 * np.log(u))
        angle = math.pi / 4 * (low & (2**29 - 1)) / 2**29
        found = np.array(gaussians(bits, low), float)
        np.testing.assert_allclose(np.hypot(*found), radius, rtol=1e-6)
        ratio = np.sort(np.abs(found), axis=0)
        some = radius > 0
        np.testing.assert_allclose(np.arctan2(*ratio)[some], angle[some], rtol=1e-6, atol=1e-9)


def test_directions_are_even() -> None:
    """Each of the eight reflections has its own octant, and an angle is uniform in it."""
    bits = np.random.default_rng(1).integers(0, 2**32, (2, 80_000), np.uint32)
    octant = np.arctan2(*gaussians(*bits)) / (math.pi / 4)
    assert stats.chisquare(np.bincount(np.floor(octant).astype(int) + 4)).pvalue > 1e-3
    assert stats.kstest(octant % 1, "uniform").pvalue > 1e-3


def test_the_compiled_engine_draws_the_same_bits() -> None:
    """A membrane that forgets within a step shows each sample: one bit off would be 1e-11 V."""
    neuron = nf.DeltaLIF(v_threshold=1.0, tau_m=1e-9)
    circuit = nf.Circuit(
        "bare", [nf.Population("A", neuron, size=37)], inputs=[nf.NoiseInput("noise", "A", sd=1e-3)]
    )
    v = nf.simulate(circuit, duration=0.1, record="v", record_every=0.1 * ms, seed=3).traces["A.v"]
    samples = normals(noise_keys(3, 1, "noise", 37)[0], 0, 999)
    current = neuron.noise_amplitude(1e-3, 0.1 * ms) * samples
    np.testing.assert_allclose(
        v[1:] - neuron.v_rest, neuron.resistance * current, rtol=0, atol=1e-18
    )


def test_samples_are_normal_and_independent() -> None:
    x = normals(noise_keys(1, 1, "noise", 100)[0], 0, 20_000)
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
    keys = [
        noise_keys(seed, 2, name, 3)[trial]
        for seed, trial, name in [(0, 0, "a"), (1, 0, "a"), (0, 1, "a"), (0, 0, "b")]
    ]
    assert len({int(k) for each in keys for k in each}) == 12
    np.testing.assert_array_equal(noise_keys(0, 1, "a", 3)[0], keys[0])


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
