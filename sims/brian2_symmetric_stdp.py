"""Symmetric STDP by hand in plain Brian2: a reference that shares no generated code.

One window for both orders of the spikes, and a cost of each spike by itself (the terms of Kempter,
Gerstner & van Hemmen 1999, Phys. Rev. E 59:4498). Synapse i joins train i to train i.

    python -m neuroflip.sims.brian2_symmetric_stdp
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

    pre_trains, post_trains: spikes (s). a: potentiation by a pair at interval 0; a presynaptic
    spike costs a tenth of it, a postsynaptic one a fifth. Time constant 108 ms.
    """
    b2.start_scope()
    b2.prefs.codegen.target = "numpy"
    b2.defaultclock.dt = dt * b2.second

    tau = 108 * b2.ms  # noqa: F841 (Brian2 reads these names)
    jump = a  # noqa: F841

    synapse = b2.Synapses(
        pre := generator(pre_trains),
        post := generator(post_trains),
        """
        w : 1
        dapre/dt = -apre/tau : 1 (event-driven)
        dapost/dt = -apost/tau : 1 (event-driven)
        """,
        on_pre="""
        apre += jump
        w = clip(w + apost - 0.1*jump, 0, 1)
        """,
        on_post="""
        apost += jump
        w = clip(w + apre - 0.2*jump, 0, 1)
        """,
    )
    synapse.connect(j="i")
    synapse.w = weight
    synapse.pre.delay = axonal_delay * b2.second
    synapse.post.delay = dendritic_delay * b2.second
    b2.Network(pre, post, synapse).run(duration * b2.second)
    return np.array(synapse.w)


if __name__ == "__main__":
    apart = (-0.075, 0.0, 0.075)
    change = run([[0.1]] * 3, [[0.1 + interval] for interval in apart], 0.3) - 0.5
    for interval, dw in zip(apart, change, strict=True):
        print(f"t_post - t_pre = {interval * 1e3:+.0f} ms: dw = {dw:+.6f}")
