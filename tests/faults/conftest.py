"""The library that makes files fail, compiled once, and folders that it watches."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.layer import Layer, build
from tests.faults.warm import Warm


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled library."""
    made = build(tmp_path_factory.mktemp("faulty"))
    if made is None:
        pytest.skip("no C compiler here, or no Linux: nothing can be preloaded")
    return made


@pytest.fixture
def layer(library: Path, tmp_path: Path) -> Layer:
    """A layer of a folder of its own."""
    return Layer(library, tmp_path / "watched")


@pytest.fixture(scope="module")
def warm(library: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warm]:
    """A process that commands are forked from, and its layer."""
    process = Warm(Layer(library, tmp_path_factory.mktemp("warm") / "watched"))
    yield process
    process.close()
