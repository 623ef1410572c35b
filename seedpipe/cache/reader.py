"""Open finished caches: every byte that is used was compared with the digests in the manifest."""

from __future__ import annotations

import bisect
import contextlib
import functools
import hashlib
import html
import itertools
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeAlias, TypeVar

import joblib
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seedpipe.cache.format import (
    MANIFEST,
    NAMES,
    RECIPE_COLUMNS,
    ROW_COLUMNS,
    CacheInfo,
    Extents,
    NetworkInfo,
    Shard,
    ShardInfo,
    extents,
    read_info,
)
from seedpipe.cache.opened import OpenShard, check_size, damage, damaged
from seedpipe.errors import BusyError, CacheDamagedError, CacheError, CacheMismatchError, counted
from seedpipe.files import open_input

if TYPE_CHECKING:
    import torch

    from seedpipe.cache.dataset import CacheDataset
    from seedpipe.console import ProgressCallback
    from seedpipe.files import StrPath

P = ParamSpec("P")
T = TypeVar("T")
Stamp: TypeAlias = tuple[int, int, int]
"""Size, time of modification and inode: what tells that a file was not written since it was verified."""
MOST_THREADS = 8  # each holds one shard in memory
NUMBERS = ("embeddings", "draw", "crop_start", "noise_offset", "snr_db")  # the other datasets hold text
OTHER_NETWORK = "extract the cache with the wanted network, or use the model that was trained for this one"
OTHER_KIND = "give the other cache: 'seedpipe extract' makes training caches, with --evaluation those for scoring"
CLOCK_SECONDS = 2.0  # a file that is changed twice within this time may keep its time of modification


def _unless_replaced(method: Callable[Concatenate[Cache, P], T]) -> Callable[Concatenate[Cache, P], T]:
    """Tell a cache that was replaced by another one, since it was opened, from one that is damaged."""

    @functools.wraps(method)
    def read(self: Cache, /, *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return method(self, *args, **kwargs)
        except CacheDamagedError as error:
            with contextlib.suppress(CacheError):
                if read_info(self.path) != self.info:
                    found = "was replaced by another cache while it was read"
                    raise BusyError(found, remedy="run the same command again", file=self.path) from error
            raise

    return read


class Cache:
    """A finished cache, opened with :func:`open_cache`.

    A shard is read and hashed once per object, as long as its size, time of modification and inode stay what they were.
    Where another cache has taken the place of this one, what reads it raises :class:`~seedpipe.errors.BusyError`.

    Attributes
    ----------
    path : Path
    info : CacheInfo
    """

    def __init__(self, path: Path, info: CacheInfo) -> None:
        self.path, self.info = path, info
        self._verified: dict[str, tuple[Stamp, Extents]] = {}
        self._ends = list(itertools.accumulate(shard.rows for shard in info.shards))

    def __repr__(self) -> str:
        info = self.info
        shape = f"{counted(info.rows, 'row')} x {counted(len(info.variants), 'variant')} ({', '.join(info.variants)})"
        storage = "" if info.storage == "float32" else f", {info.storage}"
        dimension, name = info.network.dimension, info.network.name
        return f"<Cache {self.path}: {shape} x {dimension}-d{storage}, network {name}, {info.kind}>"

    def _repr_html_(self) -> str:
        """What a notebook shows: the size, and what made it."""
        info = self.info
        facts = {
            "kind": info.kind,
            "network": f"{info.network.name}, {info.network.dimension}-d, {info.storage}",
            "rows": f"{info.rows:,} of {counted(info.utterances, 'utterance')}, {info.seconds / 3600:.2f} h",
            "variants": ", ".join(info.variants),
        }
        cells = "".join(f"<tr><th>{name}</th><td>{html.escape(fact)}</td></tr>" for name, fact in facts.items())
        return f"<p>Cache {html.escape(str(self.path))}</p>\n<table>{cells}</table>"

    def __len__(self) -> int:
        return self.info.rows

    def __getitem__(self, index: int | slice) -> NDArray[np.float32]:
        """Embeddings of a row, shape (V, D), or of a slice of rows, shape (N, V, D); float32 whatever the storage."""
        wanted = range(len(self))[index]
        if isinstance(wanted, int):
            return self[wanted : wanted + 1].squeeze(0)
        parts = [self._part(number, wanted) for number in range(len(self._ends))]
        rows = np.concatenate(parts)
        return rows[::-1] if wanted.step < 0 else rows

    def _part(self, number: int, wanted: range) -> NDArray[np.float32]:
        """The wanted rows of one shard, by rising number."""
        end = self._ends[number]
        begin = end - self.info.shards[number].rows
        rising = wanted if wanted.step > 0 else wanted[::-1]
        inside = rising[bisect.bisect_left(rising, begin) : bisect.bisect_left(rising, end)]
        if not inside:
            return np.empty((0, len(self.info.variants), self.info.network.dimension), dtype=np.float32)
        return self.rows(number, inside[0] - begin, inside[-1] + 1 - begin)[:: inside.step]

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        """Embeddings row by row, shape (V, D) each, a shard at a time in memory."""
        for number, shard in enumerate(self.info.shards):
            yield from self.rows(number, 0, shard.rows)

    def expect(self, *, network: NetworkInfo | None = None, kind: str | None = None) -> Cache:
        """Refuse a cache of another network or kind.

        Raises
        ------
        CacheMismatchError
            The text names the field that differs.
        """
        pairs = [] if kind is None else [("kind", self.info.kind, kind)]
        for field in ("name", "dimension", "fingerprint") if network else ():
            pairs.append((f"network {field}", getattr(self.info.network, field), getattr(network, field)))
        for field, found, expected in pairs:
            if found != expected:
                remedy, file = OTHER_KIND if field == "kind" else OTHER_NETWORK, self.path / MANIFEST
                raise CacheMismatchError(f"{field} is {found!r}", expected=repr(expected), remedy=remedy, file=file)
        return self

    @_unless_replaced
    def to_numpy(self) -> NDArray[np.float32]:
        """Read all embeddings, shape (R, V, D), float32 whatever the storage.

        Raises
        ------
        CacheDamagedError
            A shard is missing or differs from what was written.
        """
        info = self.info
        for shard in info.shards:  # before memory is made for what the manifest claims
            path = self.path / shard.file
            with damage(path):
                check_size(path, shard, path.stat().st_size)
        out = np.empty((info.rows, len(info.variants), info.network.dimension), dtype=np.float32)

        def read(shard: OpenShard, rows: slice) -> None:
            out[rows] = shard.array("embeddings")

        self._each(read)
        return out

    def to_torch(self, device: str | torch.device = "cpu") -> torch.Tensor:
        """Read all embeddings into one tensor, shape (R, V, D)."""
        import torch

        return torch.from_numpy(self.to_numpy()).to(device)

    def frame(self) -> pd.DataFrame:
        """Row columns as a table: utterance, speaker, draw, crop_start, and ``noise:VARIANT`` and so on per variant."""
        return pd.concat(self._each(lambda shard, _: self._table(shard)), ignore_index=True)

    @_unless_replaced
    def rows(self, shard: int, start: int, stop: int) -> NDArray[np.float32]:
        """Embeddings of some rows of one shard, shape (stop - start, V, D), float32 whatever the storage."""
        return self.open(self.info.shards[shard]).array("embeddings", start, stop).astype(np.float32, copy=False)

    @_unless_replaced
    def shard(self, number: int) -> Shard:
        """The contents of one shard; embeddings as float32."""
        info = self.info.shards[number]
        shard = self.open(info)
        columns = shard.arrays((*ROW_COLUMNS, *RECIPE_COLUMNS))
        embeddings = shard.array("embeddings").astype(np.float32, copy=False)
        return Shard(embeddings, self.info.variants, columns, info.key)

    def shards(self) -> Iterator[Shard]:
        """The contents, one shard at a time, in order."""
        return (self.shard(number) for number in range(len(self.info.shards)))

    @_unless_replaced
    def row(self, number: int, names: Sequence[str]) -> dict[str, NDArray[Any]]:
        """One row of some datasets, shape (), (V,) or (V, D) as they have it; text as str."""
        place = bisect.bisect_right(self._ends, number)
        shard = self.info.shards[place]
        start = number - self._ends[place] + shard.rows
        return {name: values[0] for name, values in self.open(shard).arrays(names, start, start + 1).items()}

    def dataset(self) -> CacheDataset:
        """The rows as a torch dataset, for caches that do not fit into memory; see :meth:`to_torch` for others."""
        from seedpipe.cache.dataset import CacheDataset

        return CacheDataset(self)

    def verify(self, progress: ProgressCallback | None = None) -> None:
        """Read and hash every shard, each time, and look for values that are not finite.

        Parameters
        ----------
        progress : callable, optional
            Called with bytes done and bytes in all.

        Raises
        ------
        CacheDamagedError
            A shard is missing, differs from what was written or from what the manifest says, or holds values that are
            not finite.
        """

        def check(shard: OpenShard, _: slice) -> None:
            if not np.isfinite(shard.array("embeddings")).all():
                raise damaged(shard.path, "holds values that are not finite")

        self._each(check, afresh=True, progress=progress)

    def open(self, shard: ShardInfo, *, afresh: bool = False) -> OpenShard:
        """Verify a shard, unless it is known to be as it was written; ``afresh``: even then.

        Raises
        ------
        CacheDamagedError
            It is missing, cannot be read, or is not what the manifest says.
        """
        path = self.path / shard.file
        with damage(path), open_input(path) as file:
            status = os.fstat(file.fileno())
            stamp = status.st_size, status.st_mtime_ns, status.st_ino
            settled = abs(time.time() - status.st_mtime_ns / 1e9) > CLOCK_SECONDS  # a later change would show
            known = self._verified.get(shard.file)
            if known and known[0] == stamp and settled and not afresh:
                return OpenShard(path, known[1], None)
            check_size(path, shard, status.st_size)
            data = np.empty(status.st_size, np.uint8)  # in huge pages, where bytes would be as slow as hashing them
            if file.readinto(data.data) != status.st_size or hashlib.sha256(data.data).hexdigest() != shard.sha256:
                raise damaged(path, "does not have the digest in manifest.json")
            opened = OpenShard(path, extents(file), data)
            self._check(shard, opened)
        self._verified[shard.file] = stamp, opened.extents
        return opened

    def _check(self, shard: ShardInfo, opened: OpenShard) -> None:
        """Compare a shard with what the manifest promises of it."""
        info, path = self.info, opened.path
        full = (shard.rows, len(info.variants), info.network.dimension)
        axes = {"embeddings": 3} | dict.fromkeys(RECIPE_COLUMNS, 2)
        for name, extent in opened.extents.items():
            shape = full[1:2] if name == NAMES else full[: axes.get(name, 1)]
            if extent.shape != shape:
                raise damaged(path, f"{name} has shape {extent.shape}", f"{shape}")
            if extent.dtype.kind not in ("iuf" if name in NUMBERS else "S"):
                raise damaged(path, f"{name} is {extent.dtype}")
        storage = str(opened.extents["embeddings"].dtype)
        if storage != info.storage:
            raise damaged(path, f"embeddings are {storage}", info.storage)
        # The first shards of this format do not name their variants.
        held = tuple(opened.array(NAMES).tolist()) if NAMES in opened.extents else info.variants
        if held != info.variants:
            expected = f"{', '.join(info.variants)}, as in {MANIFEST}"
            raise damaged(path, f"holds the variants {', '.join(held)}", expected)

    @_unless_replaced
    def _each(
        self, work: Callable[[OpenShard, slice], T], *, afresh: bool = False, progress: ProgressCallback | None = None
    ) -> list[T]:
        """Do something with every shard and the rows that it holds; a few shards are in memory at once."""
        shards = self.info.shards
        total = sum(shard.bytes for shard in shards)

        def one(shard: ShardInfo, end: int) -> T:
            return work(self.open(shard, afresh=afresh), slice(end - shard.rows, end))

        results, done = [], 0
        threads = min(joblib.cpu_count(), MOST_THREADS, len(shards))
        # Hashing, reading and copying let other threads run.
        with ThreadPoolExecutor(threads) as pool:
            for shard, result in zip(shards, pool.map(one, shards, self._ends), strict=True):
                results.append(result)
                done += shard.bytes
                if progress:
                    progress(done, total)
        return results

    def _table(self, shard: OpenShard) -> pd.DataFrame:
        columns = shard.arrays(ROW_COLUMNS)
        for name, values in shard.arrays(RECIPE_COLUMNS).items():
            columns |= {f"{name}:{variant}": values[:, v] for v, variant in enumerate(self.info.variants) if v}
        return pd.DataFrame(columns)


def open_cache(path: StrPath) -> Cache:
    """Open a finished cache; its embeddings are read and checked when asked for.

    Raises
    ------
    CacheError
        There is no cache, or its manifest is of another format, damaged or inconsistent.
    """
    path = Path(path)
    return Cache(path, read_info(path))
