"""STDP with suppression by hand in plain Brian2: a reference that shares no generated code.

The model of Froemke & Dan 2002 (Nature 416:433): the efficacy of a spike from the time since the
one before it, and traces that spikes raise by their efficacy. Synapse i joins train i to train i.

    python -m neuroflip.sims.brian2_froemke_dan
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
    scale: float = 1.0,
    dt: float = 1e-4,
) -> Any:
    """The weights after `duration` (s), starting from `weight`.

    pre_trains, post_trains: spikes (s). Bounds 0 and 1; windows of 13.3 and 34.5 ms with 0.0103
    and 0.0051, times `scale`; recovery in 28 ms (presynaptic) and 88 ms.
    """
    b2.start_scope()
    b2.prefs.codegen.target = "numpy"
    b2.defaultclock.dt = dt * b2.second

    tau_plus, tau_minus = 13.3 * b2.ms, 34.5 * b2.ms  # noqa: F841 (Brian2 reads these names)
    tau_x, tau_y = 28 * b2.ms, 88 * b2.ms  # noqa: F841
    A_plus, A_minus = 0.0103 * scale, 0.0051 * scale  # noqa: F841

    synapse = b2.Synapses(
        pre := generator(pre_trains),
        post := generator(post_trains),
        """
        w : 1
        before_x : second
        before_y : second
        dx/dt = -x/tau_plus : 1 (event-driven)
        dy/dt = -y/tau_minus : 1 (event-driven)
        """,
        on_pre="""
        efficacy = 1 - exp(-(t - before_x)/tau_x)
        w = clip(w - efficacy*A_minus*y, 0, 1)
        x += efficacy
        before_x = t
        """,
        on_post="""
        efficacy = 1 - exp(-(t - before_y)/tau_y)
        w = clip(w + efficacy*A_plus*x, 0, 1)
        y += efficacy
        before_y = t
        """,
    )
    synapse.connect(j="i")
    synapse.w = weight
    synapse.before_x = synapse.before_y = -1e6 * b2.second
    synapse.pre.delay = axonal_delay * b2.second
    synapse.post.delay = dendritic_delay * b2.second
    b2.Network(pre, post, synapse).run(duration * b2.second)
    return np.array(synapse.w)


if __name__ == "__main__":
    change = run([[0.05, 0.06], [0.055]], [[0.055], [0.05, 0.06]], 0.1) - 0.5
    print(f"pre-post-pre, 5 ms apart: dw = {change[0]:+.6f}")
    print(f"post-pre-post, 5 ms apart: dw = {change[1]:+.6f}")
