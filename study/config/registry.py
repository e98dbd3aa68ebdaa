"""The built-in components: what each is called, what it is, its options and where it is implemented.

A new one is a line here and its implementation. These tables import nothing of what they name.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator

from study.config.components import (
    Block,
    Component,
    Data,
    Family,
    Figure,
    Options,
    Probe,
    Registry,
    Shortcut,
    Table,
    option,
)
from study.config.fields import as_tuple, wrong
from study.text import listed

# -- data -----------------------------------------------------------------------------------------------------------------


_NAME = r"^\w[\w.+\-]{0,49}$"
"""A name of a file or folder, never a path."""


class FolderOptions(Options):
    folder: str = Field(description="the folder's name under the data root", pattern=_NAME)
    image_size: int | None = option(None, "pixels to resize and crop to; default: as they are", ge=4, le=512)


class StreamOptions(FolderOptions):
    image_size: int = option(224, "pixels of a crop (He et al. 2015, section 3.4)", ge=4, le=512)


class FileOptions(Options):
    file: str = Field(
        description="a file of x_train, y_train, x_test, y_test below the data root, or here", pattern=_NAME
    )


class DatasetOptions(Options):
    dataset: str = Field(description="its name in torchvision.datasets, such as STL10", pattern=r"^[A-Za-z]\w{0,49}$")
    image_size: int | None = option(None, "pixels to resize and crop to; default: as they are", ge=4, le=512)


_BUILTIN, _ARRAYS = "study.data.builtin", "study.data.arrays"
DATA = Registry("data set", "data", [
    Data("digits", "1,797 handwritten digits, 8x8 grey; comes with scikit-learn", f"{_BUILTIN}:Digits",
         size=8, channels=1, classes=10),
    Data("cifar10", "60,000 photographs, 32x32 colour, 10 classes", f"{_BUILTIN}:Cifar10", size=32, classes=10),
    Data("cifar100", "60,000 photographs, 32x32 colour, 100 classes", f"{_BUILTIN}:Cifar100", size=32, classes=100),
    Data("fashion_mnist", "70,000 articles of clothing, 28x28 grey", f"{_BUILTIN}:FashionMnist",
         size=28, channels=1, classes=10),
    Data("svhn", "99,289 house-number digits, 32x32 colour", f"{_BUILTIN}:Svhn", size=32, classes=10),
    Data("image_folder", "any folder of train/<class>/* and test/<class>/*", "study.data.folder:ImageFolder",
         FolderOptions),
    Data("image_stream", "as image_folder, but decoded as needed: for ImageNet's size", "study.data.stream:ImageStream",
         StreamOptions, streamed=True),
    Data("npz", "arrays in a .npz file", f"{_ARRAYS}:Npz", FileOptions),
    Data("parquet", "a folder of Parquet files in the layout of Hugging Face", f"{_ARRAYS}:Parquet", FolderOptions),
    Data("torchvision", "any data set of torchvision with a training and a test split", f"{_ARRAYS}:Torchvision",
         DatasetOptions),
])  # fmt: skip


# -- networks -------------------------------------------------------------------------------------------------------------

IMAGENET_BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
"""Blocks in each stage of the ImageNet family (He et al. 2015, table 1), by depth."""
VGG_CONVOLUTIONS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
"""Convolutions in each stage of a VGG (Simonyan & Zisserman 2014, table 1), by depth."""

Ends = Literal["cifar", "imagenet"]


class FamilyOptions(Options):
    width: int = option(1, "multiplies the maps of every stage", label="×{}", ge=1, le=64)


class ImagenetOptions(FamilyOptions):
    stem: Ends = option("imagenet", "cifar: one 3x3 conv; imagenet: 7x7/2 conv and max pool", label="{} stem")


class VggOptions(FamilyOptions):
    head: Ends = option("imagenet", "cifar: one linear layer; imagenet: three", label="{} head")


def _cifar_depth(depth: int, block: Block) -> str:
    step = 3 * len(block.kernels)
    if depth >= 2 + step and (depth - 2) % step == 0:
        return ""
    below = max(2 + step, depth - (depth - 2) % step)
    near = f"{below}" if depth <= 2 + step else f"{below} or {below + step}"
    other = f"; for the {depth}-layer network of the ImageNet family set family: imagenet" * (depth in IMAGENET_BLOCKS)
    of_block = "" if block.name == "basic" else f" with {block.name} blocks"
    return f"{depth} is not {step}n + 2, as the CIFAR family needs{of_block}; nearest: {near}{other}"


def _imagenet_depth(depth: int, block: Block) -> str:
    known = [d for d, counts in IMAGENET_BLOCKS.items() if len(block.kernels) * sum(counts) + 2 == d]
    if depth in known:
        return ""
    choice = f"has {listed(known)} layers" if known else "has no network"
    return f"the ImageNet family {choice} with {block.name} blocks, not {depth}"


def _vgg_depth(depth: int, block: Block) -> str:
    return "" if depth in VGG_CONVOLUTIONS else f"a VGG has {listed(VGG_CONVOLUTIONS)} layers, not {depth}"


_NETWORK = "study.networks.network"
FAMILIES = Registry("family", "family", [
    Family("cifar", "three stages of 16, 32 and 64 maps (He et al. 2015)", f"{_NETWORK}:ResNet", FamilyOptions, maps=16,
           refuse_depth=_cifar_depth,
           depths="6n + 2: 20, 32, 44, 56, 110, 1202 and any other; 9n + 2 with bottlenecks, 3n + 2 with single blocks"),
    Family("imagenet", "four stages of 64 to 512 maps (He et al. 2015)", f"{_NETWORK}:ResNet", ImagenetOptions, maps=64,
           usual_block=lambda depth: "bottleneck" if depth in (50, 101, 152) else "basic",
           refuse_depth=_imagenet_depth, depths=", ".join(map(str, IMAGENET_BLOCKS))),
    Family("vgg", "the plain networks of Simonyan & Zisserman 2014, with BN", f"{_NETWORK}:Vgg", VggOptions, maps=64,
           title="VGG", plain_only=True, blocks=("single",), usual_block=lambda depth: "single",
           refuse_depth=_vgg_depth, depths=f"{', '.join(map(str, VGG_CONVOLUTIONS))}; plain alone"),
])  # fmt: skip


class BottleneckOptions(Options):
    stride_in: Literal["1x1", "3x3"] = option(
        "1x1", "the convolution with the stride; torchvision's is 3x3", label="stride in {}"
    )


_BLOCKS = "study.networks.blocks"
BLOCKS = Registry("block", "block", [
    Block("basic", "two 3x3 convolutions", f"{_BLOCKS}:BasicBlock", kernels=(3, 3)),
    Block("bottleneck", "1x1 to fewer maps, 3x3, 1x1 to four times as many", f"{_BLOCKS}:Bottleneck", BottleneckOptions,
          kernels=(1, 3, 1), expansion=4),
    Block("single", "one 3x3 convolution", f"{_BLOCKS}:SingleBlock", kernels=(3,)),
    Block("repvgg", "basic, with a 1x1 and an identity beside each convolution; plain alone: Ding et al. 2021",
          f"{_BLOCKS}:RepVgg", kernels=(3, 3), sides=True, only="plain"),
    Block("fixup", "basic, with scalar biases and a zero last layer; without norm, residual alone: Zhang et al. 2019",
          f"{_BLOCKS}:Fixup", kernels=(3, 3), scalars=True, only="residual"),
])  # fmt: skip


class ScaledOptions(Options):
    scale: float = option(0.5, "factor of the shortcut", label="shortcut ×{}", ge=0, le=10)
    branch: float = option(1.0, "factor of the branch", label="branch ×{}", ge=0, le=10)

    def remark(self) -> str:
        return "the same as A, since both factors are 1" if self.scale == self.branch == 1 else ""


class GateOptions(Options):
    bias: float = option(-6.0, "initial bias of the gate", label="bias {}", ge=-100, le=100)


class DropoutOptions(Options):
    rate: float = option(0.5, "share of values dropped", label="rate {}", gt=0, lt=1)


class WeightOptions(Options):
    initial: float | None = option(
        None,
        "initial weight; default: of skipinit 0, of layer_scale 0.1 up to 18 blocks, 1e-5 up to 24, else 1e-6",
        label="weight {}",
        ge=0,
        le=10,
    )


_SHORTCUTS = "study.networks.shortcuts"
SHORTCUTS = Registry("shortcut", "shortcut", [
    Shortcut("A", "identity; stride-2 subsampling and zero-padded maps between stages", f"{_SHORTCUTS}:option_a"),
    Shortcut("B", "identity; a 1x1 convolution between stages", f"{_SHORTCUTS}:option_b", projects="change"),
    Shortcut("C", "a 1x1 convolution everywhere", f"{_SHORTCUTS}:option_c", projects="every"),
    Shortcut("projection", "identity; between stages a 1x1 convolution with BN and ReLU as the order has them",
             f"{_SHORTCUTS}:projection", projects="order"),
    Shortcut("scaled", "A times a constant, plus the branch times another", f"{_SHORTCUTS}:Scaled", ScaledOptions,
             changes_input=True),
    Shortcut("exclusive_gate", "A times 1 - g(x), plus the branch times g(x)", f"{_SHORTCUTS}:ExclusiveGate", GateOptions,
             projects="gate", changes_input=True),
    Shortcut("shortcut_gate", "A times 1 - g(x), plus the branch as it is", f"{_SHORTCUTS}:ShortcutGate", GateOptions,
             projects="gate", changes_input=True),
    Shortcut("dropout", "A with a part of its values dropped", f"{_SHORTCUTS}:Dropout", DropoutOptions,
             changes_input=True),
    Shortcut("layer_scale", "A plus the branch, each map times a small learned weight: Touvron et al. 2021",
             f"{_SHORTCUTS}:layer_scale", WeightOptions, weighs="maps"),
    Shortcut("skipinit", "A plus the branch times a learned weight that starts at 0: De & Smith 2020",
             f"{_SHORTCUTS}:Weighted", WeightOptions, weighs="branch"),
    Shortcut("rezero", "the same formula as skipinit: Bachlechner et al. 2020", f"{_SHORTCUTS}:Weighted", weighs="branch"),
    Shortcut("by_depth", "A plus the branch over the root of the number of blocks: Zhang et al. 2019",
             f"{_SHORTCUTS}:by_depth"),
])  # fmt: skip

_ORDERS = "study.networks.orders"
ORDERS = Registry("order", "order", [
    Component("original", "conv, BN, ReLU, conv, BN; addition; ReLU", f"{_ORDERS}:original"),
    Component("bn_after_add", "conv, BN, ReLU, conv; addition; BN, ReLU", f"{_ORDERS}:bn_after_add"),
    Component("relu_before_add", "conv, BN, ReLU, conv, BN, ReLU; addition", f"{_ORDERS}:relu_before_add"),
    Component("relu_only_pre", "ReLU, conv, BN, ReLU, conv, BN; addition", f"{_ORDERS}:relu_only_pre"),
    Component("pre", "BN, ReLU, conv, BN, ReLU, conv; addition: full pre-activation", f"{_ORDERS}:pre"),
])  # fmt: skip


class GroupOptions(Options):
    groups: int = option(8, "groups of maps, which must divide the maps of each stage", label="{} groups", ge=1)


class SlopeOptions(Options):
    slope: float = option(0.01, "slope below 0", label="slope {}")


class CreluOptions(Options):
    random: bool = option(
        False, "draw layers behind it whole; default: as [W, -W], so that the network is linear", label="drawn whole"
    )


class TailoredOptions(Options):
    eta: float = option(0.9, "cosine with which two orthogonal inputs leave the network", label="eta {}", gt=0, lt=1)


class GainOptions(Options):
    gain: float = option(1.0, "singular values of a layer", label="gain {}", gt=0)


_LAYERS = "study.networks.layers"
NORMS = Registry("norm", "norm", [
    Component("batch", "batch normalisation (BN)", "torch.nn:BatchNorm2d"),
    Component("group", "group normalisation (Wu & He 2018)", f"{_LAYERS}:GroupNorm", GroupOptions),
    Component("layer", "layer normalisation: one group (Ba et al. 2016)", f"{_LAYERS}:GroupNorm"),
    Component("none", "none; convolutions have biases", "torch.nn:Identity"),
])  # fmt: skip
ACTIVATIONS = Registry("activation", "activation", [
    Component("relu", "ReLU", "torch.nn:ReLU"),
    Component("leaky_relu", "ReLU with a slope below 0", f"{_LAYERS}:leaky_relu", SlopeOptions),
    Component("gelu", "x times the normal distribution at x (Hendrycks & Gimpel 2016)", "torch.nn:GELU"),
    Component("silu", "x times the sigmoid of x (Elfwing et al. 2018)", "torch.nn:SiLU"),
    Component("tanh", "hyperbolic tangent", "torch.nn:Tanh"),
    Component("crelu", "max(0, x) and max(0, -x); plain alone, and linear at the start: Balduzzi et al. 2017",
               f"{_LAYERS}:Crelu", CreluOptions, only="plain"),
    Component("tailored", "leaky ReLU with a slope for the network's depth (TAT): Zhang et al. 2022",
               f"{_LAYERS}:Tailored", TailoredOptions),
])  # fmt: skip

CONVOLUTIONS = Registry("convolution", "convolution", [
    Component("dirac", "identity plus normalised weights, both weighted (DiracNets): Zagoruyko & Komodakis 2017",
                "study.networks.convolutions:Dirac"),
    Component("standardised", "each filter with mean 0 and variance 1: Qiao et al. 2019",
                "study.networks.convolutions:Standardised"),
])  # fmt: skip

_INITIALISE = "study.networks.initialise"
INITIALISATIONS = Registry("initialisation", "initialisation", [
    Component("he_fan_in", "normal, variance 2 / fan_in: He et al. 2015", f"{_INITIALISE}:he_fan_in"),
    Component("he_fan_out", "normal, variance 2 / fan_out, as torchvision's convolutions", f"{_INITIALISE}:he_fan_out"),
    Component("glorot", "normal, variance 2 / (fan_in + fan_out)", f"{_INITIALISE}:glorot"),
    Component("orthogonal", "orthonormal rows or columns: Saxe et al. 2013", f"{_INITIALISE}:orthogonal", GainOptions),
    Component("delta_orthogonal", "orthogonal at the centre of each kernel, else 0: Xiao et al. 2018",
                   f"{_INITIALISE}:delta_orthogonal", GainOptions),
    Component("scaled_orthogonal", "delta_orthogonal times max(1, sqrt(outputs / inputs)): Martens et al. 2021",
                   f"{_INITIALISE}:scaled_orthogonal"),
    Component("lsuv", "orthogonal, then each layer's outputs scaled to variance 1: Mishkin & Matas 2016",
                   f"{_INITIALISE}:orthogonal"),
])  # fmt: skip


# -- recipes --------------------------------------------------------------------------------------------------------------


class SgdOptions(Options):
    momentum: float = option(0.9, "momentum", ge=0, lt=1)
    nesterov: bool = option(False, "Nesterov's momentum")

    def remark(self) -> str:
        return "nesterov has no effect, since momentum is 0" if self.nesterov and self.momentum == 0 else ""


Betas = Annotated[
    tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]], BeforeValidator(as_tuple)
]


class AdamOptions(Options):
    betas: Betas = option((0.9, 0.999), "decay of the means of the gradient and of its square")
    eps: float = option(1e-8, "added to the root of the mean square", gt=0)


class RmsPropOptions(Options):
    alpha: float = option(0.99, "decay of the mean square of the gradient", ge=0, lt=1)
    eps: float = option(1e-8, "added to the root of the mean square", gt=0)
    momentum: float = option(0.0, "momentum", ge=0, lt=1)


class AdagradOptions(Options):
    lr_decay: float = option(0.0, "decay of the rate with each step", ge=0)
    eps: float = option(1e-10, "added to the root of the sum of squares", gt=0)


class LarsOptions(Options):
    momentum: float = option(0.9, "momentum", ge=0, lt=1)
    trust: float = option(0.001, "a layer's rate over the ratio of its weights to its gradient", gt=0)


class FinalOptions(Options):
    final: float = option(0.0, "rate at the end, as a share of learning_rate", ge=0, le=1)


class OneCycleOptions(Options):
    rise: float = option(0.3, "share of the training in which the rate rises", gt=0, lt=1)
    start: float = option(0.04, "rate at the start, as a share of learning_rate", gt=0, le=1)
    final: float = option(4e-6, "rate at the end, as a share of learning_rate", ge=0, le=1)


class DropOptions(Options):
    gamma: float = option(0.1, "factor of each drop of the rate", gt=0, le=1)


class MilestoneOptions(DropOptions):
    at: Annotated[tuple[int, ...], BeforeValidator(as_tuple)] = option((), "iterations after which the rate drops")

    @field_validator("at")
    @classmethod
    def _rise(cls, at: tuple[int, ...]) -> tuple[int, ...]:
        if any(b <= a for a, b in zip((0, *at), at, strict=False)):
            raise wrong(f"must be positive and rise, not {list(at)}")
        return at


class PlateauOptions(DropOptions):
    patience: int = option(5, "evaluations in a row without improvement before the rate drops", ge=1)
    improvement: float = option(0.01, "smallest improvement, as a share of the best error so far", ge=0, lt=1)
    drops: int = option(2, "drops at most", ge=1, le=10)


class WarmupOptions(Options):
    rate: float = option(0.01, "learning rate during the warm-up", gt=0)
    from_depth: int = option(0, "only networks at least this deep warm up", ge=0)


class IterationWarmup(WarmupOptions):
    iterations: int = option(400, "length", ge=1)


class LinearWarmup(IterationWarmup):
    rate: float = option(0.01, "learning rate of the first step", gt=0)


class ErrorWarmup(WarmupOptions):
    below: float = option(80.0, "the warm-up ends when the running training error (%) is below this", gt=0, le=100)


_OPTIMIZER, _SCHEDULE = "study.training.optimizer", "study.training.schedule"
OPTIMIZERS = Registry("optimizer", "recipe.optimizer", [
    Component("sgd", "stochastic gradient descent, with momentum", f"{_OPTIMIZER}:Sgd", SgdOptions),
    Component("adam", "Adam (Kingma & Ba 2015)", f"{_OPTIMIZER}:Adam", AdamOptions),
    Component("adamw", "Adam with decoupled weight decay (Loshchilov & Hutter 2019)", f"{_OPTIMIZER}:AdamW", AdamOptions),
    Component("rmsprop", "RMSprop (Tieleman & Hinton 2012)", f"{_OPTIMIZER}:RmsProp", RmsPropOptions),
    Component("adagrad", "Adagrad (Duchi et al. 2011)", f"{_OPTIMIZER}:Adagrad", AdagradOptions),
    Component("lars", "SGD with a rate for each layer (You et al. 2017)", f"{_OPTIMIZER}:Lars", LarsOptions),
])  # fmt: skip
SCHEDULES = Registry("schedule", "recipe.schedule", [
    Component("milestones", "the rate drops at given iterations", f"{_SCHEDULE}:Schedule", MilestoneOptions),
    Component("plateau", "the rate drops at plateaus of the training error", f"{_SCHEDULE}:Plateau", PlateauOptions),
    Component("constant", "the rate stays", f"{_SCHEDULE}:constant"),
    Component("linear", "the rate falls on a line", f"{_SCHEDULE}:linear", FinalOptions),
    Component("cosine", "the rate falls on half a cosine (Loshchilov & Hutter 2017)", f"{_SCHEDULE}:cosine", FinalOptions),
    Component("one_cycle", "the rate rises, then falls, on cosines (Smith & Topin 2019)", f"{_SCHEDULE}:one_cycle",
              OneCycleOptions),
])  # fmt: skip
WARMUPS = Registry("warm-up", "recipe.warmup", [
    Component("none", "no warm-up", f"{_SCHEDULE}:Schedule"),
    Component("iterations", "a fixed number of iterations (He et al. 2016)", f"{_SCHEDULE}:Schedule", IterationWarmup),
    Component("linear", "the rate rises on a line (Goyal et al. 2017)", f"{_SCHEDULE}:Schedule", LinearWarmup),
    Component("error", "until the training error falls (He et al. 2015)", f"{_SCHEDULE}:Schedule", ErrorWarmup),
])  # fmt: skip


# -- what is measured and drawn --------------------------------------------------------------------------------------------


def _probe(name: str, summary: str, target: str = "", usual: bool = True, needs: Any = "") -> Probe:
    return Probe(name, summary, f"study.measure.probes.{target or f'{name}:measure'}", usual=usual, needs=needs)


PROBES = Registry("probe", "probes", [
    _probe("responses", "standard deviation of each 3x3 layer's responses, after BN", needs="blocks"),
    _probe("gradients", "norm of the gradient of each layer's weights"),
    _probe("identity", "how far each block is from the identity, and what its ReLU cuts", needs="blocks"),
    _probe("weights", "norm of each layer's weights, and their distance from the start"),
    _probe("paths", "effect of deleting each block; the gradient by length of path", needs="blocks"),
    _probe("confusion", "whether mini-batches pull in the same direction"),
    _probe("batch_norm", "errors with BN's running, recalibrated and folded statistics", needs="BN"),
    _probe("hessian", "extreme eigenvalues, trace and spectral density of the loss's Hessian; costly", usual=False),
    _probe("ten_crop", "test errors over ten crops of each image; costly", "views:ten_crop", usual=False),
    _probe("multi_scale", "test errors over whole images at five scales; costly", "views:multi_scale", usual=False),
])  # fmt: skip


def _figure(name: str, summary: str, target: str, needs: Any = "curves") -> Figure:
    return Figure(name, summary, f"study.plotting.{target}", needs=needs)


FIGURES = Registry("figure", "figures", [
    _figure("degradation", "error over iterations, plain beside residual", "curves.degradation:plot"),
    _figure("fig1", "He et al. 2015, figure 1: training and test error, plain-20 and -56", "curves.he2015:fig1"),
    _figure("fig4", "He et al. 2015, figure 4: 18 and 34 layers, plain beside residual", "curves.he2015:fig4"),
    _figure("fig6", "He et al. 2015, figure 6: plain, residual, and the deepest networks", "curves.he2015:fig6"),
    _figure("shortcuts", "He et al. 2016, figure 3: each shortcut against the identity", "curves.he2016:shortcuts"),
    _figure("orders", "He et al. 2016, figure 6: each order against the original one", "curves.he2016:orders"),
    _figure("preactivation", "He et al. 2016, figure 1: full pre-activation", "curves.he2016:preactivation"),
    _figure("depth_error", "final training and test error against depth", "curves.depth_error:plot"),
    _figure("contours", "contours of the loss over planes of weights", "surfaces.contours:plot", "surfaces"),
    _figure("line1d", "loss and error along lines through the weights", "surfaces.line1d:plot", "surfaces"),
    _figure("responses", "how strongly each 3x3 layer responds: He et al. 2015, figure 7",
            "probes.responses:plot", "probes"),
    _figure("fig7", "the same as responses", "probes.responses:plot", "probes"),
    _figure("gradients", "gradient of each layer over iterations, plain beside residual",
            "probes.gradients:plot", "probes"),
    _figure("identity_ness", "how far each block is from the identity, and over training",
            "probes.identity_ness:plot", "probes"),
    _figure("effective_depth", "what each block is worth, and the gradient by length of path",
            "probes.effective_depth:plot", "probes"),
    _figure("surface3d", "the loss over planes of weights, as a relief", "surfaces.relief:plot", "surfaces"),
    _figure("trajectory", "the way of a training over the loss, in its principal plane",
            "surfaces.trajectory:plot", "surfaces"),
    _figure("hessian_ratio", "how far from convex the loss is over planes of weights",
            "surfaces.hessian_ratio:plot", "surfaces"),
    _figure("spectrum", "density of the Hessian's eigenvalues, plain beside residual",
            "probes.spectrum:plot", "probes"),
    _figure("sensitivity", "final error of one network over learning rate, initialisation, warm-up",
            "curves.sensitivity:plot"),
    _figure("cures", "how much of the plain rise each cure takes away, and its cost", "curves.cures:plot"),
    _figure("initial_gradients", "gradient of each layer before training, a panel for each kind of network",
            "probes.initial_gradients:plot", "probes"),
    _figure("verdict", "the paired differences behind the verdict, a row each", "curves.verdict:plot"),
])  # fmt: skip


def _table(name: str, summary: str, module: str = "beside_papers", needs: Any = "curves") -> Table:
    return Table(name, summary, f"study.plotting.tables.{module}:{name}", needs=needs)


TABLES = Registry("table", "tables", [
    _table("errors", "final errors: mean, spread, median; difference from the plain twin", "errors"),
    _table("cures", "each cure of degradation: what it takes away of the plain rise, and its cost", "cures"),
    _table("table6", "He et al. 2015, table 6: ResNets on CIFAR-10, beside ours"),
    _table("imagenet", "He et al. 2015, tables 2 to 4: ImageNet, beside ours", needs="probes"),
    _table("i16_table1", "He et al. 2016, table 1: shortcuts, beside ours"),
    _table("i16_table2", "He et al. 2016, table 2: orders, beside ours"),
    _table("i16_table3", "He et al. 2016, table 3: pre-activation, beside ours"),
    _table("l18_fig5", "Li et al. 2018, figure 5: test errors, beside ours"),
])  # fmt: skip
