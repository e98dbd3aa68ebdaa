"""From image files to one uint8 array: decoded by several processes, each file checked.

Processes and not threads: on images of 32x32 the interpreter's share is so large that threads are slower than one.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from itertools import pairwise
from multiprocessing.connection import Connection, Pipe, wait

import numpy as np
from PIL import Image

from study.boot import command, environment
from study.data.images import Images
from study.errors import StudyError

ORIENTATION = 0x0112  # EXIF's tag
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What brings an image of each orientation upright."""
_Block = tuple[int, Images, Counter[str]]
BLOCK = 256  # images sent at once
FILES_PER_PROCESS = 1000  # fewer are decoded sooner than a process starts


def decode(path: str, shape: tuple[int, int], crop: bool, notes: Counter[str] | None = None) -> Images:
    """One image as RGB, uint8 of shape (*shape, 3); as `open_image`.

    With `crop`, the shorter side is resized (bilinear) to fit and the centre is cut out; without, the image must
    have that shape already. Raises `StudyError` that names the file.
    """
    image = open_image(path, notes=notes)
    height, width = shape
    if crop:
        image = _resize_and_crop(image, height)
    elif image.size != (width, height):
        raise StudyError(
            f"{path}: is {image.width}x{image.height} but the first image is {width}x{height}; "
            "set `image_size` to resize and crop all images to one size"
        )
    return np.asarray(image)


def open_image(
    path: str,
    at_least: Callable[[int, int], tuple[int, int]] | None = None,
    notes: Counter[str] | None = None,
) -> Image.Image:
    """An image as people see it: RGB, upright as its EXIF says, what is transparent laid on white, the first frame of several.

    Colour profiles are ignored. Images with more than 8 bits of grey are refused: their range is anyone's guess.
    A change here needs a new `study.data.image_cache.VERSION`. Raises `StudyError` that names the file.

    Parameters
    ----------
    at_least
        From width and height of the upright image to those that will do: a JPEG much larger than that is decoded at a half,
        a quarter or an eighth of its size, which is faster.
    notes
        Counts the images to which each rule was applied.
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
    except Exception as error:  # on bad bytes Pillow's decoders raise whatever they run into
        raise StudyError(f"{path}: not a readable image ({type(error).__name__}: {error})") from error
    raise StudyError(f"{path}: has more than 8 bits a channel (mode {mode}); convert it to 8 bits")


def _as_seen(image: Image.Image, notes: Counter[str]) -> Image.Image:
    if (turn := TURNS.get(_orientation(image))) is not None:
        notes["turned upright by their EXIF orientation"] += 1
        image = image.transpose(turn)
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
    """As EXIF has it, 1 to 8; 1, upright, where it says nothing that makes sense."""
    try:
        found = image.getexif().get(ORIENTATION, 1)
    except Exception:  # bad EXIF data, of an image that is sound otherwise
        return 1
    return found if isinstance(found, int) else 1


def _resize_and_crop(image: Image.Image, size: int) -> Image.Image:
    if image.size == (size, size):
        return image
    scale = size / min(image.size)
    width, height = (max(size, round(side * scale)) for side in image.size)
    left, top = (width - size) // 2, (height - size) // 2
    return image.resize((width, height), Image.Resampling.BILINEAR).crop((left, top, left + size, top + size))


def shape_of(path: str) -> tuple[int, int]:
    """(height, width) in pixels. Raises as `open_image`."""
    image = open_image(path)
    return image.height, image.width


def decode_all(
    files: Sequence[str],
    shape: tuple[int, int],
    crop: bool,
    processes: int | None = None,
    notes: Counter[str] | None = None,
) -> Generator[tuple[int, Images], None, None]:
    """Yield (index of the first image, block of images) until every file is decoded, in any order.

    `notes` as of `open_image`. Raises `StudyError` at the first file that cannot be decoded.
    """
    processes = _processes(len(files)) if processes is None else processes
    alone = processes < 2
    blocks = _blocks(files, 0, shape, crop) if alone else _decode_in_processes(files, shape, crop, processes)
    with closing(blocks):
        for start, block, told in blocks:
            if notes is not None:
                notes.update(told)
            yield start, block


def _processes(n_files: int) -> int:
    if os.name != "posix":
        return 1  # a pipe cannot be handed to a child there
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, n_files // FILES_PER_PROCESS)


def _blocks(files: Sequence[str], offset: int, shape: tuple[int, int], crop: bool) -> Generator[_Block, None, None]:
    for start in range(0, len(files), BLOCK):
        notes: Counter[str] = Counter()
        block = [decode(path, shape, crop, notes) for path in files[start : start + BLOCK]]
        yield offset + start, np.stack(block), notes


def _decode_in_processes(
    files: Sequence[str], shape: tuple[int, int], crop: bool, processes: int
) -> Generator[_Block, None, None]:
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
        for message in _receive(pipes):
            arrived += len(message[1])
            yield message
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


def _receive(pipes: list[Connection]) -> Iterator[_Block]:
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
