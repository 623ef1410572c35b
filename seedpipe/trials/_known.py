"""Published lists, recognised by their counts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from seedpipe.trials._list import Trials

__all__ = ["KNOWN", "OF_THE_PAPER", "KnownList", "recognise"]

OF_THE_PAPER = "this is the list of the paper"


@dataclass(frozen=True)
class KnownList:
    """Counts of a published list.

    Parameters
    ----------
    name : str
    trials : int
    targets : int, optional
        Where it could be verified.
    utterances : int, optional
        Where it could be verified.
    note : str
        What somebody who compares results has to know.
    """

    name: str
    trials: int
    targets: int | None = None
    utterances: int | None = None
    note: str = ""


KNOWN = (
    KnownList("the cleaned Vox1-O", 37_611, 18_802, 4_708, OF_THE_PAPER),
    KnownList("the original Vox1-O", 37_720, 18_860, note="the paper uses the cleaned list, 37,611"),
    KnownList("the cleaned Vox1-E", 579_818, note="two cleanings exist; compare results on one list only"),
    KnownList("the original Vox1-E", 581_480, 290_743, note="the paper's list has about 580 k trials"),
    KnownList("the cleaned Vox1-H", 550_894, 275_488, note="two cleanings exist; compare results on one list only"),
    KnownList("the original Vox1-H", 552_536, 276_270, note="the paper's list has about 551 k trials"),
    KnownList("the VoxSRC23 validation list", 49_987, 25_645, 63_516, OF_THE_PAPER),
    KnownList("VC-Mix", 159_536, 18_802, note=OF_THE_PAPER),
)
"""Lists of the paper and those that are easily taken for them."""


def recognise(trials: Trials) -> str:
    """Say which published list has the counts of this one.

    Returns
    -------
    str
        A sentence, empty where no published list has that many trials.
    """
    for known in KNOWN:
        if known.trials != len(trials):
            continue
        targets = None if trials.blind else int(np.count_nonzero(trials.labels == 1))
        wrong = [
            f"{found:,} {kind} instead of {published:,}"
            for kind, found, published in (
                ("targets", targets, known.targets),
                ("utterances", len(trials.utterances), known.utterances),
            )
            if found is not None and published is not None and found != published
        ]
        agrees = f"has the count of {known.name}, {known.trials:,} trials"
        return f"{agrees}, but {' and '.join(wrong)}" if wrong else f"{agrees}; {known.note}"
    return ""
