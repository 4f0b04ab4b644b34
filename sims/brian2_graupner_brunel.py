"""The calcium-based synapse by hand in plain Brian2: a reference that shares no generated code.

The form of Brian2's example of Graupner & Brunel (2012), without noise: pairs at 1 Hz, one synapse
an interval. The efficacy moves by forward Euler, calcium by its exact decay.

    python -m neuroflip.sims.brian2_graupner_brunel
"""

from collections.abc import Sequence
from typing import Any

import brian2 as b2
import numpy as np


def run(
    intervals: Sequence[float],
    *,
    pairs: int = 60,
    start: float = 0.5,
    delay: float = 13.7e-3,
    theta_p: float = 1.3,
    gamma_d: float = 200.0,
    gamma_p: float = 321.808,
    c_pre: float = 1.0,
    c_post: float = 2.0,
    dt: float = 1e-4,
) -> Any:
    """The efficacy rho after `pairs` pairs at 1 Hz, for each interval t_post - t_pre (s).

    start: rho at the start. delay: D (s). The other parameters default to the set "DP".
    """
    b2.start_scope()
    b2.prefs.codegen.target = "numpy"
    b2.defaultclock.dt = dt * b2.second
    del dt  # Brian2 has a variable of that name

    tau_Ca, tau = 20 * b2.ms, 150 * b2.second  # noqa: F841 (Brian2 reads these names)
    theta_d, rho_star = 1.0, 0.5  # noqa: F841

    apart = np.array(intervals)
    n = len(apart)
    first = 0.2 + np.arange(pairs)
    pre = b2.SpikeGeneratorGroup(1, [0] * pairs, first * b2.second)
    post = b2.SpikeGeneratorGroup(
        n, np.tile(np.arange(n), pairs), (first[:, None] + apart).ravel() * b2.second
    )
    synapses = b2.Synapses(
        pre,
        post,
        """
        rho : 1
        dc/dt = -c/tau_Ca : 1 (clock-driven)
        """,
        on_pre="c += c_pre",
        on_post="c += c_post",
        delay={"pre": delay * b2.second},
        method="exact",
    )
    synapses.run_regularly(
        """
        up = gamma_p*(1 - rho)*int(c > theta_p)
        down = gamma_d*rho*int(c > theta_d)
        rho += dt/tau*(-rho*(1 - rho)*(rho_star - rho) + up - down)
        """,
        when="groups",
        order=-1,  # from the calcium at the start of the step
    )
    synapses.connect()
    synapses.rho = start
    b2.run(pairs * b2.second)
    return np.array(synapses.rho[:])


if __name__ == "__main__":
    intervals = [-60e-3, -30e-3, -10e-3, 0.0, 10e-3, 20e-3, 40e-3, 80e-3]
    for interval, end in zip(intervals, run(intervals, pairs=10, dt=5e-4), strict=True):
        print(f"t_post - t_pre = {interval * 1e3:+.0f} ms: rho 0.5 -> {end:.4f} after 10 pairs")
