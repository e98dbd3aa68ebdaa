"""Components of the user's own: files that a sweep file or `--use` names, and entry points of installed packages.

    import study

    @study.block
    class Ghost(study.BasicBlock):
        \"\"\"Half of the maps from cheap operations.\"\"\"
        ratio: float = 0.5
        def branch(self, x): ...

Code is imported only when the user's own sweep file or command names it, never because results do. A component's identity
has a digest of its source, so that changed code is another network.
"""

from __future__ import annotations

import hashlib
import inspect
import re
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import metadata
from importlib.abc import SourceLoader
from importlib.util import find_spec, module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, ClassVar, NamedTuple, get_origin, get_type_hints

from pydantic import AfterValidator, BeforeValidator, PydanticSchemaGenerationError, ValidationError, create_model

from study.config import registry
from study.config.components import Block, Component, Data, Family, Figure, Options, Probe, Registry, Shortcut, Table
from study.config.fields import as_tuple, wrong
from study.errors import StudyError, nearest

GROUP = "study.components"
"""Entry points of packages that bring components."""
MAX_BYTES = 1 << 20

_KINDS: tuple[Registry[Any], ...] = tuple(item for item in vars(registry).values() if isinstance(item, Registry))


class Source(NamedTuple):
    """Where components come from: a file's path or an entry point's name, and 12 hex digits of the SHA-256 of its code."""

    name: str
    digest: str
    factory: str = ""
    """Of `FILE.py:NAME`, the name: a function or class of the file that returns a network."""

    def called(self, path: object = None) -> str:
        """What `use` takes for it, if its file is at `path`."""
        return f"{path or self.name}:{self.factory}" if self.factory else str(path or self.name)


_used: dict[str, Source] = {}
"""What was imported, by what `use` takes for it."""
_code: dict[str, bytes] = {}
"""The code of files by digest."""


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
"""The folder of copies, if there is one."""


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
    source = Source(str(path), _digest(code), factory)

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
    with _importing(Source(name, "")):  # the packages that the module is in
        spec = find_spec(point.module)
        path = spec.origin if spec and spec.origin else ""
        code = Path(path).read_bytes() if path else b""
    source = Source(name, _digest(version.encode() + code))

    def load(replaced: list[Component]) -> None:
        with _importing(source, path), _anew({point.module, *(old.made.__module__ for old in replaced)}):
            point.load()

    return _once(source, digest, lambda known: known.made.__module__.partition(".")[0] == package, load)


@contextmanager
def _anew(modules: set[str]) -> Iterator[None]:
    """Import modules again that were imported before, perhaps as they were before an edit."""
    before = {name: sys.modules.pop(name) for name in modules & sys.modules.keys()}
    try:
        yield
    except BaseException:
        sys.modules.update(before)
        raise


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
    """Unregister components of the user's own, and return them."""
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
            with _importing(self.source):
                self.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise


class _importing:  # noqa: N801
    """Code of a source runs: what it registers is the source's, and its mistakes are told by their line."""

    now: ClassVar[Source | None] = None

    def __init__(self, source: Source, path: str = "") -> None:
        self.source, self.path = source, path or source.name

    def __enter__(self) -> None:
        _importing.now = self.source

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        _importing.now = None
        if error is None or isinstance(error, KeyboardInterrupt):
            return
        lines = [frame.lineno for frame in traceback.extract_tb(trace) if frame.filename == self.path]
        if isinstance(error, SyntaxError) and error.filename == self.path:
            lines = [error.lineno]
        place = self.path + (f":{lines[-1]}" if lines else "")
        what = told(error)
        raise StudyError(f"{place}: {what}") from None


def told(error: BaseException) -> str:
    """An exception of the user's code in one line."""
    ours = isinstance(error, StudyError | ValueError) and str(error)
    return str(error) if ours else f"{type(error).__name__}: {error}".removesuffix(": ")


def _digest(code: bytes) -> str:
    return hashlib.sha256(code).hexdigest()[:12]


# -- decorators -------------------------------------------------------------------------------------------------------------


def _source(thing: Any) -> Source:
    """The source that is being imported, or the file of a module that was imported in another way."""
    if _importing.now is not None:
        return _importing.now
    try:
        path = inspect.getsourcefile(thing)
        return Source(str(path), _digest(Path(str(path)).read_bytes()))
    except (OSError, TypeError):
        raise StudyError(f"{thing.__name__}: stands in no file; write it into one and name that under `use:`") from None


def _name(thing: Any) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", thing.__name__).lower()


_OURS = ("study", "torch", "builtins")
"""Packages whose classes bring no options."""


def _options(thing: Any, source: Source, hints: dict[str, Any], defaults: dict[str, Any]) -> type[Options]:
    def same(code: str) -> str:
        if code != source.digest:
            raise wrong(f"is {code:.12}, but {source.name} is now {source.digest}: its code changed")
        return code

    bases = [base for base in getattr(thing, "__mro__", ()) if base.__module__.partition(".")[0] in _OURS]
    taken = {"name", "code"}.union(
        *(vars(base).keys() | vars(base).get("__annotations__", {}).keys() for base in bases)
    )
    if wrong_names := hints.keys() & taken:
        raise StudyError(f"{thing.__name__}: an option cannot be called {min(wrong_names)}: that has a meaning already")
    fields: dict[str, Any] = {"code": (Annotated[str, AfterValidator(same)], source.digest)}
    for name, kind in hints.items():
        if get_origin(kind) is tuple:
            kind = Annotated[kind, BeforeValidator(as_tuple)]
        fields[name] = (kind, defaults.get(name, ...))
    try:
        made = create_model(f"{thing.__name__}Options", __base__=Options, **fields)
    except (PydanticSchemaGenerationError, NameError) as error:
        raise StudyError(f"{thing.__name__}: its options cannot be checked: {error}") from None
    try:
        made.model_validate({"name": "any", **defaults})
    except ValidationError as error:
        if given := [item for item in error.errors() if item["type"] != "missing"]:
            raise StudyError(f"{thing.__name__}: the default of {given[0]['loc'][0]}: {given[0]['msg']}") from None
    return made


def _of_class(thing: type, source: Source) -> type[Options]:
    """The options of a class: the annotated attributes of its own and of its bases outside of `study` and torch."""
    own = [base for base in thing.__mro__ if base.__module__.partition(".")[0] not in _OURS]
    names = {name for base in own for name in vars(base).get("__annotations__", {}) if not name.startswith("_")}
    hints = {
        n: h
        for n, h in get_type_hints(thing, include_extras=True).items()
        if n in names and get_origin(h) is not ClassVar
    }
    return _options(thing, source, hints, {name: getattr(thing, name) for name in hints if hasattr(thing, name)})


def _of_function(thing: Callable[..., Any], source: Source) -> type[Options]:
    """The options of a function: its keyword-only parameters."""
    signature = [p for p in inspect.signature(thing).parameters.values() if p.kind is p.KEYWORD_ONLY]
    hints = get_type_hints(thing, include_extras=True)
    if bare := [p.name for p in signature if p.name not in hints]:
        raise StudyError(f"{thing.__name__}: the option {bare[0]} has no type; write `{bare[0]}: float = ...`")
    given = {p.name: p.default for p in signature if p.default is not p.empty}
    return _options(thing, source, {p.name: hints[p.name] for p in signature}, given)


def component(
    kind: Registry[Any], make: type[Component], thing: Any = None, *, name: str | None = None, **facts: Any
) -> Any:
    """Register a class or a function as a component of a kind, and return it; without it, a decorator that does."""
    if thing is None:
        return lambda thing: component(kind, make, thing, name=name, **facts)
    if not callable(thing):
        raise StudyError(f"a {kind.noun} is a class or a function, not {thing!r:.80}")
    called = name or _name(thing)
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,39}", called):
        raise StudyError(f"a {kind.noun} cannot be called {called!r}: at most 40 letters, digits and _")
    summary = (inspect.getdoc(thing) or "").partition("\n")[0]
    source = _source(thing)
    before = kind.get(called)
    if _importing.now is None and before and before.source and before.source.name == source.name:
        del kind[called]  # its file is imported in another way, too
    options = (_of_class if isinstance(thing, type) else _of_function)(thing, source)
    target = f"{thing.__module__}:{thing.__qualname__}"
    kind.add(make(called, summary, target, options, made=thing, source=source, **facts))
    return thing


def block(thing: Any = None, *, name: str | None = None, layers: int | None = None) -> Any:
    """Register a subclass of `study.Block`. `layers`: how many a block adds to the depth; by default as its base does."""
    if thing is None:
        return lambda thing: block(thing, name=name, layers=layers)
    bases = {f"{base.__module__}:{base.__qualname__}" for base in getattr(thing, "__mro__", ())}
    if "study.networks.blocks:Block" not in bases:
        raise StudyError(f"{thing.__name__}: a block is a subclass of study.Block, or of one such as study.BasicBlock")
    if (
        thing.branch.__module__ == thing.convolutions.__module__ == "study.networks.blocks"
        and thing.__init__.__module__ == "study.networks.blocks"
    ):
        raise StudyError(f"{thing.__name__}: has no `branch`, `convolutions` or `__init__` of its own: it is its base")
    known = [entry for entry in registry.BLOCKS.values() if entry.target in bases]
    if layers is None and not known:
        raise StudyError(f"{thing.__name__}: say how many layers one block has: @study.block(layers=2)")
    kernels = known[0].kernels if layers is None else (3,) * layers
    return component(
        registry.BLOCKS, Block, thing, name=name, kernels=kernels, expansion=known[0].expansion if known else 1
    )


def _plain(kind: Registry[Any], make: type[Component] = Component) -> Callable[..., Any]:
    def decorator(thing: Any = None, *, name: str | None = None) -> Any:
        return component(kind, make, thing, name=name)

    decorator.__name__ = decorator.__qualname__ = kind.noun.replace(" ", "_")
    decorator.__doc__ = (
        f"Register a class or a function as a {kind.noun}; its name is the object's unless told otherwise."
    )
    return decorator


shortcut = _plain(registry.SHORTCUTS, Shortcut)
order = _plain(registry.ORDERS)
norm = _plain(registry.NORMS)
activation = _plain(registry.ACTIVATIONS)
initialisation = _plain(registry.INITIALISATIONS)
optimizer = _plain(registry.OPTIMIZERS)
schedule = _plain(registry.SCHEDULES)
probe = _plain(registry.PROBES, Probe)


data = _plain(registry.DATA, Data)


def family(thing: Any = None, *, name: str | None = None) -> Any:
    """Register a function `(depth, residual, channels, classes, size, *, options) -> nn.Module` as a family of networks.

    `residual` is True for the network with shortcuts, False for its plain twin; `size` is the height and width of the images.
    """
    if thing is None:
        return lambda thing: family(thing, name=name)
    return component(registry.FAMILIES, Family, thing, name=name, title=(name or _name(thing)))


def _trained_elsewhere(source: Source, module: ModuleType) -> None:
    """Register what `FILE.py:NAME` names as a family of one network."""
    if not callable(thing := getattr(module, source.factory, None)):
        own = [name for name, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__]
        raise StudyError(f"{source.name}: has no function or class '{source.factory}'{nearest(source.factory, own)}")

    def made(*shape: Any, weights: str) -> Any:
        return thing()

    made.__module__ = module.__name__
    with _importing(source):
        family(made, name=source.factory)


def figure(thing: Any = None, *, name: str | None = None, needs: str = "curves") -> Any:
    """Register a function `(frame, runs, **options) -> study.Plot` as a figure. `needs`: curves, probes or surfaces."""
    return component(registry.FIGURES, Figure, thing, name=name, needs=needs)


def table(thing: Any = None, *, name: str | None = None, needs: str = "curves") -> Any:
    """Register a function `(frame, runs) -> DataFrame` as a table. `needs`: curves or probes."""
    return component(registry.TABLES, Table, thing, name=name, needs=needs)
