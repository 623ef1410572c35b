"""Axes, grids and error bars that the charts share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from markupsafe import Markup

from seedpipe.results import Estimate
from seedpipe.results.report.svg import Box, Point, Scale, circle, group, line, lines, text
from seedpipe.results.report.wording import MINUS, interval, percent

__all__ = ["error_bars", "grid_x", "grid_y", "highest_rate", "rate_dot", "shortened"]

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
    grid += lines((((box.left, y), (box.right, y)) for y in map(scale, values) if y < box.bottom), "grid")
    for value in values:
        grid += text((box.left - 6, scale(value) + 4), _tick(value, name), "end tick")
    return grid + text((0.0, box.top - 10), name, "axis-name")


def _tick(value: float, name: str) -> str:
    shown = f"{100.0 * value:g}" if name.endswith("%") else f"{value:g}"
    return shown.replace("-", MINUS)


def highest_rate(estimates: Iterable[Estimate]) -> float:
    """Choose the upper end of an axis of rates, a fraction: a little above every interval."""
    return max(0.01, 1.05 * max(max(one.value, one.high or 0.0) for one in estimates))


def error_bars(estimates: Iterable[tuple[Estimate, Callable[[float], Point]]], kind: str) -> Markup:
    """Draw rates as dots with their intervals, each where its function places it, along or across the page."""
    dots, bars = [], []
    for estimate, place in estimates:
        dots.append(rate_dot(place(estimate.value), estimate))
        if estimate.low is not None and estimate.high is not None:
            bars += _bar(place(estimate.low), place(estimate.high))
    return lines(bars, f"whisker {kind}") + group(dots, f"dot {kind}")


def _bar(low: Point, high: Point) -> list[tuple[Point, Point]]:
    across = (3.5, 0.0) if low[0] == high[0] else (0.0, 3.5)
    below, above = (((x - across[0], y - across[1]), (x + across[0], y + across[1])) for x, y in (low, high))
    return [below, (low, high), above]


def rate_dot(at: Point, estimate: Estimate) -> Markup:
    """Draw a dot that tells its rate and interval: "22.9 % [20.1, 25.3]"."""
    shown = f"{percent(estimate.value)} % {interval(estimate.low, estimate.high, 1, 100.0)}"
    return circle(at, 4.0, title=shown.rstrip())


def shortened(name: str) -> str:
    """Cut a name that would leave the drawing."""
    return name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…"
