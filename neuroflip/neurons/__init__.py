"""The neuron models, one file each; `neuron.py` says what a model is."""

from neuroflip.neurons.adaptive_lif import AdaptiveLIF as AdaptiveLIF
from neuroflip.neurons.adex import AdEx as AdEx
from neuroflip.neurons.alpha_lif import AlphaLIF as AlphaLIF
from neuroflip.neurons.conductance_lif import ConductanceLIF as ConductanceLIF
from neuroflip.neurons.filtered_lif import FilteredLIF as FilteredLIF
from neuroflip.neurons.integrators import NOT_REFRACTORY as NOT_REFRACTORY
from neuroflip.neurons.izhikevich import Izhikevich as Izhikevich
from neuroflip.neurons.lif import LIF as LIF
from neuroflip.neurons.lif import DeltaLIF as DeltaLIF
from neuroflip.neurons.mqif import MQIF as MQIF
from neuroflip.neurons.neuron import INJECTED as INJECTED
from neuroflip.neurons.neuron import Neuron as Neuron
from neuroflip.neurons.neuron import NeuronModel as NeuronModel
from neuroflip.neurons.soft_lif import SoftLIF as SoftLIF

NEURONS: dict[str, type[Neuron]] = {
    kind.__name__: kind
    for kind in (
        LIF,
        DeltaLIF,
        AlphaLIF,
        ConductanceLIF,
        AdaptiveLIF,
        FilteredLIF,
        SoftLIF,
        AdEx,
        Izhikevich,
        MQIF,
    )
}
"""The neuron models by name, for files and the command line."""
