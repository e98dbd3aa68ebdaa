"""The code of a submission, kept beside its results: a job runs what was submitted, whatever is edited afterwards."""

from __future__ import annotations

import hashlib
import shutil
import uuid
from pathlib import Path

import study
from study.launch.provenance import commit
from study.store.files import write_json

KINDS = (".py", ".yaml")


def take(folder: Path) -> Path:
    """Copy this package, as it is on disk, below `folder`; returns the path to put first into PYTHONPATH.

    The copy's name is a hash of its content, so that submissions of the same code share one. The commit and the hash
    of the uncommitted changes are recorded beside it, in `commit.json`.
    """
    package = Path(study.__file__).parent
    files = sorted(path for path in package.rglob("*") if path.suffix in KINDS and path.is_file())
    contents = {path.relative_to(package): path.read_bytes() for path in files}
    digest = hashlib.sha256()
    for name, content in contents.items():
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    target = folder / digest.hexdigest()[:12]
    if (target / "commit.json").exists():
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
