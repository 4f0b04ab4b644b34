"""Spiking flip-flop memories, the flip-flop neuron and plasticity rules, checked against Brian2."""

import importlib
from typing import TYPE_CHECKING, Any

from neuroflip import circuits as circuits
from neuroflip import rules as rules
from neuroflip import units as units
from neuroflip.circuit import Circuit as Circuit
from neuroflip.circuit import CurrentInput as CurrentInput
from neuroflip.circuit import Dense as Dense
from neuroflip.circuit import NoiseInput as NoiseInput
from neuroflip.circuit import OneToOne as OneToOne
from neuroflip.circuit import Pairs as Pairs
from neuroflip.circuit import PoissonInput as PoissonInput
from neuroflip.circuit import Population as Population
from neuroflip.circuit import Projection as Projection
from neuroflip.circuit import Random as Random
from neuroflip.circuit import Readout as Readout
from neuroflip.circuit import SignalInput as SignalInput
from neuroflip.circuit import SpikeInput as SpikeInput
from neuroflip.compare import Report as Report
from neuroflip.compare import compare as compare
from neuroflip.equations import EquationError as EquationError
from neuroflip.neurons import LIF as LIF
from neuroflip.neurons import MQIF as MQIF
from neuroflip.neurons import AdaptiveLIF as AdaptiveLIF
from neuroflip.neurons import AdEx as AdEx
from neuroflip.neurons import AlphaLIF as AlphaLIF
from neuroflip.neurons import ConductanceLIF as ConductanceLIF
from neuroflip.neurons import DeltaLIF as DeltaLIF
from neuroflip.neurons import FilteredLIF as FilteredLIF
from neuroflip.neurons import Izhikevich as Izhikevich
from neuroflip.neurons import Neuron as Neuron
from neuroflip.neurons import SoftLIF as SoftLIF
from neuroflip.recording import Recording as Recording
from neuroflip.simulation import ENGINES as ENGINES
from neuroflip.simulation import simulate as simulate
from neuroflip.sweep import random_design as random_design
from neuroflip.sweep import read_sweep as read_sweep
from neuroflip.sweep import sweep as sweep

if TYPE_CHECKING:
    from neuroflip import exchange as exchange
    from neuroflip.rate import FlipFlop as FlipFlop
    from neuroflip.rate import FlipFlopCell as FlipFlopCell
    from neuroflip.spiking import SpikingFlipFlop as SpikingFlipFlop

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """What is imported when first asked for: the layers, as they need torch, and exchange."""
    if name == "exchange":
        return importlib.import_module("neuroflip.exchange")
    if name in ("FlipFlop", "FlipFlopCell"):
        from neuroflip import rate

        return getattr(rate, name)
    if name == "SpikingFlipFlop":
        from neuroflip.spiking import SpikingFlipFlop

        return SpikingFlipFlop
    raise AttributeError(f"module 'neuroflip' has no attribute {name!r}")
