"""Independent pieces of work on worker processes, through joblib."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import joblib

__all__ = ["unordered"]

Result = TypeVar("Result")


def unordered(function: Callable[..., Result], calls: Iterable[tuple[Any, ...]], workers: int) -> Iterator[Result]:
    """Call a function with each tuple of arguments; results come as they are ready.

    Parameters
    ----------
    function : callable
        Importable by name, as are its arguments: workers are other processes.
    calls : iterable of tuple
    workers : int
        With one, everything runs in this process.
    """
    parallel = joblib.Parallel(n_jobs=workers, return_as="generator_unordered")
    try:
        yield from parallel(joblib.delayed(function)(*call) for call in calls)
    finally:
        if workers > 1:
            # Left alone, the processes stay, and loky takes what a later, heavier task loads for a leak and stops them.
            from joblib.externals.loky import get_reusable_executor

            get_reusable_executor().shutdown(wait=True)
