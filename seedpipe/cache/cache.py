"""A finished cache, for those who read it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import joblib
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seedpipe.cache.hdf5 import RECIPE_COLUMNS, ROW_COLUMNS, Shard
from seedpipe.cache.info import MANIFEST, CacheInfo, NetworkInfo, ShardInfo, read_info
from seedpipe.cache.reader import OpenShard, Reader, damaged
from seedpipe.errors import CacheMismatchError

if TYPE_CHECKING:
    import torch

    from seedpipe.cache.dataset import CacheDataset
    from seedpipe.console import ProgressCallback

T = TypeVar("T")
MOST_THREADS = 8  # each holds one shard in memory


class Cache:
    """A finished cache, opened with :func:`open_cache`.

    Every byte that is read was compared with the digests in the manifest, once per object as long as the size, the time
    of modification and the inode of a shard stay what they were.

    Attributes
    ----------
    path : Path
    info : CacheInfo
    """

    def __init__(self, path: Path, info: CacheInfo) -> None:
        self.path, self.info = path, info
        self._reader = Reader(path, info)

    def __repr__(self) -> str:
        info = self.info
        shape = f"{info.rows:,} rows x {len(info.variants)} variants ({', '.join(info.variants)})"
        storage = "" if info.storage == "float32" else f", {info.storage}"
        dimension, name = info.network.dimension, info.network.name
        return f"<Cache {self.path}: {shape} x {dimension}-d{storage}, network {name}, {info.kind}>"

    def __len__(self) -> int:
        return self.info.rows

    def expect(self, *, network: NetworkInfo | None = None, kind: str | None = None) -> Cache:
        """Refuse a cache of another network or kind.

        Raises
        ------
        CacheMismatchError
            The text names the field that differs.
        """
        if kind is not None and kind != self.info.kind:
            raise self._mismatch("kind", self.info.kind, kind)
        if network is not None:
            for field in ("name", "dimension", "fingerprint"):
                found, expected = getattr(self.info.network, field), getattr(network, field)
                if found != expected:
                    raise self._mismatch(f"network {field}", found, expected)
        return self

    def to_numpy(self) -> NDArray[np.float32]:
        """Read all embeddings, shape (R, V, D), float32 whatever the storage.

        Raises
        ------
        CacheDamagedError
            A shard is missing or differs from what was written.
        """
        info = self.info
        self._reader.check_sizes()
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

    def run(self, shard: int, start: int, stop: int) -> NDArray[np.float32]:
        """Embeddings of a run of rows of one shard, shape (stop - start, V, D), float32 whatever the storage."""
        opened = self._reader.open(self.info.shards[shard])
        return opened.run("embeddings", start, stop).astype(np.float32, copy=False)

    def shard(self, number: int) -> Shard:
        """The contents of one shard; embeddings as float32."""
        info = self.info.shards[number]
        shard = self._reader.open(info)
        columns = {name: shard.array(name) for name in (*ROW_COLUMNS, *RECIPE_COLUMNS)}
        embeddings = shard.array("embeddings").astype(np.float32, copy=False)
        return Shard(embeddings, self.info.variants, columns, info.key)

    def shards(self) -> Iterator[Shard]:
        """The contents, one shard at a time, in order."""
        return (self.shard(number) for number in range(len(self.info.shards)))

    def dataset(self) -> CacheDataset:
        """The rows as a torch dataset, for caches that do not fit into memory; see :meth:`to_torch` for others."""
        from seedpipe.cache.dataset import CacheDataset

        return CacheDataset(self.path, self.info)

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

    def _each(
        self,
        work: Callable[[OpenShard, slice], T],
        *,
        afresh: bool = False,
        progress: ProgressCallback | None = None,
    ) -> list[T]:
        """Do something with every shard and the rows that it holds; a few shards are in memory at once."""
        shards = self.info.shards
        ends = list(itertools.accumulate(shard.rows for shard in shards))
        total = sum(shard.bytes for shard in shards)

        def one(shard: ShardInfo, end: int) -> T:
            return work(self._reader.open(shard, afresh=afresh), slice(end - shard.rows, end))

        results, done = [], 0
        threads = min(joblib.cpu_count(), MOST_THREADS, len(shards))
        # Hashing, reading and copying let other threads run.
        with ThreadPoolExecutor(threads) as pool:
            for shard, result in zip(shards, pool.map(one, shards, ends), strict=True):
                results.append(result)
                done += shard.bytes
                if progress:
                    progress(done, total)
        return results

    def _table(self, shard: OpenShard) -> pd.DataFrame:
        columns = {name: shard.array(name) for name in ROW_COLUMNS}
        for name in RECIPE_COLUMNS:
            values = shard.array(name)
            columns |= {f"{name}:{variant}": values[:, v] for v, variant in enumerate(self.info.variants) if v}
        return pd.DataFrame(columns)

    def _mismatch(self, field: str, found: object, expected: object) -> CacheMismatchError:
        return CacheMismatchError(
            f"{field} is {found!r}",
            expected=repr(expected),
            remedy="extract the cache with the wanted network, or use the model that was trained for this one",
            file=self.path / MANIFEST,
        )


def open_cache(path: Path | str) -> Cache:
    """Open a finished cache; its embeddings are read and checked when asked for.

    Raises
    ------
    CacheError
        There is no cache, or its manifest is of another format, damaged or inconsistent.
    """
    path = Path(path)
    return Cache(path, read_info(path))
