"""Training from arrays: embeddings that are at hand, without a cache.

Shapes: U utterances, K draws of each, V noisy variants, D embedding dimension.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from seedpipe.cache import Cache, NetworkInfo
from seedpipe.cache.exchange.importer import cache_of_vectors, network_fingerprint
from seedpipe.cache.exchange.vectors import Vectors, check_values
from seedpipe.enhancers.base import EmbeddingEnhancer
from seedpipe.enhancers.given import as_array
from seedpipe.enhancers.registry import train_on_cache
from seedpipe.enhancers.training import TrainingResult
from seedpipe.errors import ExchangeError, counted
from seedpipe.files import StrPath
from seedpipe.params import EnhancerKind, Params
from seedpipe.workers import choose_device

if TYPE_CHECKING:
    from seedpipe.console import Shown
    from seedpipe.enhancers.base import TrainingCallback

Array: TypeAlias = ArrayLike | torch.Tensor


def train_enhancer(
    clean: Array,
    noisy: Array,
    out: StrPath | None = None,
    params: Params | None = None,
    *,
    kind: EnhancerKind = "seed",
    network: str | NetworkInfo = "arrays",
    speakers: Iterable[str] | None = None,
    progress: TrainingCallback | Shown | None = "shown",
) -> tuple[EmbeddingEnhancer, TrainingResult]:
    """Train an enhancer on embeddings in memory, as :func:`train_on_cache` does on those of a cache.

    Parameters
    ----------
    clean : array_like or Tensor, shape (U, D) or (U, K, D)
        Embeddings of clean speech; one of each utterance stands for all of its draws.
    noisy : array_like or Tensor, shape (U, K, V, D)
        Of the same speech with noise: K draws of each utterance in V variants.
    out : str or PathLike, optional
        Model folder. Without one the model is in memory alone; :meth:`~EmbeddingEnhancer.save_pretrained` writes it.
    params : Params, optional
        The sections ``train`` and ``enhancers`` matter, and ``machine.device``.
    kind : str
        As for :func:`train_on_cache`.
    network : str or NetworkInfo
        What made the embeddings: a name, or the ``info.network`` of a cache, where the model is to fit that network.
    speakers : iterable of str, optional
        Speaker of each utterance (U,): what is tried on held-out speech then has other speakers. ``drl`` needs them.
    progress
        As for :func:`train_on_cache`.

    Returns
    -------
    enhancer : EmbeddingEnhancer
    result : TrainingResult

    Raises
    ------
    ExchangeError
        The arrays do not fit together, or hold zeros alone or values that are not finite.
    CacheError, ModelError
        As for :func:`train_on_cache`.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> clean = rng.standard_normal((50, 16))
    >>> noisy = clean[:, None, None] + 0.3 * rng.standard_normal((50, 2, 3, 16))
    >>> enhancer, result = train_enhancer(clean, noisy, kind="whitening")
    >>> enhancer(noisy[:, 0, 0]).shape
    (50, 16)
    """
    with tempfile.TemporaryDirectory(prefix="seedpipe-") as folder:
        place = Path(folder)
        cache, params = _cache(place / "cache", clean, noisy, network, speakers), params or Params()
        device, model = str(choose_device(params.machine.device)), place / "model" if out is None else out
        return train_on_cache(kind, cache, model, params, device=device, progress=progress)


def _cache(
    out: Path,
    clean: Array,
    noisy: Array,
    network: str | NetworkInfo,
    speakers: Iterable[str] | None,
) -> Cache:
    """The arrays as a training cache."""
    clean_UKD, noisy_UKVD = _fitted(
        as_array(clean, "clean embeddings", ExchangeError), as_array(noisy, "noisy embeddings", ExchangeError)
    )
    count, draws, variants, dimension = noisy_UKVD.shape
    given = _speakers(speakers, count)
    names = [f"{speaker}/{number:07d}" if speaker else f"{number:07d}" for number, speaker in enumerate(given)]
    keys = [(name, draw) for name in names for draw in range(draws)]
    rows = {"clean": clean_UKD} | {f"noisy{number + 1}": noisy_UKVD[:, :, number] for number in range(variants)}
    vectors = {name: Vectors(out, keys, values.reshape(-1, dimension)) for name, values in rows.items()}
    for variant, each in vectors.items():
        check_values(None, [f"{name}#{draw} ({variant})" for name, draw in keys], each.values)
    if isinstance(network, str):
        fingerprint = network_fingerprint(network, "")
        network = NetworkInfo(name=network, fingerprint=fingerprint, dimension=dimension, sample_rate=16_000)
    if network.dimension != dimension:
        found = f"embeddings have dimension {dimension}"
        raise ExchangeError(found, expected=f"{network.dimension}, that of the network {network.name}")
    return cache_of_vectors(
        out, vectors, kind="training", network=network, speakers=dict(zip(names, given, strict=True))
    )


def _fitted(clean: NDArray[np.float32], noisy: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Clean (U, K, D) and noisy (U, K, V, D) embeddings that fit together."""
    if noisy.ndim != 4 or clean.ndim not in (2, 3) or 0 in noisy.shape:
        raise ExchangeError(
            f"clean embeddings have the shape {clean.shape}, noisy ones {noisy.shape}",
            expected="(utterances, D) or (utterances, draws, D), and (utterances, draws, variants, D)",
            remedy="one variant of one draw is noisy[:, None, None]",
        )
    wanted = (noisy.shape[0], *noisy.shape[1 : clean.ndim - 1], noisy.shape[3])
    if clean.shape != wanted:
        raise ExchangeError(
            f"clean embeddings have the shape {clean.shape}, noisy ones {noisy.shape}", expected=f"clean ones {wanted}"
        )
    if clean.ndim == 2:
        clean = np.repeat(clean[:, None], noisy.shape[1], axis=1)
    return clean, noisy


def _speakers(given: Iterable[str] | None, count: int) -> list[str]:
    """Name of the speaker of each utterance, empty where none are given."""
    if given is None:
        return [""] * count
    names = [str(name) for name in given]
    if len(names) != count or not all(names):
        found = counted(len(names), "speaker") + ("" if all(names) else ", some of them without a name")
        raise ExchangeError(found, expected=f"a name for each of {counted(count, 'utterance')}")
    return names
