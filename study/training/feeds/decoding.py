"""Image files decoded ahead of their use, by processes: torch's DataLoader, asked for chunks in a given order."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Generator, Iterable
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from study.data import ImageFiles
from study.data.crops import Choices, Place, centre_crop, choices, cut, random_crop, whole_image
from study.data.images import Images as Pixels
from study.errors import StudyError

CHUNK = 32
"""Images that a process decodes and sends at once: a third of a second's work, and 5 MB at 224 pixels."""
STALLED = 600.0
"""Seconds without an image after which decoding is given up, so that no run waits for a dead disk for ever."""
AHEAD = 2
"""Chunks that each process is ahead by."""


class Random(NamedTuple):
    """What training sees of images: each array is (n,)."""

    keys: NDArray[np.int64]
    mirror: NDArray[np.bool_]
    scales: tuple[int, int]


class Request(NamedTuple):
    """Some images of `train` or `test` by their numbers, int64 (n,), and which part of each is wanted."""

    split: str
    numbers: NDArray[np.int64]
    side: int
    """What the shorter side is scaled to; `random` has its own range."""
    size: int | None
    """Of the square that is cut out; None: the whole image."""
    random: Random | None = None


class Chunk(NamedTuple):
    """The images of a request, in its order."""

    request: Request
    pixels: Tensor
    """uint8: all images one after another, so that they are sent as one."""
    shapes: list[tuple[int, ...]]
    """(height, width, 3) of each."""
    alphas: NDArray[np.float64]
    """(n, 3): of the colour shift; zero unless the request is `random`."""

    def images(self) -> list[Tensor]:
        """Each image, uint8 (height, width, 3)."""
        sizes = [height * width * channels for height, width, channels in self.shapes]
        parts = torch.split(self.pixels, sizes)
        return [part.view(shape) for part, shape in zip(parts, self.shapes, strict=True)]

    def pin_memory(self) -> Chunk:
        """Called by the loader, which by itself would make lists of the shapes."""
        return self._replace(pixels=self.pixels.pin_memory())


class Decoder(Dataset[Chunk | str]):
    """Answers requests for images of a data set, or says in a line what is wrong with one."""

    def __init__(self, data: ImageFiles) -> None:
        self.data = data

    def __getitem__(self, request: Request) -> Chunk | str:
        try:
            return self._decode(request)
        except StudyError as error:  # as a value: the loader would pass it on as a traceback of many lines
            return str(error)

    def _decode(self, request: Request) -> Chunk:
        alphas = np.zeros((len(request.numbers), 3))
        images = []
        for i, number in enumerate(request.numbers):
            chosen = None if request.random is None else choices(int(request.random.keys[i]))
            image = cut(self.data.path(request.split, int(number)), _place(request, chosen))
            if request.random is not None and chosen is not None:
                alphas[i] = chosen.alphas
                image = image[:, ::-1] if request.random.mirror[i] else image
            images.append(image)
        return Chunk(request, _together(images), [image.shape for image in images], alphas)


def _place(request: Request, chosen: Choices | None) -> Place:
    if request.size is None:
        return whole_image(request.side)
    if request.random is None or chosen is None:
        return centre_crop(request.side, request.size)
    return random_crop(chosen, request.random.scales, request.size)


def _together(images: list[Pixels]) -> Tensor:
    return torch.from_numpy(np.concatenate([image.reshape(-1) for image in images]))


def decoded(data: ImageFiles, requests: Iterable[Request], workers: int, pin: bool) -> Generator[Chunk, None, None]:
    """The answers to requests, in their order, decoded ahead by so many processes; by 0 of them, when they are asked for.

    The processes end with the iterator. `pin`: into memory from which a GPU can fetch them while the host goes on.
    Raises `StudyError` for the first image that cannot be read.
    """
    loader = DataLoader(
        Decoder(data),
        batch_size=None,  # a request is a batch
        sampler=requests,
        num_workers=workers,
        prefetch_factor=AHEAD if workers else None,
        timeout=STALLED if workers else 0,
        collate_fn=_as_it_is,
        worker_init_fn=_stand_alone,
        pin_memory=pin,
        # Memory is shared by a fork, and nothing in a worker needs more threads than its own.
        multiprocessing_context="fork" if workers and sys.platform == "linux" else None,
        generator=torch.Generator(),  # or the loader would draw from the process's own
    )
    for answer in loader:
        if isinstance(answer, str):
            raise StudyError(answer)
        yield answer


def _as_it_is(answer: Any) -> Any:
    return answer


def _stand_alone(worker: int) -> None:
    """Keep signals that are meant for the training away: Ctrl-C, and those that SLURM sends to a whole group."""
    with contextlib.suppress(OSError):
        os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def lost(error: RuntimeError) -> StudyError | None:
    """The clear words for decoding processes that died or stand still, which torch raises as this; None for another error."""
    told = " ".join(str(error).split())
    if "DataLoader timed out" in told:
        return StudyError(f"no image was decoded in {STALLED:g} s; is the disk with the images still there? ({told})")
    if "DataLoader worker" in told:
        return StudyError(f"a process that decoded images died: killed, out of memory, or /dev/shm too small? ({told})")
    return None
