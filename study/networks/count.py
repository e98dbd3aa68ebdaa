"""What a network costs: by its shape where that is known, else by torch's counters on tensors without values."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, NamedTuple

from study.config.registry import BLOCKS, FAMILIES, NORMS, SHORTCUTS
from study.config.run import RunSpec
from study.networks import shape


class Count(NamedTuple):
    """The cost of a network for one image."""

    parameters: int
    macs: int
    """Multiply-adds of a forward pass."""
    kept: int
    """Values that a training step keeps for the backward pass."""
    largest: int
    """Values of the largest output of a layer."""
    normalised: bool
    """Whether it has BN."""
    layers: tuple[tuple[str, str, tuple[int, ...], int], ...]
    """Each module with parameters of its own: name, type, shape of its output without the batch, parameters."""


def measured(spec: RunSpec) -> bool:
    """Whether a network has a part of the user's own, whose shape is unknown."""
    parts: list[tuple[Any, Any]] = [
        (FAMILIES, spec.family), (BLOCKS, spec.block), (NORMS, spec.norm), (SHORTCUTS, spec.shortcut),
    ]  # fmt: skip
    return any(chosen is not None and table[chosen.name].source is not None for table, chosen in parts)


def macs(spec: RunSpec, channels: int = 3, classes: int = 10, size: int = 32) -> int:
    """Count the multiply-adds of a forward pass for one image. Arguments as for `study.networks.network.build`."""
    if measured(spec):
        return counted(spec, channels, classes, size).macs
    return shape.macs(spec, channels, classes, size)


def needed(spec: RunSpec, channels: int = 3, classes: int = 10, size: int = 32) -> int:
    """Estimate, on the safe side, the bytes that a run takes on a device at its peak, without the data set."""
    if not measured(spec):
        return shape.needed(spec, channels, classes, size)
    count, itemsize = counted(spec, channels, classes, size), 2 if spec.precision == "bf16" else 4
    work = spec.recipe.batch_size * (count.kept + 4 * count.largest) + 4 * count.largest * shape.EVALUATED
    return 20 * count.parameters + itemsize * work + shape.WORKSPACE


@contextmanager
def _quiet(name: str) -> Iterator[None]:
    """Silence a logger of torch, which prints the traceback of a mistake that is told in one line."""
    logger = logging.getLogger(name)
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


@lru_cache(maxsize=1000)
def _counted(text: str, channels: int, classes: int, size: int) -> Count:
    import torch  # late: networks of built-in parts are planned without it
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.utils.flop_counter import FlopCounterMode

    from study.networks.layers import BatchNorm
    from study.networks.network import structure

    spec = RunSpec.model_validate_json(text)
    batch, kept, layers = 2, [0], []
    with FakeTensorMode(allow_non_fake_inputs=True), _quiet("torch._subclasses.fake_tensor"):
        network = structure(spec, channels, classes, size).train()
        for name, module in network.named_modules():
            own = sum(parameter.numel() for parameter in module.parameters(recurse=False))
            if own:
                module.register_forward_hook(
                    lambda _, __, out, name=name, module=module, own=own: layers.append(
                        (name, type(module).__name__, tuple(out.shape[1:]), own)
                    )
                )
        network.set_keys(torch.zeros(batch, dtype=torch.int64))
        seen = {parameter.untyped_storage()._cdata for parameter in network.parameters()}  # which are there anyway

        def keep(tensor: torch.Tensor) -> torch.Tensor:
            storage = tensor.untyped_storage()._cdata
            if storage not in seen:
                seen.add(storage)
                kept[0] += tensor.numel()
            return tensor

        images = torch.zeros(batch, channels, size, size)
        with (
            FlopCounterMode(display=False) as flops,
            torch.autograd.graph.saved_tensors_hooks(keep, lambda saved: saved),
        ):
            logits = network(images)
    if tuple(logits.shape) != (batch, classes):
        raise ValueError(f"gives {tuple(logits.shape)} for {batch} images, not ({batch}, {classes}) logits")
    parameters = sum(parameter.numel() for parameter in network.parameters())
    outputs = max(((torch.Size(out).numel()) for _, _, out, _ in layers), default=0)
    normalised = any(isinstance(module, BatchNorm) for module in network.modules())
    macs = flops.get_total_flops() // (2 * batch)
    return Count(parameters, macs, kept[0] // batch, outputs, normalised, tuple(layers))


def counted(spec: RunSpec, channels: int = 3, classes: int = 10, size: int = 32) -> Count:
    """Count on tensors without values. Raises what the user's code raises, or `ValueError` for logits of another shape."""
    seedless = spec.model_copy(update={"seed": 0})
    return _counted(seedless.model_dump_json(), channels, classes, size)
