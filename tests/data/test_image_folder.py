import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from study import data
from study.data import decode, image_cache, image_folder
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


def test_decoded_once(toy, count_decodes):
    root, _ = toy
    data.prepare("image_folder", root, folder="toy")
    assert len(count_decodes) == 10
    first, second = load(root), load(root)
    assert len(count_decodes) == 10
    assert first.fingerprint == second.fingerprint and len(first.fingerprint) == 16


@pytest.mark.parametrize("change", ["touch", "rename", "add", "remove", "grow"])
def test_any_change_of_names_sizes_or_times_decodes_again(toy, count_decodes, change):
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
    assert len(count_decodes) == {"add": 11, "remove": 9}.get(change, 10)
    assert (after.fingerprint == before.fingerprint) == (change in ("touch", "grow"))


def test_the_size_and_the_place_are_part_of_the_key(toy, tmp_path):
    root, _ = toy
    assert load(root).train_images.shape[1:] == (6, 6, 3)
    assert load(root, image_size=4).train_images.shape[1:] == (4, 4, 3)
    file = root / "toy/train/ant/0.bmp"  # a format whose size does not depend on the content
    save(file, picture())
    other = tmp_path / "other/toy"
    shutil.copytree(root / "toy", other)
    save(other / "train/ant/0.bmp", picture())
    os.utime(other / "train/ant/0.bmp", ns=(file.stat().st_atime_ns, file.stat().st_mtime_ns))
    assert not np.array_equal(load(other.parent).train_images[0], load(root).train_images[0])


def test_a_truncated_cache_is_made_anew(toy, cache):
    root, _ = toy
    good = np.array(load(root).train_images)
    (file,) = cache.glob("*/train.npy")
    file.write_bytes(file.read_bytes()[:-10])
    assert np.array_equal(load(root).train_images, good)


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGBA", "CMYK"])
def test_other_colour_modes_become_rgb(toy, mode):
    root, made = toy
    grey = Image.fromarray(made["train", "ant", 0]).convert("L")
    suffix = "jpg" if mode == "CMYK" else "png"
    grey.convert(mode).save(root / f"toy/train/ant/5.{suffix}")
    loaded = load(root).train_images[3]
    assert loaded.shape == (6, 6, 3)
    if mode != "CMYK":
        assert np.array_equal(loaded, np.asarray(grey.convert(mode).convert("RGB")))


def test_jpeg(toy):
    root, _ = toy
    flat = np.full((6, 6, 3), (200, 30, 60), np.uint8)
    Image.fromarray(flat).save(root / "toy/train/ant/9.JPEG", quality=95)
    assert np.abs(load(root).train_images[3].astype(int) - flat).max() <= 4


def test_image_size_resizes_the_shorter_side_and_crops_the_centre(tmp_path):
    wide = np.zeros((4, 12, 3), np.uint8)
    wide[:, 4:8] = 250  # the centre square
    for split in ("train", "test"):
        save(tmp_path / "toy" / split / "a/wide.png", wide)
        save(tmp_path / "toy" / split / "a/tall.png", wide.transpose(1, 0, 2).copy())
        save(tmp_path / "toy" / split / "a/big.png", np.full((9, 9, 3), 77, np.uint8))
    loaded = load(tmp_path, image_size=4)
    big, tall, narrow = loaded.train_images
    assert (tall == 250).all() and (narrow == 250).all() and (big == 77).all()
    assert load(tmp_path, image_size=2).train_images.shape == (3, 2, 2, 3)


def test_unequal_sizes_suggest_image_size(toy):
    root, _ = toy
    save(root / "toy/test/cat/7.png", picture(5, 7))
    with pytest.raises(StudyError, match=r"7.png: is 7x5 but the first image is 6x6; set `image_size`"):
        load(root)


@pytest.mark.parametrize("content", [b"", b"not an image", b"\x89PNG\r\n\x1a\n" + b"\0" * 50])
@pytest.mark.parametrize("name", ["0.png", "2.png"])
def test_a_corrupt_image_is_named_and_leaves_no_cache(toy, cache, content, name):
    root, _ = toy
    (root / "toy/train/ant" / name).write_bytes(content)
    with pytest.raises(StudyError, match="not a readable image") as caught:
        load(root)
    assert str(root / "toy/train/ant" / name) in str(caught.value) and "\n" not in str(caught.value)
    assert list(cache.iterdir()) == []


def test_a_truncated_jpeg_is_named(toy):
    root, _ = toy
    path = root / "toy/train/cat/8.jpg"
    save(path, picture())
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(StudyError, match=r"8.jpg: not a readable image"):
        load(root)


def test_sixteen_bit_images_are_refused(toy):
    root, _ = toy
    save(root / "toy/train/cat/8.png", np.full((6, 6), 40000, np.uint16))
    with pytest.raises(StudyError, match=r"8.png: has more than 8 bits"):
        load(root)


def test_hidden_and_foreign_files_and_deeper_folders_are_ignored(toy):
    root, _ = toy
    (root / "toy/train/.cache").mkdir()
    (root / "toy/train/ant/.hidden.png").write_bytes(b"")
    (root / "toy/train/ant/notes.txt").write_bytes(b"")
    save(root / "toy/train/ant/deeper.png/0.png", picture())
    (root / "toy/train/README").write_text("")
    assert len(load(root).train_images) == 6


def remove_test(path):
    shutil.rmtree(path / "test")


def remove_class(path):
    shutil.rmtree(path / "test/ant")


def empty_class(path):
    for file in (path / "train/cat").iterdir():
        file.unlink()


def remove_classes(path):
    for name in ("ant", "cat"):
        shutil.rmtree(path / "train" / name)


@pytest.mark.parametrize(
    ("spoil", "says", "seen_early"),
    [
        (shutil.rmtree, "toy is not there; expected train/<class>/", True),
        (remove_test, "toy/test cannot be read .*; expected train/<class>/", True),
        (remove_class, "the same classes; not in test: 'ant'", True),
        (remove_classes, "toy/train has no class folders", True),
        (empty_class, r"train/cat: no images \(.bmp, ", False),
    ],
)
def test_a_wrong_layout_is_explained(toy, spoil, says, seen_early):
    root, _ = toy
    spoil(root / "toy")
    with pytest.raises(StudyError, match=says):
        data.prepare("image_folder", root, folder="toy")
    line = data.missing("image_folder", root, folder="toy")
    assert (line is not None) == seen_early


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../toy", "/etc", "a\\b", None])
def test_the_folder_is_a_plain_name(tmp_path, name):
    with pytest.raises(StudyError, match="folder"):
        data.prepare("image_folder", tmp_path, folder=name)
    assert "folder" in data.missing("image_folder", tmp_path, folder=name)


def test_several_processes_give_the_same_as_one(toy):
    root, _ = toy
    files = image_folder.scan(root / "toy/train", ("ant", "cat")).files
    alone = list(decode.decode_all(files, (6, 6), False, processes=1))
    for name in ("numpy", "queue", "study", "types"):  # nothing in the working directory is imported
        Path(f"{name}.py").write_text("raise SystemExit(1)\n")
    together = sorted(decode.decode_all(files, (6, 6), False, processes=3), key=lambda block: block[0])
    assert [start for start, _ in together] == [0, 2, 4]
    assert np.array_equal(np.concatenate([b for _, b in together]), np.concatenate([b for _, b in alone]))


def test_a_decoding_process_reports_the_bad_file(toy):
    root, _ = toy
    files = image_folder.scan(root / "toy/train", ("ant", "cat")).files
    (root / "toy/train/cat/1.png").write_bytes(b"no")
    with pytest.raises(StudyError, match=r"cat/1.png: not a readable image"):
        list(decode.decode_all(files, (6, 6), False, processes=2))


def test_a_decoding_process_that_dies_is_reported(toy, monkeypatch):
    root, _ = toy
    files = image_folder.scan(root / "toy/train", ("ant", "cat")).files
    monkeypatch.setattr(decode, "command", lambda *words: [sys.executable, "-c", "import os; os._exit(9)"])
    with pytest.raises(StudyError, match="ended early, after 0 of 120000 images"):
        list(decode.decode_all(files * 20000, (6, 6), False, processes=2))  # a task longer than a pipe's buffer


def test_two_processes_that_decode_at_once_agree(toy, cache):
    root, _ = toy
    code = (
        f"from pathlib import Path; from study import data\n"
        f"print(data.load('image_folder', Path({str(root)!r}), folder='toy').fingerprint)"
    )
    racers = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(3)]
    prints = {racer.communicate()[0].strip() for racer in racers}
    assert prints == {load(root).fingerprint}
    assert len(list(cache.iterdir())) == 1


def test_the_second_of_two_decoders_keeps_the_firsts_entry(toy, cache, monkeypatch):
    root, _ = toy
    original = image_folder._decode

    def overtaken(*args):
        monkeypatch.setattr(image_folder, "_decode", original)
        overtaken.first = load(root)
        overtaken.inode = next(cache.glob("toy-*")).stat().st_ino
        return original(*args)

    monkeypatch.setattr(image_folder, "_decode", overtaken)
    second = load(root)
    assert second.fingerprint == overtaken.first.fingerprint
    assert [path.stat().st_ino for path in cache.iterdir()] == [overtaken.inode]


def test_what_a_killed_process_left_is_removed_after_a_day(tmp_path, cache):
    path = image_cache.entry_path("toy", "key")
    young, old = cache / f".{path.name}-young", cache / f".{path.name}-old"
    for left in (young, old):
        left.mkdir(parents=True)
    os.utime(old, (0, 0))
    image_cache.write_entry(path, lambda building: "0" * 16)
    assert young.is_dir() and not old.exists()


def test_a_cache_that_cannot_be_written(toy, tmp_path, monkeypatch):
    root, _ = toy
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("STUDY_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(StudyError, match=r"cannot write the cache .*; set STUDY_CACHE"):
        load(root)


def test_where_the_cache_is(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert image_cache.default_cache() == tmp_path / "cache"
    monkeypatch.delenv("STUDY_CACHE")
    assert image_cache.default_cache() == tmp_path / "xdg" / "study"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert image_cache.default_cache() == tmp_path / ".cache" / "study"
