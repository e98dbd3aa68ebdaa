"""One real cluster for all SLURM tests of a session, with and without accounting."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.slurm.cluster import Cluster, why_unavailable


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slurm: needs SLURM's daemons and root; skipped without them")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.slurm)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster without accounting; a test leaves it with an empty queue and both nodes up."""
    yield from _running(tmp_path_factory.mktemp("cluster"), accounting=False)


@pytest.fixture(scope="session")
def accounting_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The same with slurmdbd and a database, hence with `sacct`."""
    yield from _running(tmp_path_factory.mktemp("accounting"), accounting=True)


def _running(folder: Path, accounting: bool) -> Iterator[Cluster]:
    if reason := why_unavailable(accounting):
        pytest.skip(reason)
    cluster = Cluster(folder, accounting).start()
    try:
        yield cluster
    finally:
        cluster.stop()
