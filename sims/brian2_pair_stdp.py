"""Pair STDP by hand in plain Brian2: a reference that shares no generated code.

The form of Brian2's documentation (its STDP example), for one synapse between two spike
generators, with a delay on either pathway.

    python -m neuroflip.sims.brian2_pair_stdp
"""

from collections.abc import Sequence

import brian2 as b2
import numpy as np


def run(
    pre_times: Sequence[float],
    post_times: Sequence[float],
    duration: float,
    *,
    weight: float = 0.5,
    axonal_delay: float = 0.0,
    dendritic_delay: float = 0.0,
    multiplicative: bool = False,
    dt: float = 1e-4,
) -> float:
    """The weight after `duration` (s), starting from `weight`.

    pre_times, post_times: spikes (s). Bounds 0 and 1, A+ 0.01, A- 0.0105, both time constants
    20 ms. multiplicative: potentiation scaled by 1 - w, depression by w.
    """
    b2.start_scope()
    b2.prefs.codegen.target = "numpy"
    b2.defaultclock.dt = dt * b2.second

    taupre = taupost = 20 * b2.ms  # noqa: F841 (Brian2 reads these names)
    wmax = 1.0  # noqa: F841
    dApre, dApost = 0.01, -0.0105  # noqa: F841
    room, fill = ("(wmax - w)", "w") if multiplicative else ("1", "1")

    pre = b2.SpikeGeneratorGroup(1, [0] * len(pre_times), np.array(pre_times) * b2.second)
    post = b2.SpikeGeneratorGroup(1, [0] * len(post_times), np.array(post_times) * b2.second)
    synapse = b2.Synapses(
        pre,
        post,
        """
        w : 1
        dApre/dt = -Apre/taupre : 1 (event-driven)
        dApost/dt = -Apost/taupost : 1 (event-driven)
        """,
        on_pre=f"""
        Apre += dApre
        w = clip(w + {fill}*Apost, 0, wmax)
        """,
        on_post=f"""
        Apost += dApost
        w = clip(w + {room}*Apre, 0, wmax)
        """,
    )
    synapse.connect()
    synapse.w = weight
    synapse.pre.delay = axonal_delay * b2.second
    synapse.post.delay = dendritic_delay * b2.second
    b2.run(duration * b2.second)
    return float(synapse.w[0])


if __name__ == "__main__":
    for interval in (-20e-3, -10e-3, 10e-3, 20e-3):
        change = run([0.05], [0.05 + interval], 0.1) - 0.5
        print(f"t_post - t_pre = {interval * 1e3:+.0f} ms: dw = {change:+.6f}")
