"""Products within compiled loops against NumPy's, and the threads that share loops."""

import os

import numpy as np
import pytest

from neuroflip.rate.products import ROWS, add_packed_product, add_product, packed
from neuroflip.rate.threads import share

TYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])


@TYPES
@pytest.mark.parametrize("rows", range(1, ROWS + 1))
@pytest.mark.parametrize("columns", [1, 2, 3, 7, 8, 31, 100, 513])
def test_product_is_added_for_any_width(columns, rows, dtype):
    rng = np.random.default_rng(columns)
    for inner in (0, 1, 5):
        z, v, w = (
            rng.normal(size=s).astype(dtype)
            for s in [(ROWS, columns), (ROWS, inner), (inner, columns)]
        )
        beyond = np.append(z, np.full((1, columns), 7, dtype), axis=0)
        add_product(beyond[:ROWS], v, w, rows)
        expected, precision = z + v.astype(float) @ w, 8 * np.finfo(dtype).eps
        np.testing.assert_allclose(beyond[:rows], expected[:rows], rtol=0, atol=8 * precision)
        assert np.all(beyond[ROWS] == 7)


@TYPES
@pytest.mark.parametrize("columns", [3, 16, 40])
def test_packed_product(columns, dtype):
    rng = np.random.default_rng(columns)
    above, below, v = (
        rng.normal(size=s).astype(dtype) for s in [(3, columns), (5, columns), (8, 8)]
    )
    w = packed(above, below)
    z = np.ones((8, w.shape[0] * w.shape[2]), dtype)
    add_packed_product(z, v, w, 6)
    expected = 1 + v.astype(float) @ np.concatenate([above, below])
    np.testing.assert_allclose(z[:6, :columns], expected[:6], atol=64 * np.finfo(dtype).eps)
    assert np.all(z[:, columns:] == 1)


def test_every_part_once():
    done = []
    share(lambda n: done.append(n), [(n,) for n in range(100)], 2)
    assert sorted(done) == list(range(100))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_waits_for_no_thread():
    share(lambda n: None, [(0,), (1,)], 2)
    child = os.fork()
    if child == 0:
        done = []
        share(lambda n: done.append(n), [(0,), (1,)], 2)
        os._exit(0 if len(done) == 2 else 1)
    assert os.waitpid(child, 0)[1] == 0
