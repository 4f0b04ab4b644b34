"""Figures of the analyses, drawn like those of recordings (`neuroflip.figures`)."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from neuroflip.circuit import Array
from neuroflip.figures import COLOURS, _figure, _label, _si_unit, _time_unit, _written, check_path
from neuroflip.units import ms, mV

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from neuroflip.analysis.distractors import DistractorCurve
    from neuroflip.analysis.energy import Energy
    from neuroflip.analysis.predictions import Predictions
    from neuroflip.analysis.region import LatchRegion, PhasePlane
    from neuroflip.analysis.retention import Retention
    from neuroflip.analysis.timing import PulseWidths, TimingDiagram

Target = str | Path | None


def _panels(
    title: str, columns: int, path: Target, width: float = 5.0, height: float = 4.2
) -> "tuple[Figure, list[Axes]]":
    """A figure with panels beside each other; the path is checked before anything is drawn."""
    if path is not None:
        check_path(path)
    figure = _figure(width * columns + 0.5, height)
    figure.suptitle(title, fontsize=11)
    axes = list(figure.subplots(1, columns, squeeze=False)[0])
    for each in axes:
        each.spines[["top", "right"]].set_visible(False)
    return figure, axes


def draw_retention(found: "Retention", path: Target = None) -> "Figure":
    """Survival over time for each sd; the mean over the sd, with the fitted law."""
    title = f"{found.circuit}: how long {found.readout} = {found.bit} is held ({found.engine})"
    figure, (left, right) = _panels(title, 2, path)
    mean, error = found.lifetime()
    for i, sd in enumerate(found.sds):
        times, alive, se = found.survival(i)
        times = np.append(times, found.duration)
        alive, se = np.append(alive, alive[-1]), np.append(se, se[-1])
        colour = COLOURS[i % len(COLOURS)]
        # beyond the seven colours the dashes tell
        dashes = ("-", "--", ":")[i // len(COLOURS) % 3]
        left.step(times, alive, where="post", color=colour, linestyle=dashes, linewidth=1.5,
                  label=f"{sd / mV:g} mV")  # fmt: skip
        left.fill_between(times, alive - se, alive + se, step="post", color=colour, alpha=0.15,
                          linewidth=0)  # fmt: skip
        if np.isfinite(mean[i]):
            at = np.linspace(0, found.duration, 200)
            first = i == int(np.argmax(np.isfinite(mean)))
            left.plot(at, np.exp(-at / mean[i]), color="0.3", linestyle=":", linewidth=0.9,
                      label="exponential" if first else None)  # fmt: skip
    left.set_xlabel("time since the bit was set (s)")
    left.set_ylabel("fraction of trials that hold it")
    left.set_xlim(0, found.duration)
    left.set_ylim(0, 1.03)
    left.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    lost = found.losses > 0
    right.errorbar(found.sds[lost] / mV, mean[lost], error[lost], fmt="o", color=COLOURS[0],
                   capsize=3, label="mean ± standard error")  # fmt: skip
    none = ~lost & (found.sds > 0)
    if none.any():
        right.plot(found.sds[none] / mV, found.at_least()[none], "^", color=COLOURS[1],
                   markerfacecolor="none", label="no loss: longer than this (95 %)")  # fmt: skip
    if (line := found.arrhenius()) is not None:
        sds = np.linspace(found.sds[lost].min(), found.sds.max(), 200)
        right.plot(sds / mV, np.exp(line.a + line.b / sds**2), color="0.3", linewidth=1.0,
                   label=f"log T = a + b/sd², R² = {line.r_squared:.3f}")  # fmt: skip
    right.axhline(found.duration, color="0.6", linestyle="--", linewidth=0.8, label="watched")
    right.set_yscale("log")
    right.set_xlabel("sd of the membrane noise (mV)")
    right.set_ylabel("mean time held (s)")
    right.legend(frameon=False, fontsize=8)
    return _written(figure, path)


def draw_distractors(found: "DistractorCurve", path: Target = None) -> "Figure":
    """The fraction still right against the strength, with the threshold."""
    from neuroflip.analysis.distractors import KINDS

    title = f"{found.circuit}: {found.readout} = {found.bit} against a distractor at {found.target}"
    figure, (axes,) = _panels(title, 1, path, width=6.0)
    what, unit = KINDS[found.kind]
    prefixed, factor = _si_unit(float(found.strengths.max()), unit) if unit else ("", 1.0)
    fraction, low, high = found.fraction()
    errors = np.maximum([fraction - low, high - fraction], 0)
    at, first, last = (value * factor for value in found.threshold())
    if np.isfinite(first) and np.isfinite(last):
        axes.axvspan(first, last, color=COLOURS[4], alpha=0.2, linewidth=0, label="its interval")
    if np.isfinite(at):
        axes.axvline(at, color=COLOURS[1], linewidth=1.2, label=f"half are lost: {at:.3g}")
    axes.errorbar(found.strengths * factor, fraction, errors, fmt="o-", color=COLOURS[0],
                  capsize=3, linewidth=1.0, label="still right, 95 %")  # fmt: skip
    axes.axhline(0.5, color="0.6", linestyle=":", linewidth=0.8)
    axes.set_xlabel(_label(what, prefixed))
    axes.set_ylabel("fraction of trials still right")
    axes.set_ylim(-0.03, 1.03)
    axes.legend(frameon=False, fontsize=8)
    return _written(figure, path)


def draw_energy(found: "Energy", path: Target = None) -> "Figure":
    """The spikes of every transition, stacked by population."""
    title = f"{found.circuit}: spikes in a cycle of {found.period / ms:g} ms"
    names = list(found.costs[0].each)
    height = 1.6 + 0.28 * len(found.costs)
    figure, (axes,) = _panels(title, 1, path, width=8.0, height=max(3.0, height))
    labels = []
    for cost in found.costs:
        inputs = " ".join(f"{name}={bit}" for name, bit in cost.inputs.items())
        state = "" if cost.state is None else f"{cost.state}: "
        labels.append(f"{cost.what if cost.what != 'row' else ''} {state}{inputs}".strip())
    at = np.arange(len(labels))
    left = np.zeros(len(labels))
    hatches = ("", "///", "...", "xxx")
    for i, name in enumerate(names):
        spikes = np.array([cost.each[name] for cost in found.costs])
        axes.barh(at, spikes, left=left, color=COLOURS[i % len(COLOURS)], edgecolor="white",
                  hatch=hatches[i // len(COLOURS) % 4], linewidth=0.5, label=name)  # fmt: skip
        left += spikes
    axes.set_yticks(at, labels, fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("spikes")
    axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return _written(figure, path)


def draw_region(found: "LatchRegion", path: Target = None) -> "Figure":
    """The contrast over both parameters, with the boundaries by simulation and closed form."""
    from matplotlib.lines import Line2D

    figure, (axes,) = _panels(f"{found.circuit}: where it latches", 1, path, width=6.5, height=5.0)
    x_unit, x_factor = _si_unit(float(np.abs(found.x).max()), found.x_unit or "1")
    y_unit, y_factor = _si_unit(float(np.abs(found.y).max()), found.y_unit or "1")
    x, y = found.x * x_factor, found.y * y_factor
    shown = axes.pcolormesh(x, y, np.clip(found.contrast, 0, 1), cmap="cividis", vmin=0, vmax=1,
                            shading="nearest", rasterized=True)  # fmt: skip
    figure.colorbar(shown, ax=axes, label="contrast of the held states, (h - l)/(h + l)")
    handles = []
    lines: Sequence[tuple[str, Any, str, Literal["-", "--"]]] = (
        ("simulated boundary", found.latches, "white", "-"),
        ("closed form", found.expected, COLOURS[1], "--"),
    )
    for label, region, colour, style in lines:
        if region is None:
            continue
        values = np.asarray(region, np.float64)
        if min(values.shape) > 1 and 0 < values.mean() < 1:
            axes.contour(x, y, values, [0.5], colors=[colour], linestyles=[style], linewidths=1.6)
        handles.append(Line2D([], [], color=colour, linestyle=style, label=label))
    axes.legend(handles=handles, fontsize=8, labelcolor="white", facecolor="0.25", loc="upper left")
    axes.set_xlabel(_label(found.x_name, x_unit))
    axes.set_ylabel(_label(found.y_name, y_unit))
    return _written(figure, path)


def draw_phase_plane(found: "PhasePlane", path: Target = None) -> "Figure":
    """Nullclines and fixed points of the two rates."""
    title = f"I = {found.current * 1e12:g} pA, inhibition {found.weight * 1e12:g} pA"
    if found.noise:
        title += f", noise {found.noise / mV:g} mV"
    figure, (axes,) = _panels(title, 1, path, width=5.0, height=4.8)
    axes.plot(found.response, found.rates, color=COLOURS[0], linewidth=1.5,
              label="first neuron's nullcline")  # fmt: skip
    axes.plot(found.rates, found.response, color=COLOURS[1], linewidth=1.5, linestyle="--",
              label="second neuron's nullcline")  # fmt: skip
    for stable, face, label in ((True, "black", "stable"), (False, "white", "unstable")):
        points = [p for p in found.fixed_points if p.stable is stable]
        if points:
            axes.plot(
                [p.first for p in points],
                [p.second for p in points],
                "o",
                color="black",
                markerfacecolor=face,
                markersize=8,
                label=label,
                clip_on=False,
                zorder=5,
            )
    axes.set_xlabel("rate of the first neuron (Hz)")
    axes.set_ylabel("rate of the second neuron (Hz)")
    axes.set_xlim(0, float(found.rates[-1]))
    axes.set_ylim(0, float(found.rates[-1]))
    axes.set_aspect("equal")
    axes.legend(frameon=False, fontsize=8)
    return _written(figure, path)


def draw_predictions(found: "Predictions", path: Target = None) -> "Figure":
    """Gaps of the transitions, rates of high and low, interrupted drives, error trials."""
    figure, axes = _panels(f"{found.circuit}: Yoder's predictions", 4, path, width=3.6, height=3.8)
    gaps, counts, gone, errors = axes
    _draw_gaps(gaps, found)
    moves = found.transitions
    most = int(max(moves.high.max(), moves.low.max()))
    edges = np.arange(-0.5, most + 1.5)
    for values, colour, hatch, label in (
        (moves.low, COLOURS[1], "///", "should be low"),
        (moves.high, COLOURS[0], "", "should be high"),
    ):
        share = np.histogram(values, edges)[0] / values.size
        counts.bar(edges[:-1] + 0.5, share, 0.9, color=colour, hatch=hatch, edgecolor="white",
                   alpha=0.8, label=label)  # fmt: skip
    counts.set_xlabel(f"spikes in {moves.window / ms:g} ms")
    counts.set_ylabel("fraction of windows")
    counts.set_title(f"d' = {moves.d_prime:.1f}", fontsize=10)
    counts.legend(frameon=False, fontsize=8)
    low, high = found.interrupted.interval()
    for bit, (colour, style) in enumerate(((COLOURS[1], "s--"), (COLOURS[0], "o-"))):
        fraction = found.interrupted.right[bit] / found.interrupted.trials
        limits = np.maximum([fraction - low[bit], high[bit] - fraction], 0)
        gone.errorbar(found.interrupted.lengths / ms, fraction, limits, fmt=style, color=colour,
                      capsize=3, linewidth=1.0, label=f"bit {bit}, 95 %")  # fmt: skip
    gone.axhline(0.5, color="0.6", linestyle=":", linewidth=0.8, label="chance")
    gone.set_xlabel("drive interrupted for (ms)")
    gone.set_ylabel("fraction right afterwards")
    gone.set_ylim(-0.03, 1.03)
    gone.legend(frameon=False, fontsize=8)
    failed, lost = found.retention.errors()
    at = np.arange(found.retention.sds.size)
    errors.bar(at, lost, color=COLOURS[0], label="lost early")
    errors.bar(at, failed, bottom=lost, color=COLOURS[1], hatch="///", edgecolor="white",
               label="never set")  # fmt: skip
    errors.set_xticks(at, [f"{sd / mV:g}" for sd in found.retention.sds])
    errors.set_xlabel("sd of the noise (mV)")
    errors.set_ylabel(f"fraction of trials, {found.retention.duration:g} s")
    errors.set_ylim(0, 1)
    errors.legend(frameon=False, fontsize=8)
    return _written(figure, path)


def _draw_gaps(axes: "Axes", found: "Predictions") -> None:
    moves = found.transitions
    scale, unit = (1 / moves.delay, "element delays") if moves.delay > 0 else (1 / ms, "ms")
    gaps: Array = moves.gap * scale
    if gaps.size:
        axes.hist(
            [gaps[moves.rises], gaps[~moves.rises]],
            12,
            stacked=True,
            color=[COLOURS[0], COLOURS[1]],
            label=["to 1", "to 0"],
        )
        axes.legend(frameon=False, fontsize=8)
    axes.axvline(0, color="0.3", linewidth=0.8)
    axes.set_xlabel(f"from the fall of one output to\nthe rise of the other ({unit})")
    axes.set_ylabel("changes of the bit")


def draw_timing(found: "TimingDiagram", path: Target = None) -> "Figure":
    """The levels above each other, with the widths of the pulses."""
    if path is not None:
        check_path(path)
    unit, scale = _time_unit(found.duration)
    figure = _figure(9.0, 0.9 + 0.42 * len(found.signals))
    figure.suptitle(f"{found.circuit}: timing", fontsize=11)
    axes = figure.add_subplot()
    axes.spines[["top", "right", "left"]].set_visible(False)
    colour = {"input": "0.15", "neuron": COLOURS[0], "bit": COLOURS[1]}
    labelled = set()
    for row, signal in enumerate(found.signals):
        floor = -1.4 * row
        edges = [0.0, *(t for pulse in signal.pulses for t in pulse), found.duration]
        levels = [floor + (i % 2) for i in range(len(edges) - 1)]
        axes.step(np.array(edges) * scale, [*levels, levels[-1]], where="post", linewidth=1.4,
                  color=colour[signal.kind],
                  label=None if signal.kind in labelled else signal.kind)  # fmt: skip
        labelled.add(signal.kind)
        for start, stop in signal.pulses:
            if (stop - start) < 0.045 * found.duration:
                continue  # a number would not fit
            width = f"{(stop - start) / found.delay:.1f} d" if found.delay else (
                f"{(stop - start) * scale:.3g} {unit}"
            )  # fmt: skip
            axes.text((start + stop) / 2 * scale, floor + 0.5, width, fontsize=7, ha="center",
                      va="center")  # fmt: skip
    axes.set_yticks([-1.4 * i + 0.5 for i in range(len(found.signals))],
                    [signal.name for signal in found.signals])  # fmt: skip
    axes.tick_params(axis="y", length=0)
    axes.set_xlim(0, found.duration * scale)
    axes.set_xlabel(f"time ({unit})" + ("; widths in element delays d" if found.delay else ""))
    axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return _written(figure, path)


def draw_pulse_widths(found: "PulseWidths", path: Target = None) -> "Figure":
    """Which case is right at which width."""
    title = f"{found.circuit}: pulses at {' and '.join(found.varied)}"
    figure, (axes,) = _panels(title, 1, path, width=8.0, height=1.6 + 0.26 * len(found.cases))
    for good, marker, colour, label in (
        (True, "o", COLOURS[0], "right"),
        (False, "x", COLOURS[1], "wrong"),
    ):
        case, width = np.nonzero(found.right == good)
        axes.plot(found.widths[width], case, marker, color=colour, markersize=4, label=label)
    low, high = found.window()
    if np.isfinite(low):
        axes.axvspan(low, high, color=COLOURS[0], alpha=0.12, linewidth=0, label="all right")
    labels = [
        f"{state}: " + " ".join(f"{name}={bit}" for name, bit in row.items())
        for state, row in found.cases
    ]
    axes.set_yticks(np.arange(len(labels)), labels, fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("pulse width (element delays)")
    axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return _written(figure, path)
