"""The digits, where they have been fetched."""

import numpy as np
import pytest

from neuroflip.data import load_digits


def test_the_digits_are_those_described() -> None:
    try:
        digits = load_digits()
    except FileNotFoundError as absent:
        pytest.skip(str(absent))
    assert digits.images.shape == (10_000, 28, 28) and digits.images.dtype == np.uint8
    counts = [1001, 1127, 991, 1032, 980, 863, 1014, 1070, 944, 978]
    assert np.bincount(digits.digit).tolist() == counts
    assert digits.images.max() == 255 and digits.images.reshape(10_000, -1).any(axis=1).all()
    # a stroke is a small part of an image, and a one has the least ink
    ink = [digits.images[digits.digit == digit].mean() / 255 for digit in range(10)]
    assert 0.05 < min(ink) == ink[1] < max(ink) < 0.2
