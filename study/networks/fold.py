"""The fastest network for evaluation alone: one network at thousands of settings of its weights, without gradients.

With BN's statistics fixed, a BN that follows a convolution is a part of it, and on a CPU so are a ReLU or the addition of
the shortcut: oneDNN does them while the values are at hand. Weights are renewed in place from the ordinary network.

Measured on one thread of an AMD EPYC with AVX-512 and bfloat16: 98 % of a pass is oneDNN's convolutions, so nothing else is
worth a line. Batches of some 65,000 pixels are best (64 images of 32x32, 1,024 of 8x8), of twice as many in bfloat16. Several
points at once, as groups of one convolution or by `torch.func.vmap`, are no faster than one after another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import deepcopy
from itertools import chain

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from study.networks.blocks import Block
from study.networks.network import Network
from study.networks.shortcuts import Dropout, Identity, Projection, Shortcut, ShortcutGate, ZeroPad

ONEDNN = torch.backends.mkldnn.is_available() and all(  # type: ignore[no-untyped-call]
    hasattr(torch.ops.mkldnn, name) for name in ("_convolution_pointwise", "_convolution_pointwise_")
)
"""Whether torch has oneDNN's convolutions with a ReLU or an addition in them: the compiler's, not in every build."""

if ONEDNN:
    # The overloads are named: to look for the one that fits takes time at every call.
    _pointwise: Callable[..., Tensor] = torch.ops.mkldnn._convolution_pointwise.default
    _pointwise_add: Callable[..., Tensor] = torch.ops.mkldnn._convolution_pointwise_.binary

SLOPE = 1e-30
"""Of the ReLU in a convolution, below zero: oneDNN's own makes zeros of NaN, and so finite losses of networks that have
none. With a slope, however small, NaN stays; of what is finite not a bit that matters changes. But not so small that values
become denormal: Intel's CPUs convolve those thirty times more slowly."""

OVERWRITABLE = (Identity, ZeroPad, Projection, ShortcutGate, Dropout)
"""Shortcuts that are added as they are, and whose value is new, or the block's input, which nothing needs after it."""


class Folded(nn.Module):
    """A network for evaluation: `source`'s logits, without gradients, at the weights that it had when last renewed.

    Each BN that directly follows a convolution is a part of it. ReLUs and additions are parts of a convolution where
    that is what the block does; a block with code of its own keeps it, and gets fused convolutions for `super().branch`.

    Parameters
    ----------
    source
        As `structure` makes it; stays as it is. Its tensors are read at each renewal: they may change in place
        (`load_state_dict`, `copy_`), but not be exchanged for others.
    dtype
        Of the convolutions: float32, or bfloat16. BN that stays and the head are float32: bfloat16 logits would be no
        faster, and would move the mean loss of a network of 20 layers by up to twice as much (0.007 for 0.004).

    Raises
    ------
    ValueError
        Another dtype; or a network with a way through it of its own.
    """

    def __init__(self, source: Network, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        if dtype not in (torch.float32, torch.bfloat16):
            raise ValueError(f"a fused network computes in float32 or bfloat16, not in {dtype}")
        if type(source).forward is not Network.forward or type(source).classify is not Network.classify:
            raise ValueError(f"{type(source).__name__} has a way of its own from images to logits, and cannot be fused")
        self._dtype, self._ties = dtype, Ties(dtype)
        self.steps = nn.Sequential(*_fuse(_way(source), self._ties))
        self.head = self._ties.copy(source.head, torch.float32)
        self._pool = source.pool
        self.eval()
        self.renew()

    def renew(self) -> None:
        """Take over the source's present weights and BN statistics; in place, and without waiting for the device."""
        self._ties.renew()

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """(N, channels, H, W) of any floating type to float32 logits (N, classes); the images stay as they are."""
        # The images themselves where they are of that kind, unless a block comes first that writes into what it gets.
        x = images.to(self._dtype, memory_format=torch.channels_last, copy=isinstance(self.steps[0], Residual))
        return self.head(self._pool(self.steps(x)).float())  # type: ignore[no-any-return]

    def train(self, mode: bool = True) -> Folded:
        """Nothing: this is for evaluation alone."""
        return super().train(False)


class Convolution(nn.Module):
    """A convolution with the BN and the ReLU that follow it, if any; its tensors are filled by `Ties.renew`."""

    weight: Tensor
    bias: Tensor | None

    def __init__(self, conv: nn.Conv2d, bias: bool, relu: bool, dtype: torch.dtype) -> None:
        super().__init__()
        weight = torch.empty_like(conv.weight, dtype=dtype, memory_format=torch.channels_last, requires_grad=False)
        self.register_buffer("weight", weight)
        self.register_buffer("bias", weight.new_empty(len(weight)) if bias else None)
        # Lists, which torch.ops takes faster than tuples.
        self._how = [[*map(int, values)] for values in (conv.padding, conv.stride, conv.dilation)]
        self._groups, self.relu = conv.groups, relu
        self._onednn = ONEDNN and weight.device.type == "cpu" and _computes(dtype)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_maps, H, W) to (N, out_maps, H/stride, W/stride); `x` stays as it is."""
        if self._onednn:
            attribute, scalars = ("leaky_relu", [SLOPE]) if self.relu else ("none", [])
            return _pointwise(x, self.weight, self.bias, *self._how, self._groups, attribute, scalars, "")
        padding, stride, dilation = self._how
        out = F.conv2d(x, self.weight, self.bias, stride, padding, dilation, self._groups)
        return F.relu(out, inplace=True) if self.relu else out

    def add_to(self, other: Tensor, x: Tensor) -> Tensor:
        """`forward(x) + other`; `other` is overwritten, and may not lie where `x` does."""
        if self._onednn and not self.relu:
            other = other.contiguous(memory_format=torch.channels_last)  # a padded shortcut of odd size is not
            how = (*self._how, self._groups, "add", 1.0, None, [], "")
            return _pointwise_add(other, x, self.weight, self.bias, *how)
        return self(x).add_(other)  # type: ignore[no-any-return]


class Residual(nn.Module):
    """A block whose parts are all `Block`'s own: a branch of steps, the shortcut, and what follows the addition."""

    def __init__(self, block: Block, ties: Ties) -> None:
        super().__init__()
        assert isinstance(block.shortcut, Shortcut)
        steps, after = _fuse(_layers(block, block._branch), ties), _fuse(_layers(block, block._after), ties)
        last = steps[-1]
        self.adding: Convolution | None = None
        """The branch's last convolution, where it adds the shortcut."""
        if isinstance(last, Convolution) and type(block.shortcut) in OVERWRITABLE:
            self.adding = last
            steps.pop()
        self.branch = nn.Sequential(*steps)
        self.shortcut = _shortcut(block.shortcut, ties)
        self.after = nn.Sequential(*after)
        for step in after:
            if isinstance(step, nn.ReLU):
                step.inplace = True  # the sum is nobody else's; in the convolution it would make zeros of NaN

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_maps, H, W) to (N, out_maps, H/stride, W/stride); may overwrite `x`."""
        y = self.branch(x)
        if self.adding is None:
            return self.after(self.shortcut.join(x, y))  # type: ignore[no-any-return]
        other = self.shortcut(x)
        if other is y:  # a single convolution, of what it is added to
            other = other.clone()
        return self.after(self.adding.add_to(other, y))  # type: ignore[no-any-return]


class Carried(Shortcut, nn.Sequential):
    """A projection, as one convolution."""


class Ties:
    """What ties a fused network to its source: which tensors are renewed from which."""

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self._folds: list[tuple[Convolution, nn.Conv2d, nn.BatchNorm2d]] = []
        self._copies: dict[tuple[torch.dtype, torch.dtype], list[tuple[Tensor, Tensor]]] = {}
        """Target and source, by their types: those of one type each are copied together."""

    def convolution(self, conv: nn.Conv2d, bn: nn.BatchNorm2d | None, relu: bool) -> Convolution:
        """A convolution with what follows it."""
        out = Convolution(conv, bn is not None or conv.bias is not None, relu, self.dtype)
        if bn is not None:
            self._folds.append((out, conv, bn))
        else:
            self._copy(out.buffers(), conv.parameters())
        return out

    def copy(self, module: nn.Module, dtype: torch.dtype | None = None) -> nn.Module:
        """The module itself in float32, its convolutions and linear layers in `dtype`: the network's, unless told."""
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
        if self._folds:
            self._fold()

    def _fold(self) -> None:
        """Weight and shift of each convolution with its BN: as `fuse_conv_bn_eval`, for all of them together."""
        fused, convs, bns = zip(*self._folds, strict=True)
        # NaN of a variance below zero, as BN has it: beyond the ends of a line between two networks there are such.
        deviations = torch._foreach_add([_float(bn.running_var) for bn in bns], [bn.eps for bn in bns])
        torch._foreach_sqrt_(deviations)
        scales = torch._foreach_div([_float(bn.weight) for bn in bns], deviations)
        columns = [scale.view(-1, 1, 1, 1) for scale in scales]
        weights = torch._foreach_mul([_float(conv.weight) for conv in convs], columns)
        torch._foreach_copy_([conv.weight for conv in fused], weights)
        shifts = torch._foreach_mul(_centres(convs, bns), scales)
        torch._foreach_copy_([conv.bias for conv in fused], torch._foreach_add(shifts, [_float(bn.bias) for bn in bns]))


def _centres(convs: Sequence[nn.Conv2d], bns: Sequence[nn.BatchNorm2d]) -> list[Tensor]:
    """What BN adds to a convolution without bias before it scales: the bias that there is, less the mean."""
    centres = list(torch._foreach_neg([_float(bn.running_mean) for bn in bns]))
    return [c if conv.bias is None else c + _float(conv.bias) for c, conv in zip(centres, convs, strict=True)]


def _float(tensor: Tensor | None) -> Tensor:
    assert tensor is not None
    return tensor.detach().float()


def _way(source: Network) -> Iterator[nn.Module]:
    """The layers of a network up to its last maps, and its residual blocks whole, in order."""
    yield from source.stem.children() if type(source.stem) is nn.Sequential else [source.stem]
    for stage in source.stages:
        for part in stage.children():
            if isinstance(part, Block) and part.shortcut is None and _is_ordinary(part):
                yield from _layers(part, (*part._branch, *part._after))
            else:
                yield part
    yield from source.tail.children()


def _layers(block: Block, names: Iterable[str]) -> list[nn.Module]:
    return [nn.ReLU() if name == "relu" else block.get_submodule(name) for name in names]


def _is_ordinary(block: Block) -> bool:
    """Whether a block does what `Block` does, and nothing besides."""
    return all(getattr(type(block), part) is getattr(Block, part) for part in ("branch", "join", "after", "forward"))


def _fuse(layers: Iterable[nn.Module], ties: Ties) -> list[nn.Module]:
    """Modules that do the same one after another, fewer of them; the first leaves its input as it is."""
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
        elif isinstance(layer, Block):
            fused.append(Residual(layer, ties) if _is_ordinary(layer) else _own(layer, ties))
        else:
            fused.append(ties.copy(layer))
    return fused


def _is_plain(layer: nn.Module) -> bool:
    return type(layer) is nn.Conv2d and layer.padding_mode == "zeros" and not isinstance(layer.padding, str)


def _is_fixed(layer: nn.Module) -> bool:
    """Whether a layer is BN that scales and shifts each map by what the map alone tells, in evaluation mode."""
    return type(layer) is nn.BatchNorm2d and layer.affine and layer.running_var is not None


def _shortcut(shortcut: Shortcut, ties: Ties) -> Shortcut:
    if type(shortcut) is Projection:
        return Carried(*_fuse(shortcut.children(), ties))
    copied = ties.copy(shortcut)
    assert isinstance(copied, Shortcut)
    return copied


def _own(block: Block, ties: Ties) -> nn.Module:
    """A block with code of its own, which stays; what it inherits of `Block.branch` goes through fused steps."""
    copied = ties.copy(block)
    assert isinstance(copied, Block)
    names = []
    for place, step in enumerate(_fuse(_layers(block, block._branch), ties)):
        names.append("relu" if isinstance(step, nn.ReLU) else f"step{place}")
        if names[-1] != "relu":
            copied.add_module(names[-1], step)
    copied._branch = tuple(names)
    return copied


def _computes(dtype: torch.dtype) -> bool:
    """Whether oneDNN convolves in this type on this CPU."""
    return dtype is torch.float32 or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
