"""Logic circuits of spiking neurons, written as netlists: one neuron a line.

    Q    = R' - Qbar        fires while R' fires and Qbar does not
    R'   = 1 - R            fires by itself, but while R fires
    P    = A + B - C        fires while A or B does, and C does not
    M    = 2: A + B + C     fires while two of the three do

Every neuron is the same fast `LIF` neuron, which fires at a steady rate while the sum of what it
is given exceeds its threshold; so "1" is a train of spikes, "0" is silence. Times are in
proportion to the element delay d, the time from a change of a neuron's input to the change of its
output:

    tau_m = 0.0375 d, tau_e = tau_i = 0.5 d, refractory 0.175 d,

the rest of d being axonal delay. With L = threshold current, an excitatory input that fires
brings a mean current of 2 L (of L/(k - 1/2) where k inputs must fire together), "1" is a drive of
2 L, and an inhibitory input takes away 2 L from a drive, and from spikes twice as much as all
excitatory inputs can bring. So the sum is 2 L or more, or 0 or less.

The design is Yoder's (2024, PLoS ONE 19:e0300534): a neuron computes "X and not Y", and a
flip-flop of electronics becomes one of neurons as each negation moves to the other end of its
connection. The neurons' parameters are ours.
"""

import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from neuroflip.circuit import Circuit, Population, Projection, Readout, SpikeInput
from neuroflip.circuits.latch import firing_rate
from neuroflip.errors import nearest
from neuroflip.neurons import LIF
from neuroflip.units import Mohm, as_float, ms, mV

DRIVE = 2.0
"""Mean input of an active neuron, in units of its threshold current."""
_TERM = r"[\w'.]+"
_THRESHOLD = 15 * mV
_RESISTANCE = 100 * Mohm
_TAU_M, _TAU_S, _REFRACTORY = 0.0375, 0.5, 0.175  # in units of the element delay
_AXONAL = 0.675  # of the element delay; integration takes the rest


@dataclass(frozen=True)
class Element:
    """A line of a netlist: the neuron fires while `need` of `excite` do (by itself where that is
    empty) and none of `inhibit`."""

    excite: tuple[str, ...]
    inhibit: tuple[str, ...]
    need: int = 1


def parse_netlist(text: str) -> dict[str, Element]:
    """The elements of a netlist. Raises ValueError for a line that is none.

    >>> parse_netlist("Q = 1 - A - B")
    {'Q': Element(excite=(), inhibit=('A', 'B'), need=1)}
    """
    elements: dict[str, Element] = {}
    for line in filter(None, (part.split("#")[0].strip() for part in text.splitlines())):
        name, equals, rule = (part.strip() for part in line.partition("="))
        found = re.fullmatch(rf"(?:(\d+)\s*:)?\s*({_TERM}(?:\s*[+-]\s*{_TERM})*)", rule)
        terms = re.findall(rf"([+-]?)\s*({_TERM})", found.group(2)) if found else []
        if not re.fullmatch(_TERM, name) or not equals or not found or name in elements:
            raise ValueError(f"not a line of a netlist, like Q = A - B: {line!r}")
        excite = tuple(term for sign, term in terms if sign != "-" and term != "1")
        inhibit = tuple(term for sign, term in terms if sign == "-")
        need = int(found.group(1) or 1)
        drives = len(terms) - len(excite) - len(inhibit)
        if "1" in inhibit or drives + bool(excite) != 1:
            raise ValueError(f"1 stands alone for a steady drive, as in Q = 1 - A: {line!r}")
        if not 1 <= need <= max(1, len(excite)):
            raise ValueError(f"{name} has {len(excite)} inputs that excite, not {need}: {line!r}")
        elements[name] = Element(excite, inhibit, need)
    return elements


def logic_neuron(delay: float, drive: float = 0.0) -> LIF:
    """The neuron of a logic circuit with element delay `delay` (s).

    drive: mean input in units of the threshold current, for neurons that fire by themselves.
    """
    return LIF(
        tau_m=_TAU_M * delay,
        tau_e=_TAU_S * delay,
        tau_i=_TAU_S * delay,
        resistance=_RESISTANCE,
        v_threshold=_THRESHOLD,
        refractory=_REFRACTORY * delay,
        drive=drive * _THRESHOLD / _RESISTANCE,
    )


def element_delay(circuit: Circuit) -> float:
    """The element delay (s) of a circuit made by `netlist`.

    Raises ValueError for a circuit of other neurons.

    >>> round(element_delay(netlist("not", "Q = 1 - A", "A", "Q")), 6)
    0.004
    """
    for population in circuit.populations:
        if isinstance(population.neuron, LIF):
            delay = population.neuron.tau_e / _TAU_S
            expected = logic_neuron(delay)
            if all(
                math.isclose(getattr(population.neuron, name), getattr(expected, name))
                for name in ("tau_m", "tau_i", "refractory")
            ):
                return delay
    raise ValueError(f"circuit {circuit.name!r} is not made of logic neurons.")


def spike_interval(delay: float) -> float:
    """Interval (s) between the spikes of an active neuron, and of an input that stands for 1."""
    neuron = logic_neuron(delay)
    return 1 / firing_rate(neuron, DRIVE * _THRESHOLD / _RESISTANCE)


def level(interval: float, *on: tuple[float, float]) -> list[float]:
    """Spike times (s) of an input that is 1 from `start` to `stop` (s), for each pair given.

    interval: of its spikes (s), `spike_interval(delay)` for the logic circuits.

    >>> [round(t*1e3, 2) for t in level(0.8*ms, (10*ms, 13*ms))]
    [10.0, 10.8, 11.6, 12.4]
    """
    times = []
    for start, stop in on:
        time = start
        while time < stop - 0.5 * interval:
            times.append(time)
            time += interval
    return times


def netlist(
    name: str,
    text: str | Mapping[str, Element],
    inputs: str,
    outputs: str | Mapping[str, tuple[str, str]],
    *,
    high: Collection[str] = (),
    delay: float = 4 * ms,
    hops: Mapping[tuple[str, str], float] | None = None,
) -> Circuit:
    """The circuit of a netlist.

    text: one neuron a line (see the module), or the elements by name.
    inputs: names of the spike inputs, separated by spaces.
    outputs: names of the neurons that are read, or readout -> (neuron, its complement).
    high: neurons of latches that fire at the start; of the others the netlist tells.
    delay: element delay (s).
    hops: (from, to) -> how many element delays a connection takes, where that is not one.

    Raises ValueError for a line or name that is wrong, or a delay that is not above 0.
    """
    delay = as_float(delay, "s", f"{name}: delay")
    if delay <= 0:
        raise ValueError(f"{name}: delay must be above 0 s; got {delay!r}.")
    elements = parse_netlist(text) if isinstance(text, str) else text
    ports = inputs.split()
    known = [*ports, *elements]
    for neuron in high:
        if neuron not in elements:
            raise ValueError(f"{name}: high names {neuron!r}; {nearest(neuron, elements)}")
    for source, target in hops or {}:
        found = elements.get(target)
        if found is None or source not in (*found.excite, *found.inhibit):
            raise ValueError(f"{name}: hops names a connection {source!r} to {target!r}; none is.")
    threshold_current = _THRESHOLD / _RESISTANCE
    unit = threshold_current * spike_interval(delay) / (_TAU_S * delay)  # weight of mean current L
    passive, driven = logic_neuron(delay), logic_neuron(delay, DRIVE)
    firing = settled(elements, high)
    populations, projections = [], []
    for neuron, element in elements.items():
        each = DRIVE if element.need == 1 else 1 / (element.need - 0.5)
        # Against spikes, twice what is needed: they come and go, where a drive is steady
        most = each * (2 * len(element.excite) or 1)
        for source in (*element.excite, *element.inhibit):
            if source not in known:
                raise ValueError(f"{name}: {neuron} reads {source!r}; {nearest(source, known)}")
            inhibits = source in element.inhibit
            hop = (hops or {}).get((source, neuron), 1.0)
            projections.append(
                Projection(
                    source,
                    neuron,
                    unit * (most if inhibits else each),
                    "inhibitory" if inhibits else "excitatory",
                    axonal_delay=(hop - 1 + _AXONAL) * delay,
                )
            )
        # As if all had been as they are for long: what decays before the first spikes arrive
        # is added
        early = threshold_current * 2.718281828459045 ** (_AXONAL / _TAU_S)
        initial = {
            "i_exc": each * early * sum(s in firing for s in element.excite),
            "i_inh": most * early * sum(s in firing for s in element.inhibit),
        }
        kind = passive if element.excite else driven
        populations.append(Population(neuron, kind, initial=initial))
    if isinstance(outputs, str):
        readouts = [Readout(output, output, window=delay / 2) for output in outputs.split()]
    else:
        readouts = [Readout(r, *pair, window=delay / 2) for r, pair in outputs.items()]
    return Circuit(
        name,
        populations,
        projections,
        [SpikeInput(port) for port in ports],
        readouts,
    )


def settled(elements: Mapping[str, Element], high: Collection[str]) -> set[str]:
    """The elements that fire with all inputs silent and those of `high` firing; `high` alone where
    the others come to no rest."""
    firing = set(high)
    for _ in range(2 * len(elements) + 1):
        new = set(high) | {
            name
            for name, e in elements.items()
            if (not e.excite or sum(s in firing for s in e.excite) >= e.need)
            and not any(s in firing for s in e.inhibit)
        }
        if new == firing:
            return firing
        firing = new
    return set(high)


def crossed(latches: Sequence[str], hop: float) -> dict[tuple[str, str], float]:
    """`hops` for the connections between X and Xbar, for each latch X.

    >>> crossed(["Q"], 0.5)
    {('Q', 'Qbar'): 0.5, ('Qbar', 'Q'): 0.5}
    """
    pairs = [(x, f"{x}bar") for x in latches]
    return dict.fromkeys([ends for pair in pairs for ends in (pair, pair[::-1])], hop)


def complementary(names: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Readouts of latches, each neuron X against Xbar.

    >>> complementary(["Q"])
    {'Q': ('Q', 'Qbar')}
    """
    return {name: (name, f"{name}bar") for name in names}
