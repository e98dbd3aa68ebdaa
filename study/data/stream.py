"""A folder of images too large for memory: listed here, decoded where they are needed (`study.training.feeds.stream`)."""

from __future__ import annotations

from study.data.class_folders import ClassFolders
from study.data.image_cache import Content
from study.data.image_statistics import SAMPLE, statistics
from study.data.images import ImageFiles
from study.data.source import Survey


class ImageStream(ClassFolders):
    """`<root>/<folder>/{train,test}/<class>/*`, RGB, of any sizes; ImageNet's `val` will do for `test`.

    The fingerprint is of all names and sizes, and of the content of `SAMPLE` images of each split: to read a million would
    take an hour. Times are no part of it: they differ between copies.
    """

    def prepare(self) -> None:
        self.load()

    def load(self) -> ImageFiles:
        listing = self.listed()
        content = Content(listing, SAMPLE)
        mark, size = content.digest[:16], self.image_size or 224
        colours = statistics(listing, size, mark)
        content.remember()
        return ImageFiles(
            listing.path.name,
            str(listing.path),
            listing.train_files,
            listing.train_labels,
            listing.test_files,
            listing.test_labels,
            listing.classes,
            size,
            colours,
            fingerprint=mark,
        )

    def survey(self) -> Survey:
        listing = self.listed()
        digest = Content(listing, SAMPLE).digest[:16]
        return Survey(digest, listing.train_labels, len(listing.classes), listing.summary)
