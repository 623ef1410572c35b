"""Decode, resample and crop: the only module that opens audio files.

torchaudio 2.11 reads files through another package, so soundfile decodes; it looks at the contents of a file, not at
its name, and refuses what it cannot read.
"""

from __future__ import annotations

import functools
import hashlib
import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soundfile
from numpy.typing import NDArray

from seedpipe.errors import AudioError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["EXTENSIONS", "AudioInfo", "Waveform", "crop", "even_starts", "probe", "read_audio"]

Waveform = NDArray[np.float32]
EXTENSIONS = frozenset({".aif", ".aiff", ".flac", ".mp3", ".oga", ".ogg", ".opus", ".wav"})
MOST_FRAMES = 2**32  # a day of 48 kHz; FLAC written to a pipe claims 2**63, as its header does not know
LOWEST_RATE = 1_000  # frames per second
MOST_TAPS = 2**25  # of a resampling filter bank: 128 MiB, and four times that while it is computed


@dataclass(frozen=True)
class AudioInfo:
    """What a manifest says of a file: size in bytes, length in frames, frames per second, digest of its bytes."""

    bytes: int
    frames: int
    sample_rate: int
    digest: str


def probe(path: Path) -> AudioInfo:
    """Read header and bytes of a file without decoding it.

    Raises
    ------
    AudioError
        The file is missing, unreadable, of an unknown format or without samples.
    """
    data = _bytes(path)
    try:
        info = soundfile.info(io.BytesIO(data))
    except soundfile.LibsndfileError as error:
        raise _unreadable(path, len(data), error) from error
    if info.frames == 0:
        raise AudioError("holds no samples", file=path, remedy="remove the file or record it again")
    if info.frames > MOST_FRAMES:
        raise _unbounded(path)
    return AudioInfo(len(data), info.frames, info.samplerate, _digest(data))


def read_audio(path: Path, sample_rate: int, digest: str | None = None) -> Waveform:
    """Decode a file to one channel at the wanted rate.

    Parameters
    ----------
    path : Path
    sample_rate : int
        Samples per second of the result.
    digest : str, optional
        Refuse the file unless its bytes have this digest, the one in the manifest.

    Returns
    -------
    ndarray of float32, shape (samples,)
        The mean of the channels, nominally in [-1, 1].

    Raises
    ------
    AudioError
        The file cannot be read, is empty, holds values that are not finite, or is not the one in the manifest.
    """
    data = _bytes(path)
    if digest is not None and _digest(data) != digest:
        raise AudioError(
            "has changed since the manifest was written",
            expected=f"digest {digest}, found {_digest(data)}",
            remedy="write the manifest again (dvc repro --force corpus, or seedpipe manifest)",
            file=path,
        )
    try:
        samples, rate = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise _unreadable(path, len(data), error) from error
    except (MemoryError, ValueError) as error:
        raise _unbounded(path) from error
    mono: Waveform = samples.mean(axis=1, dtype=np.float32)
    if mono.size == 0:
        raise AudioError("holds no samples", file=path, remedy="remove the file or record it again")
    if not np.isfinite(mono).all():
        count = int(mono.size - np.isfinite(mono).sum())
        raise AudioError(f"{count} samples are not finite", file=path, remedy="remove the file or record it again")
    if rate == sample_rate:
        return mono
    _check_rate(path, rate, sample_rate)
    return _resample(mono, rate, sample_rate)


def crop(waveform: Waveform, start: int, samples: int) -> Waveform:
    """Cut ``samples`` from ``start`` on; audio that is too short is wrapped around.

    Examples
    --------
    >>> crop(np.arange(3, dtype=np.float32), 0, 5).tolist()
    [0.0, 1.0, 2.0, 0.0, 1.0]
    """
    if start + samples <= waveform.size:
        return waveform[start : start + samples]
    return np.resize(np.roll(waveform, -start) if start else waveform, samples)


def even_starts(length: int, samples: int, count: int) -> list[int]:
    """First samples of ``count`` evenly spaced crops, as the paper scores (authors' evaluation loader).

    Parameters
    ----------
    length : int
        Samples of the utterance.
    samples : int
        Samples of a crop.
    count : int
        Number of crops; the first starts at 0, the last ends with the utterance. Shorter audio starts at 0 each time,
        where the authors' loader starts the last crop at 1: it fills short audio up to one sample more than a crop.

    Examples
    --------
    >>> even_starts(50_000, 32_240, 3)
    [0, 8880, 17760]
    """
    return [int(start) for start in np.linspace(0, max(0, length - samples), count)]


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        reason = error.strerror or str(error)
        raise AudioError(
            f"cannot be read ({reason.lower()})", expected="an audio file", remedy="check the path", file=path
        ) from error


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _unreadable(path: Path, size: int, error: soundfile.LibsndfileError) -> AudioError:
    kinds = ", ".join(sorted(extension.removeprefix(".") for extension in EXTENSIONS))
    reason = error.error_string.rstrip(".")  # its own text adds the address of a buffer, another one in every run
    return AudioError(
        f"is not readable audio ({size} bytes; {reason})",
        expected=f"one of {kinds}",
        remedy="remove the file, convert it or set extract.on_bad_audio: skip",
        file=path,
    )


def _unbounded(path: Path) -> AudioError:
    return AudioError(
        "does not say how long it is",
        expected=f"a length of at most {MOST_FRAMES:,} frames in its header",
        remedy="write the file again, not through a pipe (ffmpeg -i in.flac out.flac)",
        file=path,
    )


def _check_rate(path: Path, rate: int, wanted: int) -> None:
    """Refuse rates for which the resampler's filter bank, or its result, would not fit into memory."""
    common = math.gcd(rate, wanted)
    if rate < LOWEST_RATE or (rate // common) * (wanted // common) > MOST_TAPS:
        raise AudioError(
            f"has {rate} frames per second, from which {wanted} cannot be made",
            expected="a common rate, such as 8,000, 44,100 or 48,000",
            remedy=f"resample the file (sox in.wav -r {wanted} out.wav)",
            file=path,
        )


@functools.lru_cache(maxsize=16)
def _resampler(rate: int, wanted: int) -> Callable[[Tensor], Tensor]:
    import torchaudio

    resampler: Callable[[Tensor], Tensor] = torchaudio.transforms.Resample(rate, wanted)
    return resampler


def _resample(waveform: Waveform, rate: int, wanted: int) -> Waveform:
    import torch

    resampled: Waveform = _resampler(rate, wanted)(torch.from_numpy(waveform)).numpy()
    return resampled
