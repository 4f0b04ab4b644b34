"""Recorded data to drive circuits with; `neuroflip data fetch NAME` brings it."""

from neuroflip.data.fetch import DATASETS as DATASETS
from neuroflip.data.fetch import DataSet as DataSet
from neuroflip.data.fetch import fetch as fetch
from neuroflip.data.watch import WatchData as WatchData
from neuroflip.data.watch import load_watch as load_watch
from neuroflip.data.watch import send_on_delta as send_on_delta
