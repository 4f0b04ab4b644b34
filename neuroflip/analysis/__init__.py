"""What circuits do, measured: truth tables, retention, margins, and the rate cell beside them."""

from neuroflip.analysis.distractors import distractor_curve as distractor_curve
from neuroflip.analysis.energy import energy as energy
from neuroflip.analysis.predictions import held_weights as held_weights
from neuroflip.analysis.predictions import interrupted_drive as interrupted_drive
from neuroflip.analysis.predictions import predictions as predictions
from neuroflip.analysis.predictions import transitions as transitions
from neuroflip.analysis.rate_twin import noisy_twins as noisy_twins
from neuroflip.analysis.rate_twin import rate_twin as rate_twin
from neuroflip.analysis.region import latch_region as latch_region
from neuroflip.analysis.region import phase_plane as phase_plane
from neuroflip.analysis.retention import retention as retention
from neuroflip.analysis.robustness import margins as margins
from neuroflip.analysis.robustness import scaled as scaled
from neuroflip.analysis.robustness import variation as variation
from neuroflip.analysis.robustness import vary as vary
from neuroflip.analysis.timing import pulse_width_curve as pulse_width_curve
from neuroflip.analysis.timing import timing_diagram as timing_diagram
from neuroflip.analysis.truth import truth_table as truth_table
