"""Waiting for other processes; imported by workers too, so it imports nothing heavy."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE = 240
"""Seconds for what takes one, on a machine that is busy with other things; less than the time limit of a test."""


def wait_for(there: Callable[[], object]) -> None:
    """Wait until a condition is true."""
    end = time.monotonic() + PATIENCE
    while not there():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)
