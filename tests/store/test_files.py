import os

import pytest

from study.store import files


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


def test_changed_json_is_damaged_and_nan_is_refused_in_it(tmp_path):
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
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.write_json(tmp_path / "nan.json", {"loss": float("nan")})
    assert files.read_json(tmp_path / "nan.json") is None


def test_torn_changed_or_foreign_lines_are_skipped_and_those_after_them_kept(tmp_path):
    path = tmp_path / "lines"
    files.append_line(path, {"a": 1})
    path.write_bytes(path.read_bytes() + b"\n")  # by another writer, which saw the line half written
    files.append_line(path, {"a": 2})
    assert files.examine_lines(path) == ([{"a": 1}, {"a": 2}], 0)
    path.write_bytes(path.read_bytes() + b'{"a": 3, "sha')
    files.append_line(path, {"a": 4})
    assert files.examine_lines(path) == ([{"a": 1}, {"a": 2}, {"a": 4}], 1)
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
