"""Whether a figure's texts can be read."""

from __future__ import annotations

from matplotlib.figure import Figure
from matplotlib.text import Text


def unreadable(figure: Figure) -> list[str]:
    """Texts of a drawn figure that are cut off by the page, or lie on another one."""
    figure.draw_without_rendering()
    texts = [text for text in figure.findobj(Text) if text.get_text().strip() and text.get_visible()]
    hidden = [axis for axes in figure.axes if not axes.axison for axis in (axes.xaxis, axes.yaxis)]
    off = {text for axis in hidden for text in axis.findobj(Text)}
    off |= {  # axes keep ticks beyond their limits
        text
        for axes in figure.axes
        for axis, low, high in ((axes.xaxis, *sorted(axes.get_xlim())), (axes.yaxis, *sorted(axes.get_ylim())))
        for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]
        for text in (tick.label1, tick.label2)
        if not low <= tick.get_loc() <= high or (text is tick.label2)
    }
    boxes = [(text, text.get_window_extent()) for text in texts if text not in off]
    page, found = figure.bbox, []
    for number, (text, box) in enumerate(boxes):
        if not (page.x0 <= box.x0 and box.x1 <= page.x1 and page.y0 <= box.y0 and box.y1 <= page.y1):
            found.append(f"{text.get_text()!r} is cut off")
        for other, there in boxes[:number]:
            across = min(box.x1, there.x1) - max(box.x0, there.x0)
            along = min(box.y1, there.y1) - max(box.y0, there.y0)
            if across > 0.5 and along > 0.3 * min(box.height, there.height):  # boxes count the room for descenders
                found.append(f"{text.get_text()!r} lies on {other.get_text()!r}")
    return found
