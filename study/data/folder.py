"""Any folder of `train/<class>/*` and `test/<class>/*`: decoded once, then read from the cache."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import numpy as np

from study.data.class_folders import ClassFolders, Listing, listed
from study.data.decode import decode_all, shape_of
from study.data.image_cache import Content, Entry, entry_path, read_entry, write_entry
from study.data.images import ImageSet, fingerprint
from study.data.progress import SlowProgress
from study.data.source import Survey
from study.errors import StudyError


class _Found(NamedTuple):
    listing: Listing
    content: Content
    place: Path
    entry: Entry | None


class ImageFolder(ClassFolders):
    """`<root>/<folder>/{train,test}/<class>/*`, RGB; files at any depth below the class folders, hidden ones passed over.

    Without `image_size` all images must have one size; with it, they are resized and cropped to a square.
    """

    def prepare(self) -> None:
        self.load()

    def load(self) -> ImageSet:
        found = self._find()
        listing, entry = found.listing, found.entry
        if entry is None:
            write_entry(found.place, lambda building: _decode(listing, self.image_size, building))
            entry = read_entry(found.place)
        if entry is None:
            raise StudyError(f"the cache of decoded images cannot be read back: {found.place}; delete it and try again")
        found.content.remember()
        labels, classes = (listing.train_labels, listing.test_labels), listing.classes
        return ImageSet(listing.path.name, entry.train, labels[0], entry.test, labels[1], classes, entry.fingerprint)

    def survey(self) -> Survey:
        listing, content, _, entry = self._find()
        told, notes = listing.summary, entry.notes if entry else {}
        if notes:
            told += "; " + ", ".join(f"{count:,} {note}" for note, count in notes.items())
        changed = entry is None and content.before not in (None, content.digest)
        digest = entry.fingerprint if entry else None
        return Survey(digest, listing.train_labels, len(listing.classes), told, changed)

    def _find(self) -> _Found:
        listing = self.listed()
        content = Content(listing)
        place = entry_path(listing.path.name, [content.digest, self.image_size])
        return _Found(listing, content, place, read_entry(place))


def _decode(listing: Listing, image_size: int | None, building: Path) -> dict[str, object]:
    """Decode both splits into train.npy and test.npy in the folder `building`; return what `about.json` says."""
    splits = {split: listing.paths(split) for split in ("train", "test")}
    shape = (image_size, image_size) if image_size else shape_of(splits["train"][0])
    arrays = {}
    notes: Counter[str] = Counter()
    with SlowProgress(f"Decoding {listing.path.name}", sum(map(len, splits.values()))) as progress:
        for split, files in splits.items():
            array = np.lib.format.open_memmap(building / f"{split}.npy", "w+", np.uint8, (len(files), *shape, 3))
            with closing(decode_all(files, shape, crop=image_size is not None, notes=notes)) as blocks:
                for start, block in blocks:
                    array[start : start + len(block)] = block
                    progress.advance(len(block))
            array.flush()
            arrays[split] = array
    if listed(listing.path).stamps != listing.stamps:
        raise StudyError(f"{listing.path}: files were changed while they were decoded; start again when all are there")
    digest = fingerprint(arrays["train"], listing.train_labels, arrays["test"], listing.test_labels)
    return {"fingerprint": digest, "notes": notes}
