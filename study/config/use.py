"""Import components of the user's own: files that a sweep file or `--use` names, and entry points of installed packages.

Code is imported only when the user's own sweep file or command names it, never because results do. A component's identity
has a digest of its source, so that changed code is another network.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from importlib.abc import SourceLoader
from importlib.util import find_spec, module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import Any

from study.config import registry
from study.config.components import Component, Registry
from study.config.own import Source, code_digest, family, importing
from study.errors import StudyError, nearest

GROUP = "study.components"
"""Entry points of packages that bring components."""
MAX_BYTES = 1 << 20

_KINDS: tuple[Registry[Any], ...] = tuple(item for item in vars(registry).values() if isinstance(item, Registry))


_used: dict[str, Source] = {}
"""What was imported, by what `use` takes for it."""
_code: dict[str, bytes] = {}


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


def used() -> Iterator[tuple[str, bytes | None]]:
    """Each file that was imported, as `stem-digest.py` and its code, and each entry point, by its name."""
    for source in _used.values():
        code = _code.get(source.digest)
        yield (source.name, None) if code is None else (f"{Path(source.name).stem}-{source.digest}.py", code)


_copies: list[Path] = []


def kept_in(folder: Path) -> None:
    """Note where copies of all files of `used` are: what other processes import, whatever is edited afterwards."""
    _copies[:] = [folder.resolve()]


def names() -> list[tuple[str, str]]:
    """What another process gives `use` to have the components of this one: names and digests."""
    found = []
    for source, (name, code) in zip(_used.values(), used(), strict=True):
        copied = _copies and code is not None
        found.append((source.called(_copies[0] / name if copied else None), source.digest))
    return found


def forget() -> None:
    """Unregister all components of the user's own."""
    for _, known in _remove(lambda known: known.source in _used.values()):
        sys.modules.pop(known.made.__module__, None)
    _used.clear()
    _copies.clear()


def _file(path: Path, digest: str, factory: str = "") -> Source:
    try:
        path = path.resolve(strict=True)
        with path.open("rb") as file:
            code = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise StudyError(f"use: {path}: {error.strerror or error}") from None
    if len(code) > MAX_BYTES:
        raise StudyError(f"use: {path}: longer than {MAX_BYTES >> 20} MiB; is it the file with your components?")
    source = Source(str(path), code_digest(code), factory)

    def mine(known: Component) -> bool:
        return Path(known.source.name).resolve() == path and known.source.factory == factory

    found = _once(source, digest, mine, lambda _: _Code(source, code).run())
    _code[found.digest] = code
    return found


def _entry_point(name: str, digest: str) -> Source:
    """The code of an entry point: what its module and its distribution's version say it is."""
    found = metadata.entry_points(group=GROUP, name=name)
    if not found:
        known = sorted(point.name for point in metadata.entry_points(group=GROUP))
        there = f"; there is {', '.join(known)}" if known else ""
        raise StudyError(f"use: {name}: no file (its name would end in .py), and no entry point of {GROUP}{there}")
    point = next(iter(found))
    package = point.module.partition(".")[0]
    version = f"{point.dist.name} {point.dist.version} " if point.dist else ""
    with importing(Source(name, "")):  # the packages that the module is in
        spec = find_spec(point.module)
        path = spec.origin if spec and spec.origin else ""
        code = Path(path).read_bytes() if path else b""
    source = Source(name, code_digest(version.encode() + code))

    def load(replaced: list[Component]) -> None:
        for module in (point.module, *(old.made.__module__ for old in replaced)):
            sys.modules.pop(module, None)  # it may be as it was before an edit
        with importing(source, path):
            point.load()

    return _once(source, digest, lambda known: known.made.__module__.partition(".")[0] == package, load)


def _once(
    source: Source, wanted: str, belongs: Callable[[Component], bool], load: Callable[[list[Component]], None]
) -> Source:
    """Load a source that was not loaded as it is now; its components replace those that belong to it."""
    if wanted not in ("", source.digest):
        raise StudyError(
            f"use: {source.name}: is not the code {wanted} that this was started with, but {source.digest}"
        )
    for known in _used.values():
        if known[1:] == source[1:]:  # a copy, perhaps
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


class _Code(SourceLoader):
    """Imports the very bytes that were hashed; nothing is cached beside the user's file."""

    def __init__(self, source: Source, code: bytes) -> None:
        self.source, self.code = source, code

    def get_filename(self, fullname: str) -> str:
        return self.source.name

    def get_data(self, path: str | bytes) -> bytes:
        return self.code

    def run(self) -> None:
        stem = re.sub(r"\W", "_", Path(self.source.name).stem)
        name = f"{stem}_{self.source.digest}"
        if not (self.source.factory and name in sys.modules):  # two networks of one file
            self._import(name)
        if self.source.factory:
            _trained_elsewhere(self.source, sys.modules[name])

    def _import(self, name: str) -> None:
        spec = spec_from_loader(name, self)
        if spec is None:
            raise StudyError(f"use: {self.source.name}: no Python module")
        module = module_from_spec(spec)
        sys.modules[name] = module  # dataclasses and annotations look their module up
        try:
            with importing(self.source):
                self.exec_module(module)
        except BaseException:
            del sys.modules[name]
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
