"""The blocks of a network. A plain network has the same block without the addition."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from torch import Tensor, nn

from study.networks.layers import activate, activation, conv, norm
from study.networks.orders import Steps, original
from study.networks.shortcuts import Shortcut, Skipping


class Block(nn.Module):
    """A branch of convolutions with BN and ReLU, and the addition of the shortcut.

    A new kind of block defines its `convolutions`; one that does more in its branch overrides `branch`.

    Parameters
    ----------
    in_maps, maps
        Feature maps before, and of the branch.
    stride
        Of the block: 2 halves height and width.
    shortcut
        What the branch is added to, or None in a plain network.
    order
        Where BN, ReLU and the addition stand (`study.networks.orders`).
    first
        Whether BN and ReLU before the first convolution are done before the two paths split: by the stem for the first
        block, between two stages with `shortcut: projection`.
    options
        Further arguments of `convolutions`.
    """

    def __init__(
        self,
        in_maps: int,
        maps: int,
        stride: int,
        shortcut: Shortcut | None,
        order: Callable[[int], Steps] = original,
        first: bool = False,
        **options: str,
    ) -> None:
        super().__init__()
        convs = self.convolutions(in_maps, maps, stride, **options)
        steps = order(len(convs))
        self._branch = _named(steps.branch)
        self._after = _named(steps.after, steps.branch.count("B"))
        if first:
            self._branch = self._branch[len(steps.before) :]
        width = in_maps
        for name in (*self._branch, *self._after):
            if name.startswith("conv"):
                layer = convs[int(name[4:]) - 1]
                width = layer.out_channels
                self.add_module(name, layer)
            elif name.startswith("bn"):
                self.add_module(name, norm(width))
        self.relu = activation()
        """The run's activation, whatever its name."""
        self.shortcut = shortcut
        self.skipping = Skipping()

    def convolutions(self, in_maps: int, maps: int, stride: int) -> list[nn.Conv2d]:
        """Make the convolutions of the branch, in order, with the registry's `kernels` and `expansion`."""
        raise NotImplementedError

    def branch(self, x: Tensor) -> Tensor:
        """F(x): what is added to the shortcut. (N, in_maps, H, W) to (N, out_maps, H/stride, W/stride)."""
        for place, name in enumerate(self._branch):
            # The first step's input is also the shortcut's.
            x = activate(self.relu, x, inplace=place > 0) if name == "relu" else getattr(self, name)(x)
        return x

    def join(self, x: Tensor, branch: Tensor) -> Tensor:
        """Add the shortcut to the branch, which may be overwritten; in a plain network return the branch."""
        if self.shortcut is None:
            return branch
        if self._branch[-1] == "relu" or type(self).branch is not Block.branch:
            branch = branch.clone()  # the gradient of its last operation may need its output
        return self.shortcut.join(x, self.skipping(branch))

    def after(self, y: Tensor) -> Tensor:
        """Apply what follows the addition; may overwrite `y`."""
        for name in self._after:
            y = activate(self.relu, y, inplace=True) if name == "relu" else getattr(self, name)(y)
        return y

    def rectified(self, y: Tensor) -> Tensor | None:
        """Return the input of the ReLU after the addition, given the sum `y`; None in an order without that ReLU."""
        if "relu" not in self._after:
            return None
        for name in self._after[: self._after.index("relu")]:
            y = getattr(self, name)(y)
        return y

    def names(self, kind: str, after: bool = False) -> list[str]:
        """List the layers of a kind, `conv` or `bn`, in the branch or after the addition."""
        return [name for name in (self._after if after else self._branch) if name.startswith(kind)]

    def normalised(self) -> list[tuple[str, str]]:
        """List each convolution of the branch that BN directly follows, with that BN."""
        pairs = pairwise(self._branch)
        return [(conv, bn) for conv, bn in pairs if conv.startswith("conv") and bn.startswith("bn")]

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_maps, H, W) to (N, out_maps, H/stride, W/stride)."""
        return self.after(self.join(x, self.branch(x)))


def _named(letters: str, bns: int = 0) -> tuple[str, ...]:
    """Turn `CBRC` into the names of the steps: conv1, bn1, relu, conv2; count BN from `bns` on."""
    count = {"C": 0, "B": bns}
    names = []
    for letter in letters:
        if letter == "R":
            names.append("relu")
        else:
            count[letter] += 1
            names.append(f"{'conv' if letter == 'C' else 'bn'}{count[letter]}")
    return tuple(names)


class BasicBlock(Block):
    """Two 3x3 convolutions (He et al. 2015, figure 5 left)."""

    def convolutions(self, in_maps: int, maps: int, stride: int) -> list[nn.Conv2d]:
        return [conv(3, in_maps, maps, stride), conv(3, maps, maps)]


class Bottleneck(Block):
    """1x1 to fewer maps, 3x3, and 1x1 to four times as many (He et al. 2015, figure 5 right).

    `stride_in` is the convolution with the stride: the first `1x1` in the paper, the `3x3` in torchvision.
    """

    def convolutions(self, in_maps: int, maps: int, stride: int, stride_in: str = "1x1") -> list[nn.Conv2d]:
        first, second = (stride, 1) if stride_in == "1x1" else (1, stride)
        return [conv(1, in_maps, maps, first), conv(3, maps, maps, second), conv(1, maps, 4 * maps)]


class SingleBlock(Block):
    """One 3x3 convolution (He et al. 2016, table 3: "1 layer skip")."""

    def convolutions(self, in_maps: int, maps: int, stride: int) -> list[nn.Conv2d]:
        return [conv(3, in_maps, maps, stride)]
