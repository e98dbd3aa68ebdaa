"""Remarks on settings that can never have an effect. Such runs are trained all the same."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from study.config.components import Options
from study.config.recipes import Recipe
from study.config.registry import DATA, FAMILIES
from study.config.run import RunSpec
from study.config.stored import registry


def remarks(spec: RunSpec) -> list[str]:
    """A line for each field of a run that can never have an effect, with the reason."""
    return [*_components(spec), *_warm_up(spec), *_drops(spec), *_periods(spec), *_others(spec)]


_LAYERS = {"block": "basic", "shortcut": "A", "order": "original", "norm": "batch", "activation": "relu"}
"""Fields of built-in families, and what they usually are."""


def unused(specs: Collection[RunSpec]) -> Iterator[str]:
    """A line for each family of the user's own, on fields that only built-in families read, and runs that differ in them."""
    for name in dict.fromkeys(spec.family.name for spec in specs):
        if FAMILIES[name].source is None:
            continue
        own = [spec for spec in specs if spec.family.name == name]
        fields = [field for field in _LAYERS if any(_is_set(spec, field) for spec in own)]
        fields += ["zero_gamma"] * any(spec.zero_gamma for spec in own)
        fields += ["recipe.stochastic_depth"] * any(spec.recipe.stochastic_depth is not None for spec in own)
        if not fields:
            continue
        rest: Any = {**dict.fromkeys([*_LAYERS, "zero_gamma"], True), "recipe": {"stochastic_depth"}}
        twins = len(own) - len({spec.model_dump_json(exclude=rest) for spec in own})
        same = f"; {twins} of {len(own)} runs differ from another in these alone, and train the same network"
        unless = "unless it is made of study's blocks"
        yield f"family {name}: no effect of {', '.join(fields)}, {unless}{same if twins else ''}"


def _is_set(spec: RunSpec, field: str) -> bool:
    chosen, table = getattr(spec, field), registry(RunSpec, field)
    return chosen is not None and table is not None and chosen != table.choose(_LAYERS[field])


def _components(spec: RunSpec) -> Iterator[str]:
    """What the chosen components say of their own options."""
    for model in (spec, spec.recipe):
        for name, chosen in model:
            if isinstance(chosen, Options) and (why := chosen.remark()):
                yield f"{name} {chosen.name}: {why}"


def _warm_up(spec: RunSpec) -> Iterator[str]:
    recipe, warmup = spec.recipe, spec.recipe.warmup
    if warmup.name == "none" or spec.depth < warmup.from_depth:
        return  # a depth limit is there so that one recipe serves all depths
    if warmup.rate == recipe.learning_rate:
        yield f"warmup: no effect, since its rate is learning_rate ({recipe.learning_rate:g})"
    end = _warm_up_end(spec)
    length = f"the warm-up lasts {end:,} iterations"
    if warmup.name == "error":
        length = f"the warm-up cannot end before iteration {end:,}, where log_every first gives a training error,"
    early = [milestone for milestone in recipe.schedule.options.get("at", ()) if milestone <= end]
    if end >= recipe.iterations:
        yield f"learning_rate {recipe.learning_rate:g}: never reached, since {length} and the run has {recipe.iterations:,}"
    elif early:
        yield f"learning_rate {recipe.learning_rate:g}: never reached, since {length} and a milestone is at {early[0]:,}"


def _warm_up_end(spec: RunSpec) -> int:
    """The first iteration that may have another rate than the warm-up's; 0 without a warm-up."""
    warmup = spec.recipe.warmup
    if warmup.name == "none" or spec.depth < warmup.from_depth:
        return 0
    return int(warmup.iterations) if warmup.name in ("iterations", "linear") else spec.recipe.log_every


def _drops(spec: RunSpec) -> Iterator[str]:
    recipe, schedule = spec.recipe, spec.recipe.schedule
    if schedule.name == "milestones":
        late = [milestone for milestone in schedule.at if milestone >= recipe.iterations]
        if late:
            yield f"milestones {', '.join(f'{m:,}' for m in late)}: no effect, since the run ends at {recipe.iterations:,}"
        any_drop = len(late) < len(schedule.at) and _warm_up_end(spec) < recipe.iterations
    elif schedule.name == "plateau":
        possible = sum(_earliest(recipe, drop) < recipe.iterations for drop in range(1, schedule.drops + 1))
        any_drop = possible > 0
        if possible < schedule.drops:
            first = _earliest(recipe, possible + 1)
            yield (
                f"schedule.drops {schedule.drops}: at most {possible}, since with evaluate_every and schedule.patience drop "
                f"{possible + 1} cannot come before iteration {first:,} and the run ends at {recipe.iterations:,}"
            )
    else:
        return
    if schedule.gamma == 1 and any_drop:
        yield "schedule.gamma 1: the rate never falls"


def _earliest(recipe: Recipe, drop: int) -> int:
    """The first iteration at which drop number `drop` of a plateau schedule can come (`study.training.schedule`).

    The first evaluation after the warm-up is the best so far; each drop takes `patience` more.
    """
    warm_up = recipe.warmup.iterations if recipe.warmup.name in ("iterations", "linear") else 0
    return int((warm_up // recipe.evaluate_every + 1 + drop * recipe.schedule.patience) * recipe.evaluate_every)


def _periods(spec: RunSpec) -> Iterator[str]:
    iterations = spec.recipe.iterations
    for field, every, instead in (
        ("evaluate_every", spec.recipe.evaluate_every, "evaluated at the end alone"),
        ("log_every", spec.recipe.log_every, "the running curve has one point, at the end"),
        ("probe_every", spec.probe_every, "probed at the start and the end alone"),
        ("snapshot_every", spec.snapshot_every, "kept at the start and the end alone"),
    ):
        by_default = field == "probe_every" and every == spec.recipe.evaluate_every
        if isinstance(every, int) and every > iterations and not by_default:
            yield f"{field} {every:,}: {instead}, since the run has {iterations:,} iterations"
    if spec.snapshot_every == "epoch" and spec.train_subset and spec.train_subset > iterations * spec.recipe.batch_size:
        yield "snapshot_every epoch: kept at the start and the end alone, since the run ends within the first epoch"


def _others(spec: RunSpec) -> Iterator[str]:
    recipe, size = spec.recipe, DATA[spec.data.name].size
    if size is not None and recipe.pad >= size:
        yield f"pad {recipe.pad}: some crops show nothing of their image, which has {size} pixels"
    if spec.train_subset is None and spec.train_subset_seed:
        yield f"train_subset_seed {spec.train_subset_seed}: no effect, since there is no train_subset"
    if spec.start_from is not None and spec.network == "plain" and spec.initialisation.name != "he_fan_in":
        yield (
            f"initialisation {spec.initialisation.name}: no effect, since every layer comes from start_from or is an identity"
        )
