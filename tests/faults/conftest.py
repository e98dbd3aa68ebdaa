from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.faults.sweeps import sweep


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sweep trained and measured; not to be changed."""
    folder = tmp_path_factory.mktemp("trained")
    said = sweep(folder)
    assert said.code == 0, said
    return folder


@pytest.fixture
def copy(trained: Path, tmp_path: Path) -> Path:
    """The trained sweep, to be changed."""
    return Path(shutil.copytree(trained, tmp_path / "copy"))
