"""What the evaluations say, by system, list and condition."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from seedpipe.errors import MetricError
from seedpipe.report.gather import gather
from seedpipe.report.overview import Column
from seedpipe.report.schema import Condition, Difference, Evaluation, parse_evaluations
from seedpipe.report.wording import Metric, common_verdict, enhancer_name

__all__ = ["METRICS", "Column", "Scores", "System", "read_scores"]

METRICS: tuple[Metric, ...] = ("eer", "min_dcf")
NONE = "none"  # the enhancer that changes nothing: its evaluations tell of the network alone
AGREE = 1e-3  # how far apart two scorings of one network on one list may be: rounding on other machines, no more


@dataclass(frozen=True)
class System:
    """A network, with a front end before it or an enhancer behind it.

    Attributes
    ----------
    network : str
    frontend, enhancer : str
        Empty for none.
    """

    network: str
    frontend: str = ""
    enhancer: str = ""

    @property
    def stages(self) -> tuple[str, ...]:
        """Names of its parts, in the order of the signal, as ``seedpipe bench`` calls them."""
        enhancer = enhancer_name(self.enhancer) if self.enhancer else ""
        return tuple(part for part in (self.frontend, self.network, enhancer) if part)

    @property
    def name(self) -> str:
        """Its parts, joined by arrows."""
        return " → ".join(self.stages)

    @property
    def reference(self) -> System | None:
        """What it is compared with: the same without the enhancer, or else without the front end; None for neither."""
        if self.enhancer:
            return System(self.network, self.frontend)
        return System(self.network) if self.frontend else None


@dataclass(frozen=True)
class Sample:
    """One system, by one training, in one column.

    Attributes
    ----------
    values : dict of str to float
        By metric.
    differences : dict of str to Difference
        To the reference on the same trials, by metric; empty where there is none.
    """

    values: dict[Metric, float]
    differences: dict[Metric, Difference]


class Scores:
    """All samples of one scoring method.

    Parameters
    ----------
    method : str
        How the trials were scored, with the normalisation of scores where there is one.
    """

    def __init__(self, method: str) -> None:
        self.method = method
        self._samples: dict[tuple[System, Column], list[Sample]] = {}

    def add(self, system: System, column: Column, sample: Sample) -> None:
        """Take in a sample; those of one system and column differ by the training seed."""
        self._samples.setdefault((system, column), []).append(sample)

    @property
    def systems(self) -> list[System]:
        """Networks in the order of mention, each alone, then with front ends, enhancers, and both."""
        found = list(dict.fromkeys(system for system, _ in self._samples))
        networks = list(dict.fromkeys(system.network for system in found))
        return sorted(found, key=lambda one: (networks.index(one.network), bool(one.enhancer), bool(one.frontend)))

    @property
    def columns(self) -> list[Column]:
        """Lists in the order of mention, each with its conditions."""
        found = list(dict.fromkeys(column for _, column in self._samples))
        lists = list(dict.fromkeys(column.list for column in found))
        return sorted(found, key=lambda column: lists.index(column.list))

    def seeds(self, system: System, column: Column) -> int:
        """Number of training seeds; 0 where the system was not scored."""
        count = len(self._samples.get((system, column), []))
        return count if system.enhancer else min(count, 1)

    def mean(self, system: System, column: Column, metric: Metric) -> float:
        """Mean over the training seeds of a system that was scored."""
        return fmean(self._values(system, column, metric))

    def deviation(self, system: System, column: Column, metric: Metric) -> float | None:
        """Standard deviation of a sample over the training seeds; None for fewer than two."""
        values = self._values(system, column, metric)
        return stdev(values) if system.enhancer and len(values) > 1 else None

    def significant(self, system: System, column: Column, metric: Metric) -> bool:
        """Whether the interval of the paired difference to the reference excludes zero, on one side for all seeds."""
        found = [sample.differences for sample in self._samples[system, column]]
        return common_verdict(one[metric] for one in found if one) in ("better", "worse")

    def _values(self, system: System, column: Column, metric: Metric) -> list[float]:
        return [sample.values[metric] for sample in self._samples[system, column]]


def read_scores(paths: Sequence[Path]) -> list[Scores]:
    """Read evaluations, each scoring method for itself.

    Parameters
    ----------
    paths : sequence of Path
        Files ``evaluation.json``, or folders that hold any number of them.

    Raises
    ------
    MetricError
        A file is none, two of them are of the same training, or they contradict each other about a list or a network.
    """
    scores: dict[str, Scores] = {}
    lists: dict[str, tuple[int, int]] = {}
    seen: set[tuple[object, ...]] = set()
    for file, evaluation in _evaluations(paths):
        counts = evaluation.trials, evaluation.targets
        if lists.setdefault(evaluation.list, counts) != counts:
            raise MetricError(
                f"the list {evaluation.list} has {counts[0]:,} trials, {counts[1]:,} of them target",
                expected="{:,} and {:,} as in the files before".format(*lists[evaluation.list]),
                remedy="give only results on the same trials",
                file=file,
            )
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
        _add(scores.setdefault(evaluation.scores, Scores(evaluation.scores)), evaluation, file)
    return list(scores.values())


def _evaluations(paths: Sequence[Path]) -> Iterator[tuple[Path, Evaluation]]:
    for file in (file for path in paths for file in sorted(path.rglob("evaluation.json")) or [path]):
        for raw in gather([file], "tables", "seedpipe tables")["evaluations"]:
            yield file, _parsed(raw, file)


def _parsed(raw: dict[str, Any], file: Path) -> Evaluation:
    try:
        return parse_evaluations([raw])[0]
    except MetricError as error:
        raise MetricError(error.found, expected=error.expected, remedy=error.remedy, file=file) from None


def _add(scores: Scores, evaluation: Evaluation, file: Path) -> None:
    alone = System(evaluation.network, evaluation.frontend)
    for condition in evaluation.conditions:
        column = Column(evaluation.list, condition.condition)
        network = {metric: getattr(condition.systems.network, metric).value for metric in METRICS}
        _check_network(scores, alone, column, network["eer"], file)
        scores.add(alone, column, Sample(network, {}))
        if evaluation.enhancer != NONE:
            enhanced = System(evaluation.network, evaluation.frontend, evaluation.enhancer)
            scores.add(enhanced, column, _enhanced(condition))


def _check_network(scores: Scores, system: System, column: Column, eer: float, file: Path) -> None:
    before = scores.mean(system, column, "eer") if scores.seeds(system, column) else eer
    if abs(before - eer) > AGREE:
        raise MetricError(
            f"{system.name} alone has an EER of {100 * eer:.2f} % on {column.list}, {column.condition}",
            expected=f"{100 * before:.2f} % as in the files before",
            remedy="give only results on the same audio with the same settings of extraction and scoring",
            file=file,
        )


def _enhanced(condition: Condition) -> Sample:
    values = {metric: getattr(condition.systems.enhanced, metric).value for metric in METRICS}
    return Sample(values, {metric: getattr(condition.difference, metric) for metric in METRICS})
