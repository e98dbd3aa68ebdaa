"""Folders of `train/<class>/*` and `test/<class>/*`: their listing, and their images, decoded once into the cache."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from study.data.cache import cache_folder, cached, writing
from study.data.decode import decode_all, open_image, slow_progress
from study.data.images import Images, ImageSet, Labels, Source, Survey, fingerprint
from study.errors import StudyError

LAYOUT = "expected train/<class>/* and test/<class>/*"
SETTLED = 2_000_000_000
"""Nanoseconds: the clock of a coarse file system stands still for so long, and two changes within it have equal times."""


class ClassFolders(Source):
    """A data set in a folder of the user's below the data root."""

    def __init__(self, name: str, root: Path, folder: str, image_size: int | None = None) -> None:
        super().__init__(name, root)
        self.path = self.root / folder
        self.image_size = image_size

    def missing(self) -> str | None:
        try:
            splits(self.path)
        except StudyError as error:
            return str(error)
        return None


class ImageFolder(ClassFolders):
    """`<root>/<folder>/{train,test}/<class>/*`, RGB, decoded into the cache: one array, and the facts about it."""

    def load(self) -> ImageSet:
        listing = listed(self.path)
        digest, _ = content(listing, remember=True)
        entry = self._cached(listing, digest)
        if entry is None:
            self._decode(listing, digest)
            entry = self._cached(listing, digest)
        if entry is None:
            raise StudyError(f"the cache of decoded images in {cache_folder()} cannot be read back; try again")
        train, test, facts = entry
        labels, classes = (listing.train_labels, listing.test_labels), listing.classes
        return ImageSet(self.path.name, train, labels[0], test, labels[1], classes, facts["fingerprint"])

    def survey(self) -> Survey:
        listing = listed(self.path)
        digest, before = content(listing)
        entry = self._cached(listing, digest)
        facts = entry[2] if entry else {"fingerprint": None, "notes": {}}
        notes = ", ".join(f"{count:,} {note}" for note, count in facts["notes"].items())
        summary = "; ".join(filter(None, [listing.summary, notes]))
        changed = entry is None and before not in (None, digest)
        return Survey(facts["fingerprint"], listing.train_labels, len(listing.classes), summary, changed)

    def _places(self, digest: str) -> list[Path]:
        return [cached(self.path.name, [digest, self.image_size], suffix) for suffix in (".npy", ".json")]

    def _cached(self, listing: Listing, digest: str) -> tuple[Images, Images, dict[str, Any]] | None:
        """The decoded training and test images, as read-only memory maps, and the facts about them."""
        images, facts = self._places(digest)
        try:
            told = json.loads(facts.read_text())
            pixels = np.load(images, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None
        return pixels[: len(listing.train_files)], pixels[len(listing.train_files) :], told

    def _decode(self, listing: Listing, digest: str) -> None:
        files = [*listing.paths("train"), *listing.paths("test")]
        shape = (self.image_size, self.image_size) if self.image_size else open_image(files[0]).size[::-1]
        images, facts = self._places(digest)
        notes: Counter[str] = Counter()
        with writing(images) as temporary:
            pixels = np.lib.format.open_memmap(temporary, "w+", np.uint8, (len(files), *shape, 3))
            blocks = decode_all(files, shape, self.image_size is not None, f"Decoding {self.path.name}")
            with closing(blocks):
                for start, block, told in blocks:
                    pixels[start : start + len(block)] = block
                    notes.update(told)
            pixels.flush()
            if listed(self.path).stamps != listing.stamps:
                raise StudyError(f"{self.path}: files changed while they were decoded; start again when all are there")
        train, test = np.split(pixels, [len(listing.train_files)])
        found = fingerprint(train, listing.train_labels, test, listing.test_labels)
        with writing(facts) as temporary:
            temporary.write_text(json.dumps({"fingerprint": found, "notes": notes}))


# -- what is in a folder ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Listing:
    """The image files of a folder, each split sorted by class, then by name.

    Files are byte strings of shape (N,), relative to `path`: for a million, Python's strings would take ten times the
    memory. Labels are int64 of shape (N,), indices into `classes`.
    """

    path: Path
    classes: tuple[str, ...]
    train_files: NDArray[np.bytes_]
    train_labels: Labels
    test_files: NDArray[np.bytes_]
    test_labels: Labels
    names: str
    """A digest of splits, names and sizes: the same for every copy of the folder."""
    stamps: str
    """A digest of `names`, and of each file's inode and times of modification and of change. The first time can be set,
    as unpacking an archive does; the others show that a file was changed or replaced."""
    settled: bool
    """Whether every file was at rest for `SETTLED`; if not, it can still change without a change of `stamps`."""
    skipped: Counter[str]
    """How many files are not used, by reason."""

    def paths(self, split: str, most: int | None = None) -> list[str]:
        """Return the paths of a split's images, or of a fixed sample of at most `most` of them, in order."""
        files = self.train_files if split == "train" else self.test_files
        if most is not None:
            files = files[np.sort(np.random.RandomState(0).permutation(len(files))[:most])]
        return [os.path.join(self.path, os.fsdecode(file)) for file in files.tolist()]  # noqa: PTH118 - a Path is slow

    @property
    def summary(self) -> str:
        """Summarise: `42 training and 6 test images of 2 classes; 2 files skipped: 2 .txt (not an image format)`."""
        text = f"{len(self.train_files):,} training and {len(self.test_files):,} test images of {len(self.classes)} classes"
        if not self.skipped:
            return text
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in self.skipped.most_common())
        return f"{text}; {sum(self.skipped.values()):,} skipped: {reasons}"


def splits(path: Path) -> tuple[tuple[str, ...], str]:
    """Return the sorted class names, and the name of the folder with the test images.

    That is `test`, or `val` if `test` has no class folders: ImageNet's own test images have no labels. Raises
    `StudyError` unless both splits have the same classes, at least two.
    """
    if not path.is_dir():
        raise StudyError(f"image folder {path} is not there; {LAYOUT} in it")
    found, errors = {}, {}
    for split in ("test", "val", "train"):
        try:
            found[split] = {e.name for e in (path / split).iterdir() if e.is_dir() and not e.name.startswith(".")}
        except OSError as error:
            errors[split] = error
    held_out = "val" if found.get("val") and not found.get("test") else "test"
    for split in ("train", held_out):
        if split in errors:
            reason = errors[split].strerror
            raise StudyError(f"image folder {path / split} cannot be read ({reason}); {LAYOUT} in {path}")
        if not found[split]:
            raise StudyError(f"image folder {path / split} has no class folders; {LAYOUT} in {path}")
    train, test = found["train"], found[held_out]
    if lacking := sorted(train ^ test):
        where = held_out if lacking[0] in train else "train"
        more = f" (and {len(lacking) - 1} more)" if len(lacking) > 1 else ""
        raise StudyError(
            f"{path}: train and {held_out} must have the same classes; not in {where}: '{lacking[0]}'{more}"
        )
    if len(train) < 2:
        raise StudyError(f"{path}: has only one class, '{train.pop()}', so every error would be 0; add another")
    return tuple(sorted(train)), held_out


def listed(path: Path) -> Listing:
    """List the image files of `path`, at any depth below the class folders; follow links, skip hidden files."""
    started = time.time_ns()
    classes, held_out = splits(path)
    names, stamps = hashlib.sha256(), hashlib.sha256()
    skipped: Counter[str] = Counter()
    newest, lists = 0, []
    for split in ("train", held_out):
        above = frozenset({_identity(path), _identity(path / split)})
        files: list[bytes] = []
        counts = []
        for name in classes:
            images = sorted(_images(path / split / name, f"{split}/{name}", skipped, above), key=lambda image: image[0])
            if not images:
                reasons = ", ".join(f"{count:,} {reason}" for reason, count in skipped.most_common(4))
                raise StudyError(
                    f"{path / split / name}: no images in this class folder{'; skipped: ' * bool(reasons)}{reasons}"
                )
            counts.append(len(images))
            files += [os.fsencode(file) for file, _ in images]
            # `test` and `val` are the same split.
            sizes = [(file[len(split) :], status.st_size) for file, status in images]
            names.update(repr((split == "train", name, sizes)).encode(errors="replace"))
            times = [(status.st_mtime_ns, status.st_ctime_ns, status.st_ino) for _, status in images]
            stamps.update(repr(times).encode())
            newest = max(newest, *(max(modified, changed) for modified, changed, _ in times))
        lists.append((np.array(files, np.bytes_), np.repeat(np.arange(len(classes), dtype=np.int64), counts)))
        for entry in (path / split).iterdir():
            if entry.name.startswith(".") or not entry.is_dir():
                skipped["(hidden)" if entry.name.startswith(".") else "outside the class folders"] += 1
    stamps.update(names.digest())
    settled = newest + SETTLED < started
    return Listing(path, classes, *lists[0], *lists[1], names.hexdigest(), stamps.hexdigest(), settled, skipped)


def _images(
    folder: Path | str, name: str, skipped: Counter[str], above: frozenset[tuple[int, int]]
) -> Iterator[tuple[str, os.stat_result]]:
    """Yield name, relative to the data set's folder, and status of each image file in a folder and below."""
    try:
        here = _identity(folder)
        if here in above:
            skipped["(a link to a folder that it is in)"] += 1
            return
        with os.scandir(folder) as entries:
            for entry in entries:
                if reason := _not_wanted(entry):
                    skipped[reason] += 1
                elif entry.is_dir():
                    yield from _images(entry.path, f"{name}/{entry.name}", skipped, above | {here})
                else:
                    yield f"{name}/{entry.name}", entry.stat()
    except OSError as error:
        raise StudyError(f"{error.filename or folder}: cannot be read ({error.strerror})") from error


def _identity(folder: Path | str) -> tuple[int, int]:
    status = os.stat(folder)  # noqa: PTH116
    return status.st_dev, status.st_ino


def _not_wanted(entry: os.DirEntry[str]) -> str:
    """Say why an entry of a class folder is not used; return nothing if it is."""
    if entry.name.startswith("."):
        return "(hidden)"
    if entry.is_dir():
        return ""
    suffix = os.path.splitext(entry.name)[1]  # noqa: PTH122
    if suffix.lower() not in suffixes():
        return f"{suffix} (not an image format)" if suffix else "without a suffix"
    return "" if stat.S_ISREG(entry.stat().st_mode) else "(not a plain file)"


@lru_cache
def suffixes() -> frozenset[str]:
    """Return the suffixes of every image format that Pillow reads, in lower case."""
    Image.init()
    # MPEG and Pillow's stubs, such as HDF5, are recognised but have no decoder. MPO is read as JPEG.
    stub = ImageFile.StubImageFile
    reads = {"MPO"}
    for name, (reader, _) in Image.OPEN.items():
        if name != "MPEG" and not (isinstance(reader, type) and issubclass(reader, stub)):
            reads.add(name)
    return frozenset(suffix.lower() for suffix, name in Image.registered_extensions().items() if name in reads)


# -- the content of its files -------------------------------------------------------------------------------------------


def content(listing: Listing, most: int | None = None, *, remember: bool = False) -> tuple[str, str | None]:
    """A digest of the content of a folder's files, 64 hex digits, and the one that was remembered last.

    Files are read only if they changed since it was remembered. Times and inodes show that on this machine; in a copy of the
    folder they differ, and the files are read. Of each split `most` images are read, the same for every copy; all by default.
    """
    place = cached(listing.path.name, ["content", str(listing.path), most], ".json")
    before: str | None = None
    with suppress(OSError, ValueError, KeyError, TypeError):
        told = json.loads(place.read_text())
        before = str(told["content"])
        if told["stamps"] == listing.stamps:
            return before, before
    digest = _read(listing, most)
    if remember:
        # What changed a moment ago may change again within one tick of the file system's clock: read it next time.
        stamps = listing.stamps if listing.settled else ""
        with suppress(StudyError), writing(place) as temporary:  # else the files are read again next time
            temporary.write_text(json.dumps({"content": digest, "stamps": stamps}))
    return digest, before


def _read(listing: Listing, most: int | None) -> str:
    digest = hashlib.sha256(listing.names.encode())
    paths = [path for split in ("train", "test") for path in listing.paths(split, most)]
    with slow_progress(f"Reading {listing.path.name}", len(paths)) as advance:
        for path in paths:
            try:
                with open(path, "rb", buffering=0) as file:  # noqa: PTH123
                    digest.update(file.read())
            except OSError as error:
                raise StudyError(f"{path}: cannot be read ({error.strerror})") from error
            advance(1)
    return digest.hexdigest()
