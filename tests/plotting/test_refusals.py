"""What figures and tables refuse: one line each that says what is wrong, and what to do."""

import pandas as pd
import pytest

import study.plotting
from study.config.registry import FIGURES
from study.errors import StudyError

from .conftest import OF_PROBES, cut
from .conftest import study as make
from .planes import curved, surface, way

OF_CURVES = sorted(name for name, entry in FIGURES.items() if entry.needs == "curves")


def refused(message, name, frame, runs=None, **options):
    with pytest.raises(StudyError) as caught:
        study.plotting.plot(name, frame, runs, **options)
    assert message in str(caught.value), name


def test_unknown_words(small, tmp_path):
    for options, message in (
        ({"name": "degradatoin"}, "unknown figure 'degradatoin'; did you mean 'degradation'?"),
        ({"style": "papr"}, "unknown style 'papr'; did you mean 'paper'?"),
        ({"trainin": "train"}, "unknown option 'trainin' of figure 'degradation'; did you mean 'training'?"),
        (
            {"training": "tran"},
            "option 'training' of figure 'degradation' must be 'train_clean' or 'train', not 'tran'",
        ),
        ({"name": "sensitivity", "split": "tst"}, "must be 'train_clean', 'train' or 'test', not 'tst'"),
        ({"ymax": float("nan")}, "option 'ymax' of figure 'degradation' must be a finite number, not nan"),
    ):
        refused(message, **{"name": "degradation", "frame": small[0], "runs": small[1]} | options)
    with pytest.raises(StudyError, match="unknown figure format 'pgn'; did you mean 'png'"):
        study.plotting.save("degradation", *small, tmp_path, formats=("pdf", "pgn"))
    assert list(tmp_path.iterdir()) == []


def test_unknown_words_of_probes_and_surfaces(probes, fed):
    plane, bent, path = surface(shape=(3, 3)), curved(shape=(3, 3)), way(shape=(3, 3), snapshots=3)
    for name, frame, options, message in (
        ("gradients", probes[0], {"measure": "nrom"}, "unknown measure 'nrom'; did you mean 'norm'"),
        ("identity_ness", probes[0], {"measure": "chnage"}, "unknown measure 'chnage'; did you mean 'change'"),
        ("responses", probes[0], {"scale": "lgo"}, "unknown scale 'lgo'; did you mean 'log'"),
        ("responses", probes[0], {"iteration": 7}, "no run was measured at iteration 7; iteration= takes 0, 16,000"),
        (
            "spectrum",
            fed("spectrum")[0],
            {"iteration": 7},
            "no run was measured at iteration 7; iteration= takes 0 and 64,000",
        ),
        ("spectrum", fed("spectrum")[0], {"reach": -1}, "reach must be a positive number, not -1"),
        ("contours", plane, {"of": "los"}, "unknown quantity 'los'; did you mean 'loss'?"),
        ("contours", plane, {"split": "tets"}, "unknown split 'tets'; did you mean 'test'?"),
        ("contours", plane, {"seed": 3}, "no surface has seed 3; there are 0"),
        ("contours", plane, {"plane": "randm"}, "no surface has plane 'randm'; did you mean 'random'?"),
        ("surface3d", plane, {"top": 0}, "top must be a positive number, not 0"),
        ("surface3d", plane, {"elev": -5}, "elev must be above 0 and at most 90 degrees, not -5"),
        ("line1d", surface(shape=(3, 1)), {"scale": "lgo"}, "unknown scale 'lgo'"),
        ("hessian_ratio", bent, {"seed": 3}, "no surface has seed 3; there are 0"),
        ("trajectory", path, {"split": "tets"}, "unknown split 'tets'; did you mean 'test'"),
    ):
        refused(message, name, frame, None, **options)


def test_curves_that_cannot_feed_a_figure(small):
    curves, runs = small
    for name in OF_CURVES:
        refused("the curves frame lacks split, error", name, curves.drop(columns=["split", "error"]), runs)
        refused("the runs frame lacks depth", name, curves, runs.drop(columns="depth"))
        refused("the curves frame lacks depth", name, curves.drop(columns="depth"))
        refused("none of the 12 runs has been evaluated", name, curves.iloc[:0], runs)
    refused("curves of 1 runs that the runs frame does not list", "degradation", curves, runs.iloc[1:])
    refused("no errors of train_clean and test", "degradation", curves[curves["split"] == "train"], runs)
    refused("the runs of no network differ in recipe or initialisation", "sensitivity", *small)
    for name in ("shortcuts", "orders", "preactivation"):
        refused("nothing to draw: there are no residual networks with", name, *small)
    refused("networks of the ImageNet family", "fig4", *small)
    refused("nothing to draw", "fig1", *make(seeds=1, evaluations=4, networks=("residual",)))
    one = make(depths=(56,), networks=("plain",), seeds=2, iterations=400, evaluations=4)
    refused("nothing to draw: no seed has results of two depths", "verdict", *one)
    for run in runs["run_id"]:
        small = cut(small, run, "running", 200)
    refused("none of the 12 runs is done", "depth_error", *small)


def test_probes_that_cannot_feed_a_figure(probes, fed):
    frame, runs = probes
    for name, probe in OF_PROBES.items():
        for nothing in (frame[:0], frame[frame["probe"] != probe]):
            refused(f"`study probe SWEEP --probes {probe}` measures it", name, nothing, runs)
        refused("the probes frame lacks place, value", name, frame.drop(columns=["place", "value"]), runs)
        refused("the probes frame lacks depth", name, frame.drop(columns="depth"))
        refused("that the runs frame does not list", name, frame, runs[:1])
    refused("no finished or running run has gradients", "gradients", frame, runs.assign(state="diverged"))
    refused("no run of the probe 'paths'", "effective_depth", frame[frame["measure"] != "deleted_error"], runs)
    refused("`study probe SWEEP --probes hessian`", "spectrum", pd.DataFrame(), runs)
    hessian = fed("spectrum")
    refused(
        "no measured eigenvalue is finite",
        "spectrum",
        hessian[0].assign(value=float("nan")),
        hessian[1],
    )


def test_surfaces_that_cannot_feed_a_figure(planes):
    nothing = "no surface has been measured"
    for name in ("contours", "surface3d", "line1d", "hessian_ratio", "trajectory"):
        refused(nothing, name, planes.iloc[:0])
    for name in ("contours", "surface3d"):
        refused("no surface has 2 dimensions; the figure line1d draws the others", name, planes[planes["dims"] == 1])
    refused("no surface has 1 dimensions; the figure contours draws the others", "line1d", planes[planes["dims"] == 2])
    train = planes[planes["split"] == "train"]
    refused("the surfaces have no values of split 'test'", "contours", train, None, split="test")
    refused("the surfaces frame lacks alpha", "contours", planes.drop(columns="alpha"))
    refused("no surface has curvature; `study surface SWEEP --curvature`", "hessian_ratio", planes)
    unknown = planes.assign(explained_a=float("nan"), explained_b=float("nan"))
    refused("no surface has a trajectory; `study surface SWEEP --plane pca`", "trajectory", unknown)
