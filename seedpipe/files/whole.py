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
from collections.abc import Iterator, Sequence
from pathlib import Path

from seedpipe.errors import BusyError, ExchangeError
from seedpipe.files.locks import claimed
from seedpipe.files.paths import StrPath, descriptor_of, fsync, is_mount_point, link_target


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
    with whole_files([path]) as partials:
        yield partials[0]


@contextlib.contextmanager
def whole_files(paths: Sequence[StrPath]) -> Iterator[list[Path]]:
    """Do as :func:`whole_file` does, for files that belong together: old ones and new ones never lie side by side.

    When all are written the older ones go, then the new ones take their names, one after the other. Whoever reads or
    kills in that instant finds some of the files, and of one kind.

    Raises
    ------
    OSError
        As of :func:`whole_file`.
    """
    wanted = [Path(path) for path in paths]
    files = {path: link_target(path) for path in wanted if not _is_stream(path)}
    with contextlib.ExitStack() as stack:
        partials = [stack.enter_context(_partial(files[path]) if path in files else _streamed(path)) for path in wanted]
        yield partials
        ready = [(partial, files[path]) for partial, path in zip(partials, wanted, strict=True) if path in files]
        for partial, path in ready:
            with _named(path):
                fsync(partial)
        for _, path in reversed(ready) if len(ready) > 1 else ():  # so that none but the first is ever there alone
            with _named(path):
                path.unlink(missing_ok=True)
        for partial, path in ready:
            with _named(path):
                partial.replace(path)
        for folder in {path.parent for _, path in ready}:
            fsync(folder)


def file_beside(out: Path, suffix: str) -> Path:
    """The file that is written beside another one under its name, and that nobody has named.

    Raises
    ------
    ExchangeError
        It is there and the other is not, so that it is of somebody else.
    """
    beside = out.with_suffix(suffix)
    if os.path.lexists(beside) and not os.path.lexists(out):
        raise ExchangeError(
            f"is there, and no {out.name} that it goes with",
            expected=f"a name whose {suffix} is free, for {out.name} comes with one",
            remedy="choose another name for the output, or move the file away",
            file=beside,
        )
    return beside


def write_text(path: Path, text: str) -> None:
    """Write text in UTF-8; half a character, as in names of files in other bytes, becomes its number."""
    path.write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")


@contextlib.contextmanager
def _partial(path: Path) -> Iterator[Path]:
    with _named(path), partial_name(path) as partial:
        yield partial


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    """A full disk does not say which file it was, and nobody asked for a lock."""
    try:
        yield
    except OSError as error:
        if error.errno and (not error.filename or str(error.filename).endswith(".partial.lock")):
            error.filename = str(path)
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
    if stat.S_ISREG(mode) and is_mount_point(path):
        raise OSError(errno.EBUSY, "Is a mount point, name a file beside it", str(path))
    return not stat.S_ISREG(mode) or descriptor_of(path) is not None


@contextlib.contextmanager
def _streamed(path: Path) -> Iterator[Path]:
    descriptor = descriptor_of(path)
    with tempfile.TemporaryDirectory(prefix="seedpipe-") as folder:
        partial = Path(folder, path.name)  # some formats are not written from the first byte to the last
        yield partial
        handle = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOCTTY) if descriptor is None else os.dup(descriptor)
        with os.fdopen(handle, "wb") as stream, partial.open("rb") as file:
            shutil.copyfileobj(file, stream)
