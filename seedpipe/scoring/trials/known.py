"""Published lists, recognised by their counts and, where it is known, by their digest."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

import numpy as np

from seedpipe.errors import counted
from seedpipe.scoring.trials.list import Trials

OF_THE_PAPER = "the paper uses that list"
OF_VOXCELEB = re.compile(r"(?:.*[/\\])?(id\d{5})[/\\-]([^/\\]{11})[/\\-](\d{5})(?:\.\w+)?")


@dataclass(frozen=True)
class KnownList:
    """A published list.

    Parameters
    ----------
    name : str
    trials : int
    targets : int, optional
        Where it could be verified.
    utterances : int, optional
        Where it could be verified.
    md5 : str, optional
        MD5 of the published file: lines ``label enrol test`` with 1 or 0 and the names of VoxCeleb.
    note : str
        What somebody who compares results has to know.
    """

    name: str
    trials: int
    targets: int | None = None
    utterances: int | None = None
    md5: str | None = None
    note: str = ""


TWO_CLEANINGS = "two cleanings exist; compare results on one list only"
KNOWN = (
    KnownList("the cleaned Vox1-O", 37_611, 18_802, 4_708, "b73110731c9223c1461fe49cb48dddfc", OF_THE_PAPER),
    KnownList(
        "the original Vox1-O",
        37_720,
        18_860,
        4_715,
        "29fc7cc1c5d59f0816dc15d6e8be60f7",
        "the paper uses the cleaned list, 37,611",
    ),
    KnownList("the cleaned Vox1-E", 579_818, 289_921, None, "a53e059deb562ffcfc092bf5d90d9f3a", TWO_CLEANINGS),
    KnownList(
        "the original Vox1-E",
        581_480,
        290_743,
        145_375,
        "b9ecf7aa49d4b656aa927a8092844e4a",
        "the paper's list has about 580 k trials",
    ),
    KnownList("the cleaned Vox1-H", 550_894, 275_488, None, "857790e09d579a68eb2e339a090343c8", TWO_CLEANINGS),
    KnownList(
        "the original Vox1-H",
        552_536,
        276_270,
        138_137,
        "21c341b6b2168eea2634df0fb4b8fff1",
        "the paper's list has about 551 k trials",
    ),
    KnownList("the VoxSRC23 validation list", 49_987, 25_645, 63_516, note=OF_THE_PAPER),
    KnownList("VC-Mix", 159_536, 18_802, note=OF_THE_PAPER),
)
"""Lists of the paper and those that are easily taken for them; ``data_manifests/voxceleb1.md`` says whose figures."""


def recognise(trials: Trials) -> str:
    """Say which published list this one is, or has the count of.

    Returns
    -------
    str
        What follows "the list" in a sentence; empty where no published list has that many trials.
    """
    known = next((known for known in KNOWN if known.trials == len(trials)), None)
    if known is None:
        return ""
    if known.md5 and _published_md5(trials) == known.md5:
        return f"is {known.name} with {counted(known.trials, 'trial')} (MD5 {known.md5}); {known.note}"
    doubt = _doubt(trials, known)
    count = f"has the count of {known.name}, {counted(known.trials, 'trial')}{doubt}"
    return count if doubt and known.note == OF_THE_PAPER else f"{count}; {known.note}"


def _doubt(trials: Trials, known: KnownList) -> str:
    """Why a list with the count of a published one may be another; empty where nothing speaks against it."""
    if trials.blind:
        return ", and no labels"
    targets = int(np.count_nonzero(trials.labels == 1))
    wrong = [
        f"{found:,} {kind} instead of {published:,}"
        for kind, found, published in (
            ("targets", targets, known.targets),
            ("utterances", len(trials.utterances), known.utterances),
        )
        if published is not None and found != published
    ]
    if wrong:
        return f", but {' and '.join(wrong)}"
    return ", but not its digest: a trial was changed, or the order of the trials" if known.md5 else ""


def _published_md5(trials: Trials) -> str:
    """MD5 of the trials with names as VoxCeleb's lists write them: a copy in another layout is the same list."""
    matches = ((name, OF_VOXCELEB.fullmatch(name)) for name in trials.utterances)
    names = ["/".join(match.groups()) + ".wav" if match else name for name, match in matches]
    return hashlib.md5(trials.lines(names), usedforsecurity=False).hexdigest()
