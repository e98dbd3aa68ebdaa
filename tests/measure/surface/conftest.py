from pathlib import Path

import pytest
import torch

from study import data
from study.data.images import ImageSet
from study.measure.surface import evaluate
from study.store.layout import RunFiles
from study.training.feeds.images import Images
from tests.helpers import make_spec, tiny_images, train_runs

SHORT = {"recipe__iterations": 40, "recipe__schedule__at": [30], "recipe__evaluate_every": 20, "snapshot_every": 10}
FEW = tiny_images(train=360, test=90)


@pytest.fixture(autouse=True)
def _several_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """An evaluation of them is of two batches of training images, as one of all digits is."""
    for dtype in (torch.float32, torch.bfloat16):
        monkeypatch.setitem(evaluate.PIXELS, ("cpu", dtype), 256 * 8 * 8)


def train_three(folder: Path, images: ImageSet | None = None) -> dict[str, RunFiles]:
    """plain-8 (`plain`, and `other` of another seed) and ResNet-8 (`residual`), trained for 40 iterations.

    On `images`, or else on all digits.
    """
    torch.set_num_threads(1)
    kinds = {"plain": {"network": "plain"}, "other": {"network": "plain", "seed": 1}, "residual": {}}
    specs = [make_spec(**SHORT, **fields) for fields in kinds.values()]
    runs = train_runs(folder / "results", *specs, images=images or data.load("digits", folder))
    return dict(zip(kinds, runs, strict=True))


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, RunFiles]:
    """Three networks, for all tests: copy them before changing anything."""
    return train_three(tmp_path_factory.mktemp("trained"), FEW)


@pytest.fixture(scope="session")
def digits() -> Images:
    """What they were trained on, as a network takes it."""
    return Images(FEW, torch.device("cpu"))
