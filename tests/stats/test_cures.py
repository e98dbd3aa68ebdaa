"""Cures beside the plain network and the shortcut: what each takes away, which ones are named, and what no claim is made of."""

import json
from functools import cache

import pytest

from study.stats.cures import compare
from study.stats.outcomes import groups
from study.stats.verdict import render, verdict
from tests.frames import together

from .conftest import sweep, wobble

CURES = [  # network, its fields, training error at 20 and 56 layers, its name, and the answer
    ("residual", {"shortcut": "rezero"}, (2.0, 2.1), "ResNet, rezero", "as good"),
    ("residual", {"shortcut": "exclusive_gate"}, (2.0, 30.0), "ResNet, exclusive gate", "mends"),
    ("plain", {"convolution": "dirac"}, (2.0, 60.0), "plain, dirac", "in part"),
    ("plain", {"norm": "group"}, (2.0, 80.0), "plain, group norm", "cannot tell"),
    ("plain", {"norm": "none"}, (90.0, 90.0), "plain, no norm", "does not train"),
    ("residual", {"recipe.stochastic_depth": 0.5, "recipe_changes": "stochastic_depth"}, (2.0, 2.0),
     "ResNet, stochastic depth 0.5", "as good"),
]  # fmt: skip
USUAL = {"norm": "batch", "convolution": None, "recipe.stochastic_depth": None}


def one(network, errors, seeds=5, states=None, size=0.5, **fields):
    def last(_, depth, seed):
        train = errors[depth > 20] + wobble(seed, size)
        return train, train + 2

    return sweep(last, networks=[network], seeds=seeds, states=states, **USUAL | fields)


@cache
def every(seeds=5):
    """The verdict on all of them: plain-56 ends 78 points above plain-20, the residual one as plain-20."""
    others = [one(network, errors, seeds, **fields) for network, fields, errors, *_ in CURES]
    lost = {("residual", depth, seed): "diverged" for depth in (20, 56) for seed in range(seeds)}
    others.append(one("residual", (0.0, 0.0), seeds, lost, norm="none"))
    return verdict(*together(one("plain", (2.0, 80.0), seeds), one("residual", (2.0, 2.0), seeds), *others))


def judged(found):
    table = found.cures
    return table[table["depth"] == 56].set_index("cure")


def test_each_cure_has_its_share_and_its_answer():
    found = judged(every())
    expected = {name: answer for *_, name, answer in CURES} | {"ResNet, no norm": "does not train"}
    assert found.loc[found["role"] == "cure", "answer"].to_dict() == expected
    assert found["rise"].iloc[0] == pytest.approx(78, abs=0.1)
    for _, _, errors, name, _ in CURES:
        assert found.loc[name, "share"] == pytest.approx(100 * (80 - errors[1]) / 78, abs=0.2)
    assert found["untrained"].to_dict() == dict.fromkeys(found.index, "") | {
        "plain, no norm": "at chance", "ResNet, no norm": "diverged"
    }  # fmt: skip
    assert list(found.index)[-2:] == ["plain, no norm", "ResNet, no norm"], "last, whatever they take away"


def test_at_chance_at_both_depths_mends_nothing_although_depth_costs_nothing_more():
    (row,) = judged(every()).loc[["plain, no norm"]].to_dict("records")
    assert row["share"] < 0 and row["answer"] == "does not train"


def test_the_verdict_says_it_in_every_format():
    found = every()
    text = " ".join(str(found).split())
    assert "3 of 7 cures mend the plain rise of 78 points from 20 to 56 layers, 2 of them as well as the short" in text
    assert "above it: ResNet, stochastic depth 0.5 (100 %); ResNet, rezero (100 %)." in text
    assert "In part: plain, dirac (26 %)." in text
    assert "Do not train: plain, no norm (at chance); ResNet, no norm (diverged)." in text
    assert max(map(len, str(found).splitlines())) <= 80
    assert "- In part: plain, dirac (26 %)." in render(found, "md")
    assert '<li dir="auto">In part: plain, dirac (26 %).</li>' in render(found, "html")
    rows = json.loads(render(found, "json"))["cures"]
    assert {row["cure"]: row["share"] for row in rows if row["depth"] == 56}["ResNet, no norm"] is None


def test_the_correction_counts_the_cures():
    usual = [one("plain", (2.0, 80.0)), one("residual", (2.0, 2.0))]
    names = enumerate(["dirac", "standardised", "mine", "yours"])
    weak = [one("plain", (2.0, 60.0 + place), size=15, convolution=name) for place, name in names]
    alone, among = (judged(verdict(*together(*usual, *weak[:count]))).loc["plain, dirac"] for count in (1, 4))
    assert (alone["answer"], among["answer"]) == ("in part", "cannot tell")
    assert among["p_holm"] == pytest.approx(4 * alone["p_holm"]) and among["share"] == alone["share"]


def test_runs_that_do_not_train_are_counted():
    usual = [one("plain", (2.0, 80.0)), one("residual", (2.0, 2.0))]
    some = one("plain", (2.0, 60.0), states={("plain", 56, 0): "diverged"}, convolution="dirac")
    found = verdict(*together(*usual, some))
    assert judged(found).loc["plain, dirac", ["n", "untrained", "lost"]].to_list() == [4, "", "1 of 5 diverged"]
    assert "plain, dirac (26 %, 1 of 5 diverged)." in " ".join(str(found).split())


def test_of_many_choices_a_name_has_the_unusual_ones():
    usual = {"norm": "batch", "activation": "relu", "initialisation": "he_fan_in"}
    others = [{}, {"norm": "none"}, {"norm": "none", "initialisation": "lsuv"}, {"activation": "tanh"}]
    found = groups(*together(*(one("plain", (2.0, 3.0), seeds=1, **usual | fields) for fields in others)))
    titles = {line.title for group in found for line in group.lines}
    assert titles == {"plain", "plain (no norm)", "plain (no norm lsuv)", "plain (tanh)"}


def test_with_too_few_seeds_nothing_is_claimed():
    text = " ".join(str(every(seeds=2)).split())
    assert "Nothing to mend is established" in text and "As good" not in text


@pytest.mark.parametrize("left_out", [0, 1])
def test_without_a_usual_network_or_another_there_are_no_cures(left_out):
    usual = [one("plain", (2.0, 80.0)), one("residual", (2.0, 2.0))]
    found = verdict(*together(*usual))
    assert found.cures.empty and "cures" not in json.loads(render(found, "json"))
    del usual[left_out]
    assert verdict(*together(*usual, one("plain", (2.0, 2.0), convolution="dirac"))).cures.empty


def test_a_residual_network_goes_with_the_plain_one_that_it_shares_most_with():
    dirac = {"convolution": "dirac"}
    frames = [one(network, (2.0, 3.0), **fields) for network in ("plain", "residual") for fields in ({}, dirac)]
    found = groups(*together(*frames))
    pairs = [[dict(line.kind).get("convolution") for line in group.lines] for group in found]
    assert sorted(pairs, key=str) == [["dirac", "dirac"], [None, None]]


def test_stochastic_depth_is_compared_with_the_plain_network_of_the_same_recipe():
    fields = {"recipe.stochastic_depth": 0.5, "recipe_changes": "stochastic_depth"}
    (group,) = groups(
        *together(one("plain", (2.0, 9.0)), one("residual", (2.0, 2.0)), one("residual", (2.0, 2.0), **fields))
    )
    assert {line.label for line in group.residuals} == {"", "stochastic depth 0.5"}
    (alone,) = groups(*one("residual", (2.0, 2.0), **fields))
    assert "changed: stochastic_depth 0.5" in alone.condition, "where no name has it, the condition does"
    assert compare([]).empty
