"""What a network is, from the graph that torch's autograd keeps of a forward pass."""

from __future__ import annotations

from typing import Any

from torch import Tensor

WEIGHTED = ("ConvolutionBackward", "AddmmBackward", "MmBackward", "BmmBackward")
SUMS = ("AddBackward", "AddcmulBackward", "LerpBackward")


def depth_and_sum(images: Tensor, logits: Tensor) -> tuple[int, bool]:
    """The weighted layers on the longest path from a leaf `images` to logits, and whether a shortcut is added to a branch.

    Weighted layers are convolutions and products with a matrix that does not depend on the images. A shortcut is added where
    two values are summed that both depend on them.
    """
    depths: dict[Any, int] = {}  # -1: does not depend on the images
    added, todo = False, [logits.grad_fn]
    while todo:
        node = todo[-1]
        inputs = [] if node is None else [before for before, _ in node.next_functions if before is not None]
        if left := [before for before in inputs if before not in depths]:
            todo += left
            continue
        todo.pop()
        ways = [depth for before in inputs if (depth := depths[before]) >= 0]
        leaf = getattr(node, "variable", None) is images
        weighted = bool(ways) and len(ways) < len(inputs) and type(node).__name__.startswith(WEIGHTED)
        depths[node] = max(ways, default=0 if leaf else -1) + weighted
        added = added or (type(node).__name__.startswith(SUMS) and len(ways) > 1)
    return max(depths[logits.grad_fn], 0), added
