"""Table 1 of the paper, EER and minDCF of every system on every list, and training seeds side by side."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, stdev

from seedpipe.results import Evaluation
from seedpipe.results.tables.scores import Column, Scores, System
from seedpipe.results.tables.table import Cell, Figure, Row, Table
from seedpipe.results.wording import Metric, decimals, enhancer_name, figure, percent, places_for

__all__ = ["accuracy_tables", "seed_tables"]

METRICS: tuple[Metric, ...] = ("eer", "min_dcf")
WIDEST = 6  # columns that fit on a page; the paper itself has five
NOTES = (
    "EER in percent / minDCF; bold: lowest of a network in a column.",
    "↓: lower than without the enhancer or, where there is none, than without the front end.",
    "*: the 95 % interval of the paired difference to the system without the enhancer excludes zero.",
)
SEEDS = "±: standard deviation over {} training seeds, of which the figure before it is the mean; * is that of all."


def accuracy_tables(scores: Sequence[Scores]) -> list[Table]:
    """Lay out Table 1.

    Parameters
    ----------
    scores : sequence of Scores
        By scoring method.

    Returns
    -------
    list of Table
        One for each method, or one for each of its lists where lists have conditions; of six columns at most.
    """
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


def _table(scores: Scores, columns: Sequence[Column]) -> Table:
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


def _cell(scores: Scores, systems: Sequence[System], system: System, column: Column, places: int) -> Cell:
    if not scores.seeds(system, column):
        return ()
    rivals = [one for one in systems if one.network == system.network and scores.seeds(one, column)]
    return tuple(_figure(scores, rivals, system, column, metric, places) for metric in METRICS)


def _figure(
    scores: Scores, rivals: Sequence[System], system: System, column: Column, metric: Metric, places: int
) -> Figure:
    """Best and lower go by the figures as shown: what looks equal is called equal."""
    values = {one: float(figure(scores.mean(one, column, metric), metric, places)) for one in rivals}
    own, reference = values[system], system.reference
    deviation = scores.deviation(system, column, metric)
    return Figure(
        text=figure(scores.mean(system, column, metric), metric, places),
        deviation="" if deviation is None else figure(deviation, metric, places),
        best=own == min(values.values()) < max(values.values()),
        lower=reference is not None and own < values.get(reference, own),
        verdict=scores.verdict(system, column, metric),
    )


def _record(scores: Scores, system: System, column: Column) -> dict[str, object]:
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
    return record


def seed_tables(evaluations: Sequence[Evaluation]) -> list[Table]:
    """Set several training seeds of one enhancer side by side.

    Parameters
    ----------
    evaluations : sequence of Evaluation
        Each training seed of a system once.

    Returns
    -------
    list of Table
        One for each network, enhancer, list and method that occur with more than one training seed.
    """
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
    return Row(name, tuple((Figure(text),) for text in texts))
