"""Files that are small and unfold without end, numbers without end, and numbers that are none."""

from __future__ import annotations

import math

import pytest

from study.config import surfaces as surface_entries
from study.config import sweep as module
from study.config import yaml
from study.config.identity import run_id
from study.config.recipe import Recipe
from study.config.run import RunSpec
from study.config.surface import Surface, surface_id
from study.config.surfaces import ENTRY_KEYS, MAX_PLANES, SETTINGS
from study.config.sweep import FIELDS
from study.config.yaml import MAX_MISTAKES, MAX_NODES
from study.errors import LONGEST
from tests.fuzz.calling import complaints, sound, study
from tests.helpers import make_spec

PLAN = ("sweep", "mine.yaml", "--dry-run")
FIXED = "fixed: {data: digits, recipe: quick, network: residual, depth: 8}\n"
GOOD = FIXED + "grid: {seed: [0, 1]}\n"


def refused(text: str, *overrides: str) -> list[str]:
    """What the command says of a sweep file that it refuses."""
    return complaints(study([*PLAN, *overrides], {"mine.yaml": text.encode()}))


def bomb(levels: int = 9, width: int = 10) -> str:
    """Aliases of aliases: `width ** levels` values."""
    lines = [f"a0: &a0 [{', '.join(['x'] * width)}]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * width)}]" for i in range(1, levels)]
    return "\n".join(lines) + "\n"


UNFOLDS = {
    "aliases of aliases": (bomb(), f"mine.yaml: more than {MAX_NODES:,} values"),
    "aliases in mappings": (
        "a: &a {" + ", ".join(f"k{i}: x" for i in range(100)) + "}\nb: &b [" + "*a, " * 100 + "]\nc: [" + "*b, " * 100 + "]\n",
        f"mine.yaml: more than {MAX_NODES:,} values",
    ),
    "an alias that holds itself": ("a: &a {b: [*a]}\n", "mine.yaml: nested too deeply, or an alias that holds itself"),
    "aliases of deep nesting": (
        "".join(f"a{i}: &a{i} {'[' * 20}{f'*a{i - 1}' if i else 'x'}{']' * 20}\n" for i in range(100)),
        "mine.yaml: nested too deeply, or an alias that holds itself",
    ),
    "brackets": ("a: " + "[" * 100_000, "mine.yaml: nested too deeply, or an alias that holds itself"),
    "braces": ("{a: " * 100_000, "mine.yaml: nested too deeply, or an alias that holds itself"),
    "dashes": ("- " * 100_000, "mine.yaml: nested too deeply, or an alias that holds itself"),
    "merge keys": ("a: &a {b: 1}\n<<: [*a, *a]\n", "mine.yaml:2: a key must be a word, not '<<'"),
}  # fmt: skip


@pytest.mark.parametrize("text, message", UNFOLDS.values(), ids=UNFOLDS)
def test_a_file_that_unfolds_is_refused(text: str, message: str) -> None:
    assert refused(text)[0] == message


def test_a_file_of_too_many_values_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml, "MAX_NODES", 1000)
    assert refused(FIXED + "grid:\n  seed:\n" + "  - 1\n" * 1000 + "  - ]\n") == ["mine.yaml: more than 1,000 values"]


NUMBERS = {
    "a decimal number of 100,000 digits": ("9" * 100_000, "is no int"),
    "a decimal number of 20 digits": ("9" * 20, "is too large; the largest is 9223372036854775807"),
    "a hexadecimal number of 100,000 digits": ("0x" + "f" * 100_000, "is too large; the largest is"),
    "a binary number of 100,000 digits": ("0b" + "1" * 100_000, "must be a valid integer, not '0b1"),
    "a number to the base 60 of 100,000 digits": ("1" + ":1" * 100_000, "must be a valid integer, not '1:1"),
    "a fraction to the base 60 of 100,000 digits": ("1" + ":1" * 100_000 + ".5", "must be a valid integer, not '1:1"),
    "a tagged number to the base 60": ("!!int 1" + ":1" * 100_000, "is no int"),
    "a tagged fraction to the base 60": ("!!float 1" + ":1" * 100_000 + ".5", "is no float"),
    "a fraction of 100,000 digits": ("0." + "3" * 100_000, "must be a valid integer, not 0.333"),
    "octal, or decimal?": ("010", "must be a valid integer, not '010'"),
    "a moment before the first": ("0001-01-01T00:00:00+23:59", "must be a valid integer, not datetime"),
}  # fmt: skip


@pytest.mark.parametrize("number, message", NUMBERS.values(), ids=NUMBERS)
def test_a_number_that_is_none_is_refused(number: str, message: str) -> None:
    (line,) = refused(FIXED + f"grid: {{seed: [0, {number}]}}\n")
    assert line.startswith("mine.yaml:2: ") and message in line
    (line,) = refused(GOOD, f"seed=[{number}]")
    assert line.startswith(f"override 'seed=[{number[:10]}")


@pytest.mark.parametrize("text", [r'"\UFFFFFFFF"', r'"\U00110000"', r'"\ud800"', r'"\e[2J"', r'"a\0b"'])
def test_what_is_no_character_is_refused(text: str) -> None:
    for field in ("description", "name", "figures"):
        said = refused(GOOD + f"{field}: {text}\n")
        assert len(said) == 1 and said[0].startswith("mine.yaml:3: ")
    assert refused(GOOD + f"{text}: 1\n")[0].startswith("mine.yaml:3: ")


def test_a_character_of_two_halves_is_one_as_in_json() -> None:
    assert refused(GOOD + 'name: "\\ud83d\\ude42"\n')[0].startswith("mine.yaml:3: name: '🙂' must be text")


def test_a_version_of_yaml_may_be_any_number() -> None:
    assert "not valid YAML" in refused(f"%YAML {'1' * 5000}.1\n---\n{GOOD}")[0]


# -- grids -------------------------------------------------------------------------------------------------------------


def grid(**lengths: int) -> str:
    """A grid with so many values of each field."""
    axes = {field.replace("__", "."): [*range(1, count + 1)] for field, count in lengths.items()}
    return FIXED + "grid: {" + ", ".join(f"{field}: {axis}" for field, axis in axes.items()) + "}\n"


MANY = ["seed", "width", "train_subset", "train_subset_seed", "probe_every"]
MANY += [
    f"recipe__{field}" for field in ("iterations", "batch_size", "log_every", "evaluate_every", "warmup_iterations")
]
HUGE = {
    "one more seed than may be": (grid(seed=401, train_subset=250), "100,250 runs"),
    "a trillion": (grid(**dict.fromkeys(MANY[:6], 100)), "1,000,000,000,000 runs"),
    "more than a machine can count": (grid(**dict.fromkeys(MANY, 100)), "1e+20 runs"),
    "in blocks": (
        FIXED + "blocks:\n" + f"  - grid: {{seed: {[*range(600)]}, train_subset: {[*range(2, 102)]}}}\n" * 2, "120,000 runs",
    ),
}  # fmt: skip


@pytest.mark.parametrize("text, count", HUGE.values(), ids=HUGE)
def test_a_huge_grid_is_refused_before_any_of_it_is_made(
    text: str, count: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "resolve", lambda *_, **__: pytest.fail("a run was made"))
    assert refused(text) == [f"mine.yaml: {count}; a sweep has at most 100,000"]


def test_too_many_surfaces_are_refused_before_any_of_them_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """But the two that tell whether the settings go together."""
    made: list[str] = []
    plain = surface_entries._surface
    monkeypatch.setattr(
        surface_entries, "_surface", lambda entry, run, *more: made.append(run) or plain(entry, run, *more)
    )
    entry = f"  - {{planes: {MAX_PLANES}, points: 2}}\n"
    text = FIXED + f"grid: {{seed: {[*range(101)]}}}\nsurfaces:\n{entry}"
    assert refused(text) == ["mine.yaml:4: 101,000 surfaces so far; a sweep has at most 100,000"]
    assert set(made) == {"any-000000000000"}


def test_a_great_many_mistakes_are_not_all_said() -> None:
    said = refused(FIXED + "grid: {seed: [" + ", ".join(f"x{i}" for i in range(2000)) + "]}\n")
    assert len(said) == MAX_MISTAKES + 1
    assert said[-1] == f"mine.yaml: there may be more mistakes than these {MAX_MISTAKES}"


def test_a_great_many_unknown_keys_are_not_all_said() -> None:
    said = refused(FIXED + "grid: {" + ", ".join(f"x{i}: [0]" for i in range(2000)) + "}\n")
    assert len(said) == MAX_MISTAKES + 1


@pytest.mark.parametrize("text", ["{}: 1\n", "name: {}\n", "figures: [{}]\n", "fixed: {{{}: 1}}\n"])
def test_what_is_said_of_a_long_text_is_short(text: str) -> None:
    for line in refused(GOOD + text.format("x" * 500_000)):
        assert len(line) <= LONGEST


# -- NaN and infinity --------------------------------------------------------------------------------------------------

NO_NUMBERS = (".nan", ".inf", "-.inf", "1e400", "-1e400", "!!float .NaN")


@pytest.mark.parametrize("field", FIELDS)
def test_no_field_of_a_run_is_nan_or_infinite(field: str) -> None:
    values = [f"[{number}]" if field in module.LIST_FIELDS else number for number in NO_NUMBERS]
    fixed = FIXED if field == "seed" else FIXED.replace("depth", "seed: 0, depth")
    said = refused(fixed + f"zip:\n  {field}:\n" + "".join(f"  - {value}\n" for value in values))
    for line in range(4, 4 + len(values)):
        assert any(mistake.startswith(f"mine.yaml:{line}: {field}") for mistake in said), (line, said)
    for value in values[:3]:
        assert any(field in line for line in refused(GOOD, f"{field}={value}"))


@pytest.mark.parametrize("field", ENTRY_KEYS)
def test_no_setting_of_a_surface_is_nan_or_infinite(field: str) -> None:
    forms = ("{}", "[{}]", "[0, {}]", "[[0, {}]]", "{{seed: {}}}", "[{{seed: {}}}]")
    values = [form.format(number) for number in NO_NUMBERS[:4] for form in forms]
    entry = "- {{refine: 1, bn: recalibrated, curvature: true, {}: {}}}\n"
    said = refused(GOOD + "surfaces:\n" + "".join(entry.format(field, value) for value in values))
    for line, value in enumerate(values, start=4):
        assert any(mistake.startswith(f"mine.yaml:{line}: ") for mistake in said), value


def test_no_identity_has_nan_or_infinity_in_it() -> None:
    spec = make_spec()
    surface = Surface.model_validate({"run": run_id(spec), "refine": 1})
    for value in (math.nan, math.inf, -math.inf):
        for model, fields in ((spec, RunSpec.model_fields), (spec.recipe, Recipe.model_fields), (surface, SETTINGS)):
            for field in fields:
                with pytest.raises(ValueError):
                    type(model).model_validate(model.model_dump() | {field: value})
        # Nor would one that came in by another way.
        with pytest.raises(ValueError, match="JSON"):
            run_id(spec.model_copy(update={"branch_scale": value}))
        with pytest.raises(ValueError, match="JSON"):
            run_id(spec.model_copy(update={"recipe": spec.recipe.model_copy(update={"learning_rate": value})}))
        with pytest.raises(ValueError, match="JSON"):
            surface_id(surface.model_copy(update={"tolerance": value}))


@pytest.mark.parametrize("field", ["recipe.momentum", "recipe.weight_decay"])
def test_zero_has_one_sign(field: str) -> None:
    plans = [sound(study([*PLAN, f"{field}={zero}"], {"mine.yaml": GOOD.encode()})) for zero in ("0", "0.0", "-0.0")]
    assert plans[0].code == 0
    assert len({plan.out for plan in plans}) == 1
