"""The table as a drawing: a bar per system, in parts for front end, network and enhancer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup

from seedpipe.bench.measurement import Measurement
from seedpipe.bench.result import Result
from seedpipe.bench.systems import STAGES
from seedpipe.files import StrPath, whole_file, write_text
from seedpipe.results import figures
from seedpipe.results.svg import Drawings

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH, ROW = 760.0, 24.0
TOP, GAP, BOTTOM = (
    64.0,
    76.0,
    68.0,
)  # legend and heading; numbers, name and heading; numbers, name and what was measured
LETTER = 7.5  # width of a letter, on average
FIGURES = 190.0  # room for the figures behind the longest bar
STYLE = Markup("""
:root { --page: #fff; --ink: #1c2126; --soft: #5a646e; --grid: #e6e9ec; --before: #747d86; --after: #0072b2;
  --other: #d55e00; font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
@media (prefers-color-scheme: dark) { :root { --page: #15181b; --ink: #e6e9ec; --soft: #a2abb4; --grid: #2a3036;
  --before: #a2abb4; --after: #66b2f2; --other: #f0a15a; } }
.page { fill: var(--page) }
text { paint-order: stroke; stroke: var(--page); stroke-width: 3px; font-variant-numeric: tabular-nums }
""")


def write_chart(result: Result, path: StrPath) -> None:
    """Write the drawing as a file of its own; it follows the light or dark mode of the reader."""
    with whole_file(Path(path)) as partial:
        write_text(partial, cost_chart(result))


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
    batches = list(dict.fromkeys(row.batch for row in result.rows))
    left = 24.0 + LETTER * max(len(row.system) for row in result.rows)
    groups = sum(list(row.stages) == ["network"] for row in result.rows)
    height = TOP + BOTTOM + GAP * (len(batches) - 1) + ROW * (len(result.rows) + 0.33 * groups)

    def paint(axes: Sequence[Axes]) -> None:
        for one, batch in zip(axes, batches, strict=True):
            _panel(one, [row for row in result.rows if row.batch == batch])
            heading = f"{batch} utterance{'s' if batch > 1 else ''} of {result.seconds:g} s at a time"
            one.set_title(heading, loc="left", fontsize=12.0, fontweight="bold")
        axes[0].legend(
            loc="lower left", bbox_to_anchor=(0.0, 1.0 + 22.0 / ROW / len(result.rows) * len(batches)), ncols=3
        )
        axes[-1].annotate(
            result.title, (16.0, 12.0), xycoords="figure points", color=figures.SOFT, annotation_clip=False
        )

    drawings = Drawings()
    label = "Real-time factor of networks, alone, with enhancers and behind a front end; the numbers are in the table"
    drawing = drawings.draw(
        label, (WIDTH, height), paint, margins=(left, FIGURES, TOP, BOTTOM), heights=[1.0] * len(batches), gap=GAP
    )
    opening = Markup('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {0:g} {1:g}" width="{0:g}">\n')
    style = Markup("<style>{}{}</style>\n").format(STYLE, drawings.style)
    page = Markup('<rect width="100%" height="100%" class="page"/>\n')
    return opening.format(WIDTH, height) + style + drawings.marks + page + drawing + Markup("\n</svg>\n")


def _panel(axes: Axes, rows: Sequence[Measurement]) -> None:
    """The parts of a bar share its length as the stages share the time."""
    present = [stage for stage in STAGES if any(stage in row.stages for row in rows)]
    unit = [row.real_time_factor / sum(row.stages.values()) for row in rows]
    stages = {
        stage: [row.stages.get(stage, 0.0) * scale for row, scale in zip(rows, unit, strict=True)] for stage in present
    }
    figures.cost(axes, [row.system for row in rows], stages, [_figures(row) for row in rows])


def _figures(row: Measurement) -> str:
    share = "" if row.enhancer_share is None else f", enhancer {100 * row.enhancer_share:.1f} %"
    return f"{row.real_time_factor:.4f}{share}"
