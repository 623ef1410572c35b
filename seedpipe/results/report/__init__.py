"""The report: one page that says whether an enhancement helped, and how sure that is.

- :func:`write_report`: a self-contained HTML page (no script, nothing fetched, charts inside) and a Markdown version.
- :func:`format_table`: the same table as plain text, for a terminal.
- :func:`headline`: the main result as sentences.
- :func:`write_plot_tables`: DET curves and score histograms as csv for ``dvc plots``.

The first three take a :class:`seedpipe.results.Report`, or the dictionary that it is as JSON. The same report gives the
same bytes. Importing this package is cheap; templates load on the first call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seedpipe.files import StrPath
    from seedpipe.results import Evaluation, Report

__all__ = ["format_table", "headline", "write_plot_tables", "write_report"]


def write_report(metrics: Report | Mapping[str, Any], out_html: StrPath, out_markdown: StrPath | None = None) -> None:
    """Write the report as an HTML page and, if asked for, as Markdown.

    Parameters
    ----------
    metrics : Report or mapping
        See :mod:`seedpipe.results`. All rates are fractions.
    out_html : path
        File to write; folders above it are made.
    out_markdown : path, optional
        The same for the Markdown version.

    Raises
    ------
    MetricError
        A key of `metrics` is missing or impossible; the error names it.
    """
    from seedpipe.results.report.page import render

    html, markdown = render(_report(metrics))
    _write(Path(out_html), html)
    if out_markdown is not None:
        _write(Path(out_markdown), markdown)


def format_table(metrics: Report | Mapping[str, Any]) -> str:
    """Lay the results out for a terminal of 90 columns.

    Parameters
    ----------
    metrics : Report or mapping
        See :mod:`seedpipe.results`.

    Returns
    -------
    str
        Per evaluation the main result in words and a table; ends with a line break.

    Raises
    ------
    MetricError
        A key of `metrics` is missing or impossible; the error names it.
    """
    from seedpipe.results.report.terminal import render_text

    return render_text(_report(metrics))


def headline(metrics: Report | Mapping[str, Any]) -> list[str]:
    """Say the main result in words.

    Parameters
    ----------
    metrics : Report or mapping
        See :mod:`seedpipe.results`.

    Returns
    -------
    list of str
        One sentence per evaluation.

    Raises
    ------
    MetricError
        A key of `metrics` is missing or impossible; the error names it.
    """
    from seedpipe.results.wording import sentence

    report = _report(metrics)
    return [sentence(evaluation, synthetic=report.synthetic) for evaluation in report.evaluations]


def write_plot_tables(evaluations: Sequence[Evaluation], folder: StrPath) -> None:
    """Write ``det.csv`` and ``histogram.csv``, of 2,000 rows at most, for ``dvc plots``.

    Parameters
    ----------
    evaluations : sequence of Evaluation
        Those of one network, enhancer and list, by scoring method.
    folder : path
        Where to write; made where it is missing.
    """
    from seedpipe.results.report import plots

    plots.write_table(Path(folder, "det.csv"), plots.DET, plots.det_rows(evaluations))
    plots.write_table(Path(folder, "histogram.csv"), plots.HISTOGRAM, plots.histogram_rows(evaluations))


def _report(metrics: Report | Mapping[str, Any]) -> Report:
    from seedpipe.results.contents import Report

    return metrics if isinstance(metrics, Report) else Report.from_dict(metrics)


def _write(path: Path, text: str) -> None:
    from seedpipe.files import whole_file

    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="\n")
