"""Folders that appear whole or not at all, in the place of nothing but an older one of their kind."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import shutil
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from seedpipe.errors import SeedpipeError
from seedpipe.files.paths import StrPath, fsync, is_mount_point, link_target
from seedpipe.files.whole import partial_name

NO_EXCHANGE = (errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP)
"""What a system says that cannot exchange two folders, as NFS cannot."""
NAMELESS = "is the folder that the command runs in, or has no name of its own"


@dataclass(frozen=True)
class OutputKind:
    """A kind of folder that we write, and how one of ours is told from any other.

    Parameters
    ----------
    what : str
        What it is, for messages.
    marker : str
        Name of the file that says so.
    error : type
        The class of error to raise.
    contents : callable
        Reads the marker of a folder and names the files that we write there, relative to it. Raises SeedpipeError,
        OSError or ValueError where the marker cannot be read, is of another format, or what must be there is not.
    """

    what: str
    marker: str
    error: type[SeedpipeError]
    contents: Callable[[Path], Collection[str]]

    def check(self, folder: StrPath) -> None:
        """Refuse to replace anything but an empty folder, or a whole one of this kind that holds nothing else.

        Raises
        ------
        SeedpipeError
            Of the class of this kind. The text names a file that is not ours, or says what is not whole; nothing has
            been touched.
        OSError
            The folder cannot be read.
        """
        folder = link_target(folder)
        self.expect_name(folder)
        if folder.resolve() == Path.cwd():
            raise self._refusal(folder, NAMELESS)
        if not os.path.lexists(folder):
            return
        if is_mount_point(folder):
            raise self._refusal(folder, "is a mount point, which no other folder can replace", "choose a folder in it")
        if not folder.is_dir():
            raise self._refusal(folder, f"is no {self.what} but a file")
        if not (folder / self.marker).exists() and (first := next(_names(folder), None)):
            raise self._refusal(folder, f"is no {self.what}: it holds {first}")
        names = sorted(_names(folder))
        if not names:
            return
        try:
            own = self.contents(folder)
        except (SeedpipeError, OSError, ValueError) as error:
            reason = getattr(error, "found", None) or getattr(error, "strerror", None) or str(error)
            raise self._refusal(folder, f"is no whole {self.what}: {self.marker}: {reason}") from error
        foreign = [name for name in names if name not in own]
        if foreign:
            raise self._refusal(folder, f"is no {self.what}: it holds {foreign[0]}")

    def expect_name(self, folder: Path) -> None:
        """Refuse a path that has no name of its own, as ``.`` and ``/``, and so no names beside it.

        Raises
        ------
        SeedpipeError
            Of the class of this kind.
        """
        if folder.name in ("", ".."):
            raise self._refusal(folder, NAMELESS)

    def _refusal(
        self, folder: Path, found: str, remedy: str = "choose another folder, or move away what is there"
    ) -> SeedpipeError:
        return self.error(
            found,
            expected=f"a {self.what} that may be replaced, an empty folder or none",
            remedy=remedy,
            file=folder,
        )


@contextlib.contextmanager
def whole_folder(out: StrPath, kind: OutputKind) -> Iterator[Path]:
    """Give an empty hidden folder to fill; it takes the place of ``out`` when the block ends well.

    Raises
    ------
    SeedpipeError
        Before the block or after it: what is there is not to be replaced, see :meth:`OutputKind.check`.
    """
    out = link_target(out)
    kind.check(out)
    with partial_name(out) as work:
        work.mkdir()
        yield work
        publish_folder(work, out, kind)


def publish_folder(work: StrPath, out: StrPath, kind: OutputKind) -> None:
    """Put a finished folder in the place of an older one, in one instant where the file system can do that.

    Raises
    ------
    SeedpipeError
        What is there is not to be replaced, see :meth:`OutputKind.check`.
    """
    work, out = Path(work), link_target(out)
    old = put_aside(out)
    fsync(work)
    kind.check(out)
    if out.exists():
        if old.exists():  # an earlier call was killed
            shutil.rmtree(old, ignore_errors=True)
        _swap(work, out, old)
    else:
        work.rename(out)
    shutil.rmtree(old, ignore_errors=True)
    fsync(out.parent)


def put_aside(out: Path) -> Path:
    """Where an older folder lies until it is removed; one that a kill has left there is of no use to anybody."""
    return out.with_name(f".{out.name}.seedpipe-old")


def _swap(work: Path, out: Path, old: Path) -> None:
    try:
        _exchange(work, out)
    except OSError as error:
        if error.errno not in NO_EXCHANGE:
            raise
        out.rename(old)  # for an instant there is neither
        try:
            work.rename(out)
        except OSError:
            old.rename(out)
            raise
    else:
        work.rename(old)  # at once: whoever shares our work folder without a lock is not to put it back


def _exchange(one: Path, other: Path) -> None:
    """Exchange the names of two folders at one instant (Linux, renameat2)."""
    current, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "renameat2"):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    if libc.renameat2(current, os.fsencode(one), current, os.fsencode(other), exchange):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(one), None, str(other))


def _names(folder: Path) -> Iterator[str]:
    """The files of a folder and its empty folders, relative to it; links are not followed."""

    def unreadable(error: OSError) -> None:
        raise error

    for place, folders, files in os.walk(folder, onerror=unreadable):
        folders.sort()
        links = [name for name in folders if Path(place, name).is_symlink()]
        yield from (os.path.relpath(Path(place, name), folder) for name in sorted((*files, *links)))
        if not folders and not files and place != str(folder):
            yield os.path.relpath(place, folder)
