from dataclasses import replace

import numpy as np
import pytest
import torch
from torchvision.transforms.functional import normalize

from study.training.feeds.images import Images
from study.training.feeds.samples import Draws
from tests.helpers import tiny_images


def draws(image, top, left, mirror):
    parts = map(torch.tensor, (image, top, left, mirror, [0] * len(image)))
    return Draws(*parts)


def test_batch_has_padded_crops_and_mirrors():
    data = tiny_images(channels=3)
    pad = 2
    images, labels = Images(data, torch.device("cpu")).batch(
        draws([5, 0, 17], [0, 2, 4], [4, 2, 1], [True, False, True]), pad
    )
    centred = (data.train_images - data.train_images.mean(0, dtype=np.float64).astype(np.float32)) / 255
    padded = np.pad(centred, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    for i, (image, top, left, mirror) in enumerate([(5, 0, 4, True), (0, 2, 2, False), (17, 4, 1, True)]):
        crop = padded[image, top : top + 8, left : left + 8]
        expected = crop[:, ::-1] if mirror else crop
        np.testing.assert_allclose(images[i].permute(1, 2, 0).numpy(), expected, atol=1e-6)
    assert labels.tolist() == data.train_labels[[5, 0, 17]].tolist()
    assert images.shape == (3, 3, 8, 8) and images.is_contiguous(memory_format=torch.channels_last)


def test_ranks_share_the_batches_of_an_evaluation():
    images = Images(tiny_images(train=1200), torch.device("cpu"))
    whole = [labels for _, labels in images.every("train")]
    assert [len(labels) for labels in whole] == [500, 500, 200]
    shares = [[labels for _, labels in images.every("train", rank, 2)] for rank in (0, 1)]
    assert [len(share) for share in shares] == [2, 1]
    assert torch.equal(torch.cat([shares[0][0], shares[1][0], shares[0][1]]), torch.cat(whole))
    assert list(images.every("test", 1, 2)) == []


def test_channel_mean():
    data = tiny_images(train=300, channels=3)
    images = Images(data, torch.device("cpu"), "channel")
    first, _ = images.at("train", torch.arange(300))
    expected = (data.train_images - data.train_images.mean((0, 1, 2), dtype=np.float64)) / 255
    np.testing.assert_allclose(first.permute(0, 2, 3, 1).numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("white, kind", [(255, np.uint8), (1, np.float32)])
def test_given_means_and_deviations(white, kind):
    """As torchvision's Normalize; of all channels, or of each."""
    data = tiny_images(train=20, channels=3)
    data = replace(data, test_images=data.test_images.astype(kind), train_images=data.train_images.astype(kind))
    for means, deviations in (((0.4,), (0.2,)), ((0.4, 0.5, 0.6), (0.2, 0.3, 0.4))):
        feed = Images(data, torch.device("cpu"), (means, deviations))
        found, _ = feed.at("test", torch.arange(20))
        expected = (torch.from_numpy(data.test_images).permute(0, 3, 1, 2) / white).float()
        wanted = normalize(expected, list(means * 3)[:3], list(deviations * 3)[:3])
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)
