"""Embeddings to and from the files of other tools: npz and npy, Parquet, Kaldi archives.

Nothing is unpickled, and no command that a file names is run.
"""

from seedpipe.exchange._export import export_cache
from seedpipe.exchange._import import import_cache
from seedpipe.exchange._numpy import read_npy
from seedpipe.exchange._parquet import read_parquet
from seedpipe.exchange._read import Vectors, read_vectors
from seedpipe.exchange._write import write_vectors

__all__ = ["Vectors", "export_cache", "import_cache", "read_npy", "read_parquet", "read_vectors", "write_vectors"]
