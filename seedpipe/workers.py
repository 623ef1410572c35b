"""Where work runs: on worker processes of this machine (loky), of a Ray or of a Dask cluster, and on which device."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import CancelledError
from dataclasses import dataclass
from multiprocessing import resource_tracker
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

import joblib

from seedpipe.errors import ClusterError, MissingExtraError, ParamsError, WorkerLostError

if TYPE_CHECKING:
    import distributed

__all__ = ["Engine", "WantedDevice", "choose_device", "unordered"]

Result = TypeVar("Result")
WantedDevice: TypeAlias = Literal["auto", "cpu", "cuda"]
ANSWER_SECONDS = 10  # an address must answer within this time, and a Dask cluster have a worker
LONELY_SECONDS = 30  # a Dask cluster that has lost its last worker for longer is given up
OBJECT_STORE_BYTES = 2**27  # of a Ray of our own, which else takes a third of the memory; our results are small


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
        HOST:PORT of a Ray or Dask cluster that runs already; empty: start one on this machine and stop it in the end.
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
        Closing the iterator drops the calls that wait and stops local workers; on a Dask cluster of the user's own,
        the calls that run come to their end.

    Raises
    ------
    WorkerLostError
        A worker died. Results that were not yielded are lost; the remaining calls may be submitted again at once.
    ClusterError
        The cluster does not answer, or its workers cannot take the calls.
    MissingExtraError
        Ray or Dask is not installed.
    """
    with _one_ctrl_c() as ignore_ctrl_c, _OPEN[engine.backend](engine) as parallel, contextlib.ExitStack() as closing:
        with _ctrl_c_held_back():
            results = parallel(joblib.delayed(function)(*call) for call in calls)
            closing.callback(_close_quietly, results)
            closing.callback(ignore_ctrl_c)
        for result in results:  # noqa: UP028  # closed by `yield from`, it warns
            yield result


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
def _loky(engine: Engine) -> Iterator[joblib.Parallel]:
    from joblib.externals.loky import get_reusable_executor
    from joblib.externals.loky.process_executor import BrokenProcessPool, TerminatedWorkerError

    try:
        yield _parallel(engine.workers or -1, "loky", initializer=_prepare_loky_worker)
    except TerminatedWorkerError as error:
        raise _lost() from error
    except BrokenProcessPool as error:
        raise _unfit(error) from error
    finally:
        get_reusable_executor(reuse=True, kill_workers=True).shutdown(wait=True, kill_workers=True)


def _prepare_loky_worker() -> None:
    from joblib.externals.loky import process_executor

    # loky takes a process that has grown by 300 MB since its first call for leaking, warns and replaces it. Ours grow
    # because they load a network at the first call that needs one.
    process_executor._MAX_MEMORY_LEAK_SIZE = sys.maxsize
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole process group: the parent ends its workers
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()


def _end_with_parent(parent: int) -> None:
    """End this process when its parent was killed; else loky lets it do what is queued, and then wait for minutes."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


@contextlib.contextmanager
def _ray(engine: Engine) -> Iterator[joblib.Parallel]:
    with _ray_session(engine):
        import ray
        from ray.util.joblib.ray_backend import RayBackend
        from ray.util.multiprocessing.pool import ResultThread

        cores = int(ray.cluster_resources().get("CPU", 0))  # type: ignore[no-untyped-call]
        backend = RayBackend(ray_remote_args={"num_cpus": 1})  # its default of 0 heaps all workers on one node
        # Inherited from the backend for multiprocessing, where it is false. Ray's pool calls back for results, errors
        # and lost workers alike, which is all that a generator needs.
        backend.supports_return_generator = True
        try:
            yield _parallel(min(engine.workers or cores, cores), backend)
        except ray.exceptions.RayTaskError as error:
            raise _unfit(error.cause) from error
        except ray.exceptions.RayError as error:
            raise _lost() from error
        finally:
            # One thread for each call in flight; one that outlived the session would start another.
            for thread in threading.enumerate():
                if isinstance(thread, ResultThread):
                    thread.join(ANSWER_SECONDS)


@contextlib.contextmanager
def _ray_session(engine: Engine) -> Iterator[None]:
    """Connect to a cluster, or start one; a session that the caller has opened is used and left open."""
    if engine.address:
        os.environ.setdefault("RAY_NUM_REDIS_GET_RETRIES", "3")  # tries to connect, of some seconds each
    try:
        import ray
    except ImportError as error:
        raise _missing("ray") from error
    if ray.is_initialized():
        yield
        return
    with contextlib.ExitStack() as stack:
        folder = tempfile.mkdtemp(prefix="ray-")
        stack.callback(_remove, folder)
        _keep_stdout_clean(stack)
        stack.callback(ray.shutdown)
        if engine.address:
            _knock(engine.address)
            try:
                ray.init(address=engine.address, log_to_driver=False, logging_level=logging.ERROR)
            except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
                raise _no_answer(engine.address, error) from error
        else:
            _start_ray(engine.workers, folder)
        yield


def _start_ray(workers: int, folder: str) -> None:
    import ray

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if "RAY_AUTH_MODE" not in os.environ:
        # Ray listens on all interfaces, guarded by a token that it would else write to the home folder.
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    ray.init(
        address="local",
        num_cpus=workers or None,
        include_dashboard=False,
        object_store_memory=OBJECT_STORE_BYTES,
        log_to_driver=False,
        logging_level=logging.ERROR,
        _temp_dir=folder,
    )


def _remove(folder: str) -> None:
    """Remove the folder of a Ray that has ended; its last processes may still write for a moment."""
    for _ in range(20):
        shutil.rmtree(folder, ignore_errors=True)
        if not Path(folder).exists():
            return
        time.sleep(0.1)


def _keep_stdout_clean(stack: contextlib.ExitStack) -> None:
    """Ray tells of lost workers on stdout, where results belong."""
    from ray._private import worker

    tell = worker.print_to_stdstream
    stack.callback(setattr, worker, "print_to_stdstream", tell)
    worker.print_to_stdstream = lambda data, **options: tell({**data, "is_err": True}, **options)


@contextlib.contextmanager
def _dask(engine: Engine) -> Iterator[joblib.Parallel]:
    with _dask_client(engine) as client:
        import distributed

        try:
            yield _parallel(engine.workers or -1, _dask_backend(client))
        except (distributed.KilledWorker, CancelledError) as error:
            raise _lost() from error


@contextlib.contextmanager
def _dask_client(engine: Engine) -> Iterator[distributed.Client]:
    try:
        import distributed
    except ImportError as error:
        raise _missing("dask") from error
    with contextlib.ExitStack() as stack:
        address = engine.address
        if address:
            _knock(address)
        else:
            address = stack.enter_context(_dask_cluster(engine.workers or joblib.cpu_count())).scheduler_address
        try:
            client = distributed.Client(  # type: ignore[no-untyped-call]
                address, timeout=ANSWER_SECONDS, set_as_default=False
            )
            stack.callback(_close, client)
            client.wait_for_workers(1, timeout=ANSWER_SECONDS)
        except (OSError, TimeoutError, ValueError) as error:
            raise _no_answer(address, error) from error
        yield client


def _close(client: distributed.Client) -> None:
    """Close a client; of results that arrive meanwhile its loop prints tracebacks."""
    logger = logging.getLogger("tornado.application")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        client.close(timeout=ANSWER_SECONDS)  # type: ignore[no-untyped-call]
    finally:
        logger.setLevel(level)


def _dask_cluster(workers: int) -> distributed.LocalCluster:
    import distributed

    return distributed.LocalCluster(  # type: ignore[no-untyped-call]
        n_workers=workers,
        threads_per_worker=1,
        processes=True,
        memory_limit=None,  # its default gives each worker its share of the cores in memory, and kills at that
        preload=["import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)"],  # as for loky
        scheduler_kwargs={"dashboard": False, "dashboard_address": "127.0.0.1:0"},  # no page, and any free port
        silence_logs=logging.CRITICAL,
    )


def _dask_backend(client: distributed.Client) -> Any:
    from joblib._dask import DaskDistributedBackend

    class Backend(DaskDistributedBackend):  # type: ignore[misc]
        """joblib's own, which waits for ever for a call that has failed for another reason than its function."""

        def effective_n_jobs(self, n_jobs: int) -> int:
            return n_jobs if n_jobs > 0 else int(super().effective_n_jobs(n_jobs))

        def start_call(self) -> None:
            super().start_call()
            self.client.loop.add_callback(self._give_up_when_lonely)

        async def _give_up_when_lonely(self) -> None:
            lonely = 0
            with contextlib.suppress(OSError):  # the scheduler has gone, and with it all futures
                while self._continue and lonely < LONELY_SECONDS:
                    await asyncio.sleep(1)
                    lonely = 0 if await self.client.scheduler.ncores() else lonely + 1
                for future in list(self._results.values()) if self._continue else []:
                    future.set_exception(_lost())

        def submit(self, func: Any, callback: Callable[[Any], None]) -> Any:
            future = super().submit(func, callback)
            future.add_done_callback(lambda done: callback(done.exception()) if done.exception() else None)
            return future

    return Backend(client=client)


def _parallel(workers: int, backend: Any, **options: Any) -> joblib.Parallel:
    return joblib.Parallel(
        n_jobs=workers,
        backend=backend,
        return_as="generator_unordered",
        pre_dispatch="2*n_jobs",
        batch_size=1,  # a call is seconds of work
        **options,
    )


def _knock(address: str) -> None:
    """See whether somebody listens and speaks first, as Ray and Dask do: both would retry for minutes."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=ANSWER_SECONDS) as connection:
            if not connection.recv(1):
                raise ConnectionError("the connection was closed")
    except (OSError, ValueError, OverflowError) as error:
        raise _no_answer(address, error) from error


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


def _missing(extra: str) -> MissingExtraError:
    return MissingExtraError(f"{extra} is not installed", remedy=f'pip install "seedpipe[{extra}]"')


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
