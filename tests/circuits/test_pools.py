"""Two pools in noise: the mean field, and that they hold, set and reset."""

import warnings
from typing import Any

import numpy as np
import pytest

import neuroflip as nf
from neuroflip.circuits.pools import mutual_pools, pool_rates
from neuroflip.units import ms, mV, pA


def rates(rec: nf.Recording, start: float, stop: float) -> tuple[float, float]:
    """Mean rates (Hz) of the neurons of Q and of Qbar in an interval."""
    q, qbar = (
        np.count_nonzero((rec.spikes[p] >= start) & (rec.spikes[p] < stop))
        / (stop - start)
        / rec.circuit.population(p).size
        for p in ("Q", "Qbar")
    )
    return q, qbar


def pools(**parameters: Any) -> nf.Circuit:
    """The circuit, whether or not it warns."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return mutual_pools(**parameters)


@pytest.mark.parametrize("seed", range(3))
def test_random_pulse_programs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    times = 0.2 + np.cumsum(rng.uniform(0.2, 0.8, 12))
    which = rng.choice(["S", "R"], 12)
    duration = float(np.ceil(times[-1] + 0.5))
    given = {k: times[which == k] for k in ("S", "R")}
    rec = nf.simulate(mutual_pools(), given, duration=duration, seed=seed)
    at, bits = rec.bit("Q")
    assert not bits[at < times[0]].any()
    for start, stop, name in zip(times, [*times[1:], duration], which, strict=True):
        held = bits[(at > start + 0.12) & (at < stop)]
        assert held.size and (held == int(name == "S")).all(), (start, name)


@pytest.mark.parametrize("noise", [2 * mV, 4 * mV])
def test_it_holds_either_bit_and_fires_as_in_the_mean_field(noise: float) -> None:
    """20 s with the bit of either kind, five seeds."""
    trials = [{"S": [0.1]}] * 3 + [{"R": [0.1]}] * 2
    rec = nf.simulate(mutual_pools(noise=noise), trials, duration=20.0, seed=7)
    winner, loser = pool_rates(nf.LIF(), 300 * pA, 200 * pA, noise)
    for trial in range(5):
        at, bits = rec.bit("Q", trial)
        assert (bits[at > 0.3] == int(trial < 3)).all()
    q, qbar = rates(rec, 0.3, 20.0)
    # 3 trials on, 2 off
    assert abs(q / (3 * winner + 2 * loser) - 1) < 0.05
    assert abs(qbar / (2 * winner + 3 * loser) - 1) < 0.05


@pytest.mark.parametrize("noise", [1, 3, 6])
@pytest.mark.parametrize("inhibition", [30, 60, 150, 300])
def test_the_condition_predicts_the_circuit(inhibition: float, noise: float) -> None:
    """Whether after S the two pools keep different rates, and which they are."""
    parameters: dict[str, Any] = {"inhibition": inhibition * pA, "noise": noise * mV}
    winner, loser = pool_rates(nf.LIF(), 300 * pA, inhibition * pA, noise * mV)
    rec = nf.simulate(pools(p=1.0, size=60, **parameters), {"S": [0.1]}, duration=1.5)
    q, qbar = rates(rec, 0.5, 1.5)
    if winner - loser < 0.1 * winner:
        assert abs(q - qbar) < 0.25 * winner and abs(q + qbar - 2 * winner) < 0.2 * winner
    elif loser < 0.5 * winner:
        assert abs(q / winner - 1) < 0.08 and abs(qbar - loser) < 0.08 * winner


def test_mean_field_without_noise_is_that_of_the_latch() -> None:
    neuron = nf.LIF()
    for inhibition in (150, 200, 300):
        winner, loser = pool_rates(neuron, 300 * pA, inhibition * pA, 0.0)
        assert loser == 0 and abs(winner - nf.circuits.firing_rate(neuron, 300 * pA)) < 1e-9
        assert nf.circuits.can_latch(neuron, 300 * pA, inhibition * pA)
    winner, loser = pool_rates(neuron, 300 * pA, 60 * pA, 0.5 * mV)
    assert winner - loser < 1e-3 * winner
    assert not nf.circuits.can_latch(neuron, 300 * pA, 60 * pA)


def test_all_engines_agree() -> None:
    report = nf.compare(mutual_pools(8), {"S": [0.01], "R": [0.06]}, duration=0.1, seed=1)
    assert report.ok and report.spikes["brian2"] > 20, report


@pytest.mark.slow
def test_all_engines_agree_for_five_seconds() -> None:
    rng = np.random.default_rng(1)
    times = np.sort(rng.choice(50_000, 16, replace=False)) * 1e-4
    report = nf.compare(
        mutual_pools(), {"S": times[::2], "R": times[1::2]}, duration=5.0, record_every=1 * ms
    )
    assert report.ok, report


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"inhibition": 60 * pA}, "the pools fire at 48 and 48 Hz"),
        ({"drive": 100 * pA}, "the pools fire at"),
        ({"noise": 20 * mV}, "the pools fire at"),
    ],
    ids=["weak", "undriven", "noisy"],
)
def test_warnings(parameters: dict[str, Any], message: str) -> None:
    with pytest.warns(UserWarning, match=f"^mutual_pools cannot hold a bit: .*{message}") as caught:
        circuit = mutual_pools(**parameters)
    assert caught[0].filename == __file__
    rec = nf.simulate(circuit, {"S": [0.2], "R": [1.2]}, duration=2.2)
    after_set, after_reset = rates(rec, 0.5, 1.2), rates(rec, 1.5, 2.2)
    assert abs(after_set[0] - after_reset[0]) < 15 and abs(after_set[0] - after_set[1]) < 15


def test_refusals_and_connections() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        circuit = mutual_pools(20, p=0.25, seed=3)
    [cross] = [p for p in circuit.projections if p.name == "Q->Qbar"]
    synapses = circuit.synapses(cross)
    assert (np.bincount(synapses.post, minlength=20) == 5).all()
    assert len(set(zip(synapses.pre.tolist(), synapses.post.tolist(), strict=True))) == 100
    assert np.allclose(synapses.weight, 40 * pA)
    assert circuit == mutual_pools(20, p=0.25, seed=3) != mutual_pools(20, p=0.25, seed=4)
    for p in (0.0, 1.5):
        with pytest.raises(ValueError, match="^mutual_pools: p must be above 0 and at most 1"):
            mutual_pools(p=p)
    with pytest.raises(ValueError, match="^mutual_pools: size must be a whole number"):
        mutual_pools(0)
    for name in ("inhibition", "pulse", "noise", "delay"):
        with pytest.raises(ValueError, match=f"^mutual_pools: {name} must be at least 0"):
            mutual_pools(**{name: -1e-12})
    with pytest.raises(TypeError, match="^mutual_pools: neuron must be a nf.LIF"):
        mutual_pools(neuron=nf.DeltaLIF())  # type: ignore[arg-type]
