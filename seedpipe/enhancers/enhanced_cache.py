"""A cache through an enhancer: its shards enhanced as they are read, and the cache that is written of them.

Shapes: R rows, V variants, D embedding dimension.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from seedpipe import cache
from seedpipe.cache import Cache, CacheInfo, NetworkInfo, Shard
from seedpipe.enhancers.base import CONFIG, WEIGHTS
from seedpipe.files import file_digest

if TYPE_CHECKING:
    from seedpipe.console import ProgressCallback

Apply: TypeAlias = Callable[[NDArray[np.float32]], NDArray[np.float32]]


class EnhancedShards:
    """The shards of a cache as an enhancer sees them: embeddings are enhanced when a shard is read.

    Attributes
    ----------
    path : Path
        Of the cache that is enhanced.
    info : CacheInfo
        Its provenance.
    """

    def __init__(self, source: Cache, apply: Apply, progress: ProgressCallback | None) -> None:
        self.path, self.info = source.path, source.info
        self._source, self._apply, self._progress = source, apply, progress

    def shards(self) -> Iterator[Shard]:
        """The contents, one shard at a time, in order; embeddings as float32, of unit length."""
        variants, done = len(self.info.variants), 0
        for shard in self._source.shards():
            yield dataclasses.replace(shard, embeddings=self._apply(shard.embeddings.astype(np.float32, copy=False)))
            done += len(shard.embeddings) * variants
            if self._progress:
                self._progress(done, self.info.rows * variants)

    def write(self, info: CacheInfo, out: Path) -> None:
        """Write it as a cache of its own, whole or not at all, in the place of an older one."""
        shards = (dataclasses.replace(shard, key=info.fingerprint) for shard in self.shards())
        failures = self.path / "failures.jsonl" if info.skipped else None
        cache.write_cache(out, dict(info), shards, failures=failures)


def enhanced_info(info: CacheInfo, model: Path, kind: str, settings: Mapping[str, object]) -> CacheInfo:
    """Provenance of an enhanced cache: of a network of its own, so that no model takes it for one to enhance.

    Parameters
    ----------
    info : CacheInfo
        Of the cache that was enhanced.
    model : Path
        Model folder.
    kind : str
        Kind of the enhancer.
    settings : mapping
        How it was used, but for what is as the model says.
    """
    network = enhanced_network(info.network, model, kind, settings)
    return info.model_copy(
        update={
            "network": network,
            "storage": "float32",
            "features": info.features | {"enhancer": kind, "enhancer_settings": json.dumps(settings)},
            "fingerprint": digest([info.fingerprint, network.fingerprint]),
        }
    )


def enhanced_network(network: NetworkInfo, model: Path, kind: str, settings: Mapping[str, object]) -> NetworkInfo:
    """A network of its own for what a model makes of the embeddings of another."""
    files = [file_digest(model / name) for name in (CONFIG, WEIGHTS)]
    fingerprint = digest([network.fingerprint, files, settings])
    update = {"name": f"{network.name}+{kind}", "fingerprint": fingerprint, "self_test": ()}
    return network.model_copy(update=update)


def check_replaceable(out: Path) -> None:
    """Refuse to replace anything but an enhanced cache."""
    cache.refuse_other(out, "enhancer", "holds a cache that was not made by seedpipe enhance")


def digest(parts: object) -> str:
    """SHA-256 of plain data."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
