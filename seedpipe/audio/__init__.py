"""What is heard: decoding, manifests of corpora, noise, music and rooms, and front ends before a network."""

from __future__ import annotations

from seedpipe.audio.augment import Recipe, apply_recipes, draw_recipe, keyed_generator, mix_at_snr, reverberate
from seedpipe.audio.bank import Bank
from seedpipe.audio.decode import AudioInfo, crop, even_starts, probe, read_audio
from seedpipe.audio.listing import find_audio, list_files, segment
from seedpipe.audio.manifest import Manifest, read_manifest, write_manifest
from seedpipe.audio.source import Waveform

__all__ = [
    "AudioInfo",
    "Bank",
    "Manifest",
    "Recipe",
    "Waveform",
    "apply_recipes",
    "crop",
    "draw_recipe",
    "even_starts",
    "find_audio",
    "keyed_generator",
    "list_files",
    "mix_at_snr",
    "probe",
    "read_audio",
    "read_manifest",
    "reverberate",
    "segment",
    "write_manifest",
]
