"""Tests of several views: the ten crops are torchvision's, the scores are averaged, and any size passes the network."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from study import data
from study.data import ImageFiles
from study.errors import StudyError
from study.networks.network import build
from study.training.feeds.images import Images
from study.training.feeds.stream import Stream
from study.training.feeds.views import multi_scale, ten_crop
from tests.helpers import make_folder, make_spec, tiny_images

CPU = torch.device("cpu")
STREAM = {
    "data": "image_stream",
    "data.folder": "toy",
    "data.image_size": 16,
    "recipe__pad": 0,
    "recipe__scales": [20, 28],
}


@pytest.fixture
def network():
    """A small network with statistics of its own in BN, so that training mode gives other scores."""
    network = build(make_spec(seed=5), 3, 3)
    network.train()
    with torch.no_grad():
        for _ in range(20):
            network(torch.rand(8, 3, 16, 16, generator=torch.Generator().manual_seed(1)) - 0.3)
    return network


@pytest.fixture
def stream(tmp_path):
    make_folder(tmp_path / "toy", test=9)
    files = data.load("image_stream", tmp_path, folder="toy", image_size=16)
    assert isinstance(files, ImageFiles)
    return Stream(files, make_spec(**STREAM).recipe, CPU)


def resident(size=16):
    return Images(tiny_images(size=size, channels=3, classes=3), CPU)


def expected(scores, labels):
    """What averaged scores (N, 3) amount to."""
    loss = -scores.gather(1, labels[:, None]).log().mean()
    return {"loss": float(loss), "error": 100 * float((scores.argmax(1) != labels).float().mean()), "top5_error": 0.0}


@pytest.fixture(scope="module")
def transforms():
    """torchvision's; late, for it brings a compiler, and who collects tests need not wait for that."""
    from torchvision.transforms import functional

    return functional


def scored(network, images):
    with torch.no_grad():
        return network.eval()(images).softmax(1)


def test_ten_crops_of_small_images_are_torchvisions(network, transforms):
    feed = resident()
    images, labels = feed.in_order("test", torch.tensor(0), 20)
    crops = transforms.ten_crop(images, [14, 14])
    scores = sum(scored(network, crop) for crop in crops) / 10
    assert dict(ten_crop(network, feed)) == pytest.approx(expected(scores, labels), rel=1e-4)


def test_scales_are_averaged_over_whole_images(network, stream):
    total = torch.zeros(9, 3)
    for side in (32, 40):  # no image is twice as large, and so decoded at half its size
        for i in range(9):
            with Image.open(stream.data.path("test", i)) as opened:
                width, height = (max(side, round(s * side / min(opened.size))) for s in opened.size)
                pixels = np.asarray(opened.resize((width, height), Image.Resampling.BILINEAR), np.float32)
            assert width != height
            inputs = (pixels - stream.data.statistics.pixel_mean.mean((0, 1))) / 255
            total[i] += scored(network, torch.from_numpy(inputs).float().permute(2, 0, 1)[None])[0] / 2
    found = dict(multi_scale(network, stream, sides=[32, 40]))
    assert found == pytest.approx(expected(total, stream._labels["test"]), rel=1e-3)


def test_top_5_error_counts_labels_beyond_the_fifth(network):
    feed = Images(tiny_images(channels=3), CPU)

    class Ranked(nn.Module):
        """Scores classes by their number: the fifth place is class 5 of 0 to 9."""

        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.arange(10.0))

        def forward(self, images):
            return self.weight.expand(len(images), 10)

    found = dict(ten_crop(Ranked(), feed))
    assert found["top5_error"] == 50.0 and found["error"] == 90.0


@pytest.mark.parametrize("options", [{"crop": 16}, {"crop": 20}, {"side": 12}])
def test_crops_that_are_no_smaller_are_refused(network, options):
    with pytest.raises(StudyError, match=r"needs crops smaller than the images, not \d+ of \d+ pixels"):
        ten_crop(network, resident(), **options)
