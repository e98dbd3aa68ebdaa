"""Optimisers: torch's own steps, on tensors that stay in place, so that a CUDA graph can record them.

torch's functional forms give the same bits as its classes, which import the compiler: 900 modules and 150 MB a worker.
Nothing here waits for the device: the learning rate and all counts of steps are tensors.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn.utils import get_total_norm
from torch.optim.adam import adam
from torch.optim.adamw import adamw
from torch.optim.sgd import sgd

from study.config.recipes import Recipe
from study.config.registry import OPTIMIZERS

State = dict[str, list[Tensor]]
"""What an optimiser keeps for each parameter, by name; `step` counts."""


class Optimizer:
    """Turns gradients into steps. A subclass names what it `keeps` for each parameter, and defines `update`.

    One of the user's own is a subclass under `@study.optimizer`; its annotated attributes are its options. What it does must
    be operations on tensors: a CUDA graph records a step and replays it.
    """

    keeps: ClassVar[tuple[str, ...]] = ()

    def __init__(self, parameters: Sequence[Tensor], recipe: Recipe) -> None:
        self.parameters, self.clip_norm = list(parameters), recipe.clip_norm
        self.options = recipe.optimizer.options
        self.state: State = {
            name: [
                torch.zeros((), device=p.device) if name == "step" else torch.zeros_like(p.detach()) for p in parameters
            ]
            for name in self.keeps
        }
        exempt = recipe.decay == "weights"
        decays = [0.0 if exempt and parameter.ndim < 2 else recipe.weight_decay for parameter in parameters]
        self._groups = [(d, [i for i, own in enumerate(decays) if own == d]) for d in dict.fromkeys(decays)]

    def tensors(self) -> list[Tensor]:
        """List the tensors that a step changes, besides the parameters."""
        return [tensor for tensors in self.state.values() for tensor in tensors]

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor], rate: Tensor) -> None:
        """Change the parameters in place. `rate` is a tensor of one value; the gradients may be overwritten."""
        gradients = list(gradients)
        if self.clip_norm is not None:
            # As torch.nn.utils.clip_grad_norm_, on a list of gradients.
            share = torch.clamp(self.clip_norm / (get_total_norm(gradients) + 1e-6), max=1.0)
            torch._foreach_mul_(gradients, share)
        for decay, places in self._groups:
            state = {name: [tensors[i] for i in places] for name, tensors in self.state.items()}
            parameters, own = [self.parameters[i] for i in places], [gradients[i] for i in places]
            self.update(parameters, own, state, rate, decay, **self.options)

    def update(
        self,
        parameters: list[Tensor],
        gradients: list[Tensor],
        state: State,
        rate: Tensor,
        decay: float,
        **options: Any,
    ) -> None:
        """Change parameters and state in place; the lists are of equal length. `options` are the recipe's."""
        raise NotImplementedError


class Sgd(Optimizer):
    """`torch.optim.SGD`."""

    keeps = ("momentum",)

    def update(  # type: ignore[override]
        self, parameters: list[Tensor], gradients: list[Tensor], state: State, rate: Tensor, decay: float, *,
        momentum: float, nesterov: bool,
    ) -> None:  # fmt: skip
        buffers: Any = state["momentum"]
        sgd(
            parameters, gradients, buffers, fused=True, lr=rate, momentum=momentum, weight_decay=decay,
            nesterov=nesterov, dampening=0.0, maximize=False,
        )  # fmt: skip


class Adam(Optimizer):
    """`torch.optim.Adam`: weight decay is part of the gradient."""

    keeps = ("first", "second", "step")
    function: ClassVar[Any] = staticmethod(adam)

    def update(  # type: ignore[override]
        self, parameters: list[Tensor], gradients: list[Tensor], state: State, rate: Tensor, decay: float, *,
        betas: tuple[float, float], eps: float,
    ) -> None:  # fmt: skip
        self.function(
            parameters, gradients, state["first"], state["second"], [], state["step"], fused=True, amsgrad=False,
            beta1=betas[0], beta2=betas[1], lr=rate, weight_decay=decay, eps=eps, maximize=False,
        )  # fmt: skip


class AdamW(Adam):
    """`torch.optim.AdamW`: weight decay beside the gradient (Loshchilov & Hutter 2019)."""

    function = staticmethod(adamw)


class RmsProp(Optimizer):
    """`torch.optim.RMSprop`, whose functional form reads the rate on the host of a CPU."""

    keeps = ("square", "momentum")

    def update(  # type: ignore[override]
        self, parameters: list[Tensor], gradients: list[Tensor], state: State, rate: Tensor, decay: float, *,
        alpha: float, eps: float, momentum: float,
    ) -> None:  # fmt: skip
        if decay:
            torch._foreach_add_(gradients, parameters, alpha=decay)
        torch._foreach_mul_(state["square"], alpha)
        torch._foreach_addcmul_(state["square"], gradients, gradients, value=1 - alpha)
        roots = torch._foreach_sqrt(state["square"])
        torch._foreach_add_(roots, eps)
        torch._foreach_mul_(state["momentum"], momentum)
        torch._foreach_addcdiv_(state["momentum"], gradients, roots)
        torch._foreach_sub_(parameters, torch._foreach_mul(state["momentum"], rate))


class Adagrad(Optimizer):
    """`torch.optim.Adagrad`, whose functional form reads the count of steps on the host."""

    keeps = ("sum", "step")

    def update(  # type: ignore[override]
        self, parameters: list[Tensor], gradients: list[Tensor], state: State, rate: Tensor, decay: float, *,
        lr_decay: float, eps: float,
    ) -> None:  # fmt: skip
        if decay:
            torch._foreach_add_(gradients, parameters, alpha=decay)
        slower = 1 + state["step"][0] * lr_decay
        torch._foreach_add_(state["step"], 1)
        torch._foreach_addcmul_(state["sum"], gradients, gradients, value=1)
        roots = torch._foreach_sqrt(state["sum"])
        torch._foreach_add_(roots, eps)
        torch._foreach_mul_(gradients, -rate / slower)
        torch._foreach_addcdiv_(parameters, gradients, roots)


class Lars(Optimizer):
    """SGD with momentum and a rate for each layer (You et al. 2017, arXiv 1708.03888, algorithm 1).

    A layer's rate is `rate * trust * |w| / (|g| + decay * |w|)`. Biases and the parameters of norms, which start at 0 or 1,
    take plain SGD steps.
    """

    keeps = ("momentum",)

    def update(  # type: ignore[override]
        self, parameters: list[Tensor], gradients: list[Tensor], state: State, rate: Tensor, decay: float, *,
        momentum: float, trust: float,
    ) -> None:  # fmt: skip
        weights, slopes = (torch.stack(torch._foreach_norm(tensors)) for tensors in (parameters, gradients))
        local = trust * weights / (slopes + decay * weights)
        rates = [
            rate * torch.where(own > 0, own, 1.0) if parameter.ndim > 1 else rate
            for parameter, own in zip(parameters, local.nan_to_num(0.0, 0.0).unbind(), strict=True)
        ]
        if decay:
            torch._foreach_add_(gradients, parameters, alpha=decay)
        torch._foreach_mul_(gradients, rates)
        torch._foreach_mul_(state["momentum"], momentum)
        torch._foreach_add_(state["momentum"], gradients)
        torch._foreach_sub_(parameters, state["momentum"])


def optimizer(parameters: Sequence[Tensor], recipe: Recipe) -> Optimizer:
    """Make the optimiser of a recipe."""
    entry = OPTIMIZERS[recipe.optimizer.name]
    if entry.source is None:
        made: Optimizer = entry.load()(parameters, recipe)
        return made
    own: Optimizer = entry.make(parameters, recipe, **recipe.optimizer.options)
    own.options = {}  # they are attributes
    return own
