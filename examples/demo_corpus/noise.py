"""Background noise: babble of synthetic voices, coloured noise, and noise that beats, knocks, hums and rattles.

Training and evaluation never share a draw; where a kind of noise has a characteristic frequency or tempo, they draw it
from ranges that do not overlap.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from examples.demo_corpus.tools import SAMPLE_RATE, Samples, generator, optional, scaled, uniform
from examples.demo_corpus.voices import Side, babble_voices, deliveries, speak

__all__ = ["KINDS", "noise"]

SECONDS = (8.0, 10.0)
PEAK = 0.7


def noise(side: Side, index: int, *, seed: int) -> Samples:
    """Make one noise recording.

    Parameters
    ----------
    side : {"train", "eval"}
        Whose ranges and voices.
    index : int
        Number of the file; kinds take turns, see `KINDS`.
    seed : int
        Seed of the corpus.

    Returns
    -------
    ndarray, shape (samples,)
        Synthetic noise of 8 to 10 s at 16 kHz, peak 0.7.
    """
    rng = generator(seed, side, "noise", index)
    length = int(SAMPLE_RATE * uniform(rng, *SECONDS))
    make = KINDS[list(KINDS)[index % len(KINDS)]]
    made = make(length, side, rng)
    return scaled(made - made.mean(), PEAK)


def _between(side: Side, low: float, high: float, rng: np.random.Generator) -> float:
    """Draw on a logarithmic scale: from the lower half of the range for training, the upper for evaluation."""
    middle = float(np.sqrt(low * high))
    edges = (low, middle) if side == "train" else (middle, high)
    return float(np.exp(uniform(rng, float(np.log(edges[0])), float(np.log(edges[1])))))


def _coloured(length: int, exponent: float, rng: np.random.Generator) -> Samples:
    """Gaussian noise whose power falls with frequency to the power of `exponent`: 0 white, 1 pink, 2 brown."""
    fft = optional("scipy.fft")
    spectrum = fft.rfft(rng.standard_normal(length))
    frequency = np.fft.rfftfreq(length, 1.0 / SAMPLE_RATE)
    # Flat below 30 Hz: a brown noise without this limit is an inaudible drift.
    shaped = fft.irfft(spectrum * np.maximum(frequency, 30.0) ** (-exponent / 2.0), length)
    return np.asarray(shaped / np.sqrt(np.mean(shaped**2)))


def _band(samples: Samples, low_hz: float, high_hz: float) -> Samples:
    signal = optional("scipy.signal")
    sections = signal.butter(2, (low_hz, high_hz), btype="bandpass", fs=SAMPLE_RATE, output="sos")
    return np.asarray(signal.sosfilt(sections, samples))


def _babble(length: int, side: Side, rng: np.random.Generator) -> Samples:
    voices = babble_voices(side)
    talkers = rng.permutation(len(voices))[: int(rng.integers(4, 6))]
    mixed = np.zeros(length)
    for number in talkers:
        talk = np.concatenate(speak(voices[number], deliveries(voices[number], side, 3, rng)))
        start = int(rng.integers(len(talk)))
        loud = talk / np.sqrt(np.mean(talk**2)) * 10.0 ** (uniform(rng, -4.0, 2.0) / 20.0)
        mixed += np.resize(np.roll(loud, -start), length)
    return mixed


def _stationary(length: int, side: Side, rng: np.random.Generator) -> Samples:
    low = _between(side, 40.0, 600.0, rng)
    high = uniform(rng, 2_000.0, 7_500.0)
    wide = _coloured(length, float(rng.integers(3)) + uniform(rng, -0.3, 0.3), rng)
    return 0.4 * wide + _band(wide, low, high)


def _modulated(length: int, side: Side, rng: np.random.Generator) -> Samples:
    time = np.arange(length) / SAMPLE_RATE
    beat_hz = _between(side, 0.7, 14.0, rng)
    depth = uniform(rng, 0.5, 0.95)
    envelope = 1.0 + depth * np.sin(2.0 * np.pi * beat_hz * time + uniform(rng, 0.0, 2.0 * np.pi))
    return _coloured(length, uniform(rng, 0.3, 1.6), rng) * envelope


def _knocking(length: int, side: Side, rng: np.random.Generator) -> Samples:
    per_second = uniform(rng, 2.0, 6.0)
    places = rng.integers(0, length, int(per_second * length / SAMPLE_RATE))
    hits = np.bincount(places, rng.exponential(1.0, len(places)) + 0.3, length)
    ring_hz, decay = _between(side, 250.0, 4_000.0, rng), uniform(rng, 0.01, 0.06)
    time = np.arange(int(8 * decay * SAMPLE_RATE)) / SAMPLE_RATE
    knock = np.exp(-time / decay) * (np.sin(2.0 * np.pi * ring_hz * time) + 0.7 * rng.standard_normal(len(time)))
    struck = optional("scipy.signal").fftconvolve(hits, knock)[:length]
    floor = uniform(rng, 0.1, 0.25) * float(np.sqrt(np.mean(struck**2)))
    return np.asarray(struck + floor * _coloured(length, 1.0, rng))


def _humming(length: int, side: Side, rng: np.random.Generator) -> Samples:
    time = np.arange(length) / SAMPLE_RATE
    base_hz = _between(side, 48.0, 240.0, rng)
    harmonics = np.arange(1, int(min(40, 7_000.0 / base_hz)) + 1)
    levels = harmonics ** -uniform(rng, 0.4, 1.0) * rng.uniform(0.2, 1.0, len(harmonics))
    wobble = 1e-3 * np.sin(2.0 * np.pi * uniform(rng, 0.1, 0.6) * time)
    hum = np.zeros(length)
    for harmonic, level in zip(harmonics, levels, strict=True):
        hum += level * np.sin(2.0 * np.pi * base_hz * harmonic * (time + wobble) + uniform(rng, 0.0, 2.0 * np.pi))
    hum /= np.sqrt(np.mean(hum**2))
    return np.asarray(hum + uniform(rng, 0.3, 0.8) * _coloured(length, uniform(rng, 0.5, 1.5), rng))


def _machine(length: int, side: Side, rng: np.random.Generator) -> Samples:
    """A motor: one pulse for each turn, all slightly different, through three resonances, over a rush of air."""
    signal = optional("scipy.signal")
    turns_hz = _between(side, 9.0, 55.0, rng)
    places = np.cumsum(rng.normal(1.0, 0.03, int(length * turns_hz / SAMPLE_RATE) + 8)) * SAMPLE_RATE / turns_hz
    places = places[places < length].astype(np.int64)
    pulses = np.bincount(places, rng.normal(1.0, 0.25, len(places)), length)
    motor = np.zeros(length)
    for centre_hz in rng.uniform(200.0, 4_500.0, 3):
        b, a = signal.iirpeak(centre_hz, uniform(rng, 3.0, 12.0), fs=SAMPLE_RATE)
        motor += signal.lfilter(b, a, pulses)
    motor /= np.sqrt(np.mean(motor**2))
    return np.asarray(motor + uniform(rng, 0.4, 0.9) * _coloured(length, 1.0, rng))


KINDS: dict[str, Callable[[int, Side, np.random.Generator], Samples]] = {
    "babble": _babble,
    "stationary": _stationary,
    "modulated": _modulated,
    "knocking": _knocking,
    "humming": _humming,
    "machine": _machine,
}
