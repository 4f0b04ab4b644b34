"""How strong a distractor must be to lose a held bit."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neuroflip.analysis.copies import (
    bit_at,
    flips,
    noisy,
    side_by_side,
    spikes_for,
    with_currents,
)
from neuroflip.analysis.holding import Hold, hold
from neuroflip.analysis.statistics import proportion_interval
from neuroflip.analysis.truth import behaviour_of
from neuroflip.circuit import Array, Circuit, Index, SpikeInput
from neuroflip.circuits.arguments import at_least_0, count
from neuroflip.circuits.behaviour import Behaviour
from neuroflip.circuits.logic import level
from neuroflip.errors import nearest
from neuroflip.simulation import simulate
from neuroflip.tables import table
from neuroflip.units import as_array, ms, mV

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KINDS = {
    "weight": ("weight of the wrong input, relative to its own", ""),
    "number": ("spikes at the wrong input", ""),
    "current": ("current into the wrong neuron", "A"),
}
"""What a distractor may be: kind -> (what its strength is, unit)."""


@dataclass(frozen=True, eq=False)
class DistractorCurve:
    """How often a bit was still right after a distractor, for each strength.

    strengths: in the unit of `KINDS[kind]`, shape (strengths,). right, tried: trials, of the same
    shape; tried are those in which the bit was right when the distractor came. target: the input
    or population at which it came.
    """

    circuit: str
    readout: str
    bit: int
    kind: str
    target: str
    noise: float
    strengths: Array
    right: Index
    tried: Index

    def fraction(self) -> tuple[Array, Array, Array]:
        """Fraction still right, and the ends of its 95 % interval (Wilson)."""
        tried = np.maximum(self.tried, 1)
        return (self.right / tried, *proportion_interval(self.right, tried))

    def threshold(self) -> tuple[float, float, float]:
        """The strength at which half of the trials are lost, and the ends of its interval.

        Interpolated in the fractions, made to fall with strength (isotonic regression). The
        interval is from the last strength at which more than half are right, with 95 %
        confidence, to the first at which fewer are; NaN at a side where there is none.
        """
        order = np.argsort(self.strengths, kind="stable")
        at = self.strengths[order]
        falling = _falling(self.right[order] / np.maximum(self.tried[order], 1), self.tried[order])
        _, low, high = (part[order] for part in self.fraction())
        surely_right, surely_lost = np.flatnonzero(low > 0.5), np.flatnonzero(high < 0.5)
        lost = surely_lost[surely_lost > surely_right.max(initial=-1)]
        first = float(at[surely_right[-1]]) if surely_right.size else np.nan
        last = float(at[lost[0]]) if lost.size else np.nan
        below = np.flatnonzero(falling < 0.5)
        if below.size == 0 or below[0] == 0:
            return np.nan, first, last
        i = int(below[0])
        part = (falling[i - 1] - 0.5) / (falling[i - 1] - falling[i])
        return float(at[i - 1] + part * (at[i] - at[i - 1])), first, last

    def __str__(self) -> str:
        fraction, low, high = self.fraction()
        what, unit = KINDS[self.kind]
        scale, shown = (1e12, " (pA)") if unit == "A" else (1.0, "")
        rows = [
            (f"{s * scale:g}", f"{right}/{tried}", f"{f:.2f}", f"{a:.2f} to {b:.2f}")
            for s, right, tried, f, a, b in zip(
                self.strengths, self.right, self.tried, fraction, low, high, strict=True
            )
        ]
        title = (
            f"{self.circuit}: {self.readout} = {self.bit} held against a distractor at "
            f"{self.target}, with noise of {self.noise / mV:g} mV"
        )
        at, first, last = (value * scale for value in self.threshold())
        text = table(title, (what + shown, "right", "fraction", "95 %"), rows)
        return f"{text}\n\nhalf are lost at {at:.3g} ({first:.3g} to {last:.3g}){shown}"

    def plot(self, path: str | Path | None = None) -> "Figure":
        """Draw the fraction still right against the strength, with the threshold.

        path: write the figure there as well (.png, .pdf, .svg).
        """
        from neuroflip.analysis.figures import draw_distractors

        return draw_distractors(self, path)


def distractor_curve(
    circuit: Circuit,
    strengths: Sequence[float] | Array,
    kind: str = "weight",
    *,
    noise: float = 1 * mV,
    trials: int = 100,
    bit: int = 1,
    readout: str | None = None,
    behaviour: Behaviour | None = None,
    weight: float = 1.0,
    interval: float | None = None,
    width: float = 20 * ms,
    seed: int = 0,
    dt: float = 0.1 * ms,
    engine: str = "numba",
    **options: Any,
) -> DistractorCurve:
    """Hold a bit, distract, and see whether it is still right.

    The distractor comes at a random time within a window of the readout, and the bit is read as
    long after it as the behaviour reads a new one. The wrong input is the one that would bring the
    other bit.

    kind: what grows with the strength:
        "weight": the weight of the wrong input, in units of its own; it sends one pulse.
        "number": the number of spikes at the wrong input, `interval` (s) apart, each with `weight`
            times its own weight. None takes the behaviour's interval, 5 ms where that is infinite.
        "current": the amplitude (A) of a current of `width` (s) into the population that must be
            silent; or, taken away, from the one that must fire where the readout has no other.
    noise: sd of the membrane noise of every population (V). trials: for each strength.
    bit, readout, behaviour: as in `retention`. options: those of the engine.

    Raises ValueError or TypeError for an argument out of range, or a circuit that holds no such
    bit.

    >>> import neuroflip as nf
    >>> curve = distractor_curve(nf.circuits.sr_latch(), [0, 1], trials=20)
    >>> curve.target, curve.right.tolist()
    ('R', [20, 0])
    """
    if kind not in KINDS:
        raise ValueError(f"kind: there is no {kind!r}; {nearest(str(kind), KINDS)}")
    values = as_array(strengths, KINDS[kind][1], "strengths")
    if values.ndim != 1 or values.size == 0 or values.min() < 0:
        raise ValueError(f"strengths must be a list of numbers, at least 0; got {strengths!r}.")
    if kind == "number" and np.any(values != np.round(values)):
        raise ValueError(f"strengths must be whole numbers for kind 'number'; got {strengths!r}.")
    count(trials, "trials")
    count(seed, "seed", 0)
    machine = behaviour_of(circuit) if behaviour is None else behaviour
    way = hold(circuit, bit, readout, machine)
    if interval is None:
        interval = machine.interval if np.isfinite(machine.interval) else 5 * ms
    pulse = _Pulse(kind, at_least_0(weight, "1", "weight"), at_least_0(interval, "s", "interval"),
                   at_least_0(width, "s", "width"))  # fmt: skip
    window = next(r.window for r in circuit.readouts if r.name == way.readout)
    inputs = wrong_inputs(machine, way)
    target = " and ".join(inputs) if kind != "current" else _current_target(circuit, way)[0]
    right, tried = [], []
    for i, strength in enumerate(values):
        rng = np.random.default_rng([seed, i])
        begins = way.ends + rng.uniform(0, window, trials)
        group, given, longest = pulse.given(
            circuit, machine, way, inputs, float(strength), begins, dt
        )
        read = round((way.ends + window + longest + machine.read) / dt)
        recording = simulate(
            noisy(group, noise), given, duration=(read + 1) * dt, dt=dt,
            seed=int(rng.integers(2**62)), engine=engine, **options,
        )  # fmt: skip
        changes = flips(recording, way.readout, trials)
        before = [bit_at(c, round(b / dt)) == bit for c, b in zip(changes, begins, strict=True)]
        after = [bit_at(c, read) == bit for c in changes]
        tried.append(sum(before))
        right.append(sum(a and b for a, b in zip(after, before, strict=True)))
    return DistractorCurve(
        circuit.name, way.readout, bit, kind, target, noise, values,
        np.array(right), np.array(tried),
    )  # fmt: skip


def wrong_inputs(machine: Behaviour, way: Hold) -> list[str]:
    """The inputs, as few as there can be, whose pulse loses the bit. Raises ValueError without."""
    state = machine.start
    for row in way.rows:
        state, _ = machine.step(state, row)
    rows = sorted(machine.rows(), key=lambda row: sum(row.values()))
    for row in rows:
        if machine.step(state, row)[1][way.readout] != way.bit:
            return [name for name, one in row.items() if one]
    raise ValueError(f"no input of this behaviour changes {way.readout} = {way.bit}.")


def _current_target(circuit: Circuit, way: Hold) -> tuple[str, int]:
    """The population that a distracting current goes into, and its sign."""
    readout = next(r for r in circuit.readouts if r.name == way.readout)
    if way.bit == 0:
        return readout.high, 1
    return (readout.high, -1) if readout.low is None else (readout.low, 1)


@dataclass(frozen=True)
class _Pulse:
    kind: str
    weight: float
    interval: float
    width: float

    def given(
        self, circuit: Circuit, machine: Behaviour, way: Hold, names: list[str], strength: float,
        begins: Array, dt: float,
    ) -> tuple[Circuit, dict[str, Any], float]:  # fmt: skip
        """Copies of the circuit, what they are given, and how long the distractor is (s)."""
        if self.kind == "current":
            return self._current(circuit, machine, way, strength, begins, dt)
        circuit = _doubled(circuit, names, strength if self.kind == "weight" else self.weight)
        train = {name: self._train(machine, name, int(strength)) for name in names}
        each = [
            way.inputs | {_second(n): list(begin + train[n]) for n in names} for begin in begins
        ]
        longest = max(float(t.max(initial=0)) for t in train.values())
        return side_by_side([circuit] * begins.size), spikes_for(circuit, each), longest

    def _train(self, machine: Behaviour, name: str, number: int) -> Array:
        """Spike times (s) from the beginning of the distractor on."""
        if self.kind == "number":
            return np.arange(number, dtype=np.float64) * self.interval
        start, stop = machine.on[name]
        if not np.isfinite(machine.interval):
            return np.array([start])
        return np.array(level(machine.interval, (start, stop)))

    def _current(
        self, circuit: Circuit, machine: Behaviour, way: Hold, strength: float, begins: Array,
        dt: float,
    ) -> tuple[Circuit, dict[str, Any], float]:  # fmt: skip
        target, sign = _current_target(circuit, way)
        size = circuit.population(target).size
        window = next(r.window for r in circuit.readouts if r.name == way.readout)
        steps = round((way.ends + window + self.width + machine.read) / dt) + 1
        time = np.arange(steps)[:, None] * dt
        on = (time >= begins) & (time < begins + self.width)
        group = side_by_side([with_currents(circuit, [target])] * begins.size)
        given: dict[str, Any] = dict(spikes_for(circuit, [way.inputs] * begins.size))
        given[f"current of {target}"] = np.repeat(on * (sign * strength), size, axis=1)
        return group, given, self.width


def _second(name: str) -> str:
    return f"distractor at {name}"


def _doubled(circuit: Circuit, names: Sequence[str], factor: float) -> Circuit:
    """The circuit with a second source beside some inputs, of `factor` times their weights."""
    projections = [
        dataclasses.replace(p, pre=_second(p.pre), weight=p.weight * factor, name="")
        for p in circuit.projections
        if p.pre in names
    ]
    sizes = circuit.sizes()
    return dataclasses.replace(
        circuit,
        projections=[*circuit.projections, *projections],
        inputs=[*circuit.inputs, *(SpikeInput(_second(n), sizes[n]) for n in names)],
    )


def _falling(values: Array, weights: Index) -> Array:
    """The nearest sequence that does not rise (pool adjacent violators)."""
    blocks: list[tuple[float, float, int]] = []  # (mean, weight, length)
    for value, weight in zip(values, np.maximum(weights, 1e-9), strict=True):
        blocks.append((float(value), float(weight), 1))
        while len(blocks) > 1 and blocks[-1][0] > blocks[-2][0]:
            (b, v, n), (a, w, m) = blocks.pop(), blocks.pop()
            blocks.append(((a * w + b * v) / (v + w), v + w, m + n))
    found: Array = np.repeat([mean for mean, _, _ in blocks], [length for _, _, length in blocks])
    return found
