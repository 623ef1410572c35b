"""FLAC: how many samples there are is read off the last frame, and compared with the header.

Source: RFC 9639. Frames have no length, so they are not walked: the last one is the part at the end of the file that
begins as a frame does and has the checksum of one.
"""

from __future__ import annotations

import functools

from seedpipe.audio.containers import tags
from seedpipe.audio.containers.opened import HASHED, OpenFile
from seedpipe.audio.containers.stream import Stream, second_stream

INFO = 8  # bytes before the contents of STREAMINFO
INFO_ENDS = 42
MARKS = (b"fLaC\x00\x00\x00\x22", b"fLaC\x80\x00\x00\x22")  # of a stream, with the head of its STREAMINFO
HEADER = 16  # bytes of the longest header of a frame
SHORTEST = 9  # bytes of the shortest frame


def walk(file: OpenFile, place: int) -> Stream:
    """Look for further streams and at the last frame."""
    info = file.bytes(place + INFO, INFO_ENDS - INFO)
    if len(info) < INFO_ENDS - INFO:
        return Stream()
    _refuse_second(file, place)
    block, largest = int.from_bytes(info[2:4]), int.from_bytes(info[7:10])
    packed = int.from_bytes(info[10:18])
    channels, bits, total = (packed >> 41 & 7) + 1, (packed >> 36 & 31) + 1, packed & (1 << 36) - 1
    window = max(largest, block * channels * (bits // 8 + 1)) + HEADER
    stop = tags.before_tags(file, file.size)
    first = max(place + INFO_ENDS, stop - window)
    found = _samples(file.bytes(first, stop - first), block)
    if found is None and not file.zeros(first, stop):
        return Stream(rest=-1)
    if found is None or found == total:
        return Stream()
    if found < total:
        return Stream(cut=True)
    right = (packed >> 36 << 36 | found).to_bytes(8)
    head = file.bytes(0, place + INFO + 10) + right
    return Stream(head=head, start=len(head), stop=file.size)


def _refuse_second(file: OpenFile, place: int) -> None:
    """Refuse a file with another stream in it; of a mark that spans two blocks, both are searched."""
    at, overlap = place + 4, len(MARKS[0]) - 1
    while len(block := file.bytes(at, HASHED)) > overlap:
        for mark in MARKS:
            if (offset := block.find(mark)) >= 0:
                raise second_stream(file, at + offset, "FLAC")
        at += len(block) - overlap


def _samples(end: bytes, block: int) -> int | None:
    """Samples up to the last frame, which ends with these bytes; None if they end with none."""
    place = len(end)
    while (place := end.rfind(b"\xff", 0, place)) >= 0:
        if end[place + 1 : place + 2] in (b"\xf8", b"\xf9") and _checksum(end[place:]) == 0:
            return _last_sample(end[place : place + HEADER], block)
    return None


def _last_sample(header: bytes, block: int) -> int | None:
    """Number of the sample behind a frame, from its header."""
    if len(header) < SHORTEST:
        return None
    ones = 8 - (~header[4] & 0xFF).bit_length()  # as UTF-8 counts its bytes
    following = max(0, ones - 1)
    number = header[4] & (0x7F >> ones)
    for byte in header[5 : 5 + following]:
        number = number << 6 | byte & 0x3F
    behind = header[5 + following :]
    code = header[2] >> 4
    if code in (6, 7):
        size = int.from_bytes(behind[: code - 5]) + 1
    elif code:
        size = 192 if code == 1 else 576 << code - 2 if code < 6 else 256 << code - 8
    else:
        return None
    return (number if header[1] & 1 else number * block) + size


@functools.cache
def _table() -> tuple[int, ...]:
    """CRC-16 of each byte: x^16 + x^15 + x^2 + 1."""
    values = []
    for value in range(256):
        crc = value << 8
        for _ in range(8):
            crc = crc << 1 ^ (0x1_8005 if crc & 0x8000 else 0)
        values.append(crc)
    return tuple(values)


def _checksum(data: bytes) -> int:
    """CRC-16 of a frame with its own checksum, so 0; zeros behind it change nothing."""
    table, crc = _table(), 0
    for byte in data:
        crc = (crc << 8 & 0xFF00) ^ table[crc >> 8 ^ byte]
    return crc
