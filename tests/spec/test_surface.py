"""The surface spec: its identity, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from study.spec.surface import Surface, surface_id

RUN, OTHER = "plain-20-000000000000", "plain-20-111111111111"


def made(**fields: Any) -> Surface:
    return Surface.model_validate({"run": RUN, **fields})


@pytest.mark.parametrize(
    ("fields", "digits"),
    [
        ({}, "6bed9858288d"),
        ({"dims": 1, "bn": "recalibrated", "data": "train", "subset": 1000}, "2a14d691309c"),
        ({"plane": "interpolate", "to": [OTHER]}, "584ba1d07c27"),
        ({"plane": "pca", "refine": 2}, "d7b55073bead"),
        ({"plane": "hessian", "curvature": True, "precision": "bf16"}, "8f649f331333"),
    ],
)
def test_ids_stay_what_they_are(fields: dict[str, Any], digits: str) -> None:
    surface = made(**fields)
    assert surface_id(surface) == f"plain-20-{surface.plane}-{surface.bn}-{digits}"
    assert surface_id(Surface.model_validate(surface.model_dump(mode="json"))) == surface_id(surface)


@pytest.mark.parametrize(
    ("short", "long"),
    [
        ({}, {"points": 51, "range": 1, "normalisation": "filter", "dims": 2}),
        ({"range": [0, 2]}, {"range": [[0.0, 2.0], [0, 2]], "points": [51, 51]}),
        ({"range": [-0.0, 1]}, {"range": [0, 1]}),
        ({"plane": "interpolate", "to": [OTHER]}, {"plane": "interpolate", "to": [OTHER], "dims": 1, "points": 101}),
        ({"refine": 1}, {"refine": 1, "tolerance": 0.02}),
    ],
)
def test_one_surface_has_one_id(short: dict[str, Any], long: dict[str, Any]) -> None:
    assert surface_id(made(**short)) == surface_id(made(**long))


@pytest.mark.parametrize(
    "fields",
    [
        {"dims": 1.0},  # was a TypeError
        {"dims": 0},  # was 2
        {"dims": True},
        {"points": 0},  # was 51
        {"points": False},
        {"range": [False, True]},  # was [0, 1]
        {"range": 1e308},  # was NaN for coordinates
        {"range": 10**400},  # was an OverflowError
        {"range": [[0, 10**400], [0, 1]]},
        {"range": 0},
        {"data": "test", "subset": 100},  # was a second id for the surface without it
        {"bn": "batch", "subset": 1},  # crashed where maps end as one pixel
        {"bn_images": 100},
        {"tolerance": 0.1},
        {"curvature_images": 100},
        {"orthogonal": True, "dims": 1},
        {"plane": "pca", "number": 1},
        {"plane": "interpolate", "to": [RUN]},
        {"plane": "interpolate", "to": [OTHER], "dims": 2},
    ],
)
def test_what_is_no_surface_is_refused_with_a_word_on_why(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        made(**fields)
