"""Triplet STDP by hand in plain Brian2: a reference that shares no generated code.

The traces of Pfister & Gerstner 2006 (J. Neurosci. 26:9673) as event-driven variables, for one
synapse between two spike generators, with a delay on either pathway.

    python -m neuroflip.sims.brian2_triplet_stdp
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
    nearest: bool = False,
    dt: float = 1e-4,
) -> float:
    """The weight after `duration` (s), starting from `weight`.

    pre_times, post_times: spikes (s). Bounds 0 and 1; the full all-to-all parameters for visual
    cortex. nearest: traces are set to 1 by a spike, instead of raised by 1.
    """
    b2.start_scope()
    b2.prefs.codegen.target = "numpy"
    b2.defaultclock.dt = dt * b2.second

    tau_plus, tau_minus = 16.8 * b2.ms, 33.7 * b2.ms  # noqa: F841 (Brian2 reads these names)
    tau_x, tau_y = 101 * b2.ms, 125 * b2.ms  # noqa: F841
    A2p, A3p, A2m, A3m = 5e-10, 6.2e-3, 7e-3, 2.3e-4  # noqa: F841
    jump = "=" if nearest else "+="

    pre = b2.SpikeGeneratorGroup(1, [0] * len(pre_times), np.array(pre_times) * b2.second)
    post = b2.SpikeGeneratorGroup(1, [0] * len(post_times), np.array(post_times) * b2.second)
    synapse = b2.Synapses(
        pre,
        post,
        """
        w : 1
        dr1/dt = -r1/tau_plus : 1 (event-driven)
        dr2/dt = -r2/tau_x : 1 (event-driven)
        do1/dt = -o1/tau_minus : 1 (event-driven)
        do2/dt = -o2/tau_y : 1 (event-driven)
        """,
        on_pre=f"""
        w = clip(w - o1*(A2m + A3m*r2), 0, 1)
        r1 {jump} 1
        r2 {jump} 1
        """,
        on_post=f"""
        w = clip(w + r1*(A2p + A3p*o2), 0, 1)
        o1 {jump} 1
        o2 {jump} 1
        """,
    )
    synapse.connect()
    synapse.w = weight
    synapse.pre.delay = axonal_delay * b2.second
    synapse.post.delay = dendritic_delay * b2.second
    b2.run(duration * b2.second)
    return float(synapse.w[0])


if __name__ == "__main__":
    for rate in (10, 20, 40, 50):
        pre = [0.02 + k / rate for k in range(15)]
        for interval in (-10e-3, 10e-3):
            post = [time + interval for time in pre]
            change = run(pre, post, 0.1 + 15 / rate) - 0.5
            print(f"15 pairs at {rate} Hz, {interval * 1e3:+.0f} ms: dw = {change:+.4f}")
