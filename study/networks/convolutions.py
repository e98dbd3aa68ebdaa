"""Convolutions whose weights are a function of their parameters. After training they are ordinary ones."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from study.networks.layers import at_least_float


class Reparametrised(nn.Conv2d):
    """A convolution by `kernel()`, a function of `weight`, which is drawn as that of an ordinary one."""

    def kernel(self) -> Tensor:
        """Return what the input is convolved with, in float32 or wider, of the shape of `weight`."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        return self._conv_forward(x, self.kernel().to(x.dtype), self.bias)  # type: ignore[no-any-return]


class Dirac(Reparametrised):
    """W = diag(a) I + diag(b) V / ||V|| (DiracNets, Zagoruyko & Komodakis 2017, arXiv 1706.00388, "Dirac parameterization").

    I is the convolution that passes maps on, as far as there are as many; the norm is of each filter of `weight` V; a and b
    are learned for each output map and start at 1 and 0.1. All convolutions but the stem's are such. Folding is exact.

    The authors' code (github.com/szagoruyko/diracnets) pools between stages, where here the first convolution has a stride
    of 2, draws BN's scales between 0 and 1, and keeps weight decay from a and b, as `recipe.decay: weights` does.
    """

    of_images = nn.Conv2d

    def __init__(self, *given: int, **options: int) -> None:
        super().__init__(*given, **options)  # type: ignore[arg-type]
        self.a = nn.Parameter(torch.ones(self.out_channels))
        self.b = nn.Parameter(torch.full((self.out_channels,), 0.1))

    def kernel(self) -> Tensor:
        weight, a, b = (at_least_float(p) for p in (self.weight, self.a, self.b))
        kernel = F.normalize(weight.flatten(1)) * b[:, None]
        kernel = kernel.view_as(weight)
        height, width = self.kernel_size
        kernel[:, :, height // 2, width // 2].diagonal().add_(a[: self.in_channels])
        return kernel


class Standardised(Reparametrised):
    """Weight standardisation (Qiao et al. 2019, arXiv 1903.10520): each filter with mean 0 and variance 1.

    W = (V - mean) / sqrt(var + 1e-5), over the weights of each output map. It goes before a norm: the authors use it with
    groups. Their code (github.com/joe-siyuan-qiao/WeightStandardization) divides by std + 1e-5, with the unbiased std in PyTorch.
    """

    def kernel(self) -> Tensor:
        weight = at_least_float(self.weight)
        var, mean = torch.var_mean(weight, (1, 2, 3), correction=0, keepdim=True)
        return (weight - mean) * torch.rsqrt(var + 1e-5)


def kernel(conv: nn.Conv2d) -> Tensor:
    """Return what a convolution's input is convolved with."""
    return conv.kernel() if isinstance(conv, Reparametrised) else conv.weight
