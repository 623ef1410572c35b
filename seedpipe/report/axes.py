"""Axes, grids and error bars that the charts share."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from seedpipe.report.svg import Box, Point, Scale, line, lines, text
from seedpipe.report.wording import MINUS, interval, percent

__all__ = ["grid_x", "grid_y", "shortened", "spoken", "whisker"]

_LONGEST_NAME = 15
_TICK_WIDTH = 18.0


def grid_x(box: Box, scale: Scale, values: Sequence[float], name: str) -> Markup:
    """Draw vertical grid lines with numbers below, and the name of the axis; rates appear as percentages."""
    grid = line((box.left, box.bottom), (box.right, box.bottom), "axis")
    grid += lines((((x, box.top), (x, box.bottom)) for x in map(scale, values)), "grid")
    last = -_TICK_WIDTH
    for value in values:
        x = scale(value)
        if x - last >= _TICK_WIDTH:
            grid += text((x, box.bottom + 16), _tick(value, name), "middle tick")
            last = x
    return grid + text(((box.left + box.right) / 2, box.bottom + 33), name, "middle axis-name")


def grid_y(box: Box, scale: Scale, values: Sequence[float], name: str) -> Markup:
    """Draw horizontal grid lines with numbers to the left, and the name of the axis above."""
    grid = line((box.left, box.top), (box.left, box.bottom), "axis")
    grid += lines((((box.left, y), (box.right, y)) for y in map(scale, values)), "grid")
    for value in values:
        grid += text((box.left - 6, scale(value) + 4), _tick(value, name), "end tick")
    return grid + text((0.0, box.top - 10), name, "axis-name")


def _tick(value: float, name: str) -> str:
    shown = f"{100.0 * value:g}" if name.endswith("%") else f"{value:g}"
    return shown.replace("-", MINUS)


def whisker(low: Point, high: Point, kind: str) -> Markup:
    """Draw an error bar between two points, along or across the page."""
    across = (3.5, 0.0) if low[0] == high[0] else (0.0, 3.5)
    caps = [((x - across[0], y - across[1]), (x + across[0], y + across[1])) for x, y in (low, high)]
    return lines([(low, high), *caps], f"whisker {kind}")


def spoken(who: str, value: float, low: float | None, high: float | None) -> str:
    """Say a rate and its interval, for a tooltip: "noise, network: 22.9 % [20.1, 25.3]"."""
    return f"{who}: {percent(value)} % {interval(low, high, 1, 100)}".rstrip()


def shortened(name: str) -> str:
    """Cut a name that would leave the drawing."""
    return name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…"
