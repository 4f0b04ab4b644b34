"""The page about the founding paper: complete, up to date, and made of the stored numbers."""

import json
import math
import re
import shutil
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from typer.main import get_command

from neuroflip.cli import app
from neuroflip.sims.paper import report
from neuroflip.sims.paper.experiments import RESULTS, SEEDS, SETTINGS, STORED
from neuroflip.sims.paper.figures import FIGURES
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
    """A copy of our tables, but for the sound runs, that may be changed."""
    shutil.copytree(RESULTS, tmp_path / "results", ignore=shutil.ignore_patterns("sound"))
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


def test_every_figure_is_there_with_its_item(page):
    rows = re.findall(
        r"^\| (\d+) \| \[(\w+)\]\(#\w+\) \| (.+) \| `neuroflip fig (\d+)` \|$", page, re.M
    )
    assert [int(number) for number, *_ in rows] == list(FIGURES)
    titles = {item.number: item.title for item in ITEMS}
    for number, item, title, command in rows:
        assert title == titles[item] and command == number


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
            "model": model, "seed": seed, "ratio": ratio, "best_ratio": ratio,
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


def test_wins_and_losses(results):
    """Two experiments of five seeds each: one that the flip-flop net wins, one that it loses to the
    GRU; in the stand-ins it is as good as both."""
    for name in ("sentiment-snippets", "actions-watch"):
        change(results / f"{name}.json", lambda t: [run.update(test=0.5) for run in t["runs"]])

    def edit(factors, seeds=5):
        def by(table):
            for run in table["runs"]:
                run["best_ratio"] = factors.get(run["model"], 1.0) * (1 + 0.1 * run["seed"])
            table["runs"] = [r for r in table["runs"] if r["seed"] in (42, 0, 1, 2, 3)[:seeds]]

        return by

    _as_sound(results, "working_mem-exp_1", edit({"LSTM": 10.0, "GRU": 10.0}))
    _as_sound(results, "working_mem-exp_2", edit({"GRU": 0.1}))
    _as_sound(results, "working_mem-exp_3", edit({"GRU": 0.1}, seeds=4))
    text = entry(report.page(Tables(results=results)), "C2")
    assert "| LSTM | 1 | 3 | 0 |" in text and "| GRU | 1 | 2 | 1 |" in text
    assert re.search(r"`working_mem/exp_1` \| 5 \| -1 ± \S+, win \| -1 ± \S+, win \|", text)
    assert re.search(r"`working_mem/exp_2` \| 5 \| \+0 ± 0, draw \| \+1 ± \S+, loss \|", text)
    assert "exp_3" not in text and "It wins 2 of 8." in text
    assert verdict(results, "C2") == "holds (4 experiments)"
    for name in [n for n, which in SETTINGS.items() if which.item == "E6"]:
        _as_sound(results, name.replace("/", "-"), edit({"LSTM": 2.0, "GRU": 2.0}))
    assert verdict(results, "C2") == "does not hold (11 experiments)"


def test_smooth_and_general(results):
    """Rough models lose more on new copies, or less."""
    for sign, word in ((1, "holds"), (-1, "does not hold")):

        def edit(table, sign=sign):
            for n, run in enumerate(table["runs"]):
                run["train"]["roughness"] = math.exp(n)
                run["held"]["final"] = run["train"]["final"] * math.exp(sign * n)

        names = [n for n, which in SETTINGS.items() if which.item == "E5"]
        for name in names:
            _as_sound(results, name.replace("/", "-"), edit)
        assert verdict(results, "C9") == f"{word} (11 experiments)"
        text = entry(report.page(Tables(results=results)), "C9")
        assert f"`mem_retention/exp_4` {sign:.2f}" in text


def test_the_ablations_are_asked_what_the_experiments_are(results):
    for path in results.glob("sentiment-snippets-*.json"):
        path.unlink()
    for name, ratio in (("sinusoidal_0", 1.1), ("sinusoidal_1", 1.1), ("uniform_0", 2.0)):
        sound(results, f"signal_gen/{name}", ratio, 5)
    told = "(as asked, sinusoids: 2 of 2; uniform curves: {} of {}; sentiment, on a stand-in for "
    told += "IMDB: {} of {})"
    assert verdict(results, "E16") == "not run yet " + told.format(1, 1, 1, 1)
    sound(results, "signal_gen/uniform_1", 2.0, 5)
    for size in ("larger_params_1", "small_params_large_context_1", "smaller_params_1"):
        shutil.copy(
            results / "sentiment-snippets.json", results / f"sentiment-snippets-{size}.json"
        )
    assert verdict(results, "E16") == "holds " + told.format(2, 2, 4, 4)

    def worse(table):
        for run in table["runs"]:
            run["test"] -= 0.02 * (run["model"] == "FlipFlop")

    change(results / "sentiment-snippets-larger_params_1.json", worse)
    assert verdict(results, "E16") == "does not hold " + told.format(2, 2, 3, 4)
    sound(results, "signal_gen/uniform_1", 1.0, 5)
    assert verdict(results, "E16") == "does not hold " + told.format(1, 2, 3, 4)
    everyone = "FlipFlop and RNN and LSTM and GRU on `signal_gen/uniform_1`"
    assert verdict(results, "E2") == f"does not hold ({everyone})"


def test_one_noise_is_enough_to_fail(results):
    names = [n for n, which in SETTINGS.items() if which.item == "E14"]

    def edit(ratio):
        def by(table):
            for run in table["runs"]:
                run["best_ratio"] = ratio

        return by

    _as_sound(results, names[0].replace("/", "-"), edit(1.1))
    assert verdict(results, "E14") == "not run yet (partial: 1 of 5 experiments; there it holds)"
    _as_sound(results, names[1].replace("/", "-"), edit(1.2))
    assert verdict(results, "E14") == "does not hold (in 1 of 2 run, of 5)"
    for name in names:
        _as_sound(results, name.replace("/", "-"), edit(1.1))
    assert verdict(results, "E14") == "holds"


def test_slower_is_the_mean_over_the_epochs(results):
    names = [n for n, which in SETTINGS.items() if which.item == "E6"]

    def edit(table):
        for run in table["runs"]:
            run["epochs"] = [1, 2, 4]
            high = 10.0 if run["model"] == "FlipFlop" else 1.0
            run["curves"]["held"] = [high, high, high]
            run["train"]["roughness"] = 1 / high

    for name in names[:-1]:
        _as_sound(results, name.replace("/", "-"), edit)
    ran = "8 of 9 experiments; there it holds"
    assert verdict(results, "C8") == f"not run yet (partial: slower: {ran}; smoother: {ran})"
    _as_sound(results, names[-1].replace("/", "-"), edit)
    assert verdict(results, "C8") == "holds (slower: holds; smoother: holds)"
    text = entry(report.page(Tables(results=results)), "C8")
    assert "log10 of mean, FlipFlop less others, by seed: RNN +1 ± 0" in text


def test_who_infers(results):
    def table(gain, apart, seeds=5):
        runs = [
            {"model": m, "seed": seed, "loss": 0.5, "exact": 0.4, "without memory": 0.6,
             "gain": gain if (m, seed) == ("FlipFlop", 2) else 0.99,
             "apart": apart if (m, seed) == ("LSTM", 1) else 0.01}
            for m in ("FlipFlop", "LSTM", "RNN")
            for seed in range(seeds)
        ]  # fmt: skip
        return json.dumps({"setting": {"steps": 50}, "runs": runs})

    (results / "sound").mkdir(exist_ok=True)
    path = results / "sound" / "inference.json"
    for gain, apart, word, each in (
        (0.96, 0.04, "holds", "FlipFlop: holds, LSTM: holds, RNN: holds"),
        (0.94, 0.04, "does not hold", "FlipFlop: does not hold, LSTM: holds, RNN: holds"),
        (0.96, 0.06, "does not hold", "FlipFlop: holds, LSTM: does not hold, RNN: holds"),
    ):
        path.write_text(table(gain, apart))
        told = f"{word} (of nets on a two-state chain, {each}; of brains it was never tested)"
        assert verdict(results, "C19") == told
    path.write_text(table(0.96, 0.04, seeds=4))
    assert verdict(results, "C19") == "not run yet (partial: 4 seeds)"


def test_who_resists_interference(results):
    def runs(least):
        return [
            {"model": model, "seed": seed, "strength": [1.0, recall - 0.01 * seed]}
            for model, recall in (("FlipFlop", 0.8), ("LSTM", 0.5), ("LSTM, chrono", least))
            for seed in range(5)
        ]

    (results / "sound").mkdir(exist_ok=True)
    for least, word in ((0.7, "holds"), (0.9, "does not hold")):
        table = {"distractors": 10, "strengths": [1.0, 8.0], "runs": runs(least)}
        (results / "sound" / "retention.json").write_text(json.dumps(table))
        assert verdict(results, "C20").endswith(f"resists interference within a trial: {word})")
        assert verdict(results, "C20").startswith(f"{word} (fast: holds")


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
    for number in ("C2", "E16"):
        assert "stand-in for IMDB" in entry(page, number)
    for number in ("E3", "E4", "C5", "C6"):
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


def _as_sound(results: Path, name: str, edit) -> None:
    """Let a table as published, of the five usual seeds, stand for one of a sound run."""
    path = results / "sound" / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    shutil.copy(RESULTS / "published" / "working_mem-exp_1.json", path)

    def few(table):
        table["runs"] = [run for run in table["runs"] if run["seed"] in SEEDS]
        edit(table)

    change(path, few)


def test_capacity_counts_the_seeds_near_the_floor(results):
    ratios = {"FlipFlop": [1.1, 1.2, 1.15, 2, 3], "RNN": [1] * 5, "LSTM": [2] * 5, "GRU": [9] * 5}

    def edit(table):
        left = {model: list(values) for model, values in ratios.items()}
        for run in table["runs"]:
            run["best_ratio"] = left[run["model"]].pop()

    _as_sound(results, "working_mem-exp_8", edit)
    told = entry(report.page(Tables(results=results)), "E6")
    assert "| 128 | 2 | 32 | 2 of 5 | 5 of 5 | 0 of 5 | 0 of 5 |" in told


def test_noise_at_test_time_is_over_the_error_without_it(results):
    def edit(table):
        for number, run in enumerate(table["runs"], 1):
            run["held"]["final"] = 0.01 * number
            run["robustness"] = {
                "weights": {"0.03": 0.02 * number, "0.1": 0.03 * number},
                "inputs": {"0.03": 0.01 * number, "0.1": 0.05 * number},
            }

    _as_sound(results, "task_param-exp_6", edit)
    told = entry(report.page(Tables(results=results)), "E14")
    assert re.search(r"\| FlipFlop \| 2 ± \S+ \| 3 ± \S+ \| 1 ± \S+ \| 5 ± \S+ \|", told)


def test_the_authors_loss_among_ours(results):
    """Of seeds of ours that end below and above it, and all above."""
    theirs = Tables().theirs["learning_rules/exp_2"]["FlipFlop"]["final_train"]
    path = results / "published" / "learning_rules-exp_2.json"
    for factors, word in (((0.5, 0.9, 1.1), "yes, 2 below"), ((1.1, 1.2, 1.3), "no, 0 below")):

        def edit(table, factors=factors):
            table["runs"] = table["runs"][:3]
            for run, factor in zip(table["runs"], factors, strict=True):
                run["train"]["final"] = factor * theirs

        change(path, edit)
        text = entry(report.page(Tables(results=results)), "E7")
        assert f"| as published | FlipFlop | 3 | {theirs * sum(factors) / 3:.4g} ±" in text
        assert f"| {theirs:.4g} | {word} |" in text
