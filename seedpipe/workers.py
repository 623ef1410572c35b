"""Where work runs: on worker processes of this machine (loky), of a Ray or of a Dask cluster, and on which device.

``joblib.Parallel`` runs the calls, on its processes or on threads of which each waits for one call on the cluster.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import signal
import socket
import sys
import threading
import time
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import CancelledError
from dataclasses import dataclass
from multiprocessing import resource_tracker
from types import FrameType
from typing import Any, Literal, TypeAlias, TypeVar

import joblib

from seedpipe.errors import ClusterError, MissingExtraError, ParamsError, WorkerLostError

__all__ = ["Engine", "WantedDevice", "choose_device", "unordered"]

Result = TypeVar("Result")
Call: TypeAlias = Callable[..., Result]
WantedDevice: TypeAlias = Literal["auto", "cpu", "cuda"]
ANSWER_SECONDS = 10  # an address must answer within this time, and a Dask cluster have a worker
STOP_SECONDS = 60  # Ray's calls end within this time when they are cancelled, also on a busy machine
LONELY_SECONDS = 15  # a Dask cluster that has no worker twice, so far apart, is given up
# What Ray and Dask say of a function that cannot be imported on the other side.
NOT_THERE = ("failed to import on the worker", "deserialization of the task graph")


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
    """

    workers: int
    backend: Literal["loky", "ray", "dask"] = "loky"
    address: str = ""


def unordered(function: Callable[..., Result], calls: Iterable[tuple[Any, ...]], engine: Engine) -> Iterator[Result]:
    """Call a function with each tuple of arguments; results come as they are ready.

    Parameters
    ----------
    function : callable
        Importable by name on every worker, as its arguments are. What it raises ends the iteration, unchanged.
    calls : iterable of tuple
        Read little by little, at most four calls per worker ahead of the results, and from a thread of the engine.
    engine : Engine

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
    with (
        _one_ctrl_c() as ignore_ctrl_c,
        _OPEN[engine.backend](function, engine) as (run, parallel),
        contextlib.ExitStack() as closing,
    ):
        with _ctrl_c_held_back():
            results = parallel(joblib.delayed(run)(*call) for call in calls)
            closing.callback(_close_quietly, results)
            closing.callback(ignore_ctrl_c)
        try:
            for result in results:  # noqa: UP028  # closed by `yield from`, it warns
                yield result
        except RuntimeError as error:
            if any(text in str(error) for text in NOT_THERE):
                raise _unfit(error) from error
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


@contextlib.contextmanager
def _ctrl_c_held_back() -> Iterator[None]:
    """Let Ctrl-C wait until the block is left; processes that start in it never see one, not even while they import."""
    resource_tracker.ensure_running()  # loky starts it otherwise, and it lets Ctrl-C through again when it starts
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _loky(function: Call[Result], engine: Engine) -> Iterator[tuple[Call[Result], joblib.Parallel]]:
    from joblib.externals.loky import BrokenProcessPool, get_reusable_executor
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    # A process that has grown since its first call is replaced between two calls, and nothing is lost.
    warnings.filterwarnings("ignore", "A worker stopped while some jobs", UserWarning)
    try:
        yield function, _parallel(engine.workers or -1, "loky", initializer=_prepare_loky_worker)
    except TerminatedWorkerError as error:
        raise _lost() from error
    except BrokenProcessPool as error:
        raise _unfit(error) from error
    finally:
        get_reusable_executor(reuse=True, kill_workers=True).shutdown(wait=True, kill_workers=True)


def _prepare_loky_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole process group: the parent ends its workers
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()


def _end_with_parent(parent: int) -> None:
    """End this process when its parent was killed; else loky lets it do what is queued, and then wait for minutes."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


@contextlib.contextmanager
def _ray(function: Call[Result], engine: Engine) -> Iterator[tuple[Call[Result], joblib.Parallel]]:
    ray = _imported("ray", "ray")
    task = ray.remote(num_cpus=1, max_retries=0)(function)
    running: dict[int, Any] = {}  # what each thread waits for; nothing while it asks
    stopped = threading.Event()

    def run(*arguments: Any) -> Result:
        thread = threading.get_ident()
        running[thread] = None
        try:
            if stopped.is_set():
                raise _lost()  # nobody looks at it
            running[thread] = task.remote(*arguments)
            result: Result = ray.get(running[thread])
            return result
        except ray.exceptions.RayTaskError as error:
            raise error.cause from None
        except ray.exceptions.RayError as error:
            raise _lost() from error
        finally:
            del running[thread]

    with contextlib.ExitStack() as stack:
        if not ray.is_initialized():  # a session that the caller has opened is used and left open
            _knock(engine)
            try:
                ray.init(address=engine.address, log_to_driver=False, logging_level=logging.ERROR)
            except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
                raise _no_answer(engine.address, error) from error
            stack.callback(ray.shutdown)
            stack.enter_context(contextlib.redirect_stdout(sys.stderr))  # there Ray tells of lost workers
        stack.callback(_stop, running, stopped, ray.cancel)
        cores = int(ray.cluster_resources().get("CPU", 0))
        yield run, _parallel(engine.workers or cores, "threading")


def _stop(running: dict[int, Any], stopped: threading.Event, cancel: Callable[..., object]) -> None:
    """End the calls and wait for their threads: one that asked Ray after the end of a session would start another."""
    stopped.set()
    deadline = time.monotonic() + STOP_SECONDS
    while running and time.monotonic() < deadline:
        for reference in list(running.values()):
            if reference is not None:
                cancel(reference, force=True)
        time.sleep(0.05)


@contextlib.contextmanager
def _dask(function: Call[Result], engine: Engine) -> Iterator[tuple[Call[Result], joblib.Parallel]]:
    distributed = _imported("distributed", "dask")
    _knock(engine)
    with contextlib.ExitStack() as stack:
        try:
            client = distributed.Client(engine.address, timeout=ANSWER_SECONDS, set_as_default=False)
            stack.enter_context(client)
            client.wait_for_workers(1, timeout=ANSWER_SECONDS)
        except (OSError, TimeoutError, ValueError) as error:
            raise _no_answer(engine.address, error) from error

        def run(*arguments: Any) -> Result:
            future = client.submit(function, *arguments, pure=False)
            lonely = 0
            while lonely < 2:
                try:
                    result: Result = future.result(timeout=LONELY_SECONDS)
                    return result
                except (distributed.KilledWorker, CancelledError) as error:
                    raise _lost() from error
                except TimeoutError:
                    if future.done():  # it is the function's own
                        raise
                    lonely = 0 if client.ncores() else lonely + 1
            raise _lost()

        yield run, _parallel(engine.workers or sum(client.ncores().values()), "threading")


def _parallel(workers: int, backend: str, **options: Any) -> joblib.Parallel:
    return joblib.Parallel(
        n_jobs=workers,
        backend=backend,
        return_as="generator_unordered",
        pre_dispatch="2*n_jobs",
        batch_size=1,  # a call is seconds of work
        **options,
    )


def _knock(engine: Engine) -> None:
    """See whether somebody listens and speaks first, as Ray and Dask do: both would retry for minutes."""
    if not engine.address:
        raise ClusterError(
            f"no address of a {engine.backend} cluster is given",
            expected="HOST:PORT of a running cluster (machine.address, --address)",
            remedy="start one ('ray start --head', or 'dask scheduler' and 'dask worker'), or let this machine do it "
            "(machine.backend: loky)",
        )
    host, _, port = engine.address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=ANSWER_SECONDS) as connection:
            if not connection.recv(1):
                raise ConnectionError("the connection was closed")
    except (OSError, ValueError, OverflowError) as error:
        raise _no_answer(engine.address, error) from error


def _no_answer(address: str, error: BaseException) -> ClusterError:
    return ClusterError(
        f"no workers answer at {address} ({str(error).splitlines()[0] if str(error) else type(error).__name__})",
        expected="HOST:PORT of a running cluster with workers",
        remedy="check the address and that its workers have started (docs/cluster.md)",
    )


def _unfit(error: BaseException) -> ClusterError:
    return ClusterError(
        f"workers cannot take the calls ({type(error).__name__}: {error})",
        expected="the same packages on every node",
        remedy="install seedpipe there",
    )


def _lost() -> WorkerLostError:
    return WorkerLostError(
        "a worker process died (killed by the system, often for lack of memory)",
        remedy="run again with fewer workers: what is finished is kept",
    )


def _imported(module: str, extra: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(f"{extra} is not installed", remedy=f'pip install "seedpipe[{extra}]"') from error


_OPEN = {"loky": _loky, "ray": _ray, "dask": _dask}


def choose_device(wanted: WantedDevice) -> str:
    """The device that is meant: ``auto`` is the GPU where there is one.

    Raises
    ------
    ParamsError
        CUDA is asked for and there is none.
    """
    import torch

    if wanted == "cpu":
        return wanted
    if torch.cuda.is_available():
        return "cuda"
    if wanted == "cuda":
        raise ParamsError("there is no CUDA device", remedy="set machine.device: auto, or --device auto")
    return "cpu"
