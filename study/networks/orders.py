"""The order of convolution, BN, ReLU and addition in a block (He et al. 2016, section 4 and figure 4).

An order is a function from the number of convolutions to `Steps`: the branch, and what follows the addition, as texts of
C (convolution), B (BN) and R (ReLU).

For the first block the stem does what precedes a branch's first convolution, before the two paths split, and the
network's tail does it after the last addition, as in the paper's section 4.2 for full pre-activation. Elsewhere the
shortcut gets the block's input, except with `shortcut: projection` where the shape changes: there BN and ReLU precede both
paths, as in the appendix and in the authors' code for 164 and 1001 layers. For the 110 layers of two-layer blocks, whose
shortcuts are A, the paper has no such exception, and the authors published no code; Facebook's (fb.resnet.torch) has BN
and ReLU before both paths there too. A network without additions is the same chain in each order.
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
        """What precedes the first convolution of the branch."""
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
