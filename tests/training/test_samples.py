import numpy as np
import pytest
import torch

from study.training.feeds.samples import Draws, Samples


def steps(samples, first, count):
    """The draws of single steps, each taken from a window that begins at it."""
    return [Draws(*(part[0] for part in samples.window(i))) for i in range(first, first + count)]


def test_epoch_has_every_image_once_and_batches_cross_epochs():
    samples = Samples(seed=3, size=10, batch_size=4, pad=1, flip=True)
    images = torch.cat([step.image for step in steps(samples, 0, 15)])
    assert len(images) == 60
    for epoch in range(6):
        assert sorted(images[epoch * 10 : (epoch + 1) * 10].tolist()) == list(range(10))


@pytest.mark.parametrize("size, batch", [(10, 4), (10, 10), (7, 16), (1437, 64)])
def test_window_equals_draws_of_single_steps(size, batch):
    samples = Samples(seed=0, size=size, batch_size=batch, pad=2, flip=True)
    iteration = 0
    while iteration < 3 * -(-size // batch) + 3:
        window = samples.window(iteration)
        for i, step in enumerate(steps(Samples(0, size, batch, 2, True), iteration, len(window.image))):
            for whole, single in zip(window, step, strict=True):
                assert torch.equal(whole[i], single)
        iteration += len(window.image)


def test_the_draws_of_seed_0_are_pinned():
    draws = Samples(seed=0, size=1000, batch_size=5, pad=4, flip=True).window(0)
    assert draws.image[0].tolist() == PINNED_IMAGES
    assert np.stack([draws.top[0], draws.left[0], draws.mirror[0]]).tolist() == PINNED_CROPS
    assert draws.key[0].tolist() == PINNED_KEYS


PINNED_IMAGES = [518, 727, 123, 23, 926]
PINNED_CROPS = [[1, 3, 0, 8, 5], [8, 3, 0, 8, 0], [1, 1, 1, 0, 0]]
PINNED_KEYS = [654498540, 965368411, 663615180, 1832532118, 956195496]
