"""Streamed images: batches depend on their keys only; whole runs on them."""

import multiprocessing
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from study import data
from study.data import ImageFiles, decode
from study.data.stream import choices, cut, random_crop
from study.errors import StudyError
from study.training.feeds import decoding
from study.training.feeds.samples import Draws, Samples
from study.training.feeds.stream import Stream
from study.training.ranks import Ranks
from study.training.session import Tuning
from tests.helpers import make_folder, make_spec, open_run, points, read_rows, stopping, train_runs
from tests.launch.command import wait_for

CPU = torch.device("cpu")
FIELDS = {
    "data": "image_stream", "data.folder": "toy", "data.image_size": 16, "recipe__pad": 0, "recipe__flip": True,
    "recipe__scales": [20, 28], "recipe__colour": "pca", "recipe__iterations": 7, "recipe__batch_size": 8,
    "recipe__evaluate_every": 3, "recipe__log_every": 2,
}  # fmt: skip


@pytest.fixture
def files(tmp_path):
    make_folder(tmp_path / "toy")
    return load(tmp_path)


def load(root):
    found = data.load("image_stream", root, folder="toy", image_size=16)
    assert isinstance(found, ImageFiles)
    return found


def spec(**fields):
    return make_spec(**FIELDS | fields)


def batches(files, count, workers=0, ranks=None, **fields):
    """The first batches that a stream gives, part by part, with their draws."""
    recipe = spec(**fields).recipe
    samples = Samples(3, len(files.train_labels), recipe.batch_size, 0, recipe.flip)
    stream = Stream(files, recipe, CPU, ranks, workers)
    taken, iteration = [], 0
    size = recipe.batch_size // recipe.bn_groups
    while iteration < count:
        window = samples.window(iteration)
        stream.expect(samples, iteration)
        for i in range(min(len(window.image), count - iteration)):
            for group in (ranks or Ranks()).share(recipe.bn_groups):
                draws = Draws(*(part[i, group * size : (group + 1) * size] for part in window))
                taken.append((draws, *stream.batch(draws, 0)))
        iteration += len(window.image)
    stream.close()
    return taken


def test_batch_depends_on_its_keys_only(files):
    values, vectors = files.statistics.eigenvalues, files.statistics.eigenvectors
    seen = 0
    for draws, images, labels in batches(files, 4):
        assert images.shape == (8, 3, 16, 16) and images.is_contiguous(memory_format=torch.channels_last)
        assert labels.tolist() == files.train_labels[draws.image.numpy()].tolist()
        for i, (number, key) in enumerate(zip(draws.image.tolist(), draws.key.tolist(), strict=True)):
            chosen = choices(key)
            pixels = cut(files.path("train", number), random_crop(chosen, (20, 28), 16))
            pixels = pixels[:, ::-1] if draws.mirror[i] else pixels
            shift = sum(chosen.alphas[k] * values[k] * vectors[:, k] for k in range(3))
            expected = (pixels - files.statistics.pixel_mean) / 255 + shift
            np.testing.assert_allclose(images[i].permute(1, 2, 0).numpy(), expected, atol=1e-5)
            seen += bool(draws.mirror[i])
    assert 0 < seen < 32


def test_ranks_decode_their_own_parts(files):
    whole = [images for _, images, _ in batches(files, 3, recipe__bn_groups=4)]
    shares = [[i for _, i, _ in batches(files, 3, ranks=Ranks(r, 2), recipe__bn_groups=4)] for r in (0, 1)]
    assert [len(share) for share in shares] == [6, 6]
    for step in range(3):
        for place in range(4):
            assert torch.equal(whole[4 * step + place], shares[place // 2][2 * step + place % 2])


def evaluated(stream, split, rank=0, ranks=1):
    images, labels = zip(*stream.every(split, rank, ranks), strict=True)
    return torch.cat(images), torch.cat(labels).tolist()


@pytest.fixture
def _small_batches(monkeypatch):
    monkeypatch.setattr("study.training.feeds.feed.EVALUATION_BATCH", 5)
    monkeypatch.setattr("study.training.feeds.stream.CHUNK", 2)


@pytest.mark.usefixtures("_small_batches")
def test_evaluation_takes_centre_crops_in_order_for_any_number_of_ranks(files):
    recipe = spec().recipe
    stream = Stream(files, recipe, CPU, workers=1)
    images, labels = evaluated(stream, "train")
    assert labels == files.train_labels.tolist() and images.shape == (12, 3, 16, 16)
    with Image.open(files.path("train", 7)) as image:
        width, height = (max(20, round(side * 20 / min(image.size))) for side in image.size)
        small = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR)).astype(float)
    top, left = (height - 16) // 2, (width - 16) // 2
    expected = (small[top : top + 16, left : left + 16] - files.statistics.pixel_mean) / 255
    assert abs(images[7].permute(1, 2, 0).numpy() - expected).max() < 2.1 / 255
    first, _ = evaluated(Stream(files, recipe, CPU, Ranks(0, 2)), "train", 0, 2)
    second, _ = evaluated(Stream(files, recipe, CPU, Ranks(1, 2)), "train", 1, 2)
    assert torch.equal(images, torch.cat([first[:5], second, first[5:]]))


def test_evaluated_training_images_are_a_fixed_sample(files, monkeypatch):
    monkeypatch.setattr("study.training.feeds.stream.EVALUATED_TRAINING", 7)
    streams = [Stream(files, spec(seed=seed).recipe, CPU) for seed in (0, 1)]
    (some, labels), (same, _) = (stream.at("train", torch.arange(7)) for stream in streams)
    assert streams[0].count("train") == 7 and streams[0].count("test") == 6 and len(streams[0]) == 12
    assert torch.equal(some, same) and len(set(labels.tolist())) == 3


# -- from end to end ------------------------------------------------------------------------------------------------------


def train(results, files, decoders=0, stop_at=100, **fields):
    return train_runs(results, spec(**fields), images=files, tuning=Tuning(decoders=decoders), **stopping(stop_at))[0]


@pytest.mark.slow
def test_streamed_run_is_equal_after_resume_with_other_processes(files, tmp_path):
    whole = points(train(tmp_path / "whole", files))
    assert {row["split"] for row in read_rows(open_run(tmp_path / "whole", spec()).curves)} == {
        "train", "train_clean", "test"
    }  # fmt: skip
    for stop_at in (3, 5):
        train(tmp_path / "parts", files, decoders=2, stop_at=stop_at)
    assert points(train(tmp_path / "parts", files, decoders=1)) == whole


@pytest.mark.parametrize("split, decoders", [("train", 0), ("test", 2)])
def test_error_names_unreadable_image(files, tmp_path, split, decoders):
    bad = Path(files.path(split, 2))
    bad.write_bytes(bad.read_bytes()[:300])
    with pytest.raises(StudyError, match=f"{split}/.*: not a readable image") as caught:
        train(tmp_path, files, decoders)
    assert str(bad) in str(caught.value) and len(str(caught.value).splitlines()) == 1


def test_error_if_a_decoder_is_killed(files, tmp_path, monkeypatch):
    def die(path, place):
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(decoding, "cut", die)
    with pytest.raises(StudyError, match=r"a process that decoded images died: killed") as caught:
        train(tmp_path, files, decoders=1)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.slow
def test_error_if_decoders_hang(files, tmp_path, monkeypatch):
    monkeypatch.setattr(decoding, "cut", lambda path, place: time.sleep(30))
    monkeypatch.setattr(decode, "STALLED", 0.3)
    with pytest.raises(StudyError, match=r"no image was decoded in 0.3 s"):
        train(tmp_path, files, decoders=1)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds processes in Linux's /proc")
def test_decoders_ignore_interrupts_and_end_with_the_stream(files, tmp_path):
    before = children()
    stream = Stream(files, spec().recipe, CPU, workers=2)
    samples = Samples(3, 12, 8, 0, True)
    stream.expect(samples, 0)
    window = samples.window(0)
    stream.batch(Draws(*(part[0] for part in window)), 0)
    workers = children() - before
    assert len(workers) == 2
    wait_for(lambda: all(map(apart, workers)))  # one of them may have decoded the first batch alone
    for worker in workers:
        os.kill(worker, signal.SIGINT)
    stream.batch(Draws(*(part[1] for part in window)), 0)
    assert children() - before == workers
    stream.close()
    assert children() - before == set()


def apart(pid):
    """Whether a process has a group of its own, and has told the kernel to keep SIGINT from it."""
    [mask] = [
        line.split()[1] for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("SigIgn")
    ]
    return os.getpgid(pid) != os.getpgid(0) and bool(int(mask, 16) >> (signal.SIGINT - 1) & 1)


def children():
    return {process.pid for process in multiprocessing.active_children()}
