"""Synaptic scaling by hand in plain Brian2: a reference that shares no generated code.

The proportional term of van Rossum, Bi & Turrigiano 2000 (J. Neurosci. 20:8812). The rate is the
variable of a meter neuron that the postsynaptic spikes reach; the weights of the synapses onto it
follow by forward Euler, from the rate at the start of the step.

    python -m neuroflip.sims.brian2_homeostatic_scaling
"""

from typing import Any

import brian2 as b2
import numpy as np

from neuroflip.sims.brian2_trains import Trains, generator


def run(
    post_trains: Trains,
    duration: float,
    *,
    weight: Any = 0.5,
    dendritic_delay: Any = 0.0,
    target: float = 5.0,
    rate: float = 4e-5,
    tau: float = 100.0,
    dt: float = 1e-4,
) -> Any:
    """The weights after `duration` (s), one for each train of spikes (s), from `weight`.

    target: rate aimed at (Hz). rate: relative change a second and Hz. tau: of the average (s).
    """
    b2.start_scope()
    b2.prefs.codegen.target = "numpy"
    b2.defaultclock.dt = dt * b2.second
    del dt  # Brian2 has a variable of that name

    time_constant, goal, speed = tau * b2.second, target * b2.Hz, rate  # noqa: F841 (Brian2 reads)

    size = len(post_trains)
    post = generator(post_trains)
    meter = b2.NeuronGroup(size, "dy/dt = -y/time_constant : Hz", method="exact")
    spikes = b2.Synapses(post, meter, on_pre="y_post += 1/time_constant")
    spikes.connect(j="i")
    spikes.delay = dendritic_delay * b2.second
    synapse = b2.Synapses(
        post,
        meter,
        "dw/dt = speed*w*(goal - y_post) : 1 (clock-driven)",
        method="euler",
        order=-1,  # before the meter's own update
    )
    synapse.connect(j="i")
    synapse.w = weight
    b2.Network(post, meter, spikes, synapse).run(duration * b2.second)
    return np.array(synapse.w)


if __name__ == "__main__":
    trains: list[Any] = [[], np.arange(1, 10) * 0.1, np.arange(1, 50) * 0.02]
    found = run(trains, 1.0, target=10.0, rate=0.05, tau=0.5, weight=1.0)
    for train, w in zip(trains, found, strict=True):
        print(f"{len(train)} spikes in 1 s, target 10 Hz: w = {w:.4f}")
