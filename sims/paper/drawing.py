"""What the figures of the paper share: colours, a sheet of panels, what a figure is told."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neuroflip.figures import COLOURS
from neuroflip.sims.paper.experiments import SEEDS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOUR = {"FlipFlop": COLOURS[0], "LSTM": COLOURS[1], "GRU": COLOURS[2], "RNN": COLOURS[4]}
"""One colour a model, in all figures."""
STYLE = {"FlipFlop": "-", "LSTM": "--", "GRU": "-.", "RNN": ":"}
"""And one kind of line."""


@dataclass(frozen=True)
class Job:
    """What a figure is told: whether to be quick, and the folder to write to."""

    quick: bool
    out: Path

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds of its runs."""
        return SEEDS[:2] if self.quick else SEEDS


Drawn = tuple["Figure", dict[str, Any]]
"""A figure, and every number plotted in it."""


def canvas(rows: int, columns: int, width: float = 9.0, height: float = 3.0, **given: Any) -> Any:
    """A new figure and its axes (rows, columns); height: of a row, both in inches."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height * rows), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **given)
