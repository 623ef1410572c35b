"""``seedpipe report``: one page over the results of any runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from seedpipe.cli.common import Json, expect_apart, expect_extension, read_params
from seedpipe.console import guarded, show

__all__ = ["report"]


@guarded
def report(
    results: Annotated[
        list[Path], typer.Argument(help="evaluation.json of the scoring stage, or folders to look for it in.")
    ],
    out: Annotated[Path, typer.Option(help="The page.")] = Path("report.html"),
    markdown: Annotated[Path | None, typer.Option(help="The same tables as Markdown, for an appendix.")] = None,
    title: Annotated[str, typer.Option(help="Heading of the page.")] = "SEED on frozen speaker networks",
    json: Json = False,
) -> None:
    """Put the results of several runs, as of several training seeds, on one page.

    Example: seedpipe report results other-seed/results --out seeds.html
    """
    from seedpipe.results.gather import gather, result_files
    from seedpipe.results.report import format_table, headline, write_report

    expect_extension(out, "--out", ".html", ".htm")
    expect_extension(markdown, "--markdown", ".md")
    read = [file for path in results for file in result_files(path)]
    expect_apart(out, read, "--out")
    if markdown is not None:
        expect_apart(markdown, read, "--markdown")
    names = read_params(None, no_params=False, changes=()).enhancers.names
    data = gather(results, title, "seedpipe report", names)
    write_report(data, out, markdown)
    result = {"report": str(out), "markdown": markdown and str(markdown), "headlines": headline(data)}
    show(result, f"{format_table(data)}\nReport: {out}", as_json=json)
