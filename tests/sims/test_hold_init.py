"""The default initialisation learns to remember where the published one does not."""

from collections.abc import Iterator

import pytest
import torch

from neuroflip.sims.hold_init import hold_init


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Arrays this small gain nothing from threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def accuracies(init: str, seeds: int, length: int) -> list[float]:
    return [hold_init(seed, init, length)["accuracy"] for seed in range(seeds)]


def test_the_default_learns_and_the_published_start_guesses() -> None:
    assert min(accuracies("chrono", 2, 50)) > 0.95
    assert max(accuracies("published", 2, 50)) < 0.6


@pytest.mark.slow
@pytest.mark.parametrize("length", [100, 200])
def test_at_five_seeds(length: int) -> None:
    assert min(accuracies("chrono", 5, length)) > 0.95
    assert max(accuracies("published", 5, length)) < 0.6
