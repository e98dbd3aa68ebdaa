"""What every data set answers: is it here, make it ready, load it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar, NamedTuple

from study.data.images import ImageFiles, ImageSet, Labels
from study.errors import StudyError
from study.text import user_path


class Survey(NamedTuple):
    """What can be said of a data set without downloading or decoding anything."""

    fingerprint: str | None = None
    """That of what `load` would return; None where that is not known."""
    train_labels: Labels | None = None
    classes: int = 0
    summary: str = ""
    """Of an image folder, how many files are used, and how many are passed over and why."""
    changed: bool = False
    """Whether the fingerprint is not known because the files are others than those that were read last."""


def surveyed(data: ImageSet) -> Survey:
    """Of a data set that is read in no time."""
    return Survey(data.fingerprint, data.train_labels, len(data.classes))


class Source(ABC):
    """Where one data set comes from.

    A new data set is a subclass in a file of its own and one line in `study.config.registry.DATA`.
    """

    takes_folder: ClassVar[bool] = False

    def __init__(self, name: str, root: Path, folder: str | None = None, image_size: int | None = None) -> None:
        if not self.takes_folder and (folder is not None or image_size is not None):
            raise StudyError(f"data '{name}' takes no `folder` and no `image_size`; only image folders do")
        self.name = name
        self.root = user_path(root).resolve()
        self.folder = folder
        self.image_size = image_size

    @abstractmethod
    def missing(self) -> str | None:
        """None where the data can be had without a network, else a line that says what to do.

        A look at file names only: milliseconds, and never an import of torch.
        """

    @abstractmethod
    def prepare(self) -> None:
        """Download, verify or decode whatever is not there yet; else return at once, without torch.

        Harmless when several processes do it at the same time, or are killed while they do.
        """

    @abstractmethod
    def load(self) -> ImageSet | ImageFiles:
        """The whole data set, prepared first where it is not ready. Raises `StudyError`, one line."""

    def survey(self) -> Survey:
        """By default nothing: files that are verified when they are read have one content. Raises `StudyError`."""
        return Survey()
