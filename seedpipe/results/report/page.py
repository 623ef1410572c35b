"""The page: views for the templates, and the templates' surroundings."""

from __future__ import annotations

import functools
import html
import re
from collections.abc import Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from seedpipe.errors import counted
from seedpipe.results import Report, Training
from seedpipe.results.report.charts import learning_chart, training_chart
from seedpipe.results.report.glossary import glossary
from seedpipe.results.report.listening import Heard, players
from seedpipe.results.report.sections import comparisons, paired, sections
from seedpipe.results.svg import Drawings
from seedpipe.results.tables.accuracy import accuracy_tables, by_method, seed_tables
from seedpipe.results.tables.formats import Table
from seedpipe.results.wording import enhancer_name

_MARKED = (
    "▼ measurably better and ▲ measurably worse than without the enhancer; an enhancer without a mark makes no "
    "measurable difference."
)


def render(report: Report, heard: Heard | None = None) -> tuple[str, str]:
    """Fill both templates: HTML that refers to nothing outside of itself, and Markdown without figures."""
    views = _views(report, heard)
    page = _environment(autoescape=True).get_template("template.html.j2").render(views)
    markdown = _environment(autoescape=False).get_template("template.md.j2").render(views)
    return page + "\n", markdown + "\n"


@functools.cache
def _environment(*, autoescape: bool) -> Environment:
    # Markdown has its own escaping (the filter "md"), applied by hand in its short template.
    environment = Environment(
        loader=PackageLoader("seedpipe.results.report", ""),
        autoescape=autoescape,  # noqa: S701
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(md=_markdown, count="{:,}".format, counted=counted, unbroken=_unbroken)
    return environment


def _views(report: Report, heard: Heard | None) -> dict[str, Any]:
    evaluations, drawings = report.evaluations, Drawings()
    tables, laid_out = accuracy_tables(by_method(evaluations)), sections(report, drawings)
    return {
        "report": report,
        "drawings": drawings,
        "sections": laid_out,
        "answers": [section["sentence"] for section in laid_out if section["in_full"]],
        "comparisons": comparisons(report, drawings),
        "paired": paired(report),
        "data": ", ".join(
            dict.fromkeys(
                f"{e.list}: {counted(e.trials, 'trial')} of {counted(e.speakers, 'speaker')}" for e in evaluations
            )
        ),
        "tables": tables,
        "key": _key(tables, alone=all(one.alone for one in evaluations)),
        "seed_tables": seed_tables(evaluations),
        "trained": [_trained(drawings, _spelt(name), training) for name, training in report.training.items()],
        "heard": heard,
        "players": players(heard, drawings),
        "lists": list(
            dict.fromkeys(
                (e.list, e.trials, e.targets, e.speakers, e.utterances, e.utterance_rule) for e in evaluations
            )
        ),
        "glossary": glossary(report),
    }


def _key(tables: Sequence[Table], *, alone: bool) -> str:
    """Explain the marks of the first tables, as far as they occur."""
    figures = [figure for table in tables for row in table.rows for cell in row.cells for figure in cell]
    untested = any(figure.verdict == "untested" for figure in figures)
    several = any(figure.deviation for figure in figures)
    sentences = (
        "Bold: the lowest of one network in a column." if any(figure.best for figure in figures) else "",
        "" if alone else _MARKED,
        "? without an interval: the list names too few speakers." if untested else "",
        "±: mean and standard deviation over training seeds, with a mark where all of them have it." if several else "",
    )
    return " ".join(filter(None, sentences))


def _spelt(name: str) -> str:
    """Spell the key of a training as the page does: "dvector/seed" becomes "dvector → SEED"."""
    network, _, enhancer = name.partition("/")
    return f"{network} → {enhancer_name(enhancer)}" if enhancer else network


def _trained(drawings: Drawings, name: str, training: Training) -> dict[str, Any]:
    """Name, training, duration in words, and the curves that there are."""
    seconds = training.seconds
    return {
        "name": name,
        "training": training,
        "duration": f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min",
        "chart": training_chart(drawings, name, training) if len(training.curve) > 1 else None,
        "learning": learning_chart(drawings, name, training) if len(training.growth) > 1 else None,
    }


def _unbroken(sentence: str) -> str:
    """Keep a number and its unit, the two ends of an interval, and the two sides of an equation on one line."""
    return re.sub(r" (?=[%=])|(?<==) |(?<=,) (?=[^\[\]]*\])", "\N{NO-BREAK SPACE}", sentence)


def _markdown(value: object) -> str:
    """Escape a value for a line or a table cell of Markdown, in which HTML is live too."""
    flat = " ".join(str(value).split())
    escaped = html.escape(flat, quote=False)
    for special in "\\`*_[]|":
        escaped = escaped.replace(special, "\\" + special)
    return escaped
