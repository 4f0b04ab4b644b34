"""NEST's pair STDP by hand in plain Brian2: a reference that shares no generated code.

stdp_synapse and its nearest-neighbour kin stdp_nn_symm, stdp_nn_pre_centered and stdp_nn_restr
(Morrison, Diesmann & Gerstner 2008, Biol. Cybern. 98:459), with the weight dependence of Guetig
et al. 2003; stdp_pl_synapse_hom, with the power law of Morrison, Aertsen & Diesmann 2007 (Neural
Comput. 19:1437). Each spike has two pathways, one that changes weights and a later one that marks
traces, so that spikes which meet in a step know nothing of each other. As in NEST, stdp_nn_symm and
stdp_nn_restr begin as after a presynaptic spike at time 0, and stdp_nn_restr asks only whether any
postsynaptic spike came since the last presynaptic one, up to now, before the nearest one before now
depresses. Synapse i joins train i to train i.

    python -m neuroflip.sims.brian2_nest_stdp
"""

from typing import Any

import brian2 as b2
import numpy as np

from neuroflip.sims.brian2_trains import Trains, generator

MARKS = {
    "stdp_synapse": ("x += 1", "y += 1"),
    "stdp_pl_synapse_hom": ("x += 1", "y += 1"),
    "stdp_nn_symm_synapse": ("x = 1", "y = 1"),
    "stdp_nn_pre_centered_synapse": ("x += 1", "y = 1; x = 0"),
    "stdp_nn_restr_synapse": ("x = 1; fresh = 0", "y = 1; x = 0"),
}
"""What a presynaptic and what a postsynaptic spike do to the traces, by NEST's name."""


def run(
    synapse_model: str,
    pre_trains: Trains,
    post_trains: Trains,
    duration: float,
    *,
    weight: Any = 0.5,
    axonal_delay: Any = 0.0,
    dendritic_delay: Any = 0.0,
    mu: float = 1.0,
    lambda_: float = 0.05,
    dt: float = 1e-4,
) -> Any:
    """The weights after `duration` (s), starting from `weight`; bounds 0 and 1.

    pre_trains, post_trains: spikes (s). mu: exponent of the weight dependence. lambda_: step size.
    alpha 1.2, time constants 9 and 14 ms. (NEST's power law has no upper bound.)
    """
    b2.start_scope()
    b2.prefs.codegen.target = "numpy"
    b2.defaultclock.dt = dt * b2.second

    tau_plus, tau_minus = 9 * b2.ms, 14 * b2.ms  # noqa: F841 (Brian2 reads these names)
    lambd, alpha = lambda_, 1.2  # noqa: F841
    mark_pre, mark_post = MARKS[synapse_model]
    if synapse_model == "stdp_pl_synapse_hom":
        up, down = "lambd*w**mu*x", "alpha*lambd*w*y"
    else:
        up, down = "lambd*(1 - w)**mu*x", "alpha*lambd*w**mu*y*fresh"

    synapse = b2.Synapses(
        pre := generator(pre_trains),
        post := generator(post_trains),
        """
        w : 1
        fresh : 1
        dx/dt = -x/tau_plus : 1 (event-driven)
        dy/dt = -y/tau_minus : 1 (event-driven)
        """,
        on_pre={"depress": f"w = clip(w - {down}, 0, 1)", "mark_pre": mark_pre},
        on_post={"facilitate": f"w = clip(w + {up}, 0, 1); fresh = 1", "mark_post": mark_post},
    )
    synapse.connect(j="i")
    synapse.w = weight
    synapse.fresh = 0 if synapse_model == "stdp_nn_restr_synapse" else 1
    synapse.x = 1 if synapse_model in ("stdp_nn_symm_synapse", "stdp_nn_restr_synapse") else 0
    for order, name in enumerate(("facilitate", "depress", "mark_post", "mark_pre")):
        pathway = getattr(synapse, name)
        pathway.order = order
        pathway.delay = (axonal_delay if "pre" in name else dendritic_delay) * b2.second
    b2.Network(pre, post, synapse).run(duration * b2.second)
    return np.array(synapse.w)


if __name__ == "__main__":
    pre, post = [0.010, 0.012, 0.030, 0.041], [0.015, 0.016, 0.035, 0.041]
    for model in MARKS:
        print(f"{model}: dw = {run(model, [pre], [post], 0.1)[0] - 0.5:+.6f}")
