"""Spiking flip-flops learn to keep three bits, for longer than they were trained to."""

from collections.abc import Iterator

import pytest
import torch

from neuroflip.sims.spiking_three_bit import TRAINED, spiking_three_bit


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Arrays this small gain nothing from threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def learns(seed: int, updates: int) -> None:
    result = spiking_three_bit(seed, updates=updates, trials=200)
    assert result["accuracy"].keys() == {TRAINED, 4 * TRAINED}
    assert all(share >= 0.99 for share in result["accuracy"].values()), result
    assert all(share >= 0.99 for share in result["held"].values()), result
    assert result["mismatches"] == 0 and result["spikes"] > 3000


def test_bits_are_right_on_held_out_trials_and_at_four_times_the_length() -> None:
    learns(seed=0, updates=150)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 5))
def test_at_other_seeds(seed: int) -> None:
    learns(seed, updates=300)


def test_an_untrained_net_guesses() -> None:
    for net in ("flip-flops", "rleaky"):
        accuracy = spiking_three_bit(net=net, updates=0, trials=100)["accuracy"]
        assert 0.4 < accuracy[4 * TRAINED] < 0.65


@pytest.mark.slow
def test_the_net_of_snntorch_learns_too_with_the_same_budget() -> None:
    """Not as well, but far above chance: the comparison is with a net that works."""
    result = spiking_three_bit(net="rleaky", trials=200)
    assert 0.9 < result["accuracy"][4 * TRAINED] < 0.99
    assert result["parameters"] > spiking_three_bit(updates=0, trials=1)["parameters"]


def test_an_unknown_net_is_refused() -> None:
    with pytest.raises(ValueError, match="^unknown net 'leaky'; did you mean 'rleaky'?"):
        spiking_three_bit(net="leaky")
