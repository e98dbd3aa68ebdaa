"""Checkpoints, from which a lane resumes bit for bit, and snapshots of the network alone (`snapshot_every`).

Both hold tensors and plain numbers, never pickled code.
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from study.errors import StudyError
from study.store.files import check_version, digest, read_checked, remove, write_bytes
from study.store.layout import RunFiles

VERSION = 1
log = logging.getLogger(__name__)


def save(files: RunFiles, iteration: int, state: dict[str, Any], keep: int = 2) -> None:
    """Write a checkpoint atomically, then remove all but the newest `keep`: the last and one to fall back on."""
    content = _bytes(files, iteration, state)
    path = files.checkpoint(iteration, digest(content))
    write_bytes(path, content)
    for old in [p for p in files.checkpoints() if p != path][keep - 1 :]:
        remove(old)


def load_newest(files: RunFiles, device: torch.device) -> dict[str, Any] | None:
    """Load the newest intact checkpoint of a run, or None; log and skip damaged ones.

    Raises `StudyError` if it is of a later version of this program: it must not be overwritten.
    """
    for path in files.checkpoints():
        state = _intact(files, path, device, aside=True)
        if state is not None:
            return state
    return None


def check_images(state: Mapping[str, Any], fingerprint: str, dataset: str) -> None:
    """Raise `StudyError` if a checkpoint was trained on other images than those with this fingerprint."""
    if state["fingerprint"] != fingerprint:
        raise StudyError(
            f"the images of {dataset} have changed since this run started (digest {fingerprint}, was "
            f"{state['fingerprint']}); put the old ones back, or train it again with --mode force"
        )


def load_tensors(content: bytes, device: torch.device) -> dict[str, Any]:
    """Load tensors and plain numbers saved by `torch.save`, without running any code in them. Raises `ValueError`."""
    try:
        with warnings.catch_warnings(action="ignore"):  # about pickles that are not torch's
            state = torch.load(io.BytesIO(content), map_location=device, weights_only=True)
    except Exception as error:  # a foreign file can make it raise anything
        raise ValueError(f"it is not a checkpoint ({type(error).__name__})") from error
    if not isinstance(state, dict):
        raise ValueError("it is not a checkpoint")
    return state


def save_snapshot(files: RunFiles, iteration: int, network: Mapping[str, Tensor]) -> None:
    """Write a snapshot atomically: weights and BN statistics by name, float32.

    Its bytes depend only on the values and the run, not on the device or the memory layout.
    """
    plain = {name: tensor.detach().to("cpu", torch.float32).clone(memory_format=torch.contiguous_format)
             for name, tensor in network.items()}  # fmt: skip
    content = _bytes(files, iteration, {"network": plain})
    write_bytes(files.snapshot(iteration, digest(content)), content)


def load_snapshots(files: RunFiles, device: torch.device) -> Iterator[dict[str, Any]]:
    """Yield the intact snapshots of a run, oldest first, each with `iteration` and `network`."""
    for path in files.snapshots():
        state = load_snapshot(path, device)
        if state is not None:
            yield state


def load_snapshot(path: Path, device: torch.device) -> dict[str, Any] | None:
    """Load one of `RunFiles.snapshots()`: `version`, `run_id`, `iteration`, `network` (a state dict).

    Log a damaged one and return None. It is not renamed: nothing is trained from it, and reading a run must not change it.
    """
    return _intact(RunFiles(path.parent), path, device)


def _bytes(files: RunFiles, iteration: int, state: Mapping[str, Any]) -> bytes:
    buffer = io.BytesIO()
    torch.save({"version": VERSION, "run_id": files.run_id, "iteration": iteration, **state}, buffer)
    return buffer.getvalue()


def _intact(files: RunFiles, path: Path, device: torch.device, aside: bool = False) -> dict[str, Any] | None:
    """Read a file written by `_bytes`; log one that is damaged or of another run and return None."""
    try:
        state = load_tensors(read_checked(path, aside=aside), device)
        check_version(path, state["version"], VERSION)
        if state["run_id"] != files.run_id:
            raise ValueError(f"it belongs to run {state['run_id']}")
        return state
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("passed over %s: %s", path.name, error)
        return None
