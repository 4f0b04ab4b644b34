"""How far a circuit's parameters may be off before it does something else."""

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from neuroflip.analysis.truth import truth_table
from neuroflip.circuit import Array, Circuit
from neuroflip.circuits.behaviour import Behaviour
from neuroflip.errors import nearest
from neuroflip.neurons import LIF
from neuroflip.units import ms


def vary(circuit: Circuit, fraction: float, seed: int) -> Circuit:
    """The circuit with every weight, axonal delay and threshold (its distance from rest) multiplied
    by its own number from 1 - fraction to 1 + fraction, drawn evenly.

    >>> import neuroflip as nf
    >>> one, two = (vary(nf.circuits.sr_latch(), 0.1, seed) for seed in (1, 2))
    >>> one == two
    False
    """
    rng = np.random.default_rng(seed)

    def factor(shape: tuple[int, ...] = ()) -> Array:
        return 1 + fraction * rng.uniform(-1, 1, shape)

    populations = []
    for p in circuit.populations:
        neuron: Any = p.neuron
        for name in ("v_threshold", "v_peak"):
            if hasattr(neuron, name):
                rest = getattr(neuron, "v_rest", 0.0)
                threshold = rest + (getattr(neuron, name) - rest) * float(factor())
                neuron = dataclasses.replace(neuron, **{name: threshold})
                break
        populations.append(dataclasses.replace(p, neuron=neuron))
    projections = [
        dataclasses.replace(
            p,
            weight=p.weight * factor(p.weight.shape),
            axonal_delay=p.axonal_delay * factor(p.axonal_delay.shape),
        )
        for p in circuit.projections
    ]
    return dataclasses.replace(circuit, populations=populations, projections=projections)


def scaled(circuit: Circuit, what: str, factor: float) -> Circuit:
    """The circuit with one kind of parameter multiplied throughout.

    what: "excitation", "inhibition" (weights), "drive", "threshold" (both of LIF neurons), "delay"
    (axonal).
    """
    kinds = ("excitation", "inhibition", "drive", "threshold", "delay")
    if what not in kinds:
        raise ValueError(f"there is no {what!r} to scale; {nearest(what, kinds)}")
    populations = list(circuit.populations)
    projections = list(circuit.projections)
    if what in ("drive", "threshold"):
        name = "drive" if what == "drive" else "v_threshold"
        populations = [
            dataclasses.replace(
                p, neuron=dataclasses.replace(p.neuron, **{name: getattr(p.neuron, name) * factor})
            )
            if isinstance(p.neuron, LIF)
            else p
            for p in populations
        ]
    elif what == "delay":
        projections = [
            dataclasses.replace(p, axonal_delay=p.axonal_delay * factor) for p in projections
        ]
    else:
        receptor = {"excitation": "excitatory", "inhibition": "inhibitory"}[what]
        projections = [
            dataclasses.replace(p, weight=p.weight * factor) if p.receptor == receptor else p
            for p in projections
        ]
    return dataclasses.replace(circuit, populations=populations, projections=projections)


def margins(
    circuit: Circuit, behaviour: Behaviour | None = None, *, most: float = 4.0, dt: float = 0.1 * ms
) -> dict[str, tuple[float, float]]:
    """How far each kind of parameter may be scaled throughout before a row fails.

    behaviour, dt: as for `truth_table`. Returns kind -> (lowest, highest) factor that is still
    right, found by bisection to 1 %, within 1/most to most; (nan, nan) where the circuit is wrong
    as it is.

    >>> import neuroflip as nf
    >>> low, high = margins(nf.circuits.not_gate())["inhibition"]
    >>> low < 0.8 and high > 1.5
    True
    """

    def right(what: str, factor: float) -> bool:
        return truth_table(scaled(circuit, what, factor), behaviour, dt=dt).ok

    def edge(what: str, far: float) -> float:
        if right(what, far):
            return far
        good, bad = 1.0, far
        while abs(np.log(bad / good)) > 0.01:
            middle = float(np.sqrt(good * bad))
            good, bad = (middle, bad) if right(what, middle) else (good, middle)
        return good

    kinds = ["inhibition", "threshold", "delay"]
    if any(p.receptor == "excitatory" for p in circuit.projections):
        kinds.insert(0, "excitation")
    if any(getattr(p.neuron, "drive", 0.0) for p in circuit.populations):
        kinds.append("drive")
    if not truth_table(circuit, behaviour, dt=dt).ok:
        return {what: (np.nan, np.nan) for what in kinds}
    return {what: (edge(what, 1 / most), edge(what, most)) for what in kinds}


@dataclass(frozen=True)
class Variation:
    """What `variation` found: of `draws` circuits, which (by seed) did not do as they should."""

    circuit: str
    fraction: float
    draws: int
    wrong: tuple[int, ...]

    @property
    def right(self) -> int:
        """Number of circuits that came out right."""
        return self.draws - len(self.wrong)

    def __str__(self) -> str:
        return (
            f"{self.circuit}: {self.right} of {self.draws} right with every weight, delay and "
            f"threshold drawn within {self.fraction:.0%}"
            + (f"; wrong: seeds {', '.join(map(str, self.wrong))}" if self.wrong else "")
        )


def variation(
    circuit: Circuit,
    behaviour: Behaviour | None = None,
    *,
    fraction: float = 0.1,
    draws: int = 100,
    cycles: int | None = None,
    dt: float = 0.1 * ms,
    progress: bool = False,
) -> Variation:
    """Try `draws` circuits whose weights, delays and thresholds are off at random (`vary`).

    The other arguments are those of `truth_table`; the seed of a draw is its number.

    >>> import neuroflip as nf
    >>> variation(nf.circuits.or_gate(), draws=3).right
    3
    """
    seeds: Iterable[int] = range(draws)
    if progress:
        from tqdm import tqdm

        seeds = tqdm(seeds, desc=f"{circuit.name}, varied", leave=False)
    wrong = tuple(
        seed
        for seed in seeds
        if not truth_table(
            vary(circuit, fraction, seed), behaviour, cycles=cycles, seed=seed, dt=dt
        ).ok
    )
    return Variation(circuit.name, fraction, draws, wrong)
