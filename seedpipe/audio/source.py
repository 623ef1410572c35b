"""An open audio file: whether it is whole, how long it is, and its samples.

torchaudio 2.11 reads files through another package, so soundfile decodes; it looks at the contents of a file, not at
its name, and refuses what it cannot read. libsndfile is trusted with samples, not with lengths:
:mod:`seedpipe.audio.containers` says what a file holds.
"""

from __future__ import annotations

import contextlib
import functools
import math
import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from seedpipe.audio.containers import READ, OpenFile, Stream, walk
from seedpipe.audio.containers.opened import Shown
from seedpipe.audio.levels import Levels, Relation
from seedpipe.errors import AudioError, counted
from seedpipe.params import Channel

Waveform = NDArray[np.float32]
EXTENSIONS = frozenset(".aif .aifc .aiff .au .flac .mp3 .nist .oga .ogg .opus .rf64 .snd .sph .w64 .wav .wave".split())
MOST_FRAMES = 2**32  # a day of 48 kHz
EXAMINED_SECONDS = 600  # of a file, for remarks; what cannot be used is refused wherever it is read
BLOCK = 2**12  # frames decoded at a time; FLAC frames are this long, so what a cut one still holds is counted exactly
EXACT_SEEK = frozenset({"WAV", "WAVEX", "RF64", "FLAC", "AIFF"})  # measured against a straight decode; OGG fails it
WIDTHS = {"PCM_S8": 1, "PCM_U8": 1, "PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4, "DOUBLE": 8}  # bytes of a sample
WIDTHS |= {"ULAW": 1, "ALAW": 1}
# What libsndfile's log says of a frame count of AIFF that promises more than the file has.
PROMISED_FRAMES = re.compile(r"^\*\*\* Calculated frame count \d+ does not match .* chunk of (\d+)", re.MULTILINE)


class _Decoder(soundfile.SoundFile):  # type: ignore[misc]  # it has no types
    """soundfile seeks after every read of a file that it thinks seekable, which breaks formats with inexact seeks."""

    def seekable(self) -> bool:
        return False


class Source:
    """An open audio file: one descriptor from the digest to the last sample, and a decoder at some frame of it.

    Parameters
    ----------
    path : Path

    Raises
    ------
    AudioError
        The file cannot be opened; methods raise it for what they find.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.file = path, OpenFile(path)
        self.position = 0

    def close(self) -> None:
        """Close the decoder and the file."""
        self._rewind()
        self.file.close()

    @property
    def sample_rate(self) -> int:
        """Frames per second."""
        return int(self._decoder.samplerate)

    @property
    def seeks(self) -> bool:
        """Whether the decoder gets to a frame at once, and exactly."""
        exact = self._decoder.format in EXACT_SEEK and self._decoder.subtype != "MPEG_LAYER_III"  # in a WAV file
        return exact and soundfile.SoundFile.seekable(self._decoder)

    @functools.cached_property
    def frames(self) -> int:
        """Frames of a file that is whole and says how long it is; any other is refused."""
        frames, stream = int(self._decoder.frames), self._stream
        if frames == 0:
            raise AudioError("holds no samples", file=self.path, remedy="remove the file or record it again")
        if stream.cut or stream.rest:
            raise self._broken(stream, frames)
        if frames > MOST_FRAMES:
            raise _unbounded(self.path)
        if stream.frames is not None and not self._mended:
            frames = min(frames, stream.frames)
        self._check_payload(stream, frames)
        return frames

    @property
    def channels(self) -> int:
        """Channels of the file."""
        return int(self._decoder.channels)

    def read(self, start: int, stop: int, channel: Channel = "mean") -> Waveform:
        """A channel, or the mean of all, of the frames from ``start`` to before ``stop``."""
        self._check_channel(channel)
        if max(start + 1, stop) > self.frames:
            raise _cut_off(self.path, self.frames, max(start + 1, stop))
        try:
            mono = np.empty(stop - start, np.float32)
        except MemoryError as error:
            raise _unbounded(self.path) from error
        levels, place = Levels(self.path), 0
        for block in self._blocks(start, stop):
            part = mono[place : place + len(block)]
            with np.errstate(invalid="ignore", over="ignore"):  # what is not finite is refused below
                used = block if channel == "mean" else block[:, [channel]]
                used.mean(axis=1, out=part)
                if self._scaled or self.channels > 1:
                    levels.add(used, part)
            place += len(part)
        self._check(mono, levels)
        return mono

    def remark(self, channel: Channel = "mean") -> str:
        """What is odd about the audio of the first minutes, as :meth:`Relation.remark` or :meth:`Levels.remark` say it.

        Only what may be odd is decoded: a mean of several channels, or samples of a scale that is not certain.

        Raises
        ------
        AudioError
            The channels cancel, there is no such channel, or the scale of the samples is another one.
        """
        self._check_channel(channel)
        mixed = channel == "mean" and self.channels > 1
        if not self._scaled and not mixed:
            return ""
        relation, levels = Relation(self.channels, self.sample_rate), Levels(self.path)
        for block in self._blocks(0, min(self.frames, EXAMINED_SECONDS * self.sample_rate)):
            used = block if channel == "mean" else block[:, [channel]]
            levels.add(used, used.mean(axis=1))
            if mixed:
                relation.add(used)
        if not math.isfinite(levels.power):
            return ""  # whoever reads the file refuses it
        levels.check_scale()
        levels.check_mean()
        return relation.remark() or levels.remark()

    @property
    def _scaled(self) -> bool:
        """Whether samples may be at another scale than they claim."""
        return self._decoder.subtype in ("FLOAT", "DOUBLE", "PCM_24", "PCM_32")

    def _check_channel(self, channel: Channel) -> None:
        if channel != "mean" and channel >= self.channels:
            raise AudioError(
                f"has no channel {channel}",
                expected="channel 0 alone" if self.channels == 1 else f"0 to {self.channels - 1}, or their mean",
                remedy="set audio.channel, or seedpipe manifest --channel",
                file=self.path,
            )

    def _check(self, mono: Waveform, levels: Levels) -> None:
        """Refuse what cannot be used of what was read."""
        if not np.isfinite(mono).all():
            count = int(mono.size - np.isfinite(mono).sum())
            remedy = "remove the file or record it again"
            raise AudioError(f"{counted(count, 'sample', 'is/are')} not finite", file=self.path, remedy=remedy)
        levels.check_scale()
        levels.check_mean()

    def _blocks(self, start: int, stop: int) -> Iterator[Waveform]:
        """Decode from one frame to before another, block by block, each shape (N, C) and overwritten by the next."""
        try:
            if self.seeks and start != self.position:
                self.position = self._decoder.seek(start)
            buffer = np.empty((BLOCK, self.channels), np.float32)
            while self.position < stop:
                wanted = min(BLOCK, (start if self.position < start else stop) - self.position)
                found = self._decoder.read(out=buffer[:wanted])
                if self.position >= start and len(found):
                    yield found
                self.position += len(found)
                if len(found) < wanted:
                    raise _cut_off(self.path, self._count(), self.frames)
        except soundfile.LibsndfileError:
            raise _cut_off(self.path, self._count(), self.frames) from None

    @functools.cached_property
    def _walked(self) -> Stream | None:
        return walk(self.file)

    @property
    def _stream(self) -> Stream:
        if self._walked is None or self._decoder.format not in READ:
            raise AudioError(
                f"is a file of {self._decoder.format}, whose length cannot be checked",
                expected=_kinds(),
                remedy="convert the file (sox in.wav out.flac)",
                file=self.path,
            )
        return self._walked

    @functools.cached_property
    def _mended(self) -> bool:
        """Whether a decoder has to be shown a header that is right."""
        stream = self._walked
        if stream is None or not stream.head:
            return False
        if stream.frames is None:
            return True
        try:
            with contextlib.closing(self._opened(None)) as decoder:
                return int(decoder.frames) < stream.frames
        except AudioError:
            return True

    @functools.cached_property
    def _decoder(self) -> _Decoder:
        return self._opened(self._walked if self._mended else None)

    def _opened(self, stream: Stream | None) -> _Decoder:
        """A decoder of the file, or of what a stream has it shown instead."""
        os.lseek(self.file.descriptor, 0, os.SEEK_SET)
        try:
            if stream is None:
                return _Decoder(self.file.descriptor, closefd=False)
            return _Decoder(Shown(self.file, stream.head, stream.start, stream.stop))
        except soundfile.LibsndfileError as error:
            raise _unreadable(self.path, self.file.size, error) from error

    def _count(self) -> int:
        """Decode from the start and count, up to the end or to a block that holds an error."""
        self._rewind()
        block, frames = np.empty((BLOCK, self.channels), np.float32), int(self._decoder.frames)
        with contextlib.suppress(soundfile.LibsndfileError):
            while found := len(self._decoder.read(out=block[: max(0, min(BLOCK, frames - self.position))])):
                self.position += found
        return self.position

    def _rewind(self) -> None:
        """Back to the start, where the decoder is opened when it is needed next."""
        self.position = 0
        if "_decoder" in vars(self):
            self._decoder.close()
            del self._decoder

    def _broken(self, stream: Stream, frames: int) -> AudioError:
        """The refusal of a stream that breaks off, or that something else follows."""
        found = self._count()
        if stream.cut or found < frames:
            return _cut_off(self.path, found, frames if found < frames else None)
        count = counted(stream.rest, "byte") if stream.rest > 0 else "bytes"
        return AudioError(
            f"holds {count} that are no part of its stream, and would not be read",
            expected="one stream from the first byte to the last",
            remedy="decode the file into a new one (ffmpeg -i in out.flac) and compare, or remove it",
            file=self.path,
        )

    def _check_payload(self, stream: Stream, frames: int) -> None:
        """Compare the frames with the bytes of samples, and with those that the header speaks of."""
        if counted := PROMISED_FRAMES.search(self._decoder.extra_info):
            promised = int(counted[1])
            if promised > frames:
                raise _cut_off(self.path, frames, promised)
        if stream.payload is None:
            return
        width = self._decoder.channels * WIDTHS.get(self._decoder.subtype, 0)
        if stream.lacking:
            per_frame = width or stream.payload / frames
            raise _cut_off(self.path, frames, frames + math.ceil(stream.lacking / per_frame))
        if width and stream.width and width != stream.width:
            raise AudioError(
                f"has a header that says {stream.width} bytes of a frame, and {width} by its channels and bits",
                expected="a header that does not contradict itself",
                remedy="find out which is right, and write the file again (sox -t raw)",
                file=self.path,
            )
        if width and frames != stream.payload // width:
            raise AudioError(
                f"has {stream.payload // width} frames, of which libsndfile finds {frames}",
                expected="a header that it reads rightly",
                remedy="write the file again (sox in.wav out.flac)",
                file=self.path,
            )


def _cut_off(path: Path, frames: int, promised: int | None = None) -> AudioError:
    return AudioError(
        "ends after "
        + counted(frames, "frame", of=promised or None)
        + ("" if promised else ", before its stream ends"),
        expected="a file that is neither cut off nor damaged",
        remedy="copy the file again, remove it or set extract.on_bad_audio: skip",
        file=path,
    )


def _kinds() -> str:
    return f"one of {', '.join(sorted(extension.removeprefix('.') for extension in EXTENSIONS))}"


def _unreadable(path: Path, size: int, error: soundfile.LibsndfileError) -> AudioError:
    reason = error.error_string.rstrip(".")  # its own text adds the address of a buffer, another one in every run
    return AudioError(
        f"is not readable audio ({counted(size, 'byte')}; {reason})",
        expected=_kinds(),
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
