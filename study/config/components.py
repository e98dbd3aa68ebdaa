"""Components: blocks, shortcuts, data sets, optimizers and anything else that a sweep file chooses by name.

A component is declared once, with its name, a summary, its options and the object that implements it. A declaration imports
nothing of what it names, so that planning needs no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from pydantic import Field, ValidationError
from pydantic_core import InitErrorDetails, core_schema

from study.config.fields import Model, shown, wrong
from study.errors import StudyError, nearest
from study.text import listed


class Options(Model):
    """A chosen component: its name and, in subclasses, its options.

    The fields of a subclass are the options: typed, each with a default (or required), checked before anything starts.
    """

    name: str

    @property
    def options(self) -> dict[str, Any]:
        """The options alone, as keyword arguments for the component's implementation."""
        return {key: value for key, value in self if key not in ("name", "code")}

    def remark(self) -> str:
        """Why these options have no effect; empty where they have one."""
        return ""

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...


def option(default: Any, description: str, *, label: str = "", **limits: Any) -> Any:
    """An option's default, description and limits; `label` is how figures word its value: `bias {}`."""
    extra: Any = {"label": label} if label else None
    return Field(default, description=description, json_schema_extra=extra, **limits)


@dataclass(frozen=True)
class Component:
    """One declaration."""

    name: str
    summary: str
    target: str
    """Where it is implemented: `module:attribute`."""
    options: type[Options] = Options
    source: Any = None
    """Of a component of the user's own, where it comes from (`study.config.own.Source`)."""
    made: Any = None
    """Of a component of the user's own, the object."""
    only: Literal["", "plain", "residual"] = ""
    """Of a block or an activation, the only `network` that it goes with."""

    def load(self) -> Any:
        """Import the module and return the object."""
        if self.made is not None:
            return self.made
        module, _, attribute = self.target.partition(":")
        return getattr(import_module(module), attribute)

    def make(self, *given: Any, **options: Any) -> Any:
        """Call the object. A class of the user's own finds its options as attributes, in `__init__` too."""
        called = self.load()
        if self.source is None or not isinstance(called, type):
            return called(*given, **options)
        new: Any = object.__new__(called)
        for name, value in options.items():
            object.__setattr__(new, name, value)  # a module's own waits for its `__init__`
        new.__init__(*given)
        return new

    @property
    def option_names(self) -> list[str]:
        """The names of its options."""
        return [name for name in self.options.model_fields if name not in ("name", "code")]


@dataclass(frozen=True)
class Data(Component):
    """A data set, with the properties that its name implies."""

    size: int | None = None
    """Height and width of its images."""
    channels: int = 3
    classes: int | None = None
    streamed: bool = False
    """Whether images are decoded as they are needed, from larger ones."""


@dataclass(frozen=True)
class Block(Component):
    """A block and its layers, so that depth, parameters and arithmetic are known without torch."""

    kernels: tuple[int, ...] = ()
    """Sizes of its convolutions, in order: as many as one block adds to the depth."""
    expansion: int = 1
    """Maps of its last convolution over those of the others."""
    pooled: tuple[float, ...] = ()
    """Widths, over the block's output maps, of fully connected layers on its pooled branch."""
    sides: bool = False
    """Whether each convolution has a 1x1 and, where the shape stays, an identity beside it, each with a norm."""
    scalars: bool = False
    """Whether it has a scalar bias before and behind each convolution, which have no others, and a multiplier."""


@dataclass(frozen=True)
class Shortcut(Component):
    """A shortcut, and where it has a 1x1 convolution."""

    projects: Literal["", "change", "order", "every", "gate"] = ""
    """`change`: with BN, where the shape changes; `order`: there, with the BN and ReLU that the order gives it; `every`: with
    BN, everywhere; `gate`: with a bias, everywhere."""
    weighs: Literal["", "branch", "maps"] = ""
    """What it has learned weights of: the whole branch, or each of its maps."""
    changes_input: bool = False
    """Whether it changes its input although the shape stays, so that no block can be an identity."""


@dataclass(frozen=True)
class Family(Component):
    """A family of networks, and its depths."""

    title: str = "ResNet"
    plain_only: bool = False
    blocks: tuple[str, ...] | None = None
    """The blocks that it is made of; None: any."""
    usual_block: Callable[[Any], str] = lambda depth: "basic"
    """Depth to the block where none is named."""
    refuse_depth: Callable[[int, Block], str] = lambda depth, block: ""
    """Why there is no network of this depth with this block; empty where there is."""
    depths: str = ""
    maps: int = 1
    """Feature maps of its first stage, of which the others have multiples."""


@dataclass(frozen=True)
class Probe(Component):
    """A probe, and whether `study probe` measures it unless told otherwise."""

    usual: bool = True
    needs: Literal["", "blocks", "BN"] = ""
    """What a network must have to be measured."""


@dataclass(frozen=True)
class Figure(Component):
    """A figure, and the frame that it is drawn from: the result of `study.store.read.read_<needs>`."""

    needs: Literal["curves", "surfaces", "probes"] = "curves"


@dataclass(frozen=True)
class Table(Figure):
    """A table, and the frame that it is made of."""


C = TypeVar("C", bound=Component)


class Registry(dict[str, C], Generic[C]):
    """The components of one kind by name. As an annotation it makes a field of a spec that takes one of them."""

    __hash__ = object.__hash__  # type: ignore[assignment]  # annotations are hashed

    def __init__(self, noun: str, field: str, components: Iterable[C] = ()) -> None:
        super().__init__()
        self.noun, self.field = noun, field
        self._plain: dict[str, Options] = {}  # components chosen by name, with default options
        for component in components:
            self.add(component)

    def add(self, component: C) -> C:
        """Register a component. Raises StudyError if the name is taken."""
        if component.name in self:
            second = component.target if component.source is None else component.target.partition(":")[2]
            raise StudyError(f"{self.noun} '{component.name}': the name is taken; give {second} another (name=...)")
        self[component.name] = component
        return component

    def options(self, counts: Callable[[Component], bool] = lambda component: True) -> dict[str, type[Options]]:
        """The options of the components of this kind that count, by name, each with the first model that declares it."""
        found: dict[str, type[Options]] = {}
        for component in filter(counts, self.values()):
            for name in component.option_names:
                found.setdefault(name, component.options)
        return found

    def choose(self, value: Any) -> Options:
        """Check a name, or a mapping of a name and options. Raises ValueError that says what would be right."""
        known = self._plain.get(value) if isinstance(value, str) else value
        if isinstance(known, Options):
            if known.name in self and type(known) is self[known.name].options:
                return known
            value = value if isinstance(value, str) else {"name": known.name, **known.options}
        given = {"name": value} if isinstance(value, str) else value
        if not isinstance(given, Mapping) or not isinstance(given.get("name"), str):
            raise wrong(
                f"must be the name of a {self.noun}, or a mapping with its name and options, not {shown(value)}"
            )
        name = given["name"]
        if name not in self:
            raise wrong(f"no {self.noun} '{name:.80}'{nearest(name, self, listing=self.listing)}")
        model = self[name].options
        fields = model.model_fields
        strange = [key for key in given if key not in fields]
        if strange:
            details = [InitErrorDetails(type=wrong(self._strange(name, k)), loc=(k,), input=given[k]) for k in strange]
            raise ValidationError.from_exception_data(self.noun, details)
        chosen = model.model_validate(given)
        if isinstance(value, str):
            self._plain[value] = chosen
        return chosen

    @property
    def listing(self) -> str:
        """The kind of `study list` that shows them."""
        return self.field if self.field in ("data", "probes", "figures", "tables") else "networks"

    def _strange(self, name: str, key: Any) -> str:
        owners = [other for other, component in self.items() if key in component.option_names]
        if owners:
            return f"goes with {self.field}: {' or '.join(owners)}, not with {name}"
        own = self[name].option_names
        hint = nearest(str(key), own).partition("; known")[0]
        return f"is no option of {self.field}: {name}, which has {listed(own) or 'none'}{hint}"

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> core_schema.CoreSchema:
        def check(value: Any) -> Options | None:
            return None if value is None and type(None) in getattr(source, "__args__", ()) else self.choose(value)

        written = core_schema.plain_serializer_function_ser_schema(_written, info_arg=True)
        return core_schema.no_info_plain_validator_function(check, serialization=written)

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        names = {"enum": list(self)}
        options = {name: properties(owner)[name] for name, owner in self.options().items()}
        mapping = {"type": "object", "properties": {"name": names, **options}, "additionalProperties": False}
        return {"anyOf": [names, mapping]} if options else names


def properties(model: type[Model]) -> dict[str, dict[str, Any]]:
    """JSON schema of each field of a model, without defaults: a sweep file leaves out what it does not mean to set."""
    found = model.model_json_schema()["properties"]
    return {name: {k: v for k, v in of.items() if k not in ("default", "label")} for name, of in found.items()}


def _written(value: Options | None, info: Any) -> Any:
    return None if value is None else value.model_dump(mode=info.mode)
