"""Plasticity rules: small frozen objects, each declared once and run by every engine.

from neuroflip import rules
nf.Projection("in", "out", weight=0.5, rule=rules.PairSTDP())
"""

from typing import TYPE_CHECKING, Any

from neuroflip.rules.calcium import BistableSynapse as BistableSynapse
from neuroflip.rules.calcium import GraupnerBrunel as GraupnerBrunel
from neuroflip.rules.composition import Sum as Sum
from neuroflip.rules.eprop import EProp as EProp
from neuroflip.rules.eprop import FlipFlopEProp as FlipFlopEProp
from neuroflip.rules.force import RLS as RLS
from neuroflip.rules.frozen import Frozen as Frozen
from neuroflip.rules.frozen import none as none
from neuroflip.rules.homeostasis import HomeostaticScaling as HomeostaticScaling
from neuroflip.rules.homeostasis import WeightNormalisation as WeightNormalisation
from neuroflip.rules.inhibitory import InhibitorySTDP as InhibitorySTDP
from neuroflip.rules.layer_rule import LayerRule as LayerRule
from neuroflip.rules.rate import BCM as BCM
from neuroflip.rules.rate import PES as PES
from neuroflip.rules.rate import Contrastive as Contrastive
from neuroflip.rules.rate import Covariance as Covariance
from neuroflip.rules.rate import Delta as Delta
from neuroflip.rules.rate import DifferentiablePlasticity as DifferentiablePlasticity
from neuroflip.rules.rate import Hebb as Hebb
from neuroflip.rules.rate import Oja as Oja
from neuroflip.rules.rate import RateRule as RateRule
from neuroflip.rules.rate import Sanger as Sanger
from neuroflip.rules.rate import SoftHebb as SoftHebb
from neuroflip.rules.reward import MSTDP as MSTDP
from neuroflip.rules.reward import MSTDPET as MSTDPET
from neuroflip.rules.reward import RewardSTDP as RewardSTDP
from neuroflip.rules.rule import Rule as Rule
from neuroflip.rules.short_term import ShortTerm as ShortTerm
from neuroflip.rules.stdp import AntiHebbianSTDP as AntiHebbianSTDP
from neuroflip.rules.stdp import PairSTDP as PairSTDP
from neuroflip.rules.stdp import SymmetricSTDP as SymmetricSTDP
from neuroflip.rules.suppression import FroemkeDanSTDP as FroemkeDanSTDP
from neuroflip.rules.triplet import TripletSTDP as TripletSTDP
from neuroflip.rules.voltage import ClopathSTDP as ClopathSTDP

if TYPE_CHECKING:
    from neuroflip.rule_check import check_rule as check_rule
    from neuroflip.rules.learner import Learner as Learner
    from neuroflip.rules.learner import attach as attach

RULES: dict[str, type[Rule]] = {
    "none": Frozen,
    **{
        kind.__name__: kind
        for kind in (
            PairSTDP,
            SymmetricSTDP,
            AntiHebbianSTDP,
            TripletSTDP,
            FroemkeDanSTDP,
            InhibitorySTDP,
            ClopathSTDP,
            RewardSTDP,
            MSTDP,
            MSTDPET,
            GraupnerBrunel,
            BistableSynapse,
            ShortTerm,
            HomeostaticScaling,
            WeightNormalisation,
            Hebb,
            Covariance,
            Oja,
            Sanger,
            BCM,
            SoftHebb,
            PES,
            Delta,
            Contrastive,
            DifferentiablePlasticity,
            RLS,
            EProp,
            FlipFlopEProp,
        )
    },
}
"""The rules by name, for files and the command line."""


def __getattr__(name: str) -> Any:
    """What tries rules and runs them on torch layers; imported when first asked for, as it needs
    the engines or torch."""
    if name == "check_rule":
        from neuroflip.rule_check import check_rule

        return check_rule
    if name in ("Learner", "attach"):
        from neuroflip.rules import learner

        return getattr(learner, name)
    raise AttributeError(f"module 'neuroflip.rules' has no attribute {name!r}")
