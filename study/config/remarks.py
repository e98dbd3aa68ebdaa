"""Remarks on settings that can never have an effect. Such runs are trained all the same."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from study.config.components import Options
from study.config.differences import USUAL
from study.config.registry import FAMILIES
from study.config.run import RunSpec
from study.config.stored import registry


def remarks(spec: RunSpec) -> list[str]:
    """A line for each field of a run that can never have an effect, with the reason."""
    return [*_components(spec), *_schedule(spec), *_periods(spec)]


def _components(spec: RunSpec) -> Iterator[str]:
    for model in (spec, spec.recipe):
        for name, chosen in model:
            if isinstance(chosen, Options) and (why := chosen.remark()):
                yield f"{name} {chosen.name}: {why}"


def _schedule(spec: RunSpec) -> Iterator[str]:
    recipe, schedule, warmup = spec.recipe, spec.recipe.schedule, spec.recipe.warmup
    end = f"since the run ends at {recipe.iterations:,}"
    milestones = schedule.at if schedule.name == "milestones" else ()
    if late := [milestone for milestone in milestones if milestone >= recipe.iterations]:
        yield f"milestones {', '.join(f'{milestone:,}' for milestone in late)}: no effect, {end}"
    warm = warmup.options.get("iterations", 0) if spec.depth >= warmup.options.get("from_depth", 0) else 0
    if warm >= recipe.iterations:
        yield f"learning_rate {recipe.learning_rate:g}: never reached, since the warm-up lasts {warm:,} iterations"
    if schedule.name == "plateau":
        # The first evaluation after the warm-up is the best so far; a drop takes `patience` more.
        first = (warm // recipe.evaluate_every + 1 + schedule.patience) * recipe.evaluate_every
        if first >= recipe.iterations:
            yield f"schedule plateau: no drop, since none can come before iteration {first:,}, and the run ends earlier"


def _periods(spec: RunSpec) -> Iterator[str]:
    for field, every in (
        ("evaluate_every", spec.recipe.evaluate_every),
        ("log_every", spec.recipe.log_every),
        ("snapshot_every", spec.snapshot_every),
    ):
        if isinstance(every, int) and every > spec.recipe.iterations:
            yield f"{field} {every:,}: only at the end, since the run has {spec.recipe.iterations:,} iterations"
    if spec.train_subset is None and spec.train_subset_seed:
        yield f"train_subset_seed {spec.train_subset_seed}: no effect, since there is no train_subset"


_LAYERS = ("block", "shortcut", "order", "norm", "activation")
"""Fields that built-in families alone read."""


def unused(specs: Collection[RunSpec]) -> Iterator[str]:
    """A line for each family of the user's own, on fields that only built-in families read."""
    for name in dict.fromkeys(spec.family.name for spec in specs):
        own = [spec for spec in specs if spec.family.name == name]
        if FAMILIES[name].source is None:
            continue
        fields = [field for field in _LAYERS if any(_is_set(spec, field) for spec in own)]
        fields += ["zero_gamma"] * any(spec.zero_gamma for spec in own)
        fields += ["recipe.stochastic_depth"] * any(spec.recipe.stochastic_depth is not None for spec in own)
        if fields:
            yield f"family {name}: no effect of {', '.join(fields)}, unless it is made of study's blocks"


def _is_set(spec: RunSpec, field: str) -> bool:
    chosen, table = getattr(spec, field), registry(RunSpec, field)
    return chosen is not None and table is not None and chosen != table.choose(USUAL[field])
