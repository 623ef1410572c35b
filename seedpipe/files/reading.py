"""Small files that are read as a whole."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from seedpipe.errors import SeedpipeError, counted
from seedpipe.files.digests import DIGEST, digest_of
from seedpipe.files.inputs import identity, steady_input
from seedpipe.files.paths import StrPath

T = TypeVar("T")
MOST_GROWTH = 200  # trial lists grow 4 to 17 times, embeddings hardly; zeros grow 1,000 times
NOT_AS_WRITTEN = "it does not have the digest that it states"
ALWAYS_UNPACKED = 2**26  # bytes
MOST_DOCUMENT = 2**28  # bytes; the manifest of a cache of a million shards


def read_json(path: StrPath) -> Any:
    """Read a JSON file; an object that states its digest is compared with it, those of older versions state none.

    Raises
    ------
    OSError
        It cannot be read.
    ValueError
        It is not UTF-8, no JSON, nested more deeply than Python follows, or not what was written.
    """
    try:
        data = json.loads(read_document(path).decode())
        stated = data.get(DIGEST) if isinstance(data, dict) else None
        if stated is not None and stated != digest_of(data):
            raise ValueError(NOT_AS_WRITTEN)
    except RecursionError as error:
        raise ValueError("brackets in brackets, too many of them") from error
    return data


def read_document(path: StrPath, most: int = MOST_DOCUMENT) -> bytes:
    """Read a file of settings or figures, which is small.

    Raises
    ------
    OSError
        It cannot be read, or was written to meanwhile.
    ValueError
        It has more bytes than ``most``, or its name cannot be that of a file.
    """
    with steady_input(path) as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise ValueError(f"more than {counted(most, 'byte')}")
    return data


def read_again(marker: Path, read: Callable[[], T]) -> T:
    """Read a folder, and again where it was replaced in the meantime by another, as its marker tells.

    Raises
    ------
    SeedpipeError, OSError
        What ``read`` raises of a folder that nobody has replaced.
    """
    while True:
        before = _identity(marker)
        try:
            return read()
        except (SeedpipeError, OSError):
            if _identity(marker) == before:
                raise


def _identity(path: Path) -> tuple[int, ...]:
    try:
        return identity(path)
    except OSError:
        return ()


def most_unpacked(packed: int) -> int:
    """Bytes that a compressed file of so many bytes may unpack to; more is made to fill the memory, not to be read."""
    return max(ALWAYS_UNPACKED, MOST_GROWTH * packed)
