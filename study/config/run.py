"""The run spec: one network, one recipe, one data set, one seed, fully resolved.

Every field but those of `Kept` is part of a run's identity (`study.config.identity`); where and how fast a run is trained
is not, and has no place in this file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from study.config import Precision
from study.config.components import Options, Registry
from study.config.fields import Model, shown, wrong
from study.config.recipes import ELSEWHERE, Recipe
from study.config.registry import (
    ACTIVATIONS,
    BLOCKS,
    CONVOLUTIONS,
    DATA,
    FAMILIES,
    INITIALISATIONS,
    NORMS,
    ORDERS,
    PROBES,
    SHORTCUTS,
)
from study.errors import nearest
from study.text import listed

PROBE_IMAGES = 1024
"""Training images that a probe looks at, unless told otherwise."""

FOLDERS = tuple(name for name, data in DATA.items() if {"folder", "file", "dataset"} & set(data.option_names))
"""Data sets of the user's files, or which they must name."""


def probe_names(value: Any) -> tuple[str, ...]:
    """The names of one or several probes, in the registry's order. Raises ValueError for an unknown or repeated name."""
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise wrong(f"must be names of {listed(PROBES)}, not {shown(value)}")
    for i, name in enumerate(names):
        if name not in PROBES:
            raise wrong(f"no probe '{name}'{nearest(name, PROBES, listing='probes')}")
        if name in names[:i]:
            raise wrong(f"'{name}' is named twice")
    return tuple(name for name in PROBES if name in names)


def snapshot_period(value: Any) -> Any:
    """A number of iterations, `epoch`, or None. Raises ValueError for anything else, `true` and 1.0 included."""
    if value is None or value == "epoch" or (type(value) is int and value > 0):
        return value
    raise wrong(f"must be 'epoch' or a number of iterations from 1 on, not {shown(value)}")


_PROBE: Any = Literal[tuple(PROBES)]
_PROBE_OR_LIST: Any = _PROBE | Annotated[list[_PROBE], Field(json_schema_extra={"uniqueItems": True})]


class Kept(Model):
    """Measurements and snapshots during training. They do not affect it, so no id depends on them."""

    probes: Annotated[tuple[str, ...], BeforeValidator(probe_names, json_schema_input_type=_PROBE_OR_LIST)] = Field(
        default=(), description="what is measured besides the errors: a name or a list (docs/probes.md)"
    )
    probe_every: int | None = Field(
        default=None,
        ge=1,
        description="with probes: iterations between two measurements, in addition to those before the first and after the last "
        "step; default: recipe.evaluate_every",
    )
    probe_images: int | None = Field(
        default=None, ge=1, description=f"with probes: number of training images to measure on; default {PROBE_IMAGES}"
    )
    snapshot_every: Annotated[
        int | Literal["epoch"] | None,
        BeforeValidator(snapshot_period, json_schema_input_type=Annotated[int, Field(ge=1)] | Literal["epoch"] | None),
    ] = Field(
        default=None,
        description="iterations between two snapshots of the network's weights, or `epoch`, for `study surface --plane pca`; "
        "one is also kept before the first and after the last step",
    )

    @field_validator("probe_every", "probe_images")
    @classmethod
    def _with_probes_only(cls, value: int | None, above: ValidationInfo) -> int | None:
        if value is not None and not above.data.get("probes", True):
            raise wrong("goes with probes, and there are none")
        return value


class RunSpec(Kept):
    """One run, fully resolved. Field errors name the valid choices."""

    network: Literal["plain", "residual"] = Field(description="with or without the addition of the shortcut")
    family: Annotated[Options, FAMILIES] = Field(default=FAMILIES.choose("cifar"), description="stages and maps")
    block: Annotated[Options, BLOCKS] = Field(
        default=BLOCKS.choose("basic"), description="what is repeated; default: as usual in the family at this depth"
    )
    depth: int = Field(
        le=100_000,
        description="weighted layers: 6n + 2 in the CIFAR family, 9n + 2 with bottlenecks, 3n + 2 with single blocks; "
        "18, 34, 50, 101, 152 in the ImageNet family; 11, 13, 16, 19 in VGG's",
    )
    shortcut: Annotated[Options | None, SHORTCUTS] = Field(
        default=None, description="of a residual network, default A; a plain network has none"
    )
    order: Annotated[Options, ORDERS] = Field(
        default=ORDERS.choose("original"),
        description="of convolution, BN, ReLU and addition (He et al. 2016, figure 4); has no effect in a plain network",
    )
    norm: Annotated[Options, NORMS] = Field(default=NORMS.choose("batch"), description="normalisation")
    activation: Annotated[Options, ACTIVATIONS] = Field(default=ACTIVATIONS.choose("relu"), description="activation")
    convolution: Annotated[Options | None, CONVOLUTIONS] = Field(
        default=None, description="how the weights of convolutions follow from parameters; default: they are parameters"
    )
    initialisation: Annotated[Options, INITIALISATIONS] = Field(
        default=INITIALISATIONS.choose("he_fan_in"), description="of the weights of convolutions and linear layers"
    )
    zero_gamma: bool = Field(
        default=False,
        description="start the last norm of each branch at 0 (Goyal et al. 2017); has no effect in a plain network",
    )
    data: Annotated[Options, DATA] = Field(description="see `study list data`")
    train_subset: int | None = Field(default=None, ge=2, description="train on this many images, balanced over classes")
    train_subset_seed: int = Field(default=0, ge=0, lt=2**32, description="which images the subset holds")
    recipe: Recipe
    precision: Precision = Field(default="fp32", description="of convolutions and products")
    seed: int = Field(ge=0, lt=2**31, description="initialisation and samples")
    start_from: str | None = Field(
        default=None,
        pattern=r"^\w[\w.+\-]{0,99}-[0-9a-f]{12}$",
        description="id of a trained run without its seed, of the same seed and no deeper, whose network is stretched by "
        "identity layers to start from (see `study embed`)",
    )

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, given: Any) -> Any:
        """Make defaults that depend on another field explicit, so that a stored spec is complete."""
        if not isinstance(given, Mapping):
            return given
        values = dict(given)
        family = FAMILIES.get(str(_name(values.get("family", "cifar"))))
        usual = family.usual_block(values.get("depth")) if family else "basic"
        for field, name in (("family", "cifar"), ("block", usual), ("shortcut", "A")):
            values[field] = _named(values.get(field), name)
        block = BLOCKS.get(str(_name(values["block"])))
        if block and block.scalars and values.get("norm") is None:
            values["norm"] = "none"
        for field in ("order", "norm", "activation", "initialisation"):  # options alone are of the usual one
            if isinstance(values.get(field), Mapping):
                values[field] = _named(values[field], cls.model_fields[field].default.name)
        if values.get("probes"):
            recipe = values.get("recipe")
            every = (
                recipe.get("evaluate_every") if isinstance(recipe, Mapping) else getattr(recipe, "evaluate_every", None)
            )
            every = every if type(every) is int and every > 0 else None  # a wrong one is reported as its own mistake
            for field, default in (("probe_every", every), ("probe_images", PROBE_IMAGES)):
                values[field] = default if values.get(field) is None else values[field]
        return values

    # Fields are checked in their order, so a check sees the fields above its own; one that is itself wrong is absent.

    @field_validator("family")
    @classmethod
    def _plain_only(cls, family: Options, above: ValidationInfo) -> Options:
        if FAMILIES[family.name].plain_only and above.data.get("network") == "residual":
            raise wrong(f"{family.name} has no shortcuts; set network: plain")
        return family

    @field_validator("block")
    @classmethod
    def _block_of_family(cls, block: Options, above: ValidationInfo) -> Options:
        family = above.data.get("family")
        blocks = None if family is None else FAMILIES[family.name].blocks
        if family is not None and blocks is not None and block.name not in blocks:
            raise wrong(f"must be {listed(blocks)} with family: {family.name}, not {block.name}; leave it out")
        return block

    @field_validator("block", "activation")
    @classmethod
    def _of_network(cls, value: Options, above: ValidationInfo) -> Options:
        known = BLOCKS[value.name] if above.field_name == "block" else ACTIVATIONS[value.name]
        family, network = above.data.get("family"), above.data.get("network")
        if known.only and network not in (None, known.only):
            raise wrong(f"{value.name} goes with network: {known.only}, not with {network}")
        if known.only and above.field_name == "activation" and family is not None and family.name == "vgg":
            raise wrong(f"{value.name} does not go with family: vgg, whose first block has no activation before it")
        return value

    @field_validator("depth")
    @classmethod
    def _depth_of_family(cls, depth: int, above: ValidationInfo) -> int:
        family, block = above.data.get("family"), above.data.get("block")
        if depth < 1:
            raise wrong(f"must be at least 1, not {depth}")
        if family and block and (why := FAMILIES[family.name].refuse_depth(depth, BLOCKS[block.name])):
            raise wrong(why)
        return depth

    @field_validator("shortcut", "order")
    @classmethod
    def _of_residual(cls, value: Options | None, above: ValidationInfo) -> Options | None:
        """A plain network drops them, so that a sweep can set those of the residual twin for both."""
        if above.data.get("network") != "plain":
            return value
        return None if above.field_name == "shortcut" else ORDERS.choose("original")

    @field_validator("norm")
    @classmethod
    def _fits(cls, norm: Options, above: ValidationInfo) -> Options:
        family, block, groups = above.data.get("family"), above.data.get("block"), norm.options.get("groups")
        if block is not None and BLOCKS[block.name].scalars and norm.name != "none":
            raise wrong(f"must be none with block: {block.name}, not {norm.name}")
        maps = (
            0
            if family is None or FAMILIES[family.name].source
            else FAMILIES[family.name].maps * family.options.get("width", 1)
        )
        if NORMS[norm.name].source is None and groups and maps % groups:
            raise wrong(f"groups: {groups} does not divide the {maps} maps of the first stage")
        return norm

    @field_validator("zero_gamma")
    @classmethod
    def _of_a_norm(cls, zero: bool, above: ValidationInfo) -> bool:
        norm = above.data.get("norm")
        if zero and norm is not None and norm.name == "none":
            raise wrong("needs a norm, and norm is none")
        return zero and above.data.get("network") != "plain"

    @field_validator("start_from")
    @classmethod
    def _point(cls, point: str | None, above: ValidationInfo) -> str | None:
        usual = {"norm": "batch", "activation": "relu"}
        for field, name in usual.items() if point is not None else ():
            if (chosen := above.data.get(field)) is not None and chosen.name != name:
                raise wrong(f"goes with {field}: {name}: no block with {chosen.name} is an identity")
        return point

    @field_validator("recipe")
    @classmethod
    def _augmentation_fits(cls, recipe: Recipe, above: ValidationInfo) -> Recipe:
        data = above.data.get("data")
        if data is None:
            return recipe
        size = data.options.get("image_size")
        if DATA[data.name].streamed:
            if recipe.pad:
                raise wrong(f"pad must be 0 with data: {data.name}, not {recipe.pad}: its crops are of larger images")
            if recipe.scales is not None and size is not None and recipe.scales[0] < size:
                raise wrong(f"scales ({list(recipe.scales)}) must not begin below image_size ({size})")
        elif recipe.scales is not None or recipe.colour != "none":
            streams = " or ".join(name for name, entry in DATA.items() if entry.streamed)
            name = "scales" if recipe.scales is not None else "colour"
            raise wrong(f"{name} goes with data: {streams}, not with {data.name}")
        if size is not None and recipe.pad >= size:
            raise wrong(f"pad ({recipe.pad}) must be smaller than image_size ({size})")
        return recipe

    @property
    def dataset(self) -> str:
        """The data set's name as results and figures show it."""
        own: dict[str, Any] = self.data.options
        name = own.get("folder") or own.get("dataset", "").lower() or own.get("file", "").rpartition(".")[0]
        return str(name or self.data.name)

    @property
    def elsewhere(self) -> bool:
        """Whether the network was trained by another program."""
        return getattr(self.recipe, "name", "") == ELSEWHERE  # a stored spec may lack it

    @property
    def title(self) -> str:
        """`plain-56`, `ResNet-20`: the network as the papers call it; one trained elsewhere as its own code does."""
        if self.elsewhere:
            return self.family.name
        return f"{network_title(self.network, self.family.name)}-{self.depth}"

    @property
    def variant(self) -> str:
        """The network's details that the title leaves out; empty for the usual network of its family."""
        return " ".join(self.details)

    @property
    def details(self) -> list[str]:
        """The parts of `variant`."""
        if self.elsewhere:
            return []
        family = FAMILIES.get(self.family.name)
        block = family.usual_block(self.depth) if family else self.block.name
        usual: list[tuple[str, str, Registry[Any]]] = [
            ("block", block, BLOCKS),
            ("shortcut", "A", SHORTCUTS),
            ("order", "original", ORDERS),
            ("norm", "batch", NORMS),
            ("activation", "relu", ACTIVATIONS),
            ("convolution", "", CONVOLUTIONS),
            ("initialisation", "he_fan_in", INITIALISATIONS),
        ]
        words = []
        for field, name, table in usual:
            chosen: Options | None = getattr(self, field)
            if chosen is not None:
                known = f"{chosen.name} norm".replace("none", "no") if field == "norm" else chosen.name
                words += [] if chosen.name == name else [known]
                words += _changed_options(chosen, table)
        words += ["zero-gamma"] if self.zero_gamma else []
        words += [] if self.start_from is None else [f"from {self.start_from}"]
        share = getattr(self.recipe, "stochastic_depth", None)  # a stored spec may lack it
        return words + ([] if share is None else [f"stochastic depth {share:g}"])


def network_title(network: str, family: str) -> str:
    """`plain`, `ResNet`, `VGG`: as the papers call a network of a family; of the user's own `plain mixer`, `residual mixer`."""
    entry = FAMILIES.get(family)
    if entry is None or entry.source is not None:
        return f"{network} {family}"
    return entry.title if entry.plain_only or network == "residual" else str(network)


def _changed_options(chosen: Options, table: Registry[Any]) -> list[str]:
    """`scale=0`: the options of a component that are not at their defaults; all of an unknown one."""
    fields = table[chosen.name].options.model_fields if chosen.name in table else {}
    values = {k: v for k, v in chosen.options.items() if k not in fields or v != fields[k].default}
    return [f"{k}={v!r}".removesuffix(".0") if isinstance(v, float) else f"{k}={v}" for k, v in values.items()]


def _name(value: Any) -> Any:
    return value.get("name") if isinstance(value, Mapping) else getattr(value, "name", value)


def _named(value: Any, usual: str) -> Any:
    """A component as a file gives it, with its usual name if it has none."""
    if value is None:
        return usual
    return {"name": usual, **value} if isinstance(value, Mapping) and value.get("name") is None else value
