"""Calls on a real Ray and a real Dask cluster of two workers on this machine.

Ray ends the process that uses it where it does not like its surroundings, so its tests run in a pytest of their own.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import stub_network
from conftest import ONE_JOB, TINY_PARAMS, folder_bytes
from patience import PATIENCE
from test_workers import die, meet, numbers, process, refuse, square

from seedpipe.errors import AudioError, ClusterError, MissingExtraError, WorkerLostError, install
from seedpipe.extract import extract
from seedpipe.params import MachineParams
from seedpipe.workers import Engine, unordered

PACKAGES = {"ray": "ray", "dask": "distributed"}
OF_RAY = "SEEDPIPE_TESTS_OF_RAY"
BACKENDS = ["ray"] if OF_RAY in os.environ else ["dask"]


def process_or_die(number: int) -> int:
    """Be killed at number 20, each time."""
    time.sleep(0.05)
    if number == 20:
        os.kill(os.getpid(), signal.SIGKILL)
    return os.getpid()


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def need(backend: str) -> None:
    if importlib.util.find_spec(PACKAGES[backend]) is None:
        pytest.skip(f"{backend} is not installed")


@contextlib.contextmanager
def running(*command: str) -> Iterator[None]:
    """Run a Python module that finds the functions of this folder, and end all that it has started."""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    program = subprocess.Popen([sys.executable, "-m", *command], env=environment, start_new_session=True, **quiet)
    try:
        yield
    finally:
        program.terminate()
        try:
            with contextlib.suppress(subprocess.TimeoutExpired):
                program.wait(20)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(program.pid, signal.SIGKILL)
            program.wait()


@contextlib.contextmanager
def ray_cluster(port: int) -> Iterator[None]:
    folder = tempfile.mkdtemp(prefix="ray-")  # short: sockets are made in it
    ports = [f"--{name}={free_port()}" for name in ("ray-client-server-port", "dashboard-agent-listen-port")]
    size = ["--num-cpus=2", f"--object-store-memory={2**27}", "--include-dashboard=false", "--disable-usage-stats"]
    place = ["--node-ip-address=127.0.0.1", f"--port={port}", f"--temp-dir={folder}"]
    try:
        with running("ray.scripts.scripts", "start", "--head", "--block", *place, *ports, *size):
            yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def dask_cluster(port: int) -> Iterator[None]:
    at = ["--host=127.0.0.1", "--no-dashboard", "--dashboard-address=127.0.0.1:0"]
    folder = tempfile.mkdtemp(prefix="dask-")
    two = ["--nworkers=2", "--nthreads=1", f"--local-directory={folder}"]
    try:
        with (
            running("dask", "scheduler", f"--port={port}", *at),
            running("dask", "worker", f"tcp://127.0.0.1:{port}", *at, *two),
        ):
            yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


START: dict[str, Callable[[int], contextlib.AbstractContextManager[None]]] = {
    "ray": ray_cluster,
    "dask": dask_cluster,
}


@pytest.fixture(scope="module", params=BACKENDS)
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """A cluster that runs already, as a user would give it."""
    need(request.param)
    port = free_port()
    environment = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    environment[stub_network.MARK] = str(tmp_path_factory.mktemp("mortal") / "mark")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        with START[request.param](port):
            engine = Engine(2, request.param, f"127.0.0.1:{port}")
            wait_for(engine)
            yield engine


def wait_for(engine: Engine) -> None:
    """Wait until both workers take calls: one that starts, or that starts again after its death, takes its time."""
    deadline = time.monotonic() + PATIENCE
    used: set[int] = set()
    while len(used) != 2:
        assert time.monotonic() < deadline, f"{len(used)} of 2 workers took calls"
        with contextlib.suppress(ClusterError):
            used = set(unordered(process, numbers(20), engine))
        time.sleep(0.3)


@pytest.mark.slow
@pytest.mark.timeout(1_200)
@pytest.mark.skipif(OF_RAY in os.environ, reason="this is the pytest of Ray")
def test_ray_does_all_that_is_tested_here() -> None:
    need("ray")
    if " " in f"{sys.executable}{__file__}":
        pytest.skip("Ray starts no workers from a path that holds a space")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__]
    done = subprocess.run(command, env=os.environ | {OF_RAY: "1"}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-6_000:] + done.stderr[-2_000:]


@pytest.mark.slow
def test_a_cluster_gives_every_result_once_from_its_own_processes(engine: Engine, tmp_path: Path) -> None:
    assert sorted(unordered(square, numbers(40), engine)) == [number**2 for number in range(40)]
    used = set(unordered(meet, numbers(20, tmp_path), engine))
    assert len(used) == 2
    assert os.getpid() not in used


@pytest.mark.slow
def test_a_cluster_reads_calls_little_by_little_and_yields_as_they_are_ready(engine: Engine) -> None:
    read: list[int] = []
    calls = ((number, 0.01) for number in range(60) if read.append(number) is None)  # type: ignore[func-returns-value]
    ahead = [len(read) - done for done, _ in enumerate(unordered(square, calls, engine), start=1)]
    assert len(ahead) == 60
    assert max(ahead) <= 4 * engine.workers


@pytest.mark.slow
def test_a_cluster_sends_errors_home_as_they_are(engine: Engine) -> None:
    with pytest.raises(AudioError) as caught:
        list(unordered(refuse, numbers(20), engine))
    error = caught.value
    assert (error.found, error.expected, error.remedy) == ("is silent", "sound", "record it again")
    assert (error.file, error.row) == ("a.wav", 7)


@pytest.mark.slow
def test_after_one_killed_worker_a_cluster_gives_the_right_results(engine: Engine, tmp_path: Path) -> None:
    results = []
    for _ in range(2):  # Dask makes the lost call again by itself, Ray does not
        try:
            results = sorted(unordered(die, numbers(20, tmp_path / "mark"), engine))
            break
        except WorkerLostError:
            continue
    assert (tmp_path / "mark").exists()
    assert results == list(range(20))


@pytest.mark.slow
def test_a_call_that_kills_its_worker_each_time_ends_and_leaves_the_cluster_in_order(engine: Engine) -> None:
    with pytest.raises(WorkerLostError, match="died"):
        list(unordered(die, numbers(20, None), engine))
    assert sorted(unordered(square, numbers(10), engine)) == [number**2 for number in range(10)]


@pytest.mark.slow
def test_closing_early_leaves_the_cluster_in_order(engine: Engine) -> None:
    read: list[int] = []
    results = unordered(process, ((n,) for n in range(1_000) if read.append(n) is None), engine)  # type: ignore[func-returns-value]
    next(results)
    results.close()
    assert len(read) < 100
    wait_for(engine)


@pytest.mark.slow
def test_a_function_that_workers_lack_is_said(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "only_here.py").write_text("def call(number): return number\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    here = importlib.import_module("only_here")
    with pytest.raises(ClusterError, match="same packages on every node"):
        list(unordered(here.call, numbers(4), engine))


@pytest.mark.slow
def test_results_alone_go_to_stdout_when_workers_die(engine: Engine) -> None:
    script = (
        "from test_clusters import process_or_die\n"
        "from test_workers import numbers\n"
        "from seedpipe.errors import WorkerLostError\n"
        "from seedpipe.workers import Engine, unordered\n"
        "try:\n"
        f"    list(unordered(process_or_die, numbers(50), {engine!r}))\n"
        "except WorkerLostError:\n"
        "    print('lost')\n"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    command = [sys.executable, "-c", script]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert run.stdout == "lost\n"
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_cluster_without_an_address_is_refused(backend: Any) -> None:
    need(backend)
    with pytest.raises(ClusterError, match="no address"):
        next(unordered(square, numbers(4), Engine(2, backend)))


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_address_without_a_cluster_is_named(backend: Any) -> None:
    need(backend)
    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(ClusterError, match=f"no workers answer at {address}"):
        next(unordered(square, numbers(4), Engine(2, backend, address)))


@pytest.mark.parametrize("backend", ["ray", "dask"])
def test_a_missing_package_is_named(backend: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, PACKAGES[backend], None)
    with pytest.raises(MissingExtraError, match=re.escape(install(backend))):
        next(unordered(square, numbers(4), Engine(2, backend)))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_an_extraction_gives_the_local_bytes_although_a_worker_is_killed(
    engine: Engine, manifests: Path, tmp_path: Path
) -> None:
    cluster = MachineParams(jobs=2, backend=engine.backend, address=engine.address, device="cpu")
    arguments = (manifests / "train", "stub_network:make_mortal")
    local = extract(*arguments, tmp_path / "local", TINY_PARAMS, kind="training", machine=ONE_JOB)
    mark = Path(os.environ[stub_network.MARK])
    mark.write_text(str(os.getpid()))
    made = extract(*arguments, tmp_path / "cluster", TINY_PARAMS, kind="training", machine=cluster)
    assert not mark.exists(), "a worker was killed"
    assert folder_bytes(made.path) == folder_bytes(local.path)
