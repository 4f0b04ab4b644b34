"""Inhibitory STDP by hand in plain Brian2: a reference that shares no generated code.

The rule of Vogels et al. 2011 (Science 334:1569) as in Brian2's own version of that paper, for
one synapse between two spike generators, with a delay on either pathway.

    python -m neuroflip.sims.brian2_inhibitory_stdp
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
    eta: float = 0.01,
    dt: float = 1e-4,
) -> float:
    """The weight after `duration` (s), starting from `weight`.

    pre_times, post_times: spikes (s). eta: learning rate. Bounds 0 and 1, time constant 20 ms,
    target rate 3 Hz.
    """
    b2.start_scope()
    b2.prefs.codegen.target = "numpy"
    b2.defaultclock.dt = dt * b2.second

    tau_stdp = 20 * b2.ms
    gmax = 1.0  # noqa: F841 (Brian2 reads these names)
    alpha = 3 * b2.Hz * tau_stdp * 2  # noqa: F841

    pre = b2.SpikeGeneratorGroup(1, [0] * len(pre_times), np.array(pre_times) * b2.second)
    post = b2.SpikeGeneratorGroup(1, [0] * len(post_times), np.array(post_times) * b2.second)
    synapse = b2.Synapses(
        pre,
        post,
        """
        w : 1
        dApre/dt = -Apre/tau_stdp : 1 (event-driven)
        dApost/dt = -Apost/tau_stdp : 1 (event-driven)
        """,
        on_pre="""
        Apre += 1
        w = clip(w + (Apost - alpha)*eta, 0, gmax)
        """,
        on_post="""
        Apost += 1
        w = clip(w + Apre*eta, 0, gmax)
        """,
    )
    synapse.connect()
    synapse.w = weight
    synapse.pre.delay = axonal_delay * b2.second
    synapse.post.delay = dendritic_delay * b2.second
    b2.run(duration * b2.second)
    return float(synapse.w[0])


if __name__ == "__main__":
    for interval in (-20e-3, 0.0, 20e-3, 100e-3):
        change = run([0.05], [0.05 + interval], 0.2) - 0.5
        print(f"t_post - t_pre = {interval * 1e3:+.0f} ms: dw = {change:+.6f}")
