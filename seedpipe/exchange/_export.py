"""Write the embeddings of a cache for other tools, one shard in memory at a time."""

from __future__ import annotations

import contextlib
import dataclasses
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from seedpipe.cache import Cache, Shard
from seedpipe.errors import ExchangeError, MissingExtraError
from seedpipe.exchange._kaldi import write_entry
from seedpipe.files import whole_file


def export_cache(cache: Cache, out: Path, *, variant: str = "", mean: bool = False) -> list[Path]:
    """Write the embeddings of a cache to a file, by its extension.

    Parameters
    ----------
    cache : Cache
    out : Path
        ``.npz``: arrays ``embeddings`` (R, V, D), ``utterance``, ``draw`` (R,) and ``variants`` (V,). ``.parquet``: a
        row per row and variant, with the columns utterance, speaker, draw, variant and embedding. ``.ark``: Kaldi
        vectors of one variant under ``utterance#draw``, with an index ``.scp`` beside.
    variant : str
        Only this one; all by default.
    mean : bool
        Kaldi: the mean over the rows of each utterance, under its name.

    Returns
    -------
    list of Path
        The files written; each appears whole or not at all.

    Raises
    ------
    ExchangeError
        The extension or the variant is unknown, or a name cannot be written in the format.
    CacheDamagedError
        A shard is not what was written.
    """
    writers: dict[str, Callable[[Cache, Path, str], list[Path]]] = {
        ".npz": _write_npz,
        ".parquet": _write_parquet,
        ".ark": _write_means if mean else _write_draws,
    }
    if out.suffix not in writers:
        raise ExchangeError(f"has the extension {out.suffix or 'of none'}", expected=", ".join(writers), file=out)
    if mean and out.suffix != ".ark":
        raise ExchangeError("means are for Kaldi archives", expected="an .ark file", file=out)
    if variant and variant not in cache.info.variants:
        raise ExchangeError(
            f"there is no variant {variant!r}", expected=", ".join(cache.info.variants), file=cache.path
        )
    return writers[out.suffix](cache, out, variant)


def _write_npz(cache: Cache, out: Path, variant: str) -> list[Path]:
    info = cache.info
    variants = np.array([variant] if variant else info.variants)
    # Embeddings go out shard by shard; the columns are small.
    utterances, draws = [], []
    with whole_file(out) as partial, zipfile.ZipFile(partial, "w") as archive:
        with _member(archive, "embeddings") as file:
            shape = (info.rows, len(variants), info.network.dimension)
            header = {"descr": "<f4", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            for shard in _chosen(cache, variant):
                file.write(np.ascontiguousarray(shard.embeddings, dtype="<f4").data)
                utterances.append(shard.columns["utterance"])
                draws.append(shard.columns["draw"])
        columns = {"utterance": np.concatenate(utterances), "draw": np.concatenate(draws), "variants": variants}
        for name, values in columns.items():
            with _member(archive, name) as file:
                np.lib.format.write_array(file, values, allow_pickle=False)
    return [out]


def _write_parquet(cache: Cache, out: Path, variant: str) -> list[Path]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise MissingExtraError("Parquet needs pyarrow", remedy='pip install "seedpipe[parquet]"') from error
    text = pa.string()
    columns = {"utterance": text, "speaker": text, "draw": pa.int32(), "variant": text}
    schema = pa.schema(columns | {"embedding": pa.list_(pa.float32())})
    with whole_file(out) as partial, pq.ParquetWriter(partial, schema) as writer:
        for shard in _chosen(cache, variant):
            rows, count, dimension = shard.embeddings.shape
            ends = np.arange(rows * count + 1, dtype=np.int32) * dimension
            arrays: list[Any] = [np.repeat(shard.columns[name], count) for name in ("utterance", "speaker", "draw")]
            arrays += [np.tile(np.array(shard.variants), rows)]
            lists = pa.ListArray.from_arrays(ends, shard.embeddings.reshape(-1))
            writer.write_table(pa.table([pa.array(array) for array in arrays] + [lists], schema=schema))
    return [out]


def _write_draws(cache: Cache, out: Path, variant: str) -> list[Path]:
    return _write_kaldi(cache, out, variant, lambda name, draw: f"{name}#{draw}")


def _write_means(cache: Cache, out: Path, variant: str) -> list[Path]:
    return _write_kaldi(cache, out, variant, None)


def _write_kaldi(cache: Cache, out: Path, variant: str, keyed: Callable[[str, int], str] | None) -> list[Path]:
    variant = variant or (cache.info.variants[0] if len(cache.info.variants) == 1 else "")
    if not variant:
        raise ExchangeError(
            f"a Kaldi archive holds one variant, the cache {len(cache.info.variants)}",
            expected=", ".join(cache.info.variants),
            remedy="choose one with --variant",
            file=cache.path,
        )
    index = out.with_suffix(".scp")
    with (
        whole_file(out) as ark_path,
        whole_file(index) as scp_path,
        ark_path.open("wb") as ark,
        scp_path.open("wb") as scp,
    ):
        for shard in _chosen(cache, variant):
            names, draws = shard.columns["utterance"].tolist(), shard.columns["draw"].tolist()
            vectors = shard.embeddings[:, 0]
            entries = _means(names, vectors) if keyed is None else zip(map(keyed, names, draws), vectors, strict=True)
            for key, vector in entries:
                write_entry(ark, scp, str(out), key, vector)
    return [out, index]


def _means(names: list[str], vectors: NDArray[Any]) -> Iterator[tuple[str, NDArray[Any]]]:
    """Mean over the rows of each utterance, which are neighbours in one shard."""
    first = 0
    for last in range(1, len(names) + 1):
        if last == len(names) or names[last] != names[first]:
            yield names[first], vectors[first:last].mean(axis=0)
            first = last


def _chosen(cache: Cache, variant: str) -> Iterable[Shard]:
    """The shards, restricted to one variant where it is named."""
    for shard in cache.shards():
        if not variant:
            yield shard
            continue
        number = shard.variants.index(variant)
        yield dataclasses.replace(shard, embeddings=shard.embeddings[:, number : number + 1], variants=(variant,))


@contextlib.contextmanager
def _member(archive: zipfile.ZipFile, name: str) -> Iterator[IO[bytes]]:
    """An array of an .npz file, to be written; without a time, so that equal caches give equal files."""
    with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as file:
        yield file
