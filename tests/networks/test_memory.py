"""The estimate of memory against what torch saves for the backward pass, byte for byte."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from study.config.run import RunSpec
from study.networks.memory import activations, needed, parts
from study.training.feeds.images import Images
from study.training.program import Program
from tests.helpers import make_spec, tiny_images

CIFAR = {"data": "cifar10", "recipe": "he2015_cifar", "recipe__batch_size": 8, "recipe__bn_groups": 1}
IMAGENET = {**CIFAR, "family": "imagenet", "depth": 18, "family.stem": "imagenet"}


def saved(spec: RunSpec, size: int) -> int:
    """Bytes of activations that autograd keeps after the forward pass."""
    images = Images(tiny_images(size=size, channels=3), torch.device("cpu"))
    program = Program(spec, images)
    weights = {p.untyped_storage().data_ptr() for p in program.network.parameters()}
    buffers = {b.untyped_storage().data_ptr() for b in program.network.buffers()}
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if (
            storage.data_ptr() not in weights | buffers and tensor.numel() > 10_000
        ):  # BN's means and the head's few left out
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    x, labels = images.in_order("train", torch.tensor(0), spec.recipe.batch_size)
    program.network.set_keys(torch.arange(len(x)))
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        # The result is kept alive: what is freed could lend its address to another.
        loss = F.cross_entropy(program.network(x.to(program._dtype)).float(), labels)
    assert loss.requires_grad
    return sum(kept.values())


@pytest.mark.parametrize(
    "fields, size",
    [
        ({**CIFAR, "network": "plain", "depth": 20}, 32),
        ({**CIFAR, "depth": 20}, 32),
        ({**CIFAR, "depth": 20, "precision": "bf16"}, 32),
        ({**CIFAR, "depth": 20, "shortcut": "C"}, 32),
        ({**CIFAR, "family": "imagenet", "depth": 18, "family.stem": "cifar", "shortcut": "B"}, 32),
        ({**CIFAR, "depth": 20, "order": "pre"}, 32),
        ({**CIFAR, "depth": 20, "order": "relu_only_pre"}, 32),
        ({**CIFAR, "depth": 20, "order": "bn_after_add"}, 32),
        ({**CIFAR, "depth": 20, "order": "relu_before_add"}, 32),
        ({**CIFAR, "depth": 29, "block": "bottleneck"}, 32),
        ({**CIFAR, "depth": 29, "block": "bottleneck", "order": "pre", "precision": "bf16"}, 32),
        ({**CIFAR, "depth": 29, "block": "bottleneck", "order": "pre", "shortcut": "projection"}, 32),
        ({**CIFAR, "depth": 20, "block": "single"}, 32),
        ({**CIFAR, "depth": 20, "shortcut": "scaled"}, 32),
        ({**CIFAR, "depth": 20, "shortcut": "shortcut_gate"}, 32),
        ({**CIFAR, "depth": 20, "shortcut": "exclusive_gate"}, 32),
        ({**CIFAR, "depth": 20, "shortcut": "dropout"}, 32),
        ({**CIFAR, "network": "plain", "family": "vgg", "depth": 19, "family.head": "cifar"}, 32),
        ({**IMAGENET, "depth": 50}, 64),
        (IMAGENET, 64),
        ({**IMAGENET, "precision": "bf16", "shortcut": "B"}, 64),
    ],
)
def test_the_estimate_is_what_autograd_keeps(fields: dict[str, object], size: int) -> None:
    spec = make_spec(**fields)
    assert activations(spec, size=size) == pytest.approx(saved(spec, size), rel=0.03)


def test_what_is_needed_grows_with_depth_and_precision() -> None:
    shallow, deep = (make_spec(**CIFAR | {"recipe__batch_size": 128}, depth=d) for d in (20, 110))
    half = make_spec(**CIFAR | {"recipe__batch_size": 128}, depth=110, precision="bf16")
    assert 2 * needed(shallow) < needed(deep) < 2e9
    assert needed(half) < 0.7 * needed(deep)


def test_parts_fit_and_keep_every_run_once() -> None:
    assert parts([5, 4, 3, 2, 1], 8) == [[0, 2], [1, 3, 4]]
    assert parts([5, 4], 100) == [[0, 1]]
    assert parts([9, 1], 3) == [[0], [1]]  # tried alone, though it is thought too large
    assert parts([], 3) == []
