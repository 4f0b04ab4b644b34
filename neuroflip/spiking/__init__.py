"""Spiking flip-flops as a layer of snnTorch networks, such networks as circuits, and a linear layer
that skips zeros."""

from neuroflip.spiking.convert import beta_of_tau as beta_of_tau
from neuroflip.spiking.convert import inputs_of as inputs_of
from neuroflip.spiking.convert import spikes_of as spikes_of
from neuroflip.spiking.convert import tau_of_beta as tau_of_beta
from neuroflip.spiking.convert import to_circuit as to_circuit
from neuroflip.spiking.layer import SpikingFlipFlop as SpikingFlipFlop
from neuroflip.spiking.layer import State as State
from neuroflip.spiking.layer import reset as reset
from neuroflip.spiking.linear import SpikeLinear as SpikeLinear
from neuroflip.spiking.unit import Unit as Unit
