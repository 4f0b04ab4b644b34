"""Circuits out of circuits: parts put side by side, and their ports wired.

The ports of a circuit are its spike inputs, where signals come in, and its populations, where
signals can be taken; its outputs are the populations that its readouts call high.
"""

import dataclasses
import warnings
from collections.abc import Iterable

from neuroflip.circuit import (
    Circuit,
    CurrentInput,
    Input,
    NoiseInput,
    Projection,
    Readout,
    SignalInput,
    SpikeInput,
)
from neuroflip.errors import nearest


def include(circuit: Circuit, other: Circuit, name: str) -> Circuit:
    """The parts of both; those of `other` are called "name.part". See `Circuit.include`."""
    for part, taken in (
        ("populations", {p.name for p in (*circuit.populations, *circuit.inputs)}),
        ("projections", {p.name for p in circuit.projections}),
        ("readouts", {r.name for r in circuit.readouts}),
    ):
        both = (
            (*other.populations, *other.inputs) if part == "populations" else getattr(other, part)
        )
        clash = sorted(taken & {f"{name}.{item.name}" for item in both})
        if clash:
            raise ValueError(
                f"include: circuit {circuit.name!r} has {clash[0]!r} already; choose another name "
                f"than {name!r}."
            )
    added = prefixed(other, name)
    return dataclasses.replace(
        circuit,
        populations=[*circuit.populations, *added.populations],
        projections=[*circuit.projections, *added.projections],
        inputs=[*circuit.inputs, *added.inputs],
        readouts=[*circuit.readouts, *added.readouts],
    )


def prefixed(circuit: Circuit, name: str) -> Circuit:
    """The circuit with every part called "name.part"."""

    def new(part: str) -> str:
        return f"{name}.{part}"

    def projection(p: Projection) -> Projection:
        own = "" if p.name == f"{p.pre}->{p.post}" else f"{name}.{p.name}"
        return dataclasses.replace(p, pre=new(p.pre), post=new(p.post), name=own)

    def given(i: Input) -> Input:
        if isinstance(i, (CurrentInput, NoiseInput)):
            return dataclasses.replace(i, name=new(i.name), target=new(i.target))
        if isinstance(i, SignalInput) and i.target:
            target = next(projection(p).name for p in circuit.projections if p.name == i.target)
            return dataclasses.replace(i, name=new(i.name), target=target)
        return dataclasses.replace(i, name=new(i.name))

    def readout(r: Readout) -> Readout:
        low = None if r.low is None else new(r.low)
        return dataclasses.replace(r, name=new(r.name), high=new(r.high), low=low)

    return Circuit(
        circuit.name,
        [dataclasses.replace(p, name=new(p.name)) for p in circuit.populations],
        [projection(p) for p in circuit.projections],
        [given(i) for i in circuit.inputs],
        [readout(r) for r in circuit.readouts],
    )


def wire(circuit: Circuit, source: str, ports: Iterable[str]) -> Circuit:
    """`source` in the place of the spike inputs `ports`. See `Circuit.wire`."""
    sizes = circuit.sizes()
    if source not in sizes:
        raise ValueError(
            f"wire: circuit {circuit.name!r} has no population or spike input {source!r}; "
            f"{nearest(source, sizes)}"
        )
    open_ports = [i.name for i in circuit.inputs if isinstance(i, SpikeInput)]
    chosen = list(ports)
    for port in chosen:
        if port not in open_ports:
            raise ValueError(
                f"wire: circuit {circuit.name!r} has no open port (spike input) {port!r}; "
                f"{nearest(port, open_ports)}"
            )
        if port == source:
            raise ValueError(f"wire: {port!r} cannot feed itself.")
        if sizes[port] != sizes[source]:
            raise ValueError(
                f"wire: port {port!r} takes {sizes[port]} neuron(s); {source!r} has "
                f"{sizes[source]}."
            )

    def projection(p: Projection) -> Projection:
        if p.pre not in chosen:
            return p
        own = "" if p.name == f"{p.pre}->{p.post}" else p.name
        return dataclasses.replace(p, pre=source, name=own)

    return dataclasses.replace(
        circuit,
        projections=[projection(p) for p in circuit.projections],
        inputs=[i for i in circuit.inputs if i.name not in chosen],
    )


def series(first: Circuit, second: Circuit) -> Circuit:
    """The outputs of one circuit wired to the inputs of another. See `Circuit.__rshift__`."""
    outputs = {r.name: r.high for r in first.readouts}
    ports = [i.name for i in second.inputs if isinstance(i, SpikeInput)]
    named = [port for port in ports if port in outputs]
    if named:
        pairs = {port: port for port in named}
    elif len(outputs) == len(ports):
        pairs = dict(zip(outputs, ports, strict=True))
    else:
        raise ValueError(
            f"{first.name!r} >> {second.name!r}: outputs {', '.join(outputs) or 'none'} and inputs "
            f"{', '.join(ports) or 'none'} share no name and are not equally many; use include "
            "and wire."
        )
    loose = [port for port in ports if port not in pairs.values()]
    if loose:
        warnings.warn(
            f"{first.name!r} >> {second.name!r}: {', '.join(loose)} of {second.name!r} stay "
            "inputs, as no output has their name.",
            stacklevel=3,
        )
    name, count = second.name, 1
    used = {p.name.partition(".")[0] for p in first.populations}
    while name in used:
        count += 1
        name = f"{second.name} {count}"
    joined = include(first, second, name)
    for output, port in pairs.items():
        joined = wire(joined, outputs[output], [f"{name}.{port}"])
    return dataclasses.replace(
        joined,
        name=f"{first.name} >> {second.name}",
        readouts=[r for r in joined.readouts if r.name not in pairs],
    )
