"""The trainer: against a loop written by hand, killed and resumed, shared between processes."""

import csv
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from neuroflip.sims.paper.harness import Data, Training, train
from neuroflip.sims.paper.models import LAYERS, PUBLISHED, Sequential, count


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Arrays this small gain nothing from threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def some(count: int, seed: int = 0) -> Data:
    generator = torch.Generator().manual_seed(seed)
    return Data(
        torch.randn(count, 5, 2, generator=generator), torch.randn(count, 5, 1, generator=generator)
    )


class Dropped(nn.Module):
    """A layer whose training draws random numbers, and one that counts its updates."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(Sequential("FlipFlop", 2, 4, 3), nn.Dropout(0.3), nn.Linear(3, 1))

    def forward(self, x: Tensor) -> Tensor:
        said: Tensor = self.net(x)
        return said


def same(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_published_sizes() -> None:
    assert {kind: count(Sequential(kind, 2, 64, 1)) for kind in PUBLISHED} == {
        "FlipFlop": 8641,
        "RNN": 4417,
        "LSTM": 17473,
        "GRU": 13121,
    }
    assert count(Sequential("FlipFlop", 2, 64, 1, bias="double")) == 8769
    # five classes, width 128, as stored beside the authors' other runs
    assert count(Sequential("GRU", 5, 64, 1)) == 13697
    assert count(Sequential("FlipFlop", 2, 128, 1)) == 33665
    for kind in LAYERS:
        assert Sequential(kind, 3, 4, 2)(torch.zeros(5, 7, 3)).shape == (5, 7, 2)


def test_training_is_the_loop_written_by_hand() -> None:
    data, held = some(10), some(6, seed=1)
    training = Training(epochs=3, batch_size=4, learning_rate=0.01, clip_norm=0.1, seed=5)
    result = train(lambda: Sequential("LSTM", 2, 4, 1), data, held, training)

    torch.manual_seed(5)
    model = Sequential("LSTM", 2, 4, 1)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    order = torch.Generator().manual_seed(5)
    for epoch in range(3):
        total = 0.0
        for batch in torch.randperm(10, generator=order).split(4):
            loss = (model(data.inputs[batch]) - data.targets[batch]).square().mean()
            optimizer.zero_grad()
            loss.backward()
            norm = torch.cat([p.grad.flatten() for p in model.parameters()]).norm()
            assert norm > 0.1  # else clipping would not be tested
            for p in model.parameters():
                p.grad *= 0.1 / (norm + 1e-6)
            optimizer.step()
            total += loss.item() * len(batch)
        assert result.curves["train"][epoch] == pytest.approx(total / 10, rel=1e-5)
        with torch.no_grad():
            expected = (model(held.inputs) - held.targets).square().mean()
        assert result.curves["held"][epoch] == pytest.approx(expected.item(), rel=1e-5)
    assert len(result.seconds) == 3 and min(result.seconds) > 0


def test_clipping_acts_and_none_leaves_alone() -> None:
    first = {}
    for norm in (None, 1e6, 1e-3):
        training = Training(epochs=2, clip_norm=norm)
        first[norm] = train(lambda: Dropped(), some(16), some(4), training)
    assert same(first[None].model, first[1e6].model)
    assert not same(first[None].model, first[1e-3].model)


KILLED = """
import os, signal, sys
import torch
from neuroflip.sims.paper.harness import Training, train
sys.path.insert(0, {folder!r})
torch.set_num_threads(1)
from test_harness import Dropped, some

def dies():
    os.kill(os.getpid(), signal.SIGKILL)

calls = 0
def after_update(model):
    global calls
    calls += 1
    if {when!r} == "in an epoch" and calls == 25:  # the 7th, of 4 updates each
        dies()

whole = torch.save
def half(state, path):
    if state["epoch"] == 9:
        path.write_bytes(b"PK the first half of a checkpoint")
        dies()
    whole(state, path)

if {when!r} == "while it stores":
    torch.save = half
train(Dropped, some(30), some(8, 1), Training(epochs=12, batch_size=8, checkpoint_every=3,
      snapshot_every=4, seed=3), folder={runs!r}, after_update=after_update)
"""


@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL")
@pytest.mark.parametrize("when", ["in an epoch", "while it stores"])
def test_a_killed_run_resumes_and_ends_bit_identical(when: str, tmp_path: Path) -> None:
    """The last checkpoint is of epoch 6 in both cases."""
    training = Training(epochs=12, batch_size=8, checkpoint_every=3, snapshot_every=4, seed=3)
    here, runs = str(Path(__file__).parent), str(tmp_path / "killed")
    code = KILLED.format(folder=here, runs=runs, when=when)
    killed = subprocess.run([sys.executable, "-c", code], timeout=60)
    assert killed.returncode == -signal.SIGKILL
    assert not (tmp_path / "killed" / "result.json").exists()
    assert len((tmp_path / "killed" / "log.csv").read_text().splitlines()) == 1 + 6

    resumed = train(Dropped, some(30), some(8, 1), training, folder=tmp_path / "killed")
    whole = train(Dropped, some(30), some(8, 1), training, folder=tmp_path / "whole")
    assert resumed.model is not None and whole.model is not None
    assert same(resumed.model, whole.model)
    assert resumed.curves == whole.curves and len(whole.curves["train"]) == 12
    assert list(resumed.snapshots) == [0, 4, 8, 12]
    for epoch, weights in whole.snapshots.items():
        assert all(torch.equal(w, resumed.snapshots[epoch][n]) for n, w in weights.items())

    with (tmp_path / "killed" / "log.csv").open() as log:
        rows = list(csv.DictReader(log))
    assert [float(row["held"]) for row in rows] == whole.curves["held"]
    stored = json.loads((tmp_path / "killed" / "result.json").read_text())
    assert stored["curves"] == whole.curves and stored["config"]["seed"] == 3
    assert stored["parameters"] == count(whole.model) and "torch" in stored["versions"]


def test_a_finished_run_is_read(tmp_path: Path) -> None:
    training = Training(epochs=2)
    once = train(Dropped, some(16), some(4), training, folder=tmp_path)

    def never(model: nn.Module) -> None:
        raise AssertionError("trained again")

    again = train(Dropped, some(16), some(4), training, folder=tmp_path, after_update=never)
    assert again.curves == once.curves and again.seconds == once.seconds
    assert same(again.model, once.model)


def test_another_run_and_damage_are_refused(tmp_path: Path) -> None:
    train(Dropped, some(16), some(4), Training(epochs=2), folder=tmp_path)
    with pytest.raises(ValueError, match="holds another run, with learning_rate = 0.001 instead"):
        train(Dropped, some(16), some(4), Training(epochs=2, learning_rate=0.1), folder=tmp_path)
    with pytest.raises(ValueError, match="with task = None instead of 'a'"):
        train(
            Dropped, some(16), some(4), Training(epochs=2), folder=tmp_path, describe={"task": "a"}
        )
    (tmp_path / "checkpoint.pt").write_bytes(b"PK\x03\x04 not much")
    with pytest.raises(ValueError, match="checkpoint.pt is damaged; delete it to begin anew"):
        train(Dropped, some(16), some(4), Training(epochs=2), folder=tmp_path)


def test_the_best_model_is_kept(tmp_path: Path) -> None:
    """Trained on targets opposite to the held ones, a model is best at the beginning."""
    data = some(16)
    away = Data(data.inputs, -data.targets)
    training = Training(epochs=8, learning_rate=0.05, keep="best")
    for folder in (None, tmp_path, tmp_path):  # not stored, stored, and read again
        result = train(lambda: Sequential("RNN", 2, 8, 1), data, away, training, folder=folder)
        with torch.no_grad():
            found = nn.functional.mse_loss(result.model(away.inputs), away.targets).item()
        assert found == pytest.approx(min(result.curves["held"]), rel=1e-6)
        assert found < result.curves["held"][-1]


def test_metrics_and_the_callers_generator() -> None:
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    metrics = {"sign": lambda said, wanted: ((said > 0) == (wanted > 0)).double().mean()}
    result = train(Dropped, some(600), some(300, 1), Training(epochs=1), metrics=metrics)
    assert torch.equal(torch.rand(3), expected)
    held = some(300, 1)
    with torch.no_grad():
        share = ((result.model.eval()(held.inputs) > 0) == (held.targets > 0)).double().mean()
    assert result.curves["held sign"] == [pytest.approx(float(share))]  # from two passes


def test_a_diverging_run_says_so() -> None:
    wild = Training(epochs=50, learning_rate=1e30, clip_norm=None)
    with pytest.raises(FloatingPointError, match="training loss became .* try a lower"):
        train(lambda: nn.Linear(2, 1), some(16), some(4), wild)


@pytest.mark.parametrize(
    "given, message",
    [
        ({"epochs": 0}, "epochs must be a whole number, at least 1; got 0"),
        ({"batch_size": 1.5}, "batch_size must be a whole number, at least 1; got 1.5"),
        ({"learning_rate": 0.0}, "learning_rate must be above 0; got 0.0"),
        ({"clip_norm": -1.0}, "clip_norm must be above 0, or None; got -1.0"),
        ({"keep": "worst"}, "keep must be 'last' or 'best'; got 'worst'"),
    ],
)
def test_refusals(given: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Training(**given)


def test_data_of_unequal_length_is_refused() -> None:
    with pytest.raises(ValueError, match="as many samples, at least one; got 3 and 2"):
        Data(torch.zeros(3, 1), torch.zeros(2, 1))


SHARED = """
import sys
import torch
from neuroflip.sims.paper.harness import Training, train
from neuroflip.sims.paper.models import Sequential
sys.path.insert(0, {folder!r})
torch.set_num_threads(1)
from test_harness import some
train(lambda: Sequential("GRU", 2, 4, 1), some(11), some(5, 1),
      Training(epochs=3, batch_size=5), folder={runs!r})
torch.distributed.destroy_process_group()
"""


def test_two_processes_of_torchrun_train_as_one(tmp_path: Path) -> None:
    """Also where a batch (5, then 1) cannot be halved."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    code = SHARED.format(folder=str(Path(__file__).parent), runs=str(tmp_path))
    world = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    processes = [
        subprocess.Popen([sys.executable, "-c", code], env=os.environ | world | {"RANK": str(rank)})
        for rank in range(2)
    ]
    assert [process.wait(timeout=90) for process in processes] == [0, 0]
    stored = json.loads((tmp_path / "result.json").read_text())
    alone = train(
        lambda: Sequential("GRU", 2, 4, 1), some(11), some(5, 1), Training(epochs=3, batch_size=5)
    )
    assert stored["config"]["world"] == 2
    for name, curve in alone.curves.items():
        assert stored["curves"][name] == pytest.approx(curve, rel=1e-5)
