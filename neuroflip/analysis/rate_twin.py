"""The rate cell and the spiking JK flip-flop, given the same program of pulses.

One clock step of the rate cell (Kumari, Chandrasekaran & Chakravarthy 2023, Neural Comput. Appl.
35:24543) is one pulse of the circuit, long enough apart for it to come to rest:

    h' = J (1 - h) + (1 - K) h = h + J (1 - h) - K h

In the circuit the gating neuron G1 fires while J does and Q does not, G2 while K and Q do: their
spikes in a clock step are held against the terms J (1 - h) and K h.
"""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neuroflip.analysis.truth import behaviour_of, drive
from neuroflip.circuit import Array, Circuit, Index, NoiseInput
from neuroflip.circuits.behaviour import Behaviour
from neuroflip.recording import Recording
from neuroflip.simulation import simulate
from neuroflip.tables import table
from neuroflip.units import as_float, ms, mV

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GATES = {"G1": "J(1-h)", "G2": "K h"}
"""The gating neurons, and the terms of the rate cell that they stand for."""

_WINDOW = 5  # spike intervals over which the rate of Q is taken
_SHOWN = 40  # clock steps of the program that a figure shows
_TRANSITIONS = ((0, 0), (0, 1), (1, 0), (1, 1))


@dataclass(frozen=True, eq=False)
class RateTwin:
    """What `rate_twin` found, over `steps` clock steps.

    circuit, seed, noise (V), engine: what was run. J, K: the program, (steps,) of 0 and 1.
    h: the rate cell's state after each step. bits: the circuit's, decoded at the end of each.
    spikes: gating neuron -> its spikes in each step. terms: gating neuron -> J (1 - h) or K h,
        with the h before the step. correlations: gating neuron -> Pearson's r of the two; NaN
        where either never changes.
    phase (s), rate (Hz): the firing rate of Q, shape (steps, times in a step), over a trailing
        window of five spike intervals. held_rate (Hz): its mean while the rate cell holds a 1.
    lag, tau (s): of the rate cell in continuous time, from `lag` after the beginning of a step on

        tau dh/dt = j (1 - h) - k h

        its gates j, k being the terms J (1 - h), K h of the step, as the gating neurons give
        them. Fitted to rate/held_rate over the first half of the steps; the window is part of
        both. r2: share of the variance over the second half that this explains.
    """

    circuit: str
    seed: int
    noise: float
    engine: str
    J: Index
    K: Index
    h: Array
    bits: Index
    spikes: dict[str, Index]
    terms: dict[str, Array]
    correlations: dict[str, float]
    phase: Array
    rate: Array
    held_rate: float
    lag: float
    tau: float
    r2: float

    @property
    def steps(self) -> int:
        """How many clock steps were run."""
        return self.bits.size

    @property
    def agree(self) -> "np.ndarray[Any, np.dtype[np.bool_]]":
        """Whether the decoded bit is the rate cell's state, at each step."""
        same: np.ndarray[Any, np.dtype[np.bool_]] = np.rint(self.h) == self.bits
        return same

    @property
    def agreement(self) -> float:
        """Share of the steps at which they agree."""
        return float(self.agree.mean())

    @property
    def first_disagreement(self) -> int | None:
        """The first step at which they do not; None where there is none."""
        return None if self.agree.all() else int(np.argmin(self.agree))

    @property
    def ok(self) -> bool:
        """Whether they agree at every step."""
        return bool(self.agree.all())

    def normalised(self, gate: str) -> Array:
        """Spikes of a gating neuron in each step, in units of their mean where its term is 1."""
        on = self.terms[gate] > 0.5
        unit = float(self.spikes[gate][on].mean()) if on.any() else math.nan
        return self.spikes[gate] / (unit if unit > 0 else math.nan)

    def to_json(self) -> dict[str, Any]:
        """The results without the arrays, as JSON data; a number that is not finite is None."""

        def plain(value: float) -> float | None:
            return value if math.isfinite(value) else None

        return {
            "circuit": self.circuit,
            "seed": self.seed,
            "noise": self.noise,
            "engine": self.engine,
            "steps": self.steps,
            "ok": self.ok,
            "agreement": self.agreement,
            "first_disagreement": self.first_disagreement,
            "correlations": {gate: plain(r) for gate, r in self.correlations.items()},
            "r2": plain(self.r2),
            "lag": self.lag,
            "tau": self.tau,
            "held_rate": plain(self.held_rate),
        }

    def __str__(self) -> str:
        def counts(gate: str, on: bool) -> str:
            found = self.spikes[gate][(self.terms[gate] > 0.5) == on]
            return f"{found.mean():.3g} ({found.min()}-{found.max()})" if found.size else "-"

        where = "" if self.ok else f", first not at step {self.first_disagreement}"
        rows = [
            (gate, term, counts(gate, False), counts(gate, True), f"{self.correlations[gate]:.5f}")
            for gate, term in GATES.items()
        ]
        head = ("gate", "term", "spikes where it is 0", "where it is 1", "correlation")
        noise = f", noise of {self.noise / mV:g} mV" if self.noise else ""
        return "\n".join(
            [
                f"{self.circuit} and the rate cell{noise}: "
                f"{int(self.agree.sum())} of {self.steps} steps agree{where}",
                table("", head, rows),
                f"rate of Q by tau dh/dt = j(1-h) - k h: R2 {self.r2:.4f}, tau "
                f"{self.tau / ms:.3g} ms, lag {self.lag / ms:.3g} ms, 1 is {self.held_rate:.0f} Hz",
            ]
        )

    def plot(self, path: str | Path | None = None) -> "Figure":
        """Draw both over the first steps, the gating neurons against their terms, and the rate of
        Q with its fit. path: write the figure there as well (.png, .pdf, .svg).

        Raises ValueError for another suffix or a folder that does not exist.
        """
        return _draw(self, path)


@dataclass(frozen=True, eq=False)
class NoisyTwins:
    """What `noisy_twins` found. noise: standard deviations (V). agreement, correlations (gating
    neuron ->): arrays of shape (noise, seeds), as in `RateTwin`."""

    circuit: str
    steps: int
    noise: Array
    agreement: Array
    correlations: dict[str, Array]

    def __str__(self) -> str:
        def spread(values: Array) -> str:
            return f"{values.mean():.4f} ± {values.std(ddof=1):.4f}" if values.size > 1 else (
                f"{values[0]:.4f}"
            )  # fmt: skip

        rows = [
            (f"{sd / mV:g} mV", spread(self.agreement[i]), f"{self.agreement[i].min():.4f}")
            + tuple(spread(self.correlations[gate][i]) for gate in GATES)
            for i, sd in enumerate(self.noise)
        ]
        head = ("noise", "agreement", "lowest", *(f"r, {g} and {t}" for g, t in GATES.items()))
        seeds = self.agreement.shape[1]
        title = f"{self.circuit} and the rate cell: {self.steps} steps, {seeds} seeds (mean ± s.d.)"
        return table(title, head, rows)

    def plot(self, path: str | Path | None = None) -> "Figure":
        """Draw agreement and correlations against the noise. path: write it there as well."""
        from neuroflip.figures import COLOURS, _figure, _written, check_path

        if path is not None:
            check_path(path)
        figure = _figure(6.5, 4.2)
        axes = figure.add_subplot()
        curves = {"steps that agree": self.agreement} | {
            f"r, {gate} and {term}": self.correlations[gate] for gate, term in GATES.items()
        }
        for (label, values), colour, marker in zip(curves.items(), COLOURS, "os^", strict=False):
            mean = values.mean(axis=1)
            error = np.abs(np.stack([values.min(axis=1), values.max(axis=1)]) - mean)
            axes.errorbar(
                self.noise / mV, mean, error, fmt=f"{marker}-", color=colour, markersize=4,
                linewidth=1.2, capsize=2, label=label,
            )  # fmt: skip
        axes.set_title(f"{self.circuit} and the rate cell: mean, lowest, highest", fontsize=10)
        axes.set_xlabel("noise of the potential, s.d. (mV)")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
        return _written(figure, path)


def rate_twin(
    circuit: Circuit,
    behaviour: Behaviour | None = None,
    *,
    steps: int = 1000,
    seed: int = 0,
    noise: float = 0.0,
    dt: float = 0.1 * ms,
    engine: str = "numba",
) -> RateTwin:
    """Send a random program of set, reset, toggle and hold through the rate cell and a circuit.

    circuit: `jk_flip_flop`, `edge_triggered_jk`, `t_flip_flop`, `edge_triggered_t`, or one with
        their inputs (J and K, or T for both; any others are on in every step), the populations
        G1, G2 and Q, and the readout Q. The rate cell is a `nf.FlipFlopCell` with hard gates
        that are its inputs.
    behaviour: when its inputs are on and the bit is read; None takes the library's, by the
        circuit's name. steps: clock steps, at least 2, J and K each 0 or 1 with probability 1/2.
    seed: of the program, and of the noise. noise: standard deviation (V) of the membrane noise
        added to every population, see `nf.NoiseInput`.

    Raises ValueError for a circuit without these parts or of unknown behaviour, and for what
    `nf.simulate` refuses.

    >>> import neuroflip as nf
    >>> twin = rate_twin(nf.circuits.jk_flip_flop(), steps=50)
    >>> twin.agreement, twin.correlations["G1"] > 0.99
    (1.0, True)
    """
    machine = behaviour_of(circuit) if behaviour is None else behaviour
    _check(circuit, machine)
    for name, value, least in (("steps", steps, 2), ("seed", seed, 0)):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
            raise ValueError(f"{name} must be a whole number, at least {least}; got {value!r}.")
    noise, dt = as_float(noise, "V", "noise"), as_float(dt, "s", "dt")
    if noise < 0:
        raise ValueError(f"noise must be at least 0 V; got {noise!r}.")
    if dt <= 0:
        raise ValueError(f"dt must be above 0 s; got {dt!r}.")
    J, K = np.random.default_rng(seed).integers(0, 2, (2, int(steps)))
    if "T" in machine.on:
        K = J
    rows = [
        {
            name: int({"J": J, "K": K, "T": J}[name][n]) if name in "JKT" else 1
            for name in machine.on
        }
        for n in range(steps)
    ]
    run = circuit
    if noise:
        added = [NoiseInput(f"noise of {p.name}", p.name, noise) for p in circuit.populations]
        run = dataclasses.replace(circuit, inputs=[*circuit.inputs, *added])
    # Behind the last step, one interval more for what is under way
    length = math.ceil(((steps + 1) * machine.period + machine.interval) / dt)
    recording = simulate(
        run, drive(machine, rows), duration=length * dt, dt=dt, engine=engine, seed=seed
    )
    begins = np.rint(np.arange(1, steps + 2) * machine.period / dt).astype(np.int64)
    bits = recording.bit("Q")[1][np.rint(begins[:-1] + machine.read / dt).astype(np.int64)]
    h, terms = _rate_cell(J, K)
    spikes = {gate: np.diff(_fired(recording, gate, length)[begins]) for gate in GATES}
    phase, rate = _rate(recording, begins, machine, length)
    before = np.concatenate([[0.0], h[:-1]])
    change = np.stack([before, h], axis=1).astype(np.int64)
    held = float(rate[(change == 1).all(axis=1)].mean()) if (change == 1).all(axis=1).any() else 0.0
    lag, tau, r2 = _fit(phase, rate / held, change) if held > 0 else (math.nan,) * 3
    return RateTwin(
        circuit=circuit.name,
        seed=int(seed),
        noise=noise,
        engine=engine,
        J=J,
        K=K,
        h=h,
        bits=bits,
        spikes=spikes,
        terms=terms,
        correlations={gate: _correlation(spikes[gate], terms[gate]) for gate in GATES},
        phase=phase,
        rate=rate,
        held_rate=held,
        lag=lag,
        tau=tau,
        r2=r2,
    )


def noisy_twins(
    circuit: Circuit,
    noise: Sequence[float],
    *,
    seeds: int = 5,
    steps: int = 200,
    dt: float = 0.1 * ms,
    engine: str = "numba",
) -> NoisyTwins:
    """`rate_twin` at several noises (V), each with the seeds 0, 1, ... for program and noise.

    Raises ValueError for no noises, fewer than one seed, and what `rate_twin` refuses.

    >>> import neuroflip as nf
    >>> found = noisy_twins(nf.circuits.jk_flip_flop(), [0.0, 1e-3], seeds=2, steps=20)
    >>> found.agreement.shape, float(found.agreement[0].min())
    ((2, 2), 1.0)
    """
    if isinstance(seeds, bool) or not isinstance(seeds, int) or seeds < 1:
        raise ValueError(f"seeds must be a whole number, at least 1; got {seeds!r}.")
    sds = [as_float(sd, "V", "noise") for sd in noise]
    if not sds:
        raise ValueError("noise must name at least one standard deviation (V); got none.")
    twins = [
        [rate_twin(circuit, steps=steps, seed=s, noise=sd, dt=dt, engine=engine)
         for s in range(seeds)]
        for sd in sds
    ]  # fmt: skip
    return NoisyTwins(
        circuit.name,
        int(steps),
        np.array(sds),
        np.array([[twin.agreement for twin in row] for row in twins]),
        {g: np.array([[twin.correlations[g] for twin in row] for row in twins]) for g in GATES},
    )


def _check(circuit: Circuit, behaviour: Behaviour) -> None:
    populations = {p.name for p in circuit.populations}
    lines = set(behaviour.on)
    missing = [name for name in (*GATES, "Q") if name not in populations]
    missing += ["readout Q"] if all(r.name != "Q" for r in circuit.readouts) else []
    missing += [] if "T" in lines or {"J", "K"} <= lines else ["inputs J and K, or T"]
    if missing:
        raise ValueError(
            f"circuit {circuit.name!r} has no {', no '.join(missing)}: rate_twin takes a JK or T "
            "flip-flop whose gating neurons are called G1 and G2, like nf.circuits.jk_flip_flop()."
        )


def _rate_cell(J: Index, K: Index) -> tuple[Array, dict[str, Array]]:
    """The state after each step from h = 0, and the terms of each step."""
    import torch

    from neuroflip.rate import FlipFlopCell

    cell = FlipFlopCell(2, 1, bias="single", gate="hard", dtype=torch.float64)
    with torch.no_grad():
        # The hard gate is clip(z/4 + 1/2, 0, 1): z = 4 x - 2 makes it x
        cell.weight_ih.copy_(4 * torch.eye(2, dtype=torch.float64))
        cell.weight_hh.zero_()
        cell.get_parameter("bias_ih").fill_(-2.0)
        state = torch.zeros(1, dtype=torch.float64)
        states, set_terms, reset_terms = [], [], []
        for row in torch.from_numpy(np.stack([J, K], axis=1).astype(np.float64)):
            after, j, k = cell(row, state, return_gates=True)
            set_terms.append((j * (1 - state)).item())
            reset_terms.append((k * state).item())
            states.append(after.item())
            state = after
    return np.array(states), {"G1": np.array(set_terms), "G2": np.array(reset_terms)}


def _fired(recording: Recording, population: str, length: int) -> Index:
    """How many spikes a population has sent before each step of the run, and at its end."""
    at = np.rint(recording.spikes[population] / recording.dt).astype(np.int64)
    return np.concatenate([[0], np.cumsum(np.bincount(at, minlength=length))])


def _rate(
    recording: Recording, begins: Index, behaviour: Behaviour, length: int
) -> tuple[Array, Array]:
    """Times since the beginning of a clock step (s), and the rate (Hz) of Q there."""
    dt = recording.dt
    every = max(1, round(behaviour.interval / dt))
    window = max(1, round(_WINDOW * behaviour.interval / dt))
    offsets = np.arange(0, round(behaviour.period / dt), every)
    ends = begins[:-1, None] + offsets
    fired = _fired(recording, "Q", length)
    size = recording.circuit.population("Q").size
    recent = fired[ends] - fired[np.maximum(ends - window, 0)]
    rate: Array = recent / (window * dt * size)
    return (offsets * dt).astype(np.float64), rate


def _relaxed(
    phase: Array, lag: Array | float, tau: Array | float, change: tuple[int, int]
) -> Array:
    """The state at `phase` of a step that takes it from change[0] to change[1]: the solution of
    tau dh/dt = j (1 - h) - k h, of whose gates only the one that changes the state is open."""
    start, end = change
    left: Array = np.exp(-np.maximum(phase - lag, 0) / tau)
    return end + (start - end) * left


def _fit(phase: Array, rate: Array, change: Index) -> tuple[float, float, float]:
    """lag, tau, by least squares over the first half of the steps, and R2 over the second."""
    half = len(rate) // 2
    kinds = [(kind, (change == kind).all(axis=1)) for kind in _TRANSITIONS]
    # What varies among steps of one kind is the same for every lag and tau
    means = [
        (kind, int(mine[:half].sum()), rate[:half][mine[:half]].mean(axis=0))
        for kind, mine in kinds
        if mine[:half].any()
    ]
    lags, taus = np.linspace(0, phase[-1], 64), np.geomspace(phase[1] / 10, phase[-1], 64)
    for _ in range(6):
        lag_grid, tau_grid = (g[..., None] for g in np.meshgrid(lags, taus, indexing="ij"))
        error = sum(
            n * ((_relaxed(phase, lag_grid, tau_grid, kind) - mean) ** 2).sum(axis=-1)
            for kind, n, mean in means
        )
        i, j = np.unravel_index(np.argmin(error), (lags.size, taus.size))
        lag, tau = float(lags[i]), float(taus[j])
        wide, ratio = lags[1] - lags[0], taus[1] / taus[0]
        lags = np.linspace(max(lag - 2 * wide, 0), lag + 2 * wide, 33)
        taus = np.geomspace(tau / ratio**2, tau * ratio**2, 33)
    predicted = np.empty_like(rate)
    for kind, mine in kinds:
        predicted[mine] = _relaxed(phase, lag, tau, kind)
    rest = rate[half:]
    total = float(((rest - rest.mean()) ** 2).sum())
    residual = float(((rest - predicted[half:]) ** 2).sum())
    return lag, tau, 1 - residual / total if total > 0 else math.nan


def _correlation(a: Index, b: Array) -> float:
    """Pearson's r; NaN where either is constant."""
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return math.nan
    return float(np.corrcoef(a, b)[0, 1])


def _draw(twin: RateTwin, path: str | Path | None) -> "Figure":
    from neuroflip.figures import COLOURS, _figure, _written, check_path

    if path is not None:
        check_path(path)
    figure = _figure(10, 7.2)
    figure.suptitle(
        f"{twin.circuit} and the rate cell: {int(twin.agree.sum())} of {twin.steps} steps agree",
        fontsize=11,
    )
    panels = figure.subplot_mosaic(
        [["bits"] * 6, ["G1"] * 6, ["G2"] * 6, ["s1", "s1", "s2", "s2", "fit", "fit"]],
        height_ratios=[1.2, 1, 1, 2.4],
    )
    spiking, rate_colour = COLOURS[1], COLOURS[0]
    steps = np.arange(min(twin.steps, _SHOWN))

    def finish(axes: "Axes", label: str) -> None:
        axes.set_ylabel(label, fontsize=9)
        axes.tick_params(labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))

    axes = panels["bits"]
    axes.step(steps, twin.h[steps], where="mid", color=rate_colour, label="h, rate cell")
    axes.plot(steps, twin.bits[steps], "x", color=spiking, markersize=5, label="Q, decoded")
    for line, level in (("J", 1.6), ("K", 2.2)):
        on = steps[getattr(twin, line)[steps] == 1]
        axes.plot(on, np.full(on.size, level), "|", color="black", markersize=7)
    axes.set_yticks([0, 1, 1.6, 2.2], ["0", "1", "J", "K"])
    axes.set_ylim(-0.3, 2.6)
    axes.tick_params(labelbottom=False)
    finish(axes, "bit, inputs")
    for gate, term in GATES.items():
        axes = panels[gate]
        axes.sharex(panels["bits"])
        axes.bar(steps, twin.terms[gate][steps], color=rate_colour, alpha=0.35, label=term)
        axes.plot(
            steps, twin.normalised(gate)[steps], "o", color=spiking, markersize=3.5,
            label=f"spikes of {gate}",
        )  # fmt: skip
        axes.set_ylim(bottom=-0.1)
        finish(axes, gate)
    panels["G1"].tick_params(labelbottom=False)
    panels["G2"].set_xlabel(f"clock step (the first {steps.size})", fontsize=9)
    jitter = np.random.default_rng(0).uniform(-0.06, 0.06, twin.steps)
    for name, (gate, term) in zip(("s1", "s2"), GATES.items(), strict=True):
        axes = panels[name]
        axes.plot([0, 1], [0, 1], color="0.6", linewidth=0.8)
        axes.plot(
            twin.terms[gate] + jitter, twin.normalised(gate), "o", color=spiking, markersize=3,
            alpha=0.4,
        )  # fmt: skip
        axes.set_title(f"{gate}: r = {twin.correlations[gate]:.4f}", fontsize=9)
        axes.set_xlabel(f"{term} (spread sideways)", fontsize=9)
        axes.set_ylabel(f"spikes of {gate}, normalised", fontsize=9)
        axes.tick_params(labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    _draw_fit(panels["fit"], twin, COLOURS)
    return _written(figure, path)


def _draw_fit(axes: "Axes", twin: RateTwin, colours: Sequence[str]) -> None:
    change = np.stack([np.concatenate([[0.0], twin.h[:-1]]), twin.h], axis=1)
    for kind, colour in zip(_TRANSITIONS, (colours[0], colours[2], colours[3], colours[1]),
                            strict=True):  # fmt: skip
        mine = (change == kind).all(axis=1)
        if not mine.any() or not twin.held_rate > 0:
            continue
        mean = twin.rate[mine].mean(axis=0) / twin.held_rate
        axes.plot(twin.phase / ms, mean, color=colour, label=f"{kind[0]} to {kind[1]}")
        fitted = _relaxed(twin.phase, twin.lag, twin.tau, kind)
        axes.plot(twin.phase / ms, fitted, "--", color="black", linewidth=0.9)
    axes.plot([], [], "--", color="black", linewidth=0.9, label="fit")
    if math.isfinite(twin.lag):
        axes.set_xlim((twin.lag - 6 * twin.tau) / ms, (twin.lag + 12 * twin.tau) / ms)
    axes.set_title(f"mean rate of Q: R² = {twin.r2:.4f}", fontsize=9)
    axes.set_xlabel("time in the clock step (ms)", fontsize=9)
    axes.set_ylabel("rate/rate of a held 1", fontsize=9)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
