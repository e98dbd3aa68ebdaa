"""The surface spec: its defaults and short forms, its identity, and how a sweep file spreads it over runs."""

from collections import Counter
from pathlib import Path

import pytest
from pydantic import ValidationError

from study.config.surface import Surface, surface_id
from study.config.sweep import load
from study.errors import StudyError

RUN, OTHER, THIRD = (f"plain-8-digits-s{seed}-0123456789ab" for seed in range(3))

GRID = """
fixed: {data: digits, recipe: quick}
grid: {network: [plain, residual], depth: [8, 14], seed: [0, 1]}
surfaces:
"""


def make(**fields):
    return Surface.model_validate({"run": RUN, **fields})


def loaded(folder, *entries, **overrides):
    folder.joinpath("mine.yaml").write_text(GRID + "".join(f"  - {entry}\n" for entry in entries))
    return load(folder / "mine.yaml", [f"{key}={value}" for key, value in overrides.items()])


def test_defaults_are_the_papers():
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
def test_short_and_long_forms_are_one_surface(one, other):
    assert make(**one) == make(**other) and surface_id(make(**one)) == surface_id(make(**other))
    assert Surface.model_validate_json(make(**one).model_dump_json()) == make(**one)


CHANGES = [
    {}, {"run": OTHER}, {"plane": "pca"}, {"plane": "hessian"}, {"plane": "interpolate", "to": [OTHER]},
    {"plane": "interpolate", "to": [OTHER, THIRD]}, {"number": 1}, {"dims": 1}, {"points": [51, 31]}, {"points": [31, 51]},
    {"range": 0.5}, {"normalisation": "layer"}, {"orthogonal": True}, {"normalisation": "weight"}, {"ignore": "none"},
    {"plane": "pca", "centred": True}, {"trajectory": True}, {"data": "train"}, {"subset": 100}, {"bn": "recalibrated"},
    {"bn": "recalibrated", "bn_images": 512}, {"bn": "batch"}, {"precision": "bf16"},
    {"curvature": True}, {"curvature": True, "curvature_images": 512},
]  # fmt: skip


def test_every_field_is_part_of_the_identity():
    ids = [surface_id(make(**change)) for change in CHANGES]
    assert len(set(ids)) == len(ids)
    assert {field for change in CHANGES for field in change} == set(Surface.model_fields)
    assert surface_id(make()) == "plain-8-digits-s0-random-frozen-88316ccfe323"
    other = make(plane="pca", bn="recalibrated", points=[5, 3])
    assert surface_id(other) == "plain-8-digits-s0-pca-recalibrated-09bc43934f13"


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"points": 1}, "a number from 2 to 10001"),
        ({"points": [3, 4, 5]}, "one for each of 2 axes"),
        ({"points": 10_000}, "at most 1,000,000"),
        ({"range": 0}, "low < high"),
        ({"plane": "interpolate"}, "one or two other runs"),
        ({"plane": "interpolate", "to": [RUN]}, "the centre itself"),
        ({"plane": "interpolate", "to": [OTHER, OTHER]}, "names a run twice"),
        ({"plane": "interpolate", "to": [OTHER], "dims": 2}, "number of other runs"),
        ({"to": [OTHER]}, "goes with plane: interpolate"),
        ({"plane": "pca", "number": 1}, "goes with plane: random"),
        ({"plane": "pca", "ignore": "none"}, "goes with plane: random"),
        ({"centred": True}, "goes with plane: pca, not with random"),
        ({"plane": "pca", "trajectory": True}, "is on with plane: pca anyway"),
        ({"normalisation": "weight", "orthogonal": True}, "not with normalisation: weight"),
        ({"dims": 1, "orthogonal": True}, "needs two directions"),
        ({"bn_images": 5}, "goes with bn: recalibrated"),
        ({"curvature_images": 5}, "goes with curvature or plane: hessian"),
        ({"run": "../../etc"}, "should match pattern"),
        ({"points": True}, "valid tuple"),
        ({"range": float("nan")}, ""),
        ({"pints": 5}, "Extra inputs"),
        ({"dims": 1.0}, ""),
        ({"dims": True}, ""),
        ({"range": [False, True]}, ""),
        ({"range": 1e308}, ""),  # coordinates would be no numbers
        ({"range": 10**400}, ""),
        ({"data": "test", "subset": 100}, ""),  # it would be a second id of the surface without it
        ({"bn": "batch", "subset": 1}, ""),  # maps may end as one pixel
    ],
)
def test_invalid_settings_are_refused(fields, says):
    with pytest.raises(ValidationError) as raised:
        make(**fields)
    assert says in str(raised.value)


# -- in a sweep file ------------------------------------------------------------------------------------------------------


def test_surfaces_are_expanded_over_runs_and_a_call_may_leave_some_out(tmp_path):
    sweep = loaded(tmp_path, "{points: 5}", "{planes: 2, points: 5, bn: batch, of: {seed: 0, depth: [8, 14]}}")
    found = list(sweep.surfaces.values())
    assert len(found) == 8 + 2 * 4 and {surface_id(surface) for surface in found} == set(sweep.surfaces)
    assert {surface.run for surface in found} == set(sweep.runs)
    assert {sweep.runs[surface.run].seed for surface in found if surface.bn == "batch"} == {0}
    assert sorted(surface.number for surface in found if surface.bn == "batch") == [0] * 4 + [1] * 4
    assert loaded(tmp_path, "{points: 5, of: {seed: 0}}", name="other", seed=1).surfaces == {}


def test_other_runs_are_found_by_their_differences(tmp_path):
    sweep = loaded(
        tmp_path,
        "{plane: interpolate, to: [{seed: 1}, {network: residual}], of: {network: plain, seed: 0, recipe: quick}}",
    )
    for surface in sweep.surfaces.values():
        centre, (second, third) = sweep.runs[surface.run], (sweep.runs[name] for name in surface.to)
        assert (second.seed, second.network, third.network) == (1, "plain", "residual")
        assert second.depth == third.depth == centre.depth and surface.dims == 2
    assert len(sweep.surfaces) == 2


SHAPE = {
    "{points: 5, bn: frozn}": "bn: must be 'frozen', 'recalibrated' or 'batch', not 'frozn'; did you mean 'frozen'?",
    "{plane: interpolate, to: seed}": "to: must be a list of mappings of a run's field: value, such as [{seed: 1}]",
    "{planes: 0}": "planes: must be greater than or equal to 1, not 0",
    "{plane: pca, planes: 2}": "planes: goes with plane: random, not with pca",
    "{of: {sed: 0}}": "of.sed: is unknown; did you mean 'seed'?",
    "{plane: interpolate, to: [{sed: 0}]}": "to: 'sed' is unknown; did you mean 'seed'?",
    "[5]": "must be a mapping such as {name: value}, not [5]",
    "{range: [1, 0]}": "range: must be [low, high]",
}
RUNS = {
    "{of: {seed: 7}}": "of: no run of this sweep has seed: 7",
    "{plane: interpolate, to: [{seed: 9}], of: {seed: 0, depth: 8, network: plain}}":
        "to: no run of this sweep is as plain-8 seed 0 with seed: 9",
    "{plane: interpolate, to: [{depth: 9}], of: {seed: 0, depth: 8, network: plain}}": "to: depth:",
}  # fmt: skip


@pytest.mark.parametrize("mistakes", [SHAPE, RUNS], ids=["shape", "runs"])
def test_every_mistake_is_reported_at_its_line(tmp_path, mistakes):
    with pytest.raises(StudyError) as raised:
        loaded(tmp_path, *mistakes)
    said = [line.partition("mine.yaml:")[2] for line in str(raised.value).splitlines()]
    assert len(said) == len(mistakes)
    for number, (line, beginning) in enumerate(zip(said, mistakes.values(), strict=True), 5):
        assert line.startswith(tuple(f"{number}: {part}{beginning}" for part in ("", "surfaces.", "surfaces: "))), line


def test_statistics_of_bn_are_for_networks_that_have_them(tmp_path):
    found = loaded(tmp_path, "{points: 5, bn: recalibrated}", "{points: 5}", norm="batch,group", seed=0)
    runs = {name: spec.norm.name for name, spec in found.whole.items()}
    measured = Counter((runs[surface.run], surface.bn) for surface in found.surfaces.values())
    assert measured == {("batch", "frozen"): 4, ("batch", "recalibrated"): 4, ("group", "frozen"): 4}
    with pytest.raises(StudyError, match=r"bn: recalibrated needs BN, and plain-8 has norm: group; leave bn out"):
        loaded(tmp_path, "{points: 5, bn: recalibrated}", norm="group")


def test_the_ready_sweep_follows_the_paper():
    sweep = load(Path(__file__).parents[2] / "sweeps" / "surfaces.yaml")
    assert {surface.bn for surface in sweep.surfaces.values()} == {"frozen", "recalibrated"}
    assert {surface.points for surface in sweep.surfaces.values()} == {(51, 51)}
    assert [surface.centred for surface in sweep.surfaces.values() if surface.plane == "pca"] == [True] * 6
    rates = {(spec.network, spec.depth): spec.recipe.learning_rate for spec in sweep.runs.values()}
    assert rates["plain", 56] == rates["plain", 110] == 0.01 and rates["residual", 110] == 0.1
