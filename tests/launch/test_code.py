import json
import shutil
from pathlib import Path

import pytest

import study
from study.errors import StudyError
from study.launch.slurm.code import copy
from tests.helpers import python


def test_python_imports_the_copied_code(tmp_path):
    code = copy(tmp_path / "code")
    probe = "import study, study.launch.sweep, study.config.recipes as r; print(study.__file__, r.names())"
    said = python(probe, PYTHONPATH=str(code))
    assert said.startswith(str(code)) and "he2015_cifar" in said
    assert set(json.loads((code / "commit.json").read_text())) == {"commit", "dirty", "sha256"}
    package = Path(study.__file__).parent
    copied = {path.relative_to(code / "study") for path in (code / "study").rglob("*") if path.is_file()}
    assert {path.suffix for path in copied} <= {".py", ".yaml"}
    assert {path.relative_to(package) for path in package.rglob("*.py")} <= copied


def test_equal_code_is_copied_once(tmp_path):
    first = copy(tmp_path)
    assert copy(tmp_path) == first and list(tmp_path.iterdir()) == [first]
    edited = tmp_path / "edited"
    shutil.copytree(first, edited)
    (edited / "study/errors.py").write_text((edited / "study/errors.py").read_text() + "# edited\n")
    probe = f"from pathlib import Path; from study.launch.slurm.code import copy; print(copy(Path({str(tmp_path)!r})))"
    assert python(probe, PYTHONPATH=str(edited)).strip() not in ("", str(first))


@pytest.mark.parametrize("how", ["changed", "gone", "added", "beside it", "linked", "compiled"])
def test_a_changed_copy_of_the_code_is_refused(tmp_path, how):
    code = copy(tmp_path / "results")
    module = code / "study" / "errors.py"
    cached = code / "study" / "__pycache__" / "errors.cpython-311.pyc"
    evil = {"changed": module, "added": code / "study" / "more.py", "beside it": code / "torch.py", "compiled": cached}
    if how == "gone":
        module.unlink()
    elif how == "linked":
        module.rename(tmp_path / "elsewhere.py")
        module.symlink_to(tmp_path / "elsewhere.py")
    else:
        evil[how].parent.mkdir(exist_ok=True)
        evil[how].write_text("print('evil')")
    if how == "compiled":
        assert copy(tmp_path / "results") == code and not cached.exists()
        return
    with pytest.raises(StudyError, match="is not the code it is named for"):
        copy(tmp_path / "results")
