"""Plasticity rules: small frozen objects, each declared once and run by every engine.

from neuroflip import rules
nf.Projection("in", "out", weight=0.5, rule=rules.PairSTDP())
"""

from neuroflip.rules.frozen import Frozen as Frozen
from neuroflip.rules.frozen import none as none
from neuroflip.rules.rule import Rule as Rule
from neuroflip.rules.stdp import PairSTDP as PairSTDP

RULES: dict[str, type[Rule]] = {"none": Frozen, "PairSTDP": PairSTDP}
"""The rules by name, for files and the command line."""
