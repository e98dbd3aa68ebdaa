"""Command lines of every verb: wrong values, missing and surplus words, names in any script, bytes that are no text."""

import inspect
import typing
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.models import OptionInfo

from study.cli.app import app
from study.config.registry import FIGURES, TABLES
from study.config.stored import columns
from study.config.sweep import load
from study.launch.sweep import plan_sweep, record
from tests.fuzz import hostile
from tests.fuzz.calling import complaints, sound, study
from tests.fuzz.hostile import cases
from tests.helpers import RESULTS


class Option(NamedTuple):
    """An option of a verb."""

    flag: str
    kinds: tuple[type, ...]
    """What its value may be; `bool` alone: it takes none."""


def _options(function):
    found = []
    for name, hint in typing.get_type_hints(function, include_extras=True).items():
        kind, *details = typing.get_args(hint) or (hint,)
        declared = [detail for detail in details if isinstance(detail, OptionInfo)]
        if declared:
            flag = str(declared[0].default)
            usual = f"--{name.strip('_').replace('_', '-')}"
            found.append(Option(flag if flag.startswith("--") else usual, typing.get_args(kind) or (kind,)))
    return found


VERBS = {
    info.name or str(info.callback.__name__): _options(info.callback)
    for info in app.registered_commands
    if info.callback is not None
}


FILE = b"fixed: {data: digits, recipe: quick, network: residual, depth: 8}\ngrid: {seed: [0, 1]}\n"

FIRST = {"sweep": ["--dry-run"], "surface": ["--dry-run"], "doctor": ["surplus"]}
"""What keeps a line that happens to be right from training, measuring, or looking at the machine, whatever comes after it."""
WORDS = """
0 1 -1 nan inf -inf 1e400 999999999999999999999999999999 cpu cuda local slurm missing pdf x.yaml mine.yaml none/at/all / . 1x 9x9
0:1 0:nan 5:1,1:5 a,b train text random pca loss
"""
VALUES = hostile.words | st.sampled_from(WORDS.split())


@st.composite
def lines(draw):
    """A verb, some of its own options with values of all kinds, and words where they belong or don't."""
    verb = draw(st.sampled_from([*VERBS]))
    parts = [
        [word] for word in draw(st.lists(hostile.words | st.sampled_from(["mine.yaml", "quickstart"]), max_size=3))
    ]
    options = [option for option in VERBS[verb] if option.flag != "--measure"]  # a dry run with it times networks
    for option in draw(st.lists(st.sampled_from(options), max_size=3) if options else st.just([])):
        parts.append([option.flag] if option.kinds == (bool,) else [option.flag, draw(VALUES)])
    return [verb, *FIRST.get(verb, []), *(word for part in draw(st.permutations(parts)) for word in part)]


@cases(60)
@given(lines())
def test_a_command_line_works_or_is_refused(words):
    sound(study(words, {"mine.yaml": FILE}))


@cases(10)
@given(st.lists(hostile.words, min_size=1, max_size=4))
def test_words_without_a_verb_are_refused(words):
    if words[0] not in VERBS and not {"-h", "--help"} & set(words):
        complaints(study(words))


@st.composite
def overrides(draw):
    fields = st.sampled_from([*columns(), "name"]) | hostile.words
    written = VALUES | hostile.values.map(hostile.written).map(hostile.as_word)
    return [f"{draw(fields)}={draw(written)}" for _ in range(draw(st.integers(1, 3)))]


@cases(30)
@given(overrides(), st.sampled_from([["sweep", "--dry-run", "mine.yaml"], ["describe"]]))
def test_overrides_work_or_are_refused(words, verb):
    sound(study([*verb, "--", *words], {"mine.yaml": FILE}))


FED = {"curves": "quickstart", "attempts": "quickstart", "surfaces": "surfaces_quick", "probes": "probes_quick"}
CHOICES = [
    (name, parameter.name, FED.get(entry.needs))
    for name, entry in FIGURES.items()
    for parameter in inspect.signature(entry.load()).parameters.values()
    if parameter.kind is parameter.KEYWORD_ONLY
]
"""Each option of each figure, and a sweep that feeds the figure."""


@st.composite
def drawings(draw):
    """A figure and its data, with an option of its own and perhaps another word."""
    name, option, sweep = draw(st.sampled_from(CHOICES))
    words = [*([sweep] if sweep else []), f"{option}={draw(VALUES)}", *draw(st.lists(hostile.words, max_size=1))]
    return ["figure", name, "--formats", "svg", *draw(st.permutations(words))]


VIEWS = st.builds(
    lambda verb, words: [*verb, *words],
    st.sampled_from(
        [["table", name] for name in TABLES]
        + [[verb] for verb in ("verdict", "export", "status", "collect", "logs", "cancel", "du", "diff")]
    ),
    st.lists(st.sampled_from([*FED.values()]) | hostile.words, max_size=2),
)


@cases(25)
@given(drawings() | VIEWS)
def test_viewing_results_works_or_is_refused(words):
    """Results are there: they are read, and a figure may be drawn, but nothing else is written."""
    call = study([words[0], "--results", str(RESULTS), *words[1:]])
    if call.code == 0:
        assert all(path.partition("/")[0] == "figures" for path in call.left)
        assert call.err == ""
    else:
        sound(call)


def test_figure_options_are_type_checked():
    for number, (name, option, sweep) in enumerate(CHOICES):
        value = (".nan", "[1, 2]", "{a: 1}", "true")[number % 4]
        words = ["figure", name, "--results", str(RESULTS), *([sweep] if sweep else []), f"{option}={value}"]
        (line,) = complaints(study(words))
        assert line.startswith(f"option '{option}' of figure '{name}' must be ")


@cache
def recorded():
    """What is on disk of a sweep of four runs of which none is trained."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "mine.yaml"
        file.write_bytes(FILE)
        planned = plan_sweep(load(file, ["network=plain,residual"]), Path(folder))
        record(planned)
        return planned.files.sweep.read_bytes()


SETTINGS = [
    option for option in VERBS["surface"] if option.flag not in ("--results", "--profile", "--dry-run", "--executor")
]
SETTINGS_OF_SURFACES = """
random interpolate pca hessian 5 3x4 0:1 1 -1:1,0:2 seed=1 seed=0 network=plain train test both frozen batch bf16 2
"""
RIGHT = SETTINGS_OF_SURFACES.split()


@st.composite
def surfaces(draw):
    """Some settings of surfaces, most of them right."""
    values = st.sampled_from(RIGHT) | st.sampled_from(RIGHT) | VALUES
    chosen = draw(st.lists(st.sampled_from(SETTINGS), max_size=4))
    return [word for o in chosen for word in ([o.flag] if o.kinds == (bool,) else [o.flag, draw(values)])]


@cases(20)
@given(surfaces())
def test_surfaces_are_planned_or_refused(words):
    sound(study(["surface", "--dry-run", "mine", *words], {"results/mine/sweep.json": recorded()}))


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_and_refuses_invalid_text(verb):
    """A command line may have any bytes: Python has those that are no UTF-8 as halves of characters."""
    assert study([verb, "--help"]).code == 0
    complaints(study([verb, *FIRST.get(verb, []), "\udc80", "--\udc80"]))
    for option in VERBS[verb]:
        if option.kinds != (bool,):
            sound(study([verb, *FIRST.get(verb, []), option.flag, "\udc80", "none"]))
        if {int, float} & {*option.kinds}:
            for value in ("nan", "1e400"):
                words = [verb, *FIRST.get(verb, []), f"{option.flag}={value}", "mine.yaml"]
                assert option.flag in complaints(study(words, {"mine.yaml": FILE}))[0]
