"""The code of a component: a file of the user's, and what it imports from its own folder or distribution."""

from __future__ import annotations

import ast
import hashlib
import re
import sys
from collections.abc import Collection, Iterator
from contextlib import suppress
from importlib.machinery import PathFinder
from pathlib import Path

from study.errors import StudyError

MAX_BYTES = 1 << 20


class Code:
    """A module, and the modules beside it that its import statements name, and theirs in turn, as they are on disk.

    The standard library and installed packages come before files of the same name. Raises StudyError for a file that
    cannot be read.
    """

    def __init__(self, path: Path, name: str = "", version: str = "", packages: Collection[str] | None = None) -> None:
        """Read the files. Without a `name`, `path` is a file of its own; `packages` are those of its distribution."""
        self.path, self._packages = path, packages
        self.root = path.parents[name.count(".") + (path.name == "__init__.py")] if name else path.parent
        if re.search(r"-[0-9a-f]{12}$", path.stem) and path.with_suffix("").is_dir():  # one of `copies`
            self.root = path.with_suffix("")
        self.modules = {name: (path, _read(path))}
        """Path and content by dotted name, the module itself first. A folder without `__init__.py` has an empty one."""
        names = [name]
        for module in names:  # which grows
            names += [found for found in self._imported(module) if found not in names]
        code = [f"\0{name}\0{len(code)}\0".encode() + code for name, (_, code) in sorted(self.modules.items())[1:]]
        own = version.encode() + self.modules[name][1]
        self.digest = hashlib.sha256(b"".join([own, *code])).hexdigest()[:12]
        """12 hex digits of the SHA-256; where nothing else is imported, that of the file."""

    @property
    def copies(self) -> dict[str, bytes]:
        """What to keep in a folder, so that the code can be imported from there; the file itself first."""
        (_, main), *others = self.modules.values()
        stem = f"{self.path.stem}-{self.digest}"
        return {f"{stem}.py": main} | {f"{stem}/{path.relative_to(self.root)}": code for path, code in others}

    def beside(self, name: str) -> Path | None:
        """The file of a module beside this one; None for a module from elsewhere."""
        top, *_ = parts = name.split(".")
        if self._packages is None:
            installed = PathFinder.find_spec(top, [entry for entry in sys.path if entry.endswith("-packages")])
            if top in {"study", *sys.stdlib_module_names} or (installed and installed.origin):
                return None
        elif top not in self._packages:
            return None
        path = self.root.joinpath(*parts)
        return next((file for file in (path / "__init__.py", path.with_suffix(".py")) if file.is_file()), None)

    def _imported(self, module: str) -> Iterator[str]:
        """Read the modules beside this one that a module imports, with the packages that they are in."""
        for name in _named(module, *self.modules[module]):
            parts = name.split(".")
            names = [".".join(parts[:count]) for count in range(1, len(parts) + 1)]
            while names and self.beside(names[-1]) is None:
                names.pop()
            for name in names:
                path = self.beside(name)
                empty = self.root.joinpath(*name.split("."), "__init__.py"), b""
                self.modules.setdefault(name, (path, _read(path)) if path else empty)
                yield name


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            code = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise StudyError(f"use: {path}: {error.strerror or error}") from None
    if len(code) > MAX_BYTES:
        raise StudyError(f"use: {path}: longer than {MAX_BYTES >> 20} MiB; is it the file with your components?")
    return code


def _named(module: str, path: Path, code: bytes) -> Iterator[str]:
    """The dotted names that a module's import statements may mean. What is no Python says so when it is run."""
    package = module.split(".")[: None if path.name == "__init__.py" else -1] if module else []
    with suppress(SyntaxError, ValueError, RecursionError, MemoryError):
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.level <= len(package) + 1:
                base = package[: len(package) + 1 - node.level] if node.level else []
                base += [node.module] if node.module else []
                yield from (".".join([*base, alias.name]) for alias in node.names)
