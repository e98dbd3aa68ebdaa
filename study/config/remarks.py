"""What a spec sets that can never have an effect. It is trained all the same, so it is said before, not refused."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from study.config.recipe import Recipe
from study.config.recipes import changes
from study.config.registry import DATA
from study.config.run import RunSpec

PLATEAU = ("plateau_patience", "plateau_improvement", "plateau_drops")
WARMUP = ("warmup_rate", "warmup_from_depth", "warmup_iterations", "warmup_error")


def remarks(spec: RunSpec) -> list[str]:
    """A line for each field, or group of fields, of a run that can never have an effect, with the reason.

    A field that belongs to a choice not made (the length of a warm-up where there is none) is named only where it is not as in
    the named recipe: there it is a default.
    """
    changed = set(changes(spec.recipe.model_dump(mode="json")))
    return [*_warm_up(spec, changed), *_drops(spec, changed), *_periods(spec), *_others(spec)]


def _warm_up(spec: RunSpec, changed: set[str]) -> Iterator[str]:
    recipe = spec.recipe
    unused = {"none": WARMUP, "iterations": ("warmup_error",), "error": ("warmup_iterations",)}[recipe.warmup]
    yield from _unused(changed, unused, f"warmup is {recipe.warmup}")
    if recipe.warmup == "none":
        return
    if spec.depth < recipe.warmup_from_depth:
        fields = [field for field in ("warmup", *WARMUP) if field not in unused]
        yield from _unused(changed, fields, f"networks below {recipe.warmup_from_depth} layers have no warm-up")
        return
    if recipe.warmup_rate == recipe.learning_rate:
        yield f"warmup: no effect, since warmup_rate is learning_rate ({recipe.learning_rate:g})"
    end = _warm_up_end(spec)
    length = f"the warm-up lasts {end:,} iterations"
    if recipe.warmup == "error":
        length = f"the warm-up cannot end before iteration {end:,}, where log_every first gives a training error,"
    early = [milestone for milestone in recipe.milestones if milestone <= end]
    if end >= recipe.iterations:
        yield f"learning_rate {recipe.learning_rate:g}: never reached, since {length} and the run has {recipe.iterations:,}"
    elif early:
        yield f"learning_rate {recipe.learning_rate:g}: never reached, since {length} and a milestone is at {early[0]:,}"


def _warm_up_end(spec: RunSpec) -> int:
    """The first iteration that may have another rate than the warm-up's; 0 without a warm-up."""
    recipe = spec.recipe
    if recipe.warmup == "none" or spec.depth < recipe.warmup_from_depth:
        return 0
    return recipe.warmup_iterations if recipe.warmup == "iterations" else recipe.log_every


def _drops(spec: RunSpec, changed: set[str]) -> Iterator[str]:
    recipe, end = spec.recipe, _warm_up_end(spec)
    if recipe.schedule == "milestones":
        yield from _unused(changed, PLATEAU, "schedule is milestones")
        late = [milestone for milestone in recipe.milestones if milestone >= recipe.iterations]
        if late:
            yield f"milestones {', '.join(f'{m:,}' for m in late)}: no effect, since the run ends at {recipe.iterations:,}"
        any_drop = len(late) < len(recipe.milestones) and end < recipe.iterations
    else:
        drops = range(1, recipe.plateau_drops + 1)
        possible = sum(_earliest(recipe, drop) < recipe.iterations for drop in drops)
        any_drop = possible > 0
        if possible < recipe.plateau_drops:
            first = _earliest(recipe, possible + 1)
            yield (
                f"plateau_drops {recipe.plateau_drops}: at most {possible}, since with evaluate_every and plateau_patience drop "
                f"{possible + 1} cannot come before iteration {first:,} and the run ends at {recipe.iterations:,}"
            )
    if recipe.gamma == 1 and any_drop:
        yield "gamma 1: the rate never falls"
    elif not any_drop:
        yield from _unused(changed, ["gamma"], "the rate never falls")


def _earliest(recipe: Recipe, drop: int) -> int:
    """The first iteration at which drop number `drop` of a plateau schedule can come (`study.training.schedule`).

    The first evaluation after the warm-up is the best so far; each drop takes `plateau_patience` more.
    """
    warm_up = recipe.warmup_iterations if recipe.warmup == "iterations" else 0
    return (warm_up // recipe.evaluate_every + 1 + drop * recipe.plateau_patience) * recipe.evaluate_every


def _periods(spec: RunSpec) -> Iterator[str]:
    iterations = spec.recipe.iterations
    for field, every, instead in (
        ("recipe.evaluate_every", spec.recipe.evaluate_every, "evaluated at the end alone"),
        ("recipe.log_every", spec.recipe.log_every, "the running curve has one point, at the end"),
        ("probe_every", spec.probe_every, "probed at the start and the end alone"),
        ("snapshot_every", spec.snapshot_every, "kept at the start and the end alone"),
    ):
        by_default = field == "probe_every" and every == spec.recipe.evaluate_every
        if isinstance(every, int) and every > iterations and not by_default:
            yield f"{field.removeprefix('recipe.')} {every:,}: {instead}, since the run has {iterations:,} iterations"
    if spec.snapshot_every == "epoch" and spec.train_subset and spec.train_subset > iterations * spec.recipe.batch_size:
        yield "snapshot_every epoch: kept at the start and the end alone, since the run ends within the first epoch"


def _others(spec: RunSpec) -> Iterator[str]:
    recipe = spec.recipe
    size = DATA[spec.data].size
    if recipe.nesterov and recipe.momentum == 0:
        yield "nesterov: no effect, since momentum is 0"
    if size is not None and recipe.pad >= size:
        yield f"pad {recipe.pad}: some crops show nothing of their image, which has {size} pixels"
    if spec.train_subset is None and spec.train_subset_seed:
        yield f"train_subset_seed {spec.train_subset_seed}: no effect, since there is no train_subset"
    if spec.shortcut_scale == spec.branch_scale == 1:
        yield "shortcut scaled: the same as A, since both scales are 1"
    if spec.start_from is not None and spec.network == "plain" and spec.initialisation != "he_fan_in":
        yield f"initialisation {spec.initialisation}: no effect, since all layers come from start_from or pass on what they get"


def _unused(changed: Iterable[str], fields: Iterable[str], why: str) -> Iterator[str]:
    """A line on those of these fields that were changed."""
    named = [field for field in fields if field in changed]
    if named:
        yield f"{', '.join(named)}: no effect, since {why}"
