"""The report: one page that says whether an enhancement helped, and how sure that is.

- :func:`write_report`: a self-contained HTML page (no script, nothing fetched, figures inside) and a Markdown version.
- :func:`write_results`: a report with its evaluations, figures and tables in one folder.
- :func:`format_table`: the same table as plain text, for a terminal.
- :func:`headline`: the main result as sentences.
- :func:`write_plot_tables`: DET curves and score histograms as csv for other tools.

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
    from seedpipe.results.report.listening import Heard

__all__ = ["format_table", "headline", "write_plot_tables", "write_report", "write_results"]


def write_report(
    metrics: Report | Mapping[str, Any],
    out_html: StrPath,
    out_markdown: StrPath | None = None,
    heard: Heard | None = None,
) -> None:
    """Write the report as an HTML page and, if asked for, as Markdown; folders above them are made.

    Parameters
    ----------
    metrics : Report or mapping
    out_html, out_markdown : path
        Files to write.
    heard : Heard, optional
        A row to listen to, on the page.
    """
    from seedpipe.files import whole_files, write_text
    from seedpipe.results.report.page import render

    outs = [out_html] if out_markdown is None else [out_html, out_markdown]
    with whole_files(outs) as partials:
        for partial, text in zip(partials, render(_report(metrics), heard), strict=False):
            write_text(partial, text)


def write_results(report: Report, folder: StrPath) -> None:
    """Write a report of one system into a folder: ``evaluation.json``, report, plot tables and figures as PDF.

    Parameters
    ----------
    report : Report
        Its evaluations differ in the scoring method alone.
    folder : path
        Files of the same names in it are replaced.
    """
    import json

    from seedpipe.files import sealed, whole_file, write_text
    from seedpipe.results import Evaluations
    from seedpipe.results.figure_files import write_figures

    found = sealed(Evaluations(synthetic=report.synthetic, evaluations=report.evaluations).to_dict())
    with whole_file(Path(folder, "evaluation.json")) as partial:
        write_text(partial, json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    write_report(report, Path(folder, "report.html"), Path(folder, "report.md"))
    write_plot_tables(report.evaluations, folder)
    write_figures(report.evaluations, Path(folder, "figures"))


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
    """Write ``det.csv`` and ``histogram.csv``, of 2,000 rows at most, for other tools.

    Parameters
    ----------
    evaluations : sequence of Evaluation
        Those of one network, enhancer and list, by scoring method.
    folder : path
        Where to write; made where it is missing.
    """
    from seedpipe.files import whole_files
    from seedpipe.results.report import plots

    with whole_files([Path(folder, "det.csv"), Path(folder, "histogram.csv")]) as (det, histogram):
        plots.write_table(det, plots.DET, plots.det_rows(evaluations))
        plots.write_table(histogram, plots.HISTOGRAM, plots.histogram_rows(evaluations))


def _report(metrics: Report | Mapping[str, Any]) -> Report:
    from seedpipe.results import Report

    return metrics if isinstance(metrics, Report) else Report.from_dict(metrics)
