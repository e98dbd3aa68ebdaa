"""What is printed fits a narrow terminal: nothing is cut, and no word is split."""

from __future__ import annotations

from pathlib import Path

from study.launch.status import picture, report
from study.store.layout import SweepFiles

MESSAGE = "no step for 12 min; if it hangs, end process 4711 on n1: the same sweep goes on where its checkpoint is"


def test_columns_that_matter_least_are_left_out_and_messages_continue_below(trained: Path) -> None:
    records = report(SweepFiles(trained.parent, "tiny"))
    records[1] |= {"images_per_second": 1234.5, "seconds_left": 83.0, "host": "n1", "job": "17_3", "message": MESSAGE}
    whole, narrow = (picture(records, width).plain for width in (200, 50))
    assert whole.splitlines()[0].split() == [
        "run", "state", "iteration", "error", "%", "images/s", "left", "where", "job", "attempts", "message"
    ]  # fmt: skip
    assert narrow.splitlines()[0].split() == ["run", "state", "iteration", "error", "%", "left"]
    assert max(map(len, narrow.splitlines())) <= 50
    assert " ".join(narrow.split()).count(MESSAGE) == 1 and MESSAGE in whole.splitlines()[2]
    assert narrow.endswith("4 runs: 4 done") and len(picture(records, height=2).plain.splitlines()) == 1
