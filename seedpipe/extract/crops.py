"""Crops of an utterance in all variants: decoded once, mixed on the device where the network runs.

Shapes: C crops of one length, of which W differ, V variants, T samples of a crop.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from seedpipe.audio import Bank, Recipe, Waveform, augment, decode, read_manifest
from seedpipe.audio.frontends import load_frontend
from seedpipe.errors import AudioError
from seedpipe.extract.spec import ExtractionSpec, Utterance, bank_files
from seedpipe.networks import SpeakerNetwork
from seedpipe.params import split_condition

if TYPE_CHECKING:
    import torch
    from torch import Tensor

DRAWS_FOR_SOUND = 20


@dataclass(frozen=True)
class Crops:
    """Where the crops of one utterance lie, and what is mixed into them."""

    utterance: Utterance
    starts: list[int]
    recipes: list[list[Recipe]]
    """Of each crop and variant."""
    places: list[int]
    """Which of the waveforms each crop has: crops of short audio coincide, and share one."""


def load_banks(spec: ExtractionSpec, sample_rate: int) -> dict[str, Bank]:
    """The noise, music and rooms that the variants need, as decoded into the work folder if that has been done."""
    rate = sample_rate if spec.params.resample else None
    return {
        part: Bank(read_manifest(spec.manifests / name), rate, spec.work)
        for part, name in bank_files(spec.variants).items()
    }


class Cropper:
    """Cuts and mixes the utterances of one extraction."""

    def __init__(
        self, spec: ExtractionSpec, banks: dict[str, Bank], network: SpeakerNetwork, device: torch.device
    ) -> None:
        self.spec, self.banks, self.device = spec, banks, device
        self.rate = network.sample_rate if spec.params.resample else None
        self.min_samples = network.min_samples
        frontend = load_frontend(spec.params.frontend, network.sample_rate)
        self.frontend = frontend.to(device) if frontend else None

    def __call__(self, utterance: Utterance) -> tuple[Crops, list[Tensor]]:
        """Cut one utterance.

        Returns
        -------
        crops : Crops
        waveforms : list of Tensor of float32, shape (W, V, T)
            One; where the test side has a crop of its own, that is the second, shape (1, V, its samples).
        """
        path, first, frames = utterance.path, utterance.start_frame, utterance.frames
        speech = decode.read_audio(path, self.rate, utterance.digest, first, frames, utterance.channel)
        try:
            return (self._random if self.spec.training else self._even)(utterance, speech)
        except AudioError as error:
            raise AudioError(error.found, expected=error.expected, remedy=error.remedy, file=path) from error

    def _random(self, utterance: Utterance, speech: Waveform) -> tuple[Crops, list[Tensor]]:
        """Random crops, each mixed with what was drawn for it."""
        import torch

        samples, draws = self.spec.crop_samples, range(self.spec.crops)
        starts = [self._sounding_start(utterance, speech, draw) for draw in draws]
        clean = np.stack([decode.crop(speech, start, samples) for start in starts])
        columns = [[self._recipe(utterance, draw, name, samples) for draw in draws] for name in self.spec.variants]
        waveforms = torch.stack(self._mix(augment.to_device(clean, self.device), columns), dim=1)
        if self.frontend:
            waveforms = self.frontend(waveforms.flatten(0, 1)).view_as(waveforms)
        recipes = [list(recipes) for recipes in zip(*columns, strict=True)]
        return Crops(utterance, starts, recipes, list(draws)), [waveforms]

    def _even(self, utterance: Utterance, speech: Waveform) -> tuple[Crops, list[Tensor]]:
        """Evenly spaced crops, and that of the test side, mixed before they are cut; equal ones are cut once."""
        import torch

        if not speech.any():
            raise AudioError("is silent from end to end", remedy="remove it from the list or record it again")
        samples = self.spec.crop_samples or max(speech.size, self.min_samples)
        recipes = [self._recipe(utterance, 0, name, speech.size) for name in self.spec.variants]
        whole = torch.cat(self._mix(augment.to_device(speech[None], self.device), [[recipe] for recipe in recipes]))
        if self.frontend:
            whole = self.frontend(whole)
        official = self.spec.params.evaluation.short_audio == "official"
        starts = decode.even_starts(speech.size, samples, self.spec.crops, official=official)
        distinct = sorted(set(starts))
        places = [distinct.index(start) for start in starts]
        waveforms = [_cut(whole, distinct, samples)]
        if self.spec.test_crop_samples:
            start = self._middle(speech)
            waveforms.append(_cut(whole, [start], self.spec.test_crop_samples))
            starts, places = [*starts, start], [*places, len(distinct)]
        return Crops(utterance, starts, [recipes] * len(starts), places), waveforms

    def _middle(self, speech: Waveform) -> int:
        """First sample of the test side's crop."""
        samples = self.spec.test_crop_samples
        start = max(0, (speech.size - samples) // 2)
        if not decode.crop(speech, start, samples).any():
            raise AudioError(
                f"its middle {samples:,} samples, the crop of the test side, are silent",
                remedy="remove it from the list, or set extract.evaluation.test_crop_samples: 0",
            )
        return start

    def _recipe(self, utterance: Utterance, draw: int, name: str, samples: int) -> Recipe:
        """Draw a recipe; a fixed level takes the place of the range, and all else is drawn as without one."""
        variant, snr_db = split_condition(name)
        ranges = self.spec.augment
        if snr_db is not None:
            ranges = ranges.model_copy(update=dict.fromkeys(("music_snr_db", "noise_snr_db"), (snr_db, snr_db)))
        generator = augment.keyed_generator(self.spec.seed, utterance.name, draw, variant)
        return augment.draw_recipe(variant, self.banks, ranges, samples, generator)

    def _mix(self, speech: Tensor, columns: Sequence[Sequence[Recipe]]) -> list[Tensor]:
        floor, rooms = self.spec.params.augment.snr_power_floor, self.spec.params.rooms
        variants = [split_condition(name)[0] for name in self.spec.variants]
        return augment.apply_columns(variants, columns, speech, self.banks, floor, rooms)

    def _sounding_start(self, utterance: Utterance, speech: Waveform, draw: int) -> int:
        """First sample of a random crop; drawn again while it falls into digital silence, as in long recordings."""
        samples = self.spec.crop_samples
        generator = augment.keyed_generator(self.spec.seed, utterance.name, draw, "crop")
        for _ in range(DRAWS_FOR_SOUND):
            start = int(generator.integers(max(0, speech.size - samples) + 1))
            if decode.crop(speech, start, samples).any():
                return start
        raise AudioError(f"{DRAWS_FOR_SOUND} random crops are all silent", remedy="remove the file or cut its pauses")


def _cut(whole: Tensor, starts: Sequence[int], samples: int) -> Tensor:
    """Cut crops from all variants of an utterance, (V, S) to (W, V, samples)."""
    import torch

    mixed = _wrapped(whole, starts[-1] + samples)
    return torch.stack([mixed[:, start : start + samples] for start in starts])


def _wrapped(waveforms: Tensor, samples: int) -> Tensor:
    """Repeat audio up to a length that it does not have, shape (V, max(S, samples))."""
    repeats = -(-samples // waveforms.shape[1])
    return waveforms if repeats == 1 else waveforms.repeat(1, repeats)[:, :samples]
