"""How long a file is: its container walked from the first byte to the last, as no library of ours does.

libsndfile believes one header, that of the first stream. Each module here walks one family of containers in bounded
memory, without decoding, and refuses what a decoder would leave out without a word.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from seedpipe.audio.containers import flac, mpeg, ogg, plain, riff, tags
from seedpipe.audio.containers.opened import OpenFile
from seedpipe.audio.containers.stream import Stream

__all__ = ["READ", "OpenFile", "Stream", "walk"]

READ = frozenset({"WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "NIST", "FLAC", "OGG", "MP3"})
"""What libsndfile may call a file that :func:`walk` has walked."""
_BY_MARK: Mapping[bytes, Callable[[OpenFile, int], Stream]] = {
    **dict.fromkeys((b"RIFF", b"RIFX", b"RF64", b"riff", b"FORM"), riff.walk),
    **dict.fromkeys((b".snd", b"dns."), plain.walk_au),
    b"NIST": plain.walk_nist,
    b"fLaC": flac.walk,
    b"OggS": ogg.walk,
}


def walk(file: OpenFile) -> Stream | None:
    """What a file holds; None if it begins with none of the marks that are known here.

    Raises
    ------
    AudioError
        It holds more than one stream, or what no decoder reads rightly.
    """
    start = tags.after_id3(file)
    mark = file.bytes(start, 4)
    if by_mark := _BY_MARK.get(mark):
        return by_mark(file, start)
    return mpeg.walk(file, start, file.size) if mpeg.is_header(mark) else None
