"""Write the embeddings of a cache for other tools, one shard in memory at a time."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from seedpipe.cache import CacheInfo, Shard
from seedpipe.cache.exchange.kaldi import write_kaldi
from seedpipe.cache.exchange.npz import Block, write_npy, write_npz
from seedpipe.cache.exchange.parquet import write_parquet
from seedpipe.cache.exchange.provenance import Provenance
from seedpipe.cache.exchange.vectors import WRITTEN, check_extension
from seedpipe.errors import ExchangeError
from seedpipe.files import StrPath


class Shards(Protocol):
    """What is exported: a :class:`~seedpipe.cache.Cache`, or one whose embeddings are enhanced as they are read."""

    path: Path
    info: CacheInfo

    def shards(self) -> Iterator[Shard]:
        """The contents, one shard at a time, in order."""


def export_cache(
    cache: Shards, out: StrPath, *, variant: str = "", mean: bool = False, provenance: Provenance | None = None
) -> list[Path]:
    """Write the embeddings of a cache to a file, by its extension.

    Parameters
    ----------
    cache : Shards
    out : Path
        ``.npz``: arrays ``embeddings`` (R, V, D), ``utterance``, ``draw`` (R,) and ``variants`` (V,). ``.npy``: an
        array (R, D) of one variant, with the utterance of each row in a ``.txt`` beside. ``.parquet``: a row per row
        and variant, with the columns utterance, speaker, draw, variant and embedding. ``.ark``: Kaldi vectors of one
        variant under ``utterance#draw``, with an index ``.scp`` beside.
    variant : str
        Only this one; all by default.
    mean : bool
        Kaldi: the mean over the rows of each utterance, under its name.
    provenance : Provenance, optional
        What made the embeddings, which ``.npz`` and ``.parquet`` say; by default what the cache says.

    Returns
    -------
    list of Path
        The files written; each appears whole or not at all.

    Raises
    ------
    ExchangeError
        The extension or the variant is unknown, or a name cannot be written in the format.
    MissingExtraError
        Parquet is wanted and pyarrow is not installed.
    CacheDamagedError
        A shard is not what was written.
    """
    out = Path(out)
    check_extension(out, (*WRITTEN, ".npy"))
    if mean and out.suffix != ".ark":
        raise ExchangeError("means are for Kaldi archives", expected="an .ark file", file=out)
    if variant and variant not in cache.info.variants:
        raise ExchangeError(
            f"there is no variant {variant!r}", expected=", ".join(cache.info.variants), file=cache.path
        )
    variants = (variant,) if variant else cache.info.variants
    if out.suffix in (".ark", ".npy") and len(variants) > 1:
        raise ExchangeError(
            f"an {out.suffix} file holds one variant, the cache {len(variants)}",
            expected=", ".join(variants),
            remedy="choose one with --variant",
            file=cache.path,
        )
    shards, said = _chosen(cache, variant), provenance or Provenance.of_cache(cache.info)
    if out.suffix == ".npz":
        shape = (cache.info.rows, len(variants), cache.info.network.dimension)
        return write_npz(out, shape, _rows(shards), said, variants=np.array(variants))
    if out.suffix == ".npy":
        return write_npy(out, (cache.info.rows, cache.info.network.dimension), _rows(shards))
    if out.suffix == ".parquet":
        return write_parquet(out, ("utterance", "speaker", "draw", "variant"), _rows_and_variants(shards), said)
    return write_kaldi(out, _entries(shards, mean=mean))


def _rows(shards: Iterable[Shard]) -> Iterator[Block]:
    for shard in shards:
        yield {name: shard.columns[name] for name in ("utterance", "draw")}, shard.embeddings


def _rows_and_variants(shards: Iterable[Shard]) -> Iterator[Block]:
    for shard in shards:
        rows, count, _ = shard.embeddings.shape
        columns = {name: np.repeat(shard.columns[name], count) for name in ("utterance", "speaker", "draw")}
        yield columns | {"variant": np.tile(np.array(shard.variants), rows)}, shard.embeddings.reshape(rows * count, -1)


def _entries(shards: Iterable[Shard], *, mean: bool) -> Iterator[tuple[str, NDArray[Any]]]:
    for shard in shards:
        names, vectors = shard.columns["utterance"].tolist(), shard.embeddings[:, 0]
        keys = (f"{name}#{draw}" for name, draw in zip(names, shard.columns["draw"], strict=True))
        yield from _means(names, vectors) if mean else zip(keys, vectors, strict=True)


def _means(names: list[str], vectors: NDArray[Any]) -> Iterator[tuple[str, NDArray[Any]]]:
    """Mean over the rows of each utterance, which are neighbours in one shard."""
    first = 0
    for last in range(1, len(names) + 1):
        if last == len(names) or names[last] != names[first]:
            yield names[first], vectors[first:last].mean(axis=0)
            first = last


def _chosen(cache: Shards, variant: str) -> Iterable[Shard]:
    """The shards, restricted to one variant where it is named."""
    for shard in cache.shards():
        if not variant:
            yield shard
            continue
        number = shard.variants.index(variant)
        yield dataclasses.replace(shard, embeddings=shard.embeddings[:, number : number + 1], variants=(variant,))
