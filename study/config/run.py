"""The run spec: one network, one recipe, one data set, one seed, fully resolved.

Every field here is part of a run's identity (`study.config.identity`); where and how fast a run is trained is not,
and has no place in this file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from study.config.choices import Precision
from study.config.fields import Model, listed, one_of, wrong
from study.config.recipe import Recipe
from study.config.registry import BLOCKS, DATA, INITIALISATIONS, ORDERS, PROBES, SHORTCUTS
from study.errors import nearest

IMAGENET_BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
"""Blocks in each stage of the ImageNet family (He et al. 2015, table 1), by depth."""
VGG_CONVOLUTIONS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
"""Convolutions in each stage of a VGG (Simonyan & Zisserman 2014, table 1), by depth."""

PROBE_IMAGES = 1024
"""Training images that a probe looks at, where nothing else is said."""

FOLDERS = ("image_folder", "image_stream")
"""Data sets that are a folder of the user's: resident in memory, or decoded as they are needed."""

STREAM_SIZE = 224
"""Height and width of what a network sees of a streamed image, unless told otherwise (He et al. 2015, section 3.4)."""

_POINT_ID = r"\w[\w.+\-]{0,99}-[0-9a-f]{12}"
_FOLDER = r"\w[\w.+\-]{0,49}"


BLOCK_OPTIONS, SHORTCUT_OPTIONS = (
    tuple(dict.fromkeys(option for entry in table.values() for option in entry.options))
    for table in (BLOCKS, SHORTCUTS)
)
"""Fields that only some blocks or shortcuts take."""
OPTIONS = (*BLOCK_OPTIONS, *SHORTCUT_OPTIONS)


def _is_name(value: Any, table: Mapping[str, Any]) -> bool:
    """Whether what a file says is a name that stands in a table; it may be anything, a list too."""
    return isinstance(value, str) and value in table


def _options(table: Mapping[str, Any], name: Any) -> Mapping[str, Any]:
    """The fields that a block or shortcut takes, with their defaults; none of an unknown one, which is said elsewhere."""
    return table[name].options if _is_name(name, table) else {}


def _forget_shortcut(values: dict[str, Any]) -> None:
    """Of a plain network: so that a sweep can name the fields of the residual twin for both. Unknown names stay, to be
    refused."""
    if _is_name(values.get("shortcut"), SHORTCUTS):
        for option in SHORTCUTS[values["shortcut"]].options:
            values.pop(option, None)
        values["shortcut"] = None
    if _is_name(values.get("order"), ORDERS):
        values["order"] = "original"


def _usual_block(family: Any, depth: Any) -> str:
    if family == "vgg":
        return "single"
    return "bottleneck" if family == "imagenet" and depth in (50, 101, 152) else "basic"


def _check_cifar_depth(depth: int, block: str) -> None:
    step = 3 * len(BLOCKS[block].kernels)
    if depth >= 2 + step and (depth - 2) % step == 0:
        return
    below = max(2 + step, depth - (depth - 2) % step)
    near = f"{below}" if depth <= 2 + step else f"{below} or {below + step}"
    other = f"; for the {depth}-layer network of the ImageNet family set family: imagenet" * (depth in IMAGENET_BLOCKS)
    of_block = "" if block == "basic" else f" with {block} blocks"
    raise wrong(f"{depth} is not {step}n + 2, as the CIFAR family needs{of_block}; nearest: {near}{other}")


def probe_names(value: Any) -> tuple[str, ...]:
    """The names of probes, one or several, in the registry's order, so that each set of them has one form.

    Raises
    ------
    ValueError
        One is unknown, with the nearest that is known, or named twice.
    """
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise wrong(f"must be names of {listed(PROBES)}, not {value!r:.80}")
    for i, name in enumerate(names):
        if name not in PROBES:
            raise wrong(f"no probe '{name}'{nearest(name, PROBES, listing='probes')}")
        if name in names[:i]:
            raise wrong(f"'{name}' is named twice")
    return tuple(name for name in PROBES if name in names)


def _filled_probes(values: Mapping[str, Any]) -> dict[str, Any]:
    """When and on how many images a run's probes measure; none where it has no probes."""
    if not values.get("probes"):
        return {}
    recipe = values.get("recipe")
    usual = recipe.get("evaluate_every") if isinstance(recipe, Mapping) else getattr(recipe, "evaluate_every", None)
    usual = usual if type(usual) is int and usual > 0 else None  # a wrong one is said where it stands, and there alone
    defaults = {"probe_every": usual, "probe_images": PROBE_IMAGES}
    return {field: default for field, default in defaults.items() if values.get(field) is None}


def snapshot_period(value: Any) -> Any:
    """A number of iterations, `epoch`, or None.

    Raises
    ------
    ValueError
        It is anything else, `true` and 1.0 included.
    """
    if value is None or value == "epoch" or (type(value) is int and value > 0):
        return value
    raise wrong(f"must be 'epoch' or a number of iterations from 1 on, not {value!r:.80}")


_PROBE: Any = Literal[tuple(PROBES)]
_PROBE_OR_LIST: Any = _PROBE | Annotated[list[_PROBE], Field(json_schema_extra={"uniqueItems": True})]
"""What a sweep file may say; for its JSON schema."""


class RunSpec(Model):
    """One run, fully resolved. Field errors name the valid choices."""

    network: Literal["plain", "residual"] = Field(description="with or without the addition of the shortcut")
    family: Literal["cifar", "imagenet", "vgg"] = Field(
        default="cifar",
        description="three stages of 16, 32, 64 maps, or four of 64 to 512 (He et al. 2015); or VGG's five, plain alone",
    )
    block: Annotated[str, one_of("block", BLOCKS)] = Field(
        default="basic", description="what is repeated; default: bottleneck in the ImageNet family from 50 layers on"
    )
    depth: int = Field(
        le=100_000,
        description="weighted layers: 6n + 2 in the CIFAR family, 9n + 2 with bottlenecks, 3n + 2 with single blocks; "
        "18, 34, 50, 101, 152 in the ImageNet family; 11, 13, 16, 19 in VGG's",
    )
    stride_in: Literal["1x1", "3x3"] | None = Field(
        default=None, description="of a bottleneck: the convolution with the stride; default 1x1, torchvision's is 3x3"
    )
    shortcut: Annotated[str, one_of("shortcut", SHORTCUTS)] | None = Field(
        default=None, description="of a residual network, default A; a plain network has none"
    )
    shortcut_scale: float | None = Field(default=None, ge=0, le=10, description="of shortcut: scaled; default 0.5")
    branch_scale: float | None = Field(default=None, ge=0, le=10, description="of shortcut: scaled; default 1")
    gate_bias: float | None = Field(
        default=None, ge=-100, le=100, description="of a gated shortcut: initial bias of the gate; default -6"
    )
    dropout: float | None = Field(
        default=None, gt=0, lt=1, description="of shortcut: dropout: share of values dropped; default 0.5"
    )
    order: Annotated[str, one_of("order", ORDERS)] = Field(
        default="original",
        description="of convolution, BN, ReLU and addition (He et al. 2016, figure 4); in a plain network all are one",
    )
    stem: Literal["cifar", "imagenet"] | None = Field(
        default=None,
        description="cifar: one 3x3 conv; imagenet: 7x7/2 conv and max pool; default: the family's own. "
        "Of a VGG: one linear layer, or three (the default)",
    )
    initialisation: Annotated[str, one_of("initialisation", INITIALISATIONS)] = Field(
        default="he_fan_in", description="of the weights of convolutions and linear layers"
    )
    width: int = Field(default=1, ge=1, le=64, description="multiplies the maps of every stage")
    data: Annotated[str, one_of("data set", DATA)] = Field(description="see `study list data`")
    folder: str | None = Field(
        default=None,
        validate_default=True,
        json_schema_extra={"pattern": f"^{_FOLDER}$"},
        description="with `data: image_folder` or `image_stream`: the folder's name under the data root",
    )
    image_size: int | None = Field(
        default=None,
        ge=4,
        le=512,
        description="with `data: image_folder`: resize and crop to this, default: as they are; "
        f"with `image_stream`: the crop, default: {STREAM_SIZE}",
    )
    train_subset: int | None = Field(default=None, ge=2, description="train on this many images, balanced over classes")
    train_subset_seed: int = Field(default=0, ge=0, description="which images the subset holds")
    recipe: Recipe
    precision: Precision = Field(default="fp32", description="of convolutions and products")
    probes: Annotated[
        tuple[str, ...],
        BeforeValidator(probe_names, json_schema_input_type=_PROBE_OR_LIST),
    ] = Field(default=(), description="what is measured besides the errors: a name or a list (docs/probes.md)")
    probe_every: int | None = Field(
        default=None,
        ge=1,
        description="with probes: iterations between two measurements; default: recipe.evaluate_every. "
        "They are taken before the first step and after the last one, too",
    )
    probe_images: int | None = Field(
        default=None, ge=1, description=f"with probes: training images that are looked at; default {PROBE_IMAGES}"
    )
    snapshot_every: Annotated[
        int | Literal["epoch"] | None,
        BeforeValidator(snapshot_period, json_schema_input_type=Annotated[int, Field(ge=1)] | Literal["epoch"] | None),
    ] = Field(
        default=None,
        description="keep the network's weights and BN statistics at these iterations, for `study surface --plane pca`: "
        "every so many, or `epoch`, after the step that completes each; before the first step and after the last one, too",
    )
    seed: int = Field(ge=0, lt=2**31, description="initialisation and samples")
    start_from: str | None = Field(
        default=None,
        json_schema_extra={"pattern": f"^{_POINT_ID}$"},
        description="id of a trained run without its seed, of the same seed and no deeper, whose network is stretched by "
        "identity layers to start from (see `study embed`)",
    )

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, given: Any) -> Any:
        """Defaults that hang on another field, made explicit so that a stored spec says all."""
        if not isinstance(given, Mapping):
            return given
        values = dict(given)
        family = values.get("family", "cifar")
        if values.get("stem") is None:
            values["stem"] = "imagenet" if family in ("imagenet", "vgg") else "cifar"
        if values.get("block") is None:
            values["block"] = _usual_block(family, values.get("depth"))
        if values.get("data") == "image_stream" and values.get("image_size") is None:
            values["image_size"] = STREAM_SIZE
        if values.get("network") == "plain":
            _forget_shortcut(values)
        elif values.get("shortcut") is None:
            values["shortcut"] = "A"
        for table, name in ((BLOCKS, values["block"]), (SHORTCUTS, values.get("shortcut"))):
            for option, default in _options(table, name).items():
                if values.get(option) is None:
                    values[option] = default
        return values | _filled_probes(values)

    # Fields are checked in their order, so a check sees the fields above its own; one that is itself wrong is absent.

    @field_validator("family")
    @classmethod
    def _vgg_is_plain(cls, family: str, above: ValidationInfo) -> str:
        if family == "vgg" and above.data.get("network") == "residual":
            raise wrong("a VGG has no shortcuts: with family: vgg set network: plain")
        return family

    @field_validator("block")
    @classmethod
    def _block_of_family(cls, block: str, above: ValidationInfo) -> str:
        if above.data.get("family") == "vgg" and block != "single":
            raise wrong(f"a VGG is made of single convolutions; leave block out, not {block}")
        return block

    @field_validator("depth")
    @classmethod
    def _depth_of_family(cls, depth: int, above: ValidationInfo) -> int:
        family, block = above.data.get("family"), above.data.get("block")
        if family == "vgg" and depth not in VGG_CONVOLUTIONS:
            raise wrong(f"a VGG has {listed(VGG_CONVOLUTIONS)} layers, not {depth}")
        if family == "imagenet" and block is not None:
            layers = len(BLOCKS[block].kernels)
            known = [d for d, counts in IMAGENET_BLOCKS.items() if layers * sum(counts) + 2 == d]
            if depth not in known:
                choice = f"has {listed(known)} layers" if known else "has no network"
                raise wrong(f"the ImageNet family {choice} with {block} blocks, not {depth}")
        if family == "cifar" and block is not None:
            _check_cifar_depth(depth, block)
        return depth

    @field_validator(*OPTIONS)
    @classmethod
    def _option_of_its_owner(cls, value: Any, above: ValidationInfo) -> Any:
        if value is None:
            return None
        for field, table in (("block", BLOCKS), ("shortcut", SHORTCUTS)):
            owners = [name for name in table if above.field_name in _options(table, name)]
            if owners and above.data.get(field, owners[0]) not in owners:
                chosen = above.data[field] or "a plain network"
                raise wrong(f"goes with {field}: {' or '.join(owners)}, not with {chosen}")
        return value + 0.0 if isinstance(value, float) else value  # -0.0 is 0.0

    @field_validator("probe_every", "probe_images")
    @classmethod
    def _with_probes_only(cls, value: int | None, above: ValidationInfo) -> int | None:
        if value is not None and not above.data.get("probes", True):
            raise wrong("goes with probes, and there are none")
        return value

    @field_validator("stem")
    @classmethod
    def _stem_of_family(cls, stem: str | None, above: ValidationInfo) -> str | None:
        if above.data.get("family") == "cifar" and stem != "cifar":
            raise wrong("the CIFAR family has the stem 'cifar'; for the other, set family: imagenet")
        return stem

    @field_validator("folder", "image_size")
    @classmethod
    def _folders_only(cls, value: Any, above: ValidationInfo) -> Any:
        data = above.data.get("data", "image_folder")
        if data not in FOLDERS and value is not None:
            raise wrong(f"goes with data: {' or '.join(FOLDERS)}, not with {data}")
        return value

    @field_validator("folder")
    @classmethod
    def _folder_name(cls, folder: str | None, above: ValidationInfo) -> str | None:
        if folder is None:
            if above.data.get("data") in FOLDERS:
                raise wrong(f"is missing; data: {above.data['data']} needs the name of a folder under the data root")
        elif not re.fullmatch(_FOLDER, folder):
            raise wrong(
                f"must be the name of a folder under the data root: at most 50 letters, digits and ._+-, not {folder!r:.80}"
            )
        return folder

    @field_validator("start_from")
    @classmethod
    def _point(cls, point: str | None) -> str | None:
        if point is not None and not re.fullmatch(_POINT_ID, point):
            raise wrong(f"must be a run's id without its seed, as `study embed` tells it, not {point!r:.80}")
        return point

    @field_validator("recipe")
    @classmethod
    def _pad_fits(cls, recipe: Recipe, above: ValidationInfo) -> Recipe:
        size = above.data.get("image_size")
        if size is not None and recipe.pad >= size:
            raise wrong(f"pad ({recipe.pad}) must be smaller than image_size ({size})")
        return recipe

    @field_validator("recipe")
    @classmethod
    def _augmentation_fits(cls, recipe: Recipe, above: ValidationInfo) -> Recipe:
        data, size = above.data.get("data"), above.data.get("image_size")
        if data == "image_stream":
            if recipe.pad:
                raise wrong(f"pad must be 0 with data: image_stream, not {recipe.pad}: its crops are of larger images")
            if recipe.scales is not None and size is not None and recipe.scales[0] < size:
                raise wrong(f"scales ({list(recipe.scales)}) must not begin below image_size ({size})")
        elif data is not None and (recipe.scales is not None or recipe.colour != "none"):
            name = "scales" if recipe.scales is not None else "colour"
            raise wrong(f"{name} goes with data: image_stream, not with {data}")
        return recipe

    @property
    def dataset(self) -> str:
        """The data set's name as results and figures show it."""
        return self.folder if self.folder is not None else self.data

    @property
    def variant(self) -> str:
        """What the title leaves unsaid of the network, in words; empty for the usual one."""
        words = [] if self.block == _usual_block(self.family, self.depth) else [self.block]
        words += [] if self.shortcut in (None, "A") else [self.shortcut]
        usual = {"stride_in": "1x1"}
        for name in OPTIONS:
            value = getattr(self, name)
            if value is not None and value != usual.get(name):
                words.append(f"{name}={value!r}".removesuffix(".0") if isinstance(value, float) else f"{name}={value}")
        words += [] if self.order == "original" else [self.order]
        words += [] if self.width == 1 else [f"x{self.width}"]
        words += [] if self.initialisation == "he_fan_in" else [self.initialisation]
        words += [] if self.start_from is None else [f"from {self.start_from}"]
        return " ".join(words)

    @property
    def title(self) -> str:
        """`plain-56`, `ResNet-20`: the network as the papers call it."""
        if self.family == "vgg":
            return f"VGG-{self.depth}"
        return f"{'plain' if self.network == 'plain' else 'ResNet'}-{self.depth}"


def recorded(spec: RunSpec | Mapping[str, Any]) -> RunSpec:
    """A stored spec as it stands, for those who only look: unchecked, since it may name what is not registered here, or be of
    another version. What is missing has its default, or None."""
    if isinstance(spec, RunSpec):
        return spec
    recipe = spec.get("recipe")
    given = recipe if isinstance(recipe, Mapping) else {}
    return RunSpec.model_construct(
        None, **_or_none(RunSpec, spec), recipe=Recipe.model_construct(None, **_or_none(Recipe, given))
    )


def _or_none(model: type[Model], given: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a model that are given, and None for those that have no default."""
    required = {name: None for name, field in model.model_fields.items() if field.is_required()}
    return {
        name: value for name, value in {**required, **given}.items() if name in model.model_fields and name != "recipe"
    }
