"""The paper's thirteen figures, drawn anew: `draw(number)` writes a picture and its numbers.

Figures 1, 2, 6 and 7 are loss curves: where the whole experiment has been run, its stored table is
drawn, else it is run. Figures 8 to 13 train nets of their own; those of 9 to 13 are kept in
OUT/runs. Quick figures have few epochs and seeds: enough to see that all works, not to compare
models.
"""

from collections.abc import Callable
from pathlib import Path

import torch

from neuroflip import files
from neuroflip.sims.paper import actions, inside_figures, plasticity, sentiment
from neuroflip.sims.paper.drawing import Drawn, Job
from neuroflip.sims.paper.loss_figures import losses, memory_retention

FIGURES: dict[int, Callable[[Job], Drawn]] = {
    1: losses(["signal_gen/sinusoidal_0", "signal_gen/sinusoidal_1"], 100),
    2: losses(["signal_gen/uniform_0", "signal_gen/uniform_1"], 300),
    3: sentiment.figure_3,
    4: sentiment.figure_4,
    5: actions.figure_5,
    6: memory_retention,
    7: losses(["working_mem/exp_1", "working_mem/exp_2"], 600),
    8: plasticity.figure_8,
    9: inside_figures.weights,
    10: inside_figures.gates,
    11: inside_figures.trajectories,
    12: inside_figures.activations,
    13: inside_figures.correlations,
}
"""Number -> what draws it."""


def draw(number: int, quick: bool = False, out: str | Path = "figures") -> Path:
    """Draw one figure of the paper: OUT/fig01.png and OUT/fig01.json; returns the picture's path.

    number: 1 to 13. quick: short training. out: made if there is none.
    ValueError for another number.

    >>> draw(14)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    ValueError: the figures are 1, 2, ...; got 14.
    """
    if number not in FIGURES:
        known = ", ".join(str(n) for n in sorted(FIGURES))
        raise ValueError(f"the figures are {known}; got {number!r}.")
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # arrays this small gain nothing from more
    try:
        figure, numbers = FIGURES[number](Job(quick, folder))
    finally:
        torch.set_num_threads(before)
    path = folder / f"fig{number:02}.png"
    with files.replacing(path) as temporary:
        figure.savefig(temporary, dpi=150)
    files.write(path.with_suffix(".json"), {"figure": number, "quick": quick} | numbers)
    return path
