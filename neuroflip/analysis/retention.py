"""How long a bit is held against membrane noise."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neuroflip.analysis.copies import bit_at, flips, noisy, side_by_side, spikes_for
from neuroflip.analysis.holding import Hold, hold
from neuroflip.analysis.statistics import Line, exponential_p, mean_lifetime, weighted_line
from neuroflip.circuit import Array, Circuit, Index, NoiseInput, PoissonInput
from neuroflip.circuits.arguments import at_least_0, count
from neuroflip.circuits.behaviour import Behaviour
from neuroflip.simulation import simulate
from neuroflip.tables import table
from neuroflip.units import as_array, as_float, ms

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COPIES = 50  # circuits simulated side by side in one run, at most
_RUNS = 4  # runs in one call, which hold their spikes at the same time
_SECONDS = 4000  # of one circuit in one call, at most: bounds the memory of long holds


@dataclass(frozen=True, eq=False)
class Retention:
    """How long a bit was held, for each sd of the noise.

    sds: of the membrane noise (V), shape (sds,). times: how long the bit was held (s), at most
    `duration`, shape (sds, trials); NaN where it was never set. lost: whether it was lost within
    the duration, of the same shape. alike: whether all trials were one and the same, as nothing
    random came in, shape (sds,). readout, bit: which was held. lasting: how long the bit had to
    read wrong to count as lost (s).
    """

    circuit: str
    readout: str
    bit: int
    engine: str
    seed: int
    duration: float
    lasting: float
    sds: Array
    times: Array
    lost: Any
    alike: Any

    @property
    def failed(self) -> Index:
        """Trials in which the bit was never set, shape (sds,)."""
        found: Index = np.isnan(self.times).sum(axis=1)
        return found

    @property
    def losses(self) -> Index:
        """Trials in which it was lost, shape (sds,)."""
        found: Index = self.lost.sum(axis=1)
        return found

    def errors(self) -> tuple[Array, Array]:
        """Fractions of all trials in which the bit was never set, and in which it was lost."""
        return self.failed / self.times.shape[1], self.losses / self.times.shape[1]

    def lifetime(self) -> tuple[Array, Array]:
        """Mean time (s) that the bit is held, and its standard error, each of shape (sds,).

        The maximum-likelihood estimate for exponential lifetimes that are censored at `duration`
        (`mean_lifetime`); infinite where nothing was lost.
        """
        each = [
            mean_lifetime(times[np.isfinite(times)], lost)
            for times, lost in zip(self.times, self.lost, strict=True)
        ]
        return np.array([mean for mean, _ in each]), np.array([error for _, error in each])

    def at_least(self) -> Array:
        """Lower end of the one-sided 95 % interval of the mean (s), also where nothing was lost.

        2 sum(times)/chi2, with chi2 the 95 % point for 2 losses + 2 degrees of freedom, in
        Wilson and Hilferty's approximation. Where all trials are alike, the time itself.
        """
        degrees = 2.0 * self.losses + 2
        cube = 1 - 2 / (9 * degrees) + 1.6449 * np.sqrt(2 / (9 * degrees))
        bound = 2 * np.nansum(self.times, axis=1) / (degrees * cube**3)
        return np.where(self.alike, self.times[:, 0], bound)

    def survival(self, index: int) -> tuple[Array, Array, Array]:
        """The fraction of trials whose bit is still held, over time, at sds[index].

        Returns times (s), fractions, and their standard errors (binomial: as all trials are
        watched equally long, the Kaplan-Meier estimate is the plain fraction).
        """
        started = np.isfinite(self.times[index])
        times = np.sort(self.times[index][started & self.lost[index]])
        many = max(1, int(started.sum()))
        left = 1 - np.arange(times.size + 1) / many
        return np.append(0.0, times), left, np.sqrt(left * (1 - left) / many)

    def p_exponential(self) -> Array:
        """For each sd, how well the times fit an exponential law: see `exponential_p`."""
        return np.array(
            [
                exponential_p(times[np.isfinite(times)], lost[np.isfinite(times)], self.duration)
                for times, lost in zip(self.times, self.lost, strict=True)
            ]
        )

    def arrhenius(self) -> Line | None:
        """log T = a + b/sd^2 (T in s, sd in V), as for escape over a barrier of height b/2.

        Weighted by the errors of log T, 1/sqrt(losses); over sds with at least 5 losses; None
        where these are fewer than 3. Freidlin & Wentzell's law for weak noise (Gardiner 2009,
        Stochastic Methods, 5.5); how far it reaches is what R^2 tells.
        """
        mean, _ = self.lifetime()
        used = (self.losses >= 5) & (self.sds > 0) & ~self.alike
        errors = 1 / np.sqrt(np.maximum(self.losses, 1))
        return weighted_line(self.sds[used] ** -2.0, np.log(mean[used]), errors[used])

    def __str__(self) -> str:
        mean, error = self.lifetime()
        least, p = self.at_least(), self.p_exponential()
        rows = [
            (
                f"{sd * 1e3:g}",
                self.times.shape[1],
                failed,
                losses,
                f"{low:g}, all alike"
                if alike
                else f"{m:.3g} ± {e:.2g}"
                if losses
                else f"> {low:.3g}",
                "" if np.isnan(q) or alike else f"{q:.2f}",
            )
            for sd, failed, losses, m, e, low, q, alike in zip(
                self.sds, self.failed, self.losses, mean, error, least, p, self.alike, strict=True
            )
        ]
        title = (
            f"{self.circuit}: how long {self.readout} = {self.bit} is held, watched for "
            f"{self.duration:g} s, by {self.engine}"
        )
        head = ("noise sd (mV)", "trials", "never set", "lost", "mean ± se (s)", "p exponential")
        text = table(title, head, rows)
        if (line := self.arrhenius()) is not None:
            text += (
                f"\n\nlog T = a + b/sd²: a = {line.a:.2f} ± {line.a_error:.2f}, "
                f"b = {line.b * 1e6:.1f} ± {line.b_error * 1e6:.1f} mV², R² = {line.r_squared:.3f}"
            )
        return text

    def to_json(self) -> dict[str, Any]:
        """The table and the fitted law as plain data; times in s, noise in V."""
        mean, error = self.lifetime()
        line = self.arrhenius()
        return {
            "circuit": self.circuit,
            "readout": self.readout,
            "bit": self.bit,
            "engine": self.engine,
            "seed": self.seed,
            "duration": self.duration,
            "lasting": self.lasting,
            "trials": self.times.shape[1],
            "sds": self.sds,
            "never_set": self.failed,
            "lost": self.losses,
            "mean": mean,
            "standard_error": error,
            "at_least": self.at_least(),
            "p_exponential": self.p_exponential(),
            "arrhenius": None if line is None else asdict(line),
        }

    def plot(self, path: str | Path | None = None) -> "Figure":
        """Draw survival over time, and the mean against the noise with the fitted law.

        path: write the figure there as well (.png, .pdf, .svg).
        """
        from neuroflip.analysis.figures import draw_retention

        return draw_retention(self, path)


def retention(
    circuit: Circuit,
    sds: Sequence[float] | Array,
    duration: float,
    *,
    trials: int = 200,
    bit: int = 1,
    readout: str | None = None,
    behaviour: Behaviour | None = None,
    lasting: float | None = None,
    seed: int = 0,
    dt: float = 0.1 * ms,
    engine: str = "numba",
    progress: bool = False,
    **options: Any,
) -> Retention:
    """How long a bit is held against membrane noise in every population.

    The bit is set as `behaviour` says (None takes the library's, by the circuit's name), then the
    inputs are silent. It counts as lost when it first reads wrong for as long as `lasting`.

    sds: standard deviations of the noise (V), see `nf.NoiseInput`. duration: how long each trial
        is watched after the bit was set (s).
    trials: for each sd; up to 50 at a time run side by side, as one circuit. Where nothing random
        comes in (no noise), one is run and stands for all.
    bit, readout: what is held, and where it is read; None takes the first readout.
    lasting: in s; None takes twice the readout's window, so that a stray spike is no loss.
    seed: each sd has noise of its own, drawn from the seed. options: those of the engine, such as
        `threads=2`.

    Raises ValueError or TypeError for an argument out of range, a circuit of unknown behaviour or
    one that holds no such bit.

    >>> import neuroflip as nf
    >>> found = retention(nf.circuits.sr_latch(), [0, 8e-3], 1.0, trials=20)
    >>> found.losses[0], bool(found.losses[1] > 10)
    (np.int64(0), True)
    """
    sds = as_array(sds, "V", "sds")
    if sds.ndim != 1 or sds.size == 0:
        raise ValueError(f"sds must be a list of standard deviations in V; got shape {sds.shape}.")
    for sd in sds:
        at_least_0(sd, "V", "sds")
    duration = as_float(duration, "s", "duration")
    if duration <= 0:
        raise ValueError(f"duration must be above 0 s; got {duration!r}.")
    count(trials, "trials")
    count(seed, "seed", 0)
    way = hold(circuit, bit, readout, behaviour)
    window = next(r.window for r in circuit.readouts if r.name == way.readout)
    lasting = 2 * window if lasting is None else at_least_0(lasting, "s", "lasting")
    steps = int(np.ceil((way.ends + duration + lasting) / dt))
    settings = {"dt": dt, "engine": engine, "progress": progress, **options}
    alike = (sds == 0) & (
        not any(isinstance(i, (NoiseInput, PoissonInput)) for i in circuit.inputs)
    )
    times, lost = [], []
    for i, sd in enumerate(sds):
        many = 1 if alike[i] else trials
        changes = sampled(noisy(circuit, float(sd)), way, steps, many, [seed, i], settings)
        held = [_held(each, way, duration, lasting, dt) for each in changes] * (trials // many)
        times.append([time for time, _ in held])
        lost.append([loss for _, loss in held])
    return Retention(
        circuit.name, way.readout, bit, engine, seed, duration, lasting, sds,
        np.array(times), np.array(lost), alike,
    )  # fmt: skip


def sampled(
    circuit: Circuit, way: Hold, steps: int, trials: int, seed: list[int], settings: dict[str, Any]
) -> Iterator[Index]:
    """The steps at which the bit changes, for each of many trials of the same program.

    seed: of the seeds of the runs. settings: of `nf.simulate`.
    """
    fitting = int(_SECONDS / (_RUNS * steps * settings["dt"]))
    many = min(trials, _COPIES, max(1, fitting))
    group = side_by_side([circuit] * many)
    inputs = spikes_for(circuit, [way.inputs] * many)
    runs = -(-trials // many)
    seeds = np.random.default_rng(seed).integers(2**62, size=-(-runs // _RUNS))
    left = trials
    for call, drawn in enumerate(seeds):
        now = min(_RUNS, runs - call * _RUNS)
        recording = simulate(
            group, inputs, duration=steps * settings["dt"], seed=int(drawn), trials=now, **settings
        )
        for trial in range(now):
            yield from flips(recording, way.readout, many, trial)[:left]
            left -= min(many, left)


def _held(
    changes: Index, way: Hold, duration: float, lasting: float, dt: float
) -> tuple[float, bool]:
    """How long the bit was held (s; NaN where it was never set), and whether it was lost."""
    begins, ends = round(way.begins / dt), round(way.ends / dt)
    right = changes[bit_at(changes, changes) == way.bit]
    if bit_at(changes, begins) == way.bit:
        start = begins
    else:
        later = right[right > begins]
        if later.size == 0 or later[0] > ends:
            return np.nan, False
        start = int(later[0])
    wrong = changes[(changes > start) & (bit_at(changes, changes) != way.bit)]
    back = np.append(right, np.iinfo(np.int64).max)
    for step in wrong:
        if back[np.searchsorted(back, step)] - step >= lasting / dt:
            held = (int(step) - start) * dt
            return (held, True) if held < duration else (duration, False)
    return duration, False
