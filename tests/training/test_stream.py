"""Streamed images: what a batch is, that nothing but the key decides it, and runs on them from end to end."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from study import data
from study.config.run import RunSpec
from study.data import ImageFiles
from study.data.crops import choices, cut, random_crop
from study.errors import StudyError
from study.store.runs import status
from study.training.engine import Eager, Tuning, engine
from study.training.feeds import decoding
from study.training.feeds.feed import Feed
from study.training.feeds.samples import Draws, Samples
from study.training.feeds.stream import Stream
from study.training.pack import train_pack
from study.training.program import Program
from study.training.ranks import Ranks
from tests.helpers import make_folder, make_spec, open_run, points, read_rows
from tests.launch.command import wait_for

CPU = torch.device("cpu")
FIELDS: dict[str, Any] = {
    "data": "image_stream", "data.folder": "toy", "data.image_size": 16, "recipe__pad": 0, "recipe__flip": True,
    "recipe__scales": [20, 28], "recipe__colour": "pca", "recipe__iterations": 7, "recipe__batch_size": 8,
    "recipe__evaluate_every": 3, "recipe__log_every": 2,
}  # fmt: skip


@pytest.fixture
def files(tmp_path: Path) -> ImageFiles:
    make_folder(tmp_path / "toy")
    return load(tmp_path)


def load(root: Path) -> ImageFiles:
    found = data.load("image_stream", root, folder="toy", image_size=16)
    assert isinstance(found, ImageFiles)
    return found


def spec(**fields: Any) -> RunSpec:
    return make_spec(**FIELDS | fields)


def batches(files: ImageFiles, count: int, workers: int = 0, ranks: Ranks | None = None, **fields: Any) -> list[Any]:
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


def test_a_batch_is_made_of_its_keys_and_nothing_else(files: ImageFiles) -> None:
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


def test_a_mirrored_sample_is_the_flip_of_the_same_sample(files: ImageFiles) -> None:
    mirrored = batches(files, 1, recipe__mean="channel")[0]
    straight = batches(files, 1, recipe__mean="channel", recipe__flip=False)[0]
    flips = mirrored[0].mirror
    assert torch.equal(torch.where(flips[:, None, None, None], mirrored[1].flip(3), mirrored[1]), straight[1])
    assert flips.any() and not flips.all()


def test_neither_colour_nor_scales_unless_asked_for(files: ImageFiles) -> None:
    plain = batches(files, 1, recipe__colour="none", recipe__scales=None, recipe__flip=False)[0]
    for i, number in enumerate(plain[0].image.tolist()):
        pixels = cut(files.path("train", number), random_crop(choices(int(plain[0].key[i])), (16, 16), 16))
        expected = (pixels - files.statistics.pixel_mean) / 255
        np.testing.assert_allclose(plain[1][i].permute(1, 2, 0).numpy(), expected, atol=1e-6)


def test_the_mean_is_of_each_pixel_or_of_each_channel(files: ImageFiles) -> None:
    (_, pixel, _), (_, channel, _) = (batches(files, 1, recipe__mean=mean)[0] for mean in ("pixel", "channel"))
    mean = files.statistics.pixel_mean
    difference = torch.from_numpy((mean - mean.mean((0, 1))) / 255).permute(2, 0, 1).float()
    torch.testing.assert_close(channel - pixel, difference.expand(8, -1, -1, -1), atol=1e-6, rtol=0)


def test_the_number_of_processes_changes_nothing(files: ImageFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("study.training.feeds.stream.CHUNK", 3)  # several chunks a batch
    alone = batches(files, 4)
    for one, other in zip(alone, batches(files, 4, workers=2), strict=True):
        assert torch.equal(one[1], other[1]) and torch.equal(one[2], other[2])


def test_ranks_decode_their_own_parts(files: ImageFiles) -> None:
    whole = [images for _, images, _ in batches(files, 3, recipe__bn_groups=4)]
    shares = [[i for _, i, _ in batches(files, 3, ranks=Ranks(r, 2), recipe__bn_groups=4)] for r in (0, 1)]
    assert [len(share) for share in shares] == [6, 6]
    for step in range(3):
        for place in range(4):
            assert torch.equal(whole[4 * step + place], shares[place // 2][2 * step + place % 2])


def test_batches_that_are_taken_out_of_order_are_noticed(files: ImageFiles) -> None:
    samples = Samples(3, 12, 8, 0, True)
    stream = Stream(files, spec().recipe, CPU)
    stream.expect(samples, 0)
    with pytest.raises(AssertionError, match="another order"):
        stream.batch(Draws(*(part[1] for part in samples.window(0))), 0)


def evaluated(stream: Feed, split: str, rank: int = 0, ranks: int = 1) -> tuple[torch.Tensor, list[int]]:
    place, images, labels = torch.tensor(rank * 5), [], []
    for size in stream.evaluation_sizes(split, rank, ranks):
        part, theirs = stream.in_order(split, place.clone(), size)
        images.append(part)
        labels += theirs.tolist()
        place += 5 * ranks
    return torch.cat(images), labels


@pytest.fixture
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("feed", "stream"):
        monkeypatch.setattr(f"study.training.feeds.{module}.EVALUATION_BATCH", 5)
    monkeypatch.setattr("study.training.feeds.stream.CHUNK", 2)


@pytest.mark.usefixtures("_small_batches")
def test_an_evaluation_is_of_centre_crops_in_order_whatever_the_ranks(files: ImageFiles) -> None:
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


@pytest.mark.parametrize("workers", [0, 1])
def test_images_are_had_by_their_numbers_too(files: ImageFiles, workers: int) -> None:
    stream = Stream(files, spec().recipe, CPU, workers=workers)
    whole, labels = stream.in_order("train", torch.tensor(0), 12)
    some, theirs = stream.at("train", torch.tensor([7, 0, 11]))
    assert torch.equal(some, whole[[7, 0, 11]]) and torch.equal(theirs, labels[[7, 0, 11]])


@pytest.mark.usefixtures("_small_batches")
@pytest.mark.parametrize("workers", [0, 1])
def test_batches_by_their_numbers_share_their_processes(
    workers: int, files: ImageFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream, started = Stream(files, spec().recipe, CPU, workers=workers), []
    decoded = decoding.decoded
    monkeypatch.setattr(
        "study.training.feeds.stream.decoded", lambda *args, **more: started.append(1) or decoded(*args, **more)
    )
    numbers = [torch.tensor(part) for part in ([7, 0, 11], [3], [1, 2, 4, 5, 6])]
    batches = list(stream.batches("train", numbers))
    assert len(started) == 1
    for number, (images, labels) in zip(numbers, batches, strict=True):
        alone = stream.at("train", number)
        assert torch.equal(images, alone[0]) and torch.equal(labels, alone[1])


@pytest.mark.usefixtures("_small_batches")
def test_an_evaluation_that_was_cut_short_begins_anew(files: ImageFiles) -> None:
    stream = Stream(files, spec().recipe, CPU)
    whole, _ = evaluated(stream, "test")
    stream.in_order("train", torch.tensor(0), 5)
    stream.in_order("test", torch.tensor(0), 5)
    again, _ = evaluated(stream, "test")
    assert torch.equal(whole, again)


def test_the_training_images_evaluated_are_a_fixed_sample(files: ImageFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("study.training.feeds.stream.EVALUATED_TRAINING", 7)
    streams = [Stream(files, spec(seed=seed).recipe, CPU) for seed in (0, 1)]
    (some, labels), (same, _) = (stream.in_order("train", torch.tensor(0), 7) for stream in streams)
    assert streams[0].count("train") == 7 and streams[0].count("test") == 6 and len(streams[0]) == 12
    assert torch.equal(some, same) and len(set(labels.tolist())) == 3


# -- from end to end ------------------------------------------------------------------------------------------------------


def train(results: Path, files: ImageFiles, decoders: int = 0, stop_at: int = 100, **fields: Any) -> Any:
    run = spec(**fields)
    opened = open_run(results, run)
    taken = [0]
    train_pack(
        [(run, opened)],
        files,
        CPU,
        tuning=Tuning(decoders=decoders),
        stopped=lambda: taken[0] >= stop_at,
        report=lambda progress: taken.__setitem__(0, progress.iteration),
    )
    return opened


def test_a_run_is_the_same_stopped_and_resumed_and_with_any_number_of_processes(
    files: ImageFiles, tmp_path: Path
) -> None:
    whole = points(train(tmp_path / "whole", files))
    assert {row["split"] for row in read_rows(open_run(tmp_path / "whole", spec()).curves)} == {
        "train", "train_clean", "test"
    }  # fmt: skip
    for stop_at in (2, 3, 5):
        train(tmp_path / "parts", files, decoders=2, stop_at=stop_at)
    assert points(train(tmp_path / "parts", files, decoders=1)) == whole


def test_lanes_of_a_pack_have_streams_of_their_own(files: ImageFiles, tmp_path: Path) -> None:
    specs = [spec(seed=seed) for seed in (0, 1)]
    alone = [points(train(tmp_path / "alone", files, seed=seed)) for seed in (0, 1)]
    pack = [(run, open_run(tmp_path / "pack", run)) for run in specs]
    train_pack(pack, files, CPU, tuning=Tuning(decoders=1))
    assert [points(opened) for _, opened in pack] == alone


def test_a_network_learns_the_colours_of_a_folder(tmp_path: Path) -> None:
    make_folder(tmp_path / "toy", train=30, test=15)
    fields = {"recipe__iterations": 30, "recipe__evaluate_every": 30, "recipe__batch_size": 15}
    opened = train(tmp_path, load(tmp_path), recipe__learning_rate=0.05, **fields)
    last = {row["split"]: row["error"] for row in read_rows(opened.curves)}
    assert status(opened).state == "done" and last["train_clean"] < 20 and last["test"] < 35


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("decoders", [0, 2])
def test_an_unreadable_image_is_one_line_that_names_it(
    files: ImageFiles, tmp_path: Path, split: str, decoders: int
) -> None:
    bad = Path(files.path(split, 2))
    bad.write_bytes(bad.read_bytes()[:300])
    with pytest.raises(StudyError, match=f"{split}/.*: not a readable image") as caught:
        train(tmp_path, files, decoders)
    assert str(bad) in str(caught.value) and len(str(caught.value).splitlines()) == 1


def test_a_process_that_is_killed_is_said_so(
    files: ImageFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(path: str, place: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(decoding, "cut", die)
    with pytest.raises(StudyError, match=r"a process that decoded images died: killed") as caught:
        train(tmp_path, files, decoders=1)
    assert len(str(caught.value).splitlines()) == 1


def test_processes_that_stand_still_are_given_up(
    files: ImageFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "cut", lambda path, place: time.sleep(30))
    monkeypatch.setattr(decoding, "STALLED", 0.3)
    with pytest.raises(StudyError, match=r"no image was decoded in 0.3 s"):
        train(tmp_path, files, decoders=1)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds processes in Linux's /proc")
def test_processes_end_with_the_training_and_heed_no_signal_meant_for_it(files: ImageFiles, tmp_path: Path) -> None:
    before = children()
    stream = Stream(files, spec().recipe, CPU, workers=2)
    samples = Samples(3, 12, 8, 0, True)
    stream.expect(samples, 0)
    window = samples.window(0)
    stream.batch(Draws(*(part[0] for part in window)), 0)
    workers = children() - before
    assert len(workers) == 2
    wait_for(lambda: all(map(ignores_interrupts, workers)))  # one of them may have decoded the first batch alone
    for worker in workers:
        assert os.getpgid(worker) != os.getpgid(0)
        os.kill(worker, signal.SIGINT)
    stream.batch(Draws(*(part[1] for part in window)), 0)
    assert children() - before == workers
    stream.close()
    assert children() - before == set()


def ignores_interrupts(pid: int) -> bool:
    """Whether a process has told the kernel to keep SIGINT from it."""
    [mask] = [
        line.split()[1] for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("SigIgn")
    ]
    return bool(int(mask, 16) >> (signal.SIGINT - 1) & 1)


def children() -> set[int]:
    """Processes whose parent this one is."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if parent == os.getpid():
            found.add(int(process.name))
    return found


def test_streamed_batches_are_not_recorded_in_a_graph(files: ImageFiles) -> None:
    program = Program(spec(), Stream(files, spec().recipe, CPU))
    program.images.device = torch.device("cuda")
    assert isinstance(engine([program], Tuning()), Eager)
