"""Ogg: pages of one logical stream, from its first to its last.

Source: RFC 3533; a chained file holds several streams, one behind the other, of which libsndfile reads the first.
"""

from __future__ import annotations

from seedpipe.audio.containers import tags
from seedpipe.audio.containers.opened import OpenFile
from seedpipe.audio.containers.stream import Stream, second_stream

HEADER = 27  # bytes, before the table of segments
LONGEST_HEADER = HEADER + 255
FIRST, LAST = 2, 4  # flags of a page
SKELETON = b"fishead\0"  # a stream that describes others


def walk(file: OpenFile, place: int) -> Stream:
    """All pages."""
    stop = tags.before_tags(file, file.size)
    streams, flags, end = 0, 0, place
    while place < stop:
        head = file.bytes(place, LONGEST_HEADER)
        if not head.startswith(b"OggS"):
            break
        table = head[HEADER : HEADER + head[HEADER - 1]] if len(head) >= HEADER else b""
        end = place + HEADER + len(table) + sum(table)
        if len(head) < HEADER or end > stop:
            return Stream(cut=True)
        flags = head[5]
        if flags & FIRST and file.bytes(end - sum(table), len(SKELETON)) != SKELETON:
            streams += 1
            if streams > 1:
                raise second_stream(file, place, "Ogg")
        place = end
    return Stream(cut=not flags & LAST, rest=0 if file.zeros(end, stop) else file.size - end)
