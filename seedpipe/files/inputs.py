"""Open what is to be read: regular files, which neither wait nor go on for ever, and streams where they make sense."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path

from seedpipe.files.paths import StrPath, descriptor_of

STDIN = "-"
KINDS = {stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}


def open_input(path: StrPath, *, stream: bool = False) -> BufferedReader:
    """Open a file for reading; the one place where inputs are opened.

    A named pipe would wait for its writer and a device never ends, so both are refused.

    Parameters
    ----------
    path : str or path
    stream : bool
        Take ``-``, which is stdin, and what a shell has opened for this process (``<(COMMAND)``, ``/dev/stdin``), too;
        it can be read once.

    Raises
    ------
    OSError
        It is no regular file, or cannot be opened.
    ValueError
        Its name cannot be that of a file.
    """
    number = _stream(path) if stream else None
    if number is not None:
        return os.fdopen(os.dup(number), "rb")
    return open(path, "rb", opener=_regular)


def _regular(path: str, flags: int) -> int:
    """The handle of a regular file."""
    handle = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    kind = stat.S_IFMT(os.fstat(handle).st_mode)
    if kind == stat.S_IFREG:
        return handle
    os.close(handle)
    if kind == stat.S_IFDIR:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    raise OSError(errno.EINVAL, f"Is {KINDS.get(kind, 'something else')} and not a file", path)


def _stream(path: StrPath) -> int | None:
    """The number of an open file that is read from where it stands."""
    if os.fspath(path) == STDIN:
        return sys.stdin.fileno()
    number = descriptor_of(Path(path))
    return None if number is None or stat.S_ISREG(os.fstat(number).st_mode) else number


@contextlib.contextmanager
def steady_input(path: StrPath, *, stream: bool = False) -> Iterator[BufferedReader]:
    """Open a file as :func:`open_input` does, and refuse it when the block ends if it was written to meanwhile.

    A file that is replaced is another file: what is read is the older one, to its end.

    Raises
    ------
    OSError
        Besides, its size or its time of modification is another one.
    """
    with open_input(path, stream=stream) as file:
        before = identity(file.fileno())
        yield file
        if identity(file.fileno()) != before:
            raise OSError(errno.ESTALE, "Was changed while it was read", str(path))


def identity(file: StrPath | int) -> tuple[int, ...]:
    """What tells a file, given by its path or its open handle, from another one and from itself before it was changed.

    Raises
    ------
    OSError
        There is none.
    """
    status = os.stat(file)  # noqa: PTH116  # of a handle, too
    if not stat.S_ISREG(status.st_mode):  # a stream ends as it began
        return status.st_dev, status.st_ino
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def read_bytes(path: StrPath, *, stream: bool = False) -> bytes:
    """All bytes of a file, or of a stream: see :func:`steady_input`."""
    with steady_input(path, stream=stream) as file:
        return file.read()


def read_text(path: StrPath, *, stream: bool = False) -> str:
    """All text of a file in UTF-8, with or without a byte order mark: see :func:`steady_input`.

    Raises
    ------
    ValueError
        Besides, it is not UTF-8.
    """
    return read_bytes(path, stream=stream).decode("utf-8-sig").replace("\r\n", "\n")
