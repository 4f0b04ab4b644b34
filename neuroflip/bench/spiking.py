"""How fast spiking circuits run, next to Brian2: the same networks, in one run, in turn.

neuroflip bench spiking [--workload NAME] [--rounds 5] [--quick] [--no-compile] [--torch] [--json]
"""

import importlib.util
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from neuroflip.bench.ceiling import bare_loop
from neuroflip.bench.workloads import (
    WORKLOADS,
    Workload,
    draw_recurrent,
    scaling_sizes,
    synaptic_events,
)
from neuroflip.errors import nearest
from neuroflip.simulation import versions
from neuroflip.units import ms

SCALING = (1e5, 3e5, 1e6, 3e6, 1e7)
"""Plastic synapses of the networks of the workload "scaling"."""

Tell = Callable[[str], None]


@dataclass(frozen=True)
class System:
    """What runs a workload: an engine of neuroflip or a target of Brian2, in so many threads."""

    brian2: bool
    kind: str
    threads: int = 1


SYSTEMS = {
    "neuroflip": System(False, "numba"),
    "neuroflip, 2 threads": System(False, "numba", 2),
    "neuroflip torch": System(False, "torch"),
    "Brian2 numpy": System(True, "numpy"),
    "Brian2 cython": System(True, "cython"),
    "Brian2 C++": System(True, "cpp_standalone"),
    "Brian2 C++, 2 threads": System(True, "cpp_standalone", 2),
}


def bench(
    workloads: Sequence[str] = (),
    rounds: int = 5,
    quick: bool = False,
    compiler: bool = True,
    torch: bool = False,
    tell: Tell = lambda text: None,
) -> dict[str, Any]:
    """Run the workloads on neuroflip and on Brian2, each time in a process of its own.

    workloads: names in `WORKLOADS`, and "scaling"; all of them where empty, but for those that
        only show growth where quick.
    rounds: the systems take turns that often, after one start of each with empty caches; times
        are medians.
    quick: short runs of small networks, for a first look; their ratios mean nothing.
    compiler: whether there is a C++ compiler; without it Brian2's numpy target takes the place
        of the compiled ones. torch: measure the torch engine too.
    tell: called with a line about what is being measured.

    Both sides are given the same arrays. Brian2's side is plain Brian2, written by hand
    (`neuroflip.sims.brian2_workloads`). Spikes and weights are compared in every run; in "sweep",
    where Brian2 draws noise of its own, in a smaller run in which it is given that of neuroflip.

    Returns what JSON can hold: "versions", "compiler", "cpus", "load" (the machine's 1-minute load
    before and after; other work distorts the times), "rounds", "quick", and "workloads": name ->

    - "about", "sizes", "spikes", "rate_hz" (of a neuron), "events" (arrivals of spikes at synapses
      within networks, see `synaptic_events`);
    - "systems": name -> "first" and "second" (starts with empty and with warm caches), each with
      "total_s", from the start of the process to results in hand, and "build_s", the part of it
      that is neither imports nor the simulation loop; "loop_s", the simulation loop alone (of
      neuroflip a warm `simulate` less one of a single step; of Brian2 as it times itself);
      "call_s" and "setup_s" (neuroflip: these two calls); "peak_bytes" of the process and, for
      C++, "program_peak_bytes" of the compiled program; or "error". With one thread loop, call
      and set-up are processor time, but for Brian2 cython and numpy, which take wall time;
    - "agreement": system -> "same_spikes", "spikes", "first_difference_s" and "weights_differ"
      (largest distance over the largest weight) from neuroflip's;
    - "ratios": "neuroflip's system / Brian2's" -> "loop", "call" (whole warm `simulate` over
      Brian2's loop), "start" (second starts) and "memory" (over the larger process of Brian2).

    "geometric_mean": the same ratios over all workloads. "scaling": "rows" of "synapses" (all
    plastic), "neurons", "events", "loop_s", "call_s", "ns_per_event", "bare_ns_per_event" (of
    `neuroflip.bench.ceiling.bare_loop`), "peak_bytes"; and "exponent" of the loop's time as a
    power of the events.

    Raises ValueError for an unknown workload or fewer than one round.
    """
    known = [*WORKLOADS, "scaling"]
    for name in workloads:
        if name not in known:
            raise ValueError(f"unknown workload {name!r}; {nearest(name, known)}")
    if isinstance(rounds, bool) or not isinstance(rounds, int) or rounds < 1:
        raise ValueError(f"rounds must be a whole number, at least 1; got {rounds!r}.")
    default = [n for n in known if not (quick and n in WORKLOADS and WORKLOADS[n].growth)]
    chosen = [name for name in known if name in (workloads or default)]
    load = _load()
    measured = {}
    scaling = None
    with tempfile.TemporaryDirectory(prefix="neuroflip_bench_") as folder:
        for name in chosen:
            at = Path(folder) / name
            at.mkdir()
            if name == "scaling":
                scaling = _scaling(rounds, quick, at, tell)
                continue
            systems = _systems(WORKLOADS[name], compiler, torch)
            measured[name] = _measure(name, systems, rounds, quick, at, tell)
    return {
        "versions": versions("numba", "brian2", *(["torch"] if torch else [])),
        "compiler": _compiler() if compiler else None,
        "cpus": os.cpu_count(),
        "load": [load, _load()],
        "rounds": rounds,
        "quick": quick,
        "workloads": measured,
        "geometric_mean": _geometric_means(
            [w["ratios"] for name, w in measured.items() if not WORKLOADS[name].growth]
        ),
        "scaling": scaling,
    }


def _systems(workload: Workload, compiler: bool, torch: bool) -> list[str]:
    compiled = ["Brian2 cython", "Brian2 C++", "Brian2 C++, 2 threads"]
    brian2 = compiled if compiler else ["Brian2 numpy"]
    if workload.growth:
        return ["neuroflip", "Brian2 C++" if compiler else "Brian2 numpy"]
    more = ["neuroflip torch"] if torch else []
    return ["neuroflip", "neuroflip, 2 threads", *more, *brian2]


def _measure(
    name: str, systems: list[str], rounds: int, quick: bool, folder: Path, tell: Tell
) -> dict[str, Any]:
    workload = WORKLOADS[name]
    sizes = dict(workload.quick if quick else workload.full)
    arrays = workload.draw(**sizes)
    np.savez(folder / "arrays.npz", **arrays)
    starts: dict[str, list[dict[str, Any]]] = {s: [] for s in systems}
    agreement: dict[str, dict[str, Any]] = {}
    reference: dict[str, Any] | None = None
    for turn in range(rounds + 1):
        first = turn % len(systems) if turn else 0
        for system in systems[first:] + systems[:first]:
            tell(f"{name}: {system}, {f'round {turn} of {rounds}' if turn else 'first start'}")
            found = _start(name, SYSTEMS[system], folder, system, repeats=3, cold=turn == 0)
            starts[system].append(found)
            arrived = found.pop("result", None)
            if arrived is None:
                continue
            if reference is None:
                reference = arrived
            own_noise = workload.check and SYSTEMS[system].brian2
            if not own_noise and system != "neuroflip":
                agreement[system] = _worse(agreement.get(system), _compared(reference, arrived))
            found["spikes"] = int(arrived["steps"].size)
    if workload.check:
        tell(f"{name}: spikes with the same noise")
        label, compared = _checked(name, quick, folder)
        agreement[label] = compared
    result: dict[str, Any] = {"about": workload.about, "sizes": sizes}
    if reference is not None:
        neurons = int(arrays["copies"]) * 2 if "copies" in arrays else len(arrays.get("v", [0]))
        spikes = int(reference["steps"].size)
        result |= {
            "spikes": spikes,
            "rate_hz": spikes / neurons / sizes["duration"],
            "events": synaptic_events(arrays, reference["neurons"]),
        }
    summaries = {s: _summary(found) for s, found in starts.items()}
    return {
        **result,
        "systems": summaries,
        "agreement": agreement,
        "ratios": _ratios(summaries),
    }


def _start(
    workload: str, system: System, folder: Path, label: str, repeats: int, cold: bool = False
) -> dict[str, Any]:
    """Run a workload in a fresh process, and look at the clock and its memory when it is done.

    repeats: warm runs that a process of neuroflip then does. cold: measure the memory of
    Brian2's compiled program too. Returns times, peaks and "result", the arrays, or "error".
    """
    own = folder / label.replace(",", "").replace(" ", "_").replace("+", "p")
    own.mkdir(exist_ok=True)
    count = str(system.threads)
    files = [str(folder / "arrays.npz"), str(own / "result.npz")]
    if system.brian2:
        script = importlib.util.find_spec("neuroflip.sims.brian2_workloads")
        assert script is not None and script.origin is not None
        command = [
            sys.executable, "-P", script.origin, WORKLOADS[workload].script, *files, system.kind,
            str(own / "code"), count,
        ]  # fmt: skip
    else:
        command = [
            sys.executable, "-m", "neuroflip.bench.child", workload, *files, system.kind, count,
            str(repeats),
        ]  # fmt: skip
    environment = os.environ | {
        "NEUROFLIP_CACHE": str(own / "cache"),
        "NUMBA_CACHE_DIR": str(own / "numba"),
        **dict.fromkeys(
            ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"),
            count,
        ),
    }
    with open(own / "errors.txt", "w+") as errors:
        begun = time.monotonic()
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True,
            env=environment, cwd=own,
        ) as process:  # fmt: skip
            try:
                assert process.stdout is not None
                done = any(line == "done\n" for line in process.stdout)
                total, peak = time.monotonic() - begun, _peak(process.pid)
                process.communicate("\n" if done else None)
            except BaseException:
                process.kill()
                raise
        if not done or process.returncode:
            errors.seek(0)
            last = errors.read().strip().splitlines()[-1:] or [f"exit {process.returncode}"]
            return {"error": last[0]}
    with np.load(files[1]) as data:
        result = dict(data)
    times = {name: float(result.pop(name)) for name in [*result] if name.endswith("_s")}
    found = times | {"total_s": total, "peak_bytes": peak, "result": result}
    if cold and system.kind == "cpp_standalone":
        found["program_peak_bytes"] = _program_peak(own / "code")
    return found


def _peak(pid: int) -> int | None:
    """The most memory that a running process has held (bytes), where the system tells."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return None
    held = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")]
    return 1024 * int(held[0]) if held else None


# In a small process of its own, since a child's peak starts from the size of its parent
_RUN_AND_LOOK = """
import resource, subprocess, sys
subprocess.run(["./main"], stdout=subprocess.DEVNULL, check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def _program_peak(folder: Path) -> int:
    """Run the program that Brian2 compiled once more: the most memory it held (bytes)."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", _RUN_AND_LOOK],
        cwd=folder, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return int(done.stdout) * (1 if sys.platform == "darwin" else 1024)


def _checked(name: str, quick: bool, folder: Path) -> tuple[str, dict[str, Any]]:
    """Spikes of a smaller run in which Brian2 is given the noise that neuroflip drew."""
    workload = WORKLOADS[name]
    sizes = dict(workload.check)
    if quick:
        sizes["duration"] = workload.quick["duration"]
    arrays = workload.draw(**sizes)
    at = folder / "check"
    at.mkdir()
    np.savez(at / "arrays.npz", **arrays)
    ours = _start(name, SYSTEMS["neuroflip"], at, "neuroflip", repeats=0)
    label = f"Brian2 numpy, same noise, {sizes['copies']} copies"
    if "error" in ours:
        return label, ours
    np.savez(at / "arrays.npz", **arrays, noise=ours["result"]["noise"])
    theirs = _start(name, SYSTEMS["Brian2 numpy"], at, "brian2", repeats=0)
    if "error" in theirs:
        return label, theirs
    return label, _compared(ours["result"], theirs["result"])


def _compared(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Spikes and weights of two runs, held against each other."""
    size = min(ours["steps"].size, theirs["steps"].size)
    differ = (ours["steps"][:size] != theirs["steps"][:size]) | (
        ours["neurons"][:size] != theirs["neurons"][:size]
    )
    first: float | None = None
    if differ.any():
        at = int(np.argmax(differ))
        first = float(min(ours["steps"][at], theirs["steps"][at])) * 0.1 * ms
    elif ours["steps"].size != theirs["steps"].size:
        longer = max(ours["steps"], theirs["steps"], key=len)
        first = float(longer[size]) * 0.1 * ms
    weights: float | None = None
    if ours["weights"].size:
        distance = np.abs(ours["weights"] - theirs["weights"]).max()
        weights = float(distance / np.abs(ours["weights"]).max())
    return {
        "same_spikes": first is None,
        "spikes": int(theirs["steps"].size),
        "first_difference_s": first,
        "weights_differ": weights,
    }


def _worse(one: dict[str, Any] | None, other: dict[str, Any]) -> dict[str, Any]:
    """Of two comparisons of the same system, the one with the larger difference."""
    if one is None:
        return other
    return max(one, other, key=lambda c: (not c["same_spikes"], c["weights_differ"] or 0.0))


def _summary(starts: list[dict[str, Any]]) -> dict[str, Any]:
    """What the starts of one system took: the first, and medians of the others."""
    wrong = [s["error"] for s in starts if "error" in s]
    if wrong:
        return {"error": wrong[0]}
    first, later = starts[0], starts[1:]

    def middle(name: str) -> float:
        return float(statistics.median(s[name] for s in later))

    def build(start: Mapping[str, Any]) -> float:
        return max(float(start["script_s"]) - middle("loop_s"), 0.0)

    found: dict[str, Any] = {
        "first": {"total_s": first["total_s"], "build_s": build(first)},
        "second": {
            "total_s": middle("total_s"),
            "build_s": statistics.median(map(build, later)),
        },
        "spikes": first["spikes"],
        **{name: middle(name) for name in ("loop_s", "call_s", "setup_s") if name in first},
    }
    if first["peak_bytes"] is not None:
        found["peak_bytes"] = int(middle("peak_bytes"))
    if "program_peak_bytes" in first:
        found["program_peak_bytes"] = first["program_peak_bytes"]
    return found


def _ratios(systems: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    found = {}
    for ours, theirs in itertools.product(systems, systems):
        if SYSTEMS[ours].brian2 or not SYSTEMS[theirs].brian2:
            continue
        a, b = systems[ours], systems[theirs]
        if SYSTEMS[ours].threads != SYSTEMS[theirs].threads or "error" in a or "error" in b:
            continue
        pair = {
            "loop": a["loop_s"] / b["loop_s"],
            "call": a["call_s"] / b["loop_s"],
            "start": a["second"]["total_s"] / b["second"]["total_s"],
        }
        if "peak_bytes" in a and "peak_bytes" in b:
            larger = max(b["peak_bytes"], b.get("program_peak_bytes", 0))
            pair["memory"] = a["peak_bytes"] / larger
        found[f"{ours} / {theirs}"] = pair
    return found


def _geometric_means(each: Iterable[Mapping[str, Mapping[str, float]]]) -> dict[str, Any]:
    values: dict[str, dict[str, list[float]]] = {}
    for ratios in each:
        for pair, kinds in ratios.items():
            for kind, ratio in kinds.items():
                values.setdefault(pair, {}).setdefault(kind, []).append(ratio)
    return {
        pair: {kind: statistics.geometric_mean(found) for kind, found in kinds.items()}
        for pair, kinds in values.items()
        if all(min(found) > 0 for found in kinds.values())
    }


def _scaling(rounds: int, quick: bool, folder: Path, tell: Tell) -> dict[str, Any]:
    rows: list[dict[str, Any]] = []
    for synapses in SCALING[:3] if quick else SCALING:
        arrays = draw_recurrent(**scaling_sizes(synapses))
        tell(f"scaling: {arrays['w'].size:,} plastic synapses")
        np.savez(folder / "arrays.npz", **arrays)
        found = _start("recurrent", SYSTEMS["neuroflip"], folder, "neuroflip", rounds)
        if "error" in found:
            return {"rows": rows, "exponent": None, "error": found["error"]}
        spikes = found["result"]["neurons"]
        events, bare = synaptic_events(arrays, spikes), bare_loop(arrays, spikes)
        rows.append(
            {
                "synapses": int(arrays["w"].size),
                "neurons": int(arrays["v"].size),
                "events": events,
                "loop_s": found["loop_s"],
                "call_s": found["call_s"],
                "ns_per_event": 1e9 * found["loop_s"] / events,
                "bare_ns_per_event": 1e9 * bare / events,
                "peak_bytes": found["peak_bytes"],
            }
        )
    return {"rows": rows, "exponent": _exponent(rows)}


def _exponent(rows: Sequence[Mapping[str, Any]]) -> float | None:
    """The power of the number of events with which the time of the loop grows."""
    if min(row["loop_s"] for row in rows) <= 0:
        return None
    x, y = (np.log([row[name] for row in rows]) for name in ("events", "loop_s"))
    return float(np.polyfit(x, y, 1)[0])


def _load() -> float | None:
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def _compiler() -> str | None:
    try:
        done = subprocess.run(["g++", "--version"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.splitlines()[0]
