"""Sweep files and profiles of clusters, of all degrees of wrongness: a line for each mistake, and nothing starts."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from study.launch.slurm.profile import Profile
from tests.fuzz import hostile
from tests.fuzz.calling import complaints, sound, study
from tests.fuzz.hostile import Pairs, as_file, cases, changed, tree

READY = {path.stem: path.read_text("utf-8") for path in sorted((Path(__file__).parents[2] / "sweeps").glob("*.yaml"))}
PLAN = ("sweep", "mine.yaml", "--dry-run")


@pytest.mark.parametrize("name", READY)
def test_ready_sweeps_are_valid(name):
    assert sound(study(PLAN, {"mine.yaml": READY[name].encode()})).code == 0
    assert sound(study(PLAN, {"mine.yaml": as_file(tree(READY[name]))})).code == 0


@cases(60)
@given(st.sampled_from([*READY]).flatmap(lambda name: changed(tree(READY[name]))), st.booleans())
def test_a_changed_ready_sweep_works_or_is_refused(file, escaped):
    sound(study(PLAN, {"mine.yaml": as_file(file, escaped=escaped)}))


# -- files made of what is right, and a few things that are wrong ------------------------------------------------------

AXES = {
    "depth": [8, 14, 20],
    "seed": [0, 1, 2],
    "family.width": [1, 2],
    "order": ["original", "pre"],
    "train_subset": [100, 200],
    "recipe.learning_rate": [0.1, 1, 1e-4],
    "recipe.optimizer.momentum": [0, 0.9],
    "recipe.warmup": ["none", "error"],
    "precision": ["fp32", "bf16"],
    "initialisation": ["glorot", "he_fan_in"],
}
"""Fields of residual networks, none of whose values has a say in what another may be."""
WRONG = {
    "depth": [0, -8, 9, 8.0, "8", True, None, [8], 10**12, hostile.Raw("0x8.0")],
    "seed": [-1, 2**31, 0.0, "0", False, float("nan"), Pairs([("a", 1)])],
    "family.width": [0, 65, 1.0, "wide", float("inf")],
    "order": ["orignal", "", 3, None, ["pre"], "\x1b[31m"],
    "train_subset": [0, 1, -3, 2.5, "all", float("inf")],
    "recipe.learning_rate": [0, -0.1, -0.0, float("nan"), float("inf"), "0.1", True, None, hostile.Raw("1e400")],
    "recipe.optimizer.momentum": [1, -0.1, float("nan"), "0.9"],
    "recipe.warmup": ["errors", None, 0, float("nan")],
    "recipe.schedule.at": [[3, 2], [0], [1.5], 3, ["a"], float("nan")],
    "precision": ["fp16", None, 32],
    "initialisation": ["he", 0],
}


@st.composite
def grammatical(draw):
    """A sweep file, the number of its runs, and the fields that are wrong in it."""
    fixed = {"data": "digits", "recipe": "quick", "network": "residual", "depth": 8, "seed": 0}
    fields = draw(st.lists(st.sampled_from([*AXES]), unique=True, max_size=4))
    axes = {f: draw(st.lists(st.sampled_from(AXES[f]), min_size=1, unique_by=repr)) for f in fields}
    fixed = {key: value for key, value in fixed.items() if key not in axes}
    count = 1
    for axis in axes.values():
        count *= len(axis)
    wrong = draw(st.just([]) | st.lists(st.sampled_from([*WRONG]), unique=True, min_size=1, max_size=3))
    for field in wrong:
        value = draw(st.sampled_from(WRONG[field]))
        if field in axes:
            axes[field] = [*axes[field], value]
        else:
            fixed[field] = value
    file = [("fixed", Pairs(fixed.items())), *([("grid", Pairs(axes.items()))] if axes else [])]
    return Pairs(draw(st.permutations(file))), count, wrong


@cases(30)
@given(grammatical())
def test_exactly_the_wrong_fields_are_named(made):
    file, count, wrong = made
    call = study(PLAN, {"mine.yaml": as_file(file)})
    if not wrong:
        assert sound(call).code == 0
        assert len(call.out.splitlines()) == count + 2  # how many there are, and the time they take
        return
    named = {re.fullmatch(r"mine\.yaml:\d+: ([a-z_.]+?)(\.\d+)?: .*", line) for line in complaints(call)}
    assert {found and found[1] for found in named} == set(wrong)


# -- what is hardly YAML, or none at all --------------------------------------------------------------------------------

PIECES = (
    *hostile.RAW, "fixed:", "grid:", "zip:", "blocks:", "surfaces:", "name: x", "{", "}", "[", "]", ",", ": ", "- ", "\n", "\n  ",
    " ", "? ", "|", ">-", "%YAML 1.1\n---\n", "%YAML 9.9\n---\n",
    "%TAG ! x\n---\n", "---\n", "...\n", "&a ", "*a", "<<: *a", "!!str ",
    "!<x> ", "'", '"', "\\", '"\\x1b"', '"\\UFFFFFFFF"', '"\\ud800"', "#", "\t", "\r", "\x85", "\u2028", "\ufeff",
    "seed", "0", "digits",
    "{data: digits, recipe: quick, network: plain, depth: 8, seed: 0}",
)  # fmt: skip


@cases(40)
@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=5), max_size=30).map("".join))
def test_any_text_works_or_is_refused(text):
    sound(study(PLAN, {"mine.yaml": text.encode("utf-8", "surrogatepass")}))


@cases(15)
@given(st.binary(max_size=200))
def test_any_bytes_work_or_are_refused(content):
    sound(study(PLAN, {"mine.yaml": content}))


# -- profiles ----------------------------------------------------------------------------------------------------------

GOOD = b"fixed: {data: digits, recipe: quick, network: plain, depth: 8, seed: 0}\n"
EXAMPLE = (Path(__file__).parents[2] / "docs/slurm.md").read_text("utf-8").split("```yaml\n")[1].split("```")[0]


def planned(profile):
    return study(
        ["sweep", "mine.yaml", "--dry-run", "--profile", "cluster.yaml"], {"mine.yaml": GOOD, "cluster.yaml": profile}
    )


fields = st.sampled_from([*Profile.model_fields]) | hostile.keys


@cases(30)
@given(changed(tree(EXAMPLE)) | st.lists(st.tuples(fields, hostile.values), max_size=6).map(Pairs), st.booleans())
def test_a_profile_works_or_is_refused(profile, escaped):
    sound(planned(as_file(profile, escaped=escaped)))


@pytest.mark.parametrize("field", [*Profile.model_fields])
@pytest.mark.parametrize("value", [".nan", ".inf", "-.inf", "1e400"])
def test_no_field_of_a_profile_is_nan_or_infinite(field, value):
    said = complaints(planned(f"{field}: {value}\n".encode()))
    assert all(line.startswith(f"cluster.yaml:1: {field}") for line in said)


@pytest.mark.parametrize("field", ["partition", "account", "qos", "constraint", "gres", "memory", "python"])
def test_no_field_begins_a_line_of_the_batch_script(field):
    (line,) = complaints(planned(f'{field}: "a\\n#SBATCH --uid=0"\n'.encode()))
    assert line.startswith(f"cluster.yaml:1: {field}: ")
