"""The network evaluated with BN's running statistics, with recalibrated ones, and with BN folded into its convolutions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from copy import deepcopy

import torch
from torch import Tensor

from study.measure.probes.subject import Subject, Value, scores
from study.networks.fold import Folded
from study.networks.layers import BatchNorm
from study.networks.network import Network, Own


def measure(subject: Subject) -> Iterator[Value]:
    """`loss_` (nats) and `error_` (percent) with `running`, `recalibrated` and `folded` BN; `layer` is `train`, the
    probe's images, or `test`, the whole test set.

    `running` statistics are the moving averages of training. `recalibrated` ones are means of each BN's batch mean and
    variance over whole batches (in `bn_groups` parts) of the probe's training images, with the trained weights: another
    result shows that the averages lag behind the weights, or that training's augmentation changed them. `folded` is
    `running` with BN folded into the convolution before it: equal up to rounding. `folded_difference` is the largest
    difference of a logit over the largest logit. Networks of a family of the user's own are not folded.

    Source: Li et al. 2018, section 4, takes BN in evaluation mode for granted; Wu & Johnson 2021 (arXiv 2105.07576) on
    recalibrated ("precise") statistics. Cost: four forward passes of the probe's images and three of the test set.
    """
    network = subject.network.eval()
    others: dict[str, Network | Folded] = {
        "running": network,
        "recalibrated": recalibrate(deepcopy(network), parts(subject)),
    }
    if not isinstance(network, Own):  # whose structure is unknown
        others["folded"] = Folded(network)
    with torch.no_grad():
        for split in ("train", "test"):
            for name, other in others.items():
                total, count = torch.zeros(2, dtype=torch.float64), 0
                for images, labels in subject.every(split) if split == "test" else subject.batches():
                    total += scores(other(images), labels)
                    count += len(labels)
                loss, wrong = total.tolist()
                yield Value(f"loss_{name}", split, 0, loss / count, count)
                yield Value(f"error_{name}", split, 0, 100.0 * wrong / count, count)
        if "folded" in others:
            images, _ = next(subject.batches())
            expected = network(images)
            difference = float((others["folded"](images) - expected).abs().max() / expected.abs().max())
            yield Value("folded_difference", "", 0, difference, len(images))


def parts(subject: Subject) -> Iterator[Tensor]:
    """Yield the probe's images as BN sees them in training."""
    for images, _ in subject.batches():
        yield from images.chunk(subject.spec.recipe.bn_groups)


@torch.no_grad()
def recalibrate(network: Network, batches: Iterable[Tensor]) -> Network:
    """Set BN's statistics to the means over these batches (N, C, H, W), in place; end in evaluation mode."""
    modules = [module for module in network.modules() if isinstance(module, BatchNorm)]
    for module in modules:
        module.reset_running_stats()
    network.train()
    for count, images in enumerate(batches, 1):
        for module in modules:
            # A plain mean over all batches, without torch's counter, for which the host would wait.
            module.momentum = 1 / count
        network.set_keys(torch.arange(len(images), device=images.device))
        network(images)
    return network.eval()
