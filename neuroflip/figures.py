"""Figures of recordings, of comparisons of engines, of the windows of plasticity rules.

Drawn with matplotlib objects alone: no global state of pyplot is read or left behind.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from neuroflip import files
from neuroflip.circuit import Array, Index
from neuroflip.recording import Recording

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text

    from neuroflip.compare import Report
    from neuroflip.sims.measured import Panel

SUFFIXES = (".png", ".pdf", ".svg")
"""The kinds of file that figures are written to."""

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Told apart by colour-blind readers (Okabe & Ito 2008), without the yellow, faint on white."""

_WIDTH = 9.0  # of a figure, inches
_ROW = 0.24  # height of a row of a raster, inches
_ROWS = 6  # rows that a population takes at most; more neurons are packed closer
_TRACES = 3  # neurons of a population whose traces are drawn, at most
_SYNAPSES = 8  # synapses of a projection whose weights are drawn, at most
_SAMPLES = 10_000  # samples of a curve drawn one by one; of more, the extremes of stretches

_Panel = tuple[float, Callable[["Axes"], None]]  # (height in inches, what draws it)
_Part = tuple[Array, Index, str, str | None]  # (spike times in s, neurons, colour, label)
_Block = tuple[str, int, Sequence[_Part]]  # (name, neurons, parts beneath each other)


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
    for variable in _variables(recording):
        panels += _traces(recording, trial, variable, colour, scale)
    if recording.weight_history:
        panels.append(_weights(recording, trial, scale))
    which = f", trial {trial}" if len(recording.drives) > 1 else ""
    title = f"{recording.circuit.name} on {recording.engine}{which}"
    return _stacked(title, panels, recording.duration * scale, f"time ({unit})", path)


def draw_comparison(report: "Report", path: str | Path | None = None) -> "Figure":
    """Draw a comparison of engines, the `Report` of `nf.compare`; its first trial.

    Above, the spikes of every engine, row beneath row; then, for each recorded variable, the
    traces of the reference engine, and how far each other engine is from them, on a log axis:
    the largest difference of any neuron at that time. Where all agree exactly, nothing is drawn.
    Weights that were recorded follow in the same way.

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
    colour = {p.name: engine_colour[report.reference] for p in populations}
    others = [
        (engine, report.recordings[engine], engine_colour[engine])
        for engine in report.engines
        if engine != report.reference
    ]
    for variable in _variables(reference):
        panels += _traces(reference, 0, variable, colour, scale)
        panels.append(_differences(reference, others, variable, scale))
    if reference.weight_history:
        panels.append(_weights(reference, 0, scale))
        panels.append(_differences(reference, others, "weight", scale))
    verdict = "the engines agree" if report.ok else "the engines differ"
    if report.first_divergence is not None:
        at = report.first_divergence["time"] * scale
        verdict += f", {report.first_divergence['engine']} from {at:.6g} {unit} on"
        panels = [(height, _marked(draw, at)) for height, draw in panels]
    title = f"{reference.circuit.name}: {verdict} (reference: {report.reference})"
    return _stacked(title, panels, reference.duration * scale, f"time ({unit})", path)


def draw_window(
    rule_name: str,
    intervals: Array,
    analytic: Array | None,
    simulated: Array,
    path: str | Path | None = None,
    measured: "Sequence[Panel]" = (),
) -> "Figure":
    """Draw the window of a plasticity rule: change of a weight against t_post - t_pre.

    intervals (s), and the changes at them: by formula (a line; None where there is none) and
    simulated (markers). measured: panels of published data beside the rule, to be drawn after it
    (`neuroflip.sims.measured`). path: write the figure there as well (.png, .pdf, .svg).
    """
    if path is not None:
        check_path(path)
    columns = 2 if measured else 1
    rows = -(-(1 + len(measured)) // columns)
    figure = _figure(11 if measured else 6.5, 4.2 * rows)
    axes = figure.add_subplot(rows, columns, 1)
    for k, panel in enumerate(measured):
        _draw_measured(figure.add_subplot(rows, columns, k + 2), panel)
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


def _draw_measured(axes: "Axes", panel: "Panel") -> None:
    axes.axhline(0, color="0.6", linewidth=0.8)
    for colour, curve in zip(COLOURS, panel.curves, strict=False):
        if curve.line is None:
            axes.plot(curve.at, curve.rule, "x", color=COLOURS[1], label=f"{curve.label}, rule")
        else:
            axes.plot(*curve.line, color=colour, linewidth=1.5, label=f"{curve.label}, rule")
        axes.errorbar(
            curve.at, curve.measured, curve.error, fmt="o", color=colour, markersize=5,
            markerfacecolor="none", capsize=2, label=f"{curve.label}, {curve.source}",
        )  # fmt: skip
    axes.set_title(panel.title, fontsize=10)
    axes.set_xlabel(panel.axis)
    axes.margins(y=0.15)
    if panel.names:
        axes.set_xticks(range(len(panel.names)), panel.names, rotation=30, ha="right", fontsize=7)
    axes.set_ylabel("relative change of the weight")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=7)


def draw_response(
    title: str,
    label: str,
    at: Array,
    values: Array,
    ylabel: str,
    path: str | Path | None = None,
) -> "Figure":
    """Draw how a rule responds: values over `at`, whose axis is called `label`.

    path: write the figure there as well (.png, .pdf, .svg).
    """
    if path is not None:
        check_path(path)
    figure = _figure(6.5, 4.2)
    axes = figure.add_subplot()
    axes.axhline(0, color="0.6", linewidth=0.8)
    axes.plot(at, values, "o-", color=COLOURS[0], markersize=4, linewidth=1.2)
    axes.set_title(title, fontsize=10)
    axes.set_xlabel(label)
    axes.set_ylabel(ylabel)
    axes.spines[["top", "right"]].set_visible(False)
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
        axes.yaxis.label.set(fontsize=9, rotation=0, ha="right", va="center")
    all_axes[-1].set_xlabel(time_label, fontsize=9)
    all_axes[-1].set_xlim(0, end)
    _align_labels(figure, list(all_axes))
    return _written(figure, path)


def _align_labels(figure: "Figure", all_axes: "list[Axes]") -> None:
    """Put the labels of all panels beside the widest tick label; widen the figure for long ones.

    `Figure.align_ylabels` does it too, in a time that grows as the square of the panels.
    """
    from matplotlib.transforms import ScaledTranslation

    def widest(texts: "Iterable[Text]") -> float:
        return max((text.get_window_extent().width for text in texts), default=0.0) / figure.dpi

    left = widest(label for axes in all_axes for label in axes.get_yticklabels()) + 0.25
    shift = ScaledTranslation(-left, 0, figure.dpi_scale_trans)
    for axes in all_axes:
        axes.yaxis.set_label_coords(0, 0.5, transform=axes.transAxes + shift)
    left += widest(axes.yaxis.label for axes in all_axes)
    figure.set_figwidth(_WIDTH + max(0.0, left - 1.5))


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
    """The legend, to the right of the panel, of what has a label."""
    from matplotlib.lines import Line2D

    if not axes.get_legend_handles_labels()[0]:
        return

    legend = axes.legend(
        loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=8, frameon=False, handlelength=1.4
    )
    for handle in legend.legend_handles:
        if isinstance(handle, Line2D) and handle.get_marker() == "|":
            handle.set_markersize(8)  # ticks of a packed raster are too small to tell
            handle.set_markeredgewidth(1.5)


def _raster(
    what: str,
    blocks: Sequence[_Block],
    scale: float,
) -> _Panel:
    """Spikes as ticks, a row a neuron; one block a population, whose name is its label."""
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
    panels: list[_Panel] = []
    spiking = [i.name for i in circuit.inputs if i.name in circuit.sizes()]
    if spiking:
        blocks: list[_Block] = []
        for name in spiking:
            steps, sources = drive.events[name]
            times: Array = steps.astype(np.float64) * recording.dt
            blocks.append((name, sizes[name], [(times, sources, "0.15", None)]))
        panels.append(_raster("input\nspikes", blocks, scale))
    if drive.currents:
        starts = np.arange(next(iter(drive.currents.values())).shape[0]) * recording.dt
        curves = [
            (target, starts, wave, COLOURS[i % len(COLOURS)])
            for i, (target, wave) in enumerate(drive.currents.items())
        ]
        largest = max(float(np.abs(wave).max()) for wave in drive.currents.values())
        draw = _curves("input\ncurrent", _si_unit(largest, "A"), curves, scale, legend=True)
        panels.append((max(0.85, 0.17 * len(curves)), draw))
    return panels


def _marked(draw: Callable[["Axes"], None], at: float) -> Callable[["Axes"], None]:
    """What draws a panel with a dashed line at a time."""

    def marked(axes: "Axes") -> None:
        axes.axvline(at, color="0.15", linestyle="--", linewidth=0.8)
        draw(axes)

    return marked


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

    return max(0.5 * len(names), 0.6), draw


def _variables(recording: Recording) -> list[str]:
    """The variables of which there are traces."""
    return list(dict.fromkeys(key.rpartition(".")[2] for key in recording.traces))


def _traces(
    recording: Recording, trial: int, variable: str, colour: dict[str, str], scale: float
) -> list[_Panel]:
    """The traces of a variable, a panel a population, all with one unit; a potential with its
    threshold, and a tick there at every spike."""
    keys = {p.name: f"{p.name}.{variable}" for p in recording.circuit.populations}
    recorded = [p for p in recording.circuit.populations if keys[p.name] in recording.traces]
    levels = {
        p.name: getattr(p.neuron, "v_threshold", None) if variable == "v" else None
        for p in recorded
    }
    units = {p.name: p.neuron.model().units[variable] for p in recorded}
    largest = dict.fromkeys(units.values(), 0.0)
    for name, unit in units.items():
        highest = np.abs(recording.traces[keys[name]]).max(initial=abs(levels[name] or 0.0))
        largest[unit] = max(largest[unit], float(highest))
    panels: list[_Panel] = []
    for population in recorded:
        name = population.name
        values = _of_trial(recording.traces[keys[name]], recording, trial)
        columns = _chosen(population.size, _TRACES)
        what = f"{name}\n{variable}"
        if population.size > columns.size:
            what = f"{name}\n{columns.size} of {population.size}\n{variable}"
        curves = [("", recording.times, values[:, columns], colour[name])]
        level = levels[name]
        times, neurons = _spikes(recording, name, trial)
        spikes = None if level is None else (level, times[np.isin(neurons, columns)])
        first = spikes is not None and not panels
        prefixed = _si_unit(largest[units[name]], units[name])
        panels.append((0.85, _curves(what, prefixed, curves, scale, spikes, legend=first)))
    return panels


def _weights(recording: Recording, trial: int, scale: float) -> _Panel:
    """Weights over time, a colour a projection."""
    curves = []
    for i, (name, history) in enumerate(recording.weight_history.items()):
        values = _of_trial(history, recording, trial)
        columns = _chosen(values.shape[1], _SYNAPSES)
        some = f" ({columns.size} of {values.shape[1]})" if values.shape[1] > columns.size else ""
        colour = COLOURS[i % len(COLOURS)]
        curves.append((name + some, recording.times, values[:, columns], colour))
    draw = _curves("weight", _weight_unit(recording), curves, scale, legend=True)
    return max(1.3, 0.17 * len(curves)), draw


def _weight_unit(recording: Recording) -> tuple[str, float]:
    """The unit of the recorded weights, with a prefix, and the factor to it."""
    circuit = recording.circuit
    units = set()
    for projection in circuit.projections:
        if projection.name in recording.weight_history:
            neuron = circuit.population(projection.post).neuron
            units.add(neuron.model().units[neuron.receptors[str(projection.receptor)]])
    largest = max(float(np.abs(w).max(initial=0)) for w in recording.weight_history.values())
    return _si_unit(largest, units.pop()) if len(units) == 1 else ("SI units", 1.0)


def _chosen(size: int, most: int) -> Index:
    """Indices of the columns that are drawn: all of a few, else some, evenly spread."""
    return np.unique(np.linspace(0, size - 1, min(size, most)).round().astype(np.int64))


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
    unit: tuple[str, float],
    curves: Sequence[tuple[str, Array, Array, str]],
    scale: float,
    spikes: tuple[float, Array] | None = None,
    *,
    legend: bool,
) -> Callable[["Axes"], None]:
    """What draws curves: (name, times in s, values of shape (times, columns), colour).

    unit: its name and the factor to it. spikes: (threshold, spike times in s), in the colour of
    the last curve.
    """
    prefixed, factor = unit

    def draw(axes: "Axes") -> None:
        for name, times, values, colour in curves:
            for n, column in enumerate(values.T):
                at, value = _thinned(times, column)
                axes.plot(
                    at * scale, value * factor, color=colour, linewidth=1.0,
                    alpha=1.0 if values.shape[1] == 1 else 0.6, label=name if n == 0 else None,
                )  # fmt: skip
        if spikes is not None:
            level, times = spikes
            axes.axhline(
                level * factor, color="0.4", linestyle=":", linewidth=1.0, label="threshold"
            )
            axes.plot(
                times * scale, np.full(times.size, level * factor), linestyle="none",
                marker="|", markersize=7, color=curves[-1][3], label="spike",
            )  # fmt: skip
            axes.margins(y=0.12)
        axes.set_ylabel(_label(what, prefixed))
        if legend:
            _legend(axes)

    return draw


def _differences(
    reference: Recording, others: Iterable[tuple[str, Recording, str]], variable: str, scale: float
) -> _Panel:
    """The largest difference from the reference over time, a curve an engine.

    variable: of the neurons, or "weight" for the recorded weights.
    """

    def values(recording: Recording) -> list[Array]:
        held = recording.weight_history
        if variable != "weight" or not held:
            held = {k: v for k, v in recording.traces.items() if k.rpartition(".")[2] == variable}
        return [_of_trial(v, recording, 0) for v in held.values()]

    expected = values(reference)
    if variable == "weight":
        prefixed, factor = _weight_unit(reference)
    else:
        key = next(k for k in reference.traces if k.rpartition(".")[2] == variable)
        neuron = reference.circuit.population(key.rpartition(".")[0]).neuron
        largest = max(float(np.abs(v).max(initial=0)) for v in expected)
        prefixed, factor = _si_unit(largest, neuron.model().units[variable])

    def draw(axes: "Axes") -> None:
        axes.set_yscale("log")
        seen = False
        for i, (engine, recording, colour) in enumerate(others):
            pairs = zip(values(recording), expected, strict=True)
            apart = np.max([np.abs(a - b).max(axis=1, initial=0) for a, b in pairs], axis=0)
            worst = float(apart.max(initial=0)) * factor
            how = f"at most {worst:.2g} {prefixed}".rstrip() if worst > 0 else "identical"
            at, value = _thinned(reference.times, apart)
            value = np.where(value > 0, value * factor, np.nan)  # a log axis has no 0
            axes.plot(
                at * scale, value, color=colour, label=f"{engine}:\n{how}",
                # equal curves lie on each other: the lower one is wider
                linewidth=2.0 if i == 0 else 0.8,
            )  # fmt: skip
            seen = seen or worst > 0
        if not seen:
            axes.set_yticks([])
            axes.set_yticks([], minor=True)
        axes.set_ylabel(_label(f"|difference|\nof {variable}", prefixed))
        _legend(axes)

    return 1.3, draw
