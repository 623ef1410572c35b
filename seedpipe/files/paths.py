"""Paths: what they lead to, and that it is on the disk."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TypeAlias

from seedpipe.errors import printable

StrPath: TypeAlias = str | os.PathLike[str]
"""What public functions take for a path."""


def link_target(path: StrPath) -> Path:
    """What a symbolic link leads to, which need not exist; any other path as it is.

    An output that is a link stays one: its target is replaced, and the work goes on beside that, on the same disk.
    """
    path = Path(path)
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def descriptor_of(path: Path) -> int | None:
    """The number that a path like ``/dev/stdout`` names, of a file that this process has open."""
    own = Path(f"/proc/{os.getpid()}/fd")
    for _ in range(40):  # as many links as the kernel follows
        if path.name.isdecimal() and path.parent.resolve() == own:
            return int(path.name)
        if not path.is_symlink():
            break
        path = path.parent / path.readlink()
    return None


def title_of(path: StrPath) -> str:
    r"""What a file is called in results: its name without extension, with what UTF-8 cannot hold as a number.

    Examples
    --------
    >>> title_of("lists/mine.txt"), title_of("caf\udce9.txt")
    ('mine', 'caf\\udce9')
    """
    return printable(Path(path).stem)


def is_mount_point(path: Path) -> bool:
    """Whether another file system, folder or file is laid over a path, as the volumes of a container are."""
    place = os.path.realpath(path)
    try:
        mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return os.path.ismount(place)
    # White space in a name is written as an octal number.
    names = (re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), line.split(" ")[4]) for line in mounts)
    return place in names


def fsync(path: StrPath) -> None:
    """Wait until a file or folder is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
