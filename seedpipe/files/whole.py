"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from seedpipe.errors import BusyError
from seedpipe.files.locks import claimed
from seedpipe.files.paths import StrPath, fsync, link_target


@contextlib.contextmanager
def whole_file(path: StrPath) -> Iterator[Path]:
    """Give a partial path to write to; it takes the wanted name when the block ends well, and is removed when not.

    A symbolic link stays one: its target is replaced. What is written to a named pipe, a terminal or a device without
    blocks goes there when the block ends, byte by byte.

    Raises
    ------
    OSError
        There is a folder, a socket or a disk; or the file cannot be written.

    Examples
    --------
    >>> with whole_file(Path("metrics.json")) as partial:
    ...     _ = partial.write_text("{}")
    """
    path = Path(path)
    if _is_stream(path):
        with _streamed(path) as partial:
            yield partial
        return
    path = link_target(path)
    try:
        with partial_name(path) as partial:
            yield partial
            fsync(partial)
            partial.replace(path)
            fsync(path.parent)
    except OSError as error:
        if error.errno and (not error.filename or str(error.filename).endswith(".partial.lock")):
            error.filename = str(path)  # a full disk does not say which file it was; nobody asked for a lock
        raise


@contextlib.contextmanager
def partial_name(path: Path) -> Iterator[Path]:
    """Give a hidden name beside a path that no other process uses; what lies there is removed when the block ends.

    Names are counted, and each is locked while it is used: the name of a process that has died is free again, with
    what that left there removed, on whichever machine it was. So leftovers do not pile up.
    """
    with contextlib.ExitStack() as held:
        partial = _free_name(path, held)
        try:
            yield partial
        finally:
            remove(partial)


def _free_name(path: Path, held: contextlib.ExitStack) -> Path:
    free: Path | None = None
    for number in itertools.count():
        name = path.with_name(f".{path.name}.seedpipe-{number}.partial")
        if free and not os.path.lexists(name):
            return free
        with contextlib.suppress(BusyError), contextlib.ExitStack() as attempt:
            if not attempt.enter_context(claimed(name)):  # nobody can tell who lives
                break
            remove(name)
            if free is None:
                free = name
                held.push(attempt.pop_all())
    return path.with_name(f".{path.name}.seedpipe-{secrets.token_hex(6)}.partial")


def remove(path: Path) -> None:
    """Remove what we have written under a name of our own, file or folder."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _is_stream(path: Path) -> bool:
    """Whether bytes are to go to what is there, instead of a new file in its place."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if stat.S_ISBLK(mode) or stat.S_ISSOCK(mode):
        raise OSError(errno.EINVAL, f"Is a {'disk' if stat.S_ISBLK(mode) else 'socket'}, not a file", str(path))
    return not stat.S_ISREG(mode) or _descriptor(path) is not None


def _descriptor(path: Path) -> int | None:
    """The number that a path like ``/dev/stdout`` names, of a file that this process has open."""
    own = Path(f"/proc/{os.getpid()}/fd")
    for _ in range(40):  # as many links as the kernel follows
        if path.name.isdecimal() and path.parent.resolve() == own:
            return int(path.name)
        if not path.is_symlink():
            break
        path = path.parent / path.readlink()
    return None


@contextlib.contextmanager
def _streamed(path: Path) -> Iterator[Path]:
    descriptor = _descriptor(path)
    with tempfile.TemporaryDirectory(prefix="seedpipe-") as folder:
        partial = Path(folder, path.name)  # some formats are not written from the first byte to the last
        yield partial
        handle = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOCTTY) if descriptor is None else os.dup(descriptor)
        with os.fdopen(handle, "wb") as stream, partial.open("rb") as file:
            shutil.copyfileobj(file, stream)
