"""Tables beside the papers' numbers: what is compared, what is not, and LaTeX that compiles."""

import numpy as np
import pandas as pd
import pytest

from study.errors import StudyError
from study.papers.values import VALUES, match
from study.plotting import plot, table
from study.plotting.tables.errors import errors
from study.plotting.tables.render import render
from tests.frames import together

from . import variants
from .conftest import cut, run_id
from .conftest import study as make


def test_table6_beside_ours():
    frames = make(depths=(20, 56, 110), seeds=4, evaluations=8)
    made = table("table6", *frames).set_index("network")
    assert list(made.index) == ["ResNet-20", "ResNet-32", "ResNet-44", "ResNet-56", "ResNet-110", "ResNet-1202"]
    curves = frames[0]
    own = curves[(curves["network"] == "residual") & (curves["depth"] == 56) & (curves["split"] == "test")]
    finals = own[own["iteration"] == 64_000]["error"]
    row = made.loc["ResNet-56"]
    np.testing.assert_allclose(
        [row["ours_mean"], row["ours_std"], row["ours_median"]], [finals.mean(), finals.std(), finals.median()]
    )
    assert row["n"] == 4 and row["paper_mean"] == 6.97
    assert row["difference"] == pytest.approx(finals.mean() - 6.97)
    assert row["exceeds"] == (abs(finals.mean() - 6.97) > finals.std())
    assert made.loc["ResNet-110", "paper_std"] == 0.16
    assert made.loc["ResNet-32", "n"] == 0 and np.isnan(made.loc["ResNet-32", "ours_mean"])


def test_bold_where_the_difference_exceeds_the_spread():
    curves, runs = make(depths=(20, 32), networks=("residual",), seeds=3, evaluations=8)
    last = (curves["split"] == "test") & (curves["iteration"] == 64_000)
    for depth, finals in ((20, [8.7, 8.8, 8.9]), (32, [8.4, 8.5, 8.6])):  # the paper has 8.75 and 7.51
        curves.loc[last & (curves["depth"] == depth), "error"] = finals
    made = table("table6", curves, runs).set_index("network")["exceeds"]
    assert not made["ResNet-20"] and made["ResNet-32"]
    text = render(table("table6", curves, runs), "md")
    assert "| **0.99** |" in text and "| 0.05 |" in text
    assert r"\bfseries 0.99" in render(table("table6", curves, runs), "latex")
    one = runs[runs["seed"] == 0]
    assert not table("table6", curves[curves["seed"] == 0].assign(error=60.0), one)["exceeds"].any()


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"dataset": "cifar10-jpeg"}, "data set cifar10-jpeg, not cifar10"),
        ({"recipe": "quick", "train_subset": 5000}, "recipe quick, not he2015_cifar and training images: 5,000"),
        ({"precision": "bf16"}, "precision bf16, not fp32"),
        ({"family.width": 4}, "none of its networks is among the runs"),
    ],
)
def test_another_protocol_is_refused_with_the_reason(fields, why):
    with pytest.raises(StudyError) as caught:
        table("table6", *make(seeds=1, evaluations=8, **fields))
    assert str(caught.value).startswith("nothing to set beside He et al. 2015, table 6: ") and why in str(caught.value)


def test_runs_of_two_protocols_are_told_apart():
    right, wrong = make(seeds=2, evaluations=8), make(seeds=3, evaluations=8, dataset="cifar10-jpeg")
    made = table("table6", *together(right, wrong))
    assert made.set_index("network").loc["ResNet-20", "n"] == 2
    assert any("ResNet-20 (3)" in note for note in made.attrs["notes"])


def test_i16_compares_medians_and_marks_failures():
    made = table("i16_table1", *variants.shortcuts()).set_index("network")
    row = made.loc["ResNet-110, 1×1 conv"]
    assert row["difference"] == pytest.approx(row["ours_median"] - 12.22)
    gate = made.loc["ResNet-110, exclusive gate bias 0"]
    assert gate["paper_fails"] and np.isnan(gate["paper_mean"]) and gate["n"] == 2
    assert made.loc["ResNet-110, scaled shortcut ×0.5 branch ×0.5", ["n", "n_diverged"]].tolist() == [1, 1]
    assert "| fails |" in render(made.reset_index(), "md")


def test_i16_tables_2_and_3():
    orders = table("i16_table2", *variants.orders()).set_index("network")
    assert orders.loc["ResNet-110, BN after addition", "paper_mean"] == 8.17 and len(orders) == 10
    deep = table("i16_table3", *variants.orders())
    assert deep.groupby("dataset").size().to_dict() == {"cifar10": 8, "cifar100": 4}
    assert deep["n"].sum() == 8


def test_bottlenecks_with_option_a_are_not_the_papers_networks():
    frames = variants.variant(depth=164, block="bottleneck", block__stride_in="1x1", order="pre")
    with pytest.raises(StudyError, match=r"none of its networks .*164 and 1001 layers have `shortcut: projection`"):
        table("i16_table3", *frames)
    both = together(frames, variants.orders())
    made = table("i16_table3", *both)
    assert made.set_index(["dataset", "network"]).loc[("cifar10", "ResNet-164, full pre-activation"), "n"] == 2
    assert any("ResNet-164 (2)" in note for note in made.attrs["notes"])
    assert any("`shortcut: projection`" in note for note in made.attrs["notes"])


@pytest.mark.parametrize(
    ("changed", "groups", "counts", "remarked"),
    [("", 2, True, False), ("bn_groups", 1, True, True), ("bn_groups", 4, False, False),
     ("bn_groups, momentum", 1, False, True)],
)  # fmt: skip
def test_bn_of_one_device_counts_with_a_remark(changed, groups, counts, remarked):
    """The papers train on two GPUs."""
    fields = {"recipe_changes": changed, "recipe.bn_groups": groups}
    frames = make(depths=(20,), networks=("residual",), seeds=1, evaluations=8, **fields)
    captioned = plot("fig6", *frames).caption
    assert ("with 64 images each" in captioned) == remarked
    assert ("changed in the recipe" in captioned) != counts
    if not counts:
        with pytest.raises(StudyError, match="changed in the recipe: " + ("momentum" if remarked else "bn_groups")):
            table("table6", *frames)
        return
    made = table("table6", *frames)
    assert made["n"].sum() == 1
    assert any("with 64 images each" in note for note in made.attrs["notes"]) == remarked


def test_values_of_l18_need_its_learning_rate():
    frames = make(depths=(20, 56), networks=("plain",), seeds=1, evaluations=8, recipe="li2018_cifar",
                  recipe_changes="learning_rate", **{"recipe.learning_rate": 0.01})  # fmt: skip
    made = table("l18_fig5", *frames).set_index("network")
    assert made.loc["plain-56", "n"] == 1 and made.loc["plain-20", "n"] == 0  # plain-20 was trained at 0.1
    with pytest.raises(StudyError, match="nothing to set beside"):
        table("l18_fig5", *(frame.assign(**{"recipe.learning_rate": 0.001}) for frame in frames))


def probes(runs, **measures):
    found = [
        runs.assign(probe=probe, measure=measure, value=value, iteration=600_000, layer="test", place=0)
        for probe in ("ten_crop", "multi_scale")
        for measure, value in measures.items()
    ]
    return pd.concat(found, ignore_index=True)


def test_imagenet_takes_errors_over_crops_and_scales():
    _, runs = make(depths=(34,), seeds=2, evaluations=8, dataset="imagenet", recipe="he2015_imagenet")
    runs["family.stem"] = "imagenet"
    made = table("imagenet", probes(runs, error=25.5, top5_error=8.0), runs).set_index(["network", "test"])
    row = made.loc[("ResNet-34", "10 crops")]
    assert row[["n", "ours_mean", "ours_top5", "paper_mean", "paper_top5"]].tolist() == [2, 25.5, 8.0, 25.03, 7.76]
    assert made.loc[("ResNet-34, B", "5 scales"), "paper_mean"] == 21.84
    assert any("ensemble" in note for note in table("imagenet", probes(runs, error=25.5), runs).attrs["notes"])
    with pytest.raises(
        StudyError, match="no run was tested with ten crops; `study probe SWEEP --probes ten_crop,multi_scale`"
    ):
        table("imagenet", probes(runs, error=25.5).assign(probe="responses"), runs)


def test_every_value_of_the_papers_is_of_one_network_that_can_be_trained():
    from study.config.fields import flat
    from study.config.sweep import Value, resolve

    for value in (value for values in VALUES.values() for value in values):
        name = value.protocol.recipe
        data = {"imagenet": {"data": "image_stream", "data.folder": "imagenet"}}.get(
            value.protocol.dataset, {"data": value.protocol.dataset}
        )
        fields = {"network": value.network, "depth": value.depth, "seed": 0, "recipe": name, **data, **value.fields}
        spec = resolve({key: Value(field, "here") for key, field in fields.items()})
        own = {"dataset": spec.dataset, "recipe": spec.recipe.name, "recipe_changes": ""}
        row = flat(spec.model_dump(mode="json")) | own
        if value.rate is not None:
            row |= {"recipe_changes": "learning_rate", "recipe.learning_rate": value.rate}
        assert match(pd.DataFrame([row]).astype(object), value).all(), value


def test_errors_give_the_difference_from_the_plain_twin_if_there_is_one():
    curves, runs = make(seeds=4, evaluations=8)
    made = errors(curves, runs).set_index(["network", "depth"])
    last = curves[(curves["iteration"] == 64_000) & (curves["split"] == "test") & (curves["depth"] == 56)]
    finals = last.pivot(index="seed", columns="network", values="error")
    row = made.loc[("residual", 56)]
    assert row["test_difference"] == pytest.approx((finals["residual"] - finals["plain"]).mean()) and row["pairs"] == 4
    assert row["test_low"] < row["test_difference"] < row["test_high"] < 0
    assert np.isnan(made.loc[("plain", 56), "test_difference"])
    lost = cut((curves, runs), run_id(runs, "plain", 56, 1), "diverged", 9_000)
    left = errors(*lost).set_index(["network", "depth"]).loc[("residual", 56)]
    assert left["pairs"] == 3 and left[["test_low", "test_high"]].isna().all()
    assert "pairs" not in errors(*make(seeds=2, evaluations=8, networks=("plain",)))
