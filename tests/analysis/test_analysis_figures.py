"""Figures of the analyses: what is in them, and that they are written or refused."""

from pathlib import Path

import numpy as np
import pytest

import neuroflip as nf
from neuroflip.analysis.distractors import distractor_curve
from neuroflip.analysis.energy import energy
from neuroflip.analysis.predictions import predictions
from neuroflip.analysis.region import latch_region, phase_plane
from neuroflip.analysis.retention import retention
from neuroflip.analysis.timing import pulse_width_curve, timing_diagram
from neuroflip.circuits import jk_flip_flop, level, spike_interval, sr_latch
from neuroflip.units import ms, mV, pA


def make(name: str):
    if name == "retention":
        return retention(sr_latch(inhibition=200 * pA), [2 * mV, 5 * mV], 0.5, trials=20)
    if name == "distractors":
        return distractor_curve(sr_latch(), [0.0, 300 * pA], "current", trials=5)
    if name == "energy":
        return energy(jk_flip_flop())
    if name == "region":
        values = np.array([100, 200, 300]) * pA
        return latch_region(sr_latch, ("drive", values, "A"), ("inhibition", values, "A"))
    if name == "phase":
        return phase_plane(nf.LIF(), 300 * pA, 200 * pA)
    if name == "predictions":
        return predictions(
            jk_flip_flop(), cycles=10, trials=5, duration=1.0, lengths=[0, 0.05],
            error_noise=[2 * mV],
        )  # fmt: skip
    if name == "timing":
        ones = level(spike_interval(4 * ms), (80 * ms, 92 * ms))
        return timing_diagram(nf.simulate(jk_flip_flop(), {"J": ones}, duration=0.2))
    return pulse_width_curve(jk_flip_flop(), [1, 3, 8])


LABELS = {
    "retention": ["time since the bit was set (s)", "sd of the membrane noise (mV)"],
    "distractors": ["current into the wrong neuron (pA)"],
    "energy": ["spikes"],
    "region": ["drive (pA)", ""],
    "phase": ["rate of the first neuron (Hz)"],
    "predictions": [
        "from the fall of one output to\nthe rise of the other (element delays)",
        "spikes in 2 ms", "drive interrupted for (ms)", "sd of the noise (mV)",
    ],
    "timing": ["time (ms); widths in element delays d"],
    "widths": ["pulse width (element delays)"],
}  # fmt: skip


@pytest.mark.parametrize("name", LABELS)
def test_drawn_and_written(name: str, tmp_path: Path) -> None:
    found = make(name)
    figure = found.plot(tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert [axes.get_xlabel() for axes in figure.axes] == LABELS[name]
    assert all(axes.get_legend() for axes in figure.axes if axes.get_xlabel())
    with pytest.raises(ValueError, match="must end in"):
        found.plot("a.jpg")


def test_numbers_of_the_retention_figure() -> None:
    found = make("retention")
    left, right = found.plot().axes
    _, alive, _ = found.survival(1)
    steps = [line for line in left.lines if line.get_label() == "5 mV"][0]
    assert steps.get_ydata()[:-1].tolist() == alive.tolist()
    points = right.containers[0].lines[0]
    mean, _ = found.lifetime()
    seen = found.losses > 0
    assert points.get_xdata().tolist() == (found.sds[seen] / mV).tolist()
    assert points.get_ydata().tolist() == mean[seen].tolist()


def test_numbers_of_the_energy_figure() -> None:
    found = make("energy")
    (axes,) = found.plot().axes
    ends = np.zeros(len(found.costs))
    for bars in axes.containers:
        ends += [bar.get_width() for bar in bars]
    assert ends.tolist() == [cost.spikes for cost in found.costs]


def test_numbers_of_the_pulse_width_figure() -> None:
    found = make("widths")
    (axes,) = found.plot().axes
    right, wrong = axes.lines
    assert len(right.get_xdata()) == found.right.sum()
    assert len(wrong.get_xdata()) == (~found.right).sum()


def test_importing_the_analyses_imports_no_matplotlib() -> None:
    import subprocess
    import sys

    code = (
        "import sys; import neuroflip.analysis.figures, neuroflip.analysis.predictions; "
        "import neuroflip.analysis.region, neuroflip.analysis.distractors; "
        "bad = {'torch', 'brian2', 'matplotlib', 'numba'} & set(sys.modules); assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
