"""Crops of an utterance in all variants: decoded once, mixed on the device where the network runs.

Shapes: C crops, V variants, T samples of a crop.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from seedpipe.audio import Bank, Recipe, Waveform, augment, decode, read_manifest
from seedpipe.audio.frontends import load_frontend
from seedpipe.errors import AudioError
from seedpipe.extract.spec import Row, Setting, bank_files
from seedpipe.networks import SpeakerNetwork
from seedpipe.params import split_condition

if TYPE_CHECKING:
    import torch
    from torch import Tensor

__all__ = ["Cuts", "Cutter", "load_banks"]

DRAWS_FOR_SOUND = 20


@dataclass(frozen=True)
class Cuts:
    """Crops of one utterance; ``recipes`` has one for each crop and variant."""

    row: Row
    draws: list[int]
    starts: list[int]
    recipes: list[list[Recipe]]


def load_banks(setting: Setting, sample_rate: int | None) -> dict[str, Bank]:
    """The noise, music and rooms that the variants need, as decoded into the work folder if that has been done."""
    return {
        part: Bank(read_manifest(setting.manifests / name), sample_rate, setting.work)
        for part, name in bank_files(setting.variants).items()
    }


class Cutter:
    """Cuts and mixes the utterances of one setting."""

    def __init__(self, setting: Setting, banks: dict[str, Bank], network: SpeakerNetwork, device: torch.device) -> None:
        self.setting, self.banks, self.device = setting, banks, device
        self.rate, self.min_samples = setting.rate(network), network.min_samples
        frontend = load_frontend(setting.params.frontend, network.sample_rate)
        self.frontend = frontend.to(device) if frontend else None

    def __call__(self, row: Row) -> tuple[Cuts, Tensor]:
        """Cut one utterance.

        Returns
        -------
        cuts : Cuts
        waveforms : Tensor of float32, shape (C, V, T)

        Raises
        ------
        AudioError
            The file cannot be used; the error names it.
        """
        speech = decode.read_audio(row.path, self.rate, row.digest, row.start_frame, row.frames)
        try:
            return self._random(row, speech) if self.setting.kind == "training" else self._even(row, speech)
        except AudioError as error:
            raise AudioError(error.found, expected=error.expected, remedy=error.remedy, file=row.path) from error

    def _random(self, row: Row, speech: Waveform) -> tuple[Cuts, Tensor]:
        """Random crops, each mixed with what was drawn for it."""
        import torch

        samples, draws = self.setting.crop_samples, list(range(self.setting.crops))
        starts = [self._sounding_start(row, speech, draw) for draw in draws]
        clean = np.stack([decode.crop(speech, start, samples) for start in starts])
        columns = [[self._recipe(row, draw, variant, samples) for draw in draws] for variant in self.setting.variants]
        waveforms = torch.stack(self._mix(augment.to_device(clean, self.device), columns), dim=1)
        if self.frontend:
            waveforms = self.frontend(waveforms.flatten(0, 1)).view_as(waveforms)
        return Cuts(row, draws, starts, [list(recipes) for recipes in zip(*columns, strict=True)]), waveforms

    def _even(self, row: Row, speech: Waveform) -> tuple[Cuts, Tensor]:
        """Evenly spaced crops, mixed before they are cut; crops of short audio that coincide are cut once."""
        import torch

        if not speech.any():
            raise AudioError("is silent from end to end", remedy="remove it from the list or record it again")
        samples = self.setting.crop_samples or max(speech.size, self.min_samples)
        recipes = [self._recipe(row, 0, variant, speech.size) for variant in self.setting.variants]
        whole = torch.cat(self._mix(augment.to_device(speech[None], self.device), [[recipe] for recipe in recipes]))
        if self.frontend:
            whole = self.frontend(whole)
        official = self.setting.params.evaluation.short_audio == "official"
        every = decode.even_starts(speech.size, samples, self.setting.crops, official=official)
        starts = sorted(set(every))
        mixed = _wrapped(whole, every[-1] + samples)
        waveforms = torch.stack([mixed[:, start : start + samples] for start in starts])
        return Cuts(row, [every.index(start) for start in starts], starts, [recipes] * len(starts)), waveforms

    def _recipe(self, row: Row, draw: int, name: str, samples: int) -> Recipe:
        """Draw a recipe; a fixed level takes the place of the range, and all else is drawn as without one."""
        variant, snr_db = split_condition(name)
        ranges = self.setting.params.augment
        if snr_db is not None:
            ranges = ranges.model_copy(update=dict.fromkeys(("music_snr_db", "noise_snr_db"), (snr_db, snr_db)))
        generator = augment.keyed_generator(self.setting.seed, row.utterance, draw, variant)
        return augment.draw_recipe(variant, self.banks, ranges, samples, generator)

    def _mix(self, speech: Tensor, columns: Sequence[Sequence[Recipe]]) -> list[Tensor]:
        floor = self.setting.params.augment.snr_power_floor
        return [
            augment.apply_recipes(split_condition(name)[0], recipes, speech, self.banks, floor)
            for name, recipes in zip(self.setting.variants, columns, strict=True)
        ]

    def _sounding_start(self, row: Row, speech: Waveform, draw: int) -> int:
        """First sample of a random crop; drawn again while it falls into digital silence, as in long recordings."""
        samples = self.setting.crop_samples
        generator = augment.keyed_generator(self.setting.seed, row.utterance, draw, "crop")
        for _ in range(DRAWS_FOR_SOUND):
            start = int(generator.integers(max(0, speech.size - samples) + 1))
            if decode.crop(speech, start, samples).any():
                return start
        raise AudioError(f"{DRAWS_FOR_SOUND} random crops are all silent", remedy="remove the file or cut its pauses")


def _wrapped(waveforms: Tensor, samples: int) -> Tensor:
    """Repeat audio up to a length that it does not have, shape (V, max(S, samples))."""
    repeats = -(-samples // waveforms.shape[1])
    return waveforms if repeats == 1 else waveforms.repeat(1, repeats)[:, :samples]
