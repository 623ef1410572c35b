"""Open the shards of a cache, each after its bytes were compared with the digest in the manifest."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seedpipe.cache.hdf5 import NAMES, RECIPE_COLUMNS, Layout, layout
from seedpipe.cache.info import MANIFEST, CacheInfo, ShardInfo
from seedpipe.errors import CacheDamagedError

NUMBERS = ("embeddings", "draw", "crop_start", "noise_offset", "snr_db")  # the other datasets hold text
CLOCK_SECONDS = 2.0  # a file that is changed twice within this time may keep its time of modification


@dataclass(frozen=True)
class _Stamp:
    """What tells that a file was not written since it was verified."""

    size: int
    modified: int
    inode: int

    @classmethod
    def of(cls, status: os.stat_result) -> _Stamp:
        return cls(status.st_size, status.st_mtime_ns, status.st_ino)

    def settled(self) -> bool:
        """Whether a later change would show."""
        return abs(time.time() - self.modified / 1e9) > CLOCK_SECONDS


class OpenShard:
    """One verified shard.

    Its data are the bytes that were verified, or None when they were verified earlier: then it is read from the file.
    """

    def __init__(self, path: Path, fields: Layout, data: NDArray[np.uint8] | None) -> None:
        self.path, self.fields, self.data = path, fields, data

    def array(self, name: str) -> NDArray[Any]:
        """A whole dataset; text as str."""
        field = self.fields[name]
        with damage(self.path):
            values = field.view(self.data) if self.data is not None else field.read(self.path)
            return np.char.decode(values, "utf-8") if values.dtype.kind == "S" else values

    def run(self, name: str, start: int, stop: int) -> NDArray[Any]:
        """Some rows of a dataset of numbers."""
        field = self.fields[name]
        with damage(self.path):
            if self.data is not None:
                return field.view(self.data)[start:stop]
            return field.read_run(self.path, start, stop)

    def row(self, number: int, names: tuple[str, ...]) -> Iterator[NDArray[Any]]:
        """One row of some datasets; text as bytes."""
        with damage(self.path), self.path.open("rb", buffering=0) as file:
            for name in names:
                yield self.fields[name].read_row(file, number)


class Reader:
    """Opens shards and remembers, by size, time of modification and inode, which ones need not be hashed again."""

    def __init__(self, folder: Path, info: CacheInfo) -> None:
        self.folder, self.info = folder, info
        self._known: dict[str, tuple[_Stamp, Layout]] = {}

    def open(self, shard: ShardInfo, *, afresh: bool = False) -> OpenShard:
        """Open a shard.

        Parameters
        ----------
        shard : ShardInfo
        afresh : bool
            Read and hash it even though it is known.

        Raises
        ------
        CacheDamagedError
            It is missing, cannot be read, or is not what the manifest says.
        """
        path = self.folder / shard.file
        with damage(path), path.open("rb") as file:
            stamp = _Stamp.of(os.fstat(file.fileno()))
            known = self._known.get(shard.file)
            if known and known[0] == stamp and stamp.settled() and not afresh:
                return OpenShard(path, known[1], None)
            if stamp.size != shard.bytes:
                raise damaged(path, f"has {stamp.size} bytes instead of {shard.bytes}")
            data = np.empty(stamp.size, np.uint8)  # in huge pages, where bytes would be as slow as hashing them
            if file.readinto(data.data) != stamp.size or hashlib.sha256(data.data).hexdigest() != shard.sha256:
                raise damaged(path, "does not have the digest in manifest.json")
            fields = layout(file)
            self._check(path, shard, fields, data)
        self._known[shard.file] = stamp, fields
        return OpenShard(path, fields, data)

    def check_sizes(self) -> None:
        """Refuse shards that do not have the size in the manifest, before memory is made for what it claims.

        Raises
        ------
        CacheDamagedError
            A shard is missing or has another size.
        """
        for shard in self.info.shards:
            path = self.folder / shard.file
            with damage(path):
                size = path.stat().st_size
            if size != shard.bytes:
                raise damaged(path, f"has {size} bytes instead of {shard.bytes}")

    def _check(self, path: Path, shard: ShardInfo, fields: Layout, data: NDArray[np.uint8]) -> None:
        """Compare a shard with what the manifest promises of it."""
        info = self.info
        full = (shard.rows, len(info.variants), info.network.dimension)
        axes = {"embeddings": 3} | dict.fromkeys(RECIPE_COLUMNS, 2)
        for name, field in fields.items():
            shape = full[1:2] if name == NAMES else full[: axes.get(name, 1)]
            if field.shape != shape:
                raise damaged(path, f"{name} has shape {field.shape}", f"{shape}")
            if field.dtype.kind not in ("iuf" if name in NUMBERS else "S"):
                raise damaged(path, f"{name} is {field.dtype}")
        storage = str(fields["embeddings"].dtype)
        if storage != info.storage:
            raise damaged(path, f"embeddings are {storage}", info.storage)
        if names := fields.get(NAMES):  # the first shards of this format have none
            held = tuple(np.char.decode(names.view(data), "utf-8").tolist())
            if held != info.variants:
                raise damaged(
                    path, f"holds the variants {', '.join(held)}", f"{', '.join(info.variants)}, as in {MANIFEST}"
                )


@contextmanager
def damage(path: Path) -> Iterator[None]:
    """Turn what can go wrong in reading a shard into our error."""
    try:
        yield
    except FileNotFoundError as error:
        raise damaged(path, "is missing") from error
    except OSError as error:
        raise damaged(path, f"cannot be read ({error.strerror or error})") from error
    except (EOFError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise damaged(path, f"cannot be read ({error})") from error


def damaged(path: Path, found: str, expected: str = "") -> CacheDamagedError:
    """The error of a shard that is not as it was written."""
    return CacheDamagedError(found, expected=expected, remedy="extract the cache again", file=path)
