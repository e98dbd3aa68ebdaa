import os
import subprocess
import sys
import threading

import pytest

from study.store import files


def test_a_write_replaces_the_file_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "deep" / "file"
    files.write_bytes(path, b"old")
    files.write_bytes(path, b"new")
    assert path.read_bytes() == b"new" and os.listdir(path.parent) == ["file"]


def test_a_write_that_fails_keeps_the_old_content(tmp_path, monkeypatch):
    path = tmp_path / "file"
    files.write_bytes(path, b"old")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        files.write_bytes(path, b"new")
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["file"]


def test_a_reader_never_sees_half_a_file(tmp_path):
    path = tmp_path / "file"
    contents = [bytes([i]) * 200_000 for i in range(20)]
    files.write_bytes(path, contents[0])
    ended = threading.Event()

    def write():
        for content in contents:
            files.write_bytes(path, content)
        ended.set()

    threading.Thread(target=write).start()
    while not ended.is_set():
        assert path.read_bytes() in contents


def test_nan_is_refused_in_json(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.write_json(tmp_path / "x.json", {"loss": float("nan")})
    assert files.read_json(tmp_path / "x.json") is None


WRITE_AND_STOP = """
import os, sys, time
from pathlib import Path
from study.store import files
os.fsync = lambda descriptor: (print("written", flush=True), time.sleep(60))
files.write_bytes(Path(sys.argv[1]), b"x")
"""


def test_temporaries_of_dead_writers_are_removed(tmp_path):
    command = [sys.executable, "-c", WRITE_AND_STOP, str(tmp_path / "curves.parquet")]
    writer = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None and writer.stdout.readline() == "written\n"
    (left,) = os.listdir(tmp_path)
    files.sweep_away_temporaries(tmp_path)
    assert os.listdir(tmp_path) == [left] and left.startswith(".curves.parquet.") and left.endswith(".tmp")
    writer.kill()
    writer.communicate()
    files.sweep_away_temporaries(tmp_path)
    assert os.listdir(tmp_path) == []


def test_temporaries_of_unknown_writers_are_removed_when_held_or_old(tmp_path):
    mine = files.draft(tmp_path / "lease").name
    for name in (".lease.1-2-3-x.tmp", "..lease.1.tmp.2.tmp", ".points.1-2-3-x.tmp", mine, "curves.parquet"):
        (tmp_path / name).touch()
    files.sweep_away_temporaries(tmp_path)
    assert len(os.listdir(tmp_path)) == 5
    files.sweep_away_temporaries(tmp_path, held=True)
    assert sorted(os.listdir(tmp_path)) == sorted(["..lease.1.tmp.2.tmp", ".lease.1-2-3-x.tmp", mine, "curves.parquet"])
    for name in (".lease.1-2-3-x.tmp", "..lease.1.tmp.2.tmp", "curves.parquet"):
        os.utime(tmp_path / name, (0, 0))
    files.sweep_away_temporaries(tmp_path)
    assert sorted(os.listdir(tmp_path)) == sorted([mine, "curves.parquet"])


def test_changed_json_is_damaged(tmp_path):
    path = tmp_path / "x.json"
    files.write_json(path, {"loss": 0.1, "runs": {"ä": [1, None]}})
    assert files.read_json(path) == {"loss": 0.1, "runs": {"ä": [1, None]}}
    path.write_text(path.read_text().replace("0.1", "0.2"))
    with pytest.raises(files.DamagedError, match="does not match its checksum"):
        files.read_json(path)
    path.write_text('{"loss": 0.1}')
    assert files.read_json(path) == {"loss": 0.1}
    for text in ("", "[1]", '"x"', "[" * 100_000):
        path.write_text(text)
        with pytest.raises(files.DamagedError, match="is damaged"):
            files.read_json(path)


def test_a_line_after_a_torn_one_is_kept(tmp_path):
    path = tmp_path / "lines"
    files.append_line(path, {"a": 1})
    path.write_bytes(path.read_bytes() + b"\n")  # by another writer, which saw the line half written
    files.append_line(path, {"a": 2})
    assert files.examine_lines(path) == ([{"a": 1}, {"a": 2}], 0)
    path.write_bytes(path.read_bytes() + b'{"a": 3, "sha')
    files.append_line(path, {"a": 4})
    assert files.examine_lines(path) == ([{"a": 1}, {"a": 2}, {"a": 4}], 1)


def test_changed_or_foreign_lines_are_skipped(tmp_path):
    path, other = tmp_path / "one" / "lines", tmp_path / "two" / "lines"
    for i in range(3):
        files.append_line(path, {"from": i})
    path.write_text(path.read_text().replace('"from": 1', '"from": 7'))
    assert files.examine_lines(path) == ([{"from": 0}, {"from": 2}], 1)
    other.parent.mkdir()
    other.write_bytes(path.read_bytes())
    assert files.examine_lines(other) == ([], 3)
    path.write_text('{"from": 0}\n')  # of an earlier version
    assert files.examine_lines(path) == ([{"from": 0}], 0)


def test_lines_are_not_appended_through_a_link(tmp_path):
    (tmp_path / "outside").write_text("theirs\n")
    (tmp_path / "lines").symlink_to(tmp_path / "outside")
    with pytest.raises(files.WriteError, match="lines"):
        files.append_line(tmp_path / "lines", {"a": 1})
    assert (tmp_path / "outside").read_text() == "theirs\n"


def test_a_failed_write_names_the_file(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(files.WriteError) as caught:
        files.write_bytes(tmp_path / "file" / "below", b"x")
    assert str(caught.value) == f"{tmp_path / 'file' / 'below'}: File exists"
