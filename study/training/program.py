"""The device's side of a lane: a step of SGD and a batch of an evaluation, on tensors that stay in place.

Nothing here waits for the device or depends on a number that only the host knows: the next batch and its rate are in
tensors. So a CUDA graph can record a step once and replay it for the rest of the run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from study.config.run import RunSpec
from study.networks.count import measured
from study.networks.layers import BatchNorm
from study.training.feeds.feed import EVALUATION_BATCH, Feed, pinned
from study.training.feeds.samples import Draws, mask
from study.training.optimizer import optimizer
from study.training.ranks import Ranks
from study.training.start import begun


class Program:
    """A network, its optimiser's state and its counters on a device, and the operations on them.

    In `bf16` the convolutions and the linear layer compute with bfloat16 copies of their weights, renewed after each
    step; weights, momentum, BN's parameters and statistics, logits and loss are float32. Autocast does the same with
    two launches per layer and step; here there are two for all layers. Networks with code of the user's own have autocast.
    """

    def __init__(self, spec: RunSpec, images: Feed, ranks: Ranks | None = None) -> None:
        self.recipe, self.images, self.ranks = spec.recipe, images, ranks or Ranks()
        device = images.device
        self.network = begun(spec, images)
        # A network of the user's own may share parameters between layers, freeze some, or leave some unused.
        self._named = dict(self.network.named_parameters(remove_duplicate=False))
        self.parameters: list[Tensor] = _trained(self.network)
        """The float32 weights, in the network's order."""
        self.optimizer = optimizer(self.parameters, spec.recipe)
        # Code of the user's own may use weights in ways that no copies foresee.
        autocast = spec.precision == "bf16" and measured(spec)
        self._autocast: Callable[[], AbstractContextManager[Any]] = nullcontext
        if autocast:
            self._autocast = partial(torch.autocast, device.type, torch.bfloat16, cache_enabled=False)
        self._copied = _compute_in_bf16(self.network) if spec.precision == "bf16" and not autocast else []
        originals = {id(original) for _, original in self._copied}
        self._low = [i for i, parameter in enumerate(self.parameters) if id(parameter) in originals]
        self._gradients_fp32 = [torch.zeros_like(self.parameters[i]) for i in self._low]
        self._dtype = torch.bfloat16 if self._copied else torch.float32
        self._leaves = _trained(self.network)  # the tensors to differentiate by
        self._batch_norms = [m for m in self.network.modules() if isinstance(m, BatchNorm)]
        for module in self._batch_norms:
            module.num_batches_tracked = None  # unused, and counting costs a launch per layer and step
        averaged = [] if self.recipe.ema is None else [*self.parameters, *self.network.buffers()]
        self._averaged: list[tuple[Tensor, Tensor]] = [
            (t.detach(), t.detach().clone()) for t in averaged if t.is_floating_point()
        ]

        self.loss, self.wrong = _counters(device)
        self.evaluated_loss, self.evaluated_wrong = _counters(device)
        self._cursor = torch.zeros((), dtype=torch.int64, device=device)  # first image of the next evaluation batch
        batches = -(-len(images) // self.recipe.batch_size)
        self._window = torch.zeros((batches, 5, self.recipe.batch_size), dtype=torch.int64, device=device)
        # The fused SGD needs a float32 rate on a GPU; on a CPU it uses all digits.
        precision = torch.float64 if device.type == "cpu" else torch.float32
        self._rates = torch.zeros(batches, dtype=precision, device=device)
        self._mixes = torch.zeros((batches, 4), device=device)
        self._position = torch.zeros(1, dtype=torch.int64, device=device)  # of the next batch in the window

    def changing(self) -> list[Tensor]:
        """List all tensors that a step or an evaluation changes."""
        counters = [self.loss, self.wrong, self.evaluated_loss, self.evaluated_wrong, self._cursor, self._position]
        copies = [copy.data for copy, _ in self._copied]
        return [
            *(p.data for p in self.parameters),
            *self.optimizer.tensors(),
            *(mean for _, mean in self._averaged),
            *copies,
            *self._gradients_fp32,
            *self.network.buffers(),
            *counters,
        ]

    # -- a step of SGD ------------------------------------------------------------------------------------------------

    def load_window(self, draws: Draws, rates: Sequence[float], mixes: Sequence[tuple[float, ...]] = ()) -> None:
        """Load the batches of the next steps, their rates, and how they are mixed."""
        window = torch.stack([part.long() for part in draws], dim=1)
        self._window[: len(window)].copy_(pinned(window, self._window.device), non_blocking=True)
        if mixes:
            self._mixes[: len(mixes)].copy_(pinned(torch.tensor(mixes), self._mixes.device), non_blocking=True)
        self._position.zero_()
        self.load_rates(rates)

    def load_rates(self, rates: Sequence[float]) -> None:
        """Load the rates of the window's batches, from the first one on."""
        source = torch.tensor(rates, dtype=self._rates.dtype)
        self._rates[: len(source)].copy_(pinned(source, self._rates.device), non_blocking=True)

    def draws(self) -> Draws:
        """Return the draws of the next batch; each part is (batch_size,)."""
        image, top, left, mirror, key = self._window.index_select(0, self._position).squeeze(0)
        return Draws(image, top, left, mirror.bool(), key)

    def step(self) -> None:
        """Take one step of SGD on the next batch of the window."""
        draws, groups = self.draws(), self.recipe.bn_groups
        size = self.recipe.batch_size // groups
        gradients: Sequence[Tensor] = ()
        self._set_mode(training=True)
        for group in self.ranks.share(groups):
            part = self._gradients(Draws(*(p[group * size : (group + 1) * size] for p in draws)), group)
            gradients = [a + b for a, b in zip(gradients, part, strict=True)] if gradients else part
        if groups > self.ranks.size:
            gradients = [gradient / (groups // self.ranks.size) for gradient in gradients]
        self.ranks.average_(gradients)
        self._descend(gradients)
        if self._averaged:
            with torch.no_grad():
                current, means = zip(*self._averaged, strict=True)
                torch._foreach_lerp_(means, current, 1 - float(self.recipe.ema or 0))
        self._position += 1

    def _set_mode(self, training: bool) -> None:
        if self.network.training != training:
            self.network.train(training)

    def _gradients(self, draws: Draws, group: int) -> Sequence[Tensor]:
        """Compute the gradients of one part of a batch, the part that BN sees at once, and count its loss and errors."""
        groups = self.recipe.bn_groups
        if groups > 1:
            # The running statistics are the first part's, as those of the first device in He et al. and elsewhere.
            for module in self._batch_norms:
                module.momentum = 0.1 if group == 0 else 0.0
        images, labels = self.images.batch(draws, self.recipe.pad)
        self.network.set_keys(draws.key)
        loss, logits, gradients = self._differentiate(images, labels)
        self.loss += loss / groups
        self.wrong += (logits.argmax(1) != labels).sum()
        return gradients if groups == 1 else [gradient.clone() for gradient in gradients]

    def _differentiate(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Return mean loss, logits and float32 gradients; the next call may overwrite the gradients."""
        share = None
        if self.recipe.mixup is not None or self.recipe.cutmix is not None:
            kept = mask(self._mixes.index_select(0, self._position).squeeze(0), *images.shape[2:])
            images, share = images * kept + images.flip(0) * (1 - kept), kept.mean()
        with self._autocast():
            logits = self.network(images.to(self._dtype)).float()
        smoothing = self.recipe.label_smoothing or 0.0
        loss = F.cross_entropy(logits, labels, label_smoothing=smoothing)
        if share is not None:
            loss = share * loss + (1 - share) * F.cross_entropy(logits, labels.flip(0), label_smoothing=smoothing)
        gradients = list(torch.autograd.grad(loss, self._leaves, materialize_grads=True))
        if self._copied:
            # Only those in bfloat16: of one type they are copied in one launch, of several one by one.
            torch._foreach_copy_(self._gradients_fp32, [gradients[i] for i in self._low])
            for i, gradient in zip(self._low, self._gradients_fp32, strict=True):
                gradients[i] = gradient
        return loss.detach(), logits.detach(), gradients

    @torch.no_grad()
    def _descend(self, gradients: Sequence[Tensor]) -> None:
        self.optimizer.step(gradients, self._rates.index_select(0, self._position).squeeze(0))
        self._renew_copies()

    @torch.no_grad()
    def _renew_copies(self) -> None:
        if self._copied:
            copies, originals = zip(*self._copied, strict=True)
            torch._foreach_copy_(copies, originals)

    # -- an evaluation ------------------------------------------------------------------------------------------------

    def begin_evaluation(self) -> None:
        """Reset the counters of an evaluation."""
        self.ranks.copy_first_(self.network.buffers())
        for tensor in (self.evaluated_loss, self.evaluated_wrong, self._cursor):
            tensor.zero_()

    @torch.no_grad()
    def evaluate_batch(self, images: Tensor, labels: Tensor) -> None:
        """Add the loss and the errors of a batch."""
        self._set_mode(training=False)
        with self._autocast():
            logits = self.network(images.to(self._dtype)).float()
        self.evaluated_loss += F.cross_entropy(logits, labels, reduction="sum")
        self.evaluated_wrong += (logits.argmax(1) != labels).sum()

    def evaluate_next(self, source: str, size: int = EVALUATION_BATCH) -> None:
        """Evaluate the next `size` images of `train` or `test`; a graph can record it."""
        self.evaluate_batch(*self.images.at(source, self._cursor + torch.arange(size, device=self._cursor.device)))
        self._cursor += size

    def evaluation(self, source: str) -> tuple[float, float]:
        """Return mean loss (nats) and error (percent) of the evaluation; wait for the device."""
        self.ranks.sum_((self.evaluated_loss, self.evaluated_wrong))
        count = self.images.count(source)
        return float(self.evaluated_loss) / count, 100.0 * int(self.evaluated_wrong) / count

    @torch.no_grad()
    def swap_means(self) -> None:
        """Exchange the weights and statistics with their running means, in place; the same call undoes it."""
        for current, mean in self._averaged:
            before = current.clone()
            current.copy_(mean)
            mean.copy_(before)
        self._renew_copies()

    # -- a checkpoint -------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Return the device's part of a checkpoint: float32 in every precision."""
        tensors = self.network.state_dict()
        network = {name: self._named.get(name, tensor).detach() for name, tensor in tensors.items()}
        means = [mean for _, mean in self._averaged]
        return {
            "network": network,
            "means": means,
            "optimizer": self.optimizer.state,
            "loss": self.loss,
            "wrong": self.wrong,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Restore a `state` in place, so that recorded graphs stay valid."""
        self.load(state["network"])
        for name, tensors in self.optimizer.state.items():
            for ours, theirs in zip(tensors, state["optimizer"][name], strict=True):
                ours.copy_(theirs)
        for (_, ours), theirs in zip(self._averaged, state["means"], strict=True):
            ours.copy_(theirs)
        if self.ranks.first:
            self.loss.copy_(state["loss"])
            self.wrong.copy_(state["wrong"])

    @torch.no_grad()
    def load(self, network: Mapping[str, Tensor]) -> None:
        """Copy weights and BN statistics, in place."""
        for name, tensor in self.network.state_dict().items():
            self._named.get(name, tensor).copy_(network[name])
        for current, mean in self._averaged:
            mean.copy_(current)
        self._renew_copies()


def _trained(network: nn.Module) -> list[Tensor]:
    return [parameter for parameter in network.parameters() if parameter.requires_grad]


def _counters(device: torch.device) -> tuple[Tensor, Tensor]:
    """Make a sum of losses and a number of errors."""
    wide = torch.float32 if device.type == "mps" else torch.float64  # which Apple's GPUs lack
    return torch.zeros((), dtype=wide, device=device), torch.zeros((), dtype=torch.int64, device=device)


def _compute_in_bf16(network: nn.Module) -> list[tuple[nn.Parameter, nn.Parameter]]:
    """Give convolutions and linear layers bfloat16 copies of their weights; return copies and originals."""
    pairs = []
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            for name, original in list(module.named_parameters(recurse=False)):
                copy = nn.Parameter(original.detach().to(torch.bfloat16))
                setattr(module, name, copy)
                pairs.append((copy, original))
    return pairs
