"""Parts of images: where they lie, at which scale, and that they are what scaling and cropping by hand gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from study.data.crops import Crop, centre_crop, choices, cut, random_crop, scaled, whole_image
from study.errors import StudyError

KEYS = range(400)
SHAPES = [(500, 375), (375, 500), (256, 256), (40, 1000), (224, 225)]


@pytest.fixture
def picture(tmp_path: Path) -> str:
    array = np.random.RandomState(3).randint(0, 256, (30, 45, 3)).astype(np.uint8)
    Image.fromarray(array).resize((90, 60), Image.Resampling.BICUBIC).save(tmp_path / "a.png")
    return str(tmp_path / "a.png")


@pytest.mark.parametrize("width, height", SHAPES)
def test_a_random_crop_lies_in_an_image_whose_shorter_side_is_in_the_range(width: int, height: int) -> None:
    sides, lefts, tops = set(), set(), set()
    for key in KEYS:
        crop = random_crop(choices(key), (256, 480), 224)(width, height)
        assert 256 <= min(crop.whole) <= 480 and crop.width == crop.height == 224
        assert abs(crop.whole[0] / crop.whole[1] / (width / height) - 1) < 0.02
        assert 0 <= crop.left <= crop.whole[0] - 224 and 0 <= crop.top <= crop.whole[1] - 224
        sides.add(min(crop.whole))
        lefts.add(crop.left / (crop.whole[0] - 224))
        tops.add(crop.top / (crop.whole[1] - 224))
    assert min(sides) < 262 and max(sides) > 474 and len(sides) > 120
    assert all(min(places) < 0.02 and max(places) > 0.98 for places in (lefts, tops))


def test_both_ends_of_every_range_are_drawn() -> None:
    crops = [random_crop(choices(key), (8, 10), 8)(8, 8) for key in KEYS]
    assert {crop.whole[0] for crop in crops} == {8, 9, 10}
    assert {crop.left for crop in crops if crop.whole[0] == 10} == {0, 1, 2}


def test_what_is_drawn_for_a_key_never_changes() -> None:
    chosen = choices(654498540)
    assert random_crop(chosen, (256, 480), 224)(500, 375) == PINNED_CROP
    assert chosen.alphas.tolist() == pytest.approx(PINNED_ALPHAS, abs=1e-12)


def test_alphas_are_normal_with_a_deviation_of_a_tenth() -> None:
    alphas = np.array([choices(key).alphas for key in range(2000)])
    np.testing.assert_allclose(alphas.std(0), 0.1, rtol=0.06)
    np.testing.assert_allclose(alphas.mean(0), 0, atol=0.01)
    assert abs(np.corrcoef(alphas.T) - np.eye(3)).max() < 0.08


def test_the_middle_and_the_whole() -> None:
    assert scaled(500, 375, 256) == (341, 256) and scaled(375, 500, 256) == (256, 341)
    assert centre_crop(256, 224)(500, 375) == Crop((341, 256), 58, 16, 224, 224)
    assert whole_image(480)(500, 375) == Crop((640, 480), 0, 0, 640, 480)


@pytest.mark.parametrize("side", [24, 60, 97])
def test_a_cut_is_what_scaling_the_whole_and_cropping_gives(picture: str, side: int) -> None:
    for key in range(20):
        place = random_crop(choices(key), (side, side + 20), 20)
        crop = place(90, 60)
        with Image.open(picture) as image:
            whole = np.asarray(image.convert("RGB").resize(crop.whole, Image.Resampling.BILINEAR)).astype(int)
        by_hand = whole[crop.top : crop.top + 20, crop.left : crop.left + 20]
        off = abs(by_hand - cut(picture, place))
        assert off.max() <= 2 and off.mean() < 0.15  # roundings; one pixel aside would be tens


def test_an_image_is_itself_at_its_own_size(picture: str) -> None:
    with Image.open(picture) as image:
        assert np.array_equal(cut(picture, whole_image(60)), np.asarray(image))


def test_a_large_jpeg_is_decoded_small_and_looks_the_same(tmp_path: Path) -> None:
    ramp = np.linspace(0, 255, 800)[None, :, None] * np.ones((640, 1, 3))
    path = str(tmp_path / "large.jpg")
    Image.fromarray(ramp.astype(np.uint8)).save(path, quality=95)
    small = cut(path, whole_image(64))
    expected = np.linspace(0, 255, 80)[None, :, None] * np.ones((64, 1, 3))
    assert small.shape == (64, 80, 3) and abs(small - expected).max() < 4


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK", "1"])
def test_every_mode_of_8_bits_becomes_rgb(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    Image.new("RGB", (30, 20), (200, 100, 50)).convert(mode).save(path)
    assert cut(str(path), centre_crop(12, 8)).shape == (8, 8, 3)


@pytest.mark.parametrize("content", [b"", b"no image", None])
def test_a_bad_file_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "bad.jpg"
    Image.new("RGB", (300, 200)).save(path)
    path.write_bytes(path.read_bytes()[:700] if content is None else content)
    with pytest.raises(StudyError, match=r"bad.jpg: not a readable image") as caught:
        cut(str(path), whole_image(100))
    assert len(str(caught.value).splitlines()) == 1


PINNED_CROP = Crop(whole=(371, 278), left=99, top=50, width=224, height=224)
PINNED_ALPHAS = [-0.0004648225486614888, 0.05356318988199932, 0.13593023582502575]
