"""Table 2: what a system costs beside what it gains."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from seedpipe.errors import MetricError
from seedpipe.files import StrPath, read_json, read_table, read_text
from seedpipe.results.tables.accuracy import MethodResults, SystemName
from seedpipe.results.tables.formats import Cell, Entry, Row, Table
from seedpipe.results.wording import percent, places_for

ARROW = " -> "  # between the stages of a system in the benchmark's names
NOTES = (
    "RTF: seconds of computing per second of audio, {seconds:g} s each, batches of {batch}; {machine}.",
    "EER: mean over the conditions of a list, {method} scores.",
)


class Cost(BaseModel):
    """One row of the benchmark, as CSV or JSON has it (:class:`seedpipe.bench.Measurement`)."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    system: str = Field(min_length=1)
    batch: int = Field(ge=1)
    parameters: int | None
    real_time_factor: float = Field(gt=0)
    peak_memory_bytes: int | None
    device: str
    seconds: float = Field(gt=0)
    machine: str


def cost_table(scores: Sequence[MethodResults], bench: StrPath) -> Table:
    """Lay out Table 2: the systems that the benchmark measured, at its smallest batch, with the EER of those scored.

    Parameters
    ----------
    scores : sequence of MethodResults
        The first scoring method is shown.
    bench : path
        CSV or JSON of ``seedpipe bench``.

    Raises
    ------
    MetricError
        The file is none of the benchmark's, or has none of the systems.
    """
    bench = Path(bench)
    costs = _read(bench)
    rows = [cost for cost in costs if cost.batch == min(cost.batch for cost in costs)]
    first = scores[0]
    systems = {ARROW.join(system.stages): system for system in first.systems}
    if not any(cost.system in systems for cost in rows):
        raise MetricError(
            f"measured {', '.join(cost.system for cost in rows)}",
            expected=f"some of the systems that were scored: {', '.join(systems)}",
            remedy="measure the networks of the results",
            file=bench,
        )
    lists = list(dict.fromkeys(column.list for column in first.columns))
    place = rows[0].machine if rows[0].device == "cpu" else f"{rows[0].device}, {rows[0].machine}"
    note = NOTES[0].format(seconds=rows[0].seconds, batch=rows[0].batch, machine=place)
    return Table(
        caption="Cost and EER",
        head="system",
        columns=("parameters (M)", "RTF", "memory (MiB)", *(f"EER (%) {name}" for name in lists)),
        rows=tuple(_row(cost, systems.get(cost.system), first, lists) for cost in rows),
        notes=(note, NOTES[1].format(method=first.method)),
        records=tuple(_record(cost, systems.get(cost.system), first, lists) for cost in rows),
    )


def _read(path: Path) -> list[Cost]:
    try:
        text = read_text(path)
        raw = _from_json(read_json(path)) if text.lstrip().startswith("{") else _from_csv(text)
        costs = [Cost.model_validate(row) for row in raw]
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise _unreadable(path, error) from error
    if not costs:
        raise MetricError("has no rows", expected="those of seedpipe bench", file=path)
    return costs


def _from_json(data: dict[str, Any]) -> list[dict[str, Any]]:
    return [{**row, "seconds": data.get("seconds"), "machine": data.get("machine")} for row in data.get("rows", [])]


def _from_csv(text: str) -> list[dict[str, Any]]:
    rows = read_table(text, dtype=str, keep_default_na=False).to_dict("records") if text.strip() else []
    return [{str(key): value or None for key, value in row.items()} for row in rows]


def _unreadable(path: Path, error: Exception) -> MetricError:
    reason = str(error)
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        reason = f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
    return MetricError(
        f"cannot be used ({reason})",
        expected="what seedpipe bench writes with --csv or prints with --json",
        file=path,
    )


def _row(cost: Cost, system: SystemName | None, scores: MethodResults, lists: Sequence[str]) -> Row:
    rates = [_eer(scores, system, name) for name in lists]
    texts = [
        "" if cost.parameters is None else f"{cost.parameters / 1e6:.1f}",
        f"{cost.real_time_factor:.4f}",
        "" if cost.peak_memory_bytes is None else f"{cost.peak_memory_bytes / 2**20:,.0f}",
        *("" if rate is None else percent(rate, places_for(rate)) for rate in rates),
    ]
    cells: list[Cell] = [(Entry(text),) if text else () for text in texts]
    return Row(name=cost.system.replace(ARROW, " → "), cells=tuple(cells))


def _eer(scores: MethodResults, system: SystemName | None, name: str) -> float | None:
    """Mean over the conditions of a list, where the system was scored under all of them."""
    columns = [column for column in scores.columns if column.list == name]
    if system is None or not all(scores.seeds(system, column) for column in columns):
        return None
    return fmean(scores.mean(system, column, "eer") for column in columns)


def _record(cost: Cost, system: SystemName | None, scores: MethodResults, lists: Sequence[str]) -> dict[str, object]:
    return {
        **cost.model_dump(),
        "method": scores.method,
        **{f"eer:{name}": _eer(scores, system, name) for name in lists},
    }
