"""Plans of runs: which depend on others, what they cost, and which are trained together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from study.config.differences import check_stretch
from study.config.identity import point_id
from study.config.registry import DATA
from study.config.run import RunSpec
from study.errors import StudyError
from study.launch.plan.state import WORK, Action
from study.networks.count import macs
from study.store import runs as store
from study.store.find import run_of_point


def hold_dependents(actions: Sequence[Action], specs: Mapping[str, RunSpec], results: Path) -> list[Action]:
    """The actions, with `hold` for runs that start from an unfinished one.

    A run with a checkpoint no longer needs the one it started from. A StudyError has a line for each run that can never
    start, since the run it starts from is missing, is lost, or cannot be stretched to it.
    """
    if not any(spec.start_from for spec in specs.values()):
        return list(actions)
    wrong: dict[str, None] = {}
    found = []
    own = {(point_id(specs[action.run_id]), specs[action.run_id].seed): action for action in actions}
    for action in actions:
        spec = specs[action.run_id]
        begins = action.verb in WORK and (action.verb == "redo" or action.disk.iteration == 0)
        if begins and spec.start_from is not None:
            try:
                why = _unready(spec, own.get((spec.start_from, spec.seed)), specs, results)
            except StudyError as error:
                wrong[f"{spec.title} seed {spec.seed}: start_from: {error}"] = None
                continue
            if why:
                reason = f"starts from {spec.start_from} seed {spec.seed}, which {why}"
                action = replace(action, verb="hold", reason=reason)
        found.append(action)
    if wrong:
        raise StudyError(*wrong)
    return found


def _unready(spec: RunSpec, own: Action | None, specs: Mapping[str, RunSpec], results: Path) -> str:
    """Why a run waits for the one it starts from, `own` or one of another sweep; empty if it need not."""
    if own is not None:
        origin, state, unfinished = specs[own.run_id], own.disk.state, own.verb in WORK
    else:
        files = run_of_point(results, spec.start_from or "", spec.seed)
        if files is None:
            raise StudyError(f"no run {spec.start_from} with seed {spec.seed} under {results}/")
        origin, state, unfinished = store.read_spec(files), store.status(files).state, False
    check_stretch(origin, spec)
    ended = {"done": "", **store.LOST, "failed": "has failed"}
    if own is None and ended.get(state):
        raise StudyError(f"{spec.start_from} with seed {spec.seed} {ended[state]}, so nothing can start from it")
    return "is not trained yet" if unfinished else ended.get(state, "is not trained yet")


def missing_measurements(stored: RunSpec, asked: RunSpec) -> str:
    """What a finished run did not measure or keep, though the sweep asks for it; empty if nothing."""
    words = []
    if probes := ",".join(name for name in asked.probes if name not in stored.probes):
        words.append(
            f"not measured by {probes} in training; `study probe --probes {probes}` measures the final network"
        )
    for name in ("probe_every", "probe_images", "snapshot_every"):
        wanted, had = getattr(asked, name), getattr(stored, name)
        if wanted not in (None, had) and (stored.probes or not name.startswith("probe_")):
            words.append(f"{name} was {had or 'off'}, not {wanted}")
    return "; ".join([*words, "--mode force trains it again"]) if words else ""


def cost(spec: RunSpec) -> float:
    """Multiply-adds of a run, to order packs by. Relative within one data set."""
    data = DATA[spec.data.name]
    size = spec.data.options.get("image_size") or data.size or 32
    try:
        one = float(macs(spec, data.channels, data.classes or 10, size))
    except Exception:  # a network of the user's own that wants other images
        one = 1.0
    return one * 3 * spec.recipe.batch_size * spec.recipe.iterations


def packs(work: Sequence[str], specs: Mapping[str, RunSpec], size: int = 1, workers: int = 1) -> list[list[str]]:
    """Group runs into packs of at most `size` that can be trained side by side, the longest first.

    The runs of a pack share data set and precision; a run that decodes images while it trains is alone. There are as few
    packs as possible, but one for each of `workers` if there are enough runs.
    """
    groups: dict[object, list[str]] = {}
    for run_id in sorted(work, key=lambda item: -cost(specs[item])):
        spec = specs[run_id]
        alone = run_id if DATA[spec.data.name].streamed else ""
        key = (spec.data, spec.train_subset, spec.train_subset_seed, spec.precision, alone)
        groups.setdefault(key, []).append(run_id)
    dealt = []
    for group in groups.values():
        count = max(-(-len(group) // size), min(workers, len(group)))
        dealt += [group[first::count] for first in range(count)]
    return sorted(dealt, key=lambda pack: -sum(cost(specs[item]) for item in pack))


def by_seed(work: Collection[str], sweep: Mapping[str, RunSpec]) -> list[list[str]]:
    """The runs of `work` in rounds: the first seed that the sweep has of each network, then the second, and so on."""
    rounds, seen = dict[int, list[str]](), Counter[str]()
    for run_id in sorted(sweep, key=lambda item: sweep[item].seed):
        point = point_id(sweep[run_id])
        if run_id in work:
            rounds.setdefault(seen[point], []).append(run_id)
        seen[point] += 1
    return [rounds[place] for place in sorted(rounds)]
