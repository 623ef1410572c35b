"""``seedpipe tables``: the tables of a paper from results."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from seedpipe.cli.common import Json
from seedpipe.console import guarded, show

__all__ = ["tables"]


class Format(StrEnum):
    """What a table is written as."""

    md = "md"
    tex = "tex"
    csv = "csv"
    html = "html"


@guarded
def tables(
    results: Annotated[
        list[Path], typer.Argument(help="evaluation.json of the scoring stage, or folders to look for it in.")
    ],
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("tables"),
    bench: Annotated[
        Path | None, typer.Option(help="What seedpipe bench wrote with --csv or printed with --json: adds Table 2.")
    ] = None,
    formats: Annotated[
        list[Format] | None, typer.Option("--format", help="Markdown, LaTeX, CSV or HTML; all four by default.")
    ] = None,
    json: Json = False,
) -> None:
    """Write Table 1 (accuracy) and Table 2 (cost) for a paper; several training seeds become mean and deviation.

    Example: seedpipe tables results other-seed/results --out tables --bench bench.json
    """
    from seedpipe.results.tables import write_tables

    written = write_tables(results, out, bench, list(formats or Format))
    show({"tables": [str(path) for path in written]}, "\n".join(map(str, written)), as_json=json)
