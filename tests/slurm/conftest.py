"""Real clusters for the SLURM tests of a session, with and without accounting."""

from pathlib import Path

import pytest

from tests.slurm.cluster import Cluster, why_unavailable

ARRAY_SIZE = 4
"""The cluster's MaxArraySize: small, so that a sweep of a few runs is split."""


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.slurm)


@pytest.fixture(scope="session")
def _cluster(tmp_path_factory):
    yield from _running(tmp_path_factory.mktemp("cluster"), accounting=False)


@pytest.fixture
def cluster(_cluster):
    """A cluster without accounting; what a test leaves in its queue is cancelled."""
    yield _cluster
    _cluster.run("scancel", "-u", "root", check=False)
    _cluster.wait(lambda: not _cluster.squeue(), "the queue did not empty")


@pytest.fixture(scope="session")
def accounting_cluster(tmp_path_factory):
    """A cluster with slurmdbd and a database, and so with `sacct`."""
    yield from _running(tmp_path_factory.mktemp("accounting"), accounting=True)


def _running(folder, accounting):
    if reason := why_unavailable(accounting):
        pytest.skip(reason)
    cluster = Cluster(folder, accounting, MaxArraySize=ARRAY_SIZE).start()
    try:
        yield cluster
    finally:
        cluster.stop()
