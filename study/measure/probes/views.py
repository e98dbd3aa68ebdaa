"""Tests of several views of each image: ten crops, and whole images at several scales (He et al. 2015, section 3.4).

A network that ends in a global average pool takes images of any size: on larger ones it is what the papers call fully
convolutional. Softmax scores are averaged over an image's views (Krizhevsky et al. 2012, section 4.1).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from torch import Tensor

from study.errors import StudyError
from study.measure.probes.subject import Subject, Value

SCALES = (1.0, 256 / 224, 384 / 224, 480 / 224, 640 / 224)
"""Shorter sides of the multi-scale test, as multiples of the training size: 224, 256, 384, 480, 640."""
VIEWED = 64
"""Images evaluated at once."""


def ten_crop(subject: Subject) -> Iterator[Value]:
    """`loss` (nats), `error` and `top5_error` (percent) on the whole test set, over ten crops of each image.

    They are the four corners and the centre of the image's middle square, and their mirrors. The square's side is 256
    pixels for ImageNet, and that of small images their own; the crop's is the training size, or 7/8 of small images.
    `loss` is the mean negative log of the averaged scores. `layer` is `test`.

    Source: He et al. 2015, section 3.4. Cost: ten forward passes of the test set. Raises `StudyError` if the crops are
    not smaller than the square.
    """
    feed, (side, crop) = subject.images, subject.images.sides
    if crop >= side:
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

    yield from _test(subject, [side], True, views, 10)


def multi_scale(subject: Subject) -> Iterator[Value]:
    """As `ten_crop`, over whole images whose shorter side is scaled to five sizes, fully convolutionally.

    These are the paper's 224, 256, 384, 480 and 640, scaled for networks trained on another size than 224. The paper does
    not say that it mirrors images here, so none is mirrored. Cost: 18 forward passes of the test set, by the number of
    pixels.
    """
    feed = subject.images
    sides = [round(min(feed.native) * scale) for scale in SCALES]
    yield from _test(subject, sides, False, lambda images: [feed.normalise(images)], len(sides))


def five_crops(images: Tensor, size: int) -> list[Tensor]:
    """Crop the corners and the centre of images (N, H, W, C): five of (N, size, size, C), in torchvision's order."""
    down, across = images.shape[1] - size, images.shape[2] - size
    places = [(0, 0), (0, across), (down, 0), (down, across), (round(down / 2), round(across / 2))]
    return [images[:, top : top + size, left : left + size] for top, left in places]


@torch.no_grad()
def _test(
    subject: Subject, sides: Sequence[int], square: bool, views: Callable[[Tensor], Iterable[Tensor]], count: int
) -> list[Value]:
    """Average the softmax of all `count` views of each image."""
    feed, network = subject.images, subject.network.eval()
    scores = torch.zeros(feed.count("test"), feed.classes, device=feed.device)
    labels = torch.zeros(feed.count("test"), dtype=torch.int64, device=feed.device)
    for side in sides:
        for numbers, images, theirs in feed.views("test", side, square):
            labels[numbers] = theirs
            for part in range(0, len(images), VIEWED):
                rows = numbers[part : part + VIEWED]
                for view in views(images[part : part + VIEWED]):
                    scores.index_add_(0, rows, network(view.permute(0, 3, 1, 2)).softmax(1))
    scores /= count
    found = scores.topk(min(5, scores.shape[1]), 1).indices == labels[:, None]
    loss = -scores.gather(1, labels[:, None]).double().clamp_min(torch.finfo(torch.float32).tiny).log().mean()
    measures = {
        "loss": float(loss),
        "error": 100.0 - 100.0 * int(found[:, :1].sum()) / len(labels),
        "top5_error": 100.0 - 100.0 * int(found.any(1).sum()) / len(labels),
    }
    return [Value(name, "test", 0, value, len(labels)) for name, value in measures.items()]
