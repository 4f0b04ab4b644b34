"""Figures: what is in them, that nothing overlaps, that they are written whole or not at all."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

import neuroflip as nf
from neuroflip import figures
from neuroflip.compare import report_of
from neuroflip.figures import COLOURS, check_path, draw_window
from neuroflip.units import Hz, ms, mV, pA

PULSES = {"S": [50 * ms], "R": [350 * ms]}


@pytest.fixture(scope="module")
def latch() -> nf.Recording:
    return nf.simulate(nf.circuits.sr_latch(), PULSES, duration=0.6, record=("v", "i_inh"))


@pytest.fixture(scope="module")
def network() -> nf.Recording:
    """Something of everything: many neurons, currents, plastic weights, two trials."""
    rule = nf.rules.PairSTDP(w_max=20 * mV)
    circuit = nf.Circuit(
        "network",
        [
            nf.Population("many", nf.LIF(drive=140 * pA), 50),
            nf.Population("few", nf.DeltaLIF(), 2),
        ],
        [
            nf.Projection("noise", "few", 5 * mV, rule=rule),
            nf.Projection("pulse", "few", 4 * mV, rule=rule, name="other"),
        ],
        [
            nf.PoissonInput("noise", 40 * Hz, 20),
            nf.SpikeInput("pulse"),
            nf.CurrentInput("step", "many"),
        ],
        [nf.Readout("A", high="many"), nf.Readout("B", high="few", low="many")],
    )
    return nf.simulate(
        circuit,
        {"pulse": [10 * ms], "step": [(20 * ms, 60 * ms, 200 * pA)]},
        duration=0.1,
        trials=2,
        record=("v", "noise->few", "other"),
    )


def axes_of(figure: Figure) -> dict[str, Axes]:
    return {axes.get_ylabel(): axes for axes in figure.axes}


def ticks(axes: Axes) -> list[Line2D]:
    return [line for line in axes.lines if line.get_marker() == "|"]


def data(line: Line2D) -> tuple[list[float], list[float]]:
    return np.asarray(line.get_xdata()).tolist(), np.asarray(line.get_ydata()).tolist()


def legend(axes: Axes) -> list[str]:
    drawn = axes.get_legend()
    return [] if drawn is None else [text.get_text() for text in drawn.get_texts()]


def assert_no_overlap(figure: Figure) -> None:
    """No text lies on another text or outside the figure."""
    figure.canvas.draw()
    boxes = []
    for axes in figure.axes:
        low, high = sorted(axes.get_ylim())
        shown = [
            label
            for at, label in zip(axes.get_yticks(), axes.get_yticklabels(), strict=True)
            if low <= at <= high
        ]
        drawn = axes.get_legend()
        shown += [axes.yaxis.label, *(drawn.get_texts() if drawn else [])]
        boxes += [(text.get_text(), text.get_window_extent()) for text in shown if text.get_text()]
    for (one, a), (other, b) in itertools.combinations(boxes, 2):
        assert not a.overlaps(b), f"{one!r} lies on {other!r}"
    width, height = figure.canvas.get_width_height()
    for text, box in boxes:
        inside = box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height
        assert inside, f"{text!r} is cut off"


def test_latch_panels(latch: nf.Recording) -> None:
    figure = latch.plot()
    assert [axes.get_ylabel() for axes in figure.axes] == [
        "input\nspikes", "spikes", "bit", "Q\nv (mV)", "Qbar\nv (mV)", "Q\ni_inh (nA)",
        "Qbar\ni_inh (nA)",
    ]  # fmt: skip
    assert figure.get_suptitle() == "sr_latch on numba"
    assert figure.axes[-1].get_xlabel() == "time (ms)"
    assert all(axes.get_xlim() == (0, 600) for axes in figure.axes)
    assert_no_overlap(figure)


def test_latch_spikes_and_inputs(latch: nf.Recording) -> None:
    axes = axes_of(latch.plot())
    inputs = axes["input\nspikes"]
    assert [label.get_text() for label in inputs.get_yticklabels()] == ["S", "R"]
    assert [data(line) for line in ticks(inputs)] == [
        (pytest.approx([50]), [0.5]),
        (pytest.approx([350]), [1.5]),
    ]
    rasters = ticks(axes["spikes"])
    assert [label.get_text() for label in axes["spikes"].get_yticklabels()] == ["Q", "Qbar"]
    for row, (line, name) in enumerate(zip(rasters, ("Q", "Qbar"), strict=True)):
        times, rows = data(line)
        assert times == pytest.approx(latch.spikes[name] * 1e3)
        assert rows == [row + 0.5] * len(times)
    assert len(data(rasters[0])[0]) > 10
    assert axes["spikes"].get_ylim() == (2, 0)  # the first population on top


def test_latch_bit(latch: nf.Recording) -> None:
    bits = axes_of(latch.plot())["bit"]
    assert [label.get_text() for label in bits.get_yticklabels()] == ["Q = 0", "Q = 1"]
    assert bits.get_yticks().tolist() == [0, 1]
    (line,) = bits.lines
    assert line.get_drawstyle() == "steps-post"
    times, levels = data(line)
    starts, bit = latch.bit("Q")
    shown = np.array(levels)[np.searchsorted(times, starts * 1e3 + 1e-9, side="right") - 1]
    assert shown.tolist() == bit.tolist()
    assert levels == [0, 1, 0, 0]
    assert times[-1] == pytest.approx(600)


def test_latch_potential(latch: nf.Recording) -> None:
    axes = axes_of(latch.plot())["Qbar\nv (mV)"]
    curve, threshold, spikes = axes.lines
    np.testing.assert_array_equal(curve.get_xdata(), latch.times * 1e3)
    np.testing.assert_array_equal(curve.get_ydata(), latch.traces["Qbar.v"][:, 0] * 1e3)
    assert threshold.get_ydata() == [15, 15]
    assert data(spikes) == (
        pytest.approx(latch.spikes["Qbar"] * 1e3),
        [15] * latch.spikes["Qbar"].size,
    )
    assert curve.get_color() == spikes.get_color() == COLOURS[1]
    assert axes.get_ylim()[1] > 15.5  # the ticks are not cut


def test_network_panels(network: nf.Recording) -> None:
    figure = network.plot(trial=1)
    axes = axes_of(figure)
    assert list(axes) == [
        "input\nspikes", "input\ncurrent (pA)", "spikes", "bits", "many\n3 of 50\nv (mV)",
        "few\nv (mV)", "weight (mV)",
    ]  # fmt: skip
    assert figure.get_suptitle() == "network on numba, trial 1"
    labels = [label.get_text() for label in axes["spikes"].get_yticklabels()]
    assert labels == ["many (50)", "few (2)"]
    many, few = ticks(axes["spikes"])
    in_trial = network.trials["many"] == 1
    assert data(many)[0] == pytest.approx(network.spikes["many"][in_trial] * 1e3)
    rows = 6 * (network.neurons["many"][in_trial] + 0.5) / 50
    assert data(many)[1] == pytest.approx(rows)
    assert set(data(few)[1]) == {6.5, 7.5}
    assert many.get_markersize() < few.get_markersize()
    (current,) = axes["input\ncurrent (pA)"].lines
    assert np.flatnonzero(current.get_ydata()).tolist() == list(range(200, 600))
    assert np.asarray(current.get_ydata()).max() == pytest.approx(200)
    assert_no_overlap(figure)


def test_network_weights_and_traces(network: nf.Recording) -> None:
    axes = axes_of(network.plot(trial=1))
    weights = axes["weight (mV)"]
    assert legend(weights) == ["noise->few (8 of 40)", "other"]
    assert len(weights.lines) == 8 + 2
    first = np.asarray(weights.lines[0].get_ydata())
    np.testing.assert_array_equal(first, network.weight_history["noise->few"][1][:, 0] * 1e3)
    last = np.asarray(weights.lines[7].get_ydata())
    np.testing.assert_array_equal(last, network.weight_history["noise->few"][1][:, 39] * 1e3)
    assert first.std() > 0
    drawn = axes["many\n3 of 50\nv (mV)"].lines[:3]
    for line, neuron in zip(drawn, (0, 24, 49), strict=True):
        expected = network.traces["many.v"][1][:, neuron] * 1e3
        np.testing.assert_array_equal(line.get_ydata(), expected)


def test_trials_differ(network: nf.Recording) -> None:
    first, second = (ticks(axes_of(network.plot(trial=t))["input\nspikes"])[0] for t in (0, 1))
    assert data(first) != data(second)


def test_long_curves_keep_every_extreme() -> None:
    rng = np.random.default_rng(1)
    values = np.cumsum(rng.standard_normal(123_457))
    times = np.arange(values.size) * 0.1
    some_times, some = figures._thinned(times, values)
    assert some.size <= figures._SAMPLES + 2
    assert (some.max(), some.min(), some[-1]) == (values.max(), values.min(), values[-1])
    assert np.all(np.diff(some_times) >= 0)
    assert np.array_equal(values[np.round(some_times / 0.1).astype(int)], some)
    length = -(-values.size // (figures._SAMPLES // 2))
    stretch = slice(7 * length, 8 * length)
    kept = some[(some_times >= times[stretch][0]) & (some_times <= times[stretch][-1])]
    assert sorted(set(kept)) == sorted({values[stretch].min(), values[stretch].max()})


def test_short_curves_are_drawn_as_they_are() -> None:
    values = np.arange(10.0)
    assert figures._thinned(values, values)[1] is values


@pytest.mark.parametrize(
    ("largest", "unit", "expected"),
    [
        (0.015, "V", ("mV", 1e3)),
        (3e-10, "A", ("pA", 1e12)),
        (1.5e-9, "A", ("nA", 1e9)),
        (2e-6, "V", ("µV", 1e6)),
        (1.0, "V", ("V", 1.0)),
        (2e3, "ohm", ("kohm", 1e-3)),
        (0.0, "V", ("V", 1.0)),
        (0.5, "1", ("", 1.0)),
    ],
)
def test_units_have_a_prefix(largest: float, unit: str, expected: tuple[str, float]) -> None:
    name, factor = figures._si_unit(largest, unit)
    assert (name, factor) == (expected[0], pytest.approx(expected[1]))


def test_long_runs_are_in_seconds() -> None:
    circuit = nf.Circuit("cell", [nf.Population("A", nf.LIF(drive=200 * pA))])
    recording = nf.simulate(circuit, duration=3.0)
    figure = recording.plot()
    assert len(figure.axes) == 1
    assert figure.axes[0].get_xlabel() == "time (s)"
    assert figure.axes[0].get_xlim() == (0, 3)
    assert data(ticks(figure.axes[0])[0])[0] == recording.spikes["A"].tolist()


def test_names_may_be_long() -> None:
    names = [f"a_population_with_a_long_name_{i}" for i in range(3)]
    circuit = nf.Circuit("long", [nf.Population(name, nf.LIF(drive=200 * pA)) for name in names])
    figure = nf.simulate(circuit, duration=0.1, record="v").plot()
    assert_no_overlap(figure)
    axes_width = figure.axes[0].get_position().width * figure.get_figwidth()
    assert axes_width > 5.0


def comparison(circuit: nf.Circuit, *drives: dict[str, Any]) -> Any:
    runs = zip(("numba", "torch", "brian2"), drives, strict=True)
    return report_of(
        {
            engine: nf.simulate(circuit, drive, duration=0.6, record="v", engine="numba")
            for engine, drive in runs
        }
    )


def test_comparison_that_differs() -> None:
    late = {"S": [50 * ms], "R": [351 * ms]}
    report = comparison(nf.circuits.sr_latch(), PULSES, late, PULSES)
    assert not report.ok
    figure = report.plot()
    axes = axes_of(figure)
    assert list(axes) == ["spikes", "Q\nv (mV)", "Qbar\nv (mV)", "|difference|\nof v (mV)"]
    at = report.first_divergence["time"] * 1e3
    assert 350 < at < 353
    assert figure.get_suptitle() == (
        f"sr_latch: the engines differ, torch from {at:.6g} ms on (reference: brian2)"
    )
    assert axes["spikes"].lines[0].get_xdata() == [at, at]
    # a row an engine: three for Q, then three for Qbar
    rasters = ticks(axes["spikes"])
    assert legend(axes["spikes"]) == ["numba", "torch", "brian2"]
    assert [line.get_color() for line in rasters] == [*COLOURS[:3], *COLOURS[:3]]
    for row, (line, engine) in enumerate(zip(rasters, [*report.engines] * 2, strict=True)):
        recording = report.recordings[engine]
        times, rows = data(line)
        assert times == pytest.approx(recording.spikes["Q" if row < 3 else "Qbar"] * 1e3)
        assert set(rows) == {row + 0.5}
    # traces of the reference
    reference = report.recordings["brian2"]
    curve = axes["Q\nv (mV)"].lines[1]  # after the line that marks the time
    np.testing.assert_array_equal(curve.get_ydata(), reference.traces["Q.v"][:, 0] * 1e3)
    # differences
    differences = axes["|difference|\nof v (mV)"]
    assert differences.get_yscale() == "log"
    same, apart = differences.lines[1:]
    assert np.isnan(same.get_ydata()).all()
    expected = np.maximum(
        *(
            np.abs(report.recordings["torch"].traces[key] - reference.traces[key])[:, 0] * 1e3
            for key in ("Q.v", "Qbar.v")
        )
    )
    np.testing.assert_allclose(np.nan_to_num(apart.get_ydata()), expected)
    worst = max(report.max_abs_error.values()) * 1e3
    assert legend(differences) == ["numba:\nidentical", f"torch:\nat most {worst:.2g} mV"]
    assert_no_overlap(figure)


def test_comparison_that_agrees() -> None:
    report = comparison(nf.circuits.sr_latch(), PULSES, PULSES, PULSES)
    figure = report.plot()
    assert figure.get_suptitle() == "sr_latch: the engines agree (reference: brian2)"
    differences = axes_of(figure)["|difference|\nof v (mV)"]
    assert legend(differences) == ["numba:\nidentical", "torch:\nidentical"]
    assert_no_overlap(figure)


def test_comparison_of_weights(network: nf.Recording) -> None:
    figure = report_of({"numba": network, "torch": network}).plot()
    labels = list(axes_of(figure))
    assert labels[-2:] == ["weight (mV)", "|difference|\nof weight (mV)"]
    assert_no_overlap(figure)


def test_window() -> None:
    intervals = np.array([-20, -10, 0, 10]) * ms
    figure = draw_window("Mine", intervals, intervals * 2, intervals * 3)
    (axes,) = figure.axes
    assert axes.get_title() == "Mine: change of a weight by one pair of spikes"
    assert "(ms)" in axes.get_xlabel()
    zero, also_zero, line, markers = axes.lines
    assert (zero.get_ydata(), also_zero.get_xdata()) == ([0, 0], [0, 0])
    assert data(markers) == (pytest.approx([-20, -10, 0, 10]), pytest.approx(intervals * 3))
    assert markers.get_linestyle() == "None"
    at, formula = np.array(data(line))
    assert np.isnan(formula).tolist() == [False, False, True, False, False]  # broken at 0
    assert formula[~np.isnan(formula)] == pytest.approx(intervals * 2)
    assert at[~np.isnan(formula)] == pytest.approx([-20, -10, 0, 10])
    assert legend(axes) == ["formula", "simulated"]


def test_window_without_closed_form() -> None:
    figure = draw_window("Mine", np.array([-0.01, 0.01]), None, np.array([1.0, 2.0]))
    assert legend(figure.axes[0]) == ["simulated"]


@pytest.mark.parametrize(
    ("suffix", "magic"),
    [(".png", b"\x89PNG"), (".pdf", b"%PDF"), (".svg", b"<?xml"), (".PNG", b"\x89PNG")],
)
def test_files(tmp_path: Path, suffix: str, magic: bytes) -> None:
    path = tmp_path / f"window{suffix}"
    draw_window("Mine", np.array([-0.01, 0.01]), None, np.array([1.0, 2.0]), path)
    assert path.read_bytes().startswith(magic)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_a_file_is_replaced_whole_or_not_at_all(
    tmp_path: Path, latch: nf.Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "latch.png"
    path.write_text("before")

    def fail(self: Figure, target: Path, **_: Any) -> None:
        Path(target).write_text("half")
        raise OSError("disk full")

    monkeypatch.setattr(Figure, "savefig", fail)
    with pytest.raises(OSError, match="disk full"):
        latch.plot(path)
    assert path.read_text() == "before"
    assert [p.name for p in tmp_path.iterdir()] == ["latch.png"]


def test_refusals_come_before_drawing(
    tmp_path: Path, latch: nf.Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*_: Any) -> None:
        raise AssertionError("drawn")

    monkeypatch.setattr(figures, "_figure", forbidden)
    report = report_of({"numba": latch, "torch": latch})
    for draw in (latch.plot, report.plot, lambda p: draw_window("x", [0.0], None, [0.0], p)):
        with pytest.raises(ValueError, match=r"'a\.jpg': the name must end in \.png, \.pdf or"):
            draw("a.jpg")
        with pytest.raises(ValueError, match="there is no folder .*nowhere'; make it first"):
            draw(tmp_path / "nowhere" / "a.png")
    with pytest.raises(ValueError, match="trial must be 0 to 0; got 1"):
        latch.plot(trial=1)


def test_one_suffix_is_named_alone() -> None:
    with pytest.raises(ValueError, match=r"must end in \.npz\.$"):
        check_path("a.png", (".npz",))


def test_no_figure_is_left_in_pyplot(latch: nf.Recording, tmp_path: Path) -> None:
    from matplotlib import pyplot

    latch.plot(tmp_path / "latch.png")
    assert pyplot.get_fignums() == []
