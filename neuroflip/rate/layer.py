"""`FlipFlop`, a drop-in for torch.nn.RNN made of flip-flop neurons."""

import warnings
from collections.abc import Sequence
from typing import NamedTuple, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from neuroflip.rate.arguments import bias_names, find_bias, one_of, own_type, probability, size
from neuroflip.rate.gates import GATES, gate_of
from neuroflip.rate.init import Init, find_init
from neuroflip.rate.kernels import recurrence, states_and_gates

RECURRENCES = ("full", "diagonal", "none")
"""What the gates see of the state: all units, their own unit, nothing."""

Sequences = TypeVar("Sequences", Tensor, PackedSequence)


class Gates(NamedTuple):
    """The gates of the last layer, each shaped (or packed) like the output."""

    j: Tensor | PackedSequence
    k: Tensor | PackedSequence


class FlipFlop(nn.Module):
    """A stack of flip-flop layers over whole sequences; arguments as torch.nn.RNN.

        J_t = gate(W_J x_t + U_J h_{t-1} + b_J)        K_t = gate(W_K x_t + U_K h_{t-1} + b_K)
        h_t = J_t (1 - h_{t-1}) + (1 - K_t) h_{t-1}

    (Kumari, Chandrasekaran & Chakravarthy 2023, Neural Comput. Appl. 35:24543). J sets a unit, K
    resets it, both toggle it, neither holds it; states that begin in [0, 1] stay there.

    bias: "double" or True, "single", or False. Dropout acts on the output of every layer but the
        last, in training.
    recurrence: "full", U is (H, H) per gate; "diagonal", each unit sees itself; "none", U = 0.
        The last two run as parallel scans (`neuroflip.rate.scan`).
    gate: "sigmoid", or "hard" = clip(z/4 + 1/2, 0, 1), whose 0 and 1 hold and toggle exactly.
    init: "chrono", "published", or a `neuroflip.rate.init.Init`, such as Chrono(t_max=500).
    check_finite: raise FloatingPointError where input, initial state or output holds NaN or inf.

    Parameters of layer l, backward ones with the suffix _reverse: weight_ih_l{l} (2H, I), rows
    [J; K]; weight_hh_l{l} (2H, H), (2H,) if diagonal, absent if none; bias_ih_l{l}, bias_hh_l{l}
    (2H,). A single bias is bias_ih.

    >>> layer = FlipFlop(3, 5, num_layers=2, bidirectional=True)
    >>> output, h_n = layer(torch.zeros(7, 2, 3))
    >>> output.shape, h_n.shape
    (torch.Size([7, 2, 10]), torch.Size([4, 2, 5]))
    >>> FlipFlop(3, 5, recurrence="ful")
    Traceback (most recent call last):
        ...
    ValueError: unknown recurrence 'ful'; did you mean 'full'?
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: str | bool = "double",
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        recurrence: str = "full",
        gate: str = "sigmoid",
        init: str | Init = "chrono",
        check_finite: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.input_size = size(input_size, "input_size")
        self.hidden_size = size(hidden_size, "hidden_size")
        self.num_layers = size(num_layers, "num_layers")
        self.bias = find_bias(bias)
        self.batch_first = batch_first
        self.dropout = probability(dropout, "dropout")
        self.bidirectional = bidirectional
        self.recurrence = one_of(recurrence, RECURRENCES, "recurrence")
        self.gate = one_of(gate, GATES, "gate")
        self.init = find_init(init)
        self.check_finite = check_finite
        if self.dropout and self.num_layers == 1:
            warnings.warn(
                "dropout acts between layers, so it needs num_layers above 1; got "
                f"dropout={dropout} and num_layers=1.",
                stacklevel=2,
            )
        for layer in range(self.num_layers):
            inputs = self.input_size if layer == 0 else self.hidden_size * self._directions
            for direction in range(self._directions):
                name = f"l{layer}{'_reverse' * direction}"
                rows = 2 * self.hidden_size
                shapes: dict[str, tuple[int, ...]] = {"weight_ih": (rows, inputs)}
                if self.recurrence == "full":
                    shapes["weight_hh"] = (rows, self.hidden_size)
                elif self.recurrence == "diagonal":
                    shapes["weight_hh"] = (rows,)
                shapes.update({kind: (rows,) for kind in bias_names(self.bias)})
                for kind, shape in shapes.items():
                    values = torch.empty(shape, device=device, dtype=dtype)
                    self.register_parameter(f"{kind}_{name}", nn.Parameter(values))
        self.reset_parameters()

    @property
    def _directions(self) -> int:
        return 2 if self.bidirectional else 1

    def _of(self, kind: str, layer: int, direction: int) -> Tensor:
        return cast(Tensor, getattr(self, f"{kind}_l{layer}{'_reverse' * direction}"))

    def reset_parameters(self) -> None:
        """Draw all parameters anew, from torch's generator, as `init` says."""
        for layer in range(self.num_layers):
            for direction in range(self._directions):
                self.init(
                    self._of("weight_ih", layer, direction),
                    None if self.recurrence == "none" else self._of("weight_hh", layer, direction),
                    [self._of(kind, layer, direction) for kind in bias_names(self.bias)],
                    self.gate,
                )

    def flatten_parameters(self) -> None:
        """Nothing: there is no weight buffer to compact. Code for torch.nn.RNN calls it."""

    def extra_repr(self) -> str:
        return (
            f"{self.input_size}, {self.hidden_size}, num_layers={self.num_layers}, "
            f"bias={self.bias!r}, batch_first={self.batch_first}, dropout={self.dropout}, "
            f"bidirectional={self.bidirectional}, recurrence={self.recurrence!r}, "
            f"gate={self.gate!r}, init={self.init!r}"
        )

    def forward(
        self, input: Sequences, hx: Tensor | None = None, *, return_gates: bool = False
    ) -> tuple[Sequences, Tensor] | tuple[Sequences, Tensor, Gates]:
        """Run all sequences; returns (output, h_n), or (output, h_n, gates) if `return_gates`.

        input: (T, B, I); (B, T, I) if batch_first; (T, I) without a batch; or a PackedSequence
            in any order. hx: the states before the first step, (L*D, B, H), D directions, or
            (L*D, H) without a batch; zeros if None.
        output: the states of the last layer, shaped like the input with D*H in place of I; a
            PackedSequence for one. h_n: the states after the last step of each sequence, like hx.
        gates: J and K of the last layer at each step, each like output, differentiable.

        Second derivatives need the full recurrence. Under autocast all runs in the type of the
        parameters. torch.export unrolls the loop, so that the number of steps is fixed;
        torch.compile leaves the layer as it is.
        ValueError for tensors of another shape or type, and for sequences without steps.
        """
        packed = input if isinstance(input, PackedSequence) else None
        lengths: Tensor | None = None
        if packed is not None:
            bare = PackedSequence(packed.data, packed.batch_sizes)
            x, lengths = pad_packed_sequence(bare)
        else:
            x = input
        self._check_input(x, packed is not None)
        batched = x.dim() == 3
        if not batched:
            x = x.unsqueeze(1)
        elif self.batch_first and packed is None:
            x = x.transpose(0, 1)
        x = own_type(x, self._of("weight_ih", 0, 0), "input")
        h0 = self._first_states(hx, x, batched)
        if packed is not None and hx is not None and packed.sorted_indices is not None:
            h0 = h0.index_select(1, packed.sorted_indices)
        if self.check_finite:
            _require_finite("input", x)
            _require_finite("hx", h0)
        with torch.autocast(x.device.type, enabled=False):
            run = self._run
            if torch.compiler.is_compiling() and not torch.compiler.is_exporting():
                # It would unroll the steps; it leaves torch.nn.RNN as it is, too
                run = torch.compiler.disable(run)  # type: ignore[no-untyped-call]
            out, h_n, gates = run(x, h0, lengths, return_gates)
        if self.check_finite:
            _require_finite("output", out)

        def shaped(value: Tensor) -> Tensor | PackedSequence:
            if packed is not None:
                data = pack_padded_sequence(value, lengths).data
                return PackedSequence(
                    data, packed.batch_sizes, packed.sorted_indices, packed.unsorted_indices
                )
            if not batched:
                return value.squeeze(1)
            return value.transpose(0, 1) if self.batch_first else value

        if packed is not None and packed.unsorted_indices is not None:
            h_n = h_n.index_select(1, packed.unsorted_indices)
        if not batched:
            h_n = h_n.squeeze(1)
        output = cast(Sequences, shaped(out))
        if not return_gates:
            return output, h_n
        j, k = gates
        return output, h_n, Gates(shaped(j), shaped(k))

    def _run(
        self, x: Tensor, h0: Tensor, lengths: Tensor | None, want_gates: bool
    ) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor]]:
        """All layers: output (T, B, D*H), h_n (L*D, B, H), and the last layer's J and K."""
        steps, batch, _ = x.shape
        last = mirror = None
        if lengths is not None:
            lengths = lengths.to(x.device)
            last = (lengths - 1).view(1, batch, 1).expand(1, batch, self.hidden_size)
            t = torch.arange(steps, device=x.device).unsqueeze(1)
            mirror = torch.where(t < lengths, lengths - 1 - t, t).unsqueeze(2)
        finals: list[Tensor] = []
        gates: list[Tensor] = []
        for layer in range(self.num_layers):
            if layer and self.dropout:
                x = nn.functional.dropout(x, self.dropout, self.training)
            want = want_gates and layer == self.num_layers - 1
            outs = []
            for direction in range(self._directions):
                start = h0[layer * self._directions + direction]
                given = _mirrored(x, mirror) if direction else x
                h, both = self._one(given, start, layer, direction, want)
                finals.append(h[-1:] if last is None else h.gather(0, last))
                outs.append(_mirrored(h, mirror) if direction else h)
                if both is not None:
                    gates.append(_mirrored(both, mirror) if direction else both)
            x = outs[0] if len(outs) == 1 else torch.cat(outs, dim=-1)
        j, k = zip(*(g.chunk(2, dim=-1) for g in gates), strict=True) if gates else ((), ())
        return x, torch.cat(finals), (_joined(j, x), _joined(k, x))

    def _one(
        self, x: Tensor, h0: Tensor, layer: int, direction: int, want_gates: bool
    ) -> tuple[Tensor, Tensor | None]:
        """One layer in one direction: states (T, B, H), and gates (T, B, 2H) if wanted."""
        w_ih = self._of("weight_ih", layer, direction)
        biases = [self._of(kind, layer, direction) for kind in bias_names(self.bias)]
        bias = sum(biases[1:], biases[0]) if biases else None
        if self.recurrence == "full":
            w_hh = self._of("weight_hh", layer, direction)
            if bias is None:
                bias = w_ih.new_zeros(len(w_ih))
            run = states_and_gates if want_gates else recurrence
            h, both = run(x, w_ih, w_hh, bias, h0, self.gate)
            return h, both if want_gates else None
        from neuroflip.rate.scan import driven_scan

        wide = torch.promote_types(x.dtype, torch.float32)  # the scans know no half precision
        own = None
        if self.recurrence == "diagonal":
            own = self._of("weight_hh", layer, direction).to(wide)
        drive, weight, start = x.to(wide), w_ih.to(wide), h0.to(wide)
        offset = None if bias is None else bias.to(wide)
        h = driven_scan(drive, weight, offset, own, start, self.gate)
        if not want_gates:
            return h.to(x.dtype), None
        z = nn.functional.linear(drive, weight, offset)
        if own is not None:
            z = z + own * torch.cat([start.unsqueeze(0), h[:-1]]).repeat(1, 1, 2)
        return h.to(x.dtype), gate_of(z, self.gate).to(x.dtype)

    def _check_input(self, x: Tensor, packed: bool) -> None:
        if x.dim() not in (2, 3):
            raise ValueError(f"input must have 2 or 3 dimensions; got shape {tuple(x.shape)}.")
        if x.shape[-1] != self.input_size:
            raise ValueError(
                f"the last dimension of input must be input_size, {self.input_size}; "
                f"got shape {tuple(x.shape)}."
            )
        time = 1 if self.batch_first and x.dim() == 3 and not packed else 0
        if x.shape[time] == 0:
            raise ValueError(f"input must have at least one step; got shape {tuple(x.shape)}.")

    def _first_states(self, hx: Tensor | None, x: Tensor, batched: bool) -> Tensor:
        """The initial states (L*D, B, H)."""
        layers, batch = self.num_layers * self._directions, x.shape[1]
        if hx is None:
            return x.new_zeros(layers, batch, self.hidden_size)
        expected = (layers, batch, self.hidden_size) if batched else (layers, self.hidden_size)
        if tuple(hx.shape) != expected:
            raise ValueError(f"hx must have shape {expected}; got {tuple(hx.shape)}.")
        hx = own_type(hx, self._of("weight_ih", 0, 0), "hx")
        return hx if batched else hx.unsqueeze(1)


def _joined(parts: Sequence[Tensor], like: Tensor) -> Tensor:
    return torch.cat(list(parts), dim=-1) if parts else like[:0]


def _mirrored(x: Tensor, mirror: Tensor | None) -> Tensor:
    """x (T, B, N) backwards in time, each sequence within its length."""
    return x.flip(0) if mirror is None else x.gather(0, mirror.expand(*x.shape))


def _require_finite(name: str, value: Tensor) -> None:
    wrong = int((~torch.isfinite(value)).sum())
    if wrong:
        raise FloatingPointError(f"{name} must be finite; got {wrong} NaN or infinite values.")
