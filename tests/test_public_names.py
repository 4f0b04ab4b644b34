"""The layers of torch are there at once, and torch only when they are asked for."""

import subprocess
import sys

import pytest

import neuroflip as nf


def test_the_layers_are_imported_when_asked_for() -> None:
    program = """
import sys
import neuroflip as nf
assert "torch" not in sys.modules
layer = nf.FlipFlop(3, 5)
assert "torch" in sys.modules and tuple(layer.weight_hh_l0.shape) == (10, 5)
assert nf.FlipFlopCell(3, 5).weight_ih.shape == (10, 3)
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_other_names_are_refused() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'FlipFlip'"):
        nf.FlipFlip  # noqa: B018
