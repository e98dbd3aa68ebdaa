"""Remarks on a run whose settings cannot have the effect that they name. It is trained all the same, so these are warnings."""

from __future__ import annotations

from collections.abc import Iterator

from study.config.components import Options
from study.config.run import RunSpec


def remarks(spec: RunSpec) -> list[str]:
    """A line for each setting of a run without effect, with the reason."""
    return [*_components(spec), *_rates(spec), *_periods(spec)]


def _components(spec: RunSpec) -> Iterator[str]:
    for model in (spec, spec.recipe):
        for name, chosen in model:
            if isinstance(chosen, Options) and (why := chosen.remark()):
                yield f"{name} {chosen.name}: {why}"
    if spec.train_subset is None and spec.train_subset_seed:
        yield f"train_subset_seed {spec.train_subset_seed}: no effect without train_subset"


def _rates(spec: RunSpec) -> Iterator[str]:
    """Learning rates that the run never reaches."""
    recipe, warmup = spec.recipe, spec.recipe.warmup
    milestones = recipe.schedule.options.get("at", ())
    if late := [f"{milestone:,}" for milestone in milestones if milestone >= recipe.iterations]:
        yield f"milestones {', '.join(late)}: no effect, since the run ends at {recipe.iterations:,}"
    if warmup.name == "none" or spec.depth < warmup.from_depth:
        return
    # A warm-up by error ends at the first point of the running curve at the earliest.
    end = warmup.iterations if warmup.name == "iterations" else recipe.log_every
    if end >= min([recipe.iterations, *milestones]):
        yield f"learning_rate {recipe.learning_rate:g}: never reached, since the warm-up lasts at least {end:,} iterations"


def _periods(spec: RunSpec) -> Iterator[str]:
    """Periods longer than the run, so that its curves have one point."""
    for field in ("evaluate_every", "log_every"):
        every = getattr(spec.recipe, field)
        if every > spec.recipe.iterations:
            yield f"{field} {every:,}: longer than the run, which has {spec.recipe.iterations:,} iterations"
