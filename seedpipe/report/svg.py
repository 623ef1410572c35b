"""A few SVG marks: enough for the charts of the report, small, without a plotting library.

Colours and line styles are CSS classes of the page, so that one drawing serves light mode, dark mode and paper. Every
text is escaped by :class:`markupsafe.Markup`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import floor, hypot, log10
from typing import TypeAlias

from markupsafe import Markup

__all__ = [
    "MARKS",
    "Box",
    "Point",
    "Scale",
    "circle",
    "clipped",
    "document",
    "line",
    "lines",
    "marks",
    "path",
    "steps",
    "text",
    "ticks",
]

Point: TypeAlias = tuple[float, float]

# A line may leave out points this near to it (in units of the drawing, about a pixel).
_NEGLIGIBLE = 0.3
# Outlines within a square of side 2 about the origin, told apart without colour.
MARKS: tuple[tuple[Point, ...], ...] = (
    ((-0.4, -0.9), (0.4, -0.9), (0.9, -0.4), (0.9, 0.4), (0.4, 0.9), (-0.4, 0.9), (-0.9, 0.4), (-0.9, -0.4)),
    ((0.0, -1.0), (0.95, 0.75), (-0.95, 0.75)),
    ((-0.8, -0.8), (0.8, -0.8), (0.8, 0.8), (-0.8, 0.8)),
    ((0.0, -1.1), (1.1, 0.0), (0.0, 1.1), (-1.1, 0.0)),
    ((0.0, 1.0), (-0.95, -0.75), (0.95, -0.75)),
    ((-1.0, -1.0), (0.0, -0.3), (1.0, -1.0), (0.3, 0.0), (1.0, 1.0), (0.0, 0.3), (-1.0, 1.0), (-0.3, 0.0)),
)


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


def marks(points: Sequence[Point], shape: int, size: float, kind: str, title: str = "") -> Markup:
    """Draw one of the :data:`MARKS` (again from the first after the last) at every point, with a tooltip for all."""
    outline = MARKS[shape % len(MARKS)]
    drawn = "".join(_outline(point, outline, size) for point in points)
    inside = Markup("<title>{}</title>").format(title) if title else Markup("")
    return Markup('<path d="{}" class="{}">{}</path>').format(drawn, kind, inside)


def _outline(at: Point, outline: Sequence[Point], size: float) -> str:
    corners = [(size * x, size * y) for x, y in outline]
    sides = [(end[0] - start[0], end[1] - start[1]) for start, end in pairwise(corners)]
    return f"M{_joined([(at[0] + corners[0][0], at[1] + corners[0][1])])}l{_joined(sides)}z"


def steps(edges: Sequence[float], heights: Sequence[float], baseline: float, kind: str) -> Markup:
    """Draw a filled histogram: a height between each two edges, above a horizontal baseline."""
    rises = zip(heights, edges[1:], strict=True)
    drawn = "".join(f"V{_number(height)}H{_number(edge)}" for height, edge in rises)
    return Markup('<path d="M{},{}{}V{}Z" class="{}"/>').format(
        _number(edges[0]), _number(baseline), drawn, _number(baseline), kind
    )


def lines(ends: Iterable[tuple[Point, Point]], kind: str) -> Markup:
    """Draw several straight lines of a CSS class as one mark."""
    drawn = "".join(f"M{_joined([start])}L{_joined([end])}" for start, end in ends)
    return Markup('<path d="{}" class="{}"/>').format(drawn, kind)


def _sparse(points: Sequence[Point]) -> list[Point]:
    """Thin a line by the method of Ramer, Douglas and Peucker."""
    keep, open_ends = {0, len(points) - 1}, [(0, len(points) - 1)]
    while open_ends:
        first, last = open_ends.pop()
        far, distance = max(
            ((k, _distance(points[k], points[first], points[last])) for k in range(first + 1, last)),
            key=lambda found: found[1],
            default=(first, 0.0),
        )
        if distance > _NEGLIGIBLE:
            keep.add(far)
            open_ends += [(first, far), (far, last)]
    return [points[k] for k in sorted(keep)]


def _distance(point: Point, start: Point, end: Point) -> float:
    """Distance of a point from the line between two others, or from the first where they are one."""
    along_x, along_y = end[0] - start[0], end[1] - start[1]
    off_x, off_y = point[0] - start[0], point[1] - start[1]
    length = hypot(along_x, along_y)
    return abs(along_x * off_y - along_y * off_x) / length if length else hypot(off_x, off_y)


def _joined(points: Iterable[Point]) -> str:
    return " ".join(f"{_number(x)},{_number(y)}" for x, y in points)


def _number(value: float) -> str:
    """Write a coordinate to a tenth of a unit: equal bytes on every machine, and short."""
    shown = f"{value:.1f}".removesuffix(".0")
    return "0" if shown == "-0" else shown
