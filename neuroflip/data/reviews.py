"""Film reviews with their sentiment: IMDB from local files, and rated sentences in its stead."""

import re
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from neuroflip.circuit import Index, _Data
from neuroflip.data.fetch import read
from neuroflip.data.pickles import read_npy
from neuroflip.data.reading import CorruptFile, existing
from neuroflip.data.text import Word, words_of


@dataclass(frozen=True, eq=False)
class Reviews(_Data):
    """Texts that praise or condemn.

    words: of each text (`text.words_of`); their ranks by frequency, from 1, where only these are
        known.
    positive: 1 where the text praises, 0 where it condemns, shape (texts,).
    """

    words: tuple[tuple[Word, ...], ...]
    positive: Index


def load_imdb(path: str | Path) -> tuple[Reviews, Reviews]:
    """IMDB's 25,000 reviews to train on and 25,000 to test on, from local files: (train, test).

    path: the folder aclImdb, as unpacked, with train/pos/*.txt, train/neg, test/pos, test/neg; or
        the file imdb.npz of Keras, whose words are ranks. Its pickles are read without running
        what a pickle may call.

    A. L. Maas et al. (2011), Learning word vectors for sentiment analysis, ACL 49:142.

    Raises FileNotFoundError for a path or folder that is not there, ValueError for a file that is
    truncated, corrupt or of another kind; each names it.
    """
    expected = "the folder aclImdb or the file imdb.npz"
    found = existing(path, expected)
    if found.is_dir():
        return _folder(found / "train"), _folder(found / "test")
    if found.suffix != ".npz":
        raise ValueError(f"{found} must be unpacked first; expected {expected}.")
    return _keras(found)


def load_review_snippets() -> Reviews:
    """Rated sentences of film reviews, from the cache that `neuroflip data fetch` fills.

    10,568 sentences of 21 words on average, 5,242 of them positive; 37 that their raters found
    neutral on average are left out. They stand in for IMDB where that cannot be had, and are not
    it: a review of IMDB has some 230 words. Source and licence:
    `neuroflip.data.DATASETS["review-snippets"]`.

    The order is that of the source, which is nearly sorted by sentiment: shuffle before you split.

    Raises FileNotFoundError where the data was not fetched, ValueError where the cache is damaged.
    """
    held = read("review-snippets")
    rated = [(text, rating) for text, rating in zip(held["texts"], held["rating"], strict=True)]
    decided = [(words_of(text), rating > 0) for text, rating in rated if rating != 0]
    return _reviews(*zip(*decided, strict=True))


def _reviews(words: Iterable[tuple[Word, ...]], positive: Iterable[Any]) -> Reviews:
    return Reviews(tuple(words), np.array([int(p) for p in positive], dtype=np.int64))


def _folder(part: Path) -> Reviews:
    """The reviews in PART/pos and PART/neg, by the number in their name."""
    words: list[tuple[Word, ...]] = []
    positive: list[int] = []
    for kind in ("neg", "pos"):
        folder = part / kind
        named = [(re.fullmatch(r"(\d+)_\d+\.txt", p.name), p) for p in folder.glob("*.txt")]
        texts = sorted((int(match[1]), path) for match, path in named if match)
        if not texts:
            raise FileNotFoundError(f"there are no reviews in {folder}; expected files 0_9.txt ...")
        for _, path in texts:
            try:
                text = path.read_text(encoding="utf-8")
            except UnicodeDecodeError as error:
                raise CorruptFile(path, error) from None
            found = words_of(text.replace("<br />", " "))
            if not found:
                raise CorruptFile(path, "it holds no words.")
            words.append(found)
            positive.append(int(kind == "pos"))
    return _reviews(words, positive)


def _keras(path: Path) -> tuple[Reviews, Reviews]:
    try:
        with zipfile.ZipFile(path) as archive:
            held = {
                name: read_npy(archive.read(f"{name}.npy")).tolist()
                for name in ("x_train", "y_train", "x_test", "y_test")
            }
    except Exception as error:  # zipfile, zlib, NumPy and pickle say it in many ways
        raise CorruptFile(path, error) from error
    parts = []
    for part in ("train", "test"):
        texts, labels = held[f"x_{part}"], held[f"y_{part}"]
        if len(texts) != len(labels) or not set(labels) <= {0, 1}:
            raise CorruptFile(
                path,
                f"y_{part} must be 0 or 1 for each of the {len(texts)} reviews in x_{part}; it "
                f"has {len(labels)} entries, of {sorted(set(labels))[:5]}.",
            )
        for number, text in enumerate(texts):
            if not isinstance(text, list) or not _ranks(text):
                raise CorruptFile(path, f"x_{part}[{number}] is no list of ranks from 1.")
        parts.append(_reviews((tuple(text) for text in texts), labels))
    return parts[0], parts[1]


def _ranks(values: list[Any]) -> bool:
    return bool(values) and all(isinstance(value, int) and value > 0 for value in values)
