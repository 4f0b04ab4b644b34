"""The two-neuron SR latch by hand in plain Brian2: a reference that shares no generated code.

The parameters are the defaults of `neuroflip.circuits.sr_latch`, written out. With tau_m = tau_s
Brian2's `exact` integrator divides 0 by 0 without a word; `rk4` is accurate to about 1e-12 V here.

    python -m neuroflip.sims.brian2_sr_latch
"""

from typing import Any

import brian2 as b2
import numpy as np


def run(
    set_times: list[float], reset_times: list[float], duration: float, dt: float = 1e-4
) -> dict[str, Any]:
    """Spike times (s) of Q and Qbar, and their potentials (V), shape (2, steps).

    set_times, reset_times: spikes at S and R (s). duration, dt (s).
    """
    b2.start_scope()
    b2.prefs.codegen.target = "numpy"
    b2.defaultclock.dt = dt * b2.second

    tau_m = tau_s = 20 * b2.ms
    R = 100 * b2.Mohm
    drive = 300 * b2.pA
    theta = 15 * b2.mV
    refractory = 2 * b2.ms
    inhibition = 200 * b2.pA
    pulse = 1500 * b2.pA  # noqa: F841 (Brian2 reads this name)

    latch = b2.NeuronGroup(
        2,
        """
        dv/dt = (R*(drive - I_inh) - v)/tau_m : volt (unless refractory)
        dI_inh/dt = -I_inh/tau_s : amp
        """,
        threshold="v > theta",
        reset="v = 0*mV",
        refractory=refractory,
        method="rk4",
    )
    # The bit starts as 0: Q is inhibited as on average while Qbar fires.
    rate = 1 / (refractory + tau_m * np.log(R * drive / (R * drive - theta)))
    silencing = inhibition * tau_s * rate
    latch.I_inh = [silencing / b2.amp, 0] * b2.amp
    latch.v = [R * (drive - silencing) / b2.volt, 0] * b2.volt

    cross = b2.Synapses(latch, latch, on_pre="I_inh_post += inhibition", delay=1 * b2.ms)
    cross.connect(i=[0, 1], j=[1, 0])

    times = np.concatenate([set_times, reset_times])
    sources = [0] * len(set_times) + [1] * len(reset_times)
    pulses = b2.SpikeGeneratorGroup(2, sources, times * b2.second)
    gates = b2.Synapses(pulses, latch, on_pre="I_inh_post += pulse", delay=1 * b2.ms)
    gates.connect(i=[0, 1], j=[1, 0])  # S inhibits Qbar, R inhibits Q

    spikes = b2.SpikeMonitor(latch)
    potential = b2.StateMonitor(latch, "v", record=True)
    b2.run(duration * b2.second)
    trains = spikes.spike_trains()
    return {
        "Q": np.asarray(trains[0] / b2.second),
        "Qbar": np.asarray(trains[1] / b2.second),
        "v": np.asarray(potential.v / b2.volt),
    }


if __name__ == "__main__":
    result = run([0.05], [0.55], 1.0)
    for name in ("Q", "Qbar"):
        print(name, result[name].round(4))
