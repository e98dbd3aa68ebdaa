import hashlib
import subprocess
import sys

import numpy as np
import pytest

from study import data
from study.data import digits
from study.errors import StudyError


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    return data.load("digits", tmp_path_factory.mktemp("root"))


def test_shapes_types_and_range(loaded):
    assert loaded.train_images.shape == (1437, 8, 8, 1) and loaded.test_images.shape == (360, 8, 8, 1)
    assert loaded.train_images.dtype == np.uint8 and loaded.train_labels.dtype == np.int64
    assert loaded.train_images.max() == 240 and loaded.train_images.min() == 0
    assert loaded.classes == tuple("0123456789")
    assert loaded.train_images.flags.c_contiguous and loaded.test_images.flags.c_contiguous


def test_the_split_is_pinned(loaded):
    assert np.bincount(loaded.test_labels).tolist() == [36, 36, 36, 36, 37, 36, 36, 36, 35, 36]
    assert hashlib.sha256(loaded.test_images.tobytes()).hexdigest()[:16] == "b63b6bfe34b8cf0f"
    assert loaded.fingerprint == "ba97cca2f8286bfa"


def test_train_and_test_together_are_scikit_learns_digits(loaded):
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    held_out = digits.held_out(labels)
    assert np.array_equal(loaded.train_images.reshape(-1, 64), images[~held_out] * 15)
    assert np.array_equal(loaded.test_labels, labels[held_out])


def test_the_packages_own_loader_gives_the_same(monkeypatch, loaded, tmp_path):
    monkeypatch.setattr(digits.Path, "is_file", lambda path: False)
    assert data.load("digits", tmp_path).fingerprint == loaded.fingerprint


def test_a_file_of_another_shape_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(digits, "_read_table", lambda: np.zeros((10, 65)))
    with pytest.raises(StudyError, match=r"shape \(10, 65\), expected \(1797, 65\)"):
        data.load("digits", tmp_path)


def test_without_scikit_learn(monkeypatch, tmp_path):
    monkeypatch.setattr(digits, "find_spec", lambda name: None)
    assert "pip install scikit-learn" in data.missing("digits", tmp_path)
    with pytest.raises(StudyError, match="scikit-learn"):
        data.load("digits", tmp_path)


def test_loading_imports_neither_torch_nor_scikit_learn(tmp_path):
    code = (
        "import sys; from pathlib import Path; from study import data; data.load('digits', Path('.'));"
        "print({'torch', 'torchvision', 'sklearn'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
