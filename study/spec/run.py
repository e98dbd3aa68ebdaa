"""The run spec: one network, one recipe, one data set, one seed, fully resolved.

Every field here is part of a run's identity (`study.spec.identity`); where and how fast a run is trained is not,
and has no place in this file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from study.errors import nearest
from study.spec.registry import BLOCKS, DATA, SHORTCUTS, Entry

IMAGENET_DEPTHS = (18, 34)
"""Depths of the ImageNet family with basic blocks (He et al. 2015, table 1)."""


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _one_of(noun: str, table: Mapping[str, Entry]) -> BeforeValidator:
    """A name that stands in a registry; an unknown one is answered with the nearest."""

    def check(value: Any) -> Any:
        if isinstance(value, str) and value not in table:
            message = f"no {noun} '{value}'{nearest(value, table)}"
            raise PydanticCustomError("choice", "{message}", {"message": message})
        return value

    return BeforeValidator(check, json_schema_input_type=Literal[tuple(table)])


class _Model(BaseModel):
    # Strict: `depth: "20"` or `seed: true` is a slip of the pen, not a number.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Recipe(_Model):
    """How a network is trained: SGD, its schedule, batch, augmentation and how often the curves are taken."""

    name: str = Field(description="the named recipe that the other fields start from")
    iterations: int = Field(ge=1, description="SGD steps in all")
    batch_size: int = Field(ge=2, description="images in a step; every batch is full")
    learning_rate: float = Field(gt=0, description="rate until the first milestone")
    momentum: float = Field(ge=0, lt=1)
    nesterov: bool = False
    weight_decay: float = Field(ge=0, description="on every parameter, as in the papers")
    milestones: Annotated[tuple[int, ...], BeforeValidator(_as_tuple)] = Field(
        description="iterations after which the rate is multiplied by gamma"
    )
    gamma: float = Field(default=0.1, gt=0, le=1)
    warmup: Literal["none", "iterations", "error"] = Field(
        default="none",
        description="none; a fixed number of iterations (He et al. 2016); until the training error falls (He et al. 2015)",
    )
    warmup_rate: float = Field(default=0.01, gt=0, description="rate during the warm-up")
    warmup_iterations: int = Field(default=400, ge=1, description="length of an `iterations` warm-up")
    warmup_error: float = Field(
        default=80.0, gt=0, le=100, description="an `error` warm-up ends when the running error (%) is below this"
    )
    warmup_from_depth: int = Field(default=0, ge=0, description="only networks at least this deep warm up")
    pad: int = Field(default=4, ge=0, le=16, description="pixels of zero padding for the random crop; 0: no crop")
    flip: bool = Field(default=True, description="mirror each image with probability 1/2")
    evaluate_every: int = Field(ge=1, description="iterations between two clean evaluations on train and test")
    log_every: int = Field(default=100, ge=1, description="iterations averaged in one point of the running curve")

    @model_validator(mode="after")
    def _milestones_rise(self) -> Recipe:
        if any(b <= a for a, b in zip((0, *self.milestones), self.milestones, strict=False)):
            raise _field_error("recipe.milestones", f"must be positive and rise, not {list(self.milestones)}")
        return self


class RunSpec(_Model):
    """One run, fully resolved. Field errors name the valid choices."""

    network: Literal["plain", "residual"] = Field(description="with or without the addition of the shortcut")
    family: Literal["cifar", "imagenet"] = Field(
        default="cifar", description="three stages of 16, 32, 64 maps, or four of 64 to 512 (He et al. 2015)"
    )
    depth: int = Field(description="weighted layers: 6n + 2 in the CIFAR family; 18 or 34 in the ImageNet family")
    block: Annotated[str, _one_of("block", BLOCKS)] = "basic"
    shortcut: Annotated[str, _one_of("shortcut", SHORTCUTS)] | None = Field(
        default=None, description="of a residual network, default A; a plain network has none"
    )
    stem: Literal["cifar", "imagenet"] | None = Field(
        default=None, description="cifar: one 3x3 conv; imagenet: 7x7/2 conv and max pool; default: the family's own"
    )
    width: int = Field(default=1, ge=1, le=64, description="multiplies the maps of every stage")
    data: Annotated[str, _one_of("data set", DATA)]
    folder: str | None = Field(
        default=None,
        pattern=r"^[^/\\\s.][^/\\\s]*$",
        max_length=100,
        description="with `data: image_folder`: the folder's name under the data root",
    )
    image_size: int | None = Field(
        default=None,
        ge=4,
        le=512,
        description="with `data: image_folder`: resize and crop to this; default: as they are",
    )
    train_subset: int | None = Field(default=None, ge=2, description="train on this many images, balanced over classes")
    train_subset_seed: int = Field(default=0, ge=0, description="which images the subset holds")
    recipe: Recipe
    precision: Literal["fp32", "tf32", "bf16"] = Field(default="fp32", description="of convolutions and products")
    seed: int = Field(ge=0, lt=2**31, description="initialisation and samples")

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, given: Any) -> Any:
        """Defaults that hang on another field, made explicit so that a stored spec says all."""
        if not isinstance(given, Mapping):
            return given
        values = dict(given)
        if values.get("stem") is None:
            values["stem"] = values.get("family", "cifar")
        if values.get("network") == "plain":
            values["shortcut"] = None
        elif values.get("shortcut") is None:
            values["shortcut"] = "A"
        return values

    @model_validator(mode="after")
    def _consistent(self) -> RunSpec:
        _check_depth(self)
        if self.family == "cifar" and self.stem != "cifar":
            raise _field_error("stem", "the CIFAR family has the stem 'cifar'; for the other, set family: imagenet")
        if self.data == "image_folder" and self.folder is None:
            raise _field_error("folder", "data: image_folder needs `folder: NAME`, a folder under the data root")
        for field in ("folder", "image_size"):
            if self.data != "image_folder" and getattr(self, field) is not None:
                raise _field_error(field, f"goes with data: image_folder, not with {self.data}")
        if self.recipe.pad and self.image_size is not None and self.recipe.pad >= self.image_size:
            raise _field_error("recipe.pad", f"must be smaller than image_size ({self.image_size})")
        return self

    @property
    def dataset(self) -> str:
        """The data set's name as results and figures show it."""
        return self.folder if self.folder is not None else self.data

    @property
    def title(self) -> str:
        """`plain-56`, `ResNet-20`: the network as the papers call it."""
        return f"{'plain' if self.network == 'plain' else 'ResNet'}-{self.depth}"


def _field_error(field: str, message: str) -> PydanticCustomError:
    return PydanticCustomError("field", "{message}", {"field": field, "message": message})


def _check_depth(spec: RunSpec) -> None:
    if spec.family == "imagenet":
        if spec.depth not in IMAGENET_DEPTHS:
            raise _field_error(
                "depth", f"the ImageNet family has depths {', '.join(map(str, IMAGENET_DEPTHS))}, not {spec.depth}"
            )
    elif spec.depth < 8 or spec.depth % 6 != 2:
        below = max(8, spec.depth - (spec.depth - 2) % 6)
        near = f"{below}" if spec.depth <= 8 else f"{below} or {below + 6}"
        other = "; for the 18- and 34-layer networks set family: imagenet" if spec.depth in IMAGENET_DEPTHS else ""
        raise _field_error(
            "depth", f"depth {spec.depth} is not 6n + 2, as the CIFAR family needs; nearest: {near}{other}"
        )
