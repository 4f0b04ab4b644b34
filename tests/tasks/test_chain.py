"""The hidden chain: its statistics, and the filter against all sequences of states there are."""

import itertools
import math

import pytest
import torch

from neuroflip.rate import FlipFlop
from neuroflip.tasks import filtered, hidden_chain


def test_states_are_a_chain_and_noise_is_normal() -> None:
    rise, fall, noise, trials = 0.2, 0.3, 0.7, 20_000
    seen, states = hidden_chain(
        6, trials, rise, fall, noise, generator=torch.Generator().manual_seed(0)
    )
    assert seen.shape == states.shape == (6, trials)
    for t in range(6):  # stationary from the first step on
        share = float(states[t].double().mean())
        assert abs(share - 0.4) < 4 * math.sqrt(0.4 * 0.6 / trials)
    before, after = states[:-1], states[1:]
    for state, chance in ((0, rise), (1, 1 - fall)):
        among = after[before == state].double()
        error = 4 * math.sqrt(chance * (1 - chance) / len(among))
        assert abs(float(among.mean()) - chance) < error
    rest = seen - (2.0 * states - 1)
    assert abs(float(rest.mean())) < 4 * noise / math.sqrt(rest.numel())
    assert float(rest.std()) == pytest.approx(noise, rel=0.01)
    again = hidden_chain(6, trials, rise, fall, noise, generator=torch.Generator().manual_seed(0))
    assert torch.equal(again[0], seen) and torch.equal(again[1], states)


def test_the_filter_is_the_sum_over_all_sequences() -> None:
    rise, fall, noise, steps = 0.15, 0.35, 0.8, 7
    seen, _ = hidden_chain(steps, 3, rise, fall, noise, generator=torch.Generator().manual_seed(2))
    exact, alone = filtered(seen, rise, fall, noise)
    go = [[1 - rise, rise], [fall, 1 - fall]]
    first = [fall / (rise + fall), rise / (rise + fall)]
    for trial in range(3):
        for last in range(steps):
            weight = [0.0, 0.0]
            for states in itertools.product((0, 1), repeat=last + 1):
                chance = first[states[0]]
                for one, other in itertools.pairwise(states):
                    chance *= go[one][other]
                for t, state in enumerate(states):
                    away = (float(seen[t, trial]) - (2 * state - 1)) / noise
                    chance *= math.exp(-(away**2) / 2)
                weight[states[-1]] += chance
            assert float(exact[last, trial]) == pytest.approx(math.log(weight[1] / weight[0]))
    assert torch.equal(alone[0], exact[0])


def test_between_two_sights_it_is_a_flip_flop_neuron() -> None:
    """Where nothing is to be seen, noise without end, the state of a neuron with J = rise and
    K = fall; it stays at the stationary probability, and comes back to it."""
    rise, fall = 0.1, 0.3
    layer = FlipFlop(1, 1, recurrence="none")
    with torch.no_grad():
        for p in layer.parameters():
            p.zero_()
        bias = layer.get_parameter("bias_ih_l0")
        bias[0], bias[1] = math.log(rise / (1 - rise)), math.log(fall / (1 - fall))
    sure = torch.zeros(6, 1)
    sure[0] = 40.0  # after which the state is 1, surely
    exact, _ = filtered(sure, rise, fall, 1.0)
    h = layer(torch.zeros(5, 1, 1), torch.ones(1, 1, 1))[0][:, 0, 0].detach().double()
    torch.testing.assert_close(torch.sigmoid(exact[1:, 0]), h, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"rise": 1.5}, "rise"),
        ({"fall": -0.1}, "fall"),
        ({"rise": 0.0, "fall": 0.0}, "rise and fall must not both be 0; got 0.0 and 0.0"),
        ({"noise": 0.0}, "noise must be above 0 and finite; got 0.0"),
        ({"steps": 0}, "steps"),
    ],
)
def test_refusals(given: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        hidden_chain(**{"steps": 3, "trials": 2, **given})


def test_the_filter_refuses_a_chain_that_does_not_go_both_ways() -> None:
    with pytest.raises(ValueError, match="fall must be above 0; got 0.0"):
        filtered(torch.zeros(2, 1), 0.1, 0.0)
