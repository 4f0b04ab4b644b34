"""What Yoder predicts of a memory made of activity alone, tried on a circuit.

Yoder 2024 (PLoS ONE 19:e0300534) and "Neural flip-flops III" (bioRxiv 2020.11.29.403154):
complementary outputs, of which the high one falls before the low one rises; a memory that lasts as
long as its tonic drive is not interrupted, without a change of any synapse; errors that are bits
never set or lost too early.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neuroflip.analysis.copies import bit_at, flips, noisy, side_by_side, spikes_for, with_currents
from neuroflip.analysis.holding import hold
from neuroflip.analysis.retention import Retention, retention
from neuroflip.analysis.statistics import proportion_interval
from neuroflip.analysis.truth import behaviour_of, drive, program
from neuroflip.circuit import Array, Circuit, Index, Readout
from neuroflip.circuits.arguments import at_least_0, count
from neuroflip.circuits.behaviour import Behaviour
from neuroflip.circuits.logic import element_delay
from neuroflip.rules import PairSTDP, Rule, none
from neuroflip.simulation import simulate
from neuroflip.tables import table
from neuroflip.units import as_array, ms, mV

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False)
class Transitions:
    """What the two output neurons did while a random program set, reset and held.

    gap: for each change of the bit, from the last spike of the neuron that fell to the first
    spike of the one that rose (s); negative where they overlapped. rises: whether the bit rose.
    high, low: spikes, in windows of the readout within every cycle, of the neuron that should be
    high and of the one that should be low. right: cycles that were read right, of `cycles`.
    delay: element delay of the circuit (s), NaN where it has none.
    """

    gap: Array
    rises: Any
    high: Index
    low: Index
    window: float
    cycles: int
    right: int
    delay: float

    @property
    def complementary(self) -> float:
        """The fraction of windows in which just the one that should be high fired."""
        return float(np.mean((self.high > 0) & (self.low == 0)))

    @property
    def falls_first(self) -> float:
        """The fraction of changes in which the high one fell before the low one rose."""
        return float(np.mean(self.gap > 0)) if self.gap.size else float("nan")

    @property
    def d_prime(self) -> float:
        """(mean high - mean low)/sqrt((var high + var low)/2) of the windows' spike counts."""
        spread = np.sqrt((self.high.var() + self.low.var()) / 2)
        with np.errstate(divide="ignore", invalid="ignore"):
            return float((self.high.mean() - self.low.mean()) / spread)

    def rates(self) -> tuple[float, float]:
        """Mean rates (Hz) of the high and of the low output."""
        return float(self.high.mean() / self.window), float(self.low.mean() / self.window)


def transitions(
    circuit: Circuit,
    *,
    cycles: int = 100,
    noise: float = 0.0,
    readout: str | None = None,
    behaviour: Behaviour | None = None,
    seed: int = 0,
    dt: float = 0.1 * ms,
    engine: str = "numba",
) -> Transitions:
    """Run a random program of `cycles` rows and look at the two output neurons.

    noise: sd of the membrane noise (V). Windows are of the second half of a cycle, up to where it
    is read. Raises ValueError for a readout without a complement.

    >>> import neuroflip as nf
    >>> found = transitions(nf.circuits.jk_flip_flop(), cycles=30)
    >>> found.complementary, found.falls_first
    (1.0, 1.0)
    """
    machine = behaviour_of(circuit) if behaviour is None else behaviour
    chosen = _complemented(circuit, machine, readout)
    rows = program(machine, count(cycles, "cycles"), seed)[0]
    steps = int(np.ceil((len(rows) + 2) * machine.period / dt))
    recording = simulate(
        noisy(circuit, noise), drive(machine, rows), duration=steps * dt, dt=dt, seed=seed,
        engine=engine,
    )  # fmt: skip
    times = {1: recording.spikes[chosen.high], 0: recording.spikes[str(chosen.low)]}
    bits = recording.bit(chosen.name)[1]
    gap, rises, counts = [], [], []
    windows = max(1, int((machine.read - machine.period / 2) / chosen.window))
    right = 0
    state, bit = machine.start, _starts(machine, chosen.name)
    for n, row in enumerate(rows):
        begin = (n + 1) * machine.period
        read = begin + machine.read
        state, outputs = machine.step(state, row)
        after = int(outputs[chosen.name])
        right += bits[round(read / dt)] == after
        edges = read - np.arange(windows, -1, -1) * chosen.window
        counts.append([np.histogram(times[b], edges)[0] for b in (after, 1 - after)])
        if after != bit:
            fell = times[bit][times[bit] < read]  # its last spike may be before the pulse
            rose = times[after][(times[after] >= begin) & (times[after] < read)]
            if fell.size and rose.size:
                gap.append(rose[0] - fell[-1])
                rises.append(after == 1)
        bit = after
    high, low = np.concatenate(counts, axis=1)
    return Transitions(
        np.array(gap), np.array(rises, bool), high, low, chosen.window, len(rows), int(right),
        _element_delay(circuit),
    )  # fmt: skip


def _complemented(circuit: Circuit, machine: Behaviour, readout: str | None) -> Readout:
    name = machine.outputs[0] if readout is None else readout
    for chosen in circuit.readouts:
        if chosen.name == name and chosen.low is not None:
            return chosen
    raise ValueError(f"circuit {circuit.name!r} has no readout {name!r} with a complement.")


def _starts(machine: Behaviour, readout: str) -> int:
    return int(machine.step(machine.start, dict.fromkeys(machine.on, 0))[1][readout])


def _element_delay(circuit: Circuit) -> float:
    try:
        return element_delay(circuit)
    except ValueError:
        return float("nan")


@dataclass(frozen=True, eq=False)
class Interrupted:
    """How often a bit was still right after its tonic drive had been taken away.

    lengths: of the interruption (s), shape (lengths,). right: trials, shape (2, lengths), of the
    bits 0 and 1; of `trials` each. Where the memory is destroyed, the circuit comes up with either
    bit, whatever was held: then the two fractions add up to 1.
    """

    lengths: Array
    right: Index
    trials: int

    def remembered(self) -> tuple[Array, Array]:
        """(fraction right for 0) + (fraction right for 1) - 1, and its standard error.

        1: everything is remembered; 0: what comes does not depend on what was held.
        """
        p = self.right / self.trials
        kept: Array = p.sum(axis=0) - 1
        return kept, np.sqrt((p * (1 - p)).sum(axis=0) / self.trials)

    def interval(self) -> tuple[Array, Array]:
        """The ends of the 95 % intervals of the fractions right, each (2, lengths)."""
        return proportion_interval(self.right, self.trials)


def interrupted_drive(
    circuit: Circuit,
    lengths: Sequence[float] | Array,
    *,
    noise: float = 1 * mV,
    trials: int = 50,
    readout: str | None = None,
    behaviour: Behaviour | None = None,
    seed: int = 0,
    dt: float = 0.1 * ms,
    engine: str = "numba",
    **options: Any,
) -> Interrupted:
    """Cancel every tonic drive for a while by an opposite current, and read the bit afterwards.

    lengths: how long (s). noise: sd of the membrane noise (V), without which the tie that the
    circuit comes up in would be decided by rounding. trials: for each length and bit.

    Raises ValueError for a circuit without a driven neuron, and as `retention` does.

    >>> import neuroflip as nf
    >>> found = interrupted_drive(nf.circuits.sr_latch(), [0, 0.5], trials=20)
    >>> found.remembered()[0].round(1)[0]
    np.float64(1.0)
    """
    lengths = as_array(lengths, "s", "lengths")
    if lengths.ndim != 1 or lengths.size == 0 or lengths.min() < 0:
        raise ValueError(f"lengths must be a list of times, at least 0 s; got {lengths!r}.")
    driven = {
        p.name: float(p.neuron.parameters()["drive"])
        for p in circuit.populations
        if p.neuron.parameters().get("drive")
    }
    if not driven:
        raise ValueError(f"circuit {circuit.name!r} has no neuron with a tonic drive.")
    machine = behaviour_of(circuit) if behaviour is None else behaviour
    group = side_by_side([with_currents(noisy(circuit, noise), list(driven))] * trials)
    right = np.zeros((2, lengths.size), np.int64)
    for bit in (0, 1):
        way = hold(circuit, bit, readout, machine)
        given: dict[str, Any] = dict(spikes_for(circuit, [way.inputs] * trials))
        for i, length in enumerate(lengths):
            read = round((way.ends + length + machine.read) / dt)
            if round(length / dt) > 0:
                for name, current in driven.items():
                    given[f"current of {name}"] = [(way.ends, way.ends + float(length), -current)]
            recording = simulate(
                group, given, duration=(read + 1) * dt, dt=dt, engine=engine,
                seed=int(np.random.default_rng([seed, bit, i]).integers(2**62)), **options,
            )  # fmt: skip
            right[bit, i] = sum(
                bit_at(c, read) == bit for c in flips(recording, way.readout, trials)
            )
    return Interrupted(lengths, right, trials)


@dataclass(frozen=True)
class HeldWeights:
    """Whether weights stayed the same, bit by bit, while a bit was held.

    rule: the rule on every projection. unchanged: whether every sample of every weight had the
    same bytes as the first. samples: weights times times looked at. held: whether the bit was.
    spikes: how many were sent meanwhile. same_spikes: whether they are those of the plain circuit.
    """

    rule: str
    unchanged: bool
    samples: int
    held: bool
    spikes: int
    same_spikes: bool


def held_weights(
    circuit: Circuit,
    rule: Rule | None = None,
    *,
    duration: float = 10.0,
    bit: int = 1,
    behaviour: Behaviour | None = None,
    every: float = 50 * ms,
    dt: float = 0.1 * ms,
    engine: str = "numba",
) -> HeldWeights:
    """Hold a bit and watch every weight.

    rule: put on every projection, so that the engine carries the weights as things that may
    change; None takes a `PairSTDP` with amplitudes of 0. `rules.none` leaves the circuit as it is,
    and compares the arrays that the engines are given before and after. duration: of the hold (s).
    every: interval of the samples (s).

    >>> import neuroflip as nf
    >>> found = held_weights(nf.circuits.sr_latch(), duration=1.0)
    >>> found.unchanged, found.held, found.same_spikes
    (True, True, True)
    >>> held_weights(nf.circuits.sr_latch(), nf.rules.PairSTDP(w_max=1e-8), duration=1.0).unchanged
    False
    """
    way = hold(circuit, bit, behaviour=behaviour)
    largest = max(float(p.weight.max(initial=0)) for p in circuit.projections)
    chosen = PairSTDP(a_plus=0.0, a_minus=0.0, w_max=2 * largest) if rule is None else rule
    plastic = dataclasses.replace(
        circuit, projections=[dataclasses.replace(p, rule=chosen) for p in circuit.projections]
    )
    names = [p.name for p in plastic.projections if p.rule.plastic]
    steps = int(np.ceil((way.ends + duration) / dt))
    settings: dict[str, Any] = {"duration": steps * dt, "dt": dt, "engine": engine}
    before = _weights(plastic)
    recording = simulate(plastic, way.inputs, record=names, record_every=every, **settings)
    plain = simulate(circuit, way.inputs, **settings)
    histories = [recording.weight_history[name] for name in names] or [
        np.stack([before, _weights(plastic)])
    ]
    changes = flips(recording, way.readout)[0]
    changes = changes[changes < steps]
    return HeldWeights(
        "none" if chosen == none else type(chosen).__name__,
        all(row.tobytes() == history[0].tobytes() for history in histories for row in history),
        sum(history.size for history in histories),
        bool(bit_at(changes, steps - 1) == bit and np.all(changes <= round(way.ends / dt))),
        sum(times.size for times in recording.spikes.values()),
        all(
            np.array_equal(recording.spikes[name], plain.spikes[name])
            and np.array_equal(recording.neurons[name], plain.neurons[name])
            for name in plain.spikes
        ),
    )


def _weights(circuit: Circuit) -> Array:
    return np.concatenate([circuit.synapses(p).weight for p in circuit.projections])


@dataclass(frozen=True)
class Finding:
    """A prediction, whether it was borne out, and what was measured."""

    prediction: str
    ok: bool
    measured: str


@dataclass(frozen=True, eq=False)
class Predictions:
    """What `predictions` found, and what it was found from."""

    circuit: str
    findings: tuple[Finding, ...]
    transitions: Transitions
    interrupted: Interrupted
    retention: Retention
    weights: tuple[HeldWeights, ...]

    @property
    def ok(self) -> bool:
        """Whether every prediction was borne out."""
        return all(finding.ok for finding in self.findings)

    def __str__(self) -> str:
        rows = [(f.prediction, "yes" if f.ok else "NO", f.measured) for f in self.findings]
        return table(f"{self.circuit}: Yoder's predictions", ("prediction", "", "measured"), rows)

    def to_json(self) -> dict[str, Any]:
        """The findings as plain data."""
        return {
            "circuit": self.circuit,
            "ok": self.ok,
            "findings": [dataclasses.asdict(finding) for finding in self.findings],
        }

    def plot(self, path: str | Path | None = None) -> "Figure":
        """Draw gaps of transitions, rates, interrupted drives and error trials.

        path: write the figure there as well (.png, .pdf, .svg).
        """
        from neuroflip.analysis.figures import draw_predictions

        return draw_predictions(self, path)


def predictions(
    circuit: Circuit,
    *,
    noise: float = 1 * mV,
    error_noise: Sequence[float] = (2 * mV, 4 * mV, 8 * mV, 16 * mV),
    lengths: Sequence[float] | Array | None = None,
    cycles: int = 60,
    trials: int = 50,
    duration: float = 10.0,
    seed: int = 0,
    **options: Any,
) -> Predictions:
    """Try Yoder's predictions on a circuit of the library with complementary outputs.

    noise: sd of the membrane noise (V) in transitions and interruptions. error_noise: sds (V) at
    which trials go wrong. lengths: of interruptions of the drive (s); None takes 0 to 20 windows
    of the readout. duration: of the holds without noise (s); with noise, a tenth of it.
    cycles: of the random program. trials: of each of the others. options: those of the numba
    engine.

    Raises ValueError for a circuit without complementary outputs or drive.
    """
    at_least_0(noise, "V", "noise")
    moves = transitions(circuit, cycles=cycles, noise=noise, seed=seed)
    if lengths is None:
        lengths = moves.window * np.array([0.0, 0.5, 1, 2, 4, 8, 20])
    gone = interrupted_drive(circuit, lengths, noise=noise, trials=trials, seed=seed, **options)
    still = retention(circuit, [0.0], duration, trials=1)
    wrong = retention(circuit, error_noise, duration / 10, trials=trials, seed=seed, **options)
    weights = (
        held_weights(circuit, none, duration=duration),
        held_weights(circuit, duration=duration),
    )
    return Predictions(
        circuit.name, _findings(moves, gone, still, wrong, weights), moves, gone, wrong, weights
    )


def _findings(
    moves: Transitions,
    gone: Interrupted,
    still: Retention,
    wrong: Retention,
    weights: tuple[HeldWeights, ...],
) -> tuple[Finding, ...]:
    many = moves.gap.size > 1
    gap, spread = (moves.gap.mean() / ms, moves.gap.std(ddof=1) / ms) if many else (np.nan, np.nan)
    how = f"by {gap:.2f} ± {spread:.2f} ms (sd of {moves.gap.size} changes)"
    if np.isfinite(moves.delay):
        how += f", {gap * ms / moves.delay:.2f} ± {spread * ms / moves.delay:.2f} element delays"
    high, low = moves.rates()
    kept, error = gone.remembered()
    last = float(gone.lengths[-1])
    failed, lost = wrong.errors()
    return (
        Finding(
            "the outputs are complementary",
            moves.complementary > 0.95,
            f"just one fires in {100 * moves.complementary:.1f} % of windows; "
            f"{high:.0f} and {low:.1f} Hz, d' = {moves.d_prime:.1f}",
        ),
        Finding(
            "the high one falls before the low one rises",
            moves.falls_first == 1.0,  # not where nothing changed, which is NaN
            f"in {100 * moves.falls_first:.0f} %, {how}",
        ),
        Finding(
            "an interrupted drive destroys the memory",
            bool(kept[0] > 0.9 and abs(kept[-1]) < max(0.2, 3 * error[-1])),
            f"remembered {kept[0]:.2f} without, {kept[-1]:.2f} ± {error[-1]:.2f} after {last:g} s",
        ),
        Finding(
            "without noise the bit is held",
            int(still.losses[0]) == 0 and int(still.failed[0]) == 0,
            f"for {still.duration:g} s",
        ),
        Finding(
            "error trials are bits never set or lost early",
            bool(np.all(np.diff(failed + lost) >= -0.1) and (failed + lost)[-1] > 0.1),
            "; ".join(
                f"{sd / mV:g} mV: {100 * f:.0f} % never set, {100 * p:.0f} % lost"
                for sd, f, p in zip(wrong.sds, failed, lost, strict=True)
            ),
        ),
        Finding(
            "no synapse changes in a hold",
            all(w.unchanged and w.held and w.same_spikes for w in weights),
            "; ".join(
                f"{w.rule}: {w.samples} samples of weights, "
                + ("all of the same bytes" if w.unchanged else "NOT the same")
                for w in weights
            ),
        ),
    )  # fmt: skip
