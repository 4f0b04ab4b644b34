"""Figures of recordings, of comparisons of engines, of the windows of plasticity rules.

Drawn with matplotlib objects alone: no global state of pyplot is read or left behind.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neuroflip import files
from neuroflip.circuit import Array, CurrentInput, Index
from neuroflip.recording import Recording

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SUFFIXES = (".png", ".pdf", ".svg")
"""The kinds of file that figures are written to."""

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Told apart by colour-blind readers (Okabe & Ito 2008), without the yellow, faint on white."""

_WIDTH = 9.0  # of a figure, inches
_ROW = 0.24  # height of a row of a raster, inches
_ROWS = 10  # rows that a population takes at most; more neurons are packed closer
_CURVES = 8  # curves drawn of one population or projection at most
_SAMPLES = 20_000  # samples of a curve drawn one by one; of more, the extremes of stretches

_Panel = tuple[float, Callable[["Axes"], None]]  # (height in inches, what draws it)


def check_path(path: str | Path, suffixes: Sequence[str] = SUFFIXES) -> Path:
    """The path of a file to be written.

    Raises ValueError for another suffix or a folder that does not exist.

    >>> check_path("out.jpg")
    Traceback (most recent call last):
        ...
    ValueError: cannot write 'out.jpg': the name must end in .png, .pdf or .svg.
    """
    path = Path(path)
    if path.suffix.lower() not in suffixes:
        *first, last = suffixes
        ends = f"{', '.join(first)} or {last}" if first else last
        raise ValueError(f"cannot write {str(path)!r}: the name must end in {ends}.")
    if not path.parent.is_dir():
        raise ValueError(
            f"cannot write {str(path)!r}: there is no folder {str(path.parent)!r}; make it first."
        )
    return path


def draw_recording(
    recording: Recording, path: str | Path | None = None, trial: int = 0
) -> "Figure":
    """Draw one trial of a recording: inputs, spikes, bits, traces, weights, above each other.

    path: write the figure there as well (.png, .pdf, .svg). A population of many neurons is
    packed into a few rows; of many traces or weights some are drawn, evenly chosen, as the
    legend says.

    Raises ValueError, before drawing, for an unknown suffix, a missing folder, an unknown trial.
    """
    if path is not None:
        check_path(path)
    recording._known_trial(trial)
    unit, scale = _time_unit(recording.duration)
    populations = [p.name for p in recording.circuit.populations]
    colour = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(populations)}
    panels = _input_panels(recording, trial, scale)
    blocks = [
        (p.name, p.size, [(*_spikes(recording, p.name, trial), colour[p.name], None)])
        for p in recording.circuit.populations
    ]
    panels.append(_raster("spikes", blocks, scale))
    if recording.circuit.readouts:
        panels.append(_bits(recording, trial, scale))
    for variable in dict.fromkeys(key.rpartition(".")[2] for key in recording.traces):
        panels.append(_traces(recording, trial, variable, colour, scale))
    if recording.weight_history:
        panels.append(_weights(recording, trial, scale))
    which = f", trial {trial}" if len(recording.drives) > 1 else ""
    title = f"{recording.circuit.name} on {recording.engine}{which}"
    return _stacked(title, panels, recording.duration * scale, f"time ({unit})", path)


def draw_comparison(report: Any, path: str | Path | None = None) -> "Figure":
    """Draw a comparison of engines, the `Report` of `nf.compare`; its first trial.

    Above, the spikes of every engine, row beneath row; then, for each recorded variable, the
    traces of the reference engine, and how far each other engine is from them, on a log axis:
    the largest difference of any neuron at that time. Exact agreement is not drawn.

    path: write the figure there as well (.png, .pdf, .svg).
    """
    if path is not None:
        check_path(path)
    reference: Recording = report.recordings[report.reference]
    unit, scale = _time_unit(reference.duration)
    engine_colour = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(report.engines)}
    populations = reference.circuit.populations
    blocks = [
        (
            p.name,
            p.size,
            [
                (*_spikes(report.recordings[engine], p.name, 0), engine_colour[engine], engine)
                for engine in report.engines
            ],
        )
        for p in populations
    ]
    panels = [_raster("spikes", blocks, scale)]
    colour = {p.name: COLOURS[i % len(COLOURS)] for i, p in enumerate(populations)}
    others = [
        (engine, report.recordings[engine], engine_colour[engine])
        for engine in report.engines
        if engine != report.reference
    ]
    for variable in dict.fromkeys(key.rpartition(".")[2] for key in reference.traces):
        panels.append(_traces(reference, 0, variable, colour, scale))
        panels.append(_differences(reference, others, variable, scale))
    if reference.weight_history:
        panels.append(_weights(reference, 0, scale))
    verdict = "the engines agree" if report.ok else "the engines differ"
    title = f"{reference.circuit.name}: {verdict} (reference: {report.reference})"
    return _stacked(title, panels, reference.duration * scale, f"time ({unit})", path)


def draw_window(
    rule_name: str,
    intervals: Array,
    analytic: Array | None,
    simulated: Array,
    path: str | Path | None = None,
) -> "Figure":
    """Draw the window of a plasticity rule: change of a weight against t_post - t_pre.

    intervals (s), and the changes at them: by formula (a line; None where there is none) and
    simulated (markers). path: write the figure there as well (.png, .pdf, .svg).
    """
    if path is not None:
        check_path(path)
    figure = _figure(6.5, 4.2)
    axes = figure.add_subplot()
    order = np.argsort(intervals)
    at = np.asarray(intervals)[order] * 1e3
    axes.axhline(0, color="0.6", linewidth=0.8)
    axes.axvline(0, color="0.6", linewidth=0.8)
    if analytic is not None:
        # the window jumps at 0: the line is broken there
        jump = int(np.searchsorted(at, 0))
        line_at = np.insert(at, jump, np.nan)
        line = np.insert(np.asarray(analytic)[order], jump, np.nan)
        axes.plot(line_at, line, color=COLOURS[1], linewidth=1.5, label="formula")
    axes.plot(
        at, np.asarray(simulated)[order], "o", color=COLOURS[0], markersize=4,
        markerfacecolor="none", label="simulated",
    )  # fmt: skip
    axes.set_title(f"{rule_name}: change of a weight by one pair of spikes", fontsize=10)
    axes.set_xlabel(r"interval $t_\mathrm{post} - t_\mathrm{pre}$ (ms)")
    axes.set_ylabel("change of the weight")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    return _written(figure, path)


def _figure(width: float, height: float) -> "Figure":
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _written(figure: "Figure", path: str | Path | None) -> "Figure":
    if path is not None:
        with files.replacing(Path(path)) as temporary:
            figure.savefig(temporary, format=Path(path).suffix[1:].lower(), dpi=150)
    return figure


def _stacked(
    title: str, panels: list[_Panel], end: float, time_label: str, path: str | Path | None
) -> "Figure":
    """Panels above each other on one time axis, 0 to `end`."""
    heights = [height for height, _ in panels]
    figure = _figure(_WIDTH, sum(heights) + 0.25 * len(heights) + 0.8)
    figure.suptitle(title, fontsize=11)
    all_axes = figure.subplots(
        len(panels), 1, sharex=True, squeeze=False, gridspec_kw={"height_ratios": heights}
    )[:, 0]
    for axes, (_, draw) in zip(all_axes, panels, strict=True):
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
        draw(axes)
        axes.yaxis.label.set_fontsize(9)
    all_axes[-1].set_xlabel(time_label, fontsize=9)
    all_axes[-1].set_xlim(0, end)
    figure.align_ylabels(list(all_axes))
    return _written(figure, path)


def _time_unit(duration: float) -> tuple[str, float]:
    """The unit of a time axis, and the factor that gives times in s in it."""
    return ("s", 1.0) if duration > 2 else ("ms", 1e3)


def _si_unit(largest: float, unit: str) -> tuple[str, float]:
    """The unit with the prefix that suits values up to `largest`, and the factor to it."""
    if unit == "1" or not 0 < largest < np.inf:
        return ("" if unit == "1" else unit), 1.0
    power = int(np.clip(np.floor(np.log10(largest) / 3 + 1e-9), -5, 3))
    return "fpnµm kMG"[power + 5].strip() + unit, 10.0 ** (-3 * power)


def _label(what: str, unit: str) -> str:
    return f"{what} ({unit})" if unit else what


def _spikes(recording: Recording, population: str, trial: int) -> tuple[Array, Index]:
    """Spike times (s) and neurons of a population in one trial."""
    mine = recording.trials[population] == trial
    return recording.spikes[population][mine], recording.neurons[population][mine]


def _of_trial(values: Array, recording: Recording, trial: int) -> Array:
    """The traces or weights of one trial, shape (times, columns)."""
    chosen: Array = values[trial] if len(recording.drives) > 1 else values
    return chosen


def _legend(axes: "Axes") -> None:
    """The legend, to the right of the panel."""
    axes.legend(
        loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=8, frameon=False, handlelength=1.2
    )


def _raster(
    what: str,
    blocks: Sequence[tuple[str, int, Sequence[tuple[Array, Index, str, str | None]]]],
    scale: float,
) -> _Panel:
    """Spikes as ticks, a row a neuron; one block a population, whose name is its label.

    blocks: (name, neurons, parts), a part being (times in s, neurons, colour, label): parts of a
    block lie beneath each other.
    """
    row = _ROW if all(len(parts) == 1 for *_, parts in blocks) else _ROW * 0.6
    rows = [min(size, _ROWS) for _, size, _ in blocks]
    total = sum(r * len(parts) for r, (*_, parts) in zip(rows, blocks, strict=True))

    def draw(axes: "Axes") -> None:
        top, middles, labelled = 0.0, [], set()
        for taken, (_, size, parts) in zip(rows, blocks, strict=True):
            if top > 0:
                axes.axhline(top, color="0.85", linewidth=0.6)
            middles.append(top + taken * len(parts) / 2)
            for times, neurons, colour, label in parts:
                axes.plot(
                    times * scale,
                    top + (neurons + 0.5) * taken / size,
                    linestyle="none",
                    marker="|",
                    markersize=max(1.0, 72 * row * taken / size * 0.7),
                    markeredgewidth=1.0 if size <= _ROWS else 0.6,
                    color=colour,
                    label=None if label in labelled else label,
                    rasterized=times.size > 50_000,
                )
                labelled.add(label)
                top += taken
        axes.set_ylim(top, 0)
        names = [name if size == 1 else f"{name} ({size})" for name, size, _ in blocks]
        axes.set_yticks(middles, names)
        axes.tick_params(axis="y", length=0)
        axes.set_ylabel(what)
        if labelled - {None}:
            _legend(axes)

    return max(total * row, 2.5 * _ROW), draw


def _input_panels(recording: Recording, trial: int, scale: float) -> list[_Panel]:
    drive = recording.drives[trial]
    circuit = recording.circuit
    sizes = circuit.sizes()
    panels = []
    spiking = [i.name for i in circuit.inputs if not isinstance(i, CurrentInput)]
    if spiking:
        blocks = []
        for name in spiking:
            steps, sources = drive.events[name]
            blocks.append((name, sizes[name], [(steps * recording.dt, sources, "0.15", None)]))
        panels.append(_raster("input\nspikes", blocks, scale))
    if drive.currents:
        starts = np.arange(next(iter(drive.currents.values())).shape[0]) * recording.dt
        curves = [
            (target, starts, wave, COLOURS[i % len(COLOURS)])
            for i, (target, wave) in enumerate(drive.currents.items())
        ]
        panels.append(_curves("input\ncurrent", "A", curves, scale))
    return panels


def _bits(recording: Recording, trial: int, scale: float) -> _Panel:
    names = [r.name for r in recording.circuit.readouts]

    def draw(axes: "Axes") -> None:
        ticks: dict[float, str] = {}
        for i, name in enumerate(names):
            floor = -1.5 * i
            times, bits = recording.bit(name, trial)
            edges = np.concatenate([[0], np.flatnonzero(np.diff(bits)) + 1])
            at = np.append(times[edges], recording.duration) * scale
            level = floor + np.append(bits[edges], bits[-1])
            colour = COLOURS[i % len(COLOURS)]
            axes.plot(at, level, drawstyle="steps-post", color=colour, linewidth=1.5, label=name)
            axes.fill_between(at, floor, level, step="post", color=colour, alpha=0.15, linewidth=0)
            ticks |= {floor: f"{name} = 0", floor + 1: f"{name} = 1"}
        axes.set_yticks(list(ticks), list(ticks.values()))
        axes.set_ylim(-1.5 * (len(names) - 1) - 0.25, 1.25)
        axes.set_ylabel("bits" if len(names) > 1 else "bit")

    return max(0.42 * len(names), 0.6), draw


def _traces(
    recording: Recording, trial: int, variable: str, colour: dict[str, str], scale: float
) -> _Panel:
    """The traces of a variable of all populations; at the spikes a tick, at the threshold."""
    curves, thresholds = [], []
    unit = "1"
    for population in recording.circuit.populations:
        values = recording.traces.get(f"{population.name}.{variable}")
        if values is None:
            continue
        unit = population.neuron.model().units[variable]
        mine = colour[population.name]
        curves.append((population.name, recording.times, _of_trial(values, recording, trial), mine))
        threshold = getattr(population.neuron, "v_threshold", None)
        if variable == "v" and threshold is not None:
            times, neurons = _spikes(recording, population.name, trial)
            drawn = np.isin(neurons, _chosen(population.size))
            thresholds.append((threshold, times[drawn], mine))
    return _curves(variable, unit, curves, scale, thresholds)


def _weights(recording: Recording, trial: int, scale: float) -> _Panel:
    curves = []
    units = []
    for i, projection in enumerate(
        p for p in recording.circuit.projections if p.name in recording.weight_history
    ):
        neuron = recording.circuit.population(projection.post).neuron
        units.append(neuron.model().units[neuron.receptors[str(projection.receptor)]])
        values = _of_trial(recording.weight_history[projection.name], recording, trial)
        curves.append((projection.name, recording.times, values, COLOURS[i % len(COLOURS)]))
    unit = units[0] if len(set(units)) == 1 else "1"
    return _curves("weight", unit, curves, scale)


def _chosen(size: int) -> Index:
    """Indices of the columns that are drawn: all of a few, else some, evenly spread."""
    count = min(size, _CURVES)
    return np.unique(np.linspace(0, size - 1, count).round().astype(np.int64))


def _thinned(times: Array, values: Array) -> tuple[Array, Array]:
    """A curve with as many samples as a figure can show: of long ones, the lowest and highest
    of each stretch, in their order, so that no reset is lost."""
    if values.size <= _SAMPLES:
        return times, values
    length = -(-values.size // (_SAMPLES // 2))
    whole = values.size // length * length
    stretches = values[:whole].reshape(-1, length)
    first = np.arange(0, whole, length)
    ends = np.stack([first + stretches.argmin(axis=1), first + stretches.argmax(axis=1)], axis=1)
    kept = np.append(np.sort(ends, axis=1).ravel(), values.size - 1)
    return times[kept], values[kept]


def _curves(
    what: str,
    unit: str,
    curves: Sequence[tuple[str, Array, Array, str]],
    scale: float,
    thresholds: Sequence[tuple[float, Array, str]] = (),
) -> _Panel:
    """Curves (name, times in s, values of shape (times, columns), colour) of one unit.

    thresholds: (threshold, spike times in s, colour).
    """
    largest = max((float(np.abs(v).max(initial=0)) for *_, v, _ in curves), default=0.0)
    prefixed, factor = _si_unit(largest, unit)

    def draw(axes: "Axes") -> None:
        for level in dict.fromkeys(level for level, *_ in thresholds):
            axes.axhline(level * factor, color="0.5", linestyle=":", linewidth=0.8)
        for name, times, values, colour in curves:
            columns = _chosen(values.shape[1])
            some = f" ({columns.size} of {values.shape[1]})" if values.shape[1] > 1 else ""
            for n, column in enumerate(columns):
                at, value = _thinned(times, values[:, column])
                axes.plot(
                    at * scale, value * factor, color=colour, linewidth=1.0,
                    alpha=1.0 if columns.size == 1 else 0.6,
                    label=None if n else name + some,
                )  # fmt: skip
        for level, times, colour in thresholds:
            axes.plot(
                times * scale, np.full(times.size, level * factor), linestyle="none",
                marker="|", markersize=7, color=colour,
            )  # fmt: skip
        axes.set_ylabel(_label(what, prefixed))
        _legend(axes)

    return max(1.3, 0.17 * len(curves)), draw


def _differences(
    reference: Recording, others: Iterable[tuple[str, Recording, str]], variable: str, scale: float
) -> _Panel:
    """The largest difference from the reference over time, a curve an engine."""
    keys = [key for key in reference.traces if key.rpartition(".")[2] == variable]
    circuit = reference.circuit
    unit = circuit.population(keys[0].rpartition(".")[0]).neuron.model().units[variable]
    largest = max(float(np.abs(reference.traces[key]).max(initial=0)) for key in keys)
    prefixed, factor = _si_unit(largest, unit)

    def draw(axes: "Axes") -> None:
        axes.set_yscale("log")
        seen = False
        for engine, recording, colour in others:
            apart = np.max(
                [
                    np.abs(
                        _of_trial(recording.traces[key], recording, 0)
                        - _of_trial(reference.traces[key], reference, 0)
                    ).max(axis=1)
                    for key in keys
                ],
                axis=0,
            )
            worst = float(apart.max(initial=0)) * factor
            how = f"at most {worst:.1g} {prefixed}".rstrip() if worst > 0 else "identical"
            at, value = _thinned(reference.times, apart)
            value = np.where(value > 0, value * factor, np.nan)  # a log axis has no 0
            axes.plot(at * scale, value, color=colour, linewidth=0.8, label=f"{engine}\n({how})")
            seen = seen or worst > 0
        if not seen:
            axes.set_yticks([])
        axes.set_ylabel(_label(f"{variable}, difference\nfrom the reference", prefixed))
        _legend(axes)

    return 1.3, draw
