"""The recipe: how a network is trained. The named ones are the files in `study.config.recipes`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from study.config.fields import Model, as_tuple, wrong


class Recipe(Model):
    """How a network is trained: SGD, its schedule, batch, augmentation and how often the curves are taken."""

    name: str = Field(description="the named recipe that the other fields start from")
    iterations: int = Field(ge=1, description="SGD steps in all")
    batch_size: int = Field(ge=2, description="images in a step; every batch is full")
    learning_rate: float = Field(gt=0, description="rate until the first milestone")
    momentum: float = Field(ge=0, lt=1, description="of SGD")
    nesterov: bool = Field(default=False, description="Nesterov's momentum")
    weight_decay: float = Field(ge=0, description="on every parameter, as in the papers")
    milestones: Annotated[tuple[int, ...], BeforeValidator(as_tuple)] = Field(
        description="iterations after which the rate is multiplied by gamma"
    )
    schedule: Literal["milestones", "plateau"] = Field(
        default="milestones",
        description="what the rate drops by: given iterations, or a training error that falls no more",
    )
    plateau_patience: int = Field(
        default=5,
        ge=1,
        description="evaluations in a row without improvement after which a `plateau` schedule drops the rate",
    )
    plateau_improvement: float = Field(
        default=0.01, ge=0, lt=1, description="share of the best error so far that an improvement takes off at least"
    )
    plateau_drops: int = Field(
        default=2, ge=1, le=10, description="how often a `plateau` schedule drops the rate at most"
    )
    gamma: float = Field(default=0.1, gt=0, le=1, description="factor of each drop of the rate")
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
    bn_groups: int = Field(
        default=1, ge=1, le=1024, description="parts of each batch that BN sees one by one, as on that many GPUs"
    )
    pad: int = Field(default=4, ge=0, le=16, description="pixels of zero padding for the random crop; 0: no crop")
    scales: Annotated[tuple[int, int] | None, BeforeValidator(as_tuple)] = Field(
        default=None,
        description="with `data: image_stream`: range that an image's shorter side is drawn from; null: image_size",
    )
    flip: bool = Field(default=True, description="mirror each image with probability 1/2")
    colour: Literal["none", "pca"] = Field(
        default="none", description="with `data: image_stream`: pca shifts each image's colour (Krizhevsky et al. 2012)"
    )
    mean: Literal["pixel", "channel"] = Field(
        default="pixel", description="what is subtracted: the training images' mean at each pixel, or of each channel"
    )
    evaluate_every: int = Field(ge=1, description="iterations between two clean evaluations on train and test")
    log_every: int = Field(default=100, ge=1, description="iterations averaged in one point of the running curve")

    @field_validator("momentum", "weight_decay", "plateau_improvement")
    @classmethod
    def _one_zero(cls, value: float) -> float:
        return value + 0.0  # -0.0 is 0.0, or one training would have two ids

    @field_validator("milestones")
    @classmethod
    def _rise(cls, milestones: tuple[int, ...]) -> tuple[int, ...]:
        if any(b <= a for a, b in zip((0, *milestones), milestones, strict=False)):
            raise wrong(f"must be positive and rise, not {list(milestones)}")
        return milestones

    @field_validator("schedule")
    @classmethod
    def _one_schedule(cls, schedule: str, info: ValidationInfo) -> str:
        if schedule == "plateau" and info.data.get("milestones"):
            raise wrong("plateau goes without milestones; set recipe.milestones: []")
        return schedule

    @field_validator("scales")
    @classmethod
    def _range(cls, scales: tuple[int, int] | None) -> tuple[int, int] | None:
        if scales is not None and not 4 <= scales[0] <= scales[1] <= 2048:
            raise wrong(
                f"must be two numbers of pixels that rise, from 4 to 2048, such as [256, 480], not {list(scales)}"
            )
        return scales

    @field_validator("log_every")
    @classmethod
    def _seen_by_plateau(cls, log_every: int, info: ValidationInfo) -> int:
        evaluate_every = info.data.get("evaluate_every", log_every)
        if info.data.get("schedule") == "plateau" and log_every > evaluate_every:
            raise wrong(f"must be at most evaluate_every ({evaluate_every}) with schedule: plateau, not {log_every}")
        return log_every

    @field_validator("bn_groups")
    @classmethod
    def _divides(cls, groups: int, info: ValidationInfo) -> int:
        batch = info.data.get("batch_size", groups)
        if batch % groups:
            raise wrong(
                f"{groups} must divide the batch of {batch}; choose another batch_size, or bn_groups: 1 (BN sees the whole batch)"
            )
        return groups
