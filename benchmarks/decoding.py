"""ImageNet-like training images that a core decodes and augments per second, compared with torchvision.

    python benchmarks/decoding.py [--rounds N]

JPEGs of 500x375 pixels and ImageNet's mean file size (110 kB) are made from noise with the spectrum of a photograph. Each loader
yields batches of 256 images of 224x224 pixels, in this process, with one thread. Loaders alternate within a round and ratios
are taken per round, so that other load affects both. Last, ours with several processes.

    ours          as in training: uint8 batches; mean and colour are left to the device
    same protocol torchvision: shorter side from [256, 480], crop, mirror, ToTensor, PCA colour, Normalize
    usual         torchvision: RandomResizedCrop, mirror, ToTensor, Normalize
"""

from __future__ import annotations

import argparse
import io
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torchvision import datasets, transforms
from torchvision.transforms import functional

from study import data
from study.config.sweep import Value, resolve
from study.data import ImageFiles
from study.training.feeds.samples import Draws, Samples
from study.training.feeds.stream import Stream

IMAGES, BATCH, BYTES = 512, 256, 110_000


def photograph(random: np.random.RandomState, width: int, height: int) -> bytes:
    """A JPEG of about `BYTES`, of noise at all scales."""
    image = np.zeros((height, width, 3))
    for octave in range(9):
        cell = 2**octave
        small = random.normal(0, 1, (height // cell + 2, width // cell + 2, 3)).astype(np.float32)
        maps = [Image.fromarray(small[..., c]).resize((width, height), Image.Resampling.BICUBIC) for c in range(3)]
        image += cell**0.5 * np.stack([np.asarray(part) for part in maps], -1)
    grey = image.mean(2, keepdims=True)  # colours vary less than brightness
    image = grey + 0.4 * (image - grey)
    pixels = np.clip(118 + 58 * image / image.std(), 0, 255).astype(np.uint8)
    for quality in range(97, 50, -1):
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
        if buffer.tell() <= BYTES:
            break
    return buffer.getvalue()


def make_folder(path: Path) -> float:
    """Training images of four classes, three in four of them upright; returns their mean size in bytes."""
    random, total = np.random.RandomState(0), 0
    some = [photograph(random, *((500, 375) if i % 4 else (375, 500))) for i in range(64)]
    for i in range(IMAGES):
        for split in ("train", "test") if i < 8 else ("train",):
            file = path / split / f"class{i % 4}" / f"{i}.jpg"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(some[i % len(some)])
        total += len(some[i % len(some)])
    return total / IMAGES


def ours(root: Path, workers: int) -> tuple[Callable[[int], None], Stream]:
    """Takes batches as a lane does, on a CPU: that they are normalised there is left out. Also returns what is to be closed."""
    fields = {"data": "image_stream", "data.folder": "photos", "recipe": "he2015_imagenet", "recipe.bn_groups": 1}
    spec = resolve(
        {
            k: Value(v, "")
            for k, v in {"network": "plain", "family": "imagenet", "depth": 18, "seed": 0, **fields}.items()
        }
    )
    files = data.load("image_stream", root, folder="photos")
    assert isinstance(files, ImageFiles)

    class Decoded(Stream):
        """Batches as they are uploaded."""

        def normalise(self, images: torch.Tensor) -> torch.Tensor:
            return images

    recipe = spec.recipe.model_copy(update={"colour": "none"})
    stream = Decoded(files, recipe, torch.device("cpu"), workers=workers)
    samples = Samples(0, len(stream), BATCH, 0, True)

    def drawn() -> Iterator[Draws]:
        iteration = 0
        while True:
            window = samples.window(iteration)
            stream.expect(samples, iteration)
            yield from (Draws(*(part[i] for part in window)) for i in range(len(window.image)))
            iteration += len(window.image)

    draws = drawn()

    def take(batches: int) -> None:
        for _ in range(batches):
            images, _ = stream.batch(next(draws), 0)
            assert images.shape == (BATCH, 3, 224, 224)

    return take, stream


class AnyScale:
    """Shorter side from [256, 480], as most write it."""

    def __call__(self, image: Image.Image) -> Image.Image:
        return functional.resize(image, int(torch.randint(256, 481, ())))  # type: ignore[no-any-return]


class Lighting:
    """AlexNet's PCA colour, as most write it."""

    values = torch.tensor([0.2175, 0.0188, 0.0045])
    vectors = torch.tensor([[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]])

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        return image + (self.vectors @ (self.values * torch.randn(3) * 0.1))[:, None, None]


def torchvisions(root: Path, usual: bool) -> Callable[[int], None]:
    """Takes batches of an ImageFolder in a DataLoader, shuffled, epoch after epoch."""
    first = [transforms.RandomResizedCrop(224)] if usual else [AnyScale(), transforms.RandomCrop(224)]
    colour = [] if usual else [Lighting()]
    normalise = transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    chain = [*first, transforms.RandomHorizontalFlip(), transforms.ToTensor(), *colour, normalise]
    folder = datasets.ImageFolder(str(root / "photos/train"), transforms.Compose(chain))
    loader = torch.utils.data.DataLoader(folder, BATCH, shuffle=True, drop_last=True)

    def endless() -> Iterator[torch.Tensor]:
        while True:
            yield from (images for images, _ in loader)

    batches = endless()

    def take(count: int) -> None:
        for _ in range(count):
            assert next(batches).shape == (BATCH, 3, 224, 224)

    return take


def timed(take: Callable[[int], None], batches: int) -> float:
    """Images a second."""
    began = time.perf_counter()
    take(batches)
    return batches * BATCH / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=6)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["STUDY_CACHE"] = f"{folder}/cache"
        root = Path(folder)
        size = make_folder(root / "photos")
        loaders = {
            "ours": ours(root, 0)[0],
            "same protocol": torchvisions(root, usual=False),
            "usual": torchvisions(root, usual=True),
        }
        rates: dict[str, list[float]] = {name: [] for name in loaders}
        for round_ in range(options.rounds + 1):
            for name, take in loaders.items():
                rate = timed(take, 2)
                if round_:  # the first warms up
                    rates[name].append(rate)
        print(f"{IMAGES} JPEGs of 500x375 or 375x500, {size / 1e3:.0f} kB each")
        for name, values in rates.items():
            ratio = statistics.median(a / b for a, b in zip(rates["ours"], values, strict=True))
            print(
                f"{name:<14} {statistics.median(values):6.0f} images/s (best {max(values):.0f}); ours over it {ratio:.2f}"
            )
        for workers in range(1, len(os.sched_getaffinity(0)) + 1):
            take, stream = ours(root, workers)
            take(workers + 1)  # more than is decoded ahead
            print(f"ours, {workers} processes {timed(take, 8 * workers):6.0f} images/s")
            stream.close()


if __name__ == "__main__":
    main()
