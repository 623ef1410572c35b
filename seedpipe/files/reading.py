"""Small files that are read as a whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from seedpipe.files.paths import StrPath

MOST_GROWTH = 200  # trial lists grow 4 to 17 times, embeddings hardly; zeros grow 1,000 times
ALWAYS_UNPACKED = 2**26  # bytes
MOST_DOCUMENT = 2**28  # bytes; the manifest of a cache of a million shards


def read_json(path: StrPath) -> Any:
    """Read a JSON file.

    Raises
    ------
    OSError
        It cannot be read.
    ValueError
        It is not UTF-8, no JSON, or nested more deeply than Python follows.
    """
    try:
        return json.loads(read_document(path).decode())
    except RecursionError as error:
        raise ValueError("brackets in brackets, too many of them") from error


def read_document(path: StrPath, most: int = MOST_DOCUMENT) -> bytes:
    """Read a file of settings or figures, which is small; a link may lead to a device that never ends.

    Raises
    ------
    OSError
        It cannot be read.
    ValueError
        It has more bytes than ``most``, or its name cannot be that of a file.
    """
    with Path(path).open("rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise ValueError(f"more than {most:,} bytes")
    return data


def most_unpacked(packed: int) -> int:
    """Bytes that a compressed file of so many bytes may unpack to; more is made to fill the memory, not to be read."""
    return max(ALWAYS_UNPACKED, MOST_GROWTH * packed)
