"""The table as text, as CSV and as data."""

from __future__ import annotations

import csv
import datetime
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from seedpipe.bench.measurement import Measurement, Setup
from seedpipe.bench.systems import STAGES
from seedpipe.errors import counted
from seedpipe.files import StrPath, whole_file
from seedpipe.results.tables.formats import csv_cell

CPU_INFO = Path("/proc/cpuinfo")
UNKNOWN = "?"


@dataclass(frozen=True)
class Result:
    """All rows of one run, and where they were measured.

    Parameters
    ----------
    date : str
        Day, as 2026-11-22.
    machine : str
        Processor and number of its cores.
    torch : str
        Version of torch.
    seconds : float
        Length of an utterance.
    repeats : int
        Timed calls of a row.
    rows : tuple of Measurement
    """

    date: str
    machine: str
    torch: str
    seconds: float
    repeats: int
    rows: tuple[Measurement, ...]

    @classmethod
    def of(cls, rows: Sequence[Measurement], setup: Setup) -> Result:
        """The result of a run on this machine that has just ended."""
        today = datetime.datetime.now(tz=datetime.UTC).date().isoformat()
        return cls(today, machine(), torch.__version__, setup.seconds, setup.repeats, tuple(rows))

    @property
    def title(self) -> str:
        """Machine, device, threads and date in a line."""
        first = self.rows[0]
        device = "" if first.device == "cpu" else f"{first.device}; "
        threads = f"{first.threads} thread{'s' if first.threads != 1 else ''}"
        return f"{device}{self.machine}; {threads}; torch {self.torch}, float32; {self.date}"

    def as_dict(self) -> dict[str, Any]:
        """Everything, for JSON."""
        return asdict(self)


def machine() -> str:
    """Processor and number of cores of this machine."""
    try:
        lines = CPU_INFO.read_text(encoding="utf-8").splitlines()
    except OSError:  # another system
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return f"{next(named, platform.machine())}, {counted(os.cpu_count() or 1, 'core')}"


def format_table(result: Result) -> str:
    """Lay the rows out for a terminal, with what has to be known to read them."""
    head = ("system", "batch", "parameters", "real-time factor [quartiles]", "peak memory", "enhancer")
    rows = [head, *(_cells(row) for row in result.rows)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    lines = [_line(row, widths) for row in rows]
    lines.insert(1, "-" * max(map(len, lines)))
    return "\n".join([result.title, "", *lines, "", *_notes(result)])


def write_csv(result: Result, path: StrPath) -> None:
    """Write one line per row; the file appears whole or not at all."""
    records = [_record(row, result) for row in result.rows]
    with (
        whole_file(Path(path)) as partial,
        partial.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file,
    ):
        writer = csv.DictWriter(file, records[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: csv_cell(value) for key, value in record.items()} for record in records)


def _cells(row: Measurement) -> tuple[str, ...]:
    low, high = row.quartiles
    return (
        row.system,
        str(row.batch),
        UNKNOWN if row.parameters is None else f"{row.parameters / 1e6:.1f} M",
        f"{row.real_time_factor:.4f} [{low:.4f}, {high:.4f}]",
        UNKNOWN if row.peak_memory_bytes is None else f"{row.peak_memory_bytes / 2**20:,.0f} MiB",
        "" if row.enhancer_share is None else f"{100 * row.enhancer_share:.1f} %",
    )


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    name, *figures = (
        cell.ljust(width) if column == 0 else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return "  ".join([name, *figures]).rstrip()


def _notes(result: Result) -> list[str]:
    repeats = counted(result.repeats, "call")
    notes = [
        f"Real-time factor: seconds of computing per second of audio, {result.seconds:g} s each; median of {repeats}.",
        "Enhancer: its share in the time of a call.",
    ]
    memory = "of the process beyond its code" if result.rows[0].device == "cpu" else "allocated by torch"
    notes.append(f"Peak memory: {memory}, weights included.")
    if any(row.untrained for row in result.rows):
        notes.append("An enhancer is untrained where no model was given; it costs what a trained one costs.")
    if any(row.parameters is None for row in result.rows):
        notes.append(f"{UNKNOWN}: a part does not say how many parameters it has.")
    return notes


def _record(row: Measurement, result: Result) -> dict[str, object]:
    stages = {f"{role.replace(' ', '_').lower()}_real_time_factor": row.stages.get(role, "") for role in STAGES}
    return {
        "system": row.system,
        "batch": row.batch,
        "seconds": result.seconds,
        "parameters": row.parameters,
        "real_time_factor": row.real_time_factor,
        "quartile_1": row.quartiles[0],
        "quartile_3": row.quartiles[1],
        **stages,
        "enhancer_share": row.enhancer_share,
        "peak_memory_bytes": row.peak_memory_bytes,
        "untrained": row.untrained,
        "device": row.device,
        "threads": row.threads,
        "repeats": result.repeats,
        "machine": result.machine,
        "torch": result.torch,
        "date": result.date,
    }
