"""What each run came to, sorted for comparison: condition, network, depth, seed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from study.config.differences import VARIANT
from study.errors import StudyError, nearest
from study.stats.naming import condition_words, distinguish, joined, network_title, texts
from study.stats.planned import CURVE_COLUMNS, planned, require
from study.store.runs import LOST

TRAINING = ("train_clean", "train")  # splits that can stand for the training error


@dataclass(frozen=True)
class Outcome:
    """What a run came to: its errors at the last iteration, in percent.

    Infinite for a run that diverged or was stopped at chance: worse than any number, and no number. NaN for an unfinished run.
    """

    run_id: str
    state: str
    train: float = math.nan
    test: float = math.nan

    @property
    def gap(self) -> float:
        """Test error minus training error, in points; NaN for a lost run, which has no errors to subtract."""
        return self.test - self.train

    def value(self, measure: str) -> float:
        """`train`, `test` or `gap`."""
        return float(getattr(self, measure))


@dataclass(frozen=True)
class Line:
    """One kind of network at all its depths; `outcomes[depth][seed]`, both in rising order."""

    network: str
    kind: tuple[tuple[str, Any], ...]  # the fields of VARIANT that are set
    outcomes: Mapping[int, Mapping[int, Outcome]]
    label: str = ""  # what distinguishes it from others of its network in its condition

    def name(self, *depths: int) -> str:
        """`plain-56`, or `ResNet-56 (B)` where the label is B; of two depths their difference, `ResNet-56 − ResNet-20 (B)`."""
        name = network_title(self.network, *(value for field, value in self.kind if field == "family"))
        return " − ".join(f"{name}-{depth}" for depth in depths) + (f" ({self.label})" if self.label else "")

    @property
    def title(self) -> str:
        """`residual`, or `residual (B)`."""
        return self.network + (f" ({self.label})" if self.label else "")

    @property
    def depths(self) -> list[int]:
        """The depths at which some run has come to a result, which a lost run is too."""
        return [d for d, seeds in self.outcomes.items() if any(not math.isnan(o.train) for o in seeds.values())]


@dataclass(frozen=True)
class Group:
    """A plain line and the residual lines that differ from it in the addition alone; one side may be missing."""

    condition: str
    plain: Line | None
    residuals: tuple[Line, ...]
    runs: pd.DataFrame = field(repr=False, compare=False)  # the planned runs of its lines, with `label`

    @property
    def lines(self) -> list[Line]:
        """Plain first."""
        return ([self.plain] if self.plain else []) + list(self.residuals)


def groups(curves: pd.DataFrame, runs: pd.DataFrame | None, training: str = "train_clean") -> list[Group]:
    """Sort the runs of one or several sweeps into what may be compared.

    Runs are compared only if everything but network, depth, variant and seed is equal: data, all fields of the recipe,
    training images, precision. Arguments as of `study.verdict`.
    """
    if training not in TRAINING:
        raise StudyError(f"unknown training split '{training}'{nearest(training, TRAINING)}")
    require(curves, [*CURVE_COLUMNS, "loss"], "curves")
    if not curves["error"].notna().any():
        count = len(runs) if runs is not None else curves["run_id"].nunique()
        raise StudyError(f"nothing to judge: none of the {count} runs has been evaluated yet")
    table = _labelled(curves, runs)
    errors = _last_errors(curves[curves["run_id"].isin(table.loc[table["state"] == "done", "run_id"])])
    sorted_out = []
    for _, here in table.groupby("key", sort=False):
        lines = list(_lines(here, errors, training))
        for plain, residuals in _matched(lines):
            kinds = {(line.network, line.kind) for line in [plain, *residuals] if line}
            mine = [(n, k) in kinds for n, k in zip(here["network"], here["kind"], strict=True)]
            sorted_out.append(Group(here["condition"].iloc[0], plain, residuals, here[mine]))
    return sorted_out


def _labelled(curves: pd.DataFrame, runs: pd.DataFrame | None) -> pd.DataFrame:
    """The planned runs with `key` and `condition` (what is equal, and its name), `kind`, `line` and `label`."""
    table = planned(curves, runs)
    words = condition_words(table)
    table["condition"] = joined(list(words.values()), table.index, ", ")
    table["key"] = list(zip(*texts(table).values(), table["condition"], strict=True))
    table["kind"] = pd.Series([_kind(row) for row in table[list(VARIANT)].to_dict("records")], table.index, object)
    names = [distinguish(group, "kind") for _, group in table.groupby("network")]
    table["line"] = pd.concat(names).reindex(table.index)
    bracketed = table["line"].map(lambda text: f"({text})" if text else "")
    table["label"] = joined([table["depth"].map(str), bracketed], table.index, " ")
    return table


def _kind(fields: Mapping[Any, Any]) -> tuple[tuple[str, Any], ...]:
    return tuple((str(name), value) for name, value in fields.items() if not pd.isna(value))


def _last_errors(curves: pd.DataFrame) -> dict[tuple[str, str], float]:
    """The error of each (run, split) at its last iteration."""
    last = curves.sort_values("iteration", kind="stable").drop_duplicates(["run_id", "split"], keep="last")
    keys = zip(last["run_id"], last["split"], strict=True)
    return dict(zip(keys, last["error"].astype(float), strict=True))


def _lines(here: pd.DataFrame, errors: Mapping[tuple[str, str], float], training: str) -> Iterator[Line]:
    for _, runs in here.groupby(["network", "kind"], sort=False):
        first = runs.iloc[0]
        outcomes: dict[int, dict[int, Outcome]] = {}
        for run_id, state, depth, seed in sorted(
            zip(runs["run_id"], runs["state"], runs["depth"], runs["seed"], strict=True), key=lambda row: row[2:]
        ):
            lost = math.inf if state in LOST else math.nan
            train, test = (errors.get((run_id, split), lost) for split in (training, "test"))
            outcome = Outcome(run_id, state, train, test)
            if (other := outcomes.setdefault(depth, {}).setdefault(seed, outcome)) is not outcome:
                raise StudyError(f"no field of the frame tells the runs {other.run_id} and {run_id} apart")
        yield Line(first["network"], first["kind"], outcomes, first["line"])


def _matched(lines: Sequence[Line]) -> Iterator[tuple[Line | None, tuple[Line, ...]]]:
    """Each plain line with the residual lines that have all its fields, then the residual lines that match none.

    One that fits several goes with that of most fields: ResNets of DiracNet's convolutions with its plain network. A plain
    network is the same in every order of BN, ReLU and addition, so it matches them all.
    """
    plains, left = ([line for line in lines if (line.network == "plain") is own] for own in (True, False))
    needed = [{(name, value) for name, value in plain.kind if name != "order"} for plain in plains]
    mates: dict[int, tuple[Line, ...]] = {}
    for place in sorted(range(len(plains)), key=lambda place: -len(needed[place])):
        mates[place] = tuple(line for line in left if needed[place] <= set(line.kind))
        left = [line for line in left if line not in mates[place]]
    yield from ((plain, mates[place]) for place, plain in enumerate(plains))
    if left:
        yield None, tuple(left)
