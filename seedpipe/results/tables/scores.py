"""What the evaluations say, by system, list and condition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from seedpipe import results
from seedpipe.results import Differences, Evaluation
from seedpipe.results.wording import Metric, Verdict, common_verdict, enhancer_name

__all__ = ["Column", "Scores", "System", "by_method"]

NONE = "none"  # the enhancer that changes nothing: its evaluations tell of the network alone


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
class Column:
    """One condition of one list."""

    list: str
    condition: str


class Scores:
    """All results of one scoring method.

    Parameters
    ----------
    evaluations : sequence of Evaluation
        Those of one system on one list differ by the training seed.
    """

    def __init__(self, evaluations: Sequence[Evaluation]) -> None:
        self.method = evaluations[0].scores
        self._samples: dict[tuple[System, Column], list[tuple[results.System, Differences | None]]] = {}
        for one in evaluations:
            for condition in one.conditions:
                column, systems = Column(one.list, condition.condition), condition.systems
                self._add(System(one.network, one.frontend), column, systems.network)
                if one.enhancer != NONE:
                    enhanced = System(one.network, one.frontend, one.enhancer)
                    self._add(enhanced, column, systems.enhanced, condition.difference)

    def _add(
        self, system: System, column: Column, sample: results.System, differences: Differences | None = None
    ) -> None:
        self._samples.setdefault((system, column), []).append((sample, differences))

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

    def verdict(self, system: System, column: Column, metric: Metric) -> Verdict:
        """Verdict against the system without the enhancer, which all seeds must share; "same" without an enhancer."""
        found = [differences for _, differences in self._samples[system, column]]
        return common_verdict(getattr(one, metric) for one in found if one)

    def _values(self, system: System, column: Column, metric: Metric) -> list[float]:
        return [getattr(sample, metric).value for sample, _ in self._samples[system, column]]


def by_method(evaluations: Sequence[Evaluation]) -> list[Scores]:
    """Part evaluations by scoring method.

    Parameters
    ----------
    evaluations : sequence of Evaluation
        Each training seed of a system once.

    Returns
    -------
    list of Scores
        In the order of mention.
    """
    methods = dict.fromkeys(one.scores for one in evaluations)
    return [Scores([one for one in evaluations if one.scores == method]) for method in methods]
