"""A sweep that is trained, to be damaged; and the library that makes files fail, with folders that it watches."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.faults.layer import OTHER_HOST, Layer, build
from tests.faults.warm import Warm
from tests.faults.whole import Undisturbed, sweep


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A folder with the sweep trained and measured; not to be changed."""
    folder = tmp_path_factory.mktemp("trained")
    said = sweep(folder)
    assert said.code == 0, said
    return folder


@pytest.fixture
def copy(trained, tmp_path):
    """The trained sweep, to be changed."""
    return Path(shutil.copytree(trained, tmp_path / "copy"))


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    """The compiled library."""
    made = build(tmp_path_factory.mktemp("faulty"))
    if made is None:
        pytest.skip("no C compiler here, or no Linux: nothing can be preloaded")
    return made


@pytest.fixture(scope="session")
def warm(library, tmp_path_factory):
    """A process that commands are forked from, and its layer."""
    process = Warm(Layer(library, tmp_path_factory.mktemp("warm") / "watched"))
    yield process
    process.close()


@pytest.fixture
def layer(warm):
    """The layer of `warm`, under which nothing fails yet."""
    warm.layer.arm()
    return warm.layer


@pytest.fixture
def folder(layer, tmp_path):
    """A folder of a test below the root of the layer."""
    path = layer.root / tmp_path.name
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="session")
def namespaces():
    """Skip where a second host cannot be simulated."""
    try:
        subprocess.run([*OTHER_HOST, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this needs `unshare`, and the right to make namespaces")


@pytest.fixture(scope="session")
def undisturbed(warm):
    """A sweep that nothing befell, on the layer of `warm`."""
    return Undisturbed(warm)
