"""A time axis from which long stretches without any work are cut, so that what was done stays in sight."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from study.plotting import style

LONG = 1.0  # an idle stretch is cut where it is longer than all the work, in its times,
LEFT = 0.08  # and as much of it is left, in the same unit
APART = 0.14  # ticks are at least so far apart, in lengths of the axis
UNITS = ((180.0, 1.0, "s"), (3 * 3600.0, 60.0, "min"), (72 * 3600.0, 3600.0, "h"), (np.inf, 86_400.0, "days"))


class Cut(NamedTuple):
    """An idle stretch, in seconds since the first start."""

    begin: float
    end: float


class Scale(NamedTuple):
    """From seconds since the first start to places on the axis, which are seconds without what was cut, in `unit`s."""

    cuts: tuple[Cut, ...]
    left: float
    """Seconds that are left of each idle stretch that was cut."""
    unit: float
    name: str
    last: float

    def place(self, seconds: Iterable[float]) -> np.ndarray:
        """Places of times; NaN for NaN."""
        times = np.asarray(list(seconds), dtype=float)
        gone = np.zeros_like(times)
        for begin, end in self.cuts:
            inside = np.clip((times - begin) / (end - begin), 0, 1)
            gone += inside * (end - begin - self.left)
        places: np.ndarray = (times - gone) / self.unit
        return places

    def ticks(self) -> tuple[np.ndarray, list[str]]:
        """Places of round times, and what to write there: of each stretch of work its start, too, where that is cut off."""
        end = float(self.place([self.last])[0])
        step = np.diff(MaxNLocator(6, steps=[1, 2, 5, 10]).tick_values(0, end or 1))[0] * self.unit
        round_ones = np.arange(0, self.last + step / 2, step) if self.last / step < 10_000 else np.array([0.0])
        free = [t for t in round_ones if not any(cut.begin < t < cut.end for cut in self.cuts)]
        chosen: list[float] = []
        for time in [*(cut.end for cut in self.cuts), *free]:  # the starts have the first right to a place
            if all(abs(np.subtract(*self.place([time, other]))) >= APART * end for other in chosen):
                chosen.append(time)
        chosen.sort()
        digits = max(0, -int(np.floor(np.log10(step / self.unit))))
        texts = [f"{time / self.unit:,.{digits}f}" for time in chosen]
        return self.place(chosen), [text.rstrip("0").rstrip(".") if "." in text else text for text in texts]


def scale(begins: Sequence[float], ends: Sequence[float], last: float) -> Scale:
    """The scale for work in these stretches of time, in seconds, up to `last`."""
    idle, reached, busy = [], 0.0, 0.0
    for begin, end in sorted(zip(begins, ends, strict=True)):
        if begin > reached:
            idle.append(Cut(reached, begin))
        busy += max(0.0, end - max(begin, reached))
        reached = max(reached, end)
    cuts = tuple(cut for cut in idle if cut.end - cut.begin > LONG * busy > 0)
    unit, name = _unit(last - sum(cut.end - cut.begin for cut in cuts))
    return Scale(cuts, LEFT * busy, unit, name, last)


def _unit(length: float) -> tuple[float, str]:
    """Seconds of the unit that so many seconds are best told in, and its name."""
    return next((unit, name) for limit, unit, name in UNITS if length < limit)


def mark(axes: Axes, times: Scale, says: bool) -> None:
    """The ticks of the axis, and a double stroke where something is cut; how long it is, if it `says` so."""
    axes.set_xticks(*times.ticks())
    for cut in times.cuts:
        begin, end = times.place(cut)
        axes.axvspan(begin, end, color="white", zorder=4, linewidth=0, gid="cut")
        for side in (begin, end):
            axes.axvline(side, color=style.MUTED, linewidth=0.5, linestyle=(0, (3, 1.5)), zorder=4, gid="cut")
        if says:
            unit, name = _unit(cut.end - cut.begin)
            text = f"{(cut.end - cut.begin) / unit:.3g} {name} idle"
            middle, end = (begin + end) / 2, times.place([times.last])[0]
            side = "right" if middle > 0.8 * end else "left" if middle < 0.2 * end else "center"
            words = axes.annotate(
                text, (middle, 0.5), xycoords=("data", "axes fraction"), size=5.5, ha=side, va="center"
            )
            words.set_path_effects([withStroke(linewidth=1.5, foreground="white")])
            words.set_zorder(5)
