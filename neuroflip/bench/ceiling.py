"""What memory allows: the visits that a network's spikes pay to its synapses, and nothing else."""

import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from neuroflip.engines.machine_code import Call, Source

_VISITS = Source(
    "import numba\nimport numpy as np\n",
    ("spikes", "first", "target", "weight", "moving", "trace", "state"),
    """
    for q in range(spikes.size):
        source = spikes[q]
        for s in range(first[source], first[source + 1]):
            i = target[s]
            if moving:
                weight[s] += trace[i]
            state[i] += weight[s]
    return spikes.size
""",
)


def bare_loop(arrays: Mapping[str, Any], neurons: Any, repeats: int = 3) -> float:
    """Processor time (s) in which every spike reaches every synapse of its neuron, once.

    arrays: of `draw_recurrent`; neurons: of each spike, in order. A plastic weight is read, changed
    by a number kept for its target and written; a static one is read; either is added to its
    target. No neuron is updated, no trace decays, no weight is bounded, nothing waits. The least
    of so many repeats.
    """
    size = len(arrays["v"])
    spikes = np.asarray(neurons, np.int64)
    state, trace = np.zeros(size), np.zeros(size)
    calls = []
    for name, weight in (("ee", arrays["w"]), ("ei", arrays["w_e"]), ("inh", arrays["w_i"])):
        pre, post = arrays[f"{name}_pre"], arrays[f"{name}_post"]
        order = np.argsort(pre, kind="stable")
        first = np.concatenate([[0], np.cumsum(np.bincount(pre, minlength=size))])
        weights = np.ascontiguousarray(np.broadcast_to(weight, post.shape)[order])
        given = (spikes, first, post[order].astype(np.int32), weights, int(name == "ee"))
        calls.append(
            Call(_VISITS, dict(zip(_VISITS.arguments, (*given, trace, state), strict=True)))
        )
    taken = []
    for _ in range(repeats):
        begun = time.process_time()
        for call in calls:
            call()
        taken.append(time.process_time() - begun)
    return min(taken)
