"""A few SVG marks: enough for the charts of the report, small, without a plotting library.

Colours and line styles are CSS classes of the page, so that one drawing serves light mode, dark mode and paper. Every
text is escaped by :class:`markupsafe.Markup`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import floor, log10
from typing import TypeAlias

from markupsafe import Markup

__all__ = ["Box", "Point", "Scale", "area", "circle", "clipped", "document", "line", "path", "text", "ticks"]

Point: TypeAlias = tuple[float, float]

# Points closer than this (in units of the drawing, about a pixel) look like one.
_NEGLIGIBLE = 0.6


def _same(value: float) -> float:
    return value


@dataclass(frozen=True)
class Scale:
    """A straight map from data to the drawing, after an optional transform.

    Attributes
    ----------
    low, high : float
        Ends of the data.
    start, end : float
        Where they are drawn; `start` may be above `end`, as for a vertical axis.
    transform : callable
        Applied to the data first; the probit for a DET plot.
    """

    low: float
    high: float
    start: float
    end: float
    transform: Callable[[float], float] = _same

    def __call__(self, value: float) -> float:
        """Place a value of the data in the drawing."""
        low, high = self.transform(self.low), self.transform(self.high)
        return self.start + (self.transform(value) - low) / (high - low) * (self.end - self.start)


@dataclass(frozen=True)
class Box:
    """The frame of a plot inside the drawing, in its units."""

    left: float
    top: float
    right: float
    bottom: float


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Choose round numbers (1, 2 or 5 times a power of ten apart) between two values."""
    rough = (high - low) / about
    power = 10.0 ** floor(log10(rough))
    step = next(factor * power for factor in (1.0, 2.0, 5.0, 10.0) if factor * power >= 0.7 * rough)
    first = -(-low // step)
    count = int((high - first * step) / step + 1e-9) + 1
    return [round((first + k) * step, 12) for k in range(count)]


def document(width: float, height: float, label: str, parts: Iterable[Markup]) -> Markup:
    """Wrap marks into one drawing that scales with its column and speaks its label to a screen reader."""
    body = Markup("").join(parts)
    return Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        _number(width), _number(height), label, body
    )


def clipped(box: Box, parts: Iterable[Markup]) -> Markup:
    """Hide what leaves the frame. A nested drawing clips by itself and needs no identifier, unlike a clip path."""
    x, y, width, height = (_number(v) for v in (box.left, box.top, box.right - box.left, box.bottom - box.top))
    opening = Markup('<svg x="{0}" y="{1}" width="{2}" height="{3}" viewBox="{0} {1} {2} {3}">')
    return opening.format(x, y, width, height) + Markup("").join(parts) + Markup("</svg>")


def line(start: Point, end: Point, kind: str) -> Markup:
    """Draw a straight line of a CSS class."""
    ends = (_number(v) for v in (*start, *end))
    return Markup('<line x1="{}" y1="{}" x2="{}" y2="{}" class="{}"/>').format(*ends, kind)


def circle(centre: Point, radius: float, kind: str, title: str = "") -> Markup:
    """Draw a dot of a CSS class, with a tooltip."""
    inside = Markup("<title>{}</title>").format(title) if title else Markup("")
    x, y, r = (_number(v) for v in (*centre, radius))
    return Markup('<circle cx="{}" cy="{}" r="{}" class="{}">{}</circle>').format(x, y, r, kind, inside)


def text(at: Point, words: str, kind: str = "") -> Markup:
    """Write words; `kind` may hold ``end`` or ``middle`` for the alignment, and other CSS classes."""
    x, y = (_number(v) for v in at)
    return Markup('<text x="{}" y="{}" class="{}">{}</text>').format(x, y, kind, words)


def path(points: Sequence[Point], kind: str) -> Markup:
    """Draw a line through points, leaving out those that nobody could see."""
    return Markup('<polyline points="{}" class="{}"/>').format(_joined(_sparse(points)), kind)


def area(points: Sequence[Point], baseline: float, kind: str) -> Markup:
    """Fill between points and a horizontal baseline."""
    closed = [(points[0][0], baseline), *points, (points[-1][0], baseline)]
    return Markup('<polygon points="{}" class="{}"/>').format(_joined(closed), kind)


def _sparse(points: Sequence[Point]) -> list[Point]:
    kept = [points[0]]
    for x, y in points[1:-1]:
        if abs(x - kept[-1][0]) + abs(y - kept[-1][1]) >= _NEGLIGIBLE:
            kept.append((x, y))
    return [*kept, points[-1]]


def _joined(points: Iterable[Point]) -> str:
    return " ".join(f"{_number(x)},{_number(y)}" for x, y in points)


def _number(value: float) -> str:
    """Write a coordinate to a tenth of a unit: equal bytes on every machine, and short."""
    shown = f"{value:.1f}".removesuffix(".0")
    return "0" if shown == "-0" else shown
