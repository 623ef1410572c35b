"""Tags that music players put before and behind a stream of any kind: ID3, APE, Lyrics3."""

from __future__ import annotations

import struct

from seedpipe.audio.containers.opened import OpenFile

ID3V1 = 128  # bytes
FOOTER = 32  # bytes of the footer of an APE tag, and of its header
LYRICS_END = 9  # bytes that close Lyrics3, behind six digits of its size


def after_id3(file: OpenFile, place: int = 0) -> int:
    """Where the bytes behind all ID3v2 tags at a place begin."""
    while (tag := file.bytes(place, 10)).startswith(b"ID3") and len(tag) == 10:
        footer = 10 if tag[5] & 0x10 else 0
        # Four bytes of seven bits.
        place += 10 + footer + sum(byte << shift for byte, shift in zip(tag[6:], (21, 14, 7, 0), strict=True))
    return place


def before_tags(file: OpenFile, stop: int) -> int:
    """Where the tags that end at a place begin."""
    while size := _tag_before(file, stop):
        stop -= size
    return stop


def _tag_before(file: OpenFile, stop: int) -> int:
    """Bytes of the tag that ends at a place; 0 if none does."""
    if stop >= ID3V1 and file.bytes(stop - ID3V1, 3) == b"TAG":
        return ID3V1
    end = file.bytes(max(0, stop - FOOTER), min(FOOTER, stop))
    size = 0
    if end.startswith(b"APETAGEX") and len(end) == FOOTER:
        content, flags = struct.unpack("<I4xI", end[12:24])
        size = content + (FOOTER if flags & 0x8000_0000 else 0)
    elif end.endswith(b"LYRICS200") and end[-15:-9].isdigit():
        size = int(end[-15:-9]) + 15
    elif end[-10:-7] == b"3DI":
        size = 20 + sum(byte << shift for byte, shift in zip(end[-4:], (21, 14, 7, 0), strict=True))
    return size if size <= stop else 0
