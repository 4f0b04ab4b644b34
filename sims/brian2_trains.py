"""Spike trains for the Brian2 references of rules: one generator a train."""

from collections.abc import Sequence
from typing import Any

import brian2 as b2
import numpy as np

Trains = Sequence[Any]
"""Spike times (s), a sequence for each neuron."""


def generator(trains: Trains, **options: Any) -> b2.SpikeGeneratorGroup:
    """A neuron for each train."""
    neurons = np.repeat(np.arange(len(trains)), [len(train) for train in trains])
    times = np.concatenate([np.asarray(train, float) for train in trains])
    return b2.SpikeGeneratorGroup(len(trains), neurons, times * b2.second, **options)
