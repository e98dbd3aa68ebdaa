"""The surface spec: its defaults and short forms, its identity, and how a sweep file spreads it over runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from study.config.identity import run_id
from study.config.surface import Surface, surface_id
from study.config.sweep import Sweep, load
from study.errors import StudyError

RUN, OTHER, THIRD = (f"plain-8-digits-s{seed}-0123456789ab" for seed in range(3))

GRID = """
fixed: {data: digits, recipe: quick}
grid: {network: [plain, residual], depth: [8, 14], seed: [0, 1]}
surfaces:
"""


def make(**fields: Any) -> Surface:
    return Surface.model_validate({"run": RUN, **fields})


def loaded(folder: Path, *entries: str, **overrides: str) -> Sweep:
    folder.joinpath("mine.yaml").write_text(GRID + "".join(f"  - {entry}\n" for entry in entries))
    return load(folder / "mine.yaml", [f"{key}={value}" for key, value in overrides.items()])


def test_defaults_are_the_papers() -> None:
    surface = make()
    assert (surface.plane, surface.points, surface.range) == ("random", (51, 51), ((-1.0, 1.0), (-1.0, 1.0)))
    assert (surface.bn, surface.normalisation, surface.data) == ("frozen", "filter", "both")
    assert surface.splits == ("train", "test") and make(data="test").splits == ("test",)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"points": 5}, {"points": [5, 5]}),
        ({"range": 2}, {"range": [-2, 2]}),
        ({"range": [0, 2]}, {"range": [[0.0, 2.0], [0, 2]]}),
        ({"dims": 1, "points": 7}, {"dims": 1, "points": [7]}),
        ({"bn": "recalibrated"}, {"bn": "recalibrated", "bn_images": 1024}),
        ({"normalisation": "filter"}, {}),
        ({"plane": "interpolate", "to": [OTHER]}, {"plane": "interpolate", "to": [OTHER], "dims": 1}),
        ({"plane": "hessian"}, {"plane": "hessian", "curvature_images": 1024}),
        ({"range": -0.0 + 1}, {"range": [-1, 1]}),
    ],
)
def test_short_and_long_forms_are_one_surface(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert make(**one) == make(**other) and surface_id(make(**one)) == surface_id(make(**other))
    assert Surface.model_validate_json(make(**one).model_dump_json()) == make(**one)


CHANGES: list[dict[str, Any]] = [
    {}, {"run": OTHER}, {"plane": "pca"}, {"plane": "hessian"}, {"plane": "interpolate", "to": [OTHER]},
    {"plane": "interpolate", "to": [OTHER, THIRD]}, {"number": 1}, {"dims": 1}, {"points": [51, 31]}, {"points": [31, 51]},
    {"range": 0.5}, {"normalisation": "layer"}, {"orthogonal": True}, {"normalisation": "weight"}, {"ignore": "none"},
    {"plane": "pca", "centred": True}, {"trajectory": True}, {"data": "train"}, {"subset": 100}, {"bn": "recalibrated"},
    {"bn": "recalibrated", "bn_images": 512}, {"bn": "batch"}, {"precision": "bf16"},
    {"curvature": True}, {"curvature": True, "curvature_images": 512},
]  # fmt: skip


def test_every_field_is_part_of_the_identity() -> None:
    ids = [surface_id(make(**change)) for change in CHANGES]
    assert len(set(ids)) == len(ids)
    assert {field for change in CHANGES for field in change} == set(Surface.model_fields)
    assert surface_id(make()) == "plain-8-digits-s0-random-frozen-88316ccfe323"
    assert (
        surface_id(make(plane="pca", bn="recalibrated", points=[5, 3]))
        == "plain-8-digits-s0-pca-recalibrated-09bc43934f13"
    )


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"points": 1}, "a number from 2 to 10001"),
        ({"points": [3, 4, 5]}, "one for each of 2 axes"),
        ({"points": 10_000}, "at most 1,000,000"),
        ({"range": 0}, "low < high"),
        ({"range": [1, -1]}, "low < high"),
        ({"plane": "interpolate"}, "one or two other runs"),
        ({"plane": "interpolate", "to": [RUN]}, "the centre itself"),
        ({"plane": "interpolate", "to": [OTHER, OTHER]}, "names a run twice"),
        ({"plane": "interpolate", "to": [OTHER], "dims": 2}, "number of other runs"),
        ({"to": [OTHER]}, "goes with plane: interpolate"),
        ({"plane": "pca", "number": 1}, "goes with plane: random"),
        ({"plane": "pca", "normalisation": "filter"}, "goes with plane: random"),
        ({"plane": "pca", "ignore": "none"}, "goes with plane: random"),
        ({"centred": True}, "goes with plane: pca, not with random"),
        ({"plane": "pca", "trajectory": True}, "is on with plane: pca anyway"),
        ({"normalisation": "weight", "orthogonal": True}, "not with normalisation: weight"),
        ({"dims": 1, "orthogonal": True}, "needs two directions"),
        ({"bn_images": 5}, "goes with bn: recalibrated"),
        ({"curvature_images": 5}, "goes with curvature or plane: hessian"),
        ({"run": "../../etc"}, "must be a run's id"),
        ({"number": -1}, "greater than or equal to 0"),
        ({"points": True}, "valid tuple"),
        ({"range": float("nan")}, ""),
        ({"range": [0, float("inf")]}, ""),
        ({"subset": 0}, "greater than or equal to 1"),
        ({"pints": 5}, "Extra inputs"),
        ({"dims": 1.0}, ""),
        ({"dims": 0}, ""),
        ({"dims": True}, ""),
        ({"points": 0}, ""),
        ({"points": False}, ""),
        ({"range": [False, True]}, ""),
        ({"range": 1e308}, ""),  # coordinates would be no numbers
        ({"range": 10**400}, ""),
        ({"range": [[0, 10**400], [0, 1]]}, ""),
        ({"data": "test", "subset": 100}, ""),  # it would be a second id of the surface without it
        ({"bn": "batch", "subset": 1}, ""),  # maps may end as one pixel
    ],
)
def test_what_does_not_fit_is_refused(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError) as raised:
        make(**fields)
    assert says in str(raised.value)


# -- in a sweep file ------------------------------------------------------------------------------------------------------


def test_a_file_spreads_its_surfaces_over_its_runs(tmp_path: Path) -> None:
    sweep = loaded(tmp_path, "{points: 5}", "{planes: 2, points: 5, bn: batch, of: {seed: 0, depth: [8, 14]}}")
    found = list(sweep.surfaces.values())
    assert len(found) == 8 + 2 * 4 and {surface_id(surface) for surface in found} == set(sweep.surfaces)
    assert {surface.run for surface in found} == set(sweep.runs)
    assert {sweep.runs[surface.run].seed for surface in found if surface.bn == "batch"} == {0}
    assert sorted(surface.number for surface in found if surface.bn == "batch") == [0] * 4 + [1] * 4


def test_other_runs_are_told_by_what_differs(tmp_path: Path) -> None:
    sweep = loaded(
        tmp_path, "{plane: interpolate, to: [{seed: 1}, {network: residual}], of: {network: plain, seed: 0}}"
    )
    for surface in sweep.surfaces.values():
        centre, (second, third) = sweep.runs[surface.run], (sweep.runs[name] for name in surface.to)
        assert (second.seed, second.network, third.network) == (1, "plain", "residual")
        assert second.depth == third.depth == centre.depth and surface.dims == 2
    assert len(sweep.surfaces) == 2


def test_a_recipes_fields_choose_and_change_too(tmp_path: Path) -> None:
    entries = ["{of: {recipe: quick, recipe.batch_size: 128}}", "{plane: interpolate, to: [{recipe.batch_size: 64}]}"]
    tmp_path.joinpath("two.yaml").write_text(
        "fixed: {data: digits, recipe: quick, network: plain, depth: 8, seed: 0}\n"
        "grid: {recipe.batch_size: [128, 64]}\nsurfaces:\n"
        f"  - {entries[0]}\n  - {entries[1][:-1]}, of: {{recipe.batch_size: 128}}}}\n"
    )
    sweep = load(tmp_path / "two.yaml")
    assert [sweep.runs[surface.run].recipe.batch_size for surface in sweep.surfaces.values()] == [128, 128]
    assert [sweep.runs[name].recipe.batch_size for surface in sweep.surfaces.values() for name in surface.to] == [64]


def test_surfaces_follow_overrides_of_the_runs(tmp_path: Path) -> None:
    sweep = loaded(tmp_path, "{points: 5}", depth="8", seed="3")
    assert {surface.run for surface in sweep.surfaces.values()} == set(map(run_id, sweep.runs.values()))


def test_every_mistake_is_said_at_its_line(tmp_path: Path) -> None:
    entries = [
        "{points: 5, bn: frozn}",
        "{of: {seed: 7}}",
        "{of: {sed: 0}}",
        "{plane: interpolate, to: [{seed: 9}], of: {seed: 0, depth: 8, network: plain}}",
        "{plane: interpolate, to: seed}",
        "{planes: 0}",
        "{plane: pca, planes: 2}",
        "[5]",
        "{plane: interpolate, to: [{depth: 9}], of: {seed: 0, depth: 8, network: plain}}",
        "{range: [1, 0]}",
    ]
    with pytest.raises(StudyError) as raised:
        loaded(tmp_path, *entries)
    said = [line.partition("mine.yaml:")[2] for line in str(raised.value).splitlines()]
    expected = [
        "5: surfaces.bn: must be 'frozen', 'recalibrated' or 'batch', not 'frozn'; did you mean 'frozen'?",
        "9: surfaces.to: ",
        "10: surfaces.planes: must be greater than or equal to 1, not 0",
        "11: surfaces.planes: goes with plane: random, not with pca",
        "12: surfaces: must be a mapping",
        "14: surfaces.range: must be [low, high]",
    ]
    assert len(said) == len(expected), said
    for line, beginning in zip(said, expected, strict=True):
        assert line.startswith(beginning), line
    right = [entry for entry, line in zip(entries, range(5, 15), strict=True) if line not in (5, 9, 10, 11, 12, 14)]
    with pytest.raises(StudyError) as raised:
        loaded(tmp_path, *right)
    assert [line.partition("mine.yaml:")[2].partition(", ")[0] for line in str(raised.value).splitlines()] == [
        "5: of: no run of this sweep has seed: 7",
        "6: of.sed: is unknown; did you mean 'seed'?",
        "7: to: no run of this sweep is as plain-8 seed 0 with seed: 9",
        "8: to: depth: 9 is not 6n + 2",
    ]


def test_mistakes_of_the_runs_do_not_breed_others(tmp_path: Path) -> None:
    tmp_path.joinpath("mine.yaml").write_text(GRID.replace("14", "15") + "  - {of: {depth: 14}, bn: frozn}\n")
    with pytest.raises(StudyError) as raised:
        load(tmp_path / "mine.yaml")
    lines = str(raised.value).splitlines()
    assert (
        any("15 is not 6n + 2" in line for line in lines) and any("frozn" in line for line in lines) and len(lines) == 2
    )
