"""The surface spec: the loss over a line or a plane of weights around one trained run, fully resolved."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from study.config import BatchNorm, Plane, Precision, Split
from study.config.fields import Model, as_tuple, as_tuples, wrong
from study.config.identity import digest
from study.config.run import PROBE_IMAGES

POINTS, LINE_POINTS, BETWEEN = 51, 101, 41
"""Along each axis of a plane (Li et al. 2018, section 5), along a line, and along each axis of a plane through three networks,
unless told otherwise: 0 is one of them, and so are the other networks."""
RANGES = {"random": (-1.0, 1.0), "hessian": (-1.0, 1.0), "interpolate": (-0.5, 1.5)}
"""Of each axis, unless told otherwise; that of `pca` is what the trajectory needs."""
REMOVED: dict[str, Any] = {"refine": 0, "tolerance": None}
"""Settings that version 1 had, with the values that specs from then may have."""
MAX_POINTS = 1_000_000
FARTHEST = 1e30
"""Of the ends of an axis: what is computed of them stays a number in float32."""

_RunId = Annotated[str, Field(pattern=r"^\w[\w.+\-]{0,119}-[0-9a-f]{12}$")]
_Pair = Annotated[list[float], Field(min_length=2, max_length=2)]
_Range = float | _Pair | list[_Pair] | None


_GOES_WITH: dict[str, tuple[dict[str, Any], Any]] = {
    "to": ({"plane": "interpolate"}, ()),
    **dict.fromkeys(("normalisation", "orthogonal"), ({"plane": "random"}, False)),
    "ignore": ({"plane": "random"}, "biasbn"),
    "number": ({"plane": "random"}, 0),
    "planes": ({"plane": "random"}, 1),
    "centred": ({"plane": "pca"}, False),
    "bn_images": ({"bn": "recalibrated"}, None),
    "curvature_images": ({"curvature": True, "plane": "hessian"}, None),
}
"""Fields that have an effect only with one of some other values, and what they are without."""


class Settings(Model):
    """The settings of a surface, without its run. Field errors name the valid choices."""

    plane: Plane = Field(
        default="random",
        description="random directions; differences to other runs' networks; principal directions of the trajectory; "
        "eigenvectors of the largest eigenvalues of the Hessian, with the BN statistics of training",
    )
    to: Annotated[tuple[Any, ...], BeforeValidator(as_tuple)] = Field(default=(), validate_default=True)
    dims: int = Field(default=2, ge=1, le=2, description="a line or a plane; default: 2, or the number of other runs")
    points: Annotated[tuple[int, ...], BeforeValidator(as_tuple, json_schema_input_type=int | list[int])] = Field(
        default=(),
        description=f"a number, or one for each axis; default {POINTS}, of a line {LINE_POINTS}. Odd ones hold the centre",
    )
    range: Annotated[
        tuple[tuple[float, float], ...] | None, BeforeValidator(as_tuples, json_schema_input_type=_Range)
    ] = Field(
        default=None,
        description="r for -r to r, or [low, high], or one such pair for each axis; default [-1, 1], with plane: "
        "interpolate [-0.5, 1.5], with plane: pca what holds the trajectory",
    )
    normalisation: Literal["filter", "layer", "model", "weight"] | None = Field(
        default=None,
        description="with plane: random: what has the norm of the weights (Li et al. 2018), or weight: each draw times its "
        "weight; default filter",
    )
    ignore: Literal["biasbn", "none"] = Field(
        default="biasbn",
        description="with plane: random: biases and BN's parameters stay, or, with none, move along themselves",
    )
    orthogonal: bool = Field(default=False, description="with plane: random: the second direction at right angles")
    centred: bool = Field(
        default=False,
        description="with plane: pca: principal directions about the snapshots' mean, as Li et al.'s code has them, not about "
        "the end, as their text",
    )
    trajectory: bool = Field(default=False, description="project the run's snapshots on the plane; pca always does")
    data: Split = Field(default="both", description="whose loss and error")
    subset: int | None = Field(default=None, ge=1, description="training images; default all")
    bn: BatchNorm = Field(
        default="frozen",
        description="BN's statistics: the centre's; those of training images at each point; or each batch's own",
    )
    bn_images: int | None = Field(
        default=None, ge=2, description=f"with bn: recalibrated: training images; default {PROBE_IMAGES}"
    )
    precision: Precision = Field(default="fp32", description="of convolutions and products")
    curvature: bool = Field(
        default=False, description="measure the Hessian's largest and smallest eigenvalue at every point: costly"
    )
    curvature_images: int | None = Field(
        default=None,
        ge=1,
        description=f"with curvature or plane: hessian: training images of the Hessian; default {PROBE_IMAGES}",
    )

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, given: Any) -> Any:
        """Make defaults that depend on another field, and short forms, explicit, so that each surface has one form."""
        if not isinstance(given, Mapping):
            return given
        values = {key: value for key, value in given.items() if key not in REMOVED or value != REMOVED[key]}
        plane, to = values.get("plane", "random"), values.get("to") or ()
        if (dims := values.get("dims")) is None:
            dims = values["dims"] = len(to) if plane == "interpolate" and len(to) in (1, 2) else 2
        if type(dims) is int and dims in (1, 2):  # 1.0 and true are refused
            usual = LINE_POINTS if dims == 1 else BETWEEN if plane == "interpolate" else POINTS
            points = values.get("points")
            values["points"] = _each(usual if points in (None, (), []) else points, dims)
            span = values.get("range")
            values["range"] = _ranges(RANGES.get(str(plane)) if span is None else span, dims)
        for field, when, default in (
            ("normalisation", plane == "random", "filter"),
            ("bn_images", values.get("bn") == "recalibrated", PROBE_IMAGES),
            ("curvature_images", values.get("curvature") is True or plane == "hessian", PROBE_IMAGES),
        ):
            if when and values.get(field) is None:
                values[field] = default
        return values

    @field_validator(*_GOES_WITH, check_fields=False)
    @classmethod
    def _goes_with(cls, value: Any, above: ValidationInfo) -> Any:
        """Refuse a field that has no effect. One above that is wrong itself is absent."""
        others, off = _GOES_WITH[str(above.field_name)]
        chosen = {name: above.data.get(name) for name in others}
        if value not in (None, (), off) and None not in chosen.values() and chosen.items().isdisjoint(others.items()):
            owners = " or ".join(
                "curvature" if wanted is True else f"{name}: {wanted}" for name, wanted in others.items()
            )
            raise wrong(
                f"goes with {owners}, not with {chosen['plane']}" if "plane" in chosen else f"goes with {owners}"
            )
        return value

    @field_validator("to")
    @classmethod
    def _others(cls, to: tuple[Any, ...], above: ValidationInfo) -> tuple[Any, ...]:
        if above.data.get("plane") == "interpolate" and len(to) not in (1, 2):
            raise wrong(f"plane: interpolate needs one or two other runs, not {len(to)}")
        return to

    @field_validator("trajectory")
    @classmethod
    def _not_of_pca(cls, trajectory: bool, above: ValidationInfo) -> bool:
        if trajectory and above.data.get("plane") == "pca":
            raise wrong("is on with plane: pca anyway")
        return trajectory

    @field_validator("dims")
    @classmethod
    def _axes(cls, dims: int, above: ValidationInfo) -> int:
        others = len(above.data.get("to") or ())
        if above.data.get("plane") == "interpolate" and others not in (0, dims):
            raise wrong(f"must be the number of other runs ({others}) with plane: interpolate, not {dims}")
        return dims

    @field_validator("points")
    @classmethod
    def _enough(cls, points: tuple[int, ...], above: ValidationInfo) -> tuple[int, ...]:
        dims = above.data.get("dims", len(points))
        if len(points) != dims or not all(2 <= count <= 10_001 for count in points):
            raise wrong(f"must be a number from 2 to 10001, or one for each of {dims} axes, not {list(points)}")
        if math.prod(points) > MAX_POINTS:
            raise wrong(f"are {math.prod(points):,} in all; a surface has at most {MAX_POINTS:,}")
        return points

    @field_validator("range")
    @classmethod
    def _rise(cls, ranges: Any, above: ValidationInfo) -> Any:
        dims = above.data.get("dims", 2)
        if ranges is None:
            return None
        if len(ranges) != dims or not all(-FARTHEST <= low < high <= FARTHEST for low, high in ranges):
            raise wrong(
                f"must be [low, high] with low < high, both within {FARTHEST:g} of 0, or one such pair for each of "
                f"{dims} axes"
            )
        return tuple((low + 0.0, high + 0.0) for low, high in ranges)  # -0.0 is 0.0

    @field_validator("subset")
    @classmethod
    def _of_training_images(cls, subset: int | None, above: ValidationInfo) -> int | None:
        if subset is not None and above.data.get("data") == "test":
            raise wrong("is of the training images, and data: test takes none of their losses")
        return subset

    @field_validator("bn")
    @classmethod
    def _more_than_one(cls, bn: str, above: ValidationInfo) -> str:
        if bn == "batch" and above.data.get("subset") == 1:
            raise wrong("batch needs a subset of at least 2 images: one alone has no variance")
        return bn

    @field_validator("orthogonal")
    @classmethod
    def _two_directions(cls, orthogonal: bool, above: ValidationInfo) -> bool:
        if orthogonal and above.data.get("dims") == 1:
            raise wrong("needs two directions; a line has one")
        if orthogonal and above.data.get("normalisation") == "weight":
            raise wrong("goes with filters, layers or the model, not with normalisation: weight")
        return orthogonal

    @property
    def splits(self) -> tuple[str, ...]:
        """`train`, `test` or both."""
        return ("train", "test") if self.data == "both" else (self.data,)

    @property
    def has_trajectory(self) -> bool:
        """Whether the snapshots of the run's training are shown in the plane."""
        return self.plane == "pca" or self.trajectory


def _each(value: Any, dims: int) -> Any:
    """One number for every axis, as one for each."""
    return [value] * dims if isinstance(value, int) and not isinstance(value, bool) else value


def _ranges(value: Any, dims: int) -> Any:
    """`1`, `[0, 2]` and `[[0, 2], [-1, 1]]` as a pair for each axis; anything else stays, to be refused."""
    if _is_number(value):
        value = [-float(value), float(value)]
    if isinstance(value, list | tuple) and len(value) == 2 and all(map(_is_number, value)):
        value = [list(value)] * dims
    if isinstance(value, list | tuple) and all(isinstance(pair, list | tuple) for pair in value):
        return [[float(x) if _is_number(x) else x for x in pair] for pair in value]
    return value


def _is_number(value: Any) -> bool:
    """Whether it is a number that can be a float; `true` is not."""
    return isinstance(value, float) or (type(value) is int and abs(value) <= sys.float_info.max)


class Surface(Settings):
    """One surface, fully resolved."""

    run: _RunId = Field(description="id of the run whose network is the centre")
    to: Annotated[tuple[_RunId, ...], BeforeValidator(as_tuple)] = Field(
        default=(), validate_default=True, description="with plane: interpolate: ids of the one or two other runs"
    )
    number: int = Field(default=0, ge=0, description="which of the random planes: each has its own directions")

    @field_validator("run")
    @classmethod
    def _named_once(cls, run: str, above: ValidationInfo) -> str:
        others = above.data.get("to", ())
        if len({run, *others}) <= len(others):
            raise wrong("to names a run twice, or the centre itself")
        return run

    @property
    def title(self) -> str:
        """Distinguishes it from other surfaces of its run: `random 1, 51 x 51, recalibrated BN`."""
        number = f" {self.number}" if self.number else ""
        words = [f"{self.plane}{number}", " x ".join(map(str, self.points))]
        if self.range is not None and set(self.range) != {RANGES.get(self.plane)}:
            words.append(" x ".join(f"{low:g} to {high:g}" for low, high in dict.fromkeys(self.range)))
        words += [] if self.bn == "frozen" else [f"{self.bn} BN"]
        words += [] if self.normalisation in (None, "filter") else [f"normalised by {self.normalisation}"]
        words += [] if not self.orthogonal else ["orthogonal"]
        words += [] if self.ignore == "biasbn" else ["biases and BN moved"]
        words += [] if not self.centred else ["centred"]
        words += [] if not self.trajectory else ["with trajectory"]
        words += [] if self.subset is None else [f"{self.subset:,} images"]
        words += [] if self.precision == "fp32" else [self.precision]
        words += [] if not self.curvature else ["with curvature"]
        return ", ".join(words)

    @property
    def identity(self) -> str:
        """12 hex digits: a hash of the whole spec, as a run's."""
        return digest("surface", self.model_dump(mode="json"))


def surface_id(surface: Surface) -> str:
    """Identity of a surface: `<run's readable part>-random-frozen-<12 hex>`."""
    return f"{surface.run.rpartition('-')[0]}-{surface.plane}-{surface.bn}-{surface.identity}"
