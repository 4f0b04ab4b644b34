"""Anti-Hebbian STDP by hand in plain Brian2: a reference that shares no generated code.

Brian2's STDP example with the signs of both amplitudes turned: a presynaptic spike before a
postsynaptic one depresses (Bell et al. 1997, Nature 387:278). Synapse i joins train i to train i.

    python -m neuroflip.sims.brian2_anti_hebbian_stdp
"""

from typing import Any

import brian2 as b2
import numpy as np

from neuroflip.sims.brian2_trains import Trains, generator


def run(
    pre_trains: Trains,
    post_trains: Trains,
    duration: float,
    *,
    weight: Any = 0.5,
    axonal_delay: Any = 0.0,
    dendritic_delay: Any = 0.0,
    a: float = 0.01,
    dt: float = 1e-4,
) -> Any:
    """The weights after `duration` (s), starting from `weight`; bounds 0 and 1.

    pre_trains, post_trains: spikes (s). a: potentiation by a pair at interval 0; depression is
    1.05 times as much. Time constants 12 ms of potentiation, 20 ms of depression.
    """
    b2.start_scope()
    b2.prefs.codegen.target = "numpy"
    b2.defaultclock.dt = dt * b2.second

    taupre, taupost = 20 * b2.ms, 12 * b2.ms  # noqa: F841 (Brian2 reads these names)
    dApre, dApost = -1.05 * a, a  # noqa: F841

    synapse = b2.Synapses(
        pre := generator(pre_trains),
        post := generator(post_trains),
        """
        w : 1
        dApre/dt = -Apre/taupre : 1 (event-driven)
        dApost/dt = -Apost/taupost : 1 (event-driven)
        """,
        on_pre="""
        Apre += dApre
        w = clip(w + Apost, 0, 1)
        """,
        on_post="""
        Apost += dApost
        w = clip(w + Apre, 0, 1)
        """,
    )
    synapse.connect(j="i")
    synapse.w = weight
    synapse.pre.delay = axonal_delay * b2.second
    synapse.post.delay = dendritic_delay * b2.second
    b2.Network(pre, post, synapse).run(duration * b2.second)
    return np.array(synapse.w)


if __name__ == "__main__":
    apart = (-0.02, -0.01, 0.0, 0.01, 0.02)
    change = run([[0.05]] * 5, [[0.05 + interval] for interval in apart], 0.1) - 0.5
    for interval, dw in zip(apart, change, strict=True):
        print(f"t_post - t_pre = {interval * 1e3:+.0f} ms: dw = {dw:+.6f}")
