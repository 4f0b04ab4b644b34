"""Florian's reward-modulated STDP by hand in plain Brian2: a reference that shares no generated
code.

MSTDP and MSTDPET (Florian 2007, Neural Comput. 19:1468). The weights of MSTDPET follow by forward
Euler, from the eligibility and the reward at the start of the step. Synapse i joins train i to
train i; all are given the same reward.

    python -m neuroflip.sims.brian2_florian
"""

from typing import Any

import brian2 as b2
import numpy as np

from neuroflip.sims.brian2_trains import Trains, generator

EVENTS = {
    "MSTDP": (
        "P_plus += 1; w = clip(w + gamma*reward(t)*P_minus, 0, 1)",
        "P_minus -= 1; w = clip(w + gamma*reward(t)*P_plus, 0, 1)",
    ),
    "MSTDPET": (
        "P_plus += 1; z += P_minus*second/tau_z",
        "P_minus -= 1; z += P_plus*second/tau_z",
    ),
}
"""What a presynaptic and what a postsynaptic spike do, in the paper's names, by rule."""


def run(
    rule: str,
    pre_trains: Trains,
    post_trains: Trains,
    reward: Any,
    duration: float,
    *,
    weight: Any = 0.5,
    axonal_delay: Any = 0.0,
    dendritic_delay: Any = 0.0,
    gamma: float = 0.01,
    dt: float = 1e-4,
) -> Any:
    """The weights after `duration` (s), starting from `weight`; bounds 0 and 1.

    pre_trains, post_trains: spikes (s). reward: one number a step. gamma: learning rate. A_plus 1,
    A_minus -1, time constants 20 ms, 20 ms and 25 ms.
    """
    b2.start_scope()
    b2.prefs.codegen.target = "numpy"
    b2.defaultclock.dt = dt * b2.second
    reward = b2.TimedArray(reward, dt=dt * b2.second)
    del dt  # Brian2 has a variable of that name

    tau_plus, tau_minus, tau_z = 20 * b2.ms, 20 * b2.ms, 25 * b2.ms  # noqa: F841 (Brian2 reads)
    on_pre, on_post = EVENTS[rule]
    synapse = b2.Synapses(
        pre := generator(pre_trains),
        post := generator(post_trains),
        """
        w : 1
        dz/dt = -z/tau_z : 1 (clock-driven)
        dP_plus/dt = -P_plus/tau_plus : 1 (event-driven)
        dP_minus/dt = -P_minus/tau_minus : 1 (event-driven)
        """,
        on_pre=on_pre.replace("; ", "\n"),
        on_post=on_post.replace("; ", "\n"),
        method="exact",
    )
    synapse.connect(j="i")
    synapse.w = weight
    synapse.pre.delay = axonal_delay * b2.second
    synapse.post.delay = dendritic_delay * b2.second
    if rule == "MSTDPET":  # before z decays
        synapse.run_regularly(
            "w = clip(w + dt/second*gamma*reward(t)*z, 0, 1)", when="groups", order=-1
        )
    b2.Network(pre, post, synapse).run(duration * b2.second)
    return np.array(synapse.w)


if __name__ == "__main__":
    pre, post = [0.010, 0.012, 0.030, 0.041], [0.015, 0.016, 0.035, 0.041]
    for name in EVENTS:
        for value in (1.0, -1.0):
            change = run(name, [pre], [post], np.full(1000, value), 0.1)[0] - 0.5
            print(f"{name}, reward {value:+g}: dw = {change:+.6f}")
