"""Where a circuit latches: over two of its parameters, and in the plane of its two rates."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neuroflip.analysis.copies import side_by_side, spikes_for
from neuroflip.analysis.holding import hold
from neuroflip.analysis.truth import behaviour_of, drive
from neuroflip.circuit import Array, Circuit
from neuroflip.circuits.arguments import at_least_0
from neuroflip.circuits.behaviour import Behaviour
from neuroflip.circuits.latch import can_latch, firing_rate
from neuroflip.circuits.mean_field import siegert_rate
from neuroflip.neurons import LIF
from neuroflip.recording import Recording
from neuroflip.simulation import simulate
from neuroflip.tables import table
from neuroflip.units import as_array, ms, pA, show

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Axis = tuple[str, Sequence[float] | Array] | tuple[str, Sequence[float] | Array, str]


@dataclass(frozen=True, eq=False)
class LatchRegion:
    """Where a circuit latches, over two parameters.

    x, y: values of the parameters, shapes (nx,) and (ny,). contrast: how far the two held states
    are apart, shape (ny, nx): with h and l the spikes of the neuron that should be high and of
    the one that should be low, (h - l)/(h + l), the smaller of the values for the two bits.
    expected: whether the closed form says that it latches, of the same shape, or None.
    """

    circuit: str
    x_name: str
    x: Array
    x_unit: str
    y_name: str
    y: Array
    y_unit: str
    contrast: Array
    expected: Any

    @property
    def latches(self) -> Any:
        """Where both bits are held with a contrast above 1/2, shape (ny, nx)."""
        return self.contrast > 0.5

    @property
    def agreement(self) -> float:
        """The fraction of points where simulation and closed form say the same."""
        return (
            float("nan") if self.expected is None else float(np.mean(self.latches == self.expected))
        )

    def disagreements(self) -> list[tuple[float, float, bool, float]]:
        """The points where they differ: (x, y, whether expected to latch, contrast)."""
        if self.expected is None:
            return []
        return [
            (
                float(self.x[j]),
                float(self.y[i]),
                bool(self.expected[i, j]),
                float(self.contrast[i, j]),
            )
            for i, j in np.argwhere(self.latches != self.expected)
        ]

    def __str__(self) -> str:
        many = self.contrast.size
        x = f"{show(float(self.x[0]), self.x_unit)} to {show(float(self.x[-1]), self.x_unit)}"
        y = f"{show(float(self.y[0]), self.y_unit)} to {show(float(self.y[-1]), self.y_unit)}"
        text = (
            f"{self.circuit}: {int(self.latches.sum())} of {many} points latch, over "
            f"{self.x_name} {x} and {self.y_name} {y}"
        )
        if self.expected is not None:
            only = self.latches & ~self.expected
            leak = self.expected & ~self.latches
            text += (
                f"\nThe closed form agrees at {100 * self.agreement:.1f} % of the points; "
                f"{int(leak.sum())} should latch and leak, {int(only.sum())} should not and do."
            )
        return text

    def plot(self, path: str | Path | None = None) -> "Figure":
        """Draw the contrast over both parameters, with the boundary of the closed form.

        path: write the figure there as well (.png, .pdf, .svg).
        """
        from neuroflip.analysis.figures import draw_region

        return draw_region(self, path)


def latch_region(
    build: Callable[..., Circuit],
    x: Axis,
    y: Axis,
    *,
    behaviour: Callable[[Circuit], Behaviour] = behaviour_of,
    condition: Callable[[Circuit], bool] | None = None,
    dt: float = 0.1 * ms,
    engine: str = "numba",
    **options: Any,
) -> LatchRegion:
    """Simulate a circuit at every point of a grid over two parameters: set, hold, reset, hold.

    All points of the same neurons run side by side in one circuit; the others run after each
    other, so a grid over weights and delays is one run, and one over a drive and a weight takes a
    run for each drive.

    build: a circuit function, like `nf.circuits.sr_latch`. x, y: (name of its parameter, values),
        or (name, values, unit) for the axes of the figure.
    behaviour: what a circuit should do; the library's by default.
    condition: the closed form, circuit -> whether it latches; None takes `mean_field_latch` where
        that applies.
    options: those of the engine.

    Raises ValueError or TypeError for an argument out of range, and what `build` raises.

    >>> import neuroflip as nf
    >>> values = [100*pA, 200*pA, 300*pA]
    >>> found = latch_region(nf.circuits.sr_latch, ("drive", values), ("inhibition", values))
    >>> found.latches.astype(int).tolist()
    [[0, 1, 0], [0, 1, 1], [0, 1, 1]]
    >>> found.agreement
    1.0
    """
    (x_name, xs, x_unit), (y_name, ys, y_unit) = _axis(x, "x"), _axis(y, "y")
    with _quietly():
        made = [build(**{x_name: float(a), y_name: float(b)}) for b, a in product(ys, xs)]
    groups: dict[Any, list[int]] = {}
    for i, circuit in enumerate(made):
        groups.setdefault(tuple(p.neuron for p in circuit.populations), []).append(i)
    contrast = np.zeros(len(made))
    for members in groups.values():
        circuits = [made[i] for i in members]
        contrast[members] = _contrast(circuits, behaviour(circuits[0]), dt, engine, options)
    said = [(condition or mean_field_latch)(circuit) for circuit in made]
    shape = (ys.size, xs.size)
    expected = None if None in said else np.array(said, bool).reshape(shape)
    return LatchRegion(
        made[0].name, x_name, xs, x_unit, y_name, ys, y_unit, contrast.reshape(shape), expected
    )


def mean_field_latch(circuit: Circuit) -> bool | None:
    """What `nf.circuits.can_latch` says of the two-neuron SR latch; None of other circuits.

    >>> import neuroflip as nf
    >>> mean_field_latch(nf.circuits.sr_latch()), mean_field_latch(nf.circuits.d_latch())
    (True, None)
    """
    if circuit.name != "sr_latch" or len(circuit.populations) != 2:
        return None
    neuron = circuit.population("Q").neuron
    weight = next(p.weight for p in circuit.projections if p.name == "Qbar->Q")
    return isinstance(neuron, LIF) and can_latch(neuron, neuron.drive, float(weight))


@contextmanager
def _quietly() -> Iterator[None]:
    """Circuit functions warn of what cannot latch, which is what is asked here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


def _axis(axis: Axis, name: str) -> tuple[str, Array, str]:
    if not isinstance(axis, tuple) or len(axis) not in (2, 3) or not isinstance(axis[0], str):
        raise TypeError(f"{name} must be (name of a parameter, values); got {axis!r}.")
    unit = axis[2] if len(axis) == 3 else ""
    values = as_array(axis[1], unit, name)
    if values.ndim != 1 or values.size == 0:
        raise ValueError(f"{name}: there must be a list of values; got {axis[1]!r}.")
    return axis[0], values, unit


def _contrast(
    circuits: list[Circuit], machine: Behaviour, dt: float, engine: str, options: dict[str, Any]
) -> Array:
    """The contrast of every circuit, in one run: set, two cycles silent, reset, two silent."""
    to_one = hold(circuits[0], 1, behaviour=machine)
    state = machine.start
    for row in to_one.rows:
        state, _ = machine.step(state, row)
    to_zero = hold(circuits[0], 0, behaviour=replace(machine, start=state))
    silent = dict.fromkeys(machine.on, 0)
    rows = [*to_one.rows, silent, silent, *to_zero.rows, silent, silent]
    inputs = drive(machine, rows)
    steps = int(np.ceil((len(rows) + 1) * machine.period / dt))
    recording = simulate(
        side_by_side(circuits), spikes_for(circuits[0], [inputs] * len(circuits)),
        duration=steps * dt, dt=dt, engine=engine, **options,
    )  # fmt: skip
    readout = next(r for r in circuits[0].readouts if r.name == to_one.readout)
    many = len(circuits)
    ends = [(len(to_one.rows) + 3) * machine.period, (len(rows) + 1) * machine.period]
    high = [_count(recording, readout.high, many, e - machine.period, e) for e in ends]
    if readout.low is None:
        return _relative(high[0], high[1])
    low = [_count(recording, readout.low, many, e - machine.period, e) for e in ends]
    found: Array = np.minimum(_relative(high[0], low[0]), _relative(low[1], high[1]))
    return found


def _count(recording: Recording, population: str, copies: int, start: float, stop: float) -> Array:
    """Spikes of each copy of a population in an interval."""
    size = recording.circuit.population(population).size // copies
    times = recording.spikes[population]
    mine = recording.neurons[population][(times >= start) & (times < stop)] // size
    return np.bincount(mine, minlength=copies).astype(np.float64)


def _relative(a: Array, b: Array) -> Array:
    found: Array = (a - b) / np.maximum(a + b, 1)
    return found


@dataclass(frozen=True)
class FixedPoint:
    """Rates (Hz) that stay as they are; stable: whether small deviations die out."""

    first: float
    second: float
    stable: bool


@dataclass(frozen=True, eq=False)
class PhasePlane:
    """Mean-field rates of two neurons that inhibit each other.

    rates: of one neuron (Hz). response: the rate of the other, shape (rates,): the nullclines are
    (response, rates) for the first neuron and (rates, response) for the second. fixed_points: by
    the first rate.
    """

    current: float
    weight: float
    noise: float
    rates: Array
    response: Array
    fixed_points: tuple[FixedPoint, ...]

    @property
    def bistable(self) -> bool:
        """Whether there are two stable states at least: near the edge of the latch region that in
        which both fire alike can be stable beside those in which one is silent."""
        return sum(point.stable for point in self.fixed_points) >= 2

    def __str__(self) -> str:
        rows = [
            (f"{p.first:.1f}", f"{p.second:.1f}", "stable" if p.stable else "unstable")
            for p in self.fixed_points
        ]
        title = (
            f"Fixed points at {self.current / pA:g} pA, inhibition {self.weight / pA:g} pA, noise "
            f"{self.noise * 1e3:g} mV"
        )
        return table(title, ("first (Hz)", "second (Hz)", ""), rows)

    def plot(self, path: str | Path | None = None) -> "Figure":
        """Draw the nullclines and fixed points.

        path: write the figure there as well (.png, .pdf, .svg).
        """
        from neuroflip.analysis.figures import draw_phase_plane

        return draw_phase_plane(self, path)


def phase_plane(
    neuron: LIF, current: float, weight: float, *, noise: float = 0.0, points: int = 401
) -> PhasePlane:
    """Nullclines and fixed points of the mean-field rates of two neurons that inhibit each other.

        tau dr1/dt = -r1 + f(I - w tau_i r2)        tau dr2/dt = -r2 + f(I - w tau_i r1)

    f: `nf.circuits.firing_rate`, or with `noise` (sd of the potential, V) the rate in Gaussian
    white noise (`siegert_rate`). current: I (A). weight: w (A). A fixed point is stable where
    (w tau_i)^2 f'(.) f'(.) < 1, for the two currents there.

    Raises ValueError for a negative weight or noise, or fewer than 3 points.

    >>> [(round(p.first), round(p.second), p.stable)
    ...  for p in phase_plane(LIF(), 300*pA, 200*pA).fixed_points]
    [(0, 63, True), (29, 29, False), (63, 0, True)]
    """
    weight, noise = at_least_0(weight, "A", "weight"), at_least_0(noise, "V", "noise")
    if points < 3:
        raise ValueError(f"points must be at least 3; got {points!r}.")

    def rate(other: float) -> float:
        """The rate of a neuron while the other fires at `other`."""
        inward = current - weight * neuron.tau_i * other
        if noise == 0:
            return firing_rate(neuron, inward)
        mean = neuron.v_rest + neuron.resistance * inward
        return siegert_rate(
            mean, noise, neuron.tau_m, neuron.v_threshold, neuron.v_reset, neuron.refractory
        )

    rates = np.linspace(0, 1.05 * max(rate(0.0), 1e-9), points)
    response = np.array([rate(float(r)) for r in rates])

    def change(r: float) -> float:
        return rate(rate(r)) - r

    def slope(r: float) -> float:
        h = 1e-4 * float(rates[-1])
        return (rate(r + h) - rate(max(r - h, 0.0))) / (r + h - max(r - h, 0.0))

    found = []
    for root in _roots(change, rates):
        other = rate(root)
        found.append(FixedPoint(root, other, slope(root) * slope(other) < 1))
    return PhasePlane(current, weight, noise, rates, response, tuple(found))


def _roots(function: Callable[[float], float], grid: Array) -> list[float]:
    """The roots of a function between and at the points of a grid, by bisection."""
    values = [function(float(g)) for g in grid]
    found = [float(g) for g, v in zip(grid, values, strict=True) if v == 0]
    for i in range(grid.size - 1):
        if values[i] * values[i + 1] < 0:
            low, high = float(grid[i]), float(grid[i + 1])
            for _ in range(80):
                middle = (low + high) / 2
                low, high = (middle, high) if function(middle) * values[i] > 0 else (low, middle)
            found.append((low + high) / 2)
    return sorted(found)
