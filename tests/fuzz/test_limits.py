"""Files that are small and unfold without end, numbers without end, and numbers that are none."""

import time

import pytest

from study.config.spread import MAX_PLANES
from study.config.stored import settable
from study.config.yaml import MAX_MISTAKES, MAX_NODES
from study.errors import LONGEST
from tests.fuzz.calling import complaints, study

PLAN = ("sweep", "mine.yaml", "--dry-run")
FIXED = "fixed: {data: digits, recipe: quick, network: residual, depth: 8}\n"
GOOD = FIXED + "grid: {seed: [0, 1]}\n"
DEEP = "mine.yaml: nested too deeply, or an alias that holds itself"
MANY = f"mine.yaml: more than {MAX_NODES:,} values"


def refused(text, *overrides):
    """What the command says of a sweep file that it refuses."""
    return complaints(study([*PLAN, *overrides], {"mine.yaml": text.encode()}))


def bomb(levels=9, width=10):
    """Aliases of aliases: `width ** levels` values."""
    lines = [f"a0: &a0 [{', '.join(['x'] * width)}]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * width)}]" for i in range(1, levels)]
    return "\n".join(lines) + "\n"


UNFOLDS = {
    "aliases of aliases": (bomb(), MANY),
    "aliases in mappings": (
        "a: &a {" + ", ".join(f"k{i}: x" for i in range(100)) + "}\nb: &b [" + "*a, " * 100 + "]\nc: [" + "*b, " * 100 + "]\n",
        MANY,
    ),
    "an alias that holds itself": ("a: &a {b: [*a]}\n", DEEP),
    "aliases of deep nesting": (
        "".join(f"a{i}: &a{i} {'[' * 20}{f'*a{i - 1}' if i else 'x'}{']' * 20}\n" for i in range(100)), DEEP,
    ),
    "brackets": ("a: " + "[" * 100_000, DEEP),
    "braces": ("{a: " * 100_000, DEEP),
    "dashes": ("- " * 100_000, DEEP),
    "too many values": (FIXED + "grid:\n  seed:\n" + "  - 1\n" * MAX_NODES + "  - ]\n", MANY),
}  # fmt: skip


SLOW = ("too many values", "aliases in mappings", "brackets", "braces")


@pytest.mark.parametrize(
    "text, message",
    [pytest.param(*case, id=name, marks=[pytest.mark.slow] * (name in SLOW)) for name, case in UNFOLDS.items()],
)
def test_yaml_bombs_are_refused(text, message):
    assert refused(text)[0] == message


NUMBERS = {
    "a decimal number of 100,000 digits": ("9" * 100_000, "is too large; the largest is"),
    "a decimal number of 20 digits": ("9" * 20, "is too large; the largest is 9223372036854775807"),
    "a hexadecimal number of 100,000 digits": ("0x" + "f" * 100_000, "is too large; the largest is"),
    "a tagged number": ("!!int 1", "the tag '!!int' has no meaning in a sweep file"),
    "a fraction of 100,000 digits": ("0." + "3" * 100_000, "must be a valid integer, not 0.333"),
}  # fmt: skip


@pytest.mark.parametrize("number, message", NUMBERS.values(), ids=NUMBERS)
def test_invalid_numbers_are_refused(number, message):
    (line,) = refused(FIXED + f"grid: {{seed: [0, {number}]}}\n")
    assert line.startswith("mine.yaml:2: ") and message in line
    (line,) = refused(GOOD, f"seed=[{number}]")
    assert line.startswith(f"override 'seed=[{number[:10]}")


@pytest.mark.parametrize("text", [r'"\UFFFFFFFF"', r'"\U00110000"', r'"\ud800"', r'"\e[2J"', r'"a\0b"'])
def test_invalid_characters_are_refused(text):
    for field in ("description", "name", "figures"):
        said = refused(GOOD + f"{field}: {text}\n")
        assert len(said) == 1 and said[0].startswith("mine.yaml:3: ")
    assert refused(GOOD + f"{text}: 1\n")[0].startswith("mine.yaml:3: ")


def grid(**lengths):
    """A grid with so many values of each field."""
    axes = {field.replace("__", "."): [*range(1, count + 1)] for field, count in lengths.items()}
    return FIXED + "grid: {" + ", ".join(f"{field}: {axis}" for field, axis in axes.items()) + "}\n"


AXES = ["seed", "family__width", "train_subset", "train_subset_seed", "probe_every", "recipe__iterations", "recipe__batch_size",
        "recipe__log_every", "recipe__evaluate_every", "recipe__warmup__iterations"]  # fmt: skip
HUGE = {
    "one more seed than may be": (grid(seed=401, train_subset=250), "100,250 runs; a sweep has at most 100,000"),
    "more than a machine can count": (grid(**dict.fromkeys(AXES, 100)), "1e+20 runs; a sweep has at most 100,000"),
    "surfaces": (
        FIXED + f"grid: {{seed: {[*range(101)]}}}\nsurfaces:\n  - {{planes: {MAX_PLANES}, points: 2}}\n",
        "101,000 surfaces so far; a sweep has at most 100,000",
    ),
}  # fmt: skip


@pytest.mark.parametrize("text, count", HUGE.values(), ids=HUGE)
def test_a_huge_sweep_is_refused_quickly(text, count):
    started = time.process_time()
    [line] = refused(text)
    assert line.endswith(count) and time.process_time() - started < 5


def test_the_number_of_messages_is_limited():
    for axes in (
        "seed: [" + ", ".join(f"x{i}" for i in range(150)) + "]",
        ", ".join(f"x{i}: [0]" for i in range(110)),
    ):
        said = refused(FIXED + f"grid: {{{axes}}}\n")
        assert len(said) == MAX_MISTAKES + 1
        assert said[-1] == f"mine.yaml: there may be more mistakes than these {MAX_MISTAKES}"


@pytest.mark.parametrize(
    "text", ["{}: 1\n", "name: {}\n", "figures: [{}]\n", "fixed: {{{}: 1}}\n", "fixed: {{shortcut: {}}}\n"]
)
def test_messages_about_long_text_are_short(text):
    assert all(len(line) <= LONGEST for line in refused(GOOD + text.format("x" * 500_000)))


# -- NaN and infinity --------------------------------------------------------------------------------------------------

NO_NUMBERS = (".nan", "-.inf", "1e400", ".NaN")


def test_no_field_of_a_run_is_nan_or_infinite():
    for number, (field, column) in enumerate(settable().items()):
        value = f"[{NO_NUMBERS[number % 4]}]" if column.is_list else NO_NUMBERS[number % 4]
        fixed = FIXED if field == "seed" else FIXED.replace("depth", "seed: 0, depth")
        said = refused(fixed + f"zip:\n  {field}:\n  - {value}\n")
        assert any(mistake.startswith(f"mine.yaml:4: {field}") for mistake in said), (field, said)
        if number % 8 == 0:
            assert any(field in line for line in refused(GOOD, f"{field}={NO_NUMBERS[number % 3]}"))
