"""Checkpoints: all that a lane needs to go on as if it had never stopped. Tensors and plain numbers, never pickled code."""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import pickle
from typing import Any

import torch

from study.store.files import write_bytes
from study.store.layout import RunFiles

VERSION = 1
log = logging.getLogger(__name__)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def save(files: RunFiles, iteration: int, state: dict[str, Any], keep: int = 2) -> None:
    """Write a checkpoint as one act, then remove all but the newest `keep`: the last, and one to fall back on."""
    buffer = io.BytesIO()
    torch.save({"version": VERSION, "run_id": files.run_id, "iteration": iteration, **state}, buffer)
    content = buffer.getvalue()
    path = files.checkpoint(iteration, _digest(content))
    write_bytes(path, content)
    for old in [p for p in files.checkpoints() if p != path][keep - 1 :]:
        old.unlink(missing_ok=True)


def load_newest(files: RunFiles, device: torch.device) -> dict[str, Any] | None:
    """The newest intact checkpoint of a run, or None. A damaged one is passed over, and said so in the log."""
    for path in files.checkpoints():
        try:
            content = path.read_bytes()
            if _digest(content) != path.stem.rpartition("-")[2]:
                # Out of the way, or it would count as the run's newest, and be kept in place of a sound one.
                with contextlib.suppress(OSError):  # another rank was quicker
                    path.rename(path.with_name(f"damaged-{path.name}"))
                raise ValueError("its content does not match the checksum in its name")
            state: dict[str, Any] = torch.load(io.BytesIO(content), map_location=device, weights_only=True)
            if state["version"] != VERSION or state["run_id"] != files.run_id:
                raise ValueError(f"it is of version {state['version']} and run {state['run_id']}")
            return state
        except (OSError, ValueError, KeyError, RuntimeError, pickle.UnpicklingError) as error:
            log.warning("passed over %s: %s", path.name, error)
    return None
