"""Where the utterances of a cache come from: speech that is held out for a judgement should be of another source.

A source is the first folder in which the names differ: a corpus where there are several, a speaker in a corpus of one
folder for each, and an utterance where all lie in one folder.
"""

from __future__ import annotations

from itertools import takewhile
from pathlib import PurePosixPath

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from seedpipe.cache import Cache


def sources(cache: Cache) -> Tensor:
    """Number of the source of each utterance, int64 of shape (U,), in the order of the cache."""
    folders = [PurePosixPath(_file(name)).parts for name in _utterances(cache)["utterance"]]
    shared = sum(1 for _ in takewhile(lambda parts: len(set(parts)) == 1, zip(*folders, strict=False)))
    return _numbered([parts[shared] if len(parts) > shared else "" for parts in folders])


def speakers_or_files(cache: Cache) -> Tensor:
    """Number of the speaker of each utterance where the cache knows all of them, else of its file, shape (U,)."""
    table = _utterances(cache)
    if (table["speaker"] != "").all():
        return _numbered(table["speaker"].tolist())
    return _numbered([_file(name) for name in table["utterance"]])


def halves(sources: Tensor) -> tuple[Tensor, Tensor]:
    """Whole sources in two halves of utterances as even as can be: two masks (U,), one the reverse of the other."""
    numbers, counts = torch.unique(sources, return_counts=True)
    largest_first = torch.argsort(counts, descending=True, stable=True)
    chosen: list[int] = []
    balance = 0
    for number in largest_first.tolist():
        if balance <= 0:
            chosen.append(int(numbers[number]))
        balance += int(counts[number]) * (1 if balance <= 0 else -1)
    first = torch.isin(sources, torch.tensor(chosen))
    return first, ~first


def _utterances(cache: Cache) -> pd.DataFrame:
    """Name and speaker of each utterance; its rows are neighbours."""
    columns = [
        pd.DataFrame({name: shard.columns[name] for name in ("utterance", "speaker")}) for shard in cache.shards()
    ]
    table = pd.concat(columns, ignore_index=True)
    return table[table["utterance"] != table["utterance"].shift()]


def _file(utterance: str) -> str:
    """The file of an utterance: what stands before the borders of a segment."""
    return utterance.rpartition("#")[0] or utterance


def _numbered(names: list[str]) -> Tensor:
    return torch.from_numpy(
        np.unique(np.array(names, dtype=object).astype(str), return_inverse=True)[1].astype(np.int64)
    )
