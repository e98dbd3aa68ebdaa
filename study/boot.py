"""Start Python for a module of this package, with the code that the parent process runs.

    python -P .../study/boot.py study.launch.local.worker cpu 0

calls that module's `main`. There `study` is the package around this file, whatever else has that name.
"""

from __future__ import annotations

import os
import site
import sys
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path


def command(module: str, *arguments: str) -> list[str]:
    """The command line that starts a module of this package; run it in `environment()`."""
    return [sys.executable, "-P", str(Path(__file__).absolute()), module, *arguments]


def environment() -> dict[str, str]:
    """The environment of a Python that imports what this process can import, and nothing from the working directory."""
    named = [] if sys.flags.ignore_environment else os.environ.get("PYTHONPATH", "").split(os.pathsep)
    path = dict.fromkeys(_elsewhere([*named, *sys.path]))
    return {**os.environ, "PYTHONSAFEPATH": "1", "PYTHONPATH": os.pathsep.join(path)}


def isolate() -> None:
    """Remove from `sys.path` what Python adds for a script: its folder or the working directory."""
    if not sys.flags.safe_path:
        del sys.path[0]
    sys.path[:] = _elsewhere(sys.path)


def _elsewhere(path: list[str]) -> list[str]:
    """The entries of a path without the working directory, which an empty entry means too."""
    installed = {*site.getsitepackages(), site.getusersitepackages()}
    return [entry for entry in path if entry in installed or (entry and not _is_here(Path(entry)))]


def _is_here(folder: Path) -> bool:
    return folder.exists() and folder.samefile(os.curdir)


def _pin() -> None:
    """Make the package around this file `study`."""
    spec = spec_from_file_location("study", Path(__file__).absolute().with_name("__init__.py"))
    assert spec is not None and spec.loader is not None
    sys.modules["study"] = package = module_from_spec(spec)
    spec.loader.exec_module(package)


if __name__ in ("__main__", "__mp_main__"):  # the latter in processes that multiprocessing spawns
    _pin()
if __name__ == "__main__":
    del sys.argv[0]
    import_module(sys.argv[0]).main()
