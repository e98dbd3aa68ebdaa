import math

import pytest
import torch
from torch.nn import functional as F  # noqa: N812
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from study.networks.network import build
from study.training.feeds.images import Images
from study.training.feeds.samples import mask, mixing
from study.training.lane import Lane
from tests.helpers import make_spec, tiny_images

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
