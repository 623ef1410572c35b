"""Files that training and evaluation share, by their contents: a copy under another name is the same audio.

So is one with another header, with other tags, or in another lossless format: its samples are the same once decoded.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from pathlib import Path

import soundfile

from seedpipe.files import file_digest, open_input

END = 2**12  # bytes, or frames: audio of one length differs at its start or its end, so few files are read as a whole
BLOCK = 2**16  # frames decoded at a time


def same_audio(training: Iterable[Path], evaluation: Iterable[Path]) -> list[tuple[Path, Path]]:
    """Find files of the same audio on both sides; what cannot be read is left to those who read it.

    Files of the same bytes are found first: sizes are compared, then both ends, then digests, so a large corpus is not
    read again. Then those of the same samples: lengths as headers state them, then the first samples, then all.

    Returns
    -------
    list of (Path, Path)
        The first training file of its kind and the evaluation file, for each of these, in the order of ``evaluation``.
    """
    left, right = list(training), list(evaluation)
    found = _same((_size, _ends, file_digest), left, right)
    start = functools.partial(_samples, frames=END)
    found |= _same((_length, start, _samples), left, [path for path in right if path not in found])
    return [(found[path], path) for path in right if path in found]


def _same(keys: Sequence[Callable[[Path], Hashable]], left: list[Path], right: list[Path]) -> dict[Path, Path]:
    """The first file on the left with the same keys, for each on the right that has one; cheap keys come first."""
    ours: dict[Path, Hashable] = {}
    theirs: dict[Path, Hashable] = {}
    for key in keys:
        theirs = _keys(key, right)
        ours = _keys(key, left) if theirs else {}
        shared = set(ours.values()) & set(theirs.values())
        left, right = ([path for path in side if side.get(path) in shared] for side in (ours, theirs))
    first = {ours[path]: path for path in reversed(left)}
    return {path: first[theirs[path]] for path in right}


def _keys(key: Callable[[Path], Hashable], paths: Iterable[Path]) -> dict[Path, Hashable]:
    found = {}
    for path in paths:
        with contextlib.suppress(OSError, soundfile.LibsndfileError):
            found[path] = key(path)
    return found


def _size(path: Path) -> int:
    return path.stat().st_size


def _ends(path: Path) -> tuple[bytes, bytes]:
    with open_input(path) as file:
        start = file.read(END)
        file.seek(max(0, file.seek(0, os.SEEK_END) - END))
        return start, file.read()


def _length(path: Path) -> tuple[int, int, int]:
    """Frames per second, channels and frames as a header states them, unchecked."""
    with _decoder(path) as file:
        return file.samplerate, file.channels, file.frames


def _samples(path: Path, frames: int = -1) -> bytes:
    """Digest of the samples, or of the first of them: the same for one recording in any lossless format."""
    digest = hashlib.blake2b(digest_size=16)
    with _decoder(path) as file:
        for block in file.blocks(BLOCK, frames=frames, dtype="float32"):
            digest.update(block)
    return digest.digest()


@contextlib.contextmanager
def _decoder(path: Path) -> Iterator[soundfile.SoundFile]:
    with open_input(path) as file, soundfile.SoundFile(file.fileno(), closefd=False) as decoder:
        yield decoder
