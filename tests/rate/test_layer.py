"""The layer: an independent reference in NumPy, and torch.nn.RNN where the two must agree."""

import copy
import io
import itertools
import pickle

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pack_sequence

from neuroflip.rate import FlipFlop
from neuroflip.rate.layer import RECURRENCES

F64 = torch.float64
every_recurrence = pytest.mark.parametrize("recurrence", RECURRENCES)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(before)


def double(*args, **kwargs) -> FlipFlop:
    layer = FlipFlop(*args, **kwargs, dtype=F64)
    with torch.no_grad():  # all parameters matter
        for p in layer.parameters():
            p.uniform_(-1, 1)
    return layer


def reference(layer: FlipFlop, x: np.ndarray, h0: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One sequence x (T, I) from h0 (L*D, H), unit by unit: output (T, D*H), h_n (L*D, H)."""
    values = {name: p.detach().numpy() for name, p in layer.named_parameters()}
    size, finals = layer.hidden_size, []

    def gate(z: float) -> float:
        return 1 / (1 + np.exp(-z)) if layer.gate == "sigmoid" else min(max(z / 4 + 0.5, 0), 1)

    for n in range(layer.num_layers):
        outputs = []
        for d in range(2 if layer.bidirectional else 1):
            end = f"_l{n}" + ("_reverse" if d else "")
            u = values.get("weight_hh" + end, np.zeros((2 * size, size)))
            if u.ndim == 1:
                u = np.vstack([np.diag(u[:size]), np.diag(u[size:])])
            h = h0[len(finals)]
            rows = []
            for drive in x[::-1] if d else x:
                new = np.empty(size)
                for i in range(size):
                    z = [0.0, 0.0]
                    for g, row in enumerate((i, size + i)):
                        z[g] = values["weight_ih" + end][row] @ drive + u[row] @ h
                        z[g] += sum(values[b + end][row] for b in ("bias_ih", "bias_hh")
                                    if b + end in values)  # fmt: skip
                    j, k = gate(z[0]), gate(z[1])
                    new[i] = j * (1 - h[i]) + (1 - k) * h[i]
                h = new
                rows.append(h)
            finals.append(h)
            outputs.append(np.array(rows[::-1] if d else rows))
        x = np.concatenate(outputs, axis=1)
    return x, np.array(finals)


def close(got, expected, atol=1e-12):
    np.testing.assert_allclose(got.detach().numpy(), expected, rtol=0, atol=atol)


# --- The equations ------------------------------------------------------------------------------


@every_recurrence
@pytest.mark.parametrize("gate", ["sigmoid", "hard"])
@pytest.mark.parametrize("layers, both", [(1, False), (1, True), (3, False), (2, True)])
@pytest.mark.parametrize("bias", ["double", "single", False])
def test_equals_the_reference(recurrence, gate, layers, both, bias):
    layer = double(3, 4, layers, bias, bidirectional=both, recurrence=recurrence, gate=gate)
    x = torch.randn(6, 5, 3, dtype=F64)
    h0 = torch.rand(layers * (1 + both), 5, 4, dtype=F64)
    output, h_n = layer(x, h0)
    for b in range(5):
        expected, final = reference(layer, x[:, b].numpy(), h0[:, b].numpy())
        close(output[:, b], expected)
        close(h_n[:, b], final)


@every_recurrence
@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("layers, both", [(1, False), (2, True)])
def test_packed_equals_the_reference_sequence_by_sequence(recurrence, ordered, layers, both):
    layer = double(3, 4, layers, bidirectional=both, recurrence=recurrence)
    lengths = [7, 4, 4, 1] if ordered else [4, 1, 7, 4]
    sequences = [torch.randn(n, 3, dtype=F64) for n in lengths]
    h0 = torch.rand(layers * (1 + both), 4, 4, dtype=F64)
    packed = pack_sequence(sequences, enforce_sorted=ordered)
    output, h_n = layer(packed, h0)
    rnn = nn.RNN(3, 4, layers, bidirectional=both, dtype=F64)(packed, h0)[0]
    assert torch.equal(output.batch_sizes, rnn.batch_sizes)
    for name in ("sorted_indices", "unsorted_indices"):
        ours, theirs = getattr(output, name), getattr(rnn, name)
        assert (ours is None and theirs is None) or torch.equal(ours, theirs)
    padded, found = nn.utils.rnn.pad_packed_sequence(output)
    assert found.tolist() == lengths
    for b, sequence in enumerate(sequences):
        expected, final = reference(layer, sequence.numpy(), h0[:, b].numpy())
        close(padded[: lengths[b], b], expected)
        close(h_n[:, b], final)


@every_recurrence
def test_gradcheck(recurrence):
    layer = double(2, 2, 2, bidirectional=True, recurrence=recurrence)
    x = torch.randn(3, 2, 2, dtype=F64, requires_grad=True)
    h0 = torch.rand(4, 2, 2, dtype=F64, requires_grad=True)

    def run(x, h0, *_):
        output, h_n, gates = layer(x, h0, return_gates=True)
        return output, h_n, gates.j, gates.k

    assert torch.autograd.gradcheck(run, (x, h0, *layer.parameters()))


@every_recurrence
def test_gradcheck_packed(recurrence):
    layer = double(2, 2, bidirectional=True, recurrence=recurrence)
    x = torch.randn(4, 3, 2, dtype=F64, requires_grad=True)

    def run(x, *_):
        output, h_n = layer(pack_padded_sequence(x, [2, 4, 1], enforce_sorted=False))
        return output.data, h_n

    assert torch.autograd.gradcheck(run, (x, *layer.parameters()))


@every_recurrence
@pytest.mark.parametrize("both", [False, True])
def test_gates_are_those_of_each_step_of_the_last_layer(recurrence, both):
    layer = double(3, 4, 2, bidirectional=both, recurrence=recurrence)
    x, h0 = torch.randn(6, 5, 3, dtype=F64), torch.rand(2 + 2 * both, 5, 4, dtype=F64)
    output, h_n, (j, k) = layer(x, h0, return_gates=True)
    assert j.shape == k.shape == output.shape
    before = torch.cat([h0[1 + both :][:1], output[:-1, :, :4]])
    close(output[..., :4], (j * (1 - _wide(before, j)) + (1 - k) * _wide(before, j))[..., :4]
          .detach().numpy())  # fmt: skip
    if both:
        after = torch.cat([output[1:, :, 4:], h0[3:]])
        close(output[..., 4:], (j[..., 4:] * (1 - after) + (1 - k[..., 4:]) * after)
              .detach().numpy())  # fmt: skip
    with torch.no_grad():
        assert torch.equal(layer(x, h0, return_gates=True)[2].j, j)


def _wide(before, like):
    return torch.cat([before] * (like.shape[-1] // 4), dim=-1)


# --- As torch.nn.RNN ----------------------------------------------------------------------------

SHAPES = list(itertools.product([1, 2], [False, True], [False, True], [True, False]))


@pytest.mark.parametrize("layers, both, first, batched", SHAPES)
def test_shapes_and_names_are_those_of_rnn(layers, both, first, batched):
    settings = {"num_layers": layers, "bidirectional": both, "batch_first": first}
    ours, theirs = FlipFlop(3, 5, **settings), nn.RNN(3, 5, **settings)
    x = torch.randn(7, 2, 3) if batched else torch.randn(7, 3)
    h0 = torch.rand(layers * (1 + both), *([(2, 7)[first]] * batched), 5)
    for given in ((x,), (x, h0)):
        for a, b in zip(ours(*given), theirs(*given), strict=True):
            assert a.shape == b.shape and a.dtype == b.dtype
    names = [name for name, _ in ours.named_parameters()]
    assert names == [name for name, _ in theirs.named_parameters()]
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert a.shape == (2 * b.shape[0], *b.shape[1:])


def test_batch_first_and_unbatched_are_the_same_numbers():
    layer = double(3, 4, 2, bidirectional=True)
    first = double(3, 4, 2, bidirectional=True, batch_first=True)
    first.load_state_dict(layer.state_dict())
    x, h0 = torch.randn(6, 5, 3, dtype=F64), torch.rand(4, 5, 4, dtype=F64)
    output, h_n = layer(x, h0)
    turned, same = first(x.transpose(0, 1), h0)
    assert torch.equal(turned.transpose(0, 1), output) and torch.equal(same, h_n)
    for lone in (layer, first):
        alone, last = lone(x[:, 2], h0[:, 2])
        close(alone, output[:, 2].detach().numpy(), 1e-14)
        close(last, h_n[:, 2].detach().numpy(), 1e-14)


@every_recurrence
def test_state_handed_over_between_chunks_is_one_long_run(recurrence):
    layer = double(3, 4, 2, recurrence=recurrence)
    x = torch.randn(11, 5, 3, dtype=F64)
    whole, last = layer(x)
    state, parts = None, []
    for chunk in x.split([1, 4, 6]):
        part, state = layer(chunk, state)
        parts.append(part)
    close(torch.cat(parts), whole.detach().numpy(), 1e-14)
    close(state, last.detach().numpy(), 1e-14)


def test_dropout_acts_between_layers_only():
    layer = double(3, 400, 2, dropout=0.25)
    x = torch.randn(1, 2, 3, dtype=F64)
    top, h_n = layer(x)
    torch.manual_seed(7)
    one = layer(x)[1]
    torch.manual_seed(7)
    assert torch.equal(layer(x)[1], one)
    assert torch.equal(one[0], h_n[0]) and not torch.equal(one[1], h_n[1])  # the first is exact
    assert (top > 0).all()  # nothing dropped from the output
    layer.eval()
    assert torch.equal(layer(x)[0], layer(x)[0])
    layer.train()
    layer.dropout = 1.0  # the second layer then sees zeros
    blind, _ = layer(x)
    assert torch.equal(blind[:, 0], blind[:, 1])


def test_dropout_keeps_the_mean_and_the_rate():
    layer = FlipFlop(1, 4000, 2, dropout=0.25, recurrence="none")
    seen = []
    original = nn.functional.dropout

    def spy(x, p, training):
        y = original(x, p, training)
        seen.append((x, y))
        return y

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nn.functional, "dropout", spy)
        layer(torch.randn(3, 5, 1))
    ((x, y),) = seen
    kept = y != 0
    assert abs(kept.float().mean().item() - 0.75) < 0.01
    torch.testing.assert_close(y[kept], (x / 0.75)[kept])


@pytest.mark.parametrize(
    "build, count",
    [
        (lambda: (FlipFlop(2, 64, bias="single"), nn.Linear(64, 1)), 8_641),
        (lambda: (FlipFlop(2, 64), nn.Linear(64, 1)), 8_769),
        (lambda: (FlipFlop(3, 50, 2), nn.Linear(50, 1)), 15_751),
        (lambda: (FlipFlop(32, 100, bidirectional=True),), 53_600),
        (lambda: (FlipFlop(2, 64, recurrence="diagonal"),), 2 * 64 * 2 + 128 + 256),
        (lambda: (FlipFlop(2, 64, recurrence="none", bias=False),), 2 * 64 * 2),
    ],
)
def test_published_parameter_counts(build, count):
    assert sum(p.numel() for module in build() for p in module.parameters()) == count


@every_recurrence
def test_copy_pickle_state_dict_and_file(recurrence):
    layer = FlipFlop(3, 4, 2, recurrence=recurrence, bidirectional=True)
    x = torch.randn(6, 5, 3)
    expected = layer(x)[0]
    other = FlipFlop(3, 4, 2, recurrence=recurrence, bidirectional=True)
    assert not torch.equal(other(x)[0], expected)
    other.load_state_dict(layer.state_dict())
    file = io.BytesIO()
    torch.save(layer, file)
    file.seek(0)
    copies = [copy.deepcopy(layer), pickle.loads(pickle.dumps(layer)), other]
    for made in [*copies, torch.load(file, weights_only=False)]:
        assert torch.equal(made(x)[0], expected)
    assert layer.half().weight_ih_l0.dtype == torch.float16


@every_recurrence
def test_autocast_runs_in_the_type_of_the_parameters(recurrence):
    layer = FlipFlop(3, 4, recurrence=recurrence)
    x = torch.randn(6, 5, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output, _ = layer(x)
        narrow, _ = layer(x.bfloat16())
    output.sum().backward()
    assert output.dtype == narrow.dtype == torch.float32
    assert torch.equal(output, layer(x)[0])
    inside = layer.weight_ih_l0.grad.clone()
    layer.zero_grad()
    layer(x)[0].sum().backward()
    assert torch.equal(layer.weight_ih_l0.grad, inside)


@every_recurrence
@pytest.mark.parametrize("narrow", [torch.bfloat16, torch.float16])
def test_half_precision_parameters(recurrence, narrow):
    layer = double(3, 4, 2, recurrence=recurrence, bidirectional=True).to(narrow)
    x = torch.randn(6, 5, 3).to(narrow)
    exact = copy.deepcopy(layer).double()(x.double(), return_gates=True)
    output, h_n, gates = layer(x, return_gates=True)
    output.sum().backward()
    assert all(p.grad.dtype == narrow and p.grad.isfinite().all() for p in layer.parameters())
    found = (output, h_n, gates.j, gates.k)
    expected = (exact[0], exact[1], exact[2].j, exact[2].k)
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == narrow
        close(a.double(), b.detach().numpy(), 0.03 if narrow is torch.bfloat16 else 0.004)


def test_second_derivatives_of_the_full_recurrence():
    layer = double(2, 2, 2, bidirectional=True)
    x = torch.randn(3, 2, 2, dtype=F64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda x, *_: layer(x)[0], (x, *layer.parameters()))


@pytest.mark.parametrize("recurrence", ["diagonal", "none"])
def test_second_derivatives_of_the_scans_are_refused(recurrence):
    layer, x = FlipFlop(2, 2, recurrence=recurrence), torch.randn(3, 2, 2, requires_grad=True)
    with pytest.raises(RuntimeError, match="differentiated once only; got .*create_graph"):
        torch.autograd.grad(layer(x)[0].sum(), x, create_graph=True)


def test_bias_true_is_double_and_settings_show():
    assert FlipFlop(3, 4, bias=True).bias == "double"
    assert "recurrence='diagonal'" in repr(FlipFlop(3, 4, recurrence="diagonal"))
    FlipFlop(3, 4).flatten_parameters()


def test_learns_to_hold_a_bit():
    """A cue of +-1 at the first step, to be told 20 steps later: gradients point downhill."""
    layer, read = FlipFlop(1, 8, init="chrono"), nn.Linear(8, 1)
    optimiser = torch.optim.Adam([*layer.parameters(), *read.parameters()], lr=0.02)
    x = torch.zeros(20, 64, 1)
    x[0] = torch.where(torch.rand(64, 1) < 0.5, -1.0, 1.0)
    loss = torch.tensor(torch.inf)
    for _ in range(150):
        optimiser.zero_grad()
        loss = nn.functional.mse_loss(read(layer(x)[1][0]), x[0])
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.02


# --- What is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "x, h, message",
    [
        (torch.zeros(7, 2, 4), None, "last dimension of input must be input_size, 3; got"),
        (torch.zeros(7), None, "input must have 2 or 3 dimensions"),
        (torch.zeros(0, 2, 3), None, "at least one step"),
        (torch.zeros(0, 3), None, "at least one step"),
        (torch.zeros(7, 2, 3), torch.zeros(1, 3, 5), r"hx must have shape \(1, 2, 5\); got"),
        (torch.zeros(7, 2, 3), torch.zeros(2, 2, 5), r"hx must have shape \(1, 2, 5\); got"),
        (torch.zeros(7, 2, 3), torch.zeros(1, 5), r"hx must have shape \(1, 2, 5\); got"),
        (torch.zeros(7, 3), torch.zeros(1, 2, 5), r"hx must have shape \(1, 5\); got"),
        (torch.zeros(7, 2, 3, dtype=F64), None, "input must be torch.float32.*float64"),
        (torch.zeros(7, 2, 3), torch.zeros(1, 2, 5, dtype=F64), "hx must be torch.float32"),
    ],
)
def test_bad_input_is_refused_here_and_by_rnn(x, h, message):
    with pytest.raises(ValueError, match=message):
        FlipFlop(3, 5)(x, h)
    with pytest.raises((ValueError, RuntimeError)):
        nn.RNN(3, 5)(x, h)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"hidden_size": 0}, "hidden_size must be a whole number, at least 1; got 0"),
        ({"input_size": 2.0}, "input_size must be a whole number"),
        ({"num_layers": True}, "num_layers must be a whole number"),
        ({"bias": "doubel"}, "bias must be 'double', 'single', True or False; got 'doubel'"),
        ({"dropout": 1.5}, "dropout must be a number from 0 to 1; got 1.5"),
        ({"recurrence": "diag"}, "unknown recurrence 'diag'; did you mean 'diagonal'"),
        ({"gate": "relu"}, "unknown gate 'relu'"),
        ({"init": "xavier"}, "unknown init 'xavier'"),
    ],
)
def test_bad_settings(change, message):
    with pytest.raises(ValueError, match=message):
        FlipFlop(**{"input_size": 3, "hidden_size": 5, **change})


def test_dropout_of_one_layer_warns():
    with pytest.warns(UserWarning, match="between layers"):
        FlipFlop(3, 5, dropout=0.5)


@every_recurrence
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_check_finite(recurrence, value):
    layer = FlipFlop(3, 5, recurrence=recurrence, check_finite=True)
    x, h0 = torch.zeros(7, 2, 3), torch.zeros(1, 2, 5)
    layer(x, h0)
    x[3, 1, 2] = value
    with pytest.raises(FloatingPointError, match="input must be finite; got 1 NaN or infinite"):
        layer(x, h0)
    h0[0, 0, 0] = value
    with pytest.raises(FloatingPointError, match="hx must be finite"):
        layer(torch.zeros(7, 2, 3), h0)
    with torch.no_grad():
        layer.bias_ih_l0[0] = torch.nan
    with pytest.raises(FloatingPointError, match="output must be finite; got"):
        layer(torch.zeros(7, 2, 3))


def test_an_empty_batch_is_empty():
    output, h_n = FlipFlop(3, 5)(torch.zeros(7, 0, 3))
    assert output.shape == (7, 0, 5) and h_n.shape == (1, 0, 5)
    output.sum().backward()


def test_packed_sequence_keeps_its_type():
    packed = pack_sequence([torch.zeros(3, 3), torch.zeros(2, 3)])
    output, _, gates = FlipFlop(3, 5)(packed, return_gates=True)
    assert all(isinstance(p, PackedSequence) for p in (output, gates.j, gates.k))
    assert output.data.shape == gates.j.data.shape == (5, 5)
