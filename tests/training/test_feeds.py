"""What a step gets: which images, how they are cut and mirrored, and how they are mixed."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F  # noqa: N812
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torchvision.transforms.functional import normalize

from study.networks.network import build
from study.training.feeds.images import Images
from study.training.feeds.samples import Draws, Samples, mask, mixing
from study.training.lane import Lane
from tests.helpers import make_spec, tiny_images


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


# -- images ------------------------------------------------------------------------------------------------------------


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


# -- mixing ------------------------------------------------------------------------------------------------------------

CPU = torch.device("cpu")
SHORT = {"recipe__iterations": 12, "recipe__batch_size": 16, "recipe__pad": 0, "recipe__flip": False}


def test_draws_depend_on_seed_and_iteration_alone_and_follow_the_beta_distribution():
    assert mixing(1, 7, 0.4, 1.0) == mixing(1, 7, 0.4, 1.0) != mixing(2, 7, 0.4, 1.0) != mixing(2, 8, 0.4, 1.0)
    kept, box, *_ = torch.tensor([mixing(0, i, 0.5, None) for i in range(2000)]).unbind(1)
    assert float(kept.mean()) == pytest.approx(0.5, abs=0.03) and float(kept.var()) == pytest.approx(1 / 8, abs=0.01)
    assert not box.any()
    assert float(torch.tensor([mixing(0, i, 0.5, 1.0)[1] for i in range(2000)]).mean()) == pytest.approx(0.5, abs=0.04)
    assert all(mixing(0, i, None, 1.0)[1] for i in range(100))


def test_a_box_has_the_pixels_of_the_paper():
    """Yun et al. 2019, algorithm 1, by plain arithmetic."""
    height, width = 8, 12
    for i in range(200):
        draw = mixing(3, i, None, 1.0)
        kept, _, y, x = draw
        reach = [int(math.sqrt(1 - kept) / 2 * size) for size in (height, width)]
        centre = [int(y * height), int(x * width)]
        expected = torch.ones(height, width)
        top, left = (max(c - r, 0) for c, r in zip(centre, reach, strict=True))
        expected[top : centre[0] + reach[0], left : centre[1] + reach[1]] = 0.0
        assert torch.equal(mask(torch.tensor(draw), height, width), expected)
    assert torch.equal(mask(torch.tensor([0.3, 0.0, 0.5, 0.5]), 2, 2), torch.full((2, 2), 0.3))


@pytest.mark.parametrize("fields", [{"mixup": 0.4}, {"cutmix": 1.0}, {"cutmix": 1.0, "label_smoothing": 0.1}])
def test_the_loss_of_mixed_images_is_that_of_both_labels(fields):
    spec = make_spec(**SHORT, **{f"recipe__{k}": v for k, v in fields.items()})
    lane = Lane(spec, None, Images(tiny_images(), CPU))
    network = build(spec, 1, 10)
    lane.prepare()
    images, labels = lane.images.batch(lane.program.draws(), 0)
    kept = mask(torch.tensor(mixing(spec.seed, 0, spec.recipe.mixup, spec.recipe.cutmix)), 8, 8)
    partner = torch.arange(15, -1, -1)
    logits = network(torch.stack([kept * a + (1 - kept) * images[b] for a, b in zip(images, partner, strict=True)]))
    smoothing = spec.recipe.label_smoothing or 0.0
    losses = [F.cross_entropy(logits, own, label_smoothing=smoothing) for own in (labels, labels[partner])]
    lane.program.step()
    share = kept.mean()
    expected = (share * losses[0] + (1 - share) * losses[1]).item()
    assert float(lane.program.loss) == pytest.approx(expected, rel=1e-5)


def test_running_means_are_those_of_torch():
    spec = make_spec(**SHORT, recipe__ema=0.8)
    lane = Lane(spec, None, Images(tiny_images(), CPU))
    network = build(spec, 1, 10)
    theirs = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(0.8), use_buffers=True)
    theirs.update_parameters(network)  # its first call copies
    lane.prepare()
    for _ in range(2):
        lane.program.step()
        network.load_state_dict(lane.network(), strict=False)
        theirs.update_parameters(network)
    before = {name: tensor.clone() for name, tensor in lane.network().items()}
    lane.program.swap_means()
    means = lane.network()
    for name, tensor in theirs.module.named_parameters():
        torch.testing.assert_close(means[name], tensor)
    torch.testing.assert_close(means["stem.1.running_mean"], theirs.module.state_dict()["stem.1.running_mean"])
    lane.program.swap_means()
    assert all(torch.equal(tensor, before[name]) for name, tensor in lane.network().items())
