"""Downloads: through torchvision's classes, complete or not at all, and one line where there is no network."""

from __future__ import annotations

import contextlib
import http.client
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from study.errors import StudyError

TIMEOUT = 20.0  # seconds without a byte, after which a network counts as unreachable


def fetch(name: str, root: Path, files: Sequence[str], download: Callable[[Path], object], hint: str) -> None:
    """Let `download` fill a temporary folder inside `root`, then move those of `files` that it made to `root`.

    So a killed download leaves nothing that looks like data, and two at once cannot write into one file.
    `download` verifies checksums and raises `RuntimeError` or `OSError`; `hint` ends the message that follows.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=root) as staging, _quiet_and_impatient():
            download(Path(staging))
            for file in files:
                if (Path(staging) / file).is_file():
                    (root / file).parent.mkdir(parents=True, exist_ok=True)
                    (Path(staging) / file).replace(root / file)
    except (OSError, RuntimeError, http.client.HTTPException) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise StudyError(f"{hint} [the download failed: {reason}]") from error


def announce(name: str, root: Path) -> None:
    """Say on stderr what the progress bar that follows belongs to."""
    print(f"Downloading {name} to {root}", file=sys.stderr)


@contextlib.contextmanager
def _quiet_and_impatient() -> Iterator[None]:
    """Keep torchvision's remarks off stdout (its progress bar is on stderr), and don't wait for ever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        socket.setdefaulttimeout(before)


def how_to_get(name: str, root: Path, expected: str, copy: str) -> str:
    """The line for data that are not there: where they were sought, what was expected, how to provide it."""
    return (
        f"{name}: expected {expected} in {root}; run the sweep once on a machine with network "
        f"(it downloads them), or copy {copy} there"
    )
