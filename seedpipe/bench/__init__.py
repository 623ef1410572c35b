"""What speaker networks cost, with enhancers behind or in front of them: the paper's Table 2 on this machine."""

from __future__ import annotations

from seedpipe.bench.measurement import Measurement, Setup, System, benchmark, measure, systems_of
from seedpipe.bench.result import Result, format_table, machine, write_csv

__all__ = [
    "Measurement",
    "Result",
    "Setup",
    "System",
    "benchmark",
    "format_table",
    "machine",
    "measure",
    "systems_of",
    "write_csv",
]
