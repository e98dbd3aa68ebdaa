"""CIFAR-10, CIFAR-100 (Krizhevsky 2009) and SVHN (Netzer et al. 2011), downloaded, verified and read by torchvision.

torchvision is imported only where files are downloaded or read: its import takes seconds, because it imports torch.
"""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from study.data.download import announce, fetch, how_to_get
from study.data.images import Images, ImageSet, Labels, image_set
from study.data.source import Source
from study.errors import StudyError


class TorchvisionSet(Source):
    """A data set that lies under the root as torchvision lays it out."""

    files: ClassVar[tuple[str, ...]]  # relative to the root

    def absent(self) -> list[str]:
        """Those of `files` that are not there."""
        return [file for file in self.files if not (self.root / file).is_file()]

    def missing(self) -> str | None:
        absent = self.absent()
        return how_to_get(self.name, self.root, absent[0], self.offer()) if absent else None

    def prepare(self) -> None:
        if hint := self.missing():
            announce(self.name, self.root)
            fetch(self.name, self.root, self.files, self.download, hint)

    def load(self) -> ImageSet:
        self.prepare()
        try:
            return self.read()
        except (RuntimeError, OSError) as error:
            raise StudyError(self._diagnosis(error)) from error

    def _diagnosis(self, error: Exception) -> str:
        from torchvision.datasets.utils import check_integrity

        for file, md5 in self.checksums():
            if not check_integrity(self.root / file, md5):
                return (
                    f"{self.name}: {self.root / file} is corrupt (its MD5 is not {md5}); "
                    "delete it, then download or copy it again"
                )
        return f"{self.name}: unreadable in {self.root}: {' '.join(str(error).split())}"

    def offer(self) -> str:
        """What a user can copy to the root, in words."""
        return ", ".join(self.files)

    @abstractmethod
    def checksums(self) -> list[tuple[str, str]]:
        """(file relative to the root, its MD5), as torchvision has them."""

    @abstractmethod
    def download(self, staging: Path) -> None:
        """Fetch what is absent into `staging`, verified."""

    @abstractmethod
    def read(self) -> ImageSet:
        """Read the verified files; torchvision raises `RuntimeError` where a checksum is wrong."""


class _Cifar(TorchvisionSet):
    folder_name: ClassVar[str]
    archive: ClassVar[str]

    @staticmethod
    @abstractmethod
    def torchvision_class() -> Any:
        """torchvision's class, imported late."""

    def offer(self) -> str:
        return f"{self.archive} (or the folder {self.folder_name} that it holds)"

    def missing(self) -> str | None:
        return None if (self.root / self.archive).is_file() else super().missing()

    def prepare(self) -> None:
        if self.absent() and (self.root / self.archive).is_file():
            fetch(self.name, self.root, self.files, self._unpack, f"{self.name}: cannot unpack {self.archive}")
        super().prepare()

    def _unpack(self, staging: Path) -> None:
        from torchvision.datasets.utils import check_integrity

        archive = self.root / self.archive
        if not check_integrity(archive, self.torchvision_class().tgz_md5):
            raise StudyError(f"{self.name}: {archive} is incomplete or corrupt (its MD5 is wrong); delete it")
        (staging / self.archive).symlink_to(archive)
        self.download(staging)

    def download(self, staging: Path) -> None:
        self.torchvision_class()(staging, download=True)

    def checksums(self) -> list[tuple[str, str]]:
        dataset = self.torchvision_class()
        listed = [*dataset.train_list, *dataset.test_list, (dataset.meta["filename"], dataset.meta["md5"])]
        return [(f"{self.folder_name}/{file}", md5) for file, md5 in listed]

    def read(self) -> ImageSet:
        parts = [self.torchvision_class()(self.root, train=train) for train in (True, False)]
        train, test = [(np.asarray(part.data), np.array(part.targets)) for part in parts]
        return image_set(self.name, train, test, tuple(parts[0].classes))


class Cifar10(_Cifar):
    """50,000 training and 10,000 test images, 32x32x3, 10 classes."""

    folder_name = "cifar-10-batches-py"
    archive = "cifar-10-python.tar.gz"
    files = (
        "cifar-10-batches-py/data_batch_1",
        "cifar-10-batches-py/data_batch_2",
        "cifar-10-batches-py/data_batch_3",
        "cifar-10-batches-py/data_batch_4",
        "cifar-10-batches-py/data_batch_5",
        "cifar-10-batches-py/test_batch",
        "cifar-10-batches-py/batches.meta",
    )

    @staticmethod
    def torchvision_class() -> Any:
        from torchvision.datasets import CIFAR10

        return CIFAR10


class Cifar100(_Cifar):
    """50,000 training and 10,000 test images, 32x32x3, 100 fine classes."""

    folder_name = "cifar-100-python"
    archive = "cifar-100-python.tar.gz"
    files = ("cifar-100-python/train", "cifar-100-python/test", "cifar-100-python/meta")

    @staticmethod
    def torchvision_class() -> Any:
        from torchvision.datasets import CIFAR100

        return CIFAR100


class Svhn(TorchvisionSet):
    """73,257 training and 26,032 test images, 32x32x3, the digits 0 to 9; the `extra` set is left out."""

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
        return image_set(self.name, self._split("train"), self._split("test"), tuple("0123456789"))

    def _split(self, split: str) -> tuple[Images, Labels]:
        from torchvision.datasets import SVHN

        part = SVHN(self.root, split=split)
        return part.data.transpose(0, 2, 3, 1), part.labels
