"""No plasticity."""

from dataclasses import dataclass
from typing import final

from neuroflip.rules.rule import Rule


@final
@dataclass(frozen=True)
class Frozen(Rule):
    """The rule that changes nothing: weights stay as they are. Use it as `rules.none`.

    >>> from neuroflip import rules
    >>> rules.none.plastic
    False
    """

    def window(self, interval: float, weight: float) -> float:
        """0 for every interval."""
        return 0.0


none = Frozen()
