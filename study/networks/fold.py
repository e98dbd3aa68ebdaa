"""BN folded into convolutions: a fast network for evaluation at thousands of settings of its weights.

With fixed statistics, a BN that follows a convolution is a part of it, and on a CPU so is a ReLU or the addition of the
shortcut, which oneDNN does while the values are in the cache. Weights are renewed in place from the ordinary network.

Measured on one thread of an AMD EPYC with AVX-512 and bfloat16: 98 % of a pass is oneDNN's convolutions. Batches of about
65,000 pixels are best (64 images of 32x32, 1,024 of 8x8), in bfloat16 of twice as many. Several points at once, as groups
of one convolution or by `torch.func.vmap`, are no faster than one after another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from copy import deepcopy
from itertools import chain

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from study.networks.blocks import Block
from study.networks.convolutions import Reparametrised, kernel
from study.networks.network import Network
from study.networks.shortcuts import Dropout, Identity, Projection, Shortcut, ShortcutGate, ZeroPad

ONEDNN = torch.backends.mkldnn.is_available() and all(  # type: ignore[no-untyped-call]
    hasattr(torch.ops.mkldnn, name) for name in ("_convolution_pointwise", "_convolution_pointwise_")
)
"""Whether torch has oneDNN's convolutions with a ReLU or an addition; not every build does."""

if ONEDNN:
    # The overloads are named: looking for the one that fits takes time at every call.
    _pointwise: Callable[..., Tensor] = torch.ops.mkldnn._convolution_pointwise.default
    _pointwise_add: Callable[..., Tensor] = torch.ops.mkldnn._convolution_pointwise_.binary

SLOPE = 1e-30
"""The slope of a convolution's ReLU below zero. oneDNN's own ReLU turns NaN into 0, so a network with a NaN loss would get a
finite one. Any slope keeps NaN; this one changes no bit that matters, and makes no denormal values, which Intel's CPUs
convolve thirty times more slowly."""

OVERWRITABLE = (Identity, ZeroPad, Projection, ShortcutGate, Dropout)
"""Shortcuts that are simply added, and whose value may be overwritten: it is new, or the block's input."""


class Folded(nn.Module):
    """The logits of `source` in evaluation, without gradients, at its weights when last renewed.

    Each BN that directly follows a convolution is folded into it, and ReLUs and additions join a convolution where the
    block allows it. A block with its own code is copied as it is.

    The source is left as it is. Its tensors are read at each renewal: change them in place (`load_state_dict`,
    `copy_`), never replace them. `dtype` is that of the convolutions, float32 or bfloat16. Remaining BN and the head
    are float32: bfloat16 logits are no faster, and move the mean loss of a 20-layer network by twice as much (0.007
    instead of 0.004).
    """

    def __init__(self, source: Network, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self._dtype, self._ties = dtype, Ties(dtype)
        self.steps = nn.Sequential(*_fuse(_way(source), self._ties))
        self.head = self._ties.copy(source.head, torch.float32)
        self._pool = source.pool
        self.eval()
        self.renew()

    def renew(self) -> None:
        """Copy the source's current weights and BN statistics, in place, without waiting for the device."""
        self._ties.renew()

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """(N, channels, H, W) of any floating type to float32 logits (N, classes); does not change the images."""
        # A copy only if needed: for another type, or if the first block overwrites its input.
        x = images.to(self._dtype, memory_format=torch.channels_last, copy=isinstance(self.steps[0], Residual))
        return self.head(self._pool(self.steps(x)).float())  # type: ignore[no-any-return]


class Convolution(nn.Module):
    """A convolution with the BN and the ReLU that follow it, if any; `Ties.renew` fills its tensors."""

    weight: Tensor
    bias: Tensor | None

    def __init__(self, conv: nn.Conv2d, bias: bool, relu: bool, dtype: torch.dtype) -> None:
        super().__init__()
        weight = torch.empty_like(conv.weight, dtype=dtype, memory_format=torch.channels_last, requires_grad=False)
        self.register_buffer("weight", weight)
        self.register_buffer("bias", weight.new_empty(len(weight)) if bias else None)
        # Lists: torch.ops takes them faster than tuples.
        self._how = [[*map(int, values)] for values in (conv.padding, conv.stride, conv.dilation)]
        self._groups, self.relu = conv.groups, relu
        computes = dtype is torch.float32 or torch.ops.mkldnn._is_mkldnn_bf16_supported()
        self._onednn = ONEDNN and weight.device.type == "cpu" and computes

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_maps, H, W) to (N, out_maps, H/stride, W/stride); does not change `x`."""
        if self._onednn:
            attribute, scalars = ("leaky_relu", [SLOPE]) if self.relu else ("none", [])
            return _pointwise(x, self.weight, self.bias, *self._how, self._groups, attribute, scalars, "")
        padding, stride, dilation = self._how
        out = F.conv2d(x, self.weight, self.bias, stride, padding, dilation, self._groups)
        return F.relu(out, inplace=True) if self.relu else out

    def add_to(self, other: Tensor, x: Tensor) -> Tensor:
        """Return `forward(x) + other`; overwrite `other`, which must not share memory with `x`."""
        if self._onednn and not self.relu:
            other = other.contiguous(memory_format=torch.channels_last)  # a padded shortcut of odd size is not
            how = (*self._how, self._groups, "add", 1.0, None, [], "")
            return _pointwise_add(other, x, self.weight, self.bias, *how)
        return self(x).add_(other)  # type: ignore[no-any-return]


class Residual(nn.Module):
    """A block without code of its own: a branch of steps, the shortcut, and what follows the addition."""

    def __init__(self, block: Block, ties: Ties) -> None:
        super().__init__()
        assert isinstance(block.shortcut, Shortcut)
        steps, after = _fuse(_layers(block, block._branch), ties), _fuse(_layers(block, block._after), ties)
        last = steps[-1]
        self.adding: Convolution | None = None
        """The branch's last convolution, if it adds the shortcut."""
        if isinstance(last, Convolution) and type(block.shortcut) in OVERWRITABLE:
            self.adding = last
            steps.pop()
        self.branch = nn.Sequential(*steps)
        one = type(block.shortcut) is Projection
        shortcut = Carried(*_fuse(block.shortcut.children(), ties)) if one else ties.copy(block.shortcut)
        self.shortcut: Shortcut = shortcut  # type: ignore[assignment]
        self.after = nn.Sequential(*after)
        for step in after:
            if isinstance(step, nn.ReLU):
                step.inplace = True  # within the convolution it would turn NaN into 0

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_maps, H, W) to (N, out_maps, H/stride, W/stride); may overwrite `x`."""
        y = self.branch(x)
        if self.adding is None:
            return self.after(self.shortcut.join(x, y))  # type: ignore[no-any-return]
        other = self.shortcut(x)
        if other is y:  # a single convolution, whose input is the shortcut
            other = other.clone()
        return self.after(self.adding.add_to(other, y))  # type: ignore[no-any-return]


class Carried(Shortcut, nn.Sequential):
    """A projection as one convolution."""


class Ties:
    """Which tensors of a folded network are renewed from which of its source."""

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self._folds: list[tuple[Convolution, nn.Conv2d, nn.BatchNorm2d]] = []
        self._kernels: list[tuple[Convolution, Reparametrised]] = []
        self._copies: dict[tuple[torch.dtype, torch.dtype], list[tuple[Tensor, Tensor]]] = {}
        """Targets and sources by type: tensors of one type are copied together."""

    def convolution(self, conv: nn.Conv2d, bn: nn.BatchNorm2d | None, relu: bool) -> Convolution:
        """Make a convolution with what follows it."""
        out = Convolution(conv, bn is not None or conv.bias is not None, relu, self.dtype)
        if bn is not None:
            self._folds.append((out, conv, bn))
        elif isinstance(conv, Reparametrised):
            self._kernels.append((out, conv))
            self._copy([] if out.bias is None else [out.bias], [] if conv.bias is None else [conv.bias])
        else:
            self._copy(out.buffers(), conv.parameters())
        return out

    def copy(self, module: nn.Module, dtype: torch.dtype | None = None) -> nn.Module:
        """Copy a module in float32, its convolutions and linear layers in `dtype`, by default the network's."""
        copied = deepcopy(module).float().requires_grad_(False)
        for part in copied.modules():
            if isinstance(part, nn.Conv2d | nn.Linear):
                part.to(dtype or self.dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
        sources = dict(chain(module.named_parameters(), module.named_buffers()))
        named = list(chain(copied.named_parameters(), copied.named_buffers()))
        self._copy((tensor for _, tensor in named), (sources[name] for name, _ in named))
        return copied

    def _copy(self, targets: Iterable[Tensor], sources: Iterable[Tensor]) -> None:
        for target, source in zip(targets, sources, strict=True):
            self._copies.setdefault((target.dtype, source.dtype), []).append((target, source))

    @torch.no_grad()
    def renew(self) -> None:
        """Fill all targets from their sources."""
        for pairs in self._copies.values():
            targets, sources = zip(*pairs, strict=True)
            torch._foreach_copy_(targets, sources)
        for out, conv in self._kernels:
            out.weight.copy_(kernel(conv))
        if self._folds:
            self._fold()

    def _fold(self) -> None:
        """Compute weight and bias of each convolution with its BN, all together; as torch's `fuse_conv_bn_eval`."""
        fused, convs, bns = zip(*self._folds, strict=True)
        # A variance below zero gives NaN, as in BN: there are such beyond the ends of a line between two networks.
        deviations = torch._foreach_add([_float(bn.running_var) for bn in bns], [bn.eps for bn in bns])
        torch._foreach_sqrt_(deviations)
        scales = torch._foreach_div([_float(bn.weight) for bn in bns], deviations)
        columns = [scale.view(-1, 1, 1, 1) for scale in scales]
        weights = torch._foreach_mul([_float(kernel(conv)) for conv in convs], columns)
        torch._foreach_copy_([conv.weight for conv in fused], weights)
        # What BN adds before it scales: the convolution's bias, if any, minus the mean.
        means = torch._foreach_neg([_float(bn.running_mean) for bn in bns])
        centres = [m if conv.bias is None else m + _float(conv.bias) for m, conv in zip(means, convs, strict=True)]
        shifts = torch._foreach_mul(centres, scales)
        torch._foreach_copy_([conv.bias for conv in fused], torch._foreach_add(shifts, [_float(bn.bias) for bn in bns]))


def _float(tensor: Tensor | None) -> Tensor:
    assert tensor is not None
    return tensor.detach().float()


def _way(source: Network) -> Iterator[nn.Module]:
    """Yield the layers of a network up to its last maps, residual blocks as a whole, in order."""
    yield from source.stem.children()
    for part in source.parts():
        if isinstance(part, Block) and part.shortcut is None and _is_ordinary(part):
            yield from _layers(part, (*part._branch, *part._after))
        else:
            yield part
    yield from source.tail.children()


def _layers(block: Block, names: Iterable[str]) -> list[nn.Module]:
    layers = (block.get_submodule(name) for name in names)
    return [nn.ReLU() if type(layer) is nn.ReLU else layer for layer in layers]


def _is_ordinary(block: Block) -> bool:
    """Tell whether a block does what `Block` does and no more."""
    return all(getattr(type(block), part) is getattr(Block, part) for part in ("branch", "join", "after", "forward"))


def _fuse(layers: Iterable[nn.Module], ties: Ties) -> list[nn.Module]:
    """Turn layers into fewer modules that do the same; the first one does not change its input."""
    fused: list[nn.Module] = []
    rest = list(layers)
    while rest:
        layer = rest.pop(0)
        if _is_plain(layer):
            bn = rest.pop(0) if rest and _is_fixed(rest[0]) else None
            relu = bool(rest) and type(rest[0]) is nn.ReLU
            rest = rest[1:] if relu else rest
            fused.append(ties.convolution(layer, bn, relu))  # type: ignore[arg-type]
        elif type(layer) is nn.ReLU:
            fused.append(nn.ReLU(inplace=bool(fused)))
        elif isinstance(layer, Block) and _is_ordinary(layer):
            fused.append(Residual(layer, ties))
        else:
            fused.append(ties.copy(layer))
    return fused


def _is_plain(layer: nn.Module) -> bool:
    ours = type(layer) is nn.Conv2d or isinstance(layer, Reparametrised)
    return ours and layer.padding_mode == "zeros" and not isinstance(layer.padding, str)


def _is_fixed(layer: nn.Module) -> bool:
    """Tell whether a layer is BN with an affine map and fixed statistics in evaluation mode."""
    return type(layer) is nn.BatchNorm2d and layer.affine and layer.running_var is not None
