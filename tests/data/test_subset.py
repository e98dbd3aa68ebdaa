import numpy as np
import pytest

from study import data
from study.data.images import image_set
from study.data.subset import balanced_indices, with_train_subset
from study.errors import StudyError

LABELS = np.tile(np.arange(10), 30)


def test_golden_indices():
    assert balanced_indices(LABELS, 10, 12, seed=0).tolist() == [9, 56, 74, 92, 171, 172, 215, 218, 220, 248, 253, 257]
    assert balanced_indices(LABELS, 10, 12, seed=1).tolist() == [30, 44, 59, 66, 153, 161, 177, 178, 209, 235, 242, 262]


@pytest.mark.parametrize("size", [1, 9, 10, 57, 100, 300])
def test_counts_differ_by_at_most_one_and_indices_are_sorted_and_distinct(size):
    indices = balanced_indices(LABELS, 10, size, seed=3)
    counts = np.bincount(LABELS[indices], minlength=10)
    assert counts.sum() == size and counts.max() - counts.min() <= 1
    assert np.all(np.diff(indices) > 0)


def test_the_global_random_state_plays_no_part_and_is_left_alone():
    np.random.seed(1)
    first = balanced_indices(LABELS, 10, 50, seed=7)
    after = np.random.random()
    np.random.seed(1)
    assert np.random.random() == after
    assert np.array_equal(balanced_indices(LABELS, 10, 50, seed=7), first)


@pytest.mark.parametrize(
    ("size", "seed", "says"),
    [
        (0, 0, "at least 1"),
        (301, 0, "only 300 training images"),
        (10, -1, "train_subset_seed must lie in"),
    ],
)
def test_impossible_sizes_and_seeds(size, seed, says):
    with pytest.raises(ValueError, match=says):
        balanced_indices(LABELS, 10, size, seed)


def test_a_class_that_is_too_small_says_what_can_be_had():
    labels = np.array([0] * 90 + [1] * 5)
    with pytest.raises(ValueError, match=r"class 1 has only 5 training images; .* at most 10 can be had"):
        balanced_indices(labels, 2, 20, seed=0)
    assert len(balanced_indices(labels, 2, 10, seed=0)) == 10


def test_the_subset_takes_images_with_their_labels_and_leaves_the_test_set():
    images = np.arange(300, dtype="<u2").view(np.uint8).reshape(300, 1, 2, 1)  # each holds its own row number
    whole = image_set("toy", (images, LABELS), (images[:5], LABELS[:5]), tuple("0123456789"))
    part = with_train_subset(whole, 40, seed=2)
    rows = part.train_images.reshape(40, 2).view("<u2").reshape(-1)
    assert np.array_equal(LABELS[rows], part.train_labels)
    assert part.test_images is whole.test_images
    prints = {whole.fingerprint, part.fingerprint, with_train_subset(whole, 40, seed=3).fingerprint}
    assert len(prints) == 3
    assert with_train_subset(whole, 40, seed=2).fingerprint == part.fingerprint


def test_load_takes_a_subset_and_names_the_data_in_its_error(tmp_path):
    assert data.load("digits", tmp_path, train_subset=100, train_subset_seed=1).train_images.shape == (100, 8, 8, 1)
    with pytest.raises(StudyError, match="train_subset: 1437 of data 'digits' is impossible"):
        data.load("digits", tmp_path, train_subset=1437)
