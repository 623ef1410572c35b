"""Which noise, music and room files are for training, and which are kept for evaluation."""

from __future__ import annotations

import re
from collections.abc import Sequence

RECORDINGS = "|".join(
    (
        r"(.*\d-\d+)-[A-Z](?:-\d+)?\.\w+$",  # ESC-50: 2-77945-A-41.wav
        r"(.*/\d+)-\d+-\d+-\d+\.\w+$",  # UrbanSound8K: 100032-3-0-0.wav
        r"(.*/Room\d+)/Room\d+-\d+\.\w+$",  # RIRS_NOISES: Room001/Room001-00001.wav
        r"(.*)/ch\d+\.\w+$",  # DEMAND: DKITCHEN/ch01.wav
        r"(.*[^/])[._-](?i:ch|channel|clip|part|seg|segment|take)[._-]?\d+\.\w+$",  # street_take2.wav
    )
)
"""Names of files that are cut from one recording, in corpora that are often used."""


def split_files(names: Sequence[str], share: float, pattern: str = "") -> tuple[list[str], list[str]]:
    """Split source files into a training and an evaluation part, whole recordings at a time.

    Within each folder the last ``share`` of the files, in sorted order, goes to evaluation. A recording that the border
    would cut stays whole, in training unless evaluation had nothing then. A folder of one recording goes to training.

    Parameters
    ----------
    names : sequence of str
    share : float
        Between 0 and 1.
    pattern : str
        As ``manifest.group_pattern``: its group is the recording of a file; by default :data:`RECORDINGS`.

    Returns
    -------
    training, evaluation : list of str

    Examples
    --------
    >>> split_files(["1-A.wav", "2-A.wav", "2-B.wav"], 1 / 3, r"(.*)-[A-Z]")
    (['1-A.wav'], ['2-A.wav', '2-B.wav'])
    """
    folders: dict[str, dict[str, list[str]]] = {}
    for name in sorted(names):
        recording = recording_of(name, pattern)
        folders.setdefault(recording.rpartition("/")[0], {}).setdefault(recording, []).append(name)
    training: list[str] = []
    evaluation: list[str] = []
    for recordings in folders.values():
        *others, last = recordings.values()
        files = sum(map(len, recordings.values()))
        kept, trained = files - max(1, round(share * files)), 0
        for parts in others:
            (training if trained < max(1, kept) else evaluation).extend(parts)
            trained += len(parts)
        (evaluation if others else training).extend(last)
    return training, evaluation


def recording_of(name: str, pattern: str = "") -> str:
    """Tell the recording that a file is cut from; the name itself where the pattern does not fit."""
    found = re.search(pattern or RECORDINGS, name)
    return found[found.lastindex] if found and found.lastindex else name
