r"""Kaldi archives (``.ark``) and their index (``.scp``): vectors by key.

Written here because the packages for it run the commands that an index may name. An entry of an archive is its key, a
space, and a vector: ``\0BFV \4`` (float) or ``\0BDV \4`` (double), the length as int32 and the values, little-endian;
or as text ``[ 1.5 2 ]`` and the end of the line. A matrix (``FM``, ``DM``, rows and columns) of one row is a vector. An
index has lines of ``key archive:offset``, where the vector starts; without an offset the file holds that vector alone,
or is an archive in which the key is looked for.

Source: the Kaldi documentation, "Kaldi I/O mechanisms" and "Kaldi matrices" (format of vectors on disk).
"""

from __future__ import annotations

import contextlib
import os
import re
import struct
from collections.abc import Iterable, Iterator
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seedpipe.errors import ExchangeError, counted
from seedpipe.files import file_beside, identity, most_unpacked, steady_input, whole_files

Vector = NDArray[np.floating[Any]]
BINARY: dict[bytes, np.dtype[np.floating[Any]]] = {b"F": np.dtype("<f4"), b"D": np.dtype("<f8")}
HEADERS = {b"V ": 10, b"M ": 15}  # \0B, a token of three bytes, \4 and int32 once or, of a matrix, twice
PIECE = 2**15  # bytes that are read at once
LONGEST_KEY = 4096  # bytes; longer ones mean that the file is no archive
SPACE = re.compile(rb"\s")
OFFSET = re.compile(r":([0-9]{1,18})$")
NO_VECTORS = "float or double vectors (copy-vector writes them)"


def read_ark(path: Path) -> Iterator[tuple[str, Vector]]:
    """Read an archive: keys and vectors."""
    with _opened(path) as data:
        position = 0
        while position < len(data):
            key, start = _key(path, data, position)
            vector, position = _vector(path, data, start, key)
            yield key, vector


def read_scp(path: Path) -> Iterator[tuple[str, Vector]]:
    """Read the vectors that an index names; commands in it are refused, never run."""
    used = 0
    with _opened(path) as index, contextlib.closing(_Archives()) as archives:
        for row, line in enumerate(index[:].splitlines(), 1):
            key, name, offset = _entry(path, row, line)
            try:
                vector = archives.vector(key, name, offset)
            except ExchangeError as error:
                found = f"{key}: {error.found}, in {error.file}"
                raise ExchangeError(found, expected=error.expected, remedy=error.remedy, file=path, row=row) from error
            used += vector.nbytes
            if used > most_unpacked(archives.size):  # keys may share a vector, and stay few files of a few bytes
                raise ExchangeError(
                    f"names {counted(used, 'byte')} of vectors in archives of {archives.size:,}",
                    expected="a vector of its own for each key",
                    file=path,
                    row=row,
                )
            yield key, vector
        if not path.exists() or identity(path) != index.identity:  # and the archives with it
            raise _broken(path, 0, "the index was replaced while it was read")


class _Bytes:
    """The bytes of an open file, a piece at a time; a file that is cut while it is mapped would end the process."""

    def __init__(self, file: BufferedReader) -> None:
        self._handle, self._size = file.fileno(), os.fstat(file.fileno()).st_size
        self.identity = identity(self._handle)
        self._start, self._piece = 0, b""

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, part: slice) -> bytes:
        start, stop = part.start or 0, self._size if part.stop is None else part.stop
        if start < self._start or min(stop, self._size) > self._start + len(self._piece):
            self._start, self._piece = start, os.pread(self._handle, max(stop - start, PIECE), start)
        return self._piece[start - self._start : stop - self._start]

    def find(self, byte: bytes, start: int) -> int:
        """Where a byte stands from a place on; -1 where it does not."""
        for place in range(start, self._size, PIECE):
            if (found := self[place : place + PIECE].find(byte)) >= 0:
                return place + found
        return -1


class _Archives:
    """The files that an index names. One is open at a time, and must be the same when the index comes back to it."""

    def __init__(self) -> None:
        self.size = 0
        """Bytes of all that were named so far."""
        self._open = contextlib.ExitStack()
        self._current: tuple[str, _Bytes] | None = None
        self._identities: dict[str, tuple[int, ...]] = {}
        self._by_key: dict[str, dict[str, Vector]] = {}

    def close(self) -> None:
        """Close what is open."""
        self._open.close()

    def vector(self, key: str, name: str, offset: int | None) -> Vector:
        """The vector at an offset; without one the file is the vector, or an archive that has the key."""
        path, data = Path(name), self._opened(name)
        if offset is not None:
            return _vector(path, data, offset, key)[0]
        if data[:2] == b"\0B" or data[:LONGEST_KEY].lstrip().startswith(b"["):
            vector, end = _vector(path, data, 0, key)
            if data[end:].strip():
                raise _broken(path, end, "something follows the vector")
            return vector
        if name not in self._by_key:
            self._by_key[name] = dict(read_ark(path))
        if key not in self._by_key[name]:
            raise _broken(path, 0, f"the index has no offset, and the archive no key {key}")
        return self._by_key[name][key]

    def _opened(self, name: str) -> _Bytes:
        if self._current and self._current[0] == name:
            return self._current[1]
        self._open.close()
        data = self._open.enter_context(_opened(Path(name)))
        self._current = name, data
        if name not in self._identities:
            self._identities[name] = data.identity
            self.size += len(data)
        if self._identities[name] != data.identity:
            raise _broken(Path(name), 0, "the archive was replaced while it was read")
        return data


def write_kaldi(out: Path, entries: Iterable[tuple[str, Vector]]) -> list[Path]:
    """Write float vectors by key into an archive, with its index beside."""
    index = file_beside(out, ".scp")
    with whole_files([out, index]) as (ark_path, scp_path), ark_path.open("wb") as ark, scp_path.open("wb") as scp:
        for key, vector in entries:
            if not key or key.split() != [key]:
                raise ExchangeError(
                    f"the utterance {key!r} cannot be a key of Kaldi",
                    expected="names without white space",
                    remedy="rename it in the manifest, or export .npz or .parquet",
                )
            ark.write(key.encode() + b" ")
            scp.write(f"{key} {out}:{ark.tell()}\n".encode())
            ark.write(b"\0BFV \4" + struct.pack("<i", vector.size) + vector.astype("<f4").tobytes())
    return [out, index]


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[_Bytes]:
    """The bytes of a file, which must not change while the block lasts."""
    try:
        with steady_input(path) as file:
            yield _Bytes(file)
    except (OSError, ValueError) as error:  # a name may hold a NUL
        raise ExchangeError(
            f"cannot be read ({(getattr(error, 'strerror', None) or str(error)).lower()})",
            expected="a Kaldi archive",
            remedy="check the path; those in an index are seen from the folder where the command runs",
            file=path,
        ) from error


def _key(path: Path, data: _Bytes, position: int) -> tuple[str, int]:
    """The key at a position, and where its vector starts."""
    head = data[position : position + LONGEST_KEY]
    space = SPACE.search(head)
    if not space or not space.start():
        raise _broken(path, position, "there is no key")
    try:
        return head[: space.start()].decode("utf-8"), position + space.start() + 1
    except UnicodeDecodeError as error:
        raise _broken(path, position, "the key is not UTF-8") from error


def _vector(path: Path, data: _Bytes, start: int, key: str) -> tuple[Vector, int]:
    """The vector that starts at an offset, and the offset after it."""
    if data[start : start + 2] != b"\0B":
        return _text_vector(path, data, start, key)
    head = data[start : start + max(HEADERS.values())]
    dtype, length = BINARY.get(head[2:3]), HEADERS.get(head[3:5], 0)
    if dtype is None or not length or len(head) < length or {*head[5:length:5]} != {4}:
        kind = head[2:5].decode("ascii", "replace").strip()
        raise _broken(path, start, f"{key} is no vector (it starts with {kind!r})")
    *rows, size = (number for (number,) in struct.iter_unpack("<xi", head[5:length]))
    if rows not in ([], [1]):
        raise _broken(path, start, f"{key} is no vector but a matrix of {rows[0]:,} x {size:,}")
    end = start + length + size * dtype.itemsize
    if size < 0 or end > len(data):  # before anything of that size is made
        raise _broken(path, start, f"{key} claims {counted(size, 'value')}, and the file ends at byte {len(data):,}")
    values = data[start + length : end]
    if len(values) < size * dtype.itemsize:
        raise _broken(path, start, f"the file was cut within {key} while it was read")
    return np.frombuffer(values, dtype), end


def _text_vector(path: Path, data: _Bytes, start: int, key: str) -> tuple[Vector, int]:
    """Numbers in brackets; those of a matrix begin on the line after the bracket."""
    close = data.find(b"]", start)
    end = data.find(b"\n", close) if close >= 0 else -1
    end = len(data) if end < 0 else end
    words = data[start:end].split()
    if len(words) < 2 or words[0] != b"[" or words[-1] != b"]":
        raise _broken(path, start, f"{key} is no vector")
    lines = [line for line in data[start:close].split(b"\n") if line.strip(b" \t\r[")]
    if len(lines) > 1:
        raise _broken(path, start, f"{key} is no vector but a matrix of {counted(len(lines), 'row')}")
    try:
        return np.array(words[1:-1], dtype=np.float64), end + 1
    except ValueError as error:
        raise _broken(path, start, f"{key} holds something else than numbers") from error


def _entry(path: Path, row: int, line: bytes) -> tuple[str, str, int | None]:
    """Key, archive and offset, where there is one, of one line of an index."""
    try:
        key, place = (word.decode("utf-8").strip() for word in line.split(maxsplit=1))
    except ValueError as error:  # which a UnicodeDecodeError is
        raise ExchangeError("is no line of an index", expected="key archive:offset", file=path, row=row) from error
    if place.startswith("|") or place.endswith("|") or place == "-":
        raise ExchangeError(
            f"{key} comes from a command or a pipe, which seedpipe does not run: {place}",
            expected="key archive:offset",
            remedy="run it once with Kaldi: copy-vector scp:IN.scp ark,scp:OUT.ark,OUT.scp",
            file=path,
            row=row,
        )
    if place.endswith("]"):
        raise ExchangeError(f"{key} names a part of a matrix: {place}", expected=NO_VECTORS, file=path, row=row)
    offset = OFFSET.search(place)
    return (key, place[: offset.start()], int(offset[1])) if offset else (key, place, None)


def _broken(path: Path, position: int, found: str) -> ExchangeError:
    return ExchangeError(f"{found}, at byte {position:,}", expected=NO_VECTORS, file=path)
