"""The options of PairSTDP against their definition: which spikes are pairs, spike by spike."""

import dataclasses
import itertools
import math
from typing import Any

import numpy as np
import pytest

import neuroflip as nf
from neuroflip.rules.stdp import PairSTDP

DT = 1e-4
STEPS = 240
FORCED = nf.DeltaLIF(tau_m=DT, v_threshold=1e4, refractory=0.0)
PAIRINGS = ("all", "nearest", "presynaptic", "restricted")
COINCIDENCES = ("potentiate", "depress", "both", "none", "cancel")
ORDERS = ("pre", "post", "together")
Train = list[int]  # steps


class Pairs:
    """Which spikes of two trains (steps) are partners, from the words of the options."""

    def __init__(self, pre: Train, post: Train, pairing: str, coincidence: str) -> None:
        self.pre, self.post = sorted(pre), sorted(post)
        self.pairing, self.coincidence = pairing, coincidence
        pre_first = coincidence in ("potentiate", "both")
        post_first = coincidence != "potentiate"
        # Spikes of one step stand in an order; with "both" each is after the other
        self.when_up = {"pre": 0.0, "post": 0.5} if pre_first else {"pre": 0.5, "post": 0.0}
        self.when_down = {"pre": 0.5, "post": 0.0} if post_first else {"pre": 0.0, "post": 0.5}

    def potentiating(self, post: int) -> Train:
        """The presynaptic spikes that this postsynaptic spike meets."""
        at = {p: p + self.when_up["pre"] for p in self.pre}
        now = post + self.when_up["post"]
        found = [p for p in self.pre if at[p] < now]
        if self.coincidence == "cancel" and post in self.pre:
            return []
        if self.pairing in ("presynaptic", "restricted"):
            others = [q + self.when_up["post"] for q in self.post]
            found = [p for p in found if not any(at[p] < q < now for q in others)]
        return found[-1:] if self.pairing in ("nearest", "restricted") else found

    def depressing(self, pre: int) -> Train:
        """The postsynaptic spikes that this presynaptic spike meets."""
        at = {q: q + self.when_down["post"] for q in self.post}
        now = pre + self.when_down["pre"]
        found = [q for q in self.post if at[q] < now]
        if self.coincidence == "cancel" and pre in self.post:
            return []
        if self.coincidence == "none":
            found = [q for q in found if q != pre]
        if self.pairing == "restricted":
            others = [p + self.when_down["pre"] for p in self.pre]
            found = [q for q in found if not any(at[q] < p < now for p in others)]
        return found if self.pairing == "all" else found[-1:]

    def depressing_alone(self, pre: int) -> Train:
        """The same, of a presynaptic spike without a postsynaptic one in its step."""
        rest = Pairs(self.pre, [q for q in self.post if q != pre], self.pairing, self.coincidence)
        return rest.depressing(pre)


def expected(rule: PairSTDP, w: float, pre: Train, post: Train, dt: float = DT) -> float:
    pairs = Pairs(pre, post, rule.pairing, rule.coincidence)
    span = rule.w_max - rule.w_min

    def clip(weight: float) -> float:
        return min(max(weight, rule.w_min), rule.w_max)

    def up(weight: float, partners: Train, k: int) -> float:
        x = math.fsum(math.exp(-(k - p) * dt / rule.tau_plus) for p in partners)
        base = rule.w_max - weight if rule.base_plus == "room" else weight - rule.w_min
        return rule.a_plus * span * (base / span) ** rule.mu_plus * x

    def down(weight: float, partners: Train, k: int) -> float:
        y = math.fsum(math.exp(-(k - q) * dt / rule.tau_minus) for q in partners)
        return rule.a_minus * span * ((weight - rule.w_min) / span) ** rule.mu_minus * y

    for k in sorted({*pre, *post}):
        if k in pre and k not in post:
            w = clip(w - down(w, pairs.depressing(k), k))
        elif k not in pre:
            w = clip(w + up(w, pairs.potentiating(k), k))
        elif rule.order == "pre":
            alone = pairs.depressing_alone(k)
            w = clip(w - down(w, alone, k))
            rest = down(w, pairs.depressing(k), k) - down(w, alone, k)
            w = clip(w + up(w, pairs.potentiating(k), k) - rest)
        elif rule.order == "post":
            w = clip(w + up(w, pairs.potentiating(k), k))
            w = clip(w - down(w, pairs.depressing(k), k))
        else:
            w = clip(w + up(w, pairs.potentiating(k), k) - down(w, pairs.depressing(k), k))
    return w


def circuit(
    rules: list[PairSTDP], pre: list[Train], post: list[Train], weight: Any, **delays: Any
) -> tuple[nf.Circuit, dict[str, Any]]:
    """Synapses one to one, one projection a rule; post neurons are fired in the very step."""
    wave = np.zeros((STEPS, len(post)))
    for j, train in enumerate(post):
        wave[train, j] = 1.0
    made = nf.Circuit(
        "pairs", [nf.Population("post", FORCED, len(post))],
        [
            nf.Projection("pre", "post", weight, pattern=nf.OneToOne(), rule=r, name=f"w{i}",
                          **delays)
            for i, r in enumerate(rules)
        ],
        [nf.SpikeInput("pre", len(pre)), nf.CurrentInput("force", "post")],
    )  # fmt: skip
    return made, {"pre": [np.array(t) * DT for t in pre], "force": wave}


def trains(rng: Any, count: int, p: float = 0.1) -> list[Train]:
    return [np.flatnonzero(rng.random(STEPS - 20) < p).tolist() for _ in range(count)]


HAND: list[tuple[Train, Train]] = [
    ([20], [20]),
    ([20, 21], [20, 21]),
    ([0], [0]),
    ([], [0, 5]),
    ([0, 3, 9], [9]),
    ([9], [0, 3, 9]),
    ([10, 20, 30], [20, 40]),
    ([10, 20, 35, 50], [20, 30, 40]),
    (list(range(30, 60)), list(range(30, 60))),
    (list(range(30, 60)), [45, 59, 61]),
    ([45, 59, 61], list(range(30, 60))),
    (list(range(0, 100, 2)), list(range(1, 100, 2))),
]


def cases(rng: Any) -> tuple[list[Train], list[Train], Any]:
    """Hand-made and random trains, simultaneous spikes among them, and starting weights."""
    pre, post = (list(t) for t in zip(*HAND, strict=True))
    pre, post = pre + trains(rng, 4), post + trains(rng, 4)
    assert any(set(p) & set(q) for p, q in zip(pre[-4:], post[-4:], strict=True))
    return pre, post, rng.uniform(-0.5, 1.5, len(pre))


RULE = PairSTDP(
    tau_plus=0.004, tau_minus=0.007, a_plus=0.05, a_minus=0.06, mu_plus=0.4, mu_minus=0.7,
    w_min=-0.5, w_max=1.5,
)  # fmt: skip


@pytest.mark.parametrize(("mu", "base"), [(0.0, "room"), (0.7, "room"), (0.7, "weight")])
@pytest.mark.parametrize("pairing", PAIRINGS)
def test_every_option_against_its_definition(pairing: str, mu: float, base: str) -> None:
    """Additive steps so large that weights hit both bounds, and weight dependence."""
    pre, post, weight = cases(np.random.default_rng(3))
    options = list(itertools.product(COINCIDENCES, ORDERS))
    large = 0.2 if mu == 0 else 0.06
    rules = [
        dataclasses.replace(
            RULE,
            pairing=pairing,
            coincidence=c,
            order=o,
            mu_plus=mu,
            mu_minus=mu,
            a_plus=large,
            base_plus=base,
        )  # fmt: skip
        for c, o in options
    ]
    made, inputs = circuit(rules, pre, post, weight)
    rec = nf.simulate(made, inputs, duration=STEPS * DT, engine="torch", record=["w0"])
    wanted = np.array(
        [
            [expected(r, w, p, q) for w, p, q in zip(weight, pre, post, strict=True)]
            for r in rules
        ]
    )  # fmt: skip
    found = np.array([rec.weights[f"w{i}"] for i in range(len(rules))])
    assert np.abs(found - wanted).max() < 1e-12
    distinct = {tuple(row.round(9)) for row in wanted}
    assert len(distinct) > 5  # the options do differ on these trains


CHOSEN = [
    ("all", "depress", "post", "after", "room"),
    ("nearest", "cancel", "together", "before", "weight"),
    ("presynaptic", "none", "post", "after", "room"),
    ("restricted", "both", "pre", "after", "weight"),
    ("all", "potentiate", "pre", "before", "weight"),
]


def test_all_engines_agree_with_delays() -> None:
    """A covering choice of options in numba, torch and Brian2, delays on both sides, and what
    arrives at the soma."""
    rng = np.random.default_rng(7)
    pre, post, weight = cases(rng)
    n = len(pre)
    axonal, dendritic = rng.integers(0, 9, n), rng.integers(0, 9, n)
    rules = [
        dataclasses.replace(RULE, pairing=p, coincidence=c, order=o, sends=s, base_plus=b)
        for p, c, o, s, b in CHOSEN
    ]
    made, inputs = circuit(
        rules, pre, post, weight, axonal_delay=axonal * DT, dendritic_delay=dendritic * DT
    )
    names = [f"w{i}" for i in range(len(rules))]
    report = nf.compare(made, inputs, duration=STEPS * DT, record=["v", *names], dt=DT)
    assert report.ok, str(report)
    for i, rule in enumerate(rules):
        wanted = [
            expected(rule, w, [t + int(a) for t in p], [t + int(d) for t in q])
            for w, p, q, a, d in zip(weight, pre, post, axonal, dendritic, strict=True)
        ]
        found = report.recordings["numba"].weights[f"w{i}"]
        assert np.abs(found - np.array(wanted)).max() < 1e-12, CHOSEN[i]


@pytest.mark.parametrize(
    "change", [{"pairing": "all"}, {"coincidence": "depress"}, {"order": "together"}]
)
def test_artefacts_where_there_are_none_to_have(change: dict[str, str]) -> None:
    of_nest = PairSTDP.like("nest", synapse_model="stdp_nn_restr_synapse")
    with pytest.raises(ValueError, match=r"^PairSTDP.artefacts 'nest' needs pairing 'nearest'"):
        dataclasses.replace(of_nest, **change)  # type: ignore[arg-type]
    with pytest.raises(NotImplementedError, match="depends on its time"):
        of_nest.window(0.01, 1.0)


def test_what_is_sent() -> None:
    """One presynaptic spike, 2 ms after a postsynaptic one: before or after its depression."""
    rules = [dataclasses.replace(RULE, sends=s) for s in ("before", "after")]
    for rule in rules:
        made, inputs = circuit([rule], [[50]], [[30]], 1.0)
        rec = nf.simulate(made, inputs, duration=STEPS * DT, engine="torch", record="v", dt=DT)
        lost = 0.06 * 2 * (1.5 / 2) ** 0.7 * math.exp(-20 * DT / 0.007)
        assert math.isclose(rec.weights["w0"][0], 1.0 - lost, rel_tol=1e-12)
        sent = 1.0 if rule.sends == "before" else 1.0 - lost
        assert math.isclose(rec.traces["post.v"][51, 0], sent, rel_tol=1e-12)


@pytest.mark.parametrize("coincidence", COINCIDENCES)
def test_the_window_says_what_a_coincidence_does(coincidence: str) -> None:
    for order, base in itertools.product(ORDERS, ("room", "weight")):
        rule = dataclasses.replace(RULE, coincidence=coincidence, order=order, base_plus=base)
        for interval in (-30, 0, 30):
            change = expected(rule, 0.5, [100], [100 + interval]) - 0.5
            assert math.isclose(rule.window(interval * DT, 0.5), change, abs_tol=1e-15)


def test_a_single_pair_does_not_know_the_pairing() -> None:
    for pairing in PAIRINGS:
        rule = dataclasses.replace(RULE, pairing=pairing)
        made, inputs = circuit([rule], [[100]] * 3, [[90], [100], [110]], 0.5)
        rec = nf.simulate(made, inputs, duration=STEPS * DT, engine="torch", dt=DT)
        wanted = [rule.window(k * DT, 0.5) for k in (-10, 0, 10)]
        assert np.abs(rec.weights["w0"] - 0.5 - wanted).max() < 1e-14


@pytest.mark.parametrize(
    ("field", "word", "message"),
    [
        ("pairing", "nearby", "PairSTDP.pairing: unknown 'nearby'; did you mean 'nearest'?"),
        ("coincidence", "non", "PairSTDP.coincidence: unknown 'non'; did you mean 'none'?"),
        ("order", "together ", "PairSTDP.order: unknown 'together '; did you mean 'together'?"),
        ("base_plus", "weigth", "PairSTDP.base_plus: unknown 'weigth'; did you mean 'weight'?"),
        ("sends", None, "PairSTDP.sends: unknown None; known: before, after."),
    ],
)
def test_unknown_words_are_refused(field: str, word: Any, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        PairSTDP(**{field: word})
    assert str(caught.value).startswith(message)
