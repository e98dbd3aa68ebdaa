from pathlib import Path

import pytest
import torch

from study import data
from study.data.images import ImageSet, image_set
from study.measure.surface import evaluate
from study.store.layout import RunFiles
from study.training.feeds.images import Images
from tests.helpers import make_spec, train_runs

SHORT = {"recipe__iterations": 40, "recipe__schedule__at": [30], "recipe__evaluate_every": 20, "snapshot_every": 10}


def few_digits(folder):
    """A quarter of the digits, since each point of a surface evaluates all images."""
    every = data.load("digits", folder)
    train, test = (every.train_images[:360], every.train_labels[:360]), (every.test_images[:90], every.test_labels[:90])
    return image_set(every.name, train, test, every.classes)


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
    folder = tmp_path_factory.mktemp("trained")
    return train_three(folder, few_digits(folder))


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Images:
    """Those digits, as a network takes them."""
    return Images(few_digits(tmp_path_factory.mktemp("data")), torch.device("cpu"))
