"""seedpipe.files: what is written appears whole or not at all, and a lock lives exactly as long as its process."""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import re
import resource
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import folder_bytes
from patience import PATIENCE

from seedpipe.errors import BusyError, CacheError
from seedpipe.files import (
    OutputKind,
    folders,
    inputs,
    locked,
    locks,
    open_input,
    publish_folder,
    read_again,
    read_bytes,
    read_document,
    read_note,
    read_text,
    whole,
    whole_file,
    whole_files,
    whole_folder,
    write_note,
)

Holder = Callable[..., "subprocess.Popen[str]"]

# Takes a lock, says so, and keeps it until its input ends.
HOLD = """
import sys
from pathlib import Path
from typing import Any
from seedpipe.files import locked
with locked(Path(sys.argv[1]), shared=sys.argv[2] == "shared"):
    print("locked", flush=True)
    sys.stdin.read()
"""

# Takes and leaves the lock again and again; in it, counts up in a file without any care of its own.
COUNT = """
import sys
from pathlib import Path
from typing import Any
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
    assert process.wait(PATIENCE) == 0


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


@pytest.mark.parametrize("steps", [1, 2])
@pytest.mark.parametrize("there", [True, False])
def test_a_link_stays_one_and_its_target_is_replaced(tmp_path: Path, steps: int, there: bool) -> None:
    target, path = tmp_path / "disk/metrics.json", tmp_path / "metrics.json"
    target.parent.mkdir()
    if there:
        target.write_text("old")
    links = [path, tmp_path / "between"][:steps]
    for link, to in zip(links, [*links[1:], target], strict=True):
        link.symlink_to(os.path.relpath(to, tmp_path))
    with whole_file(path) as partial:
        assert partial.parent == target.parent
        partial.write_text("new")
    assert all(link.is_symlink() for link in links)
    assert target.read_text() == "new"
    assert names(target.parent) == ["metrics.json"]


def test_a_named_pipe_is_written_to(tmp_path: Path) -> None:
    pipe = tmp_path / "metrics.json"
    os.mkfifo(pipe)
    with subprocess.Popen(["cat", str(pipe)], stdout=subprocess.PIPE) as reader:
        with whole_file(pipe) as partial:
            partial.write_text("text")
        assert reader.communicate(timeout=PATIENCE)[0] == b"text"
    assert pipe.is_fifo()
    assert names(tmp_path) == ["metrics.json"]


def test_a_device_is_written_to_and_its_errors_are_errors() -> None:
    with whole_file("/dev/null") as partial:
        partial.write_text("text")
    assert Path("/dev/null").is_char_device()
    with pytest.raises(OSError, match="No space left"), whole_file("/dev/full") as partial:
        partial.write_text("text")
    assert Path("/dev/full").is_char_device()


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
@pytest.mark.parametrize("into", ["file", "pipe"])
def test_standard_output_is_written_to_where_it_stands(tmp_path: Path, name: str, into: str) -> None:
    write = f"print('before', flush=True)\nwith whole_file('{name}') as partial: partial.write_text('text\\n')"
    code = f"from seedpipe.files import whole_file\n{write}\nprint('after')"
    if into == "file":
        with (tmp_path / "log").open("w") as file:
            subprocess.run([sys.executable, "-c", code], stdout=file, check=True)
        assert (tmp_path / "log").read_text() == "before\ntext\nafter\n"
    else:
        assert subprocess.check_output([sys.executable, "-c", code]) == b"before\ntext\nafter\n"
    assert Path("/dev/stdout").is_symlink()


def test_folders_and_sockets_are_refused(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError), whole_file(tmp_path):
        pytest.fail("before anything is written")
    os.mknod(tmp_path / "s", stat.S_IFSOCK)  # binding one has a limit to the length of its path
    with pytest.raises(OSError, match="Is a socket, not a file"), whole_file(tmp_path / "s"):
        pytest.fail("before anything is written")
    assert (tmp_path / "s").is_socket()


# ----------------------------------------------------------------------------------------------------------- folders


def _sealed(folder: Path) -> set[str]:
    if (folder / "seal").read_text() == "broken":
        raise ValueError("it cannot be read")
    return {"seal", "shard"}


ANY = OutputKind("cache", "manifest.json", CacheError, os.listdir)
SEALED = OutputKind("cache", "seal", CacheError, _sealed)


def old_and_new(tmp_path: Path) -> tuple[Path, Path]:
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
    work, out = old_and_new(tmp_path)
    publish_folder(work, tmp_path / "other", ANY)
    assert folder_bytes(tmp_path / "other") == {"manifest.json": b"new"}
    assert (out / "manifest.json").read_text() == "old"
    assert names(tmp_path) == ["cache", "other"]


@pytest.mark.parametrize("exchange", [True, False])
def test_a_folder_takes_the_place_of_an_older_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchange: bool
) -> None:
    if not exchange:
        monkeypatch.setattr(folders, "_exchange", no_exchange)
    work, out = old_and_new(tmp_path)
    publish_folder(work, out, ANY)
    assert folder_bytes(out) == {"manifest.json": b"new"}
    assert names(tmp_path) == ["cache"]


def test_the_place_is_never_empty_where_the_system_can_exchange(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work, out = old_and_new(tmp_path)
    seen: list[str] = []
    monkeypatch.setattr(folders.shutil, "rmtree", lambda *_, **__: seen.append((out / "manifest.json").read_text()))
    publish_folder(work, out, ANY)
    assert set(seen) == {"new"}
    aside = tmp_path / ".cache.seedpipe-old"
    assert (aside / "manifest.json").read_text() == "old", "and the older folder goes last"


def test_a_library_without_renameat2_is_a_system_without_exchange(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders.ctypes, "CDLL", lambda *_, **__: object())
    work, out = old_and_new(tmp_path)
    with pytest.raises(OSError, match="not implemented"):
        folders._exchange(work, out)
    publish_folder(work, out, ANY)
    assert folder_bytes(out) == {"manifest.json": b"new"}


def test_an_exchange_that_cannot_be_done_says_why(tmp_path: Path) -> None:
    work, _ = old_and_new(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"\.cache\.work.*-> .*nowhere"):
        folders._exchange(work, tmp_path / "nowhere")


def test_what_a_kill_between_two_renames_left_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without exchange there is an instant with neither folder; the next call finds the older one put aside."""
    monkeypatch.setattr(folders, "_exchange", no_exchange)
    work, out = old_and_new(tmp_path)
    rename = Path.rename

    def die(self: Path, target: Path) -> Path:
        if self == work:
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", die)
    with pytest.raises(KeyboardInterrupt):
        publish_folder(work, out, ANY)
    assert not out.exists()
    monkeypatch.setattr(Path, "rename", rename)
    publish_folder(work, out, ANY)
    assert folder_bytes(out) == {"manifest.json": b"new"}
    assert names(tmp_path) == ["cache"]


@pytest.mark.parametrize("exchange", [True, False])
def test_what_the_older_folder_links_to_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchange: bool
) -> None:
    if not exchange:
        monkeypatch.setattr(folders, "_exchange", no_exchange)
    store = tmp_path / "store"
    store.mkdir()
    work, out = old_and_new(tmp_path)
    for name in ("file", "twin"):
        (store / name).write_text(name)
        (store / name).chmod(0o444)
    (out / "shard-00000.h5").symlink_to(store / "file")
    (out / "shard-00001.h5").hardlink_to(store / "twin")
    (out / ".dvc").symlink_to(store)
    publish_folder(work, out, ANY)
    assert folder_bytes(store) == {"file": b"file", "twin": b"twin"}
    assert names(tmp_path) == ["cache", "store"]


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOENT, errno.EPERM, errno.EBUSY, errno.ENOSPC])
def test_an_exchange_that_fails_for_another_reason_moves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Once, any error was taken for a file system without exchange, and the good folder moved away."""

    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(folders, "_exchange", fail)
    work, out = old_and_new(tmp_path)
    before = folder_bytes(out)
    with pytest.raises(OSError, match=re.escape(os.strerror(number))):
        publish_folder(work, out, ANY)
    assert folder_bytes(out) == before


def test_without_exchange_the_older_folder_comes_back_when_the_new_one_cannot_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "_exchange", no_exchange)
    work, out = old_and_new(tmp_path)
    before, rename = folder_bytes(out), Path.rename

    def taken(self: Path, target: Path) -> Path:
        if self == work:
            raise FileNotFoundError(errno.ENOENT, "another process has published it")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", taken)
    with pytest.raises(FileNotFoundError):
        publish_folder(work, out, ANY)
    assert folder_bytes(out) == before


@pytest.mark.parametrize("there", ["nothing", "older"])
def test_a_link_to_a_folder_stays_one_however_often_it_is_replaced(tmp_path: Path, there: str) -> None:
    disk, out = tmp_path / "disk", tmp_path / "place/cache"
    for folder in (disk, out.parent):
        folder.mkdir()
    out.symlink_to(disk / "cache")
    if there == "older":
        (disk / "cache").mkdir()
    for text in ("first", "second", "third"):
        with whole_folder(out, ANY) as work:
            assert work.parent == disk, "a rename is whole only within a file system"
            (work / "manifest.json").write_text(text)
        assert out.is_symlink()
        assert folder_bytes(disk) == {"cache/manifest.json": text.encode()}
        assert names(out.parent) == ["cache"]


def test_a_file_that_comes_meanwhile_is_not_deleted(tmp_path: Path) -> None:
    out = tmp_path / "cache"
    with whole_folder(out, SEALED) as work:
        (work / "seal").write_text("first")

    def replace() -> None:
        with whole_folder(out, SEALED) as work:
            (work / "seal").write_text("second")
            (out / "notes.txt").write_text("mine")

    with pytest.raises(CacheError, match=r"is no cache: it holds notes\.txt"):
        replace()
    assert folder_bytes(out) == {"seal": b"first", "notes.txt": b"mine"}
    assert names(tmp_path) == ["cache"]


FOREIGN = {
    "a hidden file": {".bashrc": "x"},
    "a hidden folder": {".git/HEAD": "x"},
    "a file": {"thesis.tex": "x"},
    "a file of ours without its marker": {"shard": "x"},
    "a marker that cannot be read": {"seal": "broken"},
    "ours and a hidden file": {"seal": "x", ".gitignore": "x"},
    "ours and a folder": {"seal": "x", "notes/today.txt": "x"},
}


@pytest.mark.parametrize("there", FOREIGN)
def test_a_folder_that_is_not_ours_is_refused_by_name(tmp_path: Path, there: str) -> None:
    out = tmp_path / "cache"
    for name, text in FOREIGN[there].items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text(text)
    before, culprit = folder_bytes(out), list(FOREIGN[there])[-1]
    found = (
        f"is no cache: it holds {culprit}" if "broken" not in FOREIGN[there].values() else "is no whole cache: seal: "
    )
    with pytest.raises(CacheError, match=rf"{re.escape(found)}.*choose another folder"), whole_folder(out, SEALED):
        pytest.fail("nothing is begun")
    with pytest.raises(CacheError, match=re.escape(found)):
        publish_folder(tmp_path, out, SEALED)
    assert folder_bytes(out) == before


@pytest.mark.parametrize("there", ["a link to a folder", "an empty folder", "a link to nothing"])
def test_links_and_empty_folders_inside_are_of_others_too(tmp_path: Path, there: str) -> None:
    out, other = tmp_path / "cache", tmp_path / "other"
    out.mkdir()
    (out / "seal").touch()
    if there == "an empty folder":
        (out / "later").mkdir()
    else:
        (out / "later").symlink_to(other)
    if there == "a link to a folder":
        other.mkdir()
    with pytest.raises(CacheError, match="it holds later"):
        SEALED.check(out)


def test_what_may_be_replaced(tmp_path: Path) -> None:
    SEALED.check(tmp_path / "missing")
    SEALED.check(tmp_path)
    for name in ("seal", "shard"):
        (tmp_path / name).touch()
    SEALED.check(str(tmp_path))


# ------------------------------------------------------------------------------------------------------- leftovers

DIE = """
import os, signal, sys
from seedpipe.errors import CacheError
from seedpipe.files import OutputKind, whole_file, whole_folder
out, kind = sys.argv[1:]
writer = whole_file(out) if kind == "file" else whole_folder(out, OutputKind("cache", "seal", CacheError, os.listdir))
with writer as partial:
    (partial if kind == "file" else partial / "seal").write_text("half")
    print(partial, flush=True)
    if sys.stdin.read():
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_leftovers_of_the_dead_go_and_those_of_the_living_stay(tmp_path: Path, kind: str) -> None:
    def start(stack: contextlib.ExitStack) -> subprocess.Popen[str]:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        process = subprocess.Popen([sys.executable, "-c", DIE, str(tmp_path / "out"), kind], **pipes)
        stack.callback(process.kill)
        return stack.enter_context(process)

    with contextlib.ExitStack() as stack:
        dead, alive, further = [start(stack) for _ in range(3)]
        partials = {process: Path(process.stdout.readline().strip()) for process in (dead, alive, further)}
        assert len(set(partials.values())) == 3
        for process in (dead, further):
            process.communicate("die")
            assert partials[process].exists()
        with contextlib.suppress(CacheError):
            writer = whole_file(tmp_path / "out") if kind == "file" else whole_folder(tmp_path / "out", ANY)
            with writer as partial:
                (partial if kind == "file" else partial / "seal").write_text("whole")
        assert partials[alive].exists()
        assert {name for name in names(tmp_path) if name.endswith(".partial")} == {partials[alive].name}
        alive.communicate("")
        assert alive.returncode == 0
    assert names(tmp_path) == ["out"]


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
    first.wait(PATIENCE)
    assert names(tmp_path) == [".cache.lock"]
    with locked(tmp_path / "cache"), pytest.raises(BusyError, match=f"process {os.getpid()} on"):
        locked(tmp_path / "cache").__enter__()
    assert names(tmp_path) == []


def test_a_lock_that_its_owner_removes_meanwhile_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """We open the file, its owner removes it and leaves: a lock on what nobody sees any more would be none."""
    flock, owner = locks.fcntl.flock, locked(tmp_path / "cache")
    owner.__enter__()

    def late(handle: int, kind: int) -> None:
        monkeypatch.setattr(locks.fcntl, "flock", flock)
        owner.__exit__(None, None, None)
        flock(handle, kind)

    monkeypatch.setattr(locks.fcntl, "flock", late)
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
    assert [process.wait(PATIENCE) for process in processes] == [0, 0, 0]
    assert (folder / "counter").read_text() == str(3 * rounds)
    assert names(tmp_path) == ["cache"]


def test_a_file_system_without_locks_is_worked_on_without_and_that_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(locks.fcntl, "flock", no_locks)
    locks._warn.cache_clear()
    with locked(tmp_path / "cache"), locked(tmp_path / "other"), whole_file(tmp_path / "file") as partial:
        partial.touch()
    assert names(tmp_path) == ["file"]
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path} is on a file system without locks: run no second command that writes there"
    ]


def test_a_lock_that_fails_for_another_reason_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(locks.fcntl, "flock", fail)
    with pytest.raises(OSError, match="Input/output error"), locked(tmp_path / "cache"):
        pytest.fail("nothing is written without it")


def test_a_note_is_read_as_it_was_written_or_not_at_all(tmp_path: Path) -> None:
    written = {"key": "k\u00e9y", "rows": 3, "values": [0.1, None]}
    write_note(tmp_path / "note", written)
    assert read_note(tmp_path / "note") == written
    data = (tmp_path / "note").read_bytes()
    for place in range(8 * len(data)):
        changed = bytearray(data)
        changed[place // 8] ^= 1 << place % 8
        (tmp_path / "note").write_bytes(changed)
        assert read_note(tmp_path / "note") in (None, written)  # white space may change
    for cut in range(len(data)):
        (tmp_path / "note").write_bytes(data[:cut])
        assert read_note(tmp_path / "note") is None
    (tmp_path / "note").unlink()
    assert read_note(tmp_path / "note") is None


OTHERS: dict[str, Callable[[Path], object]] = {
    "a pipe": os.mkfifo,
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "a directory": Path.mkdir,
    "": lambda path: os.mknod(path, stat.S_IFSOCK),
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("kind", OTHERS)
def test_what_is_no_file_is_not_opened(tmp_path: Path, kind: str, stream: bool) -> None:
    OTHERS[kind](tmp_path / "x")
    with pytest.raises(OSError, match=rf"(?i){kind}.*{tmp_path}/x"):
        open_input(tmp_path / "x", stream=stream)


def test_a_stream_is_read_only_where_that_makes_sense() -> None:
    reading, writing = os.pipe()
    os.write(writing, b"\xef\xbb\xbfa 1\r\nb 2\n")
    os.close(writing)
    with pytest.raises(OSError, match="pipe"):
        read_bytes(f"/dev/fd/{reading}")
    assert read_text(f"/dev/fd/{reading}", stream=True) == "a 1\nb 2\n"
    os.close(reading)
    code = "from seedpipe.files import read_bytes; print(read_bytes('-', stream=True))"
    done = subprocess.run([sys.executable, "-c", code], input="list", capture_output=True, text=True, check=True)
    assert done.stdout == "b'list'\n"


def test_a_document_that_is_written_to_while_it_is_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("train: {}")
    sizes = iter([9, 12])
    monkeypatch.setattr(inputs, "identity", lambda _: next(sizes))
    with pytest.raises(OSError, match="changed while it was read"):
        read_document(path)


def test_a_folder_that_is_replaced_while_it_is_read_is_read_again(tmp_path: Path) -> None:
    found: list[str] = []

    def read() -> str:
        found.append((tmp_path / "marker").read_text())
        if len(found) < 3:
            (tmp_path / "new").write_text(str(len(found)))
            (tmp_path / "new").replace(tmp_path / "marker")
            raise CacheError("is damaged")
        return found[-1]

    (tmp_path / "marker").write_text("0")
    assert read_again(tmp_path / "marker", read) == "2"
    with pytest.raises(CacheError, match="is damaged"):
        read_again(tmp_path / "none", lambda: (_ for _ in ()).throw(CacheError("is damaged")))


def test_files_that_belong_together_are_of_one_time_at_every_moment(tmp_path: Path) -> None:
    """A kill at any line leaves old files or new ones, never some of each; afterwards they can be written again."""
    files = [tmp_path / "a" / "index", tmp_path / "b"]

    def write(text: str) -> None:
        with whole_files(files) as partials:
            for partial in partials:
                partial.write_text(text)

    class Kill(BaseException):
        pass

    moments = 0
    gc.freeze()
    while True:
        write("old")
        left = moments

        def trace(frame: Any, event: str, _: object) -> Any:
            nonlocal left
            if event == "line" and frame.f_code.co_filename == whole.__file__:
                left -= 1
                if left < 0:
                    raise Kill
                found = {path.read_text() for path in files if path.exists()}
                assert len(found) < 2
            return trace

        sys.settrace(trace)
        try:
            write("new")
            break
        except Kill:
            moments += 1
        finally:
            sys.settrace(None)
        gc.collect()  # unlike a process that was killed, a frame that waits for the collector still holds its locks
        assert len({path.read_text() for path in files if path.exists()}) < 2
    gc.unfreeze()
    assert moments > 10
    assert [path.read_text() for path in files] == ["new", "new"]
    assert (names(tmp_path), names(tmp_path / "a")) == (["a", "b"], ["index"])


def test_of_files_that_belong_together_none_appears_when_one_cannot_be_written(tmp_path: Path) -> None:
    with contextlib.suppress(ValueError), whole_files([tmp_path / "a", tmp_path / "b"]) as (first, _):
        first.write_text("new")
        raise ValueError
    assert names(tmp_path) == []


@pytest.mark.parametrize("name", [".", "", "/", "x/..", "/proc"])
def test_folders_that_cannot_be_replaced_are_refused_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    kind = OutputKind("cache", "manifest.json", CacheError, lambda _: set())
    with pytest.raises(CacheError, match=r"has no name of its own|is a mount point.*choose a folder in it"):
        kind.check(Path(name))


def test_a_file_on_a_mount_point_is_refused_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "scores").write_text("old")
    monkeypatch.setattr(whole, "is_mount_point", lambda path: path.name == "scores")
    with pytest.raises(OSError, match="Is a mount point"), whole_file(tmp_path / "scores"):
        pytest.fail("the work has begun")
