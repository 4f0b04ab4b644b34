"""snnTorch networks as circuits: the same spikes from snnTorch, Brian2 and the fast engines."""

import math
import warnings
from typing import Any

import numpy as np
import pytest
import snntorch as snn
import torch
from torch import Tensor, nn

import neuroflip as nf
from neuroflip.spiking import beta_of_tau, inputs_of, spikes_of, tau_of_beta, to_circuit
from neuroflip.units import ms

DT = 1 * ms


def double(value: float) -> Tensor:
    """snnTorch keeps a decay given as a number in float32."""
    return torch.tensor(value, dtype=torch.float64)


def linear(inputs: int, outputs: int, scale: float, bias: float = 0.1) -> nn.Linear:
    layer = nn.Linear(inputs, outputs).double()
    nn.init.normal_(layer.weight, 0.3 * scale, scale)
    nn.init.uniform_(layer.bias, -bias, bias)
    return layer


def random_spikes(steps: int, batch: int, features: int, rate: float = 0.3) -> Tensor:
    return (torch.rand(steps, batch, features) < rate).double()


def run(modules: list[nn.Module], x: Tensor) -> list[Tensor]:
    """What snnTorch's own loop gives: the spikes of every spiking layer, (T, B, F) each."""
    states: dict[int, tuple[Tensor, ...]] = {}
    recorded: dict[int, list[Tensor]] = {}
    with torch.no_grad():
        for now in x:
            for place, module in enumerate(modules):
                if isinstance(module, nn.Linear):
                    now = module(now)
                    continue
                count = 1 if isinstance(module, snn.Leaky) else 2
                state = states.get(place, (torch.zeros_like(now),) * count)
                now, *rest = module(now, *state)
                now = now.double()
                states[place] = (now, *rest) if isinstance(module, snn.RLeaky) else tuple(rest)
                recorded.setdefault(place, []).append(now)
    return [torch.stack(spikes) for spikes in recorded.values()]


def mismatches(modules: list[nn.Module], x: Tensor, engine: str) -> tuple[int, int, float]:
    """Differing spikes of all layers, spikes, and the smallest distance to threshold (V)."""
    expected = run(modules, x)
    layers = len(expected)
    rec = nf.simulate(to_circuit(modules, DT), inputs_of(x, DT), duration=(len(x) + layers) * DT,
                      dt=DT, engine=engine)  # fmt: skip
    wrong = total = 0
    for n, spikes in enumerate(expected, start=1):
        found = spikes_of(rec, f"layer{n}", latency=n)[: len(x)]
        wrong += int((found != spikes.numpy()).sum())
        total += int(spikes.sum())
    return wrong, total, rec.threshold_margin


def rleaky(beta: float, size: int, mode: str, late: bool = True) -> snn.RLeaky:
    layer = snn.RLeaky(
        double(beta), linear_features=size, reset_mechanism=mode, reset_delay=late
    ).double()
    nn.init.normal_(layer.recurrent.weight, -0.05, 0.2)
    return layer


def one_to_one(beta: float, size: int) -> snn.RLeaky:
    own = torch.linspace(-0.5, 0.5, size, dtype=torch.float64)
    return snn.RLeaky(double(beta), V=own, all_to_all=False)


LAYERS: dict[str, Any] = {
    "Leaky subtract": lambda b: snn.Leaky(double(b), threshold=0.8),
    "Leaky zero": lambda b: snn.Leaky(double(b), reset_mechanism="zero"),
    "Leaky none": lambda b: snn.Leaky(double(b), reset_mechanism="none"),
    "Synaptic subtract": lambda b: snn.Synaptic(double(0.7), double(b)),
    "Synaptic none": lambda b: snn.Synaptic(double(b), double(b), reset_mechanism="none"),
    "RLeaky subtract": lambda b: rleaky(b, 12, "subtract"),
    "RLeaky zero": lambda b: rleaky(b, 12, "zero"),
    "RLeaky none": lambda b: rleaky(b, 12, "none"),
    "Leaky zero at once": lambda b: snn.Leaky(double(b), reset_mechanism="zero", reset_delay=False),
    "Synaptic zero at once": lambda b: snn.Synaptic(
        double(0.7), double(b), reset_mechanism="zero", reset_delay=False
    ),
    "RLeaky zero at once": lambda b: rleaky(b, 12, "zero", False),
    "RLeaky one to one": lambda b: one_to_one(b, 12),
}


@pytest.mark.parametrize("engine", ["numba", "torch", "brian2"])
@pytest.mark.parametrize("kind", LAYERS)
def test_a_layer_sends_the_same_spikes(kind: str, engine: str) -> None:
    for seed, beta in ((0, 0.9), (1, 0.35)) if engine != "brian2" else ((0, 0.9),):
        torch.manual_seed(seed)
        modules = [linear(15, 12, 0.15 if "Synaptic" in kind else 0.4), LAYERS[kind](beta)]
        wrong, total, margin = mismatches(modules, random_spikes(150, 2, 15), engine)
        assert wrong == 0 and total > 300, (wrong, total)
        assert math.isnan(margin) or margin > 1e-9


@pytest.mark.parametrize("engine", ["numba", "torch", "brian2"])
def test_a_deep_network_does_too(engine: str) -> None:
    """Layer n is n steps late, and its bias begins with it."""
    torch.manual_seed(3)
    modules = [
        linear(10, 16, 0.5), snn.Leaky(double(0.8)),
        linear(16, 12, 0.4), rleaky(0.7, 12, "subtract"),
        linear(12, 8, 0.15, bias=0.4), snn.Synaptic(double(0.6), double(0.9)),
    ]  # fmt: skip
    wrong, total, _ = mismatches(modules, random_spikes(150, 2, 10), engine)
    assert wrong == 0 and total > 1000


def test_the_engines_agree_on_its_potentials() -> None:
    torch.manual_seed(4)
    modules = [linear(10, 8, 0.5), snn.Leaky(double(0.8), reset_mechanism="zero"),
               linear(8, 6, 0.2), snn.Synaptic(double(0.6), double(0.6))]  # fmt: skip
    x = random_spikes(100, 1, 10)
    report = nf.compare(to_circuit(modules, DT), inputs_of(x, DT), duration=0.102, dt=DT,
                        record=["layer1.v", "layer2.v", "layer2.i"])  # fmt: skip
    assert report.ok and report.spikes["brian2"] > 200, report


def test_a_circuit_survives_a_file(tmp_path: Any) -> None:
    circuit = to_circuit([linear(4, 3, 0.5), snn.Leaky(double(0.8))], DT)
    circuit.save(tmp_path / "net.npz")
    assert nf.Circuit.load(tmp_path / "net.npz") == circuit


# ------------------------------------------------------------------ the numbers of the mapping


def test_decays_and_time_constants() -> None:
    for beta in (1e-6, 0.2, 0.5, 0.9, 1 - 1e-9):
        assert beta_of_tau(tau_of_beta(beta, DT), DT) == pytest.approx(beta, rel=1e-12)
    assert tau_of_beta(math.exp(-1), 2 * ms) == pytest.approx(2 * ms, rel=1e-15)
    for call, text in (
        (lambda: tau_of_beta(1.0, DT), "beta must be above 0 and below 1"),
        (lambda: tau_of_beta(0.0, DT), "beta must be above 0 and below 1"),
        (lambda: tau_of_beta(0.5, 0.0), "dt must be above 0 s; got 0.0"),
        (lambda: beta_of_tau(-1.0, DT), "tau must be above 0 s; got -1.0"),
    ):
        with pytest.raises(ValueError, match=text):
            call()


def test_the_circuit_says_what_the_mapping_says() -> None:
    layer = linear(2, 3, 0.5)
    circuit = to_circuit([layer, snn.Leaky(double(0.8), threshold=0.5)], 2 * ms)
    neuron = circuit.population("layer1").neuron.parameters()
    assert neuron["tau_m"] == pytest.approx(-2e-3 / math.log(0.8))
    assert neuron["v_threshold"] == 0.5 and neuron["subtract"] == pytest.approx(0.5 / 0.8)
    weights = {p.name: p.weight for p in circuit.projections}
    assert np.allclose(weights["in->layer1"], layer.weight.detach().numpy().T / 0.8)
    assert np.allclose(weights["bias->layer1"], layer.bias.detach().numpy() / 0.8)


# ------------------------------------------------------------------ what is refused


def quiet(kind: Any, *args: Any, **more: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return kind(*args, **more)


@pytest.mark.parametrize(
    "make, text",
    [
        (lambda: snn.Leaky(0.9, reset_delay=False), "reset_delay=False with 'subtract' resets"),
        (lambda: snn.Synaptic(0.9, 0.9, reset_mechanism="zero"), "'zero' of Synaptic sets"),
        (lambda: quiet(snn.Leaky, 0.9, inhibition=True), "inhibition=True lets only"),
        (lambda: snn.Leaky(0.9, state_quant=round), "state_quant rounds"),
        (lambda: snn.Leaky(0.9, graded_spikes_factor=2.0), "graded_spikes_factor scales"),
        (lambda: snn.Leaky(torch.tensor([0.5, 0.6, 0.7])), "beta of .* must be the same for the"),
        (lambda: snn.Leaky(1.0), "beta must be above 0 and below 1, as a membrane's"),
        (lambda: snn.Synaptic(0.0, 0.5), "alpha must be above 0 and below 1"),
        (lambda: snn.Leaky(0.9, threshold=0.0), "threshold must be above 0; got 0.0"),
        (lambda: snn.RLeaky(0.9, linear_features=4), "linear_features must be 3"),
    ],
    ids=["delay", "synaptic zero", "inhibition", "quantised", "graded", "betas", "beta 1",
         "alpha 0", "threshold", "features"],
)  # fmt: skip
def test_unsound_modes_are_refused_with_the_reason(make: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        to_circuit([nn.Linear(2, 3), make()], DT)


def test_reset_delay_false_loses_spikes_indeed() -> None:
    """U = 2.5, minus 1, is 1.5; half of that and 0.5 is 1.25, above threshold."""
    neuron = snn.Leaky(0.5, reset_delay=False)
    mem = torch.zeros(1)
    fired = []
    for current in (2.5, 0.5):
        spike, mem = neuron(torch.tensor([current]), mem)
        fired.append(float(spike))
    assert fired == [1.0, 0.0] and float(mem) == 1.25


def test_networks_of_another_form_are_refused() -> None:
    leaky = snn.Leaky(0.9)
    for modules, text in (
        ([leaky], r"^module 0 \(Leaky\) cannot stand here"),
        ([nn.Linear(2, 3), nn.ReLU()], r"^module 1 \(ReLU\) cannot stand here"),
        ([nn.Linear(2, 3)], "^a network ends with a spiking layer"),
        ([], "^a network ends with a spiking layer"),
    ):
        with pytest.raises(TypeError, match=text):
            to_circuit(modules, DT)
    with pytest.raises(TypeError, match=r"^network must be an nn.Sequential or a list"):
        to_circuit(leaky, DT)
    with pytest.raises(ValueError, match=r"takes 4 features; the layer before it gives 3"):
        to_circuit([nn.Linear(2, 3), leaky, nn.Linear(4, 1), snn.Leaky(0.9)], DT)
    with pytest.raises(ValueError, match="^dt must be above 0 s"):
        to_circuit([nn.Linear(2, 3), leaky], 0.0)


def test_inputs_are_checked() -> None:
    with pytest.raises(ValueError, match=r"^spikes must have shape"):
        inputs_of(torch.zeros(3), DT)
    with pytest.raises(ValueError, match=r"^spikes must be 0 or 1; a circuit has no graded"):
        inputs_of(torch.full((3, 1), 0.5), DT)
