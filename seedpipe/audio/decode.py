"""Decode, resample and crop: with :mod:`seedpipe.audio.source`, the only place where audio is read to be used."""

from __future__ import annotations

import contextlib
import functools
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from seedpipe.audio.containers.opened import Identity, identity
from seedpipe.audio.source import Source, Waveform
from seedpipe.errors import AudioError
from seedpipe.files import StrPath
from seedpipe.params import Channel

if TYPE_CHECKING:
    from torch import Tensor

LOWEST_RATE = 1_000  # frames per second
MOST_TAPS = 2**25  # of a resampling filter bank: 128 MiB, and four times that while it is computed
REMEMBERED = 64  # verified files of one thread


@dataclass(frozen=True)
class AudioInfo:
    """What a manifest says of a file: bytes, frames, frames per second, digest of the bytes, channels.

    ``remark`` is what is odd about these: see :data:`seedpipe.audio.manifest.REMARKS`.
    """

    bytes: int
    frames: int
    sample_rate: int
    digest: str
    channels: int = 1
    remark: str = ""


def probe(path: StrPath, channel: Channel = "mean") -> AudioInfo:
    """Walk the container of a file and hash its bytes; what has several channels, or floating point, is decoded, too.

    Parameters
    ----------
    path : str or path
    channel : "mean" or int
        What is to be heard of the file; of a single channel, its relation to others is no matter.

    Raises
    ------
    AudioError
        The file is missing, unreadable, of an unknown format, without samples, shorter or longer than it states,
        several streams in one, without that channel, at another scale than [-1, 1], or of channels that cancel.
    """
    with contextlib.closing(Source(Path(path))) as source:
        frames, remark = source.frames, source.remark(channel)
        return AudioInfo(source.file.size, frames, source.sample_rate, source.file.digest(), source.channels, remark)


def read_audio(
    path: StrPath,
    sample_rate: int | None,
    digest: str | None = None,
    start_frame: int = 0,
    frames: int | None = None,
    channel: Channel = "mean",
) -> Waveform:
    """Decode a file, or a part of it, to one channel at the wanted rate.

    Parameters
    ----------
    path : str or path
    sample_rate : int, optional
        Samples per second of the result; None for those of the file, whatever they are.
    digest : str, optional
        Refuse the file unless its bytes have this digest, the one in the manifest. A file that this thread has
        verified is hashed again only when its size or its time of change differs.
    start_frame : int
        First frame of the part, in frames of the file.
    frames : int, optional
        Length of the part, in frames of the file; all that follow if not given.
    channel : "mean" or int
        One channel of the file, counted from 0, or the mean of all.

    Returns
    -------
    ndarray of float32, shape (samples,)
        Nominally in [-1, 1]. The part is resampled on its own.

    Raises
    ------
    AudioError
        The file cannot be read, is empty, ends before the part does, has no such channel or channels that cancel,
        holds values there that are not finite or far beyond [-1, 1], or is not the one in the manifest.
    """
    path = Path(path)
    with contextlib.ExitStack() as closing:
        source = closing.enter_context(contextlib.closing(_memory.take(path, start_frame) or Source(path)))
        if digest is not None:
            _memory.verify(source, digest)
        stop = source.frames if frames is None else start_frame + frames
        mono, rate = source.read(start_frame, stop, channel), source.sample_rate
        if stop < source.frames:
            closing.pop_all()
            _memory.keep(source)
    if sample_rate is None or rate == sample_rate:
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


def even_starts(length: int, samples: int, count: int, *, official: bool = False) -> list[int]:
    """First samples of ``count`` evenly spaced crops, as the paper scores (authors' evaluation loader).

    Parameters
    ----------
    length : int
        Samples of the utterance.
    samples : int
        Samples of a crop.
    count : int
        Number of crops; the first starts at 0, the last ends with the utterance. Where the audio is shorter than a
        crop, all start at 0.
    official : bool
        Fill short audio up to one sample more than a crop, as the authors' loader does: the last crop then starts at 1.

    Examples
    --------
    >>> even_starts(50_000, 32_240, 3)
    [0, 8880, 17760]
    """
    last = length - samples if length > samples else int(official)
    return [int(start) for start in np.linspace(0, last, count)]


class _Memory(threading.local):
    """What a thread has just read: segments come in a row, and a file is opened and hashed once for all of its own."""

    def __init__(self) -> None:
        self._source: Source | None = None
        self._verified: dict[tuple[Identity, str], None] = {}

    def take(self, path: Path, start: int) -> Source | None:
        """The source kept, if it is that of this very file and can get to the frame."""
        source = self._source
        if source is None or not (source.seeks or source.position <= start):
            return None
        try:
            same = source.file.identity == identity(path, path.stat())
        except OSError:
            return None  # the one who opens it says why
        if not same:
            return None
        self._source = None
        return source

    def keep(self, source: Source) -> None:
        if self._source is not None:
            self._source.close()
        self._source = source

    def verify(self, source: Source, digest: str) -> None:
        """Refuse a file whose bytes do not have the digest."""
        if (source.file.identity, digest) in self._verified:
            return
        found = source.file.digest()
        if found != digest:
            raise AudioError(
                "has changed since the manifest was written",
                expected=f"digest {digest}, found {found}",
                remedy="write the manifest again (dvc repro, or seedpipe manifest)",
                file=source.path,
            )
        self._verified[source.file.identity, digest] = None
        if len(self._verified) > REMEMBERED:
            del self._verified[next(iter(self._verified))]


_memory = _Memory()


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
