"""Who speaks in each row of a cache, and in which environment each variant of it was made."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seedpipe.cache import Cache
from seedpipe.errors import CacheError, counted

Codes = NDArray[np.int64]


def speakers(cache: Cache, frame: pd.DataFrame, pattern: str) -> Codes:
    """Number of the speaker of each row.

    Parameters
    ----------
    cache : Cache
        For messages.
    frame : DataFrame
        Its :meth:`~seedpipe.cache.Cache.frame`.
    pattern : str
        Regular expression whose group is the speaker in the name of an utterance; empty for the labels of the cache.

    Returns
    -------
    ndarray of int64, shape (R,)

    Raises
    ------
    CacheError
        The cache has no labels and no pattern is given, the pattern does not fit an utterance, or there is one speaker.
    """
    names = _matched(cache, frame["utterance"], pattern) if pattern else frame["speaker"]
    if (names == "").any():
        raise CacheError(
            f"the speaker of {counted(int((names == '').sum()), 'row', of=len(names))} is unknown",
            expected="speaker labels: drl and lda learn from them",
            remedy="set enhancers.speaker_pattern (speakers= of train_enhancer), or choose enhancers that need none",
            file=cache.path,
        )
    codes, unique = names.factorize()
    if len(unique) < 2:
        raise CacheError(
            f"all rows are of the speaker {unique[0]!r}",
            expected="two speakers at least",
            remedy="check enhancers.speaker_pattern",
            file=cache.path,
        )
    return codes.astype(np.int64)


def environments(frame: pd.DataFrame, variants: tuple[str, ...]) -> Codes:
    """Number of the environment of each embedding: the variant, its noise or music file, and its room.

    Returns
    -------
    ndarray of int64, shape (R, V)
    """
    labels = [pd.Series("", index=frame.index)]
    for variant in variants[1:]:
        noise, room = frame[f"noise:{variant}"], frame[f"rir:{variant}"]
        labels.append(variant + "\t" + noise.astype(str) + "\t" + room.astype(str))
    codes, _ = pd.concat(labels).factorize()
    return codes.reshape(len(variants), len(frame)).T.astype(np.int64)


def _matched(cache: Cache, utterances: pd.Series, pattern: str) -> pd.Series:
    codes, unique = utterances.factorize()
    found = [re.search(pattern, name) for name in unique]
    missed = next((name for name, match in zip(unique, found, strict=True) if match is None or not match[1]), None)
    if missed is not None:
        raise CacheError(
            f"the utterance {missed} does not fit the pattern {pattern!r}",
            expected="the speaker in its group",
            remedy="correct enhancers.speaker_pattern",
            file=cache.path,
        )
    return pd.Series([match[1] for match in found if match])[codes].reset_index(drop=True)
