"""The shortcut connections, options A to C among them: how a block's input joins its branch.

A to C are those of He et al. 2015, section 3.3; `projection` is that of the bottlenecks of He et al. 2016; the others are
those of its section 3, table 1, each a change of A. Its "1x1 conv" is C.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from study.networks.layers import blocks, norm


class Shortcut(nn.Module):
    """What joins a block's input x to its branch F(x): their sum, unless a subclass says otherwise.

    `forward` is what the shortcut carries, (N, in_maps, H, W) to (N, out_maps, H/stride, W/stride).
    """

    def join(self, x: Tensor, branch: Tensor) -> Tensor:
        """Join the shortcut and the branch; may overwrite the branch, which saves 2 % of a step's time."""
        return branch.add_(self(x))


class Identity(Shortcut):
    """The identity."""

    def forward(self, x: Tensor) -> Tensor:
        return x


class ZeroPad(Shortcut):
    """Option A where the shape changes: every second pixel, and zeros for the new maps; no parameters."""

    def __init__(self, in_maps: int, out_maps: int, stride: int) -> None:
        super().__init__()
        self.extra, self.stride = out_maps - in_maps, stride

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.extra))


class Projection(Shortcut, nn.Sequential):
    """A 1x1 convolution, and BN unless told otherwise."""

    def __init__(self, in_maps: int, out_maps: int, stride: int, normalised: bool = True) -> None:
        bn = [norm(out_maps)] if normalised else []
        super().__init__(nn.Conv2d(in_maps, out_maps, 1, stride, bias=False), *bn)


def option_a(in_maps: int, out_maps: int, stride: int) -> Shortcut:
    """A: the identity; where the shape changes, subsampled and zero-padded."""
    return Identity() if in_maps == out_maps and stride == 1 else ZeroPad(in_maps, out_maps, stride)


def projection(in_maps: int, out_maps: int, stride: int, normalised: bool = True) -> Shortcut:
    """The identity; where the shape changes, a 1x1 convolution with the BN and ReLU of the order (He et al. 2016, appendix).

    BN follows it where BN follows the last convolution of the branch (`normalised`), and it gets what the first one gets:
    the network sees to that. So in the original order it is B. In full pre-activation BN and ReLU come before both
    paths, and none after: the authors' code (github.com/KaimingHe/resnet-1k-layers).
    """
    same = in_maps == out_maps and stride == 1
    return Identity() if same else Projection(in_maps, out_maps, stride, normalised)


option_b, option_c = projection, Projection
"""B: the identity; where the shape changes, a projection. C: a projection everywhere."""


class _OverA(Shortcut):
    """A change of option A."""

    def __init__(self, in_maps: int, out_maps: int, stride: int) -> None:
        super().__init__()
        self.carry = option_a(in_maps, out_maps, stride)

    def forward(self, x: Tensor) -> Tensor:
        return self.carry(x)  # type: ignore[no-any-return]


class Scaled(_OverA):
    """Constant scaling (section 3.1): `scale` x + `branch` F(x)."""

    def __init__(self, in_maps: int, out_maps: int, stride: int, scale: float, branch: float) -> None:
        super().__init__(in_maps, out_maps, stride)
        self.scale, self.branch = scale, branch

    def forward(self, x: Tensor) -> Tensor:
        return torch.mul(self.carry(x), self.scale)

    def join(self, x: Tensor, branch: Tensor) -> Tensor:
        return torch.add(self(x), branch, alpha=self.branch)


def by_depth(in_maps: int, out_maps: int, stride: int) -> Shortcut:
    """x + F(x) / sqrt(L), with L blocks (Zhang et al. 2019, arXiv 1903.07120, eq. 1).

    They prove that this keeps a network without norm stable at any depth, and that a factor which falls more slowly does not.
    """
    return Scaled(in_maps, out_maps, stride, 1.0, blocks() ** -0.5)


class Weighted(_OverA):
    """x + w F(x), with a learned weight w of the branch: one number, or one for each map.

    SkipInit (De & Smith 2020, arXiv 2002.10444): one number that starts at 0, without norm; as in the authors' later NF-ResNets
    (github.com/google-deepmind/deepmind-research, `nfnets`). ReZero (Bachlechner et al. 2020, arXiv 2003.04887) is the same
    formula; its authors' ResNets (github.com/tbachlechner/ReZero-examples) have BN and `order: relu_before_add`.
    """

    def __init__(self, in_maps: int, out_maps: int, stride: int, initial: float | None = None, maps: int = 1) -> None:
        super().__init__(in_maps, out_maps, stride)
        self.weight = nn.Parameter(torch.full((maps,), initial or 0.0))

    def join(self, x: Tensor, branch: Tensor) -> Tensor:
        return torch.addcmul(self(x), branch, self.weight.to(branch.dtype).view(-1, 1, 1))


def layer_scale(in_maps: int, out_maps: int, stride: int, initial: float | None) -> Shortcut:
    """LayerScale, x + diag(w) F(x) (Touvron et al. 2021, arXiv 2103.17239): a weight for each map.

    They start w at 0.1 up to depth 18, at 1e-5 up to 24 and at 1e-6 beyond; depth is here the number of blocks, of which theirs
    have two branches. Their code (github.com/facebookresearch/deit, `cait_models.py`) has 1e-5 in its narrowest of depth 36, too.
    """
    if initial is None:
        initial = 0.1 if blocks() <= 18 else 1e-5 if blocks() <= 24 else 1e-6
    return Weighted(in_maps, out_maps, stride, initial, out_maps)


class ShortcutGate(_OverA):
    """Shortcut-only gating (section 3.1): (1 - g(x)) x + F(x), where g is the sigmoid of a 1x1 convolution of x.

    Where the block changes the shape, so does the gate's convolution. Its weights are initialised as all others, its
    bias is `bias`: the more negative, the nearer the shortcut is to the identity. They took the best of 0 to -10, -6.
    """

    def __init__(self, in_maps: int, out_maps: int, stride: int, bias: float) -> None:
        super().__init__(in_maps, out_maps, stride)
        self.gate = nn.Conv2d(in_maps, out_maps, 1, stride)
        self.gate.initial_bias = bias  # type: ignore[assignment]

    def forward(self, x: Tensor) -> Tensor:
        return torch.mul(torch.sigmoid(-self.gate(x)), self.carry(x))  # 1 - sigmoid(z) is sigmoid(-z)


class ExclusiveGate(ShortcutGate):
    """Exclusive gating (section 3.1), as in highway networks (arXiv 1505.00387): (1 - g(x)) x + g(x) F(x)."""

    def join(self, x: Tensor, branch: Tensor) -> Tensor:
        gate = torch.sigmoid(self.gate(x))
        return torch.addcmul(gate * branch, 1 - gate, self.carry(x))


class Keyed(nn.Module):
    """Drops values in training, which ones as the keys of the batch's images say.

    These are among the samples' draws, so a run is the same on every device and after every resume.
    """

    rate = 0.0
    """Probability that a value is dropped."""
    salt = 0
    """Distinguishes this layer from others; set by the network."""
    keys: Tensor | None = None
    """The keys of the batch's images, int64 (N,); set before each training step."""

    def dropped(self, x: Tensor, shape: Sequence[int], rate: float) -> Tensor:
        """In training set values to 0 with probability `rate`, and divide the others by 1 - `rate`; not in place.

        `shape` is that of what is drawn for each image, (C, H, W), or 1 where one draw counts for all.
        """
        if not self.training:
            return x
        if self.keys is None:
            raise ValueError("dropout needs the keys of the batch's images in training mode: Network.set_keys")
        return x * dropout_mask(self.keys, self.salt, shape, rate) / (1 - rate)


class Dropout(_OverA, Keyed):
    """Dropout on the shortcut (section 3.1): in training each value is dropped with probability `rate`."""

    def __init__(self, in_maps: int, out_maps: int, stride: int, rate: float) -> None:
        super().__init__(in_maps, out_maps, stride)
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        carried: Tensor = self.carry(x)
        return self.dropped(carried, carried.shape[1:], self.rate)


class Skipping(Keyed):
    """Stochastic depth (Huang et al. 2016, arXiv 1603.09382): in training an image skips a branch with probability `rate`.

    For each image by itself and scaled in training, as in torchvision; the paper and its code
    (github.com/yueatsprograms/Stochastic_Depth) draw for a whole batch and scale in evaluation.
    """

    def forward(self, branch: Tensor) -> Tensor:
        return self.dropped(branch, (1, 1, 1), self.rate) if self.rate else branch


def dropout_mask(keys: Tensor, salt: int, shape: Sequence[int], dropout: float) -> Tensor:
    """Draw which values dropout keeps, each with probability 1 - `dropout`: bool (N, C, H, W), channels last.

    The mask is a pure function of the images' keys, random numbers below 2**31, int64 (N,), and the layer's `salt`: it
    is the same on every device, and there is no generator whose state a checkpoint or a graph would have to carry.
    `shape` is (C, H, W).
    """
    maps, height, width = shape
    image = _mix(keys.to(torch.int32) ^ _mix(torch.full_like(keys, salt, dtype=torch.int32)))
    place = torch.arange(height * width * maps, dtype=torch.int32, device=keys.device) * _WEYL
    number = _mix(image[:, None] + place).bitwise_and_(0x7FFFFFFF)
    return (number >= int(dropout * 2**31)).view(-1, height, width, maps).permute(0, 3, 1, 2)


def _mix(x: Tensor) -> Tensor:
    """Hash 32-bit integers in place so that every bit depends on every other (Ellis 2018, "lowbias32")."""
    x ^= (x >> 16).bitwise_and_(0xFFFF)
    x *= _A
    x ^= (x >> 15).bitwise_and_(0x1FFFF)
    x *= _B
    x ^= (x >> 16).bitwise_and_(0xFFFF)
    return x


_A, _B = 0x7FEB352D, 0x846CA68B - (1 << 32)
_WEYL = 0x9E3779B9 - (1 << 32)
