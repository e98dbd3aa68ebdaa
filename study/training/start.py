"""Where a run's weights come from that does not start from its seed alone: another run, stretched by identity layers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from study.config import stretching
from study.config.run import RunSpec
from study.errors import StudyError
from study.networks.network import Network, build, loaded
from study.networks.stretch import stretch
from study.store import runs as store
from study.store.find import run_of_point
from study.store.layout import RunFiles
from study.training import checkpoint
from study.training.feeds.feed import Feed


def origin(spec: RunSpec, files: RunFiles) -> RunFiles:
    """The run that a run with `start_from` starts from: trained to its end, and such as can be stretched so.

    Raises
    ------
    StudyError
        It is not there, is not done, has no sound checkpoint, or can't be stretched so.
    """
    point = spec.start_from or ""
    found = run_of_point(files.results, point, spec.seed)
    if found is None:
        raise StudyError(f"starts from {point} with seed {spec.seed}, which is not under {files.results}/")
    stretching.check(store.read_spec(found), spec)
    final(found)
    return found


def final(files: RunFiles) -> dict[str, Any]:
    """The checkpoint at the end of a run, on the CPU.

    Raises
    ------
    StudyError
        It is not trained to its end, or has no sound checkpoint of its network any more.
    """
    now = store.status(files)
    if now.state == "diverged":
        raise StudyError(f"{files.run_id} has diverged: there is no network to go by")
    if now.state != "done":
        raise StudyError(f"{files.run_id} is not trained to its end ({now.state}); train it first with `study sweep`")
    state = checkpoint.load_newest(files, torch.device("cpu"))
    if state is None:
        raise StudyError(f"{files.run_id} has no sound checkpoint any more; train it again with --mode force")
    _check_network(files, state["network"])
    return state


def _check_network(files: RunFiles, state: dict[str, Tensor]) -> None:
    """The state must be of the network that the spec names, for whatever images it was trained on."""
    first, last = next(iter(state.values())), list(state.values())[-1]
    try:
        loaded(store.read_spec(files), state, first.shape[1], last.shape[0])
    except (ValueError, IndexError) as error:
        raise StudyError(f"{files.run_id}: its checkpoint is {error}") from None


def trained(files: RunFiles, images: Feed) -> Network:
    """The network of a run that is done, in float32 on the device of the images, in evaluation mode.

    Raises
    ------
    StudyError
        The run is not done, or has no sound checkpoint of its network; the images are not those that it was trained on.
    """
    spec, state = store.read_spec(files), final(files)
    try:
        checkpoint.check_images(state, images.fingerprint, spec.dataset)
    except StudyError as error:
        raise StudyError(f"{files.run_id}: {error}") from None
    try:
        network = loaded(spec, state["network"], images.channels, images.classes)
    except ValueError as error:
        raise StudyError(f"{files.run_id}: its checkpoint is {error}") from None
    return _placed(network, images).eval()


def deeper(small: Network, spec: RunSpec, images: Feed) -> Network:
    """The network of `spec` that computes what the trained `small` does; BN's new statistics are the training set's."""
    large = _placed(build(spec, images.channels, images.classes), images)
    stretch(small, large, _batches(images))
    return large.eval()


def starting_weights(spec: RunSpec, files: RunFiles, images: Feed) -> dict[str, Tensor]:
    """The network's state that a run with `start_from` begins with. Raises as `origin` and `trained`."""
    return dict(deeper(trained(origin(spec, files), images), spec, images).state_dict())


def _batches(images: Feed) -> Iterator[Tensor]:
    first = 0
    for size in images.evaluation_sizes("train"):
        yield images.in_order("train", torch.tensor(first, device=images.device), size)[0]
        first += size


def _placed(network: Network, images: Feed) -> Network:
    return network.to(images.device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]
