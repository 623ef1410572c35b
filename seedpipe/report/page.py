"""The page: views for the templates, and the templates' surroundings."""

from __future__ import annotations

import functools
import html
import re
from collections.abc import Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from seedpipe.report import charts
from seedpipe.report.glossary import glossary
from seedpipe.report.overview import Overview, overviews, seed_tables
from seedpipe.report.schema import Report, Training
from seedpipe.report.svg import marks
from seedpipe.report.views import sections
from seedpipe.report.wording import enhancer_name

__all__ = ["render_html", "render_markdown"]


def render_html(report: Report) -> str:
    """Fill the HTML template.

    Parameters
    ----------
    report : Report
        The checked metrics.

    Returns
    -------
    str
        A whole document that refers to nothing outside of itself.
    """
    template = _environment(autoescape=True).get_template("template.html.j2")
    return template.render(_common(report)) + "\n"


def render_markdown(report: Report) -> str:
    """Fill the Markdown template.

    Parameters
    ----------
    report : Report
        The checked metrics.

    Returns
    -------
    str
        Headings, sentences and pipe tables, no charts.
    """
    template = _environment(autoescape=False).get_template("template.md.j2")
    return template.render(_common(report)) + "\n"


@functools.cache
def _environment(*, autoescape: bool) -> Environment:
    # Markdown has its own escaping (the filter "md"), applied by hand in its short template.
    environment = Environment(
        loader=PackageLoader("seedpipe.report", ""),
        autoescape=autoescape,  # noqa: S701
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(md=_markdown, count="{:,}".format, unbroken=_unbroken)
    return environment


def _common(report: Report) -> dict[str, Any]:
    evaluations, tables = report.evaluations, overviews(report)
    return {
        "report": report,
        "sections": sections(report),
        "overviews": tables,
        "key": _key(tables),
        "seed_tables": seed_tables(report),
        "trained": [(_spelt(name), training, _duration(training)) for name, training in report.training.items()],
        "lists": list(
            dict.fromkeys(
                (e.list, e.trials, e.targets, e.speakers, e.utterances, e.utterance_rule) for e in evaluations
            )
        ),
        "glossary": glossary(report),
        "charts": charts,
        "marks": marks,
    }


def _key(tables: Sequence[Overview]) -> str:
    """Explain the marks of the first tables, as far as they occur."""
    rows = [row for table in tables for row in table.rows]
    figures = [figure for row in rows for cell in row.cells if cell for figure in (cell.eer, cell.min_dcf)]
    untested = any(figure.verdict == "untested" for figure in figures)
    sentences = (
        "Bold: the lowest of a network and its enhancers.",
        "▼ measurably better and ▲ measurably worse than the network alone; no mark, no measurable difference.",
        "? without an interval: the list names too few speakers." if untested else "",
        "A mean over training seeds has a mark where all of them have it."
        if any(row.seeds > 1 for row in rows)
        else "",
    )
    return " ".join(filter(None, sentences))


def _spelt(name: str) -> str:
    """Spell the key of a training as the page does: "dvector/seed" becomes "dvector → SEED"."""
    network, _, enhancer = name.partition("/")
    return f"{network} → {enhancer_name(enhancer)}" if enhancer else network


def _duration(training: Training) -> str:
    seconds = training.seconds
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _unbroken(sentence: str) -> str:
    """Keep a number and its unit, and the two ends of an interval, on one line."""
    return re.sub(r" (?=%)|(?<=,) (?=[^\[\]]*\])", "\N{NO-BREAK SPACE}", sentence)


def _markdown(value: object) -> str:
    """Escape a value for a line or a table cell of Markdown, in which HTML is live too."""
    flat = " ".join(str(value).split())
    escaped = html.escape(flat, quote=False)
    for special in "\\`*_[]|":
        escaped = escaped.replace(special, "\\" + special)
    return escaped
