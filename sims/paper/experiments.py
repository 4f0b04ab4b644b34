"""The signal experiments (E1, E2, E5, E6, E14, E15): their settings, and how one is run.

`SETTINGS` has them under the names of the authors' stored results. Each runs in two ways:

- sound (the default): every seed draws curves of its own, the error is measured on copies with
  noise of their own, gradients are clipped at every update;
- as published: the curves of seed 42, the error is measured on every fourth of the copies
  trained on, gradients are not clipped (the authors clip once, before there are any). Seeds differ
  in noise, first weights and order.

Flip-flop layers begin as the authors' do, with gates half open: a curve needs gates that move, and
the default of the layer, made for holding, begins with most of them closed.

    python -m neuroflip.sims.paper.experiments signal_gen/sinusoidal_0 working_mem --seeds 5
    python -m neuroflip.sims.paper.experiments learning_rules/exp_2 --as-published

What is finished is kept in the folder --runs and not repeated; the tables of results, with thinned
curves, are written to --out.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from neuroflip import files
from neuroflip.errors import nearest
from neuroflip.sims.paper.compiled import shortcut
from neuroflip.sims.paper.harness import Data, Result, Training, train
from neuroflip.sims.paper.measures import of_curve, thinned
from neuroflip.sims.paper.models import PUBLISHED, Drawing, Sequential
from neuroflip.sims.paper.tables import rounded, write
from neuroflip.tasks.signals import copies, curves, with_interference

RESULTS = Path(__file__).parent / "results"
"""The tables that are kept with the package."""

STORED = Path(__file__).parent / "published.json"
"""The authors' stored configurations and results."""


def seeds(number: int) -> tuple[int, ...]:
    """The seed of the paper, and more.

    >>> seeds(5)
    (42, 0, 1, 2, 3)
    """
    return (42, *(seed for seed in range(number) if seed != 42))[:number]


SEEDS = seeds(5)
"""Those of every experiment."""


@dataclass(frozen=True)
class Setting:
    """One experiment of the paper."""

    item: str
    """Its number in the list of experiments, E1 to E16."""
    counts: tuple[int, ...] = (64, 64)
    """Copies of each class."""
    steps: int = 64
    noise: float = 0.05
    curve: str = "uniform"
    interference: bool = False
    """Whether the classes after the first are interferers, a tenth as strong."""
    hidden: int = 64
    batch_size: int = 16
    epochs: int = 5000
    learning_rate: float = 1e-4
    clip_norm: float = 1.0

    @property
    def floor(self) -> float:
        """The variance of the noise, below which no error on new copies can fall."""
        return self.noise**2


def _retention() -> dict[str, Setting]:
    """E5: which interferers, for how long, at which learning rate."""
    brief = {"epochs": 1000, "learning_rate": 1e-3}
    rows: list[tuple[int, int, dict[str, Any]]] = [
        (1, 12, brief), (1, 12, brief | {"learning_rate": 1e-4}),
        (2, 12, brief), (2, 12, brief | {"learning_rate": 1e-4}),
        (1, 24, brief), (1, 32, brief),
        (1, 12, {}), (2, 12, {}), (1, 24, {}), (1, 32, {}), (2, 24, {}),
    ]  # fmt: skip
    return {
        f"mem_retention/exp_{number}": Setting(
            "E5", (64, *[copies] * classes), steps=100, interference=True, **given
        )
        for number, (classes, copies, given) in enumerate(rows, 1)
    }


def _working_memory() -> dict[str, Setting]:
    """E6: steps times classes times copies."""
    grid = [(classes, n, t) for classes, n in ((2, 64), (4, 64), (2, 32)) for t in (64, 128, 256)]
    return {
        f"working_mem/exp_{number}": Setting("E6", (n,) * classes, t)
        for number, (classes, n, t) in enumerate(grid, 1)
    }


def _parameters() -> dict[str, Setting]:
    """E14 (noise) and E15 (everything else)."""
    rows: list[tuple[str, int, dict[str, Any]]] = [
        ("E15", 2, {"epochs": 100}),
        ("E15", 2, {"hidden": 128}),
        ("E15", 2, {"batch_size": 64}),
        ("E15", 2, {"hidden": 128, "batch_size": 64}),
        ("E15", 2, {"clip_norm": 1e-3}),
        ("E14", 2, {"noise": 0.1}),
        ("E14", 2, {"noise": 0.5}),
        ("E14", 4, {"noise": 0.1, "hidden": 128}),
        ("E14", 4, {"noise": 0.2, "hidden": 128}),
        ("E14", 4, {"noise": 0.5, "hidden": 128}),
    ]
    return {
        f"task_param/exp_{number}": Setting(item, (64,) * classes, **given)
        for number, (item, classes, given) in enumerate(rows, 1)
    }


_SIGNAL: dict[str, Any] = {"steps": 100, "epochs": 500, "learning_rate": 1e-3}

SETTINGS: Mapping[str, Setting] = MappingProxyType(
    {
        "signal_gen/sinusoidal_0": Setting("E1", curve="sinusoidal", **_SIGNAL),
        "signal_gen/sinusoidal_1": Setting("E1", (64,) * 5, curve="sinusoidal", **_SIGNAL),
        "signal_gen/uniform_0": Setting("E2", **_SIGNAL | {"epochs": 1000}),
        "signal_gen/uniform_1": Setting(
            "E2", noise=0.01, hidden=128, batch_size=8, steps=100, epochs=1000, learning_rate=5e-4
        ),
        **_retention(),
        **_working_memory(),
        **_parameters(),
        "learning_rules/exp_2": Setting("E7", epochs=1000, learning_rate=1e-3),
    }
)
"""By the names of the authors' folders. learning_rules/exp_2 is without a rule."""


def setting(name: str) -> Setting:
    """The setting of that name.

    >>> setting("working_mem/exp_3").steps
    256
    >>> setting("working_mem/exp_33")
    Traceback (most recent call last):
        ...
    ValueError: unknown experiment 'working_mem/exp_33'; did you mean 'working_mem/exp_3'?
    """
    if name not in SETTINGS:
        raise ValueError(f"unknown experiment {name!r}; {nearest(name, SETTINGS)}")
    return SETTINGS[name]


def data(which: Setting, seed: int, as_published: bool = False) -> tuple[Data, Data]:
    """What is trained on and what is told of: classes (N,) and curves (N, steps, 1)."""
    drawn = curves(which.curve, which.steps, len(which.counts), seed=42 if as_published else seed)
    if which.interference:
        drawn = with_interference(drawn)
    generator = torch.Generator().manual_seed(seed)

    def fresh() -> Data:
        classes, targets = copies(drawn, which.counts, which.noise, generator=generator)
        return Data(classes, targets.transpose(0, 1).contiguous())

    trained = fresh()
    return trained, trained[::4] if as_published else fresh()


def build(which: Setting, model: str) -> Drawing:
    """A model of the right size."""
    return Drawing(model, len(which.counts), which.hidden, which.steps, init="published")


def run(
    name: str,
    model: str,
    seed: int = 0,
    *,
    as_published: bool = False,
    epochs: int | None = None,
    snapshot_every: int = 0,
    folder: str | Path | None = None,
    progress: bool = False,
) -> Result:
    """Train one model in one experiment.

    name: of `SETTINGS`; model: of `neuroflip.sims.paper.models.LAYERS`. epochs: instead of the
    setting's. The others as in `harness.train`. Raises ValueError for an unknown name.

    >>> result = run("signal_gen/sinusoidal_0", "GRU", epochs=2)
    >>> result.parameters, len(result.curves["held"])
    (13121, 2)
    """
    which = setting(name)
    training = Training(
        epochs=epochs or which.epochs,
        batch_size=which.batch_size,
        learning_rate=which.learning_rate,
        clip_norm=None if as_published else which.clip_norm,
        seed=seed,
        checkpoint_every=500,
        snapshot_every=snapshot_every,
    )
    describe = {"experiment": name, "model": model, "as_published": as_published}
    trained, held = data(which, seed, as_published)
    return train(
        lambda: build(which, model),
        trained,
        held,
        training,
        describe=describe | json.loads(json.dumps(asdict(which))),
        shortcut=shortcut(model, which.hidden, trained, held, training),
        folder=folder,
        progress=progress,
    )


@torch.no_grad()
def robustness(result: Result, held: Data, seed: int = 0) -> dict[str, dict[str, float]]:
    """The error of a trained model under noise at test time.

    "weights": each weight w of the recurrent layer becomes w (1 + s n); "inputs": s n is added to
    every line at every step, alike for all copies of a class; n standard normal. For each s, the
    mean of five draws.
    """
    model = result.model
    assert isinstance(model, Drawing)
    generator = torch.Generator().manual_seed(seed)
    clean = [p.clone() for p in model.layer.parameters()]
    found: dict[str, dict[str, float]] = {"weights": {}, "inputs": {}}

    def error(shown: Tensor) -> float:
        said = Sequential.forward(model, shown)[held.inputs]
        return float(nn.functional.mse_loss(said, held.targets))

    for s in (0.01, 0.03, 0.1, 0.3):
        errors = []
        for _ in range(5):
            for p, w in zip(model.layer.parameters(), clean, strict=True):
                p.copy_(w * (1 + s * torch.randn(w.shape, generator=generator)))
            errors.append(float(nn.functional.mse_loss(model(held.inputs), held.targets)))
        found["weights"][str(s)] = float(np.mean(errors))
        for p, w in zip(model.layer.parameters(), clean, strict=True):
            p.copy_(w)
        noise = [s * torch.randn(model.lines.shape, generator=generator) for _ in range(5)]
        found["inputs"][str(s)] = float(np.mean([error(model.lines + n) for n in noise]))
    return found


def record(result: Result, held: Data) -> dict[str, Any]:
    """What is kept of a run: numbers of its curves, and the curves thinned."""
    floor = float(result.config["noise"]) ** 2
    train, held_curve = (of_curve(result.curves[name]) for name in ("train", "held"))
    kept = thinned(len(result.curves["train"]))
    return {
        "model": result.config["model"],
        "seed": result.config["seed"],
        "parameters": result.parameters,
        "train": train,
        "held": held_curve,
        "ratio": held_curve["final"] / floor,
        "best_ratio": held_curve["best"] / floor,
        "seconds_per_epoch": float(np.median(result.seconds)),
        "robustness": robustness(result, held),
        "epochs": [place + 1 for place in kept],
        "curves": {"held": [result.curves["held"][place] for place in kept]},
    }


def measure(
    name: str, model: str, number: int, as_published: bool, runs: str
) -> dict[str, float | int | str]:
    """One cell of a sweep: train, keep the record in the folder of the run, tell the losses.

    number: the seed.
    """
    torch.set_num_threads(1)  # arrays this small gain nothing from more
    folder = Path(runs) / _mode(as_published) / name / f"{model}-{number}"
    path = folder / "record.json"
    if not path.exists():
        result = run(name, model, number, as_published=as_published, folder=folder)
        found = record(result, data(setting(name), number, as_published)[1])
        files.write(path, found | {"versions": dict(result.versions)})
    kept = files.read(path)
    return {which: kept[which]["final"] for which in ("train", "held")}


def _mode(as_published: bool) -> str:
    return "published" if as_published else "sound"


def tables(runs: str | Path, out: str | Path) -> list[Path]:
    """Collect the records of finished runs: one file an experiment and mode, out/MODE/NAME.json.

    Curves are kept of the runs with `SEEDS` alone: of others one wants to know how they end.
    """
    written = []
    for mode in ("published", "sound"):
        for name in SETTINGS:
            paths = sorted((Path(runs) / mode / name).glob("*/record.json"))
            if not paths:
                continue
            # of curves there are many numbers
            records = [rounded(files.read(path), 6, in_lists=4) for path in paths]
            versions = [found.pop("versions") for found in records]
            for found in records:
                if found["seed"] not in SEEDS:
                    del found["epochs"], found["curves"]
            head = {
                "experiment": name,
                "mode": mode,
                "setting": asdict(setting(name)),
                "versions": versions[0],
            }
            path = Path(out) / mode / f"{name.replace('/', '-')}.json"
            write(path, head, records)
            written.append(path)
    return written


def read(name: str, as_published: bool = False, results: str | Path = RESULTS) -> dict[str, Any]:
    """The table of an experiment: "setting", "versions" and "runs", a list of `record`.

    Raises FileNotFoundError where it has not been run.
    """
    setting(name)
    return files.read(Path(results) / _mode(as_published) / f"{name.replace('/', '-')}.json")


def main(given: Sequence[str] | None = None) -> None:
    """Run experiments for some models and seeds, and write their tables."""
    import neuroflip as nf

    parser = argparse.ArgumentParser(description="Run signal experiments of the paper.")
    parser.add_argument("names", nargs="+", help="like working_mem/exp_1, or a folder, working_mem")
    parser.add_argument("--as-published", action="store_true", help="with the authors' settings")
    parser.add_argument("--models", default=",".join(PUBLISHED), help="separated by commas")
    parser.add_argument("--seeds", type=int, default=len(SEEDS), help="how many: 42, 0, 1, 2 ...")
    parser.add_argument("--jobs", type=int, default=1, help="processes; -1: one a core")
    parser.add_argument("--runs", default="runs", help="folder of checkpoints")
    parser.add_argument("--out", default=str(RESULTS), help="folder of the tables")
    options = parser.parse_args(given)
    if options.seeds < 1:
        parser.error(f"--seeds must be at least 1; got {options.seeds}.")
    for asked in options.names:
        found = [name for name in SETTINGS if name == asked or name.startswith(f"{asked}/")]
        for name in found or [_known(asked)]:
            design = [
                {
                    "name": name, "model": model, "number": number,
                    "as_published": options.as_published, "runs": options.runs,
                }
                for number in seeds(options.seeds)
                for model in options.models.split(",")
            ]  # fmt: skip
            table = nf.sweep(measure, design, n_jobs=options.jobs, progress=True)
            tables(options.runs, options.out)
            print(table[["name", "model", "number", "train", "held", "error"]].to_string())


def _known(name: str) -> str:
    setting(name)
    return name


if __name__ == "__main__":
    main()
