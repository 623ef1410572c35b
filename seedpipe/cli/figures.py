"""``seedpipe figures``: the figures of results as files for a paper."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from seedpipe.cli.common import Json, read_params
from seedpipe.console import guarded, show
from seedpipe.errors import counted

__all__ = ["figures"]


class Format(StrEnum):
    """Formats of figures."""

    pdf = "pdf"
    png = "png"
    svg = "svg"


@guarded
def figures(
    results: Annotated[
        list[Path], typer.Argument(help="evaluation.json of the scoring stage, or folders to look for it in.")
    ],
    out: Annotated[Path, typer.Option(help="Folder of the figures.")] = Path("figures"),
    formats: Annotated[
        list[Format] | None, typer.Option("--format", help="PDF by default, and several are allowed.")
    ] = None,
    json: Json = False,
) -> None:
    """Write figures for a paper: 3.3 inches wide, letters of 8 points, fonts inside.

    Example: seedpipe figures results --out figs --format pdf svg png
    """
    from seedpipe.results import Report
    from seedpipe.results.figure_files import FORMATS, write_figures
    from seedpipe.results.gather import gather, trainings

    # '--format pdf svg' gives the words behind the first as arguments.
    more = [str(path) for path in results if formats and str(path) in FORMATS and not path.exists()]
    paths = [path for path in results if str(path) not in more]
    names = read_params(None, no_params=False, changes=()).enhancers.names
    found = Report.from_dict(gather(paths, "Figures", "seedpipe figures", names))
    written = write_figures(
        found, out, [*dict.fromkeys(one.value for one in formats or [Format.pdf]), *more], trainings(paths)
    )
    show([str(path) for path in written], f"{out}: {counted(len(written), 'figure')}", as_json=json)
