"""Open the feeds of lanes: shared images on the device, or a stream of files for each."""

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
    """Open the feed of one run, for measurements; the caller closes it. Arguments as for `open_feeds`."""
    if isinstance(data, ImageSet):
        return Images(data, device, spec.recipe.prepared)
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
    """Open the feed of each run; decoding processes end with the context.

    `decoders` is the number of processes that decode image files for each run, by default the number of torch's
    threads, a run's share of the cores; it does not change the images. The context raises `StudyError` if an image
    cannot be read or a decoding process was killed.
    """
    if isinstance(data, ImageSet):
        shared = {spec.recipe.prepared: spec for spec in specs}
        resident = {prepared: open_feed(spec, data, device) for prepared, spec in shared.items()}
        yield [resident[spec.recipe.prepared] for spec in specs]
        return
    streams = [open_feed(spec, data, device, ranks, decoders) for spec in specs]
    try:
        yield streams
    except RuntimeError as error:
        raise lost(error) or error from error
    finally:
        for stream in streams:
            stream.close()
