"""`neuroflip bench rules`."""

import json

import torch
from typer.testing import CliRunner

from neuroflip.cli import app
from neuroflip.rules_bench import OUTPUTS, RATE, RUNS, TAU


def test_packages_of_one_convention_learn_the_same_weights() -> None:
    generator = torch.Generator().manual_seed(0)
    pre = (torch.rand(60, 4, 6, generator=generator) < 0.2).float()
    post = (torch.rand(60, 4, 5, generator=generator) < 0.2).float()
    start, x, y = torch.full((5, 6), 0.5), torch.zeros(4, 6), torch.zeros(4, 5)
    expected = start.clone()
    for p, q in zip(pre, post, strict=True):
        x, y = (1 - 1 / TAU) * x + p, (1 - 1 / TAU) * y + q
        expected += RATE * (q.t() @ x - y.t() @ p)
    assert (expected - start).abs().max() > 1e-4
    for name in ("neuroflip", "snntorch"):
        assert (RUNS[name][1](start, pre, post) - expected).abs().max() < 1e-6
    assert (RUNS["neuroflip, Brian2's"][1](start, pre, post) - expected).abs().max() > 1e-5


def test_the_command_times_what_is_installed_and_names_what_is_not() -> None:
    threads = torch.get_num_threads()
    result = CliRunner().invoke(app, ["bench", "rules", "--quick", "--rounds", "1", "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.output)
    assert found["size"][2] == OUTPUTS and set(found["packages"]) == set(RUNS)
    assert {"neuroflip", "snntorch"} <= set(found["seconds"])
    assert 0 < found["forward"] < found["seconds"]["neuroflip, nn.Linear"]
    assert found["ratios"]["neuroflip"] == 1 and found["max_difference"]["snntorch"] < 1e-5
    assert torch.get_num_threads() == threads
    wrong = CliRunner().invoke(app, ["bench", "rules", "--rounds", "0"])
    assert wrong.exit_code == 2 and "rounds must be at least 1; got 0" in wrong.output
