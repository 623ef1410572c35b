"""Paths: what they lead to, and that it is on the disk."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeAlias

StrPath: TypeAlias = str | os.PathLike[str]
"""What public functions take for a path."""


def link_target(path: StrPath) -> Path:
    """What a symbolic link leads to, which need not exist; any other path as it is.

    An output that is a link stays one: its target is replaced, and the work goes on beside that, on the same disk.
    """
    path = Path(path)
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def fsync(path: StrPath) -> None:
    """Wait until a file or folder is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
