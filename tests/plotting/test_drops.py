"""Figures of curves mark drops of the learning rate where they happened, however rarely the curve was logged."""

import pandas as pd
import pytest

from study.config.differences import RECIPE, row
from study.config.identity import point_id, run_id
from study.plotting import plot
from study.training.schedule import Schedule
from tests.frames import together
from tests.helpers import make_spec


def trained(spec, errors=()):
    """Frames of a run with the rates of its schedule, and where these drop; `errors` are those of its logged points."""
    recipe, schedule = spec.recipe, Schedule(spec)
    seen = iter(errors)
    rates, rows, error = [], [], 90.0
    for step in range(recipe.iterations):
        rates.append(schedule.rate(step))
        done = step + 1
        if done % recipe.log_every == 0:
            error = next(seen, error)
            schedule.observe(error)
            rows.append({"iteration": done, "split": "train", "error": error, "lr": rates[-1]})
        if done % recipe.evaluate_every == 0 or done == recipe.iterations:
            schedule.observe_evaluation(done, error)
            rows += [{"iteration": done, "split": s, "error": 50.0, "lr": rates[-1]} for s in ("train_clean", "test")]
    known = dict.fromkeys(RECIPE) | {k: v for k, v in row(spec).items() if k != "changes"}
    run = known | {"run_id": run_id(spec), "point_id": point_id(spec), "state": "done", "recipe_changes": ""}
    runs = pd.DataFrame([run | {"iteration": recipe.iterations, "iterations": recipe.iterations}])
    curves = pd.DataFrame(rows).assign(run_id=run_id(spec), loss=1.0, epoch=1.0, seconds=1.0)
    return (curves, runs), [i for i in range(1, recipe.iterations) if rates[i] < rates[i - 1]]


def spec_of(depth=20, network="plain", **recipe):
    usual = {"iterations": 1000, "evaluate_every": 250, "log_every": 100}
    usual |= {} if recipe.get("schedule") == "plateau" else {"schedule__at": [600, 850]}
    fields = {f"recipe__{name}": value for name, value in (usual | recipe).items()}
    return make_spec(depth=depth, network=network, shortcut=None if network == "plain" else "A", **fields)


def marked(data):
    return sorted(data.loc[data["kind"] == "lr_drop", "iteration"].unique())


@pytest.mark.parametrize(
    ("recipe", "errors"),
    [
        ({}, ()),
        ({"schedule__at": [70, 90], "evaluate_every": 50}, ()),
        ({"schedule__at": [645, 650, 990]}, ()),  # closer together than logged points
        ({"schedule__at": [600, 1000, 2000]}, ()),  # two never take effect
        ({"warmup": "iterations", "warmup__iterations": 433, "warmup__rate": 0.5}, ()),  # ends with a drop
        ({"warmup": "iterations", "warmup__iterations": 700, "warmup__rate": 0.001}, ()),  # 600 lies within the warm-up
        ({"warmup": "error", "warmup__rate": 0.001}, (90, 85, 70)),
        ({"warmup": "error", "warmup__rate": 0.5}, (90, 85, 70)),
        ({"warmup": "error", "warmup__rate": 0.001}, ()),  # never ends
        ({"schedule": "plateau", "schedule__patience": 1, "evaluate_every": 200}, (50,) * 9),
    ],
)
def test_drops_are_marked_where_they_happened(recipe, errors):
    frames, fell = trained(spec_of(**recipe), errors)
    assert marked(plot("degradation", *frames).data) == fell


def test_drops_without_a_recipe_and_of_an_unfinished_run():
    (curves, runs), fell = trained(spec_of())
    known = runs.drop(columns=[name for name in runs if str(name).startswith("recipe.")])
    assert marked(plot("degradation", curves, known).data) == [fell[0], 800]  # the last point before 850
    (curves, runs), _ = trained(spec_of())
    frames = curves[curves["iteration"] <= 800], runs.assign(state="running", iteration=800)
    assert marked(plot("degradation", *frames).data) == [600]


def test_a_panel_has_the_drops_of_its_own_runs():
    early, _ = trained(spec_of(depth=20, network="residual", schedule__at=[300]))
    late, _ = trained(spec_of(depth=20, network="residual", schedule__at=[700]))
    drawn = plot("degradation", *together(early, late))
    lines = [[line.get_xdata()[0] for line in axes.lines if line.get_gid() == "lr_drop"] for axes in drawn.figure.axes]
    lines = [drops for drops in lines if drops]  # titles of rows have axes of their own
    assert sorted(lines) == [[300], [700]]
