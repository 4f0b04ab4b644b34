"""A synapse that drifts to two states by hand in plain Brian2: it shares no generated code.

The drift of Brader, Senn & Fusi 2007 (Neural Comput. 19:2881) under pair STDP as in Brian2's STDP
example, so that spikes carry weights over the threshold. Synapse i joins train i to train i.

    python -m neuroflip.sims.brian2_bistable_synapse
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
    drift: float = 3.5,
    a: float = 0.01,
    dt: float = 1e-4,
) -> Any:
    """The weights after `duration` (s), starting from `weight`; the states are 0 and 1.

    pre_trains, post_trains: spikes (s). drift: speed (1/s), the same both ways; threshold 0.4.
    a: potentiation by a pair at interval 0; depression is 1.05 times as much. Both time constants
    20 ms.
    """
    b2.start_scope()
    b2.prefs.codegen.target = "numpy"
    b2.defaultclock.dt = dt * b2.second
    del dt  # Brian2 has a variable of that name

    tau = 20 * b2.ms  # noqa: F841 (Brian2 reads these names)
    speed, theta = drift * b2.Hz, 0.4  # noqa: F841
    dApre, dApost = a, -1.05 * a  # noqa: F841

    synapse = b2.Synapses(
        pre := generator(pre_trains),
        post := generator(post_trains),
        """
        dw/dt = speed*(2*int(w > theta) - 1) : 1 (clock-driven)
        dApre/dt = -Apre/tau : 1 (event-driven)
        dApost/dt = -Apost/tau : 1 (event-driven)
        """,
        on_pre="""
        Apre += dApre
        w = clip(w + Apost, 0, 1)
        """,
        on_post="""
        Apost += dApost
        w = clip(w + Apre, 0, 1)
        """,
        method="euler",
    )
    synapse.connect(j="i")
    synapse.w = weight
    synapse.pre.delay = axonal_delay * b2.second
    synapse.post.delay = dendritic_delay * b2.second
    bounds = synapse.run_regularly("w = clip(w, 0, 1)", when="after_groups")
    b2.Network(pre, post, synapse, bounds).run(duration * b2.second)
    return np.array(synapse.w)


if __name__ == "__main__":
    start = np.array([0.1, 0.39, 0.41, 0.9])
    for before, after in zip(start, run([[]] * 4, [[]] * 4, 0.1, weight=start), strict=True):
        print(f"{before:g} drifts in 100 ms to {after:.4f}")
