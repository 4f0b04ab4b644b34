"""The flip-flop neuron as a recurrent layer of torch."""

from neuroflip.rate.cell import FlipFlopCell as FlipFlopCell
from neuroflip.rate.conv import ConvFlipFlop2d as ConvFlipFlop2d
from neuroflip.rate.conv import ConvLSTM2d as ConvLSTM2d
from neuroflip.rate.init import Chrono as Chrono
from neuroflip.rate.init import Init as Init
from neuroflip.rate.init import Published as Published
from neuroflip.rate.layer import FlipFlop as FlipFlop
from neuroflip.rate.layer import Gates as Gates
