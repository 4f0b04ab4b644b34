"""The command line: what it prints, what it refuses, and with what exit status."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, final

import numpy as np
import pytest
from typer.testing import CliRunner, Result

import neuroflip as nf
import neuroflip.data
from neuroflip import rules
from neuroflip.cli import _value, app
from neuroflip.engines import numba as numba_engine
from neuroflip.engines import torch as torch_engine
from neuroflip.parameters import parameter
from neuroflip.sims.scenario import pulses, scenarios
from neuroflip.units import ms, pA


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def document(*arguments: object, status: int = 0) -> dict[str, Any]:
    """What `--json` prints."""
    result = call(*arguments, "--json")
    assert (result.exit_code, result.stderr) == (status, "")

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    found: dict[str, Any] = json.loads(result.stdout, parse_constant=refuse)
    return found


def refused(*arguments: object) -> str:
    """The one line on stderr of a command that fails with status 2."""
    result = call(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("Error: ") and result.stderr.count("\n") == 1
    return result.stderr[7:-1]


# list, --version, --help


def test_list() -> None:
    found = document("list")
    assert list(found) == ["circuits", "simulations", "rules", "engines", "data"]
    assert set(found["circuits"]) == set(nf.circuits.CIRCUITS)
    assert found["circuits"]["sr_latch"] == nf.circuits.sr_latch.__doc__.partition("\n")[0]
    assert set(found["circuits"]) | set(found["simulations"]) == set(scenarios())
    assert not set(found["circuits"]) & set(found["simulations"])
    assert "watch_plasticity" in found["simulations"]
    assert set(found["rules"]) == set(rules.RULES)
    assert found["rules"]["PairSTDP"].startswith("Pair STDP")
    assert tuple(found["engines"]) == nf.ENGINES
    assert found["engines"]["numba"] == numba_engine.__doc__.partition("\n")[0]
    assert set(found["data"]) == set(neuroflip.data.DATASETS)
    lines = call("list").stdout.splitlines()
    names = [name for items in found.values() for name in items]
    assert [line.split()[0] for line in lines if line.startswith("  ")] == names
    assert all(line for items in found.values() for line in items.values())


def test_version() -> None:
    result = call("--version")
    assert (result.exit_code, result.stdout) == (0, f"neuroflip {nf.__version__}\n")


def test_help_names_every_command() -> None:
    result = call("--help")
    assert result.exit_code == 0
    for name in ("list", "run", "compare", "rule", "data"):
        assert f"\n  {name} " in result.stdout


def test_help_imports_no_engine() -> None:
    code = (
        "import sys; import neuroflip.cli as cli\n"
        "sys.argv = ['neuroflip', '--help']\n"
        "try:\n    cli.main()\nexcept SystemExit: pass\n"
        "print([m for m in ('numba', 'torch', 'brian2', 'matplotlib', 'rich', 'tqdm')"
        " if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.startswith("Usage: ")
    assert done.stderr == "[]\n"


def test_exit_status_of_the_process() -> None:
    command = [sys.executable, "-m", "neuroflip", "run", "sr_lach"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == (
        "Error: there is no circuit or simulation 'sr_lach'; did you mean 'sr_latch'?\n"
    )


# run


def test_run_is_simulate() -> None:
    found = document("run", "sr_latch", "--duration", "0.7s")
    circuit = nf.circuits.sr_latch()
    expected = nf.simulate(circuit, pulses(circuit, 0.7), duration=0.7)
    assert found["populations"] == {
        name: {"neurons": 1, "spikes": times.size, "rate": times.size / 0.7}
        for name, times in expected.spikes.items()
    }
    assert found["populations"]["Q"]["spikes"] > 20
    assert found["inputs"] == {
        "S": {"sources": 1, "spikes": 1},
        "R": {"sources": 1, "spikes": 1},
    }
    assert found["bits"] == {"Q": 0}
    assert found["threshold_margin"] == expected.threshold_margin
    assert (found["name"], found["circuit"], found["engine"]) == ("sr_latch", "sr_latch", "numba")
    assert (found["duration"], found["dt"], found["seed"]) == (0.7, 0.1 * ms, 0)
    assert found["versions"] == expected.versions
    assert found["seconds"] > 0
    assert found["weights"] == {}
    assert (found["plot"], found["save"]) == (None, None)


def test_run_takes_units_and_parameters() -> None:
    found = document(
        "run", "sr_latch", "--duration", "0.2", "--dt", "0.05*ms", "--engine", "torch",
        "--set", "drive=310 pA", "--set", "neurons=4", "--seed", 3,
    )  # fmt: skip
    circuit = nf.circuits.sr_latch(4, drive=310 * pA)
    expected = nf.simulate(
        circuit, pulses(circuit, 0.2), duration=0.2, dt=0.05 * ms, engine="torch"
    )
    assert (found["dt"], found["engine"], found["seed"]) == (0.05 * ms, "torch", 3)
    counts = {name: entry["spikes"] for name, entry in found["populations"].items()}
    assert counts == {name: times.size for name, times in expected.spikes.items()}
    assert list(counts) == ["Q", "Qbar", "S'", "R'"]
    assert found["bits"] == {"Q": 1}


def test_a_number_that_is_not_known_is_null(monkeypatch: pytest.MonkeyPatch) -> None:
    right = numba_engine.run

    def without_margin(job: Any) -> Any:
        recorder = right(job)
        recorder.margins.clear()
        return recorder

    monkeypatch.setattr(numba_engine, "run", without_margin)
    assert document("run", "sr_latch", "--duration", "10ms")["threshold_margin"] is None
    assert "Smallest distance" not in call("run", "sr_latch", "--duration", "10ms").stdout


def test_run_text() -> None:
    result = call("run", "sr_latch", "--duration", "0.7")
    found = document("run", "sr_latch", "--duration", "0.7")
    assert (result.exit_code, result.stderr) == (0, "")
    words = [line.split() for line in result.stdout.splitlines()]
    assert words[0][:4] == ["sr_latch", "on", "numba:", "700"]
    for name, entry in found["populations"].items():
        assert [name, "1", str(entry["spikes"]), f"{entry['rate']:.4g}", "Hz"] in words
    assert ["S", "1", "1"] in words
    assert "Bits at the end: Q = 0" in result.stdout
    assert "Smallest distance to threshold: " in result.stdout
    assert "Weights" not in result.stdout


def learner(weight: float = 1e-3, *, loud: bool = False) -> nf.Circuit:
    """One plastic synapse, driven twice."""
    return nf.Circuit(
        "learner",
        [nf.Population("out", nf.DeltaLIF(v_threshold=100.0 if not loud else 1e-4))],
        [nf.Projection("in", "out", weight, rule=rules.PairSTDP(w_max=2e-3))],
        [nf.SpikeInput("in")],
    )


def test_run_shows_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(nf.circuits.CIRCUITS, "learner", learner)
    arguments = ("run", "learner", "--duration", "0.6", "--set", "weight=0.5mV", "--set")
    quiet = document(*arguments, "loud=false")
    assert quiet["weights"] == {
        "in->out": {"synapses": 1, "unit": "V", "lowest": 5e-4, "mean": 5e-4, "highest": 5e-4}
    }
    assert quiet["populations"]["out"]["spikes"] == 0
    loud = document(*arguments, "loud=true")
    assert loud["populations"]["out"]["spikes"] == 2
    assert loud["weights"]["in->out"]["mean"] > 5e-4
    assert quiet["bits"] == {}
    text = call(*arguments, "loud=false").stdout
    assert ["in->out", "1"] + ["500", "uV"] * 3 in [line.split() for line in text.splitlines()]


def test_run_saves_and_draws(tmp_path: Path) -> None:
    npz, png = tmp_path / "latch.npz", tmp_path / "latch.png"
    found = document("run", "sr_latch", "--duration", "0.1", "--save", npz, "--plot", png)
    assert (found["save"], found["plot"]) == (str(npz), str(png))
    recording = nf.Recording.load(npz)
    circuit = nf.circuits.sr_latch()
    assert recording == nf.simulate(circuit, pulses(circuit, 0.1), duration=0.1, record="v")
    assert png.read_bytes().startswith(b"\x89PNG")
    assert {p.name for p in tmp_path.iterdir()} == {"latch.npz", "latch.png"}
    again = call("run", "sr_latch", "--duration", "0.1", "--plot", png)
    assert again.stdout.endswith(f"Wrote {png}\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sr_lach"], "there is no circuit or simulation 'sr_lach'; did you mean 'sr_latch'?"),
        (["sr_latch", "--set", "inhibtion=1pA"],
         "--set: sr_latch has no parameter 'inhibtion'; did you mean 'inhibition'?"),
        (["sr_latch", "--set", "duration=1"], "--set: sr_latch has no parameter 'duration'; known"),
        (["sr_latch", "--set", "inhibition"], "--set must be NAME=VALUE; got 'inhibition'."),
        (["sr_latch", "--set", "drive=1pX"], "--set drive: unknown unit 'pX' in '1pX'"),
        (["sr_latch", "--set", "drive=big"], "--set drive must be a number with an optional unit"),
        (["sr_latch", "--set", "neurons=2.5"],
         "--set neurons must be a whole number; got '2.5'."),
        (["sr_latch", "--set", "neurons=3"], "sr_latch: neurons must be 2 or 4; got 3."),
        (["sr_latch", "--set", "neuron=LIF"], "sr_latch: neuron must be a nf.LIF; got 'LIF'."),
        (["sr_latch", "--set", "drive=1pA", "--set", "drive=2pA"], "--set: 'drive' is given twice"),
        (["sr_latch", "--engine", "nmuba"], "unknown engine 'nmuba'; did you mean 'numba'?"),
        (["sr_latch", "--dt", "fast"], "--dt must be a number with an optional unit, like 20ms"),
        (["sr_latch", "--dt", "0"], "dt must be above 0 s; got 0.0."),
        (["sr_latch", "--duration", "1h"], "--duration: unknown unit 'h' in '1h'"),
        (["sr_latch", "--duration", "1.23456s"], "duration must be a whole number of steps"),
        (["sr_latch", "--seed", "-1"], "seed must be a whole number, at least 0; got -1."),
        (["sr_latch", "--plot", "a.jpg"],
         "cannot write 'a.jpg': the name must end in .png, .pdf or .svg."),
        (["sr_latch", "--save", "nowhere/a.npz"],
         "cannot write 'nowhere/a.npz': there is no folder 'nowhere'; make it first."),
    ],
)  # fmt: skip
def test_run_refuses(arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: Any, **__: Any) -> None:
        raise AssertionError("an engine ran")

    for engine in (numba_engine, torch_engine):
        monkeypatch.setattr(engine, "run", forbidden)
    assert message in refused("run", *arguments)


def test_missing_data_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEUROFLIP_CACHE", str(tmp_path))
    assert "run: neuroflip data fetch watch" in refused("run", "watch_plasticity")


def test_warnings_are_one_line_each() -> None:
    result = call("run", "sr_latch", "--duration", "50ms", "--set", "inhibition=50pA", "--json")
    assert result.exit_code == 0
    assert result.stderr.startswith("Warning: sr_latch cannot hold a bit: ")
    assert result.stderr.count("\n") == 1
    assert set(json.loads(result.stdout)["bits"]) == {"Q"}


def test_interruption(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(numba_engine, "run", lambda job: interrupted())
    result = call("run", "sr_latch", "--save", tmp_path / "a.npz")
    assert (result.exit_code, result.stdout, result.stderr) == (130, "", "Interrupted.\n")
    assert list(tmp_path.iterdir()) == []


def test_bugs_keep_their_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(job: Any) -> None:
        raise AssertionError("a bug")

    monkeypatch.setattr(numba_engine, "run", broken)
    result = call("run", "sr_latch")
    assert isinstance(result.exception, AssertionError)


def test_no_progress_bar_without_a_terminal() -> None:
    assert call("run", "sr_latch", "--duration", "50ms").stderr == ""


@pytest.mark.parametrize(
    ("text", "kind", "expected"),
    [
        ("300pA", float, 3e-10),
        ("2", float, 2.0),
        ("-2", int, -2),
        ("true", bool, True),
        ("FALSE", bool, False),
        ("true", str, "true"),
        ("12", str, "12"),
        ("none", float | None, None),
        ("5 ms", float | None, 0.005),
        ("PairSTDP", str | rules.Rule, "PairSTDP"),
        ("4", int | float, 4),
        ("4.5", int | float, 4.5),
        ("4", Any, 4),
        ("4mV", Any, 0.004),
        ("four", Any, "four"),
        ("true", Any, True),
    ],
)
def test_values(text: str, kind: Any, expected: Any) -> None:
    value = _value(text, kind, "x")
    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("yes", bool, "x must be true or false; got 'yes'"),
        ("1e3", int, "x must be a whole number; got '1e3'"),
        ("4 mW", float, "x: unknown unit 'mW'"),
    ],
)
def test_values_refused(text: str, kind: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _value(text, kind, "x")


# compare


def test_compare_agrees() -> None:
    arguments = ("compare", "sr_latch", "--engines", "numba, torch", "--duration", "0.2")
    found = document(*arguments)
    circuit = nf.circuits.sr_latch()
    expected = nf.compare(
        circuit, pulses(circuit, 0.2), duration=0.2, engines=("numba", "torch"), record=("v",)
    )
    assert found == {"name": "sr_latch"} | expected.to_json() | {"plot": None, "save": None}
    assert found["ok"] is True
    assert set(found["max_abs_error"]) == {"Q.v", "Qbar.v"}
    text = call(*arguments)
    assert (text.exit_code, text.stdout.strip()) == (0, str(expected).strip())


def test_compare_with_brian2_by_default(tmp_path: Path) -> None:
    npz, png = tmp_path / "a.npz", tmp_path / "a.png"
    found = document("compare", "sr_latch", "--duration", "20ms", "--save", npz, "--plot", png)
    assert found["engines"] == ["numba", "torch", "brian2"]
    assert (found["reference"], found["ok"]) == ("brian2", True)
    assert nf.Recording.load(npz).engine == "brian2"
    assert png.read_bytes().startswith(b"\x89PNG")


def test_compare_that_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    right = torch_engine.run

    def wrong(job: Any) -> Any:
        """As the engine, without the first spike of Qbar."""
        recorder = right(job)
        found = recorder.fields()
        for field in ("spikes", "neurons", "trials"):
            found[field]["Qbar"] = found[field]["Qbar"][1:]
        recorder.fields = lambda: found
        return recorder

    monkeypatch.setattr(torch_engine, "run", wrong)
    arguments = ("compare", "sr_latch", "--engines", "numba,torch", "--duration", "0.1")
    found = document(*arguments, status=1)
    assert (found["ok"], found["spike_mismatches"]) == (False, 1)
    assert found["spikes"]["torch"] == found["spikes"]["numba"] - 1
    text = call(*arguments)
    assert text.exit_code == 1
    assert "numba, torch DIFFER over 0.1 s" in text.stdout


@pytest.mark.parametrize(
    ("engines", "message"),
    [
        ("numba", "engines must name two or more different engines"),
        ("numba,torhc", "unknown engine 'torhc'; did you mean 'torch'?"),
        ("numba,", "unknown engine ''"),
    ],
)
def test_compare_refuses(engines: str, message: str) -> None:
    assert message in refused("compare", "sr_latch", "--engines", engines)


def test_a_scenario_records_at_any_step() -> None:
    found = document(
        "compare", "watch_plasticity", "--engines", "numba,torch", "--dt", "0.3ms",
        "--duration", "0.3s",
    )  # fmt: skip
    assert found["ok"] and found["dt"] == 0.3 * ms


# rule


@pytest.mark.parametrize("mu", [0, 1])
def test_rule_window(mu: int) -> None:
    found = document("rule", "PairSTDP", "--set", f"mu_plus={mu}", "--set", "tau_plus=10ms")
    rule = rules.PairSTDP(mu_plus=mu, tau_plus=10 * ms)
    assert found["parameters"] == rule.settings()
    assert (found["weight"], found["engine"], found["dt"]) == (0.5, "numba", 0.1 * ms)
    intervals = found["intervals"]
    assert intervals == pytest.approx(np.arange(-50, 51) * ms, abs=1e-12)
    assert found["analytic"] == [rule.window(interval, 0.5) for interval in intervals]
    np.testing.assert_allclose(found["simulated"], found["analytic"], rtol=0, atol=1e-12)
    assert max(found["simulated"]) == pytest.approx(0.005 if mu else 0.01)
    apart = np.abs(np.array(found["simulated"]) - found["analytic"]).max()
    assert found["max_difference"] == apart <= found["tolerance"] == 5e-13
    assert found["ok"] is True


def test_rule_text(tmp_path: Path) -> None:
    png = tmp_path / "w.png"
    result = call("rule", "PairSTDP", "--weight", "0.25", "--engine", "torch", "--plot", png)
    assert (result.exit_code, result.stderr) == (0, "")
    words = [line.split() for line in result.stdout.splitlines()]
    expected = f"{rules.PairSTDP().window(-10 * ms, 0.25):.6g}"
    row = next(line for line in words if line[:2] == ["-10", "ms"])
    assert row[2:4] == [expected, expected]
    assert len([line for line in words if line[1:2] == ["ms"]]) == 21
    assert "Change of a weight of 0.25 by one pair of spikes" in result.stdout
    assert "Formula and torch agree: largest difference " in result.stdout
    assert png.read_bytes().startswith(b"\x89PNG")


def test_rule_takes_words(tmp_path: Path) -> None:
    found = document("rule", "PairSTDP", "--set", "coincidence=depress")
    assert found["parameters"]["coincidence"] == "depress" and found["ok"]
    at_zero = found["intervals"].index(0.0)
    assert found["simulated"][at_zero] == pytest.approx(-0.0105)
    assert "coincidence: unknown 'depres'; did you mean 'depress'" in refused(
        "rule", "PairSTDP", "--set", "coincidence=depres"
    )


def test_rule_beside_measured_data(tmp_path: Path) -> None:
    """Values of the model as in Pfister & Gerstner 2006, all-to-all, full set."""
    png = tmp_path / "t.png"
    found = document("rule", "TripletSTDP", "--plot", png)["measured"]
    labels = ["+10 ms", "-10 ms", "20 Hz, visual cortex", "1 Hz, culture", "1 Hz"]
    assert [curve["label"] for curve in found] == labels
    assert found[1]["at"] == [0.1, 10, 20, 40, 50]
    assert found[1]["measured"] == [-0.29, -0.41, -0.34, 0.56, 0.75]
    expected = [-0.312, -0.334, -0.352, 0.155, 0.727]
    np.testing.assert_allclose(found[1]["rule"], expected, atol=2e-3)
    assert "Bi & Poo 1998" in found[3]["source"] and found[3]["error"] is None
    assert found[4]["axis"][0] == "pre-post-pre (+5, -5) ms"
    assert png.read_bytes().startswith(b"\x89PNG")
    assert document("rule", "InhibitorySTDP")["measured"] == []


def test_rule_of_a_published_set() -> None:
    given = "rule", "GraupnerBrunel", "--preset", "cortical slices"
    found = document(*given, "--set", "w_max=2")
    wanted = rules.GraupnerBrunel.preset("cortical slices", w_max=2.0)
    assert found["parameters"] == wanted.settings() and len(found["measured"]) == 5
    assert document(*given, "--set", "tau=300")["measured"] == []  # no published set any more
    assert "PairSTDP has no published sets for --preset; those that have: TripletSTDP, " in refused(
        "rule", "PairSTDP", "--preset", "visual"
    )
    assert "unknown preset 'cortical'; did you mean 'cortical slices'?" in refused(
        "rule", "GraupnerBrunel", "--preset", "cortical"
    )


def test_rule_of_rates(tmp_path: Path) -> None:
    png = tmp_path / "r.png"
    found = document("rule", "Oja", "--set", "rate=0.1", "--weight", "0.5", "--plot", png)
    expected = [0.1 * y * (1 - 0.5 * y) for y in found["at"]]
    np.testing.assert_allclose(found["change"], expected, atol=1e-12)
    assert png.read_bytes().startswith(b"\x89PNG")
    text = call("rule", "Oja").stdout
    assert "Change of a weight of" in text and "by one presentation" in text


def test_rule_of_transmission() -> None:
    found = document("rule", "ShortTerm", "--set", "utilization=0.25")
    assert found["fraction"][:1] == pytest.approx([0.25]) and len(found["fraction"]) == 10
    assert found["fraction"] == sorted(found["fraction"], reverse=True)


def test_rule_options_that_do_not_apply_are_refused() -> None:
    message = "--engine and --dt are for windows of pairs; Oja has none."
    assert message in refused("rule", "Oja", "--engine", "torch")
    assert message in refused("rule", "Oja", "--dt", "1ms")


def test_rule_check() -> None:
    found = document("rule", "PairSTDP", "--check")
    assert found["ok"] and {row["outcome"] for row in found["rows"]} == {"ok"}
    assert {"window", "engines agree", "reset = fresh"} <= {row["check"] for row in found["rows"]}


def test_rule_weight_is_halfway_between_the_bounds() -> None:
    found = document("rule", "PairSTDP", "--set", "w_min=100pA", "--set", "w_max=400pA")
    assert found["weight"] == pytest.approx(250 * pA)
    assert found["tolerance"] == pytest.approx(250 * pA * 1e-12)
    assert found["ok"] is True


@final
@dataclass(frozen=True)
class Doubtful(rules.Rule):
    """A rule whose closed form is off by `error`."""

    error: float = parameter(0.0)

    on_post: ClassVar[str] = "w = w + 0.25"

    def window(self, interval: float, weight: float) -> float:
        return 0.25 + self.error


@final
@dataclass(frozen=True)
class Formless(rules.Rule):
    """A rule without a closed form."""

    on_post: ClassVar[str] = "w = w + 0.25"


def test_rule_that_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(rules.RULES, "Doubtful", Doubtful)
    assert document("rule", "Doubtful")["ok"] is True
    assert document("rule", "Doubtful", "--set", "error=1e-13")["ok"] is True
    found = document("rule", "Doubtful", "--set", "error=1e-12", status=1)
    assert found["ok"] is False
    assert found["max_difference"] == pytest.approx(1e-12, rel=1e-3)
    text = call("rule", "Doubtful", "--set", "error=1")
    assert text.exit_code == 1
    assert "Formula and numba DIFFER: largest difference 1.0e+00" in text.stdout


def test_rule_without_closed_form(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(rules.RULES, "Formless", Formless)
    found = document("rule", "Formless")
    assert (found["analytic"], found["max_difference"], found["ok"]) == (None, None, True)
    assert found["simulated"] == [0.25] * 101
    text = call("rule", "Formless")
    assert text.exit_code == 0
    assert "Formless has no closed form" in text.stdout
    assert "formula" not in text.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["PairSTPD"], "there is no rule 'PairSTPD'; did you mean 'PairSTDP'?"),
        (["PairSTDP", "--set", "tau_puls=1ms"],
         "--set: PairSTDP has no parameter 'tau_puls'; did you mean 'tau_plus'?"),
        (["PairSTDP", "--set", "tau_plus=0"], "PairSTDP.tau_plus must be above 0 s; got 0.0."),
        (["PairSTDP", "--weight", "2"], "within the bounds of PairSTDP"),
        (["PairSTDP", "--weight", "much"], "--weight must be a number"),
        (["PairSTDP", "--dt", "-1ms"], "--dt must be above 0 s; got '-1ms'."),
        (["PairSTDP", "--plot", "w.txt"], "the name must end in .png, .pdf or .svg."),
        (["none", "--set", "a=1"], "--set: none has no parameter 'a'; there are none."),
    ],
)  # fmt: skip
def test_rule_refuses(arguments: list[str], message: str) -> None:
    assert message in refused("rule", *arguments)


# data


def test_data_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEUROFLIP_CACHE", str(tmp_path))
    found = document("data", "list")
    assert set(found) == set(neuroflip.data.DATASETS)
    assert found["watch"]["path"] is None
    assert found["watch"]["licence"] == neuroflip.data.DATASETS["watch"].licence
    assert "not here yet; run: neuroflip data fetch watch" in call("data", "list").stdout
    path = neuroflip.data.DATASETS["watch"].path
    path.parent.mkdir(parents=True)
    path.touch()
    assert document("data", "list")["watch"]["path"] == str(path)
    assert str(path).startswith(str(tmp_path))
    assert str(path) in call("data", "list").stdout


def test_data_fetch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neuroflip.data, "fetch", lambda name: Path("somewhere") / name)
    result = call("data", "fetch", "watch")
    assert (result.exit_code, result.stdout) == (0, f"{Path('somewhere') / 'watch'}\n")


def test_data_fetch_refuses() -> None:
    assert refused("data", "fetch", "wach") == (
        "there is no data set 'wach'; did you mean 'watch'?"
    )


def test_data_fetch_that_fails_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> Path:
        raise RuntimeError("pip could not bring it\nno network")

    monkeypatch.setattr(neuroflip.data, "fetch", fail)
    assert refused("data", "fetch", "watch") == "pip could not bring it no network"


def test_sweep(tmp_path: Path) -> None:
    grid = ["--set", "inhibition=200pA:400pA:3", "--set", "delay=1ms,2ms"]
    quick = ["--duration", "300ms", "--jobs", "1"]
    cells = document("sweep", "sr_latch", *grid, *quick, "--path", tmp_path / "cells")["cells"]
    assert [(c["inhibition"], c["delay"]) for c in cells] == [
        (pytest.approx(w * pA), pytest.approx(d * ms)) for w in (200, 300, 400) for d in (1, 2)
    ]
    assert all(c["bit_Q"] == 1 and c["error"] is None for c in cells)
    wrong = call("sweep", "sr_latch", "--set", "neurons=2,3", *quick)
    assert wrong.exit_code == 1 and "neurons must be 2 or 4; got 3" in wrong.output
    assert "no circuit or simulation 'sr_lach'" in refused("sweep", "sr_lach")
    message = refused("sweep", "sr_latch", "--set", "inhibitio=1")
    assert "sr_latch has no parameter 'inhibitio'" in message
