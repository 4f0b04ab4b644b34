"""Sentiment: how texts are divided and read, the bag of words, and that word order is learnt."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from neuroflip import files
from neuroflip.data import Reviews, load_review_snippets
from neuroflip.sims.paper import sentiment
from neuroflip.sims.paper.experiments import STORED
from neuroflip.sims.paper.models import PUBLISHED, count
from neuroflip.sims.paper.sentiment import AS_PUBLISHED, SOUND, Reader, parts, run, tf_idf


def made(texts: int, seed: int = 0) -> Reviews:
    """Texts that praise unless the one "not" stands right before "good"."""
    rng = np.random.default_rng(seed)
    words, positive = [], []
    for _ in range(texts):
        label = int(rng.integers(2))
        filler = [str(w) for w in rng.choice(["film", "plot", "is", "the"], rng.integers(2, 6))]
        phrase = ["good", "not"] if label else ["not", "good"]
        at = int(rng.integers(len(filler) + 1))
        words.append((*filler[:at], *phrase, *filler[at:]))
        positive.append(label)
    return Reviews(tuple(words), np.array(positive))


def test_every_text_is_tested_once_and_never_trained_on_then() -> None:
    reviews = made(103)
    tested: Counter[int] = Counter()
    for seed in range(5):
        train, validation, test = (set(part.tolist()) for part in parts(reviews, seed))
        assert train | validation | test == set(range(103))
        assert len(train) + len(validation) + len(test) == 103
        assert len(validation) == (103 - len(test)) // 10
        tested.update(test)
    assert tested == Counter(range(103))


@pytest.mark.parametrize(
    ("kind", "parameters"),
    [("RNN", 653_602), ("LSTM", 693_802), ("GRU", 680_402), ("FlipFlop", 666_802)],
)
def test_models_of_the_published_size(kind: str, parameters: int) -> None:
    """640,000 for 20,000 words; 1, 4, 3 and 2 gates of 32 + 100 inputs and 100 units, torch's with
    two biases, the flip-flop's with one; 202 to read out two classes."""
    gates, biases = {"RNN": (1, 2), "LSTM": (4, 2), "GRU": (3, 2), "FlipFlop": (2, 1)}[kind]
    assert parameters == 640_000 + gates * 100 * (32 + 100 + biases) + 202
    assert count(Reader(kind, AS_PUBLISHED, AS_PUBLISHED.words)) == parameters


@pytest.mark.parametrize("size", sentiment.sizes())
@pytest.mark.parametrize("kind", PUBLISHED)
def test_sizes_are_the_stored_ones(kind: str, size: str) -> None:
    """Theirs reads out one number, H + 1 parameters, where ours reads out two; and their flip-flop
    net has another layer, H (H + 1)."""
    stored = files.read(STORED)["experiments"][f"sent_analysis/{size}"]
    which = replace(AS_PUBLISHED, **sentiment.sizes()[size])
    h = which.hidden
    theirs = stored["models"][kind]["num_params"] - (h * (h + 1) if kind == "FlipFlop" else 0)
    assert count(Reader(kind, which, which.words)) == theirs + h + 1
    assert which.length == stored["config"]["max_length"]
    assert which.epochs == stored["config"]["epochs"]
    assert which.learning_rate == stored["config"]["learning_rate"]


@pytest.mark.parametrize("kind", PUBLISHED)
def test_what_follows_a_text_and_stands_beside_it_does_not_matter(kind: str) -> None:
    torch.manual_seed(0)
    net = Reader(kind, SOUND, 30).eval()
    with torch.no_grad():
        alone = net(torch.tensor([[5, 6, 7]]))
        padded = net(torch.tensor([[9, 9, 9, 9, 9], [5, 6, 7, 0, 0], [4, 0, 0, 0, 0]]))
    torch.testing.assert_close(padded[1:2], alone)
    assert not torch.equal(net(torch.tensor([[6, 5, 7]])), alone)


def test_numbers_are_those_of_the_words_trained_on() -> None:
    reviews = Reviews((("a", "b", "b"), ("b",), ("c", "a")), np.array([0, 1, 1]))
    which = replace(SOUND, at_least=1, length=2)
    data, other, size = sentiment.numbered(reviews, np.array([0, 1]), which, reviews)
    # "b" and "a" have numbers, "b" the first as it is more frequent; "c" is unknown
    assert size == 4 and data.inputs.tolist() == [[3, 2], [2, 0], [1, 3]]
    assert data.targets.tolist() == [0, 1, 1] and torch.equal(other.inputs, data.inputs)


@pytest.mark.parametrize("kind", PUBLISHED)
def test_the_order_of_words_is_learnt(kind: str) -> None:
    """The two kinds of texts have the same words; only their order tells."""
    which = replace(
        SOUND, embedding=8, hidden=16, dropout=0.0, word_dropout=0.0, epochs=12, batch_size=16,
        learning_rate=0.01, spread=1.0,
    )  # fmt: skip
    record = run(kind, 0, made(400), which)
    assert record["test"] > 0.95
    assert record["model"] == kind and record["seed"] == 0


def test_texts_to_test_may_come_apart() -> None:
    which = replace(SOUND, embedding=4, hidden=4, epochs=1)
    record = run("GRU", 1, made(60), which, tested=made(20, seed=1))
    assert record["parameters"] == 4 * 8 + 3 * 4 * (4 + 4 + 2) + 10  # 6 words and two numbers
    assert round(record["test"] * 20, 6) == int(round(record["test"] * 20, 6))


def test_tf_idf_by_hand() -> None:
    rows, others = tf_idf([("a", "b", "a"), ("b",)], [("a", "c"), ("c",)])
    both, one = 1.0, np.log(3 / 2) + 1  # idf of what is in both texts, and in one
    # columns in any order: "a" twice, "b" once, "a b", "b a"
    expected = np.array([2 * one, both, one, one])
    expected /= np.linalg.norm(expected)
    assert sorted(rows.to_dense()[0].tolist()) == pytest.approx(sorted(expected))
    assert sorted(rows.to_dense()[1].tolist()) == [0, 0, 0, 1]
    assert sorted(others.to_dense()[0].tolist()) == [0, 0, 0, 1]
    assert others.to_dense()[1].tolist() == [0, 0, 0, 0]


def test_the_bag_knows_neighbours_but_no_longer_order() -> None:
    assert sentiment.bag_of_words(made(400), 0, 10.0) > 0.95  # "not good" is a pair
    far = Reviews(
        tuple((*w[:1], "x", "y", *w[1:]) for w in [("not", "good"), ("good", "not")] * 100),
        np.array([0, 1] * 100),
    )
    apart = Reviews(tuple((a, "z", "z", b) for a, _, _, b in far.words), far.positive)
    assert sentiment.bag_of_words(apart, 0, 10.0) > 0.95  # "not z" and "z good"
    wide = Reviews(tuple(("z", a, "z", "z", b, "z") for a, _, _, b in apart.words), far.positive)
    assert sentiment.bag_of_words(wide, 0, 10.0) < 0.7  # the same words and pairs


def test_the_stored_table_is_whole() -> None:
    table = sentiment.table()
    assert "in place of IMDB" in table["data"]
    assert table["setting"] == json.loads(json.dumps(sentiment.asdict(SOUND)))
    for model in PUBLISHED:
        runs = [run for run in table["runs"] if run["model"] == model]
        assert [run["seed"] for run in runs] == [0, 1, 2, 3, 4]
        assert table["test"][model]["mean"] == pytest.approx(
            np.mean([run["test"] for run in runs]), abs=1e-4
        )
    assert all(len(values) == 5 for values in table["bag_of_words"].values())


@pytest.mark.slow
def test_a_stored_number_is_found_again(tmp_path: Path) -> None:
    try:
        reviews = load_review_snippets()
    except FileNotFoundError as absent:
        pytest.skip(str(absent))
    torch.set_num_threads(1)
    stored = next(r for r in sentiment.table()["runs"] if r["model"] == "FlipFlop")
    found = run("FlipFlop", stored["seed"], reviews, folder=tmp_path)
    assert found["test"] == pytest.approx(stored["test"], abs=0.02)


@pytest.mark.parametrize("number", [3, 4])
def test_figures_are_drawn_from_the_stored_table(number: int, tmp_path: Path) -> None:
    from neuroflip.sims.paper.drawing import Job

    draw = {3: sentiment.figure_3, 4: sentiment.figure_4}[number]
    figure, numbers = draw(Job(quick=True, out=tmp_path))
    figure.savefig(tmp_path / "figure.png")
    assert {"FlipFlop", "RNN", "LSTM", "GRU"} <= set(numbers["models"])
