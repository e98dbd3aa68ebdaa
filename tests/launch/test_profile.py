from __future__ import annotations

from pathlib import Path

import pytest

from study.errors import StudyError
from study.launch import profile as module
from study.launch.profile import Profile, load_profile


def written(folder: Path, text: str) -> Path:
    path = folder / "cluster.yaml"
    path.write_text(text)
    return path


def test_no_profile_is_the_defaults() -> None:
    assert load_profile(None) == Profile()
    assert Profile().ranks == 1


def test_every_field_of_the_documented_example_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "sbatch_options", lambda: {"nice", "mail-type"})
    text = (Path(__file__).parents[2] / "docs/slurm.md").read_text().split("```yaml\n")[1].split("```")[0]
    profile = load_profile(written(tmp_path, text))
    assert profile.time == 240 and profile.runs_per_gpu == 4 and profile.sbatch == {"nice": 100, "mail-type": "FAIL"}
    shown = {line.partition(":")[0] for line in text.splitlines()}
    assert shown == set(Profile.model_fields) - {"gpus", "gpus_per_run", "nodes"}


@pytest.mark.parametrize(
    "text, says",
    [
        ("partitoin: gpu", "cluster.yaml:1: unknown field 'partitoin'; did you mean 'partition'?"),
        ("time: long", "cluster.yaml:1: time: must be a valid integer, not 'long'"),
        ("\nmemory: lots", "cluster.yaml:2: memory: "),
        ("runs_per_gpu: 0", "cluster.yaml:1: runs_per_gpu: "),
        ("- gpu", "a profile is a mapping"),
        ("time: 1\ntime: 2", "duplicate key 'time'"),
        ("sbatch: {nicest: 1}", "sbatch has no option 'nicest'; did you mean 'nice'?; known: mail-type, nice"),
    ],
)
def test_mistakes_are_named_with_their_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, says: str
) -> None:
    monkeypatch.setattr(module, "sbatch_options", lambda: {"nice", "mail-type"})
    with pytest.raises(StudyError) as caught:
        load_profile(written(tmp_path, text))
    assert says in str(caught.value)


def test_without_sbatch_its_options_cannot_be_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert load_profile(written(tmp_path, "sbatch: {nicest: 1}")).sbatch == {"nicest": 1}
