"""Short-term plasticity by hand in plain Brian2: a reference that shares no generated code.

The other common way to write the Tsodyks-Markram synapse, of Brian 1's STP class: u relaxes to U,
r to 1, and the release u r comes before both jump. The releases are the same.

    python -m neuroflip.sims.brian2_tsodyks_markram
"""

from collections.abc import Sequence
from typing import Any

import brian2 as b2
import numpy as np


def run(
    times: Sequence[float],
    duration: float,
    *,
    utilization: float = 0.5,
    tau_rec: float = 0.8,
    tau_facil: float = 0.01,
    weight: float = 1.0,
    dt: float = 1e-4,
) -> Any:
    """What a perfect integrator has received at the start of each step, (steps,).

    times: presynaptic spikes (s). duration, tau_rec, tau_facil, dt (s).
    """
    b2.start_scope()
    b2.prefs.codegen.target = "numpy"
    b2.defaultclock.dt = dt * b2.second

    U, taud, tauf = utilization, tau_rec * b2.second, tau_facil * b2.second  # noqa: F841

    source = b2.SpikeGeneratorGroup(1, [0] * len(times), np.array(times) * b2.second)
    target = b2.NeuronGroup(1, "total : 1")
    synapse = b2.Synapses(
        source,
        target,
        """
        w : 1
        du/dt = (U - u)/tauf : 1 (event-driven)
        dr/dt = (1 - r)/taud : 1 (event-driven)
        """,
        on_pre="""
        total_post += w*u*r
        r -= u*r
        u += U*(1 - u)
        """,
    )
    synapse.connect()
    synapse.w, synapse.u, synapse.r = weight, U, 1
    seen = b2.StateMonitor(target, "total", record=True)
    b2.run(duration * b2.second)
    return np.array(seen.total[0])


if __name__ == "__main__":
    train = [0.05 * k for k in range(1, 9)]
    for name, parameters in {
        "depressing": {"utilization": 0.5, "tau_rec": 0.8, "tau_facil": 1e-6},
        "facilitating": {"utilization": 0.03, "tau_rec": 0.13, "tau_facil": 0.53},
    }.items():
        received = np.unique(run(train, 0.5, **parameters))
        print(f"{name} at 20 Hz, fraction released: {np.diff(received).round(3).tolist()}")
