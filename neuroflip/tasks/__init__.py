"""Memory tasks: functions that make trials, as tensors, from a seeded generator."""

from neuroflip.tasks.association import paired_associates as paired_associates
from neuroflip.tasks.chain import filtered as filtered
from neuroflip.tasks.chain import hidden_chain as hidden_chain
from neuroflip.tasks.continual import PermutedPatterns as PermutedPatterns
from neuroflip.tasks.flip_flop import flip_flop as flip_flop
from neuroflip.tasks.remapping import cue_pairs as cue_pairs
from neuroflip.tasks.remapping import mappings as mappings
from neuroflip.tasks.signals import copies as copies
from neuroflip.tasks.signals import curves as curves
from neuroflip.tasks.signals import recall as recall
from neuroflip.tasks.signals import with_interference as with_interference
