"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import contextlib
import fnmatch
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from seedpipe.errors import SeedpipeError

__all__ = ["fsync", "publish_folder", "refuse_foreign", "whole_file"]


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a partial path to write to; it takes the wanted name when the block ends well, and is removed when not.

    Examples
    --------
    >>> with whole_file(Path("metrics.json")) as partial:
    ...     _ = partial.write_text("{}")
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield partial
        fsync(partial)
        partial.replace(path)
        fsync(path.parent)
    finally:
        partial.unlink(missing_ok=True)


def publish_folder(work: Path, out: Path) -> None:
    """Put a finished folder in the place of an older one; the older one goes last."""
    fsync(work)
    old = out.with_name(f".{out.name}.old")
    if old.exists():
        shutil.rmtree(old)
    if out.exists():
        out.rename(old)
    work.rename(out)
    fsync(out.parent)
    shutil.rmtree(old, ignore_errors=True)


def refuse_foreign(folder: Path, own: Sequence[str], what: str, error: type[SeedpipeError]) -> None:
    """Refuse to replace a folder that holds anything but files of ours.

    Parameters
    ----------
    folder : Path
        It may be missing.
    own : sequence of str
        Patterns of the file names that we write there.
    what : str
        What the folder is to become, for the message.
    error : type
        The class of error to raise.

    Raises
    ------
    SeedpipeError
        Of that class. The text names a file that is not ours; nothing has been touched.
    """
    if not folder.exists():
        return
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else [folder.name]
    foreign = sorted(name for name in names if not any(fnmatch.fnmatch(name, pattern) for pattern in own))
    if foreign:
        raise error(
            f"is no {what}: it holds {foreign[0]}",
            expected=f"a {what} that may be replaced, an empty folder or none",
            remedy="choose another folder",
            file=folder,
        )


def fsync(path: Path) -> None:
    """Wait until a file or folder is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
