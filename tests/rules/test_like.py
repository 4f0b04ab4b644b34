"""`PairSTDP.like` against each peer: its published algorithm written here, and the peer itself
where it is installed. A layer of spike trains with many coincidences, weights near the bounds."""

import math
from typing import Any

import numpy as np
import pytest
import torch

import neuroflip as nf
from neuroflip import rules
from neuroflip.rules.stdp import PairSTDP
from neuroflip.units import ms

STEPS, INPUTS, OUTPUTS = 150, 4, 3
FORCED = nf.DeltaLIF(tau_m=1e-4, v_threshold=1e6, refractory=0.0)
Array = np.ndarray[Any, np.dtype[np.float64]]


def spikes(seed: int, p: float = 0.15) -> tuple[Array, Array]:
    """(steps, inputs) and (steps, outputs), 0 or 1."""
    rng = np.random.default_rng(seed)
    return (rng.random((STEPS, INPUTS)) < p) * 1.0, (rng.random((STEPS, OUTPUTS)) < p) * 1.0


def learned(rule: PairSTDP, pre: Array, post: Array, weight: Array, dt: float) -> Array:
    """Weights (inputs, outputs) at the end; every spike is at the synapse in its own step."""
    circuit = nf.Circuit(
        "layer", [nf.Population("post", FORCED, OUTPUTS)],
        [nf.Projection("pre", "post", weight, rule=rule)],
        [nf.SpikeInput("pre", INPUTS), nf.CurrentInput("force", "post")],
    )  # fmt: skip
    times = [np.flatnonzero(train) * dt for train in pre.T]
    wave = post * 2e6 / circuit.population("post").neuron.resistance
    rec = nf.simulate(
        circuit, {"pre": times, "force": wave}, duration=STEPS * dt, dt=dt, engine="torch"
    )
    fired = np.zeros_like(post)
    fired[np.round(rec.spikes["post"] / dt).astype(int), rec.neurons["post"]] = 1
    assert np.array_equal(fired, post)
    found: Array = rec.weights["pre->post"].reshape(INPUTS, OUTPUTS)
    return found


def learned_and_sent(
    rule: PairSTDP, pre: Array, post: Array, weight: Array, dt: float, engine: str
) -> tuple[Array, Array]:
    """Also the sum of what reaches each output in each step, by a current that no reset erases."""
    cell = nf.LIF(tau_m=1e-4, v_threshold=1e6, refractory=0.0, tau_e=3 * dt, v_rest=0.0,
                  v_reset=0.0, drive=0.0, resistance=1.0)  # fmt: skip
    circuit = nf.Circuit(
        "layer", [nf.Population("post", cell, OUTPUTS)],
        [nf.Projection("pre", "post", weight, "excitatory", rule=rule)],
        [nf.SpikeInput("pre", INPUTS), nf.CurrentInput("force", "post")],
    )  # fmt: skip
    given = {"pre": [np.flatnonzero(train) * dt for train in pre.T],
             "force": np.vstack([post, 0 * post[:1]]) * 2e6}  # fmt: skip
    current = cell.receptors["excitatory"]
    rec = nf.simulate(
        circuit, given, duration=(STEPS + 1) * dt, dt=dt, engine=engine, record=current
    )
    fired = np.zeros_like(post)
    fired[np.round(rec.spikes["post"] / dt).astype(int), rec.neurons["post"]] = 1
    assert np.array_equal(fired, post)
    trace = rec.traces[f"post.{current}"]
    sent: Array = trace[1 : STEPS + 1] - trace[:STEPS] * math.exp(-1 / 3)
    return rec.weights["pre->post"].reshape(INPUTS, OUTPUTS), sent


def start(low: float, high: float) -> Array:
    weight = np.random.default_rng(9).uniform(low, high, (INPUTS, OUTPUTS))
    weight[0, 0], weight[1, 1] = low, high
    return weight


# ------------------------------------------------------------------ event by event


def events(pre: Array, post: Array) -> Any:
    """(input, output, its pre steps, its post steps)"""
    for i in range(INPUTS):
        for j in range(OUTPUTS):
            yield i, j, np.flatnonzero(pre[:, i]).tolist(), np.flatnonzero(post[:, j]).tolist()


def nest(
    pre: Array, post: Array, w: Array, dt: float, kind: str, p: dict[str, float]
) -> tuple[Array, Array]:
    """models/stdp*_synapse.h of NEST: at each presynaptic spike, the postsynaptic ones up to and
    with its own time potentiate; then those strictly before depress; then the weight is sent. The
    last presynaptic spike is at time 0 before there is any. Spikes since the last presynaptic one
    are counted at the end. Returns the weights, and what is sent to each output in each step."""
    w, sent = w.copy(), np.zeros((STEPS, OUTPUTS))
    for i, j, pres, posts in events(pre, post):
        k_plus, last, begin = 0.0, 0, -1
        for t in [*pres, STEPS]:
            history = [q for q in posts if begin < q <= t]
            one = kind in ("stdp_nn_pre_centered_synapse", "stdp_nn_restr_synapse")
            for q in history[:1] if one else history:
                x = math.exp((last - q) * dt / p["tau_plus"])
                x *= 1.0 if kind in ("stdp_nn_symm_synapse", "stdp_nn_restr_synapse") else k_plus
                if kind == "stdp_pl_synapse_hom":
                    w[i, j] += p["lambda_"] * w[i, j] ** p["mu"] * x
                    continue
                norm = w[i, j] / p["Wmax"]
                norm += p["lambda_"] * (1 - norm) ** p["mu_plus"] * x
                w[i, j] = min(norm, 1.0) * p["Wmax"]
            if kind == "stdp_nn_pre_centered_synapse" and history:
                k_plus = 0.0
            if t == STEPS:
                break
            before = [q for q in posts if q < t]
            if kind == "stdp_nn_restr_synapse" and not history:
                before = []
            sums = before if kind in ("stdp_synapse", "stdp_pl_synapse_hom") else before[-1:]
            y = math.fsum(math.exp((q - t) * dt / p["tau_minus"]) for q in sums)
            if kind == "stdp_pl_synapse_hom":
                w[i, j] = max(w[i, j] - p["alpha"] * p["lambda_"] * w[i, j] * y, 0.0)
            else:
                norm = w[i, j] / p["Wmax"]
                norm -= p["alpha"] * p["lambda_"] * norm ** p["mu_minus"] * y
                w[i, j] = max(norm, 0.0) * p["Wmax"]
            sent[t, j] += w[i, j]
            k_plus = 1 + k_plus * math.exp((last - t) * dt / p["tau_plus"])
            last = begin = t
    return w, sent


NEST = ["stdp_synapse", "stdp_nn_symm_synapse", "stdp_nn_pre_centered_synapse",
        "stdp_nn_restr_synapse"]  # fmt: skip


@pytest.mark.parametrize("engine", ["numba", "torch", "brian2"])
@pytest.mark.parametrize("kind", NEST)
@pytest.mark.parametrize("mu", [0.0, 0.4, 1.0])
def test_nest(kind: str, mu: float, engine: str) -> None:
    """Weights, and what spikes pass on."""
    p = {"tau_plus": 9 * ms, "tau_minus": 14 * ms, "lambda_": 0.2, "alpha": 1.2, "mu_plus": mu,
         "mu_minus": mu, "Wmax": 50.0}  # fmt: skip
    pre, post = spikes(1)
    early = post.argmax(0) < pre.argmax(0)[:, None]  # before any presynaptic spike
    assert early.any() and (pre.sum(1) @ post > 9).all()
    weight = start(0.0, 50.0)
    rule = PairSTDP.like("nest", synapse_model=kind, **p)
    found, sent = learned_and_sent(rule, pre, post, weight, 1 * ms, engine)
    wanted, wanted_sent = nest(pre, post, weight, 1 * ms, kind, p)
    assert np.abs(found - wanted).max() < 1e-11
    assert np.abs(sent - wanted_sent).max() < 1e-11


class Output(torch.nn.Module):
    """Gives what it is given: the spikes that a layer is to have sent."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


@pytest.mark.parametrize("kind", NEST)
def test_nest_on_a_layer(kind: str) -> None:
    """As attached to nn.Linear; also from the state of a layer that has been used before."""
    p = {"tau_plus": 9 * ms, "tau_minus": 14 * ms, "lambda_": 0.2, "alpha": 1.2, "mu_plus": 0.4,
         "mu_minus": 0.4, "Wmax": 50.0}  # fmt: skip
    pre, post = spikes(1)
    weight = start(0.0, 50.0)
    rule = PairSTDP.like("nest", synapse_model=kind, **p)
    wanted, _ = nest(pre, post, weight, 1 * ms, kind, p)
    layer, output = torch.nn.Linear(INPUTS, OUTPUTS, False, dtype=torch.float64), Output()
    first = torch.tensor(weight.T)
    torch.nn.init.zeros_(layer.weight)
    learner = rules.attach(layer, rule, post=output, dt=1 * ms)
    for _ in range(2):
        learner.reset()
        with torch.no_grad():
            layer.weight.copy_(first)
        for x, y in zip(torch.tensor(pre), torch.tensor(post), strict=True):
            layer(x[None])
            output(y[None])
            learner.step()
        assert np.abs(layer.weight.detach().numpy().T - wanted).max() < 1e-11


@pytest.mark.parametrize("alpha", [0.1, 1.2])
def test_nest_power_law(alpha: float) -> None:
    """stdp_pl_synapse_hom, whose unit of weight is 1 pA; then the same with weights in amperes."""
    kind = "stdp_pl_synapse_hom"
    p = {"tau_plus": 9 * ms, "tau_minus": 14 * ms, "lambda_": 0.2, "alpha": alpha, "mu": 0.4}
    pre, post = spikes(1)
    weight = start(0.0, 50.0)
    wanted, _ = nest(pre, post, weight, 1 * ms, kind, p)
    assert np.abs(wanted - weight).max() > 3 and wanted.max() < 90
    rule = PairSTDP.like("nest", synapse_model=kind, **p)
    found = learned(rule, pre, post, weight, 1 * ms)
    assert np.abs(found - wanted).max() < 1e-11
    rule = PairSTDP.like("nest", synapse_model=kind, **p, w0=1e-12, Wmax=300e-12)
    found = learned(rule, pre, post, weight * 1e-12, 1 * ms)
    assert np.abs(found - wanted * 1e-12).max() < 1e-23


def test_genn() -> None:
    """GeNN's STDP: the code of its documentation, on one clock: `if (dt > 0)` on the last spike
    of the other side, that of this step included."""
    p = {"tauPlus": 9 * ms, "tauMinus": 14 * ms, "Aplus": 0.3, "Aminus": 0.4, "Wmin": -1.0,
         "Wmax": 2.0}  # fmt: skip
    pre, post = spikes(3)
    weight = start(-1.0, 2.0)
    wanted = weight.copy()
    for i, j, pres, posts in events(pre, post):
        for t in sorted({*pres, *posts}):
            st_pre = max((s for s in pres if s <= t), default=-math.inf)
            st_post = max((s for s in posts if s <= t), default=-math.inf)
            if t in pres and t - st_post > 0:
                new = wanted[i, j] - p["Aminus"] * math.exp(-(t - st_post) * ms / p["tauMinus"])
                wanted[i, j] = max(p["Wmin"], min(p["Wmax"], new))
            if t in posts and t - st_pre > 0:
                new = wanted[i, j] + p["Aplus"] * math.exp(-(t - st_pre) * ms / p["tauPlus"])
                wanted[i, j] = max(p["Wmin"], min(p["Wmax"], new))
    found = learned(PairSTDP.like("genn", **p), pre, post, weight, 1 * ms)
    assert np.abs(found - wanted).max() < 1e-12


def test_brian2() -> None:
    """Brian2's STDP example, its lines in its order, on numbers."""
    p = {"taupre": 9 * ms, "taupost": 14 * ms, "dApre": 0.002, "dApost": -0.003, "gmax": 0.01}
    pre, post = spikes(4)
    weight = start(0.0, 0.01)
    w, a_pre, a_post = weight.copy(), np.zeros((INPUTS, 1)), np.zeros((1, OUTPUTS))
    for k in range(STEPS):
        a_pre, a_post = a_pre * math.exp(-1 / 9), a_post * math.exp(-1 / 14)
        here = pre[k][:, None] > 0
        a_pre = np.where(here, a_pre + p["dApre"], a_pre)
        w = np.where(here, np.clip(w + a_post, 0, p["gmax"]), w)
        here = post[k][None] > 0
        a_post = np.where(here, a_post + p["dApost"], a_post)
        w = np.where(here, np.clip(w + a_pre, 0, p["gmax"]), w)
    found = learned(PairSTDP.like("brian2", **p), pre, post, weight, 1 * ms)
    assert np.abs(found - w).max() < 1e-14


# ------------------------------------------------------------------ step by step


SNN = {"tau_pre": 6.0, "tau_post": 11.0, "f_pre": 0.03, "f_post": 0.02, "scale": 0.5}


def snn(pre: Array, post: Array, w: Array) -> Array:
    """stdp_linear_single_step of snnTorch, stdp_linear_step of SpikingJelly, f_pre and f_post
    constant, and `weight += scale*delta_w`."""
    w, x, y = w.copy(), np.zeros(INPUTS), np.zeros(OUTPUTS)
    for k in range(STEPS):
        x = x - x / SNN["tau_pre"] + pre[k]
        y = y - y / SNN["tau_post"] + post[k]
        delta = SNN["f_post"] * np.outer(x, post[k]) - SNN["f_pre"] * np.outer(pre[k], y)
        w += SNN["scale"] * delta
    return w


@pytest.mark.parametrize("peer", ["snntorch", "spikingjelly"])
@pytest.mark.parametrize("dt", [1 * ms, 0.1 * ms])
def test_snntorch_and_spikingjelly(peer: str, dt: float) -> None:
    pre, post = spikes(5)
    weight = start(-0.5, 0.5)
    rule = PairSTDP.like(peer, **SNN, w_min=-10.0, w_max=10.0, dt=dt)
    found = learned(rule, pre, post, weight, dt)
    assert np.abs(found - snn(pre, post, weight)).max() < 1e-12


def test_snntorch_itself() -> None:
    """Its STDPLearner on a linear layer, the postsynaptic spikes given."""
    torch = pytest.importorskip("torch")
    learner_of = pytest.importorskip("snntorch.functional.stdp_learner")
    pre, post = spikes(5)
    weight = start(-0.5, 0.5)
    layer = torch.nn.Linear(INPUTS, OUTPUTS, bias=False, dtype=torch.float64)
    layer.weight.data = torch.tensor(weight.T)
    x = y = None
    for k in range(STEPS):
        x, y, delta = learner_of.stdp_linear_single_step(
            layer, torch.tensor(pre[k : k + 1]), torch.tensor(post[k : k + 1]), x, y,
            SNN["tau_pre"], SNN["tau_post"], lambda w: SNN["f_pre"], lambda w: SNN["f_post"],
        )  # fmt: skip
        layer.weight.data += SNN["scale"] * delta
    rule = PairSTDP.like("snntorch", **SNN, w_min=-10.0, w_max=10.0)
    found = learned(rule, pre, post, weight, 1 * ms)
    assert np.abs(found - layer.weight.data.numpy().T).max() < 1e-12


def test_spikingjelly_itself() -> None:
    torch = pytest.importorskip("torch")
    learning = pytest.importorskip("spikingjelly.activation_based.functional.learning")
    pre, post = spikes(5)
    weight = start(-0.5, 0.5)
    w = torch.tensor(weight.T)
    state = torch.zeros(1, INPUTS, dtype=w.dtype), torch.zeros(1, OUTPUTS, dtype=w.dtype)
    for k in range(STEPS):
        delta, state = learning.stdp_linear_step(
            torch.tensor(pre[k : k + 1]), torch.tensor(post[k : k + 1]), state, w,
            tau_pre=SNN["tau_pre"], tau_post=SNN["tau_post"],
            f_pre=lambda w: torch.full_like(w, SNN["f_pre"]),
            f_post=lambda w: torch.full_like(w, SNN["f_post"]),
        )  # fmt: skip
        w = w + SNN["scale"] * delta
    rule = PairSTDP.like("spikingjelly", **SNN, w_min=-10.0, w_max=10.0)
    found = learned(rule, pre, post, weight, 1 * ms)
    assert np.abs(found - w.numpy().T).max() < 1e-12


NU = (0.2, 0.3)


def bindsnet(pre: Array, post: Array, w: Array, additive: bool) -> Array:
    """PostPre and the traces of Nodes: decay, set to 1 (or add 1), then both terms, then clamp."""
    w, x, y = w.copy(), np.zeros(INPUTS), np.zeros(OUTPUTS)
    for k in range(STEPS):
        x, y = x * math.exp(-1 / 9), y * math.exp(-1 / 14)
        x = x + pre[k] if additive else np.where(pre[k] > 0, 1.0, x)
        y = y + post[k] if additive else np.where(post[k] > 0, 1.0, y)
        w -= NU[0] * np.outer(pre[k], y)
        w += NU[1] * np.outer(x, post[k])
        w = np.clip(w, -0.5, 0.5)
    return w


@pytest.mark.parametrize("additive", [False, True])
def test_bindsnet(additive: bool) -> None:
    pre, post = spikes(6)
    weight = start(-0.5, 0.5)
    rule = PairSTDP.like(
        "bindsnet", nu=NU, source_tc_trace=9 * ms, target_tc_trace=14 * ms,
        traces_additive=additive, wmin=-0.5, wmax=0.5,
    )  # fmt: skip
    found = learned(rule, pre, post, weight, 1 * ms)
    assert np.abs(found - bindsnet(pre, post, weight, additive)).max() < 1e-12


@pytest.mark.parametrize("additive", [False, True])
def test_bindsnet_itself(additive: bool) -> None:
    """Two input layers joined by a plastic connection, stepped as `Network.run` does, float32."""
    torch = pytest.importorskip("torch")
    nodes = pytest.importorskip("bindsnet.network.nodes")
    topology = pytest.importorskip("bindsnet.network.topology")
    learning = pytest.importorskip("bindsnet.learning")
    pre, post = spikes(6)
    weight = start(-0.5, 0.5)
    source = nodes.Input(n=INPUTS, traces=True, tc_trace=9.0, traces_additive=additive)
    target = nodes.Input(n=OUTPUTS, traces=True, tc_trace=14.0, traces_additive=additive)
    connection = topology.Connection(
        source, target, w=torch.tensor(weight, dtype=torch.float32), wmin=-0.5, wmax=0.5,
        update_rule=learning.PostPre, nu=NU,
    )  # fmt: skip
    for layer in (source, target):
        layer.compute_decays(1.0)
        layer.set_batch_size(1)
    for k in range(STEPS):
        source.forward(torch.tensor(pre[k : k + 1]).bool())
        target.forward(torch.tensor(post[k : k + 1]).bool())
        connection.update(learning=True)
    rule = PairSTDP.like(
        "bindsnet", nu=NU, source_tc_trace=9 * ms, target_tc_trace=14 * ms,
        traces_additive=additive, wmin=-0.5, wmax=0.5,
    )  # fmt: skip
    found = learned(rule, pre, post, weight, 1 * ms)
    assert np.abs(found - connection.w.detach().numpy()).max() < 1e-5


NORSE: dict[str, Any] = {
    "a_pre": 1.5, "a_post": 0.8, "tau_pre_inv": 1 / 9e-3, "tau_post_inv": 1 / 14e-3,
    "w_min": -0.5, "w_max": 1.5, "eta_plus": 0.9, "eta_minus": 1.4,
}  # fmt: skip
ALGORITHMS = [
    ("additive", 0.0, 0.0),
    ("multiplicative_pow", 0.4, 0.4),
    ("multiplicative_relu", 0.3, 1.0),
]


def norse(pre: Array, post: Array, w: Array, mu: float) -> Array:
    """stdp_step_linear: Euler traces, both terms from the weight before, then clamp."""
    w, x, y = w.copy(), np.zeros(INPUTS), np.zeros(OUTPUTS)
    for k in range(STEPS):
        x = x + 1e-3 * NORSE["tau_pre_inv"] * (-x + NORSE["a_pre"] * pre[k])
        y = y + 1e-3 * NORSE["tau_post_inv"] * (-y + NORSE["a_post"] * post[k])
        up = NORSE["eta_plus"] * (NORSE["w_max"] - w) ** mu * np.outer(x, post[k])
        down = NORSE["eta_minus"] * (w - NORSE["w_min"]) ** mu * np.outer(pre[k], y)
        w = np.clip(w + (up - down), NORSE["w_min"], NORSE["w_max"])
    return w


@pytest.mark.parametrize(("algorithm", "mu", "exponent"), ALGORITHMS)
def test_norse(algorithm: str, mu: float, exponent: float) -> None:
    pre, post = spikes(8)
    weight = start(-0.5, 1.5)
    rule = PairSTDP.like("norse", **NORSE, stdp_algorithm=algorithm, mu=mu)
    found = learned(rule, pre, post, weight, 1 * ms)
    assert np.abs(found - norse(pre, post, weight, exponent)).max() < 1e-12


@pytest.mark.parametrize(("algorithm", "mu", "exponent"), ALGORITHMS)
def test_norse_itself(algorithm: str, mu: float, exponent: float) -> None:
    torch = pytest.importorskip("torch")
    peer = pytest.importorskip("norse.torch.functional.stdp")
    pre, post = spikes(8)
    weight = start(-0.5, 1.5)
    w = torch.tensor(weight.T)
    zeros = [torch.zeros(1, n, dtype=w.dtype) for n in (INPUTS, OUTPUTS)]
    state = peer.STDPState(*zeros)
    p = peer.STDPParameters(**NORSE, stdp_algorithm=algorithm, mu=mu)
    for k in range(STEPS):
        z = [torch.tensor(train[k : k + 1]) for train in (pre, post)]
        w, state = peer.stdp_step_linear(*z, w, state, p, dt=0.001)
    rule = PairSTDP.like("norse", **NORSE, stdp_algorithm=algorithm, mu=mu)
    found = learned(rule, pre, post, weight, 1 * ms)
    assert np.abs(found - w.numpy().T).max() < 1e-6  # norse keeps its exponent in float32


# ------------------------------------------------------------------ the peers do differ


def test_one_coincidence_tells_the_conventions_apart() -> None:
    pre, post = np.zeros((STEPS, INPUTS)), np.zeros((STEPS, OUTPUTS))
    pre[10], post[10] = 1, 1
    change = {}
    for peer in ("brian2", "nest", "genn", "snntorch", "bindsnet", "norse"):
        rule = PairSTDP.like(peer)
        middle = (rule.w_min + rule.w_max) / 2
        found = learned(rule, pre, post, np.full((INPUTS, OUTPUTS), middle), 1 * ms)
        change[peer] = (found[0, 0] - middle) / (rule.w_max - rule.w_min)
    assert change["brian2"] == pytest.approx(0.01)
    assert change["nest"] == change["genn"] == change["norse"] == change["snntorch"] == 0
    assert change["bindsnet"] == pytest.approx((1e-2 - 1e-4) / 2)


@pytest.mark.parametrize(
    ("peer", "values", "error", "message"),
    [
        ("snntroch", {}, ValueError, "unknown peer 'snntroch'; did you mean 'snntorch'?"),
        ("nest", {"lambda": 0.1}, TypeError, "has no parameter 'lambda'; did you mean 'lambda_'?"),
        (
            "nest",
            {"synapse_model": "stdp_pl_synapse_hom", "mu_plus": 0.4},
            TypeError,
            "nest has no parameter 'mu_plus'; did you mean 'tau_plus'?",
        ),
        (
            "nest",
            {"synapse_model": "stdp_pl_synapse_hom", "Wmax": 0.0},
            ValueError,
            "w0 and Wmax must be above 0; got 1.0 and 0.0",
        ),
        ("nest", {"synapse_model": "stdp_nn"}, ValueError, "unknown synapse_model 'stdp_nn'"),
        ("genn", {"tauplus": 0.1}, TypeError, "did you mean 'tauPlus'?"),
        ("snntorch", {"tau_pre": 1.0}, ValueError, "tau_pre must be above one step"),
        ("norse", {"dt": 0.1}, ValueError, "1/tau_pre_inv must be above one step"),
        ("norse", {"stdp_algorithm": "additive_step"}, ValueError, "no 'additive_step'"),
        ("brian2", {"taupre": -1.0}, ValueError, "PairSTDP.tau_plus must be above 0 s"),
    ],
)
def test_refusals(peer: str, values: dict[str, Any], error: type, message: str) -> None:
    with pytest.raises(error) as caught:
        PairSTDP.like(peer, **values)
    assert message in str(caught.value)
