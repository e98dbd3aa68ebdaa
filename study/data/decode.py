"""From image files to pixels, upright and RGB, each file checked; by several processes where there are many.

Processes and not threads: for images of 32x32 Python's share of the work is so large that threads are slower than one.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

import numpy as np
from PIL import ExifTags, Image, ImageOps

from study.data.images import Images
from study.errors import StudyError

BLOCK = 256
FILES_PER_PROCESS = 1000
"""Fewer are decoded before a process has started."""
AHEAD = 2
"""Answers that each process is ahead by."""
STALLED = 600.0
"""Seconds without an answer after which decoding fails, so that no run waits for a dead disk for ever."""

# -- one image --------------------------------------------------------------------------------------------------------


def decode(path: str, shape: tuple[int, int], crop: bool, notes: Counter[str] | None = None) -> Images:
    """Decode one image to RGB, uint8 of shape (*shape, 3); see `open_image`.

    With `crop`, the shorter side is resized (bilinear) to fit and the centre is cut out; without, the image must
    have that shape. Raises `StudyError` that names the file.
    """
    image = open_image(path, notes=notes)
    height, width = shape
    if image.size == (width, height):
        return np.asarray(image)
    if not crop:
        raise StudyError(
            f"{path}: is {image.width}x{image.height} but the first image is {width}x{height}; "
            "set `image_size` to resize and crop all images to one size"
        )
    whole = scaled(*image.size, height)
    left, top = (whole[0] - height) // 2, (whole[1] - height) // 2
    image = image.resize(whole, Image.Resampling.BILINEAR).crop((left, top, left + height, top + height))
    return np.asarray(image)


def scaled(width: int, height: int, side: int) -> tuple[int, int]:
    """Return width and height after the shorter of them is scaled to `side`."""
    scale = side / min(width, height)
    return max(side, round(width * scale)), max(side, round(height * scale))


def open_image(
    path: str, at_least: Callable[[int, int], tuple[int, int]] | None = None, notes: Counter[str] | None = None
) -> Image.Image:
    """Open an image as people see it: RGB, turned upright by its EXIF, laid on white, the first frame of several.

    Colour profiles are ignored. Images with more than 8 bits of grey are refused, because their range is unknown.
    A change here needs a new `study.data.cache.VERSION`. Raises `StudyError` that names the file.

    `at_least` maps width and height of the upright image to a size that is enough: a much larger JPEG is decoded at a
    half, a quarter or an eighth of its size, which is faster. `notes` counts the images to which each rule applied.
    """
    notes = Counter() if notes is None else notes
    try:
        with Image.open(path) as opened:
            if at_least is not None and opened.format in ("JPEG", "MPO"):
                turned = _orientation(opened) >= 5
                size = at_least(*(opened.size[::-1] if turned else opened.size))
                opened.draft("RGB", size[::-1] if turned else size)
                at_least = None
            if getattr(opened, "is_animated", False):
                notes["first of several frames"] += 1
            opened.load()
            if opened.mode[0] not in "IF":
                image = _as_seen(opened, notes)
                if at_least is not None:
                    at_least(*image.size)
                return image
            mode = opened.mode
    except Exception as error:  # on bad bytes Pillow's decoders raise all kinds of errors
        raise StudyError(f"{path}: not a readable image ({type(error).__name__}: {error})") from error
    raise StudyError(f"{path}: has more than 8 bits a channel (mode {mode}); convert it to 8 bits")


def _as_seen(image: Image.Image, notes: Counter[str]) -> Image.Image:
    if 2 <= _orientation(image) <= 8:
        notes["turned upright by their EXIF orientation"] += 1
        image = ImageOps.exif_transpose(image)
    palette = image.palette.mode if image.palette else ""
    if "A" in (image.mode + palette).upper().replace("LAB", "") or "transparency" in image.info:
        image = image.convert("RGBA")
        if image.getchannel("A").getextrema() != (255, 255):
            notes["with transparent parts, laid on white"] += 1
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    elif image.mode in ("CMYK", "LAB", "HSV"):
        notes[f"converted from {image.mode}"] += 1
    return image.convert("RGB")


def _orientation(image: Image.Image) -> int:
    """Return EXIF's orientation, 1 to 8; 1, upright, if there is none or it makes no sense."""
    try:
        found = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # bad EXIF data in an image that is otherwise sound
        return 1
    return found if isinstance(found, int) else 1


# -- many images ------------------------------------------------------------------------------------------------------


def decode_all(
    files: Sequence[str], shape: tuple[int, int], crop: bool, title: str, processes: int | None = None
) -> Generator[tuple[int, Images, Counter[str]], None, None]:
    """Decode files in blocks: yield each block's first index, images, and notes (see `open_image`), in order."""
    if processes is None:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        processes = min(cores, len(files) // FILES_PER_PROCESS)
    work = partial(_decode_block, files, shape, crop)
    starts = range(0, len(files), BLOCK)
    blocks = map(work, starts) if processes < 2 else ahead(work, starts, processes)
    with slow_progress(title, len(files)) as advance:
        try:
            for start, (images, notes) in zip(starts, blocks, strict=True):
                yield start, images, notes
                advance(len(images))
        except RuntimeError as error:
            raise lost(error) or error from error


def _decode_block(files: Sequence[str], shape: tuple[int, int], crop: bool, start: int) -> tuple[Images, Counter[str]]:
    notes: Counter[str] = Counter()
    return np.stack([decode(path, shape, crop, notes) for path in files[start : start + BLOCK]]), notes


@contextmanager
def slow_progress(title: str, total: int, patience: float = 2.0) -> Iterator[Callable[[int], None]]:
    """Count steps, and show a progress bar on stderr after `patience` seconds."""
    began, done, bar = time.monotonic(), 0, None

    def advance(steps: int) -> None:
        nonlocal done, bar
        done += steps
        if bar is None and time.monotonic() - began > patience:
            from rich.console import Console
            from rich.progress import Progress

            bar = Progress(console=Console(stderr=True))
            bar.add_task(title, total=total)
            bar.start()
        if bar is not None:
            bar.update(bar.task_ids[0], completed=done)

    try:
        yield advance
    finally:
        if bar is not None:
            bar.stop()


# -- the pool of processes --------------------------------------------------------------------------------------------

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")


def ahead(
    work: Callable[[Asked], Answer], requests: Iterable[Asked], workers: int, pin: bool = False
) -> Generator[Answer, None, None]:
    """Answer requests in order, ahead of their use, by torch's DataLoader with this many processes; 0: in this process.

    The processes end with the iterator. `pin` puts tensors into memory from which a GPU fetches them asynchronously.
    Raises `StudyError` for the first request that fails. The death of a process may surface anywhere, see `lost`.
    """
    import torch
    from torch.utils.data import DataLoader

    loader: DataLoader[Any] = DataLoader(
        _Answers(work),  # type: ignore[arg-type]  # it has all that is asked of a Dataset
        batch_size=None,  # a request is a batch
        sampler=requests,
        num_workers=workers,
        prefetch_factor=AHEAD if workers else None,
        timeout=STALLED if workers else 0,
        collate_fn=_as_it_is,
        worker_init_fn=_detach,
        pin_memory=pin,
        # A fork shares memory, and nothing in a worker needs other threads than its own.
        multiprocessing_context="fork" if workers and sys.platform == "linux" else None,
        generator=torch.Generator(),  # or the loader would draw from the process's own
    )
    for answer in loader:
        if isinstance(answer, StudyError):
            raise answer
        yield answer


class _Answers:
    def __init__(self, work: Callable[[Any], Any]) -> None:
        self.work = work

    def __getitem__(self, request: Any) -> Any:
        try:
            return self.work(request)
        except StudyError as error:  # as a value: the loader would add a traceback of many lines
            return error


def _as_it_is(answer: Any) -> Any:
    return answer


def _detach(worker: int) -> None:
    """Ignore signals meant for the training: Ctrl-C, and signals from SLURM to the whole group."""
    with contextlib.suppress(OSError):
        os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def lost(error: RuntimeError) -> StudyError | None:
    """Explain torch's error for a decoding process that died or stalled; None for any other error."""
    told = " ".join(str(error).split())
    if "DataLoader timed out" in told:
        return StudyError(f"no image was decoded in {STALLED:g} s; is the disk with the images still there? ({told})")
    if "DataLoader worker" in told:
        return StudyError(f"a process that decoded images died: killed, out of memory, or /dev/shm too small? ({told})")
    return None
