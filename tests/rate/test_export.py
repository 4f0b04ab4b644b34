"""What torch.export, ONNX and torch.compile make of the layer says the same as the layer."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from neuroflip.rate import FlipFlop, FlipFlopCell
from neuroflip.rate.gates import GATES
from neuroflip.rate.layer import RECURRENCES

every_recurrence = pytest.mark.parametrize("recurrence", RECURRENCES)


def made(recurrence: str, gate: str = "sigmoid") -> FlipFlop:
    torch.manual_seed(0)
    return FlipFlop(3, 4, 2, recurrence=recurrence, gate=gate, bidirectional=True).eval()


def assert_same(found, expected) -> None:
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-6)


@every_recurrence
@pytest.mark.parametrize("gate", GATES)
def test_export_for_any_batch(recurrence: str, gate: str) -> None:
    layer = made(recurrence, gate)
    x, h0 = torch.randn(6, 5, 3), torch.rand(4, 5, 4)
    batch = {1: torch.export.Dim("batch", min=2, max=64)}
    program = torch.export.export(layer, (x, h0), dynamic_shapes=(batch, batch))
    assert_same(program.module()(x, h0), layer(x, h0))
    x, h0 = torch.randn(6, 9, 3), torch.rand(4, 9, 4)
    assert_same(program.module()(x, h0), layer(x, h0))


@every_recurrence
def test_strict_export(recurrence: str) -> None:
    layer, x = made(recurrence), torch.randn(3, 2, 3)
    assert_same(torch.export.export(layer, (x,), strict=True).module()(x), layer(x))


def test_export_of_the_cell() -> None:
    cell, given = FlipFlopCell(3, 4).eval(), (torch.randn(5, 3), torch.rand(5, 4))
    program = torch.export.export(cell, given)
    assert_same([program.module()(*given)], [cell(*given)])


@every_recurrence
@pytest.mark.filterwarnings("ignore")  # of torch's exporter
def test_onnx(recurrence: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    layer, x = made(recurrence), torch.randn(6, 5, 3)
    torch.onnx.export(layer, (x,), tmp_path / "layer.onnx", dynamo=True, verbose=False)
    session = runtime.InferenceSession(tmp_path / "layer.onnx")
    x = torch.randn(6, 5, 3)
    (name,) = (entry.name for entry in session.get_inputs())
    found = session.run(None, {name: x.numpy()})
    assert_same([torch.from_numpy(array) for array in found], layer(x))


class Net(nn.Module):
    """The layer between operations that torch.compile does compile."""

    def __init__(self, recurrence: str) -> None:
        super().__init__()
        self.memory = FlipFlop(3, 4, recurrence=recurrence)
        self.readout = nn.Linear(4, 1)

    def forward(self, x: Tensor) -> Tensor:
        said: Tensor = self.readout(torch.tanh(self.memory(2 * x)[0]))
        return said


@every_recurrence
@pytest.mark.filterwarnings("ignore:The .grad attribute")  # torch asks for it itself
def test_compile_leaves_the_layer_as_it_is(recurrence: str) -> None:
    net, seen = Net(recurrence), []

    def count(graph: torch.fx.GraphModule, _: list[Tensor]) -> torch.fx.GraphModule:
        seen.append(len(graph.graph.nodes))
        return graph

    compiled = torch.compile(net, backend=count, dynamic=True)
    for steps in (300, 200):
        x = torch.randn(steps, 2, 3)
        found, expected = compiled(x), net(x)
        assert torch.equal(found, expected)
        for a, b in zip(
            torch.autograd.grad(found.sum(), list(net.parameters())),
            torch.autograd.grad(expected.sum(), list(net.parameters())),
            strict=True,
        ):
            assert torch.equal(a, b)
    assert seen and sum(seen) < 100  # no loop over time is among what is compiled
