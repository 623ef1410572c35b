"""An open file: one descriptor from the first look to the last sample, its bytes, and what tells it from others."""

from __future__ import annotations

import hashlib
import io
import os
import weakref
from pathlib import Path
from typing import TYPE_CHECKING

from seedpipe.errors import AudioError
from seedpipe.files import open_input

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

Identity = tuple[int, Path, int, int, int]
HASHED = 2**20  # bytes hashed at a time
PADDING = 2**16  # bytes of zeros that are no silence


class OpenFile:
    """A regular file that is open for reading; nobody's place in it moves.

    Parameters
    ----------
    path : Path

    Raises
    ------
    AudioError
        The file cannot be opened; methods raise it where it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.descriptor = _open(path)
        self.close = weakref.finalize(self, os.close, self.descriptor)
        status = os.fstat(self.descriptor)
        self.identity, self.size = identity(path, status), status.st_size

    def bytes(self, place: int, count: int) -> bytes:
        """The bytes from a place on, fewer than ``count`` where the file ends, none outside of it."""
        if not 0 <= place < self.size:
            return b""
        try:
            return os.pread(self.descriptor, count, place)
        except OSError as error:
            raise _closed(self.path, error.strerror or str(error)) from error

    def digest(self) -> str:
        """Digest of all bytes."""
        digest = hashlib.blake2b(digest_size=16)
        place = 0
        while block := self.bytes(place, HASHED):
            digest.update(block)
            place += len(block)
        return digest.hexdigest()

    def zeros(self, place: int, stop: int) -> bool:
        """Whether there is nothing but zeros between two places, as blocks of tapes and some editors pad a file."""
        return stop - place <= PADDING and not self.bytes(place, max(0, stop - place)).strip(b"\0")


class Shown(io.RawIOBase):
    """What a decoder is shown instead of a file: a head of our own, and then the bytes of the file from a place on."""

    def __init__(self, file: OpenFile, head: bytes, start: int, stop: int) -> None:
        super().__init__()
        self._file, self._head, self._start, self._size = file, head, start, len(head) + stop - start
        self._place = 0

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Read at the place; a head is read first, alone."""
        view = memoryview(buffer).cast("B")
        count = max(0, min(len(view), self._size - self._place))
        part = self._head[self._place : self._place + count]
        if not part:
            place = self._start + self._place - len(self._head)
            part = os.pread(self._file.descriptor, count, place)
        view[: len(part)] = part
        self._place += len(part)
        return len(part)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place."""
        self._place = max(0, offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._size}[whence])
        return self._place

    def tell(self) -> int:
        """The place."""
        return self._place


def identity(path: Path, status: os.stat_result) -> Identity:
    """What tells files apart unread; with the process, as a fork would share the place in an open file."""
    return os.getpid(), path, status.st_size, status.st_mtime_ns, status.st_ino


def _open(path: Path) -> int:
    try:
        with open_input(path) as file:
            return os.dup(file.fileno())
    except (OSError, ValueError) as error:  # a name in a manifest may hold a NUL
        raise _closed(path, getattr(error, "strerror", None) or str(error)) from error


def _closed(path: Path, reason: str) -> AudioError:
    return AudioError(
        f"cannot be read ({reason.lower()})", expected="an audio file", remedy="check the path", file=path
    )
