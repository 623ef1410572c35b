"""The rows of a cache as a torch dataset, safe in the workers of a DataLoader."""

from __future__ import annotations

import functools
import operator
import os
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.data import Dataset

if TYPE_CHECKING:
    from seedpipe.cache.reader import Cache


class CacheDataset(Dataset[dict[str, Any]]):
    """Rows of a cache, read when asked for.

    An item is a dict: ``embeddings``, a float32 tensor of shape (V, D), ``utterance`` (str) and ``draw`` (int). A
    process verifies a shard before it gives the first row of it, and keeps no file open.
    """

    def __init__(self, cache: Cache) -> None:
        self.path, self.info = cache.path, cache.info
        self._open = functools.partial(type(cache), cache.path, cache.info)
        self._caches: dict[int, Cache] = {}

    def __len__(self) -> int:
        return self.info.rows

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_caches": {}}

    def __getitem__(self, index: int) -> dict[str, Any]:
        row = range(len(self))[operator.index(index)]
        found = self._cache().row(row, ("embeddings", "utterance", "draw"))
        return {
            "embeddings": torch.tensor(found["embeddings"], dtype=torch.float32),
            "utterance": str(found["utterance"]),
            "draw": int(found["draw"]),
        }

    def _cache(self) -> Cache:
        """The cache as this process knows it: a worker does not trust what its parent verified."""
        pid = os.getpid()
        if pid not in self._caches:
            self._caches = {pid: self._open()}
        return self._caches[pid]
