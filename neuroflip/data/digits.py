"""Handwritten digits."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from neuroflip.circuit import Index, _Data
from neuroflip.data.fetch import read


@dataclass(frozen=True, eq=False)
class Digits(_Data):
    """Handwritten digits as images.

    images: grey levels, 0 the background, 255 the stroke, shape (digits, 28, 28).
    digit: which one each is, 0 to 9, shape (digits,).
    """

    images: np.ndarray[Any, np.dtype[np.uint8]]
    digit: Index


def load_digits() -> Digits:
    """10,000 digits of MNIST, from the cache that `neuroflip data fetch digits` fills.

    863 to 1,127 of each, sorted by digit: shuffle before you split. They come without MNIST's own
    split into training and test set, so what is measured on them is not MNIST's test accuracy.
    Source and licence: `neuroflip.data.DATASETS["digits"]`.

    Raises FileNotFoundError where the data was not fetched, ValueError where the cache is damaged.
    """
    held = read("digits")
    return Digits(held["images"], held["digit"])
