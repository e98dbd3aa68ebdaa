"""A folder that stays in its files: what is listed, what is refused, and the statistics of its colours."""

import shutil

import numpy as np
import pytest
from PIL import Image

from study import data
from study.data import ImageFiles, stream
from tests.helpers import make_folder


def load(root, **options):
    files = data.load("image_stream", root, folder="toy", **({"image_size": 24} | options))
    assert isinstance(files, ImageFiles)
    return files


@pytest.fixture
def toy(tmp_path):
    return make_folder(tmp_path / "toy").parent


def test_val_serves_as_test(tmp_path):
    make_folder(tmp_path / "toy", held_out="val")
    as_val = load(tmp_path)
    assert as_val.path("test", 0) == str(tmp_path / "toy/val/class0/0.jpg")
    (tmp_path / "toy/test").mkdir()
    Image.new("RGB", (9, 9)).save(tmp_path / "toy/test/unlabelled.jpg")  # as ImageNet's own
    assert load(tmp_path).path("test", 0) == as_val.path("test", 0)
    shutil.rmtree(tmp_path / "toy/test")
    (tmp_path / "toy/val").rename(tmp_path / "toy/test")
    assert load(tmp_path).fingerprint == as_val.fingerprint


def test_the_mean_is_that_of_the_centre_squares(toy):
    squares = []
    for path in sorted((toy / "toy/train").rglob("*.jpg")):
        with Image.open(path) as image:
            width, height = (max(24, round(side * 24 / min(image.size))) for side in image.size)
            small = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))
        top, left = (height - 24) // 2, (width - 24) // 2
        squares.append(small[top : top + 24, left : left + 24].astype(np.float64))
    found = load(toy).statistics
    np.testing.assert_allclose(found.pixel_mean, np.mean(squares, 0), atol=1e-9)
    covariance = np.cov(np.reshape(squares, (-1, 3)).T, bias=True) / 255**2
    rebuilt = found.eigenvectors @ np.diag(found.eigenvalues) @ found.eigenvectors.T
    np.testing.assert_allclose(rebuilt, covariance, atol=1e-12)
    assert (np.diff(found.eigenvalues) <= 0).all() and (found.eigenvectors.sum(0) >= 0).all()


def test_statistics_are_measured_once_of_a_sample(toy, monkeypatch, tmp_path):
    first, second = load(toy).statistics, load(toy).statistics
    assert np.array_equal(first.pixel_mean, second.pixel_mean)
    [entry] = (tmp_path / "cache").glob("*.npz")
    entry.write_bytes(b"PK damaged")
    assert np.array_equal(load(toy).statistics.pixel_mean, first.pixel_mean)
    load(toy, image_size=16)
    monkeypatch.setattr(stream, "SAMPLE", 5)
    load(toy)
    assert len(list((tmp_path / "cache").glob("*.npz"))) == 3
