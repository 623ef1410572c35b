"""The report: one page that says whether an enhancement helped, and how sure that is.

- :func:`write_report`: a self-contained HTML page (no script, nothing fetched, charts inside) and a Markdown version.
- :func:`format_table`: the same table as plain text, for a terminal.
- :func:`headline`: the main result as sentences.
- :func:`write_plot_tables`: DET curves and score histograms as csv for ``dvc plots``.

All take the dictionary that the scoring stage writes as JSON; :mod:`seedpipe.results.report.schema` says what is in
it. The same dictionary gives the same bytes. Importing this package is cheap; templates and schema load on the first
call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ["format_table", "headline", "write_plot_tables", "write_report"]


def write_report(metrics: Mapping[str, Any], out_html: Path, out_markdown: Path | None = None) -> None:
    """Write the report as an HTML page and, if asked for, as Markdown.

    Parameters
    ----------
    metrics : mapping
        See :mod:`seedpipe.results.report.schema`. All rates are fractions.
    out_html : Path
        File to write; folders above it are made.
    out_markdown : Path, optional
        The same for the Markdown version.

    Raises
    ------
    MetricError
        A key of `metrics` is missing or impossible; the error names it.
    """
    from seedpipe.results.report.page import render
    from seedpipe.results.report.schema import parse

    html, markdown = render(parse(metrics))
    _write(out_html, html)
    if out_markdown is not None:
        _write(out_markdown, markdown)


def format_table(metrics: Mapping[str, Any]) -> str:
    """Lay the results out for a terminal of 90 columns.

    Parameters
    ----------
    metrics : mapping
        See :mod:`seedpipe.results.report.schema`.

    Returns
    -------
    str
        Per evaluation the main result in words and a table; ends with a line break.

    Raises
    ------
    MetricError
        A key of `metrics` is missing or impossible; the error names it.
    """
    from seedpipe.results.report.schema import parse
    from seedpipe.results.report.terminal import render_text

    return render_text(parse(metrics))


def headline(metrics: Mapping[str, Any]) -> list[str]:
    """Say the main result in words.

    Parameters
    ----------
    metrics : mapping
        See :mod:`seedpipe.results.report.schema`.

    Returns
    -------
    list of str
        One sentence per evaluation.

    Raises
    ------
    MetricError
        A key of `metrics` is missing or impossible; the error names it.
    """
    from seedpipe.results.report.schema import parse
    from seedpipe.results.report.wording import sentence

    report = parse(metrics)
    return [sentence(evaluation, synthetic=report.synthetic) for evaluation in report.evaluations]


def write_plot_tables(evaluations: Sequence[Mapping[str, Any]], folder: Path) -> None:
    """Write ``det.csv`` and ``histogram.csv``, of 2,000 rows at most, for ``dvc plots``.

    Parameters
    ----------
    evaluations : sequence of mapping
        Those of one network, enhancer and list, by scoring method; see :mod:`seedpipe.results.report.schema`.
    folder : Path
        Where to write; made where it is missing.

    Raises
    ------
    MetricError
        A key of `evaluations` is missing or impossible; the error names it.
    """
    from seedpipe.results.report import plots
    from seedpipe.results.report.schema import parse_evaluations

    checked = parse_evaluations(evaluations)
    plots.write_table(folder / "det.csv", plots.DET, plots.det_rows(checked))
    plots.write_table(folder / "histogram.csv", plots.HISTOGRAM, plots.histogram_rows(checked))


def _write(path: Path, text: str) -> None:
    from seedpipe.files import whole_file

    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="\n")
