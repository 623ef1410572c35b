r"""Kaldi archives (``.ark``) and their index (``.scp``): vectors by key.

Written here because the packages for it run the commands that an index may name. An entry of an archive is its key, a
space, and a vector: ``\0BFV \4`` (float) or ``\0BDV \4`` (double), the length as int32 and the values, little-endian;
or as text ``[ 1.5 2 ]`` and the end of the line. An index has lines of ``key archive:offset``, where the vector starts.

Source: the Kaldi documentation, "Kaldi I/O mechanisms" and "Kaldi matrices" (format of vectors on disk).
"""

from __future__ import annotations

import mmap
import os
import re
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seedpipe.errors import ExchangeError
from seedpipe.files import most_unpacked, whole_file

Vector = NDArray[np.floating[Any]]
BINARY: dict[bytes, np.dtype[np.floating[Any]]] = {b"FV ": np.dtype("<f4"), b"DV ": np.dtype("<f8")}
HEADER = 10  # \0B, a token of three bytes, \4, int32
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
    archives: dict[str, mmap.mmap | bytes] = {}
    there = used = 0
    for row, line in enumerate(_mapped(path)[:].splitlines(), 1):
        key, archive, offset = _entry(path, row, line)
        if archive not in archives:
            archives[archive] = _mapped(Path(archive))
            there += len(archives[archive])
        vector, _ = _vector(Path(archive), archives[archive], offset, key)
        used += vector.nbytes
        if used > most_unpacked(there):  # keys may share a vector, and stay few files of a few bytes
            raise ExchangeError(
                f"names {used:,} bytes of vectors in archives of {there:,}",
                expected="a vector of its own for each key",
                file=path,
                row=row,
            )
        yield key, vector


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
    head = data[start : start + HEADER]
    dtype = BINARY.get(head[2:5])
    if dtype is None or len(head) < HEADER or head[5] != 4:
        kind = head[2:5].decode("ascii", "replace").strip()
        raise _broken(path, start, f"{key} is no vector (it starts with {kind!r})")
    (size,) = struct.unpack("<i", head[6:])
    end = start + HEADER + size * dtype.itemsize
    if size < 0 or end > len(data):  # before anything of that size is made
        raise _broken(path, start, f"{key} claims {size:,} values, and the file ends at byte {len(data):,}")
    return np.frombuffer(data, dtype, size, start + HEADER), end


def _text_vector(path: Path, data: mmap.mmap | bytes, start: int, key: str) -> tuple[Vector, int]:
    end = data.find(b"\n", start)
    end = len(data) if end < 0 else end
    words = data[start:end].split()
    if len(words) < 2 or words[0] != b"[" or words[-1] != b"]":
        raise _broken(path, start, f"{key} is no vector")
    try:
        return np.array(words[1:-1], dtype=np.float64), end + 1
    except ValueError as error:
        raise _broken(path, start, f"{key} holds something else than numbers") from error


def _entry(path: Path, row: int, line: bytes) -> tuple[str, str, int]:
    """Key, archive and offset of one line of an index."""
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
    return (key, place[: offset.start()], int(offset[1])) if offset else (key, place, 0)


def _broken(path: Path, position: int, found: str) -> ExchangeError:
    return ExchangeError(f"{found}, at byte {position:,}", expected=NO_VECTORS, file=path)
