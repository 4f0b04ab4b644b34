"""Workers that share the cores take one thread each: OpenMP's spin while they wait for a core.
Nightly tests may take hours, others have the time limit of pyproject.toml."""

import os

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:  # before torch is imported
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.timeout(0))
