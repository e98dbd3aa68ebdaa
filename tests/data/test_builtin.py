"""The built-in data sets: where they are looked for, how they are read and downloaded, and what is said without them."""

import gzip
import hashlib
import pickle
import struct
import tarfile
import urllib.request

import numpy as np
import pytest
from scipy.io import savemat

from study import data
from study.data.builtin import Cifar10, Cifar100, FashionMnist, Svhn
from study.errors import StudyError
from tests.helpers import python

RANDOM = np.random.RandomState(0)
FOLDER = "cifar-10-batches-py"


def md5(path):
    return hashlib.md5(path.read_bytes()).hexdigest()


def images(n):
    return RANDOM.randint(0, 256, (n, 32, 32, 3)).astype(np.uint8)


def cifar(root, monkeypatch, name, batches, label_key, classes):
    """Small files in the format of torchvision's data set `name`, and their checksums; returns both splits' images."""
    import torchvision.datasets

    dataset, train, test = getattr(torchvision.datasets, name), images(20), images(6)

    def pickled(file, content):
        path = root / dataset.base_folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pickle.dumps(content))
        return [file, md5(path)]

    def batch(file, pixels):  # rows of 1024 red, 1024 green, 1024 blue values
        rows = pixels.transpose(0, 3, 1, 2).reshape(len(pixels), -1)
        return pickled(file, {"data": rows, label_key: [classes - 1 - i for i in range(len(pixels))]})

    lists = [batch(file, part) for file, part in zip(batches, np.split(train, len(batches)), strict=True)]
    meta_key = dataset.meta["key"]
    meta = pickled(dataset.meta["filename"], {meta_key: [f"class {i}" for i in range(classes)]})
    monkeypatch.setattr(dataset, "train_list", lists)
    monkeypatch.setattr(dataset, "test_list", [batch(dataset.test_list[0][0], test)])
    monkeypatch.setattr(dataset, "meta", {"filename": meta[0], "key": meta_key, "md5": meta[1]})
    return train, test


@pytest.fixture
def cifar10(tmp_path, monkeypatch):
    names = [f"data_batch_{i}" for i in range(1, 6)]
    return tmp_path, *cifar(tmp_path, monkeypatch, "CIFAR10", names, "labels", 10)


def archive(root, monkeypatch):
    """Pack CIFAR-10's folder as it is distributed, and remove it."""
    from torchvision.datasets import CIFAR10

    path = root / Cifar10.archive
    with tarfile.open(path, "w:gz") as tar:
        tar.add(root / FOLDER, FOLDER)
    for file in Cifar10.files:
        (root / file).unlink()
    (root / FOLDER).rmdir()
    monkeypatch.setattr(CIFAR10, "tgz_md5", md5(path))
    return path


def test_cifar10_reads_the_batches_in_order(cifar10, no_network):
    root, train, test = cifar10
    assert data.missing("cifar10", root) is None
    loaded = data.load("cifar10", root)
    assert np.array_equal(loaded.train_images, train) and np.array_equal(loaded.test_images, test)
    assert loaded.train_labels.tolist() == [9, 8, 7, 6] * 5 and loaded.test_labels.tolist() == [9, 8, 7, 6, 5, 4]
    assert loaded.train_images.flags.c_contiguous and loaded.train_images.dtype == np.uint8
    assert loaded.classes == tuple(f"class {i}" for i in range(10)) and loaded.name == "cifar10"


def test_cifar100_reads_the_fine_labels(tmp_path, monkeypatch, no_network):
    train, test = cifar(tmp_path, monkeypatch, "CIFAR100", ["train"], "fine_labels", 100)
    loaded = data.load("cifar100", tmp_path)
    assert np.array_equal(loaded.train_images, train) and np.array_equal(loaded.test_images, test)
    assert loaded.train_labels.tolist() == list(range(99, 79, -1)) and len(loaded.classes) == 100


def test_a_corrupt_batch_is_named(cifar10):
    root, _, _ = cifar10
    (root / "cifar-10-batches-py/data_batch_3").write_bytes(b"half a batch")
    with pytest.raises(StudyError, match=r"data_batch_3 is corrupt \(its MD5 is not .*\); delete it") as caught:
        data.load("cifar10", root)
    assert "\n" not in str(caught.value)


def test_an_archive_is_unpacked_without_network(cifar10, monkeypatch, no_network, capsys):
    root, train, _ = cifar10
    archive(root, monkeypatch)
    assert data.missing("cifar10", root) is None
    data.prepare("cifar10", root)
    assert np.array_equal(data.load("cifar10", root).train_images, train)
    assert {path.name for path in root.iterdir()} == {Cifar10.archive, FOLDER}
    assert capsys.readouterr().out == ""


def test_cifar10_is_downloaded_verified_and_unpacked(cifar10, tmp_path, monkeypatch, mirror, capsys):
    root, train, _ = cifar10
    archive(root, monkeypatch).rename(mirror / Cifar10.archive)
    elsewhere = tmp_path / "elsewhere"
    data.prepare("cifar10", elsewhere)
    captured = capsys.readouterr()
    assert captured.out == "" and f"Downloading cifar10 to {elsewhere}" in captured.err
    monkeypatch.setattr(urllib.request, "urlopen", None)  # from here on a request would raise
    assert np.array_equal(data.load("cifar10", elsewhere).train_images, train)
    assert [path.name for path in elsewhere.iterdir()] == [FOLDER]


@pytest.mark.parametrize(
    ("name", "expected", "copy"),
    [
        ("cifar10", "cifar-10-batches-py/data_batch_1 in {}", "cifar-10-python.tar.gz"),
        ("cifar100", "cifar-100-python/train in {}", "cifar-100-python.tar.gz"),
        ("svhn", "train_32x32.mat in {}", "test_32x32.mat"),
        ("fashion_mnist", "train-images-idx3-ubyte[.gz] in {}/FashionMNIST/raw", "apt install dataset-fashion-mnist"),
    ],
)
def test_without_network_the_error_says_what_to_do(tmp_path, no_network, debian, name, expected, copy):
    line = data.missing(name, tmp_path / "root")
    for part in (f"expected {expected}".format(tmp_path / "root"), "machine with network", "copy", copy):
        assert part in line
    for action in (data.prepare, data.load):
        with pytest.raises(StudyError, match=r"the download failed: .*name resolution") as caught:
            action(name, tmp_path / "root")
        assert line in str(caught.value) and "\n" not in str(caught.value)
    assert list((tmp_path / "root").iterdir()) == []


def test_svhn_reads_images_upright_and_ten_as_zero(tmp_path, monkeypatch, no_network):
    """In its files X has shape (32, 32, 3, N), and y is 10 for the digit 0."""
    from torchvision.datasets import SVHN

    made, sums = {}, {}
    for split, labels in (("train", [10, 1, 2, 9, 10]), ("test", [5, 10, 7])):
        batch, path = images(len(labels)), tmp_path / f"{split}_32x32.mat"
        savemat(path, {"X": batch.transpose(1, 2, 3, 0), "y": np.array(labels, dtype=np.uint8)[:, None]})
        made[split], sums[split] = batch, [f"http://localhost/{path.name}", path.name, md5(path)]
    monkeypatch.setattr(SVHN, "split_list", sums)
    loaded = data.load("svhn", tmp_path)
    assert np.array_equal(loaded.train_images, made["train"]) and np.array_equal(loaded.test_images, made["test"])
    assert loaded.train_labels.tolist() == [0, 1, 2, 9, 0] and loaded.test_labels.tolist() == [5, 0, 7]
    assert loaded.train_images.flags.c_contiguous


# -- Fashion-MNIST ----------------------------------------------------------------------------------------------------

TRAIN = np.random.RandomState(0).randint(0, 256, (20, 28, 28)).astype(np.uint8)
TEST = np.random.RandomState(1).randint(0, 256, (10, 28, 28)).astype(np.uint8)


def idx_bytes(array):
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def contents():
    labels = np.arange(20, dtype=np.uint8) % 10
    return dict(zip(FashionMnist.NAMES, map(idx_bytes, [TRAIN, labels, TEST, labels[:10]]), strict=True))


def write(folder, packed=False):
    folder.mkdir(parents=True)
    for name, content in contents().items():
        (folder / (name + ".gz" * packed)).write_bytes(gzip.compress(content) if packed else content)


@pytest.fixture
def debian(tmp_path, monkeypatch):
    monkeypatch.setattr(FashionMnist, "DEBIAN", tmp_path / "debian")
    return tmp_path / "debian"


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("place", ["root/FashionMNIST/raw", "debian"])
def test_fashion_mnist_is_found(tmp_path, place, packed, no_network, debian):
    write(tmp_path / place, packed)
    assert data.missing("fashion_mnist", tmp_path / "root") is None
    loaded = data.load("fashion_mnist", tmp_path / "root")
    assert np.array_equal(loaded.train_images, TRAIN[..., None]) and np.array_equal(loaded.test_images, TEST[..., None])
    assert loaded.test_labels.tolist() == list(range(10)) and loaded.train_labels.dtype == np.int64
    assert len(loaded.classes) == 10
    assert data.survey("fashion_mnist", tmp_path / "root").fingerprint == loaded.fingerprint


def test_fashion_mnist_is_downloaded_and_verified(tmp_path, monkeypatch, mirror, debian):
    from torchvision.datasets import FashionMNIST

    (mirror / "train-images-idx3-ubyte.gz").write_bytes(b"not what was promised")
    with pytest.raises(StudyError, match="corrupted"):
        data.prepare("fashion_mnist", tmp_path / "root")
    assert list((tmp_path / "root").iterdir()) == []
    packed = {f"{name}.gz": gzip.compress(content) for name, content in contents().items()}
    sums = [(name, hashlib.md5(content).hexdigest()) for name, content in packed.items()]
    monkeypatch.setattr(FashionMNIST, "resources", sums)
    for name, content in packed.items():
        (mirror / name).write_bytes(content)
    data.prepare("fashion_mnist", tmp_path / "root")
    monkeypatch.setattr(urllib.request, "urlopen", None)  # from here on a request would raise
    assert np.array_equal(data.load("fashion_mnist", tmp_path / "root").train_images[..., 0], TRAIN)
    assert [path.name for path in (tmp_path / "root").iterdir()] == ["FashionMNIST"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "not a complete IDX file .* .it begins with nothing"),
        (idx_bytes(np.arange(20, dtype=np.uint8)), "IDX file of 3-dimensional uint8 data .it begins with 00 00 08 01"),
        (idx_bytes(TRAIN)[:-1], "cannot reshape array of size 15679"),
        (gzip.compress(idx_bytes(TRAIN))[:-9], "not a complete IDX file"),
        (idx_bytes(TRAIN[:-1]), "20 labels up to 9 do not fit the 19 images"),
    ],
)
def test_a_broken_idx_file_is_named(tmp_path, debian, content, says):
    write(debian)
    (debian / "train-images-idx3-ubyte").write_bytes(content)
    with pytest.raises(StudyError, match=says) as caught:
        data.load("fashion_mnist", tmp_path)
    assert "train-images-idx3-ubyte" in str(caught.value) and "\n" not in str(caught.value)


# -- digits -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return data.load("digits", tmp_path_factory.mktemp("root"))


def test_digits_and_their_split_are_pinned(digits):
    assert digits.train_images.shape == (1437, 8, 8, 1) and digits.test_images.shape == (360, 8, 8, 1)
    assert digits.train_images.dtype == np.uint8 and digits.train_labels.dtype == np.int64
    assert digits.train_images.max() == 240 and digits.train_images.min() == 0
    assert np.bincount(digits.test_labels).tolist() == [36, 36, 36, 36, 37, 36, 36, 36, 35, 36]
    assert hashlib.sha256(digits.test_images.tobytes()).hexdigest()[:16] == "b63b6bfe34b8cf0f"
    assert digits.fingerprint == "ba97cca2f8286bfa"


def test_present_data_sets_need_no_torch(tmp_path):
    write(tmp_path / "FashionMNIST/raw", packed=True)
    for file in (*Cifar10.files, *Cifar100.files, *Svhn.files):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).touch()
    code = (
        f"import sys; from pathlib import Path; from study import data; root = Path({str(tmp_path)!r})\n"
        "for name in ('cifar10', 'cifar100', 'svhn', 'fashion_mnist'): data.prepare(name, root); data.missing(name, root)\n"
        "for name in ('digits', 'fashion_mnist'): data.load(name, root)\n"
        "print({'torch', 'torchvision', 'sklearn'} & set(sys.modules))"
    )
    assert python(code).strip() == "set()"
