"""One row of a cache to listen to and to look at, under each of its variants."""

from __future__ import annotations

import base64
import contextlib
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from seedpipe.errors import SeedpipeError
from seedpipe.files import StrPath
from seedpipe.results import figures
from seedpipe.results.svg import Drawings

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from seedpipe.cache import Cache

_SECONDS, _VARIANTS = 4.0, 6  # keep the page small
_QUALITY = 0.5  # of MP3, which every browser plays: about 10 kB a second, a third of what samples of 16 bits take


@dataclass(frozen=True)
class Heard:
    """What the network heard of one row.

    Attributes
    ----------
    about : str
        Which row it is; or why there is nothing to hear.
    sample_rate : int
        In Hz.
    waveforms : mapping of str to ndarray of float32, shape (T,)
        By what the variants are called.
    """

    about: str
    sample_rate: int = 0
    waveforms: Mapping[str, NDArray[np.float32]] | None = None


def first_row(cache: StrPath, manifests: StrPath) -> Heard:
    """Make the audio of the first row of a cache again, where its audio is at hand: a few seconds, a few variants."""
    from seedpipe.cache import open_cache
    from seedpipe.extract import render_row

    try:
        opened = open_cache(cache)
        variants = opened.info.variants[:_VARIANTS]
        found = render_row(opened, 0, manifests, variants)
    except (SeedpipeError, OSError) as error:
        return Heard(f"There is no audio of the cache {cache} to listen to here: {error}.")
    rate = opened.info.network.sample_rate
    most = round(_SECONDS * rate)
    begin = "" if found[variants[0]].size <= most else f", the first {_SECONDS:g} s"
    names = dict(zip(variants, _names(opened, variants), strict=True))
    return Heard(
        f"Utterance {opened.row(0, ['utterance'])['utterance']}, row 0 of {cache}{begin}.",
        rate,
        {names[variant]: samples[:most] for variant, samples in found.items()},
    )


def _names(cache: Cache, variants: Sequence[str]) -> Iterator[str]:
    """Variants with the SNR that was drawn for them."""
    for variant, snr_db in zip(variants, cache.row(0, ["snr_db"])["snr_db"], strict=False):
        yield f"{variant}, {snr_db:.1f} dB" if np.isfinite(snr_db) and "@" not in variant else variant


def players(heard: Heard | None, drawings: Drawings) -> list[tuple[str, Markup]]:
    """Draw the variants, each above its player."""
    if heard is None or heard.waveforms is None:
        return []
    return [(name, _player(drawings, name, one, heard.sample_rate)) for name, one in heard.waveforms.items()]


def _player(drawings: Drawings, name: str, samples: NDArray[np.float32], rate: int) -> Markup:
    def paint(axes: Sequence[Axes]) -> None:
        figures.waveform(axes[0], samples, rate)
        figures.spectrogram(axes[1], samples, rate)
        axes[0].spines["bottom"].set_visible(False)
        axes[0].label_outer()

    label = f"Waveform and spectrogram of {name}: {samples.size / rate:.1f} s"
    drawn = drawings.draw(label, (258.0, 176.0), paint, margins=(32.0, 8.0, 2.0, 36.0), heights=(1.0, 2.5), gap=4.0)
    audio = _encoded(samples, rate)
    if not audio:
        return drawn
    source = "data:audio/mpeg;base64," + base64.b64encode(audio).decode("ascii")
    return drawn + Markup('<audio controls preload="metadata" aria-label="{}" src="{}"></audio>').format(name, source)


def _encoded(samples: NDArray[np.float32], rate: int) -> bytes:
    """As MP3; nothing where the installed libsndfile cannot write it, or not at this rate."""
    import soundfile

    written = io.BytesIO()
    with contextlib.suppress(soundfile.LibsndfileError, ValueError):
        soundfile.write(written, np.clip(samples, -1.0, 1.0), rate, format="MP3", compression_level=_QUALITY)
    return written.getvalue()
