"""Write embeddings for other tools, one block in memory at a time: what :func:`read_vectors` reads."""

from __future__ import annotations

import contextlib
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from seedpipe.cache.exchange.kaldi import write_entry
from seedpipe.cache.exchange.reader import NUMBERED, Vectors
from seedpipe.errors import ExchangeError, MissingExtraError
from seedpipe.files import whole_file

BLOCK = 65536  # rows
FORMATS = (".npz", ".parquet", ".ark")
Columns: TypeAlias = dict[str, NDArray[Any]]
"""Values by name, one a row each."""
Block: TypeAlias = tuple[Columns, NDArray[np.floating[Any]]]
"""Columns and embeddings (n, ..., D) of some rows."""


def write_vectors(vectors: Vectors) -> list[Path]:
    """Write embeddings to the file that they name, by its extension, in their order.

    Parameters
    ----------
    vectors : Vectors
        ``.npz``: arrays ``embeddings`` (N, D), ``utterance`` and ``draw`` (N,). ``.parquet``: the columns utterance,
        draw and embedding. ``.ark``: Kaldi vectors under the utterance, or ``utterance#draw`` where it has several,
        with an index ``.scp`` beside.

    Returns
    -------
    list of Path
        The files written; each appears whole or not at all.

    Raises
    ------
    ExchangeError
        The extension is unknown, or a name cannot be written in the format.
    MissingExtraError
        Parquet is wanted and pyarrow is not installed.
    """
    out = vectors.path
    check_format(out)
    if out.suffix == ".npz":
        return write_npz(out, vectors.values.shape, _blocks(vectors))
    if out.suffix == ".parquet":
        return write_parquet(out, ("utterance", "draw"), _blocks(vectors))
    return write_kaldi(out, zip(_kaldi_keys(vectors), vectors.values, strict=True))


def check_format(out: Path) -> None:
    """Refuse a file whose extension is none of the formats."""
    if out.suffix not in FORMATS:
        raise ExchangeError(f"has the extension {out.suffix or 'of none'}", expected=", ".join(FORMATS), file=out)


def write_npz(out: Path, shape: tuple[int, ...], blocks: Iterable[Block], **further: NDArray[Any]) -> list[Path]:
    """Write embeddings of a shape, their columns and further arrays; only the columns are held in memory."""
    columns: list[Columns] = []
    with whole_file(out) as partial, zipfile.ZipFile(partial, "w") as archive:
        with _member(archive, "embeddings") as file:
            header = {"descr": "<f4", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            for names, values in blocks:
                file.write(np.ascontiguousarray(values, dtype="<f4").data)
                columns.append(names)
        whole = {name: np.concatenate([some[name] for some in columns]) for name in columns[0]}
        for name, array in (whole | further).items():
            with _member(archive, name) as file:
                np.lib.format.write_array(file, array, allow_pickle=False)
    return [out]


def write_parquet(out: Path, columns: Sequence[str], blocks: Iterable[Block]) -> list[Path]:
    """Write a table with the columns and ``embedding``; the draw is a number, the others are text.

    Raises
    ------
    MissingExtraError
        pyarrow is not installed.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise MissingExtraError("Parquet needs pyarrow", remedy='pip install "seedpipe[parquet]"') from error
    types = {name: pa.int32() if name == "draw" else pa.string() for name in columns}
    schema = pa.schema(types | {"embedding": pa.list_(pa.float32())})
    with whole_file(out) as partial, pq.ParquetWriter(partial, schema) as writer:
        for names, values in blocks:
            ends = np.arange(len(values) + 1, dtype=np.int32) * values.shape[1]
            lists = pa.ListArray.from_arrays(ends, values.astype(np.float32, copy=False).reshape(-1))
            arrays = [pa.array(names[name], types[name]) for name in columns]
            writer.write_table(pa.table([*arrays, lists], schema=schema))
    return [out]


def write_kaldi(out: Path, entries: Iterable[tuple[str, NDArray[Any]]]) -> list[Path]:
    """Write vectors by key into an archive, with its index beside.

    Raises
    ------
    ExchangeError
        A key holds white space.
    """
    index = out.with_suffix(".scp")
    with (
        whole_file(out) as ark_path,
        whole_file(index) as scp_path,
        ark_path.open("wb") as ark,
        scp_path.open("wb") as scp,
    ):
        for key, vector in entries:
            write_entry(ark, scp, str(out), key, vector)
    return [out, index]


@contextlib.contextmanager
def _member(archive: zipfile.ZipFile, name: str) -> Iterator[IO[bytes]]:
    """An array of an .npz file, to be written; without a time, so that equal embeddings give equal files."""
    with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as file:
        yield file


def _blocks(vectors: Vectors) -> Iterator[Block]:
    for first in range(0, len(vectors.keys), BLOCK):
        names, draws = zip(*vectors.keys[first : first + BLOCK], strict=True)
        columns = {"utterance": np.array(names), "draw": np.array(draws, dtype=np.int32)}
        yield columns, vectors.values[first : first + BLOCK]


def _kaldi_keys(vectors: Vectors) -> Iterator[str]:
    draws = Counter(name for name, _ in vectors.keys)
    for name, draw in vectors.keys:
        numbered = draws[name] > 1 or NUMBERED.fullmatch(name)  # a name that ends as a numbered one would mislead
        yield f"{name}#{draw}" if numbered else name
