"""The insides of trained nets: what is stored of a run, and what the report says of it."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from neuroflip.rate import FlipFlop
from neuroflip.sims.paper import experiments, inside, report
from neuroflip.sims.paper.harness import Result
from neuroflip.sims.paper.models import Drawing
from neuroflip.sims.paper.report_tables import Tables

ITEMS = ("E8", "E9", "E10", "E11", "E12", "E13", "C13", "C14", "C15", "C16", "C17")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Arrays this small gain nothing from threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def trained(model: str, epochs: int = 4) -> Result:
    return experiments.run("working_mem/exp_1", model, 1, epochs=epochs, snapshot_every=1)


def opening(result: Result, j: float, k: float) -> None:
    """Let snapshot n have the same gates at all steps, sigma(n j) and sigma(n k) in class 0 and
    1/2 in class 1."""
    for n, weights in enumerate(result.snapshots.values()):
        for name, value in weights.items():
            if name.startswith("layer."):
                value.zero_()
        told = weights["layer.weight_ih_l0"][:, 0]
        told[:64], told[64:] = n * j, n * k
    assert result.model is not None
    result.model.load_state_dict(dict(list(result.snapshots.values())[-1]))


def test_gates_that_are_known() -> None:
    result = trained("FlipFlop")
    opening(result, 1.0, -1.0)
    found = inside.of_gates(result)
    gate = 1 / (1 + np.exp(-np.arange(5.0)))  # of J; K is 1 - J, and moves as far
    way = gate[-1] - gate[0]
    assert found["first_tenth"] == found["first_fifth"] == pytest.approx((gate[1] - 0.5) / way)
    assert found["last_to_first"] == pytest.approx((gate[4] - gate[3]) / (gate[1] - gate[0]))
    assert found["saturated"] == {"J": [0, 0.5], "K": [0, 0.5]}  # sigma(4) = 0.982
    assert found["changed"] == pytest.approx(way / 2)
    assert found["correlation"] == pytest.approx(-1)
    assert found["late"] == pytest.approx(0, abs=1e-7)  # of 4 epochs, the first after 80 % is 4
    assert inside.of_gates(trained("RNN")) == {}


def test_the_late_change_is_that_of_the_last_fifth() -> None:
    result = trained("FlipFlop", 10)
    opening(result, 0.5, -0.5)
    gate = 1 / (1 + np.exp(-0.5 * np.array([8.0, 10.0])))
    found = inside.of_gates(result)
    assert found["late"] == pytest.approx((gate[1] - gate[0]) / 2, rel=1e-4)


def test_weights_that_are_known() -> None:
    """In every epoch every weight of J grows by 1 from 0, and of K by 2 from 2."""
    result = trained("FlipFlop")
    for n, weights in enumerate(result.snapshots.values()):
        for name in ("layer.weight_ih_l0", "layer.weight_hh_l0"):
            weights[name][:64], weights[name][64:] = n, 2 + 2 * n
    found = inside.of_weights(result)
    size = np.sqrt(64 * 66)
    assert found["epochs"] == [1, 2, 3, 4]
    assert found["J"]["moved"] == pytest.approx([size] * 4)
    assert found["K"]["moved"] == pytest.approx([2 * size] * 4)
    assert found["both"] == pytest.approx(
        {"first_tenth": 0.25, "first_fifth": 0.25, "last_to_first": 1}
    )
    assert found["distance"] == pytest.approx([2 * size, 6 * size])
    assert found["apart"] == pytest.approx([1, 6 / np.sqrt(16 + 100)])


def test_outputs_of_a_net_that_draws_its_target() -> None:
    torch.manual_seed(0)
    net = Drawing("RNN", 2, 8, 40)
    drawn = inside.inside(net)["output"].astype(float)
    found = inside.of_outputs(net, drawn, 0.04, seed=0)
    assert found["filtered"] == 0 and found["quarters"] == [0] * 4
    assert found["peak"] == pytest.approx([1, 1]) and found["lag"] == [0, 0]
    assert found["fast_power"] == pytest.approx(1) and found["spectrum"] == pytest.approx(1)
    off = drawn.copy()
    off[:, :10] += 0.2  # a quarter of the steps; its square is the variance
    found = inside.of_outputs(net, off, 0.04, seed=0)
    assert found["filtered"] == pytest.approx(0.25)
    assert found["quarters"] == pytest.approx([1, 0, 0, 0])


def test_noise_on_the_inputs_of_a_net_that_sees_no_past() -> None:
    """With J = sigma(x), K = 1 - J a state is J, and outputs are known from the noise."""
    torch.manual_seed(0)
    net = Drawing("FlipFlop", 2, 1, 30, bias="single")
    assert isinstance(net.layer, FlipFlop)
    with torch.no_grad():
        for p in net.parameters():
            p.zero_()
        net.layer.weight_ih_l0[0], net.layer.weight_ih_l0[1] = 1.0, -1.0
        net.readout.weight.fill_(2.0)
    found = inside.jittered(net, 5, draws=3)
    generator = torch.Generator().manual_seed(5)
    for draw in found:
        x = net.lines + inside.JITTER * torch.randn(2, 30, 2, generator=generator)
        assert draw == pytest.approx(2 * torch.sigmoid(x.sum(-1)).numpy(), abs=1e-6)


@pytest.mark.parametrize("as_published", [False, True])
def test_targets_are_what_the_copies_are_of(as_published: bool) -> None:
    for name in inside.NAMES:
        target = inside.targets(name, 3, as_published)
        copies, _ = experiments.data(experiments.setting(name), 3, as_published)
        for c in range(2):
            mean = copies.targets[copies.inputs == c][..., 0].double().mean(dim=0).numpy()
            assert np.abs(mean - target[c]).max() < 5 * 0.05 / np.sqrt(64)


def test_the_command_writes_a_table_that_the_report_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = experiments.run
    monkeypatch.setattr(inside, "EVERY", 1)
    monkeypatch.setattr(inside, "run", lambda *a, **more: whole(*a, **more, epochs=3))
    out = tmp_path / "results" / "sound"
    inside.main(["--seeds", "2", "--runs", str(tmp_path / "runs"), "--out", str(out)])
    path = out / "inside.json"
    runs = json.loads(path.read_text())["runs"]
    assert [(r["experiment"], r["model"]) for r in runs] == [
        (name, model)
        for name in inside.NAMES
        for _ in range(2)
        for model in ("FlipFlop", "RNN", "LSTM", "GRU")
    ]
    first = runs[0]
    result = whole(inside.NAMES[0], "FlipFlop", 42, epochs=3, snapshot_every=1)
    assert isinstance(result.model, Drawing)
    again = inside.of_states(result.model)
    assert first["states"]["shares"] == pytest.approx(again["shares"], rel=1e-3)
    assert first["states"]["of mean"] == pytest.approx(again["of mean"], rel=1e-3)
    assert path.stat().st_size < 60_000
    page = report.page(Tables(results=tmp_path / "results"))
    for item in ITEMS:
        assert "not run yet (partial: 2 seeds; so far it" in entry(page, item)
    assert not re.search(r"\bnan\b|\binf\b", page)


def test_as_published_is_another_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, seen = experiments.run, []

    def brief(*given: Any, **more: Any) -> Any:
        seen.append(more["as_published"])
        return whole(*given, **more, epochs=2)

    monkeypatch.setattr(inside, "NAMES", inside.NAMES[:1])
    monkeypatch.setattr(inside, "EVERY", 1)
    monkeypatch.setattr(inside, "run", brief)
    told = []
    for mode in ([], ["--as-published"]):
        given = ["--seeds", "1", "--models", "GRU", "--runs", str(tmp_path), "--out", str(tmp_path)]
        inside.main(given + mode)
        told += json.loads((tmp_path / "inside.json").read_text())["runs"]
    assert seen == [False, True]
    # the seed of the paper draws the same curves in both, but of what they are validated on is not
    assert told[0]["ratio"] != told[1]["ratio"]


def entry(page: str, number: str) -> str:
    return page.split(f"\n## {number}. ")[1].split('\n<a id="')[0]


def made(**changes: float) -> dict[str, Any]:
    """A table of five seeds in which everything that the paper says is so, but for `changes`."""
    is_so = {
        "fifth": 0.6, "rest": 0.05, "apart": 1.0, "gates": 0.6, "within": 0.01, "power": 0.9,
        "filtered": 0.2, "breadth": 50.0, "gini": 0.2, "peak": 0.99,
    } | changes  # fmt: skip
    runs = []
    for name in inside.NAMES:
        for n, seed in enumerate(experiments.SEEDS):
            for model in ("FlipFlop", "LSTM"):
                flip, jitter = model == "FlipFlop", 0.001 * n
                way = {
                    "first_tenth": 0.4, "first_fifth": is_so["fifth"],
                    "last_to_first": is_so["rest"],
                }  # fmt: skip
                run: dict[str, Any] = {"experiment": name, "model": model, "seed": seed}
                if flip:
                    run["weights"] = {
                        "epochs": [50, 5000], "both": way, "distance": [4.0, 5.0],
                        "apart": [1.0, is_so["apart"]],
                        **{gate: way | {"moved": [2.0, 0.1]} for gate in "JK"},
                    }  # fmt: skip
                names = ("J", "K") if flip else ("input", "forget", "output gate")
                run["gates"] = way | {
                    "first_fifth": is_so["gates"], "late": 0.01, "changed": 0.2,
                    "saturated": {gate: [0.0, 0.3] for gate in names}, "correlation": -0.1,
                }  # fmt: skip
                run["ratio"] = 1 + is_so["filtered"]
                run["outputs"] = {
                    "filtered": is_so["filtered"] if flip else 0.3,
                    "quarters": [0.1, 0.2, 0.3, 0.4],
                    "within_between": is_so["within"], "spectrum": 0.9,
                    "fast_power": is_so["power"] + jitter if flip else 0.8,
                    "peak": [is_so["peak"] + jitter if flip else 0.9] * 2, "lag": [0, n // 4],
                }  # fmt: skip
                run["states"] = {
                    "of mean": is_so["breadth"] + n if flip else 20.0,
                    "gini of mean": is_so["gini"] + jitter if flip else 0.5,
                    "of deviation": 30.0, "gini of deviation": 0.4, "dimensions": 5.0,
                    "shares": [0.5, 0.7, 0.8],
                }  # fmt: skip
                runs.append(run)
    return {"runs": runs}


def verdicts(folder: Path, table: dict[str, Any]) -> dict[str, str]:
    path = folder / "sound" / "inside.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(table))
    page = report.page(Tables(results=folder))
    found = {item: re.search(r"\*\*Verdict: (.*)\.\*\*", entry(page, item)) for item in ITEMS}
    return {item: match[1] if match else "" for item, match in found.items()}


@pytest.mark.parametrize(
    ("changes", "failing"),
    [
        ({}, ()),
        ({"fifth": 0.45}, ("E8", "C13")),
        ({"rest": 0.2}, ("E8", "C13", "E9", "C14")),
        ({"apart": 0.85}, ("C13",)),
        ({"gates": 0.45}, ("E9", "C14")),
        ({"within": 0.2}, ("E10",)),
        ({"filtered": 1.1}, ("C15",)),
        ({"breadth": 29.0, "peak": 0.895}, ("C16", "E12", "C17")),
        ({"gini": 0.499}, ("E11", "C16")),
    ],
)
def test_verdicts_follow_the_criteria(
    changes: dict[str, float], failing: tuple[str, ...], tmp_path: Path
) -> None:
    found = verdicts(tmp_path, made(**changes))
    for item, word in found.items():
        expected = "does not hold" if item in failing else "holds"
        assert word == expected + (" (shown, no claim)" if item == "E13" else ""), item


def test_uniform_curves_decide_and_sinusoids_are_told_of(tmp_path: Path) -> None:
    found = verdicts(tmp_path, made(power=0.8 - 0.001))  # asked of uniform curves alone
    for item in ("E10", "C15"):
        assert found[item] == "does not hold (uniform curves; on sinusoids it holds)"
    table = made()
    for run in table["runs"]:
        if run["model"] == "LSTM" and run["experiment"] == inside.NAMES[1]:
            run["states"]["of mean"] = 60.0
    word = "holds (uniform curves; on sinusoids it does not hold)"
    found = verdicts(tmp_path, table)
    assert found["E11"] == found["C16"] == word
    table["runs"] = [run for run in table["runs"] if run["experiment"] == inside.NAMES[1]]
    assert set(verdicts(tmp_path, table).values()) == {"not run yet"}


def test_numbers_of_the_page(tmp_path: Path) -> None:
    table = made()
    verdicts(tmp_path, table)
    page = report.page(Tables(results=tmp_path))
    assert "| `working_mem/exp_1` | FlipFlop | 5 | 52 ± 1.6 | 0.202 ± 0.0016 |" in entry(
        page, "E11"
    )
    assert "uniform curves +32 ± 1.6, d = 20.24, p = 0.062, larger in 5 of 5" in entry(page, "E11")
    assert "| `working_mem/exp_1` | LSTM | 5 | 0.9 ± 0 | 0.9 ± 0 | 9 of 10 |" in entry(page, "E12")
    assert "both as asked in 5 of 5 seeds; sinusoids 0.6 ± 0 in the first" in entry(page, "E8")
    for run in table["runs"]:  # pairs are of one seed
        if run["model"] == "LSTM":
            run["states"]["of mean"] = run["seed"]
        else:
            run["states"]["of mean"] = run["seed"] + 3
    table["runs"] = [r for r in table["runs"] if r["model"] == "LSTM" or r["seed"] != 1]
    verdicts(tmp_path, table)
    told = entry(report.page(Tables(results=tmp_path)), "E11")
    assert "uniform curves +3 ± 0, d = " in told and "larger in 4 of 4" in told


def test_what_holds_in_the_mean_alone_is_called_so(tmp_path: Path) -> None:
    table = made()
    first = [r for r in table["runs"] if r["model"] == "FlipFlop"][0]
    first["weights"]["both"]["first_fifth"] = 0.4  # the mean is 0.56
    found = verdicts(tmp_path, table)
    assert found["E8"] == found["C13"] == "holds (in the mean; in 4 of 5 seeds)"
    assert found["E9"] == "holds"
