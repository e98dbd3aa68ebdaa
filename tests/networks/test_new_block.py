"""docs/new-block.md, done as it says: a class, a line, a sweep."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import study

PACKAGE = Path(study.__file__).parent
PAGE = (PACKAGE.parent / "docs" / "new-block.md").read_text("utf-8")
COUNT = """
from study.networks.network import structure
from study.networks.shape import layers
from tests.helpers import make_spec
spec = make_spec(block="squeeze_excitation", depth=14)
built = sum(p.numel() for p in structure(spec, 3, 10).parameters())
assert built == sum(layer.parameters for layer in layers(spec))
print(built)
from study.cli.app import main
main()
"""


def block_of(mark):
    """The code below a mark of the page."""
    found = re.search(rf"<!-- {re.escape(mark)} -->\n```\w+\n(.*?)```", PAGE, re.S)
    assert found, f"docs/new-block.md has no code marked '{mark}'"
    return found[1]


@pytest.mark.slow
def test_documented_block_can_be_added_and_swept(tmp_path):
    package = tmp_path / "study"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    (package / "networks" / "squeeze_excitation.py").write_text(block_of("file: study/networks/squeeze_excitation.py"))
    registry = package / "config" / "registry.py"
    line = 'BLOCKS = Registry("block", "block", [\n'
    assert line in registry.read_text()
    registry.write_text(registry.read_text().replace(line, line + block_of("line: BLOCKS").rstrip() + ",\n"))
    (tmp_path / "mine.yaml").write_text(block_of("file: sweeps/squeeze_excitation.yaml"))
    shorter = ["depth=8", "seed=0", "recipe.iterations=20", "recipe.evaluate_every=20"]
    # The tests' own helpers come from here, the package from there.
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{PACKAGE.parent}", "STUDY_EXECUTOR": "debug"}

    def python(*words):
        done = subprocess.run(
            [sys.executable, *words], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    built, described = python("-c", COUNT, "describe", "block=squeeze_excitation", "depth=14").split("\n", 1)
    assert f"{int(built):,} parameters" in described
    assert "[3x3, 64; 3x3, 64; pooled, 4; pooled, 64] x 2 /2" in described
    out = python("-m", "study", "sweep", "mine.yaml", *shorter)
    assert "squeeze_excitation" in out and out.count("ResNet ") == 2
    assert len(list((tmp_path / "results").glob("*/runs/*/done.json"))) == 4
    verdict = python("-m", "study", "verdict", "squeeze_excitation")
    assert "squeeze_excitation" in verdict
