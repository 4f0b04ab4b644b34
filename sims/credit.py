"""Which of a hundred synapses earned the reward? Izhikevich's task in small.

A neuron fires at random, driven by 100 synapses and by noise. Whenever it happens to fire within
10 ms after the presynaptic spike of one chosen synapse, a reward comes 1 to 3 s later, when
many other synapses have seen pairs of spikes, too. Dopamine-modulated STDP must find out which
one it is (Izhikevich 2007, Cereb. Cortex 17:2443, Fig. 1).

    python -m neuroflip.sims.credit
"""

from typing import Any

import numpy as np

from neuroflip.circuit import Circuit, Population, Projection, SignalInput, SpikeInput
from neuroflip.neurons import DeltaLIF
from neuroflip.rules import Rule, none
from neuroflip.rules.reward import RewardSTDP
from neuroflip.simulation import simulate
from neuroflip.units import Mohm, ms, mV, pA

SYNAPSES = 100
CHOSEN = 0
"""Index of the rewarded synapse, which starts with weight 0, as in the author's program."""
WINDOW = 10 * ms
"""A postsynaptic spike at most this long after the chosen presynaptic one is rewarded."""
RATE = 1.0
"""Rate of each presynaptic source (Hz)."""
W_MAX = 1.5 * mV
"""Upper bound of the weights (V); all but the chosen one start at a quarter of it."""
A_PLUS = 0.3
"""Eligibility of a pair at interval 0 (fractions of W_MAX, per dopamine and second)."""

_DT = 1 * ms
_LENGTH = 20.0  # of a trial, in which a coincidence is waited for (s)
_START = 3.0  # eligibility traces have reached their usual level (s)
_AFTER = 1.0  # dopamine is gone (s)


def credit(seed: int = 0, rewards: int = 200, contingent: bool = True) -> dict[str, Any]:
    """Run the task until `rewards` rewards have been given.

    A trial is a stretch of random activity that holds one reward: for the first coincidence at
    the chosen synapse from 3 s on, uniformly 1 to 3 s later. Up to the reward no weight can
    change, so a first run with constant weights finds the coincidence, and a second one learns.
    The weights are carried over to the next trial, the traces are not.

    contingent: False gives as many rewards at random times, whatever the neuron did.

    Returns {"seed", "weights": (rewards + 1, 100), in fractions of their upper bound, before each
    trial and at the end, "chosen": that of the chosen synapse at the end, "others": the mean of
    the others, "best_other": their largest, "rank": the place of the chosen synapse among
    all, 1 the largest, "trials": how many trials there were, unrewarded ones included}.

    >>> result = credit(rewards=1)
    >>> result["weights"].shape, result["weights"][0, :2].tolist()
    ((2, 100), [0.0, 0.25])
    """
    rng = np.random.default_rng(seed)
    weights = np.full(SYNAPSES, 0.25 * W_MAX)
    weights[CHOSEN] = 0.0
    history = [weights]
    trials = 0
    while len(history) <= rewards:
        trials += 1
        steps = round(_LENGTH / _DT)
        inputs: dict[str, Any] = {
            "pre": _poisson(rng, SYNAPSES, RATE, steps),
            "noise": _poisson(rng, 1, 100.0, steps),
        }
        wait = rng.uniform(1.0, 3.0)
        if contingent:
            fired = simulate(_circuit(weights, none), inputs, duration=_LENGTH, dt=_DT)
            at = _coincidence(inputs["pre"][CHOSEN], fired.spikes["post"])
        else:
            at = rng.uniform(_START, _LENGTH)
        if at is None or at + wait + _AFTER > _LENGTH:
            continue
        end = round((at + wait + _AFTER) / _DT)
        reward = np.zeros(end)
        reward[round((at + wait) / _DT)] = 1 / _DT
        inputs = {
            name: [t[t < (end - 0.5) * _DT] for t in trains] for name, trains in inputs.items()
        }
        learned = simulate(
            _circuit(weights, RewardSTDP(a_plus=A_PLUS, a_minus=1.5 * A_PLUS, w_max=W_MAX)),
            {**inputs, "reward": reward},
            duration=end * _DT,
            dt=_DT,
        )
        weights = learned.weights["pre->post"]
        history.append(weights)
    ended = np.array(history) / W_MAX
    final, others = ended[-1], np.delete(ended[-1], CHOSEN)
    return {
        "seed": seed,
        "weights": ended,
        "chosen": float(final[CHOSEN]),
        "others": float(others.mean()),
        "best_other": float(others.max()),
        "rank": 1 + int((others >= final[CHOSEN]).sum()),
        "trials": trials,
    }


def _circuit(weights: Any, rule: Rule) -> Circuit:
    neuron = DeltaLIF(v_threshold=15 * mV, resistance=100 * Mohm, drive=90 * pA)
    reward = [SignalInput("reward")] if rule.model().signals else []
    return Circuit(
        "credit",
        [Population("post", neuron)],
        [Projection("pre", "post", weights, rule=rule), Projection("noise", "post", 1 * mV)],
        [SpikeInput("pre", SYNAPSES), SpikeInput("noise"), *reward],
    )


def _poisson(rng: np.random.Generator, count: int, rate: float, steps: int) -> list[Any]:
    hits = rng.random((count, steps)) < rate * _DT
    return [np.flatnonzero(row) * _DT for row in hits]


def _coincidence(pre: Any, post: Any) -> float | None:
    """The first postsynaptic spike from `_START` on that follows a presynaptic one in time."""
    for t in post[post >= _START]:
        if ((pre < t) & (pre >= t - WINDOW - _DT / 2)).any():
            return float(t)
    return None


if __name__ == "__main__":
    print("weights in fractions of the upper bound, after 200 rewards")
    for contingent in (True, False):
        print("reward for coincidences of synapse 0" if contingent else "reward at random times")
        for seed in range(5):
            r = credit(seed, contingent=contingent)
            print(
                f"  seed {seed}: chosen {r['chosen']:.2f} (rank {r['rank']} of {SYNAPSES}), "
                f"others {r['others']:.2f} on average, at most {r['best_other']:.2f}; "
                f"{r['trials']} trials"
            )
