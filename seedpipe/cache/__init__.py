"""The embedding cache: a folder of HDF5 shards and a ``manifest.json``.

``docs/cache-format.md`` is normative. A shard appears whole or not at all (partial file, fsync, rename, fsync of the
folder); a reader compares every byte that it uses with the digests in the manifest, and the manifest with its own.

Shapes: R rows, V variants (the first is ``clean``), D embedding dimension.
"""

from seedpipe.cache.format import (
    FORMAT,
    LEAST_ENTRY,
    LONGEST,
    MOST_ENTRY,
    OUTPUT,
    RECIPE_COLUMNS,
    CacheInfo,
    CacheKind,
    NetworkInfo,
    Shard,
    ShardInfo,
    expect_real,
    expect_unmasked,
)
from seedpipe.cache.reader import Cache, open_cache
from seedpipe.cache.writer import (
    check_finite,
    finished_shard,
    link_cache,
    publish,
    refuse_other,
    shard_name,
    unpublished,
    write_cache,
    write_shard,
)

__all__ = [
    "FORMAT",
    "LEAST_ENTRY",
    "LONGEST",
    "MOST_ENTRY",
    "OUTPUT",
    "RECIPE_COLUMNS",
    "Cache",
    "CacheInfo",
    "CacheKind",
    "NetworkInfo",
    "Shard",
    "ShardInfo",
    "check_finite",
    "expect_real",
    "expect_unmasked",
    "finished_shard",
    "link_cache",
    "open_cache",
    "publish",
    "refuse_other",
    "shard_name",
    "unpublished",
    "write_cache",
    "write_shard",
]
