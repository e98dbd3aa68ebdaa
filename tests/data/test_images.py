"""Class-balanced subsets of the training images."""

import numpy as np
import pytest

from study import data
from study.data.images import choose_subset
from study.errors import StudyError

LABELS = np.tile(np.arange(10), 30)


def subset(size, seed, labels=LABELS, classes=10):
    return choose_subset("", labels, classes, "mine", size, seed)[0]


def test_golden_indices():
    assert subset(12, 0).tolist() == [9, 56, 74, 92, 171, 172, 215, 218, 220, 248, 253, 257]
    assert subset(12, 1).tolist() == [30, 44, 59, 66, 153, 161, 177, 178, 209, 235, 242, 262]


@pytest.mark.parametrize("size", [2, 57, 100, 300])
def test_counts_differ_by_at_most_one_and_indices_are_sorted_and_distinct(size):
    indices = subset(size, 3)
    counts = np.bincount(LABELS[indices], minlength=10)
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
