import gzip
import hashlib
import struct
import subprocess
import sys
import urllib.request

import numpy as np
import pytest

from study import data
from study.data import fashion_mnist
from study.errors import StudyError

TRAIN = np.random.RandomState(0).randint(0, 256, (20, 28, 28)).astype(np.uint8)
TEST = np.random.RandomState(1).randint(0, 256, (10, 28, 28)).astype(np.uint8)


def idx_bytes(array):
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def contents():
    labels = np.arange(20, dtype=np.uint8) % 10
    return dict(zip(fashion_mnist.FILES, map(idx_bytes, [TRAIN, labels, TEST, labels[:10]]), strict=True))


def write(folder, packed):
    folder.mkdir(parents=True)
    for name, content in contents().items():
        (folder / (name + ".gz" * packed)).write_bytes(gzip.compress(content) if packed else content)


@pytest.fixture(autouse=True)
def debian(tmp_path, monkeypatch):
    monkeypatch.setattr(fashion_mnist, "DEBIAN", tmp_path / "debian")
    return tmp_path / "debian"


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("place", ["root/FashionMNIST/raw", "root/FashionMNIST", "root/fashion_mnist", "debian"])
def test_found_where_it_lies(tmp_path, place, packed, forbid_download):
    write(tmp_path / place, packed)
    assert data.missing("fashion_mnist", tmp_path / "root") is None
    loaded = data.load("fashion_mnist", tmp_path / "root")
    assert np.array_equal(loaded.train_images, TRAIN[..., None]) and np.array_equal(loaded.test_images, TEST[..., None])
    assert loaded.test_labels.tolist() == list(range(10)) and loaded.train_labels.dtype == np.int64
    assert len(loaded.classes) == 10


def test_missing_names_the_folder_the_file_and_the_ways_to_get_it(tmp_path, no_network):
    write(tmp_path / "root/fashion_mnist", packed=True)
    (tmp_path / "root/fashion_mnist/t10k-labels-idx1-ubyte.gz").unlink()
    line = data.missing("fashion_mnist", tmp_path / "root")
    for part in (
        "expected t10k-labels-idx1-ubyte[.gz] in",
        str(tmp_path / "root" / "fashion_mnist"),
        "machine with network",
        "copy",
        "apt install dataset-fashion-mnist",
    ):
        assert part in line
    with pytest.raises(StudyError, match=r"the download failed: .*name resolution") as caught:
        data.prepare("fashion_mnist", tmp_path / "root")
    assert line in str(caught.value) and "\n" not in str(caught.value)


def test_torchvision_downloads_what_is_nowhere(tmp_path, monkeypatch, mirror, capsys):
    from torchvision.datasets import FashionMNIST

    packed = {f"{name}.gz": gzip.compress(content) for name, content in contents().items()}
    monkeypatch.setattr(
        FashionMNIST, "resources", [(name, hashlib.md5(content).hexdigest()) for name, content in packed.items()]
    )
    for name, content in packed.items():
        (mirror / name).write_bytes(content)
    data.prepare("fashion_mnist", tmp_path / "root")
    assert capsys.readouterr().out == ""
    monkeypatch.setattr(urllib.request, "urlopen", None)  # from here on a request would raise
    assert np.array_equal(data.load("fashion_mnist", tmp_path / "root").train_images[..., 0], TRAIN)
    assert [path.name for path in (tmp_path / "root").iterdir()] == ["FashionMNIST"]


def test_a_download_with_a_wrong_checksum_leaves_nothing(tmp_path, mirror):
    (mirror / "train-images-idx3-ubyte.gz").write_bytes(b"not what was promised")
    with pytest.raises(StudyError, match="corrupted"):
        data.prepare("fashion_mnist", tmp_path / "root")
    assert list((tmp_path / "root").iterdir()) == []


def test_labels_that_do_not_fit_the_images(tmp_path):
    write(tmp_path / "debian", packed=False)
    (tmp_path / "debian/train-labels-idx1-ubyte").write_bytes(idx_bytes(np.arange(19, dtype=np.uint8)))
    with pytest.raises(StudyError, match="train-labels-idx1-ubyte: 19 labels up to 18 do not fit the 20 images"):
        data.load("fashion_mnist", tmp_path)


def test_no_step_imports_torch_where_files_are_there(tmp_path):
    write(tmp_path / "fashion_mnist", packed=True)
    code = (
        f"import sys; from pathlib import Path; from study import data; root = Path({str(tmp_path)!r})\n"
        "for act in (data.missing, data.prepare, data.load): act('fashion_mnist', root)\n"
        "print({'torch', 'torchvision'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
