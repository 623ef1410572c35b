"""What the channels of a file have to do with each other, and whether its samples are at the scale that they claim.

A mean of channels is no mean where they cancel, and two voices at once where they are the two sides of a call. Samples
in floating point may have any scale; 1 is full scale here, as in every other format.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seedpipe.errors import AudioError, counted

LOUDEST = 4.0
"""Largest sample in floating point that is taken as it is: 12 dB above full scale, as no mixture needs more."""
CANCELS = 0.01
"""Power of the mean over that of the channels, below which they cancel: -20 dB, where alike channels have 1."""
FAINT = 2.0**-15
"""Peak below one step of 16 bits: what 16-bit samples reach that were written to 32 bits without being scaled."""
JUDGED = 1_000
"""Least frames of which that is said, unless their mean is nothing at all: a few of any two channels may cancel."""
WEAKENS = 0.5
"""The same times the number of channels, below which they partly do: channels without relation have 1."""
RELATED = 0.15
"""Least correlation, at the best lag, of channels of one recording: two talkers have 0.11 at most, two microphones in a
room 0.17 at least (120 pairs of utterances of AN4 and speechocean762)."""
SILENT = 1e-6
"""Power over that of the loudest channel, below which a channel is silent."""
LAG_SECONDS = 0.02
"""Largest delay between microphones of one recording: 7 m."""
WINDOW = 2**14
"""Frames correlated at a time."""
Block = NDArray[np.float32]


class Levels:
    """What is measured while blocks of frames are averaged or a channel of them is taken.

    Parameters
    ----------
    path : Path
        The file, for refusals.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.channels, self.frames, self.peak, self.power, self.mean_power = 1, 0, 0.0, 0.0, 0.0
        self.whole = True

    def add(self, block: Block, mono: Block) -> None:
        """Count a block of frames, shape (N, C), and what was made of it, shape (N,)."""
        if mono.size == 0:
            return
        self.channels = block.shape[1]
        self.frames += len(block)
        self.peak = max(self.peak, float(np.abs(block).max()))
        self.whole = self.whole and bool((block == np.rint(block)).all())
        self.power += float(np.square(block, dtype=np.float64).sum()) / self.channels
        self.mean_power += float(np.square(mono, dtype=np.float64).sum())

    def check_scale(self) -> None:
        """Refuse samples that are far beyond full scale, or beyond it and whole numbers, as those of integers are."""
        whole = self.whole and self.peak > 1
        if self.peak > LOUDEST or whole:
            kind = "of whole numbers" * whole or f"{20 * math.log10(self.peak):.0f} dB above full scale"
            raise AudioError(
                f"has samples of up to {self.peak:,.0f}, {kind}",
                expected="floating point in [-1, 1]",
                remedy="divide them by 32,768 if they are at the scale of 16 bits (sox -v 0.000030517578125 in out)",
                file=self.path,
            )

    def remark(self) -> str:
        """What is odd about the level: ``loud``, ``faint``, or nothing."""
        return "loud" * (self.peak > 1) + "faint" * (0 < self.peak < FAINT)

    def check_mean(self) -> None:
        """Refuse a mean of channels that cancel."""
        if self.mean_power < CANCELS * self.power and (self.frames >= JUDGED or self.mean_power == 0):
            ratio = 10 * math.log10(self.mean_power / self.power) if self.mean_power else -math.inf
            below = f"{-ratio:.0f} dB below them" if math.isfinite(ratio) else "silence"
            raise AudioError(
                f"its {counted(self.channels, 'channel')} cancel: their mean is {below}",
                expected="channels of one polarity",
                remedy="take one of them (audio.channel: 0, or seedpipe manifest --channel 0)",
                file=self.path,
            )


class Relation:
    """How the channels of a file relate: their powers, and their correlation with the first one at every lag."""

    def __init__(self, channels: int, sample_rate: int) -> None:
        self._lags = min(WINDOW // 2, round(LAG_SECONDS * sample_rate))
        self._sums = np.zeros((2 * self._lags + 1, channels))
        self._powers = np.zeros(channels)
        self._mean_power = 0.0

    def add(self, block: Block) -> None:
        """Count a block of at most :data:`WINDOW` frames, shape (N, C)."""
        spectra = np.fft.rfft(block, 2 * WINDOW, axis=0)
        products = np.fft.irfft(spectra[:, :1] * spectra.conj(), axis=0)
        self._sums += np.concatenate([products[-self._lags :], products[: self._lags + 1]])
        self._powers += np.square(block, dtype=np.float64).sum(axis=0)
        self._mean_power += float(np.square(block.mean(axis=1, dtype=np.float64)).sum())

    def remark(self) -> str:
        """What is odd about the channels: ``unrelated``, ``one silent``, ``opposed``, or nothing."""
        loudest = float(self._powers.max())
        if loudest == 0:
            return ""
        if self._powers.min() < SILENT * loudest:
            return "one silent"
        best = np.abs(self._sums).max(axis=0) / np.sqrt(self._powers[0] * self._powers)
        if best.min() < RELATED:
            return "unrelated"
        return "opposed" if self._mean_power * self._powers.size < WEAKENS * self._powers.mean() else ""
