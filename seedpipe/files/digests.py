"""Digests: of a file, and of what a JSON object says, stated in that object."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from seedpipe.files.inputs import open_input
from seedpipe.files.paths import StrPath

DIGEST = "digest"


def digest_of(entries: Mapping[str, Any]) -> str:
    """SHA-256 of all entries of a JSON object but ``digest``, which is the one that states it."""
    others = {name: value for name, value in entries.items() if name != DIGEST}
    text = json.dumps(others, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def sealed(entries: Mapping[str, Any]) -> dict[str, Any]:
    """Plain data with their digest, which :func:`seedpipe.files.read_json` checks.

    Examples
    --------
    >>> sealed({"seed": 0})["digest"][:8]
    'bd048884'
    """
    return {**entries, DIGEST: digest_of(entries)}


def file_digest(path: StrPath) -> str:
    """SHA-256 of the bytes of a file.

    Raises
    ------
    OSError
        It cannot be read.
    """
    with open_input(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
