"""Checks of parameters that must stand in an order."""

from neuroflip.neurons.neuron import Neuron
from neuroflip.units import show


def check_below(neuron: Neuron, lower: str, upper: str, unit: str = "V") -> None:
    """Raise ValueError where a neuron's parameter `lower` is not below its parameter `upper`."""
    low, high = getattr(neuron, lower), getattr(neuron, upper)
    if low >= high:
        raise ValueError(
            f"{type(neuron).__name__}.{lower} must be below {upper} ({show(high, unit)}); "
            f"got {show(low, unit)}."
        )
