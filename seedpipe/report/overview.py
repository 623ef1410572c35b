"""The table at the top of the report, laid out as Table 1 of the paper, and training seeds side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from seedpipe.report.schema import Condition, Evaluation, Report
from seedpipe.report.wording import Metric, Verdict, common_verdict, decimals, enhancer_name, figure, percent

__all__ = ["Cell", "Column", "Figure", "Overview", "Row", "SeedRow", "SeedTable", "overviews", "seed_tables"]

# Columns that fit on a page and on paper; the paper itself has five.
_WIDEST = 6


@dataclass(frozen=True)
class Column:
    """One condition of one list."""

    list: str
    condition: str


@dataclass(frozen=True)
class Figure:
    """One number of a cell.

    Attributes
    ----------
    text : str
        As shown.
    best : bool
        Whether no row of the same network is lower, as far as shown, and one is higher.
    verdict : Verdict
        Against the network alone; ``"same"`` for the network itself.
    """

    text: str
    best: bool
    verdict: Verdict


@dataclass(frozen=True)
class Cell:
    """EER in percent, and minDCF."""

    eer: Figure
    min_dcf: Figure


@dataclass(frozen=True)
class Row:
    """One system.

    Attributes
    ----------
    name : str
        The network, or the enhancer behind it.
    enhanced : bool
        Whether the row is of an enhancer.
    seeds : int
        Number of training seeds behind the figures, which are then means.
    cells : list of Cell or None
        By column; None where the system was not scored.
    """

    name: str
    enhanced: bool
    seeds: int
    cells: list[Cell | None]


@dataclass(frozen=True)
class Overview:
    """Systems against lists and conditions.

    Attributes
    ----------
    scores : str
        How the trials were scored.
    columns : list of Column
        At most six.
    rows : list of Row
        Each network, then its enhancers.
    """

    scores: str
    columns: list[Column]
    rows: list[Row]

    @property
    def lists(self) -> list[tuple[str, int]]:
        """Each list with its number of columns."""
        names = [column.list for column in self.columns]
        return [(name, names.count(name)) for name in dict.fromkeys(names)]


@dataclass(frozen=True)
class _System:
    """A network, or one of its enhancers, with everything that it was scored on."""

    source: str
    enhancer: str | None
    evaluations: list[Evaluation]

    @property
    def name(self) -> str:
        return self.source if self.enhancer is None else enhancer_name(self.enhancer)

    def conditions(self, column: Column) -> list[Condition]:
        """Results in one column: several where there are several training seeds."""
        listed = (e for e in self.evaluations if e.list == column.list)
        return [c for e in listed for c in e.conditions if c.condition == column.condition]

    def mean(self, column: Column, metric: Metric) -> float | None:
        """Mean over the training seeds; None where there are no results."""
        sides = (c.systems.enhanced if self.enhancer else c.systems.network for c in self.conditions(column))
        values = [getattr(side, metric).value for side in sides]
        return fmean(values) if values else None

    def judged(self, column: Column, metric: Metric) -> Verdict:
        """Verdict against the network alone, which all training seeds must share."""
        differences = (getattr(c.difference, metric) for c in self.conditions(column))
        return common_verdict(differences) if self.enhancer else "same"

    @property
    def seeds(self) -> int:
        return len({e.train_seed for e in self.evaluations}) if self.enhancer else 1


def overviews(report: Report) -> list[Overview]:
    """Lay out all evaluations as in Table 1 of the paper.

    Parameters
    ----------
    report : Report
        The checked metrics.

    Returns
    -------
    list of Overview
        One for each scoring method, more where lists and conditions are too many for one page.
    """
    tables = []
    for scores in dict.fromkeys(e.scores for e in report.evaluations):
        evaluations = [e for e in report.evaluations if e.scores == scores]
        places = max(decimals(e) for e in evaluations)
        blocks = _blocks(evaluations)
        for columns in _packed(evaluations):
            rows = [_row(system, block, columns, places) for block in blocks for system in block]
            tables.append(Overview(scores, columns, [row for row in rows if any(row.cells)]))
    return tables


def _packed(evaluations: Sequence[Evaluation]) -> list[list[Column]]:
    """Spread the columns over tables, lists together where they fit."""
    pages: list[list[Column]] = []
    for name in dict.fromkeys(e.list for e in evaluations):
        found = dict.fromkeys(c.condition for e in evaluations if e.list == name for c in e.conditions)
        columns = [Column(name, condition) for condition in found]
        for part in (columns[start : start + _WIDEST] for start in range(0, len(columns), _WIDEST)):
            if pages and len(pages[-1]) + len(part) <= _WIDEST:
                pages[-1].extend(part)
            else:
                pages.append(part)
    return pages


def _blocks(evaluations: Sequence[Evaluation]) -> list[list[_System]]:
    """Give each network with its enhancers."""
    blocks = []
    for source in dict.fromkeys(e.source for e in evaluations):
        own = [e for e in evaluations if e.source == source]
        enhancers = dict.fromkeys(e.enhancer for e in own)
        enhanced = [_System(source, one, [e for e in own if e.enhancer == one]) for one in enhancers]
        blocks.append([_System(source, None, own), *enhanced])
    return blocks


def _row(system: _System, block: Sequence[_System], columns: Sequence[Column], places: int) -> Row:
    cells = [_cell(system, block, column, places) for column in columns]
    return Row(system.name, system.enhancer is not None, system.seeds, cells)


def _cell(system: _System, block: Sequence[_System], column: Column, places: int) -> Cell | None:
    if not system.conditions(column):
        return None
    return Cell(_figure(system, block, column, "eer", places), _figure(system, block, column, "min_dcf", places))


def _figure(system: _System, block: Sequence[_System], column: Column, metric: Metric, places: int) -> Figure:
    values = {one.enhancer: mean for one in block if (mean := one.mean(column, metric)) is not None}
    shown = {enhancer: figure(value, metric, places) for enhancer, value in values.items()}
    own, ranked = shown[system.enhancer], sorted(map(float, shown.values()))
    best = float(own) == ranked[0] < ranked[-1]
    return Figure(own, best, system.judged(column, metric))


@dataclass(frozen=True)
class SeedRow:
    """One condition; EER in percent.

    Attributes
    ----------
    condition, network, mean, deviation : str
        Name, the network alone, mean and standard deviation (of a sample) over the training seeds.
    seeds : list of str
        By training seed.
    """

    condition: str
    network: str
    seeds: list[str]
    mean: str
    deviation: str


@dataclass(frozen=True)
class SeedTable:
    """One enhancer trained with several seeds, on one list.

    Attributes
    ----------
    title : str
        Network, enhancer, list and scoring method.
    seeds : list of str
        The training seeds.
    rows : list of SeedRow
        By condition.
    """

    title: str
    seeds: list[str]
    rows: list[SeedRow]


def seed_tables(report: Report) -> list[SeedTable]:
    """Set several training seeds of one enhancer side by side.

    Parameters
    ----------
    report : Report
        The checked metrics.

    Returns
    -------
    list of SeedTable
        One for each network, enhancer, list and method that occur with more than one training seed.
    """
    groups: dict[tuple[str, ...], list[Evaluation]] = {}
    for one in report.evaluations:
        groups.setdefault((one.source, one.enhancer, one.list, one.scores), []).append(one)
    return [_seed_table(group) for group in groups.values() if len(group) > 1]


def _seed_table(group: Sequence[Evaluation]) -> SeedTable:
    first, places = group[0], max(decimals(e) for e in group)
    title = f"{first.source} → {enhancer_name(first.enhancer)} on {first.list} ({first.scores})"
    seeds = ["unknown" if e.train_seed is None else str(e.train_seed) for e in group]
    common = [c for c in first.conditions if all(c.condition in {one.condition for one in e.conditions} for e in group)]
    return SeedTable(title, seeds, [_seed_row(c.condition, group, places) for c in common])


def _seed_row(name: str, group: Sequence[Evaluation], places: int) -> SeedRow:
    found = [c.systems for e in group for c in e.conditions if c.condition == name]
    values = [systems.enhanced.eer.value for systems in found]
    network, mean = percent(found[0].network.eer.value, places), percent(fmean(values), places)
    shown = [percent(value, places) for value in values]
    return SeedRow(name, network, shown, mean, percent(stdev(values), places + 1))
