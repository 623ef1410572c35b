"""Table 1: EER and minDCF of every system on every list."""

from __future__ import annotations

from collections.abc import Sequence

from seedpipe.report.wording import Metric, figure, places_for
from seedpipe.tables.scores import METRICS, Column, Scores, System
from seedpipe.tables.table import Cell, Figure, Row, Table

__all__ = ["accuracy_tables"]

NOTES = (
    "EER in percent / minDCF; bold: lowest of a network in a column.",
    "↓: lower than without the enhancer or, where there is none, than without the front end.",
    "*: the 95 % interval of the paired difference to the system without the enhancer excludes zero.",
)
SEEDS = "±: standard deviation over {} training seeds, of which the figure before it is the mean; * is that of all."


def accuracy_tables(scores: Sequence[Scores]) -> list[Table]:
    """Lay out Table 1: one table for each scoring method, or one for each of its lists where lists have conditions."""
    return [_table(one, columns) for one in scores for columns in _grouped(one.columns)]


def _shown(value: float, deviation: float | None, metric: Metric, places: int) -> str:
    """A figure of a cell, and its deviation."""
    parts = [value] if deviation is None else [value, deviation]
    return " ± ".join(figure(part, metric, places) for part in parts)


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
    """Best and better go by the figures as shown: what looks equal is called equal."""
    values = {one: float(figure(scores.mean(one, column, metric), metric, places)) for one in rivals}
    own, reference = values[system], system.reference
    return Figure(
        text=_shown(scores.mean(system, column, metric), scores.deviation(system, column, metric), metric, places),
        best=own == min(values.values()) < max(values.values()),
        better=reference is not None and own < values.get(reference, own),
        significant=scores.significant(system, column, metric),
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
        record[f"{metric}_significant"] = scores.significant(system, column, metric)
    return record
