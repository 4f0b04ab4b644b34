"""UCF11's folder tree, of clips that are written here and decoded again."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

av = pytest.importorskip("av")

from neuroflip.data import load_ucf11  # noqa: E402

HEIGHT, WIDTH = 48, 64


def write(path: Path, colours: list[tuple[int, int, int]], codec: str = "mpeg1video") -> None:
    """A clip whose frames have one colour each."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, "yuv420p"
        for colour in colours:
            image = np.full((HEIGHT, WIDTH, 3), colour, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())


def greys(count: int, first: int = 20, step: int = 5) -> list[tuple[int, int, int]]:
    return [(first + step * k,) * 3 for k in range(count)]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "UCF11_updated_mpg"
    write(root / "basketball/v_shooting_01/v_shooting_01_01.mpg", greys(40))
    write(root / "basketball/v_shooting_02/v_shooting_02_01.mpg", [(200, 30, 30)] * 12)
    write(root / "biking/v_biking_25/v_biking_25_03.mpg", [(30, 30, 200)] * 3, "mpeg2video")
    (root / "biking/Annotation").mkdir()
    (root / "biking/Annotation/v_biking_25_03.xgtf").write_text("<viper/>")
    return root


def test_the_tree(tree: Path) -> None:
    clips = load_ucf11(tree, frames=5, size=(12, 16))
    assert clips.frames.shape == (3, 5, 12, 16, 3) and clips.frames.dtype == np.uint8
    assert clips.actions == ("basketball", "biking") and clips.skipped == ()
    assert clips.action.tolist() == [0, 0, 1] and clips.group.tolist() == [1, 2, 25]
    # frames 0, 10, 20, 29 and 39 of 40, within what the codec loses
    shown = clips.frames[0].mean(axis=(1, 2, 3))
    np.testing.assert_allclose(shown, [20 + 5 * k for k in (0, 10, 20, 29, 39)], atol=6)
    red, blue = clips.frames[1].mean(axis=(0, 1, 2)), clips.frames[2].mean(axis=(0, 1, 2))
    assert red[0] > 180 > 60 > red[2] and blue[2] > 180 > 60 > blue[0]  # RGB, in this order


def test_frames_are_scaled_to_height_and_width(tmp_path: Path) -> None:
    path = tmp_path / "a/v_a_01/v_a_01_01.mpg"
    path.parent.mkdir(parents=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg1video", rate=25)
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, "yuv420p"
        image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        image[: HEIGHT // 2, : WIDTH // 2] = 255  # top left
        container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    (clip,) = load_ucf11(tmp_path, frames=1, size=(6, 4)).frames
    assert clip.shape == (1, 6, 4, 3)
    bright = clip[0].mean(axis=2)
    assert bright[:2, :1].min() > 200 and bright[4:].max() < 50 and bright[:, 3:].max() < 50


DAMAGES = {
    "empty": lambda content: b"",
    "no video": lambda content: b"hello " * 200,
    "cut": lambda content: content[: len(content) // 2],
    "zeros within": lambda content: content[:1000] + bytes(500) + content[1500:],
}


@pytest.mark.parametrize("damage", DAMAGES, ids=str)
def test_a_corrupt_clip_is_named_and_skipped_only_on_request(tree: Path, damage: str) -> None:
    path = tree / "basketball/v_shooting_01/v_shooting_01_01.mpg"
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    with pytest.raises(ValueError, match=r"v_shooting_01_01\.mpg is corrupt") as caught:
        load_ucf11(tree)
    assert "skip_corrupt=True" in caught.value.__notes__[0]
    with pytest.warns(UserWarning, match=r"1 of 3 files were skipped(?s:.*)shooting_01_01\.mpg"):
        clips = load_ucf11(tree, frames=4, skip_corrupt=True)
    assert clips.skipped == (str(path),)
    assert clips.action.tolist() == [0, 1] and clips.group.tolist() == [2, 25]
    assert clips.actions == ("basketball", "biking") and clips.frames.shape == (2, 4, 64, 64, 3)


def test_wrong_paths(tree: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no '.*UFC11'; expected the folder UCF11_updated"):
        load_ucf11(tmp_path / "UFC11")
    with pytest.raises(FileNotFoundError, match="no clips in .*biking; expected"):
        load_ucf11(tree / "biking")
    write(tree / "biking/v_biking/a.mpg", greys(2))
    with pytest.raises(ValueError, match="v_biking must end in its number"):
        load_ucf11(tree)
    with pytest.raises(ValueError, match=r"at least 1; got 0 and \(64, 64\)"):
        load_ucf11(tree, frames=0)


def test_all_clips_corrupt(tmp_path: Path) -> None:
    path = tmp_path / "a/v_a_01/v_a_01_01.mpg"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"")
    with pytest.raises(ValueError, match=r"all 1 files are corrupt:\n.*v_a_01_01\.mpg"):
        load_ucf11(tmp_path, skip_corrupt=True)


def test_without_the_library_the_extra_is_named(tree: Path) -> None:
    program = f"""
import sys
sys.modules["av"] = None
import neuroflip.data
try:
    neuroflip.data.load_ucf11({str(tree)!r})
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "neuroflip[video]" in done.stdout, done.stderr
