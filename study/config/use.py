"""Import components of the user's own: files that a sweep file or `--use` names, and entry points of installed packages.

Code is imported only when the user's own sweep file or command names it, never because results do. A component's identity
has a digest of its source, so that changed code is another network.
"""

from __future__ import annotations

import builtins
import re
import sys
from collections.abc import Callable, Iterator
from importlib import import_module, metadata
from importlib.abc import SourceLoader
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import Any

from study.config import registry
from study.config.components import Component, Registry
from study.config.imports import Code
from study.config.own import Source, family, importing
from study.errors import StudyError, nearest

GROUP = "study.components"
"""Entry points of packages that bring components."""

_KINDS: tuple[Registry[Any], ...] = tuple(item for item in vars(registry).values() if isinstance(item, Registry))


_used: dict[str, Source] = {}
"""What was imported, by what `use` takes for it."""
_code: dict[str, Code] = {}
"""The code of the files among them, by digest."""


def use(name: str, folder: Path = Path(), digest: str = "") -> Source:
    """Import a file, by its path relative to `folder`, or an entry point by its name; its decorators register components.

    `FILE.py:NAME` registers a function or class of the file, which need know nothing of this package, as a family of one
    network, trained elsewhere; its option `weights` is the digest of its state.

    What was imported before is not imported again unless its code changed; then its components replace the old ones. Raises
    StudyError, with the line of the user's code that is wrong; and if a `digest` is given and the code has another, which is
    then not run.
    """
    path, _, factory = name.partition(".py:")
    if factory:
        return _file(folder / f"{path}.py", digest, factory)
    return _file(folder / name, digest) if name.endswith(".py") else _entry_point(name, digest)


def used() -> Iterator[Code]:
    """The code of each file that was imported."""
    yield from (_code[source.digest] for source in _used.values() if source.digest in _code)


_copies: list[Path] = []


def kept_in(folder: Path) -> None:
    """Note where copies of all files of `used` are: what other processes import, whatever is edited afterwards."""
    _copies[:] = [folder.resolve()]


def names() -> list[tuple[str, str]]:
    """What another process gives `use` to have the components of this one: names and digests."""
    found = []
    for source in _used.values():
        code = _code.get(source.digest)
        path = _copies[0] / next(iter(code.copies)) if _copies and code else None
        found.append((source.called(path), source.digest))
    return found


def forget() -> None:
    """Unregister all components of the user's own."""
    for _, known in _remove(lambda known: known.source in _used.values()):
        sys.modules.pop(known.made.__module__, None)
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, _Loader)]
    _used.clear()
    _code.clear()
    _copies.clear()


def _file(path: Path, digest: str, factory: str = "") -> Source:
    try:
        path = path.resolve(strict=True)
    except OSError as error:
        raise StudyError(f"use: {path}: {error.strerror or error}") from None
    code = Code(path)
    source = Source.of(str(path), code, factory)
    found = _once(source, digest, lambda _: _Loader(source, code).run())
    _code.setdefault(found.digest, code)
    return found


def _entry_point(name: str, digest: str) -> Source:
    """The code of an entry point: what its module and its distribution's version say it is."""
    found = metadata.entry_points(group=GROUP, name=name)
    if not found:
        known = sorted(point.name for point in metadata.entry_points(group=GROUP))
        there = f"; there is {', '.join(known)}" if known else ""
        raise StudyError(f"use: {name}: no file (its name would end in .py), and no entry point of {GROUP}{there}")
    point = next(iter(found))
    version = f"{point.dist.name} {point.dist.version} " if point.dist else ""
    with importing(Source(name, "")):  # the packages that the module is in
        spec = find_spec(point.module)
    if spec is None or spec.origin is None:
        raise StudyError(f"use: {name}: there is no module {point.module}")
    tops = {file.parts[0].removesuffix(".py") for file in (point.dist.files if point.dist else None) or ()}
    code = Code(Path(spec.origin), point.module, version, tops if point.module.partition(".")[0] in tops else None)
    source = Source.of(name, code)

    def load(replaced: list[Component]) -> None:
        for module in (*code.modules, *(old.made.__module__ for old in replaced)):
            sys.modules.pop(module, None)  # it may be as it was before an edit
        with importing(source):
            point.load()

    return _once(source, digest, load)


def _once(source: Source, wanted: str, load: Callable[[list[Component]], None]) -> Source:
    """Load a source that was not loaded as it is now; its components replace those of it or of a file that it imports."""

    def belongs(known: Component) -> bool:
        name, _, factory, files = known.source
        return factory == source.factory and (name == source.name or files[0] in source.files)

    if wanted not in ("", source.digest):
        raise StudyError(
            f"use: {source.name}: is not the code {wanted} that this was started with, but {source.digest}"
        )
    for known in _used.values():
        if known[1:3] == source[1:3]:  # a copy, perhaps
            return known
    removed = _remove(belongs)
    try:
        load([component for _, component in removed])
        if not any(component.source == source for kind in _KINDS for component in kind.values()):
            raise StudyError(f"use: {source.name}: registers no component; decorate one, as `@study.block`")
    except StudyError:
        _remove(belongs)
        for kind, component in removed:
            kind[component.name] = component
        raise
    _used[source.called()] = source
    return source


def _remove(belongs: Callable[[Component], bool]) -> list[tuple[Registry[Any], Component]]:
    found = [
        (kind, component)
        for kind in _KINDS
        for component in list(kind.values())
        if component.source and belongs(component)
    ]
    for kind, component in found:
        del kind[component.name]
    return found


class _Loader(SourceLoader):
    """Imports the very bytes that were hashed; nothing is cached beside the user's files.

    The modules that a file imports from its folder are within its own, so that others may have their names.
    """

    def __init__(self, source: Source, code: Code) -> None:
        stem = re.sub(r"\W", "_", code.path.stem)
        self.source, self.code, self.name = source, code, f"{stem}_{source.digest}"
        self.modules = {f"{self.name}.{name}".rstrip("."): path for name, (path, _) in code.modules.items()}

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        found = spec_from_loader(fullname, self) if fullname in self.modules else None
        if found and found.submodule_search_locations:
            found.submodule_search_locations.clear()  # what was not hashed is not found
        return found

    def is_package(self, fullname: str) -> bool:
        own = fullname == self.name and len(self.modules) > 1
        return own or self.modules[fullname].name == "__init__.py"

    def get_filename(self, fullname: str) -> str:
        return str(self.modules[fullname])

    def get_data(self, path: str | bytes) -> bytes:
        return next(code for file, code in self.code.modules.values() if str(file) == path)

    def exec_module(self, module: ModuleType) -> None:
        vars(module)["__builtins__"] = vars(builtins) | {"__import__": self._import}
        super().exec_module(module)

    def _import(self, name: str, known: Any = None, local: Any = None, names: Any = (), level: int = 0) -> Any:
        """`import helpers` in the user's code, of a file beside it, is `from . import helpers` in the file itself."""
        if level == 0 and name.partition(".")[0] in self.code.modules:
            known, level = {"__package__": self.name}, 1
        return builtins.__import__(name, known, local, names, level)

    def run(self) -> None:
        if not (self.source.factory and self.name in sys.modules):  # two networks of one file
            self._begin()
        if self.source.factory:
            _trained_elsewhere(self.source, sys.modules[self.name])

    def _begin(self) -> None:
        for name in self.modules:
            sys.modules.pop(name, None)
        before = {*sys.modules}
        sys.meta_path.insert(0, self)
        try:
            with importing(self.source):
                import_module(self.name)
            if unseen := sorted(name for name in sys.modules.keys() - before if self.code.beside(name)):
                raise StudyError(f"{self.source.name}: imports {unseen[0]} by no statement; write `import {unseen[0]}`")
        except BaseException:
            sys.modules.pop(self.name, None)
            sys.meta_path.remove(self)
            raise


def _trained_elsewhere(source: Source, module: ModuleType) -> None:
    if not callable(thing := getattr(module, source.factory, None)):
        own = [name for name, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__]
        raise StudyError(f"{source.name}: has no function or class '{source.factory}'{nearest(source.factory, own)}")

    def made(*shape: Any, weights: str) -> Any:
        return thing()

    made.__module__ = module.__name__
    with importing(source):
        family(made, name=source.factory)
