"""The throughput figure against the benchmark that it was drawn from."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from study.errors import StudyError
from study.plotting import throughput
from study.plotting.style import styled

from .benched import SPEEDS, bench
from .boxes import unreadable, written


def test_the_picture_shows_exactly_the_data() -> None:
    frame = bench()
    plot = throughput.plot(frame)
    axes = plot.figure.axes[0]
    keys = ["networks", "precision", "measure"]
    pd.testing.assert_series_equal(
        plot.data.set_index(keys)["images_per_second"].sort_index(),
        frame.set_index(keys)["images_per_second"].sort_index(),
    )
    drawn = {round(bar.get_y() + bar.get_height() / 2): bar.get_width() for bar in axes.patches}
    assert drawn == dict(zip(plot.data["row"], plot.data["images_per_second"], strict=True))
    labels = {round(text.get_position()[1]): text.get_text() for text in axes.get_yticklabels()}
    assert labels == dict(zip(plot.data["row"], plot.data["measure"], strict=True))


def test_the_numbers_beside_the_bars_are_those_of_the_rows() -> None:
    plot = throughput.plot(bench())
    texts = {(t.get_gid(), t.xy[1]): t.get_text() for t in plot.figure.axes[0].texts if t.get_gid() in throughput.HEADS}
    for row in plot.data.to_dict("records"):
        ratio = "–" if np.isnan(row["ratio_to_textbook"]) else f"{row['ratio_to_textbook']:.2f}"
        wanted = [f"{row['images_per_second']:,.0f}", ratio, f"{row['share_of_floor']:.0%}".replace("%", " %")]
        assert [texts[name, row["row"]] for name in throughput.HEADS] == wanted


def test_networks_and_precisions_are_sections_in_order() -> None:
    data = throughput.plot(bench()).data
    assert list(dict.fromkeys(data["section"])) == [
        "ResNet-20, fp32", "ResNet-20, bf16", "ResNet-56, fp32", "ResNet-56, bf16", "2 ResNet-20, fp32",
    ]  # fmt: skip
    assert data["measure"].head(5).tolist() == list(SPEEDS)


def test_the_ceiling_is_marked_or_pointed_to() -> None:
    plot = throughput.plot(bench())
    marks = [c for c in plot.figure.axes[0].collections if c.get_gid() == "ceiling"]
    assert len(marks) == 5
    np.testing.assert_allclose(marks[0].get_segments()[0][:, 0], 1100)
    far = throughput.plot(bench(ceiling=90_000.0)).figure.axes[0]  # as on a GPU
    assert "90,000 →" in [text.get_text() for text in far.texts]
    assert far.get_xlim()[1] < 2000 and not [c for c in far.collections if c.get_gid() == "ceiling"]


def test_the_machine_is_named() -> None:
    words = " ".join(text.get_text() for text in written(throughput.plot(bench()).figure))
    for said in (
        "Intel(R) Xeon(R) Processor",
        "2 threads",
        "torch 2.14.1",
        "2026-11-22 12:27",
        "medians over 25 rounds",
    ):
        assert said in words
    both = throughput.plot(pd.concat([bench(), bench(device="H100", threads=16)]))
    assert "several machines" in [text.get_text() for text in written(both.figure)]
    assert len(both.data) == 2 * len(bench()) and both.data["section"].str.contains("H100").sum() == len(bench())
    assert "Machine: several machines." in both.caption


def test_odd_values_and_ways_draw() -> None:
    frame = bench()
    frame.loc[0, "images_per_second"] = np.nan
    frame.loc[1, "images_per_second"] = np.inf
    frame.loc[2, ["share_of_floor", "ratio_to_textbook"]] = np.nan
    frame.loc[3, "measure"] = "magic"
    plot = throughput.plot(frame)
    assert len(plot.figure.axes[0].patches) == len(frame) - 2
    assert "magic" in set(plot.data["measure"])


def test_what_cannot_feed_it_is_refused() -> None:
    with pytest.raises(StudyError, match="the bench frame lacks precision"):
        throughput.plot(bench().drop(columns="precision"))
    with pytest.raises(StudyError, match="nothing to draw: the benchmark has no row"):
        throughput.plot(bench().iloc[:0])


@pytest.mark.parametrize("style", ["paper", "talk"])
@pytest.mark.parametrize("ceiling", [1100.0, 90_000.0])
def test_no_text_overlaps_or_is_cut_off(style: str, ceiling: float) -> None:
    with styled(style):
        assert unreadable(throughput.plot(bench(ceiling=ceiling)).figure) == []
