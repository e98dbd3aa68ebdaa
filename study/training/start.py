"""The networks of trained runs: to start another run from, stretched by identity layers, and to measure."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from study.config.differences import check_stretch
from study.config.run import RunSpec
from study.errors import StudyError
from study.networks.count import mistake
from study.networks.initialise import unit_variance
from study.networks.network import Network, build, loaded
from study.networks.stretch import stretch
from study.store import runs as store
from study.store.find import run_of_point
from study.store.layout import RunFiles
from study.training import checkpoint
from study.training.feeds.feed import Feed
from study.training.optimizer import optimizer
from study.training.schedule import Schedule


def origin(spec: RunSpec, files: RunFiles) -> RunFiles:
    """Find the trained run that a run with `start_from` starts from.

    Raises `StudyError` if it is not there, not done, has no sound checkpoint, or cannot be stretched so.
    """
    point = spec.start_from or ""
    found = run_of_point(files.results, point, spec.seed)
    if found is None:
        raise StudyError(f"starts from {point} with seed {spec.seed}, which is not under {files.results}/")
    check_stretch(store.read_spec(found), spec)
    final(found)
    return found


def final(files: RunFiles) -> dict[str, Any]:
    """Load the checkpoint at the end of a run, on the CPU. Raises `StudyError` if it is not done or has none."""
    now = store.status(files)
    if now.state in store.LOST:
        raise StudyError(f"{files.run_id} {store.LOST[now.state]}: it has no network to start from or to measure")
    if now.state != "done":
        raise StudyError(f"{files.run_id} is not finished ({now.state}); train it first with `study sweep`")
    state = checkpoint.load_newest(files, torch.device("cpu"))
    if state is None:
        raise StudyError(f"{files.run_id} has no sound checkpoint; train it again with `study sweep FILE --mode force`")
    return state


def begun(spec: RunSpec, images: Feed) -> Network:
    """Build the network of a run as its training begins, on the device of the images.

    A data-dependent initialisation sees a batch of training images, not augmented, that the seed draws. It is computed
    before the network moves, so that a run begins alike on each device.
    """
    network = build(spec, images.channels, images.classes, images.native[0])
    if spec.initialisation.name == "lsuv":
        numbers = np.random.RandomState(spec.seed).permutation(images.count("train"))[: spec.recipe.batch_size]
        batch, _ = images.at("train", torch.from_numpy(numbers).to(images.device))
        unit_variance(network, batch.cpu())
    return network.placed(images.device)


def trained(files: RunFiles, images: Feed) -> Network:
    """Load the network of a finished run, in float32 on the device of the images, in evaluation mode.

    Raises `StudyError` if the run is not done, has no sound checkpoint, or was trained on other images.
    """
    spec, state = store.read_spec(files), final(files)
    try:
        checkpoint.check_images(state, images.fingerprint, spec.dataset)
    except StudyError as error:
        raise StudyError(f"{files.run_id}: {error}") from None
    try:
        network = loaded(spec, state["network"], images.channels, images.classes, images.native[0])
    except ValueError as error:
        raise StudyError(f"{files.run_id}: its checkpoint is {error}") from None
    return network.placed(images.device).eval()


def try_step(spec: RunSpec, channels: int, classes: int, size: int) -> None:
    """Draw the weights of a run and take a step without a gradient. Raises `StudyError` for a mistake of the user's code."""
    recipe, field = spec.recipe, "initialisation"
    try:
        parameters = [p for p in build(spec, channels, classes, size).parameters() if p.requires_grad]
        field = "schedule"
        rates = [Schedule(spec).rate(iteration) for iteration in (0, recipe.iterations - 1)]
        if not all(map(math.isfinite, rates)):
            raise ValueError(f"gives the rates {rates}, which are no finite numbers")
        field = "optimizer"
        optimizer(parameters, recipe).step([torch.zeros_like(p) for p in parameters], torch.tensor(rates[0]).double())
    except (Exception, SystemExit) as error:
        raise mistake(spec, error, field) from error


def deeper(small: Network, spec: RunSpec, images: Feed) -> Network:
    """Build the network of `spec` so that it computes what `small` does; new BN has the training set's statistics."""
    large = build(spec, images.channels, images.classes, images.native[0]).placed(images.device)
    stretch(small, large, (batch for batch, _ in images.every("train")))
    return large.eval()


def starting_weights(spec: RunSpec, files: RunFiles, images: Feed) -> dict[str, Tensor]:
    """Return the state that a run with `start_from` begins with. Raises as `origin` and `trained`."""
    return dict(deeper(trained(origin(spec, files), images), spec, images).state_dict())
