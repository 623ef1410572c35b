"""What a check of the machine or of a project found."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from seedpipe.errors import SeedpipeError


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Parameters
    ----------
    name : str
        What was looked at.
    state : {'ok', 'note', 'missing'}
        ``missing`` is what the project cannot run without; a ``note`` is worth knowing.
    found : str
        What is there.
    remedy : str
        What to do, where there is something to do.
    """

    name: str
    state: Literal["ok", "note", "missing"]
    found: str
    remedy: str = ""


def of_error(name: str, error: SeedpipeError) -> Finding:
    """What an error says, as something missing."""
    where = "" if error.file is None else f"{error.file}" + ("" if error.row is None else f", row {error.row}") + ": "
    expected = f"; expected {error.expected}" if error.expected else ""
    return Finding(name, "missing", f"{where}{error.found}{expected}", error.remedy or "correct it")


def tried(name: str, check: Callable[[], Finding]) -> Finding:
    """The finding of a check, or of the error that it raises."""
    try:
        return check()
    except SeedpipeError as error:
        return of_error(name, error)


def healthy(findings: Iterable[Finding]) -> bool:
    """Whether nothing is missing."""
    return all(finding.state != "missing" for finding in findings)
