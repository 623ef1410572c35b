"""The trial list of the demonstration: every target pair, and a sample of near and far non-target pairs."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, product

import numpy as np

from examples.demo_corpus.tools import generator
from examples.demo_corpus.voices import Voice

__all__ = ["NEAR_PER_TARGET", "trials"]

NEAR_PER_TARGET = 4  # and as many far ones


def trials(voices: Sequence[Voice], count: int, *, seed: int) -> list[str]:
    """Write the lines of the trial list.

    A non-target pair is near if both voices are high, both are low, or both have one accent; far otherwise.

    Parameters
    ----------
    voices : sequence of Voice
        Evaluation voices.
    count : int
        Utterances of each.
    seed : int
        Seed of the corpus.

    Returns
    -------
    list of str
        ``label enrol test``, sorted by the two paths, which are relative to the folder ``eval``.
    """
    rng = generator(seed, "eval", "trials")
    targets = [f"1 {a} {b}" for voice in voices for a, b in combinations(_files(voice, count), 2)]
    pairs = list(combinations(voices, 2))
    lines = list(targets)
    for near in (True, False):
        pool = [
            f"0 {a} {b}"
            for one, other in pairs
            if _near(one, other) is near
            for a, b in product(_files(one, count), _files(other, count))
        ]
        lines += _sample(pool, NEAR_PER_TARGET * len(targets), rng)
    return sorted(lines, key=lambda line: line.split(" ")[1:])


def _files(voice: Voice, count: int) -> list[str]:
    return [f"demo/{voice.name}/{number:02d}.flac" for number in range(count)]


def _near(one: Voice, other: Voice) -> bool:
    return one.female == other.female or one.accent == other.accent


def _sample(pool: list[str], count: int, rng: np.random.Generator) -> list[str]:
    chosen = rng.permutation(len(pool))[:count]
    return [pool[number] for number in chosen]
