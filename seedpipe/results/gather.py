"""Results on disk, put together for one report."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from seedpipe.errors import MetricError
from seedpipe.files import StrPath, read_json
from seedpipe.results.contents import Training
from seedpipe.results.evaluation import Evaluation

_NAME = "evaluation.json"


def gather(paths: Sequence[StrPath], title: str, made_by: str, enhancers: Sequence[str] = ()) -> dict[str, Any]:
    """Put the results of several runs (see :func:`read_results`) into one dictionary for a report.

    Parameters
    ----------
    paths : sequence of path
    title, made_by : str
        Heading of the report, and what made it.
    enhancers : sequence of str
        Those that come first, in this order; others follow as their files do.

    Returns
    -------
    dict
        For :func:`seedpipe.results.report.write_report`; without training curves.
    """
    from seedpipe import __version__

    found = [data for _, data in read_results(paths)]
    evaluations = [evaluation for one in found for evaluation in one["evaluations"]]
    order = [*enhancers, None]
    evaluations.sort(key=lambda one: order.index(name if (name := _enhancer(one)) in order else None))
    return {
        "title": title,
        "synthetic": any(one["synthetic"] for one in found),
        "seedpipe_version": __version__,
        "made_by": made_by,
        "date": datetime.now(tz=UTC).date().isoformat(),
        "evaluations": evaluations,
    }


def _enhancer(evaluation: object) -> object:
    """The enhancer of an evaluation that nobody has checked yet."""
    return evaluation.get("enhancer", Evaluation.enhancer) if isinstance(evaluation, dict) else None


def trainings(paths: Sequence[StrPath]) -> dict[str, Training]:
    """Read how the enhancers were trained whose results lie as the pipeline leaves them, by ``NETWORK/ENHANCER``.

    Parameters
    ----------
    paths : sequence of path
        As of :func:`gather`. Of several runs the first one counts; where there is no ``training.json``, there is none.
    """
    found: dict[str, Training] = {}
    for file, _ in read_results(paths):
        place = file.absolute().parents[1] / "training.json"
        if place.is_file():
            found.setdefault(f"{place.parents[1].name}/{place.parent.name}", Training.from_json(place))
    return found


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
        for file in result_files(Path(path)):
            yield file, _read(file)


def result_files(path: Path) -> Iterable[Path]:
    """Give the results that a path names: itself, or those in the folder that it is."""
    if not path.is_dir():
        return [path]
    files = sorted(path.rglob(_NAME))
    if not files:
        raise MetricError(f"holds no {_NAME}", remedy="score a list first (dvc repro)", file=path)
    return files


def _read(file: Path) -> dict[str, Any]:
    try:
        data = read_json(file)
    except (OSError, ValueError) as error:
        raise MetricError(
            f"cannot be read ({error})", expected=f"an {_NAME} of the scoring stage", file=file
        ) from error
    if (
        not isinstance(data, dict)
        or not data.get("evaluations")
        or not isinstance(data["evaluations"], list)
        or "synthetic" not in data
    ):
        raise MetricError("has no results", expected=f"an {_NAME} of the scoring stage", file=file)
    return data
