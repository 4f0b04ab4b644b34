"""The page about the founding paper: complete, up to date, and made of the stored numbers."""

import json
import re
import shutil
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from typer.main import get_command

from neuroflip.cli import app
from neuroflip.sims.paper import report
from neuroflip.sims.paper.experiments import RESULTS, SETTINGS, STORED
from neuroflip.sims.paper.items import ITEMS, NOT_RUN, VERDICTS
from neuroflip.sims.paper.paired import paired
from neuroflip.sims.paper.report_tables import Tables, significant

ROOT = Path(__file__).parents[3]
LAST = {"S": 14, "E": 16, "C": 20, "W": 6}
KNOWN = [f"{kind}{n}" for kind, last in LAST.items() for n in range(1, last + 1)]


@pytest.fixture(scope="module")
def page() -> str:
    return report.page()


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A copy of our tables that may be changed."""
    shutil.copytree(RESULTS, tmp_path / "results")
    return tmp_path / "results"


def entry(page: str, number: str) -> str:
    """What the page has under an item."""
    return page.split(f"\n## {number}. ")[1].split('\n<a id="')[0]


def change(path: Path, edit) -> None:
    table = json.loads(path.read_text())
    edit(table)
    path.write_text(json.dumps(table))


def test_the_page_of_the_repository_is_what_the_command_prints(page, capsys, tmp_path):
    kept = ROOT / "docs" / "paper.md"
    if not kept.parent.exists():
        pytest.skip("no docs/ beside the tests")
    assert kept.read_text(encoding="utf-8") == page
    report.main([])
    assert capsys.readouterr().out == page
    report.main(["--out", str(tmp_path / "paper.md")])
    assert (tmp_path / "paper.md").read_text(encoding="utf-8") == page


def test_every_item_is_there_once_with_a_verdict(page):
    assert [item.number for item in ITEMS] == KNOWN
    assert re.findall(r"^## (\w+)\. ", page, re.MULTILINE) == KNOWN
    summary = re.findall(r"^\| \[(\w+)\]\(#\w+\) \| .* \| (.*) \|$", page, re.MULTILINE)
    assert [number for number, _ in summary] == KNOWN
    for number, word in summary:
        assert word.startswith(VERDICTS)
        text = entry(page, number)
        assert f"**Verdict: {word}.**" in text
        for label in ("The paper", "Its stored numbers", "Ours"):
            assert re.search(rf"\*\*{label}:\*\*\s+\S", text), (number, label)
    assert not re.search(r"\bnan\b|\binf\b", page)


def test_what_has_not_been_run_is_called_so(tmp_path):
    """Without a table of ours no item that needs one is said to hold or not."""
    (tmp_path / "results").mkdir()
    bare = report.page(Tables(results=tmp_path / "results"))
    for number in report.COMPUTED:
        word = re.search(r"\*\*Verdict: (.*)\.\*\*", entry(bare, number))[1]
        if number not in ("S2", "S3", "C1"):  # by tests, and by counting
            assert word.startswith((NOT_RUN, "was never tested")), (number, word)


def test_our_numbers_come_from_our_tables(page, results):
    name = "published/signal_gen-sinusoidal_0.json"
    runs = json.loads((results / name).read_text())["runs"]
    losses = [run["train"]["final"] for run in runs if run["model"] == "LSTM"]
    told = f"| {np.mean(losses):.4g} ± {np.std(losses, ddof=1):.2g} |"
    assert told in entry(page, "E1")

    def edit(table):
        for run in table["runs"]:
            run["train"]["final"] += run["model"] == "LSTM"

    change(results / name, edit)
    assert told not in entry(report.page(Tables(results=results)), "E1")


def test_their_numbers_come_from_their_table(page, tmp_path):
    assert "in 10 of 11 experiments" in entry(page, "E5")  # as counted by hand from the paper's
    shutil.copy(STORED, tmp_path / "stored.json")

    def edit(stored):
        models = stored["experiments"]["mem_retention/exp_1"]["models"]
        models["FlipFlop"]["largest_rise_train"] = 9.0

    change(tmp_path / "stored.json", edit)
    other = report.page(Tables(stored=tmp_path / "stored.json"))
    assert "in 9 of 11 experiments" in entry(other, "E5")


def sound(results: Path, name: str, ratio: float, seeds: int, calm: str = "FlipFlop") -> None:
    """Tables as an experiment in the sound mode would leave them."""
    floor = SETTINGS[name].floor
    runs = [
        {
            "model": model, "seed": seed, "ratio": ratio, "best_ratio": 1.0,
            "train": {
                "final": ratio * floor,
                "roughness": 0.01 + 0.001 * seed,
                "largest_rise": 0.01 if model == calm else 0.1 + 0.01 * seed,
            },
            "held": {"final": ratio * floor * (1 + 0.01 * seed)},
        }
        for model in ("FlipFlop", "RNN", "LSTM", "GRU")
        for seed in range(seeds)
    ]  # fmt: skip
    path = results / "sound" / f"{name.replace('/', '-')}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"runs": runs}))


def verdict(results: Path, number: str) -> str:
    text = entry(report.page(Tables(results=results)), number)
    return re.search(r"\*\*Verdict: (.*)\.\*\*", text)[1]


def test_a_verdict_follows_the_numbers(results):
    name = "signal_gen/sinusoidal_0"
    for ratio, seeds, word in (
        (1.1, 5, "holds"),
        (1.2, 5, "does not hold"),
        (1.1, 3, "not run yet (partial: 3 seeds; so far it holds)"),
    ):
        sound(results, name, ratio, seeds)
        assert verdict(results, "E1") == word


def test_who_is_steadiest(results):
    names = [name for name, which in SETTINGS.items() if which.item == "E5"]
    sound(results, names[0], 2.0, 5)
    assert verdict(results, "C7") == "not run yet (partial: 1 of 11 experiments; there it holds)"
    for name in names:
        sound(results, name, 2.0, 5)
    assert verdict(results, "E5") == verdict(results, "C7") == "holds"
    for name in names:
        sound(results, name, 2.0, 5, calm="LSTM")
    assert verdict(results, "E5") == "does not hold"
    assert "correlations of 11 experiments" in verdict(results, "C9")


def test_recall_within_a_trial(results):
    runs = [
        {"model": model, "seed": seed, "strength": [1.0, 0.5 + 0.1 * seed]}
        for model in ("FlipFlop", "LSTM, chrono")
        for seed in range(3)
    ]
    (results / "sound").mkdir(exist_ok=True)
    table = {"distractors": 10, "strengths": [0.0, 8.0], "runs": runs}
    (results / "sound" / "retention.json").write_text(json.dumps(table))
    text = entry(report.page(Tables(results=results)), "E5")
    assert "| LSTM, chrono | 3 | 1 ± 0 | 0.6 ± 0.1 |" in text


def test_stand_ins_are_named(page):
    assert "No reproduction of IMDB" in entry(page, "E3")
    assert "No reproduction of UCF11" in entry(page, "E4")
    for number in ("E3", "E4", "C2", "C5", "C6"):
        assert re.search(r"\*\*Verdict: (not run yet|was never tested)", entry(page, number))


def test_the_least_p_of_few_seeds_is_significant():
    assert significant(paired([1.0] * 5, [0.0] * 5))
    assert not significant(paired([1.0] * 4, [0.0] * 4))
    assert not significant(paired([1.0, 1, 1, 1, -0.5], [0.0] * 5))


def test_what_the_page_names_is_there(page):
    for module in set(re.findall(r"python -m ([\w.]+)", page)):
        assert find_spec(module), module
    commands = get_command(app).commands
    for command in set(re.findall(r"`neuroflip (\w+)", page)):
        assert command in commands, command
    if (ROOT / "docs").exists():
        for path in set(re.findall(r"`(tests/[\w/]+\.py)`", page)):
            assert (ROOT / path).exists(), path
