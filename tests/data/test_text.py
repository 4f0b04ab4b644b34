"""Words, vocabularies, padding and packing."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from neuroflip.data import Vocabulary, pack, pad, words_of
from neuroflip.data.text import PADDING, UNKNOWN

WORDS = st.lists(st.lists(st.sampled_from("abcdef"), min_size=1), min_size=1)
NUMBERS = st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=7), min_size=1, max_size=6)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ()),
        ("  \n\t ", ()),
        ("Don't-- STOP!", ("don't", "-", "-", "stop", "!")),
        ("l’été à 3.5%", ("l’été", "à", "3", ".", "5", "%")),
        ("it's 'quoted'", ("it's", "'", "quoted", "'")),
    ],
)
def test_words(text: str, words: tuple[str, ...]) -> None:
    assert words_of(text) == words


@given(WORDS, st.integers(3, 9))
def test_the_most_frequent_words_are_kept_whatever_the_order(
    sequences: list[list[str]], size: int
) -> None:
    vocabulary = Vocabulary.of(sequences, size)
    text = "".join(word for words in sequences for word in words)
    ranked = sorted(set(text), key=lambda word: (-text.count(word), word))
    assert list(vocabulary.words) == ranked[: size - 2]
    assert len(vocabulary) == len(vocabulary.words) + 2 <= size
    assert Vocabulary.of(sequences[::-1], size) == vocabulary


@given(WORDS)
def test_numbers_lead_back_to_the_words(sequences: list[list[str]]) -> None:
    vocabulary = Vocabulary.of(sequences)
    for words in sequences:
        numbers = vocabulary.encode(words)
        assert numbers.dtype == np.int64
        assert [vocabulary.words[number - 2] for number in numbers] == words
    assert vocabulary.encode(["z", "a"])[0] == UNKNOWN
    assert vocabulary.encode([]).tolist() == []


def test_ranks_are_words_too_and_rare_ones_can_be_left_out() -> None:
    vocabulary = Vocabulary.of([[10, 10, 3], [3, 7, 10]], at_least=2)
    assert vocabulary.words == (10, 3)
    assert vocabulary.encode([7, 3, 10]).tolist() == [UNKNOWN, 3, 2]


@given(NUMBERS, st.none() | st.integers(1, 9))
def test_padding(sequences: list[list[int]], length: int | None) -> None:
    numbers, lengths = pad([np.array(s) for s in sequences], length)
    assert numbers.shape == (len(sequences), length or max(map(len, sequences)))
    for row, count, sequence in zip(numbers, lengths, sequences, strict=True):
        assert count == min(len(sequence), length or 99)
        assert row[:count].tolist() == sequence[:count]
        assert (row[count:] == PADDING).all()


@given(NUMBERS, st.none() | st.integers(1, 9))
def test_packing_is_padding_without_the_padding(
    sequences: list[list[int]], length: int | None
) -> None:
    arrays = [np.array(s) for s in sequences]
    unpacked, lengths = torch.nn.utils.rnn.pad_packed_sequence(pack(arrays, length), True)
    numbers, expected = pad(arrays, length)
    assert lengths.tolist() == expected.tolist()
    np.testing.assert_array_equal(unpacked, numbers[:, : lengths.max()])


def test_a_layer_reads_packed_words_as_it_reads_each_text_alone() -> None:
    torch.manual_seed(0)
    embedding, layer = torch.nn.Embedding(10, 3), torch.nn.GRU(3, 4)
    texts = [np.array(s) for s in ([1, 2, 3, 4], [5], [6, 7])]
    packed = pack(texts)
    _, together = layer(packed._replace(data=embedding(packed.data)))
    alone = [layer(embedding(torch.from_numpy(text)))[1] for text in texts]
    torch.testing.assert_close(together[0], torch.cat(alone))


def test_refusals() -> None:
    with pytest.raises(ValueError, match="size must be at least 3.*got 2"):
        Vocabulary.of([["a"]], size=2)
    with pytest.raises(ValueError, match="no word occurs 2 times; there are 1 words"):
        Vocabulary.of([["a"]], at_least=2)
    for shape in (pad, pack):
        with pytest.raises(ValueError, match="at least one sequence"):
            shape([])
        with pytest.raises(ValueError, match="sequence 1 is empty"):
            shape([np.array([1]), np.array([], dtype=int)])
        with pytest.raises(ValueError, match="length must be at least 1; got 0"):
            shape([np.array([1])], length=0)
