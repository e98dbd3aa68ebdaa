"""Copy the code beside the results, so that a job runs it as submitted, even if it is edited later."""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path

from study.errors import StudyError
from study.launch.attempt.provenance import code_digest, commit, sources
from study.store.files import write_json


def copy(folder: Path) -> Path:
    """Copy this package, as it is on disk, below `folder`; returns the path to put first into PYTHONPATH.

    The copy is named by a hash of its content, so that submissions of the same code share one. `commit.json` beside it
    records the commit and a hash of the uncommitted changes. Raises StudyError for a copy that does not match its name: it
    is damaged, or came with results from a stranger.
    """
    contents = sources()
    target = folder / code_digest(contents)
    if target.exists():
        if not _holds(target, contents):
            raise StudyError(f"{target}: is not the code it is named for; remove that folder")
        return target
    draft = folder / f".{target.name}.{uuid.uuid4().hex}.tmp"
    for name, content in contents.items():
        path = draft / "study" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    head, dirty = commit()
    write_json(draft / "commit.json", {"commit": head, "dirty": dirty})
    try:
        draft.rename(target)
    except OSError:  # another submission of the same code was quicker
        shutil.rmtree(draft, ignore_errors=True)
    return target


def _holds(target: Path, contents: dict[Path, bytes]) -> bool:
    """Whether a copy has these files of the package and nothing else that Python might run."""
    for compiled in target.rglob("__pycache__"):
        shutil.rmtree(compiled, ignore_errors=True)
    found = {path for path in target.rglob("*") if not path.is_dir() or path.is_symlink()}
    wanted = {target / "study" / name: content for name, content in contents.items()}
    same = found - {target / "commit.json"} == wanted.keys() and not any(path.is_symlink() for path in found)
    return same and all(path.read_bytes() == content for path, content in wanted.items())
