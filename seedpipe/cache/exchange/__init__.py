"""Embeddings to and from the files of other tools: npz and npy, Parquet, Kaldi archives.

Nothing is unpickled, and no command that a file names is run. Each format has one module that reads and writes it;
what can go wrong is said at the functions that are exported here.
"""

from seedpipe.cache.exchange.exporter import export_cache
from seedpipe.cache.exchange.importer import import_cache
from seedpipe.cache.exchange.npz import StoredArray, open_npy, read_npy
from seedpipe.cache.exchange.parquet import read_parquet
from seedpipe.cache.exchange.provenance import Provenance
from seedpipe.cache.exchange.vectors import Vectors, read_vectors, write_vectors

__all__ = [
    "Provenance",
    "StoredArray",
    "Vectors",
    "export_cache",
    "import_cache",
    "open_npy",
    "read_npy",
    "read_parquet",
    "read_vectors",
    "write_vectors",
]
