from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from study.errors import StudyError
from study.store import files


def test_a_write_replaces_and_leaves_nothing_beside(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file"
    files.write_bytes(path, b"old")
    files.write_bytes(path, b"new")
    assert path.read_bytes() == b"new" and os.listdir(path.parent) == ["file"]


def test_a_write_that_fails_keeps_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    files.write_bytes(path, b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        files.write_bytes(path, b"new")
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["file"]


def test_a_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    contents = [bytes([i]) * 200_000 for i in range(20)]
    files.write_bytes(path, contents[0])
    ended = threading.Event()

    def write() -> None:
        for content in contents:
            files.write_bytes(path, content)
        ended.set()

    threading.Thread(target=write).start()
    while not ended.is_set():
        assert path.read_bytes() in contents


def test_json_refuses_what_is_not_json(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.write_json(tmp_path / "x.json", {"loss": float("nan")})
    assert files.read_json(tmp_path / "x.json") is None


def test_a_last_line_cut_short_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    files.append_line(path, {"a": 1})
    files.append_line(path, {"a": 2})
    with path.open("a") as file:
        file.write('{"a": ')
    assert files.read_lines(path) == [{"a": 1}, {"a": 2}]


def test_appends_of_many_threads_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    threads = [
        threading.Thread(target=lambda i=i: [files.append_line(path, {"i": i, "x": "y" * 500}) for _ in range(20)])
        for i in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(files.read_lines(path)) == 160


def test_temporaries_of_the_killed_go_but_nobodys_claim(tmp_path: Path) -> None:
    for name in (".curves.parquet.abc.tmp", ".lease.abc.tmp", "curves.parquet"):
        (tmp_path / name).touch()
    files.sweep_away_temporaries(tmp_path)
    assert sorted(os.listdir(tmp_path)) == [".lease.abc.tmp", "curves.parquet"]


def test_a_damaged_json_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{half")
    with pytest.raises(StudyError, match=r"x\.json: is damaged"):
        files.read_json(tmp_path / "x.json")


def test_what_asks_for_a_lease_is_never_swept_away(tmp_path: Path) -> None:
    for name in (".lease.1.tmp", "..lease.1.tmp.2.tmp", ".points.1.tmp"):
        (tmp_path / name).touch()
    files.sweep_away_temporaries(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["..lease.1.tmp.2.tmp", ".lease.1.tmp"]
