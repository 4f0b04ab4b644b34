"""The convolutional layers, against loops over pixels, torch's LSTM and published counts."""

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from neuroflip.rate.conv import ConvFlipFlop2d, ConvLSTM2d

LAYERS = [ConvFlipFlop2d, ConvLSTM2d]
both = pytest.mark.parametrize("layer_of", LAYERS)


def double(layer_of, *args, **kwargs):
    torch.manual_seed(0)
    layer = layer_of(*args, **kwargs, dtype=torch.float64)
    with torch.no_grad():  # biases that a slip in the order of the gates would not survive
        layer.bias.uniform_(-1, 1)
    return layer


def frames(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def tensors(result) -> list[Tensor]:
    output, state = result
    return [output, *(state if isinstance(state, tuple) else (state,))]


# Against loops over pixels


def convolve(image: np.ndarray, kernels: np.ndarray, pad: bool) -> np.ndarray:
    """The cross-correlation of (C, H, W) with (O, C, height, width), one number at a time."""
    outputs, channels, height, width = kernels.shape
    top, left = (height // 2, width // 2) if pad else (0, 0)
    rows = image.shape[1] - (0 if pad else height - 1)
    columns = image.shape[2] - (0 if pad else width - 1)
    result = np.zeros((outputs, rows, columns))
    for o, y, x in np.ndindex(result.shape):
        for c, dy, dx in np.ndindex(channels, height, width):
            row, column = y + dy - top, x + dx - left
            if 0 <= row < image.shape[1] and 0 <= column < image.shape[2]:
                result[o, y, x] += kernels[o, c, dy, dx] * image[c, row, column]
    return result


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def reference(layer, clip: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """Hidden states (T, hidden, H, W) and last state for one clip (T, C, H, W), from 0."""
    w_ih, w_hh, bias = (p.detach().numpy() for p in (layer.weight_ih, layer.weight_hh, layer.bias))
    parts = np.split(np.arange(len(bias)), layer.gates)
    hidden = None
    outputs = []
    for frame in clip:
        inputs = [convolve(frame, w_ih[part], layer.padding == "same") for part in parts]
        if hidden is None:
            hidden, cell = np.zeros_like(inputs[0]), np.zeros_like(inputs[0])
        pre = [
            seen + convolve(hidden, w_hh[part], True) + bias[part][:, None, None]
            for seen, part in zip(inputs, parts, strict=True)
        ]
        if isinstance(layer, ConvFlipFlop2d):
            J, K = map(sigmoid, pre)
            hidden = J * (1 - hidden) + (1 - K) * hidden
        else:
            i, f, o = (sigmoid(pre[n]) for n in (0, 1, 3))
            cell = f * cell + i * np.tanh(pre[2])
            hidden = o * np.tanh(cell)
        outputs.append(hidden)
    return np.stack(outputs), [hidden] if isinstance(layer, ConvFlipFlop2d) else [hidden, cell]


@both
@pytest.mark.parametrize(
    ("kernel", "padding"), [(1, "same"), (3, "same"), ((3, 1), "same"), (3, "valid")]
)
def test_equals_loops_over_pixels(layer_of, kernel, padding: str) -> None:
    layer = double(layer_of, 2, 3, kernel, padding=padding)
    clips = frames(2, 3, 2, 4, 5)
    output, *state = tensors(layer(clips))
    for b in range(2):
        expected, last = reference(layer, clips[b].numpy())
        assert output[b].detach().numpy() == pytest.approx(expected, abs=1e-13)
        for image, known in zip(state, last, strict=True):
            assert image[b].detach().numpy() == pytest.approx(known, abs=1e-13)


def test_a_kernel_of_one_pixel_is_the_lstm_of_torch_at_each_pixel() -> None:
    layer = double(ConvLSTM2d, 2, 3, 1)
    lstm = nn.LSTM(2, 3, batch_first=True, dtype=torch.float64)
    with torch.no_grad():
        lstm.weight_ih_l0.copy_(layer.weight_ih.flatten(1))
        lstm.weight_hh_l0.copy_(layer.weight_hh.flatten(1))
        lstm.bias_ih_l0.copy_(layer.bias)
        lstm.bias_hh_l0.zero_()
    clips = frames(2, 6, 2, 3, 4)
    output, (_, c_n) = layer(clips)
    for y, x in itertools.product(range(3), range(4)):
        expected, (_, cell) = lstm(clips[..., y, x])
        torch.testing.assert_close(output[..., y, x], expected)
        torch.testing.assert_close(c_n[..., y, x], cell[0])


def test_the_jk_truth_table_pixel_by_pixel() -> None:
    """Channel 0 drives J, channel 1 drives K, each pixel its own row of the table."""
    layer = ConvFlipFlop2d(2, 1, 1, dtype=torch.float64)
    with torch.no_grad():
        layer.weight_ih.copy_(torch.diag(torch.tensor([80.0, 80.0]))[..., None, None])
        layer.weight_hh.zero_()
        layer.bias.fill_(-40.0)
    J, K, h = (torch.tensor(bits).double() for bits in zip(*np.ndindex(2, 2, 2), strict=True))
    clip = torch.stack([J, K]).reshape(1, 1, 2, 2, 4)
    _, h_n = layer(clip, h.reshape(1, 1, 2, 4))
    expected = torch.tensor([0, 1, 0, 0, 1, 1, 1, 0]).double().reshape(1, 1, 2, 4)
    torch.testing.assert_close(h_n, expected, atol=1e-16, rtol=1e-16)


# What a recurrent layer over frames must do


@both
def test_the_order_of_frames_matters(layer_of) -> None:
    layer = double(layer_of, 1, 4, 3)
    clips = frames(2, 6, 1, 5, 5)
    order = [3, 1, 5, 0, 2, 4]
    straight, shuffled = layer(clips), layer(clips[:, order])
    # Not only are the outputs permuted: the state after the last frame is another.
    assert (tensors(straight)[1] - tensors(shuffled)[1]).abs().max() > 1e-3
    assert (straight[0][:, order] - shuffled[0]).abs().max() > 1e-3


@both
def test_a_frame_reaches_every_later_state_and_no_earlier_one(layer_of) -> None:
    layer = double(layer_of, 1, 2, 3)
    clips = frames(1, 5, 1, 4, 4)
    changed = clips.clone()
    changed[:, 2] += 1
    difference = (layer(clips)[0] - layer(changed)[0]).abs().amax(dim=(0, 2, 3, 4))
    assert difference[:2].tolist() == [0, 0] and (difference[2:] > 1e-6).all()


@both
def test_a_pixel_spreads_by_half_a_kernel_each_frame(layer_of) -> None:
    layer = double(layer_of, 1, 1, 3)
    clips = torch.zeros(1, 3, 1, 9, 9, dtype=torch.float64)
    lit = clips.clone()
    lit[0, 0, 0, 4, 4] = 1
    output, dark = layer(lit)[0], layer(clips)[0]
    reached = (output != dark)[0, :, 0]
    for frame, reach in enumerate((1, 2, 3)):
        rows, columns = reached[frame].nonzero().unbind(1)
        assert (rows.min(), rows.max()) == (columns.min(), columns.max()) == (4 - reach, 4 + reach)


@both
@pytest.mark.parametrize("batch_first", [True, False])
def test_chunks_with_the_state_handed_over_are_the_whole(layer_of, batch_first: bool) -> None:
    layer = double(layer_of, 2, 3, 3, batch_first=batch_first)
    clips = frames(2, 7, 2, 4, 4) if batch_first else frames(7, 2, 2, 4, 4)
    time = 1 if batch_first else 0
    whole = layer(clips)
    state, parts = None, []
    for chunk in clips.split([1, 4, 2], dim=time):
        part, state = layer(chunk, state)
        parts.append(part)
    for got, expected in zip(tensors((torch.cat(parts, time), state)), tensors(whole), strict=True):
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-14)


@both
def test_time_first_is_the_same_numbers(layer_of) -> None:
    batch_first = double(layer_of, 2, 3, 3)
    time_first = double(layer_of, 2, 3, 3, batch_first=False)
    clips = frames(2, 4, 2, 5, 3)
    a, b = tensors(batch_first(clips)), tensors(time_first(clips.transpose(0, 1)))
    torch.testing.assert_close(a[0], b[0].transpose(0, 1))
    for one, other in zip(a[1:], b[1:], strict=True):
        torch.testing.assert_close(one, other)


@both
def test_the_last_output_is_the_final_hidden_state(layer_of) -> None:
    output, hidden, *_ = tensors(double(layer_of, 1, 2, 3)(frames(3, 4, 1, 5, 6)))
    assert output.shape == (3, 4, 2, 5, 6) and hidden.shape == (3, 2, 5, 6)
    assert torch.equal(output[:, -1], hidden)


@both
def test_valid_padding_takes_the_border_of_the_input_only(layer_of) -> None:
    output, hidden, *_ = tensors(
        layer_of(1, 2, (3, 5), padding="valid")(torch.zeros(1, 4, 1, 8, 8))
    )
    assert output.shape == (1, 4, 2, 6, 4) and hidden.shape == (1, 2, 6, 4)


def test_the_state_stays_in_the_unit_interval() -> None:
    layer = ConvFlipFlop2d(1, 4, 3)
    output, _ = layer(100 * torch.randn(2, 20, 1, 6, 6), torch.rand(2, 4, 6, 6))
    assert output.min() >= 0 and output.max() <= 1 and output.std() > 0.1


# Gradients, and what training needs


@both
def test_gradients_are_the_finite_differences(layer_of) -> None:
    layer = double(layer_of, 1, 2, (3, 1))
    clip = frames(1, 2, 1, 3, 2).requires_grad_()
    start = [torch.rand(1, 2, 3, 2, dtype=torch.float64).requires_grad_() for _ in layer.states]
    names, values = zip(*layer.named_parameters(), strict=True)

    def run(clip, *rest):
        state, weights = rest[: len(start)], rest[len(start) :]
        arguments = (clip, state[0] if len(state) == 1 else state)
        named = dict(zip(names, weights, strict=True))
        return tuple(tensors(torch.func.functional_call(layer, named, arguments)))

    assert torch.autograd.gradcheck(run, (clip, *start, *values))


@both
def test_weights_are_seeded_and_travel_with_the_state_dict(layer_of) -> None:
    torch.manual_seed(3)
    one = layer_of(1, 2, 3)
    torch.manual_seed(3)
    same, other = layer_of(1, 2, 3), layer_of(1, 2, 3)
    clips = torch.randn(1, 3, 1, 4, 4)
    assert torch.equal(one(clips)[0], same(clips)[0])
    assert not torch.equal(one(clips)[0], other(clips)[0])
    other.load_state_dict(one.state_dict())
    assert torch.equal(one(clips)[0], other(clips)[0])


def test_initial_weights() -> None:
    layer = ConvLSTM2d(3, 5, 3)
    assert layer.bias.tolist() == [0] * 5 + [1] * 5 + [0] * 10
    assert ConvFlipFlop2d(3, 5, 3).bias.tolist() == [0] * 10
    limit = (6 / (9 * (3 + 5))) ** 0.5  # Glorot, of one gate
    assert 0.9 * limit < layer.weight_ih.abs().max() <= limit
    assert {name for name, _ in ConvLSTM2d(1, 1, 1, bias=False).named_parameters()} == {
        "weight_ih",
        "weight_hh",
    }


# The published net


class MovingSquares(nn.Module):
    """Four layers of 40 channels, each batch-normalised, and a 3-D convolution to one."""

    def __init__(self, layer_of) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layer_of(n, 40, 3) for n in (1, 40, 40, 40))
        self.norms = nn.ModuleList(nn.BatchNorm3d(40) for _ in range(4))
        self.readout = nn.Conv3d(40, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = norm(layer(x)[0].transpose(1, 2)).transpose(1, 2)
        return torch.sigmoid(self.readout(x.transpose(1, 2)).transpose(1, 2))


@pytest.mark.parametrize(
    ("layer_of", "gates", "published"), [(ConvFlipFlop2d, 2, 204_041), (ConvLSTM2d, 4, 406_681)]
)
def test_the_published_net_has_the_published_number_of_parameters(
    layer_of, gates: int, published: int
) -> None:
    net = MovingSquares(layer_of)
    recurrent = gates * (9 * (1 + 40) * 40 + 40) + 3 * gates * (9 * (40 + 40) * 40 + 40)
    assert recurrent + 4 * 2 * 40 + 40 * 27 + 1 == published
    assert sum(p.numel() for p in net.parameters()) == published
    clips = torch.rand(1, 3, 1, 6, 6)
    prediction = net(clips)
    assert prediction.shape == clips.shape
    nn.functional.binary_cross_entropy(prediction, clips.round()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())
    assert all(layer.weight_hh.grad.abs().max() > 0 for layer in net.layers)


# Refusals


@both
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((0, 1, 3), ValueError, "in_channels must be at least 1; got 0"),
        ((1, 2.0, 3), TypeError, r"hidden_channels must be a whole number; got 2\.0"),
        ((1, 1, 4), ValueError, "kernel_size must be odd.*; got 4"),
        ((1, 1, (3, 2)), ValueError, r"kernel_size must be odd.*; got \(3, 2\)"),
        ((1, 1, (3, 3, 3)), ValueError, r"kernel_size must be one number or \(height, width\)"),
        ((1, 1, True), TypeError, "kernel_size must be a whole number; got True"),
        ((1, 1, "3"), ValueError, "kernel_size must be one number or"),
    ],
)
def test_constructor_refusals(layer_of, arguments: tuple, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        layer_of(*arguments)


@both
def test_an_unknown_padding_is_refused(layer_of) -> None:
    with pytest.raises(ValueError, match="unknown padding 'full'; known: same, valid"):
        layer_of(1, 1, 3, padding="full")


@both
def test_input_refusals(layer_of) -> None:
    layer = layer_of(2, 3, 3)
    with pytest.raises(ValueError, match=r"\(batch, time, 2 channels.*; got \(1, 4, 1, 5, 5\)"):
        layer(torch.zeros(1, 4, 1, 5, 5))
    with pytest.raises(ValueError, match=r"got \(4, 2, 5, 5\)"):
        layer(torch.zeros(4, 2, 5, 5))
    with pytest.raises(ValueError, match=r"at least one frame; got \(1, 0, 2, 5, 5\)"):
        layer(torch.zeros(1, 0, 2, 5, 5))
    with pytest.raises(ValueError, match=r"\(time, batch.*at least one frame"):
        layer_of(2, 3, 3, batch_first=False)(torch.zeros(0, 1, 2, 5, 5))
    with pytest.raises(ValueError, match="at least 3 x 3 for padding='valid'"):
        layer_of(2, 3, 3, padding="valid")(torch.zeros(1, 4, 2, 5, 2))


def test_state_refusals() -> None:
    clips, good, bad = torch.zeros(2, 4, 1, 5, 5), torch.zeros(2, 3, 5, 5), torch.zeros(2, 3, 5, 4)
    with pytest.raises(
        ValueError, match=r"h_0 must be of shape \(2, 3, 5, 5\).*got \(2, 3, 5, 4\)"
    ):
        ConvFlipFlop2d(1, 3, 3)(clips, bad)
    with pytest.raises(ValueError, match=r"c_0 must be of shape \(2, 3, 5, 5\)"):
        ConvLSTM2d(1, 3, 3)(clips, (good, bad))
    with pytest.raises(TypeError, match=r"state must be a pair \(h_0, c_0\); got a Tensor"):
        ConvLSTM2d(1, 3, 3)(clips, good)
