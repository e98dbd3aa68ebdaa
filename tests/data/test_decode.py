"""Decoding: images as people see them, parts of them at any scale, and many of them in several processes."""

import os
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from study.data import decode
from study.data.decode import scaled
from study.data.stream import Crop, centre_crop, choices, cut, random_crop, whole_image
from study.errors import StudyError

KEYS = range(300)
SHAPES = [(500, 375), (40, 1000), (224, 225)]
LOSSLESS = {"webp": {"lossless": True}}


@pytest.fixture
def picture(tmp_path):
    array = np.random.RandomState(3).randint(0, 256, (30, 45, 3)).astype(np.uint8)
    Image.fromarray(array).resize((90, 60), Image.Resampling.BICUBIC).save(tmp_path / "a.png")
    return str(tmp_path / "a.png")


@pytest.mark.parametrize("width, height", SHAPES)
def test_random_crops_lie_inside_the_scaled_image(width, height):
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


def test_golden_choices_and_crops():
    chosen = choices(654498540)
    crop = Crop(whole=(371, 278), left=99, top=50, width=224, height=224)
    assert random_crop(chosen, (256, 480), 224)(500, 375) == crop
    alphas = [-0.0004648225486614888, 0.05356318988199932, 0.13593023582502575]
    assert chosen.alphas.tolist() == pytest.approx(alphas, abs=1e-12)
    assert scaled(500, 375, 256) == (341, 256) and scaled(375, 500, 256) == (256, 341)
    assert centre_crop(256, 224)(500, 375) == Crop((341, 256), 58, 16, 224, 224)
    assert whole_image(480)(500, 375) == Crop((640, 480), 0, 0, 640, 480)


@pytest.mark.parametrize("side", [24, 60, 97])
def test_a_cut_equals_scaling_and_cropping(picture, side):
    for key in range(20):
        place = random_crop(choices(key), (side, side + 20), 20)
        crop = place(90, 60)
        with Image.open(picture) as image:
            whole = np.asarray(image.convert("RGB").resize(crop.whole, Image.Resampling.BILINEAR)).astype(int)
        by_hand = whole[crop.top : crop.top + 20, crop.left : crop.left + 20]
        off = abs(by_hand - cut(picture, place))
        assert off.max() <= 2 and off.mean() < 0.15  # roundings; one pixel aside would be tens


def test_a_large_jpeg_is_decoded_small_and_looks_the_same(tmp_path):
    ramp = np.linspace(0, 255, 800)[None, :, None] * np.ones((640, 1, 3))
    path = str(tmp_path / "large.jpg")
    Image.fromarray(ramp.astype(np.uint8)).save(path, quality=95)
    small = cut(path, whole_image(64))
    expected = np.linspace(0, 255, 80)[None, :, None] * np.ones((64, 1, 3))
    assert small.shape == (64, 80, 3) and abs(small - expected).max() < 4


@pytest.mark.parametrize("content", [b"", b"no image", None])
def test_a_bad_file_is_named(tmp_path, content):
    path = tmp_path / "bad.jpg"
    Image.new("RGB", (300, 200)).save(path)
    path.write_bytes(path.read_bytes()[:700] if content is None else content)
    with pytest.raises(StudyError, match=r"bad.jpg: not a readable image") as caught:
        cut(str(path), whole_image(100))
    assert len(str(caught.value).splitlines()) == 1


# -- images as people see them ----------------------------------------------------------------------------------------


def decoded(image, path, **options):
    """An image saved and decoded, and the rules that were applied."""
    notes = Counter()
    image.save(path, **options)
    return decode.decode(str(path), image.size[::-1], False, notes), notes


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGBA", "CMYK"])
def test_other_colour_modes_become_rgb(tmp_path, mode):
    ramp = Image.fromarray(np.arange(0, 252, 7, dtype=np.uint8).reshape(6, 6)).convert(mode)
    found, _ = decoded(ramp, tmp_path / ("5.tif" if mode == "CMYK" else "5.png"))
    assert np.array_equal(found, np.asarray(ramp.convert("RGB")))


def test_sixteen_bit_images_are_refused(tmp_path):
    with pytest.raises(StudyError, match=r"8.png: has more than 8 bits"):
        decoded(Image.fromarray(np.full((6, 6), 40000, np.uint16)), tmp_path / "8.png")


def upright(code):
    """An image of 4x6 whose left half is bright, as EXIF's orientation `code` has it stored (EXIF 2.32, 4.6.4.A)."""
    seen = np.full((6, 4, 3), 20, np.uint8)
    seen[:, :2], seen[0] = 220, 120
    stored = {1: seen, 2: seen[:, ::-1], 3: seen[::-1, ::-1], 4: seen[::-1], 5: seen.transpose(1, 0, 2),
              6: seen.transpose(1, 0, 2)[::-1], 7: seen[::-1, ::-1].transpose(1, 0, 2),
              8: seen.transpose(1, 0, 2)[:, ::-1]}  # fmt: skip
    return seen, np.ascontiguousarray(stored[code])


@pytest.mark.parametrize("code", range(1, 9))
@pytest.mark.parametrize("suffix", ["tif", "jpg"])
def test_images_are_turned_upright_as_exif_says(tmp_path, code, suffix):
    seen, stored = upright(code)
    exif = Image.Exif()
    exif[0x0112] = code
    path = tmp_path / f"image.{suffix}"
    best = {"quality": 100, "subsampling": 0} if suffix == "jpg" else {}
    Image.fromarray(np.kron(stored, np.ones((16, 16, 1), np.uint8))).save(path, exif=exif, **best)
    for found in (decode.decode(str(path), (96, 64), False), cut(str(path), whole_image(64))):
        assert found.shape == (96, 64, 3)
        np.testing.assert_allclose(found[8::16, 8::16].astype(int), seen, atol=4)
    small = cut(str(path), whole_image(4))  # a JPEG is decoded at an eighth
    np.testing.assert_allclose(small.astype(int), seen, atol=40)


def transparent(mode):
    """A black square whose middle alone is opaque: a drawing that is in the alpha channel."""
    alpha = np.zeros((6, 6), np.uint8)
    alpha[2:4, 2:4] = 255
    if mode == "P":
        image = Image.fromarray((alpha == 0).astype(np.uint8), "L").convert("P")
        image.putpalette([0, 0, 0, 9, 9, 9])
        return image, {"transparency": 1}
    if mode == "RGB":
        return Image.fromarray(np.where(alpha[..., None] > 0, 0, [9, 9, 9]).astype(np.uint8)), {
            "transparency": (9, 9, 9)
        }
    image = Image.new("RGBA", (6, 6), "black")
    image.putalpha(Image.fromarray(alpha))
    return image.convert(mode), {}


@pytest.mark.parametrize("mode, suffix", [("RGBA", "png"), ("LA", "png"), ("P", "png"), ("P", "gif"), ("RGB", "png"),
                                          ("RGBA", "webp"), ("RGBA", "tif")])  # fmt: skip
def test_transparent_images_are_laid_on_white(tmp_path, mode, suffix):
    image, options = transparent(mode)
    found, notes = decoded(image, tmp_path / f"5.{suffix}", **options, **LOSSLESS.get(suffix, {}))
    assert (found[2:4, 2:4] == 0).all() and found[0].min() == 255 and found.sum() == 32 * 3 * 255
    assert notes == {"with transparent parts, laid on white": 1}


@pytest.mark.parametrize("suffix", ["gif", "png", "webp", "tif"])
def test_the_first_frame_is_taken(tmp_path, suffix):
    first, *others = (Image.new("RGB", (6, 6), colour) for colour in ("red", "blue", "lime"))
    options = {"save_all": True, "append_images": others, **LOSSLESS.get(suffix, {})}
    found, notes = decoded(first, tmp_path / f"5.{suffix}", **options)
    assert (found == [255, 0, 0]).all() and notes == {"first of several frames": 1}


# -- several processes ------------------------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.setattr(decode, "BLOCK", 2)
    random = np.random.RandomState(0)
    paths = [str(tmp_path / f"{number}.png") for number in range(7)]
    for path in paths:
        Image.fromarray(random.randint(0, 256, (6, 6, 3)).astype(np.uint8)).save(path)
    return paths


def test_several_processes_give_the_same_as_one(files):
    alone, together = (list(decode.decode_all(files, (6, 6), False, "x", processes)) for processes in (1, 3))
    assert [start for start, _, _ in together] == [0, 2, 4, 6]
    for one, other in zip(alone, together, strict=True):
        assert np.array_equal(one[1], other[1])


def test_a_decoding_process_that_dies_is_reported(files, monkeypatch):
    monkeypatch.setattr(decode, "open_image", lambda path, **options: os._exit(9))
    with pytest.raises(StudyError, match="a process that decoded images died"):
        list(decode.decode_all(files, (6, 6), False, "x", processes=2))
