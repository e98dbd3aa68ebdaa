"""From image files to one uint8 array: decoded by several processes, each file checked.

Processes and not threads: on images of 32x32 the interpreter's share is so large that threads are slower than one.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from itertools import pairwise
from multiprocessing.connection import Connection, Pipe, wait

import numpy as np
from PIL import Image

from study.boot import command, environment
from study.data.images import Images
from study.errors import StudyError

BLOCK = 256  # images sent at once
FILES_PER_PROCESS = 1000  # fewer are decoded sooner than a process starts


def decode(path: str, shape: tuple[int, int], crop: bool) -> Images:
    """One image as RGB, uint8 of shape (*shape, 3).

    With `crop`, the shorter side is resized (bilinear) to fit and the centre is cut out; without, the image must
    have that shape already. Raises `StudyError` that names the file.
    """
    image = open_image(path)
    height, width = shape
    if crop:
        image = _resize_and_crop(image.convert("RGB"), height)
    elif image.size != (width, height):
        raise StudyError(
            f"{path}: is {image.width}x{image.height} but the first image is {width}x{height}; "
            "set `image_size` to resize and crop all images to one size"
        )
    return np.asarray(image.convert("RGB"))


def open_image(path: str, at_least: Callable[[int, int], tuple[int, int]] | None = None) -> Image.Image:
    """An image with its pixels, of 8 bits a channel. Raises `StudyError` that names the file.

    Parameters
    ----------
    at_least
        From width and height in the file to those that will do: a JPEG much larger than that is decoded at a half, a
        quarter or an eighth of its size, which is faster.
    """
    try:
        with Image.open(path) as opened:
            if at_least is not None:
                opened.draft("RGB", at_least(*opened.size))
            opened.load()
            image: Image.Image = opened
    except Exception as error:  # on bad bytes Pillow's decoders raise whatever they run into
        raise StudyError(f"{path}: not a readable image ({type(error).__name__}: {error})") from error
    if image.mode[0] in "IF":
        raise StudyError(f"{path}: has more than 8 bits a channel (mode {image.mode}); convert it to 8 bits")
    return image


def _resize_and_crop(image: Image.Image, size: int) -> Image.Image:
    if image.size == (size, size):
        return image
    scale = size / min(image.size)
    width, height = (max(size, round(side * scale)) for side in image.size)
    left, top = (width - size) // 2, (height - size) // 2
    return image.resize((width, height), Image.Resampling.BILINEAR).crop((left, top, left + size, top + size))


def shape_of(path: str) -> tuple[int, int]:
    """(height, width) in pixels, from the file's header."""
    try:
        with Image.open(path) as image:
            return image.height, image.width
    except Exception as error:  # as in `decode`
        raise StudyError(f"{path}: not a readable image ({type(error).__name__}: {error})") from error


def decode_all(
    files: Sequence[str], shape: tuple[int, int], crop: bool, processes: int | None = None
) -> Generator[tuple[int, Images], None, None]:
    """Yield (index of the first image, block of images) until every file is decoded, in any order.

    Raises `StudyError` at the first file that cannot be decoded.
    """
    processes = _processes(len(files)) if processes is None else processes
    if processes < 2:
        yield from _blocks(files, 0, shape, crop)
    else:
        yield from _decode_in_processes(files, shape, crop, processes)


def _processes(n_files: int) -> int:
    if os.name != "posix":
        return 1  # a pipe cannot be handed to a child there
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, n_files // FILES_PER_PROCESS)


def _blocks(files: Sequence[str], offset: int, shape: tuple[int, int], crop: bool) -> Iterator[tuple[int, Images]]:
    for start in range(0, len(files), BLOCK):
        block = [decode(path, shape, crop) for path in files[start : start + BLOCK]]
        yield offset + start, np.stack(block)


def _decode_in_processes(
    files: Sequence[str], shape: tuple[int, int], crop: bool, processes: int
) -> Iterator[tuple[int, Images]]:
    bounds = np.linspace(0, len(files), processes + 1).astype(int).tolist()
    workers: list[subprocess.Popen[bytes]] = []
    pipes: list[Connection] = []
    arrived = 0
    try:
        for start, stop in pairwise(bounds):
            worker, pipe = _start_worker()
            workers.append(worker)
            pipes.append(pipe)
            pipe.send((list(files[start:stop]), start, shape, crop))
        for start, block in _receive(pipes):
            arrived += len(block)
            yield start, block
    except (BrokenPipeError, ConnectionResetError):
        pass  # a worker died before it had read its task; told below
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    if arrived != len(files):
        raise StudyError(
            f"a process that decoded images ended early, after {arrived} of {len(files)} images "
            "(killed, or out of memory?)"
        )


def _start_worker() -> tuple[subprocess.Popen[bytes], Connection]:
    # An interpreter of its own, and neither fork (a copy of a process that runs torch's threads can hang) nor
    # multiprocessing's spawn (it would run the caller's script again). A worker whose parent was killed ends at
    # its next write; a session of its own keeps Ctrl-C for the parent.
    ours, theirs = Pipe()
    with theirs:
        words = command("study.data.decode", str(theirs.fileno()))
        worker = subprocess.Popen(words, pass_fds=[theirs.fileno()], start_new_session=True, env=environment())
    return worker, ours


def _receive(pipes: list[Connection]) -> Iterator[tuple[int, Images]]:
    while pipes:
        for pipe in wait(pipes):
            assert isinstance(pipe, Connection)
            try:
                message = pipe.recv()
            except (EOFError, ConnectionResetError):
                pipes.remove(pipe)
                continue
            if isinstance(message, StudyError):
                raise message
            yield message


def main() -> None:
    """The body of a decoding process: one task, answered block by block, or by the error that ended it."""
    pipe = Connection(int(sys.argv[1]))
    try:
        for message in _blocks(*pipe.recv()):
            pipe.send(message)
    except StudyError as error:
        pipe.send(error)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass  # the parent is gone
