"""N-MNIST and SHD, from files written here."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neuroflip.data import load_nmnist, load_shd


def camera_bytes(events: list[tuple[int, int, int, int]]) -> bytes:
    """Events (x, y, polarity, microseconds) as N-MNIST has them."""
    packed = bytearray()
    for x, y, polarity, clock in events:
        packed += bytes([x, y, polarity << 7 | clock >> 16, clock >> 8 & 255, clock & 255])
    return bytes(packed)


def part(root: Path, **digits: list[bytes]) -> Path:
    """A folder Train; d3=[...] are the files of digit 3."""
    for name, contents in digits.items():
        folder = root / "Train" / name[1:]
        folder.mkdir(parents=True, exist_ok=True)
        for number, content in enumerate(contents, start=2):
            (folder / f"{number:05}.bin").write_bytes(content)
    return root / "Train"


def test_an_event_byte_by_byte(tmp_path: Path) -> None:
    # x 33, y 2, ON, 0x012345 us; then x 0, y 33, OFF, 0x7fffff us
    content = bytes([33, 2, 0x81, 0x23, 0x45, 0, 33, 0x7F, 0xFF, 0xFF])
    events = load_nmnist(part(tmp_path, d7=[content]), digits=[7])
    np.testing.assert_allclose(events.times[0], [0.074565, 8.388607], rtol=1e-15)
    assert events.shape == (2, 34, 34) and events.labels == ("7",) and events.speaker is None
    polarity, y, x = np.unravel_index(events.source[0], events.shape)
    assert (polarity.tolist(), y.tolist(), x.tolist()) == ([1, 0], [2, 33], [33, 0])


EVENTS = st.lists(
    st.tuples(st.integers(0, 33), st.integers(0, 33), st.integers(0, 1), st.integers(0, 2**23 - 1)),
    min_size=1,
    max_size=20,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(EVENTS)
def test_all_events_come_back_in_order(
    tmp_path: Path, events: list[tuple[int, int, int, int]]
) -> None:
    events = sorted(events, key=lambda event: event[3])
    read = load_nmnist(part(tmp_path, d0=[camera_bytes(events)]), digits=[0])
    np.testing.assert_allclose(read.times[0], [clock * 1e-6 for *_, clock in events], rtol=1e-15)
    assert read.source[0].tolist() == [(p * 34 + y) * 34 + x for x, y, p, _ in events]
    trains = read.trains(0)
    assert len(trains) == 2 * 34 * 34 and sum(map(len, trains)) == len(events)
    for x, y, p, _ in events:
        own = [clock * 1e-6 for a, b, c, clock in events if (a, b, c) == (x, y, p)]
        np.testing.assert_allclose(trains[(p * 34 + y) * 34 + x], own, rtol=1e-15)


def test_overflows_of_the_clock(tmp_path: Path) -> None:
    events = [(1, 1, 0, 8000), (0, 240, 0, 0), (1, 1, 0, 10), (0, 240, 0, 0), (2, 1, 0, 5)]
    read = load_nmnist(part(tmp_path, d0=[camera_bytes(events)]), digits=[0])
    np.testing.assert_allclose(read.times[0], [0.008, 0.008202, 0.016389], rtol=1e-14)


def test_digits_and_number(tmp_path: Path) -> None:
    contents = [camera_bytes([(k, 0, 0, k)]) for k in range(3)]
    root = part(tmp_path, d0=contents[:2], d4=contents)
    events = load_nmnist(root, digits=(4, 0), most=2)
    assert events.labels == ("4", "0") and events.label.tolist() == [0, 0, 1, 1]
    assert [source.tolist() for source in events.source] == [[0], [1], [0], [1]]
    with pytest.raises(FileNotFoundError, match=r"no .*Train.1.\*\.bin; expected the folder Train"):
        load_nmnist(root)
    with pytest.raises(FileNotFoundError, match="no '.*Tain'; expected the folder Train"):
        load_nmnist(tmp_path / "Tain")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it has 0 bytes"),
        (camera_bytes([(1, 1, 1, 1)])[:-1], "it has 4 bytes, which must be 5 for each"),
        (camera_bytes([(1, 1, 1, 1), (34, 0, 0, 2)]), r"an event is at \(34, 0\), outside 34 x 34"),
        (camera_bytes([(1, 35, 1, 1)]), r"an event is at \(1, 35\)"),
    ],
)
def test_corrupt_files_are_named_and_skipped_only_on_request(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    root = part(tmp_path, d0=[camera_bytes([(5, 0, 0, 1)]), content, camera_bytes([(6, 0, 0, 1)])])
    with pytest.raises(ValueError, match=rf"00003\.bin is corrupt: {reason}"):
        load_nmnist(root, digits=[0])
    with pytest.warns(UserWarning, match=r"1 of 3 files were skipped:\n.*00003\.bin"):
        events = load_nmnist(root, digits=[0], skip_corrupt=True)
    assert [source.tolist() for source in events.source] == [[5], [6]]
    assert events.skipped == (str(root / "0" / "00003.bin"),)


def shd(path: Path, **changed: Any) -> Path:
    """A file of two recordings as SHD has them."""
    h5py = pytest.importorskip("h5py")
    held = {
        "times": [[0.0125, 0.5], [0.25]],
        "units": [[699, 0], [3]],
        "labels": [1, 0],
        "speaker": [4, 11],
        **changed,
    }
    with h5py.File(path, "w") as file:
        for name, kind in (("times", np.float16), ("units", np.uint16)):
            rows = file.create_dataset(
                f"spikes/{name}", (len(held[name]),), dtype=h5py.vlen_dtype(kind)
            )
            for number, row in enumerate(held[name]):
                rows[number] = np.array(row, kind)
        file["labels"] = np.array(held["labels"], np.uint16)
        file["extra/speaker"] = np.array(held["speaker"], np.uint16)
        file["extra/keys"] = np.array([b"zero", b"one"])
    return path


def test_shd(tmp_path: Path) -> None:
    events = load_shd(shd(tmp_path / "shd_train.h5"))
    np.testing.assert_allclose(events.times[0], [0.0125, 0.5], rtol=1e-3)  # 16 bits in the file
    assert events.times[0].dtype == np.float64 and events.times[1].tolist() == [0.25]
    assert [source.tolist() for source in events.source] == [[699, 0], [3]]
    assert events.shape == (700,) and events.labels == ("zero", "one")
    assert events.label.tolist() == [1, 0]
    assert events.speaker is not None and events.speaker.tolist() == [4, 11]
    trains = events.trains(0)
    assert len(trains) == 700 and trains[0].tolist() == [0.5] and len(trains[699]) == 1
    assert sum(map(len, trains)) == 2 and sum(map(len, events.trains(1))) == 1


@pytest.mark.parametrize("kept", [0.0, 0.2, 0.5, 0.9])
def test_a_truncated_file_of_shd_is_named(tmp_path: Path, kept: float) -> None:
    path = shd(tmp_path / "shd_train.h5")
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(ValueError, match=r"shd_train\.h5 is corrupt"):
        load_shd(path)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"units": [[700, 0], [3]]}, "recording 0 must have one unit, 0 to 699, for each spike"),
        ({"units": [[6, 0], [3, 4]]}, "recording 1 must have one unit"),
        ({"labels": [1]}, "differ in number"),
        ({"labels": [1, 2]}, "labels must be 0 to 1"),
    ],
)
def test_other_contents_are_refused(tmp_path: Path, changed: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=rf"shd_train\.h5 is corrupt: .*{reason}"):
        load_shd(shd(tmp_path / "shd_train.h5", **changed))


def test_another_file_is_refused(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["labels"] = np.arange(3)
    with pytest.raises(ValueError, match=r"other\.h5 is corrupt: it has no spikes/times"):
        load_shd(tmp_path / "other.h5")
    with pytest.raises(FileNotFoundError, match="expected the file shd_train.h5"):
        load_shd(tmp_path / "shd_train.h5")
