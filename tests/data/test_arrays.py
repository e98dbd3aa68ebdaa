import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from study import data
from study.config.use import use
from study.data.arrays import Arrays, checked
from study.errors import StudyError
from study.training.feeds.images import Images

RANDOM = np.random.RandomState(0)
GREY = RANDOM.randint(0, 256, (12, 6, 6, 1)).astype(np.uint8)
COLOUR = RANDOM.randint(0, 256, (12, 6, 6, 3)).astype(np.uint8)
LABELS = np.arange(12) % 3
FLOATS = RANDOM.standard_normal((12, 2, 4, 5)).astype(np.float32)


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


def test_a_function_of_the_users_own_is_a_data_set(tmp_path):
    (tmp_path / "mine.py").write_text(
        "import numpy as np\nfrom study.config.own import data\nfrom study.data.arrays import Arrays\n\n"
        "@data\ndef moons(root, *, noise: float = 0.1):\n"
        "    x = np.full((4, 2, 1, 1), noise, dtype=np.float32)\n"
        "    return Arrays((x, np.arange(4) % 2), (x, np.arange(4) % 2))\n"
    )
    use("mine.py", tmp_path)
    found = data.load("moons", tmp_path, noise=0.5)
    assert found.train_images.shape == (4, 1, 1, 2) and found.train_images[0, 0, 0, 0] == 0.5


def test_floats_are_not_divided_by_255(tmp_path):
    found = checked("mine", Arrays((FLOATS, LABELS), (FLOATS, LABELS)))
    feed = Images(found, torch.device("cpu"))
    images, labels = feed.at("test", torch.arange(12))
    torch.testing.assert_close(images, torch.from_numpy(FLOATS - FLOATS.mean(0)), atol=1e-6, rtol=1e-5)
    assert labels.tolist() == LABELS.tolist() and feed.channels == 2


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
