"""MP3: every frame walked, and counted against what the first one states.

Source: ISO/IEC 11172-3 and 13818-3; the headers called Xing, Info (LAME's) and VBRI are not standardised.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from seedpipe.audio.containers import tags
from seedpipe.audio.containers.opened import OpenFile
from seedpipe.audio.containers.stream import Stream, second_stream
from seedpipe.errors import AudioError

KBPS = (
    (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),  # MPEG 1
    (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),  # MPEG 2 and 2.5
)
RATES = (44_100, 48_000, 32_000)  # of MPEG 1; 2 and 2.5 have a half and a quarter of them
WINDOW = 2**16  # bytes read at a time
MIDDLE = 8  # of KBPS: a frame of this rate has room for an Info header
VBRI = 36  # bytes before it
COUNTED = 1  # flag of a Xing header that has the number of frames


@dataclass(frozen=True)
class _Header:
    """The four bytes before a frame."""

    version: int
    """0 for MPEG 1, 1 for MPEG 2, 2 for MPEG 2.5."""
    rate: int
    kbps: int
    mono: bool
    padded: bool

    @property
    def kind(self) -> tuple[int, int, bool]:
        """What all frames of a stream have in common."""
        return self.version, self.rate, self.mono

    @property
    def samples(self) -> int:
        """Samples of each channel in a frame."""
        return 576 if self.version else 1_152

    @property
    def bytes(self) -> int:
        """Bytes of the frame with its header."""
        return self.samples // 8 * self.kbps * 1_000 // self.rate + self.padded

    @property
    def xing(self) -> int:
        """Bytes before a Xing or Info header: it stands where the samples would begin."""
        return 4 + (9 if self.mono else 17) if self.version else 4 + (17 if self.mono else 32)


def is_header(mark: bytes) -> bool:
    """Whether four bytes may begin an MPEG frame of any layer."""
    return len(mark) == 4 and mark[0] == 0xFF and mark[1] & 0xE0 == 0xE0 and mark[1] & 0x18 != 0x08 and mark[1] & 6 != 0


def walk(file: OpenFile, place: int, stop: int) -> Stream:
    """All frames between two places."""
    stop = tags.before_tags(file, stop)
    first = _header(file.bytes(place, 4))
    if first is None:
        raise AudioError(
            "begins with an MPEG frame that is not layer III, or of a free bit rate",
            expected="MP3",
            remedy="decode it (ffmpeg -i in out.flac)",
            file=file.path,
        )
    opening = file.bytes(place, first.bytes)
    if place + first.bytes > stop:
        return Stream(cut=True)
    start = place + first.bytes if _is_tag(opening, first) else place
    frames, end = _count(file, first, start, stop)
    stated = _stated(opening, first) if start > place else None
    if (rest := _rest(file, end, stop)) or (stated or 0) > frames:
        cut = (stated or 0) > frames or _breaks_off(file, end, stop)
        return Stream(cut=cut, rest=0 if cut else rest)
    if stated == frames and b"VBRI" not in opening[VBRI : VBRI + 4]:
        return Stream()
    head = _counted(opening, first, frames)
    return Stream(head, start, end, frames * first.samples if start == place else None)


def _count(file: OpenFile, first: _Header, place: int, stop: int) -> tuple[int, int]:
    """Frames of the kind of the first one, and where the last of them ends."""
    frames, base, window = 0, place, b""
    while place < stop:
        if place - base + 64 > len(window):
            base, window = place, file.bytes(place, WINDOW)
        at = place - base
        header = _header(window[at : at + 4])
        if header is None or place + header.bytes > stop:
            break
        if header.kind != first.kind or _is_tag(window[at : at + 64], header):
            raise second_stream(file, place, f"MP3 ({header.rate:,} Hz)")
        frames, place = frames + 1, place + header.bytes
    return frames, place


def _rest(file: OpenFile, end: int, stop: int) -> int:
    """Bytes behind the last frame that are neither padding nor a tag."""
    behind = tags.after_id3(file, end)
    if behind > end and is_header(file.bytes(behind, 4)):
        raise second_stream(file, behind, "MP3")
    return 0 if behind >= stop or file.zeros(behind, stop) else stop - behind


def _breaks_off(file: OpenFile, end: int, stop: int) -> bool:
    """Whether a frame begins there and ends nowhere."""
    header = _header(file.bytes(end, 4))
    return stop - end < 4 if header is None else end + header.bytes > stop


def _header(data: bytes) -> _Header | None:
    """The header of a frame of layer III with a fixed length."""
    if not is_header(data) or data[1] & 6 != 2:
        return None
    version = {3: 0, 2: 1, 0: 2}[data[1] >> 3 & 3]
    kbps, rate = data[2] >> 4, data[2] >> 2 & 3
    if kbps in (0, 15) or rate == 3:
        return None
    table = KBPS[min(version, 1)]
    return _Header(version, RATES[rate] >> version, table[kbps - 1], data[3] >> 6 == 3, bool(data[2] & 2))


def _is_tag(frame: bytes, header: _Header) -> bool:
    """Whether a frame holds no audio and speaks of those that follow."""
    return frame[header.xing : header.xing + 4] in (b"Xing", b"Info") or frame[VBRI : VBRI + 4] == b"VBRI"


def _stated(opening: bytes, header: _Header) -> int | None:
    """Frames that such a frame counts."""
    if opening[VBRI : VBRI + 4] == b"VBRI":
        return int.from_bytes(opening[VBRI + 14 : VBRI + 18])
    flags, frames = struct.unpack(">II", opening[header.xing + 4 : header.xing + 12].ljust(8, b"\0"))
    return frames if flags & COUNTED else None


def _counted(opening: bytes, header: _Header, frames: int) -> bytes:
    """A first frame that counts the others: that of the file, mended, or one of our own."""
    place = header.xing
    if opening[place : place + 4] in (b"Xing", b"Info") and opening[place + 7] & COUNTED:
        return opening[: place + 8] + struct.pack(">I", frames) + opening[place + 12 :]
    # Of a middling bit rate, not padded, without the checksum that such a frame may have.
    mark = bytes((0xFF, opening[1] | 1, MIDDLE + 1 << 4 | opening[2] & 0x0C, opening[3]))
    own = mark.ljust(place, b"\0") + b"Info" + struct.pack(">II", COUNTED, frames)
    size = header.samples // 8 * KBPS[min(header.version, 1)][MIDDLE] * 1_000 // header.rate
    return own.ljust(size, b"\0")
