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
    "group",
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
_NEGLIGIBLE = 0.5
# Outlines about 8 units across, told apart without colour: the first corner as seen from the centre, and the way round.
MARKS: tuple[tuple[Point, str], ...] = (
    ((0.0, -3.0), "a3.3 3.3 0 1 0 .1 0z"),
    ((0.0, -4.0), "l4 7h-8z"),
    ((-3.0, -3.0), "h6v6h-6z"),
    ((0.0, -4.0), "l4 4-4 4-4-4z"),
    ((0.0, 4.0), "l4-7h-8z"),
    ((-4.0, -4.0), "l4 3 4-3-3 4 3 4-4-3-4 3 3-4z"),
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


def group(parts: Iterable[Markup], kind: str = "") -> Markup:
    """Put marks together, with one CSS class for all; a page that has equal ones draws them once."""
    return Markup("<g{}>{}</g>").format(_class(kind), Markup("").join(parts))


def line(start: Point, end: Point, kind: str) -> Markup:
    """Draw a straight line of a CSS class."""
    return lines([(start, end)], kind)


def lines(ends: Iterable[tuple[Point, Point]], kind: str) -> Markup:
    """Draw several straight lines of a CSS class as one mark."""
    data, last = "", (0.0, 0.0)
    for start, end in (map(_to_a_tenth, both) for both in ends):
        data += f"m{_joined(_way(last, start))}{_step(*_way(start, end))}"
        last = end
    return _path(data, kind)


def circle(centre: Point, radius: float, kind: str = "", title: str = "") -> Markup:
    """Draw a dot, with a tooltip."""
    x, y, r = (_number(v) for v in (*centre, radius))
    return Markup('<circle cx="{}" cy="{}" r="{}"{}{}').format(x, y, r, _class(kind), _end("circle", title))


def text(at: Point, words: str, kind: str = "") -> Markup:
    """Write words; `kind` may hold ``end`` or ``middle`` for the alignment, and other CSS classes."""
    x, y = (_number(v) for v in at)
    return Markup('<text x="{}" y="{}"{}>{}</text>').format(x, y, _class(kind), words)


def path(points: Sequence[Point], kind: str) -> Markup:
    """Draw a line through points to the nearest unit, leaving out those that nobody could see."""
    corners = [(round(x), round(y)) for x, y in _sparse(points)]
    return _path(f"M{_joined(corners[0])}{''.join(_step(*_way(*ends)) for ends in pairwise(corners))}", kind)


def marks(places: Iterable[tuple[Point, int]], kind: str, title: str = "") -> Markup:
    """Draw one of the :data:`MARKS` (again from the first after the last) at every point, with a tooltip for all."""
    data, last = "", (0, 0)
    for (x, y), shape in places:
        (across, down), outline = MARKS[shape % len(MARKS)]
        corner = round(x + across), round(y + down)
        data += f"m{_joined(_way(last, corner))}{outline}"
        last = corner
    return _path(data, kind, title)


def steps(edges: Sequence[float], heights: Sequence[float], baseline: float, kind: str) -> Markup:
    """Draw filled bars side by side: a height between each two edges, above a horizontal baseline."""
    rises = "".join(f"V{_number(height)}H{_number(edge)}" for height, edge in zip(heights, edges[1:], strict=True))
    return _path(f"M{_joined([edges[0], baseline])}{rises}V{_number(baseline)}z", kind)


def _path(data: str, kind: str, title: str = "") -> Markup:
    return Markup('<path d="{}"{}{}').format(data, _class(kind), _end("path", title))


def _class(kind: str) -> Markup:
    return Markup(' class="{}"').format(kind) if kind else Markup("")


def _end(name: str, title: str) -> Markup:
    return Markup("><title>{}</title></{}>").format(title, name) if title else Markup("/>")


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


def _to_a_tenth(point: Point) -> Point:
    return round(point[0], 1), round(point[1], 1)


def _way(start: Point, end: Point) -> Point:
    """Write places as ways from the last one, which have fewer digits."""
    return end[0] - start[0], end[1] - start[1]


def _step(across: float, down: float) -> str:
    if across and down:
        return f"l{_joined([across, down])}"
    return f"v{_number(down)}" if down else f"h{_number(across)}"


def _joined(values: Iterable[float]) -> str:
    return " ".join(map(_number, values)).replace(" -", "-")


def _number(value: float) -> str:
    """Write a coordinate to a tenth of a unit: equal bytes on every machine, and short."""
    shown = f"{abs(value):.1f}".removesuffix(".0").removeprefix("0")
    return ("-" if value < 0.0 and shown else "") + (shown or "0")
