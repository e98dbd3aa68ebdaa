from __future__ import annotations

from pathlib import Path

import pytest
import torch

from study import data
from study.store.layout import RunFiles
from study.training.images import Images
from study.training.pack import train_pack
from tests.helpers import make_spec, open_run
from tests.training.conftest import _one_thread  # noqa: F401

SHORT = {"recipe__iterations": 40, "recipe__milestones": [30], "recipe__evaluate_every": 20, "snapshot_every": 10}


def train_three(folder: Path) -> dict[str, RunFiles]:
    """plain-8 (`plain`, and `other` of another seed) and ResNet-8 (`residual`), trained on digits for 40 iterations."""
    torch.set_num_threads(1)
    specs = {
        "plain": make_spec(network="plain", **SHORT),
        "other": make_spec(network="plain", seed=1, **SHORT),
        "residual": make_spec(**SHORT),
    }
    runs = {name: open_run(folder / "results", spec) for name, spec in specs.items()}
    pairs = [(specs[name], runs[name]) for name in specs]
    assert train_pack(pairs, data.load("digits", folder), torch.device("cpu"))
    return runs


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, RunFiles]:
    """Three networks, for all tests: whoever spoils them copies them first."""
    return train_three(tmp_path_factory.mktemp("trained"))


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Images:
    """The digits, as a network takes them."""
    return Images(data.load("digits", tmp_path_factory.mktemp("data")), torch.device("cpu"))
