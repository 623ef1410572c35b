"""The rows of a cache as a torch dataset, safe in the workers of a DataLoader."""

from __future__ import annotations

import bisect
import itertools
import operator
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from seedpipe.cache.info import CacheInfo
from seedpipe.cache.reader import Reader


class CacheDataset(Dataset[dict[str, Any]]):
    """Rows of a cache, read when asked for.

    An item is a dict: ``embeddings``, a float32 tensor of shape (V, D), ``utterance`` (str) and ``draw`` (int). A
    process verifies a shard before it gives the first row of it, and keeps no file open.
    """

    def __init__(self, path: Path, info: CacheInfo) -> None:
        self.path, self.info = path, info
        self._ends = list(itertools.accumulate(shard.rows for shard in info.shards))
        self._readers: dict[int, Reader] = {}

    def __len__(self) -> int:
        return self.info.rows

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_readers": {}}

    def __getitem__(self, index: int) -> dict[str, Any]:
        row = range(len(self))[operator.index(index)]
        number = bisect.bisect_right(self._ends, row)
        shard = self.info.shards[number]
        opened = self._reader().open(shard)
        names = ("embeddings", "utterance", "draw")
        embeddings, utterance, draw = opened.row(row - self._ends[number] + shard.rows, names)
        return {
            "embeddings": torch.from_numpy(embeddings.astype(np.float32, copy=False)),
            "utterance": utterance.item().decode("utf-8"),
            "draw": draw.item(),
        }

    def _reader(self) -> Reader:
        """The reader of this process: a worker does not trust what its parent verified."""
        pid = os.getpid()
        if pid not in self._readers:
            self._readers = {pid: Reader(self.path, self.info)}
        return self._readers[pid]
