"""What speaker networks cost, with enhancers behind or in front of them: the paper's Table 2 on this machine."""

from __future__ import annotations

from seedpipe.bench.measurement import Measurement, Setup, benchmark, measure
from seedpipe.bench.result import Result, format_table, machine, write_csv
from seedpipe.bench.systems import SystemSpec, systems_of

__all__ = [
    "Measurement",
    "Result",
    "Setup",
    "SystemSpec",
    "benchmark",
    "format_table",
    "machine",
    "measure",
    "systems_of",
    "write_csv",
]
