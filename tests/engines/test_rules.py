"""What a rule's declaration can say, in every engine: against a hand-written loop and Brian2."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
import pytest
from numpy.testing import assert_allclose

import neuroflip as nf
from neuroflip import rules
from neuroflip.parameters import parameter
from neuroflip.rules import Rule
from neuroflip.units import ms, mV

DT = 0.1 * ms
STEPS = 1200


@final
@dataclass(frozen=True)
class Everything(Rule):
    """Uses all of the language: decays, flows, a kept variable, a third factor, v, transmission."""

    tau: float = parameter(20 * ms, "s", above=0)
    rate: float = parameter(0.3)
    w_min: float = parameter(0.0)
    w_max: float = parameter(1.0)

    equations: ClassVar[str] = """
        dx/dt = -x/tau
        dy/dt = -y/tau
        dd/dt = reward - d/tau
        dm/dt = (100*v_post - m)/tau
        du/dt = -u/tau
        dlast/dt = 0
        dw/dt = rate*(x*y - w*y*y) + d*m*x
    """
    on_pre: ClassVar[str] = """
        w += 0.1*(t - last)
        last = t
        x += 1
        u += 0.3*(1 - u)
        w += v_post
    """
    on_post: ClassVar[str] = """
        y += 1
        w -= 0.5*(t - last)
    """
    transmit: ClassVar[str] = "w*(1 - u)*0.02"
    signals: ClassVar[tuple[str, ...]] = ("reward",)
    reads: ClassVar[tuple[str, ...]] = ("v",)


def circuit(dendritic: float, axonal: float = 0.0) -> nf.Circuit:
    rule = Everything()
    return nf.Circuit(
        "everything",
        [nf.Population("A", nf.DeltaLIF(), 3), nf.Population("B", nf.DeltaLIF(tau_m=10 * ms), 2)],
        [
            nf.Projection("in", "A", 0.4, rule=rule, dendritic_delay=dendritic,
                          axonal_delay=axonal),
            nf.Projection("in", "B", 0.5, rule=rule),
            nf.Projection("A", "B", 5 * mV, rule=rules.PairSTDP(w_max=20 * mV)),
            nf.Projection("A", "B", 1 * mV, name="static"),
        ],
        [
            nf.SpikeInput("in", 4),
            nf.SignalInput("reward", target="in->A"),
            nf.SignalInput("other", signal="reward", target="in->B"),
        ],
    )  # fmt: skip


def inputs(seed: int, shape: tuple[int, ...]) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    trains = [np.flatnonzero(rng.random(STEPS) < 0.03) * DT for _ in range(4)]
    return {"in": trains, "reward": rng.normal(0, 5, shape)}


@pytest.mark.parametrize("dendritic", [0.0, 2 * ms])
@pytest.mark.parametrize("shape", [(STEPS,), (STEPS, 3)])
def test_engines_agree_on_everything_a_rule_can_say(
    dendritic: float, shape: tuple[int, ...]
) -> None:
    c = circuit(dendritic, axonal=1 * ms)
    record = ["v", "in->A", "in->B"]
    report = nf.compare(c, inputs(3, shape), duration=STEPS * DT, dt=DT, record=record)
    assert report.spikes["brian2"] > 50
    assert report.ok, report


@pytest.mark.parametrize("engine", ["numba", "torch", "brian2"])
def test_a_hand_written_loop(engine: str) -> None:
    """One synapse with all of it, in the order of docs/order.md."""
    neuron = nf.DeltaLIF(refractory=0.0)
    single = nf.Circuit(
        "single",
        [nf.Population("A", neuron)],
        [nf.Projection("in", "A", 0.4, rule=Everything())],
        [nf.SpikeInput("in"), nf.SignalInput("reward")],
    )
    rng = np.random.default_rng(5)
    arrives = rng.random(STEPS) < 0.05
    reward = rng.normal(0, 5, STEPS)
    rec = nf.simulate(single, {"in": np.flatnonzero(arrives) * DT, "reward": reward},
                      duration=STEPS * DT, dt=DT, engine=engine, record=["v", "in->A"])  # fmt: skip

    tau, rate = 20 * ms, 0.3
    x = y = d = m = u = last = v = 0.0
    w = 0.4
    fired = []
    for k in range(STEPS):
        assert_allclose([rec.traces["A.v"][k, 0], rec.weight_history["in->A"][k, 0]], [v, w],
                        rtol=0, atol=1e-13)  # fmt: skip
        slope_d = reward[k] - d / tau
        slope_m = (100 * v - m) / tau
        slope_w = rate * (x * y - w * y * y) + d * m * x
        decay = math.exp(-DT / tau)
        x, y, u = x * decay, y * decay, u * decay
        d, m, w = d + DT * slope_d, m + DT * slope_m, min(max(w + DT * slope_w, 0.0), 1.0)
        v *= math.exp(-DT / neuron.tau_m)
        spike = v > neuron.v_threshold
        before, sent = v, 0.0
        if arrives[k]:
            sent = w * (1 - u) * 0.02
            w = min(max(w + 0.1 * (k * DT - last), 0.0), 1.0)
            last = k * DT
            x += 1
            u += 0.3 * (1 - u)
            w = min(max(w + before, 0.0), 1.0)
        if spike:
            y += 1
            w = min(max(w - 0.5 * (k * DT - last), 0.0), 1.0)
            fired.append(k)
        v += sent
        if spike:
            v = 0.0
    assert len(fired) > 10
    assert_allclose(rec.spikes["A"], np.array(fired) * DT, atol=1e-12)


@final
@dataclass(frozen=True)
class Copying(Rule):
    """Keeps what a variable was before it is raised."""

    tau: float = parameter(20 * ms, "s", above=0)
    equations: ClassVar[str] = "dx/dt = -x/tau\ndbefore/dt = 0"
    on_pre: ClassVar[str] = "before = x\nx += 1\nw += before"


@pytest.mark.parametrize("engine", ["numba", "torch", "brian2"])
def test_a_copy_of_a_variable_is_its_own(engine: str) -> None:
    c = nf.Circuit(
        "copy",
        [nf.Population("A", nf.DeltaLIF(v_threshold=100.0))],
        [nf.Projection("in", "A", 0.5, rule=Copying())],
        [nf.SpikeInput("in")],
    )
    rec = nf.simulate(c, {"in": [1 * ms, 3 * ms]}, duration=5 * ms, dt=DT, engine=engine)
    assert rec.weights["in->A"][0] == pytest.approx(0.5 + math.exp(-2 / 20), abs=1e-14)


@final
@dataclass(frozen=True)
class LateCopy(Rule):
    """The same on the postsynaptic side."""

    tau: float = parameter(20 * ms, "s", above=0)
    equations: ClassVar[str] = "dy/dt = -y/tau\ndbefore/dt = 0"
    on_post: ClassVar[str] = "before = y\ny += 1"
    on_pre: ClassVar[str] = "w += before"


@final
@dataclass(frozen=True)
class PostFirst(Rule):
    """Takes the voltage, and multiplies what either side adds: every order is another weight."""

    tau: float = parameter(20 * ms, "s", above=0)
    equations: ClassVar[str] = "dx/dt = -x/tau\ndy/dt = -y/tau"
    on_pre: ClassVar[str] = "w += 0.1*(1 + y)*w\nx += 1"
    on_post: ClassVar[str] = "w = 0.5*w + 0.01*x + v_post\ny += 1"
    reads: ClassVar[tuple[str, ...]] = ("v",)
    first: ClassVar[Any] = "post"


def forced(rule: Rule, post: list[float], **delays: float) -> tuple[nf.Circuit, Any]:
    """One synapse, whose neuron fires when it is told."""
    neuron = nf.DeltaLIF(tau_m=DT, v_threshold=1e3, refractory=0.0)
    wave = np.zeros(200)
    wave[np.round(np.array(post) / DT).astype(int)] = 1e4 / neuron.resistance
    made = nf.Circuit(
        "forced",
        [nf.Population("A", neuron)],
        [nf.Projection("in", "A", 0.5, rule=rule, **delays)],
        [nf.SpikeInput("in"), nf.CurrentInput("force", "A")],
    )
    return made, wave


@pytest.mark.parametrize("engine", ["numba", "torch", "brian2"])
def test_a_copy_on_the_other_side_is_its_own(engine: str) -> None:
    c, wave = forced(LateCopy(), [1 * ms, 3 * ms])
    rec = nf.simulate(c, {"in": [4 * ms], "force": wave}, duration=20 * ms, dt=DT, engine=engine)
    assert rec.weights["in->A"][0] == pytest.approx(0.5 + math.exp(-2 / 20), abs=1e-14)


@pytest.mark.parametrize("engine", ["numba", "torch", "brian2"])
def test_on_post_runs_first_where_the_rule_says_so(engine: str) -> None:
    """At 4 ms both sides reach the synapse; what is passed on has taken in on_post."""
    c, wave = forced(PostFirst(), [1 * ms, 3 * ms], dendritic_delay=1 * ms)
    rec = nf.simulate(
        c, {"in": [2.5 * ms, 4 * ms], "force": wave}, duration=20 * ms, dt=DT, engine=engine,
        record=["v", "in->A"],
    )  # fmt: skip
    v = rec.traces["A.v"][:, 0]
    w = 0.5 * 0.5  # the neuron's spike of 1 ms
    w *= 1.1 + 0.1 * math.exp(-0.5 / 20)
    assert rec.weight_history["in->A"][30, 0] == pytest.approx(w, abs=1e-14)
    w = 0.5 * w + 0.01 * math.exp(-1.5 / 20) + 0.25 * math.exp(-5)  # of what came five steps ago
    assert v[51] == pytest.approx(w + 0.25 * math.exp(-15), abs=1e-14)  # after the dendrite
    w *= 1.2 + 0.1 * math.exp(-2 / 20)
    assert rec.weights["in->A"][0] == pytest.approx(w, abs=1e-14)


def test_levels_of_variables() -> None:
    """A trace belongs to one neuron where nothing else moves it."""
    levels = dict(Everything().model().level)
    assert levels == {
        "x": "pre", "y": "post", "d": "post", "m": "post", "u": "pre", "last": "pre",
    }  # fmt: skip
    assert dict(rules.PairSTDP().model().level) == {"x": "pre", "y": "post"}


@final
@dataclass(frozen=True)
class Eligible(Rule):
    """An eligibility moved by both sides, and a trace that reads the weight."""

    tau: float = parameter(20 * ms, "s", above=0)
    equations: ClassVar[str] = "dx/dt = -x/tau\ndc/dt = -c/tau\ndz/dt = -z/tau"
    on_pre: ClassVar[str] = "x += 1\nc += z\nz += w"
    on_post: ClassVar[str] = "c += x"


def test_what_both_sides_or_the_weight_move_is_the_synapses() -> None:
    assert dict(Eligible().model().level) == {"x": "pre", "c": "synapse", "z": "synapse"}
    assert not Eligible().plastic  # no weight ever changes


@pytest.mark.parametrize(
    ("add", "message"),
    [
        ([], "Everything reads the signal 'reward'; expected one nf.SignalInput"),
        ([nf.SignalInput("reward"), nf.SignalInput("b", "reward")], "got 2"),
        ([nf.SignalInput("reword"), nf.SignalInput("reward")],
         "SignalInput 'reword': no rule here reads 'reword'; did you mean 'reward'"),
        ([nf.SignalInput("reward", target="in->B")],
         "there is no projection 'in->B'; did you mean 'in->A'"),
    ],
)  # fmt: skip
def test_signals_that_do_not_fit_are_refused(add: list[nf.SignalInput], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        nf.Circuit(
            "c",
            [nf.Population("A", nf.DeltaLIF())],
            [nf.Projection("in", "A", 0.4, rule=Everything())],
            [nf.SpikeInput("in"), *add],
        )
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"signal": 3}, "SignalInput 'r': signal must be a non-empty name"),
        ({"target": None}, "SignalInput 'r': target must be the name of a projection"),
    ],
)  # fmt: skip
def test_signal_inputs_are_checked(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        nf.SignalInput("r", **given)
    assert message in str(caught.value)


def test_a_neuron_that_a_rule_can_read_is_named() -> None:
    with pytest.raises(ValueError, match="Neurons that have it: FilteredLIF."):
        nf.Circuit(
            "c",
            [nf.Population("A", nf.DeltaLIF())],
            [nf.Projection("in", "A", 0.4, rule=rules.ClopathSTDP())],
            [nf.SpikeInput("in")],
        )


def test_a_rule_reads_what_the_neuron_has() -> None:
    @final
    @dataclass(frozen=True)
    class Reader(Rule):
        on_pre: ClassVar[str] = "w += u_minus_post"
        reads: ClassVar[tuple[str, ...]] = ("u_minus",)

    with pytest.raises(
        ValueError, match="Reader reads 'u_minus' of the postsynaptic neuron; Delta"
    ):
        nf.Circuit(
            "c",
            [nf.Population("A", nf.DeltaLIF())],
            [nf.Projection("in", "A", 0.4, rule=Reader())],
            [nf.SpikeInput("in")],
        )


def test_rules_of_whole_layers_are_refused() -> None:
    @final
    @dataclass(frozen=True)
    class Normalise(Rule):
        equations: ClassVar[str] = "dw/dt = 1 - sum_pre(w)"

    with pytest.raises(ValueError, match=r"Normalise joins many synapses .* rules.attach"):
        nf.Circuit(
            "c",
            [nf.Population("A", nf.DeltaLIF())],
            [nf.Projection("in", "A", 0.4, rule=Normalise())],
            [nf.SpikeInput("in")],
        )


def test_a_signal_is_saved_with_the_recording(tmp_path: Any) -> None:
    c = nf.Circuit(
        "c",
        [nf.Population("A", nf.DeltaLIF())],
        [nf.Projection("in", "A", 0.4, rule=rules.PairSTDP())],
        [nf.SpikeInput("in")],
    )
    rec = nf.simulate(c, {"in": [1 * ms]}, duration=5 * ms)
    rec.save(tmp_path / "r.npz")
    assert nf.Recording.load(tmp_path / "r.npz") == rec


def test_signal_waveforms_are_checked() -> None:
    c = circuit(0.0)
    with pytest.raises(
        ValueError, match=r"inputs\['reward'\]: a waveform must have shape \(1200,\)"
    ):
        nf.simulate(c, {"reward": np.zeros((STEPS, 2))}, duration=STEPS * DT, dt=DT)
    steps = nf.simulate(c, {"reward": [(0.0, 10 * ms, 2.0)]}, duration=STEPS * DT, dt=DT)
    assert steps.drives[0].signals["reward"][:101].sum() == pytest.approx(200.0)
    assert not steps.drives[0].signals["other"].any()
