"""Voltage-based STDP by hand in plain Brian2: a reference that shares no generated code.

One integrate-and-fire neuron with two filters of its potential, in the manner of Brian2's example
of Clopath et al. (2010), one plastic synapse onto it, and a strong input that makes it fire.
Parameters are the defaults of `neuroflip.rules.ClopathSTDP` and `neuroflip.FilteredLIF`, written
out in the paper's mV and ms.

    python -m neuroflip.sims.brian2_clopath
"""

from collections.abc import Sequence

import brian2 as b2
import numpy as np


def run(
    pre_times: Sequence[float],
    force_times: Sequence[float],
    duration: float,
    *,
    potentiation: str = "spike",
    theta_plus: float = -45.3,
    weight: float = 0.5,
    dt: float = 1e-4,
) -> float:
    """The weight after `duration` (s), in fractions of its upper bound, from `weight`.

    pre_times, force_times: spikes (s); those of the strong input fire the neuron a step later.
    potentiation: at each "spike", or by the "voltage". theta_plus (mV).
    """
    b2.start_scope()
    b2.prefs.codegen.target = "numpy"
    b2.defaultclock.dt = dt * b2.second
    del dt  # Brian2 has a variable of that name

    El, vt, vr = -70.6 * b2.mV, -50.4 * b2.mV, -60 * b2.mV  # noqa: F841 (Brian2 reads these)
    v_clamp, t_clamp = 33 * b2.mV, 2 * b2.ms  # noqa: F841
    tau_m, tau_minus, tau_plus = 9.37 * b2.ms, 10 * b2.ms, 7 * b2.ms  # noqa: F841
    tau_x = 15 * b2.ms  # noqa: F841
    A_LTD, A_LTP = 14e-5, 8e-5  # noqa: F841
    th_minus, th_plus = -70.6, theta_plus  # noqa: F841
    epsp = 2 * b2.mV  # noqa: F841

    neuron = b2.NeuronGroup(
        1,
        """
        dv/dt = (El - v)/tau_m : volt (unless refractory)
        duminus/dt = (v - uminus)/tau_minus : volt
        duplus/dt = (v - uplus)/tau_plus : volt
        """,
        threshold="v > vt",
        reset="""
        v = vr
        uminus = v_clamp + (uminus - v_clamp)*exp(-t_clamp/tau_minus)
        uplus = v_clamp + (uplus - v_clamp)*exp(-t_clamp/tau_plus)
        """,
        refractory=2 * b2.ms,
        method="exact",
    )
    neuron.v = neuron.uminus = neuron.uplus = El

    def generator(times: Sequence[float]) -> b2.SpikeGeneratorGroup:
        return b2.SpikeGeneratorGroup(1, [0] * len(times), np.array(times) * b2.second)

    pre, strong = generator(pre_times), generator(force_times)
    force = b2.Synapses(strong, neuron, on_pre="v_post += 30*mV")
    force.connect()
    area = (v_clamp / b2.mV - th_plus) * (t_clamp / b2.ms)  # noqa: F841
    plastic = b2.Synapses(
        pre,
        neuron,
        """
        w : 1
        dx/dt = -x/tau_x : 1 (clock-driven)
        """,
        # x is in 1/ms, as in the paper
        on_pre="""
        v_post += w*epsp
        w = clip(w - A_LTD*clip(uminus_post/mV - th_minus, 0, inf), 0, 1)
        x += 1*ms/tau_x
        """,
        on_post=(
            "w = clip(w + A_LTP*x*clip(uplus_post/mV - th_minus, 0, inf)*area, 0, 1)"
            if potentiation == "spike"
            else None
        ),
        method="exact",
    )
    plastic.connect()
    plastic.w = weight
    if potentiation == "voltage":
        plastic.run_regularly(
            """
            product = clip(v_post/mV - th_plus, 0, inf)*clip(uplus_post/mV - th_minus, 0, inf)
            w = clip(w + dt/ms*A_LTP*x*product, 0, 1)
            """,
            when="groups",
            order=-1,
        )
    b2.run(duration * b2.second)
    return float(plastic.w[0])


if __name__ == "__main__":
    for interval in (-10e-3, 10e-3):
        for rate in (10, 20, 40, 50):
            pre = [0.02 + k / rate for k in range(5)]
            change = run(pre, [t + interval - 1e-4 for t in pre], 0.05 + 5 / rate) - 0.5
            print(f"5 pairs {interval * 1e3:+.0f} ms at {rate:2d} Hz: dw = {change:+.4f}")
