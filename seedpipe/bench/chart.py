"""The table as a drawing: a bar per system, in parts for front end, network and enhancer."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

from markupsafe import Markup

from seedpipe.bench.measurement import STAGES, Measurement
from seedpipe.bench.result import Result
from seedpipe.files import whole_file
from seedpipe.results.report.svg import Box, Scale, document, line, steps, text, ticks

__all__ = ["cost_chart", "write_chart"]

WIDTH, MARGIN = 760.0, 16.0
ROW, BAR, GAP = 24.0, 15.0, 8.0
LETTER = 7.2  # width of a letter of 12.5 px, on average
FIGURES = 156.0  # room for the figures behind the longest bar
KINDS = dict(zip(STAGES, ("front", "network", "enhancer"), strict=True))
STYLE = Markup("""<style>
:root { --page: #fff; --ink: #1c2126; --soft: #5a646e; --grid: #e6e9ec; --network: #8b949c; --enhancer: #0b5fa5;
  --front: #b8560b; }
@media (prefers-color-scheme: dark) { :root { --page: #15181b; --ink: #e6e9ec; --soft: #a2abb4; --grid: #2a3036;
  --network: #87919a; --enhancer: #66b2f2; --front: #f0a15a; } }
.page { fill: var(--page); }
text { font: 12px system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; fill: var(--soft);
  font-variant-numeric: tabular-nums; }
.name { font-size: 12.5px; fill: var(--ink); paint-order: stroke; stroke: var(--page); stroke-width: 4px; }
.heading { font-size: 13px; font-weight: 600; fill: var(--ink); }
.end { text-anchor: end; } .middle { text-anchor: middle; } .tick { font-size: 11px; }
.grid { stroke: var(--grid); } .axis { stroke: var(--soft); }
.network { fill: var(--network); } .enhancer { fill: var(--enhancer); }
.front { fill: var(--front); fill-opacity: .3; stroke: var(--front); stroke-dasharray: 3 2; }
</style>
""")


def write_chart(result: Result, path: Path) -> None:
    """Write the drawing as a file of its own; it follows the light or dark mode of the reader."""
    with whole_file(path) as partial:
        partial.write_text(cost_chart(result), encoding="utf-8")


def cost_chart(result: Result) -> Markup:
    """Draw the real-time factor of every system, one panel for each batch size.

    Parameters
    ----------
    result : Result

    Returns
    -------
    Markup
        An SVG document.
    """
    left = MARGIN + LETTER * max(len(row.system) for row in result.rows) + 8
    batches = list(dict.fromkeys(row.batch for row in result.rows))
    present = [stage for stage in STAGES if any(stage in row.stages for row in result.rows)]
    parts, top = [_legend(present, left)], 52.0
    for batch in batches:
        rows = [row for row in result.rows if row.batch == batch]
        box = Box(left, top + 28, WIDTH - MARGIN - FIGURES, top + 28 + _middles(rows)[-1] + ROW / 2)
        parts += [text((MARGIN, top + 14), _heading(batch, result.seconds), "heading"), _panel(rows, box)]
        top = box.bottom + 52
    parts.append(text((MARGIN, top), result.title, "tick"))
    label = "Real-time factor of networks, alone, with enhancers and behind a front end; the numbers are in the table"
    height = top + MARGIN
    page = steps([0, WIDTH], [0], height, "page")
    opening = Markup('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {0:.0f} {1:.0f}" width="{0:.0f}">\n')
    drawing = document(WIDTH, height, label, [page, *parts])
    return opening.format(WIDTH, height) + STYLE + drawing + Markup("\n</svg>\n")


def _heading(batch: int, seconds: float) -> str:
    return f"{batch} utterance{'s' if batch > 1 else ''} of {seconds:g} s at a time"


def _legend(stages: Sequence[str], left: float) -> Markup:
    drawn, x = Markup(""), left
    for stage in stages:
        drawn += _bar(x, x + 22, 22.0, KINDS[stage]) + text((x + 29, 26), stage, "name")
        x += 29 + LETTER * len(stage) + 26
    return drawn


def _panel(rows: Sequence[Measurement], box: Box) -> Markup:
    highest = max(row.real_time_factor for row in rows)
    scale = Scale(0.0, highest, box.left, box.right)
    drawn = Markup("")
    for tick in ticks(0.0, highest):
        x = scale(tick)
        drawn += line((x, box.top), (x, box.bottom), "grid") + text((x, box.bottom + 16), f"{tick:g}", "middle tick")
    for row, middle in zip(rows, _middles(rows), strict=True):
        drawn += _row(row, box.top + middle, scale)
    name = text((box.left, box.bottom + 32), "Real-time factor", "tick")
    return drawn + line((box.left, box.top), (box.left, box.bottom), "axis") + name


def _middles(rows: Sequence[Measurement]) -> list[float]:
    """Middle of each row below the top of the panel; a gap comes before a network alone, with which a group begins."""
    alone = [list(row.stages) == ["network"] for row in rows]
    gaps = accumulate(GAP * (number > 0 and begins) for number, begins in enumerate(alone))
    return [ROW * (number + 0.5) + gap for number, gap in enumerate(gaps)]


def _row(row: Measurement, middle: float, scale: Scale) -> Markup:
    """The parts of a bar share its length as the stages share the time."""
    drawn = text((scale.start - 8, middle + 4.5), row.system, "end name")
    start, whole = 0.0, sum(row.stages.values())
    for stage in STAGES:
        end = start + row.stages.get(stage, 0.0) / whole * row.real_time_factor
        if end > start:
            drawn += _bar(scale(start), scale(end), middle, KINDS[stage])
        start = end
    share = "" if row.enhancer_share is None else f", enhancer {100 * row.enhancer_share:.1f} %"
    return drawn + text((scale(start) + 8, middle + 4.5), f"{row.real_time_factor:.4f}{share}", "name")


def _bar(start: float, end: float, middle: float, kind: str) -> Markup:
    return steps([start, end], [middle - BAR / 2], middle + BAR / 2, kind)
