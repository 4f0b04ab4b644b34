"""Izhikevich's task: the rewarded synapse grows, and it does because of the reward."""

import numpy as np
import pytest

from neuroflip.sims import credit as task
from neuroflip.sims.credit import CHOSEN, SYNAPSES, credit


def test_a_few_rewards_already_favour_the_chosen_synapse() -> None:
    result = credit(0, rewards=20)
    weights = result["weights"]
    assert weights.shape == (21, SYNAPSES)
    assert weights[0].tolist() == [0.0] + [0.25] * 99
    change = weights[-1] - weights[0]
    assert change[CHOSEN] > np.delete(change, CHOSEN).max() > 0
    assert result["trials"] >= 20


def test_the_same_seed_gives_the_same_weights() -> None:
    assert np.array_equal(credit(3, rewards=2)["weights"], credit(3, rewards=2)["weights"])


def test_what_counts_as_a_coincidence() -> None:
    pre = np.array([4.0, 5.0])
    for post, expected in (
        ([4.010], 4.010),
        ([4.011], None),
        ([4.000], None),  # at once: the weight has not reached the soma
        ([2.999, 3.5, 4.5, 5.004, 5.005], 5.004),
        ([], None),
    ):
        assert task._coincidence(pre, np.array(post)) == expected
    assert task._coincidence(np.array([2.995]), np.array([2.999])) is None  # too early


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_after_200_rewards_the_chosen_synapse_is_the_strongest(seed: int) -> None:
    result = credit(seed)
    assert result["rank"] == 1 and result["chosen"] > 0.95
    assert result["best_other"] < 0.8
    assert credit(seed, contingent=False)["chosen"] < 0.3
