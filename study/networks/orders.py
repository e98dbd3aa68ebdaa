"""The order of convolution, BN, ReLU and addition in a block (He et al. 2016, section 4 and figure 4).

An order is a function from the number of convolutions to `Steps`: what the branch does, and what follows the addition,
each a text of C (convolution), B (BN) and R (ReLU).

What a branch does before its first convolution, the stem has done for the first block, before the two paths split, and
follows the last addition of the network: so the paper's section 4.2 has it for full pre-activation. Elsewhere the shortcut
gets a block's input as it is. With `shortcut: projection` it does not where the shape changes: BN and ReLU come before
both paths there, as in the appendix and in the authors' code for 164 and 1001 layers. For the 110 layers of two-layer
blocks, whose shortcuts are A, the paper has no such exception, and the authors published no code; Facebook's
(fb.resnet.torch) has BN and ReLU before both paths there, too. A network without additions is the same chain in each order.
"""

from __future__ import annotations

from typing import NamedTuple


class Steps(NamedTuple):
    """One block in letters; `original(2)` is `Steps("CBRCB", "R")`."""

    branch: str
    after: str
    """What follows the addition."""

    @property
    def before(self) -> str:
        """What stands before the first convolution of the branch."""
        return self.branch[: self.branch.index("C")]

    @property
    def normalised(self) -> bool:
        """Whether BN follows the last convolution of the branch, before the addition."""
        return "B" in self.branch[self.branch.rindex("C") :]


def original(layers: int) -> Steps:
    """Post-activation (He et al. 2015, figure 2; He et al. 2016, figure 4a)."""
    return Steps("CBR" * (layers - 1) + "CB", "R")


def bn_after_add(layers: int) -> Steps:
    """The last BN acts on the sum (figure 4b)."""
    return Steps("CBR" * (layers - 1) + "C", "BR")


def relu_before_add(layers: int) -> Steps:
    """What is added is never negative (figure 4c)."""
    return Steps("CBR" * layers, "")


def relu_only_pre(layers: int) -> Steps:
    """Each ReLU before its convolution, each BN after it (figure 4d)."""
    return Steps("RCB" * layers, "")


def pre(layers: int) -> Steps:
    """Full pre-activation: nothing on the way from input to output but additions (figure 4e)."""
    return Steps("BRC" * layers, "")
