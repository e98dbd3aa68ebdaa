"""The blocks of a network. A plain network has the same block without the addition."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from study.networks.layers import activate, activation, blocks, conv, norm
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

    head_scale = 1.0
    """Factor of the initial weights of the linear layer behind such blocks."""

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


class RepVgg(BasicBlock):
    """Two 3x3 convolutions, each with a 1x1 and an identity beside it (Ding et al. 2021, arXiv 2101.03697, section 3.2).

    ReLU(BN(3x3 x) + BN(1x1 x) + BN(x)), the last where the shape stays; after training one 3x3 convolution
    (section 3.3, `study.networks.merge`). The 3x3 are those of the plain network with basic blocks, and start with its
    weights. In paper and code (github.com/DingXiaoH/RepVGG) the first layer is such a block too; here the stem is the other
    networks'.
    """

    def __init__(self, *given: Any, **options: Any) -> None:
        super().__init__(*given, **options)
        self.sides = nn.ModuleDict({name: Side(getattr(self, name)) for name, _ in self.normalised()})

    def branch(self, x: Tensor) -> Tensor:
        given, norms = x, {bn: conv for conv, bn in self.normalised() if conv in self.sides}
        for place, name in enumerate(self._branch):
            if name in self.sides:
                given = x
            x = activate(self.relu, x, inplace=place > 0) if name == "relu" else getattr(self, name)(x)
            if name in norms:
                x = x + self.sides[norms[name]](given)
        return x


class Side(nn.Module):
    """The 1x1 convolution and, where the shape stays, the identity beside a convolution, each with a norm."""

    def __init__(self, beside: nn.Conv2d) -> None:
        super().__init__()
        maps = beside.out_channels
        self.conv = nn.Conv2d(beside.in_channels, maps, 1, beside.stride, bias=False)  # type: ignore[arg-type]
        self.bn = norm(maps)
        self.same = norm(maps) if beside.in_channels == maps and beside.stride == (1, 1) else None

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.bn(self.conv(x))
        return out if self.same is None else out + self.same(x)


class Fixup(BasicBlock):
    """Two 3x3 convolutions without norm, with scalar biases and a multiplier (Zhang et al. 2019, arXiv 1901.09321).

    (1) The classifier and the last layer of each branch start at 0; (2) the others in branches are multiplied by
    L^(-1/(2m-2)), with L blocks of m layers; (3) each branch has a scalar multiplier that starts at 1, and a scalar bias that
    starts at 0 before each convolution and activation. Stem and classifier keep the biases that they have without norm.

    The authors' CIFAR code (github.com/hongyi-zhang/Fixup) has scalar biases behind the stem and before the classifier, draws
    with fan_out, which is fan_in where maps stay, and the stem as PyTorch does, adds the first bias to the input of a subsampled
    shortcut too, and trains biases and multipliers at a tenth of the learning rate.
    """

    head_scale = 0.0

    def __init__(self, *given: Any, **options: Any) -> None:
        super().__init__(*given, **options)
        *rest, last = [getattr(self, name) for name in self.names("conv")]
        for layer in rest:
            layer.initial_scale = blocks() ** (-1 / (2 * len(rest)))
        last.initial_scale = 0.0
        self.before = nn.Parameter(torch.zeros(len(rest) + 1))
        self.behind = nn.Parameter(torch.zeros(len(rest) + 1))
        self.multiplier = nn.Parameter(torch.ones(1))

    def convolutions(self, in_maps: int, maps: int, stride: int) -> list[nn.Conv2d]:
        return [conv(3, in_maps, maps, stride, bias=False), conv(3, maps, maps, bias=False)]

    def branch(self, x: Tensor) -> Tensor:
        convs = self.names("conv")
        for name in self._branch:
            if name in convs:
                place = convs.index(name)
                x = getattr(self, name)(x + self.before[place])
                x = (x * self.multiplier[0] if name == convs[-1] else x) + self.behind[place]
            else:
                x = activate(self.relu, x) if name == "relu" else getattr(self, name)(x)
        return x
