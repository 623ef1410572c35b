"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import fnmatch
import json
import os
import secrets
import shutil
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from seedpipe.errors import BusyError, SeedpipeError

__all__ = [
    "StrPath",
    "fsync",
    "locked",
    "most_unpacked",
    "publish_folder",
    "read_document",
    "read_json",
    "refuse_foreign",
    "whole_file",
]

StrPath: TypeAlias = str | os.PathLike[str]
"""What public functions take for a path."""

MOST_GROWTH = 200  # trial lists grow 4 to 17 times, embeddings hardly; zeros grow 1,000 times
ALWAYS_UNPACKED = 2**26  # bytes
MOST_DOCUMENT = 2**28  # bytes; the manifest of a cache of a million shards


@contextlib.contextmanager
def whole_file(path: StrPath) -> Iterator[Path]:
    """Give a partial path to write to; it takes the wanted name when the block ends well, and is removed when not.

    Examples
    --------
    >>> with whole_file(Path("metrics.json")) as partial:
    ...     _ = partial.write_text("{}")
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The name is no process number: on a cluster, two machines that share the folder may have the same.
    partial = path.with_name(f".{path.name}.{secrets.token_hex(6)}.partial")
    try:
        yield partial
        fsync(partial)
        partial.replace(path)
        fsync(path.parent)
    except OSError as error:
        if error.errno and not error.filename:
            error.filename = str(path)  # a full disk does not say which file it was
        raise
    finally:
        partial.unlink(missing_ok=True)


def publish_folder(work: StrPath, out: StrPath) -> None:
    """Put a finished folder in the place of an older one, in one instant where the file system can do that."""
    work, out = Path(work), Path(out)
    old = out.with_name(f".{out.name}.old")
    fsync(work)
    if not out.exists():
        work.rename(out)
    else:
        try:
            _exchange(work, out)
        except OSError:  # a file system without exchange, as NFS is: for an instant there is neither
            shutil.rmtree(old, ignore_errors=True)
            out.rename(old)
            work.rename(out)
    for folder in (work, old):  # `old` also where an earlier call was killed at that instant
        shutil.rmtree(folder, ignore_errors=True)
    fsync(out.parent)


@contextlib.contextmanager
def locked(folder: StrPath, *, shared: bool = False) -> Iterator[None]:
    """Keep other processes from writing a folder; the lock goes with the process, however that ends.

    Parameters
    ----------
    folder : str or path
        It need not exist: the lock is a hidden file beside it.
    shared : bool
        Let others that also ask for a shared lock write at the same time.

    Raises
    ------
    BusyError
        Another process has the lock; the text says which one.
    """
    folder = Path(folder)
    path = folder.with_name(f".{folder.name}.lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = _lock(path, fcntl.LOCK_SH if shared else fcntl.LOCK_EX, folder)
    try:
        with contextlib.suppress(OSError):  # a full disk: whoever writes more than a name will say so
            os.pwrite(handle, f"process {os.getpid()} on {socket.gethostname()}\n".encode().ljust(120), 0)
        yield
    finally:
        # The last one takes the file away; others may still share it.
        with contextlib.suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
        os.close(handle)


def _lock(path: Path, kind: int, folder: Path) -> int:
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(handle, kind | fcntl.LOCK_NB)
            if os.fstat(handle).st_ino == path.stat().st_ino:
                return handle
        except BlockingIOError as error:
            owner = os.pread(handle, 120, 0).decode(errors="replace").strip() or "another process"
            os.close(handle)
            raise BusyError(
                f"{owner} is writing it", remedy="wait until that has ended, or stop it", file=folder
            ) from error
        except FileNotFoundError:
            pass  # the last owner took it away after we had opened it
        except OSError:  # a file system without locks: files are still written whole
            return handle
        os.close(handle)


def _exchange(one: Path, other: Path) -> None:
    """Exchange the names of two folders at one instant (Linux, renameat2)."""
    current, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "renameat2"):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    if libc.renameat2(current, os.fsencode(one), current, os.fsencode(other), exchange):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(one), None, str(other))


def refuse_foreign(folder: StrPath, own: Sequence[str], what: str, error: type[SeedpipeError]) -> None:
    """Refuse to replace a folder that holds anything but files of ours.

    Parameters
    ----------
    folder : str or path
        It may be missing.
    own : sequence of str
        Patterns of the file names that we write there.
    what : str
        What the folder is to become, for the message.
    error : type
        The class of error to raise.

    Raises
    ------
    SeedpipeError
        Of that class. The text names a file that is not ours; nothing has been touched.
    """
    folder = Path(folder)
    if not folder.exists():
        return
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else [folder.name]
    foreign = sorted(name for name in names if not any(fnmatch.fnmatch(name, pattern) for pattern in own))
    if foreign:
        raise error(
            f"is no {what}: it holds {foreign[0]}",
            expected=f"a {what} that may be replaced, an empty folder or none",
            remedy="choose another folder",
            file=folder,
        )


def read_json(path: StrPath) -> Any:
    """Read a JSON file.

    Raises
    ------
    OSError
        It cannot be read.
    ValueError
        It is not UTF-8, no JSON, or nested more deeply than Python follows.
    """
    try:
        return json.loads(read_document(path).decode())
    except RecursionError as error:
        raise ValueError("brackets in brackets, too many of them") from error


def read_document(path: StrPath, most: int = MOST_DOCUMENT) -> bytes:
    """Read a file of settings or figures, which is small; a link may lead to a device that never ends.

    Raises
    ------
    OSError
        It cannot be read.
    ValueError
        It has more bytes than ``most``, or its name cannot be that of a file.
    """
    with Path(path).open("rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise ValueError(f"more than {most:,} bytes")
    return data


def most_unpacked(packed: int) -> int:
    """Bytes that a compressed file of so many bytes may unpack to; more is made to fill the memory, not to be read."""
    return max(ALWAYS_UNPACKED, MOST_GROWTH * packed)


def fsync(path: StrPath) -> None:
    """Wait until a file or folder is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
