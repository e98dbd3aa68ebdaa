"""Arrays of the user's: read as they stand, from .npz and Parquet files; class-balanced subsets of any data set."""

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from study import data
from study.data.images import choose_subset
from study.errors import StudyError

RANDOM = np.random.RandomState(0)
GREY = RANDOM.randint(0, 256, (12, 6, 6, 1)).astype(np.uint8)
COLOUR = RANDOM.randint(0, 256, (12, 6, 6, 3)).astype(np.uint8)
LABELS = np.arange(12) % 3


def npz(path, **arrays):
    given = {"x_train": COLOUR, "y_train": LABELS, "x_test": COLOUR[:6], "y_test": LABELS[:6]} | arrays
    np.savez(path, **{key: value for key, value in given.items() if value is not None})


def test_an_npz_file_is_read_as_it_stands(tmp_path):
    npz(tmp_path / "mine.npz")
    found = data.load("npz", tmp_path, file="mine.npz")
    assert found.name == "mine" and found.classes == ("0", "1", "2")
    assert (found.train_images == COLOUR).all() and (found.test_labels == LABELS[:6]).all()
    npz(tmp_path / "mine.npz", y_train=LABELS[:, None])  # as Keras has them
    assert data.survey("npz", tmp_path, file="mine.npz").fingerprint == found.fingerprint
    npz(tmp_path / "mine.npz", x_test=COLOUR[6:])
    assert data.survey("npz", tmp_path, file="mine.npz").fingerprint != found.fingerprint


def encoded(image, kind):
    out = io.BytesIO()
    Image.fromarray(image.squeeze()).save(out, kind)
    return out.getvalue()


def parquet(folder, images=COLOUR, kind="PNG", split="train", column="image", label="label"):
    folder.mkdir(parents=True, exist_ok=True)
    cells = [{"bytes": encoded(image, kind), "path": None} for image in images]
    table = pa.table({column: cells, label: LABELS[: len(images)]})
    pq.write_table(table, folder / f"{split}-00000-of-00001.parquet")


@pytest.mark.parametrize("images, column, label", [(COLOUR, "image", "label"), (GREY, "img", "fine_label")])
def test_parquet_files_of_hugging_face_are_decoded_once(tmp_path, monkeypatch, images, column, label):
    monkeypatch.setenv("STUDY_CACHE", str(tmp_path / "cache"))
    for split, part in (("train", images), ("test", images[:6])):
        parquet(tmp_path / "mine" / "data", part, split=split, column=column, label=label)
    found = data.load("parquet", tmp_path, folder="mine")
    assert (found.train_images == images).all() and (found.test_labels == LABELS[:6]).all()
    monkeypatch.setattr(Image, "open", None)
    again = data.load("parquet", tmp_path, folder="mine")
    assert again.fingerprint == found.fingerprint
    with pytest.raises(StudyError, match="an image cannot be decoded"):  # at another size it is decoded anew
        data.load("parquet", tmp_path, folder="mine", image_size=4)


def test_images_of_several_sizes_are_resized_on_request(tmp_path, monkeypatch):
    monkeypatch.setenv("STUDY_CACHE", str(tmp_path / "cache"))
    parquet(tmp_path / "mine", [COLOUR[0], COLOUR[1][:4]])
    parquet(tmp_path / "mine", COLOUR[:2], split="validation")
    with pytest.raises(StudyError, match="several sizes or modes; set image_size"):
        data.load("parquet", tmp_path, folder="mine")
    assert data.load("parquet", tmp_path, folder="mine", image_size=5).train_images.shape == (2, 5, 5, 3)


@pytest.mark.parametrize("arrays, message", [
    ({"y_test": None}, "has no array y_test"), ({"y_train": LABELS[:5]}, "12 training images need as many integers"),
    ({"x_train": COLOUR.astype(np.float64)}, "must be uint8"), ({"x_test": GREY[:6]}, r"are uint8 of shape \(6, 6, 3\), test"),
    ({"y_test": LABELS[:6] + 3}, "labels must be 0 to 2 in both"), ({"y_train": LABELS - 1}, "numbers from 0 on"),
    ({"x_train": np.array([{}], dtype=object)}, "no .npz file of plain arrays"),
    ({"x_train": COLOUR.astype(np.float32)}, r"float32 images must be \(N, C, H, W\)"),
    ({"x_train": COLOUR.transpose(0, 3, 1, 2)}, r"uint8 images must be \(N, H, W, C\)"),
])  # fmt: skip
def test_what_does_not_fit_is_said_in_one_line(tmp_path, arrays, message):
    npz(tmp_path / "mine.npz", **arrays)
    with pytest.raises(StudyError, match=message) as caught:
        data.load("npz", tmp_path, file="mine.npz")
    assert len(caught.value.args) == 1


def test_a_missing_file_is_named(tmp_path):
    assert "nothing.npz is not there" in str(data.missing("npz", tmp_path, file="nothing.npz"))
    (tmp_path / "empty").mkdir()
    assert "has no train*.parquet" in str(data.missing("parquet", tmp_path, folder="empty"))
    with pytest.raises(StudyError, match=r"torchvision.datasets has no 'Nothing'"):
        data.load("torchvision", tmp_path, dataset="Nothing")


def test_torchvision_reads_both_splits(tmp_path, monkeypatch):
    """Of a data set that needs no network."""
    from torchvision import datasets

    class Tiny(datasets.VisionDataset):
        def __init__(self, root, train=True, transform=None, download=False):
            super().__init__(root, transform=transform)
            self.images = COLOUR if train else COLOUR[:6]

        def __getitem__(self, number):
            return self.transform(Image.fromarray(self.images[number])), LABELS[number]

        def __len__(self):
            return len(self.images)

        def __iter__(self):
            return (self[i] for i in range(len(self)))

    monkeypatch.setattr(datasets, "Tiny", Tiny, raising=False)
    found = data.load("torchvision", tmp_path, dataset="Tiny")
    assert found.name == "tiny" and (found.test_images == COLOUR[:6]).all()


# -- subsets -----------------------------------------------------------------------------------------------------------

TENS = np.tile(np.arange(10), 30)


def subset(size, seed, labels=TENS, classes=10):
    return choose_subset("", labels, classes, "mine", size, seed)[0]


def test_golden_indices():
    assert subset(12, 0).tolist() == [9, 56, 74, 92, 171, 172, 215, 218, 220, 248, 253, 257]
    assert subset(12, 1).tolist() == [30, 44, 59, 66, 153, 161, 177, 178, 209, 235, 242, 262]


@pytest.mark.parametrize("size", [2, 57, 100, 300])
def test_counts_differ_by_at_most_one_and_indices_are_sorted_and_distinct(size):
    indices = subset(size, 3)
    counts = np.bincount(TENS[indices], minlength=10)
    assert counts.sum() == size and counts.max() - counts.min() <= 1
    assert np.all(np.diff(indices) > 0)


def test_a_class_that_is_too_small_gives_the_largest_subset():
    labels = np.array([0] * 90 + [1] * 5)
    with pytest.raises(StudyError, match=r"train_subset: 20 of data 'mine' .* class 1 has only 5 .* at most 10 can be"):
        subset(20, 0, labels, 2)
    assert len(subset(10, 0, labels, 2)) == 10


def test_load_takes_a_subset_with_its_labels_and_leaves_the_test_set(tmp_path):
    whole = data.load("digits", tmp_path)
    part, other = (data.load("digits", tmp_path, train_subset=100, train_subset_seed=seed) for seed in (1, 2))
    chosen = subset(100, 1, whole.train_labels)
    assert np.array_equal(part.train_images, whole.train_images[chosen])
    assert np.array_equal(part.train_labels, whole.train_labels[chosen])
    assert np.array_equal(part.test_images, whole.test_images)
    assert len({whole.fingerprint, part.fingerprint, other.fingerprint}) == 3
