"""WAV with its relatives RF64 and Wave64, and AIFF: chunks, one of them with the samples.

Every chunk but that of the samples may be anything; together they must end where the file does. Of a WAV file whose
size was not known when its header was written (0, or the largest number there is), or did not fit into 32 bits, the
samples reach to the end of the file.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace

from seedpipe.audio.containers import mpeg, tags
from seedpipe.audio.containers.opened import OpenFile
from seedpipe.audio.containers.stream import Stream, followed, second_stream

SAMPLES = (b"data", b"SSND")
FORMS = (b"RIFF", b"RIFX", b"RF64", b"FORM", b"riff", *SAMPLES)  # no chunk behind the samples is called so
PLAIN = frozenset({1, 3, 6, 7, 0xFFFE})  # format tags of samples of one width: PCM, float, A-law, mu-law, extensible
MP3 = 0x55  # format tag
UNKNOWN = 0x7FFF_0000  # bits of a size that stands for a length that is not known yet
WRAP = 2**32
MOST_FORMAT = 2**16  # bytes of a fmt chunk


@dataclass(frozen=True)
class _Layout:
    """How the chunks of a container are written."""

    first: int
    """Bytes before the first chunk."""
    size: str = "<I"
    """Struct format of the size of a chunk."""
    name: int = 4
    """Bytes of the name of a chunk, of which the first four are told apart."""
    counted: int = 0
    """Bytes of the head of a chunk that its size counts."""
    aligned: int = 2


@dataclass(frozen=True)
class _Chunk:
    name: bytes
    start: int
    """Where its contents begin."""
    size: int

    @property
    def stop(self) -> int:
        """Where its contents end."""
        return self.start + self.size


LAYOUTS = {
    b"RIFF": _Layout(12),
    b"RF64": _Layout(12),
    b"RIFX": _Layout(12, ">I"),
    b"FORM": _Layout(12, ">I"),
    b"riff": _Layout(40, "<Q", name=16, counted=24, aligned=8),  # Wave64
}


def walk(file: OpenFile, place: int) -> Stream:
    """All chunks."""
    mark = file.bytes(place, 4)
    layout, before = LAYOUTS[mark], dict[bytes, _Chunk]()
    for chunk in _chunks(file, layout, place + layout.first):
        if chunk.name in SAMPLES:
            return _samples(file, layout, mark, _true_size(file, chunk, before), before)
        before[chunk.name] = chunk
    return Stream(rest=-1)  # a decoder that finds samples takes something else for them


def _true_size(file: OpenFile, samples: _Chunk, before: dict[bytes, _Chunk]) -> _Chunk:
    """The samples themselves: RF64 has their size in another chunk, AIFF numbers before them."""
    if samples.name == b"SSND" and samples.size >= 8:
        offset = int.from_bytes(file.bytes(samples.start, 4))
        return replace(samples, start=samples.start + 8 + offset, size=samples.size - 8 - offset)
    if samples.size == WRAP - 1 and b"ds64" in before:
        return replace(samples, size=int.from_bytes(file.bytes(before[b"ds64"].start + 8, 8), "little"))
    return samples


def _samples(file: OpenFile, layout: _Layout, mark: bytes, samples: _Chunk, before: dict[bytes, _Chunk]) -> Stream:
    """What is in the chunk of the samples, or behind it without a chunk."""
    known = before.get(b"fmt ", _Chunk(b"", 0, 0))
    form = file.bytes(known.start, min(known.size, MOST_FORMAT))
    tag = int.from_bytes(form[:2], "little")
    there = max(0, file.size - samples.start)
    honest = samples.size <= there and _closes(file, layout, samples.stop)
    if not honest and mark in (b"RIFF", b"RF64") and tag in PLAIN and _is_open(samples.size, there):
        return _to_the_end(samples.start, there, form, file.size)
    if samples.size < there and not honest:
        another = file.bytes(_next(file, layout, samples.stop), 4) in FORMS
        raise second_stream(file, samples.stop, "WAV or AIFF") if another else followed(file, samples.stop)
    if mark == b"RIFF" and tag == MP3:
        return mpeg.walk(file, samples.start, min(samples.stop, file.size))
    lacking = 0 if samples.size & UNKNOWN == UNKNOWN else max(0, samples.size - there)
    width = int.from_bytes(form[12:14], "little") if tag in PLAIN and mark != b"RIFX" else 0
    return Stream(payload=min(samples.size, there), lacking=lacking, width=width)


def _is_open(size: int, there: int) -> bool:
    """Whether a size says that it is none: not known when it was written, or too large for 32 bits."""
    return size in (0, WRAP - 1) or size & UNKNOWN == UNKNOWN or (there > size and (there - size) % WRAP == 0)


def _to_the_end(start: int, there: int, form: bytes, stop: int) -> Stream:
    """Samples up to the end of the file, and the header of RF64 that says so."""
    width = int.from_bytes(form[12:14], "little") or 1
    there -= there % width
    extent = struct.pack("<IQQQI", 28, there + 60 + len(form), there, 0, 0)
    head = b"RF64\xff\xff\xff\xffWAVEds64" + extent
    head += b"fmt " + struct.pack("<I", len(form)) + form + b"data\xff\xff\xff\xff"
    return Stream(head, start, stop, frames=there // width, payload=there)


def _closes(file: OpenFile, layout: _Layout, place: int) -> bool:
    """Whether whole chunks, and nothing else, lie between the samples and the end of the file."""
    stop = tags.before_tags(file, file.size)
    for chunk in _chunks(file, layout, _next(file, layout, place)):
        if place >= stop:  # a tag
            break
        if chunk.name in FORMS or chunk.stop > stop:
            return False
        place = chunk.stop
    return file.zeros(place, stop)


def _chunks(file: OpenFile, layout: _Layout, place: int) -> Iterator[_Chunk]:
    """Chunks from a place on, up to what is none."""
    head = layout.name + struct.calcsize(layout.size)
    while _is_chunk(data := file.bytes(place, head)) and len(data) == head:
        size = struct.unpack(layout.size, data[layout.name :])[0] - layout.counted
        if size < 0:
            return
        chunk = _Chunk(data[:4], place + head, size)
        yield chunk
        place = _next(file, layout, chunk.stop)


def _next(file: OpenFile, layout: _Layout, place: int) -> int:
    """Where a chunk begins behind another one, which some writers forget to pad."""
    aligned = -(-place // layout.aligned) * layout.aligned
    return place if not _is_chunk(file.bytes(aligned, 4)) and _is_chunk(file.bytes(place, 4)) else aligned


def _is_chunk(data: bytes) -> bool:
    return len(data) >= 4 and all(0x20 <= byte < 0x7F for byte in data[:4])
