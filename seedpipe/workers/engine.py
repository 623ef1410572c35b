"""What all ways to run calls have in common."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing import resource_tracker
from typing import Literal, TypeAlias, TypeVar

import joblib

from seedpipe.errors import ClusterError, WorkerLostError

Result = TypeVar("Result")
Call: TypeAlias = Callable[..., Result]
Finish: TypeAlias = Callable[[], None]
Running: TypeAlias = Iterator[tuple[Call[Result], joblib.Parallel]]
"""The function as it runs elsewhere, and what calls it."""


@dataclass(frozen=True)
class Engine:
    """Where calls run.

    Parameters
    ----------
    workers : int
        Calls at a time; 0: as many as this machine, or the cluster, has cores. With one, all runs in this process.
    backend : {'loky', 'ray', 'dask'}
        Processes of this machine, a Ray cluster or a Dask cluster.
    address : str
        HOST:PORT of a Ray or Dask cluster that runs already.
    gpus : tuple of str
        The GPUs of this machine that its processes share evenly, as :func:`visible_gpus` names them: each process sees
        one of them. With none, all see what this process sees.
    """

    workers: int
    backend: Literal["loky", "ray", "dask"] = "loky"
    address: str = ""
    gpus: tuple[str, ...] = ()


def parallel(workers: int) -> joblib.Parallel:
    """Threads that make so many calls at a time; one makes them in this thread."""
    return joblib.Parallel(
        n_jobs=workers,
        backend="threading",
        return_as="generator_unordered",
        pre_dispatch="2*n_jobs",
        batch_size=1,  # a call is seconds of work
    )


@contextlib.contextmanager
def ctrl_c_held_back() -> Iterator[None]:
    """Let Ctrl-C and its like wait until the block is left; processes that start in it never see one."""
    resource_tracker.ensure_running()  # loky starts it otherwise, and it lets Ctrl-C through again when it starts
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def unfit(error: BaseException) -> ClusterError:
    """Workers lack what they need for the calls."""
    return ClusterError(
        f"workers cannot take the calls ({type(error).__name__}: {error})",
        expected="the same packages on every node",
        remedy="install seedpipe there",
    )


def lost() -> WorkerLostError:
    """A worker died."""
    return WorkerLostError(
        "a worker process died (killed by the system, often for lack of memory)",
        remedy="run again with fewer workers: what is finished is kept",
    )
