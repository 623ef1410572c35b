"""Make a row of a cache audible again, from its recipe."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from seedpipe.audio import Bank, Recipe, Waveform, augment, decode, read_manifest
from seedpipe.audio.frontends import load_frontend
from seedpipe.audio.manifest import SPEECH
from seedpipe.cache import Cache
from seedpipe.errors import CacheError, CacheMismatchError
from seedpipe.extract.spec import bank_files
from seedpipe.params import split_condition

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["render"]


def render(cache: Cache, row: int, variant: str, manifests: Path) -> tuple[Waveform, int]:
    """Make the audio that the network heard.

    Parameters
    ----------
    cache : Cache
    row : int
        Number of the row, from 0.
    variant : str
        One of the cache's variants.
    manifests : Path
        Folder of the manifests that the cache was made from.

    Returns
    -------
    waveform : ndarray of float32, shape (crop samples,)
    sample_rate : int

    Raises
    ------
    CacheError
        There is no such row or variant, or the cache was imported and has no audio.
    CacheMismatchError
        The manifests, or the front end, are not those that the cache was made from.
    """
    import torch

    info = cache.info
    if not 0 <= row < info.rows:
        raise CacheError(f"there is no row {row}", expected=f"0 to {info.rows - 1}", file=cache.path)
    if variant not in info.variants:
        raise CacheError(f"there is no variant {variant!r}", expected=", ".join(info.variants), file=cache.path)
    if "files" not in info.augmentation:
        raise CacheError("was imported: its embeddings have no audio here", file=cache.path)
    cleaned = _frontend(cache)
    columns, place = _columns_of(cache, row)
    utterance, start = str(columns["utterance"][place]), int(columns["crop_start"][place])
    banks = _banks(cache, variant, manifests)
    speech = torch.from_numpy(_speech(cache, utterance, manifests))
    samples = int(info.features["crop_samples"]) or len(speech)
    floor = float(info.augmentation["snr_power_floor"])
    recipes = [_recipe(columns, place, info.variants.index(variant))]
    variant, _ = split_condition(variant)
    if info.kind == "training":
        crop = torch.from_numpy(decode.crop(speech.numpy(), start, samples).copy())
        heard = cleaned(augment.apply_recipes(variant, recipes, crop[None], banks, floor))[0].numpy()
    else:
        whole = cleaned(augment.apply_recipes(variant, recipes, speech[None], banks, floor))[0].numpy()
        heard = decode.crop(whole, start, samples)
    return heard, info.network.sample_rate


def _speech(cache: Cache, utterance: str, manifests: Path) -> Waveform:
    speech = read_manifest(manifests / SPEECH)
    if speech.digest() != cache.info.audio:
        raise _other(cache, speech.path)
    found = speech.frame[speech.frame["utterance"] == utterance].iloc[0]
    first, frames = int(found["start_frame"]), int(found["frames"])
    return decode.read_audio(Path(found["path"]), _rate(cache), found["digest"], first, frames)


def _banks(cache: Cache, variant: str, manifests: Path) -> dict[str, Bank]:
    banks = {}
    for part, name in bank_files([variant]).items():
        manifest = read_manifest(manifests / name)
        if manifest.digest() != cache.info.augmentation["files"].get(part):
            raise _other(cache, manifest.path)
        banks[part] = Bank(manifest, _rate(cache))
    return banks


def _frontend(cache: Cache) -> Callable[[Tensor], Tensor]:
    """The front end that stood before the network, or nothing."""
    spec, _, fingerprint = str(cache.info.features["frontend"]).partition(" ")
    frontend = load_frontend(spec, cache.info.network.sample_rate)
    if frontend is None:
        return lambda waveforms: waveforms
    if frontend.fingerprint() != fingerprint:
        raise CacheMismatchError(
            f"the front end {spec} is not the one that the cache was made with",
            expected=f"fingerprint {fingerprint}, found {frontend.fingerprint()}",
            remedy="install its release and weights of then",
            file=cache.path,
        )
    return frontend


def _rate(cache: Cache) -> int | None:
    return None if cache.info.features["resample"] == "no" else cache.info.network.sample_rate


def _columns_of(cache: Cache, row: int) -> tuple[dict[str, NDArray[Any]], int]:
    """Columns of the shard that holds a row, and the row's place in it."""
    ends = np.cumsum([shard.rows for shard in cache.info.shards])
    number = int(np.searchsorted(ends, row, side="right"))
    return cache.shard(number).columns, row - int(ends[number]) + cache.info.shards[number].rows


def _recipe(columns: dict[str, NDArray[Any]], row: int, variant: int) -> Recipe:
    noise, offset, snr_db, rir = (columns[field.name][row, variant] for field in dataclasses.fields(Recipe))
    return Recipe(str(noise), int(offset), float(snr_db), str(rir))


def _other(cache: Cache, path: Path) -> CacheMismatchError:
    return CacheMismatchError(
        "is not the manifest that the cache was made from",
        expected=f"the one of {cache.path}",
        remedy="give the folder of manifests that was extracted",
        file=path,
    )
