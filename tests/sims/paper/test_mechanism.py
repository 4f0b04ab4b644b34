"""What is measured of units, on nets whose automaton, fixed points and units are known by hand."""

from collections.abc import Iterator

import pytest
import torch
from torch import nn

from neuroflip import files
from neuroflip.rate import FlipFlop
from neuroflip.rate.theory import fixed_points_scalar, fixed_points_self_gated
from neuroflip.sims.paper import mechanism
from neuroflip.sims.paper.experiments import RESULTS
from neuroflip.sims.paper.mechanism import Net
from neuroflip.sims.three_bit import Model
from neuroflip.tasks import flip_flop

GAIN = 8.0


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Arrays this small gain nothing from threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def latches() -> Model:
    """Three units, each a bistable one of `fixed_points_self_gated` that a pulse on its line sets
    or resets."""
    model = Model(3)
    assert isinstance(model.memory, FlipFlop)
    one = torch.eye(3)
    with torch.no_grad():
        model.memory.weight_ih_l0.copy_(torch.cat([20 * one, -20 * one]))
        model.memory.weight_hh_l0.copy_(GAIN * torch.cat([one, -one]))
        model.memory.bias_ih_l0.copy_(torch.tensor([-GAIN / 2] * 3 + [GAIN / 2] * 3))
        model.readout.weight.copy_(2 * one)
        model.readout.bias.fill_(-1)
    return model


def test_three_latches_are_the_true_machine() -> None:
    found = mechanism.analyse(latches(), 0.5)
    assert found["automaton"] == {
        "states": 8, "codes": 8, "transitions": 216, "right": 216, "settle": 1, "agree": 1
    }  # fmt: skip
    low, _, high = fixed_points_self_gated(GAIN, 0.0)
    assert found["fixed points"]["moduli"] == pytest.approx([low.multiplier] * 8)
    # Of three points a line, 3^3 - 8 are unstable: 12 in one direction, 6 in two, 1 in three
    assert found["fixed points"]["growing"] == [1] * 12 + [2] * 6 + [3]
    moved, stayed = [1.0] * 5, [1.0, 1.0, 0.0, 0.0, 0.0]  # of 3 units, 4 are all
    assert found["exchange"]["pairs"] == 24
    assert found["exchange"]["single"] == pytest.approx(1 / 3)
    assert found["exchange"]["most"] == {"moved": moved, "stayed": [0.0] * 5}
    assert found["exchange"]["least"]["stayed"] == stayed


def test_a_latch_that_is_held_loses_its_line_alone() -> None:
    net = Net(latches())
    pulses, bits = (
        v.double() for v in flip_flop(50, 40, generator=torch.Generator().manual_seed(3))
    )
    found = mechanism.of_units(net, pulses, bits, 0.5)
    assert found["accuracy"] == 1
    said = mechanism.clamped(net, pulses, torch.full((1, 3), 0.9, dtype=torch.float64))
    for unit in range(3):
        for line in range(3):
            right = (said[unit, ..., line] * bits[..., line] > 0).double().mean()
            up = (bits[..., line] > 0).double().mean()
            assert float(right) == pytest.approx(float(up) if unit == line else 1)
    # At 1/2 the line says 0: the square of the error is 1 on it, about 0 on the two others
    assert found["middle"] == pytest.approx([1 / 3 - found["loss"] / 3] * 3, abs=1e-3)


@pytest.mark.parametrize("layer", [FlipFlop, nn.LSTM, nn.GRU])
def test_stepping_is_the_layer(layer) -> None:
    torch.manual_seed(0)
    model = Model(5, layer)
    net = Net(model)
    pulses, _ = flip_flop(20, 4)
    torch.testing.assert_close(
        net.said(mechanism.visited(net, pulses.double())), model(pulses.double())
    )


def test_jacobians_of_flip_flops_are_those_of_the_equation() -> None:
    torch.manual_seed(1)
    net = Net(Model(6))
    layer = net.model.memory
    h = torch.rand(7, 6, dtype=torch.float64)
    z = h @ layer.weight_hh_l0.t() + layer.bias_ih_l0
    j, k = torch.sigmoid(z).chunk(2, dim=1)
    u_j, u_k = layer.weight_hh_l0.chunk(2)
    by_hand = torch.diag_embed(1 - j - k) + (
        ((1 - h) * j * (1 - j))[:, :, None] * u_j - (h * k * (1 - k))[:, :, None] * u_k
    )
    torch.testing.assert_close(mechanism.jacobians(net, h[:, None]), by_hand)


def test_fixed_points_are_those_of_their_gates() -> None:
    torch.manual_seed(2)
    net = Net(Model(6))
    found = mechanism.fixed_points(net, torch.rand(5, 1, 6, dtype=torch.float64))
    assert len(found)
    layer = net.model.memory
    for h in found[:, 0]:
        gates = torch.sigmoid(layer.weight_hh_l0 @ h + layer.bias_ih_l0).tolist()
        for unit, (j, k) in enumerate(zip(gates[:6], gates[6:], strict=True)):
            assert float(h[unit]) == pytest.approx(fixed_points_scalar(j, k).fixed_point)


def test_a_net_that_forgets_has_one_state() -> None:
    torch.manual_seed(3)
    model = Model(4, nn.GRU)
    with torch.no_grad():
        for p in model.memory.parameters():
            p.mul_(0.1)
    found = mechanism.analyse(model, 0.0)
    assert found["automaton"]["states"] == 1 and found["automaton"]["transitions"] == 27
    assert found["automaton"]["right"] <= 8  # it says the same of all
    assert found["exchange"] == {"pairs": 0}


def test_the_stored_table_is_whole() -> None:
    table = files.read(RESULTS / "sound" / "mechanism.json")
    assert table["setting"]["units"] == mechanism.UNITS == 2 * mechanism.EXCHANGED[-1]
    assert table["exchanged"] == list(mechanism.EXCHANGED)
    for kind in mechanism.LAYERS:
        runs = [run for run in table["runs"] if run["model"] == kind]
        assert [run["seed"] for run in runs] == [0, 1, 2, 3, 4]
        # To look into a net that does not do its task would tell nothing
        assert all(run["units"]["accuracy"] > 0.999 for run in runs)
