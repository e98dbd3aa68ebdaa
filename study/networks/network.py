"""A whole network: stem, stages of blocks, global average pool and a linear layer (He et al. 2015)."""

from __future__ import annotations

from torch import Tensor, nn

from study.networks.initialise import initialise
from study.networks.shape import stages
from study.spec.registry import BLOCKS, SHORTCUTS
from study.spec.run import RunSpec


class Network(nn.Module):
    """A plain or residual network of the CIFAR or the ImageNet family.

    `stem`, `stages` (a list of lists of blocks) and `head` stand in the order of the data's way through them. A plain
    network and its residual twin with option-A shortcuts have the same parameters in the same order.
    """

    def __init__(self, spec: RunSpec, channels: int, classes: int) -> None:
        super().__init__()
        block = BLOCKS[spec.block].load()
        shortcut = None if spec.shortcut is None else SHORTCUTS[spec.shortcut].load()
        plan = stages(spec)
        maps = plan[0].maps
        self.stem = _stem(spec, channels, maps)
        self.stages = nn.ModuleList()
        for stage in plan:
            blocks = []
            for i in range(stage.blocks):
                stride, out = (stage.stride if i == 0 else 1), stage.maps * block.expansion
                blocks.append(block(maps, stage.maps, stride, shortcut and shortcut(maps, out, stride)))
                maps = out
            self.stages.append(nn.Sequential(*blocks))
        self.head = nn.Linear(maps, classes)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) to logits (N, classes)."""
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x)
        return self.head(x.mean((2, 3)))  # type: ignore[no-any-return]


def _stem(spec: RunSpec, channels: int, maps: int) -> nn.Sequential:
    if spec.stem == "cifar":
        conv = nn.Conv2d(channels, maps, 3, padding=1, bias=False)
        return nn.Sequential(conv, nn.BatchNorm2d(maps), nn.ReLU(inplace=True))
    conv = nn.Conv2d(channels, maps, 7, 2, padding=3, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(maps), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, padding=1))


def build(spec: RunSpec, channels: int, classes: int) -> Network:
    """The network of a run, with the weights that its seed gives.

    Parameters
    ----------
    channels, classes
        Of the data set: 3 and 10 for CIFAR-10.
    """
    network = Network(spec, channels, classes)
    initialise(network, spec.seed)
    return network
