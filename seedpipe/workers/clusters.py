"""Calls on a Ray or a Dask cluster that runs already."""

from __future__ import annotations

import contextlib
import importlib
import logging
import socket
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError
from typing import Any

from seedpipe.errors import ClusterError, MissingExtraError, install
from seedpipe.workers.engine import Call, Engine, Finish, Result, Running, lost, parallel

ANSWER_SECONDS = 10  # an address must answer within this time, and a Dask cluster have a worker
STOP_SECONDS = 60  # Ray's calls end within this time when they are cancelled, also on a busy machine
LONELY_SECONDS = 15  # a Dask cluster that has no worker twice, so far apart, is given up


@contextlib.contextmanager
def on_ray(function: Call[Result], engine: Engine, finish: Finish) -> Running[Result]:  # noqa: ARG001
    """Run calls on a Ray cluster, each on one CPU; its workers end with the session, so nothing is to be finished."""
    ray = _imported("ray", "ray")
    task = ray.remote(num_cpus=1, max_retries=0)(function)
    running: dict[int, Any] = {}  # what each thread waits for; nothing while it asks
    stopped = threading.Event()

    def run(*arguments: Any) -> Result:
        thread = threading.get_ident()
        running[thread] = None
        try:
            if stopped.is_set():
                raise lost()  # nobody looks at it
            running[thread] = task.remote(*arguments)
            result: Result = ray.get(running[thread])
            return result
        except ray.exceptions.RayTaskError as error:
            raise error.cause from None
        except ray.exceptions.RayError as error:
            raise lost() from error
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
        yield run, parallel(engine.workers or cores)


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
def on_dask(function: Call[Result], engine: Engine, finish: Finish) -> Running[Result]:
    """Run calls on a Dask cluster, on whatever GPU each of its workers sees first."""
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
                    raise lost() from error
                except TimeoutError:
                    if future.done():  # it is the function's own
                        raise
                    lonely = 0 if client.ncores() else lonely + 1
            raise lost()

        yield run, parallel(engine.workers or sum(client.ncores().values()))
        client.run(finish)


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


def _imported(module: str, extra: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(f"{extra} is not installed", remedy=install(extra)) from error
