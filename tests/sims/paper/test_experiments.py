"""The experiments: their settings against the stored ones, their data, modes, records, tables."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch

from neuroflip.sims.paper import experiments
from neuroflip.sims.paper.experiments import (
    SETTINGS,
    Setting,
    build,
    data,
    main,
    read,
    record,
    robustness,
    run,
    setting,
)
from neuroflip.sims.paper.models import Sequential, count
from neuroflip.tasks.signals import curves

STORED = json.loads((Path(experiments.__file__).parent / "published.json").read_text())


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Arrays this small gain nothing from threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_are_the_stored_ones(name: str) -> None:
    which, stored = setting(name), STORED["experiments"][name]["config"]
    assert which.steps == stored["seq_length"] and len(which.counts) == stored["num_classes"]
    assert which.noise == stored["noise_std"] and which.hidden == stored["hidden_size"]
    assert which.epochs == stored["epochs"] and which.batch_size == stored["batch_size"]
    assert which.learning_rate == stored["learning_rate"]
    if stored["grad_clip"]:
        assert which.clip_norm == stored["grad_clip_norm"]
    if "num_signals_for_actual_data" in stored:
        first, others = (
            stored[f"num_signals_for_{kind}_data"] for kind in ("actual", "interference")
        )
        assert which.counts == (first,) + (others,) * (len(which.counts) - 1)
        assert which.interference
    else:
        copies = stored.get("num_signals_per_class", stored.get("signals_per_class"))
        assert set(which.counts) == {copies} and not which.interference
    assert which.curve == stored.get("dataset_type", "uniform")
    for model, numbers in STORED["experiments"][name]["models"].items():
        if model in ("FlipFlop", "RNN", "LSTM", "GRU"):
            assert count(build(which, model)) == numbers["num_params"]


def test_all_stored_signal_experiments_are_there() -> None:
    left = set(STORED["experiments"]) - set(SETTINGS)
    assert {name.partition("/")[0] for name in left} == {
        "sent_analysis",  # not of signals
        "visualization_data_task",  # mem_retention 10 and 8, working_mem 4 and 8, drawn
        "learning_rules",  # exp_1, the first 5 epochs of exp_2
    }


def test_held_out_copies_are_new_and_published_ones_are_not() -> None:
    name = "mem_retention/exp_11"
    trained, held = data(setting(name), 5)
    assert trained.inputs.tolist() == held.inputs.tolist() == [0] * 64 + [1] * 24 + [2] * 24
    apart = (trained.targets - held.targets).double()
    assert apart.std().item() == pytest.approx(0.05 * np.sqrt(2), rel=0.03)
    drawn = curves("uniform", 100, 3, seed=5)
    clean = trained.targets[trained.inputs == 1].mean(dim=0)[:, 0] - drawn[:, 1] / 10
    assert clean.abs().max() < 5 * 0.05 / np.sqrt(24)

    trained, held = data(setting(name), 5, as_published=True)
    assert torch.equal(held.targets, trained.targets[::4]) and len(held) == 28
    paper = curves("uniform", 100, 3, seed=42)
    assert (trained.targets[0, :, 0] - paper[:, 0]).abs().max() < 5 * 0.05


def test_modes_differ_in_data_and_clipping() -> None:
    sound, published = (
        run("working_mem/exp_1", "GRU", 3, as_published=mode, epochs=1) for mode in (False, True)
    )
    assert sound.config["clip_norm"] == 1.0 and published.config["clip_norm"] is None
    assert sound.config["experiment"] == "working_mem/exp_1" and sound.config["steps"] == 64
    assert run("task_param/exp_5", "RNN", epochs=1).config["clip_norm"] == 1e-3


def test_a_net_learns_to_draw_two_curves_to_the_noise() -> None:
    """A short training on short curves ends near the floor; a broken one would end at 1/3."""
    which = Setting("E1", (64, 64), 8, learning_rate=0.01)
    training = experiments.Training(epochs=60, learning_rate=0.02)
    result = experiments.train(
        lambda: build(which, "FlipFlop"), *data(which, 0), training, describe={"noise": 0.05}
    )
    assert result.curves["held"][-1] < 2 * which.floor
    # of training copies the mean is learned, so the error there may be below the floor, not here
    assert min(result.curves["held"]) > 0.9 * which.floor


def test_record_and_robustness() -> None:
    result = run("signal_gen/sinusoidal_0", "FlipFlop", 1, epochs=3)
    held = data(setting("signal_gen/sinusoidal_0"), 1)[1]
    found = record(result, held)
    assert found["held"]["final"] == result.curves["held"][-1]
    assert found["ratio"] == pytest.approx(found["held"]["final"] / 0.0025)
    assert found["epochs"] == [1, 2, 3]
    assert found["curves"]["held"] == result.curves["held"]
    noisy = found["robustness"]
    small, large = noisy["weights"]["0.01"], noisy["weights"]["0.3"]
    assert small == pytest.approx(found["held"]["final"], rel=0.1) and large != small
    # the weights are put back, and noise of no strength changes nothing
    again = robustness(result, held)
    assert again == noisy
    model = result.model
    with torch.no_grad():
        assert torch.equal(Sequential.forward(model, model.lines), model(torch.arange(2)))


def test_command_runs_resumes_and_writes_tables(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = {**SETTINGS, "task_param/exp_1": Setting("E15", (8, 8), 6, epochs=3)}
    monkeypatch.setattr(experiments, "SETTINGS", short)
    given = [
        "task_param/exp_1", "--models", "RNN,FlipFlop", "--seeds", "2", "--runs",
        str(tmp_path / "runs"), "--out", str(tmp_path / "out"),
    ]  # fmt: skip
    main(given)
    assert "FlipFlop" in capsys.readouterr().out
    table = read("task_param/exp_1", results=tmp_path / "out")
    assert [(r["model"], r["seed"]) for r in table["runs"]] == [
        ("FlipFlop", 0), ("FlipFlop", 42), ("RNN", 0), ("RNN", 42),
    ]  # fmt: skip
    assert table["setting"]["counts"] == list(asdict(short["task_param/exp_1"])["counts"])
    assert table["versions"]["torch"]
    monkeypatch.setattr(experiments, "run", None)  # nothing is run again
    main(given)
    assert read("task_param/exp_1", results=tmp_path / "out") == table
    with pytest.raises(ValueError, match="unknown experiment 'tsk_param/exp_1'; did you mean"):
        main(["tsk_param/exp_1"])
    with pytest.raises(FileNotFoundError):
        read("working_mem/exp_1", results=tmp_path / "out")


def test_curves_are_kept_of_the_usual_seeds(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = {**SETTINGS, "task_param/exp_1": Setting("E15", (8, 8), 6, epochs=2)}
    monkeypatch.setattr(experiments, "SETTINGS", short)
    main(
        ["task_param/exp_1", "--models", "RNN", "--seeds", "7", "--as-published"]
        + ["--runs", str(tmp_path / "runs"), "--out", str(tmp_path / "out")]
    )
    found = read("task_param/exp_1", True, tmp_path / "out")["runs"]
    assert [r["seed"] for r in found] == [0, 1, 2, 3, 4, 42, 5]
    assert [r["seed"] for r in found if "curves" in r] == [0, 1, 2, 3, 42]
    assert all(np.isfinite(r["train"]["final"]) for r in found)
    with pytest.raises(SystemExit):
        main(["task_param/exp_1", "--seeds", "0"])
    assert "--seeds must be at least 1; got 0." in capsys.readouterr().err
