"""Whatever happens to an extraction: the old cache stays or the new one is complete, and running again completes it.

Runs that die are processes of their own, forked from a server that has imported everything (``benchmarks/crash.py``).
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import multiprocessing
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ONE_JOB, STUB, TINY_PARAMS, folder_bytes, write_manifests

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import crash
from patience import PATIENCE, wait_for

from seedpipe.cache import Cache, open_cache
from seedpipe.errors import BusyError, CacheDamagedError, CacheError, SeedpipeError
from seedpipe.extract import extract, extract_part
from seedpipe.params import ExtractParams, MachineParams

NOBODY = 65_534
Damage = Callable[[Path], None]


def run(
    manifests: Path, out: Path, params: ExtractParams = TINY_PARAMS, *, network: str = STUB, **options: Any
) -> Cache:
    machine = options.pop("machine", ONE_JOB)
    return extract(manifests / "train", network, out, params, kind="training", machine=machine, **options)


@pytest.fixture(scope="module")
def reference(manifests: Path, tmp_path_factory: pytest.TempPathFactory) -> Cache:
    """The cache of an undisturbed run."""
    return run(manifests, tmp_path_factory.mktemp("reference") / "cache")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A place for a cache, in a folder of its own."""
    (tmp_path / "place").mkdir()
    return tmp_path / "place/cache"


@pytest.fixture
def interrupted(manifests: Path, out: Path) -> Path:
    """The work folder of a run that was interrupted after two of its three shards."""

    def stop(done: int, _: int) -> None:
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(manifests, out, progress=stop)
    (work,) = out.parent.glob(".cache.*")
    return work


@pytest.fixture(scope="module")
def server() -> Any:
    """Forks processes that have imported everything."""
    context = multiprocessing.get_context("forkserver")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
        patch.setenv("OMP_NUM_THREADS", "1")
        context.set_forkserver_preload(["crash", "test_extract_crash", "seedpipe.cli"])
        multiprocessing.forkserver.ensure_running()
    return context


def complete(manifests: Path, out: Path, reference: Cache) -> None:
    """Run once more; the cache must be whole, and alone."""
    assert folder_bytes(run(manifests, out).path) == folder_bytes(reference.path)
    assert [path.name for path in out.parent.iterdir()] == ["cache"]


# ------------------------------------------------------------------------------------------------------------ killed


@pytest.fixture
def lives(server: Any, manifests: Path, tmp_path: Path) -> Callable[..., crash.Tally]:
    """Runs a function with lives of an extraction, in a process that may be forked."""

    def run_apart(function: Callable[[crash.Torture], None], jobs: int = 1) -> crash.Tally:
        (tmp_path / "manifests").symlink_to(manifests / "train")
        (tmp_path / "params.yaml").write_text(json.dumps({"extract": TINY_PARAMS.model_dump(mode="json")}))
        here, there = server.Pipe()
        process = server.Process(target=_live, args=(function, jobs, tmp_path, there))
        process.start()
        try:
            assert here.poll(PATIENCE)
            found: crash.Tally = here.recv()
        finally:
            process.kill()
        return found

    return run_apart


def _live(function: Callable[[crash.Torture], None], jobs: int, folder: Path, link: Connection) -> None:
    os.chdir(folder)
    words = f"extract manifests OUT --network {STUB} --params params.yaml --jobs {jobs}"
    command = crash.Command("extract", words, "cache", beginnings=crash.EXTRACTED)
    torture = crash.Torture(command, folder / "lives", np.random.default_rng(0))
    function(torture)
    link.send(torture.tally)


def _five_kills(lives: crash.Torture) -> None:
    lives.run(5)


@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_kills_at_random_moments_cost_at_most_a_shard_each(lives: Callable[..., crash.Tally], jobs: int) -> None:
    tally = lives(_five_kills, jobs)
    assert (tally.faults, tally.notes, tally.kills) == (0, (), 5)


def _kills_while_publishing(lives: crash.Torture, beginning: str) -> None:
    steps = lives.undisturbed(beginning).steps
    for step in range(steps - 15, steps, 3):
        lives.row(beginning, [{"last_step": step}])


@pytest.mark.parametrize("beginning", ["nothing", "damaged"])
def test_a_kill_between_any_two_steps_of_publishing_does_no_harm(
    lives: Callable[..., crash.Tally], beginning: str
) -> None:
    tally = lives(functools.partial(_kills_while_publishing, beginning=beginning))
    assert (tally.faults, tally.notes, tally.kills) == (0, (), 5)


# --------------------------------------------------------------------------------------------------------- full disk


@contextlib.contextmanager
def largest_file(limit: int) -> Iterator[None]:
    """Let no file of this process grow beyond a number of bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_while_noise_is_decoded(manifests: Path, out: Path, reference: Cache) -> None:
    with largest_file(20_000), pytest.raises(OSError, match=r"File too large: '.*/bank-\w+\.f32'"):
        run(manifests, out)
    assert not out.exists()
    complete(manifests, out, reference)


def test_a_full_disk_while_a_shard_is_written(manifests: Path, interrupted: Path, out: Path, reference: Cache) -> None:
    with largest_file(3_000), pytest.raises(OSError, match=r"File too large: '.*/shard-00002\.h5'"):
        run(manifests, out)
    assert not out.exists()
    assert sorted(path.name for path in interrupted.glob("*.h5")) == ["shard-00000.h5", "shard-00001.h5"]
    complete(manifests, out, reference)


@pytest.mark.parametrize("sync", [0, 5, 7, 8, 10, 13, 16, 18, 19, 20, 21])
def test_a_disk_that_is_full_at_any_sync_leaves_the_old_cache(
    manifests: Path, out: Path, reference: Cache, monkeypatch: pytest.MonkeyPatch, sync: int
) -> None:
    """Banks, shards, notes, manifest, folders: some file systems find room for data only when they are synced."""
    shutil.copytree(reference.path, out)
    (out / "shard-00001.h5").write_bytes(b"damaged")
    before = folder_bytes(out)
    calls = itertools.count()
    fsync = os.fsync

    def full(handle: int) -> None:
        if next(calls) == sync:
            raise OSError(28, "No space left on device")
        fsync(handle)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left on device"):
        run(manifests, out)
    monkeypatch.setattr(os, "fsync", fsync)
    assert folder_bytes(out) in (before, folder_bytes(reference.path))
    complete(manifests, out, reference)


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A file system of its own."""
    place = tmp_path_factory.mktemp("disk")
    command = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)]
    if os.geteuid() or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("file systems can be mounted by root only, and not in every container")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.parametrize("pages", [0, 1, 2, 3, 4, 5, 8])
def test_a_disk_with_a_few_pages_left_keeps_the_old_cache(
    manifests: Path, interrupted: Path, reference: Cache, disk: Path, pages: int
) -> None:
    """The lock and the note of the work take one each, the shard two, its note and the manifest one each."""
    out = disk / str(pages) / "cache"
    shutil.copytree(reference.path, out)
    (out / "shard-00001.h5").write_bytes(b"damaged")
    shutil.copytree(interrupted, out.parent / interrupted.name)
    before = folder_bytes(out)
    status = os.statvfs(disk)
    with (disk / "ballast").open("wb") as ballast:
        os.posix_fallocate(ballast.fileno(), 0, (status.f_bavail - pages) * status.f_bsize)
    failure = ""
    try:
        run(manifests, out)
    except OSError as error:
        failure = str(error)
    (disk / "ballast").unlink()
    assert bool(failure) == (pages < 6)
    if failure:
        assert "No space left on device: '" in failure
        assert folder_bytes(out) == before
    complete(manifests, out, reference)
    shutil.rmtree(out.parent)


# --------------------------------------------------------------------------------------------------- read-only folder


@contextlib.contextmanager
def unprivileged() -> Iterator[None]:
    """Be nobody: root may write everywhere."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


@pytest.mark.parametrize("beginning", ["nothing", "damaged"])
def test_a_read_only_folder_is_named_and_left_as_it_is(data_root: Path, reference: Cache, beginning: str) -> None:
    with tempfile.TemporaryDirectory() as folder:  # pytest's own folders let nobody in
        place = Path(folder, "place")
        place.mkdir()
        Path(folder).chmod(0o755)
        shutil.copytree(data_root, Path(folder, "data"))
        write_manifests(Path(folder, "data"), Path(folder, "manifests"))
        out = place / "cache"
        if beginning != "nothing":
            shutil.copytree(reference.path, out)
        if beginning == "damaged":
            (out / "shard-00001.h5").write_bytes(b"damaged")
        before = folder_bytes(place)
        place.chmod(0o555)
        with unprivileged(), pytest.raises(PermissionError, match=rf"Permission denied: '{place}/"):
            run(Path(folder, "manifests"), out)
        assert folder_bytes(place) == before
        place.chmod(0o755)
        complete(Path(folder, "manifests"), out, reference)


# ------------------------------------------------------------------------------------------------------------ damage


def _cut(keep: Callable[[int], int]) -> Damage:
    return lambda path: os.truncate(path, keep(path.stat().st_size))


def _flip(position: Callable[[int], int]) -> Damage:
    def flip(path: Path) -> None:
        data = bytearray(path.read_bytes())
        data[position(len(data))] ^= 4
        path.write_bytes(data)

    return flip


DAMAGES = {
    "shard, last byte": ("shard-00001.h5", _cut(lambda size: size - 1)),
    "shard, second half": ("shard-00001.h5", _cut(lambda size: size // 2)),
    "shard, all": ("shard-00001.h5", _cut(lambda _: 0)),
    "bit in the data": ("shard-00000.h5", _flip(lambda size: size // 2)),
    "bit in the header": ("shard-00000.h5", _flip(lambda _: 9)),
    "last bit": ("shard-00000.h5", _flip(lambda size: size - 1)),
}
UNSURE_DAMAGES = {
    "shard deleted": ("shard-00001.h5", Path.unlink),
    "bit in the manifest": ("manifest.json", _flip(lambda size: size // 2)),
    "manifest, second half": ("manifest.json", _cut(lambda size: size // 2)),
    "manifest deleted": ("manifest.json", Path.unlink),
}
NOTE_DAMAGES = {
    "shard deleted": ("shard-00001.h5", Path.unlink),
    "bit in the note": ("shard-00000.json", _flip(lambda size: size // 2)),
    "note, all": ("shard-00000.json", _cut(lambda _: 0)),
    "note deleted": ("shard-00000.json", Path.unlink),
}


@pytest.mark.parametrize("what", DAMAGES | UNSURE_DAMAGES)
def test_a_damaged_cache_is_never_read_and_made_again(manifests: Path, out: Path, reference: Cache, what: str) -> None:
    """But only where it is surely a cache of ours that is not being copied just now; else it must be removed first."""
    name, damage = (DAMAGES | UNSURE_DAMAGES)[what]
    shutil.copytree(reference.path, out)
    damage(out / name)
    error = SeedpipeError if what == "manifest deleted" else CacheDamagedError
    with pytest.raises(error, match=f"{out}.*extract"):
        open_cache(out).to_numpy()
    if what in UNSURE_DAMAGES:
        before = folder_bytes(out)
        with pytest.raises(CacheError, match=r"is no (whole )?cache: .*move away what is there"):
            run(manifests, out)
        assert folder_bytes(out) == before
        shutil.rmtree(out)
    complete(manifests, out, reference)


@pytest.mark.parametrize("what", DAMAGES | NOTE_DAMAGES)
def test_damage_to_unfinished_work_is_noticed(
    manifests: Path, interrupted: Path, out: Path, reference: Cache, what: str
) -> None:
    name, damage = (DAMAGES | NOTE_DAMAGES)[what]
    other = interrupted / ("shard-00001.h5" if name.startswith("shard-00000") else "shard-00000.h5")
    intact = other.stat().st_mtime_ns
    damage(interrupted / name)
    complete(manifests, out, reference)
    assert (out / other.name).stat().st_mtime_ns == intact, "the other shard is kept"


def test_half_a_decoded_bank_is_no_bank(manifests: Path, interrupted: Path, out: Path, reference: Cache) -> None:
    """A kill leaves partial files, and notes that nobody is to be blamed for."""
    for name in (".bank-0123456789abcdef.f32.0123.partial", ".shard-00002.h5.4567.partial", "shard-00002.doing"):
        (interrupted / name).write_bytes(b"half")

    def look(_: int, __: int) -> None:
        assert not list(interrupted.glob("*.partial"))

    run(manifests, out, progress=look)
    complete(manifests, out, reference)


# -------------------------------------------------------------------------------------------------- two at one folder


def _wait_in_the_middle(manifests: Path, out: Path, link: Connection) -> None:
    def wait(done: int, _: int) -> None:
        if done == 2:
            link.send(os.getpid())
            link.recv()

    run(manifests, out, progress=wait)


def test_a_second_extraction_into_one_folder_is_told_of_the_first(
    server: Any, manifests: Path, out: Path, reference: Cache
) -> None:
    here, there = server.Pipe()
    first = server.Process(target=_wait_in_the_middle, args=(manifests, out, there))
    first.start()
    try:
        assert here.poll(PATIENCE)
        message = rf"{out}: process {here.recv()} on \S+ is writing it; wait until that has ended, or stop it"
        with pytest.raises(BusyError, match=message):
            run(manifests, out)
        with pytest.raises(BusyError, match=message):
            run(manifests, out, TINY_PARAMS.model_copy(update={"seed": 7}))
        with pytest.raises(BusyError, match=message):
            extract_part(manifests / "train", STUB, out, TINY_PARAMS, part=(1, 2), kind="training", machine=ONE_JOB)
        here.send(None)
        first.join(PATIENCE)
    finally:
        first.kill()
    assert first.exitcode == 0
    complete(manifests, out, reference)


# ------------------------------------------------------------------------------------------------------------ Ctrl-C

STUCK = """
import time
from joblib.externals.loky import process_executor
from stub_network import Stub
class Stuck(Stub):
    def __call__(self, waveforms):
        time.sleep(600 * process_executor._CURRENT_DEPTH)  # a worker never ends by itself
        return super().__call__(waveforms)
"""
PARAMS_FILE = """
extract: {crop_samples: 4000, draws: 2, shard_rows: 4}
"""


def _group_is_gone(group: int | None) -> bool:
    try:
        os.killpg(group or 0, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.usefixtures("hear_signals")
@pytest.mark.parametrize(
    ("wanted", "presses", "stop", "code"),
    [
        ("bank-*.f32", 1, lambda pid: os.killpg(pid, signal.SIGINT), 130),
        ("*.doing", 2, lambda pid: os.killpg(pid, signal.SIGINT), 130),
        ("bank-*.f32", 1, lambda pid: os.kill(pid, signal.SIGTERM), 143),
        ("*.doing", 1, lambda pid: os.killpg(pid, signal.SIGHUP), 129),
    ],
    ids=["once while workers start", "twice while they work", "SIGTERM to the command", "a closed terminal"],
)
def test_ctrl_c_ends_everything_with_one_sentence(
    manifests: Path,
    out: Path,
    reference: Cache,
    tmp_path: Path,
    wanted: str,
    presses: int,
    stop: Callable[[int], None],
    code: int,
) -> None:
    (tmp_path / "stuck_network.py").write_text(STUCK)
    (tmp_path / "params.yaml").write_text(PARAMS_FILE)
    path = os.pathsep.join([str(tmp_path), str(Path(__file__).parents[1])])
    process = subprocess.Popen(
        [
            *(Path(sys.executable).with_name("seedpipe"), "extract", manifests / "train", out),
            *("--network", "stuck_network:Stuck", "--jobs", "2", "--params", tmp_path / "params.yaml"),
        ],
        env=os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait_for(lambda: list(out.parent.glob(f".cache.*/{wanted}")) or process.poll() is not None)
    for press in range(presses):
        time.sleep(0.3 * press)  # on its way out
        stop(process.pid)
    stdout, stderr = process.communicate(timeout=PATIENCE)
    assert stderr == "seedpipe: interrupted; what is finished is kept, and the same command goes on from there\n"
    assert (process.returncode, stdout) == (code, "")
    wait_for(lambda: _group_is_gone(process.pid))
    assert not out.exists()
    complete(manifests, out, reference)


# ------------------------------------------------------------------------------------------------------ a lost worker

DEADLY = """
import contextlib, os, signal
from pathlib import Path
from joblib.externals.loky import process_executor
from stub_network import Stub
class Deadly(Stub):
    def __call__(self, waveforms):
        lives = list(Path({lives!r}).iterdir())
        if not process_executor._CURRENT_DEPTH or not lives:  # not in a worker
            return super().__call__(waveforms)
        with contextlib.suppress(FileNotFoundError):  # another worker took it
            lives[0].unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(waveforms)
"""


def _extract_with_forked_workers(manifests: Path, out: Path, jobs: int, network: str, text: Path) -> None:
    """Extract; what a person would read goes to a file."""
    os.setpgid(0, 0)
    crash.fork_workers()
    with text.open("w") as file:
        os.dup2(file.fileno(), 2)
    try:
        run(manifests, out, network=network, machine=MachineParams(jobs=jobs, device="cpu"))
    except SeedpipeError as error:
        text.write_text(str(error))
        sys.exit(1)


def _forked(server: Any, *arguments: object) -> ForkServerProcess:
    process: ForkServerProcess = server.Process(target=_extract_with_forked_workers, args=arguments)
    process.start()
    return process


@pytest.mark.parametrize("deaths", [1, 50])
def test_one_lost_worker_is_survived_and_many_are_blamed_on_an_utterance(
    server: Any,
    manifests: Path,
    out: Path,
    reference: Cache,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    deaths: int,
) -> None:
    (tmp_path / "lives").mkdir()
    for number in range(deaths):
        (tmp_path / f"lives/{number}").touch()
    (tmp_path / "deadly_network.py").write_text(DEADLY.format(lives=str(tmp_path / "lives")))
    monkeypatch.syspath_prepend(tmp_path)
    process = _forked(server, manifests, out, 2, "deadly_network:Deadly", tmp_path / "text")
    process.join(PATIENCE)
    text = (tmp_path / "text").read_text()
    assert "a worker process died" in text
    assert any(f"{name} (in the network)" in text for name in ("train/anna/zwölf-十二.wav", "train/ben/short.wav"))
    if deaths == 1:
        assert process.exitcode == 0
        assert "going on with what is missing" in text
    else:
        assert process.exitcode == 1
        assert "run again with fewer workers" in text
        assert not out.exists()
    complete(manifests, out, reference)


def test_workers_end_when_their_main_process_was_killed(
    server: Any, manifests: Path, out: Path, reference: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "stuck_network.py").write_text(STUCK)
    monkeypatch.syspath_prepend(tmp_path)
    process = _forked(server, manifests, out, 2, "stuck_network:Stuck", tmp_path / "text")
    wait_for(lambda: list(out.parent.glob(".cache.*/*.doing")))
    process.kill()
    process.join()
    wait_for(lambda: _group_is_gone(process.pid))
    complete(manifests, out, reference)


# --------------------------------------------------------------------------------------------------------- DVC's links


@pytest.mark.parametrize("state", ["intact", "damaged"])
@pytest.mark.parametrize("kind", ["symlink", "hardlink"])
def test_files_that_are_links_to_read_only_ones_are_read_and_never_written(
    manifests: Path, out: Path, reference: Cache, tmp_path: Path, kind: str, state: str
) -> None:
    """As DVC checks out folders with cache.type symlink or hardlink."""
    store = tmp_path / "store"
    shutil.copytree(reference.path, store)
    shutil.copytree(reference.path, out)
    if state == "damaged":
        (store / "shard-00001.h5").write_bytes(b"damaged")
    for path in out.iterdir():
        path.unlink()
        (store / path.name).chmod(0o444)
        path.symlink_to(store / path.name) if kind == "symlink" else path.hardlink_to(store / path.name)
    before = {path: (path.stat().st_mtime_ns, path.stat().st_mode) for path in store.iterdir()}
    contents = folder_bytes(store)
    complete(manifests, out, reference)
    assert folder_bytes(store) == contents
    assert {path: (path.stat().st_mtime_ns, path.stat().st_mode) for path in store.iterdir()} == before
    linked = [path.is_symlink() or path.stat().st_nlink > 1 for path in out.iterdir()]
    assert all(linked) if state == "intact" else not any(linked)


# --------------------------------------------------------------------------------------------------------- same bytes


@pytest.mark.parametrize("jobs", [2, 4])
def test_the_number_of_forked_workers_changes_no_byte(
    server: Any, manifests: Path, out: Path, reference: Cache, tmp_path: Path, jobs: int
) -> None:
    process = _forked(server, manifests, out, jobs, STUB, tmp_path / "text")
    process.join(PATIENCE)
    assert process.exitcode == 0
    complete(manifests, out, reference)


@pytest.mark.parametrize("batch", [8, 64])
def test_the_batch_changes_no_byte(manifests: Path, out: Path, reference: Cache, batch: int) -> None:
    run(manifests, out, machine=MachineParams(jobs=1, device="cpu", batch=batch))
    complete(manifests, out, reference)


def _part(manifests: Path, out: Path, number: int) -> int:
    return extract_part(manifests / "train", STUB, out, TINY_PARAMS, part=(number, 3), kind="training", machine=ONE_JOB)


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 1, 2), (2, 2)])
def test_parts_in_any_order_and_the_closing_run_give_the_same_bytes(
    manifests: Path, out: Path, reference: Cache, order: tuple[int, ...]
) -> None:
    assert [_part(manifests, out, number) for number in order] == [1] * len(order)
    assert not out.exists(), "parts do not publish"
    complete(manifests, out, reference)
    assert _part(manifests, out, 1) == 1, "a part of what is finished does nothing"
    complete(manifests, out, reference)


def test_parts_at_once_in_processes_of_their_own_give_the_same_bytes(
    server: Any, manifests: Path, out: Path, reference: Cache
) -> None:
    parts = [server.Process(target=_part, args=(manifests, out, number)) for number in (1, 2, 3)]
    for process in parts:
        process.start()
    for process in parts:
        process.join(PATIENCE)
    assert [process.exitcode for process in parts] == [0, 0, 0]
    assert not list(out.parent.glob("*.lock"))
    (work,) = out.parent.glob(".cache.*")
    assert len(list(work.glob("*.h5"))) == 3
    complete(manifests, out, reference)
