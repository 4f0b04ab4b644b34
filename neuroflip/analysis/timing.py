"""Circuits as logic: levels over time, the widths of pulses, and which widths act right."""

from collections import deque
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neuroflip.analysis.copies import bit_at, flips, side_by_side, spikes_for
from neuroflip.analysis.truth import behaviour_of, drive
from neuroflip.circuit import Array, Circuit, PoissonInput, SpikeInput
from neuroflip.circuits.behaviour import Behaviour, Bits
from neuroflip.circuits.logic import element_delay, level, spike_interval
from neuroflip.errors import nearest
from neuroflip.recording import Recording
from neuroflip.simulation import simulate
from neuroflip.tables import table
from neuroflip.units import as_array, as_float, ms

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Signal:
    """A logic level over time. pulses: (start, stop) in s of every stretch of 1.

    kind: "input", "neuron" or "bit".
    """

    name: str
    kind: str
    pulses: tuple[tuple[float, float], ...]

    @property
    def widths(self) -> list[float]:
        """Widths of the pulses (s)."""
        return [stop - start for start, stop in self.pulses]


@dataclass(frozen=True)
class TimingDiagram:
    """The signals of a run as logic levels. delay: element delay (s), None where there is none."""

    circuit: str
    duration: float
    delay: float | None
    signals: tuple[Signal, ...]

    def __getitem__(self, name: str) -> Signal:
        for signal in self.signals:
            if signal.name == name:
                return signal
        raise KeyError(f"no signal {name!r}; {nearest(name, [s.name for s in self.signals])}")

    def __str__(self) -> str:
        d = self.delay
        rows = [
            (
                signal.name,
                signal.kind,
                f"{start / ms:.1f}",
                f"{stop / ms:.1f}" + (" (end)" if stop >= self.duration else ""),
                f"{(stop - start) / ms:.1f}",
                f"{(stop - start) / d:.2f}" if d else "",
            )
            for signal in self.signals
            for start, stop in signal.pulses
        ]
        head = ("signal", "", "rises (ms)", "falls (ms)", "width (ms)", "width (element delays)")
        return table(f"{self.circuit}: pulses", head, rows)

    def plot(self, path: str | Path | None = None) -> "Figure":
        """Draw the levels above each other, with the widths of the pulses.

        path: write the figure there as well (.png, .pdf, .svg).
        """
        from neuroflip.analysis.figures import draw_timing

        return draw_timing(self, path)


def timing_diagram(
    recording: Recording,
    *,
    trial: int = 0,
    neurons: Sequence[str] = (),
    interval: float | None = None,
) -> TimingDiagram:
    """Inputs, neurons and decoded bits of a recording as logic levels over time.

    Spikes stand for 1 as long as each follows the one before within 1.5 intervals, and for one
    interval after the last. Bits are decoded by their readouts.

    neurons: populations that are shown too. interval (s): None takes that between the spikes of an
    active logic neuron, or, for other circuits, the window of the first readout.

    Raises ValueError for an unknown population or trial.

    >>> import neuroflip as nf
    >>> circuit = nf.circuits.not_gate()
    >>> ones = nf.circuits.level(nf.circuits.spike_interval(4*ms), (20*ms, 60*ms))
    >>> found = timing_diagram(nf.simulate(circuit, {"A": ones}, duration=100*ms))
    >>> [round(width/ms) for width in found["Q"].widths]
    [25, 36]
    """
    circuit = recording.circuit
    delay = delay_of(circuit)
    if interval is None:
        if delay is not None:
            interval = spike_interval(delay)
        else:
            interval = circuit.readouts[0].window if circuit.readouts else 50 * ms
    interval = as_float(interval, "s", "interval")
    recording._known_trial(trial)
    end = recording.duration
    signals = []
    for item in circuit.inputs:
        if isinstance(item, (SpikeInput, PoissonInput)):
            steps, _ = recording.drives[trial].events[item.name]
            sent: Array = steps * np.float64(recording.dt)
            signals.append(Signal(item.name, "input", _pulses(sent, interval, end)))
    for name in neurons:
        trains = recording.trains(name, trial)
        times = np.sort(np.concatenate(trains))
        signals.append(Signal(name, "neuron", _pulses(times, interval, end)))
    for readout in circuit.readouts:
        changes = flips(recording, readout.name, trial=trial)[0]
        edges = np.append(changes * recording.dt, [end] * (changes.size % 2))
        pulses = tuple((float(a), float(b)) for a, b in edges.reshape(-1, 2))
        signals.append(Signal(readout.name, "bit", pulses))
    return TimingDiagram(circuit.name, end, delay, tuple(signals))


def delay_of(circuit: Circuit) -> float | None:
    """The element delay (s) of a circuit of logic neurons; None of others."""
    try:
        return element_delay(circuit)
    except ValueError:
        return None


def _pulses(times: Array, interval: float, end: float) -> tuple[tuple[float, float], ...]:
    """The stretches for which spikes of this interval stand for 1."""
    if times.size == 0:
        return ()
    breaks = np.flatnonzero(np.diff(times) > 1.5 * interval)
    starts = times[np.append(0, breaks + 1)]
    stops = np.minimum(times[np.append(breaks, times.size - 1)] + interval, end)
    return tuple((float(a), float(b)) for a, b in zip(starts, stops, strict=True))


@dataclass(frozen=True, eq=False)
class PulseWidths:
    """Which pulse widths act right, for every state and row of inputs.

    varied: the inputs whose pulses were made wider. widths: in element delays, shape (widths,).
    cases: (state before, inputs). right: shape (cases, widths).
    """

    circuit: str
    delay: float
    varied: tuple[str, ...]
    widths: Array
    cases: tuple[tuple[Hashable, Bits], ...]
    right: Any

    @property
    def all_right(self) -> Any:
        """Whether every case is right, for each width."""
        return self.right.all(axis=0)

    def window(self) -> tuple[float, float]:
        """The longest stretch of widths, in element delays, at which every case is right.

        NaN where there is none.
        """
        best = (0, 0)
        start = 0
        for i, good in enumerate([*self.all_right, False]):
            if not good:
                best = max(best, (start, i), key=lambda b: b[1] - b[0])
                start = i + 1
        if best[0] == best[1]:
            return float("nan"), float("nan")
        return float(self.widths[best[0]]), float(self.widths[best[1] - 1])

    def __str__(self) -> str:
        rows = [
            (
                state,
                " ".join(f"{name}={bit}" for name, bit in row.items()),
                _ranges(self.widths, right),
            )
            for (state, row), right in zip(self.cases, self.right, strict=True)
        ]
        low, high = self.window()
        title = (
            f"{self.circuit}: widths of the pulse at {' and '.join(self.varied)} that act right, "
            f"of {self.widths.size} from {self.widths[0]:g} to {self.widths[-1]:g} element delays"
        )
        text = table(title, ("state", "inputs", "right at (element delays)"), rows)
        return f"{text}\n\nall right from {low:g} to {high:g} element delays"

    def plot(self, path: str | Path | None = None) -> "Figure":
        """Draw which case is right at which width.

        path: write the figure there as well (.png, .pdf, .svg).
        """
        from neuroflip.analysis.figures import draw_pulse_widths

        return draw_pulse_widths(self, path)


def _ranges(widths: Array, right: Any) -> str:
    """The widths at which something is right, in words."""
    parts = []
    start = None
    for i, good in enumerate([*right, False]):
        if good and start is None:
            start = i
        if not good and start is not None:
            a, b = widths[start], widths[i - 1]
            parts.append(f"{a:g}" if a == b else f"{a:g} to {b:g}")
            start = None
    return ", ".join(parts) or "none"


def pulse_width_curve(
    circuit: Circuit,
    widths: Sequence[float] | Array,
    *,
    behaviour: Behaviour | None = None,
    varied: Sequence[str] | None = None,
    dt: float = 0.1 * ms,
    engine: str = "numba",
    **options: Any,
) -> PulseWidths:
    """Try every row of inputs, from every state, with input pulses of every width.

    Each state is reached with the behaviour's own pulses; then come pulses of the width that is
    tried, and after them as long a time to settle as the behaviour leaves before it reads. A case
    is right where the outputs are, throughout the second half of that time: an output that
    oscillates is not. All cases and widths run side by side in one circuit.

    circuit: of logic neurons. widths: in element delays.
    varied: the inputs that get the width; None takes those that come on last in the behaviour: J
        and K of `jk_flip_flop`, the clock of the edge-triggered ones. Other inputs end as much
        later as these do.

    Raises ValueError for a circuit of other neurons, widths not above 0, an unknown input.

    >>> import neuroflip as nf
    >>> found = pulse_width_curve(nf.circuits.jk_flip_flop(), [1, 3, 8])
    >>> found.all_right.tolist()
    [False, True, False]
    """
    d = element_delay(circuit)
    values = as_array(widths, "1", "widths")
    if values.ndim != 1 or values.size == 0 or values.min() <= 0:
        raise ValueError(f"widths must be a list of element delays above 0; got {widths!r}.")
    machine = behaviour_of(circuit) if behaviour is None else behaviour
    names = tuple(machine.on)
    if varied is None:
        last = max(start for start, _ in machine.on.values())
        varied = [name for name, (start, _) in machine.on.items() if start == last]
    for name in varied:
        if name not in names:
            raise ValueError(f"varied: there is no input {name!r}; {nearest(name, names)}")
    cases = _cases(machine)
    settle = machine.read - max(stop for _, stop in machine.on.values())
    inputs, reads = [], []
    for _, row, path in cases:
        given = drive(machine, path)
        begin = (len(path) + 1) * machine.period
        for width in values:
            on = _widened(machine, varied, float(width) * d)
            pulses = {
                name: level(machine.interval, (begin + on[name][0], begin + on[name][1]))
                for name, one in row.items()
                if one
            }
            inputs.append({n: [*given[n], *pulses.get(n, [])] for n in names})
            reads.append(begin + max(stop for _, stop in on.values()) + settle)
    steps = int(np.ceil(max(reads) / dt)) + 1
    many = len(inputs)
    recording = simulate(
        side_by_side([circuit] * many), spikes_for(circuit, inputs),
        duration=steps * dt, dt=dt, engine=engine, **options,
    )  # fmt: skip
    right = np.ones(many, bool)
    for name in machine.outputs:
        changes = flips(recording, name, many)
        for i, (state, row, _) in enumerate(case for case in cases for _ in values):
            expected = machine.step(state, row)[1][name]
            at = np.arange(round((reads[i] - settle / 2) / dt), round(reads[i] / dt))
            right[i] &= bool(np.all(bit_at(changes[i], at) == expected))
    return PulseWidths(
        circuit.name, d, tuple(varied), values, tuple((s, r) for s, r, _ in cases),
        right.reshape(len(cases), values.size),
    )  # fmt: skip


def _cases(machine: Behaviour) -> list[tuple[Hashable, Bits, list[Bits]]]:
    """Every state that can be reached, with every row that has an input on, and the way there."""
    ways: dict[Hashable, list[Bits]] = {machine.start: []}
    queue = deque([machine.start])
    while queue and len(ways) < 64:
        state = queue.popleft()
        for row in machine.rows():
            after = machine.step(state, row)[0]
            if after not in ways:
                ways[after] = [*ways[state], row]
                queue.append(after)
    return [
        (state, row, path)
        for state, path in ways.items()
        for row in machine.rows()
        if any(row.values())
    ]


def _widened(
    machine: Behaviour, varied: Sequence[str], width: float
) -> dict[str, tuple[float, float]]:
    """When each input is on, the varied ones for `width` (s)."""
    start, stop = max(machine.on[name] for name in varied)
    later = width - (stop - start)
    return {
        name: (a, a + width if name in varied else b + later) for name, (a, b) in machine.on.items()
    }
