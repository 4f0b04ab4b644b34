"""The models: the compiled baselines against torch's, one run a class against one a sample."""

from collections.abc import Iterator

import pytest
import torch
from torch import nn

from neuroflip.sims.paper import baselines
from neuroflip.sims.paper.models import LAYERS, Drawing, Sequential


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Arrays this small gain nothing from threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("name", ["RNN", "GRU"])
@pytest.mark.parametrize("batch, units", [(1, 3), (5, 6), (8, 64), (40, 64)])
def test_compiled_baselines_are_torchs(name: str, batch: int, units: int) -> None:
    """Outputs, last states, and the gradients of all parameters and of the input."""
    torch.manual_seed(0)
    mine = getattr(baselines, name)(2, units, batch_first=True)
    torchs = getattr(nn, name)(2, units, batch_first=True)
    torchs.load_state_dict(mine.state_dict())
    x = torch.randn(batch, 9, 2)
    aim, aim_last = torch.randn(batch, 9, units), torch.randn(1, batch, units)
    found = []
    for layer in (mine, torchs):
        given = x.clone().requires_grad_()
        out, last = layer(given)
        loss = (out - aim).square().mean() + (last - aim_last).square().mean()
        loss.backward()
        found.append([out, last, given.grad, *(p.grad for p in layer.parameters())])
    for a, b in zip(*found, strict=True):
        assert a.shape == b.shape and torch.allclose(a, b, atol=2e-6, rtol=1e-4)


def test_compiled_baselines_leave_the_rest_to_torch() -> None:
    """Several layers, both directions, a first state, time first, double precision."""
    x = torch.randn(4, 5, 2)
    for kind in (baselines.RNN, baselines.GRU):
        assert kind(2, 3, 2, batch_first=True)(x)[0].shape == (4, 5, 3)
        assert kind(2, 3, batch_first=True, bidirectional=True)(x)[0].shape == (4, 5, 6)
        assert kind(2, 3)(x)[1].shape == (1, 5, 3)
        layer = kind(2, 3, batch_first=True)
        assert not torch.equal(layer(x)[0], layer(x, torch.ones(1, 4, 3))[0])
        double = kind(2, 3, batch_first=True).double()
        assert double(x.double())[0].dtype == torch.float64


@pytest.mark.parametrize("kind", LAYERS)
def test_a_class_run_once_is_every_sample_run(kind: str) -> None:
    torch.manual_seed(1)
    model = Drawing(kind, 3, 8, 7)
    classes, targets = torch.tensor([2, 0, 2, 2]), torch.randn(4, 7, 1)
    lines = nn.functional.one_hot(classes, 3).float()[:, None].repeat(1, 7, 1)
    grads = []
    for said in (model(classes), Sequential.forward(model, lines)):
        model.zero_grad()
        (said - targets).square().mean().backward()
        grads.append([said.detach(), *(p.grad.clone() for p in model.parameters())])
    for a, b in zip(*grads, strict=True):
        assert torch.allclose(a, b, atol=1e-6)
