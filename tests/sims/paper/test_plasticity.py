"""E7: each part against closed forms, hand-written loops and enumerations; tables and summaries."""

import itertools
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from neuroflip import files, rules
from neuroflip.sims.paper import plasticity
from neuroflip.sims.paper import plasticity_association as association
from neuroflip.sims.paper import plasticity_continual as continual
from neuroflip.sims.paper import plasticity_remapping as remapping
from neuroflip.sims.paper import plasticity_signals as signals
from neuroflip.sims.paper.drawing import Job
from neuroflip.sims.paper.experiments import data as experiment_data
from neuroflip.sims.paper.experiments import setting
from neuroflip.sims.paper.models import Sequential
from neuroflip.sims.paper.paired import paired, sign_flip_p
from neuroflip.sims.paper.tables import write
from neuroflip.tasks.association import paired_associates


@pytest.fixture(autouse=True)
def one_thread():
    """Arrays this small gain nothing from threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


# The paired test


def test_sign_flip_p_by_enumeration() -> None:
    rng = np.random.default_rng(0)
    for n in (1, 4, 7):
        for values in (rng.normal(0.5, 1, n), rng.integers(-2, 3, n).astype(float)):
            sums = [
                abs(sum(s * v for s, v in zip(signs, values, strict=True)))
                for signs in itertools.product([1, -1], repeat=n)
            ]
            expected = sum(s >= abs(values.sum()) - 1e-12 for s in sums) / 2**n
            assert sign_flip_p(values) == expected
    assert sign_flip_p([0.3] * 10) == 2 / 1024
    assert sign_flip_p([1.0, -1.0]) == 1.0


def test_the_interval_of_the_mean_is_students() -> None:
    stats = pytest.importorskip("scipy.stats")
    for n in (2, 5, 31):
        values = np.random.default_rng(n).normal(0.6, 1, n)
        low, high = stats.t.interval(0.95, n - 1, values.mean(), stats.sem(values))
        assert paired(values, np.zeros(n)).margin == pytest.approx((high - low) / 2, rel=3e-4)
    many = paired(np.arange(100.0), np.zeros(100)).margin
    assert many == pytest.approx(2.042 * np.arange(100.0).std(ddof=1) / 10)
    assert math.isnan(paired([1.0], [0.0]).margin)


def test_sign_flip_p_as_scipy_has_it() -> None:
    stats = pytest.importorskip("scipy.stats")
    values = np.random.default_rng(1).normal(0.6, 1, 9)
    theirs = stats.permutation_test(
        (values, np.zeros(9)), lambda a, b: np.mean(a - b), permutation_type="samples",
        n_resamples=np.inf,
    )  # fmt: skip
    assert math.isclose(sign_flip_p(values), theirs.pvalue, rel_tol=1e-9)


def test_sign_flip_p_of_many_is_near_the_normal_one() -> None:
    values = np.random.default_rng(2).normal(0.3, 1, 60)
    z = abs(values.sum()) / math.sqrt((values**2).sum())
    expected = math.erfc(z / math.sqrt(2))
    assert abs(sign_flip_p(values) - expected) < 0.01


def test_paired_refuses_lists_that_do_not_pair() -> None:
    with pytest.raises(ValueError, match="two lists of one length"):
        paired([1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match="finite numbers"):
        sign_flip_p([1.0, math.nan])
    assert paired([1.0, 2.0], [0.0, 1.0]).effect == math.inf


# The paper's task

SMALL = signals.Config(epochs=4, units=8, steps=8, every=2)


@pytest.mark.parametrize("mode", ["after_step", "gradient"])
def test_a_rule_of_rate_0_is_plain_training(mode: str) -> None:
    plain = signals.train("plain", seed=3, config=SMALL)
    ruled = signals.train("oja", mode, seed=3, rate=0.0, config=SMALL)
    assert ruled["losses"] == plain["losses"] and ruled["error"] == plain["error"]
    assert ruled["moved"] == 0


def test_in_place_of_backprop_a_rule_of_rate_0_leaves_the_weights() -> None:
    frozen = signals.train("frozen", seed=3, config=SMALL)
    ruled = signals.train("oja", "replace", seed=3, rate=0.0, config=SMALL)
    assert ruled["losses"] == frozen["losses"]
    assert frozen["losses"] != signals.train("plain", seed=3, config=SMALL)["losses"]


@pytest.mark.parametrize("name", signals.RULES)
def test_rules_change_what_is_learnt_and_are_taken_off(name: str) -> None:
    plain = signals.train("plain", seed=3, config=SMALL)
    ruled = signals.train(name, "after_step", seed=3, rate=1e-3, config=SMALL)
    assert ruled["moved"] > 0 and ruled["error"] != plain["error"]


def test_the_authors_rules_collapse_and_plain_training_does_not() -> None:
    config = replace(signals.Config(), epochs=8, steps=32)
    plain = signals.train("plain", config=config)
    for control, resets in (("hebbian", 1.0), ("random stdp", 0.0)):
        broken = signals.train(control, config=config)
        j, k = broken["gates"]
        assert j > 0.99 and abs(k - resets) < 0.01
        assert broken["error"] > 0.85 * broken["constant"]
        assert broken["error"] > 1.1 * plain["error"]


def test_as_published_is_the_loop_written_by_hand() -> None:
    """Curves of seed 42, Adam at one rate, no clipping."""
    config = replace(signals.AS_PUBLISHED, epochs=2, steps=6, units=5)
    found = signals.train("plain", seed=1, config=config)
    torch.manual_seed(1)
    which = replace(setting("learning_rules/exp_2"), steps=6)
    data, _ = experiment_data(which, 1, as_published=True)
    model = signals._Model("plain", config)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    order = torch.Generator().manual_seed(1)
    losses = []
    for _ in range(2):
        for chosen in torch.randperm(128, generator=order).split(16):
            said = model(data.inputs[chosen])[0]
            losses.append((said - data.targets[chosen, :, 0]).square().mean())
            optimizer.zero_grad()
            losses[-1].backward()
            optimizer.step()
    means = torch.stack(losses).reshape(2, 8).mean(dim=1).tolist()
    assert found["losses"] == pytest.approx(means, rel=1e-3)


def test_the_authors_rules_as_published_end_where_theirs_did(tmp_path: Path, monkeypatch) -> None:
    """The best constant for the curves of seed 42 leaves what their STDP was stored with."""
    config = replace(signals.AS_PUBLISHED, units=8)
    monkeypatch.setattr(signals, "AS_PUBLISHED", config)
    plasticity.main(["--as-published", "--quick", "--seeds", "1", "--out", str(tmp_path)])
    runs = files.read(tmp_path / "e7_published_quick.json")["runs"]
    assert [(run["condition"], run["seed"]) for run in runs] == [
        ("hebbian", 42), ("random stdp", 42)
    ]  # fmt: skip
    for run in runs:
        assert run["constant"] == pytest.approx(0.356447, rel=1e-3)
    with pytest.raises(SystemExit):
        plasticity.main(["signals", "--as-published"])


def test_step_by_step_is_the_layer() -> None:
    torch.manual_seed(0)
    model = signals._Model("hebbian", SMALL)
    model._hebbian = lambda *_: None
    stepped = model.activity(torch.tensor([0, 1]))
    model.control = "plain"
    for one, other in zip(stepped, model.activity(torch.tensor([0, 1])), strict=True):
        assert torch.allclose(one, other, atol=1e-6)


def test_real_spikes_follow_activity_and_random_ones_its_mean_alone() -> None:
    torch.manual_seed(0)
    activity = torch.zeros(500, 2, 8)
    activity[:, 0] = 1.0
    shares = {}
    for spikes in signals.SPIKES:
        model = signals._Model("plain", SMALL)
        listener = signals._Listener(model, rules.PairSTDP(w_min=-5.0), "after_step", spikes, 1, 0)
        sent = listener._sent(activity)
        assert ((sent == 0) | (sent == 1)).all()
        shares[spikes] = sent.mean((0, 2)).tolist()
        listener.learner.remove()
    peak = 40 * 0.010  # 40 Hz for 10 ms
    error = 4 * math.sqrt(peak * (1 - peak) / 4000)
    assert abs(shares["real"][0] - peak) < error and shares["real"][1] == 0
    assert all(abs(share - peak / 2) < error for share in shares["random"])


# Association


def test_linear_associator_recalls_as_often_as_theory_says() -> None:
    """With random keys of K elements and two values, the score of the right value is K, disturbed
    by K (N - 1) independent signs: a binomial tail, ties right half of the time."""
    size = 16
    config = association.Config(key_size=size, values=2, flipped=0.0, tested=1500)
    found = association.one_shot("Hebb", config=config, features="keys")["by_pairs"]
    for pairs in association.LOADS:
        signs = size * (pairs - 1)
        expected = 0.0
        for up in range(signs + 1):
            total = 2 * up - signs
            weight = math.comb(signs, up) / 2**signs
            expected += weight * (1.0 if total > -size else 0.5 if total == -size else 0.0)
        error = 4 * math.sqrt(expected * (1 - expected) / 1500) + 1e-9
        assert abs(found[str(pairs)] - expected) < error, pairs


def test_one_shot_rules_by_hand() -> None:
    torch.manual_seed(0)
    u, v = torch.randn(4, 3, 6), torch.nn.functional.one_hot(torch.randint(0, 2, (4, 3)), 2).float()
    centred = v - 0.5
    hebb = association._learnt(rules.Hebb(rate=0.5, w_min=-1e6, w_max=1e6), u, v)
    assert torch.allclose(hebb, 0.5 * torch.einsum("tbv,tbh->bvh", centred, u), atol=1e-6)
    oja, delta = torch.zeros(3, 2, 6), torch.zeros(3, 2, 6)
    for x, y, target in zip(u, v, centred, strict=True):
        for b in range(3):
            for i in range(2):
                oja[b, i] += 0.3 * y[b, i] * (x[b] - y[b, i] * oja[b, i])
                delta[b, i] += 0.1 * (target[b, i] - delta[b, i] @ x[b]) * x[b]
    assert torch.allclose(association._learnt(rules.Oja(rate=0.3), u, v), oja, atol=1e-6)
    assert torch.allclose(association._learnt(rules.Delta(rate=0.1), u, v), delta, atol=1e-6)


def test_without_a_rule_recall_is_at_chance() -> None:
    found = association.one_shot("none", config=association.Config(tested=500))
    # 4000 cues of a trial share no values
    assert abs(found["accuracy"] - 0.25) < 4 * math.sqrt(0.25 * 0.75 / 4000)


def test_memories_by_hand_and_gradients_reach_them() -> None:
    torch.manual_seed(0)
    config = association.Config(key_size=4, values=3)
    u, v = torch.randn(5, 2, 8), torch.nn.functional.one_hot(torch.randint(0, 3, (5, 2)), 3).float()
    centred = v - 1 / 3
    for memory in association.MEMORIES[1:]:
        net = association.AssociativeNet("FlipFlop", 8, memory, config)
        learnt = net.write(u, v)
        by_hand = torch.zeros(2, 3, 8)
        for x, y in zip(u, centred, strict=True):  # eta is 1/2 at first
            for b in range(2):
                outer = torch.outer(y[b], x[b])
                if memory == "hebb":
                    by_hand[b] += outer
                elif memory == "trace":
                    by_hand[b] += (outer - by_hand[b]) / 2
                else:
                    by_hand[b] += torch.outer(y[b] - by_hand[b] @ x[b], x[b]) / (2 * x[b] @ x[b])
        assert torch.allclose(learnt, by_hand, atol=1e-5)
        trial = paired_associates(5, 2, 4, 3)
        net(trial.inputs).square().sum().backward()
        assert all(p.grad is not None for p in net.layer.parameters())
        assert net.log_gain.grad.abs() > 0 and (memory == "hebb") == (net.eta.grad is None)


def test_ideal_answer_is_the_posterior() -> None:
    trial = paired_associates(3, 4, 5, 2, flipped=0.2, generator=torch.Generator().manual_seed(0))
    found = association.ideal(trial, 5, 0.2)
    for step, b in itertools.product(range(3), range(4)):
        cue, weights = trial.inputs[3 + step, b, :5], []
        for pair in range(3):
            wrong = int((cue != trial.inputs[pair, b, :5]).sum())
            weights.append(0.2**wrong * 0.8 ** (5 - wrong))
        share = sum(
            w * float(trial.inputs[p, b, 5]) for p, w in enumerate(weights)
        ) / sum(weights)  # fmt: skip
        assert abs(float(found[step, b, 0]) - share) < 1e-5


def test_a_memory_recalls_what_a_state_does_not() -> None:
    """A short training; the full one is `python -m neuroflip.sims.paper.plasticity association`."""
    config = association.Config(pairs=4, updates=150, tested=100)
    without = association.train("FlipFlop", config=config)
    with_memory = association.train("FlipFlop + hebb", config=config)
    assert with_memory["accuracy"] > without["accuracy"] + 0.1
    assert with_memory["silenced"] < without["accuracy"]


# Remapping


def test_delta_online_is_the_lms_loop() -> None:
    torch.manual_seed(0)
    net = Sequential("FlipFlop", 6, 5, 3)
    inputs, targets = torch.randn(40, 6, 6), torch.randint(0, 3, (40,))
    draws = torch.Generator().manual_seed(0)
    right = remapping._online(net, "delta", 0.05, inputs, targets, draws)
    with torch.no_grad():
        states = net.layer(inputs)[0][:, -1].double().numpy()
    weight = net.readout.weight.detach().double().numpy().copy()
    bias = net.readout.bias.detach().double().numpy().copy()
    for state, target, found in zip(states, targets.tolist(), right.tolist(), strict=True):
        said = weight @ state + bias
        assert found == (said.argmax() == target)
        error = np.eye(3)[target] - said
        weight += 0.05 * np.outer(error, state)
        bias += 0.05 * error


def test_a_changed_mapping_defeats_a_net_that_does_not_learn() -> None:
    config = remapping.Config(updates=150, blocks=1, trials=60, last=30, heads=2)
    found = remapping.adapt(config=config)
    none = found["learners"][0]
    # Each stimulus asks for another response now: what was right is wrong
    assert none["accuracy"] <= 1 - found["before"] + 0.1
    assert max(each["accuracy"] for each in found["learners"]) > none["accuracy"] + 0.2


# Continual learning


def test_rls_forgets_nothing_it_is_ridge_regression_on_all_tasks() -> None:
    torch.manual_seed(0)
    config = continual.Config(units_random=12, classes=3)
    net = Sequential("FlipFlop", config.channels, 12, 3)
    readout = continual._Readout(net, "random FlipFlop + RLS", config)
    seen, wanted = [], []
    for _ in range(6):
        inputs, labels = torch.randn(10, 20, config.channels), torch.randint(0, 3, (20,))
        readout.update(inputs, labels)
        seen.append(readout._states(inputs).double())
        wanted.append(torch.nn.functional.one_hot(labels, 3).double())
    x, y = torch.cat(seen), torch.cat(wanted)
    expected = torch.linalg.solve(x.t() @ x + torch.eye(13), x.t() @ y).t()
    assert torch.allclose(readout.layer.weight.double(), expected, atol=1e-3)


def test_projection_stops_moves_along_what_was_seen() -> None:
    torch.manual_seed(0)
    weight = torch.nn.Parameter(torch.randn(3, 6))
    projection = continual._Projection(weight, 1e-4)
    basis = torch.linalg.qr(torch.randn(6, 6)).Q
    projection.remember(torch.randn(200, 2) @ basis[:2])
    projection.mark()
    with torch.no_grad():
        weight += torch.ones(3, 1) * (basis[0] + basis[4])
    projection.project()
    moved = (weight.detach() - projection.before) @ basis.t()
    assert moved[:, :2].abs().max() < 1e-3 and torch.allclose(moved[:, 4], torch.ones(3), atol=1e-3)


# Tables


def test_tables_go_on_where_they_were(tmp_path: Path) -> None:
    path = plasticity.run("continual", 1, True, tmp_path)
    table = files.read(path)
    first = path.read_bytes()
    assert plasticity.run("continual", 1, True, tmp_path).read_bytes() == first
    kept = table["runs"][:-1]
    write(path, {key: value for key, value in table.items() if key != "runs"}, kept)
    again = files.read(plasticity.run("continual", 1, True, tmp_path))["runs"]
    one, other = again[-1], files.read(path)["runs"][-1]
    assert one["matrix"] == other["matrix"] and len(again) == len(continual.METHODS)
    rows = plasticity.summary(table)
    assert rows["FlipFlop"]["measures"]["average"] == [table["runs"][0]["average"]]
    with pytest.raises(ValueError, match="unknown part 'signal'; did you mean 'signals'"):
        plasticity.run("signal")


def test_summaries_pair_by_seed() -> None:
    def found(net: str, seed: int, accuracy: float) -> dict:
        tests = {"by_flipped": {"0.2": 0.0}, "by_erased": {"0.5": 0.0}, "by_pairs": {"16": 0.0}}
        return {"job": {"net": net}, "seed": seed, "accuracy": accuracy, **tests}

    runs = [found("FlipFlop", s, 0.1 * s) for s in (2, 0, 1)]
    runs += [found("FlipFlop + hebb", s, 0.1 * s + 0.5) for s in (0, 1)]
    rows = plasticity.summary({"experiment": "E7, association", "runs": runs})
    against = rows["FlipFlop + hebb"]["against"]["FlipFlop"]
    assert against.pairs == 2 and math.isclose(against.mean, 0.5) and against.p == 0.5


def test_figure_8_draws_what_the_table_has(tmp_path: Path, monkeypatch) -> None:
    def found(condition: str, mode: str | None, seed: int, error: float) -> dict:
        usual = signals.RULES[condition][1] if mode else None
        return {
            "condition": condition, "mode": mode, "rate": usual, "spikes": None, "seed": seed,
            "error": error, "constant": 0.4, "epochs": [1, 2], "losses": [error + 1, error],
        }  # fmt: skip

    runs = [found("plain", None, s, 0.1 + s) for s in (0, 1)]
    runs += [found("oja", "after_step", 0, 0.2), found("oja", "replace", 0, 0.3)]
    path = tmp_path / "e7_signals_quick.json"
    write(path, {"experiment": "E7, signals", "config": {}}, runs)
    monkeypatch.setattr(plasticity, "run", lambda *_: path)
    sheet, numbers = plasticity.figure_8(Job(True, tmp_path))
    assert numbers["losses"]["plain"]["losses"].tolist() == [[1.1, 0.1], [2.1, 1.1]]
    assert numbers["finals"]["oja, replace"] == pytest.approx([0.75]) and "oja" in numbers["losses"]
    labels = [line.get_label() for line in sheet.axes[0].get_lines()]
    assert labels == ["plain", "oja"]
