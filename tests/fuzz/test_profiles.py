"""Profiles of clusters, right and wrong, as `tests.fuzz.test_sweep_files` has it of sweep files."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from study.launch.slurm.profile import Profile
from tests.fuzz import hostile
from tests.fuzz.calling import complaints, sound, study
from tests.fuzz.cases import cases
from tests.fuzz.hostile import Pairs, as_file, changed, tree

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
