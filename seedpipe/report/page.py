"""The page: views for the templates, and the templates' surroundings."""

from __future__ import annotations

import html
import re
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from seedpipe.report import charts, wording
from seedpipe.report.schema import Condition, Difference, Estimate, Evaluation, Report, Training

__all__ = ["render_html", "render_markdown"]

# A glyph and words besides the colour: readable in grey, and by a screen reader.
_MARKS = {
    "better": ("▼", "better"),
    "worse": ("▲", "worse"),
    "same": ("≈", "no measurable difference"),
    "untested": ("?", "not tested"),
}


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
    return template.render(report=report, sections=_sections(report), **_common(report)) + "\n"


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
    return template.render(report=report, sections=_sections(report), **_common(report)) + "\n"


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
    trained = [(name, training, _duration(training)) for name, training in report.training.items()]
    return {"glossary": wording.GLOSSARY, "charts": charts, "trained": trained}


def _sections(report: Report) -> list[dict[str, Any]]:
    return [_section(number, evaluation, report) for number, evaluation in enumerate(report.evaluations, start=1)]


def _section(number: int, evaluation: Evaluation, report: Report) -> dict[str, Any]:
    definitions = {s.eer_definition for c in evaluation.conditions for s in (c.systems.network, c.systems.seed)}
    return {
        "anchor": f"evaluation-{number}",
        "evaluation": evaluation,
        "title": _title(evaluation, report),
        "sentence": wording.sentence(evaluation, synthetic=report.synthetic),
        "rows": [_row(condition, wording.decimals(evaluation)) for condition in evaluation.conditions],
        "definitions": ", ".join(sorted(definitions)),
        "det_limits": charts.det_limits(evaluation),
    }


def _title(evaluation: Evaluation, report: Report) -> str:
    """Name network and list, and the scoring method where those two do not tell the evaluations apart."""
    alike = [e for e in report.evaluations if (e.network, e.list) == (evaluation.network, evaluation.list)]
    return f"{evaluation.network} on {evaluation.list}" + (f" ({evaluation.method})" if len(alike) > 1 else "")


def _row(condition: Condition, places: int) -> dict[str, Any]:
    network, seed, difference = condition.systems.network, condition.systems.seed, condition.difference
    return {
        "name": condition.condition,
        "eer": _cells(network.eer, seed.eer, difference.eer, places, 100.0),
        "min_dcf": _cells(network.min_dcf, seed.min_dcf, difference.min_dcf, 3, 1.0),
    }


def _cells(before: Estimate, after: Estimate, difference: Difference, places: int, scale: float) -> dict[str, str]:
    verdict = wording.verdict(difference)
    glyph, words = _MARKS[verdict]
    return {
        "before": wording.percent(before.value * scale / 100.0, places),
        "before_interval": wording.interval(before.low, before.high, places, scale),
        "after": wording.percent(after.value * scale / 100.0, places),
        "after_interval": wording.interval(after.low, after.high, places, scale),
        "change": wording.change(before, after),
        "difference": _difference(difference, places, scale),
        "p_value": "" if difference.p_value is None else f"p = {difference.p_value:.2g}",
        "verdict": verdict,
        "glyph": glyph,
        "words": words,
    }


def _difference(difference: Difference, places: int, scale: float) -> str:
    if difference.low is None:
        return ""
    value = wording.percent(difference.difference * scale / 100.0, places)
    return f"{value} {wording.interval(difference.low, difference.high, places, scale)}"


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
