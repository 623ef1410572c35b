"""Table 1 of the paper, EER and minDCF of every system on every list, and training seeds side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from seedpipe.results import Differences, Evaluation, System
from seedpipe.results.tables.formats import Cell, Entry, Row, Table
from seedpipe.results.wording import (
    Metric,
    Verdict,
    common_verdict,
    decimals,
    enhancer_name,
    figure,
    percent,
    places_for,
)

METRICS: tuple[Metric, ...] = ("eer", "min_dcf")
WIDEST = 6  # columns that fit on a page; the paper itself has five
NOTES = (
    "EER in percent / minDCF; bold: lowest of a network in a column.",
    "↓: lower than without the enhancer or, where there is none, than without the front end.",
    "*: the 95 % interval of the paired difference to the system without the enhancer excludes zero.",
)
SEEDS = "±: standard deviation over {} training seeds, of which the figure before it is the mean; * is that of all."
NONE = "none"  # the enhancer that changes nothing: its evaluations tell of the network alone


@dataclass(frozen=True)
class SystemName:
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
    def reference(self) -> SystemName | None:
        """What it is compared with: the same without the enhancer, or else without the front end; None for neither."""
        if self.enhancer:
            return SystemName(self.network, self.frontend)
        return SystemName(self.network) if self.frontend else None


@dataclass(frozen=True)
class Column:
    """One condition of one list."""

    list: str
    condition: str


class MethodResults:
    """All results of one scoring method.

    Parameters
    ----------
    evaluations : sequence of Evaluation
        Those of one system on one list differ by the training seed.
    """

    def __init__(self, evaluations: Sequence[Evaluation]) -> None:
        self.method = evaluations[0].scores
        self._samples: dict[tuple[SystemName, Column], list[tuple[System, Differences | None]]] = {}
        for one in evaluations:
            for condition in one.conditions:
                column, systems = Column(one.list, condition.condition), condition.systems
                self._add(SystemName(one.network, one.frontend), column, systems.network)
                if one.enhancer != NONE:
                    enhanced = SystemName(one.network, one.frontend, one.enhancer)
                    self._add(enhanced, column, systems.enhanced, condition.difference)

    def _add(self, system: SystemName, column: Column, sample: System, differences: Differences | None = None) -> None:
        self._samples.setdefault((system, column), []).append((sample, differences))

    @property
    def systems(self) -> list[SystemName]:
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

    def seeds(self, system: SystemName, column: Column) -> int:
        """Number of training seeds; 0 where the system was not scored."""
        count = len(self._samples.get((system, column), []))
        return count if system.enhancer else min(count, 1)

    def mean(self, system: SystemName, column: Column, metric: Metric) -> float:
        """Mean over the training seeds of a system that was scored."""
        return fmean(self._values(system, column, metric))

    def deviation(self, system: SystemName, column: Column, metric: Metric) -> float | None:
        """Standard deviation of a sample over the training seeds; None for fewer than two."""
        values = self._values(system, column, metric)
        return stdev(values) if system.enhancer and len(values) > 1 else None

    def verdict(self, system: SystemName, column: Column, metric: Metric) -> Verdict:
        """Verdict against the system without the enhancer, which all seeds must share; "same" without an enhancer."""
        found = [differences for _, differences in self._samples[system, column]]
        return common_verdict(getattr(one, metric) for one in found if one)

    def measurable_from(self, system: SystemName, column: Column) -> float | None:
        """Least difference in EER that the list could have told from zero, for all seeds; None without an enhancer."""
        found = [differences.eer.measurable_from for _, differences in self._samples[system, column] if differences]
        return max((least for least in found if least is not None), default=None)

    def _values(self, system: SystemName, column: Column, metric: Metric) -> list[float]:
        return [getattr(sample, metric).value for sample, _ in self._samples[system, column]]


def by_method(evaluations: Sequence[Evaluation]) -> list[MethodResults]:
    """Part evaluations by scoring method, in the order of mention; each training seed of a system is there once."""
    methods = dict.fromkeys(one.scores for one in evaluations)
    return [MethodResults([one for one in evaluations if one.scores == method]) for method in methods]


def accuracy_tables(scores: Sequence[MethodResults]) -> list[Table]:
    """Lay out Table 1 by scoring method, and by list where lists have conditions; six columns at most."""
    return [
        _table(one, columns[start : start + WIDEST])
        for one in scores
        for columns in _grouped(one.columns)
        for start in range(0, len(columns), WIDEST)
    ]


def _grouped(columns: Sequence[Column]) -> list[list[Column]]:
    """All columns together if no list has several conditions, else those of each list."""
    lists = list(dict.fromkeys(column.list for column in columns))
    if len(lists) == len(columns):
        return [list(columns)]
    return [[column for column in columns if column.list == name] for name in lists]


def _table(scores: MethodResults, columns: Sequence[Column]) -> Table:
    systems = [system for system in scores.systems if any(scores.seeds(system, column) for column in columns)]
    scored = [(system, column) for system in systems for column in columns if scores.seeds(system, column)]
    places = places_for(min(scores.mean(*place, "eer") for place in scored))
    names = {column.list for column in columns}
    where = f" on {names.pop()}" if len(names) == 1 else ""
    rows = [
        Row(
            name=system.name,
            cells=tuple(_cell(scores, systems, system, column, places) for column in columns),
            opens=index > 0 and systems[index - 1].network != system.network,
        )
        for index, system in enumerate(systems)
    ]
    return Table(
        caption=f"EER (%) and minDCF{where}, {scores.method} scores",
        head="system",
        columns=tuple(column.condition if where else column.list for column in columns),
        rows=tuple(rows),
        notes=_notes(sorted({scores.seeds(*place) for place in scored} - {1})),
        records=tuple(_record(scores, *place) for place in scored),
    )


def _notes(seeds: Sequence[int]) -> tuple[str, ...]:
    if not seeds:
        return NOTES
    return (*NOTES, SEEDS.format(seeds[0] if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"))


def _cell(
    scores: MethodResults, systems: Sequence[SystemName], system: SystemName, column: Column, places: int
) -> Cell:
    if not scores.seeds(system, column):
        return ()
    peers = [one for one in systems if one.network == system.network and scores.seeds(one, column)]
    return tuple(_figure(scores, peers, system, column, metric, places) for metric in METRICS)


def _figure(
    scores: MethodResults, peers: Sequence[SystemName], system: SystemName, column: Column, metric: Metric, places: int
) -> Entry:
    """Best and lower go by the figures as shown: what looks equal is called equal."""
    values = {one: float(figure(scores.mean(one, column, metric), metric, places)) for one in peers}
    own, reference = values[system], system.reference
    deviation = scores.deviation(system, column, metric)
    return Entry(
        text=figure(scores.mean(system, column, metric), metric, places),
        deviation="" if deviation is None else figure(deviation, metric, places),
        best=own == min(values.values()) < max(values.values()),
        lower=reference is not None and own < values.get(reference, own),
        verdict=scores.verdict(system, column, metric),
    )


def _record(scores: MethodResults, system: SystemName, column: Column) -> dict[str, object]:
    record: dict[str, object] = {
        "method": scores.method,
        "network": system.network,
        "frontend": system.frontend,
        "enhancer": system.enhancer,
        "list": column.list,
        "condition": column.condition,
        "seeds": scores.seeds(system, column),
    }
    for metric in METRICS:
        record[metric] = scores.mean(system, column, metric)
        record[f"{metric}_deviation"] = scores.deviation(system, column, metric)
        record[f"{metric}_significant"] = scores.verdict(system, column, metric) in ("better", "worse")
    record["eer_measurable_from"] = scores.measurable_from(system, column)
    return record


def seed_tables(evaluations: Sequence[Evaluation]) -> list[Table]:
    """Set the training seeds of a system side by side: a table for each that has several, by list and method."""
    groups: dict[tuple[str, ...], list[Evaluation]] = {}
    for one in evaluations:
        groups.setdefault((one.source, one.enhancer, one.list, one.scores), []).append(one)
    return [_seed_table(group) for group in groups.values() if len(group) > 1]


def _seed_table(group: Sequence[Evaluation]) -> Table:
    first, places = group[0], max(decimals(e) for e in group)
    seeds = ["unknown" if e.train_seed is None else str(e.train_seed) for e in group]
    names = [[c.condition for c in e.conditions] for e in group]
    common = [name for name in names[0] if all(name in others for others in names)]
    return Table(
        caption=f"{first.source} → {enhancer_name(first.enhancer)} on {first.list} ({first.scores}): EER in % by "
        "training seed, mean and standard deviation",
        head="condition",
        columns=("network", *(f"seed {seed}" for seed in seeds), "mean", "deviation"),
        rows=tuple(_seed_row(name, group, places) for name in common),
    )


def _seed_row(name: str, group: Sequence[Evaluation], places: int) -> Row:
    found = [c.systems for e in group for c in e.conditions if c.condition == name]
    values = [systems.enhanced.eer.value for systems in found]
    rates = [found[0].network.eer.value, *values, fmean(values)]
    texts = [*(percent(rate, places) for rate in rates), percent(stdev(values), places + 1)]
    return Row(name, tuple((Entry(text),) for text in texts))
