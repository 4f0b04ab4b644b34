"""The layer keeps three bits, for longer than it was trained to."""

from collections.abc import Iterator

import pytest
import torch

from neuroflip.sims.three_bit import TRAINED, three_bit


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Arrays this small gain nothing from threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def learns(seed: int) -> None:
    accuracy = three_bit(seed)["accuracy"]
    assert accuracy.keys() == {TRAINED, 4 * TRAINED}
    assert all(share >= 0.999 for share in accuracy.values())


def test_bits_are_right_on_held_out_trials_and_at_four_times_the_length() -> None:
    learns(seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 5))
def test_at_other_seeds(seed: int) -> None:
    learns(seed)


def test_an_untrained_net_guesses() -> None:
    assert 0.4 < three_bit(updates=0)["accuracy"][4 * TRAINED] < 0.6
