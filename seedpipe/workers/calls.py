"""Calls of one function, wherever they run."""

from __future__ import annotations

import atexit
import contextlib
import signal
import threading
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator
from types import FrameType
from typing import Any

import joblib

from seedpipe.workers.clusters import on_dask, on_ray
from seedpipe.workers.engine import Engine, Finish, Result, ctrl_c_held_back, unfit
from seedpipe.workers.processes import on_processes

# What Ray and Dask say of a function that cannot be imported on the other side.
NOT_THERE = ("failed to import on the worker", "deserialization of the task graph")
OPEN = {"loky": on_processes, "ray": on_ray, "dask": on_dask}


def unordered(
    function: Callable[..., Result],
    calls: Iterable[tuple[Any, ...]],
    engine: Engine,
    finish: Finish = lambda: None,
) -> Generator[Result]:
    """Call a function with each tuple of arguments; results come as they are ready.

    Parameters
    ----------
    function : callable
        Importable by name on every worker, as its arguments are. What it raises ends the iteration, unchanged.
    calls : iterable of tuple
        Read little by little, at most four calls per worker ahead of the results, and from a thread of the engine.
    engine : Engine
    finish : callable
        Called at the end in each process that made calls and goes on to live: this one, or the workers of Dask.
        Importable by name, as ``function`` is.

    Yields
    ------
    Result
        Closing the iterator drops the calls that wait and stops those that run; on Dask they come to their end.

    Raises
    ------
    WorkerLostError
        A worker died. Results that were not yielded are lost; the remaining calls may be submitted again at once.
    ClusterError
        No cluster is named, it does not answer, or workers cannot take the calls.
    MissingExtraError
        Ray or Dask is not installed.
    """
    with contextlib.ExitStack() as stack:
        atexit.register(stack.close)  # of an iterator that is left to the end of the program
        stack.callback(atexit.unregister, stack.close)
        ignore_ctrl_c = stack.enter_context(_one_ctrl_c())
        run, parallel = stack.enter_context(OPEN[engine.backend](function, engine, finish))
        with ctrl_c_held_back():
            results = parallel(joblib.delayed(run)(*call) for call in calls)
            stack.callback(_close_quietly, results)
            stack.callback(ignore_ctrl_c)
        try:
            for result in results:  # noqa: UP028  # closed by `yield from`, it warns
                yield result
        except RuntimeError as error:
            if any(text in str(error) for text in NOT_THERE):
                raise unfit(error) from error
            raise


def _close_quietly(results: Generator[object]) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "[0-9]+ tasks ", UserWarning)
        results.close()


@contextlib.contextmanager
def _one_ctrl_c() -> Iterator[Callable[[], object]]:
    """Ignore Ctrl-C after the first one, or after the given function was called, until the block is left."""
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield lambda: None  # Ctrl-C goes to the main thread, or nowhere
        return

    def first(number: int, frame: FrameType | None) -> None:
        ignore()
        before(number, frame)

    def ignore() -> object:
        return signal.signal(signal.SIGINT, signal.SIG_IGN)

    signal.signal(signal.SIGINT, first)
    try:
        yield ignore
    finally:
        signal.signal(signal.SIGINT, before)
