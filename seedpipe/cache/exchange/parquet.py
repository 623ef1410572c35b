"""Tables in Parquet files, whose counts are held against the size of the file before anything is made."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seedpipe.cache.exchange.npz import Block, readable
from seedpipe.cache.exchange.provenance import SAYS, Provenance
from seedpipe.errors import ExchangeError, MissingExtraError, counted, install
from seedpipe.files import StrPath, most_unpacked, steady_input, whole_file

WIDEST = 8  # bytes of a number


def read_parquet(path: StrPath, wanted: Collection[str] | None = None, expected: str = "embeddings") -> Any:
    """Read a pyarrow table: those of the wanted columns that there are, or all.

    Raises
    ------
    ExchangeError
        The file cannot be read, or unpacks to far more than it holds.
    MissingExtraError
        pyarrow is not installed.
    """
    path, (_, pq) = Path(path), _pyarrow()
    with (
        readable(path, expected),
        steady_input(path) as handle,
        pq.ParquetFile(handle, page_checksum_verification=True) as file,  # of those pages that state theirs, as ours do
    ):
        groups = [file.metadata.row_group(number) for number in range(file.metadata.num_row_groups)]
        columns = [group.column(number) for group in groups for number in range(group.num_columns)]
        # A repeated value takes no room in the file, and all of it in memory.
        claimed = sum(max(column.total_uncompressed_size, WIDEST * column.num_values) for column in columns)
        size = os.fstat(handle.fileno()).st_size
        if max(claimed, file.metadata.num_rows) > most_unpacked(size):
            raise ValueError(f"{counted(size, 'byte', 'unpacks/unpack')} to {claimed:,}")
        names = file.schema_arrow.names
        return file.read(columns=[name for name in names if wanted is None or name in wanted])


def embedding_column(path: Path, table: Any, names: Sequence[object]) -> NDArray[Any]:
    """The column ``embedding`` of a table as an array (N, D); each row says by itself how many values it has.

    Raises
    ------
    ExchangeError
        The column holds no lists, or a row is null, empty or of another length: the row and its utterance.
    """
    pa, _ = _pyarrow()
    import pyarrow.compute as pc

    column = table["embedding"].combine_chunks()
    kinds = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    if not any(is_kind(column.type) for is_kind in kinds):
        found = f"the column embedding holds {column.type}"
        raise ExchangeError(found, expected="a list of numbers in each row", file=path)
    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
    null = column.is_null().to_numpy(zero_copy_only=False)
    dimension = int(lengths[lengths > 0][0]) if lengths.any() else 0
    if (wrong := np.flatnonzero(null | (lengths != dimension))).size:
        first = int(wrong[0])
        what = "null" if null[first] else counted(lengths[first], "value")
        raise ExchangeError(
            f"{counted(wrong.size, 'row', 'has/have', of=len(lengths))} no embedding of {counted(dimension, 'value')}; "
            f"that of {names[first]} is {what}",
            expected="as many values in every row",
            remedy="leave these rows out, and their utterances out of the list, or extract them again",
            file=path,
            row=first + 1,
        )
    values = column.flatten().to_numpy(zero_copy_only=False)
    return np.asarray(values).reshape(len(lengths), dimension)


def write_parquet(
    out: Path, columns: Sequence[str], blocks: Iterable[Block], provenance: Provenance | None = None
) -> list[Path]:
    """Write a table with the columns and ``embedding``; the draw is a number, the others are text."""
    pa, pq = _pyarrow()
    types = {name: pa.int32() if name == "draw" else pa.string() for name in columns}
    said = {SAYS: provenance.to_json()} if provenance else None
    schema = pa.schema(types | {"embedding": pa.list_(pa.float32())}, metadata=said)
    with whole_file(out) as partial, pq.ParquetWriter(partial, schema, write_page_checksum=True) as writer:
        for names, values in blocks:
            ends = np.arange(len(values) + 1, dtype=np.int32) * values.shape[1]
            lists = pa.ListArray.from_arrays(ends, values.astype(np.float32, copy=False).reshape(-1))
            arrays = [pa.array(names[name], types[name]) for name in columns]
            writer.write_table(pa.table([*arrays, lists], schema=schema))
    return [out]


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtraError("Parquet needs pyarrow", remedy=install("parquet")) from error
    return pyarrow, pyarrow.parquet
