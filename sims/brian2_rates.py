"""Rate rules by hand in plain Brian2: a reference that shares no generated code.

The rates x and y of a synapse are its spike trains filtered by exp(-t/tau)/tau; weights follow by
forward Euler, from what there is at the start of the step. Synapse i joins train i to train i.

    python -m neuroflip.sims.brian2_rates
"""

from typing import Any

import brian2 as b2
import numpy as np

from neuroflip.sims.brian2_trains import Trains, generator

STEPS = {
    "Hebb": "w = clip(w + h*(rate*x*y - 2*w), -1, 1)",
    "Covariance": """
        w = clip(w + h*rate*(x - mx)*(y - my), -1, 1)
        mx += h*(x - mx)/0.5
        my += h*(y - my)/0.5
        """,
    "Oja": "w += h*rate*y*(1.5*x - y*w)",
    "BCM": """
        new = w + h*rate*x*y*(y - theta)
        theta += h*(y**2/4 - theta)/0.1
        w = new
        """,
    "Delta": "w += h*rate*(factor(t) - y)*x",
    "PES": "w -= h*rate*factor(t)*x",
    "Contrastive": "w += h*rate*factor(t)*x*y",
}
"""What a step of h seconds does, by rule (Hebb 1949 with decay 2/s; Sejnowski 1977 with means over
0.5 s; Oja 1982 with weights of scale 1.5; Bienenstock, Cooper & Munro 1982, the threshold after
Intrator & Cooper 1992, over 0.1 s, target 4 Hz; Widrow & Hoff 1960; MacNeil & Eliasmith 2011;
Movellan 1991). factor(t) is the target, the error, or the phase."""


def run(
    rule: str,
    pre_trains: Trains,
    post_trains: Trains,
    factor: Any,
    duration: float,
    *,
    rate: float,
    weight: Any = 0.5,
    axonal_delay: Any = 0.0,
    dendritic_delay: Any = 0.0,
    dt: float = 1e-4,
) -> Any:
    """The weights after `duration` (s), starting from `weight`; Hebb and Covariance hold them
    within -1 and 1.

    pre_trains, post_trains: spikes (s). factor: one number a step, of what the rule reads. rate:
    learning rate. tau is 20 ms.
    """
    b2.start_scope()
    b2.prefs.codegen.target = "numpy"
    b2.defaultclock.dt = dt * b2.second
    factor = b2.TimedArray(factor, dt=dt * b2.second)
    h = dt  # noqa: F841 (Brian2 reads it)
    del dt  # Brian2 has a variable of that name

    synapse = b2.Synapses(
        pre := generator(pre_trains),
        post := generator(post_trains),
        """
        w : 1
        mx : 1
        my : 1
        theta : 1
        dx/dt = -x/(20*ms) : 1 (clock-driven)
        dy/dt = -y/(20*ms) : 1 (clock-driven)
        """,
        on_pre="x += 50",
        on_post="y += 50",
        method="exact",
    )
    synapse.connect(j="i")
    synapse.w = weight
    synapse.pre.delay = axonal_delay * b2.second
    synapse.post.delay = dendritic_delay * b2.second
    synapse.run_regularly(STEPS[rule], when="groups", order=-1)  # before x and y decay
    b2.Network(pre, post, synapse).run(duration * b2.second)
    return np.array(synapse.w)


if __name__ == "__main__":
    pre, post = np.arange(1, 20) * 0.01, np.arange(1, 10) * 0.02
    for name in STEPS:
        change = run(name, [pre], [post], np.ones(2000), 0.2, rate=1e-5)[0] - 0.5
        print(f"{name}: dw = {change:+.6f}")
