from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import study
from study.launch import snapshot


def test_the_copy_is_what_python_imports_from_it(tmp_path: Path) -> None:
    code = snapshot.take(tmp_path / "code")
    probe = "import study, study.launch.sweep, study.spec.recipes as r; print(study.__file__, r.names())"
    done = subprocess.run(
        [sys.executable, "-c", probe], env={**os.environ, "PYTHONPATH": str(code)}, capture_output=True, text=True
    )
    assert done.stdout.startswith(str(code)) and "he2015_cifar" in done.stdout, done.stderr
    assert set(json.loads((code / "commit.json").read_text())) == {"commit", "dirty"}


def test_the_same_code_is_kept_once_and_other_code_beside_it(tmp_path: Path) -> None:
    first = snapshot.take(tmp_path)
    assert snapshot.take(tmp_path) == first and list(tmp_path.iterdir()) == [first]
    copy = tmp_path / "edited"
    copy.mkdir()
    for path in first.rglob("*.py"):
        target = copy / path.relative_to(first)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    (copy / "study/errors.py").write_text((copy / "study/errors.py").read_text() + "# edited\n")
    probe = (
        f"from pathlib import Path; from study.launch import snapshot; print(snapshot.take(Path({str(tmp_path)!r})))"
    )
    env = {**os.environ, "PYTHONPATH": str(copy)}
    done = subprocess.run([sys.executable, "-c", probe], env=env, capture_output=True, text=True)
    assert done.stdout.strip() not in ("", str(first)), done.stderr


def test_only_code_is_copied(tmp_path: Path) -> None:
    code = snapshot.take(tmp_path)
    package = Path(study.__file__).parent
    copied = {path.relative_to(code / "study") for path in (code / "study").rglob("*") if path.is_file()}
    assert {path.suffix for path in copied} <= {".py", ".yaml"}
    assert {path.relative_to(package) for path in package.rglob("*.py")} <= copied
