"""One trainer for all experiments: seeded, on held-out data, stoppable and exactly resumable.

    result = train(build, data, held, Training(epochs=100, seed=1), folder="runs/mine")

`build()` makes the model, after the seed is set. A folder keeps a checkpoint, a log (log.csv) and,
at the end, result.json; the same call goes on where a killed one was, and ends bit for bit where an
undisturbed one would have. Under `torchrun` each process takes its share of every batch.
"""

import csv
import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from neuroflip import files
from neuroflip.optional import require
from neuroflip.sims.paper.models import count
from neuroflip.simulation import versions

Loss = Callable[[Tensor, Tensor], Tensor]
"""(what the model says, targets) -> the mean over the samples."""


@dataclass(frozen=True)
class Training:
    """How a model is trained, by Adam. Raises ValueError for numbers out of range."""

    epochs: int = 100
    batch_size: int = 16
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    """Decoupled from the gradient (AdamW)."""
    clip_norm: float | None = 1.0
    """Largest norm of the gradient, at every update; None: not clipped."""
    seed: int = 0
    """Of the first weights, the order of the data, dropout."""
    keep: str = "last"
    """Which model is returned: "last", or "best", that of the lowest held-out loss."""
    checkpoint_every: int = 100
    """Epochs between checkpoints, where there is a folder."""
    snapshot_every: int = 0
    """Epochs between copies of the weights in `Result.snapshots`; 0: none."""
    device: str = "cpu"

    def __post_init__(self) -> None:
        for name, least in (
            ("epochs", 1), ("batch_size", 1), ("seed", 0), ("checkpoint_every", 1),
            ("snapshot_every", 0),
        ):  # fmt: skip
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ValueError(f"{name} must be a whole number, at least {least}; got {value!r}.")
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be above 0; got {self.learning_rate!r}.")
        if self.clip_norm is not None and not self.clip_norm > 0:
            raise ValueError(f"clip_norm must be above 0, or None; got {self.clip_norm!r}.")
        if self.keep not in ("last", "best"):
            raise ValueError(f"keep must be 'last' or 'best'; got {self.keep!r}.")


@dataclass(frozen=True)
class Data:
    """Inputs and targets, samples first. Raises ValueError where their numbers differ."""

    inputs: Tensor
    targets: Tensor

    def __post_init__(self) -> None:
        if len(self.inputs) != len(self.targets) or not len(self.inputs):
            raise ValueError(
                "inputs and targets must be of as many samples, at least one; got "
                f"{len(self.inputs)} and {len(self.targets)}."
            )

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, which: Any) -> "Data":
        """Some of the samples: a slice, or a tensor of indices."""
        return Data(self.inputs[which], self.targets[which])

    def to(self, device: str) -> "Data":
        return Data(self.inputs.to(device), self.targets.to(device))


@dataclass(frozen=True)
class Result:
    """What became of a run."""

    config: Mapping[str, Any]
    """The fields of `Training`, and what `train` was given as `describe`."""
    parameters: int
    curves: Mapping[str, list[float]]
    """"train": the mean loss over the updates of each epoch; "held": the loss on held-out data
    after it; "held NAME": each metric there."""
    seconds: list[float]
    """Of training, for each epoch, evaluation not counted."""
    versions: Mapping[str, str]
    snapshots: Mapping[int, Mapping[str, Tensor]] = field(default_factory=dict)
    """Epoch -> weights; 0: before training."""
    model: nn.Module | None = field(default=None, compare=False)

    def to_json(self) -> dict[str, Any]:
        """All but the weights."""
        return {
            "config": dict(self.config),
            "parameters": self.parameters,
            "seconds_per_epoch": statistics.median(self.seconds),
            "seconds": sum(self.seconds),
            "curves": dict(self.curves),
            "versions": dict(self.versions),
        }


class Shortcut(Protocol):
    """Another way to the same numbers, up to rounding, for one kind of model, data and training."""

    def learn(self, model: nn.Module, optimizer: torch.optim.Optimizer, order: Tensor) -> float:
        """Make all updates of an epoch, with the samples in that order; the mean of their losses.

        The optimizer's state is left as it would be by its own steps.
        """

    def judge(self, model: nn.Module) -> float:
        """The loss on the held-out data."""


def train(
    build: Callable[[], nn.Module],
    data: Data,
    held: Data,
    training: Training,
    *,
    loss: Loss = nn.functional.mse_loss,
    metrics: Mapping[str, Loss] | None = None,
    describe: Mapping[str, Any] | None = None,
    after_update: Callable[[nn.Module], None] | None = None,
    shortcut: Shortcut | None = None,
    folder: str | Path | None = None,
    progress: bool = False,
    tensorboard: bool = False,
) -> Result:
    """Train a model on `data`, and tell after every epoch how it does on `held`.

    build: makes the model; called once, with torch's generator seeded by `training.seed`.
    loss: minimised. metrics: told of the held-out data besides, name -> function like `loss`.
    describe: kept with the result, and must be the same when a run is resumed.
    after_update: called with the model after every update, for rules that change weights. What
        they remember must be in buffers of the model, else a resumed run differs.
    shortcut: trains and evaluates instead of autograd, by the same loss, unless there are several
        processes. It knows neither metrics nor after_update.
    folder: keeps checkpoint.pt, log.csv and result.json; made if there is none. A finished run
        is read, not repeated.
    tensorboard: write the curves there as well (needs the package tensorboard).

    torch's own generator is left as it was. Raises ValueError where the folder holds another run
    or a batch cannot be shared between the processes of torchrun; FloatingPointError where the
    loss is not finite.

    >>> x = torch.linspace(0, 1, 32)[:, None]
    >>> line = Data(x, 2 * x + 1)
    >>> training = Training(epochs=200, learning_rate=0.05)
    >>> result = train(lambda: nn.Linear(1, 1), line, line, training)
    >>> result.curves["held"][-1] < 1e-4, result.parameters
    (True, 2)
    """
    if shortcut is not None and (metrics or after_update):
        raise ValueError("a shortcut knows neither metrics nor after_update; leave it out.")
    rank, world = _world(training)
    config = dict(describe or {}) | asdict(training) | {"world": world}
    with torch.random.fork_rng(devices=[training.device] if "cuda" in training.device else []):
        torch.manual_seed(training.seed)
        run = _Run(build, training, config, loss, dict(metrics or {}), shortcut)
        place = None if folder is None else Path(folder)
        if place is not None:
            place.mkdir(parents=True, exist_ok=True)
            run.resume(place)
        data, held = data.to(training.device), held.to(training.device)
        with _writer(place, tensorboard and rank == 0, run.epoch) as write:
            for _ in _shown(range(run.epoch, training.epochs), run, progress and rank == 0):
                run.learn(data, rank, world, after_update)
                run.evaluate(held)
                write(run.epoch, {name: curve[-1] for name, curve in run.curves.items()})
                last = run.epoch == training.epochs
                if place is not None and rank == 0:
                    if last or run.epoch % training.checkpoint_every == 0:
                        run.store(place)
        result = run.result()
    if place is not None and rank == 0:
        files.write(place / "result.json", result.to_json())
    return result


class _Run:
    """Everything that changes during training, and how it is stored."""

    def __init__(
        self,
        build: Callable[[], nn.Module],
        training: Training,
        config: Mapping[str, Any],
        loss: Loss,
        metrics: Mapping[str, Loss],
        shortcut: Shortcut | None,
    ) -> None:
        self.training, self.config, self.loss, self.metrics = training, config, loss, metrics
        self.shortcut = shortcut if config["world"] == 1 else None
        self.model = build().to(training.device)
        self.trained: nn.Module = self.model
        if config["world"] > 1:
            self.trained = nn.parallel.DistributedDataParallel(self.model)
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(),
            lr=training.learning_rate,
            weight_decay=training.weight_decay,
            fused=True,  # of many small tensors, one call
        )
        self.order = torch.Generator().manual_seed(training.seed)
        self.epoch = 0
        self.curves: dict[str, list[float]] = {
            "train": [], "held": [], **{f"held {name}": [] for name in metrics},
        }  # fmt: skip
        self.seconds: list[float] = []
        self.snapshots: dict[int, dict[str, Tensor]] = {}
        self.best: dict[str, Tensor] = {}
        self._snap()

    def learn(
        self, data: Data, rank: int, world: int, after_update: Callable[[nn.Module], None] | None
    ) -> None:
        """One epoch."""
        begun = time.perf_counter()
        order = torch.randperm(len(data), generator=self.order)
        if self.shortcut is not None:
            mean = self.shortcut.learn(self.model, self.optimizer, order)
        else:
            mean = self._updates(data, order, rank, world, after_update)
        if not mean < float("inf"):
            raise FloatingPointError(
                f"the training loss became {mean} in epoch {self.epoch + 1}; "
                f"try a lower learning_rate than {self.training.learning_rate}."
            )
        self.epoch += 1
        self.curves["train"].append(mean)
        self.seconds.append(time.perf_counter() - begun)
        self._snap()

    def _updates(
        self,
        data: Data,
        order: Tensor,
        rank: int,
        world: int,
        after_update: Callable[[nn.Module], None] | None,
    ) -> float:
        """All updates of an epoch; the mean loss of the samples."""
        self.trained.train()
        total = torch.zeros((), device=self.training.device)
        for batch in torch.split(order, self.training.batch_size):
            mine = batch[rank::world]
            # Means of unequal shares: weighted, so that their mean is the mean over the batch
            weight = len(mine) * world / len(batch)
            part = data[mine if len(mine) else batch[:1]]
            loss = self.loss(self.trained(part.inputs), part.targets)
            self.optimizer.zero_grad()
            (loss if weight == 1 else weight * loss).backward()  # type: ignore[no-untyped-call]
            if self.training.clip_norm is not None:
                nn.utils.clip_grad_norm_(self.model.parameters(), self.training.clip_norm)
            self.optimizer.step()
            if after_update is not None:
                after_update(self.model)
            total += len(mine) * loss.detach()
        if world > 1:
            torch.distributed.all_reduce(total)
        return float(total) / len(data)

    @torch.no_grad()
    def evaluate(self, held: Data) -> None:
        """The loss and the metrics on held-out data."""
        values = self._judged(held) if self.shortcut is None else [self.shortcut.judge(self.model)]
        best = self.training.keep == "best" and values[0] < min(self.curves["held"], default=_WORST)
        for name, value in zip(("held", *(f"held {m}" for m in self.metrics)), values, strict=True):
            self.curves[name].append(value)
        if best:
            self.best = _copied(self.model)

    def _judged(self, held: Data) -> list[float]:
        """The loss and each metric."""
        self.model.eval()
        told = (self.loss, *self.metrics.values())
        sums = [0.0] * len(told)
        for part in range(0, len(held), _EVALUATED):
            some = held[part : part + _EVALUATED]
            said = self.model(some.inputs)
            for place, metric in enumerate(told):
                sums[place] += len(some) * float(metric(said, some.targets))
        return [value / len(held) for value in sums]

    def _snap(self) -> None:
        every = self.training.snapshot_every
        if every and self.epoch % every == 0:
            self.snapshots[self.epoch] = _copied(self.model)

    def store(self, place: Path) -> None:
        """Write the checkpoint and the log, each at once or not at all."""
        state = {name: getattr(self, name) for name in _PLAIN} | {
            "config": dict(self.config),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "order": self.order.get_state(),
            "random": torch.get_rng_state(),
        }
        if "cuda" in self.training.device:
            state["cuda"] = torch.cuda.get_rng_state(self.training.device)
        with files.replacing(place / "checkpoint.pt") as temporary:
            torch.save(state, temporary)
        with files.replacing(place / "log.csv") as temporary, temporary.open("w") as log:
            table = csv.writer(log)
            table.writerow(["epoch", "seconds", *self.curves])
            table.writerows(
                [epoch, *row]
                for epoch, row in enumerate(
                    zip(self.seconds, *self.curves.values(), strict=True), 1
                )
            )

    def resume(self, place: Path) -> None:
        """Take up what is stored, if anything is. Raises ValueError for another run."""
        path = place / "checkpoint.pt"
        if not path.exists():
            return
        try:
            state = torch.load(path, map_location=self.training.device, weights_only=True)
        except Exception as error:  # zip, pickle and torch say it in many ways
            raise ValueError(f"{path} is damaged; delete it to begin anew: {error}") from error
        for name in sorted({*state["config"], *self.config}):
            there, here = state["config"].get(name), self.config.get(name)
            if there != here:
                raise ValueError(
                    f"{place} holds another run, with {name} = {there!r} instead of {here!r}; "
                    "choose another folder or delete it."
                )
        for name in _PLAIN:
            setattr(self, name, state[name])
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.order.set_state(state["order"].cpu())
        torch.set_rng_state(state["random"].cpu())
        if "cuda" in state:
            torch.cuda.set_rng_state(state["cuda"].cpu(), self.training.device)

    def result(self) -> Result:
        if self.best:
            self.model.load_state_dict(self.best)
        return Result(
            self.config, count(self.model), self.curves, self.seconds, versions("torch"),
            self.snapshots, self.model,
        )  # fmt: skip


_PLAIN = ("epoch", "curves", "seconds", "snapshots", "best")
_WORST = float("inf")
_EVALUATED = 256  # samples in one pass of an evaluation


def _copied(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def _world(training: Training) -> tuple[int, int]:
    """The number of this process and how many there are, as torchrun says; joins them."""
    rank, world = (int(os.environ.get(name, default)) for name, default in _TORCHRUN)
    if world == 1:
        return 0, 1
    if training.batch_size < world:
        raise ValueError(
            f"batch_size must be at least the number of processes, {world}; "
            f"got {training.batch_size}."
        )
    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group("nccl" if "cuda" in training.device else "gloo")
    return rank, world


_TORCHRUN = (("RANK", "0"), ("WORLD_SIZE", "1"))


def _shown(epochs: range, run: _Run, progress: bool) -> Iterator[int]:
    """The epochs left, with a progress bar that tells the losses."""
    from tqdm import tqdm

    bar = tqdm(total=epochs.stop, initial=epochs.start, unit="epoch", disable=not progress)
    with bar:
        for epoch in epochs:
            yield epoch
            losses = {name: f"{run.curves[name][-1]:.4g}" for name in ("train", "held")}
            bar.set_postfix(losses, refresh=False)
            bar.update()


@contextmanager
def _writer(
    place: Path | None, wanted: bool, epoch: int
) -> Iterator[Callable[[int, Mapping[str, float]], None]]:
    """What writes the values of an epoch to TensorBoard, if wanted."""
    if not wanted:
        yield lambda epoch, values: None
        return
    require("tensorboard", "paper")
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(place, purge_step=epoch + 1) as board:

        def write(epoch: int, values: Mapping[str, float]) -> None:
            for name, value in values.items():
                board.add_scalar(name, value, epoch)

        yield write
