"""One measured process on neuroflip's side; see `neuroflip.bench.spiking`.

python -m neuroflip.bench.child WORKLOAD ARRAYS.npz RESULT.npz ENGINE THREADS REPEATS
"""

import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from neuroflip.bench.workloads import WORKLOADS, Task, noise_currents, results
from neuroflip.simulation import simulate

_ENOUGH, _MOST = 0.3, 50
"""Short runs are repeated until they have taken this long (s), or this often."""


def main(arguments: list[str]) -> None:
    """Run a workload as a user's script would, then again and again for the warm times.

    RESULT gets the spikes and weights; "script_s", what the first run took (wall time); "call_s",
    "setup_s" and "loop_s", medians over at least REPEATS runs of the warm process: a whole call of
    `simulate`, one over a single step, and their difference. Those are processor time with one
    thread, as Brian2's programs count it, else wall time. With REPEATS 0 the noise is in their
    place.
    """
    name, source, destination, engine, threads, repeats = arguments
    with np.load(source) as file:
        arrays = dict(file)
    begun = time.perf_counter()
    task = WORKLOADS[name].declare(arrays)
    options: dict[str, Any] = {"engine": engine, "threads": int(threads)}

    def call(task: Task, duration: float) -> Any:
        return simulate(task.circuit, task.inputs, duration=duration, trials=task.trials, **options)

    recording = call(task, task.duration)
    found = results(recording)
    found["script_s"] = time.perf_counter() - begun
    print("done", flush=True)
    sys.stdin.readline()
    if int(repeats) == 0:
        found["noise"] = noise_currents(recording)
    else:
        dt = recording.dt
        del recording
        clock = time.process_time if threads == "1" else time.perf_counter
        idle = Task(task.circuit, {}, dt, task.trials)
        whole: list[float] = []
        setup: list[float] = []
        while len(whole) < int(repeats) or (sum(whole) < _ENOUGH and len(whole) < _MOST):
            setup.append(_time(lambda: call(idle, dt), clock))
            whole.append(_time(lambda: call(task, task.duration), clock))
        found["call_s"] = statistics.median(whole)
        found["setup_s"] = statistics.median(setup)
        found["loop_s"] = max(found["call_s"] - found["setup_s"], 0.0)
    np.savez(destination, **found)


def _time(call: Callable[[], object], clock: Callable[[], float]) -> float:
    begun = clock()
    call()
    return clock() - begun


if __name__ == "__main__":
    main(sys.argv[1:])
