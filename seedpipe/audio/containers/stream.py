"""What a walk through a file finds, and the refusals that several containers share."""

from __future__ import annotations

from dataclasses import dataclass

from seedpipe.audio.containers.opened import OpenFile
from seedpipe.errors import AudioError, counted


@dataclass(frozen=True)
class Stream:
    """What a file holds."""

    head: bytes = b""
    """Header to show to a decoder, with the bytes from ``start`` to ``stop``, in place of one that is wrong."""
    start: int = 0
    stop: int = 0
    frames: int | None = None
    """How many frames there are. A decoder that finds as many in the file itself needs no ``head``."""
    payload: int | None = None
    """Bytes of samples that are there; None where they are coded in packets."""
    width: int = 0
    """Bytes of a frame, where the header says it of samples of one width."""
    lacking: int = 0
    """Bytes of samples that the header promises and the file does not have."""
    cut: bool = False
    """Whether the stream breaks off before its end."""
    rest: int = 0
    """Bytes that follow the stream, or stand in it, and are no part of it; -1 for an unknown number."""


def followed(file: OpenFile, place: int) -> AudioError:
    """The refusal of a file that holds more than a decoder would read."""
    return AudioError(
        f"{counted(file.size - place, 'byte', 'follows/follow')} the samples that the header counts, which end at"
        f" byte {place:,}",
        expected="a file that ends with its samples, or with whole chunks behind them",
        remedy="if they are samples, mend the header (sox --ignore-length in.wav out.wav); if not, cut them off",
        file=file.path,
    )


def second_stream(file: OpenFile, place: int, kind: str) -> AudioError:
    """The refusal of files that were joined byte by byte."""
    return AudioError(
        f"holds another {kind} stream at byte {place:,}: several files joined to one",
        expected="one stream",
        remedy="join them decoded (ffmpeg -i in -c:a flac out.flac, sox a b out.flac), or keep them apart",
        file=file.path,
    )
