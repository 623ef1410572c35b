"""Published corpora, recognised by the names of their files.

Layouts and counts as in ``data_manifests/``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from seedpipe.errors import counted


@dataclass(frozen=True)
class Corpus:
    """How the files of a published corpus are called.

    Parameters
    ----------
    name : str
    pattern : str
        What ends the path of every audio file.
    files : int, optional
        Number of files, where public copies agree on one.
    """

    name: str
    pattern: str
    files: int | None = None


CORPORA = (
    Corpus("LibriTTS or LibriTTS-R", r"(\d+)/(\d+)/\1_\2_\d{6}_\d{6}\.wav"),
    Corpus("LibriSpeech", r"(\d+)/(\d+)/\1-\2-\d{4}\.flac"),
    Corpus("Libri-Light", r"\d+/[^/]*librivox[^/]*/[^/]+\.flac"),
    Corpus("MUSAN music", r"music-[a-z-]+-\d{4}\.wav", 660),
    Corpus("MUSAN noise", r"noise-[a-z-]+-\d{4}\.wav", 930),
    Corpus("simulated RIRS_NOISES", r"(Room\d{3})/\1-\d{5}\.wav"),
    Corpus("VoxCeleb", r"id\d{5}/[^/]{11}/\d{5}\.wav"),
)


def recognise_corpora(names: Sequence[str]) -> list[str]:
    """Say which corpora there are among audio files, and whether they are whole where that is known.

    Parameters
    ----------
    names : sequence of str
        Paths with ``/`` between their parts.

    Examples
    --------
    >>> recognise_corpora(["noise/free-sound/noise-free-sound-0000.wav", "mine.wav"])
    ['MUSAN noise (1 of 930 files)']
    """
    counts = {corpus: _count(corpus, names) for corpus in CORPORA}
    return [_phrase(corpus, count) for corpus, count in counts.items() if count]


def _count(corpus: Corpus, names: Sequence[str]) -> int:
    pattern = re.compile(rf"(?:.*/)?{corpus.pattern}")
    return sum(1 for name in names if pattern.fullmatch(name))


def _phrase(corpus: Corpus, count: int) -> str:
    whole = None if corpus.files == count else corpus.files
    return f"{corpus.name} ({counted(count, 'file', of=whole)})"
