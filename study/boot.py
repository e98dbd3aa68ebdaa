"""Starts Python for a module of this package, so that it runs the code that its parent runs.

    python -P .../study/boot.py study.launch.local.worker cpu 0

calls that module's `main`, in a process where `study` is the package that this file lies in, whatever else has that name.
"""

from __future__ import annotations

import os
import site
import sys
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path


def command(module: str, *arguments: str) -> list[str]:
    """The words that start a module of this package in a process of its own; give it `environment()`."""
    return [sys.executable, "-P", str(Path(__file__).absolute()), module, *arguments]


def environment() -> dict[str, str]:
    """The environment of a Python that imports what this process can import, and nothing from the working directory."""
    named = [] if sys.flags.ignore_environment else os.environ.get("PYTHONPATH", "").split(os.pathsep)
    path = dict.fromkeys(_elsewhere([*named, *sys.path]))
    return {**os.environ, "PYTHONSAFEPATH": "1", "PYTHONPATH": os.pathsep.join(path)}


def isolate() -> None:
    """Take off this process's path what Python put there for a script: the script's folder or the working directory."""
    if not sys.flags.safe_path:
        del sys.path[0]
    sys.path[:] = _elsewhere(sys.path)


def _elsewhere(path: list[str]) -> list[str]:
    """Of a path the entries that are not the working directory, for which an empty one stands."""
    installed = {*site.getsitepackages(), site.getusersitepackages()}
    return [entry for entry in path if entry in installed or (entry and not _is_here(Path(entry)))]


def _is_here(folder: Path) -> bool:
    return folder.exists() and folder.samefile(os.curdir)


def _pin() -> None:
    """Make `study` the package around this file."""
    spec = spec_from_file_location("study", Path(__file__).absolute().with_name("__init__.py"))
    assert spec is not None and spec.loader is not None
    sys.modules["study"] = package = module_from_spec(spec)
    spec.loader.exec_module(package)


if __name__ in ("__main__", "__mp_main__"):  # the latter in what multiprocessing spawns from such a process
    _pin()
if __name__ == "__main__":
    del sys.argv[0]
    import_module(sys.argv[0]).main()
