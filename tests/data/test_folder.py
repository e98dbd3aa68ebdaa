"""Image folders: what is used of them, when they are decoded again, and what is said of a broken one."""

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from study import data
from study.data import decode, folder
from study.errors import StudyError

RANDOM = np.random.RandomState(0)


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def picture(height=6, width=6):
    return RANDOM.randint(0, 256, (height, width, 3)).astype(np.uint8)


@pytest.fixture
def toy(tmp_path):
    """Two classes, three training and two test images each, PNG; returns the root and what was written."""
    made = {}
    for split, n in (("train", 3), ("test", 2)):
        for name in ("cat", "ant"):
            for i in range(n):
                made[split, name, i] = picture()
                save(tmp_path / "toy" / split / name / f"{i}.png", made[split, name, i])
    return tmp_path, made


@pytest.fixture
def count_decodes(monkeypatch):
    """A list of the files decoded in this process."""
    decoded, original = [], decode.decode
    monkeypatch.setattr(decode, "decode", lambda path, *rest: decoded.append(path) or original(path, *rest))
    return decoded


def load(root, **options):
    return data.load("image_folder", root, folder="toy", **options)


def test_images_are_ordered_by_class_then_name(toy):
    root, made = toy
    loaded = load(root)
    assert loaded.classes == ("ant", "cat") and loaded.name == "toy"
    assert loaded.train_labels.tolist() == [0, 0, 0, 1, 1, 1] and loaded.train_labels.dtype == np.int64
    expected = [made["train", name, i] for name in ("ant", "cat") for i in range(3)]
    assert np.array_equal(loaded.train_images, expected)
    assert np.array_equal(loaded.test_images, [made["test", name, i] for name in ("ant", "cat") for i in range(2)])
    assert loaded.train_images.dtype == np.uint8 and loaded.train_images.flags.c_contiguous
    assert isinstance(loaded.train_images, np.memmap) and not loaded.train_images.flags.writeable


def replaced(path, array):
    """Other content under an equal name, size and time of modification, as a corrected archive gives."""
    times = path.stat()
    Image.fromarray(array).save(path)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert path.stat().st_size == times.st_size


@pytest.mark.parametrize("name", ["image_folder", "image_stream"])
@pytest.mark.parametrize("rested", [True, False])
def test_replaced_files_of_equal_names_sizes_and_times_are_noticed(tmp_path, name, rested, monkeypatch):
    for split in ("train", "test"):
        for class_name in ("ant", "cat"):
            save(tmp_path / "toy" / split / class_name / "0.bmp", picture())
    if rested:  # else all changes are within one tick of a coarse clock
        monkeypatch.setattr(folder, "SETTLED", 0)
    before = data.load(name, tmp_path, folder="toy", image_size=6)
    assert data.load(name, tmp_path, folder="toy", image_size=6).fingerprint == before.fingerprint
    for file in ("train/ant/0.bmp", "test/cat/0.bmp"):
        replaced(tmp_path / "toy" / file, picture())
        found = data.survey(name, tmp_path, folder="toy", image_size=6)
        assert found.changed if name == "image_folder" else found.fingerprint != before.fingerprint
        after = data.load(name, tmp_path, folder="toy", image_size=6)
        assert after.fingerprint != before.fingerprint
        assert data.survey(name, tmp_path, folder="toy", image_size=6).fingerprint == after.fingerprint
        before = after


def test_a_copy_of_the_folder_and_the_cache_is_not_decoded_again(toy, count_decodes, tmp_path, monkeypatch):
    root, _ = toy
    before = load(root)
    shutil.copytree(root / "toy", tmp_path / "other/toy")
    shutil.copytree(tmp_path / "cache", tmp_path / "other/cache")
    monkeypatch.setenv("STUDY_CACHE", str(tmp_path / "other/cache"))
    count_decodes.clear()
    assert load(tmp_path / "other").fingerprint == before.fingerprint and not count_decodes


def test_a_survey_knows_the_fingerprint_of_what_was_decoded(toy):
    root, _ = toy
    assert data.survey("image_folder", root, folder="toy").fingerprint is None
    for options in ({}, {"train_subset": 4}, {"train_subset": 4, "train_subset_seed": 1}):
        loaded = load(root, **options)
        assert data.survey("image_folder", root, folder="toy", **options).fingerprint == loaded.fingerprint


@pytest.mark.parametrize("change", ["touch", "rename", "add", "remove", "grow"])
def test_changed_names_or_content_are_decoded_again(toy, count_decodes, change):
    root, _ = toy
    before = load(root)
    file = root / "toy/train/ant/1.png"
    if change == "touch":
        os.utime(file, ns=(0, file.stat().st_mtime_ns + 1))
    elif change == "rename":
        file.rename(file.with_name("3.png"))
    elif change == "add":
        save(file.with_name("3.png"), picture())
    elif change == "remove":
        file.unlink()
    else:
        times = file.stat()
        file.write_bytes(file.read_bytes() + b"\0")
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    count_decodes.clear()
    after = load(root)
    assert len(count_decodes) == {"add": 11, "remove": 9, "touch": 0}.get(change, 10)
    assert (after.fingerprint == before.fingerprint) == (change in ("touch", "grow"))


@pytest.mark.parametrize("suffix", ["npy", "json"])
def test_a_truncated_cache_is_rebuilt(toy, cache, suffix):
    root, _ = toy
    good = np.array(load(root).train_images)
    for file in cache.glob(f"*.{suffix}"):
        file.write_bytes(file.read_bytes()[:-10])
    assert np.array_equal(load(root).train_images, good)


def test_image_size_resizes_the_shorter_side_and_crops_the_centre(tmp_path):
    wide = np.zeros((4, 12, 3), np.uint8)
    wide[:, 4:8] = 250  # the centre square
    for split in ("train", "test"):
        save(tmp_path / "toy" / split / "b/big.png", np.zeros((9, 9, 3), np.uint8))
        save(tmp_path / "toy" / split / "a/wide.png", wide)
        save(tmp_path / "toy" / split / "a/tall.png", wide.transpose(1, 0, 2).copy())
        save(tmp_path / "toy" / split / "a/big.png", np.full((9, 9, 3), 77, np.uint8))
    with pytest.raises(StudyError, match=r"tall.png: is 4x12 but the first image is 9x9; set `image_size`"):
        load(tmp_path)
    big, tall, narrow, _ = load(tmp_path, image_size=4).train_images
    assert (tall == 250).all() and (narrow == 250).all() and (big == 77).all()
    assert load(tmp_path, image_size=2).train_images.shape == (4, 2, 2, 3)


@pytest.mark.parametrize("name", ["0.png", "2.png"])
def test_a_corrupt_image_is_named_and_leaves_no_array(toy, cache, name):
    root, _ = toy
    (root / "toy/train/ant" / name).write_bytes(b"\x89PNG\r\n\x1a\n" + b"\0" * 50)
    with pytest.raises(StudyError, match="not a readable image") as caught:
        load(root)
    assert str(root / "toy/train/ant" / name) in str(caught.value) and "\n" not in str(caught.value)
    assert [path.suffix for path in cache.iterdir()] == [".json"]  # the digest of the folder's content


def test_used_and_skipped_files(toy):
    root, _ = toy
    ant = root / "toy/train/ant"
    save(ant / "deeper/still/7.png", picture())
    save(root / "elsewhere/8.png", picture())
    (ant / "linked").symlink_to(root / "elsewhere")
    (ant / "9.png").symlink_to(root / "elsewhere/8.png")
    (ant / "round").symlink_to(root / "toy/train")
    (root / "toy/train/.cache").mkdir()
    (ant / ".hidden.png").write_bytes(b"")
    for name in ("notes.txt", "more.TXT", "README", "labels.h5"):
        (ant / name).write_bytes(b"")
    (root / "toy/train/list.csv").write_text("")
    os.mkfifo(ant / "pipe.png")
    loaded = load(root)
    names = [os.path.relpath(path, ant) for path in folder.listed(root / "toy").paths("train")[:6]]
    assert names == ["0.png", "1.png", "2.png", "9.png", "deeper/still/7.png", "linked/8.png"]
    assert loaded.train_labels.tolist() == [0] * 6 + [1] * 3 and np.array_equal(*loaded.train_images[[3, 5]])
    told = data.survey("image_folder", root, folder="toy").summary
    assert told.startswith("9 training and 4 test images of 2 classes; 9 skipped: 2 (hidden), 1 ")
    for reason in (".txt (not an image format)", ".TXT (", ".h5 (", "without a suffix", "outside the class folders",
                   "(not a plain file)", "(a link to a folder that it is in)"):  # fmt: skip
        assert f"1 {reason}" in told


@pytest.mark.parametrize(
    ("removed", "says"),
    [
        (["."], "toy is not there; expected train/<class>/"),
        (["test"], "toy/test cannot be read .*; expected train/<class>/"),
        (["test/ant"], "the same classes; not in test: 'ant'"),
        (["train/ant", "train/cat"], "toy/train has no class folders"),
        (["train/cat", "test/cat"], "has only one class, 'ant'"),
    ],
)
def test_a_wrong_layout_is_explained(toy, removed, says):
    root, _ = toy
    for name in removed:
        shutil.rmtree(root / "toy" / name)
    with pytest.raises(StudyError, match=says) as caught:
        data.prepare("image_folder", root, folder="toy")
    assert data.missing("image_folder", root, folder="toy") == str(caught.value)


def test_a_class_without_images_is_named(toy):
    root, _ = toy
    for file in (root / "toy/train/cat").iterdir():
        file.unlink()
    with pytest.raises(StudyError, match="train/cat: no images in this class folder"):
        data.prepare("image_folder", root, folder="toy")


def test_processes_that_decode_at_once_agree(toy, cache):
    root, _ = toy
    code = (
        f"from pathlib import Path; from study import data\n"
        f"print(data.load('image_folder', Path({str(root)!r}), folder='toy').fingerprint)"
    )
    racers = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(3)]
    prints = {racer.communicate()[0].strip() for racer in racers}
    assert prints == {load(root).fingerprint}
    assert len(list(cache.glob("toy-*.npy"))) == 1 and not list(cache.glob(".*"))


def test_a_cache_that_cannot_be_written(toy, tmp_path, monkeypatch):
    root, _ = toy
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("STUDY_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(StudyError, match=r"cannot write the cache .*; set STUDY_CACHE"):
        load(root)
