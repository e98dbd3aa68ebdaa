"""Folders of `train/<class>/*` and `test/<class>/*`: what is in them, and their images decoded once into a cache.

The cache is `<cache>/<folder>-<key>/{train.npy, test.npy, about.json}`. An entry appears whole, by one rename, and never
changes; its key is the content of the files. `<cache>/<folder>-<key>.json` remembers the content of a folder when it was
last read. The whole cache may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from study.data.decode import decode_all, open_image, slow_progress
from study.data.images import Images, ImageSet, Labels, Source, Survey, fingerprint
from study.errors import StudyError
from study.store.files import write_bytes
from study.text import user_path

VERSION = 2
"""Raise it when decoding changes, so that older entries of the cache are not used."""
LAYOUT = "expected train/<class>/* and test/<class>/*"
SETTLED = 2_000_000_000
"""Nanoseconds: the clock of a coarse file system stands still for so long, and two changes within it have equal times."""


class ClassFolders(Source):
    """A data set in a folder of the user's below the data root."""

    takes_folder = True

    def missing(self) -> str | None:
        try:
            splits(self._path())
        except StudyError as error:
            return str(error)
        return None

    def listed(self) -> Listing:
        """List the image files. Raises `StudyError` for a wrong layout, a class without images, or unreadable folders."""
        return listed(self._path())

    def _path(self) -> Path:
        if self.folder is None:
            raise StudyError(f"data '{self.name}' needs `folder`: the name of a folder in {self.root}; {LAYOUT} in it")
        if self.folder in ("", ".", "..") or any(character in self.folder for character in "/\\\0"):
            raise StudyError(f"folder: '{self.folder}' is not a plain name; it names a folder in {self.root}")
        if self.image_size is not None and self.image_size < 1:
            raise StudyError(f"image_size: {self.image_size} must be at least 1 pixel")
        return self.root / self.folder


class ImageFolder(ClassFolders):
    """`<root>/<folder>/{train,test}/<class>/*`, RGB, decoded into the cache.

    Without `image_size` all images must have one size; with it, they are resized and cropped to a square.
    """

    def prepare(self) -> None:
        self.load()

    def load(self) -> ImageSet:
        listing, content, place, entry = self._find()
        if entry is None:
            write_entry(place, lambda building: _decode(listing, self.image_size, building))
            entry = read_entry(place)
        if entry is None:
            raise StudyError(f"the cache of decoded images cannot be read back: {place}; delete it and try again")
        content.remember()
        labels, classes = (listing.train_labels, listing.test_labels), listing.classes
        return ImageSet(listing.path.name, entry.train, labels[0], entry.test, labels[1], classes, entry.fingerprint)

    def survey(self) -> Survey:
        listing, content, _, entry = self._find()
        notes = [f"{count:,} {note}" for note, count in entry.notes.items()] if entry else []
        summary = "; ".join([listing.summary, *([", ".join(notes)] if notes else [])])
        changed = entry is None and content.before not in (None, content.digest)
        digest = entry.fingerprint if entry else None
        return Survey(digest, listing.train_labels, len(listing.classes), summary, changed)

    def _find(self) -> tuple[Listing, Content, Path, Entry | None]:
        listing = self.listed()
        content = Content(listing)
        place = entry_path(listing.path.name, [content.digest, self.image_size])
        return listing, content, place, read_entry(place)


def _decode(listing: Listing, image_size: int | None, building: Path) -> dict[str, object]:
    """Decode both splits into train.npy and test.npy in the folder `building`; return what about.json says."""
    train, test = listing.paths("train"), listing.paths("test")
    if image_size:
        shape = (image_size, image_size)
    else:
        first = open_image(train[0])
        shape = (first.height, first.width)
    arrays = [
        np.lib.format.open_memmap(building / f"{split}.npy", "w+", np.uint8, (len(files), *shape, 3))
        for split, files in (("train", train), ("test", test))
    ]
    notes: Counter[str] = Counter()
    blocks = decode_all([*train, *test], shape, image_size is not None, f"Decoding {listing.path.name}")
    with closing(blocks):
        for start, images, found in blocks:
            notes.update(found)
            inside = max(0, min(len(images), len(train) - start))  # how many of the block are training images
            arrays[0][start : start + inside] = images[:inside]
            after = max(0, start - len(train))
            arrays[1][after : after + len(images) - inside] = images[inside:]
    for array in arrays:
        array.flush()
    if listed(listing.path).stamps != listing.stamps:
        raise StudyError(f"{listing.path}: files changed while they were decoded; start again when all are there")
    digest = fingerprint(arrays[0], listing.train_labels, arrays[1], listing.test_labels)
    return {"fingerprint": digest, "notes": notes}


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
    """List the image files of `path`, at any depth below the class folders; follow links, skip hidden files.

    Raises `StudyError` for a wrong layout, a class without images, or what cannot be read.
    """
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


# -- the cache --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Entry:
    """The decoded images of a folder, read-only memory maps of shape (N, H, W, 3)."""

    train: Images
    test: Images
    fingerprint: str
    notes: dict[str, int]
    """To how many images each rule of decoding applied."""


def cache_folder() -> Path:
    """Return `$STUDY_CACHE`, or `$XDG_CACHE_HOME/study`, or `~/.cache/study`. Raises `StudyError` if there is no home."""
    if own := os.environ.get("STUDY_CACHE"):
        return user_path(own)
    try:
        return user_path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "study"
    except StudyError:
        raise StudyError(
            "no home folder is known here for the cache of decoded images; set STUDY_CACHE to a folder"
        ) from None


def entry_path(name: str, what: object) -> Path:
    """Return where the entry lies that `what` decides: anything that JSON can express."""
    key = hashlib.sha256(json.dumps([VERSION, what]).encode()).hexdigest()[:20]
    return cache_folder() / f"{name}-{key}"


def read_entry(path: Path) -> Entry | None:
    """Read an entry; None if there is none that is whole."""
    try:
        about = json.loads((path / "about.json").read_text())
        train, test = (np.load(path / f"{split}.npy", mmap_mode="r", allow_pickle=False) for split in ("train", "test"))
        return Entry(train, test, about["fingerprint"], about["notes"])
    except (OSError, ValueError, KeyError, EOFError):
        return None


def write_entry(path: Path, fill: Callable[[Path], dict[str, object]]) -> None:
    """Make an entry: `fill` writes train.npy and test.npy into a folder and returns what about.json says.

    Two processes that make the same entry both do the work; the first one's stays.
    """
    building = path.parent / f".{path.name}-{uuid.uuid4().hex}"
    try:
        for left in path.parent.glob(f".{path.name}-*"):  # by processes that were killed
            if time.time() - left.stat().st_mtime > 86400:
                shutil.rmtree(left, ignore_errors=True)
        building.mkdir(parents=True)
        (building / "about.json").write_text(json.dumps(fill(building)))
        for file in building.iterdir():
            with file.open("rb") as opened:
                os.fsync(opened.fileno())
        try:
            building.rename(path)
        except OSError:
            if read_entry(path) is None:  # damaged; else another process was first
                shutil.rmtree(path, ignore_errors=True)
                building.rename(path)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        shutil.rmtree(building, ignore_errors=True)


def cannot_write(path: Path, error: OSError) -> StudyError:
    """Make the error for a cache that cannot be written."""
    return StudyError(f"cannot write the cache {path.parent}: {error.strerror}; set STUDY_CACHE to another folder")


class Content:
    """A digest of the content of a folder's files, which are read only if they changed since they were last read.

    Times and inodes show that on this machine; in a copy of the folder they differ, and the files are read. Of each
    split `most` images are read, the same for every copy; all by default.
    """

    def __init__(self, listing: Listing, most: int | None = None) -> None:
        self._listing = listing
        self._place = entry_path(listing.path.name, ["content", str(listing.path), most]).with_suffix(".json")
        try:
            told = json.loads(self._place.read_text())
            self.before: str | None = str(told["content"])
            self._same = told["stamps"] == listing.stamps
        except (OSError, ValueError, KeyError, TypeError):
            self.before, self._same = None, False
        self.digest = self.before if self._same and self.before else _read(listing, most)
        """64 hex digits; `before` is what was remembered last."""

    def remember(self) -> None:
        """Note that the files were read; if the cache cannot be written, they are read again next time."""
        if self.before == self.digest and self._same:
            return
        # What changed a moment ago may change again within one tick of the file system's clock: read it next time.
        stamps = self._listing.stamps if self._listing.settled else ""
        with suppress(OSError):
            write_bytes(self._place, json.dumps({"content": self.digest, "stamps": stamps}).encode())


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
