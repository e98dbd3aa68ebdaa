"""Compare the images that a sweep's results were trained on with the present ones."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from study.config.run import FOLDERS
from study.data import Survey, survey
from study.errors import StudyError
from study.launch.plan.state import WORK
from study.launch.sweep import Planned

OTHERS = "trained on different images"
PERHAPS = "trained before image files were changed"


def compared(planned: Planned, root: Path) -> tuple[Planned, list[str]]:
    """The plan, with a remark on each result trained on other images, and lines on the data sets.

    Nothing is downloaded or decoded: images never read here are not compared.
    """
    surveys: dict[tuple[Any, ...], Survey] = {}
    lines: dict[str, None] = {}
    counts: Counter[tuple[str, str, str]] = Counter()
    actions = []
    for action in planned.actions:
        spec = planned.sweep.runs[action.run_id]
        key = (spec.data, spec.train_subset, spec.train_subset_seed)
        begun = action.verb in ("keep", "resume")
        if key not in surveys and (spec.data.name in FOLDERS or begun):
            surveys[key] = Survey()
            subset: dict[str, Any] = {"train_subset": spec.train_subset, "train_subset_seed": spec.train_subset_seed}
            try:
                surveys[key] = survey(spec.data.name, root, **spec.data.options, **subset)
            except StudyError as error:
                if action.verb in WORK:
                    lines[f"note: {error}"] = None
            if surveys[key].summary:
                lines[f"{spec.dataset}: {surveys[key].summary}"] = None
        if begun and (words := _difference(action.disk.data_digest, surveys[key])):
            counts[spec.dataset, words, action.verb] += 1
            action = replace(action, reason=f"{action.reason}, {words}")
        actions.append(action)
    for (dataset, words, verb), count in counts.items():
        kind = "finished" if verb == "keep" else "interrupted"
        runs = f"1 {kind} run was" if count == 1 else f"{count:,} {kind} runs were"
        end = "be averaged or paired with new ones" if verb == "keep" else "go on with others"
        lines[
            f"note: {dataset}: {runs} {words}, and will not {end}; `--mode force` trains again, or give the new images a "
            "folder of their own"
        ] = None
    return replace(planned, actions=actions), list(lines)


def _difference(before: str | None, now: Survey) -> str:
    if before is None or now.fingerprint == before:
        return ""
    return OTHERS if now.fingerprint else PERHAPS if now.changed else ""
