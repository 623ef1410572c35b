"""Locks that go with their process, however that ends."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from seedpipe.errors import BusyError
from seedpipe.files.paths import StrPath, link_target

LOG = logging.getLogger(__name__)
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
"""What a file system says that has none."""


@contextlib.contextmanager
def locked(folder: StrPath, *, shared: bool = False) -> Iterator[None]:
    """Keep other processes from writing a folder; the lock goes with the process, however that ends.

    Where the file system has no locks the work goes on, and a warning says so once.

    Parameters
    ----------
    folder : str or path
        It need not exist: the lock is a hidden file beside it, or beside its target where it is a link.
    shared : bool
        Let others that also ask for a shared lock write at the same time.

    Raises
    ------
    BusyError
        Another process has the lock; the text says which one.
    OSError
        The lock cannot be had for another reason.
    """
    folder = link_target(folder)
    with claimed(folder, shared=shared) as held:
        if not held:
            _warn(folder.parent)
        yield


@contextlib.contextmanager
def claimed(path: Path, *, shared: bool = False) -> Iterator[bool]:
    """Hold the lock of a path; gives False where the file system has no locks.

    Raises
    ------
    BusyError
        Another process has the lock.
    OSError
        The lock cannot be had for another reason.
    """
    lock = path.with_name(f".{path.name}.lock")
    lock.parent.mkdir(parents=True, exist_ok=True)
    handle = _lock(lock, fcntl.LOCK_SH if shared else fcntl.LOCK_EX, path)
    if handle is None:
        yield False
        return
    try:
        with contextlib.suppress(OSError):  # a full disk: whoever writes more than a name will say so
            os.pwrite(handle, f"process {os.getpid()} on {socket.gethostname()}\n".encode().ljust(120), 0)
        yield True
    finally:
        # The last one takes the file away; others may still share it.
        with contextlib.suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            lock.unlink()
        os.close(handle)


def _lock(lock: Path, kind: int, path: Path) -> int | None:
    while True:
        handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        try:
            fcntl.flock(handle, kind | fcntl.LOCK_NB)
            if os.fstat(handle).st_ino == lock.stat().st_ino:
                return handle
        except BlockingIOError as error:
            owner = os.pread(handle, 120, 0).decode(errors="replace").strip() or "another process"
            os.close(handle)
            raise BusyError(
                f"{owner} is writing it", remedy="wait until that has ended, or stop it", file=path
            ) from error
        except FileNotFoundError:
            pass  # the last owner took it away after we had opened it
        except OSError as error:
            os.close(handle)
            if error.errno not in NO_LOCKS:
                raise
            lock.unlink(missing_ok=True)
            return None
        os.close(handle)


@functools.cache
def _warn(folder: Path) -> None:
    LOG.warning("%s is on a file system without locks: run no second command that writes there", folder)
