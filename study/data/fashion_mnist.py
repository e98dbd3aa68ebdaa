"""Fashion-MNIST (Xiao, Rasul & Vollgraf 2017): 60,000 training and 10,000 test images, 28x28 grey, 10 classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from study.data.download import announce, fetch
from study.data.idx import read_idx
from study.data.images import Images, ImageSet, Labels, image_set
from study.data.source import Source, Survey, surveyed
from study.errors import StudyError

FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
CLASSES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
DEBIAN = Path("/usr/share/datasets/fashion-mnist")  # where `apt install dataset-fashion-mnist` puts it
TORCHVISION = "FashionMNIST/raw"


class FashionMnist(Source):
    """The four IDX files, gzipped or plain, read where they lie."""

    def folders(self) -> list[Path]:
        """Where the files are looked for, in this order."""
        return [self.root / TORCHVISION, self.root / "FashionMNIST", self.root / "fashion_mnist", DEBIAN]

    def missing(self) -> str | None:
        best = max(self.folders(), key=lambda folder: sum(bool(_find(folder, file)) for file in FILES))
        absent = next((file for file in FILES if not _find(best, file)), None)
        if absent is None:
            return None
        return (
            f"{self.name}: expected {absent}[.gz] in {best} (also sought in {self.root / 'fashion_mnist'} and "
            f"{DEBIAN}); run the sweep once on a machine with network (it downloads them), copy the four IDX "
            "files there, or `apt install dataset-fashion-mnist`"
        )

    def prepare(self) -> None:
        if hint := self.missing():
            announce(self.name, self.root)
            fetch(self.name, self.root, [f"{TORCHVISION}/{file}" for file in FILES], _download, hint)

    def load(self) -> ImageSet:
        self.prepare()
        folder = next(folder for folder in self.folders() if all(_find(folder, file) for file in FILES))
        return image_set(self.name, _read_split(folder, "train"), _read_split(folder, "t10k"), CLASSES)

    def survey(self) -> Survey:
        # Only what torchvision downloads is verified, not what was copied here.
        return Survey() if self.missing() else surveyed(self.load())


def _find(folder: Path, file: str) -> Path | None:
    """The plain file or the gzipped one."""
    return next((path for path in (folder / file, folder / f"{file}.gz") if path.is_file()), None)


def _read_split(folder: Path, part: str) -> tuple[Images, Labels]:
    image_file = _find(folder, f"{part}-images-idx3-ubyte")
    label_file = _find(folder, f"{part}-labels-idx1-ubyte")
    assert image_file and label_file
    images, labels = read_idx(image_file, 3), read_idx(label_file, 1)
    if len(images) != len(labels) or labels.max(initial=0) >= len(CLASSES):
        raise StudyError(
            f"{label_file}: {len(labels)} labels up to {labels.max(initial=0)} do not fit the "
            f"{len(images)} images of {len(CLASSES)} classes in {image_file.name}"
        )
    return images[..., np.newaxis], labels.astype(np.int64)


def _download(staging: Path) -> None:
    from torchvision.datasets import FashionMNIST

    FashionMNIST(staging, download=True)
