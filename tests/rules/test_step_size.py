"""Rules that move a weight past both bounds in one step: refused, and nothing has changed."""

import math
from typing import Any

import pytest
import torch
from torch import nn

import neuroflip as nf
from neuroflip import rules
from neuroflip.rules.step_size import check_step
from neuroflip.units import ms

F64 = torch.float64


def circuit(rule: Any) -> nf.Circuit:
    return nf.Circuit(
        "step", [nf.Population("post", nf.DeltaLIF())],
        [nf.Projection("pre", "post", 0.0, rule=rule)], [nf.SpikeInput("pre")],
    )  # fmt: skip


# dt = 1 ms; with one spike on either side x = y = 1/tau = 10 Hz, so that dw = dt rate 100 of 2;
# of drift 1/(dt) is the limit; the calcium of one spike on either side is over both thresholds
LIMITS = {
    "Hebb": lambda s: rules.Hebb(rate=20.0 * s),
    "Covariance": lambda s: rules.Covariance(rate=20.0 * s),
    "decay": lambda s: rules.Hebb(decay=2000.0 * s),
    "BistableSynapse": lambda s: rules.BistableSynapse(drift_up=1000.0 * s),
    "GraupnerBrunel": lambda s: rules.GraupnerBrunel(gamma_p=150e3 * s, gamma_d=0.0),
    "Sum": lambda s: rules.Sum(rules.PairSTDP(), rules.BistableSynapse(drift_down=1000.0 * s)),
}


@pytest.mark.parametrize("name", LIMITS)
def test_circuits_refuse_before_they_run(name: str) -> None:
    """On either side of the limit worked out by hand."""
    nf.simulate(circuit(LIMITS[name](0.99)), duration=2 * ms, dt=1 * ms, engine="torch")
    with pytest.raises(ValueError, match="in one step of 0.001 s.*past both bounds, .* a lower"):
        nf.simulate(circuit(LIMITS[name](1.02)), duration=2 * ms, dt=1 * ms, engine="torch")
    check_step(LIMITS[name](1.02), 0.9 * ms)  # a shorter step will do


def rewarded(rule: Any, reward: Any, dt: float = 1 * ms) -> None:
    """Run a rule, with rewards of these values in turn, without a spike."""
    made = nf.Circuit(
        "step", [nf.Population("post", nf.DeltaLIF())],
        [nf.Projection("pre", "post", 0.0, rule=rule)],
        [nf.SpikeInput("pre"), nf.SignalInput("reward")],
    )  # fmt: skip
    wave = torch.tensor(reward, dtype=F64).numpy()
    nf.simulate(made, {"reward": wave}, duration=len(reward) * dt, dt=dt, engine="torch")


# With a reward of 8 one pair moves a weight by rate 8 of 1, or by a_minus rate 8 exp(-dt/tau_minus)
# where the postsynaptic spike came a step before; the eligibility of one is 1/tau_z, so
# that a step moves it by dt rate 8/tau_z; a step of reward releases dopamine of 8 dt, and the next
# moves it by dt a_plus of that
REWARDED = {
    "MSTDP": lambda s: rules.MSTDP(rate=s / 8),
    "MSTDP, depressing": lambda s: rules.MSTDP(
        rate=s / 16 * math.exp(1 / 20), a_minus=2.0, a_plus=0.1
    ),
    "MSTDPET": lambda s: rules.MSTDPET(rate=s / 8, tau_z=1 * ms),
    "RewardSTDP": lambda s: rules.RewardSTDP(a_plus=s / 8e-6),
    "Sum": lambda s: rules.Sum(rules.MSTDP(rate=s / 8), rules.HomeostaticScaling()),
}


@pytest.mark.parametrize("name", REWARDED)
@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_the_signals_of_a_run_are_known_before_it(name: str, sign: float) -> None:
    """Of several trials' rewards the largest of either sign counts."""
    small, large = [0.1, -0.1], [0.0, 8.0 * sign]
    rewarded(REWARDED[name](0.99), small + large)
    rewarded(REWARDED[name](1.02), small)
    with pytest.raises(ValueError, match=r"in one step of 0.001 s with one .*reward -?8, past"):
        rewarded(REWARDED[name](1.02), small + large)


def test_the_potentials_that_a_rule_reads_are_at_the_threshold() -> None:
    """Clopath's depression at a presynaptic spike: a_ltd (-50.4 + 70.6) mV of 1."""

    def run(a_ltd: float) -> None:
        made = nf.Circuit(
            "step", [nf.Population("post", nf.FilteredLIF())],
            [nf.Projection("pre", "post", 0.0, rule=rules.ClopathSTDP(a_ltd=a_ltd))],
            [nf.SpikeInput("pre")],
        )  # fmt: skip
        nf.simulate(made, duration=2 * ms, dt=1 * ms, engine="torch")

    run(0.99 / 20.2e-3)
    with pytest.raises(ValueError, match=r"side and v_post -0.0504 and u_minus_post -0.0504 and"):
        run(1.02 / 20.2e-3)


def test_layers_take_an_unknown_signal_for_1() -> None:
    rules.attach(nn.Linear(2, 2), rules.MSTDP(rate=0.1, a_plus=9.9, w_min=-1.0, w_max=1.0))
    with pytest.raises(
        ValueError, match="MSTDP moves a weight of -1 by 2.02 .* and reward 1, past"
    ):
        rules.attach(nn.Linear(2, 2), rules.MSTDP(rate=0.1, a_plus=10.1, w_min=-1.0, w_max=1.0))
    with pytest.raises(ValueError, match="MSTDP.rate must be at most 1; got 1.5"):
        rules.MSTDP(rate=1.5)


def test_every_rule_of_the_package_passes_as_it_is() -> None:
    for kind in rules.RULES.values():
        rule = kind() if kind is not rules.none.__class__ else rules.none
        if not isinstance(rule, rules.LayerRule):
            check_step(rule, 1 * ms)


@pytest.mark.parametrize("reduction", ["mean", "none"])
@pytest.mark.parametrize("kind", [rules.Hebb, rules.Covariance])
def test_layers_refuse_the_step_in_which_it_happens(kind: Any, reduction: str) -> None:
    """0.1 x y: 1.6 for x = y = 4, and more than the 2 between the bounds for x = y = 5."""
    layer, post = nn.Linear(2, 3, bias=False, dtype=F64), nn.Identity()
    learner = rules.attach(layer, kind(rate=0.1), post=post, reduction=reduction)

    def present(value: float) -> None:
        layer(torch.full((2, 2), value, dtype=F64))
        post(torch.full((2, 3), value, dtype=F64))

    start = layer.weight.detach().clone()
    present(4.0)
    weight, change = learner.weight, learner.change
    state = learner.state
    with pytest.raises(ValueError, match=rf"{kind.__name__} moves a weight by \S+ in one step"):
        present(50.0)
    assert torch.equal(learner.weight, weight) and torch.equal(learner.change, change)
    assert torch.equal(layer.weight, start)
    assert all(torch.equal(value, state[name]) for name, value in learner.state.items())
    present(4.0)  # and it goes on
    assert learner.weight.abs().max() <= 1.0


def test_the_limit_on_layers() -> None:
    for value, refused in ((math.sqrt(19.9), False), (math.sqrt(20.1), True)):
        layer, post = nn.Linear(1, 1, bias=False, dtype=F64), nn.Identity()
        rules.attach(layer, rules.Hebb(rate=0.1), post=post)
        layer(torch.full((1, 1), value, dtype=F64))
        if refused:
            with pytest.raises(ValueError, match="past both bounds, -1 and 1"):
                post(torch.full((1, 1), value, dtype=F64))
        else:
            post(torch.full((1, 1), value, dtype=F64))


def test_layers_refuse_what_is_known_before() -> None:
    with pytest.raises(ValueError, match="Hebb moves a weight of -1 by 2.5 in one step of 1 s"):
        rules.attach(nn.Linear(2, 2), rules.Hebb(decay=2.5))
    rules.attach(nn.Linear(2, 2), rules.Hebb(decay=2.5), dt=0.5)


def test_check_rule_says_so() -> None:
    report = rules.check_rule(rules.BistableSynapse(drift_up=2e4))
    assert not report.ok
    assert any("past both bounds" in row.detail for row in report.rows)


@pytest.mark.parametrize("reduction", ["sum", "mean", "none"])
@pytest.mark.parametrize(("factor", "refused"), [(0.99, False), (1.01, True)])
def test_layers_refuse_the_step_in_which_a_past_signal_works(
    factor: float, refused: bool, reduction: str
) -> None:
    """Many pairs, and a reward that one of them would allow, d = dt reward; the step after it moves
    the weight by dt c d, c after one step of decay."""
    rule = rules.RewardSTDP(tau_c=0.1, a_minus=0.0)
    layer, neurons = nn.Linear(1, 1, bias=False, dtype=F64), nn.Identity()
    nn.init.constant_(layer.weight, 0.25)
    learner = rules.attach(layer, rule, post=neurons, merge="replace", reduction=reduction)

    def step(spike: float) -> None:
        layer(torch.full((1, 1), spike, dtype=F64))
        neurons(torch.full((1, 1), spike, dtype=F64))

    for _ in range(10):
        step(1.0)
    c = learner.state["c"].item()
    learner.signals["reward"] = factor / (1e-3 * c * math.exp(-0.01) * 1e-3)
    step(0.0)
    learner.signals["reward"] = 0.0
    state, weight = learner.state, learner.weight
    if not refused:
        step(0.0)
        assert learner.weight.item() == 1.0  # 0.25 and 0.99, clipped
        return
    with pytest.raises(ValueError, match="past both bounds, 0 and 1; .* smaller signals"):
        step(0.0)
    assert torch.equal(learner.weight, weight)
    assert all(torch.equal(learner.state[name], state[name]) for name in state)
