"""The page as text and data: it holds what was measured, escaped, and the same whatever the order of rows."""

import base64
import gzip
import hashlib
import io
import json
import re

import numpy as np
import pandas as pd
import pytest

from study.plotting.base.style import depth_colour
from study.reporting import curves, runs, surfaces
from study.reporting.evidence import Picture, pictures
from study.reporting.page import link, page, plotly
from tests.plotting.conftest import cut, run_id, study, with_absences
from tests.plotting.planes import four, together
from tests.plotting.planes import surface as plane

from .sweeps import HOSTILE, PICTURE, found, strangers, usual


def data(text):
    """What the page's scripts read."""
    block = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert block
    return json.loads(block[1])


@pytest.fixture(scope="module")
def whole():
    """The page of `usual`."""
    return page(usual(), {"degradation": PICTURE})


# -- the page ---------------------------------------------------------------------------------------------------------


def test_the_order_of_rows_does_not_matter(whole):
    read = usual().read
    (lines, known), (planes, _) = read("curves"), read("surfaces")
    turned = (lines.sample(frac=1, random_state=1), known.iloc[::-1], planes.sample(frac=1, random_state=1))
    assert page(found(*turned), {"degradation": PICTURE}) == whole


def test_nothing_of_a_stranger_is_markup():
    text = page(strangers(), {"degradation": PICTURE._replace(caption=HOSTILE, csv=HOSTILE.encode()), HOSTILE: HOSTILE})
    assert "<script>alert" not in text and "<img src=x" not in text
    assert text.count("</script>") == text.count("<script") == 3  # data, library, code
    assert any(HOSTILE in name for name in data(text)["curves"]["networks"])


def test_only_the_pages_own_scripts_are_allowed_by_hash(whole):
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', whole)
    code = re.search(r"<script>(.*?)</script>", whole, re.DOTALL)
    packed = re.search(r'id="library">(.*?)</script>', whole, re.DOTALL)
    assert policy and code and packed
    assert gzip.decompress(base64.b64decode(packed[1])).decode() == plotly()
    hashes = re.findall(r"sha256-([^&]*)&#39;", policy[1])
    digests = [hashlib.sha256(script.encode()).digest() for script in (code[1], plotly())]
    assert hashes == [base64.b64encode(digest).decode() for digest in digests]
    assert "default-src &#39;none&#39;" in policy[1] and "unsafe-eval" not in policy[1]


def test_a_sweep_without_curves_says_so():
    lines, known = study(seeds=1)
    text = page(found(lines.iloc[:0], known.assign(state="pending")), {})
    assert "nothing to draw: none of the 4 runs has been evaluated yet" in text
    assert "nothing to judge: none of the 4 runs has been evaluated yet" in text
    assert data(text)["curves"] is None and text.count('data-head="seed"') == 4
    assert "0 of 4 runs done; 4 pending" in text and len(text) < 100_000  # without plotly


def test_the_first_screen_has_headline_answers_and_commands(whole):
    text = whole.partition('<section id="curves">')[0]
    assert re.search(r'class="headline" dir="auto">56 plain layers end at [0-9.]+\u00a0% training error', text)
    asked = re.findall(r'<summary dir="auto">(\d)\. [^<]*<span class="answer">([^<]+)</span>', text)
    assert [number for number, _ in asked] == list("12345") and asked[0][1] == "Yes."
    assert '<code dir="auto">study sweep mine.yaml seed=0,1</code>' in text and "name: mine" in text
    assert '<code dir="auto">study report mine</code>' in text and "<dt>study</dt><dd>0.1.0;" in text
    downloads = re.findall(r'download="([^"]+)"', text)
    assert downloads == [
        "curves.parquet",
        "runs.parquet",
        "errors.csv",
        "errors.tex",
        "degradation.pdf",
        "degradation.csv",
    ]


def test_downloads_hold_the_data(whole):
    lines, _ = usual().read("curves")
    (uri,) = re.findall(r'href="data:application/vnd.apache.parquet;base64,([^"]+)" download="curves.parquet"', whole)
    read = pd.read_parquet(io.BytesIO(base64.b64decode(uri)))
    assert sorted(read["error"].dropna()) == sorted(lines["error"].dropna())
    large = link(b"x,y\n" + b"1,2\n" * 20_000, "degradation", "csv")
    assert large.file == "degradation.csv.gz"
    assert len(pd.read_csv(io.BytesIO(gzip.decompress(base64.b64decode(large.uri.partition(",")[2]))))) == 20_000
    assert link(b"a\n", "n", "csv")[1:] == ("n.csv", "n.csv, 1 kB")


def test_figures_and_reasons():
    text = page(found(*study(seeds=1)), {"degradation": PICTURE, "contours": "no <b> surface"})
    assert f'src="data:image/svg+xml;base64,{base64.b64encode(PICTURE.image).decode()}"' in text
    assert "Not drawn, and why (1)" in text and "no &lt;b&gt; surface" in text
    assert "<h3>Error over iterations</h3>" in text and '<p dir="auto">Of which runs.</p>' in text


@pytest.mark.slow
def test_every_figure_is_drawn_or_says_why_not():
    told = []
    every = pictures(found(*study(seeds=2, iterations=400, evaluations=8)), told.append)
    assert isinstance(every["degradation"], Picture) and b"<svg" in every["degradation"].narrow
    assert isinstance(every["contours"], str) and every["contours"].startswith("nothing to draw")
    assert len(told) == len(every) and told[0].startswith("drawing figure 1 of ")


# -- curves -----------------------------------------------------------------------------------------------------------


def points(made, quantity, mean=False):
    """(network, label, seed, split, iteration) -> value, of single seeds or of means."""
    return {
        (made["networks"][c["network"]], made["labels"][c["label"]]["text"], made["seeds"][c["seed"]],
         made["splits"][c["split"]]["name"], iteration): value
        for c in made["curves"] if (made["seeds"][c["seed"]] == "mean") == mean
        for iteration, value in zip(made["grids"][c["grid"]], c[quantity], strict=True)
    }  # fmt: skip


@pytest.mark.parametrize("quantity", ["error", "loss"])
def test_every_point_of_every_curve_is_there(quantity):
    lines, known = with_absences()
    made = curves.payload(lines, known)
    there = lines[lines["error"].notna()]
    keys = ["network", "depth", "seed", "split", "iteration"]
    expected = there.astype({"depth": str, "seed": str}).set_index(keys)[quantity].to_dict()
    assert points(made, quantity) == pytest.approx(expected, rel=1e-4)
    assert [note.partition(":")[0] for note in made["notes"]] == ["diverged (×)", "running", "missing"]
    assert sum(c["lost"] for c in made["curves"]) == 3
    done = there[there["state"] == "done"].astype({"depth": str}).assign(seed="mean")
    assert points(made, quantity, mean=True) == pytest.approx(done.groupby(keys)[quantity].mean().to_dict(), rel=1e-4)


def test_too_many_points_are_thinned_and_of_too_many_curves_the_means_stay():
    lines, known = study(seeds=2)
    whole = curves.payload(lines, known)
    made = curves.payload(lines, known, most=len(lines) // 2)
    assert set(points(made, "error").items()) < set(points(whole, "error").items())
    assert all(made["grids"][c["grid"]][-1] == 64_000 for c in made["curves"])
    assert made["notes"][-1].endswith("one in 3 is drawn here, and the last of each curve") and not whole["notes"]
    made = curves.payload(*study(seeds=3), most_curves=20)
    assert made["seeds"] == ["mean"] and len(made["curves"]) == 12
    assert made["notes"] == [
        "of 48 curves, 12 are shown here, means in place of single seeds; `study figure` draws all"
    ]
    made = curves.payload(*study(seeds=1), most_curves=7)
    assert len(made["curves"]) == 7 and made["notes"][-1].startswith("of 12 curves, 7 are shown here, ")


def test_infinite_losses_are_null():
    lines, known = study(seeds=1)
    lines.loc[lines.index[:3], "loss"] = [np.inf, -np.inf, np.nan]
    values = points(curves.payload(lines, known), "loss").values()
    assert sum(value is None for value in values) == 3
    json.dumps(list(values), allow_nan=False)


def test_colours_are_the_figures_and_tell_networks_of_one_depth_apart():
    made = curves.payload(*study(depths=(8, 20, 56, 110), seeds=1))
    assert [label["colour"] for label in made["labels"]] == [depth_colour(depth) for depth in (8, 20, 56, 110)]
    two = [study(depths=(110,), networks=("residual",), seeds=1, shortcut=kind) for kind in "AB"]
    made = curves.payload(*(pd.concat(frames, ignore_index=True) for frames in zip(*two, strict=True)))
    assert [label["text"] for label in made["labels"]] == ["110 A", "110 B"]
    assert len({label["colour"] for label in made["labels"]}) == 2


def test_conditions_stay_apart():
    two = [study(seeds=1, dataset=name) for name in ("cifar10", "svhn")]
    made = curves.payload(*(pd.concat(frames, ignore_index=True) for frames in zip(*two, strict=True)))
    assert made["conditions"] == ["cifar10", "svhn"] and {c["condition"] for c in made["curves"]} == {0, 1}


# -- surfaces ---------------------------------------------------------------------------------------------------------


def test_a_surface_is_what_was_measured():
    frame = together(plane("residual", 20, shape=(7, 5)), plane("plain", 56, shape=(7, 5)))
    made = surfaces.payload(frame)
    assert made and [one["title"] for one in made["surfaces"]] == ["plain-56", "ResNet-20"]
    for one, network in zip(made["surfaces"], ("plain", "residual"), strict=True):
        for name, values in one["values"].items():
            split, _, of = name.partition("_")
            for row in frame[(frame["network"] == network) & (frame["split"] == split)].to_dict("records"):
                value = values[row["j"]][row["i"]]
                assert value == (pytest.approx(row[of], rel=1e-3) if np.isfinite(row[of]) else None)
                assert one["alpha"][row["i"]] == pytest.approx(row["alpha"], abs=1e-4)
                assert one["beta"][row["j"]] == pytest.approx(row["beta"], abs=1e-4)
    json.dumps(made, allow_nan=False)


def test_missing_points_are_gaps_lines_no_surfaces_and_too_many_points_left_out():
    frame = plane("residual", 20, shape=(5, 5))
    made = surfaces.payload(frame[(frame["i"] != 2) | (frame["j"] != 3)].sample(frac=1, random_state=0))
    assert made
    values = np.array(made["surfaces"][0]["values"]["train_loss"], dtype=object)
    assert [tuple(place) for place in np.argwhere(values == None)] == [(3, 2)]  # noqa: E711
    assert surfaces.payload(plane(shape=(11, 1))) is None and surfaces.payload(pd.DataFrame()) is None
    made = surfaces.payload(four(shape=(5, 5)), most=60)
    assert made and [one["title"] for one in made["surfaces"]] == ["plain-20", "plain-56"]
    assert made["notes"] == ["too many points, left out here: ResNet-20; ResNet-56"]


def test_surfaces_of_one_network_are_told_apart():
    made = surfaces.payload(together(*(plane(seed=seed, number=n, bn=bn, shape=(3, 3))
                                       for seed in (0, 1) for n in (0, 1) for bn in ("frozen", "batch"))))  # fmt: skip
    assert made and len({one["title"] for one in made["surfaces"]}) == 8
    assert "plain-20 · seed 1 · plane 0 · BN batch" in {one["title"] for one in made["surfaces"]}


# -- runs -------------------------------------------------------------------------------------------------------------


def test_runs_are_listed_with_what_differs_and_what_they_share():
    lines, known = with_absences()
    known = known.assign(seconds=[None, *range(1, len(known))], started=pd.Timestamp("2026-01-02 03:04:05", tz="UTC"))
    known["recipe.schedule.at"] = [[32_000, 48_000]] * len(known)
    made = runs.listed(lines, known)
    common = dict(made["common"])
    assert common["recipe.schedule.at"] == "32000, 48000" and common["started"] == "2026-01-02 03:04:05 UTC"
    assert common["train_subset"] == "–" and common["family.width"] == "1"
    names = [name for name, _ in made["heads"]]
    assert names == ["run", "seed", "state", "iteration", "training error (%)", "test error (%)", "training time"]
    rows = [dict(zip(names, row, strict=True)) for row in made["rows"]]
    assert len(rows) == len(known)
    never = next(row for row in rows if row["state"][1] == "pending")
    assert never["training error (%)"] == ("", "–")
    last = lines.query("network == 'plain' and depth == 20 and seed == 0 and split == 'test'").iloc[-1]
    assert rows[0]["test error (%)"] == (pytest.approx(last["error"]), f"{last['error']:.2f}")


def test_the_state_and_the_facts():
    frames = study(seeds=6, iterations=400, evaluations=8)
    _, known = cut(frames, run_id(frames[1], "plain", 56, 1), "diverged", 100)
    assert runs.state_line(known) == "23 of 24 runs done; 1 diverged"
    told = dict(runs.facts(known.assign(seconds=60.0, commit="a" * 40)))
    assert told["data"] == "cifar10" and told["seeds"] == "0, 1, 2, 3 and 2 more"
    assert told["training time"] == "24:00 in all" and told["commit"] == "a" * 12 and "device" not in told
