"""Which images each step gets, and how they are cropped and mirrored: a pure function of seed and iteration.

Every epoch is one permutation of the training set. Batches are always full: they are cut from the permutations
laid end to end, so that a batch may end one epoch and begin the next. All draws are made on the CPU, an epoch
at a time, from `(seed, epoch)`: they are the same on every device, in every pack and after every resume.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

_SAMPLES, _MIXING = 1, 2  # tell these streams from the others of a seed


class Draws(NamedTuple):
    """Several batches of draws; each tensor is (batches, batch_size)."""

    image: Tensor
    """Its number in the training set, int64."""
    top: Tensor
    """First row of the crop in the padded image, 0 to 2 * pad, int64."""
    left: Tensor
    """First column, as `top`."""
    mirror: Tensor
    """Whether the crop is mirrored left to right, bool."""
    key: Tensor
    """Seed of all other random choices about this sample: 31 bits, int64."""


def mixing(seed: int, iteration: int, mixup: float | None, cutmix: float | None) -> tuple[float, float, float, float]:
    """Draw how the batch of a step is mixed: the share that each image keeps, 1 for a box, and the box's centre in [0, 1)."""
    random = np.random.RandomState(np.random.MT19937(np.random.SeedSequence([seed, _MIXING, iteration])))
    coin, y, x = random.uniform(size=3)
    box = mixup is None or (cutmix is not None and coin < 0.5)
    alpha = cutmix if box else mixup
    return float(random.beta(alpha, alpha)), float(box), float(y), float(x)  # type: ignore[arg-type]


def mask(mix: Tensor, height: int, width: int) -> Tensor:
    """Return the share that each pixel keeps, (height, width), for a draw of `mixing`, (4,), on its device.

    A box has the share 1 - kept of the image's sides squared, as in Yun et al. 2019; what lies outside the image is cut off.
    """
    kept, box, y, x = mix.unbind()
    half = (1 - kept).sqrt() / 2
    inside = torch.ones((), dtype=torch.bool, device=mix.device)
    for size, centre, shape in ((height, y, (-1, 1)), (width, x, (1, -1))):
        place = torch.arange(size, device=mix.device)
        middle, reach = (centre * size).floor(), (half * size).floor()
        inside = inside & ((place >= middle - reach) & (place < middle + reach)).view(shape)
    return torch.where(box > 0, 1.0 - inside.to(kept.dtype), kept)


class Samples:
    """The endless sequence of samples of a run's seed, from a training set of `size` images.

    `pad` is the padding on each side in pixels (0: no random crop); with `flip` images are mirrored with probability 1/2.
    """

    def __init__(self, seed: int, size: int, batch_size: int, pad: int, flip: bool) -> None:
        self.seed, self.size, self.batch_size, self.pad, self.flip = seed, size, batch_size, pad, flip
        self._epoch = lru_cache(maxsize=2)(self._draw_epoch)

    def _draw_epoch(self, epoch: int) -> np.ndarray:
        """(5, size): image, top, left, mirror, key of one epoch."""
        # RandomState, because NumPy promises that its streams never change; Generator's may.
        random = np.random.RandomState(np.random.MT19937(np.random.SeedSequence([self.seed, _SAMPLES, epoch])))
        image = random.permutation(self.size)
        top, left = random.randint(0, 2 * self.pad + 1, (2, self.size))
        mirror = random.randint(0, 2, self.size) * int(self.flip)
        key = random.randint(0, 2**31 - 1, self.size)  # drawn last: an addition must not change the other draws
        return np.stack([image, top, left, mirror, key])

    def window(self, iteration: int) -> Draws:
        """Return the batches from step `iteration` (from 0) on that begin in its epoch: at least one."""
        epoch, offset = divmod(iteration * self.batch_size, self.size)
        batches = -(-(self.size - offset) // self.batch_size)
        needed = offset + batches * self.batch_size
        epochs = [self._epoch(epoch + i) for i in range(-(-needed // self.size))]
        part = np.concatenate(epochs, axis=1)[:, offset:needed].reshape(5, batches, self.batch_size)
        image, top, left, mirror, key = torch.from_numpy(part)
        return Draws(image, top, left, mirror.bool(), key)
