"""Runs as tasks: their data set, and training them side by side."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from study import data
from study.config.run import RunSpec
from study.data import ImageFiles, ImageSet
from study.errors import StudyError
from study.launch.attempt.log import one_line
from study.measure.probes.record import during
from study.store import runs as store
from study.store.layout import RunFiles
from study.training import checkpoint
from study.training.feeds.feed import Feed
from study.training.feeds.open import open_feed
from study.training.pack import train_pack
from study.training.precision import slow_bf16
from study.training.session import Session
from study.training.start import origin

log = logging.getLogger(__name__)


def check(files: RunFiles) -> None:
    """Raise StudyError if a run can never be trained."""
    spec = store.read_spec(files)
    if spec.start_from is not None and not files.checkpoints():
        origin(spec, files)


def train(tasks: Sequence[RunFiles], session: Session) -> None:
    """Train runs until they are sealed or the session is stopped."""
    pack = [(store.read_spec(files), files) for files in tasks]
    if session.device.type == "cpu" and pack[0][0].precision == "bf16" and (warning := slow_bf16()):
        log.warning("%s", warning)
    content = load_data(pack[0][0], session.data_root)
    mine = [run for run in pack if len(pack) == 1 or _fits(*run, content.fingerprint)]
    for _, files in mine:
        if not files.checkpoints():
            store.record_images(files, content.fingerprint)
    if mine:
        train_pack(mine, content, replace(session, probe=during))


def follow(files: RunFiles, session: Session) -> dict[str, str]:
    """Train along with the first rank, as one of the others, if it has something to train."""
    if session.ranks.any(False, session.device):
        spec = store.read_spec(files)
        quiet = replace(session, report=lambda progress: None, checkpoint_seconds=math.inf)
        train_pack([(spec, files)], load_data(spec, session.data_root), quiet)
    return {}


def _fits(spec: RunSpec, files: RunFiles, fingerprint: str) -> bool:
    """Whether a run of a pack can go on with these images; if not it fails here, so that no other run fails with it."""
    try:
        begun = files if spec.start_from is None or files.checkpoints() else origin(spec, files)
        state = checkpoint.load_newest(begun, torch.device("cpu"))
        if state is not None:
            checkpoint.check_images(state, fingerprint, spec.dataset)
    except StudyError as error:
        log.error("%s: %s", files.run_id, error)
        store.write_failed(files, one_line(error))
        return False
    return True


def load_data(spec: RunSpec, root: Path) -> ImageSet | ImageFiles:
    """The data set of a run, as `study.data.load`; the one loaded last is kept."""
    subset = {"train_subset": spec.train_subset, "train_subset_seed": spec.train_subset_seed}
    return data.load_once(spec.data.name, root, **spec.data.options, **subset)


_feed: tuple[object, Feed] | None = None


def feed_of(spec: RunSpec, session: Session) -> Feed:
    """A run's data set on the device, for measurements; the one opened last is kept."""
    global _feed
    content = load_data(spec, session.data_root)
    key = (content.fingerprint, spec.data, spec.recipe.prepared, spec.recipe.scales, session.device)
    if _feed is None or _feed[0] != key:
        if _feed is not None:
            _feed[1].close()
        _feed = key, open_feed(spec, content, session.device)
    return _feed[1]
