"""Parameter sweeps: a function over a grid, in processes or on a cluster, that survive a kill."""

from neuroflip.sweep.design import random_design as random_design
from neuroflip.sweep.run import sweep as sweep
from neuroflip.sweep.store import read_sweep as read_sweep
