"""Texts as whole numbers: words, the vocabulary of the most frequent ones, padding, packing."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from neuroflip.circuit import Index

if TYPE_CHECKING:
    from torch.nn.utils.rnn import PackedSequence

Word: TypeAlias = str | int
"""A word; a whole number where only its rank is known."""

PADDING = 0
"""The number that fills up short sequences."""
UNKNOWN = 1
"""The number of every word that is not in the vocabulary."""

_WORD = re.compile(r"\w+(?:['’]\w+)*|[^\w\s]")


def words_of(text: str) -> tuple[str, ...]:
    """The words of a text in lower case; each punctuation mark is a word of its own.

    >>> words_of("It's NOT bad, is it?")
    ("it's", 'not', 'bad', ',', 'is', 'it', '?')
    """
    return tuple(_WORD.findall(text.lower()))


@dataclass(frozen=True)
class Vocabulary:
    """The words that have a number of their own.

    words: the most frequent first. Word number i is words[i - 2]: 0 is padding, 1 is unknown.

    >>> vocabulary = Vocabulary.of([["a", "b", "a"], ["c", "a", "b"]], size=4)
    >>> vocabulary.words, vocabulary.encode(["c", "b", "a"]).tolist()
    (('a', 'b'), [1, 3, 2])
    """

    words: tuple[Word, ...]

    @classmethod
    def of(
        cls, sequences: Iterable[Iterable[Word]], size: int = 20_000, at_least: int = 1
    ) -> "Vocabulary":
        """The vocabulary of these sequences, which should be those trained on.

        size: numbers in all, padding and unknown included; so of rows that an embedding needs
            at most.
        at_least: how often a word must occur. Words that are equally frequent are ranked by the
            word, so that the order of the sequences does not matter.

        Raises ValueError for a size below 3 and where no word is frequent enough.
        """
        if size < 3:
            raise ValueError(f"size must be at least 3, padding, unknown and a word; got {size!r}.")
        counts = Counter(word for words in sequences for word in words)
        frequent = [(-count, word) for word, count in counts.items() if count >= at_least]
        if not frequent:
            raise ValueError(f"no word occurs {at_least} times; there are {len(counts)} words.")
        return cls(tuple(word for _, word in sorted(frequent)[: size - 2]))

    def __len__(self) -> int:
        """Numbers in all, padding and unknown included."""
        return len(self.words) + 2

    @cached_property
    def _numbers(self) -> Mapping[Word, int]:
        return {word: number for number, word in enumerate(self.words, start=2)}

    def encode(self, words: Iterable[Word]) -> Index:
        """The numbers of these words, shape (words,)."""
        return np.array([self._numbers.get(word, UNKNOWN) for word in words], dtype=np.int64)


def pad(sequences: Sequence[Index], length: int | None = None) -> tuple[Index, Index]:
    """Sequences of numbers as one array, filled up with padding: (numbers, lengths).

    length: how long all become, longer ones losing their end; by default as long as the longest.
    numbers: shape (sequences, length). lengths: of each, without padding, shape (sequences,).

    Raises ValueError for no sequence, an empty one or a length below 1.

    >>> numbers, lengths = pad([np.array([5, 6, 7]), np.array([8])], length=2)
    >>> numbers.tolist(), lengths.tolist()
    ([[5, 6], [8, 0]], [2, 1])
    """
    cut = _cut(sequences, length)
    lengths = np.array([len(sequence) for sequence in cut], dtype=np.int64)
    numbers = np.full((len(cut), length or lengths.max()), PADDING, dtype=np.int64)
    for row, sequence in zip(numbers, cut, strict=True):
        row[: len(sequence)] = sequence
    return numbers, lengths


def pack(sequences: Sequence[Index], length: int | None = None) -> "PackedSequence":
    """The same for torch's recurrent layers, without padding: they skip what is not there.

    Embed the numbers with `packed._replace(data=embedding(packed.data))`. Raises as `pad`.

    >>> pack([np.array([8]), np.array([5, 6, 7])], length=2).data.tolist()
    [5, 8, 6]
    """
    import torch

    tensors = [torch.from_numpy(np.ascontiguousarray(s)) for s in _cut(sequences, length)]
    return torch.nn.utils.rnn.pack_sequence(tensors, enforce_sorted=False)


def _cut(sequences: Sequence[Index], length: int | None) -> list[Index]:
    if length is not None and length < 1:
        raise ValueError(f"length must be at least 1; got {length!r}.")
    if not sequences:
        raise ValueError("there must be at least one sequence; got none.")
    for number, sequence in enumerate(sequences):
        if len(sequence) == 0:
            raise ValueError(f"sequence {number} is empty.")
    return [sequence[:length] for sequence in sequences]
