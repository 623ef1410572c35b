"""Write shards, find those of an earlier run again, and publish a folder of them as a cache.

An instant at which the process is killed costs no shard that was finished: each has a note beside it until the
manifest stands, and the manifest says the same as the notes.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from seedpipe.cache.format import (
    FAILURES,
    MANIFEST,
    OUTPUT,
    CacheInfo,
    Shard,
    ShardInfo,
    expect_real,
    manifest_bytes,
    read_info,
    to_bytes,
)
from seedpipe.cache.reader import Cache, open_cache
from seedpipe.errors import CacheError
from seedpipe.files import (
    StrPath,
    file_digest,
    locked,
    publish_folder,
    read_note,
    whole_file,
    whole_folder,
    write_note,
)


def shard_name(number: int) -> str:
    """File name of a shard."""
    return f"shard-{number:05d}.h5"


def write_shard(path: StrPath, shard: Shard) -> ShardInfo:
    """Write a shard whole or not at all; equal contents give equal bytes.

    Returns
    -------
    ShardInfo
        Size and digest of the file, which are also noted beside it for :func:`finished_shard`.

    Raises
    ------
    CacheError
        An embedding is not finite, or not within the range of float16; the text names the utterance.
    OSError
        The disk is full, or the folder cannot be written; the text names the file.
    """
    path = Path(path)
    check_finite(shard)
    data = to_bytes(shard)
    info = ShardInfo(
        file=path.name,
        rows=len(shard.embeddings),
        bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        key=shard.key,
    )
    _write(path, data)
    _write_note(path, info)
    return info


def finished_shard(path: StrPath, key: str) -> ShardInfo | None:
    """What an earlier run noted of a shard, if it was made from the same things and its bytes are still those."""
    path = Path(path)
    try:
        note = ShardInfo.model_validate(read_note(_note(path)))
        return note if (note.key, note.file, note.sha256) == (key, path.name, file_digest(path)) else None
    except (OSError, ValidationError):
        return None


def publish(work: StrPath, out: StrPath, info: CacheInfo) -> Cache:
    """Make a work folder the cache: write its manifest, clear it, then put it in the place of an older cache.

    It may be called again, with the same shards, wherever an earlier call was killed.

    Parameters
    ----------
    work, out : Path
        Folders of the same file system.
    info : CacheInfo
        Its digest is filled in here.
    """
    _seal(Path(work), info)
    publish_folder(work, out, OUTPUT)
    return open_cache(out)


def _seal(work: Path, info: CacheInfo) -> None:
    _write(work / MANIFEST, manifest_bytes(info))
    wanted = {MANIFEST, FAILURES} | {shard.file for shard in info.shards}
    for path in work.iterdir():
        if path.name not in wanted:
            path.unlink()  # notes beside the shards, partial files of a killed run


def write_cache(
    out: StrPath, info: Mapping[str, Any], shards: Iterable[Shard], *, failures: StrPath | None = None
) -> Cache:
    """Write a cache that is made in one go: of one that fails, nothing is left.

    Parameters
    ----------
    out : Path
        Folder of the cache; an older one is replaced.
    info : mapping
        The fields of :class:`CacheInfo` but its shards.
    shards : iterable of Shard
    failures : Path, optional
        List of the utterances that were left out, which is copied.
    """
    with locked(out), whole_folder(out, OUTPUT) as work:
        written = tuple(write_shard(work / shard_name(number), shard) for number, shard in enumerate(shards))
        if failures is not None:
            shutil.copy(failures, work / FAILURES)
        _seal(work, CacheInfo(**{**info, "shards": written}))
    return open_cache(out)


def link_cache(found: Cache, out: StrPath) -> Cache:
    """Give a cache a second place: hard links to its files, or copies where the file system has no links.

    Removing one place leaves the other as it is. An older cache at ``out`` is replaced.
    """
    names = [MANIFEST, *(shard.file for shard in found.info.shards)]
    with whole_folder(out, OUTPUT) as work:
        for name in names + [FAILURES] * (found.path / FAILURES).exists():
            try:
                os.link(found.path / name, work / name)
            except OSError:
                shutil.copyfile(found.path / name, work / name)
    return open_cache(out)


def refuse_other(out: StrPath, feature: str, found: str) -> None:
    """Refuse to replace anything but a cache with a feature: extraction may have taken days.

    Raises
    ------
    CacheError
        There is a cache without it, as the text ``found`` says, or something else.
    """
    out = Path(out)
    OUTPUT.check(out)
    if out.exists() and any(out.iterdir()) and feature not in open_cache(out).info.features:
        raise CacheError(found, remedy="remove it, or choose another folder", file=out)


def unpublished(work: StrPath, fingerprint: str) -> CacheInfo | None:
    """The manifest of a work folder that was complete when :func:`publish` was killed, if it is the wanted cache.

    Parameters
    ----------
    work : Path
        It may be missing.
    fingerprint : str
        The ``fingerprint`` of the wanted cache.

    Returns
    -------
    CacheInfo or None
        Every shard was compared with its digest. None if there is no manifest, or it is of another cache or damaged;
        the shards that it lists then have their notes again, so that :func:`finished_shard` finds them.
    """
    work = Path(work)
    try:
        info = read_info(work)
    except CacheError:
        return None
    try:
        if info.fingerprint == fingerprint:
            Cache(work, info).verify()
            return info
    except CacheError:
        pass
    _restore_notes(work, info.shards)
    return None


def _restore_notes(work: Path, shards: Sequence[ShardInfo]) -> None:
    for shard in shards:
        path = work / shard.file
        if path.exists() and not _note(path).exists():
            _write_note(path, shard)
    (work / MANIFEST).unlink()


def check_finite(shard: Shard) -> None:
    """Refuse embeddings that are not finite, or not within the range of float16; the text names the utterance."""
    expect_real(shard.embeddings, "embeddings", CacheError)
    finite = np.isfinite(shard.embeddings).all(axis=2)
    if finite.all():
        return
    row, variant = np.argwhere(~finite)[0]
    where = f"{shard.columns['utterance'][row]} ({shard.variants[variant]})"
    if shard.embeddings.dtype == np.float16 and not np.isnan(shard.embeddings[row, variant]).any():
        raise CacheError(
            f"the embedding of {where} does not fit into float16",
            expected="values between -65,504 and 65,504",
            remedy="store float32",
        )
    raise CacheError(
        f"the network gave values that are not finite for {where}",
        remedy="listen to the utterance, check the network",
    )


def _write(path: Path, data: bytes) -> None:
    with whole_file(path) as partial:
        partial.write_bytes(data)


def _write_note(path: Path, info: ShardInfo) -> None:
    write_note(_note(path), info.model_dump())


def _note(path: Path) -> Path:
    return path.with_suffix(".json")
