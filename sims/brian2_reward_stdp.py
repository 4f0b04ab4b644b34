"""Dopamine-modulated STDP by hand in plain Brian2: a reference that shares no generated code.

The form of Brian2's example of Izhikevich (2007), for one synapse between two spike generators;
reward is a third generator, each of whose spikes releases dopamine. Eligibility, dopamine and
weight are integrated by fourth-order Runge-Kutta, so that what differs is the library's own error.

    python -m neuroflip.sims.brian2_reward_stdp
"""

from collections.abc import Sequence

import brian2 as b2
import numpy as np


def run(
    pre_times: Sequence[float],
    post_times: Sequence[float],
    reward_times: Sequence[float],
    duration: float,
    *,
    release: float = 0.1,
    weight: float = 0.5,
    dt: float = 1e-4,
) -> float:
    """The weight after `duration` (s), starting from `weight`; bounds 0 and 1.

    pre_times, post_times, reward_times: spikes (s). release: dopamine of a reward.
    """
    b2.start_scope()
    b2.prefs.codegen.target = "numpy"
    b2.defaultclock.dt = dt * b2.second
    del dt  # Brian2 has a variable of that name

    taupre = taupost = 20 * b2.ms  # noqa: F841 (Brian2 reads these names)
    tauc, taud = 1000 * b2.ms, 200 * b2.ms  # noqa: F841
    dApre, dApost = 0.1, -0.15  # noqa: F841

    def generator(times: Sequence[float]) -> b2.SpikeGeneratorGroup:
        return b2.SpikeGeneratorGroup(1, [0] * len(times), np.array(times) * b2.second)

    pre, post, rewards = map(generator, (pre_times, post_times, reward_times))
    synapse = b2.Synapses(
        pre,
        post,
        """
        dc/dt = -c/tauc : 1 (clock-driven)
        dd/dt = -d/taud : 1 (clock-driven)
        dw/dt = c*d/second : 1 (clock-driven)
        dApre/dt = -Apre/taupre : 1 (event-driven)
        dApost/dt = -Apost/taupost : 1 (event-driven)
        """,
        on_pre="""
        Apre += dApre
        c += Apost
        """,
        on_post="""
        Apost += dApost
        c += Apre
        """,
        method="rk4",
    )
    synapse.connect()
    synapse.w = weight
    dopamine = b2.Synapses(rewards, synapse, on_pre=f"d_post += {release}")
    dopamine.connect()
    b2.run(duration * b2.second)
    return float(np.clip(synapse.w[0], 0, 1))


if __name__ == "__main__":
    for interval in (-10e-3, 10e-3):
        for reward in (0.1, 0.5, 1.5, 3.0):
            change = run([0.02], [0.02 + interval], [0.02 + reward], 4.0, dt=1e-3) - 0.5
            print(f"pair {interval * 1e3:+.0f} ms, reward {reward:g} s later: dw = {change:+.6f}")
