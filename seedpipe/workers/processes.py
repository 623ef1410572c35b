"""Calls on processes of this machine.

They are those of a pool of our own: joblib has one for the whole program, in which a caller may have work.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import signal
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import joblib

from seedpipe.workers.engine import Call, Engine, Finish, Result, Running, ctrl_c_held_back, lost, parallel, unfit

ONE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")  # of each process, unless they are set
_PLACES: list[BinaryIO] = []


@contextlib.contextmanager
def on_processes(function: Call[Result], engine: Engine, finish: Finish) -> Running[Result]:
    """Run calls on processes that end with the block; with one worker, in this one."""
    workers = engine.workers or joblib.cpu_count()
    with contextlib.ExitStack() as stack:
        if workers == 1:
            stack.callback(finish)
            yield function, parallel(1)
            return
        places = stack.enter_context(tempfile.TemporaryDirectory(prefix="seedpipe-gpus-")) if engine.gpus else ""
        yield stack.enter_context(_pool(function, workers, places, engine.gpus)), parallel(workers)


@contextlib.contextmanager
def _pool(function: Call[Result], workers: int, places: str, gpus: tuple[str, ...]) -> Iterator[Call[Result]]:
    """The function, as it runs in a pool of processes."""
    from joblib.externals.loky import BrokenProcessPool, ProcessPoolExecutor
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    closing, closed = threading.Lock(), threading.Event()

    def run(*arguments: Any) -> Result:
        try:
            with closing:  # a call that loky has not taken up yet when the pool is closed would confuse it
                if closed.is_set():
                    raise lost()  # nobody looks at it
                future = pool.submit(function, *arguments)
                while not (future.running() or future.done()):
                    time.sleep(0.001)
            result: Result = future.result()
            return result
        except TerminatedWorkerError as error:
            raise lost() from error
        except BrokenProcessPool as error:
            raise unfit(error) from error

    # A process that has grown since its first call is replaced between two calls, and nothing is lost.
    warnings.filterwarnings("ignore", "A worker stopped while some jobs", UserWarning)
    threads = {name: os.environ.get(name, "1") for name in ONE_THREAD}
    with ctrl_c_held_back():  # a process that loky starts to clean up outlives a terminal that is closed
        _start_tracker()
        pool = ProcessPoolExecutor(
            workers, initializer=_prepare_process, initargs=(os.getpid(), places, gpus), env=threads
        )
    try:
        with ctrl_c_held_back():
            # In this thread, which holds Ctrl-C back; not by a call that does nothing: from the end of the first one on
            # loky watches how a process grows, and would replace it as soon as it has loaded a network.
            pool._ensure_executor_running()
        yield run
    finally:
        with closing:
            closed.set()
        pool.shutdown(wait=True, kill_workers=True)


def _start_tracker() -> None:
    """Start the process that cleans up after loky; what an interrupted command left is removed without a warning."""
    from joblib.externals.loky.backend import resource_tracker

    sys.warnoptions.append("ignore:resource_tracker:UserWarning")  # of a new interpreter
    try:
        resource_tracker.ensure_running()
    finally:
        sys.warnoptions.pop()


def _prepare_process(parent: int, places: str, gpus: tuple[str, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole process group: the parent ends its workers
    threading.Thread(target=_end_with_parent, args=(parent,), daemon=True).start()
    if gpus:  # before CUDA is asked for anything
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus[_take_place(Path(places)) % len(gpus)]


def _take_place(places: Path) -> int:
    """The first number that no other process has; it is free again when this one ends, however it ends."""
    for number in itertools.count():
        place = (places / str(number)).open("wb")
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _PLACES.append(place)  # held open, and so locked, as long as the process lives
            return number
        place.close()
    raise AssertionError


def _end_with_parent(parent: int) -> None:
    """End this process when its parent was killed; else loky lets it do what is queued, and then wait for minutes."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
