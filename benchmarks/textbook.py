"""The training loop of most public CIFAR-10 repositories: what `bench.py` compares with.

DataLoader with 4 workers, torchvision's transforms on PIL images, an eager float32 network in NCHW layout, torch.optim.SGD,
loss and accuracy fetched at every step. The network is He et al. 2015's, option A, as such repositories write it.

    python benchmarks/textbook.py --depth 20 --steps 50
"""

from __future__ import annotations

import argparse
import ctypes
import signal
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F  # noqa: N812
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms


class Cifar(Dataset[Any]):
    """Images in memory, as in `torchvision.datasets.CIFAR10`: each becomes a PIL image and is transformed."""

    def __init__(self, images: np.ndarray, labels: np.ndarray, transform: Any) -> None:
        self.images, self.labels, self.transform = images, labels, transform

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        return self.transform(Image.fromarray(self.images[index])), int(self.labels[index])


class BasicBlock(nn.Module):
    def __init__(self, in_planes: int, planes: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_planes, planes, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, kernel_size=3, stride=1, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.planes, self.changes = planes, stride != 1 or in_planes != planes

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        if self.changes:
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.planes // 4, self.planes // 4), "constant", 0)
        out += x
        return F.relu(out)


class ResNet(nn.Module):
    def __init__(self, depth: int, num_classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, kernel_size=3, stride=1, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        blocks, in_planes = [], 16
        for planes, first_stride in ((16, 1), (32, 2), (64, 2)):
            for i in range((depth - 2) // 6):
                blocks.append(BasicBlock(in_planes, planes, first_stride if i == 0 else 1))
                in_planes = planes
        self.layers = nn.Sequential(*blocks)
        self.linear = nn.Linear(64, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.layers(out)
        out = F.avg_pool2d(out, out.size()[3])
        return self.linear(out.view(out.size(0), -1))


class Textbook:
    """The loop, a few steps at a time.

    Parameters
    ----------
    images, labels
        uint8 (N, 32, 32, 3) and int64 (N,).
    """

    def __init__(
        self, images: np.ndarray, labels: np.ndarray, depth: int, device: str = "cpu", batch_size: int = 128
    ) -> None:
        normalize = transforms.Normalize(mean=[0.4914, 0.4822, 0.4465], std=[0.2023, 0.1994, 0.2010])
        transform = transforms.Compose(
            [transforms.RandomCrop(32, padding=4), transforms.RandomHorizontalFlip(), transforms.ToTensor(), normalize]
        )
        dataset = Cifar(images, labels, transform)
        self.loader = DataLoader(
            dataset,
            batch_size=batch_size,
            shuffle=True,
            num_workers=4,
            pin_memory=device != "cpu",
            drop_last=True,
            worker_init_fn=end_with_parent,
        )
        self.device = torch.device(device)
        self.model = ResNet(depth).to(self.device)
        self.criterion = nn.CrossEntropyLoss()
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
        self.batches = self._batches()
        self.correct = self.total = 0
        self.train_loss = 0.0

    def _batches(self) -> Iterator[Any]:
        while True:
            yield from self.loader

    def train(self, steps: int) -> None:
        """Take so many steps."""
        self.model.train()
        for _ in range(steps):
            inputs, targets = next(self.batches)
            inputs, targets = inputs.to(self.device), targets.to(self.device)
            self.optimizer.zero_grad()
            outputs = self.model(inputs)
            loss = self.criterion(outputs, targets)
            loss.backward()
            self.optimizer.step()
            self.train_loss += loss.item()
            _, predicted = outputs.max(1)
            self.total += targets.size(0)
            self.correct += predicted.eq(targets).sum().item()


def end_with_parent(worker: int = 0) -> None:
    """Have Linux end this process when its parent is killed: it may be standing still then."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--depth", type=int, default=20)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument(
        "--serve", action="store_true", help="take as many steps as each line of input says, and say how long"
    )
    options = parser.parse_args()
    if options.serve:
        end_with_parent()
    random = np.random.RandomState(0)
    images = random.randint(0, 256, (50_000, 32, 32, 3), np.uint8)
    loop = Textbook(images, random.randint(0, 10, 50_000), options.depth, options.device)
    loop.train(5)
    for line in sys.stdin if options.serve else [str(options.steps)]:
        began = time.perf_counter()
        loop.train(int(line))
        seconds = time.perf_counter() - began
        rate = int(line) * 128 / seconds
        print(seconds if options.serve else f"ResNet-{options.depth}: {rate:.0f} images/s", flush=True)


if __name__ == "__main__":
    main()
