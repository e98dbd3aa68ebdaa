"""Tests of several views: the ten crops are torchvision's, scores are averaged, and any size passes the network."""

import numpy as np
import pytest
import torch
from PIL import Image

from study import data
from study.errors import StudyError
from study.measure.probes import Subject, measure, views
from study.networks.network import build
from study.training.feeds.images import Images
from study.training.feeds.stream import Stream
from tests.helpers import make_folder, make_spec, random_bn, tiny_images

CPU = torch.device("cpu")
STREAM = {"data": "image_stream", "data.folder": "toy", "data.image_size": 16, "recipe__pad": 0}


def subject(feed, **fields):
    """A network whose BN gives other scores in training mode."""
    spec = make_spec(seed=5, **fields)
    network = build(spec, 3, 3)
    random_bn(network)
    return Subject(spec, network, feed, 8)


def stream(tmp_path, **fields):
    make_folder(tmp_path / "toy", test=9)
    files = data.load("image_stream", tmp_path, folder="toy", image_size=16)
    return Stream(files, make_spec(**STREAM | fields).recipe, CPU)


def found(name, tested):
    (measured,) = measure([name], tested)
    assert {(value.layer, value.place) for value in measured.values} == {("test", 0)}
    return {value.measure: value.value for value in measured.values}


def expected(scores, labels):
    """The measures of averaged scores (N, 3)."""
    loss = -scores.gather(1, labels[:, None]).log().mean()
    return {"loss": float(loss), "error": 100 * float((scores.argmax(1) != labels).float().mean()), "top5_error": 0.0}


def scored(tested, images):
    with torch.no_grad():
        return tested.network.eval()(images).softmax(1)


def test_ten_crops_of_small_images_are_those_of_torchvision():
    from torchvision.transforms import functional  # late: it imports a compiler

    tested = subject(Images(tiny_images(size=16, channels=3, classes=3), CPU))
    images, labels = tested.images.at("test", torch.arange(20))
    scores = sum(scored(tested, crop) for crop in functional.ten_crop(images, [14, 14])) / 10
    assert found("ten_crop", tested) == pytest.approx(expected(scores, labels), rel=1e-4)


def test_scales_are_averaged_over_whole_images(tmp_path, monkeypatch):
    tested = subject(stream(tmp_path), **STREAM)
    monkeypatch.setattr(views, "SCALES", (2, 2.5))  # no image is twice as large, and so decoded at half its size
    feed, total = tested.images, torch.zeros(9, 3)
    for side in (32, 40):
        for i in range(9):
            with Image.open(feed.data.path("test", i)) as opened:
                width, height = (max(side, round(s * side / min(opened.size))) for s in opened.size)
                pixels = np.asarray(opened.resize((width, height), Image.Resampling.BILINEAR), np.float32)
            assert width != height
            inputs = (pixels - feed.data.statistics.pixel_mean.mean((0, 1))) / 255
            total[i] += scored(tested, torch.from_numpy(inputs).float().permute(2, 0, 1)[None])[0] / 2
    labels = torch.from_numpy(feed.data.test_labels)
    assert found("multi_scale", tested) == pytest.approx(expected(total, labels), rel=1e-3)


def test_top_5_error_counts_labels_beyond_the_fifth():
    spec, feed = make_spec(), Images(tiny_images(channels=3), CPU)
    network = build(spec, 3, 10)
    with torch.no_grad():  # the fifth place is class 5 of 0 to 9, whatever the image
        network.head.weight.zero_()
        network.head.bias.copy_(torch.arange(10.0))
    measures = found("ten_crop", Subject(spec, network, feed, 8))
    assert measures["top5_error"] == 50.0 and measures["error"] == 90.0


def test_crops_as_large_as_the_image_are_refused(tmp_path):
    with pytest.raises(StudyError, match="needs crops smaller than the images, not 16 of 16 pixels"):
        found("ten_crop", subject(stream(tmp_path), **STREAM))
