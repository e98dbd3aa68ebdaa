"""Tests of several views of each image: ten crops, and whole images at several scales (He et al. 2015, section 3.4).

A network that ends in a global average pool takes images of any size: on larger ones it is what the papers call fully
convolutional. Softmax scores are averaged over an image's views (Krizhevsky et al. 2012, section 4.1).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from torch import Tensor, nn

from study.errors import StudyError
from study.training.feeds.feed import Feed

SCALES = (1.0, 256 / 224, 384 / 224, 480 / 224, 640 / 224)
"""Shorter sides of the multi-scale test, as multiples of the training size: 224, 256, 384, 480, 640."""
VIEWED = 64
"""Images evaluated at once."""

Measures = list[tuple[str, float]]
"""`loss` (mean negative log of the averaged scores, nats), `error` and `top5_error` (percent)."""


def ten_crop(
    network: nn.Module, feed: Feed, split: str = "test", *, side: int | None = None, crop: int | None = None
) -> Measures:
    """Test on the four corners and the centre of each image's middle square, and their mirrors.

    The network is on the feed's device. `side` is the square's, to which an image's shorter side is scaled; by default
    256 for ImageNet, an image's own if images are small. `crop` is the view's, by default the training size, or 7/8 of
    small images. Raises `StudyError` if the crops are not smaller than the square.
    """
    side, crop = side or feed.sides[0], crop or feed.sides[1]
    if not 1 <= crop < side:
        raise StudyError(
            f"a 10-crop test needs crops smaller than the images, not {crop} of {side} pixels; "
            "with data: image_stream set recipe.scales, such as [256, 480] for crops of 224"
        )

    def views(images: Tensor) -> Iterator[Tensor]:
        # A mean at each pixel belongs to what the network was trained on: the image, or a crop of it.
        registered = images.shape[1:3] == feed.native
        whole = feed.normalise(images) if registered else images
        for part in five_crops(whole, crop):
            for view in (part, part.flip(2)):  # as in training: where crops have the mean, it is not mirrored
                yield view if registered else feed.normalise(view)

    scores = torch.zeros(feed.count(split), feed.classes, device=feed.device)
    labels = torch.zeros(feed.count(split), dtype=torch.int64, device=feed.device)
    _add(scores, labels, network, feed.views(split, side, square=True), views)
    return _measures(scores / 10, labels)


def multi_scale(network: nn.Module, feed: Feed, split: str = "test", *, sides: Sequence[int] | None = None) -> Measures:
    """Test on whole images whose shorter side is scaled to each of `sides`, fully convolutionally.

    By default these are the paper's 224, 256, 384, 480 and 640, scaled for networks trained on another size than 224.
    The paper does not say that it mirrors images here, so none is mirrored.
    """
    sides = sides or [round(min(feed.native) * scale) for scale in SCALES]
    if min(sides) < 1:
        raise StudyError(f"the sides of a multi-scale test must be at least 1 pixel, not {min(sides)}")
    scores = torch.zeros(feed.count(split), feed.classes, device=feed.device)
    labels = torch.zeros(feed.count(split), dtype=torch.int64, device=feed.device)
    for side in sides:
        _add(scores, labels, network, feed.views(split, side, square=False), lambda images: [feed.normalise(images)])
    return _measures(scores / len(sides), labels)


def five_crops(images: Tensor, size: int) -> list[Tensor]:
    """Crop the corners and the centre of images (N, H, W, C): five of (N, size, size, C), in torchvision's order."""
    down, across = images.shape[1] - size, images.shape[2] - size
    places = [(0, 0), (0, across), (down, 0), (down, across), (round(down / 2), round(across / 2))]
    return [images[:, top : top + size, left : left + size] for top, left in places]


@torch.no_grad()
def _add(
    scores: Tensor,
    labels: Tensor,
    network: nn.Module,
    groups: Iterable[tuple[Tensor, Tensor, Tensor]],
    views: Callable[[Tensor], Iterable[Tensor]],
) -> None:
    """Add the softmax of every view of an image to its row of the scores (N, classes), and store its label."""
    mode, dtype = network.training, next(network.parameters()).dtype
    network.eval()
    try:
        for numbers, images, theirs in groups:
            labels[numbers] = theirs
            for part in range(0, len(images), VIEWED):
                rows = numbers[part : part + VIEWED]
                for view in views(images[part : part + VIEWED]):
                    logits = network(view.permute(0, 3, 1, 2).to(dtype)).float()
                    scores.index_add_(0, rows, logits.softmax(1))
    finally:
        network.train(mode)


def _measures(scores: Tensor, labels: Tensor) -> Measures:
    true = scores.gather(1, labels[:, None])
    best = scores.topk(min(5, scores.shape[1]), 1).indices
    found = best == labels[:, None]
    loss = -true.double().clamp_min(torch.finfo(torch.float32).tiny).log().mean()
    return [
        ("loss", float(loss)),
        ("error", 100.0 - 100.0 * int(found[:, :1].sum()) / len(labels)),
        ("top5_error", 100.0 - 100.0 * int(found.any(1).sum()) / len(labels)),
    ]
