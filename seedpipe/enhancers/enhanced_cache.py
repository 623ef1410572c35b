"""A cache through an enhancer: its shards enhanced as they are read, and the cache that is written of them.

Shapes: R rows, V variants, D embedding dimension.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from seedpipe import cache
from seedpipe.cache import Cache, CacheInfo, Shard

if TYPE_CHECKING:
    from seedpipe.console import ProgressCallback

Apply: TypeAlias = Callable[[NDArray[np.float32]], NDArray[np.float32]]


class EnhancedCache(Cache):
    """A cache as an enhancer sees it: the embeddings of a shard are enhanced when it is read."""

    def __init__(self, source: Cache, apply: Apply, progress: ProgressCallback | None) -> None:
        super().__init__(source.path, source.info)
        self._apply, self._progress, self._done = apply, progress, 0

    def shard(self, number: int) -> Shard:
        """The contents of one shard; embeddings as float32, of unit length."""
        shard = super().shard(number)
        enhanced = dataclasses.replace(shard, embeddings=self._apply(shard.embeddings.astype(np.float32, copy=False)))
        variants = len(self.info.variants)
        self._done += len(shard.embeddings) * variants
        if self._progress:
            self._progress(self._done, self.info.rows * variants)
        return enhanced

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
    files = [path for path in sorted(model.iterdir()) if path.suffix in (".json", ".safetensors")]
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]
    fingerprint = digest([info.network.fingerprint, digests, settings])
    network = {"name": f"{info.network.name}+{kind}", "fingerprint": fingerprint, "self_test": ()}
    return info.model_copy(
        update={
            "network": info.network.model_copy(update=network),
            "storage": "float32",
            "features": info.features | {"enhancer": kind, "enhancer_settings": json.dumps(settings)},
            "fingerprint": digest([info.fingerprint, fingerprint]),
        }
    )


def check_replaceable(out: Path) -> None:
    """Refuse to replace anything but an enhanced cache."""
    cache.refuse_other(out, "enhancer", "holds a cache that was not made by seedpipe enhance")


def digest(parts: object) -> str:
    """SHA-256 of plain data."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
