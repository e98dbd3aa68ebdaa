"""Opening what lanes are fed with: images on the device, which all share, or a stream of files for each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from study.config.run import RunSpec
from study.data import ImageFiles, ImageSet
from study.data.decode import lost
from study.training.feeds.feed import Feed
from study.training.feeds.images import Images
from study.training.feeds.stream import Stream
from study.training.ranks import Ranks


def open_feed(
    spec: RunSpec,
    data: ImageSet | ImageFiles,
    device: torch.device,
    ranks: Ranks | None = None,
    decoders: int | None = None,
) -> Feed:
    """What one run is fed with, for measurements; the caller closes it. Arguments as for `open_feeds`."""
    if isinstance(data, ImageSet):
        return Images(data, device, spec.recipe.mean)
    workers = torch.get_num_threads() if decoders is None else decoders
    return Stream(data, spec.recipe, device, ranks, workers)


@contextmanager
def open_feeds(
    specs: Sequence[RunSpec],
    data: ImageSet | ImageFiles,
    device: torch.device,
    ranks: Ranks | None = None,
    decoders: int | None = None,
) -> Iterator[list[Feed]]:
    """What each run is fed with; the processes that decode end with the context.

    Parameters
    ----------
    decoders
        Processes that decode images in files, for each run; None: as many as torch has threads, which is a run's share of
        the cores. Where it is trained is no part of a run: the images are the same whatever their number.

    Raises
    ------
    StudyError
        Out of the context: an image cannot be read, or a process that decoded was killed.
    """
    if isinstance(data, ImageSet):
        shared = {spec.recipe.mean: spec for spec in specs}
        resident = {mean: open_feed(spec, data, device) for mean, spec in shared.items()}
        yield [resident[spec.recipe.mean] for spec in specs]
        return
    streams = [open_feed(spec, data, device, ranks, decoders) for spec in specs]
    try:
        yield streams
    except RuntimeError as error:
        raise lost(error) or error from error
    finally:
        for stream in streams:
            stream.close()
