"""Augmentation recipes: what is drawn for a noisy variant, and how it is mixed.

A recipe is plain data (which file, from which sample, at which SNR, in which room), so any variant can be made again.
It depends on (seed, utterance, draw, variant) alone, never on the order of work.

Source: SEED, section 4.2: MUSAN music at 5-15 dB, noise at 0-15 dB, room responses of unit energy,
which are aligned here (:mod:`seedpipe.audio.rooms`).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from seedpipe.audio import decode
from seedpipe.audio.bank import Bank
from seedpipe.audio.rooms import aligned, unit_energy
from seedpipe.audio.source import Waveform
from seedpipe.errors import ManifestError
from seedpipe.params import AugmentParams, Rooms

if TYPE_CHECKING:
    import torch
    from torch import Tensor

DRAWS_FOR_SOUND = 10
SOUND_THRESHOLD = 1e-3  # -30 dB against the file's mean power
FAINTEST = 1e-6  # power over that of the speech, below which a variant is silent, or a room changes nothing: -60 dB


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
    if _is_reverberant(variant):
        rir = _choose(banks["reverb"], generator)
    if kind := _additive(variant):
        noise = _choose(banks[kind], generator)
        low, high = params.music_snr_db if kind == "music" else params.noise_snr_db
        snr_db = float(np.float32(generator.uniform(low, high)))  # as the cache will hold it
        bank = banks[kind]
        offset = _sounding_offset(bank[noise], bank.power(noise), samples, generator)
    return Recipe(noise, offset, snr_db, rir)


def apply_recipes(
    variant: str,
    recipes: Sequence[Recipe],
    speech: Tensor,
    banks: Mapping[str, Bank],
    power_floor: float = 0.0,
    rooms: Rooms = "aligned",
) -> Tensor:
    """Make a variant of several crops: the room first, then noise at its SNR against the speech in that room.

    Parameters
    ----------
    variant : str
        The variant that the recipes were drawn for.
    recipes : sequence of Recipe, length K
    speech : Tensor of float32, shape (K, T)
        On the device where the mixing is to be done.
    banks : mapping
        Where the recipes' files are found: ``music``, ``noise``, ``reverb``.
    power_floor : float
        See :func:`mix_at_snr`.
    rooms : {"aligned", "official"}
        Whether responses are aligned and have unit energy in what is used, or as a whole; see ``extract.rooms``.

    Returns
    -------
    Tensor of float32, shape (K, T)
        A row does not depend on the other rows.

    Raises
    ------
    ManifestError
        A row comes out silent, not finite or, of a room, unchanged; the text names the file that made it so.
    """
    return apply_columns((variant,), (recipes,), speech, banks, power_floor, rooms)[0]


def apply_columns(
    variants: Sequence[str],
    columns: Sequence[Sequence[Recipe]],
    speech: Tensor,
    banks: Mapping[str, Bank],
    power_floor: float = 0.0,
    rooms: Rooms = "aligned",
) -> list[Tensor]:
    """Make several variants of the same crops, each as :func:`apply_recipes` does, with one transform for all rooms."""
    in_a_room = [recipes for variant, recipes in zip(variants, columns, strict=True) if _is_reverberant(variant)]
    reverberant = iter(_in_rooms(in_a_room, speech, banks["reverb"], rooms) if in_a_room else ())
    made = []
    for variant, recipes in zip(variants, columns, strict=True):
        steps: list[tuple[str, list[str], Tensor]] = []
        if _is_reverberant(variant):
            steps.append(("reverb", [recipe.rir for recipe in recipes], next(reverberant)))
        if kind := _additive(variant):
            mixed = _with_noise(recipes, steps[-1][2] if steps else speech, banks[kind], power_floor)
            steps.append((kind, [recipe.noise for recipe in recipes], mixed))
        _check(speech, steps, banks)
        made.append(steps[-1][2] if steps else speech)
    return made


def _in_rooms(columns: Sequence[Sequence[Recipe]], speech: Tensor, bank: Bank, rooms: Rooms) -> Tensor:
    """The crops in the rooms of several columns of recipes, shape (columns, K, T)."""
    samples = speech.shape[-1]
    longest = bank.longest(samples)
    names = [recipe.rir for recipes in columns for recipe in recipes]
    of_energy_1 = (
        [unit_energy(bank[name])[:longest] for name in names]
        if rooms == "official"
        else [unit_energy(bank.room(name)[:samples]) for name in names]
    )
    return _convolve(speech, of_energy_1, longest)


def _with_noise(recipes: Sequence[Recipe], speech: Tensor, bank: Bank, power_floor: float) -> Tensor:
    crops = [decode.crop(bank[recipe.noise], recipe.noise_offset, speech.shape[-1]) for recipe in recipes]
    snr_db = np.array([recipe.snr_db for recipe in recipes], dtype=np.float64)
    device = speech.device
    return mix_at_snr(speech, to_device(np.stack(crops), device), to_device(snr_db, device), power_floor)


def _check(speech: Tensor, made: Sequence[tuple[str, list[str], Tensor]], banks: Mapping[str, Bank]) -> None:
    """Refuse rows of a room or a mixture that are not finite or far below the speech, and rooms that change nothing."""
    import torch

    if not made:
        return
    signals = [speech]
    for kind, _, rows in made:
        signals += [rows, rows - speech if kind == "reverb" else rows]
    before, *after = torch.stack([rows.double().square().mean(dim=-1) for rows in signals]).cpu().numpy()
    for (kind, names, _), power, change in zip(made, after[::2], after[1::2], strict=True):
        heard, changed = (np.isfinite(level) & (level >= FAINTEST * before) for level in (power, change))
        wrong = np.flatnonzero(~(heard & changed))
        if len(wrong):
            raise _spoiled(kind, banks[kind].file(names[wrong[0]]), float(power[wrong[0]]), bool(heard[wrong[0]]))


def _spoiled(kind: str, path: Path, power: float, heard: bool) -> ManifestError:
    """The refusal of a room, noise or music that makes no variant."""
    if heard:
        found = "leaves speech unchanged"
    elif math.isfinite(power):
        found = "makes silence of speech"
    else:
        found = "makes samples of speech that are not finite"
    return ManifestError(
        found,
        expected="a room impulse response that sounds within the crop" if kind == "reverb" else "a sound to be added",
        remedy="remove it, or cut what comes before its sound",
        file=path,
    )


def mix_at_snr(speech: Tensor, noise: Tensor, snr_db: Tensor | float, power_floor: float = 0.0) -> Tensor:
    """Add noise so that speech power over noise power is ``snr_db``.

    Parameters
    ----------
    speech, noise : Tensor of float32, shape (..., T)
        Neither may be silent: there would be no SNR.
    snr_db : Tensor of float64, shape (...), or float
    power_floor : float
        Added to both mean powers first. The authors' code has 1e-4, which spoils the SNR of quiet clips.

    Returns
    -------
    Tensor of float32, shape (..., T)
    """
    # Powers in float64: the SNR is exact whatever the loudness.
    speech_power, noise_power = (signal.double().square().mean(dim=-1) + power_floor for signal in (speech, noise))
    gain = (speech_power / noise_power / 10 ** (snr_db / 10)).sqrt()
    mixed: Tensor = speech + gain.float()[..., None] * noise
    return mixed


def reverberate(speech: Tensor, rirs: Sequence[Waveform], sample_rate: int = 16_000) -> Tensor:
    """Convolve with room responses and cut to the length of the speech.

    The responses are aligned and given unit energy over what is used, as :mod:`seedpipe.audio.rooms` says.

    Parameters
    ----------
    speech : Tensor of float32, shape (K, T)
    rirs : sequence of ndarray of float32, length K
        A response for each row.
    sample_rate : int
        Samples per second of both.

    Returns
    -------
    Tensor of float32, shape (K, T)
    """
    samples = speech.shape[-1]
    used = [unit_energy(aligned(rir, sample_rate)[:samples]) for rir in rirs]
    return _convolve(speech, used, max(rir.size for rir in used))[0]


def _convolve(speech: Tensor, rirs: Sequence[Waveform], longest: int) -> Tensor:
    """Convolve each row, shape (K, T), with its response out of each K, in turn; shape (responses / K, K, T).

    ``longest`` decides the length of the Fourier transform: the samples of the longest response, T at most, in any call
    that is to give equal bits for equal rows.
    """
    import torch

    samples = speech.shape[-1]
    responses = np.zeros((len(rirs), longest), dtype=np.float32)
    for row, rir in zip(responses, rirs, strict=True):
        row[: rir.size] = rir
    size, rows = _fast_length(samples + longest - 1), len(speech)
    heard = _of_two(torch.fft.rfft, speech, size)
    spectra = _of_two(torch.fft.rfft, to_device(responses, speech.device), size)
    products = torch.cat([_product(heard, spectra[start : start + rows]) for start in range(0, len(spectra), rows)])
    return _of_two(torch.fft.irfft, products, size)[:, :samples].view(-1, rows, samples)


def _product(heard: Tensor, responses: Tensor) -> Tensor:
    """One column; a single row is multiplied twice, for a product's last bits depend on the tensor's size."""
    if len(heard) == 1:
        return (heard.expand(2, -1).contiguous() * responses.expand(2, -1).contiguous())[:1]
    return heard * responses


def _of_two(transform: Callable[[Tensor, int], Tensor], rows: Tensor, size: int) -> Tensor:
    """Transform rows; MKL transforms a single one by another, slower algorithm, with other last bits."""
    return transform(rows, size) if len(rows) > 1 else transform(rows.expand(2, -1), size)[:1]


def to_device(array: NDArray[Any], device: torch.device) -> Tensor:
    """Hand an array to a device; to a GPU through pinned memory, without waiting for the copy."""
    import torch

    tensor = torch.from_numpy(array)
    return tensor if device.type == "cpu" else tensor.pin_memory().to(device, non_blocking=True)


def _fast_length(samples: int) -> int:
    """Smallest length from there on with no prime factor above 5, for which Fourier transforms are fast."""
    best = 1 << (samples - 1).bit_length()
    threes = 1
    while threes < best:
        odd = threes
        while odd < best:
            best = min(best, odd << (-(-samples // odd) - 1).bit_length())
            odd *= 5
        threes *= 3
    return best


def _is_reverberant(variant: str) -> bool:
    return "reverb" in variant.split("+")


def _additive(variant: str) -> str:
    """The part of a variant that is added to the speech: ``noise``, ``music`` or nothing."""
    return next((part for part in variant.split("+") if part in ("music", "noise")), "")


def _choose(bank: Bank, generator: np.random.Generator) -> str:
    name: str = bank.names[int(generator.integers(len(bank)))]
    return name


def _sounding_offset(noise: Waveform, power: float, samples: int, generator: np.random.Generator) -> int:
    """Draw a first sample at which there is something to hear; real noise sets are partly digital silence."""
    best, loudest = 0, -1.0
    for _ in range(DRAWS_FOR_SOUND):
        # A short file is wrapped around, so any of its samples may come first.
        last = noise.size - samples if noise.size > samples else noise.size - 1
        offset = int(generator.integers(last + 1))
        crop = decode.crop(noise, offset, samples)
        here = float(np.dot(crop, crop)) / samples
        if here > SOUND_THRESHOLD * power:
            return offset
        if here > loudest:
            best, loudest = offset, here
    if loudest > 0:
        return best
    return max(0, min(int(np.argmax(np.abs(noise))) - samples // 2, noise.size - samples))
