"""Runs that differ in any field are named differently in tables, status, plans, progress, figures and verdicts."""

import io
from typing import Any

import pytest
from rich.console import Console

from study.config import differences
from study.config.identity import run_id
from study.config.sweep import Sweep
from study.launch.local.terminal import runs_shown
from study.launch.status import picture, report
from study.plotting import plot, table
from study.plotting.base.frames import tidy
from study.plotting.surfaces.frames import network_labels
from study.plotting.tables.render import render
from study.reporting.runs import listed
from study.stats.outcomes import groups
from study.store.layout import SweepFiles
from study.store.read import read_frame
from study.store.sweeps import write_sweep
from study.store.tables import CURVES
from tests.helpers import make_spec, open_run, seal_run

Fields = dict[str, Any]
FOLDER = {"data": "image_folder", "data.folder": "flowers"}
STREAM = {"data": "image_stream", "data.folder": "flowers", "recipe__pad": 0}
PLATEAU = {"recipe__schedule": "plateau"}
WARM = {"recipe__warmup": "error"}
SCALED = {"shortcut": "scaled"}
PAIRS = {
    # Fields that both have, and two values of the field: one of each kind of field, since names come from its column.
    "family": ({"depth": 50, "shortcut": "B"}, {"family": "cifar"}, {"family": "imagenet"}),
    "block": ({"depth": 20}, "basic", "bottleneck"),
    "depth": ({}, 8, 14),
    "network": ({}, "plain", "residual"),
    "block.stride_in": ({"block": "bottleneck", "depth": 20}, "1x1", "3x3"),
    "shortcut": ({}, "A", "C"),
    "shortcut.scale": (SCALED, 0.5, 0.50000001),
    "shortcut.bias": ({"shortcut": "exclusive_gate"}, -6.0, -7.0),
    "order": ({}, "original", "pre"),
    "family.stem": ({"family": "imagenet", "depth": 18}, "cifar", "imagenet"),
    "initialisation": ({}, "he_fan_in", "glorot"),
    "family.width": ({}, 1, 2),
    "data": ({}, "digits", "cifar10"),
    "data.folder": (FOLDER, "flowers", "trees"),
    "data.image_size": (FOLDER, None, 32),
    "train_subset": ({}, None, 400),
    "train_subset_seed": ({"train_subset": 400}, 0, 1),
    "precision": ({}, "fp32", "bf16"),
    "start_from": ({}, None, "residual-8-digits-0123456789ab"),
    "recipe": ({}, "quick", "he2015_cifar"),
    "recipe.iterations": ({}, 60, 80),
    "recipe.learning_rate": ({}, 0.1, 0.1000001),
    "recipe.optimizer.nesterov": ({}, False, True),
    "recipe.schedule.at": ({}, [100], [100, 150]),
    "recipe.schedule": ({}, "milestones", "plateau"),
    "recipe.schedule.patience": (PLATEAU, 5, 6),
    "recipe.warmup": ({}, "none", "iterations"),
    "recipe.warmup.from_depth": (WARM, 0, 110),
    "recipe.scales": (STREAM, None, [256, 480]),
    "recipe.normalise": ({}, None, [[0.5], [0.25]]),
    "norm": ({}, "batch", "group"),
    "norm.groups": ({"norm": "group"}, 8, 4),
    "activation": ({}, "relu", "gelu"),
    "activation.random": ({"activation": "crelu", "network": "plain"}, False, True),
    "convolution": ({}, None, "dirac"),
    "zero_gamma": ({}, False, True),
    "recipe.optimizer": ({}, "sgd", "adamw"),
    "recipe.optimizer.betas": ({"recipe__optimizer": "adam"}, [0.9, 0.999], [0.9, 0.95]),
    "recipe.clip_norm": ({}, None, 1.0),
    "recipe.stochastic_depth": ({}, 0.5, 0.2),
    "recipe.evaluate_every": ({}, 20, 30),
}
SAID = {
    "recipe.stochastic_depth": ("stochastic depth 0.5", "stochastic depth 0.2"),
    "family": ("CIFAR", "ImageNet"),
    "zero_gamma": ("", "zero-gamma"),
    "activation.random": ("", "drawn whole"),
}
"""Values that figures spell differently."""


USUAL = ("shortcut", "data.folder", "train_subset", "recipe.learning_rate")
"""Fields of different kinds, which the fast tests try; the others are slow."""


def pair(field):
    common, *values = PAIRS[field]
    name = field.replace(".", "__")
    return [make_spec(**common | (v if isinstance(v, dict) else {name: v})) for v in values]


def finished(results, specs):
    """A sweep of these runs, each as if trained."""
    files = SweepFiles(results, "apart")
    write_sweep(files, Sweep("apart", "", {run_id(spec): spec for spec in specs}, ()))
    for spec in specs:
        run = open_run(results, spec, "apart")
        row = {"run_id": run.run_id, "epoch": 1.0, "loss": 0.5, "lr": 0.1, "seconds": 2.0}
        own = {"train": 30.0, "train_clean": 20.0, "test": 25.0}
        rows = [row | {"iteration": i, "split": s, "error": e + 60 / i} for i in (20, 60) for s, e in own.items()]
        CURVES.write(run.curves, rows)
        seal_run(run)
    return files


def frames_of(results, specs):
    files = finished(results, specs)
    curves, runs = read_frame("curves", [files.folder])
    return files, curves, runs


def terminal(shown, width=200):
    console = Console(file=io.StringIO(), width=width)
    console.print(shown)
    return str(console.file.getvalue())


@pytest.mark.parametrize("field", [f if f in USUAL else pytest.param(f, marks=pytest.mark.slow) for f in PAIRS])
def test_two_values_have_different_names(field, tmp_path):
    specs = pair(field)
    files, curves, runs = frames_of(tmp_path, specs)
    values = [differences.text(v) for v in runs[field]]
    assert len(set(values)) == 2

    table_rows = render(table("errors", curves, runs), "text").splitlines()[1:3]
    csv_rows = render(table("errors", curves, runs), "csv").splitlines()[1:]
    status_rows = terminal(picture(report(files))).splitlines()[1:3]
    named = {run_id(spec): spec for spec in specs}
    progress = [shown.name for shown in runs_shown(named, named)]
    evidence = tidy(curves, runs)
    in_figures = list(evidence.runs["condition"] + " " + evidence.runs["network"] + "-" + evidence.runs["label"])
    found = groups(curves, runs)
    in_verdicts = [f"{g.condition} {line.name(depth)}" for g in found for line in g.lines for depth in line.outcomes]
    page = [repr(row) for row in listed(curves, runs)["rows"]]
    for shown in (table_rows, csv_rows, status_rows, progress, in_figures, in_verdicts, page):
        assert len(set(shown)) == 2
    told = zip(values, SAID.get(field, values), strict=True)
    for value, said in told:
        if value not in ("none", "A", "original", "he_fan_in", "basic", "1"):  # defaults are not printed
            shown = [value, said, value.replace("-", "−"), "ResNet" if value == "residual" else value]
            for rows in (in_figures, table_rows, in_verdicts):
                assert any(word in row for word in shown for row in rows), (value, list(rows))
        if field in differences.TRAINED:
            assert any(value in row for row in status_rows) and any(value in name for name in progress)


def test_a_narrow_terminal_crops_and_splits_no_value(tmp_path):
    axes = {"recipe__weight_decay": 0.0123, "precision": "bf16", "train_subset": 400}
    files = finished(tmp_path, [make_spec(recipe__learning_rate=0.1, **axes), make_spec()])
    words = terminal(picture(report(files)), 60).split()
    assert {"learning_rate", "0.1,", "weight_decay", "0.0123,", "train_subset", "bf16,"} <= set(words)


def test_a_recipe_says_what_is_changed_in_it_with_the_values(tmp_path):
    _, curves, runs = frames_of(tmp_path, [make_spec(recipe__learning_rate=0.05, recipe__schedule__at=[100, 150])])
    assert "quick (changed: learning_rate 0.05, schedule.at 100/150)" in plot("degradation", curves, runs).caption


def test_networks_of_one_kind_share_a_name_and_others_do_not(tmp_path):
    """Also across panels, where runs differ in a field of training and in one of the network."""
    specs = [make_spec(recipe__learning_rate=rate, shortcut=s) for rate, s in ((0.1, "A"), (0.01, "B"), (0.01, "A"))]
    _, curves, runs = frames_of(tmp_path, specs)
    evidence = tidy(curves, runs)
    assert set(evidence.runs["label"]) == {"8 A", "8 B"}
    assert set(network_labels(runs)) == {"ResNet-8 A", "ResNet-8 B"}
