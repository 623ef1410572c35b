"""Background music from a small synthesiser: chords, bass, a melody and drums, in several timbres.

Training and evaluation draw from different chord progressions, keys, tempi and timbre settings.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from examples.demo_corpus.tools import SAMPLE_RATE, Samples, generator, optional, scaled, uniform
from examples.demo_corpus.voices import Side

__all__ = ["music"]

SECONDS = (10.0, 12.0)
PEAK = 0.7

# Semitones above the key, one bar each.
PROGRESSIONS: dict[Side, tuple[tuple[int, ...], ...]] = {
    "train": ((0, 5, 7, 0), (0, 9, 5, 7), (0, 7, 9, 5), (0, 3, 10, 5)),
    "eval": ((0, 4, 5, 7), (0, 10, 8, 7), (9, 5, 0, 7)),
}
MINOR_STEPS = frozenset({2, 4, 9})  # the degrees that carry a minor chord in a major key
SCALE = (0, 2, 4, 7, 9, 12, 14)
TEMPO_BPM: dict[Side, tuple[float, float]] = {"train": (70.0, 112.0), "eval": (114.0, 150.0)}
KEYS: dict[Side, tuple[int, ...]] = {"train": (0, 2, 4, 5, 7, 9), "eval": (1, 3, 6, 8, 10, 11)}

Timbre: TypeAlias = Callable[[float, int, np.random.Generator], Samples]


@dataclass(frozen=True)
class _Song:
    length: int
    """Samples in all."""
    beat: int
    """Samples in one beat."""
    root: int
    """MIDI number of the key."""
    chords: tuple[int, ...]
    """Semitones above the key, one bar of four beats each."""


def music(side: Side, index: int, *, seed: int) -> Samples:
    """Make one piece of music.

    Parameters
    ----------
    side : {"train", "eval"}
        Whose progressions, keys and tempi.
    index : int
        Number of the file; timbres take turns.
    seed : int
        Seed of the corpus.

    Returns
    -------
    ndarray, shape (samples,)
        Synthetic music of 10 to 12 s at 16 kHz, peak 0.7.
    """
    rng = generator(seed, side, "music", index)
    song = _Song(
        length=int(SAMPLE_RATE * uniform(rng, *SECONDS)),
        beat=int(SAMPLE_RATE * 60.0 / uniform(rng, *TEMPO_BPM[side])),
        root=48 + int(rng.choice(KEYS[side])),
        chords=PROGRESSIONS[side][int(rng.integers(len(PROGRESSIONS[side])))],
    )
    chords, melody = _timbres(side, index, rng)
    parts = (
        (_harmony(song, chords, rng), uniform(rng, 0.7, 1.0)),
        (_bass(song, rng), uniform(rng, 0.5, 0.9)),
        (_melody(song, melody, rng), uniform(rng, 0.5, 1.0)),
        (_drums(song, rng), uniform(rng, 0.3, 0.8) if index % 4 else 0.0),
    )
    mixed = np.zeros(song.length)
    for part, level in parts:
        mixed += level * part / max(float(np.sqrt(np.mean(part**2))), 1e-9)
    return scaled(mixed - mixed.mean(), PEAK)


def _frequency(note: float) -> float:
    return float(440.0 * 2.0 ** ((note - 69.0) / 12.0))


def _envelope(length: int, attack: float, decay: float) -> Samples:
    time = np.arange(length) / SAMPLE_RATE
    release = np.minimum(1.0, (length - np.arange(length)) / (0.02 * SAMPLE_RATE))
    return np.asarray(np.minimum(time / attack, 1.0) * np.exp(-time / decay) * release)


def _additive(slope: float, decay: float) -> Timbre:
    def play(hz: float, length: int, rng: np.random.Generator) -> Samples:
        time = np.arange(length) / SAMPLE_RATE
        tone = np.zeros(length)
        for harmonic in range(1, 1 + min(12, int(7_000.0 / hz))):
            phase = uniform(rng, 0.0, 2.0 * np.pi)
            tone += harmonic**-slope * np.sin(2.0 * np.pi * hz * harmonic * time + phase)
        return tone * _envelope(length, 0.02, decay)

    return play


def _modulated(ratio: float, index: float, decay: float) -> Timbre:
    def play(hz: float, length: int, rng: np.random.Generator) -> Samples:
        time = np.arange(length) / SAMPLE_RATE
        depth = index * np.exp(-time / (0.5 * decay)) * uniform(rng, 0.8, 1.2)
        tone = np.sin(2.0 * np.pi * hz * time + depth * np.sin(2.0 * np.pi * hz * ratio * time))
        return np.asarray(tone * _envelope(length, 0.005, decay))

    return play


def _plucked(damping: float) -> Timbre:
    """Karplus and Strong's string: a burst of noise that runs round a delay line and loses its treble."""

    def play(hz: float, length: int, rng: np.random.Generator) -> Samples:
        period = max(2, round(SAMPLE_RATE / hz - 0.5))
        burst = np.zeros(length)
        burst[:period] = rng.uniform(-1.0, 1.0, min(period, length))
        loop = np.zeros(period + 2)
        loop[0], loop[period], loop[period + 1] = 1.0, -0.5 * damping, -0.5 * damping
        string = optional("scipy.signal").lfilter([1.0], loop, burst)
        return np.asarray(string * _envelope(length, 0.001, 3.0))

    return play


def _timbres(side: Side, index: int, rng: np.random.Generator) -> tuple[Timbre, Timbre]:
    """Return the timbres of chords and melody: never the same method for both."""
    bright = side == "eval"
    slope = uniform(rng, 0.7, 1.1) if bright else uniform(rng, 1.2, 2.0)
    ratio = float(rng.choice([1.5, 3.0, 5.0] if bright else [1.0, 2.0, 4.0]))
    choices = (
        _additive(slope, uniform(rng, 0.4, 2.0)),
        _modulated(ratio, uniform(rng, 1.0, 4.0), uniform(rng, 0.3, 1.5)),
        _plucked(uniform(rng, 0.985, 0.991) if bright else uniform(rng, 0.992, 0.998)),
    )
    return choices[index % 3], choices[(index + 1) % 3]


def _add(part: Samples, tone: Samples, start: int) -> None:
    room = max(0, len(part) - start)
    part[start : start + len(tone)] += tone[:room]


def _bars(song: _Song) -> list[tuple[int, int]]:
    """Return the first sample and the chord of every bar that begins within the song."""
    starts = range(0, song.length, 4 * song.beat)
    return [(start, song.chords[number % len(song.chords)]) for number, start in enumerate(starts)]


def _harmony(song: _Song, timbre: Timbre, rng: np.random.Generator) -> Samples:
    part = np.zeros(song.length)
    strokes = int(rng.choice([1, 2, 4]))
    for start, chord in _bars(song):
        third = 3 if chord in MINOR_STEPS else 4
        length = 4 * song.beat // strokes
        tones = [timbre(_frequency(song.root + chord + step), length, rng) for step in (0, third, 7, 12)]
        for stroke in range(strokes):
            for number, tone in enumerate(tones):
                _add(part, tone, start + stroke * length + number * 120)  # the fingers of a hand, 8 ms apart
    return part


def _bass(song: _Song, rng: np.random.Generator) -> Samples:
    part = np.zeros(song.length)
    timbre = _additive(uniform(rng, 1.0, 1.8), 0.8)
    steps = rng.choice([0, 0, 7, 12], 4)
    for start, chord in _bars(song):
        for beat, step in enumerate(steps):
            tone = timbre(_frequency(song.root - 12 + chord + int(step)), song.beat, rng)
            _add(part, tone, start + beat * song.beat)
    return part


def _melody(song: _Song, timbre: Timbre, rng: np.random.Generator) -> Samples:
    part = np.zeros(song.length)
    start = 0
    while start < song.length:
        length = song.beat * int(rng.integers(1, 4)) // 2
        if uniform(rng, 0.0, 1.0) < 0.8:
            note = song.root + 12 + SCALE[int(rng.integers(len(SCALE)))]
            _add(part, timbre(_frequency(note), length, rng), start)
        start += length
    return part


def _drums(song: _Song, rng: np.random.Generator) -> Samples:
    part = np.zeros(song.length)
    time = np.arange(int(0.25 * SAMPLE_RATE)) / SAMPLE_RATE
    kick = np.sin(2.0 * np.pi * (50.0 * time + 8.0 * (1.0 - np.exp(-time / 0.04)))) * np.exp(-time / 0.09)
    snare = (rng.standard_normal(len(time)) + np.sin(2.0 * np.pi * 190.0 * time)) * np.exp(-time / 0.06)
    hat = np.diff(rng.standard_normal(len(time)), prepend=0.0) * np.exp(-time / 0.02)
    for number, start in enumerate(range(0, song.length, song.beat)):
        _add(part, 1.4 * kick if number % 2 == 0 else 0.6 * snare, start)
        for half in (0, song.beat // 2):
            _add(part, 0.3 * hat, start + half)
    return part
