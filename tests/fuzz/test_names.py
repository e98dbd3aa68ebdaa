"""Names: in any script, however they are typed; and names that would lead out of a folder."""

import json
import unicodedata

import pytest

from study.config.fields import sweep_name
from study.config.sweep import load
from study.launch.sweep import plan_sweep, record
from study.store import runs as store
from tests.fuzz.calling import complaints, sound, steers, study
from tests.helpers import tree

PLAN = ("sweep", "mine.yaml", "--dry-run")
GOOD = "fixed: {data: digits, recipe: quick, network: residual, depth: 8}\ngrid: {seed: [0]}\n"

SCRIPTS = (
    "退化研究",
    "دِرَاسَة_١",
    "प्रयोग.२",
    "ทดลอง",
    "נִסּוּי",
    "thử_nghiệm",
    "Πείραμα-2",
    "실험",
    "опыт",
    "2026",
    "_mine",
)
NONE = (
    "🙂", "my sweep", "\u0301", "mine.", ".mine", "-n", "mine.yaml", "mine.yml", "..", ".", "a/b", "a\\b", "/etc", "~", "",
    "a\nb", "a\x1b[31m", "a\u202eb", "a\u200bb", "a\0b", "\ud800", "a" * 61,
)  # fmt: skip


def named(name):
    """A sweep file with a name."""
    return (GOOD + f"name: {json.dumps(name)}\n").encode()


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_sweep_name_may_have_any_script(name):
    for words, files in (
        (PLAN, {"mine.yaml": named(name)}),
        ((*PLAN, f"name={name}"), {"mine.yaml": GOOD.encode()}),
        (("sweep", f"{name}.yaml", "-n"), {f"{name}.yaml": GOOD.encode()}),
    ):
        call = sound(study(words, files))
        assert call.code == 0
        assert call.out.splitlines()[-2].startswith(f"{unicodedata.normalize('NFC', name)}: 1 run,")


@pytest.mark.parametrize("name", NONE, ids=ascii)
def test_invalid_names_are_refused(name):
    assert sweep_name(name) is None
    (line,) = complaints(study(PLAN, {"mine.yaml": named(name)}))
    assert line.startswith("mine.yaml:3: ")
    if "\0" not in name and name != "\ud800":  # which no command line has
        (line,) = complaints(study([*PLAN, f"name={name}"], {"mine.yaml": GOOD.encode()}))
        assert "must be text of at most 60 letters" in line


@pytest.fixture
def results(tmp_path):
    """A results folder with a sweep of one run, called `é`, and beside it what a path from within would lead to."""
    file = tmp_path / "mine.yaml"
    file.write_text(GOOD + "name: é\n")
    for folder in (tmp_path / "outer" / "results", tmp_path):
        record(plan_sweep(load(file), folder))
    planned = plan_sweep(load(file), tmp_path / "outer" / "results")
    (run,) = planned.sweep.runs
    store.write_spec(planned.files.run(run), planned.sweep.runs[run])
    return tmp_path / "outer" / "results"


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_both_spellings_of_a_letter_name_the_same_sweep(results, form):
    name = unicodedata.normalize(form, "é")
    for words in (["status", name], ["status", "--json", name], ["table", "errors", name], ["verdict", name]):
        call = study([*words, "--results", str(results)])
        assert "no sweep" not in call.err
    assert "no queued jobs" in complaints(study(["cancel", name, "--results", str(results)]))[0]
    assert sound(study(["collect", name, "--results", str(results)])).code == 0


# -- names that lead elsewhere -----------------------------------------------------------------------------------------

BY_SWEEP = (
    ["status"], ["status", "--json"], ["cancel"], ["collect"], ["figure", "degradation"], ["figures"], ["report"],
    ["table", "errors"], ["verdict"], ["export"], ["export", "--format", "csv"], ["probe"], ["surface", "--dry-run"],
    ["du"], ["prune"], ["rm"], ["diff", "é"], ["mv", "new"],
)  # fmt: skip
BY_RUN = (["logs"], ["cancel"], ["prune"], ["rm"], ["probe"], ["surface", "--dry-run"], ["embed", "--depth", "14"])
ELSEWHERE = ("..", ".", "", "/", "../", "é/..", "../..", "*", "[é]", "~")


@pytest.mark.parametrize("words", BY_SWEEP, ids=" ".join)
def test_no_sweep_is_named_by_a_path_out_of_the_results(results, words):
    """Where `..` would lead to there is a sweep's folder, that could be read and collected into."""
    for folder in (results.parent, results):
        (folder / "sweep.json").write_bytes((results / "é" / "sweep.json").read_bytes())
    before = tree(results.parent.parent)
    for name in ELSEWHERE:
        complaints(study([*words, "--results", str(results), "--", name]))
    assert tree(results.parent.parent) == before


@pytest.mark.parametrize("words", BY_RUN, ids=" ".join)
def test_no_run_is_named_by_a_path_a_pattern_or_nothing(results, words):
    (run,) = (path.name for path in (results / "é" / "runs").iterdir())
    before = tree(results.parent.parent)
    for name in (*ELSEWHERE, f"../runs/{run}", f"é/runs/{run}", f"{run[:8]}*", f"{run}\n"):
        complaints(study([*words, "--results", str(results), "--", name]))
    assert tree(results.parent.parent) == before


@pytest.mark.parametrize(
    "words", [["status", "x"], ["collect", "x"], ["report", "x"], ["surface", "x", "-n"]], ids=" ".join
)
def test_results_must_be_a_folder(words):
    for place in ("file", "file/inside", "missing", "", "a" * 300, "a\x1b[31m"):
        complaints(study([*words, "--results", place], {"file": b"precious"}))


# -- names and words that are found, and shown -------------------------------------------------------------------------


def test_words_of_a_run_cannot_steer_the_terminal(results):
    (folder,) = (results / "é" / "runs").iterdir()
    store.write_failed(store.RunFiles(folder), "out of \x1b[2J\x1b]0;memory\x07\u202e")
    call = study(["status", "é", "--results", str(results)])
    assert call.code == 0
    assert "\\x1b[2J" in call.out
    assert not any(steers(line) for line in call.out.split("\n"))


def test_names_of_files_cannot_steer_the_terminal():
    call = study(["list", "sweeps"], {"sweeps/a\x1b[31m\n.yaml": b"", "sweeps/\udcff.yaml": GOOD.encode()})
    assert call.code == 0
    assert "a\\x1b[31m\\n" in call.out
    assert not any(steers(line) for line in call.out.split("\n"))
    (line,) = complaints(study(["sweep", "nearest.yaml"], {"sweeps/nearest\x1b[31m.yaml": b""}))
    assert "nearest\\x1b[31m" in line
