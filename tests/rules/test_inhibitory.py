"""Inhibitory STDP: its closed form, a plain-Brian2 reference, and what it is for."""

import itertools
import math
from typing import Any

import numpy as np
import pytest

import neuroflip as nf
from neuroflip.rules.inhibitory import InhibitorySTDP
from neuroflip.sims import brian2_inhibitory_stdp
from neuroflip.units import ms, pA

DT = 1e-4
FORCED = nf.DeltaLIF(tau_m=DT, v_threshold=1e4, refractory=0.0)
Train = list[int]  # steps


def circuit(
    rule: InhibitorySTDP, pre: list[Train], post: list[Train], weight: Any, steps: int,
    **delays: Any,
) -> tuple[nf.Circuit, dict[str, Any]]:  # fmt: skip
    wave = np.zeros((steps, len(post)))
    for j, train in enumerate(post):
        wave[train, j] = 1.0
    made = nf.Circuit(
        "trains", [nf.Population("post", FORCED, len(post))],
        [nf.Projection("pre", "post", weight, pattern=nf.OneToOne(), rule=rule, **delays)],
        [nf.SpikeInput("pre", len(pre)), nf.CurrentInput("force", "post")],
    )  # fmt: skip
    return made, {"pre": [np.array(t) * DT for t in pre], "force": wave}


def random_trains(rng: Any, count: int, steps: int) -> list[Train]:
    burst, every = list(range(30, 60)), [40, 45, 58, 59, 60]
    random = [np.flatnonzero(rng.random(steps - 20) < 0.05).tolist() for _ in range(count - 3)]
    return [burst, every, [0], *random]


def test_all_engines_against_the_sum_over_pairs() -> None:
    """The closed form: every pair adds exp(-|dt|/tau) once, every presynaptic spike costs alpha."""
    rng = np.random.default_rng(0)
    steps, n = 400, 8
    pre, post = random_trains(rng, n, steps), random_trains(rng, n, steps)
    rule = InhibitorySTDP(tau=7 * ms, rate=1e-4, target=100.0, w_min=-1.0, w_max=2.0)
    axonal, dendritic = rng.integers(0, 15, n), rng.integers(0, 15, n)
    made, inputs = circuit(
        rule, pre, post, 0.5, steps, axonal_delay=axonal * DT, dendritic_delay=dendritic * DT
    )
    report = nf.compare(made, inputs, duration=steps * DT, record=["pre->post"])
    assert report.ok, str(report)
    wanted = [
        0.5 + 3 * 1e-4 * (
            math.fsum(
                math.exp(-abs(q + int(d) - p - int(a)) * DT / rule.tau)
                for p, q in itertools.product(pre[i], post[i])
            )
            - 2 * 100.0 * rule.tau * len(pre[i])
        )
        for i, (a, d) in enumerate(zip(axonal, dendritic, strict=True))
    ]  # fmt: skip
    found = report.recordings["numba"].weights["pre->post"]
    assert np.abs(found - np.array(wanted)).max() < 1e-12
    assert (found > 0.5).any() and (found < 0.5).any()


@pytest.mark.parametrize("eta", [0.001, 0.3])
@pytest.mark.parametrize(("axonal", "dendritic"), [(0, 0), (7, 30)])
def test_against_plain_brian2(eta: float, axonal: int, dendritic: int) -> None:
    """The larger rate drives the weight into its bounds."""
    rng = np.random.default_rng(4)
    steps = 3000
    pre, post = (np.flatnonzero(rng.random(steps) < p)[:40].tolist() for p in (0.02, 0.004))
    post = [*post, *pre[:2]]
    delays = {"axonal_delay": axonal * DT, "dendritic_delay": dendritic * DT}
    made, inputs = circuit(InhibitorySTDP(rate=eta), [pre], [post], 0.5, steps, **delays)
    wanted = brian2_inhibitory_stdp.run(
        np.array(pre) * DT, np.array(sorted(set(post))) * DT, steps * DT, eta=eta, **delays
    )
    rec = nf.simulate(made, inputs, duration=steps * DT, engine="torch", record=["pre->post"])
    assert abs(rec.weights["pre->post"][0] - wanted) < 1e-12
    history = rec.weight_history["pre->post"]
    assert (history == 1.0).any() == (eta == 0.3) and abs(wanted - 0.5) > 1e-2


def test_window_and_alpha() -> None:
    rule = InhibitorySTDP(rate=0.01, target=10.0, w_max=2.0)
    assert math.isclose(rule.alpha, 0.4)
    made, inputs = circuit(rule, [[300]] * 3, [[200], [300], [400]], 1.0, 500)
    change = nf.simulate(made, inputs, duration=0.05, engine="torch").weights["pre->post"] - 1.0
    for k, found in zip((-100, 0, 100), change, strict=True):
        wanted = 0.02 * (math.exp(-abs(k) * DT / 0.02) - 0.4)
        assert math.isclose(found, wanted, rel_tol=1e-12)
        assert math.isclose(rule.window(k * DT, 1.0), wanted, rel_tol=1e-12)


@pytest.mark.parametrize("target", [5.0, 12.0])
def test_it_brings_a_network_to_its_target_rate(target: float) -> None:
    """A recurrent network: neurons of different drives, excited by one another and by Poisson
    spikes, inhibited through plastic synapses. Whatever their drive, all come to within 15 % of
    the target; not closer, as inhibition keeps the two sides from being independent."""
    size, inhibitory = 12, 40
    neuron = nf.LIF()
    drive = np.linspace(120, 220, size) * pA
    rule = InhibitorySTDP(target=target, rate=5e-3, w_max=300 * pA)
    made = nf.Circuit(
        "balance",
        [nf.Population("E", neuron, size)],
        [
            nf.Projection("in", "E", 40 * pA, receptor="excitatory"),
            nf.Projection("E", "E", 10 * pA, receptor="excitatory", axonal_delay=1 * ms),
            nf.Projection("I", "E", 0.0, receptor="inhibitory", rule=rule),
        ],
        [
            nf.PoissonInput("in", 10.0, 40),
            nf.PoissonInput("I", 20.0, inhibitory),
            nf.CurrentInput("drive", "E"),
        ],
    )
    duration, dt = 40.0, 0.2 * ms
    steps = round(duration / dt)
    rec = nf.simulate(
        made, {"drive": np.broadcast_to(drive, (steps, size))}, duration=duration, dt=dt, seed=1
    )

    def rates(start: float, stop: float) -> Any:
        inside = (rec.spikes["E"] >= start) & (rec.spikes["E"] < stop)
        return np.bincount(rec.neurons["E"][inside], minlength=size) / (stop - start)

    before, after = rates(0.0, 0.3), rates(20.0, 40.0)
    assert before.mean() > 2 * target
    assert np.abs(after / target - 1).max() < 0.15 and abs(after.mean() / target - 1) < 0.1


def test_refusals() -> None:
    with pytest.raises(ValueError, match="InhibitorySTDP.target must be at least 0 Hz; got -1.0"):
        InhibitorySTDP(target=-1)
    with pytest.raises(ValueError, match="InhibitorySTDP.tau must be above 0 s; got 0.0"):
        InhibitorySTDP(tau=0)
