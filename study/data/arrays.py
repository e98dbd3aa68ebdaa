"""Data sets of the user's own: an .npz file, Parquet files in the layout of Hugging Face, torchvision's, or a function."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

from study.config.own import told
from study.config.registry import DATA
from study.data.cache import cached, writing
from study.data.decode import slow_progress
from study.data.images import ImageSet, Source, Survey, image_set
from study.errors import StudyError

Split = tuple[NDArray[Any], NDArray[Any]]
KEYS = ("x_train", "y_train", "x_test", "y_test")


class Arrays(NamedTuple):
    """Images and labels of both splits: uint8 (N, H, W, C) of grey levels, or float32 (N, C, H, W); integers (N,)."""

    train: Split
    test: Split


def checked(name: str, arrays: Arrays) -> ImageSet:
    """Check arrays and make a data set of them. Raises `StudyError` that says which does not fit, and why."""
    splits = []
    for split, (images, labels) in (("training", arrays.train), ("test", arrays.test)):
        images, labels = np.asarray(images), np.asarray(labels)
        if images.dtype == np.uint8 and images.ndim == 3:
            images = images[..., None]
        if images.ndim != 4 or images.dtype not in (np.uint8, np.float32):
            shape = f"{images.dtype} of shape {images.shape}"
            raise StudyError(
                f"{name}: the {split} images must be uint8 (N, H, W, C) or float32 (N, C, H, W), not {shape}"
            )
        channels, others = (1, 3) if images.dtype == np.float32 else (3, 1)
        if min(images.shape[channels], images.shape[2]) > 4 >= images.shape[others]:  # else 32x3 pixels of 32 channels
            layout = "(N, C, H, W)" if channels == 1 else "(N, H, W, C)"
            raise StudyError(
                f"{name}: {images.dtype} images must be {layout}, and {images.shape} looks like another order of axes; "
                "transpose them"
            )
        if images.dtype == np.float32:
            if not np.isfinite(images).all():
                raise StudyError(f"{name}: the {split} images have values that are not finite")
            images = images.transpose(0, 2, 3, 1)
        if labels.shape == (len(images), 1):  # as in Keras
            labels = labels[:, 0]
        if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer) or len(labels) != len(images):
            what = f"{labels.dtype} of shape {labels.shape}"
            raise StudyError(f"{name}: {len(images):,} {split} images need as many integers as labels, not {what}")
        if not len(labels) or labels.min() < 0:
            raise StudyError(f"{name}: the {split} labels must be numbers from 0 on, at least one")
        splits.append((images, labels.astype(np.int64)))
    train, test = splits
    if train[0].shape[1:] != test[0].shape[1:] or train[0].dtype != test[0].dtype:
        raise StudyError(f"{name}: training images are {train[0].shape[1:]}, test images {test[0].shape[1:]}")
    classes = 1 + int(train[1].max())
    if test[1].max() >= classes or classes < 2 or classes > 100_000:
        raise StudyError(f"{name}: labels must be 0 to {classes - 1} in both splits, for at least two classes")
    return image_set(name, train, test, tuple(map(str, range(classes))))


class Own(Source):
    """A data set in memory that `read` makes; nothing is downloaded or kept."""

    def load(self) -> ImageSet:
        try:
            return checked(self.title, self.read())
        except (TypeError, ValueError) as error:  # of arrays that are none
            raise StudyError(f"{self.title}: {told(error)}") from None

    def survey(self) -> Survey:
        return Survey.of(self.load())

    @property
    def title(self) -> str:
        """The name in tables and figures."""
        return self.name

    def read(self) -> Arrays:
        """Return the arrays. Raises `StudyError`."""
        raise NotImplementedError


class Function(Own):
    """What a function registered by `@study.data` returns for the data folder and its options."""

    def __init__(self, name: str, root: Path, **options: Any) -> None:
        super().__init__(name, root)
        self.options = options

    def read(self) -> Arrays:
        try:
            found = DATA[self.name].load()(self.root, **self.options)
        except StudyError:
            raise
        except (Exception, SystemExit) as error:
            raise StudyError(f"data {self.name}: {told(error)}") from error
        if not isinstance(found, Arrays):
            raise StudyError(
                f"data {self.name}: must return study.Arrays(train=(images, labels), test=...), not {found!r:.60}"
            )
        return found


class File(Own):
    """A file or folder of the user's, below the data folder or else in the working directory."""

    def __init__(self, name: str, root: Path, file: str) -> None:
        super().__init__(name, root)
        self.path = self.root / file if (self.root / file).exists() or not Path(file).exists() else Path(file).resolve()

    @property
    def title(self) -> str:
        return self.path.stem

    def missing(self) -> str | None:
        return None if self.path.exists() else f"{self.name}: {self.path} is not there"

    def load(self) -> ImageSet:
        if problem := self.missing():
            raise StudyError(problem)
        return super().load()


class Npz(File):
    """An .npz file with x_train, y_train, x_test and y_test. It is read without pickle."""

    def read(self) -> Arrays:
        try:
            with np.load(self.path, allow_pickle=False) as file:
                if absent := [key for key in KEYS if key not in file]:
                    raise StudyError(f"{self.path}: has no array {', '.join(absent)}; it needs {', '.join(KEYS)}")
                x_train, y_train, x_test, y_test = (file[key] for key in KEYS)
        except (OSError, ValueError, EOFError) as error:
            raise StudyError(f"{self.path}: is no .npz file of plain arrays: {error}") from None
        return Arrays((x_train, y_train), (x_test, y_test))


class Parquet(File):
    """A folder of train*.parquet and test*.parquet as Hugging Face has them: `image` (PNG or JPEG bytes) and `label`."""

    def __init__(self, name: str, root: Path, folder: str, image_size: int | None = None) -> None:
        super().__init__(name, root, folder)
        self.image_size = image_size

    def files(self, split: str) -> list[Path]:
        names = ("test", "validation", "valid") if split == "test" else ("train",)
        for name in names:
            if found := sorted([*self.path.glob(f"{name}*.parquet"), *self.path.glob(f"data/{name}*.parquet")]):
                return found
        raise StudyError(f"{self.path}: has no {split}*.parquet, in it or in data/")

    def missing(self) -> str | None:
        try:
            return super().missing() or (None if self.files("train") and self.files("test") else "")
        except StudyError as error:
            return str(error)

    def read(self) -> Arrays:
        files = [*self.files("train"), *self.files("test")]
        stamps = [[str(file), (stat := file.stat()).st_size, stat.st_mtime_ns] for file in files]
        path = cached(self.path.name, [stamps, self.image_size], ".npz")
        with suppress(OSError, ValueError, EOFError, KeyError), np.load(path, allow_pickle=False) as file:
            return Arrays((file["x_train"], file["y_train"]), (file["x_test"], file["y_test"]))
        x_train, y_train = self._decode("train")
        x_test, y_test = self._decode("test")
        with writing(path) as temporary, temporary.open("wb") as out:
            np.savez(out, x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
        return Arrays((x_train, y_train), (x_test, y_test))

    def _decode(self, split: str) -> Split:
        images, labels = [], []
        files = self.files(split)
        total = sum(pq.ParquetFile(file).metadata.num_rows for file in files)
        with slow_progress(f"Decoding {self.path.name}, {split}", total) as show:
            for image, label in _rows(files):
                images.append(_pixels(image, self.image_size, self.path))
                labels.append(label)
                show(len(images))
        if len({image.shape for image in images}) > 1:
            raise StudyError(f"{self.path}: images of several sizes or modes; set image_size to make them one")
        return np.stack(images), np.array(labels, dtype=np.int64)


def _rows(files: list[Path]) -> Iterator[tuple[bytes, int]]:
    for file in files:
        try:
            names = pq.ParquetFile(file).schema_arrow.names
            image = next(name for name in ("image", "img") if name in names)
            label = next(name for name in ("label", "fine_label", "labels") if name in names)
            for batch in pq.ParquetFile(file).iter_batches(512, columns=[image, label]):
                for cell, number in zip(batch[image].to_pylist(), batch[label].to_pylist(), strict=True):
                    yield (cell["bytes"] if isinstance(cell, dict) else cell), int(number)
        except StopIteration:
            raise StudyError(f"{file}: needs columns image and label; it has {', '.join(names)}") from None
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise StudyError(f"{file}: {error}") from None


def _pixels(content: bytes, size: int | None, path: Path) -> NDArray[np.uint8]:
    try:
        with Image.open(io.BytesIO(content)) as image:
            found = image.convert("L" if image.mode in ("L", "1") else "RGB")
    except (OSError, ValueError, TypeError, Image.DecompressionBombError) as error:
        raise StudyError(f"{path}: an image cannot be decoded: {error}") from None
    if size:
        side = min(found.size)
        left, top = ((whole - side) // 2 for whole in found.size)
        found = found.crop((left, top, left + side, top + side)).resize((size, size), Image.Resampling.BILINEAR)
    pixels = np.asarray(found)
    return pixels if pixels.ndim == 3 else pixels[..., None]


class Torchvision(Own):
    """A data set of torchvision by its name, which torchvision downloads into the data folder and verifies."""

    def __init__(self, name: str, root: Path, dataset: str, image_size: int | None = None) -> None:
        super().__init__(name, root)
        self.dataset, self.image_size = dataset, image_size

    @property
    def title(self) -> str:
        return self.dataset.lower()

    def survey(self) -> Survey:
        return Survey()  # torchvision verifies what it downloads

    def read(self) -> Arrays:
        import inspect

        from torchvision import datasets, transforms  # late: takes seconds

        kind = getattr(datasets, self.dataset, None)
        if not isinstance(kind, type) or not issubclass(kind, datasets.VisionDataset):
            raise StudyError(f"data torchvision: torchvision.datasets has no '{self.dataset}'")
        takes = inspect.signature(kind).parameters
        steps = [transforms.Resize(self.image_size), transforms.CenterCrop(self.image_size)] if self.image_size else []

        def read(train: bool) -> Split:
            given: dict[str, Any] = {"train": train} if "train" in takes else {"split": "train" if train else "test"}
            if not given.keys() <= takes.keys() or "download" not in takes:
                raise StudyError(f"data torchvision: {self.dataset} has no training and test split to download")
            try:
                items = kind(str(self.root), download=True, transform=transforms.Compose(steps), **given)
            except (OSError, RuntimeError) as error:
                raise StudyError(f"data torchvision: {self.dataset}: {' '.join(str(error).split())}") from None
            pairs = [(np.asarray(image), int(label)) for image, label in items]
            if len({image.shape for image, _ in pairs}) > 1:
                raise StudyError(f"{self.dataset}: images of several sizes; set image_size to make them one")
            return np.stack([image for image, _ in pairs]), np.array([label for _, label in pairs])

        return Arrays(read(True), read(False))
