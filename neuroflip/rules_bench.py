"""How fast pair STDP learns a dense layer, next to the STDP of other packages.

neuroflip bench rules [--rounds 5] [--quick] [--json]
"""

import importlib.metadata
import math
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from neuroflip import rules
from neuroflip.spiking import SpikeLinear
from neuroflip.tables import table

BATCH, INPUTS, OUTPUTS, STEPS = 32, 784, 100, 250
PROBABILITY = 0.05
"""Of a spike, of each neuron in each step."""
TAU, RATE = 20.0, 1e-5
"""Time constant of the traces (steps), and change of a weight by one pair at interval 0."""

Run = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(weights (out, in), pre (T, B, in), post (T, B, out)) -> weights after learning."""


class _Neurons(nn.Module):
    """Stands for the neurons behind the layer: their spikes are given."""

    def forward(self, spikes: Tensor) -> Tensor:
        return spikes


def bench(rounds: int = 5, quick: bool = False) -> dict[str, Any]:
    """Time pair STDP over the same spikes in every package that is installed, on one thread.

    rounds: the packages take turns that often, after one unmeasured run; times are the least, as
    what else a machine does can only add to them.
    quick: 25 steps. The rule: every pair counts, both terms in the step of a coincidence, sum over
    the batch, which is the convention of all the packages; "neuroflip, Brian2's" is the same with
    coincidences as in Brian2. Every run sets a layer and its rule up, and in each step takes the
    forward pass of the layer and then the rule; "forward" is the time of the same on `nn.Linear`
    without a rule. The layer is each package's own: a `SpikeLinear` of neuroflip, a `Connection` of
    BindsNET, and `nn.Linear` for the others, also in "neuroflip, nn.Linear".

    Returns what JSON can hold: "packages", name -> version, or None where it is missing;
    "seconds", name -> processor time of a run (s); "forward", likewise (s); "ratios", name -> its
    time over that of neuroflip; "max_difference", name -> largest distance of its weights from
    those of neuroflip.
    """
    if rounds < 1:
        raise ValueError(f"rounds must be at least 1; got {rounds}.")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _bench(rounds, STEPS // 10 if quick else STEPS)
    finally:
        torch.set_num_threads(threads)


def report(result: dict[str, Any]) -> str:
    """The result of `bench` as a table."""
    rows = []
    for name, version in result["packages"].items():
        if version is None:
            rows.append((name, "not installed", "", "", ""))
        elif name in result["seconds"]:
            rows.append(
                (
                    name,
                    version,
                    f"{result['seconds'][name]:.3f} s",
                    f"{result['ratios'][name]:.2f}",
                    f"{result['max_difference'][name]:.1e}",
                )
            )
        else:
            rows.append((name, result["errors"][name], "", "", ""))
    share = result["forward"] / result["seconds"]["neuroflip"]
    rows.append(("forward pass alone", "", f"{result['forward']:.3f} s", f"{share:.2f}", ""))
    title = "{} x {} -> {}, {} steps, spikes with p = {}".format(*result["size"])
    columns = ("package", "version", "processor time", "times neuroflip", "weights differ by")
    return table(title, columns, rows)


def _bench(rounds: int, steps: int) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)
    pre = (torch.rand(steps, BATCH, INPUTS, generator=generator) < PROBABILITY).float()
    post = (torch.rand(steps, BATCH, OUTPUTS, generator=generator) < PROBABILITY).float()
    start = torch.rand(OUTPUTS, INPUTS, generator=generator) * 0.2 + 0.4
    packages: dict[str, str | None] = {}
    errors: dict[str, str] = {}
    final: dict[str, Tensor] = {}
    for name, (distribution, run) in RUNS.items():
        try:
            packages[name] = importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            packages[name] = None
            continue
        try:
            final[name] = run(start, pre, post)
        except ImportError as error:
            if distribution == "neuroflip":
                raise
            errors[name] = f"does not import: {error}"
    runs = {name: RUNS[name][1] for name in final} | {"forward": _forward}
    seconds = dict.fromkeys(runs, math.inf)
    for _ in range(rounds):
        for name, run in runs.items():
            begun = time.process_time()
            run(start, pre, post)
            seconds[name] = min(seconds[name], time.process_time() - begun)
    forward = seconds.pop("forward")
    return {
        "size": [BATCH, INPUTS, OUTPUTS, steps, PROBABILITY],
        "torch": torch.__version__,
        "packages": packages,
        "errors": errors,
        "seconds": seconds,
        "forward": forward,
        "ratios": {name: s / seconds["neuroflip"] for name, s in seconds.items()},
        "max_difference": {
            name: float((w - final["neuroflip"]).abs().max()) for name, w in final.items()
        },
    }


def _forward(start: Tensor, pre: Tensor, post: Tensor) -> Tensor:
    layer, neurons = _layer(start).requires_grad_(False), _Neurons()
    for x, y in zip(pre, post, strict=True):
        layer(x)
        neurons(y)
    return layer.weight


def _neuroflip(kind: type[nn.Linear], coincidence: str) -> Run:
    def run(start: Tensor, pre: Tensor, post: Tensor) -> Tensor:
        layer, neurons = _layer(start, kind), _Neurons()
        seconds = _exact(TAU) * 1e-3  # steps of 1 ms
        rule = rules.PairSTDP(
            tau_plus=seconds, tau_minus=seconds, a_plus=RATE, a_minus=RATE, coincidence=coincidence
        )
        learner = rules.attach(layer, rule, post=neurons, merge="replace", reduction="sum")
        for x, y in zip(pre, post, strict=True):
            layer(x)
            neurons(y)
        learner.step()
        learner.remove()
        return layer.weight.detach()

    return run


def _by_hooks(make: Callable[[nn.Linear, nn.Module], Any]) -> Run:
    """snnTorch and SpikingJelly: a learner that returns the change."""

    def run(start: Tensor, pre: Tensor, post: Tensor) -> Tensor:
        layer, neurons = _layer(start), _Neurons()
        learner = make(layer, neurons)
        with torch.no_grad():
            for x, y in zip(pre, post, strict=True):
                layer(x)
                neurons(y)
                layer.weight += RATE * learner.step(on_grad=False)
        return layer.weight.detach()

    return run


def _one(weight: Tensor) -> float:
    """The change does not depend on the weight."""
    return 1.0


def _snntorch(layer: nn.Linear, neurons: nn.Module) -> Any:
    from snntorch.functional.stdp_learner import (  # type: ignore[import-untyped]
        STDPLearner,
    )

    return STDPLearner(layer, neurons, TAU, TAU, _one, _one)


def _spikingjelly(layer: nn.Linear, neurons: nn.Module) -> Any:
    from spikingjelly.activation_based.learning import (  # type: ignore[import-not-found]
        STDPLearner,
    )

    return STDPLearner("s", layer, neurons, TAU, TAU, _one, _one)


def _bindsnet(start: Tensor, pre: Tensor, post: Tensor) -> Tensor:
    from bindsnet.learning import PostPre  # type: ignore[import-not-found]
    from bindsnet.network import Network  # type: ignore[import-not-found]
    from bindsnet.network.nodes import Input  # type: ignore[import-not-found]
    from bindsnet.network.topology import Connection  # type: ignore[import-not-found]

    tau = _exact(TAU)
    network = Network(dt=1.0, batch_size=len(pre[0]))
    before = Input(n=INPUTS, traces=True, traces_additive=True, tc_trace=tau)
    after = Input(n=OUTPUTS, traces=True, traces_additive=True, tc_trace=tau)
    network.add_layer(before, "pre")
    network.add_layer(after, "post")
    connection = Connection(
        before, after, w=start.t().clone(), wmin=0.0, wmax=1.0, update_rule=PostPre,
        nu=(RATE, RATE), reduction=torch.sum,
    )  # fmt: skip
    network.add_connection(connection, "pre", "post")
    with torch.no_grad():
        for x, y in zip(pre.bool(), post.bool(), strict=True):
            before.forward(x)
            connection.compute(before.s)
            after.forward(y)
            connection.update(learning=True)
    weight: Tensor = connection.w.detach()
    return weight.t()


def _layer(start: Tensor, kind: type[nn.Linear] = nn.Linear) -> nn.Linear:
    layer = kind(start.shape[1], start.shape[0], bias=False)
    with torch.no_grad():
        layer.weight.copy_(start)
    return layer


def _exact(tau: float) -> float:
    """The time constant (steps) whose exponential decay is 1 - 1/tau a step."""
    return -1 / math.log1p(-1 / tau)


RUNS: dict[str, tuple[str, Run]] = {
    "neuroflip": ("neuroflip", _neuroflip(SpikeLinear, "both")),
    "neuroflip, nn.Linear": ("neuroflip", _neuroflip(nn.Linear, "both")),
    "neuroflip, Brian2's": ("neuroflip", _neuroflip(SpikeLinear, "potentiate")),
    "snntorch": ("snntorch", _by_hooks(_snntorch)),
    "spikingjelly": ("spikingjelly", _by_hooks(_spikingjelly)),
    "bindsnet": ("bindsnet", _bindsnet),
}
"""Name -> the distribution it needs, and what it runs."""
