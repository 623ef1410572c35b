"""Write named vectors for other tools: what :func:`read_vectors` reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

from seedpipe.errors import ExchangeError, MissingExtraError
from seedpipe.exchange._kaldi import write_entry
from seedpipe.exchange._read import NUMBERED, Vectors
from seedpipe.files import whole_file

BLOCK = 65536  # rows


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
    writers: dict[str, Callable[[Vectors], list[Path]]] = {
        ".npz": _write_npz,
        ".parquet": _write_parquet,
        ".ark": _write_kaldi,
    }
    out = vectors.path
    if out.suffix not in writers:
        raise ExchangeError(f"has the extension {out.suffix or 'of none'}", expected=", ".join(writers), file=out)
    return writers[out.suffix](vectors)


def _write_npz(vectors: Vectors) -> list[Path]:
    names, draws = zip(*vectors.keys, strict=True)
    values = vectors.values.astype("<f4", copy=False)
    with whole_file(vectors.path) as partial, partial.open("wb") as file:
        np.savez(file, embeddings=values, utterance=np.array(names), draw=np.array(draws, dtype=np.int32))
    return [vectors.path]


def _write_parquet(vectors: Vectors) -> list[Path]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise MissingExtraError("Parquet needs pyarrow", remedy='pip install "seedpipe[parquet]"') from error
    schema = pa.schema({"utterance": pa.string(), "draw": pa.int32(), "embedding": pa.list_(pa.float32())})
    with whole_file(vectors.path) as partial, pq.ParquetWriter(partial, schema) as writer:
        for first in range(0, len(vectors.keys), BLOCK):
            names, draws = zip(*vectors.keys[first : first + BLOCK], strict=True)
            values = vectors.values[first : first + BLOCK].astype(np.float32, copy=False)
            ends = np.arange(len(values) + 1, dtype=np.int32) * values.shape[1]
            lists = pa.ListArray.from_arrays(ends, values.reshape(-1))
            writer.write_table(pa.table([pa.array(names), pa.array(draws, pa.int32()), lists], schema=schema))
    return [vectors.path]


def _write_kaldi(vectors: Vectors) -> list[Path]:
    out, index = vectors.path, vectors.path.with_suffix(".scp")
    draws = Counter(name for name, _ in vectors.keys)
    with (
        whole_file(out) as ark_path,
        whole_file(index) as scp_path,
        ark_path.open("wb") as ark,
        scp_path.open("wb") as scp,
    ):
        for (name, draw), vector in zip(vectors.keys, vectors.values, strict=True):
            numbered = draws[name] > 1 or NUMBERED.fullmatch(name)  # a name that ends as a numbered one would mislead
            write_entry(ark, scp, str(out), f"{name}#{draw}" if numbered else name, vector)
    return [out, index]
