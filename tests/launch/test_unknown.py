"""Results of unregistered components and other versions: looking works, and training or measuring says what is missing."""

import json
import shutil

import pytest

import study as package
from study.config.registry import BLOCKS, DATA, INITIALISATIONS, ORDERS, PROBES, SHORTCUTS, TABLES
from study.store.files import read_json, write_json
from tests.launch.command import inside, output, runs, sweep_file

SWEEP = """
fixed: {data: theirs, train_subset: 100, recipe: quick, probes: [mine], recipe.iterations: 2, recipe.schedule.at: [1],
  recipe.evaluate_every: 2, block: narrow, shortcut: detour, order: reverse, initialisation: hot}
grid: {network: [plain, residual], depth: [8, 14], seed: [0]}
surfaces: [{of: {network: residual, depth: 8}, points: 3, subset: 50}]
"""
NAMES = [
    (BLOCKS, "narrow", "basic"), (SHORTCUTS, "detour", "A"), (ORDERS, "reverse", "original"),
    (INITIALISATIONS, "hot", "he_fan_in"), (DATA, "theirs", "digits"), (PROBES, "mine", "weights"),
]  # fmt: skip
"""What is registered while the sweep is trained: where, under which name, and as a copy of which component."""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A sweep whose components are no longer registered."""
    folder = tmp_path_factory.mktemp("unknown")
    with pytest.MonkeyPatch.context() as patch:
        for table, name, like in NAMES:
            patch.setitem(table, name, table[like])
        output(folder, "sweep", sweep_file(folder, SWEEP))
    return folder


def collected(folder, copy):
    """Only the tables of the sweep, as in a repository."""
    output(folder, "collect", "tiny")
    (copy / "results/tiny").mkdir(parents=True)
    for path in folder.glob("results/tiny/*.parquet"):
        shutil.copy(path, copy / "results/tiny")
    return copy


def as_it_is(folder, copy):
    shutil.copytree(folder, copy, dirs_exist_ok=True)
    return copy


def more_fields(fields):
    fields |= {"attention": "full", "precision": "fp8", "recipe": fields["recipe"] | {"name": "adamw", "beta": 0.9}}
    fields["family"] = "transformer"


def other_types(fields):
    fields |= {
        "family": {"name": "cifar", "family.width": "wide"},
        "data": {"name": "digits", "data.image_size": [8, 8]},
    }
    fields["recipe"]["batch_size"] = "auto"


def of_other_versions(folder, copy):
    """A copy of the sweep whose record has fields of other versions of this program."""
    path = as_it_is(folder, copy) / "results/tiny/sweep.json"
    record = read_json(path)
    for fields, change in zip(record["runs"].values(), (more_fields, other_types), strict=False):
        change(fields)
    write_json(path, record)
    return copy


CASES = {"unregistered": as_it_is, "collected": collected, "other versions": of_other_versions}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_verbs_that_only_look_work_on_any_results(case, trained, tmp_path):
    folder = CASES[case](trained, tmp_path)
    assert "4 runs: 4 done" in output(folder, "status", "tiny")
    assert {record["state"] for record in json.loads(output(folder, "status", "tiny", "--json"))} == {"done"}
    drawn = ["figure", "degradation"] if case == "collected" else ["report"]  # which draws every figure
    for words in (["verdict"], drawn, *(["table", name] for name in TABLES)):
        code, out, err = inside(folder, *words, "tiny")
        # Some tables need what was not measured here; one line says so.
        assert code == 0 or (code == 2 and words[0] == "table" and len(err.splitlines()) == 1), (words, err)
        assert "Traceback" not in out + err
    table = package.read_runs(folder / "results/tiny")
    assert len(table) == 4 and set(table["block"]) == {"narrow"} and set(table["state"]) == {"done"}
    assert len(package.read_curves(folder / "results/tiny"))
    assert set(package.read_probes(folder / "results/tiny")["probe"]) == {"mine"}
    assert len(package.read_surfaces(folder / "results/tiny")["surface_id"].unique()) == 1
    if case != "collected":
        [first, *_] = runs(folder)
        output(folder, "collect", "tiny"), output(folder, "logs", first.run_id)
        assert "no queued jobs" in output(folder, "cancel", "tiny", code=2)


def test_verbs_that_train_or_measure_say_what_is_missing(trained, tmp_path):
    folder = as_it_is(trained, tmp_path)
    [first, *_] = runs(folder)
    for words in (["sweep", "tiny.yaml"], ["surface", "tiny"], ["probe", "tiny"], ["embed", first.run_id, "--depth", "20"],
                  ["surface", first.run_id]):  # fmt: skip
        code, out, err = inside(folder, *words)
        assert code in (1, 2) and "no block 'narrow'" in err and "Traceback" not in out + err, (words, out, err)
        assert all(line.startswith(("study: ", "plain-", "residual-")) for line in err.splitlines()), err


def test_tables_without_runs_cannot_be_measured(trained, tmp_path):
    folder = collected(trained, tmp_path)
    for words in (["collect", "tiny"], ["probe", "tiny"], ["surface", "tiny"], ["cancel", "tiny"]):
        assert "results/tiny/ has collected tables alone" in output(folder, *words, code=2)
