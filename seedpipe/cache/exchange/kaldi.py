r"""Kaldi archives (``.ark``) and their index (``.scp``): vectors by key.

Written here because the packages for it run the commands that an index may name. An entry of an archive is its key, a
space, and a vector: ``\0BFV \4`` (float) or ``\0BDV \4`` (double), the length as int32 and the values, little-endian;
or as text ``[ 1.5 2 ]`` and the end of the line. A matrix (``FM``, ``DM``, rows and columns) of one row is a vector. An
index has lines of ``key archive:offset``, where the vector starts; without an offset the file holds that vector alone,
or is an archive in which the key is looked for.

Source: the Kaldi documentation, "Kaldi I/O mechanisms" and "Kaldi matrices" (format of vectors on disk).
"""

from __future__ import annotations

import functools
import mmap
import os
import re
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seedpipe.errors import ExchangeError
from seedpipe.files import most_unpacked, whole_file

Vector = NDArray[np.floating[Any]]
BINARY: dict[bytes, np.dtype[np.floating[Any]]] = {b"F": np.dtype("<f4"), b"D": np.dtype("<f8")}
HEADERS = {b"V ": 10, b"M ": 15}  # \0B, a token of three bytes, \4 and int32 once or, of a matrix, twice
LONGEST_KEY = 4096  # bytes; longer ones mean that the file is no archive
SPACE = re.compile(rb"\s")
OFFSET = re.compile(r":([0-9]{1,18})$")
NO_VECTORS = "float or double vectors (copy-vector writes them)"


def read_ark(path: Path) -> Iterator[tuple[str, Vector]]:
    """Read an archive: keys and vectors, which are views of the mapped file where it is binary."""
    data, position = _mapped(path), 0
    while position < len(data):
        key, start = _key(path, data, position)
        vector, position = _vector(path, data, start, key)
        yield key, vector


def read_scp(path: Path) -> Iterator[tuple[str, Vector]]:
    """Read the vectors that an index names; commands in it are refused, never run."""
    archives: dict[str, _Archive] = {}
    there = used = 0
    for row, line in enumerate(_mapped(path)[:].splitlines(), 1):
        key, name, offset = _entry(path, row, line)
        try:
            if name not in archives:
                archives[name] = _Archive(Path(name), _mapped(Path(name)))
                there += len(archives[name].data)
            vector = archives[name].vector(key, offset)
        except ExchangeError as error:
            found = f"{key}: {error.found}, in {name}"
            raise ExchangeError(found, expected=error.expected, remedy=error.remedy, file=path, row=row) from error
        used += vector.nbytes
        if used > most_unpacked(there):  # keys may share a vector, and stay few files of a few bytes
            raise ExchangeError(
                f"names {used:,} bytes of vectors in archives of {there:,}",
                expected="a vector of its own for each key",
                file=path,
                row=row,
            )
        yield key, vector


@dataclass(frozen=True)
class _Archive:
    """A file that an index names."""

    path: Path
    data: mmap.mmap | bytes

    def vector(self, key: str, offset: int | None) -> Vector:
        """The vector at an offset; without one the file is the vector, or an archive that has the key."""
        if offset is not None:
            return _vector(self.path, self.data, offset, key)[0]
        if self.data[:2] == b"\0B" or self.data[:LONGEST_KEY].lstrip().startswith(b"["):
            vector, end = _vector(self.path, self.data, 0, key)
            if self.data[end:].strip():
                raise _broken(self.path, end, "something follows the vector")
            return vector
        if key not in self._by_key:
            raise _broken(self.path, 0, f"the index has no offset, and the archive no key {key}")
        return self._by_key[key]

    @functools.cached_property
    def _by_key(self) -> dict[str, Vector]:
        return dict(read_ark(self.path))


def write_kaldi(out: Path, entries: Iterable[tuple[str, Vector]]) -> list[Path]:
    """Write float vectors by key into an archive, with its index beside."""
    index = out.with_suffix(".scp")
    with (
        whole_file(out) as ark_path,
        whole_file(index) as scp_path,
        ark_path.open("wb") as ark,
        scp_path.open("wb") as scp,
    ):
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


def _mapped(path: Path) -> mmap.mmap | bytes:
    """The bytes of a file; vectors go on using them."""
    try:
        with open(path, "rb", opener=_at_once) as file:
            empty = os.fstat(file.fileno()).st_size == 0
            return b"" if empty else mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:  # a name may hold a NUL
        raise ExchangeError(
            f"cannot be read ({(getattr(error, 'strerror', None) or str(error)).lower()})",
            expected="a Kaldi archive",
            remedy="check the path; those in an index are seen from the folder where the command runs",
            file=path,
        ) from error


def _at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # or a pipe would wait for its writer


def _key(path: Path, data: mmap.mmap | bytes, position: int) -> tuple[str, int]:
    """The key at a position, and where its vector starts."""
    head = data[position : position + LONGEST_KEY]
    space = SPACE.search(head)
    if not space or not space.start():
        raise _broken(path, position, "there is no key")
    try:
        return head[: space.start()].decode("utf-8"), position + space.start() + 1
    except UnicodeDecodeError as error:
        raise _broken(path, position, "the key is not UTF-8") from error


def _vector(path: Path, data: mmap.mmap | bytes, start: int, key: str) -> tuple[Vector, int]:
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
        raise _broken(path, start, f"{key} claims {size:,} values, and the file ends at byte {len(data):,}")
    return np.frombuffer(data, dtype, size, start + length), end


def _text_vector(path: Path, data: mmap.mmap | bytes, start: int, key: str) -> tuple[Vector, int]:
    """Numbers in brackets; those of a matrix begin on the line after the bracket."""
    close = data.find(b"]", start)
    end = data.find(b"\n", close) if close >= 0 else -1
    end = len(data) if end < 0 else end
    words = data[start:end].split()
    if len(words) < 2 or words[0] != b"[" or words[-1] != b"]":
        raise _broken(path, start, f"{key} is no vector")
    lines = [line for line in data[start:close].split(b"\n") if line.strip(b" \t\r[")]
    if len(lines) > 1:
        raise _broken(path, start, f"{key} is no vector but a matrix of {len(lines):,} rows")
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
