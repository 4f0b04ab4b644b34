"""E-prop by hand in plain Brian2: a reference that shares no generated code.

Supervised e-prop of Bellec et al. 2020 (Nat. Commun. 11:3625), in NEST eprop_synapse_bsshslm_2020
between neurons eprop_iaf_adapt_bsshslm_2020: a recurrent network of neurons with adaptive
thresholds, a leaky readout with a squared error, whose weights carry the error back. Traces are
updated in every step, weights once, at the end. Without its regularisation of rates.

    python -m neuroflip.sims.brian2_eprop
"""

from typing import Any

import brian2 as b2
import numpy as np

from neuroflip.sims.brian2_trains import Trains, generator


def run(
    inputs: Trains,
    target: Any,
    weight_in: Any,
    weight_rec: Any,
    weight_out: Any,
    *,
    beta: float = 0.4,
    rate: float = 1e-3,
    dt: float = 1e-3,
) -> tuple[Any, Any, Any]:
    """New weight_in and weight_rec after one trial, and the spikes (steps, neurons).

    inputs: spikes (s), a train for each of n_in neurons. target: of the readout, (steps, n_out).
    weight_in (n_in, n), weight_rec (n, n), weight_out (n, n_out). beta: rise of the threshold by a
    spike. rate: learning rate. Threshold 0.6, pseudo-derivative of height 0.3; time constants
    20 ms (membrane), 50 ms (threshold), 15 ms (readout).
    """
    b2.start_scope()
    b2.prefs.codegen.target = "numpy"
    steps, n_out = target.shape
    n = len(weight_rec)

    v_th, gamma, eta, lift = 0.6, 0.3, rate, beta  # noqa: F841 (Brian2 reads these names)
    alpha, rho, kappa = np.exp(-dt / 20e-3), np.exp(-dt / 50e-3), np.exp(-dt / 15e-3)  # noqa: F841
    # The error of a step is back at the synapses in the next
    wanted = b2.TimedArray(np.vstack([target[:1], target]), dt=dt * b2.second)  # noqa: F841

    network = b2.Network()
    clock = b2.Clock(dt * b2.second)
    network.schedule = ["start", "groups", "synapses", "thresholds", "resets", "end"]

    source = generator(inputs, when="start", clock=clock)
    neurons = b2.NeuronGroup(
        n, "v : 1\na : 1\nz : 1\nL : 1", threshold="v > v_th + lift*a", reset="z = 1", clock=clock
    )
    neurons.run_regularly("v = alpha*v - v_th*z\na = rho*a + z\nz = 0", when="groups")
    readout = b2.NeuronGroup(n_out, "y : 1", clock=clock)
    readout.run_regularly("y = kappa*y", when="groups")
    out = b2.Synapses(
        neurons,
        readout,
        """
        w : 1
        L_pre = w*(y_post - wanted(t, j)) : 1 (summed)
        """,
        on_pre="y_post += w",
        clock=clock,
        order=-1,  # the error, before y of the next step
    )
    out.connect()
    out.w = np.asarray(weight_out).ravel()
    out.pre.when = "after_thresholds"

    def plastic(pre: Any, weight: Any) -> Any:
        synapse = b2.Synapses(
            pre,
            neurons,
            "w : 1\ndw : 1\nzbar : 1\nepsilon : 1\nebar : 1",
            on_pre="v_post += w\nzbar += 1",
            clock=clock,
        )
        synapse.connect()
        synapse.w = np.asarray(weight).ravel()
        synapse.run_regularly("dw -= eta*L_post*ebar\nzbar = alpha*zbar", when="after_groups")
        synapse.run_regularly(
            """
            psi = gamma/v_th*clip(1 - abs((v_post - v_th - lift*a_post)/v_th), 0, 1)
            ebar = kappa*ebar + psi*(zbar - lift*epsilon)
            epsilon = psi*zbar + (rho - psi*lift)*epsilon
            """,
            when="after_thresholds",
        )
        return synapse

    forward, recurrent = plastic(source, weight_in), plastic(neurons, weight_rec)
    spikes = b2.SpikeMonitor(neurons)
    network.add(source, neurons, readout, out, forward, recurrent, spikes)
    network.run((steps + 1) * dt * b2.second)
    fired = np.zeros((steps + 1, n))
    fired[np.round(np.asarray(spikes.t) / dt).astype(int), np.asarray(spikes.i)] = 1
    new = [np.reshape(s.w + s.dw, np.shape(s.w)) for s in (forward, recurrent)]
    return new[0].reshape(-1, n), new[1].reshape(n, n), fired[:-1]


if __name__ == "__main__":
    rng = np.random.default_rng(0)
    trains = [np.flatnonzero(rng.random(100) < 0.2) * 1e-3 for _ in range(5)]
    weights = rng.uniform(0, 0.5, (5, 3)), rng.normal(0, 0.2, (3, 3)), rng.normal(0, 1, (3, 2))
    w_in, w_rec, fired = run(trains, rng.normal(0, 1, (100, 2)), *weights)
    print(
        f"{fired.sum():.0f} spikes; largest changes: {np.abs(w_in - weights[0]).max():.4f} of the"
    )
    print(f"input's weights, {np.abs(w_rec - weights[1]).max():.4f} of the recurrent ones")
