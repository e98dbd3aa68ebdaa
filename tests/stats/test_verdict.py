"""The verdict on sweeps whose truth is known: its answers, its numbers, and what it refuses to say."""

import json

import numpy as np
import pytest

from study.stats.verdict import as_data, render, verdict

from .conftest import degrades, nothing, sweep

ENOUGH = {"seeds": 6}  # six pairs reach 0.05 on two sides


def answers(found):
    """Short answers by the number of the question and the line that they are about."""
    (finding,) = as_data(found)["findings"]
    first_four = [said for said in finding["answers"] if said["question"][0] != "5"]
    return {f"{said['question'][0]} {said['about']}".strip(): said["answer"] for said in first_four}


def judged(frames):
    return answers(verdict(*frames))


def test_degradation_that_the_shortcut_mends():
    found = verdict(*sweep(degrades, **ENOUGH))
    assert answers(found) == {
        "1": "Yes",
        "2": "Yes",
        "3 plain": "Not shown: the training error rises, growth of the gap is not established",
        "3 residual": "Cannot tell: p = 0.359",
        "4 plain": "Yes",
        "4 residual": "Cannot tell: all 6 seeds show no difference at all",
    }
    text = str(found)
    rise = verdict(*sweep(degrades, **ENOUGH)).findings[0].degradation
    assert rise is not None and rise.mean == pytest.approx(5.0, abs=0.2)
    assert f"plain-56 − plain-20: +{rise.mean:.2f} ± {rise.std:.2f} points" in text
    assert "p = 0.016 (the least that six seeds can give), 6 seeds." in " ".join(text.split())
    assert "Depth: no more; 6 seeds showed it." in text


def test_no_effect_is_no_verdict():
    found = judged(sweep(nothing, speed=lambda network, depth: 0.01, **ENOUGH))
    assert found.pop("1").startswith("Cannot tell: p = 0.")
    assert set(found.values()) == {"Cannot tell: all 6 seeds show no difference at all"}


def test_depth_that_helps_takes_six_seeds_to_say_so():
    def helped(network, depth, seed):
        return 5 - 2 * (depth > 20) + 0.1 * seed * (depth > 20), 9.0

    assert judged(sweep(helped, seeds=6))["1"] == "No, it lowers it"
    assert judged(sweep(helped, seeds=5))["1"] == (
        "Cannot tell: the difference is below zero in all 5 seeds; at least six are needed"
    )


def mends(left, spread=0.1):
    """Plain networks end about 5 points higher at 56 layers, residual ones about `left`; the gap grows by 2."""

    def errors(network, depth, seed):
        rise = (5 if network == "plain" else left) + spread * (seed % 3 - 1)
        return 1 + (depth > 20) * rise, 6 + (depth > 20) * (rise + 2 + 0.1 * seed)

    return errors


@pytest.mark.parametrize(
    ("left", "spread", "answer"),
    [
        (-1.0, 0.1, "Yes"),
        (0.0, 0.1, "Yes"),
        (2.0, 0.1, "In part"),
        (1.0, 4.0, "At least in part: what is left is uncertain"),
        (9.0, 0.1, "No, depth costs more with it"),
    ],
)
def test_how_far_the_shortcut_mends(left, spread, answer):
    def errors(network, depth, seed):
        return mends(left, spread if network == "residual" else 0.1)(network, depth, seed)

    found = judged(sweep(errors, seeds=9))
    assert (found["1"], found["2"]) == ("Yes", answer)


def test_five_seeds_that_all_leave_a_rise_are_not_a_yes():
    # Against the expectation p is two-sided, so five seeds don't establish the rest; but they show it.
    assert judged(sweep(mends(2.0), seeds=5))["2"] == "In part"
    states = {("residual", 56, 0): "diverged"}
    assert judged(sweep(mends(0.0), seeds=9, states=states))["2"] == "In part"


def test_optimisation_and_overfitting_together():
    found = judged(sweep(mends(-1.0), **ENOUGH))
    assert found["3 plain"] == "In part: training error and gap both rise"
    assert found["3 residual"] == "Yes: the gap grows, and the test error with it"
    helped = judged(sweep(mends(-4.0), **ENOUGH))
    assert helped["3 residual"] == "The gap grows, but the test error is not shown to rise"


def test_relief_without_a_rise_is_not_called_mending():
    def relief(network, depth, seed):
        if network == "plain":
            return nothing(network, depth, seed)[0], 9.0
        return degrades(network, depth, seed)[0] - 3 * (depth > 20), 9.0

    answer = judged(sweep(relief, **ENOUGH))["2"]
    assert answer.startswith("Depth serves the training error better with it") and "not established" in answer


@pytest.mark.parametrize(
    ("rises", "said"),
    [
        ((1.0,), "one seed cannot show a difference"),
        ((1.0, 2.0), "the difference is above zero in both seeds"),
        ((1.0, 2.0, 3.0), "the difference is above zero in all 3 seeds"),
        ((1.0, 0.0, 3.0, -1.0), "the difference is above zero in 2 of 4 seeds"),
    ],
)
def test_too_few_seeds_claim_nothing(rises, said):
    frames = sweep(lambda network, depth, seed: (5 + rises[seed] * (depth > 20), 9.0), seeds=len(rises))
    found = verdict(*frames)
    assert answers(found)["1"] == f"Cannot tell: {said}; at least five are needed"
    assert all(answer.startswith("Cannot tell") for answer in answers(found).values())


def numbers_said(found):
    return " ".join(str(found).split("How to read")[0].split())


@pytest.mark.parametrize("seeds", [1, 3, 4])
def test_an_interval_takes_four_seeds_wherever_one_stands(seeds):
    def errors(network, depth, seed):
        shift = seed**2 * depth / 100
        return 5 + shift * (network == "plain"), 9 + 2 * shift

    found = verdict(*sweep(errors, depths=(20, 56, 110), seeds=seeds, speed=lambda n, d: 0.01))
    there = seeds > 3
    assert ("95 % interval +" in numbers_said(found)) == there
    table, data = found.table(), as_data(found)["findings"][0]
    assert table["low"].notna().any() == there and ((table["no_interval"] == "") == table["low"].notna()).all()
    assert all((one["low"] is not None) == (one["no_interval"] == "") for one in data["contrasts"])
    if seeds == 3:
        assert f"no interval ({seeds} seeds are too few, it takes 4)" in numbers_said(found)


def test_a_p_at_its_floor_says_so():
    five = numbers_said(verdict(*sweep(degrades)))
    assert "p = 0.031 (the least that five seeds can give), 5 seeds." in five
    two = numbers_said(verdict(*sweep(degrades, seeds=2)))
    assert "p = 0.250 (the least that two seeds can give), 2 seeds." in two
    steps = verdict(*sweep(degrades, depths=(20, 56, 110)))
    for fmt in ("text", "md"):
        assert "0.031†" in render(steps, fmt) and "† the smallest p that so many seeds can give." in render(steps, fmt)
    assert "least" not in numbers_said(verdict(*sweep(nothing, seeds=9, speed=lambda n, d: 0.01)))


def test_one_deep_run_displaces_no_headline():
    unfinished = {(network, 110, seed): "pending" for network in ("plain", "residual") for seed in range(1, 5)}
    found = verdict(*sweep(degrades, depths=(20, 56, 110), states=unfinished))
    assert (answers(found)["1"], answers(found)["2"]) == ("Yes", "Yes")
    said = numbers_said(found)
    assert "plain-56 − plain-20: +4.96" in said and "20 to 56 layers" in said
    assert "Left out, with too few seeds: plain-110 (1 seed)." in said
    assert "Left out, with too few seeds: ResNet-110 (1 seed)." in said
    # Nor does one shallow run; and where no depth has many, the ends are compared.
    unfinished = {("plain", 20, seed): "failed" for seed in range(1, 5)}
    shallow = numbers_said(verdict(*sweep(degrades, depths=(20, 56, 110), states=unfinished)))
    assert "plain-110 − plain-56: +4." in shallow and "plain-20 (1 seed)" in shallow
    few = numbers_said(verdict(*sweep(degrades, depths=(20, 56, 110), seeds=2)))
    assert "plain-110 − plain-20: +9." in few and "Left out" not in few


def test_the_share_that_is_left_is_of_the_same_depths_and_seeds():
    def errors(network, depth, seed):
        rise = {20: 0.0, 56: 4.0, 110: 40.0}[depth] if network == "plain" else {20: 0.0, 56: 3.0, 110: 3.0}[depth]
        return 1 + rise + 0.1 * seed * (depth > 20), 9.0

    curves, runs = sweep(errors, depths=(20, 56, 110))
    deep = set(runs.loc[(runs["network"] == "residual") & (runs["depth"] == 110), "run_id"])
    found = verdict(curves[~curves["run_id"].isin(deep)], runs[~runs["run_id"].isin(deep)])
    assert answers(found)["1"] == "Yes" and answers(found)["2"] == "In part (20 to 56 layers)"
    assert "that is 76 % of the plain rise of +4.20" in numbers_said(found)


def slower(times):
    """So that the loss of each depth comes to 1 nat after so many iterations."""
    return lambda network, depth: float(np.log(2.3) / times[depth])


@pytest.mark.parametrize(
    ("times", "answer"),
    [
        ({20: 52, 32: 42, 56: 63}, "Cannot tell: the time does not keep rising"),
        ({20: 60, 32: 42, 56: 52}, "Cannot tell: the time does not keep rising"),
        ({20: 42, 32: 52, 56: 63}, "Yes"),
        ({20: 42, 32: 42, 56: 63}, "Yes"),
        ({20: 63, 32: 52, 56: 42}, "No, they are faster"),
        ({20: 52, 56: 63}, "Yes"),
    ],
)
def test_slower_is_a_trend_over_all_depths(times, answer):
    frames = sweep(mends(0.0), depths=times, networks=["plain"], speed=slower(times), seeds=6)
    assert answers(verdict(*frames, level=1.0))["4 plain"].startswith(answer)
    one = sweep(mends(0.0), depths=times, networks=["plain"], speed=slower(times), seeds=1)
    assert answers(verdict(*one, level=1.0))["4 plain"].startswith("Cannot tell")


def test_three_seeds_are_told_how_many_could_show_it():
    text = numbers_said(verdict(*sweep(degrades, seeds=3)))
    assert "Depth: about 5 in all, 2 more." in text and "a rough estimate" in text
    one = numbers_said(verdict(*sweep(degrades, seeds=1)))
    assert "no estimate: one seed has no spread; at least five are needed to reach p = 0.05" in one
    assert "probability of 80 %" not in one and "±" not in one


def diverging(network, depth, seed):
    return 90.0 if network == "plain" and depth == 56 else 0.5, 9.0


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ({}, "56 plain layers end at 6.5 % training error, 20 layers at 1.5 %, 56 with shortcuts at 1.2 %; "
             "5 seeds, p = 0.031 (the least that five seeds can give)."),
        ({"errors": diverging, "seeds": 1}, "56 plain layers end at 90 % training error, 20 layers at 0.50 %, 56 with "
                                            "shortcuts at 0.50 %; 1 seed, which cannot show a difference."),
        ({"states": {("plain", 56, seed): "diverged" for seed in range(5)}},
         "56 plain layers diverged, 20 layers end at 1.5 % training error, 56 with shortcuts at 1.2 %; "
         "5 seeds, p = 0.031 (the least that five seeds can give)."),
        ({"states": {("plain", 56, 0): "at_chance"}, "seeds": 2},
         "56 plain layers end at 6.6 % training error (1 of 2 runs stopped at chance), 20 layers at 1.5 %, 56 with shortcuts at "
         "1.2 %; 2 seeds, p = 0.250 (the least that two seeds can give)."),
        ({"networks": ["residual"]}, "56 layers with shortcuts end at 1.2 % training error, 20 layers at 1.5 %; "
                                     "5 seeds, p = 0.031 (the least that five seeds can give)."),
        ({"depths": [20], "seeds": 1}, "20 plain layers end at 1.6 % training error, 20 with shortcuts at 1.6 %; "
                                       "1 seed, which cannot show a difference."),
        ({"depths": [20], "networks": ["plain"]}, "Nothing is compared yet: no seed has results of two networks."),
    ],
)  # fmt: skip
def test_the_headline_says_the_result_in_one_sentence(made, said):
    (finding,) = as_data(verdict(*sweep(**{"errors": degrades, **made})))["findings"]
    assert finding["headline"] == said


def test_only_plain_only_residual_and_one_depth():
    assert judged(sweep(degrades, networks=["plain"]))["2"] == (
        "Cannot tell: there are no residual networks here that match"
    )
    alone = judged(sweep(degrades, networks=["residual"]))
    assert alone["1"] == "Cannot tell: there are no plain networks here"
    assert alone["2"] == "Cannot tell: there are no plain networks here that match"
    flat = verdict(*sweep(degrades, depths=[20]))
    assert answers(flat)["1"] == "Cannot tell: the plain networks have results at one depth only (20)"
    assert answers(flat)["2"] == "Cannot tell: the networks have one depth in common"
    assert "Plain against residual at 20 layers: " in str(flat) and "Mending: " not in str(flat)
    assert answers(flat)["3"] == "Cannot tell: no network has results at two depths"
    assert "At 20 layers, plain-20 − ResNet-20" in str(flat)


def test_plain_110_that_diverges_is_the_result():
    states = {("plain", 110, seed): "diverged" for seed in range(5)}
    found = verdict(*sweep(degrades, depths=(20, 56, 110), states=states))
    assert answers(found)["1"] == "Yes" and answers(found)["2"] == "Yes"
    assert answers(found)["3 plain"] == "Cannot tell: runs that diverged have no such number"
    text = " ".join(str(found).split())
    assert "diverged (×): plain-110 seeds 0, 1, 2, 3, 4 at iteration 300." in text
    assert "with 5 seeds a run diverged, which counts for the difference" in text
    assert "plain-110 never (not in 5 of 5 runs)" in text


def test_absent_runs_are_named():
    states = {("plain", 56, 0): "failed", ("residual", 20, 1): "running", ("residual", 56, 2): "pending"}
    text = " ".join(str(verdict(*sweep(degrades, states=states))).split())
    assert "failed: plain-56 seed 0." in text
    assert "running: ResNet-20 seed 1 at iteration 300." in text
    assert "missing: ResNet-56 seed 2." in text
    assert "unpaired: seed 0: plain-56 failed" in text
    assert "17 of 20 runs done" in text


def test_the_table_has_a_row_for_every_comparison():
    table = verdict(*sweep(degrades, depths=(20, 56, 110))).table()
    assert set(table["question"]) == {"plain span", "plain step", "residual span", "residual step", "relief", "ends"}
    row = table[(table["question"] == "plain step") & (table["contrast"] == "plain-110 − plain-56")]
    assert row["measure"].tolist() == ["train", "gap", "test"]
    assert row["mean"].iloc[0] == pytest.approx(4.0, abs=0.2) and row["n"].tolist() == [5, 5, 5]


def test_json_has_no_number_that_is_none():
    states = {("plain", 56, 0): "diverged", ("plain", 20, 1): "failed"}
    text = render(verdict(*sweep(degrades, states=states)), "json")

    def refuse(word):
        raise AssertionError(f"{word} in JSON")

    (finding,) = json.loads(text, parse_constant=refuse)["findings"]
    rise = finding["contrasts"][0]
    assert rise["differences"][0] == "inf" and rise["lost_for"] == 1
    assert rise["absent"] == ["seed 1: plain-20 failed"]
    assert finding["convergence"]["lines"][0]["iterations"]["56"]["0"] == "never"


def test_strangers_names_are_escaped_in_html_and_tables_whole_in_markdown():
    found = verdict(*sweep(degrades, seeds=2, depths=(20, 56, 110), dataset="<b>|"))
    text = render(found, "html")
    assert "<b>" not in text and "&lt;b&gt;|" in text and text.count("<table") == text.count("</table>") == 4
    assert text.count("<details") == text.count("</details>") == 7
    lines = render(found, "md").splitlines()
    assert sum(line.startswith("|") for line in lines) > 10
    for before, line in zip(["", *lines], lines, strict=False):
        if line.startswith("|") and before.startswith("|"):
            assert line.count("|") == before.count("|")


def test_text_fits_eighty_columns_with_whole_words():
    frames = sweep(degrades, depths=(20, 56, 110), dataset="a_data_set_with_a_long_name", shortcut="projection")
    markdown, text = (render(verdict(*frames), fmt).replace("=", "") for fmt in ("md", "text"))
    assert max(map(len, text.splitlines())) <= 80
    assert set(text.split()) <= set(markdown.replace("|", " ").replace("*", " ").split())
