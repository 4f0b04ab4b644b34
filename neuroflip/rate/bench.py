"""How fast the flip-flop layer is, next to torch's recurrent layers.

neuroflip bench rate [--threads 1,2] [--quick] [--json]
"""

import math
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from neuroflip.rate.cell import FlipFlopCell
from neuroflip.rate.layer import FlipFlop
from neuroflip.tables import table

SIZES = (
    (16, 100, 2, 64),
    (16, 256, 2, 64),
    (64, 200, 32, 100),
    (128, 200, 100, 128),
    (32, 1024, 16, 256),
    (8, 4096, 16, 64),
)
"""(sequences, steps, inputs, units) of each measurement."""


class Loop(nn.Module):
    """The same layer as a loop over its cell, with a graph per step."""

    def __init__(self, inputs: int, units: int) -> None:
        super().__init__()
        self.cell = FlipFlopCell(inputs, units)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = x.new_zeros(x.shape[1], self.cell.hidden_size)
        states = []
        for step in x.unbind(0):
            h = self.cell(step, h)
            states.append(h)
        return torch.stack(states), h


MODELS: dict[str, Callable[[int, int], nn.Module]] = {
    "full": FlipFlop,
    "diagonal": lambda i, h: FlipFlop(i, h, recurrence="diagonal"),
    "none": lambda i, h: FlipFlop(i, h, recurrence="none"),
    "loop": Loop,
    "RNN": nn.RNN,
    "GRU": nn.GRU,
    "LSTM": nn.LSTM,
}


def bench(threads: Sequence[int] = (1, 2), quick: bool = False) -> dict[str, Any]:
    """Time forward, and forward and backward, of all layers in float32 on the CPU.

    threads: counts to measure with. quick: the two smallest sizes and 3 rounds, not 9. The layers
    take turns within each round; times are medians over the rounds, after one unmeasured run.
    Torch's thread count is restored.

    Returns what JSON can hold: "load" (the machine's 1-minute load before and after; other work
    distorts the times), "torch", and "runs", a list with, per thread count and size, "layers":
    name -> forward_s and both_s (wall time, s), cpu_s (processor time of forward and backward,
    over all threads, s), peak_bytes (most tensor memory held above what stood before). "ratios":
    per thread count, name/other -> each size's ratio of both_s, and the geometric mean; the same
    by processor time.
    """
    before, load = torch.get_num_threads(), _load()
    runs = []
    try:
        for size in SIZES[:2] if quick else SIZES:
            batch, steps, inputs, units = size
            x = torch.randn(steps, batch, inputs)
            models = {name: build(inputs, units) for name, build in MODELS.items()}
            peaks = {name: _peak(model, x) for name, model in models.items()}
            for count in threads:
                torch.set_num_threads(count)
                layers = _measure(models, x, rounds=3 if quick else 9)
                for name, peak in peaks.items():
                    layers[name]["peak_bytes"] = peak
                runs.append({"threads": count, "size": list(size), "layers": layers})
    finally:
        torch.set_num_threads(before)
    return {
        "torch": torch.__version__,
        "load": [load, _load()],
        "runs": runs,
        "ratios": {str(count): _ratios(runs, count) for count in threads},
    }


def report(result: dict[str, Any]) -> str:
    """The result of `bench` as tables."""
    rows = []
    for run in sorted(result["runs"], key=lambda run: int(run["threads"])):
        cells = [
            f"{1e3 * v['forward_s']:.1f} / {1e3 * v['both_s']:.1f} / {v['peak_bytes'] / 2**20:.0f}"
            for v in run["layers"].values()
        ]
        rows.append([run["threads"], "x".join(map(str, run["size"])), *cells])
    parts = [
        table(
            "forward ms / forward and backward ms / peak MiB", ["threads", "BxTxIxH", *MODELS], rows
        )
    ]
    rows = []
    for count, kinds in result["ratios"].items():
        for kind, pairs in kinds.items():
            for pair, found in pairs.items():
                each = "  ".join(f"{r:.2f}" for r in found["each"])
                rows.append([count, kind, pair, f"{found['mean']:.3f}", each])
    columns = ["threads", "time", "ratio", "geometric mean", "each size"]
    parts.append(table("forward and backward", columns, rows))
    return "\n\n".join(parts)


def _measure(
    models: Mapping[str, nn.Module], x: Tensor, rounds: int
) -> dict[str, dict[str, float]]:
    times: dict[str, list[tuple[float, float, float]]] = {name: [] for name in models}
    for _ in range(rounds):
        for name, model in models.items():
            times[name].append(_once(model, x))
    return {
        name: {
            "forward_s": statistics.median(t[0] for t in taken),
            "both_s": statistics.median(t[1] for t in taken),
            "cpu_s": statistics.median(t[2] for t in taken),
        }
        for name, taken in times.items()
    }


def _once(model: nn.Module, x: Tensor) -> tuple[float, float, float]:
    """Wall time of the forward pass and of both, processor time of both (s)."""
    model.zero_grad()
    cpu, start = time.process_time(), time.perf_counter()
    output, _ = model(x)
    middle = time.perf_counter()
    output.sum().backward()
    return middle - start, time.perf_counter() - start, time.process_time() - cpu


def _peak(model: nn.Module, x: Tensor) -> int:
    """The most tensor memory that one forward and backward pass holds (bytes)."""
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the profiler else writes to stderr
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
    ) as profile:
        _once(model, x)
    kineto: Any = profile.profiler
    changes = [
        (event.start_ns(), event.nbytes())
        for event in kineto.kineto_results.events()
        if event.name() == "[memory]"
    ]
    held = most = 0
    for _, change in sorted(changes, key=lambda c: c[0]):
        held += change
        most = max(most, held)
    return most


def _ratios(runs: list[dict[str, Any]], threads: int) -> dict[str, dict[str, Any]]:
    pairs = [(a, b) for a in ("full", "diagonal", "none") for b in ("LSTM", "GRU", "RNN", "loop")]
    found: dict[str, dict[str, Any]] = {}
    for kind, key in (("wall", "both_s"), ("processor", "cpu_s")):
        found[kind] = {}
        for a, b in pairs:
            each = [
                run["layers"][a][key] / run["layers"][b][key]
                for run in runs
                if run["threads"] == threads
            ]
            mean = math.exp(statistics.fmean(map(math.log, each)))
            found[kind][f"{a}/{b}"] = {"each": each, "mean": mean}
    return found


def _load() -> float | None:
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None
