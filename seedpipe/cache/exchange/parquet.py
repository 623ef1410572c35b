"""Tables in Parquet files, whose counts are held against the size of the file before anything is made."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from seedpipe.cache.exchange.npz import readable
from seedpipe.errors import MissingExtraError
from seedpipe.files import most_unpacked

WIDEST = 8  # bytes of a number


def read_parquet(path: Path, wanted: Collection[str] | None = None, expected: str = "embeddings") -> Any:
    """Read a pyarrow table: those of the wanted columns that there are, or all.

    Raises
    ------
    ExchangeError
        The file cannot be read, or unpacks to far more than it holds.
    MissingExtraError
        pyarrow is not installed.
    """
    try:
        import pyarrow.parquet as pq
    except ImportError as error:
        raise MissingExtraError("Parquet needs pyarrow", remedy='pip install "seedpipe[parquet]"') from error
    with readable(path, expected), pq.ParquetFile(path) as file:
        groups = [file.metadata.row_group(number) for number in range(file.metadata.num_row_groups)]
        columns = [group.column(number) for group in groups for number in range(group.num_columns)]
        # A repeated value takes no room in the file, and all of it in memory.
        claimed = sum(max(column.total_uncompressed_size, WIDEST * column.num_values) for column in columns)
        if max(claimed, file.metadata.num_rows) > most_unpacked(path.stat().st_size):
            raise ValueError(f"{path.stat().st_size:,} bytes unpack to {claimed:,}")
        names = file.schema_arrow.names
        return file.read(columns=[name for name in names if wanted is None or name in wanted])
