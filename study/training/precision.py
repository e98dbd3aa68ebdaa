"""Precision settings of torch and its libraries, and whether bfloat16 is faster on this CPU."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import lru_cache

import torch

log = logging.getLogger(__name__)


@contextmanager
def backends(precisions: set[str], device: torch.device, deterministic: bool) -> Iterator[None]:
    """Set TF32, deterministic algorithms and the current device within a context. Raises `ValueError` for several precisions."""
    if len(precisions) != 1:
        raise ValueError(f"a pack of several precisions: {sorted(precisions)}")
    tf32 = precisions == {"tf32"}
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    try:
        with (
            torch.cuda.device(device) if device.type == "cuda" else nullcontext(),
            # No benchmarking: it could choose another algorithm in every attempt.
            torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=deterministic, allow_tf32=tf32),
        ):
            yield
    finally:
        torch.set_float32_matmul_precision(before)


@lru_cache(maxsize=1)
def bf16_gain(seconds: float = 0.3) -> float:
    """Measure for about `seconds` how much faster bfloat16 is than float32: a 3x3 convolution, forward and backward.

    CPUs with AMX or Zen 4's units gain; others are slower in bfloat16. The two alternate, so that a busy machine slows both.
    """
    best = {torch.float32: float("inf"), torch.bfloat16: float("inf")}
    weight = torch.randn(32, 32, 3, 3).contiguous(memory_format=torch.channels_last)
    images = torch.randn(32, 32, 16, 16).contiguous(memory_format=torch.channels_last)
    tensors = {dtype: (images.to(dtype).requires_grad_(), weight.to(dtype).requires_grad_()) for dtype in best}
    deadline = time.perf_counter() + seconds
    while time.perf_counter() < deadline or float("inf") in best.values():
        for dtype, (x, w) in tensors.items():
            began = time.perf_counter()
            torch.autograd.grad(torch.conv2d(x, w, padding=1).sum(), (x, w))
            best[dtype] = min(best[dtype], time.perf_counter() - began)
    return best[torch.float32] / best[torch.bfloat16]


def slow_bf16() -> str | None:
    """Return a warning if bfloat16 is slower than float32 on this CPU."""
    gain = bf16_gain()
    log.info("convolutions in bf16 are %.2f times as fast as in fp32 on this CPU", gain)
    return None if gain >= 1.0 else "precision bf16 is slower than fp32 on this CPU; precision=fp32 would be faster"
