"""Results on disk, put together for one report."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from seedpipe.errors import MetricError
from seedpipe.files import StrPath

_NAME = "evaluation.json"


def gather(paths: Sequence[StrPath], title: str, made_by: str) -> dict[str, Any]:
    """Put the results of several runs (see :func:`read_results`) into one dictionary for a report.

    Parameters
    ----------
    paths : sequence of path
    title, made_by : str
        Heading of the report, and what made it.

    Returns
    -------
    dict
        For :func:`seedpipe.results.report.write_report`; without training curves.
    """
    from seedpipe._version import __version__

    found = [data for _, data in read_results(paths)]
    return {
        "title": title,
        "synthetic": any(one["synthetic"] for one in found),
        "seedpipe_version": __version__,
        "made_by": made_by,
        "evaluations": [evaluation for one in found for evaluation in one["evaluations"]],
    }


def read_results(paths: Sequence[StrPath]) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Read what the scoring stage wrote, unchecked.

    Parameters
    ----------
    paths : sequence of path
        Files, or folders that hold any number of ``evaluation.json``.

    Yields
    ------
    file : Path
        In the order of names within a folder.
    data : dict
        With ``synthetic`` and ``evaluations``.

    Raises
    ------
    MetricError
        A folder holds no results, or a file is none.
    """
    for path in paths:
        for file in _files(Path(path)):
            yield file, _read(file)


def _files(path: Path) -> Iterable[Path]:
    if not path.is_dir():
        return [path]
    files = sorted(path.rglob(_NAME))
    if not files:
        raise MetricError(f"holds no {_NAME}", remedy="score a list first (dvc repro)", file=path)
    return files


def _read(file: Path) -> dict[str, Any]:
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise MetricError(
            f"cannot be read ({error})", expected=f"an {_NAME} of the scoring stage", file=file
        ) from error
    if not isinstance(data, dict) or not isinstance(data.get("evaluations"), list) or "synthetic" not in data:
        raise MetricError("has no results", expected=f"an {_NAME} of the scoring stage", file=file)
    return data
