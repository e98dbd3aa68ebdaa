"""Where a run's weights come from that does not start from its seed alone: another run, stretched by identity layers."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from study.errors import StudyError
from study.networks.network import Network, build, structure
from study.networks.stretch import stretch
from study.spec import stretching
from study.spec.run import RunSpec
from study.store import runs as store
from study.store.layout import RunFiles
from study.training import checkpoint
from study.training.feed import Feed


def trained(files: RunFiles, images: Feed) -> Network:
    """The network of a run that is done, in float32 on the device of the images, in evaluation mode.

    Raises
    ------
    StudyError
        The run is not done, or has no sound checkpoint of its network.
    """
    spec = store.read_spec(files)
    if store.status(files).state != "done":
        raise StudyError(f"{files.run_id} is not trained to its end; train it first with `study sweep`")
    state = checkpoint.load_newest(files, torch.device("cpu"))
    if state is None:
        raise StudyError(f"{files.run_id} has no sound checkpoint any more; train it again with --mode force")
    network = structure(spec, images.channels, images.classes)
    try:
        network.load_state_dict(state["network"], strict=False)
    except RuntimeError as error:
        raise StudyError(f"{files.run_id}: {' '.join(str(error).split()):.200}") from None
    return _placed(network, images).eval()


def deeper(small: Network, spec: RunSpec, images: Feed) -> Network:
    """The network of `spec` that computes what the trained `small` does; BN's new statistics are the training set's."""
    large = _placed(build(spec, images.channels, images.classes), images)
    stretch(small, large, _batches(images))
    return large.eval()


def starting_weights(spec: RunSpec, files: RunFiles, images: Feed) -> dict[str, Tensor]:
    """The network's state that a run with `start_from` begins with.

    Raises
    ------
    StudyError
        The run to start from can't be had, or can't be stretched so.
    """
    source = files.beside(spec.start_from or "")
    stretching.check(store.read_spec(source), spec)
    return dict(deeper(trained(source, images), spec, images).state_dict())


def _batches(images: Feed) -> Iterator[Tensor]:
    first = 0
    for size in images.evaluation_sizes("train"):
        yield images.in_order("train", torch.tensor(first, device=images.device), size)[0]
        first += size


def _placed(network: Network, images: Feed) -> Network:
    return network.to(images.device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]
