"""The table of final errors, and tables as text."""

import shutil
import subprocess
from io import StringIO

import numpy as np
import pandas as pd
import pytest

from study.errors import StudyError
from study.plotting import table
from study.plotting.tables.errors import errors, final_errors
from study.plotting.tables.render import render

from . import variants
from .conftest import cut, run_id
from .conftest import study as make


def test_statistics_over_seeds(small):
    curves, runs = small
    made = final_errors(curves, runs)
    assert len(made) == 4 and list(made["n"]) == [3] * 4
    for point, row in made.iterrows():
        for split in ("train_clean", "test"):
            last = curves[(curves["point_id"] == point) & (curves["split"] == split) & (curves["iteration"] == 400)]
            values = last["error"].to_numpy()
            got = [row[f"{split}_{name}"] for name in ("mean", "std", "median")]
            np.testing.assert_allclose(got, [values.mean(), values.std(ddof=1), np.median(values)])


def test_errors_of_averaged_weights_have_columns_if_there_are_any(small):
    curves, runs = small
    averaged = curves[curves["split"] == "test"].assign(split="test_ema", error=lambda frame: frame["error"] / 2)
    before, made = errors(curves, runs), errors(pd.concat([curves, averaged]), runs)
    np.testing.assert_allclose(made["test_ema_mean"], before["test_mean"] / 2)
    assert list(made.drop(columns=["test_ema_mean", "test_ema_std"])) == list(before)
    assert "test error, EMA (%)" in render(made) and "EMA" not in render(before)


def test_runs_without_a_final_value_are_counted(absences):
    frames = cut(absences, run_id(absences[1], "plain", 20, 2), "failed", 500)
    made = final_errors(*frames).set_index(["network", "depth"])
    counts = made[["n", "n_diverged", "n_failed", "n_missing"]]
    assert counts.loc[("plain", 56)].tolist() == [4, 1, 0, 0]
    assert counts.loc[("plain", 20)].tolist() == [4, 0, 1, 0]
    assert counts.loc[("residual", 56)].tolist() == [4, 0, 0, 1]
    assert counts.loc[("residual", 20)].tolist() == [4, 0, 0, 1]  # running: nothing final yet


def test_a_point_without_any_finished_run_keeps_its_row(small):
    frames = small
    for seed in range(3):
        frames = cut(frames, run_id(small[1], "plain", 56, seed), "pending", 0)
    row = final_errors(*frames).set_index(["network", "depth"]).loc[("plain", 56)]
    assert (row["n"], row["n_missing"]) == (0, 3) and np.isnan(row["test_mean"])


def test_only_fields_that_vary_are_columns():
    a, b = (make(seeds=1, iterations=400, dataset=name) for name in ("cifar10", "digits"))
    both = final_errors(pd.concat([a[0], b[0]]), pd.concat([a[1], b[1]]))
    assert list(both.columns[:4]) == ["dataset", "network", "depth", "n"]
    one = final_errors(*a)
    assert list(one.columns[:3]) == ["network", "depth", "n"]
    assert one["test_std"].isna().all() and one["test_mean"].notna().all()  # of one seed


TABLE = pd.DataFrame(
    {
        "dataset": ["a_b & 5% {x} ~^\\ $#<>|", "c"],
        "n": [3, 1],
        "test_mean": [8.754, 9.0],
        "test_std": [0.163, np.nan],
        "test_median": [8.7, 9.0],
        "n_failed": [0, 1],
        "n_missing": [0, 0],
    }
)


def test_latex_has_groups_of_columns_and_is_escaped():
    assert render(TABLE, "latex").splitlines() == [
        r"\begin{tabular}{lrrrr}", r"\toprule",
        r"\multicolumn{2}{c}{} & \multicolumn{2}{c}{test error (\%)} &  \\",
        r"dataset & n & mean & median & failed \\", r"\midrule",
        r"a\_b \& 5\% \{x\} \textasciitilde \textasciicircum \textbackslash \space \$\#\textless{}\textgreater{}| & 3 & "
        r"8.75 $\pm$ 0.16 & 8.70 & 0 \\",
        r"c & 1 & 9.00 & 9.00 & 1 \\", r"\bottomrule", r"\end{tabular}",
    ]  # fmt: skip


def test_markdown_and_html_are_escaped_and_text_is_aligned():
    page = render(TABLE.assign(dataset=["<b>", "c"]), "html")
    assert "&lt;b&gt;" in page and "<b>" not in page and page == render(TABLE.assign(dataset=["<b>", "c"]), "html")
    head, rule, first, second = render(TABLE, "md").splitlines()
    assert head == "| dataset | n | test error (%) | test error, median (%) | failed |"
    assert rule == "| --- | ---: | ---: | ---: | ---: |"
    assert r"$#<>\| | 3 | 8.75 ± 0.16 | 8.70 | 0 |" in first
    assert second == "| c | 1 | 9.00 | 9.00 | 1 |"
    head, first, second = render(TABLE, "text").splitlines()
    assert len(head) == len(first) == len(second)
    with pytest.raises(StudyError, match="unknown table format 'latx'; did you mean 'latex'"):
        render(TABLE, "latx")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex (Debian: texlive-latex-recommended)")
def test_latex_compiles_within_the_text(small, tmp_path):
    hostile = pd.DataFrame({"dataset": ["– ± − × → ≥ [1]", "[" + TABLE["dataset"][0]], "n": [1, 2]})
    hostile.attrs["notes"] = ["100 % \\input{secret}\n\\nonsense"]
    papers = [table("table6", *make(seeds=2, evaluations=8)), table("i16_table1", *variants.shortcuts())]
    tables = [render(made, "latex") for made in (TABLE, errors(*small), *papers, hostile)]
    text = "\n\n".join(f"\\begin{{table}}\n{made}\\end{{table}}" for made in tables)
    head = "\\documentclass{article}\\usepackage{booktabs,graphicx}\\begin{document}"
    (tmp_path / "t.tex").write_text(f"{head}{text}\\end{{document}}", "utf-8")
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "t.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "Overfull" not in done.stdout, done.stdout[-2000:]


def test_csv_is_the_table_unrounded(small):
    made = final_errors(*small)
    read = pd.read_csv(StringIO(render(made, "csv")))
    pd.testing.assert_frame_equal(read, made.reset_index(drop=True), check_dtype=False, rtol=1e-15)


def test_the_table_of_cures_has_shares_and_costs():
    frames = variants.cures()
    made = table("cures", *frames).set_index("cure")
    assert list(made.index) == ["ResNet", "ResNet, rezero", "plain", "plain, no norm", "ResNet, no norm"]
    assert made["n"].to_list() == [4, 4, 4, 4, 0]
    assert made.loc["plain, no norm", "answer"] == "does not train: at chance at 20 and 56"
    assert made.loc["ResNet, no norm", "answer"] == "does not train: diverged at 20 and 56"
    assert made.loc["ResNet", "parameters (M)"] == pytest.approx(0.85, abs=0.01)  # He et al. 2015, table 6
    assert made.loc["ResNet", "images/s"] == 128 / 0.02
    ends = errors(*frames).query("depth == 56 and norm == 'batch'").groupby(["network", "shortcut"], dropna=False)
    ends = ends["train_clean_mean"].first()
    shallow = errors(*frames).query("depth == 20 and network == 'plain' and norm == 'batch'")["train_clean_mean"].item()
    plain = ends.loc["plain"].item()
    share = 100 * (plain - ends.loc[("residual", "A")]) / (plain - shallow)
    assert made.loc["ResNet", "taken away at 56 (%)_mean"] == round(share)
    text = render(table("cures", *frames), "text")
    assert "taken away at 56 (%)" in text and "Holm" in text
    with pytest.raises(StudyError, match="no cures to compare: it takes the usual plain and residual networks"):
        table("cures", *(frame[(frame["norm"] == "batch") & (frame["shortcut"] != "rezero")] for frame in frames))
