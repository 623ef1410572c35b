"""An open audio file: whether it is whole, how long it is, its digest and its samples.

torchaudio 2.11 reads files through another package, so soundfile decodes; it looks at the contents of a file, not at
its name, and refuses what it cannot read. libsndfile is trusted with samples, not with lengths: it takes a WAV or OGG
file that was cut off for a shorter one, and guesses how long an MP3 file without a Xing header is.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import math
import os
import re
import stat
import weakref
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from seedpipe.errors import AudioError

Waveform = NDArray[np.float32]
Identity = tuple[int, Path, int, int, int]
EXTENSIONS = frozenset({".aif", ".aiff", ".flac", ".mp3", ".oga", ".ogg", ".opus", ".wav"})
MOST_FRAMES = 2**32  # a day of 48 kHz; FLAC written to a pipe claims 2**63, as its header does not know
BLOCK = 2**12  # frames decoded at a time; FLAC frames are this long, so what a cut one still holds is counted exactly
HASHED = 2**20  # bytes hashed at a time
OGG_PAGE = 27 + 255 + 255 * 255  # bytes of the longest page
EXACT_SEEK = frozenset({"WAV", "WAVEX", "RF64", "FLAC", "AIFF"})  # measured against a straight decode; OGG fails it
WIDTHS = {"PCM_S8": 1, "PCM_U8": 1, "PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4, "DOUBLE": 8}  # bytes of a sample
# What libsndfile's log says of a chunk or a frame count that promises more than the file has.
PROMISED_BYTES = re.compile(r"^ ?(?:data|SSND) : (\d+) \(should be (\d+)\)", re.MULTILINE)
PROMISED_FRAMES = re.compile(r"^\*\*\* Calculated frame count \d+ does not match .* chunk of (\d+)", re.MULTILINE)
NIST_FRAMES = re.compile(rb"^sample_count -i (\d+)", re.MULTILINE)
NIST_HEADER = 1_024  # bytes


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
        self.path = path
        self._descriptor = _open(path)
        self._release = weakref.finalize(self, os.close, self._descriptor)
        status = os.fstat(self._descriptor)
        self.identity, self.size = identity(path, status), status.st_size
        self.position = 0

    def close(self) -> None:
        """Close the decoder and the file."""
        self._rewind()
        self._release()

    @property
    def sample_rate(self) -> int:
        """Frames per second."""
        return int(self._decoder.samplerate)

    @property
    def seeks(self) -> bool:
        """Whether the decoder gets to a frame at once, and exactly."""
        exact = self._decoder.format in EXACT_SEEK and self._decoder.subtype != "MPEG_LAYER_III"  # in a WAV file
        return exact and soundfile.SoundFile.seekable(self._decoder)

    def digest(self) -> str:
        """Digest of the bytes; the decoder stays where it is."""
        digest = hashlib.blake2b(digest_size=16)
        place = 0
        while block := self._bytes(place, HASHED):
            digest.update(block)
            place += len(block)
        return digest.hexdigest()

    @functools.cached_property
    def frames(self) -> int:
        """Frames of a file that is whole and says how long it is; any other is refused."""
        frames: int = self._decoder.frames
        if frames == 0:
            raise AudioError("holds no samples", file=self.path, remedy="remove the file or record it again")
        if frames > MOST_FRAMES:
            raise _unbounded(self.path)
        if self._decoder.format == "MP3" and not self._has_xing():
            return self._counted(frames)
        promised = self._promised(frames)
        if promised > frames:
            raise _cut_off(self.path, frames, promised)
        if self._decoder.format == "OGG" and not self._has_end():
            raise _cut_off(self.path, frames)
        return frames

    def read(self, start: int, stop: int) -> Waveform:
        """Mean of the channels of the frames from ``start`` to before ``stop``."""
        if max(start + 1, stop) > self.frames:
            raise _cut_off(self.path, self.frames, max(start + 1, stop))
        try:
            mono = np.empty(stop - start, np.float32)
        except MemoryError as error:
            raise _unbounded(self.path) from error
        try:
            if self.seeks and start != self.position:
                self.position = self._decoder.seek(start)
            whole = self._decode(start - self.position) and self._decode(stop - start, mono)
        except soundfile.LibsndfileError:
            whole = False
        if not whole:
            raise _cut_off(self.path, self._count(), self.frames)
        return mono

    @functools.cached_property
    def _decoder(self) -> _Decoder:
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        try:
            return _Decoder(self._descriptor, closefd=False)
        except soundfile.LibsndfileError as error:
            raise _unreadable(self.path, self.size, error) from error

    def _decode(self, frames: int, mono: Waveform | None = None) -> bool:
        """Go ``frames`` on, block by block; False where the file ends before."""
        block = np.empty((min(BLOCK, frames), self._decoder.channels), np.float32)
        for first in range(0, frames, BLOCK):
            wanted = min(BLOCK, frames - first)
            found = self._decoder.read(out=block[:wanted])
            self.position += len(found)
            if mono is not None:
                with np.errstate(invalid="ignore", over="ignore"):  # whoever reads refuses what is not finite
                    found.mean(axis=1, out=mono[first : first + len(found)])
            if len(found) < wanted:
                return False
        return True

    def _count(self) -> int:
        """Decode from the start and count, up to the end or to a block that holds an error."""
        self._rewind()
        with contextlib.suppress(soundfile.LibsndfileError):
            self._decode(self._decoder.frames)
        return self.position

    def _rewind(self) -> None:
        """Back to the start, where the decoder is opened when it is needed next."""
        self.position = 0
        if "_decoder" in vars(self):
            self._decoder.close()
            del self._decoder

    def _counted(self, guess: int) -> int:
        """Frames of an MP3 file that does not say; libsndfile decodes no more than it has guessed."""
        frames = self._count()
        if frames == guess:
            raise _unbounded(self.path)
        self._rewind()
        return frames

    def _has_xing(self) -> bool:
        """Whether the first frame of an MP3 file gives the number of frames."""
        tag = self._bytes(0, 10)
        skipped = 0
        if tag.startswith(b"ID3"):  # four bytes of seven bits
            skipped = 10 + sum(byte << shift for byte, shift in zip(tag[6:], (21, 14, 7, 0), strict=True))
        return any(name in self._bytes(skipped, 512) for name in (b"Xing", b"Info", b"VBRI"))

    def _promised(self, frames: int) -> int:
        """Frames that the header of a WAV, AIFF or NIST file speaks of; 0 if it promises no more than there are."""
        log: str = self._decoder.extra_info
        if self._decoder.format == "NIST":
            found = NIST_FRAMES.search(self._bytes(0, NIST_HEADER))
            return int(found[1]) if found else 0
        if counted := PROMISED_FRAMES.search(log):
            return int(counted[1])
        if not (chunk := PROMISED_BYTES.search(log)):
            return 0
        promised, there = int(chunk[1]), int(chunk[2])
        if promised & 0x7FFF_0000 == 0x7FFF_0000:  # what is written to a pipe whose length is not known yet
            return 0
        width = self._decoder.channels * WIDTHS.get(self._decoder.subtype, 0) or there / frames
        return frames + math.ceil((promised - there) / width)

    def _has_end(self) -> bool:
        """Whether the last page of an OGG file is whole and marked as the last."""
        tail = self._bytes(max(0, self.size - OGG_PAGE), OGG_PAGE)
        page = tail[tail.rfind(b"OggS") :]
        segments = page[26] if len(page) > 26 else 0
        return len(page) >= 27 + segments + sum(page[27 : 27 + segments]) and bool(page[5] & 4)

    def _bytes(self, place: int, count: int) -> bytes:
        try:
            return os.pread(self._descriptor, count, place)
        except OSError as error:
            raise _closed(self.path, error.strerror or str(error)) from error


def _open(path: Path) -> int:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # or a pipe would wait for its writer
    except (OSError, ValueError) as error:  # a name in a manifest may hold a NUL
        raise _closed(path, getattr(error, "strerror", None) or str(error)) from error
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return descriptor
    os.close(descriptor)
    raise _closed(path, "is a directory" if stat.S_ISDIR(mode) else "is a pipe or a device")


def identity(path: Path, status: os.stat_result) -> Identity:
    """What tells files apart unread; with the process, as a fork would share the place in an open file."""
    return os.getpid(), path, status.st_size, status.st_mtime_ns, status.st_ino


def _closed(path: Path, reason: str) -> AudioError:
    return AudioError(
        f"cannot be read ({reason.lower()})", expected="an audio file", remedy="check the path", file=path
    )


def _cut_off(path: Path, frames: int, promised: int | None = None) -> AudioError:
    return AudioError(
        f"ends after {frames} " + (f"of {promised} frames" if promised else "frames, before its stream ends"),
        expected="a file that is neither cut off nor damaged",
        remedy="copy the file again, remove it or set extract.on_bad_audio: skip",
        file=path,
    )


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
