"""Evaluations from files, if they can stand in one table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from seedpipe.errors import MetricError, counted
from seedpipe.files import StrPath
from seedpipe.results import Evaluation
from seedpipe.results.gather import read_results
from seedpipe.results.tables.accuracy import MethodResults, SystemName, by_method

AGREE = 1e-3  # how far apart two scorings of one network on one list may be: rounding on other machines, no more


def read_scores(paths: Sequence[StrPath]) -> list[MethodResults]:
    """Read evaluations, each scoring method for itself.

    Parameters
    ----------
    paths : sequence of path
        Files ``evaluation.json``, or folders that hold any number of them.

    Raises
    ------
    MetricError
        A file is none, two of them are of the same training, or they contradict each other about a list or a network.
    """
    lists: dict[str, tuple[int, int]] = {}
    seen: set[tuple[object, ...]] = set()
    rates: dict[tuple[str, ...], float] = {}
    found = []
    for file, evaluation in _evaluations(paths):
        _check_list(evaluation, lists, file)
        _check_seed(evaluation, seen, file)
        _check_network(evaluation, rates, file)
        found.append(evaluation)
    return by_method(found)


def _evaluations(paths: Sequence[StrPath]) -> Iterator[tuple[Path, Evaluation]]:
    for file, data in read_results(paths):
        for raw in data["evaluations"]:
            yield file, _parsed(raw, file)


def _parsed(raw: dict[str, Any], file: Path) -> Evaluation:
    try:
        return Evaluation.from_dict(raw)
    except MetricError as error:
        raise MetricError(error.found, expected=error.expected, remedy=error.remedy, file=file) from None


def _check_list(evaluation: Evaluation, lists: dict[str, tuple[int, int]], file: Path) -> None:
    counts = evaluation.trials, evaluation.targets
    if lists.setdefault(evaluation.list, counts) != counts:
        raise MetricError(
            f"the list {evaluation.list} has {counted(counts[0], 'trial')}, {counts[1]:,} of them target",
            expected="{:,} and {:,} as in the files before".format(*lists[evaluation.list]),
            remedy="give only results on the same trials",
            file=file,
        )


def _check_seed(evaluation: Evaluation, seen: set[tuple[object, ...]], file: Path) -> None:
    key = (evaluation.network, evaluation.frontend, evaluation.enhancer, evaluation.list, evaluation.scores)
    if (*key, evaluation.train_seed) in seen:
        raise MetricError(
            f"is a second evaluation of {' '.join(part for part in key if part)}, training seed "
            f"{evaluation.train_seed}",
            expected="one for each training seed",
            remedy="leave one of them out",
            file=file,
        )
    seen.add((*key, evaluation.train_seed))


def _check_network(evaluation: Evaluation, rates: dict[tuple[str, ...], float], file: Path) -> None:
    name = SystemName(evaluation.network, evaluation.frontend).name
    for condition in evaluation.conditions:
        eer = condition.systems.network.eer.value
        before = rates.setdefault((name, evaluation.list, condition.condition, evaluation.scores), eer)
        if abs(before - eer) > AGREE:
            raise MetricError(
                f"{name} alone has an EER of {100 * eer:.2f} % on {evaluation.list}, {condition.condition}",
                expected=f"{100 * before:.2f} % as in the files before",
                remedy="give only results on the same audio with the same settings of extraction and scoring",
                file=file,
            )
