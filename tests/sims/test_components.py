"""Oja and Sanger on recorded motion, against the eigenvectors of its covariance."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from neuroflip.data import load_watch
from neuroflip.sims.components import components, motion_windows, principal_components


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Matrices this small gain nothing from threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def watch() -> None:
    try:
        load_watch()
    except FileNotFoundError as absent:
        pytest.skip(str(absent))


def test_windows_are_centred_and_no_component_stands_far_out() -> None:
    windows = motion_windows()
    assert windows.shape == (4817, 60)
    assert np.abs(windows.mean(axis=0)).max() < 1e-14
    values = np.linalg.svd(windows, compute_uv=False) ** 2 / len(windows)
    assert abs(values.sum() - 1) < 1e-12
    assert (values[:5] / values[1:6]).max() < 1.3  # components that are hard to tell apart
    leading = principal_components(windows, 5)
    assert np.abs((windows @ leading.T).var(axis=0) - values[:5]).max() < 1e-12


def check(rule: str, neurons: int, seed: int) -> None:
    result = components(rule, seed)
    assert result.angles.shape == (neurons,) and result.angles.max() < 1.0
    assert np.abs(result.norms - 1).max() < 0.01
    values = np.linalg.svd(motion_windows(), compute_uv=False) ** 2 / 4817
    assert np.abs(result.explained / values[:neurons] - 1).max() < 1e-3


@pytest.mark.parametrize(("rule", "neurons"), [("Oja", 1), ("Sanger", 5)])
def test_weights_are_principal_components_within_a_degree(rule: str, neurons: int) -> None:
    check(rule, neurons, seed=0)


@pytest.mark.slow
@pytest.mark.parametrize(("rule", "neurons"), [("Oja", 1), ("Sanger", 5)])
@pytest.mark.parametrize("seed", range(1, 5))
def test_other_seeds(seed: int, rule: str, neurons: int) -> None:
    check(rule, neurons, seed)


def test_oja_alone_finds_one_component_five_times() -> None:
    """Without Sanger's sum over the neurons before, all neurons would be alike."""
    short = components("Sanger", seed=0, epochs=3)
    assert short.angles[0] < short.angles[4] and short.angles[4] > 5


def test_unknown_rule() -> None:
    with pytest.raises(ValueError, match="unknown rule 'Ojo'; did you mean 'Oja'"):
        components("Ojo")
