"""What `neuroflip bench spiking` found, as tables and as a figure."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neuroflip.tables import table

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def report(result: dict[str, Any]) -> str:
    """The result of `bench` as tables."""
    parts = []
    if result["quick"]:
        parts.append("Short runs of small networks: the ratios mean nothing.")
    for name, workload in result["workloads"].items():
        rate = f", {workload['rate_hz']:.3g} Hz" if "rate_hz" in workload else ""
        parts.append(
            table(
                f"{name}: {workload['about']}, {workload['sizes']['duration']:g} s{rate}",
                ("system", "spikes", "of neuroflip", "first start", "build", "second start",
                 "build", "loop", "whole call", "peak MiB"),
                [_row(s, found, workload["agreement"]) for s, found in workload["systems"].items()],
            )
        )  # fmt: skip
        for system, compared in workload["agreement"].items():
            if system not in workload["systems"]:
                parts.append(f"{system}: {_agreement(compared)}")
    rows = []
    for name, workload in result["workloads"].items():
        rows += [(name, pair, *_numbers(kinds)) for pair, kinds in workload["ratios"].items()]
    rows += [
        ("geometric mean", pair, *_numbers(kinds))
        for pair, kinds in result["geometric_mean"].items()
    ]
    if rows:
        columns = ("workload", "pair", *_KINDS.values())
        parts.append(table("ratios; lower is better for neuroflip", columns, rows))
    if result["scaling"]:
        parts.append(_scaling_table(result["scaling"]))
    return "\n\n".join(parts)


_KINDS = {"loop": "loop", "call": "call / loop", "start": "second start", "memory": "memory"}


def _numbers(kinds: Mapping[str, float]) -> list[str]:
    return [f"{kinds[kind]:.3f}" if kind in kinds else "" for kind in _KINDS]


def _row(
    system: str, found: Mapping[str, Any], agreement: Mapping[str, Mapping[str, Any]]
) -> tuple[object, ...]:
    if "error" in found:
        return (system, "", found["error"], *[""] * 7)
    compared = agreement.get(system)
    peaks = [found[name] for name in ("peak_bytes", "program_peak_bytes") if name in found]
    return (
        system,
        found["spikes"],
        _agreement(compared) if compared else "",
        *(
            _s(found[start][name])
            for start in ("first", "second")
            for name in ("total_s", "build_s")
        ),
        _s(found["loop_s"]),
        _s(found["call_s"]) if "call_s" in found else "",
        " + ".join(f"{peak / 2**20:.0f}" for peak in peaks),
    )


def _agreement(compared: Mapping[str, Any]) -> str:
    if "error" in compared:
        return str(compared["error"])
    if compared["same_spikes"]:
        text = f"the same {compared['spikes']} spikes"
    else:
        text = f"differ from {compared['first_difference_s']:g} s on"
    if compared["weights_differ"] is not None:
        text += f", weights to {compared['weights_differ']:.0e}"
    return text


def _scaling_table(scaling: Mapping[str, Any]) -> str:
    rows = [
        (f"{row['synapses']:,}", f"{row['neurons']:,}", f"{row['events']:,}", _s(row["loop_s"]),
         _s(row["call_s"]), f"{row['ns_per_event']:.1f}", f"{row['bare_ns_per_event']:.1f}",
         "" if row["peak_bytes"] is None else f"{row['peak_bytes'] / 2**20:.0f}")
        for row in scaling["rows"]
    ]  # fmt: skip
    columns = ("plastic synapses", "neurons", "synaptic events", "loop", "whole call",
               "ns an event", "of memory alone", "peak MiB")  # fmt: skip
    if "error" in scaling:
        title = f"scaling: {scaling['error']}"
    elif scaling["exponent"] is None:
        title = "scaling: too short to time"
    else:
        title = f"scaling: the time of the loop grows as events to the {scaling['exponent']:.2f}"
    return table(title, columns, rows)


def _s(seconds: float) -> str:
    """A time, in three digits."""
    return (
        f"{seconds:.1f} s" if seconds >= 10 else f"{1e3 * seconds:.{0 if seconds > 1 else 1}f} ms"
    )


def draw_scaling(result: dict[str, Any], path: str | Path | None = None) -> "Figure":
    """Time of the loop over synaptic events, of the workloads "scaling" and "big".

    result: of `bench`. path: write the figure there as well (.png, .pdf, .svg).
    Raises ValueError for a result without "scaling".
    """
    from neuroflip.figures import COLOURS, _figure, _written, check_path

    if not result["scaling"] or not result["scaling"]["rows"]:
        raise ValueError('the result has no "scaling" to draw; bench(["scaling"]) measures it.')
    if path is not None:
        check_path(path)
    rows = result["scaling"]["rows"]
    events, loops = (np.array([row[name] for row in rows], float) for name in ("events", "loop_s"))
    curves = {"neuroflip": (events, loops)}
    for system in ("neuroflip", "Brian2 C++"):
        found = [
            (w["events"], w["systems"][system]["loop_s"])
            for name, w in result["workloads"].items()
            if name.startswith("big") and "loop_s" in w["systems"].get(system, {})
        ]
        if found:
            x, y = np.array(sorted(found), float).T
            curves[f"{system}, 5,000 to 20,000 neurons"] = (x, y)
    figure = _figure(6.0, 4.5)
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    for (label, (x, y)), colour in zip(curves.items(), COLOURS, strict=False):
        axes.loglog(x, y, "o-", color=colour, linewidth=1.2, markersize=5, label=label)
    per_event = float(np.median(loops / events))
    axes.loglog(
        events, per_event * events, ":", color="0.4", linewidth=1.0,
        label=f"{1e9 * per_event:.2g} ns an event",
    )  # fmt: skip
    axes.set_xlabel("synaptic events")
    axes.set_ylabel("time of the simulation loop (s)")
    axes.legend(frameon=False, fontsize=8)
    return _written(figure, path)
