"""X-vector folders, as the recipes of Kaldi and the scripts of WeSpeaker write and read them.

A folder holds ``xvector.scp`` with the archives that it names, and often ``utt2spk``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from seedpipe.cache.exchange import Vectors, read_vectors, write_vectors
from seedpipe.errors import ExchangeError
from seedpipe.files import StrPath, read_text, whole_files

INDEX, ARCHIVE, SPEAKERS, UTTERANCES = "xvector.scp", "xvector.ark", "utt2spk", "spk2utt"


def read_xvectors(folder: StrPath) -> tuple[Vectors, dict[str, str]]:
    """Read the embeddings of a folder.

    Returns
    -------
    vectors : Vectors
        See :func:`seedpipe.cache.exchange.read_vectors`.
    speakers : dict of str to str
        Speaker of each utterance; empty where the folder does not say it.

    Raises
    ------
    ExchangeError
        There is no ``xvector.scp``, a vector cannot be read, or ``utt2spk`` is not of these utterances.
    """
    folder = Path(folder)
    if not (folder / INDEX).is_file():
        raise ExchangeError(f"has no {INDEX}", expected="a folder of x-vectors", remedy="check the path", file=folder)
    vectors, names = read_vectors(folder / INDEX), folder / SPEAKERS
    if not names.is_file():
        return vectors, {}
    speakers: dict[str, str] = {}
    for row, line in enumerate(read_text(names).splitlines(), start=1):
        parts = line.split()
        if len(parts) != 2 or parts[0] in speakers:
            raise ExchangeError(f"{line!r} is no new pair", expected="'utterance speaker'", file=names, row=row)
        speakers[parts[0]] = parts[1]
    lacking = next((name for name, _ in vectors.keys if name not in speakers), None)
    if lacking is not None:
        raise ExchangeError(f"lacks {lacking}", expected=f"a speaker for each utterance of {INDEX}", file=names)
    return vectors, speakers


def write_xvectors(folder: StrPath, vectors: Vectors, speakers: Mapping[str, str] | None = None) -> list[Path]:
    """Write embeddings as such a folder; files of these names are replaced.

    Parameters
    ----------
    folder : str or PathLike
    vectors : Vectors
        Their path does not matter.
    speakers : mapping of str to str, optional
        Speaker of each utterance, for ``utt2spk`` and ``spk2utt``.

    Raises
    ------
    ExchangeError
        A name cannot stand in such files, or an utterance has no speaker.
    """
    folder = Path(folder)
    files = write_vectors(Vectors(folder / ARCHIVE, vectors.keys, vectors.values))
    if speakers is None:
        return files
    names = sorted({name for name, _ in vectors.keys})
    wrong = next((name for name in names if not speakers.get(name) or len(speakers[name].split()) != 1), None)
    if wrong is not None:
        raise ExchangeError(f"{wrong} has the speaker {speakers.get(wrong)!r}", expected="a name without spaces")
    of_speaker: dict[str, list[str]] = {}
    for name in names:
        of_speaker.setdefault(speakers[name], []).append(name)
    lists = [folder / SPEAKERS, folder / UTTERANCES]
    with whole_files(lists) as (utt2spk, spk2utt):
        utt2spk.write_text("".join(f"{name} {speakers[name]}\n" for name in names), encoding="utf-8")
        lines = [f"{speaker} {' '.join(known)}\n" for speaker, known in sorted(of_speaker.items())]
        spk2utt.write_text("".join(lines), encoding="utf-8")
    return [*files, *lists]
