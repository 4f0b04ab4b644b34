"""To and from other tools: circuits as NIR graphs, recordings for Neo, pandas and NumPy.

The libraries are imported when a function first needs them: `pip install 'neuroflip[exchange]'`.
"""

from neuroflip.exchange.arrays import to_numpy as to_numpy
from neuroflip.exchange.arrays import to_pandas as to_pandas
from neuroflip.exchange.neo_export import to_neo as to_neo
from neuroflip.exchange.nir_export import to_nir as to_nir
from neuroflip.exchange.nir_import import from_nir as from_nir
