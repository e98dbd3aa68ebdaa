"""The data sets that need no preparation by the user: digits, CIFAR-10 and -100, SVHN and Fashion-MNIST.

torchvision downloads, verifies and reads CIFAR and SVHN. It is imported only for that: importing it takes seconds.
"""

from __future__ import annotations

import contextlib
import gzip
import http.client
import socket
import sys
import tempfile
import zlib
from abc import abstractmethod
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from study.data.images import Images, ImageSet, Labels, Source, Survey, image_set
from study.errors import StudyError

TIMEOUT = 20.0
"""Seconds without a byte after which a download fails."""


class Digits(Source):
    """The digits that come with scikit-learn (Alpaydin & Kaynak 1998): 8x8x1, grey levels 0 to 16 stored as 0 to 240.

    1,437 training and 360 test images of 13 writers. The split is fixed and stratified: sorted by class, every fifth
    image is a test image. As the file is ordered by writer, each writer is in both parts.
    """

    def load(self) -> ImageSet:
        # Importing scikit-learn takes seconds.
        package = Path(getattr(find_spec("sklearn"), "origin", "")).parent
        table = np.loadtxt(package / "datasets" / "data" / "digits.csv.gz", delimiter=",")
        images = (table[:, :64] * 15).astype(np.uint8).reshape(-1, 8, 8, 1)
        labels = table[:, 64].astype(np.int64)
        test = np.zeros(len(labels), dtype=np.bool_)
        test[np.argsort(labels, kind="stable")[::5]] = True
        return image_set(self.name, (images[~test], labels[~test]), (images[test], labels[test]), tuple("0123456789"))

    def survey(self) -> Survey:
        return Survey.of(self.load())


class Downloaded(Source):
    """A data set that torchvision downloads."""

    files: ClassVar[tuple[str, ...]]
    """Relative to the root, where torchvision puts them."""

    def prepare(self) -> None:
        if hint := self.missing():
            self.fetch(hint)

    @abstractmethod
    def download(self, staging: Path) -> None:
        """Fetch what is absent into `staging` and verify it; raises `RuntimeError` or `OSError`."""

    def fetch(self, hint: str) -> None:
        """Download into a temporary folder inside the root, then move complete files to their places.

        So a killed download leaves nothing that looks like data, and two at once cannot write into one file.
        """
        print(f"Downloading {self.name} to {self.root}", file=sys.stderr)  # a progress bar follows
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=f".{self.name}-", dir=self.root) as name, _quiet_and_impatient():
                staging = Path(name)
                self.download(staging)
                for file in filter(lambda file: (staging / file).is_file(), self.files):
                    (self.root / file).parent.mkdir(parents=True, exist_ok=True)
                    (staging / file).replace(self.root / file)
        except (OSError, RuntimeError, http.client.HTTPException) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise StudyError(f"{hint} [the download failed: {reason}]") from error


@contextlib.contextmanager
def _quiet_and_impatient() -> Iterator[None]:
    """Keep torchvision's messages off stdout; let dead connections time out."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        socket.setdefaulttimeout(before)


class _Verified(Downloaded):
    """A data set whose files torchvision verifies by their MD5 each time it reads them."""

    def absent(self) -> list[str]:
        return [file for file in self.files if not (self.root / file).is_file()]

    def missing(self) -> str | None:
        if not (absent := self.absent()):
            return None
        return (
            f"{self.name}: expected {absent[0]} in {self.root}; run the sweep once on a machine with network "
            f"(it downloads them), or copy {self.offer()} there"
        )

    def load(self) -> ImageSet:
        from torchvision.datasets.utils import check_integrity

        self.prepare()
        try:
            return self.read()
        except (RuntimeError, OSError) as error:
            for file, md5 in self.checksums():
                if not check_integrity(self.root / file, md5):
                    raise StudyError(
                        f"{self.name}: {self.root / file} is corrupt (its MD5 is not {md5}); "
                        "delete it, then download or copy it again"
                    ) from error
            raise StudyError(f"{self.name}: unreadable in {self.root}: {' '.join(str(error).split())}") from error

    def offer(self) -> str:
        """Name what a user can copy to the root."""
        return ", ".join(self.files)

    @abstractmethod
    def checksums(self) -> list[tuple[str, str]]:
        """List each file, relative to the root, with its MD5."""

    @abstractmethod
    def read(self) -> ImageSet:
        """Verify and read the files; torchvision raises `RuntimeError` for a wrong checksum."""


class _Cifar(_Verified):
    """CIFAR (Krizhevsky 2009): 50,000 training and 10,000 test images, 32x32x3."""

    archive: ClassVar[str]
    dataset: ClassVar[str]
    """The name of torchvision's class."""

    @property
    def _class(self) -> Any:
        import torchvision.datasets

        return getattr(torchvision.datasets, self.dataset)

    def offer(self) -> str:
        return f"{self.archive} (or the folder {Path(self.files[0]).parent} that it holds)"

    def missing(self) -> str | None:
        return None if (self.root / self.archive).is_file() else super().missing()

    def prepare(self) -> None:
        if self.absent() and (self.root / self.archive).is_file():
            self.fetch(f"{self.name}: cannot unpack {self.archive}")
        super().prepare()

    def download(self, staging: Path) -> None:
        from torchvision.datasets.utils import check_integrity

        if (archive := self.root / self.archive).is_file():
            if not check_integrity(archive, self._class.tgz_md5):
                raise StudyError(f"{self.name}: {archive} is incomplete or corrupt (its MD5 is wrong); delete it")
            (staging / self.archive).symlink_to(archive)
        self._class(staging, download=True)

    def checksums(self) -> list[tuple[str, str]]:
        dataset = self._class
        listed = [*dataset.train_list, *dataset.test_list, (dataset.meta["filename"], dataset.meta["md5"])]
        return [(f"{dataset.base_folder}/{file}", md5) for file, md5 in listed]

    def read(self) -> ImageSet:
        parts = [self._class(self.root, train=train) for train in (True, False)]
        train, test = [(np.asarray(part.data), np.array(part.targets)) for part in parts]
        return image_set(self.name, train, test, tuple(parts[0].classes))


class Cifar10(_Cifar):
    archive, dataset = "cifar-10-python.tar.gz", "CIFAR10"
    files = tuple(
        f"cifar-10-batches-py/{file}"
        for file in (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch", "batches.meta")
    )


class Cifar100(_Cifar):
    archive, dataset = "cifar-100-python.tar.gz", "CIFAR100"
    files = ("cifar-100-python/train", "cifar-100-python/test", "cifar-100-python/meta")


class Svhn(_Verified):
    """SVHN (Netzer et al. 2011): 73,257 training and 26,032 test images, 32x32x3, without the `extra` set."""

    files = ("train_32x32.mat", "test_32x32.mat")

    def checksums(self) -> list[tuple[str, str]]:
        from torchvision.datasets import SVHN

        return [(SVHN.split_list[split][1], SVHN.split_list[split][2]) for split in ("train", "test")]

    def download(self, staging: Path) -> None:
        from torchvision.datasets import SVHN

        absent = self.absent()
        for split in ("train", "test"):
            if SVHN.split_list[split][1] in absent:
                SVHN(staging, split=split, download=True)

    def read(self) -> ImageSet:
        from torchvision.datasets import SVHN

        parts = [SVHN(self.root, split=split) for split in ("train", "test")]
        train, test = [(part.data.transpose(0, 2, 3, 1), part.labels) for part in parts]
        return image_set(self.name, train, test, tuple("0123456789"))


class FashionMnist(Downloaded):
    """Fashion-MNIST (Xiao, Rasul & Vollgraf 2017): 60,000 training and 10,000 test images, 28x28x1, 10 classes.

    The four IDX files are read in place, gzipped or plain: torchvision reads plain ones in its own folder only.
    """

    DEBIAN = Path("/usr/share/datasets/fashion-mnist")
    """Where `apt install dataset-fashion-mnist` puts the files."""
    CLASSES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
    NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
    files = tuple(f"FashionMNIST/raw/{name}" for name in NAMES)

    def _found(self) -> tuple[Path, dict[str, Path]]:
        """The folder that holds most of the files, and their paths by name."""
        folders = (self.root / "FashionMNIST" / "raw", self.DEBIAN)
        found = [{n: p for n in self.NAMES for p in (d / f"{n}.gz", d / n) if p.is_file()} for d in folders]
        return max(zip(folders, found, strict=True), key=lambda item: len(item[1]))

    def missing(self) -> str | None:
        folder, paths = self._found()
        absent = [name for name in self.NAMES if name not in paths]
        if not absent:
            return None
        return (
            f"{self.name}: expected {absent[0]}[.gz] in {folder}; run the sweep once on a machine with network (it downloads "
            f"them), copy the four IDX files to {self.root / 'FashionMNIST' / 'raw'}, or `apt install dataset-fashion-mnist`"
        )

    def download(self, staging: Path) -> None:
        from torchvision.datasets import FashionMNIST

        FashionMNIST(staging, download=True)

    def load(self) -> ImageSet:
        self.prepare()
        train, train_labels, test, test_labels = self._found()[1].values()
        return image_set(self.name, self._split(train, train_labels), self._split(test, test_labels), self.CLASSES)

    def survey(self) -> Survey:
        # torchvision verifies its downloads, but nobody verifies copies.
        return Survey() if self.missing() else Survey.of(self.load())

    def _split(self, image_file: Path, label_file: Path) -> tuple[Images, Labels]:
        images, labels = _read_idx(image_file, 3), _read_idx(label_file, 1)
        if len(images) != len(labels) or labels.max(initial=0) >= len(self.CLASSES):
            raise StudyError(
                f"{label_file}: {len(labels)} labels up to {labels.max(initial=0)} do not fit the "
                f"{len(images)} images of {len(self.CLASSES)} classes in {image_file.name}"
            )
        return images[..., np.newaxis], labels.astype(np.int64)


def _read_idx(path: Path, ndim: int) -> Images:
    """Read the uint8 array of `ndim` axes in an IDX file (LeCun, Cortes and Burges), gzipped or plain."""
    try:
        content = path.read_bytes()
        if content[:2] == b"\x1f\x8b":  # gzip; the suffix may be lost when files are copied
            content = gzip.decompress(content)
        if content[:4] != bytes([0, 0, 8, ndim]):
            raise ValueError(f"it begins with {content[:4].hex(' ') or 'nothing'}")
        shape = np.frombuffer(content, ">u4", ndim, offset=4).tolist()
        return np.frombuffer(content, np.uint8, offset=4 + 4 * ndim).reshape(shape)
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise StudyError(
            f"{path}: not a complete IDX file of {ndim}-dimensional uint8 data ({error}); delete it and provide it again"
        ) from error
