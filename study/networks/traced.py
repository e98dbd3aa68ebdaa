"""A forward pass of any network, traced: shapes, multiply-adds, and what a training step keeps."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor
from torch._subclasses import fake_tensor as fake
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from study.networks.layers import BatchNorm
from study.networks.network import Network
from study.networks.shape import Count

BATCH = 2
_OF_VALUES = (
    fake.DataDependentOutputException,
    fake.DynamicOutputShapeException,
    fake.UnsupportedFakeTensorException,
    fake.UnsupportedOperatorException,
)


def traced(network: Network, channels: int, classes: int, size: int) -> Count:
    """Count a network on tensors without values, or with values where its forward pass depends on them.

    Raises what the user's code raises, or `ValueError` for anything but logits (N, classes).
    """
    mode = fake.FakeTensorMode(allow_non_fake_inputs=True)
    try:
        with mode, _quiet("torch._subclasses.fake_tensor"):
            with fake.FakeCopyMode(mode):
                copy = deepcopy(network)
            return _traced(copy, channels, classes, size)
    except _OF_VALUES:
        return _traced(network, channels, classes, size)


@contextmanager
def _quiet(name: str) -> Iterator[None]:
    """Silence a logger of torch, which prints the traceback of a mistake that is told in one line."""
    logger = logging.getLogger(name)
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


def _traced(network: Network, channels: int, classes: int, size: int) -> Count:
    holders = {name: m for name, m in network.train().named_modules() if any(True for _ in m.parameters(recurse=False))}
    shapes: dict[str, tuple[int, ...]] = {}

    def note(name: str, out: Any) -> None:
        tensors = [leaf for leaf in tree_leaves(out) if isinstance(leaf, Tensor)]
        shapes[name] = tuple(tensors[0].shape[1:]) if tensors else ()

    for name, module in holders.items():
        module.register_forward_hook(lambda _, __, out, name=name: note(name, out))
    network.set_keys(torch.zeros(BATCH, dtype=torch.int64))
    seen = {parameter.untyped_storage()._cdata for parameter in network.parameters()}  # which are there anyway
    kept = 0

    def keep(tensor: Tensor) -> Tensor:
        nonlocal kept
        storage = tensor.untyped_storage()._cdata
        if storage not in seen:
            seen.add(storage)
            kept += tensor.numel()
        return tensor

    with (
        FlopCounterMode(display=False) as flops,
        sdpa_kernel(SDPBackend.MATH),  # as products of matrices, which are counted on every device
        torch.autograd.graph.saved_tensors_hooks(keep, lambda saved: saved),
    ):
        logits: Any = network(torch.zeros(BATCH, channels, size, size))
    _check(logits, classes)
    names = dict.fromkeys([*shapes, *holders])  # in the order of the forward pass
    sizes = {name: sum(p.numel() for p in holders[name].parameters(recurse=False)) for name in names}
    return Count(
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        macs=flops.get_total_flops() // (2 * BATCH),
        kept=kept // BATCH,
        largest=max((torch.Size(shape).numel() for shape in shapes.values()), default=0),
        normalised=any(isinstance(module, BatchNorm) for module in network.modules()),
        layers=tuple((name, type(holders[name]).__name__, shapes.get(name, ()), sizes[name]) for name in names),
    )


def _check(logits: Any, classes: int) -> None:
    found = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
    if found != (BATCH, classes):
        raise ValueError(f"gives {found} for {BATCH} images, not ({BATCH}, {classes}) logits")
    if not logits.requires_grad:
        raise ValueError("has no parameter to train: its logits depend on none")
