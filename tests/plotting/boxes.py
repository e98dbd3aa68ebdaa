"""Whether the text of a figure is readable: none cut off, none overlapping."""

from itertools import combinations
from typing import Any
from unittest import mock

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

DPI = 300  # as pictures are saved: at less, letters snap to whole dots


def written(figure: Figure) -> list[Text]:
    """Every text that is drawn."""
    drawn: list[Text] = []

    def note(self: Text, renderer: Any) -> None:
        if self.get_visible() and self.get_text().strip():
            drawn.append(self)

    figure.set_dpi(DPI)
    with mock.patch.object(Text, "draw", note):
        FigureCanvasAgg(figure)
        figure.draw_without_rendering()
    return drawn


def unreadable(figure: Figure) -> list[str]:
    """Texts that leave the sheet, and pairs that overlap; boxes include the room for descenders."""
    boxes = [(text.get_text(), text.get_window_extent()) for text in written(figure)]
    page = figure.bbox
    faults = [
        f"cut off: {name}"
        for name, box in boxes
        if not (page.x0 <= box.x0 and box.x1 <= page.x1 and page.y0 <= box.y0 and box.y1 <= page.y1)
    ]
    for (name, box), (other, rival) in combinations(boxes, 2):
        across = min(box.x1, rival.x1) - max(box.x0, rival.x0)
        along = min(box.y1, rival.y1) - max(box.y0, rival.y0)
        if across > 2 and along > 0.3 * min(box.height, rival.height):
            faults.append(f"overlap: {name} | {other}")
    return faults
