"""seedpipe.files: what is written appears whole or not at all, and a lock lives exactly as long as its process."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import folder_bytes

from seedpipe import files
from seedpipe.errors import BusyError, CacheError
from seedpipe.files import locked, publish_folder, refuse_foreign, whole_file

Holder = Callable[..., "subprocess.Popen[str]"]

# Takes a lock, says so, and keeps it until its input ends.
HOLD = """
import sys
from pathlib import Path
from seedpipe.files import locked
with locked(Path(sys.argv[1]), shared=sys.argv[2] == "shared"):
    print("locked", flush=True)
    sys.stdin.read()
"""

# Takes and leaves the lock again and again; in it, counts up in a file without any care of its own.
COUNT = """
import sys
from pathlib import Path
from seedpipe.errors import BusyError
from seedpipe.files import locked
folder, counter = Path(sys.argv[1]), Path(sys.argv[1], "counter")
done = 0
while done < int(sys.argv[2]):
    try:
        with locked(folder):
            counter.write_text(str(int(counter.read_text()) + 1))
            done += 1
    except BusyError:
        pass
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[Holder]:
    """Starts processes that hold the lock of ``tmp_path / 'cache'``."""
    with contextlib.ExitStack() as stack:

        def start(kind: str = "exclusive") -> subprocess.Popen[str]:
            process = subprocess.Popen(
                [sys.executable, "-c", HOLD, str(tmp_path / "cache"), kind],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            assert process.stdout is not None
            assert process.stdout.readline() == "locked\n"
            return process

        yield start


def release(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(30) == 0


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# ------------------------------------------------------------------------------------------------------- whole files


def test_a_file_appears_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "new/folder/metrics.json"
    with whole_file(path) as partial:
        partial.write_text("{}")
        assert not path.exists()
        assert partial.parent == path.parent, "a rename is whole only within a file system"
    assert path.read_text() == "{}"
    assert names(path.parent) == ["metrics.json"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_block_that_fails_leaves_the_old_file(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "metrics.json"
    path.write_text("old")

    def fail() -> None:
        with whole_file(path) as partial:
            partial.write_text("new")
            raise error

    with pytest.raises(error):
        fail()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["metrics.json"]


def test_a_block_that_writes_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), whole_file(tmp_path / "metrics.json"):
        pass
    assert names(tmp_path) == []


def test_two_writers_of_one_file_do_not_share_a_partial(tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    with whole_file(path) as first, whole_file(path) as second:
        first.write_text("first")
        second.write_text("second")
    assert path.read_text() == "first", "the block that ends last"
    assert names(tmp_path) == ["metrics.json"]


def test_a_full_disk_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    path.write_text("old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        with pytest.raises(OSError, match=r"File too large: '.*/metrics\.json'"), whole_file(path) as partial:
            partial.write_bytes(bytes(101))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["metrics.json"]


# ----------------------------------------------------------------------------------------------------------- folders


def folders(tmp_path: Path) -> tuple[Path, Path]:
    """A finished work folder, and an older one in the place that it is to have."""
    work, out = tmp_path / ".cache.work", tmp_path / "cache"
    for folder, text in ((work, "new"), (out, "old")):
        folder.mkdir()
        (folder / "manifest.json").write_text(text)
    (out / "shard-00007.h5").write_text("old")
    return work, out


def no_exchange(*_: object) -> None:
    raise OSError(38, "Function not implemented")


def test_a_folder_takes_an_empty_place(tmp_path: Path) -> None:
    work, out = folders(tmp_path)
    publish_folder(work, tmp_path / "other")
    assert folder_bytes(tmp_path / "other") == {"manifest.json": b"new"}
    assert (out / "manifest.json").read_text() == "old"
    assert names(tmp_path) == ["cache", "other"]


@pytest.mark.parametrize("exchange", [True, False])
def test_a_folder_takes_the_place_of_an_older_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchange: bool
) -> None:
    if not exchange:
        monkeypatch.setattr(files, "_exchange", no_exchange)
    work, out = folders(tmp_path)
    publish_folder(work, out)
    assert folder_bytes(out) == {"manifest.json": b"new"}
    assert names(tmp_path) == ["cache"]


def test_the_place_is_never_empty_where_the_system_can_exchange(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work, out = folders(tmp_path)
    seen: list[str] = []
    monkeypatch.setattr(files.shutil, "rmtree", lambda *_, **__: seen.append((out / "manifest.json").read_text()))
    publish_folder(work, out)
    assert set(seen) == {"new"}
    assert (work / "manifest.json").read_text() == "old", "and the older folder goes last"


def test_a_library_without_renameat2_is_a_system_without_exchange(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files.ctypes, "CDLL", lambda *_, **__: object())
    work, out = folders(tmp_path)
    with pytest.raises(OSError, match="not implemented"):
        files._exchange(work, out)
    publish_folder(work, out)
    assert folder_bytes(out) == {"manifest.json": b"new"}


def test_an_exchange_that_cannot_be_done_says_why(tmp_path: Path) -> None:
    work, _ = folders(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"\.cache\.work.*-> .*nowhere"):
        files._exchange(work, tmp_path / "nowhere")


def test_what_a_kill_between_two_renames_left_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without exchange there is an instant with neither folder; the next call finds the older one put aside."""
    monkeypatch.setattr(files, "_exchange", no_exchange)
    work, out = folders(tmp_path)
    rename = Path.rename

    def die(self: Path, target: Path) -> Path:
        if self == work:
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", die)
    with pytest.raises(KeyboardInterrupt):
        publish_folder(work, out)
    assert not out.exists()
    monkeypatch.setattr(Path, "rename", rename)
    publish_folder(work, out)
    assert folder_bytes(out) == {"manifest.json": b"new"}
    assert names(tmp_path) == ["cache"]


@pytest.mark.parametrize("exchange", [True, False])
def test_what_the_older_folder_links_to_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchange: bool
) -> None:
    if not exchange:
        monkeypatch.setattr(files, "_exchange", no_exchange)
    store = tmp_path / "store"
    store.mkdir()
    work, out = folders(tmp_path)
    for name in ("file", "twin"):
        (store / name).write_text(name)
        (store / name).chmod(0o444)
    (out / "shard-00000.h5").symlink_to(store / "file")
    (out / "shard-00001.h5").hardlink_to(store / "twin")
    (out / ".dvc").symlink_to(store)
    publish_folder(work, out)
    assert folder_bytes(store) == {"file": b"file", "twin": b"twin"}
    assert names(tmp_path) == ["cache", "store"]


def test_a_folder_with_files_of_others_is_refused(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").touch()
    refuse_foreign(tmp_path / "missing", ["*.json"], "cache", CacheError)
    refuse_foreign(tmp_path, ["*.json"], "cache", CacheError)
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(CacheError, match=r"is no cache: it holds thesis\.tex; .*choose another folder"):
        refuse_foreign(tmp_path, ["*.json"], "cache", CacheError)


# ------------------------------------------------------------------------------------------------------------- locks


def test_a_lock_leaves_nothing_behind(tmp_path: Path) -> None:
    with locked(tmp_path / "new/cache"):
        assert names(tmp_path / "new") == [".cache.lock"]
    assert names(tmp_path / "new") == []


def test_a_second_process_is_refused_and_told_of_the_first(tmp_path: Path, holder: Holder) -> None:
    first = holder()
    with pytest.raises(BusyError, match=rf"/cache: process {first.pid} on \S+ is writing it; wait until"):
        locked(tmp_path / "cache").__enter__()
    release(first)
    with locked(tmp_path / "cache"):
        pass
    assert names(tmp_path) == []


def test_a_process_cannot_take_its_own_lock_twice(tmp_path: Path) -> None:
    with locked(tmp_path / "cache"), pytest.raises(BusyError, match=f"process {os.getpid()} on"):
        locked(tmp_path / "cache").__enter__()


def test_locks_of_two_folders_are_two_locks(tmp_path: Path) -> None:
    with locked(tmp_path / "one"), locked(tmp_path / "other"):
        assert names(tmp_path) == [".one.lock", ".other.lock"]


def test_shared_locks_go_together_and_exclude_others(tmp_path: Path, holder: Holder) -> None:
    first, second = holder("shared"), holder("shared")
    with pytest.raises(BusyError, match=f"process {second.pid} on"):
        locked(tmp_path / "cache").__enter__()
    release(second)
    with locked(tmp_path / "cache", shared=True), pytest.raises(BusyError):
        locked(tmp_path / "cache").__enter__()
    release(first)
    assert names(tmp_path) == [], "the last one takes the file away"


def test_an_exclusive_lock_excludes_shared_ones(tmp_path: Path, holder: Holder) -> None:
    first = holder()
    with pytest.raises(BusyError, match=f"process {first.pid} on"):
        locked(tmp_path / "cache", shared=True).__enter__()


@pytest.mark.parametrize("kind", ["exclusive", "shared"])
def test_a_killed_process_has_no_lock_although_its_file_stays(tmp_path: Path, holder: Holder, kind: str) -> None:
    first = holder(kind)
    first.send_signal(signal.SIGKILL)
    first.wait(30)
    assert names(tmp_path) == [".cache.lock"]
    with locked(tmp_path / "cache"), pytest.raises(BusyError, match=f"process {os.getpid()} on"):
        locked(tmp_path / "cache").__enter__()
    assert names(tmp_path) == []


def test_a_lock_that_its_owner_removes_meanwhile_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """We open the file, its owner removes it and leaves: a lock on what nobody sees any more would be none."""
    flock, owner = files.fcntl.flock, locked(tmp_path / "cache")
    owner.__enter__()

    def late(handle: int, kind: int) -> None:
        monkeypatch.setattr(files.fcntl, "flock", flock)
        owner.__exit__(None, None, None)
        flock(handle, kind)

    monkeypatch.setattr(files.fcntl, "flock", late)
    with locked(tmp_path / "cache"):
        assert names(tmp_path) == [".cache.lock"]
        with pytest.raises(BusyError):
            locked(tmp_path / "cache").__enter__()


def test_processes_that_take_turns_never_meet(tmp_path: Path) -> None:
    """Opening, locking and removing the file by several processes at once: each count is done alone."""
    folder, rounds = tmp_path / "cache", 150
    folder.mkdir()
    (folder / "counter").write_text("0")
    command = [sys.executable, "-c", COUNT, str(folder), str(rounds)]
    processes = [subprocess.Popen(command) for _ in range(3)]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    assert (folder / "counter").read_text() == str(3 * rounds)
    assert names(tmp_path) == ["cache"]


def test_a_file_system_without_locks_is_worked_on_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(files.fcntl, "flock", no_locks)
    with locked(tmp_path / "cache"), locked(tmp_path / "cache"):
        assert names(tmp_path) == [".cache.lock"]
