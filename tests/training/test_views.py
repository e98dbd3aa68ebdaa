"""Tests of several views: the ten crops are torchvision's, the scores are averaged, and any size passes the network."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from study import data
from study.data import ImageFiles
from study.errors import StudyError
from study.networks.network import build
from study.training.feeds.feed import Feed
from study.training.feeds.images import Images
from study.training.feeds.stream import Stream
from study.training.feeds.views import five_crops, multi_scale, ten_crop
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
def network() -> nn.Module:
    """A small network with statistics of its own in BN, so that training mode gives other scores."""
    network = build(make_spec(seed=5), 3, 3)
    network.train()
    with torch.no_grad():
        for _ in range(20):
            network(torch.rand(8, 3, 16, 16, generator=torch.Generator().manual_seed(1)) - 0.3)
    return network


@pytest.fixture
def stream(tmp_path: Path) -> Stream:
    make_folder(tmp_path / "toy", test=9)
    files = data.load("image_stream", tmp_path, folder="toy", image_size=16)
    assert isinstance(files, ImageFiles)
    return Stream(files, make_spec(**STREAM).recipe, CPU)


def resident(size: int = 16) -> Images:
    return Images(tiny_images(size=size, channels=3, classes=3), CPU)


def expected(scores: Tensor, labels: Tensor) -> dict[str, float]:
    """What averaged scores (N, 3) amount to."""
    loss = -scores.gather(1, labels[:, None]).log().mean()
    return {"loss": float(loss), "error": 100 * float((scores.argmax(1) != labels).float().mean()), "top5_error": 0.0}


@pytest.fixture(scope="module")
def transforms() -> ModuleType:
    """torchvision's; late, for it brings a compiler, and who collects tests need not wait for that."""
    from torchvision.transforms import functional

    return functional


def scored(network: nn.Module, images: Tensor) -> Tensor:
    with torch.no_grad():
        return network.eval()(images).softmax(1)


def test_five_crops_are_those_of_torchvision(transforms: ModuleType) -> None:
    for size in (7, 8):
        images = torch.rand(2, 3, 12, 15)
        ours = five_crops(images.permute(0, 2, 3, 1), size)
        for crop, theirs in zip(ours, transforms.five_crop(images, [size, size]), strict=True):
            assert torch.equal(crop.permute(0, 3, 1, 2), theirs)


def test_ten_crops_of_small_images_are_torchvisions(network: nn.Module, transforms: ModuleType) -> None:
    feed = resident()
    images, labels = feed.in_order("test", torch.tensor(0), 20)
    crops = transforms.ten_crop(images, [14, 14])
    scores = sum(scored(network, crop) for crop in crops) / 10
    assert dict(ten_crop(network, feed)) == pytest.approx(expected(scores, labels), rel=1e-4)


def test_ten_crops_of_streamed_images_are_of_the_middle_square(
    network: nn.Module, stream: Stream, transforms: ModuleType
) -> None:
    scores, labels = [], stream._labels["test"]
    mean = torch.from_numpy(stream.data.statistics.pixel_mean).permute(2, 0, 1).float()
    for _, square, _ in stream.views("test", 20, True):
        for image in square.permute(0, 3, 1, 2):
            crops = torch.stack(transforms.ten_crop(image, [16, 16])).float()
            scores.append(scored(network, (crops - mean) / 255).mean(0))
    assert len(scores) == 9
    assert dict(ten_crop(network, stream)) == pytest.approx(expected(torch.stack(scores), labels), rel=1e-4)


def test_at_its_own_size_the_fully_convolutional_test_is_the_plain_one(network: nn.Module) -> None:
    feed = resident()
    images, labels = feed.in_order("test", torch.tensor(0), 20)
    plain = expected(scored(network, images), labels)
    assert dict(multi_scale(network, feed, sides=[16])) == pytest.approx(plain, rel=1e-4)


def test_scales_are_averaged_over_whole_images(network: nn.Module, stream: Stream) -> None:
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


def test_images_of_one_size_pass_together_and_the_order_is_kept(network: nn.Module, stream: Stream) -> None:
    numbers = torch.cat([part for part, _, _ in stream.views("test", 20, False)])
    labels = torch.cat([part for _, _, part in stream.views("test", 20, False)])
    assert sorted(numbers.tolist()) == list(range(9))
    assert torch.equal(labels, stream._labels["test"][numbers])


def test_the_default_scales_are_the_papers(network: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    feed, seen = resident(), []
    feed.native = (224, 224)
    monkeypatch.setattr(feed, "views", lambda split, side, square: seen.append((split, side, square)) or [])
    multi_scale(network, feed, "train")
    assert seen == [("train", side, False) for side in (224, 256, 384, 480, 640)]


def test_small_images_are_scaled_too(network: nn.Module) -> None:
    found = dict(multi_scale(network, resident()))
    assert 0 < found["loss"] < 10 and found != dict(multi_scale(network, resident(), sides=[16]))


def test_the_network_is_tested_in_evaluation_mode_and_left_in_the_mode_it_was_in(network: nn.Module) -> None:
    found = []
    for mode in (True, False):
        network.train(mode)
        found.append(ten_crop(network, resident()))
        assert network.training is mode
    assert found[0] == found[1]


def test_top_5_error_counts_labels_beyond_the_fifth(network: nn.Module) -> None:
    feed = Images(tiny_images(channels=3), CPU)

    class Ranked(nn.Module):
        """Scores classes by their number: the fifth place is class 5 of 0 to 9."""

        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.arange(10.0))

        def forward(self, images: Tensor) -> Tensor:
            return self.weight.expand(len(images), 10)

    found = dict(ten_crop(Ranked(), feed))
    assert found["top5_error"] == 50.0 and found["error"] == 90.0


@pytest.mark.parametrize("options", [{"crop": 16}, {"crop": 20}, {"side": 12}])
def test_crops_that_are_no_smaller_are_refused(network: nn.Module, options: dict[str, int]) -> None:
    with pytest.raises(StudyError, match=r"needs crops smaller than the images, not \d+ of \d+ pixels"):
        ten_crop(network, resident(), **options)


def test_without_scales_there_are_no_ten_crops(network: nn.Module, stream: Stream) -> None:
    recipe = make_spec(**STREAM | {"recipe__scales": None}).recipe
    feed: Feed = Stream(stream.data, recipe, CPU)
    with pytest.raises(StudyError, match=r"set recipe.scales"):
        ten_crop(network, feed)
