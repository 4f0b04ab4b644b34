"""What circuits do, measured: truth tables, retention, margins, and the rate cell beside them."""

from neuroflip.analysis.robustness import margins as margins
from neuroflip.analysis.robustness import scaled as scaled
from neuroflip.analysis.robustness import variation as variation
from neuroflip.analysis.robustness import vary as vary
from neuroflip.analysis.truth import truth_table as truth_table
