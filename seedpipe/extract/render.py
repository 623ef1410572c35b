"""Make rows of a cache audible again, from their recipes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from seedpipe.audio import Bank, Manifest, Recipe, Waveform, augment, decode, read_manifest
from seedpipe.audio.frontends import load_frontend
from seedpipe.audio.manifest import SPEECH, channel_of
from seedpipe.cache import RECIPE_COLUMNS, Cache
from seedpipe.errors import CacheError, CacheMismatchError
from seedpipe.extract.spec import bank_files
from seedpipe.files import StrPath
from seedpipe.params import Rooms, split_condition

if TYPE_CHECKING:
    from torch import Tensor


def render(cache: Cache, row: int, variant: str, manifests: StrPath) -> tuple[Waveform, int]:
    """Make the audio that the network heard, with its sample rate; as :func:`render_row` of a single variant."""
    return render_row(cache, row, manifests, [variant])[variant], cache.info.network.sample_rate


def render_row(
    cache: Cache, row: int, manifests: StrPath, variants: Sequence[str] | None = None
) -> dict[str, Waveform]:
    """Make the audio that the network heard of one row.

    Parameters
    ----------
    cache : Cache
    row : int
        Number of the row, from 0.
    manifests : Path
        Folder of the manifests that the cache was made from.
    variants : sequence of str, optional
        Of the cache's; all by default.

    Returns
    -------
    dict of str to ndarray of float32, shape (crop samples,)
        Waveforms by variant, at the sample rate of the network.

    Raises
    ------
    CacheError
        There is no such row or variant, or the cache was imported and has no audio.
    CacheMismatchError
        The manifests, or the front end, are not those that the cache was made from.
    """
    import torch

    info, wanted = cache.info, cache.info.variants if variants is None else variants
    _expect(cache, row, wanted)
    cleaned = _frontend(cache)
    columns = cache.row(row, ("utterance", "draw", "crop_start", *RECIPE_COLUMNS))
    banks = _banks(cache, wanted, Path(manifests))
    speech, start = _speech(cache, str(columns["utterance"]), Path(manifests)), int(columns["crop_start"])
    own = info.test_crops and int(columns["draw"]) == info.rows_per_utterance - 1  # the crop of the test side
    samples = int(info.features["test_crop_samples" if own else "crop_samples"]) or speech.size
    training = info.kind == "training"  # there, crops are mixed; in an evaluation, the mixture is cut
    source = torch.tensor(decode.crop(speech, start, samples) if training else speech)[None]
    floor = float(info.augmentation["snr_power_floor"])
    rooms: Rooms = "aligned" if "rooms" in info.augmentation else "official"  # else they are the same

    def heard(variant: str) -> Waveform:
        recipe = Recipe(*(columns[name][info.variants.index(variant)].item() for name in RECIPE_COLUMNS))
        mixed = augment.apply_recipes(split_condition(variant)[0], [recipe], source, banks, floor, rooms)
        whole: Waveform = cleaned(mixed)[0].numpy()
        return whole if training else decode.crop(whole, start, samples)

    return {variant: heard(variant) for variant in wanted}


def _expect(cache: Cache, row: int, variants: Sequence[str]) -> None:
    info = cache.info
    if not 0 <= row < info.rows:
        raise CacheError(f"there is no row {row}", expected=f"0 to {info.rows - 1}", file=cache.path)
    if unknown := [variant for variant in variants if variant not in info.variants]:
        raise CacheError(f"there is no variant {unknown[0]!r}", expected=", ".join(info.variants), file=cache.path)
    if "files" not in info.augmentation:
        raise CacheError("was imported: its embeddings have no audio here", file=cache.path)


def _speech(cache: Cache, utterance: str, manifests: Path) -> Waveform:
    frame = _manifest(cache, manifests / SPEECH, cache.info.audio).frame
    found = frame[frame["utterance"] == utterance].iloc[0]
    first, frames = int(found["start_frame"]), int(found["frames"])
    channel = channel_of(found["channel"])
    return decode.read_audio(Path(found["path"]), _rate(cache), found["digest"], first, frames, channel)


def _banks(cache: Cache, variants: Sequence[str], manifests: Path) -> dict[str, Bank]:
    digests = cache.info.augmentation["files"]
    return {
        part: Bank(_manifest(cache, manifests / name, digests.get(part)), _rate(cache))
        for part, name in bank_files(variants).items()
    }


def _manifest(cache: Cache, path: Path, digest: str) -> Manifest:
    """Read a manifest, which must be the one that the cache was made from."""
    manifest = read_manifest(path)
    if manifest.digest() != digest:
        raise CacheMismatchError(
            "is not the manifest that the cache was made from",
            expected=f"the one of {cache.path}",
            remedy="give the folder of manifests that was extracted",
            file=manifest.path,
        )
    return manifest


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
