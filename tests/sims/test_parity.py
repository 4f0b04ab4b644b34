"""The flip-flop neuron learns parity, and for ever; a recurrence with positive slopes cannot."""

from collections.abc import Iterator

import pytest
import torch

from neuroflip.sims.parity import parity

LENGTHS = (256, 4096, 65536)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Arrays this small gain nothing from threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_hard_gate_is_right_at_every_position() -> None:
    result = parity(seed=0, gate="hard", lengths=LENGTHS)
    assert result["accuracy"] == dict.fromkeys(LENGTHS, 1.0)
    assert result["toggles"] >= 1


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 7))
def test_hard_gate_at_other_seeds(seed: int) -> None:
    assert parity(seed, "hard", lengths=LENGTHS)["accuracy"] == dict.fromkeys(LENGTHS, 1.0)


@pytest.mark.slow
def test_sigmoid_forgets_and_mingru_guesses() -> None:
    sigmoid = parity(gate="sigmoid", lengths=LENGTHS)
    assert sigmoid["loss"] < 0.01 and 0.45 < sigmoid["accuracy"][65536] < 0.9
    mingru = parity(gate="mingru", lengths=LENGTHS)
    assert all(0.4 < share < 0.6 for share in mingru["accuracy"].values())


def test_unknown_gate() -> None:
    with pytest.raises(ValueError, match="unknown gate 'hrad'; did you mean 'hard'"):
        parity(gate="hrad")
