"""What a network heard: waveform and spectrogram."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.colors import ListedColormap, to_rgba

from seedpipe.results.figures.look import AFTER

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

_COLUMNS = 300  # of a waveform: more than can be told apart in a column of a paper
_WINDOW_SECONDS, _HOP_SECONDS = 0.025, 0.010
_RANGE_DB = 60.0
# From the page, whatever its colour, to full colour; in few steps, so that the picture is small.
_LEVELS = ListedColormap([to_rgba(AFTER, step / 15) for step in range(16)])


def waveform(axes: Axes, samples: NDArray[np.float32], sample_rate: int) -> Axes:
    """Draw samples against time, as the range that they cover in each of some hundred columns.

    Parameters
    ----------
    axes : Axes
    samples : ndarray of float32, shape (T,)
        Within [-1, 1].
    sample_rate : int
        In Hz.
    """
    columns = np.array_split(samples, min(_COLUMNS, samples.size))
    times = np.linspace(0.0, samples.size / sample_rate, len(columns))
    low, high = (np.array([reduce(part) for part in columns]) for reduce in (np.min, np.max))
    axes.fill_between(times, low, high, color=AFTER, linewidth=0.4)
    loudest = float(max(np.abs(samples).max(), 1e-4))
    axes.set(xlim=(0.0, samples.size / sample_rate), ylim=(-loudest, loudest), yticks=[], xlabel="Time, s")
    axes.spines["left"].set_visible(False)
    axes.grid(visible=False)
    return axes


def spectrogram(axes: Axes, samples: NDArray[np.float32], sample_rate: int) -> Axes:
    """Draw the power of short windows by frequency, 60 dB below the loudest and up.

    Parameters
    ----------
    axes : Axes
    samples : ndarray of float32, shape (T,)
    sample_rate : int
        In Hz.
    """
    window, hop = round(_WINDOW_SECONDS * sample_rate), round(_HOP_SECONDS * sample_rate)
    padded = np.pad(samples, (0, max(0, window - samples.size)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, window)[::hop] * np.hanning(window)
    power = np.abs(np.fft.rfft(frames, 2 ** int(np.ceil(np.log2(window))), axis=1)) ** 2
    level_db = 10.0 * np.log10(np.maximum(power / max(power.max(), 1e-20), 10.0 ** (-_RANGE_DB / 10.0)))
    axes.imshow(
        level_db.T,
        aspect="auto",
        cmap=_LEVELS,
        extent=(0.0, samples.size / sample_rate, 0.0, sample_rate / 2000.0),
        interpolation_stage="data",
        origin="lower",
        vmin=-_RANGE_DB,
        vmax=0.0,
    )
    axes.set(xlabel="Time, s", ylabel="kHz")
    axes.grid(visible=False)
    return axes
