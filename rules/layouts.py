"""How the synapses of a torch layer lie: one view for linear, convolutional and sparse layers.

A layout turns the activity of a layer into samples, the weights into the shape in which rules
run, and joins numbers of presynaptic and of postsynaptic neurons at their synapses. Whatever a
neuron or synapse knows has one of four shapes (S samples):

    dense    pre (S, G, 1, I)   post (S, G, O, 1)   synapse (S, G, O, I)   weight (G, O, I)
    sparse   pre (S, I)         post (S, O)         synapse (S, E)         weight (E,)

G are the groups of a convolution, else 1; E the entries of a sparse matrix.
"""

from abc import ABC, abstractmethod
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

Side = Literal["pre", "post"]


class Layout(ABC):
    """The synapses of one layer. `mask`: where there is a synapse, shaped as weights; or None."""

    mask: Tensor | None = None
    one_matrix = False
    """Whether the weights are a matrix (1, O, I) that all samples multiply."""
    as_it_lies = False
    """Whether activities of this layer, where they are contiguous, are numbers of neurons, sample
    after sample."""

    @abstractmethod
    def move(self, device: torch.device) -> None:
        """Go to a device."""

    @abstractmethod
    def lead(self, pre: Tensor, post: Tensor) -> tuple[int, ...]:
        """The shape of the samples of activities. Raises ValueError where they do not fit."""

    @abstractmethod
    def pre(self, activity: Tensor) -> Tensor:
        """The layer's input as numbers of presynaptic neurons."""

    @abstractmethod
    def post(self, activity: Tensor) -> Tensor:
        """The layer's output as numbers of postsynaptic neurons."""

    @abstractmethod
    def per_post(self, value: Tensor, lead: tuple[int, ...]) -> Tensor:
        """A number a sample (B,), or a neuron of each (B, out), as `post`."""

    @abstractmethod
    def shape(self, level: str, samples: int) -> tuple[int, ...]:
        """The shape of numbers of a level: pre, post or synapse."""

    @abstractmethod
    def natural(self, level: str, value: Tensor, lead: tuple[int, ...]) -> Tensor:
        """Numbers of a level as users know them: (B, in), (B, out), (B, *weight)."""

    @abstractmethod
    def read(self, parameter: Tensor) -> Tensor:
        """The weights of a parameter; a copy. 0 where the mask has no synapse."""

    @abstractmethod
    def parameter(self, weight: Tensor, like: Tensor) -> Tensor:
        """Weights as a tensor shaped (and sparse) like the parameter."""

    @abstractmethod
    def write(self, parameter: Tensor, weight: Tensor) -> None:
        """Put weights in the parameter, where there are synapses."""

    @abstractmethod
    def wide(self, level: str, value: Tensor) -> Tensor:
        """Numbers of a level, so that they meet those of other levels at synapses."""

    @abstractmethod
    def add_outer(self, total: Tensor, post: Tensor, pre: Tensor, number: float) -> None:
        """Add to total, in place, number times the sum over samples of post times pre."""

    @abstractmethod
    def sum_pre(self, value: Tensor) -> Tensor:
        """Synapse -> post: the sum over the synapses of each postsynaptic neuron."""

    @abstractmethod
    def sum_products(self, pre: Tensor, weight: Tensor) -> Tensor:
        """sum_pre of pre times weight, without a number for each sample and synapse."""

    @abstractmethod
    def over_post(self, function: str, value: Tensor) -> Tensor:
        """cumsum_post or softmax_post of numbers of level post or synapse."""


class Dense(Layout):
    """`nn.Linear`, or any layer with weights (out, in) between its last dimensions."""

    def __init__(self, weight: Tensor, mask: Tensor | None) -> None:
        self.weight_shape = tuple(weight.shape)
        self.outputs, self.groups = weight.shape[0], self._groups()
        self.inputs = weight[0].numel()
        self.one_matrix = self.groups == 1
        self.as_it_lies = True
        self.mask = None if mask is None else self._weights(mask != 0)

    def move(self, device: torch.device) -> None:
        self.mask = None if self.mask is None else self.mask.to(device)

    def _groups(self) -> int:
        return 1

    def _weights(self, value: Tensor) -> Tensor:
        return value.reshape(self.groups, self.outputs // self.groups, self.inputs)

    def lead(self, pre: Tensor, post: Tensor) -> tuple[int, ...]:
        _check_shape("the layer's input", pre, (*pre.shape[:-1], self.inputs))
        _check_shape("postsynaptic activity", post, (*pre.shape[:-1], self.outputs))
        return tuple(pre.shape[:-1])

    def pre(self, activity: Tensor) -> Tensor:
        return activity.reshape(-1, 1, 1, self.inputs)

    def post(self, activity: Tensor) -> Tensor:
        return activity.reshape(-1, 1, self.outputs, 1)

    def per_post(self, value: Tensor, lead: tuple[int, ...]) -> Tensor:
        batch = lead[0] if lead else 1
        if value.shape not in ((batch,), (batch, self.outputs)):
            raise ValueError(
                f"must be one number, or have shape ({batch},) or ({batch}, {self.outputs}); "
                f"got {tuple(value.shape)}"
            )
        places = lead[1:]
        value = value.reshape(batch, *(1 for _ in places), -1).expand(batch, *places, -1)
        size = value.shape[-1]
        groups = self.groups if size > 1 else 1
        return value.reshape(-1, groups, size // groups, 1)

    def shape(self, level: str, samples: int) -> tuple[int, ...]:
        own = {"pre": (1, self.inputs), "post": (self.outputs // self.groups, 1)}
        one = (self.outputs // self.groups, self.inputs)
        return (samples, self.groups, *own.get(level, one))

    def natural(self, level: str, value: Tensor, lead: tuple[int, ...]) -> Tensor:
        shape = self.weight_shape if level == "synapse" else (-1,)
        return value.reshape(*lead, *shape)

    def read(self, parameter: Tensor) -> Tensor:
        weight = self._weights(parameter.detach()).clone(memory_format=torch.contiguous_format)
        return weight if self.mask is None else weight * self.mask

    def parameter(self, weight: Tensor, like: Tensor) -> Tensor:
        return weight.reshape(*weight.shape[:-3], *self.weight_shape)

    def write(self, parameter: Tensor, weight: Tensor) -> None:
        if self.mask is not None:
            weight = torch.where(self.mask, weight, self._weights(parameter))
        parameter.copy_(weight.reshape(self.weight_shape))

    def wide(self, level: str, value: Tensor) -> Tensor:
        return value

    def add_outer(self, total: Tensor, post: Tensor, pre: Tensor, number: float) -> None:
        if self.groups == 1:
            total[0].addmm_(post.flatten(1).t(), pre.flatten(1), alpha=number)
        else:
            one, other = post[..., 0].permute(1, 2, 0), pre[:, :, 0].transpose(0, 1)
            total.baddbmm_(one, other, alpha=number)

    def sum_pre(self, value: Tensor) -> Tensor:
        if self.mask is not None:
            value = value * self.mask
        return value.expand(*value.shape[:-1], self.inputs).sum(-1, keepdim=True)

    def sum_products(self, pre: Tensor, weight: Tensor) -> Tensor:
        if self.mask is not None:
            weight = weight * self.mask
        weight = weight.expand(self.groups, self.outputs // self.groups, self.inputs)
        return (pre @ weight.transpose(1, 2)).transpose(2, 3)

    def over_post(self, function: str, value: Tensor) -> Tensor:
        if self.groups > 1:
            raise ValueError(f"{function} needs all outputs in one group")
        if value.dim() and value.shape[-1] > 1 and self.mask is not None:
            value = value * self.mask
        return value.cumsum(-2) if function == "cumsum_post" else value.softmax(-2)


class Conv(Dense):
    """`nn.Conv1d` and `nn.Conv2d`: every output position is a sample, with its patch as input."""

    def __init__(self, layer: nn.Conv1d | nn.Conv2d, weight: Tensor, mask: Tensor | None) -> None:
        self.layer_groups = layer.groups
        super().__init__(weight, mask)
        self.as_it_lies = False
        flat = isinstance(layer, nn.Conv1d)
        one = (1,) if flat else ()
        self.dimensions = 1 if flat else 2
        self.kernel = (*one, *layer.kernel_size)
        self.stride, self.dilation = (*one, *layer.stride), (*one, *layer.dilation)
        self.mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
        self.padding = _padding(layer)
        self.channels = layer.in_channels

    def _groups(self) -> int:
        return self.layer_groups

    def lead(self, pre: Tensor, post: Tensor) -> tuple[int, ...]:
        channels = pre.dim() - self.dimensions - 1
        if channels not in (0, 1) or pre.shape[channels] != self.channels:
            raise ValueError(
                f"the layer's input must have {self.channels} channels before its "
                f"{self.dimensions} place(s); got shape {tuple(pre.shape)}."
            )
        places = self._places(pre)
        batch = tuple(pre.shape[:channels])
        _check_shape("postsynaptic activity", post, (*batch, self.outputs, *places))
        return (*(batch or (1,)), *places)

    def _places(self, pre: Tensor) -> tuple[int, ...]:
        count = self.dimensions
        sizes = zip(
            pre.shape[-count:],
            self.kernel[-count:],
            self.stride[-count:],
            self.dilation[-count:],
            [self.padding[i : i + 2] for i in range(0, 2 * count, 2)][::-1],
            strict=True,
        )
        return tuple((n + sum(pad) - d * (k - 1) - 1) // s + 1 for n, k, s, d, pad in sizes)

    def pre(self, activity: Tensor) -> Tensor:
        if activity.dim() == self.dimensions + 1:
            activity = activity.unsqueeze(0)
        padded = functional.pad(activity, self.padding, mode=self.mode)
        if self.dimensions == 1:
            padded = padded.unsqueeze(2)
        patches = functional.unfold(padded, self.kernel, dilation=self.dilation, stride=self.stride)
        batch, _, places = patches.shape
        grouped = patches.reshape(batch, self.groups, self.inputs, places)
        return grouped.permute(0, 3, 1, 2).reshape(-1, self.groups, 1, self.inputs)

    def post(self, activity: Tensor) -> Tensor:
        if activity.dim() == self.dimensions + 1:
            activity = activity.unsqueeze(0)
        each = self.outputs // self.groups
        grouped = activity.reshape(len(activity), self.groups, each, -1)
        return grouped.permute(0, 3, 1, 2).reshape(-1, self.groups, each, 1)


class Sparse(Layout):
    """A layer with a sparse matrix (out, in): its entries are the synapses."""

    def __init__(self, weight: Tensor) -> None:
        self.weight_shape = tuple(weight.shape)
        self.outputs, self.inputs = self.weight_shape
        with torch.no_grad():
            self.target, self.source = _entries(weight.detach())

    def move(self, device: torch.device) -> None:
        self.target, self.source = self.target.to(device), self.source.to(device)

    def lead(self, pre: Tensor, post: Tensor) -> tuple[int, ...]:
        _check_shape("the layer's input", pre, (*pre.shape[:-1], self.inputs))
        _check_shape("postsynaptic activity", post, (*pre.shape[:-1], self.outputs))
        return tuple(pre.shape[:-1])

    def pre(self, activity: Tensor) -> Tensor:
        return activity.reshape(-1, self.inputs)

    def post(self, activity: Tensor) -> Tensor:
        return activity.reshape(-1, self.outputs)

    def per_post(self, value: Tensor, lead: tuple[int, ...]) -> Tensor:
        batch = lead[0] if lead else 1
        if value.shape not in ((batch,), (batch, self.outputs)):
            raise ValueError(
                f"must be one number, or have shape ({batch},) or ({batch}, {self.outputs}); "
                f"got {tuple(value.shape)}"
            )
        places = lead[1:]
        value = value.reshape(batch, *(1 for _ in places), -1)
        return value.expand(batch, *places, self.outputs).reshape(-1, self.outputs)

    def shape(self, level: str, samples: int) -> tuple[int, ...]:
        sizes = {"pre": self.inputs, "post": self.outputs}
        return (samples, sizes.get(level, len(self.source)))

    def natural(self, level: str, value: Tensor, lead: tuple[int, ...]) -> Tensor:
        return value.reshape(*lead, -1)

    def read(self, parameter: Tensor) -> Tensor:
        return _values(parameter.detach()).clone()

    def parameter(self, weight: Tensor, like: Tensor) -> Tensor:
        if weight.dim() > 1:
            return weight  # samples of a sparse matrix: its entries
        if like.layout == torch.sparse_coo:
            indices = torch.stack([self.target, self.source])
            return torch.sparse_coo_tensor(
                indices, weight, like.shape, is_coalesced=True, check_invariants=False
            )
        rows, columns = like.crow_indices(), like.col_indices()
        return torch.sparse_csr_tensor(rows, columns, weight, like.shape, check_invariants=False)

    def write(self, parameter: Tensor, weight: Tensor) -> None:
        _values(parameter.detach()).copy_(weight)

    def wide(self, level: str, value: Tensor) -> Tensor:
        if level == "pre":
            return value[:, self.source]
        return value[:, self.target] if level == "post" else value

    def add_outer(self, total: Tensor, post: Tensor, pre: Tensor, number: float) -> None:
        total.add_((self.wide("post", post) * self.wide("pre", pre)).sum(0), alpha=number)

    def sum_pre(self, value: Tensor) -> Tensor:
        value = value.expand(-1, len(self.source))
        return value.new_zeros(len(value), self.outputs).index_add(1, self.target, value)

    def sum_products(self, pre: Tensor, weight: Tensor) -> Tensor:
        return self.sum_pre(self.wide("pre", pre) * weight)

    def over_post(self, function: str, value: Tensor) -> Tensor:
        if value.shape[-1] != self.outputs:
            raise ValueError(f"{function} of a number a synapse needs a dense layer")
        return value.cumsum(-1) if function == "cumsum_post" else value.softmax(-1)


class Diagonal(Sparse):
    """A diagonal recurrence, a vector (2H,): each unit onto its own two gates [J; K]."""

    def __init__(self, weight: Tensor) -> None:
        self.outputs = len(weight)
        self.inputs = self.outputs // 2
        self.weight_shape = (self.outputs, self.inputs)
        self.target = torch.arange(self.outputs, device=weight.device)
        self.source = self.target % self.inputs

    def read(self, parameter: Tensor) -> Tensor:
        return parameter.detach().clone()

    def parameter(self, weight: Tensor, like: Tensor) -> Tensor:
        return weight

    def write(self, parameter: Tensor, weight: Tensor) -> None:
        parameter.detach().copy_(weight)


def _check_shape(what: str, value: Tensor, expected: tuple[int, ...]) -> None:
    if tuple(value.shape) != expected:
        raise ValueError(f"{what} must have shape {expected}; got {tuple(value.shape)}.")


def _padding(layer: nn.Conv1d | nn.Conv2d) -> list[int]:
    """As functional.pad takes it: the last dimension first, both ends."""
    found: list[int] = []
    for axis in range(len(layer.kernel_size) - 1, -1, -1):
        if isinstance(layer.padding, str):
            whole = layer.dilation[axis] * (layer.kernel_size[axis] - 1)
            whole *= layer.padding == "same"
            found += [whole // 2, whole - whole // 2]
        else:
            found += [layer.padding[axis]] * 2
    return found


def _entries(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Rows and columns of a sparse matrix."""
    if weight.layout == torch.sparse_coo:
        if not weight.is_coalesced():
            raise ValueError("a sparse weight must be coalesced, so that each synapse is one entry")
        rows, columns = weight.indices()
        return rows, columns
    counts = weight.crow_indices().diff()
    rows = torch.repeat_interleave(torch.arange(len(counts), device=counts.device), counts)
    return rows, weight.col_indices()


def _values(weight: Tensor) -> Tensor:
    """The entries of a sparse matrix, not a copy."""
    return weight._values() if weight.layout == torch.sparse_coo else weight.values()
