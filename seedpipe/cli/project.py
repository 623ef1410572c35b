"""``seedpipe init`` and ``seedpipe doctor``: a project of one's own, and whether it has what it needs."""

from __future__ import annotations

import textwrap
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seedpipe.cli.common import Json
from seedpipe.console import FAILED, guarded, show
from seedpipe.errors import counted

if TYPE_CHECKING:
    from seedpipe.project import Finding

__all__ = ["doctor", "init"]

NEXT = """\
Next, there:
  put or link speech into data/mine/train, noise, music and room responses into data/mine/noise, music and rir,
  a trial list to data/mine/eval/trials_mine.txt and its audio below data/mine/eval; then
  seedpipe doctor
  dvc repro"""
WIDTH = 100
MARKS = {"ok": "ok", "note": "note", "missing": "MISSING"}


@guarded
def init(
    folder: Annotated[Path, typer.Argument(help="Folder of the project; made if it is missing.")] = Path(),
    json: Json = False,
) -> None:
    """Start a project of your own: params.yaml with comments, dvc.yaml and what it runs, and folders for your audio.

    Example: seedpipe init mine
    """
    from seedpipe.project import start_project

    files = [path.as_posix() for path in start_project(folder)]
    text = f"{folder}: {counted(len(files), 'file')}, among them params.yaml and dvc.yaml\n{NEXT}"
    show({"folder": str(folder), "files": files}, text, as_json=json)


@guarded
def doctor(json: Json = False) -> None:
    """Check this machine and the project in the current folder. Exit code 1 when something is missing.

    Example: seedpipe doctor
    """
    from seedpipe.project import examine, healthy

    findings = examine()
    well = healthy(findings)
    result = {"ok": well, "findings": [asdict(finding) for finding in findings]}
    show(result, "\n".join(map(_lines, findings)), as_json=json)
    if not well:
        raise typer.Exit(FAILED)


def _lines(finding: Finding) -> str:
    remedy = [f"-> {finding.remedy}"] if finding.remedy else []  # on one line, as it may be a command to copy
    rows = [*textwrap.wrap(finding.found, WIDTH, break_long_words=False), *remedy]
    return f"{MARKS[finding.state]:8} {finding.name:24} " + f"\n{'':34}".join(rows)
