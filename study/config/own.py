"""Components of the user's own: the decorators that register them, and the options that their annotations make.

import study

@study.block
class Ghost(study.BasicBlock):
    \"\"\"Half of the maps from cheap operations.\"\"\"
    ratio: float = 0.5
    def branch(self, x): ...
"""

from __future__ import annotations

import inspect
import re
import traceback
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, ClassVar, NamedTuple, get_origin, get_type_hints

from pydantic import AfterValidator, BeforeValidator, PydanticSchemaGenerationError, ValidationError, create_model

from study.config import registry
from study.config.components import Block, Component, Data, Family, Figure, Options, Probe, Registry, Shortcut, Table
from study.config.fields import as_tuple, wrong
from study.config.imports import Code
from study.errors import StudyError


class Source(NamedTuple):
    """Where components come from: a file's path or an entry point's name, and the digest of its `Code`."""

    name: str
    digest: str
    factory: str = ""
    """Of `FILE.py:NAME`, the name: a function or class of the file that returns a network."""
    files: tuple[str, ...] = ()
    """The paths of its code, its own file first."""

    @classmethod
    def of(cls, name: str, code: Code, factory: str = "") -> Source:
        """The source with this code."""
        return cls(name, code.digest, factory, tuple(str(path) for path, _ in code.modules.values()))

    def called(self, path: object = None) -> str:
        """What `use` takes for it, if its file is at `path`."""
        return f"{path or self.name}:{self.factory}" if self.factory else str(path or self.name)


_now: Source | None = None


@contextmanager
def importing(source: Source) -> Iterator[None]:
    """Code of a source runs: what it registers is the source's, and its mistakes are told by their line."""
    global _now
    _now = source
    try:
        yield
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        found = [source.name, *source.files[:1], *places(error, source.files)]
        raise StudyError(f"{found[-1]}: {told(error)}") from None
    finally:
        _now = None


def places(error: BaseException, files: Collection[str]) -> list[str]:
    """`PATH:LINE` of an exception where it passed through these files, the innermost last."""
    found = [(at.filename, at.lineno) for at in traceback.extract_tb(error.__traceback__)]
    found += [(str(error.filename), error.lineno)] if isinstance(error, SyntaxError) else []
    return [f"{path}:{line}" for path, line in found if path in files]


def told(error: BaseException) -> str:
    """An exception of the user's code in one line."""
    if isinstance(error, SyntaxError):
        return f"{type(error).__name__}: {error.msg}"
    ours = isinstance(error, StudyError | ValueError) and str(error)
    return str(error) if ours else f"{type(error).__name__}: {error}".removesuffix(": ")


def _source(thing: Any) -> Source:
    """The source that is being imported, or the file of a module that was imported in another way."""
    if _now is not None:
        return _now
    try:
        path = Path(str(inspect.getsourcefile(thing))).resolve()
        return Source.of(str(path), Code(path))
    except (StudyError, TypeError):
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
    if _now is None and before and before.source and before.source.name == source.name:
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
        raise StudyError(
            f"{getattr(thing, '__name__', thing)}: a block is a subclass of study.Block, or of one such as study.BasicBlock"
        )
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


def figure(thing: Any = None, *, name: str | None = None, needs: str = "curves") -> Any:
    """Register a function `(frame, runs, **options) -> study.Plot` as a figure. `needs`: curves, probes or surfaces."""
    return component(registry.FIGURES, Figure, thing, name=name, needs=needs)


def table(thing: Any = None, *, name: str | None = None, needs: str = "curves") -> Any:
    """Register a function `(frame, runs) -> DataFrame` as a table. `needs`: curves or probes."""
    return component(registry.TABLES, Table, thing, name=name, needs=needs)
