"""Recorded data: sets that `neuroflip data fetch NAME` brings, and loaders of local files."""

from neuroflip.data.clips import Clips as Clips
from neuroflip.data.clips import load_ucf11 as load_ucf11
from neuroflip.data.digits import Digits as Digits
from neuroflip.data.digits import load_digits as load_digits
from neuroflip.data.events import Events as Events
from neuroflip.data.events import load_nmnist as load_nmnist
from neuroflip.data.events import load_shd as load_shd
from neuroflip.data.fetch import fetch as fetch
from neuroflip.data.packages import DATASETS as DATASETS
from neuroflip.data.packages import DataSet as DataSet
from neuroflip.data.reviews import Reviews as Reviews
from neuroflip.data.reviews import load_imdb as load_imdb
from neuroflip.data.reviews import load_review_snippets as load_review_snippets
from neuroflip.data.text import Vocabulary as Vocabulary
from neuroflip.data.text import pack as pack
from neuroflip.data.text import pad as pad
from neuroflip.data.text import words_of as words_of
from neuroflip.data.watch import WatchData as WatchData
from neuroflip.data.watch import load_watch as load_watch
from neuroflip.data.watch import send_on_delta as send_on_delta
