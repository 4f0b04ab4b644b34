"""A plan cut into parts that threads advance side by side.

A part has a run of the neurons of each group and all synapses onto them, so that no two parts
write to the same place, and every sum is made in the order in which one thread makes it. Parts
share nothing but the spikes, which they tell each other in every step.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from neuroflip.circuit import Array, Index
from neuroflip.engines.plan import Group, Plan, Plastic, Static

_NEURON, _PLASTIC = 100, 3
"""What a neuron, and the arrivals at a plastic synapse, cost in a step over the arrivals at a
static synapse, at some ten spikes a second and steps of 0.1 ms."""


Mask = np.ndarray[Any, np.dtype[np.bool_]]


@dataclass(frozen=True)
class Part:
    """A plan of some of a plan's neurons, numbered as there, with the synapses onto them.

    synapses: plastic projection -> which of its synapses these are.
    """

    plan: Plan
    synapses: Mapping[str, Mask | slice]


def whole(plan: Plan) -> Part:
    """All neurons in one part."""
    return Part(plan, dict.fromkeys(plan.plastic_at, slice(None)))


def work(plan: Plan) -> Array:
    """What a step costs, by neuron; see `_NEURON`."""
    arrivals = np.bincount(plan.static.slot, minlength=plan.slots)
    cost = np.full(plan.neurons, float(_NEURON))
    for group in plan.groups:
        for slot in group.slots.values():
            cost[group.start : group.start + group.size] += arrivals[slot : slot + group.size]
    for plastic in plan.plastic:
        cost += _PLASTIC * np.bincount(plastic.post, minlength=plan.neurons)
    return cost


def split(plan: Plan, cost: Array, number: int) -> Iterator[Part]:
    """So many parts of about equal cost, each made when it is asked for. cost: of each neuron."""
    cuts = []
    for group in plan.groups:
        end = np.cumsum(cost[group.start : group.start + group.size])
        inner = np.searchsorted(end, end[-1] * np.arange(1, number) / number)
        cuts.append([0, *inner.tolist(), group.size])
    for n in range(number):
        yield _part(plan, [slice(*ends[n : n + 2]) for ends in cuts])


def _part(plan: Plan, members: list[slice]) -> Part:
    """The part with these members of each group."""
    groups = tuple(_cut_group(g, m) for g, m in zip(plan.groups, members, strict=True))
    neuron, slot = np.zeros(plan.neurons, np.bool_), np.zeros(plan.slots, np.bool_)
    for group in groups:
        neuron[group.start : group.start + group.size] = True
        for first in group.slots.values():
            slot[first : first + group.size] = True
    fed = np.flatnonzero(slot[plan.static.slot])
    columns = (getattr(plan.static, field.name) for field in dataclasses.fields(Static))
    static = Static(*(_chosen(column, fed) for column in columns))
    here = [neuron[p.post] for p in plan.plastic]
    synapses: dict[str, Mask | slice] = {}
    places = {}
    for name, (r, all_) in plan.plastic_at.items():
        synapses[name] = mask = here[r][all_]
        first = int(np.count_nonzero(here[r][: all_.start]))
        places[name] = (r, slice(first, first + int(np.count_nonzero(mask))))
    plastic = tuple(
        _cut_plastic(p, np.flatnonzero(h), plan.groups, members)
        for p, h in zip(plan.plastic, here, strict=True)
    )
    return Part(
        dataclasses.replace(plan, groups=groups, static=static, plastic=plastic, plastic_at=places),
        synapses,
    )


def _cut_group(group: Group, members: slice) -> Group:
    return dataclasses.replace(
        group,
        start=group.start + members.start,
        size=members.stop - members.start,
        constants={name: values[members] for name, values in group.constants.items()},
        initial={name: values[members] for name, values in group.initial.items()},
        refractory=group.refractory[members],
        slots={receptor: first + members.start for receptor, first in group.slots.items()},
    )


def _cut_plastic(
    plastic: Plastic, found: Index, groups: tuple[Group, ...], members: list[slice]
) -> Plastic:
    """These synapses; where their neurons lie in groups counts from the part's first."""
    starts = [group.start for group in groups]
    of = np.searchsorted(starts, plastic.first, side="right") - 1
    each = ("instance", "pre", "post", "weight", "axonal", "dendritic")
    return dataclasses.replace(
        plastic,
        in_group=plastic.in_group - np.array([m.start for m in members])[of],
        **{name: _chosen(getattr(plastic, name), found) for name in each},
    )


def _chosen(values: Any, found: Index) -> Any:
    if values.size and values.strides == (0,):  # one number for all, which takes no memory
        return np.broadcast_to(values[:1], found.shape)
    return values[found]
