"""Checkpoints: all that a lane needs to go on as if it had never stopped. Tensors and plain numbers, never pickled code.

And snapshots: the network alone, kept for good at the iterations that a spec names (`snapshot_every`).
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from study.errors import StudyError
from study.store.files import check_version, digest, remove, write_bytes
from study.store.layout import RunFiles

VERSION = 1
log = logging.getLogger(__name__)


class _DamagedError(ValueError):
    """A file is not what was written."""


_UNUSABLE = (OSError, ValueError, KeyError, TypeError)
"""What reading raises of a file that is damaged, another run's, or gone."""


def save(files: RunFiles, iteration: int, state: dict[str, Any], keep: int = 2) -> None:
    """Write a checkpoint as one act, then remove all but the newest `keep`: the last, and one to fall back on."""
    content = _bytes(files, iteration, state)
    path = files.checkpoint(iteration, digest(content))
    write_bytes(path, content)
    for old in [p for p in files.checkpoints() if p != path][keep - 1 :]:
        remove(old)


def load_newest(files: RunFiles, device: torch.device) -> dict[str, Any] | None:
    """The newest intact checkpoint of a run, or None. A damaged one is passed over, and said so in the log.

    Raises
    ------
    StudyError
        It is of a later version of this program, which is not to be trained over.
    """
    for path in files.checkpoints():
        try:
            return _read(files, path, device)
        except _UNUSABLE as error:
            if isinstance(error, _DamagedError):
                # Out of the way, or it would count as the run's newest, and be kept in place of a sound one.
                with contextlib.suppress(OSError):  # another rank was quicker
                    path.rename(path.with_name(f"damaged-{path.name}"))
            log.warning("passed over %s: %s", path.name, error)
    return None


def check_images(state: Mapping[str, Any], fingerprint: str, dataset: str) -> None:
    """Refuse to go on with a checkpoint, or to measure it, on other images than it was trained on.

    Raises
    ------
    StudyError
        `fingerprint`, of the images that are there now, is not the one in the checkpoint.
    """
    if state["fingerprint"] != fingerprint:
        raise StudyError(
            f"the images of {dataset} have changed since this run was begun (digest {fingerprint}, was "
            f"{state['fingerprint']}); put the old ones back, or train it again with --mode force"
        )


def load_tensors(content: bytes, device: torch.device) -> dict[str, Any]:
    """What `torch.save` made of tensors and plain numbers. Nothing in it is run, whoever made it.

    Raises
    ------
    ValueError
        It is something else.
    """
    try:
        with warnings.catch_warnings(action="ignore"):  # of pickles that are not torch's
            state = torch.load(io.BytesIO(content), map_location=device, weights_only=True)
    except Exception as error:  # a stranger's file can break a reader in any way
        raise ValueError(f"it is no checkpoint ({type(error).__name__})") from error
    if not isinstance(state, dict):
        raise ValueError("it is no checkpoint")
    return state


def save_snapshot(files: RunFiles, iteration: int, network: Mapping[str, Tensor]) -> None:
    """Write a snapshot as one act: weights and BN statistics by name, float32.

    Its bytes follow from the values and the run alone, not from the device, or from how the tensors lie in memory.
    """
    plain = {name: tensor.detach().to("cpu", torch.float32).clone(memory_format=torch.contiguous_format)
             for name, tensor in network.items()}  # fmt: skip
    content = _bytes(files, iteration, {"network": plain})
    write_bytes(files.snapshot(iteration, digest(content)), content)


def load_snapshots(files: RunFiles, device: torch.device) -> Iterator[dict[str, Any]]:
    """The intact snapshots of a run, oldest first, one at a time: each with `iteration` and `network`."""
    for path in files.snapshots():
        state = load_snapshot(path, device)
        if state is not None:
            yield state


def load_snapshot(path: Path, device: torch.device) -> dict[str, Any] | None:
    """One of `RunFiles.snapshots()`: `version`, `run_id`, `iteration`, `network` (a state dict).

    None where it is damaged, which is said in the log. It stays where it is: nothing is trained from it, and who looks
    at a run does not change it.
    """
    try:
        return _read(RunFiles(path.parent), path, device)
    except _UNUSABLE as error:
        log.warning("passed over %s of %s: %s", path.name, path.parent.name, error)
        return None


def _bytes(files: RunFiles, iteration: int, state: Mapping[str, Any]) -> bytes:
    buffer = io.BytesIO()
    torch.save({"version": VERSION, "run_id": files.run_id, "iteration": iteration, **state}, buffer)
    return buffer.getvalue()


def _read(files: RunFiles, path: Path, device: torch.device) -> dict[str, Any]:
    """What `_bytes` made, from a file with the digest in its name. Raises one of `_UNUSABLE`."""
    content = path.read_bytes()
    if digest(content) != path.stem.rpartition("-")[2]:
        raise _DamagedError("its content does not match the checksum in its name")
    state = load_tensors(content, device)
    check_version(path, state["version"], VERSION)
    if state["run_id"] != files.run_id:
        raise ValueError(f"it is of run {state['run_id']}")
    return state
