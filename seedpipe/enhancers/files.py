"""Enhance what lies in files: arrays, named vectors, caches, and audio by way of its speaker network.

An array is worked on block by block and a cache shard by shard, so that memory does not grow with their size; named
vectors are in memory as a whole, as their readers leave them. Results appear whole or not at all.

Shapes: R rows, V variants, D embedding dimension.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from seedpipe import cache
from seedpipe.audio import listing
from seedpipe.audio.source import EXTENSIONS
from seedpipe.cache import Cache
from seedpipe.cache.exchange import Provenance, Vectors, export_cache, open_npy, read_vectors, write_vectors
from seedpipe.cache.exchange.provenance import expect_same
from seedpipe.console import shown
from seedpipe.enhancers.audio import audio_remarks, clean_embeddings, expect_network
from seedpipe.enhancers.base import EmbeddingEnhancer
from seedpipe.enhancers.enhanced_cache import (
    Apply,
    EnhancedShards,
    check_replaceable,
    enhanced_info,
    enhanced_network,
)
from seedpipe.enhancers.registry import load_enhancer
from seedpipe.enhancers.seed import WITHOUT_NETWORK, Enhancer
from seedpipe.errors import CacheError, ExchangeError, ModelError, counted
from seedpipe.files import StrPath, whole_file
from seedpipe.params import Params
from seedpipe.workers import choose_device

if TYPE_CHECKING:
    from seedpipe.console import ProgressCallback, Shown

FILES = (".npy", ".npz", ".parquet", ".ark")
BLOCK_ROWS = 16_384  # whole blocks of the enhancer, so that noise is drawn as it would be for all rows at once


@dataclass(frozen=True)
class Use:
    """How a model is used; what is None is as the model says.

    Parameters
    ----------
    t, steps, ensemble, noise
        As in :meth:`seedpipe.enhancers.seed.Enhancer.__call__`.
    seed : int, optional
        Of the noise, where it is sampled; 0 unless given.
    """

    t: int | None = None
    steps: int | None = None
    ensemble: float | None = None
    noise: Literal["zero", "sampled"] | int | None = None
    seed: int | None = None

    def settings(self) -> dict[str, Any]:
        """What is not as the model says, and the seed."""
        return {name: value for name, value in (vars(self) | {"seed": self.seed or 0}).items() if value is not None}

    def of(self, enhancer: EmbeddingEnhancer) -> Apply:
        """The enhancer under these settings; one call after the other draws from one generator.

        Raises
        ------
        ModelError
            A setting is impossible, or the enhancer has no such settings.
        """
        settings = {name: value for name, value in self.settings().items() if name != "seed"}
        generator = torch.Generator().manual_seed(self.seed or 0)
        if settings and not isinstance(enhancer, Enhancer):
            raise ModelError(
                f"an enhancer of the kind {enhancer.kind} has no {' and no '.join(settings)}",
                expected="a model with diffusion for these",
                remedy="leave them out",
            )
        if self.seed is not None and not self._samples(enhancer):
            raise ModelError(
                f"there is no noise to be seeded with {self.seed}",
                expected="a seed where noise is sampled",
                remedy="leave the seed out, or ask for sampled noise",
            )
        apply: Apply = functools.partial(enhancer, generator=generator, **settings)
        apply(np.empty((0, enhancer.dimension), np.float32))
        return apply

    def _samples(self, enhancer: EmbeddingEnhancer) -> bool:
        """Whether noise is sampled under these settings, as they are asked for or as the model says."""
        if self.noise is not None:
            return self.noise != "zero"
        if not isinstance(enhancer, Enhancer) or enhancer.config.use in WITHOUT_NETWORK:
            return False
        return enhancer.config.train.inference_noise == "sampled"


@dataclass(frozen=True)
class Enhanced:
    """What was written: so many rows of length D."""

    files: tuple[Path, ...]
    """The files, or the folder of a cache."""
    rows: int
    dimension: int
    seconds: float = 0.0
    """Time from the loaded model to the written result."""
    remarks: tuple[str, ...] = ()
    """What a person should know of the audio."""


def enhance_file(
    model: StrPath,
    source: StrPath,
    out: StrPath,
    use: Use | None = None,
    *,
    ids: StrPath | None = None,
    network: str | None = None,
    params: Params | None = None,
    progress: ProgressCallback | Shown | None = "shown",
) -> Enhanced:
    """Enhance the embeddings of a file, a cache or audio.

    Parameters
    ----------
    model : str or PathLike
        Model folder.
    source : str or PathLike
        ``.npy``, shape (..., D); ``.npz``, ``.parquet``, Kaldi ``.ark`` or ``.scp``, see
        :func:`seedpipe.cache.exchange.read_vectors`; the folder of a cache; an audio file or a folder of them.
    out : str or PathLike
        ``.npy``, ``.npz``, ``.parquet`` or ``.ark`` (with an index ``.scp`` beside); without an extension the folder of
        a cache, from a cache or from audio. Only ``.npy`` has no names.
    use : Use, optional
    ids : str or PathLike, optional
        For ``.npy`` into a file with names: the name of each row, one a line.
    network : str, optional
        What embeds the audio: see :func:`seedpipe.networks.load_network`. It must be the one of the model.
    params : Params, optional
        The device as in ``machine``; for audio, crops, front end and precision as in ``extract``, too, and workers.
    progress : callable or None
        Called with embeddings done and embeddings in all; a bar by default, None for silence.

    Raises
    ------
    ModelError
        There is no model, it takes embeddings of another dimension, or a setting is impossible.
    ExchangeError
        A file cannot be read, says that another network made its embeddings or that they are enhanced, or the result
        cannot be written in the wanted form.
    CacheMismatchError
        The cache was made by another network than that of the model.
    NetworkError
        ``network`` is not that of the model.
    AudioError
        A file cannot be used.
    """
    params = params or Params()
    model, source, out, ids = Path(model), Path(source), Path(out), None if ids is None else Path(ids)
    _check_out(out)
    enhancer = load_enhancer(model, choose_device(params.machine.device))
    bar = shown(progress, "enhance", "embeddings" if network is None else "utterances")
    work = _Enhancement(model, enhancer, use or Use(), out, bar)
    started = time.monotonic()
    if network is not None:
        result = work.of_audio(source, network, params)
    elif source.is_dir() or not source.suffix:
        found = _cache(source)
        work.enhancer.expect(found)
        result = work.of_cache(found)
    elif not out.suffix:
        expected, remedy = ", ".join(FILES), "a cache is made from a cache or from audio"
        raise ExchangeError("has no extension", expected=expected, remedy=remedy, file=out)
    elif source.suffix.lower() in EXTENSIONS:
        raise ExchangeError("is audio", expected="embeddings", remedy="give the network, with --network", file=source)
    elif (source.suffix, ids, out.suffix) == (".npy", None, ".npy"):
        result = work.of_array(source)
    else:
        result = work.of_vectors(read_vectors(source, ids))
    return dataclasses.replace(result, seconds=time.monotonic() - started)


@dataclass(frozen=True)
class _Enhancement:
    """A model, how it is used, and where the result goes."""

    model: Path
    enhancer: EmbeddingEnhancer
    use: Use
    out: Path
    progress: ProgressCallback | None

    def __post_init__(self) -> None:
        self.use.of(self.enhancer)  # impossible settings are met before anything is read

    def of_array(self, source: Path) -> Enhanced:
        """Enhance an .npy file, one block in memory at a time."""
        with whole_file(self.out) as partial, open_npy(source) as array:
            shape, rows = array.shape, math.prod(array.shape[:-1])
            if array.dtype.kind != "f":
                found = f"holds values of the type {array.dtype}"
                raise ExchangeError(found, expected="floating-point numbers", file=source)
            if shape[-1:] != (self.enhancer.dimension,):
                self.use.of(self.enhancer)(np.broadcast_to(np.float32(0), shape))  # which refuses it as a whole
            write_array(partial, shape, self._blocks(source, array.rows, rows))
        return Enhanced((self.out,), rows, shape[-1], remarks=self._remarks(source, None))

    def of_vectors(self, vectors: Vectors) -> Enhanced:
        """Enhance named vectors."""
        remarks = self._remarks(vectors.path, vectors.provenance)
        blocks = self._blocks(vectors.path, lambda start, stop: vectors.values[start:stop], len(vectors.values))
        values = np.concatenate(list(blocks))
        files = [self.out]
        if self.out.suffix == ".npy":
            with whole_file(self.out) as partial:
                write_array(partial, values.shape, [values])
        else:
            files = write_vectors(Vectors(self.out, vectors.keys, values, self._provenance()))
        return Enhanced(tuple(files), len(values), values.shape[1], remarks=remarks)

    def of_cache(self, source: Cache, *, flat: bool = False) -> Enhanced:
        """Enhance a cache, one shard in memory at a time; ``flat`` drops the axis of its one variant from an array."""
        info, files = source.info, [self.out]
        rows, dimension = info.rows * len(info.variants), info.network.dimension
        view = EnhancedShards(source, self.use.of(self.enhancer), self.progress)
        if not self.out.suffix:
            view.write(enhanced_info(info, self.model, self.enhancer.kind, self.use.settings()), self.out)
        elif self.out.suffix == ".npy":
            shape = (rows, dimension) if flat else (info.rows, len(info.variants), dimension)
            with whole_file(self.out) as partial:
                write_array(partial, shape, (shard.embeddings for shard in view.shards()))
        elif self.out.suffix == ".ark" and len(info.variants) > 1:
            raise ExchangeError(
                f"a Kaldi archive holds one variant, the cache {len(info.variants)}",
                expected="an .npz or .parquet file, or the folder of a cache",
                remedy="enhance it into a cache, and choose one with seedpipe cache export --variant",
                file=self.out,
            )
        else:
            files = export_cache(view, self.out, provenance=self._provenance())
        return Enhanced(tuple(files), rows, dimension)

    def of_audio(self, source: Path, network: str, params: Params) -> Enhanced:
        """Enhance what the network makes of an audio file or of a folder of them."""
        expect_network(self.enhancer, network)
        skip, jobs = params.extract.on_bad_audio == "skip", params.machine.workers
        folder, names = (source, listing.find_audio(source)) if source.is_dir() else (source.parent, [source.name])
        frame, bad = listing.list_files(folder, names, channel=params.audio.channel, jobs=jobs, skip_bad=skip)
        with clean_embeddings(frame, network, self.out, params, self.progress) as made:
            result = dataclasses.replace(self, progress=None).of_cache(made, flat=True)
        return dataclasses.replace(result, remarks=tuple(audio_remarks(frame, bad, made.info)))

    def _provenance(self) -> Provenance:
        """What the result says of what made it."""
        network, kind = self.enhancer.config.network, self.enhancer.kind
        return Provenance.of_network(enhanced_network(network, self.model, kind, self.use.settings()), kind)

    def _remarks(self, source: Path, said: Provenance | None) -> tuple[str, ...]:
        """Refuse embeddings of another network, or enhanced ones; say it where that could not be checked."""
        wanted = (self.model, Provenance.of_network(self.enhancer.config.network))
        return tuple(expect_same([wanted, (source, said)], "whether the model is for them"))

    def _blocks(
        self, source: Path, read: Callable[[int, int], NDArray[np.float32]], rows: int
    ) -> Iterator[NDArray[np.float32]]:
        """Enhance rows (R, D) a block at a time; a function reads those from one number to another."""
        apply = self.use.of(self.enhancer)
        for start in range(0, max(rows, 1), BLOCK_ROWS):
            block = read(start, min(start + BLOCK_ROWS, rows))
            try:
                yield apply(block)
            except ModelError as error:
                row = None if error.row is None else start + error.row
                raise ModelError(
                    error.found, expected=error.expected, remedy=error.remedy, file=error.file or source, row=row
                ) from error
            if self.progress:
                self.progress(min(start + BLOCK_ROWS, rows), rows)


def _cache(folder: Path) -> Cache:
    if folder.is_dir() and not (folder / "manifest.json").exists():
        remedy = "check the path; if it is a folder of audio, give the network, with --network"
        raise CacheError("there is no cache", expected="a cache", remedy=remedy, file=folder)
    return cache.open_cache(folder)


def _check_out(out: Path) -> None:
    if out.suffix and out.suffix not in FILES:
        raise ExchangeError(
            f"has the extension {out.suffix}",
            expected=f"{', '.join(FILES)}, or none for the folder of a cache",
            remedy="choose another name; an .ark brings its .scp",
            file=out,
        )
    if out.suffix and out.is_dir():
        raise ExchangeError("is a folder", expected="a file to write", remedy="choose another name", file=out)
    if not out.suffix:
        check_replaceable(out)


def write_array(path: Path, shape: tuple[int, ...], blocks: Iterable[NDArray[np.floating[Any]]]) -> None:
    """Write an .npy file of a shape, block by block."""
    values = 0
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
        for block in blocks:
            file.write(np.ascontiguousarray(block, dtype="<f4").data)
            values += block.size
    if values != math.prod(shape):
        raise ExchangeError(
            f"{counted(values, 'value')} came for an array of the shape {shape}",
            remedy="run again",
            file=path,
        )
