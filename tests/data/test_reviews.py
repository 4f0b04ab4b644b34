"""Reviews: IMDB's two layouts, written here, and the sentences that stand in for it."""

import io
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neuroflip.data import Reviews, load_imdb, load_review_snippets

TEXTS = {
    "train/pos/0_9.txt": "Great film!<br /><br />See it.",
    "train/pos/10_7.txt": "tenth",
    "train/pos/2_8.txt": "second",
    "train/neg/0_1.txt": "Not good.",
    "test/pos/0_10.txt": "été",
    "test/neg/0_2.txt": "bad",
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A folder aclImdb of a few reviews."""
    for name, text in TEXTS.items():
        path = tmp_path / "aclImdb" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
    (tmp_path / "aclImdb/train/urls_pos.txt").write_text("no review")
    (tmp_path / "aclImdb/train/pos/notes.txt").write_text("no review")
    return tmp_path / "aclImdb"


def keras(path: Path, **changed: Any) -> Path:
    """A file imdb.npz as Keras has it: arrays of lists, pickled."""
    held = {
        "x_train": [[1, 14, 22], [7], [3, 3]],
        "y_train": [1, 0, 1],
        "x_test": [[5, 6], [8]],
        "y_test": [0, 1],
        **changed,
    }
    arrays = {}
    for name, values in held.items():
        arrays[name] = np.empty(len(values), dtype=object if name[0] == "x" else np.int64)
        arrays[name][:] = values
    np.savez(path, allow_pickle=True, **arrays)
    return path


def test_the_folder(tree: Path) -> None:
    train, test = load_imdb(tree)
    great = ("great", "film", "!", "see", "it", ".")
    assert train.words == (("not", "good", "."), great, ("second",), ("tenth",))
    assert train.positive.tolist() == [0, 1, 1, 1]
    assert test == Reviews((("bad",), ("été",)), np.array([0, 1]))
    assert load_imdb(str(tree))[1] == test


def test_the_file_of_keras(tmp_path: Path) -> None:
    train, test = load_imdb(keras(tmp_path / "imdb.npz"))
    assert train == Reviews(((1, 14, 22), (7,), (3, 3)), np.array([1, 0, 1]))
    assert test == Reviews(((5, 6), (8,)), np.array([0, 1]))


def test_wrong_paths(tree: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no '.*aclImbd'; expected the folder aclImdb"):
        load_imdb(tmp_path / "aclImbd")
    with pytest.raises(FileNotFoundError, match=r"no reviews in .*tmp.*train.neg"):
        load_imdb(tmp_path)
    for path in (tree / "test/pos").iterdir():
        path.unlink()
    with pytest.raises(FileNotFoundError, match=r"no reviews in .*aclImdb.test.pos"):
        load_imdb(tree)
    packed = tmp_path / "aclImdb_v1.tar.gz"
    packed.write_bytes(b"")
    with pytest.raises(ValueError, match=r"aclImdb_v1\.tar\.gz must be unpacked first"):
        load_imdb(packed)


@pytest.mark.parametrize(("content", "reason"), [(b"\xff\xfe", "utf-8"), (b" ", "no words")])
def test_a_corrupt_review_is_named(tree: Path, content: bytes, reason: str) -> None:
    (tree / "test/neg/3_1.txt").write_bytes(content)
    with pytest.raises(ValueError, match=rf"3_1\.txt is corrupt: .*{reason}"):
        load_imdb(tree)


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.6, 0.95])
def test_a_truncated_file_of_keras_is_named(tmp_path: Path, kept: float) -> None:
    path = keras(tmp_path / "imdb.npz")
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(ValueError, match=r"imdb\.npz is corrupt"):
        load_imdb(path)


def test_any_wrong_byte_in_the_file_of_keras_is_told_or_harmless(tmp_path: Path) -> None:
    path = keras(tmp_path / "imdb.npz")
    intact, content = load_imdb(path), path.read_bytes()
    told = 0
    for position in range(0, len(content), 7):
        wrong = bytearray(content)
        wrong[position] ^= 0x51
        path.write_bytes(wrong)
        try:
            assert load_imdb(path) == intact
        except ValueError as error:
            assert "imdb.npz is corrupt" in str(error)
            told += 1
    assert told > len(content) / 7 / 3


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"y_train": [1, 0]}, "for each of the 3 reviews in x_train; it has 2 entries"),
        ({"y_test": [0, 2]}, r"entries, of \[0, 2\]"),
        ({"x_test": [[5], [0]]}, r"x_test\[1\] is no list of ranks"),
        ({"x_test": [[5], ["bad"]]}, r"x_test\[1\] is no list of ranks"),
        ({"x_train": [[5], [], [1]]}, r"x_train\[1\] is no list of ranks"),
        ({"x_train": [[5], 3, [1]]}, r"x_train\[1\] is no list of ranks"),
    ],
)
def test_other_contents_are_refused(tmp_path: Path, changed: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=rf"imdb\.npz is corrupt: .*{reason}"):
        load_imdb(keras(tmp_path / "imdb.npz", **changed))


class Calls:
    """An object whose pickle runs a command when it is read."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (self.command,)


def test_a_pickle_that_calls_anything_is_refused(tmp_path: Path) -> None:
    path = keras(tmp_path / "imdb.npz", x_train=[[1], [2], Calls(f"touch {tmp_path}/made")])
    with pytest.raises(ValueError, match=r"must hold arrays only; this one calls \w+\.system"):
        load_imdb(path)
    assert not (tmp_path / "made").exists()


def test_another_archive_is_refused(tmp_path: Path) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("x_train.npy", b"")
    (tmp_path / "imdb.npz").write_bytes(packed.getvalue())
    with pytest.raises(ValueError, match=r"imdb\.npz is corrupt"):
        load_imdb(tmp_path / "imdb.npz")


def test_the_snippets_are_those_described() -> None:
    try:
        reviews = load_review_snippets()
    except FileNotFoundError as absent:
        pytest.skip(str(absent))
    assert (len(reviews.words), int(reviews.positive.sum())) == (10_568, 5_242)
    lengths = [len(words) for words in reviews.words]
    assert (min(lengths), max(lengths)) == (2, 64) and 21 < np.mean(lengths) < 22
    half = len(lengths) // 2  # nearly sorted by sentiment, as the docstring warns
    assert reviews.positive[:half].mean() > 0.9 > 0.1 > reviews.positive[half:].mean()
