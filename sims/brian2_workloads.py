"""The workloads of `neuroflip bench spiking` by hand in plain Brian2.

`cuba` and `stdp` are Brian2's own examples CUBA.py and STDP.py; the others are written in their
style. Random numbers are replaced by arrays that are handed in, so that other simulators can be
given the same. As a script it knows nothing of neuroflip:

    python brian2_workloads.py WORKLOAD ARRAYS.npz RESULT.npz TARGET FOLDER THREADS
"""

import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import brian2 as b2
import numpy as np
from brian2 import Mohm, amp, ms, mV, pA, second, volt

Arrays = Mapping[str, Any]
Result = dict[str, Any]


def run(
    workload: str,
    arrays: Arrays,
    target: str = "numpy",
    folder: str | None = None,
    threads: int = 1,
) -> Result:
    """Run a workload: "latch", "sweep", "cuba", "stdp", or "recurrent".

    arrays: what `neuroflip.bench.workloads` draws for it.
    target: "numpy", "cython" or "cpp_standalone"; folder: where that keeps what it compiles.
    threads: of OpenMP, for "cpp_standalone".

    Returns "steps" and "neurons" (int64) of all spikes, sorted; "weights" at the end, in the
    order of the arrays, in the unit of the equations (empty without plasticity); "script_s", the
    time (s) that all of it took, and "loop_s", that of the simulation loop alone as Brian2 takes
    it: processor time in "cpp_standalone" with one thread, else wall time.
    """
    begun = time.perf_counter()
    b2.start_scope()
    if target == "cpp_standalone":
        b2.prefs.devices.cpp_standalone.openmp_threads = threads if threads > 1 else 0
        b2.set_device("cpp_standalone", directory=folder)
    else:
        b2.prefs.codegen.target = target
        b2.prefs.codegen.runtime.cython.cache_dir = folder
    b2.defaultclock.dt = 0.1 * ms
    spikes, weights = WORKLOADS[workload](arrays)
    steps = np.rint(np.asarray(spikes.t / b2.defaultclock.dt)).astype(np.int64)
    neurons = np.asarray(spikes.i[:], dtype=np.int64)
    order = np.lexsort((neurons, steps))
    return {
        "steps": steps[order],
        "neurons": neurons[order],
        "weights": weights,
        "script_s": time.perf_counter() - begun,
        "loop_s": float(b2.get_device()._last_run_time),
    }


def latches(arrays: Arrays) -> tuple[Any, Any]:
    """`copies` set-reset latches of two neurons, Q (the first `copies` neurons) and Qbar.

    noise_sd: standard deviation (V) of the potential by white noise; 0 for none. noise, where
    given: the noise as currents (A), shape (steps, 2*copies), held for a step each.

    The time constants of membrane and synapse are equal, where Brian2's `exact` divides 0 by 0.
    """
    copies = int(arrays["copies"])
    sigma = float(arrays["noise_sd"]) * volt
    tau = 20 * ms
    R = 100 * Mohm
    drive = 300 * pA
    theta = 15 * mV
    refractory = 2 * ms
    inhibition = 200 * pA
    pulse = 1500 * pA  # noqa: F841 (Brian2 reads this name)

    dv, method = "(R*(drive - I) - v)/tau", "rk4"
    given = ""
    if "noise" in arrays:
        noise = b2.TimedArray(arrays["noise"] * amp, dt=0.1 * ms)  # noqa: F841
        dv = "(R*(drive + injected - I) - v)/tau"
        given = "injected = noise(t, i) : amp (constant over dt)"
    elif sigma > 0 * volt:
        dv, method = f"{dv} + sigma*sqrt(2/tau)*xi", "euler"
    group = b2.NeuronGroup(
        2 * copies,
        f"""
        dv/dt = {dv} : volt (unless refractory)
        dI/dt = -I/tau : amp
        {given}
        """,
        threshold="v > theta",
        reset="v = 0*mV",
        refractory=refractory,
        method=method,
    )
    # The bit starts as 0: Q is inhibited as on average while Qbar fires.
    rate = 1 / (refractory + tau * np.log(R * drive / (R * drive - theta)))
    silencing = inhibition * tau * rate
    group.I[:copies] = silencing
    group.v[:copies] = R * (drive - silencing)

    first = np.arange(copies)
    cross = b2.Synapses(group, group, on_pre="I_post += inhibition", delay=1 * ms)
    cross.connect(i=np.r_[first, first + copies], j=np.r_[first + copies, first])
    times = np.r_[arrays["set_times"], arrays["reset_times"]]
    sources = np.r_[
        np.zeros(len(arrays["set_times"]), int), np.ones(len(arrays["reset_times"]), int)
    ]
    pulses = b2.SpikeGeneratorGroup(2, sources, times * second)
    gates = b2.Synapses(pulses, group, on_pre="I_post += pulse", delay=1 * ms)
    # S inhibits Qbar, R inhibits Q
    gates.connect(i=np.repeat([0, 1], copies), j=np.r_[first + copies, first])

    spikes = b2.SpikeMonitor(group)
    b2.run(float(arrays["duration"]) * second)
    return spikes, np.zeros(0)


def cuba(arrays: Arrays) -> tuple[Any, Any]:
    """Brian2's example CUBA.py (benchmark 2 of Brette et al. 2007, J. Comput. Neurosci. 23:349).

    v: initial potentials (V); exc_pre, exc_post, inh_pre, inh_post: the connections.
    """
    taum = 20 * ms  # noqa: F841
    taue = 5 * ms  # noqa: F841
    taui = 10 * ms  # noqa: F841
    Vt = -50 * mV  # noqa: F841
    Vr = -60 * mV  # noqa: F841
    El = -49 * mV  # noqa: F841
    we = 1.62 * mV  # noqa: F841
    wi = -9 * mV  # noqa: F841

    P = b2.NeuronGroup(
        len(arrays["v"]),
        """
        dv/dt = (ge + gi - (v - El))/taum : volt (unless refractory)
        dge/dt = -ge/taue : volt
        dgi/dt = -gi/taui : volt
        """,
        threshold="v > Vt",
        reset="v = Vr",
        refractory=5 * ms,
        method="exact",
    )
    P.v = arrays["v"] * volt
    Ce = b2.Synapses(P, P, on_pre="ge += we")
    Ci = b2.Synapses(P, P, on_pre="gi += wi")
    Ce.connect(i=arrays["exc_pre"], j=arrays["exc_post"])
    Ci.connect(i=arrays["inh_pre"], j=arrays["inh_post"])

    spikes = b2.SpikeMonitor(P)
    b2.run(float(arrays["duration"]) * second)
    return spikes, np.zeros(0)


def stdp(arrays: Arrays) -> tuple[Any, Any]:
    """Brian2's example STDP.py (Song, Miller & Abbott 2000, Nat. Neurosci. 3:919).

    times, sources: the input spikes, which the example draws itself; w: initial weights.
    """
    taum = 10 * ms  # noqa: F841
    taupre = 20 * ms
    taupost = taupre
    Ee = 0 * mV  # noqa: F841
    vt = -54 * mV  # noqa: F841
    vr = -60 * mV  # noqa: F841
    El = -74 * mV  # noqa: F841
    taue = 5 * ms  # noqa: F841
    gmax = 0.01
    dApre = 0.01
    dApost = -dApre * taupre / taupost * 1.05
    dApost *= gmax
    dApre *= gmax

    inputs = b2.SpikeGeneratorGroup(len(arrays["w"]), arrays["sources"], arrays["times"] * second)
    neurons = b2.NeuronGroup(
        1,
        """
        dv/dt = (ge*(Ee - v) + El - v)/taum : volt
        dge/dt = -ge/taue : 1
        """,
        threshold="v > vt",
        reset="v = vr",
        method="euler",
    )
    S = b2.Synapses(
        inputs,
        neurons,
        """
        w : 1
        dApre/dt = -Apre/taupre : 1 (event-driven)
        dApost/dt = -Apost/taupost : 1 (event-driven)
        """,
        on_pre="""
        ge += w
        Apre += dApre
        w = clip(w + Apost, 0, gmax)
        """,
        on_post="""
        Apost += dApost
        w = clip(w + Apre, 0, gmax)
        """,
    )
    S.connect()
    S.w = arrays["w"]

    spikes = b2.SpikeMonitor(neurons)
    b2.run(float(arrays["duration"]) * second)
    return spikes, np.array(S.w[:])


def recurrent(arrays: Arrays) -> tuple[Any, Any]:
    """The neurons of CUBA.py with more drive; synapses with a delay, E to E with pair STDP.

    v: initial potentials (V); w: initial weights from E to E; w_e: weight from E to I, half the
    bound of the plastic ones; w_i: weight of inhibition (all V); ee_pre, ee_post, ei_pre, ei_post,
    inh_pre, inh_post: the connections.
    """
    taum = 20 * ms  # noqa: F841
    taue = 5 * ms  # noqa: F841
    taui = 10 * ms  # noqa: F841
    Vt = -50 * mV  # noqa: F841
    Vr = -60 * mV  # noqa: F841
    El = -42 * mV  # noqa: F841
    taupre = taupost = 20 * ms  # noqa: F841
    we = float(arrays["w_e"]) * volt
    wi = float(arrays["w_i"]) * volt  # noqa: F841
    wmax = 2 * we
    dApre = 0.01 * wmax  # noqa: F841
    dApost = -0.0105 * wmax  # noqa: F841

    P = b2.NeuronGroup(
        len(arrays["v"]),
        """
        dv/dt = (ge - gi - (v - El))/taum : volt (unless refractory)
        dge/dt = -ge/taue : volt
        dgi/dt = -gi/taui : volt
        """,
        threshold="v > Vt",
        reset="v = Vr",
        refractory=5 * ms,
        method="exact",
    )
    P.v = arrays["v"] * volt
    EE = b2.Synapses(
        P,
        P,
        """
        w : volt
        dApre/dt = -Apre/taupre : volt (event-driven)
        dApost/dt = -Apost/taupost : volt (event-driven)
        """,
        on_pre="""
        ge_post += w
        Apre += dApre
        w = clip(w + Apost, 0*volt, wmax)
        """,
        on_post="""
        Apost += dApost
        w = clip(w + Apre, 0*volt, wmax)
        """,
        delay=1.5 * ms,
    )
    EI = b2.Synapses(P, P, on_pre="ge += we", delay=1.5 * ms)
    inhibition = b2.Synapses(P, P, on_pre="gi += wi", delay=1.5 * ms)
    EE.connect(i=arrays["ee_pre"], j=arrays["ee_post"])
    EI.connect(i=arrays["ei_pre"], j=arrays["ei_post"])
    inhibition.connect(i=arrays["inh_pre"], j=arrays["inh_post"])
    EE.w = arrays["w"] * volt

    spikes = b2.SpikeMonitor(P)
    b2.run(float(arrays["duration"]) * second)
    return spikes, np.asarray(EE.w / volt)


WORKLOADS: dict[str, Callable[[Arrays], tuple[Any, Any]]] = {
    "latch": latches,
    "sweep": latches,
    "cuba": cuba,
    "stdp": stdp,
    "recurrent": recurrent,
}
"""Name -> function of the arrays that runs it and returns the spike monitor and the weights."""


if __name__ == "__main__":
    workload, source, destination, target, folder, threads = sys.argv[1:]
    with np.load(source) as file:
        given = dict(file)
    result = run(workload, given, target, folder, int(threads))
    print("done", flush=True)  # whoever measures looks at the clock and at this process's memory
    sys.stdin.readline()
    np.savez(destination, **result)
