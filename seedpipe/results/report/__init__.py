"""The report: one page that says whether an enhancement helped, and how sure that is.

- :func:`write_report`: a self-contained HTML page (no script, nothing fetched, figures inside) and a Markdown version.
- :func:`format_table`: the same table as plain text, for a terminal.
- :func:`headline`: the main result as sentences.
- :func:`write_plot_tables`: DET curves and score histograms as csv for ``dvc plots``.

The first three take a :class:`seedpipe.results.Report`, or the dictionary that it is as JSON, in which all rates are
fractions; a key that is missing or impossible is a MetricError that names it. The same report gives the same bytes.
Importing this package is cheap; matplotlib and templates load on the first call.
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
    """Write the report as an HTML page and, if asked for, as Markdown; folders above them are made.

    Parameters
    ----------
    metrics : Report or mapping
    out_html, out_markdown : path
        Files to write.
    """
    from seedpipe.files import whole_file
    from seedpipe.results.report.page import render

    for path, text in zip((out_html, out_markdown), render(_report(metrics)), strict=True):
        if path is not None:
            with whole_file(Path(path)) as partial:
                partial.write_text(text, encoding="utf-8", newline="\n")


def format_table(metrics: Report | Mapping[str, Any]) -> str:
    """Lay the results out for a terminal of 90 columns: per evaluation the main result in words and a table."""
    from seedpipe.results.report.terminal import render_text

    return render_text(_report(metrics))


def headline(metrics: Report | Mapping[str, Any]) -> list[str]:
    """Say the main result in words, one sentence per evaluation."""
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
    from seedpipe.results import Report

    return metrics if isinstance(metrics, Report) else Report.from_dict(metrics)
