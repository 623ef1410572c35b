"""Notes that a later run reads back: JSON objects that state the digest of what they say."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from seedpipe.files.digests import DIGEST, sealed
from seedpipe.files.paths import StrPath
from seedpipe.files.reading import read_json
from seedpipe.files.whole import whole_file


def write_note(path: StrPath, entries: Mapping[str, Any]) -> None:
    """Write plain data with their digest, whole or not at all.

    Raises
    ------
    OSError
        The file cannot be written.
    """
    with whole_file(path) as partial:
        partial.write_text(json.dumps(sealed(entries)), encoding="utf-8")


def read_note(path: StrPath) -> dict[str, Any] | None:
    """What :func:`write_note` has written; None where that is not there, or not as it was written."""
    try:
        entries = read_json(path)
    except (OSError, ValueError):
        return None
    return entries if isinstance(entries, dict) and entries.pop(DIGEST, None) else None
