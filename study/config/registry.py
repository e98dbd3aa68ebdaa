"""What exists, by name: a new data set, block, shortcut, order, probe or figure is one new file and one line here.

The tables name their objects as `module:attribute`, so this floor imports none of them; `load` does, late.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Literal


@dataclass(frozen=True)
class Entry:
    """Where a named thing is implemented, and a line that says what it is."""

    target: str
    summary: str

    def load(self) -> Any:
        """Import the module and return the object."""
        module, _, attribute = self.target.partition(":")
        return getattr(import_module(module), attribute)


@dataclass(frozen=True)
class DataEntry(Entry):
    """A data set, and what a network needs to know of it, where its name tells."""

    size: int | None = None
    """Height and width of its images."""
    channels: int = 3
    classes: int | None = None


@dataclass(frozen=True)
class BlockEntry(Entry):
    """A block, and what its layers are, so that depth, parameters and arithmetic are known without torch."""

    kernels: tuple[int, ...]
    """Sizes of its convolutions, in order: as many as one block adds to the depth."""
    expansion: int = 1
    """Maps of its last convolution over those of the others."""
    pooled: tuple[float, ...] = ()
    """Widths, over the block's output maps, of fully connected layers on its pooled branch."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the run spec that it alone takes, with their defaults."""


@dataclass(frozen=True)
class ProbeEntry(Entry):
    """A probe, and whether `study probe` takes it unless told otherwise."""

    usual: bool = True


@dataclass(frozen=True)
class FigureEntry(Entry):
    """A figure, and which frame it is drawn from."""

    needs: Literal["curves", "surfaces", "probes"] = "curves"
    """The frame is what `study.store.collect.read_<needs>` gives; the figure's target takes it as its first argument."""


@dataclass(frozen=True)
class TableEntry(Entry):
    """A table, and which frame it is made of."""

    needs: Literal["curves", "probes"] = "curves"
    """As a figure's."""


@dataclass(frozen=True)
class ShortcutEntry(Entry):
    """A shortcut, and where it has a 1x1 convolution."""

    projects: str = ""
    """`change`: with BN, where the shape changes; `order`: there, with the BN and ReLU that the order gives it; `every`: with
    BN, everywhere; `gate`: with a bias, everywhere."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the run spec that it alone takes, with their defaults."""


DATA: dict[str, DataEntry] = {
    "digits": DataEntry(
        "study.data.builtin:Digits", "1,797 handwritten digits, 8x8 grey; comes with scikit-learn", 8, 1, 10
    ),
    "cifar10": DataEntry("study.data.builtin:Cifar10", "60,000 photographs, 32x32 colour, 10 classes", 32, 3, 10),
    "cifar100": DataEntry("study.data.builtin:Cifar100", "60,000 photographs, 32x32 colour, 100 classes", 32, 3, 100),
    "fashion_mnist": DataEntry("study.data.builtin:FashionMnist", "70,000 articles of clothing, 28x28 grey", 28, 1, 10),
    "svhn": DataEntry("study.data.builtin:Svhn", "99,289 house-number digits, 32x32 colour", 32, 3, 10),
    "image_folder": DataEntry("study.data.folder:ImageFolder", "any folder of train/<class>/* and test/<class>/*"),
    "image_stream": DataEntry(
        "study.data.stream:ImageStream", "as image_folder, but decoded as they are needed: for ImageNet's size"
    ),
}

BLOCKS: dict[str, BlockEntry] = {
    "basic": BlockEntry("study.networks.blocks:BasicBlock", "two 3x3 convolutions", (3, 3)),
    "bottleneck": BlockEntry(
        "study.networks.blocks:Bottleneck",
        "1x1 to fewer maps, 3x3, 1x1 to four times as many",
        (1, 3, 1),
        expansion=4,
        options={"stride_in": "1x1"},
    ),
    "single": BlockEntry("study.networks.blocks:SingleBlock", "one 3x3 convolution", (3,)),
}

SHORTCUTS: dict[str, ShortcutEntry] = {
    "A": ShortcutEntry(
        "study.networks.shortcuts:option_a", "identity; stride-2 subsampling and zero-padded maps between stages"
    ),
    "B": ShortcutEntry(
        "study.networks.shortcuts:option_b", "identity; a 1x1 convolution between stages", projects="change"
    ),
    "C": ShortcutEntry("study.networks.shortcuts:option_c", "a 1x1 convolution everywhere", projects="every"),
    "projection": ShortcutEntry(
        "study.networks.shortcuts:projection",
        "identity; between stages a 1x1 convolution with BN and ReLU as the order has them",
        projects="order",
    ),
    "scaled": ShortcutEntry(
        "study.networks.shortcuts:Scaled",
        "A times a constant, plus the branch times another",
        options={"shortcut_scale": 0.5, "branch_scale": 1.0},
    ),
    "exclusive_gate": ShortcutEntry(
        "study.networks.shortcuts:ExclusiveGate",
        "A times 1 - g(x), plus the branch times g(x)",
        projects="gate",
        options={"gate_bias": -6.0},
    ),
    "shortcut_gate": ShortcutEntry(
        "study.networks.shortcuts:ShortcutGate",
        "A times 1 - g(x), plus the branch as it is",
        projects="gate",
        options={"gate_bias": -6.0},
    ),
    "dropout": ShortcutEntry(
        "study.networks.shortcuts:Dropout", "A with a part of its values dropped", options={"dropout": 0.5}
    ),
}

ORDERS: dict[str, Entry] = {
    "original": Entry("study.networks.orders:original", "conv, BN, ReLU, conv, BN; addition; ReLU"),
    "bn_after_add": Entry("study.networks.orders:bn_after_add", "conv, BN, ReLU, conv; addition; BN, ReLU"),
    "relu_before_add": Entry("study.networks.orders:relu_before_add", "conv, BN, ReLU, conv, BN, ReLU; addition"),
    "relu_only_pre": Entry("study.networks.orders:relu_only_pre", "ReLU, conv, BN, ReLU, conv, BN; addition"),
    "pre": Entry("study.networks.orders:pre", "BN, ReLU, conv, BN, ReLU, conv; addition: full pre-activation"),
}

PROBES: dict[str, ProbeEntry] = {
    "responses": ProbeEntry(
        "study.measure.probes.responses:measure", "standard deviation of each 3x3 layer's responses, after BN"
    ),
    "gradients": ProbeEntry("study.measure.probes.gradients:measure", "norm of the gradient of each layer's weights"),
    "identity": ProbeEntry(
        "study.measure.probes.identity:measure", "how far each block is from the identity, and what its ReLU cuts"
    ),
    "weights": ProbeEntry(
        "study.measure.probes.weights:measure", "norm of each layer's weights, and their way from the start"
    ),
    "paths": ProbeEntry(
        "study.measure.probes.paths:measure", "effect of deleting each block; the gradient by length of path"
    ),
    "confusion": ProbeEntry(
        "study.measure.probes.confusion:measure", "whether mini-batches pull in the same direction"
    ),
    "batch_norm": ProbeEntry(
        "study.measure.probes.batch_norm:measure", "errors with BN's running, recalibrated and folded statistics"
    ),
    "hessian": ProbeEntry(
        "study.measure.probes.hessian:measure",
        "extreme eigenvalues, trace and spectral density of the loss's Hessian; costly",
        usual=False,
    ),
    "ten_crop": ProbeEntry(
        "study.measure.probes.views:ten_crop", "test errors over ten crops of each image; costly", usual=False
    ),
    "multi_scale": ProbeEntry(
        "study.measure.probes.views:multi_scale", "test errors over whole images at five scales; costly", usual=False
    ),
}
"""In an order that stays: a spec lists its probes in it, and its id hangs on the list. New ones may stand anywhere."""

INITIALISATIONS: dict[str, Entry] = {
    "he_fan_in": Entry("study.networks.initialise:he_fan_in", "normal, variance 2 / fan_in: He et al. 2015"),
    "he_fan_out": Entry(
        "study.networks.initialise:he_fan_out", "normal, variance 2 / fan_out, as torchvision's convolutions"
    ),
    "glorot": Entry("study.networks.initialise:glorot", "normal, variance 2 / (fan_in + fan_out)"),
}

FIGURES: dict[str, FigureEntry] = {
    "degradation": FigureEntry(
        "study.plotting.curves.degradation:plot", "error over iterations, plain beside residual"
    ),
    "fig1": FigureEntry(
        "study.plotting.curves.he2015:fig1", "He et al. 2015, figure 1: training and test error, plain-20 and -56"
    ),
    "fig4": FigureEntry(
        "study.plotting.curves.he2015:fig4", "He et al. 2015, figure 4: 18 and 34 layers, plain beside residual"
    ),
    "fig6": FigureEntry(
        "study.plotting.curves.he2015:fig6", "He et al. 2015, figure 6: plain, residual, and the deepest networks"
    ),
    "shortcuts": FigureEntry(
        "study.plotting.curves.he2016:shortcuts", "He et al. 2016, figure 3: each shortcut against the identity"
    ),
    "orders": FigureEntry(
        "study.plotting.curves.he2016:orders", "He et al. 2016, figure 6: each order against the original one"
    ),
    "preactivation": FigureEntry(
        "study.plotting.curves.he2016:preactivation", "He et al. 2016, figure 1: full pre-activation"
    ),
    "depth_error": FigureEntry("study.plotting.curves.depth_error:plot", "final training and test error against depth"),
    "contours": FigureEntry(
        "study.plotting.surfaces.contours:plot", "contours of the loss over planes of weights", needs="surfaces"
    ),
    "line1d": FigureEntry(
        "study.plotting.surfaces.line1d:plot", "loss and error along lines through the weights", needs="surfaces"
    ),
    "responses": FigureEntry(
        "study.plotting.probes.responses:plot",
        "how strongly each 3x3 layer responds: He et al. 2015, figure 7",
        needs="probes",
    ),
    "fig7": FigureEntry("study.plotting.probes.responses:plot", "the same as responses", needs="probes"),
    "gradients": FigureEntry(
        "study.plotting.probes.gradients:plot",
        "gradient of each layer over iterations, plain beside residual",
        needs="probes",
    ),
    "identity_ness": FigureEntry(
        "study.plotting.probes.identity_ness:plot",
        "how far each block is from the identity, and over training",
        needs="probes",
    ),
    "effective_depth": FigureEntry(
        "study.plotting.probes.effective_depth:plot",
        "what each block is worth, and the gradient by length of path",
        needs="probes",
    ),
    "surface3d": FigureEntry(
        "study.plotting.surfaces.relief:plot", "the loss over planes of weights, as a relief", needs="surfaces"
    ),
    "trajectory": FigureEntry(
        "study.plotting.surfaces.trajectory:plot",
        "the way of a training over the loss, in its principal plane",
        needs="surfaces",
    ),
    "hessian_ratio": FigureEntry(
        "study.plotting.surfaces.hessian_ratio:plot",
        "how far from convex the loss is over planes of weights",
        needs="surfaces",
    ),
    "spectrum": FigureEntry(
        "study.plotting.probes.spectrum:plot",
        "density of the Hessian's eigenvalues, plain beside residual",
        needs="probes",
    ),
    "sensitivity": FigureEntry(
        "study.plotting.curves.sensitivity:plot",
        "final error of one network over learning rate, initialisation, warm-up",
    ),
    "verdict": FigureEntry(
        "study.plotting.curves.verdict:plot", "the paired differences behind the verdict, a row each"
    ),
}

TABLES: dict[str, TableEntry] = {
    "errors": TableEntry(
        "study.plotting.tables.errors:errors", "final errors: mean, spread, median; difference from the plain twin"
    ),
    "table6": TableEntry(
        "study.plotting.tables.beside_papers:table6", "He et al. 2015, table 6: ResNets on CIFAR-10, beside ours"
    ),
    "imagenet": TableEntry(
        "study.plotting.tables.beside_papers:imagenet",
        "He et al. 2015, tables 2 to 4: ImageNet, beside ours",
        needs="probes",
    ),
    "i16_table1": TableEntry(
        "study.plotting.tables.beside_papers:i16_table1", "He et al. 2016, table 1: shortcuts, beside ours"
    ),
    "i16_table2": TableEntry(
        "study.plotting.tables.beside_papers:i16_table2", "He et al. 2016, table 2: orders, beside ours"
    ),
    "i16_table3": TableEntry(
        "study.plotting.tables.beside_papers:i16_table3", "He et al. 2016, table 3: pre-activation, beside ours"
    ),
    "l18_fig5": TableEntry(
        "study.plotting.tables.beside_papers:l18_fig5", "Li et al. 2018, figure 5: test errors, beside ours"
    ),
}
