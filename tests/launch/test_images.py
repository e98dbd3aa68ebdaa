"""Images that change between the runs of a sweep: reported, never averaged, never mixed in one run."""

import numpy as np
import pytest
from PIL import Image

import study
from study.stats.outcomes import groups
from tests.launch.command import inside, output

SWEEP = """
name: pets
fixed: {data: image_folder, data.folder: pets, recipe: quick, depth: 8, recipe.iterations: 6, recipe.batch_size: 8,
  recipe.evaluate_every: 3, recipe.log_every: 3, probes: [weights]}
grid: {network: [plain, residual], seed: [0]}
figures: [degradation]
"""


def draw(root, number, classes=("ant", "bee")):
    """Draw images of noise in `data/pets`: for each number others of the same names."""
    random = np.random.RandomState(number)
    for split, count in (("train", 8), ("test", 4)):
        for name in classes:
            for i in range(count):
                file = root / "data/pets" / split / name / f"{i}.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(random.randint(0, 256, (8, 8, 3)).astype(np.uint8)).save(file)


def sweep(folder, *words):
    return output(folder, "sweep", "pets.yaml", *words)


@pytest.fixture
def begun(tmp_path):
    """A sweep with one seed trained."""
    draw(tmp_path, 0)
    (tmp_path / "pets.yaml").write_text(SWEEP)
    sweep(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_runs_on_other_images_are_another_condition_everywhere(begun):
    draw(begun, 1, ("bee",))
    assert "trained before image files were changed" in sweep(begun, "seed=0,1", "--dry-run")
    out = sweep(begun, "seed=0,1")
    assert "2 finished runs trained on different images" in out and "--mode force" in out
    assert "done, trained on different images" in sweep(begun, "seed=0,1", "--dry-run")
    folder = begun / "results/pets"
    curves, runs = study.read_curves(folder), study.read_runs(folder)
    names = sorted(set(runs["dataset"]))
    assert len(names) == 2 and all(name.startswith("pets (images ") for name in names)
    assert runs.groupby("data_digest")["seed"].unique().map(list).tolist() in ([[0], [1]], [[1], [0]])
    assert {len(group.runs) for group in groups(curves, runs)} == {2} and len(groups(curves, runs)) == 2
    assert set(study.read_probes(folder)["dataset"]) == set(names)
    for verb in (["verdict", "pets"], ["table", "errors", "pets"], ["table", "errors", "pets", "--format", "csv"]):
        told = output(begun, *verb)
        assert all(name in told for name in names)
    assert all(name in out for name in names)
    drawn = (begun / "figures/pets/degradation.csv").read_text()
    assert all(name in drawn for name in names)


@pytest.mark.slow
def test_runs_keep_to_the_images_that_they_began_with(begun):
    draw(begun, 1)
    for verb in (["probe", "pets"], ["surface", "pets", "--line", "--points", "3"]):
        code, out, err = inside(begun, *verb)
        assert code != 0 and "the images of pets have changed" in out + err and "Traceback" not in out + err
    sweep(begun, "seed=0,1")
    before = study.read_runs(begun / "results/pets").set_index("run_id")["dataset"]
    assert before.nunique() == 2
    for run in (begun / "results/pets/runs").glob("plain-8-*"):
        (run / "done.json").unlink()
    runs = study.read_runs(begun / "results/pets").set_index("run_id")
    assert sorted(runs["state"]) == ["done", "done", "interrupted", "interrupted"]
    assert runs["dataset"].equals(before)
    planned = sweep(begun, "seed=0,1", "--dry-run")
    assert "1 interrupted run trained on different images, and will not go on with others" in planned
