"""Containers of one header and then samples: AU, and NIST as corpora of the LDC have it."""

from __future__ import annotations

import re
import struct

from seedpipe.audio.containers import tags
from seedpipe.audio.containers.opened import OpenFile
from seedpipe.audio.containers.stream import Stream, followed, second_stream

UNKNOWN = 0xFFFF_FFFF  # size of what was written to a pipe
NIST_HEADER = 1_024  # bytes, where the header does not say
NIST_NUMBER = re.compile(rb"^(sample_count|channel_count|sample_n_bytes) -(?:i|s\d+) (\d{1,18})", re.MULTILINE)


def walk_au(file: OpenFile, place: int) -> Stream:
    """AU: the place and the size of the samples are in the header."""
    head = file.bytes(place, 12)
    if len(head) < 12:
        return Stream()
    offset, size = struct.unpack(">4xII" if head.startswith(b".snd") else "<4xII", head)
    there = max(0, file.size - place - offset)
    return _stream(file, place + offset, there if size == UNKNOWN else size, head[:4])


def walk_nist(file: OpenFile, place: int) -> Stream:
    """NIST: samples, channels and bytes of a sample are in the header, in text."""
    length = file.bytes(place, 16).splitlines()[1:2]
    header = int(length[0]) if length and length[0].strip().isdigit() else NIST_HEADER
    numbers = {name: int(value) for name, value in NIST_NUMBER.findall(file.bytes(place, min(header, 2**16)))}
    if b"sample_count" not in numbers:
        return Stream()
    width = numbers.get(b"channel_count", 1) * numbers.get(b"sample_n_bytes", 2)
    return _stream(file, place + header, numbers[b"sample_count"] * width, b"NIST")


def _stream(file: OpenFile, start: int, size: int, mark: bytes) -> Stream:
    """The samples, and nothing but padding or tags behind them."""
    there, stop = max(0, file.size - start), start + size
    if there <= size:
        return Stream(payload=there, lacking=size - there)
    if file.bytes(stop, 4) == mark:
        raise second_stream(file, stop, "AU or NIST")
    if not file.zeros(stop, tags.before_tags(file, file.size)):
        raise followed(file, stop)
    return Stream(file.bytes(0, start), start, stop, payload=size)  # libsndfile takes all that follows for samples
