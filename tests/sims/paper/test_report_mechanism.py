"""What the report says of units and regions follows the numbers."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from neuroflip.sims.paper import report
from neuroflip.sims.paper.report_tables import Tables


def units(**changes: Any) -> dict[str, Any]:
    """A table of five seeds in which all that is asked is so, but for `changes` in the third."""
    runs = []
    for seed in range(5):
        for model in ("FlipFlop", "LSTM"):
            is_so: dict[str, Any] = {
                "states": 8, "codes": 8, "right": 216, "settle": 1.0, "agree": 1.0, "rank": 0.9,
                "moved": 1.0, "stayed": 1.0,
            }  # fmt: skip
            if seed == 2 and model == "FlipFlop":
                is_so |= changes
            automaton = {k: is_so[k] for k in ("states", "codes", "right", "settle", "agree")}
            run = {
                "model": model, "seed": seed,
                "automaton": automaton | {"transitions": 27 * is_so["states"]},
                "fixed points": {"moduli": [0.5, 0.25], "growing": [1, 1, 2]},
                "units": {
                    "loss": 0.01, "accuracy": 1.0, "mean": [0.1, 0.2, 0.6],
                    "middle": [0.1, 0.2, 0.7], "without": [0.9, 1.0, 1.0], "rank": is_so["rank"],
                },
                "exchange": {
                    "pairs": 24, "single": 0.125,
                    "most": {"moved": [0.0, is_so["moved"]], "stayed": [1.0, 0.0]},
                    "least": {"moved": [0.0, 0.0], "stayed": [1.0, is_so["stayed"]]},
                },
            }  # fmt: skip
            runs.append(run)
    setting = {"units": 32, "updates": 600, "flow": 1000}
    return {"setting": setting, "exchanged": [1, 16], "runs": runs}


def regions(**changes: Any) -> dict[str, Any]:
    """The same of clips on 10 x 10 pixels, but for `changes` in all seeds."""
    is_so: dict[str, Any] = {
        "clip": 0.8, "state": 0.8, "far": 0.02, "far state": 0.02, "near": 0.3, "shuffled": 0.2,
        "at": 0,
    } | changes  # fmt: skip
    runs = []
    for seed in range(5):
        for model in ("ConvFlipFlop2d", "ConvLSTM2d"):
            drops = {}
            for where, far in (("clip", "far"), ("state", "far state")):
                drops[where] = [is_so[far]] * 100
                drops[where][0] = is_so[where] + 0.001 * seed
                if is_so["at"]:
                    drops[where][is_so["at"]] = 0.9
            runs.append(
                {
                    "model": model, "seed": seed, "test": 1.0, "shuffled": is_so["shuffled"],
                    "whole": 1.0, **drops, "frame": [0.1] * 8, "near": is_so["near"], "far": 0.1,
                    "trail": [0.3] * 8 + [0.05], "first": [0.2, 0.4], "then": [0.1, 0.3],
                }
            )  # fmt: skip
    setting = {"side": 10, "frames": 8}
    return {"setting": setting, "window": 5, "apart": 4, "tested": 200, "runs": runs}


def entry(folder: Path, number: str, name: str, table: dict[str, Any]) -> str:
    path = folder / "sound" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(table))
    page = report.page(Tables(results=folder))
    assert not re.search(r"\bnan\b|\binf\b", page)
    return page.split(f"\n## {number}. ")[1].split('\n<a id="')[0]


def verdict(text: str) -> str:
    found = re.search(r"\*\*Verdict: (.*)\.\*\*", text)
    return found[1] if found else ""


FOUR = ["automaton", "fixed points", "units taken out", "units exchanged"]
PLACES = ["in the clip", "in the state", "maps", "order"]


def word(asked: list[str], failing: tuple[str, ...]) -> str:
    yes = ", ".join(name for name in asked if name not in failing)
    if not failing:
        return f"holds ({yes})"
    return f"does not hold ({', '.join(failing)}" + (f"; {yes}: holds)" if yes else ")")


@pytest.mark.parametrize(
    ("changes", "failing"),
    [
        ({}, ()),
        ({"right": 213}, ("automaton",)),
        ({"right": 214, "agree": 0.99}, ()),
        ({"agree": 0.98}, ("automaton",)),
        ({"states": 9, "right": 243}, ("automaton",)),
        ({"codes": 7}, ("automaton", "fixed points")),
        ({"settle": 0.98}, ("fixed points",)),
        ({"rank": -0.1}, ("units taken out",)),
        ({"moved": 0.4}, ("units exchanged",)),
        ({"stayed": 0.4}, ("units exchanged",)),
        ({"stayed": 0.6, "moved": 0.6}, ()),  # 0.92 in the mean
    ],
)
def test_units(changes: dict[str, Any], failing: tuple[str, ...], tmp_path: Path) -> None:
    assert verdict(entry(tmp_path, "W1", "mechanism", units(**changes))) == word(FOUR, failing)


@pytest.mark.parametrize(
    ("changes", "failing"),
    [
        ({}, ()),
        ({"far": 0.1}, ("in the clip",)),
        ({"far state": 0.1}, ("in the state",)),
        ({"clip": 0.015, "far": 0.02}, ("in the clip",)),
        ({"at": 2}, ("in the clip",)),  # 2 pixels to the right
        ({"at": 30}, ("in the clip", "in the state")),  # 3 pixels down
        ({"at": 90}, ()),  # 1 pixel up, round the edge
        ({"near": 0.19}, ("maps",)),
        ({"shuffled": 0.55}, ("order",)),
    ],
)
def test_regions(changes: dict[str, Any], failing: tuple[str, ...], tmp_path: Path) -> None:
    assert verdict(entry(tmp_path, "W2", "regions", regions(**changes))) == word(PLACES, failing)


def test_few_seeds_are_partial(tmp_path: Path) -> None:
    # Three are too few for anything to be significant
    for number, name, table, so_far in (
        ("W1", "mechanism", units(), "holds"),
        ("W2", "regions", regions(), "does not hold"),
    ):
        table["runs"] = table["runs"][:6]
        told = f"not run yet (partial: 3 seeds; so far it {so_far})"
        assert verdict(entry(tmp_path, number, name, table)) == told


def test_numbers_of_the_page(tmp_path: Path) -> None:
    text = entry(tmp_path, "W1", "mechanism", units(rank=0.4))
    assert "| FlipFlop | 5 | 1 ± 0 | 8, 8, 8, 8, 8 |" in text
    shared = 0.9**2 / (0.1**2 + 0.2**2 + 0.6**2)
    rises = f"0.2 ± 0 | 0.6 ± 0 | 0.7 ± 0 | {shared:.3g} ± 0 | 0.9 ± 0 | 0.8 ± 0.22"
    assert f"| FlipFlop | 5 | 0.01 ± 0 | {rises} |" in text
    text = entry(tmp_path, "W2", "regions", regions())
    assert "| ConvFlipFlop2d | 5 | 1 ± 0 | 0.802 ± 0.0016 | 0.02 ± 0 | 0, 0, 0, 0, 0 |" in text
    assert "| ConvFlipFlop2d | clip | 0.802 | 0.020 | 0.020 | 0.020 | 0.020 | 0.020 |" in text
