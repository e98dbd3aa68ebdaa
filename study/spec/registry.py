"""What exists, by name: a new data set, block or figure is one new file and one line here.

The tables name their objects as `module:attribute`, so this floor imports none of them; `load` does, late.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, NamedTuple


class Entry(NamedTuple):
    """Where a named thing is implemented, and a line that says what it is."""

    target: str
    summary: str

    def load(self) -> Any:
        """Import the module and return the object."""
        module, _, attribute = self.target.partition(":")
        return getattr(import_module(module), attribute)


DATA: dict[str, Entry] = {
    "digits": Entry("study.data.digits:Digits", "1,797 handwritten digits, 8x8 grey; comes with scikit-learn"),
    "cifar10": Entry("study.data.torchvision_sets:Cifar10", "60,000 photographs, 32x32 colour, 10 classes"),
    "cifar100": Entry("study.data.torchvision_sets:Cifar100", "60,000 photographs, 32x32 colour, 100 classes"),
    "fashion_mnist": Entry("study.data.fashion_mnist:FashionMnist", "70,000 articles of clothing, 28x28 grey"),
    "svhn": Entry("study.data.torchvision_sets:Svhn", "99,289 house-number digits, 32x32 colour"),
    "image_folder": Entry("study.data.image_folder:ImageFolder", "any folder of train/<class>/* and test/<class>/*"),
    "image_stream": Entry(
        "study.data.image_stream:ImageStream", "as image_folder, but decoded as they are needed: for ImageNet's size"
    ),
}

BLOCKS: dict[str, Entry] = {
    "basic": Entry("study.networks.blocks:BasicBlock", "two 3x3 convolutions"),
}

SHORTCUTS: dict[str, Entry] = {
    "A": Entry(
        "study.networks.shortcuts:option_a", "identity; stride-2 subsampling and zero-padded maps between stages"
    ),
    "B": Entry("study.networks.shortcuts:option_b", "identity; a 1x1 convolution between stages"),
    "C": Entry("study.networks.shortcuts:option_c", "a 1x1 convolution everywhere"),
}

FIGURES: dict[str, Entry] = {
    "degradation": Entry("study.plotting.degradation:plot", "error over iterations, plain beside residual"),
    "depth_error": Entry("study.plotting.depth_error:plot", "final training and test error against depth"),
}

TABLES: dict[str, Entry] = {
    "errors": Entry(
        "study.plotting.tables:final_errors", "final training and test errors: mean, spread, median over seeds"
    ),
}
