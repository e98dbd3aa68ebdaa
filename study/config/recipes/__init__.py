"""Recipes: how a network is trained. Each named one is the YAML file of its name in this folder."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from study.config.components import Options
from study.config.fields import OWN, Model, as_tuple, as_tuples, flat, wrong
from study.config.registry import OPTIMIZERS, SCHEDULES, WARMUPS
from study.config.yaml import read
from study.errors import StudyError, nearest
from study.text import user_path

Share = Annotated[float | None, BeforeValidator(lambda value: None if value == 0 else value)]
"""A number that 0 and null switch off, so that both have one id."""
Numbers = tuple[tuple[float, ...], tuple[Annotated[float, Field(gt=0)], ...]]
"""Means and standard deviations, one for all channels or one each."""
ELSEWHERE = "trained elsewhere"
"""The recipe of networks that this program did not train: its numbers stand for unknown ones."""


class Recipe(Model):
    """How a network is trained: optimizer, schedule, batch, augmentation, and how often its curves get a point."""

    name: str = Field(description="the named recipe that the other fields start from")
    iterations: int = Field(ge=1, description="training steps in all")
    batch_size: int = Field(ge=2, description="images in a step; every batch is full")
    learning_rate: float = Field(gt=0, description="rate until the schedule changes it")
    optimizer: Annotated[Options, OPTIMIZERS] = Field(
        default=OPTIMIZERS.choose("sgd"), description="what turns gradients into steps"
    )
    weight_decay: float = Field(ge=0, description="L2 penalty")
    decay: Literal["all", "weights"] = Field(
        default="all",
        description="what weight_decay acts on: every parameter, as in the papers, or all but biases and norms",
    )
    clip_norm: Share = Field(default=None, gt=0, description="largest norm of the whole gradient; null: any")
    label_smoothing: Share = Field(
        default=None, gt=0, lt=1, description="probability that the training loss spreads over all classes; null: none"
    )
    ema: Share = Field(
        default=None,
        gt=0,
        lt=1,
        description="decay of a running mean of weights and statistics, evaluated as train_clean_ema and test_ema; null: none",
    )
    evaluate_every: int = Field(ge=1, description="iterations between two clean evaluations on train and test")
    log_every: int = Field(default=100, ge=1, description="iterations averaged in one point of the running curve")
    schedule: Annotated[Options, SCHEDULES] = Field(
        default=SCHEDULES.choose("milestones"), description="how the rate falls"
    )
    warmup: Annotated[Options, WARMUPS] = Field(
        default=WARMUPS.choose("none"), description="another rate at the start of training"
    )
    bn_groups: int = Field(
        default=1, ge=1, le=1024, description="parts of each batch that BN sees one by one, as on that many GPUs"
    )
    pad: int = Field(default=4, ge=0, le=16, description="pixels of zero padding for the random crop; 0: no crop")
    scales: Annotated[tuple[int, int] | None, BeforeValidator(as_tuple)] = Field(
        default=None,
        description="with `data: image_stream`: range that an image's shorter side is drawn from; null: image_size",
    )
    flip: bool = Field(default=True, description="mirror each image with probability 1/2")
    mixup: Share = Field(
        default=None,
        gt=0,
        description="blend each image with another by a share from Beta(mixup, mixup) (Zhang et al. 2018); null: never",
    )
    cutmix: Share = Field(
        default=None,
        gt=0,
        description="replace a box of each image by that of another, of a share from Beta(cutmix, cutmix) (Yun et al. 2019); "
        "with mixup one of the two by turns of a coin; null: never",
    )
    stochastic_depth: Share = Field(
        default=None,
        gt=0,
        lt=1,
        description="probability that an image skips the last branch of a residual network; from 0 on a line over the "
        "blocks before (Huang et al. 2016); null: none",
    )
    colour: Literal["none", "pca"] = Field(
        default="none", description="with `data: image_stream`: pca shifts each image's colour (Krizhevsky et al. 2012)"
    )
    mean: Literal["pixel", "channel"] = Field(
        default="pixel", description="what is subtracted: the training images' mean at each pixel, or of each channel"
    )

    normalise: Annotated[Numbers | None, BeforeValidator(as_tuples)] = Field(
        default=None,
        description="means and standard deviations of the channels, of values from 0 to 1, as torchvision's Normalize has them: "
        "[[0.5], [0.2]] for all channels, or one number each; null: `mean` alone is subtracted",
    )

    # Fields are checked in their order, so a check sees the fields above its own; one that is itself wrong is absent.

    @property
    def prepared(self) -> str | Numbers:
        """How images become a network's input: `normalise`, or else `mean`."""
        return self.normalise or self.mean

    @field_validator("scales")
    @classmethod
    def _range(cls, scales: tuple[int, int] | None) -> tuple[int, int] | None:
        if scales is not None and not 4 <= scales[0] <= scales[1] <= 2048:
            raise wrong(
                f"must be two numbers of pixels that rise, from 4 to 2048, such as [256, 480], not {list(scales)}"
            )
        return scales

    @field_validator("schedule")
    @classmethod
    def _seen_by_plateau(cls, schedule: Options, above: ValidationInfo) -> Options:
        every, log_every = (above.data.get(field, 0) for field in ("evaluate_every", "log_every"))
        if schedule.name == "plateau" and log_every > every > 0:
            raise wrong(f"plateau needs log_every of at most evaluate_every ({every}), not {log_every}")
        return schedule

    @field_validator("warmup")
    @classmethod
    def _one_rise(cls, warmup: Options, above: ValidationInfo) -> Options:
        schedule = above.data.get("schedule")
        if schedule and schedule.name == "one_cycle" and warmup.name != "none":
            raise wrong(f"one_cycle begins with a rise of its own; set warmup: none, not {warmup.name}")
        return warmup

    @field_validator("bn_groups")
    @classmethod
    def _divides(cls, groups: int, above: ValidationInfo) -> int:
        batch = above.data.get("batch_size", groups)
        if batch % groups:
            raise wrong(
                f"{groups} must divide the batch of {batch}; change batch_size, or set bn_groups: 1 (the whole batch)"
            )
        return groups


_FOLDER = Path(__file__).parent
_COMPONENTS = {f: field.default.name for f, field in Recipe.model_fields.items() if isinstance(field.default, Options)}
"""The components of a recipe whose file names none."""
_LOOKS = ("name", "evaluate_every", "log_every")
"""Fields that affect only how often the curves get a point."""


def names() -> list[str]:
    """The named recipes, sorted."""
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


@cache
def _read(name: str) -> dict[str, Any]:
    if name not in names():
        raise StudyError(f"no recipe '{name}'{nearest(name, names())}")
    content: dict[str, Any] = yaml.safe_load((_FOLDER / f"{name}.yaml").read_text("utf-8"))
    return content


def preset(name: str, folder: Path = Path()) -> dict[str, Any]:
    """The fields of a named recipe, or of a file by its path relative to `folder`, as a new dict."""
    if not name.endswith((".yaml", ".yml")):
        given = {key: value for key, value in _read(name).items() if key != "summary"}
        return {"name": name, **_COMPONENTS, **copy.deepcopy(given)}
    path = folder / user_path(name)
    given = read(path).data
    if not isinstance(given, dict):
        raise StudyError(f"{path}: must have the fields of a recipe, as `study list fields` has them after `recipe.`")
    if strange := [key for key in given if key not in {*Recipe.model_fields, "summary"} or key == "name"]:
        raise StudyError(
            f"{path}: {strange[0]}: a recipe has no such field{nearest(str(strange[0]), Recipe.model_fields)}"
        )
    return {"name": path.stem, **_COMPONENTS, **{key: value for key, value in given.items() if key != "summary"}}


@cache
def _fields(name: str) -> dict[str, Any]:
    """All fields of a named recipe by dotted names; empty for an unknown one."""
    return flat(Recipe.model_validate(preset(name)).model_dump(mode="json")) if name in names() else {}


def changes(recipe: Mapping[str, Any]) -> list[str]:
    """The fields in which a recipe, as stored with a run, trains otherwise than the named one it started from.

    How often the curves get a point is not among them, nor are the options of a component that replaced another one.
    """
    named, own = _fields(recipe.get("name", "")), {k: v for k, v in flat(recipe).items() if k not in OWN[""]}
    found = [f for f, v in own.items() if named and f not in _LOOKS and v is not None and named.get(f) != v]
    return [f for f in found if not ("." in f and f.rpartition(".")[0] in found)]


def summary(name: str) -> str:
    """One line on what a named recipe is, and from which paper."""
    return str(_read(name)["summary"])
