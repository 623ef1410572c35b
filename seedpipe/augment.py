"""Augmentation recipes: what is drawn for a noisy variant, and how it is mixed.

A recipe is plain data (which file, from which sample, at which SNR, in which room), so any variant can be made again.
It depends on (seed, utterance, draw, variant) alone, never on the order of work.

Source: SEED, section 4.2: MUSAN music at 5-15 dB, noise at 0-15 dB, room responses of unit energy.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from seedpipe import audio
from seedpipe.audio import Waveform
from seedpipe.errors import AudioError, ManifestError
from seedpipe.manifest import Manifest
from seedpipe.params import AugmentParams

__all__ = ["CLEAN", "Bank", "Recipe", "apply_recipe", "draw_recipe", "keyed_generator", "mix_at_snr", "reverberate"]

DRAWS_FOR_SOUND = 10
SOUND_THRESHOLD = 1e-3  # -30 dB against the file's mean power


@dataclass(frozen=True)
class Recipe:
    """How a variant is made from a clean crop.

    Parameters
    ----------
    noise : str
        Utterance of the noise or music file; empty for none.
    noise_offset : int
        Its first sample; -1 for none.
    snr_db : float
        Speech power over noise power in dB; infinite without noise.
    rir : str
        Utterance of the room impulse response; empty for none.
    """

    noise: str = ""
    noise_offset: int = -1
    snr_db: float = math.inf
    rir: str = ""


CLEAN = Recipe()


class Bank(Mapping[str, Waveform]):
    """The files of a manifest as waveforms at one rate, decoded at first use and then kept."""

    def __init__(self, manifest: Manifest, sample_rate: int) -> None:
        rows = zip(manifest.frame["utterance"], manifest.frame["path"], manifest.frame["digest"], strict=True)
        self._files = {str(utterance): (Path(path), str(digest)) for utterance, path, digest in rows}
        self._decoded: dict[str, Waveform] = {}
        self._sample_rate = sample_rate
        self.names = tuple(self._files)

    def __getitem__(self, name: str) -> Waveform:
        if name not in self._decoded:
            path, digest = self._files[name]
            try:
                waveform = audio.read_audio(path, self._sample_rate, digest)
            except AudioError as error:  # not a fault of the utterance that wanted it
                raise ManifestError(error.found, expected=error.expected, remedy=error.remedy, file=path) from error
            if not waveform.any():
                raise ManifestError("is silent from end to end", remedy="remove it from the noise or rooms", file=path)
            self._decoded[name] = waveform
        return self._decoded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


def keyed_generator(*key: str | int) -> np.random.Generator:
    """Random numbers that depend on a key alone.

    Examples
    --------
    >>> [int(keyed_generator(0, "a.wav", 3).integers(1000)) for _ in range(2)]
    [111, 111]
    """
    text = "\x1f".join(map(str, key)).encode()
    return np.random.Generator(np.random.PCG64(int.from_bytes(hashlib.blake2b(text, digest_size=16).digest())))


def draw_recipe(
    variant: str, banks: Mapping[str, Bank], params: AugmentParams, samples: int, generator: np.random.Generator
) -> Recipe:
    """Draw the recipe of one variant.

    Parameters
    ----------
    variant : str
        ``clean``, or ``music``, ``noise``, ``reverb`` joined by ``+``.
    banks : mapping
        A :class:`Bank` for each of those parts.
    params : AugmentParams
        Ranges of the SNR.
    samples : int
        Length of the crop to be mixed.
    generator : Generator
        See :func:`keyed_generator`.
    """
    if variant == "clean":
        return CLEAN
    noise, offset, snr_db, rir = CLEAN.noise, CLEAN.noise_offset, CLEAN.snr_db, CLEAN.rir
    if "reverb" in variant.split("+"):
        rir = _choose(banks["reverb"], generator)
    if kind := _additive(variant):
        noise = _choose(banks[kind], generator)
        low, high = params.music_snr_db if kind == "music" else params.noise_snr_db
        snr_db = float(np.float32(generator.uniform(low, high)))  # as the cache will hold it
        offset = _sounding_offset(banks[kind][noise], samples, generator)
    return Recipe(noise, offset, snr_db, rir)


def apply_recipe(
    variant: str, recipe: Recipe, speech: Waveform, banks: Mapping[str, Bank], power_floor: float = 0.0
) -> Waveform:
    """Make a variant: the room first, then noise at its SNR against the speech in that room.

    Parameters
    ----------
    variant : str
        The variant that the recipe was drawn for.
    recipe : Recipe
    speech : ndarray of float32, shape (samples,)
    banks : mapping
        Where the recipe's files are found: ``music``, ``noise``, ``reverb``.
    power_floor : float
        See :func:`mix_at_snr`.

    Returns
    -------
    ndarray of float32, shape (samples,)
    """
    if recipe.rir:
        speech = reverberate(speech, banks["reverb"][recipe.rir])
    if recipe.noise:
        noise = audio.crop(banks[_additive(variant)][recipe.noise], recipe.noise_offset, speech.size)
        speech = mix_at_snr(speech, noise, recipe.snr_db, power_floor)
    return speech


def mix_at_snr(speech: Waveform, noise: Waveform, snr_db: float, power_floor: float = 0.0) -> Waveform:
    """Add noise so that speech power over noise power is ``snr_db``.

    Parameters
    ----------
    speech, noise : ndarray of float32, shape (samples,)
    snr_db : float
    power_floor : float
        Added to both mean powers first. The authors' code has 1e-4, which spoils the SNR of quiet clips.

    Raises
    ------
    AudioError
        Speech or noise is silent, so that no SNR exists.
    """
    powers = [float(np.mean(np.square(signal, dtype=np.float64))) + power_floor for signal in (speech, noise)]
    if min(powers) <= 0:
        raise AudioError(
            "the speech is silent" if powers[0] <= 0 else "the noise is silent", expected="sound to form an SNR"
        )
    gain = math.sqrt(powers[0] / powers[1] / 10 ** (snr_db / 10))
    return speech + np.float32(gain) * noise


def reverberate(speech: Waveform, rir: Waveform) -> Waveform:
    """Convolve with a room response of unit energy and cut to the length of the speech."""
    import torch
    from torchaudio.functional import fftconvolve

    # What a response does after the end of the crop is cut off, but its energy counts: normalise before cutting.
    response = (rir / np.linalg.norm(rir))[: speech.size]
    convolved: Waveform = fftconvolve(torch.from_numpy(speech), torch.from_numpy(response)).numpy()
    return convolved[: speech.size]


def _additive(variant: str) -> str:
    """The part of a variant that is added to the speech: ``noise``, ``music`` or nothing."""
    return next((part for part in variant.split("+") if part in ("music", "noise")), "")


def _choose(bank: Bank, generator: np.random.Generator) -> str:
    name: str = bank.names[int(generator.integers(len(bank)))]
    return name


def _sounding_offset(noise: Waveform, samples: int, generator: np.random.Generator) -> int:
    """Draw a first sample at which there is something to hear; real noise sets are partly digital silence."""
    power = float(np.mean(np.square(noise, dtype=np.float64)))
    best, loudest = 0, -1.0
    for _ in range(DRAWS_FOR_SOUND):
        # A short file is wrapped around, so any of its samples may come first.
        last = noise.size - samples if noise.size > samples else noise.size - 1
        offset = int(generator.integers(last + 1))
        here = float(np.mean(np.square(audio.crop(noise, offset, samples), dtype=np.float64)))
        if here > SOUND_THRESHOLD * power:
            return offset
        if here > loudest:
            best, loudest = offset, here
    if loudest > 0:
        return best
    return max(0, min(int(np.argmax(np.abs(noise))) - samples // 2, noise.size - samples))
